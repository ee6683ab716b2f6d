package reconcile

import (
	"context"
	"math"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/model"
)

// names gives the kernel's ids their names. An id without one belongs to
// something deleted a moment ago.
type names struct {
	nats, networks, compartments map[uint32]string
	limits                       map[uint32]uint32 // how many sessions an endpoint may have, by NAT
	endpoints                    map[endpointKey]string
	behind                       []behind
	attached                     map[string]model.Endpoint // by their links on the host
	remoteName                   RemoteName
}

// RemoteName says by which DNS name an inside address had asked for a remote when it
// opened a session with it, or, if the time is zero, asked last; empty: it is not known.
type RemoteName func(compartment string, inside, remote netip.Addr, opened time.Time) string

// remote is the RemoteName by ids; there need be none who knows.
func (n names) remote(compartment uint32, inside, remote netip.Addr, opened time.Time) string {
	if n.remoteName == nil {
		return ""
	}
	return n.remoteName(n.compartments[compartment], inside, remote, opened)
}

// behind is a further prefix of an endpoint.
type behind struct {
	compartment uint32
	prefix      netip.Prefix
	endpoint    string
}

// endpoint returns the name of who has an address, or "".
func (n names) endpoint(compartment uint32, a netip.Addr) string {
	name := n.endpoints[endpointKey{compartment, a}]
	if name != "" {
		return name
	}
	for _, b := range n.behind {
		if b.compartment == compartment && b.prefix.Contains(a) {
			return b.endpoint
		}
	}
	return ""
}

type endpointKey struct {
	compartment uint32
	address     netip.Addr // of either family
}

func namesOf(c config.Config) names {
	n := names{
		nats: make(map[uint32]string), networks: make(map[uint32]string), compartments: make(map[uint32]string),
		endpoints: make(map[endpointKey]string), attached: make(map[string]model.Endpoint), limits: make(map[uint32]uint32),
	}
	for _, e := range c.Endpoints {
		if e.Interface != "" {
			n.attached[e.Interface] = e
		}
	}
	for _, v := range c.NATs {
		n.nats[v.ID], n.limits[v.ID] = v.Name, v.Limits.Sessions
	}
	compartment := make(map[string]uint32)
	for _, v := range c.Networks {
		n.networks[v.ID], _ = model.CutPointToPoint(v.Name)
		compartment[v.Name] = c.CompartmentID(v.Compartment)
	}
	for _, v := range c.Compartments {
		n.compartments[v.ID] = v.Name
	}
	for _, list := range [][]model.Endpoint{c.Discovered, c.Endpoints} { // an address of both is the managed one's
		for _, e := range list {
			for _, a := range e.Addresses {
				n.endpoints[endpointKey{compartment[e.Network], a}] = e.Name
			}
			for _, p := range e.Allow {
				if !model.IsAnySource(p) {
					n.behind = append(n.behind, behind{compartment[e.Network], p, e.Name})
				}
			}
		}
	}
	return n
}

// EndSessions ends the sessions that the predicate picks and returns how many
// those were. A binding goes with its last session, unless it is configured.
func (k *Kernel) EndSessions(_ context.Context, picks func(model.Session) bool) (int, error) {
	names := k.lastNames()
	ended := 0
	err := k.datapath.EndSessions(func(s datapath.Session) bool {
		picked := picks(names.session(s))
		if picked {
			ended++
		}
		return picked
	})
	return ended, err
}

func (n names) session(s datapath.Session) model.Session {
	return model.Session{
		NAT: n.nats[s.NAT], Network: n.networks[s.Network], Compartment: n.compartments[s.Compartment],
		Endpoint: n.endpoint(s.Compartment, s.Internal.Addr()),
		Protocol: s.Protocol, Internal: s.Internal, External: s.External, Remote: s.Remote, State: s.State,
		RemoteName:      n.remote(s.Compartment, s.Internal.Addr(), s.Remote.Addr(), s.Created),
		LifetimeSeconds: uint32(math.Ceil(s.Left.Seconds())), CreatedAt: s.Created.Round(time.Millisecond),
		PacketsOut: s.PacketsOut, BytesOut: s.BytesOut, PacketsIn: s.PacketsIn, BytesIn: s.BytesIn,
		Handshake: s.Handshake,
	}
}

func (n names) binding(b datapath.Binding) model.Binding {
	return model.Binding{
		NAT: n.nats[b.NAT], Network: n.networks[b.Network], Compartment: n.compartments[b.Compartment],
		Endpoint: n.endpoint(b.Compartment, b.Internal.Addr()),
		Protocol: b.Protocol, Internal: b.Internal, External: b.External,
		SessionCount: b.Sessions, Configured: b.Configured,
	}
}
