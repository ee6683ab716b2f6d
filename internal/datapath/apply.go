package datapath

import (
	"errors"
	"fmt"
	"maps"

	"github.com/cilium/ebpf"
)

// Apply makes the data path's configuration equal to c: what is new is added
// before what is old goes, so that a packet never finds a half. Mappings,
// endpoints, networks and NATs that went or changed take their sessions along.
func (d *Datapath) Apply(c Config) error {
	o := &d.objects
	var gone orphans
	var moved bool
	err := errors.Join(
		d.applySettings(c),
		syncMap("NATs", o.Nats, natValues(c), &gone.nats, nil),
		syncMap("external addresses", o.Pools, poolValues(c), nil, &moved),
		syncMap("networks", o.Networks, networkValues(c), &gone.networks, nil),
		syncMap("inside prefixes", o.InsidePrefixes, prefixValues(c), nil, nil),
		syncMap("host addresses", o.HostAddresses, hostAddressValues(c), &gone.addresses, nil),
		syncMap("endpoints", o.Endpoints, endpointValues(c), &gone.endpoints, nil),
		syncMap("inside interfaces", o.Insides, insideValues(c), nil, nil),
		syncMap("outside interfaces", o.Outsides, outsideValues(c), nil, nil),
		syncMap("allowed remotes", o.Allowed, allowedValues(c), nil, nil),
		d.applyMappings(c.Mappings),
		d.endOrphans(gone),
	)
	if moved || len(gone.addresses) > 0 {
		err = errors.Join(err, d.endLost(c))
	}
	return err
}

func (d *Datapath) applySettings(c Config) error {
	return d.changeSettings(func(s *bpfSettings) {
		s.AnchorIfindex = c.Anchor
		s.NetnsCookie = c.NetnsCookie
		s.LocalPortLow, s.LocalPortHigh = c.LocalPorts.Low, c.LocalPorts.High
	})
}

func (d *Datapath) changeSettings(change func(*bpfSettings)) error {
	d.settings.Lock()
	defer d.settings.Unlock()
	var s bpfSettings
	if err := d.objects.Configuration.Lookup(uint32(0), &s); err != nil {
		return fmt.Errorf("reading the data path's settings: %w", err)
	}
	change(&s)
	if err := d.objects.Configuration.Put(uint32(0), &s); err != nil {
		return fmt.Errorf("writing the data path's settings: %w", err)
	}
	return nil
}

// syncMap makes m hold exactly want, and writes only what differs. The keys that
// it removes are added to removed, and changed is set if anything differed;
// either may be nil.
func syncMap[K, V comparable](what string, m *ebpf.Map, want map[K]V, removed *[]K, changed *bool) error {
	have := make(map[K]V)
	var key K
	var value V
	entries := m.Iterate()
	for entries.Next(&key, &value) {
		have[key] = value
	}
	if err := entries.Err(); err != nil {
		return fmt.Errorf("reading the data path's %s: %w", what, err)
	}
	if changed != nil {
		*changed = !maps.Equal(have, want)
	}
	for k, v := range want {
		if old, ok := have[k]; ok && old == v {
			continue
		}
		if err := m.Put(&k, &v); err != nil {
			return fmt.Errorf("adding to the data path's %s: %w", what, err)
		}
	}
	for k := range have {
		if _, ok := want[k]; ok {
			continue
		}
		if err := m.Delete(&k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("removing from the data path's %s: %w", what, err)
		}
		if removed != nil {
			*removed = append(*removed, k)
		}
	}
	return nil
}

func natValues(c Config) map[uint32]bpfNat {
	values := make(map[uint32]bpfNat, len(c.NATs))
	for id, n := range c.NATs {
		values[id] = bpfNat{
			UdpTimeout:            uint32(n.Timeouts.UDP),
			TcpEstablishedTimeout: uint32(n.Timeouts.TCPEstablished),
			TcpTransitoryTimeout:  uint32(n.Timeouts.TCPTransitory),
			IcmpTimeout:           uint32(n.Timeouts.ICMP),
			TcpFiltering:          filteringOf(n.TCPFiltering),
			UdpFiltering:          filteringOf(n.UDPFiltering),
			UdpInboundRefresh:     flag(n.UDPInboundRefresh),
		}
	}
	return values
}

func poolValues(c Config) map[bpfPoolKey]bpfPool {
	values := make(map[bpfPoolKey]bpfPool, len(c.Pools))
	for _, p := range c.Pools {
		values[bpfPoolKey{Nat: p.NAT, Ifindex: p.Interface}] = poolValue(p)
	}
	return values
}

func poolValue(p Pool) bpfPool {
	var value bpfPool
	for i, a := range p.Addresses {
		if i == len(value.Address) {
			break
		}
		to := &value.Address[i]
		to.Address = addressOf(a.Address)
		for j, r := range a.Ports {
			if j == len(to.Range) {
				break
			}
			to.Range[j].Low, to.Range[j].High = r.Low, r.High
			to.Ports += uint32(r.High-r.Low) + 1
		}
		value.Count++
	}
	return value
}

func networkValues(c Config) map[uint32]bpfNetwork {
	values := make(map[uint32]bpfNetwork, len(c.Networks))
	for id, n := range c.Networks {
		values[id] = bpfNetwork{BridgeIfindex: n.Bridge}
	}
	return values
}

func prefixValues(c Config) map[bpfPrefixKey]uint32 {
	values := make(map[bpfPrefixKey]uint32, len(c.Networks))
	for id, n := range c.Networks {
		values[prefixKey(n.Subnet.Masked())] = id
	}
	return values
}

func hostAddressValues(c Config) map[uint32]uint32 {
	values := make(map[uint32]uint32, len(c.HostAddresses))
	for a, ifindex := range c.HostAddresses {
		values[addressOf(a)] = ifindex
	}
	return values
}

func endpointValues(c Config) map[bpfEndpointKey]bpfEndpoint {
	values := make(map[bpfEndpointKey]bpfEndpoint, len(c.Endpoints))
	for _, e := range c.Endpoints {
		values[bpfEndpointKey{Compartment: e.Compartment, Address: addressOf(e.Address)}] = bpfEndpoint{
			Ifindex:    e.Interface,
			Network:    e.Network,
			Delivery:   flag(!e.Peer),
			Mac:        macOf(e.MAC),
			GatewayMac: macOf(e.GatewayMAC),
		}
	}
	return values
}

func insideValues(c Config) map[uint32]bpfInside {
	values := make(map[uint32]bpfInside, len(c.Insides))
	for ifindex, i := range c.Insides {
		n := c.Networks[i.Network]
		value := bpfInside{
			Network:     i.Network,
			Compartment: n.Compartment,
			Nat:         n.NAT,
			Subnet:      addressOf(n.Subnet.Masked().Addr()),
			Mask:        maskOf(n.Subnet),
			Gateway:     addressOf(n.Gateway),
			Mac:         macOf(i.MAC),
			GatewayMac:  macOf(n.GatewayMAC),
		}
		if i.Address.IsValid() {
			value.Address = addressOf(i.Address)
		}
		values[ifindex] = value
	}
	return values
}

func outsideValues(c Config) map[uint32]bpfOutside {
	values := make(map[uint32]bpfOutside, len(c.Outsides))
	for ifindex, o := range c.Outsides {
		values[ifindex] = bpfOutside{Flags: uint32(flag(o.NoEthernet))}
	}
	return values
}

func allowedValues(c Config) map[bpfAllowedKey]uint32 {
	values := make(map[bpfAllowedKey]uint32)
	for id, m := range c.Mappings {
		for _, p := range m.From {
			values[bpfAllowedKey{Length: 32 + uint32(p.Bits()), Mapping: id, Remote: addressOf(p.Masked().Addr())}] = 1
		}
	}
	return values
}

// mappingKeys returns the configured binding's key, value and its key in the index.
func mappingKeys(id uint32, m Mapping) (bpfBindingKey, bpfBinding, bpfBindingIndexKey) {
	key := bpfBindingKey{Address: addressOf(m.External.Addr()), Port: portOf(m.External.Port()), Protocol: uint8(m.Protocol)}
	value := bpfBinding{
		Flags:           bindingConfigured,
		Compartment:     m.Compartment,
		InternalAddress: addressOf(m.Internal.Addr()),
		InternalPort:    portOf(m.Internal.Port()),
		Nat:             m.NAT,
		Network:         m.Network,
		Mapping:         id,
	}
	if len(m.From) > 0 {
		value.Flags |= bindingAllowList
	}
	return key, value, indexOf(key, value)
}

// indexOf is a binding's key in the index: its inside on its external address.
func indexOf(key bpfBindingKey, value bpfBinding) bpfBindingIndexKey {
	return bpfBindingIndexKey{
		Compartment:     value.Compartment,
		InternalAddress: value.InternalAddress,
		ExternalAddress: key.Address,
		InternalPort:    value.InternalPort,
		Protocol:        key.Protocol,
	}
}
