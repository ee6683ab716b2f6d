package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

func proxyShow(a *app) *cobra.Command {
	var netsh bool
	cmd := &cobra.Command{
		Use: "show", Short: "Show the port proxies, also as 'netsh interface portproxy show all' does", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Proxies(cmd.Context())
			if err != nil {
				return err
			}
			if netsh {
				return printNetsh(a.Stdout, rows)
			}
			for _, p := range rows {
				if err := printObject(a, p, proxyFields(p)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&netsh, "netsh", false, "print the form of 'netsh interface portproxy show all'")
	return cmd
}

func proxyFields(p control.ProxyView) []field {
	return []field{
		{"port proxy", fmt.Sprint(p.ID)},
		{"  kind", string(p.Kind)},
		{"  protocol", p.Protocol.String()},
		{"  listen", p.Listen.String()},
		{"  connect", proxyTarget(p)},
		{"  options", proxyOptions(p)},
		{"  listening", yesNo(p.Listening)},
		{"  connections", fmt.Sprintf("%d now, %d in all", p.Connections, p.TotalConnections)},
		{"  bytes", fmt.Sprintf("%s from clients, %s to clients", bytesText(p.BytesIn), bytesText(p.BytesOut))},
		{"  problem", proxyProblem(p)},
	}
}

// netshFamilies are the parts of netsh's list, in its order.
var netshFamilies = []struct {
	kind            model.ProxyKind
	listen, connect string
}{
	{model.V4ToV4, "ipv4", "ipv4"},
	{model.V4ToV6, "ipv4", "ipv6"},
	{model.V6ToV4, "ipv6", "ipv4"},
	{model.V6ToV6, "ipv6", "ipv6"},
}

// printNetsh prints what 'netsh interface portproxy show all' would: a part for
// each kind of which there is one. netsh knows one port a line and TCP alone;
// UDP and proxies by name are left out.
func printNetsh(w io.Writer, rows []control.ProxyView) error {
	for _, f := range netshFamilies {
		if err := printNetshFamily(w, rows, f.kind, f.listen, f.connect); err != nil {
			return err
		}
	}
	return nil
}

func printNetshFamily(w io.Writer, rows []control.ProxyView, kind model.ProxyKind, listen, connect string) error {
	headed := false
	for _, p := range rows {
		if p.Kind != kind || p.Protocol != model.TCP {
			continue
		}
		if !headed {
			headed = true
			fmt.Fprintf(w, "\nListen on %s:             Connect to %s:\n\n", listen, connect)
			fmt.Fprintf(w, "%-15s %-10s  %-15s %s\n", "Address", "Port", "Address", "Port")
			fmt.Fprintf(w, "--------------- ----------  --------------- ----------\n")
		}
		for i := range p.Listen.Ports.Size() {
			if _, err := fmt.Fprintf(w, "%-15s %-10d  %-15s %d\n", p.Listen.Host, p.Listen.Port(i), p.Connect.Host, p.Connect.Port(i)); err != nil {
				return err
			}
		}
	}
	return nil
}
