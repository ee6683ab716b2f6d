package replay

import (
	"maps"
	"net"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/datapath/rerun"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
	"github.com/hostnat/hostnat/internal/recording"
)

// world is what the data path was told, as the model has it.
type world struct {
	told    datapath.Config
	config  natmodel.Config
	outside uint32 // the one interface to the outside that the model has
	off     string // why the model follows nothing here
}

func newWorld(r *recording.Recording) (*world, error) {
	w := &world{}
	var err error
	if w.told, err = rerun.ReadTold(r.Ready.Told); err != nil {
		return nil, model.Errorf(model.Invalid, "the recording is damaged: what the data path was told cannot be read: %v", err).
			WithHint("copy the file again, or record again")
	}
	w.off = w.findOutside()
	if w.off == "" && (len(w.told.IPsec) > 0 || w.told.Transparent || len(w.told.RouteMTUs) > 0) {
		w.off = "IPsec, transparent proxies or routes with MTUs of their own"
	}
	if w.off != "" {
		return w, nil
	}
	w.config = natmodel.Config{
		NATs: make(map[uint32]natmodel.NAT), Networks: make(map[uint32]natmodel.Network), Mappings: make(map[uint32]natmodel.Mapping),
		HostAddresses: slices.Collect(maps.Keys(w.told.HostAddresses)), Ephemeral: w.told.LocalPorts, Reassembly: w.told.Reassembly != 0,
		MaxSessions: roomOf(r, "sessions"), MaxBindings: roomOf(r, "bindings"), Pair: w.pair, Spread: spread,
	}
	for _, l := range r.Host.Listeners {
		w.config.Listeners = append(w.config.Listeners, natmodel.Listener{Protocol: l.Protocol, Address: l.Address})
	}
	for _, l := range r.Host.Links {
		if uint32(l.Index) == w.outside {
			mac, _ := net.ParseMAC(l.MAC)
			copy(w.config.OutsideMAC[:], mac)
			w.config.MTU = l.MTU
		}
	}
	w.addNetworks()
	w.addNATs()
	w.addMappings()
	return w, nil
}

// roomOf is how many elements a table had room for; one that had none at all has many.
func roomOf(r *recording.Recording, table string) int {
	for i := range r.Rows {
		if r.Rows[i].Table == table {
			return int(r.Rows[i].Room)
		}
	}
	return 1 << 20
}

// findOutside finds the interface that all NATs go out by, or says why there is none.
func (w *world) findOutside() string {
	for _, p := range w.told.Pools {
		at := p.Interface
		if at == 0 && len(p.Addresses) > 0 {
			at = w.told.HostAddresses[p.Addresses[0].Address]
		}
		if at == 0 {
			return "a NAT whose addresses are on no link"
		}
		if w.outside != 0 && at != w.outside {
			return "several links to the outside"
		}
		w.outside = at
	}
	if w.outside == 0 {
		return "no NAT has a way out"
	}
	return ""
}

func (w *world) addNetworks() {
	for id, n := range w.told.Networks {
		w.config.Networks[id] = natmodel.Network{
			Compartment: n.Compartment, NAT: n.NAT, Subnet: n.Subnet, Gateway: n.Gateway, GatewayMAC: kernel.MACOf(n.GatewayMAC),
			Open: n.Open, EndpointsIsolated: n.EndpointsIsolated, Unrouted: n.Unrouted, DHCPInside: n.DHCPInside, Names: n.Names, HostOverlap: n.HostOverlap,
		}
	}
	for _, e := range w.told.Endpoints {
		w.config.Endpoints = append(w.config.Endpoints, natmodel.Endpoint{
			Network: e.Network, Address: e.Address, MAC: kernel.MACOf(e.MAC), Sources: e.Sources, Forwards: e.Forwards,
		})
	}
	for _, l := range w.told.Leases {
		w.config.Leases = append(w.config.Leases, natmodel.Lease{Compartment: l.Compartment, Address: l.Address, MAC: kernel.MACOf(l.MAC)})
	}
}

func (w *world) addNATs() {
	for id, n := range w.told.NATs {
		w.config.NATs[id] = natmodel.NAT{
			Timeouts: n.Timeouts, TCPFiltering: n.TCPFiltering, UDPFiltering: n.UDPFiltering, UDPInboundRefresh: n.UDPInboundRefresh, Pool: w.poolOf(id),
			Pooling: n.Pooling, EndpointDependent: n.EndpointDependent, HoldDown: n.HoldDown.Duration(), Limits: n.Limits, Exhaustion: n.Exhaustion, LinkLocal: n.LinkLocal,
		}
	}
}

// poolOf is what a NAT may use outside; its pools have the same, since there is one way out.
func (w *world) poolOf(nat uint32) (all []natmodel.PoolAddress) {
	for _, p := range w.told.Pools {
		if p.NAT != nat || p.Source.IsValid() {
			continue
		}
		for _, a := range p.Addresses {
			if slices.ContainsFunc(all, func(known natmodel.PoolAddress) bool { return known.Address == a.Address }) {
				continue
			}
			one := natmodel.PoolAddress{Address: a.Address, Ports: a.Ports}
			if w.told.NATs[nat].EndpointDependent {
				one.Ports, one.Dependent = datapath.SplitDependent(a.Ports)
			}
			all = append(all, one)
		}
	}
	return all
}

func (w *world) addMappings() {
	for id, m := range w.told.Mappings {
		to := natmodel.Mapping{NAT: m.NAT, Compartment: m.Compartment, Protocol: m.Protocol, External: m.External, From: m.From}
		for _, t := range m.Targets {
			to.Targets = append(to.Targets, natmodel.Target(t))
		}
		w.config.Mappings[id] = to
	}
	for _, m := range w.told.OneToOne {
		w.config.OneToOne = append(w.config.OneToOne, natmodel.OneToOne{
			Compartment: m.Compartment, Network: m.Network, External: m.External, Internal: m.Internal, From: m.From,
		})
	}
}

// pair chooses an external address as the data path does.
func (w *world) pair(pool []natmodel.PoolAddress, compartment uint32, internal netip.Addr) int {
	if len(pool) == 1 || w.follows() {
		return 0
	}
	return kernel.PairedAddress(compartment, internal, len(pool))
}

// follows reports whether a NAT has the address that the host's routes choose.
func (w *world) follows() bool {
	return slices.ContainsFunc(w.told.Pools, func(p datapath.Pool) bool { return p.Follows })
}

// spread chooses a mapping's target as the data path does.
func spread(targets []natmodel.Target, remote netip.Addr) int {
	return kernel.ChosenTarget(remote, len(targets), func(i int) (netip.Addr, uint16) {
		return targets[i].Internal.Address, targets[i].Internal.Ports.Low
	})
}

// arrival is a packet as the model takes it; why says why the model does not.
func (w *world) arrival(p *recording.Packet, frame []byte) (a natmodel.Arrival, why string) {
	a = natmodel.Arrival{Frame: frame, Segments: int(p.Segments), Segment: int(p.SegmentSize)}
	if turns := p.Mark - uint32(kernel.MarkReassembled); turns > 0 && turns < 4 {
		a.Turns = int(turns)
	} else if p.Mark != 0 {
		return a, "marked packets"
	}
	inside, isInside := w.told.Insides[p.Interface]
	switch p.Program {
	case "inside_ingress":
		a.Hook = natmodel.FromEndpoint
		a.Endpoint = slices.IndexFunc(w.told.Endpoints, func(e datapath.Endpoint) bool { return e.Interface == p.Interface })
		if a.Endpoint < 0 {
			return a, "links of no endpoint"
		}
	case "bridge_ingress", "port_ingress":
		a.Hook, a.Network = natmodel.FromBridge, inside.Network
		if p.Program == "port_ingress" {
			a.Hook = natmodel.FromPort
		}
		if !isInside || inside.PointToPoint || w.told.Networks[inside.Network].Unguarded {
			return a, "point-to-point links and networks that are not guarded"
		}
	case "outside_ingress":
		a.Hook = natmodel.FromOutside
		if p.Interface != w.outside {
			return a, "other links to the outside"
		}
	case "outside_egress":
		a.Hook = natmodel.ToOutside
	default:
		return a, "the host's own connections"
	}
	return a, ""
}
