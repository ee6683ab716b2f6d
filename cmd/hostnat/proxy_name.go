package main

import (
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

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
