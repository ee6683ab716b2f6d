package dhcp

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// Scope is what the server of one network serves.
type Scope struct {
	Network string
	ID      uint32 // of the network
	Bridge  string
	Subnet  netip.Prefix
	Gateway netip.Addr // of the network, and the server's identifier
	Lease   model.Seconds
	Moves   bool   // the network may move to another subnet at any moment: clients ask again soon
	MTU     int    // bytes
	Domain  string // DNS domain
	DNS     bool   // the gateway answers DNS queries
	NTP     []netip.Addr
	PXE     model.PXE
	Routes  []model.Route // beside the default route

	dynamic  []model.AddressRange
	exclude  []model.AddressRange
	fixed    map[model.MAC]fixed       // endpoints that hostnat attached, and reservations by MAC
	named    map[string]netip.Addr     // reservations by name
	keptFrom map[netip.Addr]keptReason // addresses that no dynamic client gets
}

// fixed is what one client always gets.
type fixed struct {
	address  netip.Addr
	hostname string
	attached bool // it is an endpoint: nobody else can have the address, whatever the lease table says
}

// keptReason says for whom an address is kept.
type keptReason struct {
	mac  model.MAC // of the only client that may have it
	name string    // likewise, by the name that it gives itself
}

// NewScope is what a network's server serves, by the network's settings and its
// endpoints and reservations. The MTU is that of the host's outgoing interface; the
// network's own setting wins. What the host has itself nobody gets.
func NewScope(n model.Network, endpoints []model.Endpoint, reservations []model.Reservation, host model.HostFacts) *Scope {
	s := &Scope{
		Network: n.Name, ID: n.ID, Bridge: n.Bridge, Subnet: n.Subnet4(), Gateway: n.Gateway4(), Lease: n.LeaseDuration(), Moves: n.Overlap == model.Renumber,
		MTU: n.LinkMTU(host.MTU), Domain: n.DomainName(), DNS: n.DNS.On(), NTP: n.NTP, PXE: n.PXE, Routes: n.Routes,
		dynamic: n.Dynamic(), exclude: slices.Clone(n.Exclude),
		fixed: make(map[model.MAC]fixed), named: make(map[string]netip.Addr),
		keptFrom: map[netip.Addr]keptReason{n.Gateway4(): {}},
	}
	if n.IsPointToPoint() { // one endpoint, and nobody else
		s.dynamic = nil
	}
	for _, h := range host.Held() {
		if !n.Unrouted() && n.Subnet4().Contains(h.Address) {
			s.keptFrom[h.Address] = keptReason{}
		}
	}
	for _, r := range reservations {
		if _, kept := s.keptFrom[r.Address]; !kept {
			s.reserve(r)
		}
	}
	for _, e := range endpoints {
		s.fixed[e.MAC] = fixed{address: e.Address4(), hostname: model.HostLabel(e.Name), attached: true}
		s.keptFrom[e.Address4()] = keptReason{mac: e.MAC}
		for _, p := range e.Allow {
			if n.Holds(p) {
				s.exclude = append(s.exclude, model.AddressRange{Low: p.Addr(), High: model.LastAddress(p)})
			}
		}
	}
	return s
}

func (s *Scope) reserve(r model.Reservation) {
	if r.MAC != "" {
		s.fixed[r.MAC] = fixed{address: r.Address}
		s.keptFrom[r.Address] = keptReason{mac: r.MAC}
		return
	}
	name := strings.ToLower(r.Name)
	s.named[name] = r.Address
	s.keptFrom[r.Address] = keptReason{name: name}
}

// size is how many addresses dynamic clients may have, the kept ones among them.
func (s *Scope) size() int {
	n := 0
	for _, r := range s.dynamic {
		n += r.Size()
	}
	return n
}

// at returns the i-th address of the dynamic ranges.
func (s *Scope) at(i int) netip.Addr {
	for _, r := range s.dynamic {
		if i < r.Size() {
			return r.At(i)
		}
		i -= r.Size()
	}
	return netip.Addr{}
}

// forAnybody reports whether a client without a claim may have the address.
func (s *Scope) forAnybody(a netip.Addr) bool {
	if _, kept := s.keptFrom[a]; kept {
		return false
	}
	return contains(s.dynamic, a) && !contains(s.exclude, a)
}

// may reports whether this client may have the address, as far as the
// configuration goes.
func (s *Scope) may(r *request, a netip.Addr) bool {
	if kept, is := s.keptFrom[a]; is {
		return kept.mac != "" && kept.mac == r.mac || kept.name != "" && kept.name == r.hostname
	}
	return s.forAnybody(a)
}

// own returns what the configuration has for the client.
func (s *Scope) own(r *request) (fixed, bool) {
	if f, ok := s.fixed[r.mac]; ok {
		return f, true
	}
	if a, ok := s.named[r.hostname]; ok {
		return fixed{address: a, hostname: r.hostname}, true
	}
	return fixed{}, false
}

func contains(ranges []model.AddressRange, a netip.Addr) bool {
	for _, r := range ranges {
		if r.Contains(a) {
			return true
		}
	}
	return false
}
