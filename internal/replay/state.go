package replay

import (
	"time"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// stateOf reads what the tables hold, for the model.
func stateOf(o *kernel.Objects, at time.Duration) (natmodel.State, error) {
	s := natmodel.State{Now: at, HostPorts: make(map[natmodel.BindingKey]time.Duration)}
	err := kernel.Each(o.Bindings, func(k *kernel.BindingKey, b *kernel.Binding) error {
		s.Bindings = append(s.Bindings, knownBinding(k, b))
		return nil
	})
	if err == nil {
		err = kernel.Each(o.Sessions, func(k *kernel.SessionKey, v *kernel.Session) error {
			s.Sessions = append(s.Sessions, knownSession(k, v))
			return nil
		})
	}
	if err == nil {
		err = kernel.Each(o.Holders, func(k *kernel.EndpointKey, h *kernel.Holder) error {
			s.Holders = append(s.Holders, natmodel.KnownHolder{Compartment: k.Compartment, Address: kernel.ToAddress(k.Address), MAC: h.Mac})
			return nil
		})
	}
	if err == nil {
		err = kernel.Each(o.Fragments, func(k *kernel.FragmentKey, f *kernel.Fragment) error {
			if k.Turn == 0 {
				s.Fragments = append(s.Fragments, knownFragment(k, f))
			}
			return nil
		})
	}
	if err == nil {
		err = kernel.Each(o.HostPorts, func(k *kernel.HostPortKey, since *uint64) error {
			at := natmodel.BindingKey{Protocol: model.Protocol(k.Protocol), External: kernel.ToAddrPort(k.Address, k.Port)}
			s.HostPorts[at] = time.Duration(*since)
			return nil
		})
	}
	return s, err
}

func knownBinding(k *kernel.BindingKey, b *kernel.Binding) natmodel.KnownBinding {
	return natmodel.KnownBinding{
		Key: natmodel.BindingKey{Protocol: model.Protocol(k.Protocol), External: kernel.ToAddrPort(k.Address, k.Port)},
		Binding: natmodel.Binding{
			NAT: b.Nat, Network: b.Network, Compartment: b.Compartment, Internal: kernel.ToAddrPort(b.InternalAddress, b.InternalPort),
			Sessions: int(b.Sessions), Configured: b.Flags&kernel.BindingConfigured != 0, HoldDown: b.Flags&kernel.BindingHoldDown != 0,
		},
		Mapping: b.Mapping, OfRange: b.Flags&kernel.BindingOfRange != 0, Until: time.Duration(b.HoldUntil) * time.Second,
	}
}

func sessionKey(k *kernel.SessionKey) natmodel.SessionKey {
	return natmodel.SessionKey{
		Compartment: k.Compartment, Protocol: model.Protocol(k.Protocol),
		Internal: kernel.ToAddrPort(k.InternalAddress, k.InternalPort), Remote: kernel.ToAddrPort(k.RemoteAddress, k.RemotePort),
	}
}

func knownSession(k *kernel.SessionKey, v *kernel.Session) natmodel.KnownSession {
	const halfOpenOutside = 1 // HALF_OPEN_OUTSIDE of bpf/session_types.h
	has := func(flag uint16) bool { return v.Flags&flag != 0 }
	out := natmodel.KnownSession{
		Key: sessionKey(k),
		Session: natmodel.Session{
			NAT: v.Nat, Network: v.Network, External: kernel.ToAddrPort(v.ExternalAddress, v.ExternalPort), State: model.TCPState(v.State),
			Created: time.Duration(v.Created), Refreshed: time.Duration(v.LastRefreshed()), Lifetime: time.Duration(v.Lifetime) * time.Second,
			PacketsOut: v.PacketsOut, BytesOut: v.BytesOut, PacketsIn: v.PacketsIn, BytesIn: v.BytesIn,
		},
		Binding:   natmodel.BindingKey{Protocol: model.Protocol(k.Protocol), External: kernel.ToAddrPort(v.ExternalAddress, v.ExternalPort)},
		Dependent: has(kernel.SessionEndpointDependent), Hairpin: has(kernel.SessionHairpin), Spread: has(kernel.SessionSpread),
		HalfOpen: v.HalfOpen == halfOpenOutside, Guest: has(kernel.SessionGuest),
	}
	if has(kernel.SessionAnyAddress) {
		out.Binding.External = kernel.ToAddrPort(0, v.ExternalPort)
	}
	return out
}

func knownFragment(k *kernel.FragmentKey, f *kernel.Fragment) natmodel.KnownFragment {
	const outside = ^uint32(0)
	out := natmodel.KnownFragment{
		Outside: k.Compartment == outside, Realm: k.Compartment, From: kernel.ToAddress(k.Source), To: kernel.ToAddress(k.Destination),
		ID: kernel.ToPort(k.Id), Protocol: model.Protocol(k.Protocol), Expires: time.Duration(f.Expires), NewID: kernel.ToPort(f.Id),
		Compartment: f.Compartment, Network: f.Network,
	}
	switch {
	case f.Source != 0 && f.Destination != 0:
		out.Source, out.Address = kernel.ToAddress(f.Source), kernel.ToAddress(f.Destination)
	case f.Source != 0:
		out.Address = kernel.ToAddress(f.Source)
	default:
		out.Address = kernel.ToAddress(f.Destination)
	}
	return out
}
