package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/internal/nat"
)

func natCommand(a *app) *cobra.Command {
	return group("nat", "NAT instances",
		natCreate(a), natList(a), natShow(a), natSet(a), natDelete(a))
}

func natCreate(a *app) *cobra.Command {
	var spec nat.NATSpec
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
	flags.StringArrayVar(&spec.ExternalAddresses, "external-address", nil, "use this `A[:LO-HI]`; may be repeated")
	flags.StringVar(&spec.Profile, "profile", "", "timeouts and filtering: rfc or winnat (default rfc)")
	completeFlag(cmd, "profile", string(nat.ProfileRFC), string(nat.ProfileWinNAT))
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
			return printList(a, rows, []column[nat.NAT]{
				{"NAME", func(n nat.NAT) string { return n.Name }},
				{"INTERFACES", func(n nat.NAT) string { return texts(n.ExternalInterfaces) }},
				{"ADDRESSES", func(n nat.NAT) string { return externalAddresses(n) }},
				{"PROFILE", func(n nat.NAT) string { return string(n.Profile) }},
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
	cmd := &cobra.Command{
		Use: "set NAME KEY=VALUE...", Short: "Change settings of a NAT", Args: positional("NAME", "KEY=VALUE..."),
		Long: "Change settings of a NAT. The keys are:\n  " + strings.Join(nat.SettingKeys(), "\n  "),
		RunE: func(cmd *cobra.Command, args []string) error {
			settings, err := parseSettings(cmd, args[1:])
			if err != nil {
				return err
			}
			n, err := a.client().SetNAT(cmd.Context(), args[0], settings)
			if err != nil {
				return err
			}
			return printObject(a, n, natFields(n))
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) == 0 {
			return a.arguments(natNames)(cmd, args, typed)
		}
		keys := namesOf(nat.SettingKeys(), func(k string) string { return k + "=" })
		return keys, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
	return cmd
}

func parseSettings(cmd *cobra.Command, args []string) (map[string]string, error) {
	settings := map[string]string{}
	for _, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok || key == "" {
			return nil, usagef(cmd, "%q is not KEY=VALUE", arg)
		}
		if _, dup := settings[key]; dup {
			return nil, usagef(cmd, "%s is given twice", key)
		}
		settings[key] = value
	}
	return settings, nil
}

func natDelete(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "delete NAME", Short: "Delete a NAT", Args: positional("NAME"), ValidArgsFunction: a.arguments(natNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().DeleteNAT(cmd.Context(), args[0]); err != nil {
				return err
			}
			return printDone(a, "NAT %s deleted", args[0])
		},
	}
}

// natFields names the settings as `nat set` does.
func natFields(n nat.NAT) []field {
	return []field{
		{"name", n.Name},
		{"interfaces", texts(n.ExternalInterfaces)},
		{"addresses", externalAddresses(n)},
		{"profile", string(n.Profile)},
		{"udp-timeout", secondsText(uint64(n.Timeouts.UDP))},
		{"tcp-established-timeout", secondsText(uint64(n.Timeouts.TCPEstablished))},
		{"tcp-transitory-timeout", secondsText(uint64(n.Timeouts.TCPTransitory))},
		{"icmp-timeout", secondsText(uint64(n.Timeouts.ICMP))},
		{"tcp-filtering", string(n.TCPFiltering)},
		{"udp-filtering", string(n.UDPFiltering)},
		{"udp-inbound-refresh", yesNo(n.UDPInboundRefresh)},
	}
}

func externalAddresses(n nat.NAT) string {
	if len(n.ExternalInterfaces)+len(n.ExternalAddresses) == 0 {
		return "of the outgoing interface"
	}
	return texts(namesOf(n.ExternalAddresses, func(a nat.ExternalAddress) string {
		return fmt.Sprintf("%s:%d-%d", a.Address, a.Ports.Low, a.Ports.High)
	}))
}
