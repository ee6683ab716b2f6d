package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func proxyCommand(a *app) *cobra.Command {
	return group("proxy", "Port proxies: relays for what a mapping cannot do",
		proxyAdd(a), proxyList(a), proxyShow(a), proxyDelete(a))
}

func proxyAdd(a *app) *cobra.Command {
	return group("add", "Add a port proxy",
		proxyAddKind(a, api.V4ToV4, "from IPv4 to IPv4"),
		proxyAddKind(a, api.V4ToV6, "from IPv4 to IPv6"),
		proxyAddKind(a, api.V6ToV4, "from IPv6 to IPv4"),
		proxyAddKind(a, api.V6ToV6, "from IPv6 to IPv6"),
		proxyAddName(a))
}

func proxyAddKind(a *app, kind, what string) *cobra.Command {
	spec := api.ProxySpec{Kind: kind}
	cmd := &cobra.Command{
		Use: kind + " LISTEN CONNECT", Short: "Relay " + what,
		Long: "Relay " + what + ".\n\n" +
			"LISTEN is [ADDRESS:]PORT or [ADDRESS:]LO-HI; without an address, or with *, every address of\n" +
			"the host. CONNECT is HOST:PORT or HOST:LO-HI, where HOST is an address, an endpoint or a name\n" +
			"that is looked up again and again. IPv6 addresses are written in brackets.\n" +
			"An endpoint's port is better published by a mapping, which costs a hundredth of this.",
		Args: positional("LISTEN", "CONNECT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Listen, spec.Connect = args[0], args[1]
			return addProxy(cmd.Context(), a, spec)
		},
	}
	cmd.Flags().StringVar(&spec.Protocol, "protocol", "tcp", "tcp or udp")
	cmd.Flags().BoolVar(&spec.ProxyProtocol, "proxy-protocol", false, "tell the server who the client is, by a PROXY protocol version 2 header")
	metadataFlags(cmd, &spec.Labels, &spec.Owner)
	completeFlag(cmd, "protocol", "tcp", "udp")
	return cmd
}

func addProxy(ctx context.Context, a *app, spec api.ProxySpec) error {
	p, err := a.client().AddProxy(ctx, spec)
	if err != nil {
		return err
	}
	text := ""
	if p.Problem != "" {
		text = " (" + p.Problem + ")"
	}
	return printLine(a, p, "port proxy %d: %s %s → %s%s", p.ID, p.Protocol, p.Listen, proxyTarget(p), text)
}

func proxyList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the port proxies", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Proxies(cmd.Context())
			if err != nil {
				return err
			}
			metadata := metadataColumns(func(p api.Proxy) (map[string]string, string) { return p.Labels, p.Owner })
			return printList(a, rows, []column[api.Proxy]{
				{"ID", func(p api.Proxy) string { return fmt.Sprint(p.ID) }},
				{"KIND", func(p api.Proxy) string { return p.Kind }},
				{"PROTOCOL", func(p api.Proxy) string { return string(p.Protocol) }},
				{"LISTEN", func(p api.Proxy) string { return p.Listen }},
				{"CONNECT", proxyTarget},
				{"OPTIONS", proxyOptions},
				{"NOW", func(p api.Proxy) string { return fmt.Sprint(p.Connections) }},
				{"TOTAL", func(p api.Proxy) string { return fmt.Sprint(p.TotalConnections) }},
				{"REFUSED", func(p api.Proxy) string { return fmt.Sprint(p.Refused) }},
				{"IN", func(p api.Proxy) string { return text.Bytes(p.BytesIn) }},
				{"OUT", func(p api.Proxy) string { return text.Bytes(p.BytesOut) }},
				{"PROBLEM", proxyProblem},
			}, metadata...)
		},
	}
}

func proxyDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete ID...", Short: "Delete port proxies and end their connections", Args: positional("ID..."), ValidArgsFunction: a.repeated(proxyIDs),
		RunE: func(cmd *cobra.Command, args []string) error {
			var ids []uint32
			for _, text := range args {
				id, err := strconv.ParseUint(text, 10, 32)
				if err != nil {
					return usagef(cmd, "%q is not the id of a port proxy, which is a number", text)
				}
				ids = append(ids, uint32(id))
			}
			return forEach(ids, func(id uint32) error {
				if err := a.client().DeleteProxy(cmd.Context(), id); err != nil {
					return err
				}
				return printDone(a, "port proxy %d deleted", id)
			})
		},
	}
}

func proxyIDs(ctx context.Context, c *api.Client) []string {
	rows, _ := c.Proxies(ctx)
	return namesOf(rows, func(p api.Proxy) string {
		return fmt.Sprintf("%d\t%s %s → %s", p.ID, p.Protocol, p.Listen, proxyTarget(p))
	})
}

// proxyTarget is where a proxy leads: by name, the routes.
func proxyTarget(p api.Proxy) string {
	if p.Kind != api.ByName {
		return p.Connect
	}
	text := ""
	for i, r := range p.Routes {
		if i > 0 {
			text += ", "
		}
		text += r.Pattern + "=" + r.Connect
	}
	return text
}

func proxyOptions(p api.Proxy) string {
	switch {
	case p.ProxyProtocol && p.Transparent:
		return "proxy-protocol,transparent"
	case p.ProxyProtocol:
		return "proxy-protocol"
	case p.Transparent:
		return "transparent"
	}
	return ""
}

// proxyProblem is what is wrong now or, if nothing is, what went wrong last and
// when.
func proxyProblem(p api.Proxy) string {
	if p.Problem != "" || p.LastErrorAt == nil {
		return p.Problem
	}
	return fmt.Sprintf("%s: %s", p.LastErrorAt.Local().Format(time.DateTime), p.LastError)
}

func proxyAddName(a *app) *cobra.Command {
	spec := api.ProxySpec{Kind: api.ByName}
	cmd := &cobra.Command{
		Use: "name LISTEN NAME=CONNECT...", Short: "Relay to the server that the client names: TLS server name or HTTP Host",
		Long: `Relay to the server that the client names: the server name of its TLS
ClientHello, or the Host of its HTTP request. TLS is not ended.

NAME is a name, '*.b.example' for every name below b.example, or '*' for every
other name and for clients that name none. The most specific one counts: the
very name, else the longest wildcard, else '*'.

An endpoint that serves sees the client's own address, unless --proxy-protocol
or --transparent=false is given.`,
		Example: `  hostnat proxy add name :443 www.a.example=c1:443 '*.b.example'=c2:443 '*=c3:443'`,
		Args:    positional("LISTEN", "NAME=CONNECT..."),
	}
	cmd.Flags().BoolVar(&spec.ProxyProtocol, "proxy-protocol", false, "tell the server who the client is, by a PROXY protocol version 2 header")
	cmd.Flags().BoolVar(&spec.Transparent, "transparent", true, "endpoints see the client's own address; not the default with --proxy-protocol")
	metadataFlags(cmd, &spec.Labels, &spec.Owner)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		spec.Listen, spec.Routes = args[0], args[1:]
		if !cmd.Flags().Changed("transparent") {
			spec.Transparent = !spec.ProxyProtocol
		}
		return addProxy(cmd.Context(), a, spec)
	}
	return cmd
}
