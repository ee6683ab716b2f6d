package bench

import (
	"context"
	"fmt"
	"strings"
	"text/template"

	"github.com/hostnat/hostnat/dev/lab"
)

// nftables does what Docker and libvirt do, with fewer rules than either: a
// forward chain that drops by default, masquerading, and DNAT for the
// published port.
var nftables = setup{name: NFTables, build: buildNFTables, nat: true}

var ruleset = template.Must(template.New("ruleset").Parse(`
table ip bench {
	chain forward {
		type filter hook forward priority filter; policy drop;
		oifname "br0" ct state established,related accept
		iifname "br0" oifname != "br0" accept
		ip daddr {{.Endpoint}} iifname != "br0" oifname "br0" tcp dport {{.InsidePort}} accept
		ip daddr {{.Endpoint}} iifname != "br0" oifname "br0" udp dport {{.InsidePort}} accept
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local iifname != "br0" tcp dport {{.ExternalPort}} dnat to {{.Endpoint}}:{{.InsidePort}}
		fib daddr type local iifname != "br0" udp dport {{.ExternalPort}} dnat to {{.Endpoint}}:{{.InsidePort}}
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
{{- if .Ports}}
		ip saddr {{.Subnet}} oifname != "br0" ip protocol { tcp, udp } masquerade to :{{.Ports}}
{{- end}}
		ip saddr {{.Subnet}} oifname != "br0" masquerade
	}
}
`))

func buildNFTables(ctx context.Context, t *lab.Topology, ports string) (running, error) {
	if err := attachEndpoint(t); err != nil {
		return running{}, err
	}
	return running{}, loadRules(ctx, t, ports)
}

func loadRules(ctx context.Context, t *lab.Topology, ports string) error {
	var rules strings.Builder
	err := ruleset.Execute(&rules, map[string]any{
		"Subnet": subnet, "Endpoint": endpoint, "InsidePort": insidePort, "ExternalPort": externalPort, "Ports": ports,
	})
	if err != nil {
		return fmt.Errorf("write the ruleset: %w", err)
	}
	nft := t.Host.Command(ctx, "nft", "-f", "-")
	nft.Stdin = strings.NewReader(rules.String())
	if out, err := nft.CombinedOutput(); err != nil {
		return fmt.Errorf("load rules (is Debian's package nftables installed?): %w: %s", err, out)
	}
	return nil
}
