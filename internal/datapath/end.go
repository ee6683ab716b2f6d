package datapath

import (
	"slices"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// endSessionsIf ends every session that the predicate picks, and records why.
func (d *Datapath) endSessionsIf(cause kernel.EndCause, picks func(*kernel.SessionKey, *kernel.Session) bool) error {
	return kernel.EachSession(&d.objects, picks, func(o *kernel.Objects, key *kernel.SessionKey) error {
		return kernel.EndSession(o, key, cause)
	})
}

// endSessionsOf ends the sessions of bindings. A key with address 0 means the
// binding on any address, not the port on each.
func (d *Datapath) endSessionsOf(bindings map[kernel.BindingKey]bool) error {
	return d.endSessionsIf(kernel.EndConfiguration, func(k *kernel.SessionKey, v *kernel.Session) bool {
		key := externalOf(k, v)
		if v.Flags&kernel.SessionAnyAddress != 0 {
			key.Address = 0
		}
		return bindings[key]
	})
}

// endStaleSessions ends the sessions on external ports of the mappings ids that
// lead elsewhere than these do, or by another binding.
func (d *Datapath) endStaleSessions(ids map[uint32]bool, mappings *mappingTable) error {
	if !hasTrue(ids) {
		return nil
	}
	return d.endSessionsIf(kernel.EndConfiguration, func(k *kernel.SessionKey, v *kernel.Session) bool {
		key := externalOf(k, v)
		if !mappings.isInTheWay(key, ids) {
			return false
		}
		m, mapped := mappings.responsible(key)
		throughAny := v.Flags&kernel.SessionAnyAddress != 0
		return mapped && (throughAny != m.External.Address.IsUnspecified() ||
			!m.leadsTo(k.Compartment, v.ExternalPort, k.InternalAddress, k.InternalPort))
	})
}

// endLostTargets ends the sessions to targets that the mappings ids, with
// several, do not have any more. The others stay where they are.
func (d *Datapath) endLostTargets(mappings *mappingTable, ids map[uint32]bool) error {
	if !hasTrue(ids) {
		return nil
	}
	return d.endSessionsIf(kernel.EndConfiguration, func(k *kernel.SessionKey, v *kernel.Session) bool {
		if v.Flags&kernel.SessionSpread == 0 {
			return false
		}
		m, mapped := mappings.responsible(externalOf(k, v))
		return !mapped || !m.leadsTo(k.Compartment, v.ExternalPort, k.InternalAddress, k.InternalPort)
	})
}

func externalOf(k *kernel.SessionKey, v *kernel.Session) kernel.BindingKey {
	return kernel.BindingKey{Address: v.ExternalAddress, Port: v.ExternalPort, Protocol: k.Protocol}
}

// orphans are what the configuration has lost, and whose sessions must end: the
// next endpoint with the address is another one.
type orphans struct {
	nats, networks []uint32
	addresses      []uint32 // the host's
	endpoints      []kernel.EndpointKey
	behind         []kernel.SubnetKey // further addresses of endpoints
}

func (d *Datapath) endOrphans(gone orphans) error {
	if len(gone.nats)+len(gone.networks)+len(gone.endpoints)+len(gone.behind) == 0 {
		return nil
	}
	return d.endSessionsIf(kernel.EndConfiguration, func(k *kernel.SessionKey, v *kernel.Session) bool {
		endpoint := kernel.EndpointKey{Compartment: k.Compartment, Address: k.InternalAddress}
		return slices.Contains(gone.nats, v.Nat) || slices.Contains(gone.networks, v.Network) ||
			slices.Contains(gone.endpoints, endpoint) || slices.ContainsFunc(gone.behind, func(p kernel.SubnetKey) bool {
			return p.Compartment == k.Compartment && prefixOf(p).Contains(kernel.ToAddress(k.InternalAddress))
		})
	})
}

// endLost ends the sessions on external addresses and ports that their NAT, or
// for mappings the host, does not have any more: no answer would find back.
func (d *Datapath) endLost(a *applied) error {
	type natAddress struct{ nat, address uint32 }
	pools := make(map[natAddress][]model.PortRange)
	known := make(map[uint32]bool)
	for a := range a.config.HostAddresses {
		known[kernel.AddressOf(a)] = true
	}
	for _, p := range a.config.Pools {
		for _, a := range p.Addresses {
			at := natAddress{p.NAT, kernel.AddressOf(a.Address)}
			pools[at] = append(pools[at], a.Ports...)
			known[at.address] = true
		}
	}
	return d.endSessionsIf(kernel.EndAddressLost, func(k *kernel.SessionKey, v *kernel.Session) bool {
		if !known[v.ExternalAddress] && !isLoopback(v.ExternalAddress) {
			return true
		}
		if v.Flags&kernel.SessionHairpin != 0 {
			return false // no answer comes from outside
		}
		_, isMapped := a.mappings.responsible(externalOf(k, v))
		port := kernel.ToPort(v.ExternalPort)
		return !isMapped && !slices.ContainsFunc(pools[natAddress{v.Nat, v.ExternalAddress}], func(r model.PortRange) bool {
			return r.Contains(port)
		})
	})
}

func isLoopback(address uint32) bool { return kernel.ToAddress(address).IsLoopback() }

// EndSessions ends every session that the predicate picks, and returns the
// first error.
func (d *Datapath) EndSessions(picks func(Session) bool) error {
	clock := d.readClock()
	return d.endSessionsIf(kernel.EndByHand, func(k *kernel.SessionKey, v *kernel.Session) bool {
		return picks(toSession(k, v, clock))
	})
}

// adoptSettings makes changed settings of NATs count for their live sessions.
func (d *Datapath) adoptSettings(changed []uint32) error {
	if len(changed) == 0 {
		return nil
	}
	return kernel.EachSession(&d.objects, func(_ *kernel.SessionKey, s *kernel.Session) bool { return slices.Contains(changed, s.Nat) }, kernel.AdoptSession)
}
