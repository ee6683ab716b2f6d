package main

import (
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
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

func proxyFields(p api.Proxy) []field {
	return []field{
		{"port proxy", fmt.Sprint(p.ID)},
		{"  kind", p.Kind},
		{"  protocol", string(p.Protocol)},
		{"  listen", p.Listen},
		{"  connect", proxyTarget(p)},
		{"  options", proxyOptions(p)},
		{"  listening", text.YesNo(p.Listening)},
		{"  connections", fmt.Sprintf("%d now, %d in all", p.Connections, p.TotalConnections)},
		{"  no place", fmt.Sprintf("%d refused, %d ended for others", p.Refused, p.GaveWay)},
		{"  bytes", fmt.Sprintf("%s from clients, %s to clients", text.Bytes(p.BytesIn), text.Bytes(p.BytesOut))},
		{"  problem", proxyProblem(p)},
	}
}

// netshFamilies are the parts of netsh's list, in its order.
var netshFamilies = []struct {
	kind, listen, connect string
}{
	{api.V4ToV4, "ipv4", "ipv4"},
	{api.V4ToV6, "ipv4", "ipv6"},
	{api.V6ToV4, "ipv6", "ipv4"},
	{api.V6ToV6, "ipv6", "ipv6"},
}

// printNetsh prints what 'netsh interface portproxy show all' would: a part for
// each kind of which there is one. netsh knows one port a line and TCP alone;
// UDP and proxies by name are left out.
func printNetsh(w io.Writer, rows []api.Proxy) error {
	for _, f := range netshFamilies {
		if err := printNetshFamily(w, rows, f.kind, f.listen, f.connect); err != nil {
			return err
		}
	}
	return nil
}

func printNetshFamily(w io.Writer, rows []api.Proxy, kind, listen, connect string) error {
	headed := false
	for _, p := range rows {
		if p.Kind != kind || p.Protocol != api.TCP {
			continue
		}
		if !headed {
			headed = true
			fmt.Fprintf(w, "\nListen on %s:             Connect to %s:\n\n", listen, connect)
			fmt.Fprintf(w, "%-15s %-10s  %-15s %s\n", "Address", "Port", "Address", "Port")
			fmt.Fprintf(w, "--------------- ----------  --------------- ----------\n")
		}
		if err := printNetshPorts(w, p); err != nil {
			return err
		}
	}
	return nil
}

// printNetshPorts prints a line for each port: the n-th leads to the n-th.
func printNetshPorts(w io.Writer, p api.Proxy) error {
	listen, low, high := cutPorts(p.Listen)
	connect, to, _ := cutPorts(p.Connect)
	for i := range high - low + 1 {
		if _, err := fmt.Fprintf(w, "%-15s %-10d  %-15s %d\n", listen, low+i, connect, to+i); err != nil {
			return err
		}
	}
	return nil
}

// cutPorts takes "HOST:P" or "HOST:LO-HI", as the daemon writes it, apart.
func cutPorts(text string) (host string, low, high int) {
	host, ports, err := net.SplitHostPort(text)
	if err != nil {
		return text, 0, -1 // no daemon writes that; no port is better than a wrong one
	}
	first, last, several := strings.Cut(ports, "-")
	if !several {
		last = first
	}
	low, _ = strconv.Atoi(first)
	high, _ = strconv.Atoi(last)
	return host, low, high
}
