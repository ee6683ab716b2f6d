package cni

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/types"

	"github.com/hostnat/hostnat/api"
)

// portMapping is a published port, as the capability portMappings has it.
type portMapping struct {
	Host      int    `json:"hostPort"` // 0: it is not published
	Container int    `json:"containerPort"`
	Protocol  string `json:"protocol"` // empty: tcp
	HostIP    string `json:"hostIP"`   // empty: every address
}

// published are the mappings that make ports reachable. Runtimes name each port of a
// range by itself: what is in a row is one mapping.
func published(ports []portMapping, endpoint string) ([]api.MappingSpec, error) {
	var list []portMapping
	for _, p := range ports {
		p.Protocol = strings.ToLower(cmp.Or(p.Protocol, "tcp"))
		if p.HostIP == "0.0.0.0" {
			p.HostIP = ""
		}
		switch a, err := netip.ParseAddr(p.HostIP); {
		case p.Host == 0:
			continue
		case p.Protocol != "tcp" && p.Protocol != "udp":
			return nil, invalid("port %d: %s ports cannot be published; use tcp or udp", p.Host, p.Protocol)
		case p.HostIP != "" && (err != nil || !a.Is4()):
			return nil, invalid("port %d: address %s is not one of IPv4, and others cannot be published yet", p.Host, p.HostIP)
		case !isPort(p.Host) || !isPort(p.Container):
			return nil, invalid("port %d to %d: ports are from 1 to 65535", p.Host, p.Container)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b portMapping) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.HostIP, b.HostIP), cmp.Compare(a.Host, b.Host), cmp.Compare(a.Container, b.Container))
	})
	var specs []api.MappingSpec
	for len(list) > 0 {
		n := inARow(list)
		first := list[0]
		specs = append(specs, api.MappingSpec{
			Protocol: first.Protocol, External: cmp.Or(first.HostIP, "*") + ":" + portsText(first.Host, n), Internal: endpoint + ":" + portsText(first.Container, n),
			Owner: Owner, Force: true, // runtimes listen on published ports themselves, to keep them
		})
		list = list[n:]
	}
	return specs, nil
}

func isPort(n int) bool { return 0 < n && n <= 65535 }

// inARow is how many of the list, from the first on, are one range.
func inARow(list []portMapping) int {
	n := 1
	for n < len(list) {
		next := list[0]
		next.Host, next.Container = next.Host+n, next.Container+n
		if list[n] != next {
			break
		}
		n++
	}
	return n
}

func portsText(first, count int) string {
	if count == 1 {
		return fmt.Sprint(first)
	}
	return fmt.Sprintf("%d-%d", first, first+count-1)
}

func invalid(format string, args ...any) error {
	return types.NewError(types.ErrInvalidNetworkConfig, "hostnat: "+fmt.Sprintf(format, args...), "")
}
