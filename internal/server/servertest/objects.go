package servertest

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/model"
)

// find returns the row that is called name, or a refusal that names it.
func find[T any](s *Service, what, name string, rows *[]T, nameOf func(T) string) (int, error) {
	if s.Err != nil {
		return 0, s.Err
	}
	i := slices.IndexFunc(*rows, func(row T) bool { return nameOf(row) == name })
	if i < 0 {
		return 0, model.Errorf(model.NotFound, "%s %q does not exist", what, name)
	}
	return i, nil
}

func remove[T any](s *Service, what, name string, rows *[]T, nameOf func(T) string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := find(s, what, name, rows, nameOf)
	if err == nil {
		*rows = slices.Delete(*rows, i, i+1)
	}
	return err
}

func show[T any](s *Service, what, name string, rows *[]T, nameOf func(T) string) (row T, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := find(s, what, name, rows, nameOf)
	if err != nil {
		return row, err
	}
	return (*rows)[i], nil
}

func add[T any](s *Service, row T, rows *[]T) (T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Err == nil {
		*rows = append(*rows, row)
	}
	return row, s.Err
}

func all[T any](s *Service, rows *[]T) ([]T, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(*rows), s.Err
}

func natName(n model.NAT) string                 { return n.Name }
func networkName(n model.Network) string         { return n.Name }
func endpointName(e control.EndpointView) string { return e.Name }
func mappingName(m control.MappingView) string   { return fmt.Sprint(m.ID) }
func proxyName(p control.ProxyView) string       { return fmt.Sprint(p.ID) }
func addressName(a control.AddressView) string   { return a.NAT + "/" + a.Address.String() }

// NATs returns all NATs.
func (s *Service) NATs(context.Context) ([]model.NAT, error) { return all(s, &s.nats) }

// NAT returns one NAT.
func (s *Service) NAT(_ context.Context, name string) (model.NAT, error) {
	return show(s, "NAT", name, &s.nats, natName)
}

// CreateNAT adds a NAT with the default settings.
func (s *Service) CreateNAT(_ context.Context, spec config.NATSpec) (model.NAT, error) {
	timeouts, filtering := model.ProfileRFC.Defaults()
	n := model.NAT{Name: spec.Name, ID: uint32(len(s.nats) + 1), ExternalInterfaces: append([]string{}, spec.ExternalInterfaces...),
		ExternalAddresses: []model.ExternalAddress{}, Profile: model.ProfileRFC, Timeouts: timeouts,
		TCPFiltering: filtering, UDPFiltering: filtering,
		Pooling: model.Paired, EndpointDependent: true, HoldDown: model.ProfileRFC.HoldDown(), Exhaustion: model.Prohibited}
	return add(s, n, &s.nats)
}

// SetNAT returns the NAT as it was, with udp-inbound-refresh as told.
func (s *Service) SetNAT(ctx context.Context, name string, settings map[string]string) (model.NAT, error) {
	n, err := s.NAT(ctx, name)
	n.UDPInboundRefresh = settings["udp-inbound-refresh"] == "true"
	return n, err
}

// DeleteNAT removes a NAT.
func (s *Service) DeleteNAT(_ context.Context, name string) error {
	return remove(s, "NAT", name, &s.nats, natName)
}

// Networks returns all networks.
func (s *Service) Networks(context.Context) ([]model.Network, error) { return all(s, &s.networks) }

// Network returns one network.
func (s *Service) Network(_ context.Context, name string) (model.Network, error) {
	return show(s, "network", name, &s.networks, networkName)
}

// CreateNetwork adds a network; Subnet must be valid, the gateway is 172.16.1.1.
func (s *Service) CreateNetwork(_ context.Context, spec config.NetworkSpec) (model.Network, error) {
	n := model.Network{Name: spec.Name, Type: model.UsualNetworkType, ID: uint32(len(s.networks) + 1), NAT: model.DefaultNAT, Compartment: model.DefaultCompartment,
		Subnets: []netip.Prefix{netip.MustParsePrefix(spec.Subnet)}, Gateways: []netip.Addr{netip.MustParseAddr("172.16.1.1")}, Bridge: "hn-" + spec.Name, Domain: spec.Name + ".internal"}
	return add(s, n, &s.networks)
}

// DeleteNetwork removes a network; one with endpoints needs force.
func (s *Service) DeleteNetwork(ctx context.Context, name string, force bool) error {
	if in, _ := s.Endpoints(ctx, name); len(in) > 0 && !force {
		return model.Errorf(model.Conflict, "network %q has %d endpoints", name, len(in)).WithHint("detach them or use --force")
	}
	return remove(s, "network", name, &s.networks, networkName)
}

// SetNetwork returns the network as it was, with overlap as told.
func (s *Service) SetNetwork(ctx context.Context, name string, settings map[string]string) (model.Network, error) {
	n, err := s.Network(ctx, name)
	if overlap, given := settings["overlap"]; given && err == nil {
		err = n.Overlap.UnmarshalText([]byte(overlap))
	}
	return n, err
}

// RenumberNetwork says that the network moved, by default to 10.0.0.0/24.
func (s *Service) RenumberNetwork(ctx context.Context, name, subnet string) (config.Renumbering, error) {
	n, err := s.Network(ctx, name)
	if subnet == "" {
		subnet = "10.0.0.0/24"
	}
	return config.Renumbering{Network: n.Name, From: n.Subnet4(), To: netip.MustParsePrefix(subnet)}, err
}

// Doctor finds what can be fixed, and a note.
func (s *Service) Doctor(_ context.Context, fix bool) ([]doctor.Finding, error) {
	f := doctor.Finding{Check: "jit", Severity: doctor.Warning, What: "the BPF JIT is off", Why: "packets are slow",
		Command: "sysctl net.core.bpf_jit_enable=1", Fixable: true}
	if fix {
		f.Fixed = "net.core.bpf_jit_enable is 1 now; it was 0"
	}
	note := doctor.Finding{Check: "forwarding", Severity: doctor.Note, What: "ip_forward is on", Why: "hostnat does not need it"}
	return []doctor.Finding{f, note}, s.Err
}

// Endpoints returns a network's endpoints.
func (s *Service) Endpoints(_ context.Context, network string) ([]control.EndpointView, error) {
	rows, err := all(s, &s.endpoints)
	return slices.DeleteFunc(rows, func(e control.EndpointView) bool { return network != "" && e.Network != network }), err
}

// Endpoint returns one endpoint.
func (s *Service) Endpoint(_ context.Context, name string) (control.EndpointView, error) {
	return show(s, "endpoint", name, &s.endpoints, endpointName)
}

// AttachEndpoint adds an endpoint with the address 172.16.1.2.
func (s *Service) AttachEndpoint(_ context.Context, spec config.EndpointSpec) (control.EndpointView, error) {
	e := control.EndpointView{Gateway: netip.MustParseAddr("172.16.1.1"), PrefixLength: 24, MTU: 1500, State: control.Up}
	e.Endpoint = model.Endpoint{Name: spec.Name, ID: uint32(len(s.endpoints) + 1), Network: spec.Network,
		Addresses: []netip.Addr{netip.MustParseAddr("172.16.1.2")}, MAC: "02:42:ac:10:01:02", Kind: model.KindNetns, Target: spec.Netns, TAP: spec.Make,
		Interface: "hn-veth1", IfName: "eth0", Aliases: spec.Aliases}
	e.DNS, e.Domain = e.Gateway, spec.Network+".internal"
	if spec.TAP != "" {
		e.Kind, e.Target, e.Interface, e.IfName = model.KindTAP, spec.TAP, spec.TAP, ""
		e.Configure = []string{"address 172.16.1.2/24", "gateway 172.16.1.1", "MTU 1500"}
	}
	return add(s, e, &s.endpoints)
}

// SetEndpoint returns the endpoint as it was.
func (s *Service) SetEndpoint(ctx context.Context, name string, _ map[string]string) (control.EndpointView, error) {
	return s.Endpoint(ctx, name)
}

// DetachEndpoint removes an endpoint.
func (s *Service) DetachEndpoint(_ context.Context, name string) error {
	return remove(s, "endpoint", name, &s.endpoints, endpointName)
}

// OpenTAP opens /dev/null, for the network web.
func (s *Service) OpenTAP(_ context.Context, spec control.TAPSpec) (control.OpenedTAP, *os.File, error) {
	if spec.Network != "web" && spec.Bridge != "hn-web" {
		return control.OpenedTAP{}, nil, model.Errorf(model.NotFound, "no network has the bridge %q", spec.Bridge)
	}
	file, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	return control.OpenedTAP{Network: "web", Interface: "hntap0"}, file, err
}

// Mappings returns all mappings.
func (s *Service) Mappings(context.Context) ([]control.MappingView, error) {
	return all(s, &s.mappings)
}

// Mapping returns one mapping.
func (s *Service) Mapping(_ context.Context, id uint32) (control.MappingView, error) {
	return show(s, "mapping", fmt.Sprint(id), &s.mappings, mappingName)
}

// AddMapping adds a mapping to the port that spec.Internal ends with, on
// 172.16.1.2. External is a port alone; "" is 20000.
func (s *Service) AddMapping(_ context.Context, spec config.MappingSpec) (control.MappingView, error) {
	port := spec.External
	if port == "" {
		port = "20000"
	}
	endpoint, inside, _ := strings.Cut(spec.Internal, ":")
	to := model.Target{Endpoint: endpoint, Network: "web", Internal: model.SinglePort(netip.MustParseAddrPort("172.16.1.2:" + inside))}
	m := control.MappingView{ID: uint32(len(s.mappings) + 1), NAT: model.DefaultNAT, Network: "web", Protocol: model.TCP,
		External: model.SinglePort(netip.MustParseAddrPort("0.0.0.0:" + port)), Internal: to.Internal.String(),
		Endpoint: endpoint, Targets: []model.Target{to}, From: []netip.Prefix{}, Active: true}
	for _, from := range spec.From {
		m.From = append(m.From, netip.MustParsePrefix(from))
	}
	return add(s, m, &s.mappings)
}

// DeleteMapping removes a mapping.
func (s *Service) DeleteMapping(_ context.Context, id uint32) error {
	return remove(s, "mapping", fmt.Sprint(id), &s.mappings, mappingName)
}

// Proxies returns all port proxies.
func (s *Service) Proxies(context.Context) ([]control.ProxyView, error) { return all(s, &s.proxies) }

// AddProxy adds a proxy that listens and has had a connection. Listen and
// Connect must be HOST:PORT, and routes NAME=HOST:PORT.
func (s *Service) AddProxy(_ context.Context, spec config.ProxySpec) (control.ProxyView, error) {
	p := control.ProxyView{ProxyState: model.ProxyState{Listening: true, TotalConnections: 1, BytesIn: 1536, BytesOut: 3 << 20}}
	p.Proxy = model.Proxy{ID: uint32(len(s.proxies) + 1), Kind: model.ProxyKind(spec.Kind), Protocol: model.TCP,
		Listen: hostPorts(spec.Listen), ProxyProtocol: spec.ProxyProtocol, Transparent: spec.Transparent}
	if spec.Protocol == "udp" {
		p.Protocol = model.UDP
	}
	if spec.Connect != "" {
		p.Connect = hostPorts(spec.Connect)
	}
	for _, route := range spec.Routes {
		pattern, target, _ := strings.Cut(route, "=")
		p.Routes = append(p.Routes, model.ProxyRoute{Pattern: pattern, Connect: hostPorts(target)})
	}
	return add(s, p, &s.proxies)
}

func hostPorts(text string) (h model.HostPorts) {
	if err := h.UnmarshalText([]byte(text)); err != nil {
		panic(err)
	}
	return h
}

// DeleteProxy removes a port proxy.
func (s *Service) DeleteProxy(_ context.Context, id uint32) error {
	return remove(s, "port proxy", fmt.Sprint(id), &s.proxies, proxyName)
}

// Addresses returns all external addresses.
func (s *Service) Addresses(context.Context) ([]control.AddressView, error) {
	return all(s, &s.addresses)
}

// AddAddress adds an address with the ports 1024-65535.
func (s *Service) AddAddress(_ context.Context, natName, spec string) (control.AddressView, error) {
	a := control.AddressView{NAT: natName, Address: netip.MustParseAddr(spec), Ports: "1024-65535", Source: control.Fixed}
	return add(s, a, &s.addresses)
}

// RemoveAddress removes an address.
func (s *Service) RemoveAddress(_ context.Context, natName, address string) error {
	return remove(s, "address", natName+"/"+address, &s.addresses, addressName)
}
