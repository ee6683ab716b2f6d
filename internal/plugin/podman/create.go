package podman

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/container"
)

// Owner is that of what hostnat makes for Podman.
const Owner = "podman"

// The labels of what is made for Podman.
const (
	LabelContainer = "podman.container" // an endpoint's and a mapping's: the container's id
	LabelName      = "podman.name"      // the container's name
)

// driverIPAM is what a network's file says of who chooses addresses. Podman leaves
// them alone then, but for those that users ask for.
const driverIPAM = "hostnat"

// Daemon is what the plugin needs of hostnat's API: *api.Client.
type Daemon interface {
	Networks(ctx context.Context) ([]api.Network, error)
	CreateNetwork(ctx context.Context, spec api.NetworkSpec) (api.Network, error)
	DeleteNetwork(ctx context.Context, name string, force bool) error
	Endpoints(ctx context.Context, network string) ([]api.Endpoint, error)
	AttachEndpoint(ctx context.Context, spec api.EndpointSpec) (api.Endpoint, error)
	DetachEndpoint(ctx context.Context, name string) error
	Mappings(ctx context.Context) ([]api.Mapping, error)
	AddMapping(ctx context.Context, spec api.MappingSpec) (api.Mapping, error)
	DeleteMapping(ctx context.Context, id uint32) error
}

// Plugin does what netavark asks for.
type Plugin struct {
	Daemon Daemon
	Files  string               // the directory of Podman's network files
	Note   func(message string) // tells the user something that is no failure
}

// options are those of 'podman network create --opt', and what each sets.
var options = map[string]func(s *api.NetworkSpec, value string){
	"nat":                           func(s *api.NetworkSpec, v string) { s.NAT = v },
	"type":                          func(s *api.NetworkSpec, v string) { s.Type = v },
	"compartment":                   func(s *api.NetworkSpec, v string) { s.Compartment = v },
	"isolation":                     func(s *api.NetworkSpec, v string) { s.Isolation = v },
	"domain":                        func(s *api.NetworkSpec, v string) { s.Domain = v },
	"mtu":                           func(s *api.NetworkSpec, v string) { s.MTU = v },
	"overlap":                       func(s *api.NetworkSpec, v string) { s.Overlap = v },
	"port-security":                 func(s *api.NetworkSpec, v string) { s.PortSecurity = v },
	"dhcp":                          func(s *api.NetworkSpec, v string) { s.DHCP = v },
	"dns":                           func(s *api.NetworkSpec, v string) { s.DNS = v },
	"exclude":                       func(s *api.NetworkSpec, v string) { s.Exclude = strings.Split(v, ";") },
	"com.docker.network.driver.mtu": func(s *api.NetworkSpec, v string) { s.MTU = v },
}

// Create makes hostnat's network for one of Podman's, and says what Podman is to
// write into its file. A network of hostnat's that is there already is used, if it
// can be what is asked for.
func (p *Plugin) Create(ctx context.Context, n Network) (Network, error) {
	spec, err := networkSpec(n)
	if err != nil {
		return n, err
	}
	made, err := p.network(ctx, spec, true)
	if err != nil {
		return n, err
	}
	if n.Options == nil {
		n.Options = make(map[string]string)
	}
	if !n.DNS {
		n.Options["dns"] = "off" // Podman writes nothing else that would say so
	}
	if n.IPAM["driver"] == "" {
		n.IPAM = map[string]string{"driver": driverIPAM}
	}
	var ranges *LeaseRange
	if len(n.Subnets) > 0 {
		ranges = n.Subnets[0].LeaseRange
	}
	n.Subnets = []Subnet{{Subnet: made.Subnets[0].String(), Gateway: made.Gateways[0].String(), LeaseRange: ranges}}
	n.Interface = made.Bridge
	return n, nil
}

// network returns hostnat's network of that name, made if it is not there. One that
// was made for Podman and is another, or is to be new, is made again if nothing is in
// it: Podman's network of that name was removed meanwhile, which nobody has told.
func (p *Plugin) network(ctx context.Context, spec api.NetworkSpec, isNew bool) (api.Network, error) {
	all, err := p.Daemon.Networks(ctx)
	if err != nil {
		return api.Network{}, err
	}
	i := slices.IndexFunc(all, func(n api.Network) bool { return n.Name == spec.Name })
	if i < 0 {
		return p.Daemon.CreateNetwork(ctx, spec)
	}
	has := all[i]
	if has.Owner == Owner && (isNew || container.Differs(has, spec) != nil) {
		if err := p.Daemon.DeleteNetwork(ctx, has.Name, false); err == nil {
			return p.Daemon.CreateNetwork(ctx, spec)
		}
	}
	return has, container.Differs(has, spec)
}

// networkSpec is the network that hostnat is to have for one of Podman's.
func networkSpec(n Network) (api.NetworkSpec, error) {
	spec := api.NetworkSpec{Name: n.Name, Owner: Owner, Bridge: n.Interface}
	for _, key := range slices.Sorted(maps.Keys(n.Options)) {
		set, known := options[key]
		if !known {
			return spec, fmt.Errorf("option %q is not known; there are %s", key, strings.Join(slices.Sorted(maps.Keys(options)), ", "))
		}
		set(&spec, n.Options[key])
	}
	switch {
	case n.IPv6:
		return spec, fmt.Errorf("networks of hostnat have no IPv6 yet; leave --ipv6 out")
	case len(n.Subnets) > 1:
		return spec, fmt.Errorf("%d subnets are given; give one, of IPv4", len(n.Subnets))
	case len(n.DNSServers) > 0:
		return spec, fmt.Errorf("the name servers of hostnat's networks ask those of the host; leave --dns out")
	case len(n.Routes) > 0:
		return spec, fmt.Errorf("routes are not set by this driver; leave --route out")
	}
	switch driver := n.IPAM["driver"]; driver {
	case "", "host-local", driverIPAM:
	default:
		return spec, fmt.Errorf("hostnat chooses addresses itself; leave --ipam-driver %s out", driver)
	}
	if n.Internal {
		if spec.NAT != "" && spec.NAT != "none" {
			return spec, fmt.Errorf("an internal network is behind no NAT; leave --internal or -o nat=%s out", spec.NAT)
		}
		spec.Type, spec.NAT = api.InternalNetwork, "none"
	}
	if spec.Type == api.PerEndpointNetwork {
		spec.Bridge = ""
	}
	if len(n.Subnets) == 1 {
		if err := n.Subnets[0].into(&spec); err != nil {
			return spec, err
		}
	}
	if _, err := strconv.Atoi(spec.MTU); spec.MTU != "" && err != nil {
		return spec, fmt.Errorf("option mtu: %q is not a number of bytes", spec.MTU)
	}
	return spec, nil
}

// into sets a network's subnet, gateway and what is kept out of a range.
func (s Subnet) into(spec *api.NetworkSpec) error {
	subnet, err := netip.ParsePrefix(s.Subnet)
	if err != nil || !subnet.Addr().Is4() {
		return fmt.Errorf("subnet %q is not one of IPv4", s.Subnet)
	}
	subnet = subnet.Masked()
	spec.Subnets = []string{subnet.String()}
	if s.Gateway != "" {
		spec.Gateways = []string{s.Gateway}
	}
	if s.LeaseRange == nil {
		return nil
	}
	first, last := subnet.Addr().Next(), lastAddress(subnet).Prev()
	if start, err := netip.ParseAddr(s.LeaseRange.Start); err == nil && first.Less(start) {
		spec.Exclude = append(spec.Exclude, first.String()+"-"+start.Prev().String())
	}
	if end, err := netip.ParseAddr(s.LeaseRange.End); err == nil && end.Less(last) {
		spec.Exclude = append(spec.Exclude, end.Next().String()+"-"+last.String())
	}
	return nil
}

func lastAddress(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		b[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(b)
}
