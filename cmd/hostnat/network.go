package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/cmd/hostnat/text"
	"github.com/spf13/cobra"

	"github.com/hostnat/hostnat/api"
)

func networkCommand(a *app) *cobra.Command {
	return group("network", "Networks: a switch, a subnet and a gateway each",
		networkCreate(a), networkList(a), networkShow(a), networkSet(a), networkRenumber(a), networkDelete(a))
}

func networkCreate(a *app) *cobra.Command {
	var spec api.NetworkSpec
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Create a network", Args: positional("NAME"), ValidArgsFunction: a.arguments(nil),
		RunE: func(cmd *cobra.Command, args []string) error {
			if spec.Adopt && spec.Bridge == "" {
				return usagef(cmd, "--adopt needs --bridge")
			}
			spec.Name = args[0]
			n, err := a.client().CreateNetwork(cmd.Context(), spec)
			if err != nil {
				return err
			}
			at := "bridge " + n.Bridge
			if n.Type == api.PerEndpointNetwork {
				at = "each endpoint by itself"
			}
			return printLine(a, n, "network %s: %s, gateway %s, %s, NAT %s", n.Name, text.Join(n.Subnets), text.Join(n.Gateways), at, n.NAT)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&spec.Type, "type", "", "`nat|internal|per-endpoint`: a switch behind a NAT; a switch behind none; no switch, each endpoint in a compartment of its own with the same address (default as --nat and --compartment say)")
	flags.StringVar(&spec.NAT, "nat", "", "the `NAT` that it is behind, or none: then its endpoints do not reach the outside (default default)")
	flags.StringArrayVar(&spec.Subnets, "subnet", nil, "its `CIDR`; without it, a free one is chosen")
	flags.StringArrayVar(&spec.Gateways, "gateway", nil, "the host's `address` on it (default the subnet's first)")
	flags.StringVar(&spec.Bridge, "bridge", "", "the `interface` that is its switch (default one of our own)")
	flags.BoolVar(&spec.Adopt, "adopt", false, "use a bridge that exists already, and leave it there")
	flags.StringVar(&spec.Compartment, "compartment", "", "its routing `domain`: addresses are unique inside one; each: every endpoint is in one of its own, on a link without a bridge, with the same address (default default)")
	flags.StringVar(&spec.Domain, "domain", "", "the `domain` that its endpoints' names are in (default NAME.internal)")
	flags.StringVar(&spec.Overlap, "overlap", "", "when the host's own network comes to overlap the subnet: `keep|renumber` it (default keep)")
	flags.StringVar(&spec.Isolation, "isolation", "", "`on|off|endpoint`: off, and networks of the same compartment with off reach each other; endpoint, and not even its own endpoints do (default on)")
	flags.StringVar(&spec.PortSecurity, "port-security", "", "whether what other tools plug into its bridge is checked: `on|off`; off for a bridge that has a whole LAN behind a port (default on)")
	flags.StringVar(&spec.DHCP, "dhcp", "", "whether clients get addresses by DHCP: `on|off` (default on)")
	flags.StringVar(&spec.DNS, "dns", "", "whether the gateway answers for names: `on|off` (default on)")
	flags.StringVar(&spec.LeaseTime, "lease-time", "", "how long a DHCP client has its address: `duration` (default 1h)")
	flags.StringVar(&spec.MTU, "mtu", "", "`bytes`, or auto: that of the outgoing interface (default auto)")
	flags.StringArrayVar(&spec.NTP, "ntp", nil, "`address` of a time server that clients are told; may be repeated")
	flags.StringArrayVar(&spec.Ranges, "range", nil, "`LO-HI`: DHCP clients get addresses from here (default the whole subnet); may be repeated")
	flags.StringArrayVar(&spec.Exclude, "exclude", nil, "`LO-HI`: never given out unless asked for; may be repeated")
	metadataFlags(cmd, &spec.Labels, &spec.Owner)
	completeFlag(cmd, "type", api.NATNetwork, api.InternalNetwork, api.PerEndpointNetwork)
	completeFlag(cmd, "dhcp", "on", "off")
	completeFlag(cmd, "dns", "on", "off")
	completeFlag(cmd, "port-security", "on", "off")
	a.completeFlagFrom(cmd, "nat", natNames)
	completeFlag(cmd, "isolation", "on", "off", "endpoint")
	completeFlag(cmd, "overlap", "keep", "renumber")
	return cmd
}

func networkList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the networks", Args: positional(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows, err := a.client().Networks(cmd.Context())
			if err != nil {
				return err
			}
			metadata := metadataColumns(func(n api.Network) (map[string]string, string) { return n.Labels, n.Owner })
			return printList(a, rows, []column[api.Network]{
				{"NAME", func(n api.Network) string { return n.Name }},
				{"SUBNET", func(n api.Network) string { return text.Join(n.Subnets) }},
				{"GATEWAY", func(n api.Network) string { return text.Join(n.Gateways) }},
				{"BRIDGE", bridgeText},
				{"NAT", func(n api.Network) string { return n.NAT }},
				{"COMPARTMENT", func(n api.Network) string { return n.Compartment }},
			}, append([]column[api.Network]{
				{"TYPE", func(n api.Network) string { return string(n.Type) }},
				{"ISOLATION", func(n api.Network) string { return n.Isolation }},
			}, metadata...)...)
		},
	}
}

func networkShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show NAME", Short: "Show one network; with -o libvirt as libvirt defines it",
		Long: "Show one network: its settings, or with -o libvirt the XML by which libvirt's VMs use it:\n\n" +
			"  hostnat network show web -o libvirt > web.xml\n" +
			"  virsh net-define web.xml && virsh net-start web && virsh net-autostart web",
		Args: positional("NAME"), ValidArgsFunction: a.arguments(networkNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := a.client().Network(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.format == formatLibvirt {
				return text.Libvirt(a.Stdout, n)
			}
			return printObject(a, n, networkFields(n))
		},
	}
}

func networkDelete(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "delete NAME...", Short: "Delete networks", Args: positional("NAME..."), ValidArgsFunction: a.repeated(networkNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forEach(args, func(name string) error {
				with := ""
				if force {
					with = a.contents(cmd.Context(), name)
				}
				if err := a.client().DeleteNetwork(cmd.Context(), name, force); err != nil {
					return err
				}
				return printDone(a, "network %s deleted%s", name, with)
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "detach its endpoints and delete its mappings too")
	return cmd
}

// contents says what goes with a network; nothing if that cannot be found out.
func (a *app) contents(ctx context.Context, network string) string {
	endpoints, err := a.client().Endpoints(ctx, network)
	if err != nil {
		return ""
	}
	mappings, err := a.client().Mappings(ctx)
	if err != nil {
		return ""
	}
	endpoints = slices.DeleteFunc(endpoints, func(e api.Endpoint) bool { return !e.Managed })
	mappings = slices.DeleteFunc(mappings, func(m api.Mapping) bool { return !slices.Contains(strings.Split(m.Network, ","), network) })
	if len(endpoints)+len(mappings) == 0 {
		return ""
	}
	return fmt.Sprintf(", with %s and %s", counted(len(endpoints), "endpoint"), counted(len(mappings), "mapping"))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func bridgeText(n api.Network) string {
	if n.Adopted {
		return n.Bridge + " (adopted)"
	}
	if n.Type == api.PerEndpointNetwork {
		return "none"
	}
	return n.Bridge
}

// networkFields names the settings as `network set` does.
func networkFields(n api.Network) []field {
	return append([]field{
		{"name", n.Name}, {"type", n.Type}, {"subnet", text.Join(n.Subnets)}, {"gateway", text.Join(n.Gateways)},
		{"bridge", bridgeText(n)}, {"nat", n.NAT}, {"compartment", n.Compartment},
		{"isolation", n.Isolation}, {"port-security", n.PortSecurity}, {"overlap", n.Overlap},
		{"dns", n.DNS}, {"domain", n.Domain},
		{"dhcp", n.DHCP}, {"lease-time", text.Seconds(uint64(n.LeaseTime))}, {"mtu", mtuText(n)},
		{"range", orWord(text.Join(n.Ranges), "all")}, {"exclude", orWord(text.Join(n.Exclude), "none")},
		{"pxe-next-server", pxeServerText(n.PXE)}, {"pxe-server-name", orWord(n.PXE.ServerName, "none")}, {"pxe-boot-file", orWord(n.PXE.BootFile, "none")},
		{"ntp", orWord(text.Join(n.NTP), "none")}, {"routes", orWord(text.Join(n.Routes), "none")},
	}, metadataFields(n.Labels, n.Owner)...)
}

func pxeServerText(p api.PXE) string {
	if !p.NextServer.IsValid() {
		return "none"
	}
	return p.NextServer.String()
}

func mtuText(n api.Network) string {
	if n.MTU == 0 {
		return "auto"
	}
	return fmt.Sprint(n.MTU)
}

func orWord(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func networkSet(a *app) *cobra.Command {
	cmd := setCommand(a, "network", networkNames, networkSettings, func(cmd *cobra.Command, name string, values map[string]string) error {
		n, err := a.client().SetNetwork(cmd.Context(), name, values)
		if err != nil {
			return err
		}
		return printObject(a, n, networkFields(n))
	})
	cmd.Long += "\n\nTIME is seconds or a duration (3600, 1h). Defaults are in brackets."
	return cmd
}

func networkRenumber(a *app) *cobra.Command {
	var subnet string
	cmd := &cobra.Command{
		Use: "renumber NAME", Short: "Move a network to another subnet", Args: positional("NAME"), ValidArgsFunction: a.arguments(networkNames),
		Long: "Move a network to another subnet: its gateway, its endpoints and the mappings to them.\n" +
			"Each keeps its place in the subnet. Sessions end; machines that have their address by DHCP get a new one.",
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := a.client().RenumberNetwork(cmd.Context(), args[0], subnet)
			if err != nil {
				return err
			}
			return printLine(a, r, "network %s moved from %s to %s", r.Network, r.From, r.To)
		},
	}
	cmd.Flags().StringVar(&subnet, "subnet", "", "the new `CIDR`; without it, a free one is chosen")
	return cmd
}
