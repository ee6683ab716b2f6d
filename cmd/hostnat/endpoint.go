package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func endpointCommand(a *app) *cobra.Command {
	return group("endpoint", "Endpoints: VMs and containers on a network",
		endpointAttach(a), endpointList(a), endpointShow(a), endpointSet(a), endpointDetach(a))
}

func endpointAttach(a *app) *cobra.Command {
	var spec api.EndpointSpec
	var container string
	cmd := &cobra.Command{
		Use: "attach NETWORK NAME", Short: "Attach a VM or container to a network",
		Args: positional("NETWORK", "NAME"), ValidArgsFunction: a.arguments(networkNames, nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneTarget(cmd, targets(spec.Create)...); err != nil {
				return err
			}
			spec.Network, spec.Name = args[0], args[1]
			if container != "" {
				return attachContainer(cmd.Context(), a, spec, container)
			}
			e, err := a.client().AttachEndpoint(cmd.Context(), spec)
			if err != nil {
				return err
			}
			return printAttached(a, e)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.Netns, "netns", "", "into a network namespace: `NAME|PATH`")
	flags.StringVar(&spec.PID, "pid", "", "into the network namespace of this `process`")
	flags.StringVar(&spec.TAP, "tap", "", "a VM, behind this TAP `interface`")
	flags.StringVar(&container, "docker", "", "into this `container` of Docker's, started with --network none; follows its restarts")
	flags.BoolVar(&spec.Create, "create", false, "make the TAP, and delete it with the endpoint; with --netns, inside that")
	flags.StringVar(&spec.User, "user", "", "of a TAP that is made: the `user`, by name or number, who may open it (default root alone)")
	flags.StringVar(&spec.Group, "group", "", "of a TAP that is made: the `group` that may open it")
	flags.IntVar(&spec.Queues, "queues", 0, "of a TAP that is made: `how many` a VM monitor may open at once (default one)")
	flags.BoolVar(&spec.VNetHdr, "vnet-hdr", false, "of a TAP that is made: frames have a virtio header unless who opens it says otherwise")
	flags.StringVar(&spec.Port, "port", "", "whatever is behind this `interface`")
	flags.StringArrayVar(&spec.Addresses, "address", nil, "its `address` (default a free one)")
	flags.StringVar(&spec.MAC, "mac", "", "its Ethernet `address` (default made from the address)")
	flags.StringArrayVar(&spec.Aliases, "alias", nil, "a further `name` for it in DNS; may be repeated")
	flags.StringArrayVar(&spec.Allow, "allow", nil, "a further `address or prefix` that it may send from and is reached at: of a router, a VPN gateway, a virtual address; 0.0.0.0/0: it forwards for its neighbours; may be repeated")
	metadataFlags(cmd, &spec.Labels, &spec.Owner)
	flags.StringVar(&spec.IfName, "ifname", "", "`name` of its interface inside the namespace (default eth0)")
	a.completeFlagFrom(cmd, "netns", namespaceNames)
	a.completeFlagFrom(cmd, "tap", tapNames)
	a.completeFlagFrom(cmd, "port", linkNames)
	a.completeFlagFrom(cmd, "docker", a.containerNames)
	a.completeFlagFrom(cmd, "user", listedIn("/etc/passwd"))
	a.completeFlagFrom(cmd, "group", listedIn("/etc/group"))
	return cmd
}

// targets are the flags of which one says to what an endpoint is attached. A TAP that
// is made may be in a namespace.
func targets(create bool) []string {
	if create {
		return []string{"tap"}
	}
	return []string{"netns", "pid", "docker", "tap", "port"}
}

func oneTarget(cmd *cobra.Command, names ...string) error {
	given := ""
	for _, name := range names {
		if !cmd.Flags().Changed(name) {
			continue
		}
		if given != "" {
			return usagef(cmd, "--%s and --%s exclude each other", given, name)
		}
		given = name
	}
	if given == "" && len(names) == 1 {
		return usagef(cmd, "--%s is needed", names[0])
	}
	if given == "" {
		return usagef(cmd, "one of --%s and --%s is needed", strings.Join(names[:len(names)-1], ", --"), names[len(names)-1])
	}
	return nil
}

func printAttached(a *app, e api.Endpoint) error {
	err := printLine(a, e, "endpoint %s: %s on network %s, gateway %s, MTU %d, MAC %s, %s",
		e.Name, addressesText(e), e.Network, text.Join(e.Gateways), e.MTU, e.MAC, attachment(e))
	if err != nil || a.format != formatTable || len(e.Configure) == 0 {
		return err
	}
	return printConfigure(a, e.Configure)
}

func printConfigure(a *app, lines []string) error {
	if _, err := fmt.Fprintln(a.Stdout, "configure inside:"); err != nil {
		return err
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(a.Stdout, "  %s\n", line); err != nil {
			return err
		}
	}
	return nil
}

// attachment says where the endpoint is: "eth0 in netns c1", "tap tap0".
func attachment(e api.Endpoint) string {
	if e.InNamespace() {
		return fmt.Sprintf("%s in %s %s", e.IfName, e.Kind, e.Target)
	}
	return fmt.Sprintf("%s %s", e.Kind, e.Target)
}

// addressesText is "172.16.1.2/24": each address with its subnet's length.
func addressesText(e api.Endpoint) string {
	list := make([]netip.Prefix, min(len(e.Addresses), len(e.Subnets)))
	for i := range list {
		list[i] = netip.PrefixFrom(e.Addresses[i], e.Subnets[i].Bits())
	}
	return text.Join(list)
}

func endpointList(a *app) *cobra.Command {
	var network string
	cmd := &cobra.Command{
		Use: "list", Short: "List the endpoints", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Endpoints(cmd.Context(), network)
			if err != nil {
				return err
			}
			wide := []column[api.Endpoint]{
				{"GATEWAY", func(e api.Endpoint) string { return text.Join(e.Gateways) }},
				{"MTU", func(e api.Endpoint) string { return fmt.Sprint(e.MTU) }},
				{"ALIASES", func(e api.Endpoint) string { return text.Join(e.Aliases) }},
				{"ALLOW", func(e api.Endpoint) string { return text.Join(e.Allow) }},
			}
			wide = append(wide, metadataColumns(func(e api.Endpoint) (map[string]string, string) { return e.Labels, e.Owner })...)
			return printList(a, rows, []column[api.Endpoint]{
				{"NAME", func(e api.Endpoint) string { return e.Name }},
				{"NETWORK", func(e api.Endpoint) string { return e.Network }},
				{"ADDRESS", func(e api.Endpoint) string { return text.Join(e.Addresses) }},
				{"MAC", func(e api.Endpoint) string { return e.MAC }},
				{"ATTACHED TO", attachment},
				{"INTERFACE", func(e api.Endpoint) string { return e.Interface }},
				{"STATE", func(e api.Endpoint) string { return e.State }},
			}, wide...)
		},
	}
	cmd.Flags().StringVar(&network, "network", "", "only those of this `network`")
	a.completeFlagFrom(cmd, "network", networkNames)
	return cmd
}

func endpointShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one endpoint", Args: positional("NAME"), ValidArgsFunction: a.arguments(endpointNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.client().Endpoint(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			err = printObject(a, e, endpointFields(e))
			if err != nil || a.format != formatTable || len(e.Configure) == 0 {
				return err
			}
			return printConfigure(a, e.Configure)
		},
	}
}

// endpointFields names the settings as `endpoint set` does.
func endpointFields(e api.Endpoint) []field {
	fields := []field{
		{"name", e.Name}, {"network", e.Network},
		{"address", addressesText(e)}, {"gateway", text.Join(e.Gateways)},
		{"dns", nameServer(e)}, {"aliases", text.Join(e.Aliases)}, {"allow", orWord(text.Join(e.Allow), "none")},
		{"mtu", fmt.Sprint(e.MTU)}, {"mac", e.MAC},
		{"attached to", attachment(e)}, {"interface", e.Interface}, {"state", e.State},
	}
	if e.Create {
		fields = append(fields, field{"tap", madeTAP(e)})
	}
	return append(fields, metadataFields(e.Labels, e.Owner)...)
}

// madeTAP says for whom hostnat makes the endpoint's TAP.
func madeTAP(e api.Endpoint) string {
	parts := []string{"made by hostnat"}
	if e.User != "" {
		parts = append(parts, "user "+e.User)
	}
	if e.Group != "" {
		parts = append(parts, "group "+e.Group)
	}
	if e.Queues > 1 {
		parts = append(parts, fmt.Sprint(e.Queues, " queues"))
	}
	return strings.Join(parts, ", ")
}

// nameServer says what to put into resolv.conf(5) inside.
func nameServer(e api.Endpoint) string {
	if len(e.DNS) == 0 {
		return "-"
	}
	return text.Join(e.DNS) + ", search " + e.Domain
}

func endpointSet(a *app) *cobra.Command {
	return setCommand(a, "endpoint", endpointNames, endpointSettings, func(cmd *cobra.Command, name string, values map[string]string) error {
		e, err := a.client().SetEndpoint(cmd.Context(), name, values)
		if err != nil {
			return err
		}
		return printObject(a, e, endpointFields(e))
	})
}

func endpointDetach(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "detach NAME...", Short: "Detach endpoints", Args: positional("NAME..."), ValidArgsFunction: a.repeated(endpointNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forEach(args, func(name string) error {
				if err := a.client().DetachEndpoint(cmd.Context(), name); err != nil {
					return err
				}
				return printDone(a, "endpoint %s detached", name)
			})
		},
	}
}
