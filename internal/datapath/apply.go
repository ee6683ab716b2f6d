package datapath

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// Apply makes the data path's configuration equal to c: what is new is added
// before what is old goes, so that a packet never finds a half. Mappings,
// endpoints, networks and NATs that went or changed take their sessions along.
func (d *Datapath) Apply(c Config) error {
	if err := checkFamily(c); err != nil {
		return err
	}
	o := &d.objects
	mappings, leases := newMappingTable(c.Mappings), leaseValues(c.Leases, d.readClock())
	d.applied = nil // until it has worked
	var gone orphans
	var moved bool
	changed, err := d.changedNATs(d.limitEndpoints(natValues(c)))
	err = errors.Join(err,
		d.applyIPsec(c.IPsec),
		syncMap("MTUs of routes", o.RouteMtus, routeMTUValues(c), nil, nil),
		d.applySettings(c, mappings),
		syncMap("NATs", o.Nats, d.limitEndpoints(natValues(c)), &gone.nats, nil),
		syncMap("external addresses", o.Pools, allPools(c), nil, &moved),
		each(d.insideTables(&gone), func(t table) error { return t.sync(c) }),
		d.applyOneToOne(c),
		syncMap("endpoints' further addresses", o.Behind, behindValues(c), &gone.behind, nil),
		syncMap("endpoints' further sources", o.Sources, sourceValues(c), nil, nil),
		syncMap("leases", o.Leases, leases, nil, nil),
		syncMap("allowed remotes", o.Allowed, c.allowed(), nil, nil),
		d.applyMappings(c, mappings),
		d.endOrphans(gone),
		d.adoptSettings(changed),
	)
	if moved || len(gone.addresses) > 0 {
		err = errors.Join(err, d.endLost(c, mappings))
	}
	if err != nil {
		d.applied = nil
		return err
	}
	d.applied.leases = leases
	return nil
}

func (d *Datapath) applySettings(c Config, mappings *mappingTable) error {
	live, err := d.hasDependent()
	if err != nil {
		return err
	}
	return d.changeSettings(func(s *kernel.Settings) {
		setDependentPorts(s, c, live)
		s.AnchorIfindex = c.Anchor
		s.ReassemblyIfindex = c.Reassembly
		s.Flags = settingFlags(c, mappings)
		s.LocalPortLow, s.LocalPortHigh = c.LocalPorts.Low, c.LocalPorts.High
	})
}

func settingFlags(c Config, mappings *mappingTable) uint32 {
	flags := mappings.settings()
	if c.Transparent {
		flags |= kernel.SettingTransparent
	}
	if slices.ContainsFunc(c.Endpoints, Endpoint.hasAllowances) {
		flags |= kernel.SettingAllowances
	}
	if len(c.RouteMTUs) > 0 {
		flags |= kernel.SettingRouteMTUs
	}
	if mixedHoldDown(c.NATs) {
		flags |= kernel.SettingMixedHold
	}
	return flags
}

// mixedHoldDown reports whether ports rest for different times, so that those
// freed first need not be free again first.
func mixedHoldDown(nats map[uint32]model.NAT) bool {
	times := make(map[model.Seconds]bool)
	for _, n := range nats {
		if n.HoldDown > 0 {
			times[n.HoldDown] = true
		}
	}
	return len(times) > 1
}

func (d *Datapath) changeSettings(change func(*kernel.Settings)) error {
	d.settings.Lock()
	defer d.settings.Unlock()
	var s kernel.Settings
	if err := d.objects.Configuration.Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("reading the data path's settings: %w", err)
	}
	change(&s)
	if err := kernel.Put(d.objects.Configuration, uint32(0), &s); err != nil {
		return fmt.Errorf("writing the data path's settings: %w", err)
	}
	return nil
}

// syncMap makes m hold exactly want, and writes only what differs. The keys that
// it removes are added to removed, and changed is set if anything differed;
// either may be nil.
func syncMap[K, V comparable](what string, m *ebpf.Map, want map[K]V, removed *[]K, changed *bool) error {
	have := make(map[K]V)
	err := kernel.Each(m, func(key *K, value *V) error {
		have[*key] = *value
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the data path's %s: %w", what, err)
	}
	if changed != nil {
		*changed = !maps.Equal(have, want)
	}
	return changeMap(what, m, have, want, removed)
}

// changeMap is syncMap for a map that holds have.
func changeMap[K, V comparable](what string, m *ebpf.Map, have, want map[K]V, removed *[]K) error {
	for k, v := range want {
		if old, ok := have[k]; ok && old == v {
			continue
		}
		if err := kernel.Put(m, &k, &v); err != nil {
			return fmt.Errorf("adding to the data path's %s: %w", what, err)
		}
	}
	for k := range have {
		if _, ok := want[k]; ok {
			continue
		}
		if err := kernel.Delete(m, &k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing from the data path's %s: %w", what, err)
		}
		if removed != nil {
			*removed = append(*removed, k)
		}
	}
	return nil
}

func natValues(c Config) map[uint32]kernel.Nat {
	values := make(map[uint32]kernel.Nat, len(c.NATs))
	for id, n := range c.NATs {
		values[id] = kernel.Nat{
			UdpTimeout:            uint32(n.Timeouts.UDP),
			TcpEstablishedTimeout: uint32(n.Timeouts.TCPEstablished),
			TcpTransitoryTimeout:  uint32(n.Timeouts.TCPTransitory),
			IcmpTimeout:           uint32(n.Timeouts.ICMP),
			HoldDown:              uint32(n.HoldDown),
			MaxSessions:           n.Limits.Sessions,
			MaxPorts:              n.Limits.Ports,
			MaxRate:               n.Limits.Rate,
			Pooling:               kernel.PoolingOf(n.Pooling),
			EndpointDependent:     flag(n.EndpointDependent),
			ClampMss:              flag(n.MSSClamp),
			Exhaustion:            exhaustionOf(n.Exhaustion),
			LinkLocal:             flag(n.LinkLocal),
			Table:                 n.Table,
			TcpFiltering:          filteringOf(n.TCPFiltering),
			UdpFiltering:          filteringOf(n.UDPFiltering),
			UdpInboundRefresh:     flag(n.UDPInboundRefresh),
		}
	}
	return values
}

func networkValues(c Config) map[uint32]kernel.Network {
	values := make(map[uint32]kernel.Network, len(c.Networks))
	for id, n := range c.Networks {
		values[id] = kernel.Network{BridgeIfindex: n.Bridge, InputIfindex: n.Input, Flags: n.flags(), Compartment: n.Compartment}
	}
	return values
}

// prefixValues has subnets, but of networks that the host's routing tables leave
// out the gateways alone: outside somebody else may have their other addresses. Of
// what the host has elsewhere the value is 0, but for the gateway.
func prefixValues(c Config) map[kernel.PrefixKey]uint32 {
	values := make(map[kernel.PrefixKey]uint32, len(c.Networks))
	for _, id := range slices.Sorted(maps.Keys(c.Networks)) { // of equal prefixes always the same one
		n := c.Networks[id]
		if !n.Unrouted {
			values[prefixKey(n.Subnet.Masked())] = id
		}
	}
	for _, e := range c.Endpoints {
		n := c.Networks[e.Network]
		for _, p := range e.routed(n) {
			if !n.Unrouted {
				values[prefixKey(p)] = e.Network
			}
		}
	}
	for _, n := range c.Networks {
		for _, p := range n.HostOverlap {
			values[prefixKey(p.Masked())] = 0
		}
	}
	for _, id := range slices.Sorted(maps.Keys(c.Networks)) {
		n := c.Networks[id]
		if n.Unrouted || len(n.HostOverlap) > 0 {
			values[prefixKey(netip.PrefixFrom(n.Gateway, n.Gateway.BitLen()))] = id
		}
	}
	return values
}

func (n Network) flags() uint32 {
	return flagIf(n.Open, kernel.NetworkOpen) |
		flagIf(n.EndpointsIsolated, kernel.NetworkEndpointsIsolated) |
		flagIf(n.Unrouted, kernel.NetworkUnrouted) |
		flagIf(n.DHCPInside, kernel.NetworkDhcpInside) |
		flagIf(n.Switched, kernel.NetworkSwitched) |
		flagIf(n.Unguarded, kernel.NetworkUnguarded) |
		flagIf(n.Routers, kernel.NetworkRouters) |
		flagIf(n.Names, kernel.NetworkNames) |
		flagIf(len(n.HostOverlap) > 0, kernel.NetworkHostOverlap)
}

func subnetValues(c Config) map[kernel.SubnetKey]uint32 {
	values := make(map[kernel.SubnetKey]uint32, len(c.Networks))
	for id, n := range c.Networks {
		p := n.Subnet.Masked()
		values[subnetKey(n.Compartment, p)] = id
	}
	for _, e := range c.Endpoints {
		for _, p := range e.routed(c.Networks[e.Network]) {
			values[subnetKey(e.Compartment, p)] = e.Network
		}
	}
	return values
}

// applyOneToOne makes the mappings of whole addresses equal to c's. They have no
// sessions.
func (d *Datapath) applyOneToOne(c Config) error {
	outside, inside := make(map[uint32]kernel.OneToOne), make(map[kernel.EndpointKey]kernel.OneToOne)
	// The oldest is an endpoint's way out: it is written last.
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(c.OneToOne))) {
		w := c.OneToOne[id]
		value := kernel.OneToOne{
			Mapping: id, Compartment: w.Compartment, Network: w.Network, Nat: w.NAT,
			InternalAddress: kernel.AddressOf(w.Internal), ExternalAddress: kernel.AddressOf(w.External),
		}
		if len(w.From) > 0 {
			value.Flags = kernel.BindingAllowList
		}
		outside[value.ExternalAddress] = value
		inside[kernel.EndpointKey{Compartment: w.Compartment, Address: value.InternalAddress}] = value
	}
	return errors.Join(
		syncMap("mapped addresses", d.objects.OneToOneIn, outside, nil, nil),
		syncMap("mapped inside addresses", d.objects.OneToOneOut, inside, nil, nil))
}

func hostAddressValues(c Config) map[uint32]kernel.HostAddress {
	values := make(map[uint32]kernel.HostAddress, len(c.HostAddresses))
	for a, ifindex := range c.HostAddresses {
		value := kernel.HostAddress{Ifindex: ifindex}
		if c.Deprecated[a] {
			value.Flags = kernel.HostAddressDeprecated
		}
		values[kernel.AddressOf(a)] = value
	}
	return values
}

func broadcastValues(c Config) map[uint32]uint32 {
	values := make(map[uint32]uint32, len(c.Broadcasts))
	for a, ifindex := range c.Broadcasts {
		values[kernel.AddressOf(a)] = ifindex
	}
	return values
}

func endpointValues(c Config) map[kernel.EndpointKey]kernel.Endpoint {
	values := make(map[kernel.EndpointKey]kernel.Endpoint, len(c.Endpoints))
	for _, e := range c.Endpoints {
		values[kernel.EndpointKey{Compartment: e.Compartment, Address: kernel.AddressOf(e.Address)}] = kernel.Endpoint{
			Ifindex:    e.Interface,
			Network:    e.Network,
			Delivery:   kernel.DeliveryOf(e.Peer),
			Mtu:        mtuOf(e.MTU),
			Mac:        kernel.MACOf(e.MAC),
			GatewayMac: kernel.MACOf(e.GatewayMAC),
		}
	}
	return values
}

func insideValues(c Config) map[uint32]kernel.Inside {
	values := make(map[uint32]kernel.Inside, len(c.Insides))
	for ifindex, i := range c.Insides {
		n := c.Networks[i.Network]
		value := kernel.Inside{
			Network:     i.Network,
			Compartment: n.Compartment,
			Nat:         n.NAT,
			Subnet:      kernel.AddressOf(n.Subnet.Masked().Addr()),
			Mask:        maskOf(n.Subnet),
			Gateway:     kernel.AddressOf(n.Gateway),
			Mac:         kernel.MACOf(i.MAC),
			GatewayMac:  kernel.MACOf(n.GatewayMAC),
			Flags:       n.flags() | flagIf(i.Further, kernel.InsideAllowances),
		}
		if i.Address.IsValid() {
			value.Address = kernel.AddressOf(i.Address)
		}
		values[ifindex] = value
	}
	return values
}

func outsideValues(c Config) map[uint32]kernel.Outside {
	values := make(map[uint32]kernel.Outside, len(c.Outsides))
	for ifindex, o := range c.Outsides {
		values[ifindex] = kernel.Outside{Flags: flagIf(o.NoEthernet, kernel.OutsideNoEthernet)}
	}
	return values
}
