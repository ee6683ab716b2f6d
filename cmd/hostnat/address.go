package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func addressCommand(a *app) *cobra.Command {
	return group("address", "External addresses of the NATs",
		addressAdd(a), addressList(a), addressRemove(a))
}

func addressAdd(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "add NAT A[:LO-HI]", Short: "Give a NAT an external address and the ports it may use on it",
		Long: "Give a NAT an external address and the ports it may use on it (default 1024-65535). An\n" +
			"address may have several ranges. A NAT that has none follows the outgoing interface: its\n" +
			"first one replaces that, and sessions with the old one end. Mappings on all addresses\n" +
			"answer at both. An address that the host does not have is added to the interface\n" +
			"that the NAT is bound to, else to the one in whose net it is, else to that of the default\n" +
			"route; if another machine on the wire has it, that is refused. It goes with the NAT's last\n" +
			"range on it, and with 'hostnat down'.",
		Args: positional("NAT", "A[:LO-HI]"), ValidArgsFunction: a.arguments(natNames, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			v, err := a.client().AddAddress(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			a.warn(v)
			if a.format != formatTable {
				return a.print(v)
			}
			_, err = fmt.Fprintln(a.Stdout, a.given(cmd.Context(), v))
			return err
		},
	}
}

// given says what an address changes, and for whom.
func (a *app) given(ctx context.Context, v api.Address) string {
	line := fmt.Sprintf("NAT %s: address %s, ports %s", v.NAT, v.Address, v.Ports)
	all, err := a.client().Addresses(ctx)
	networks, err2 := a.client().Networks(ctx)
	if err != nil || err2 != nil {
		return line // it is done
	}
	var others, behind []string
	for _, other := range all {
		if other.NAT == v.NAT && other.Address != v.Address && !slices.Contains(others, other.Address.String()) {
			others = append(others, other.Address.String())
		}
	}
	for _, n := range networks {
		if n.NAT == v.NAT {
			behind = append(behind, n.Name)
		}
	}
	if len(behind) == 0 {
		return line + "; no network is behind it yet"
	}
	line += fmt.Sprintf("; new flows of %s leave by ", strings.Join(behind, ", "))
	if len(others) == 0 {
		return line + "it alone"
	}
	return line + "it or by " + strings.Join(others, ", ")
}

func addressList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the external addresses in use", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Addresses(cmd.Context())
			if err != nil {
				return err
			}
			return printList(a, rows, addressColumns())
		},
	}
}

func addressColumns() []column[api.Address] {
	return []column[api.Address]{
		{"NAT", func(v api.Address) string { return v.NAT }},
		{"ADDRESS", func(v api.Address) string { return v.Address.String() }},
		{"PORTS", func(v api.Address) string { return v.Ports }},
		{"INTERFACE", func(v api.Address) string { return v.Interface }},
		{"SOURCE", func(v api.Address) string { return v.Source }},
	}
}

func addressRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "remove NAT A[:LO-HI]", Short: "Take an external address, or one range of it, away from a NAT",
		Args: positional("NAT", "A[:LO-HI]"), ValidArgsFunction: a.arguments(natNames, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.client().RemoveAddress(cmd.Context(), args[0], args[1]); err != nil {
				return err
			}
			return printDone(a, "NAT %s: address %s removed", args[0], args[1])
		},
	}
}
