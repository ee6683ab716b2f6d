package main

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func natCommand(a *app) *cobra.Command {
	return group("nat", "NAT instances",
		natCreate(a), natList(a), natShow(a), natSet(a), natDelete(a))
}

func natCreate(a *app) *cobra.Command {
	var spec api.NATSpec
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a NAT", Args: positional("NAME"), ValidArgsFunction: a.arguments(nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec.Name = args[0]
			n, err := a.client().CreateNAT(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return printObject(a, n, natFields(n))
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&spec.ExternalInterfaces, "external-interface", nil, "use the address of this `interface`; may be repeated")
	flags.StringArrayVar(&spec.ExternalAddresses, "external-address", nil, "use this `A[:LO-HI]`, added to the host if it does not have it; may be repeated")
	flags.StringVar(&spec.Profile, "profile", "", "timeouts and filtering: rfc or winnat (default rfc)")
	metadataFlags(cmd, &spec.Labels, &spec.Owner)
	completeFlag(cmd, "profile", "rfc", "winnat")
	return cmd
}

func natList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the NATs", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().NATs(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, rows, []column[api.NAT]{
				{"NAME", func(n api.NAT) string { return n.Name }},
				{"INTERFACES", func(n api.NAT) string { return text.Join(n.ExternalInterfaces) }},
				{"ADDRESSES", func(n api.NAT) string { return externalAddresses(n) }},
				{"PROFILE", func(n api.NAT) string { return n.Profile }},
			})
		},
	}
}

func natShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one NAT", Args: positional("NAME"), ValidArgsFunction: a.arguments(natNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.client().NAT(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return printObject(a, n, natFields(n))
		},
	}
}

func natSet(a *app) *cobra.Command {
	cmd := setCommand(a, "NAT", natNames, natSettings, func(cmd *cobra.Command, name string, values map[string]string) error {
		n, err := a.client().SetNAT(cmd.Context(), name, values)
		if err != nil {
			return err
		}
		return printObject(a, n, natFields(n))
	})
	cmd.Long += "\n\nTIME is seconds or a duration (300, 5m), RULE is endpoint-independent, address-dependent (the\n" +
		"default: remotes that the endpoint has talked to, from any port) or address-and-port-dependent.\n" +
		"Defaults are in brackets."
	return cmd
}

func natDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME...", Short: "Delete NATs", Args: positional("NAME..."), ValidArgsFunction: a.repeated(natNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forEach(args, func(name string) error {
				if err := a.client().DeleteNAT(cmd.Context(), name); err != nil {
					return err
				}
				return printDone(a, "NAT %s deleted", name)
			})
		},
	}
}

// natFields names the settings as `nat set` does.
func natFields(n api.NAT) []field {
	return append([]field{
		{"name", n.Name},
		{"interfaces", text.Join(n.ExternalInterfaces)},
		{"addresses", externalAddresses(n)},
		{"profile", n.Profile},
		{"udp-timeout", text.Seconds(uint64(n.Timeouts.UDP))},
		{"tcp-established-timeout", text.Seconds(uint64(n.Timeouts.TCPEstablished))},
		{"tcp-transitory-timeout", text.Seconds(uint64(n.Timeouts.TCPTransitory))},
		{"icmp-timeout", text.Seconds(uint64(n.Timeouts.ICMP))},
		{"tcp-filtering", n.TCPFiltering},
		{"udp-filtering", n.UDPFiltering},
		{"udp-inbound-refresh", text.OnOff(n.UDPInboundRefresh)},
		{"pooling", n.Pooling},
		{"endpoint-dependent", text.OnOff(n.EndpointDependent)},
		{"hold-down", text.Seconds(uint64(n.HoldDown))},
		{"max-sessions", cmp.Or(limitText(n.Limits.Sessions), "half of all")},
		{"max-ports", cmp.Or(limitText(n.Limits.Ports), "no limit")},
		{"max-rate", cmp.Or(limitText(n.Limits.Rate), "no limit")},
		{"mss-clamp", text.OnOff(n.MSSClamp)},
		{"exhaustion", n.Exhaustion},
		{"link-local", n.LinkLocal},
		{"table", tableText(n.Table)},
	}, metadataFields(n.Labels, n.Owner)...)
}

// tableText is the number of a routing table.
func tableText(n uint32) string {
	if n == 0 {
		return "none"
	}
	return strconv.FormatUint(uint64(n), 10)
}

// limitText is empty where none is set.
func limitText(n uint32) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

func externalAddresses(n api.NAT) string {
	if len(n.ExternalInterfaces)+len(n.ExternalAddresses) == 0 {
		return "of the outgoing interface"
	}
	return text.Join(namesOf(n.ExternalAddresses, func(a api.ExternalAddress) string {
		return fmt.Sprintf("%s:%d-%d", a.Address, a.Ports.Low, a.Ports.High)
	}))
}
