package config

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// Renumbering says what a network was before and is now.
type Renumbering struct {
	Network string
	From    netip.Prefix
	To      netip.Prefix
}

// RenumberNetwork moves a network to another subnet, to one that choose finds
// if the text is empty. The gateway and all addresses inside keep their place
// in the subnet (172.16.1.7 becomes 10.3.0.7); an endpoint that has none in a
// smaller one gets the address that place chooses. MACs stay. Mappings follow
// their endpoint, those to a bare address its new one; so do port proxies.
func (c *Config) RenumberNetwork(name, subnet string, facts model.HostFacts, choose ChooseSubnet, place ChooseAddress) (Renumbering, error) {
	i := slices.IndexFunc(c.Networks, func(n model.Network) bool { return n.Name == name })
	if i < 0 {
		_, err := c.Network(name)
		return Renumbering{}, err
	}
	old := c.Networks[i]
	to, err := c.renumberTo(old, subnet, facts, choose)
	if err != nil {
		return Renumbering{}, err
	}
	r := Renumbering{Network: name, From: old.Subnet4(), To: to}
	if to == old.Subnet4() {
		return r, nil
	}
	next := c.Clone()
	if err := next.moveNetwork(i, r, place); err != nil {
		return Renumbering{}, err
	}
	if err := checkGateway(next.Networks[i], facts); err != nil {
		return Renumbering{}, err
	}
	*c = next
	return r, nil
}

func (c *Config) renumberTo(n model.Network, subnet string, facts model.HostFacts, choose ChooseSubnet) (netip.Prefix, error) {
	if subnet == "" {
		return choose(facts, c.Networks)
	}
	p, err := model.ParseSubnet(subnet)
	if err != nil {
		return netip.Prefix{}, err
	}
	return p, c.checkOverlap(p, n, facts)
}

// moveNetwork gives everything in a network its new address.
func (c *Config) moveNetwork(i int, r Renumbering, place ChooseAddress) error {
	n := &c.Networks[i]
	was := n.Gateway4()
	n.Subnets = []netip.Prefix{r.To}
	gateway, fits := r.move(n.Gateway4())
	if !fits {
		gateway = r.To.Addr().Next()
	}
	n.Gateways = []netip.Addr{gateway}
	c.moveKept(n, r)
	moved := make(map[netip.Addr]netip.Addr)
	if err := c.moveEndpoints(*n, r, moved, place); err != nil {
		return err
	}
	c.moveProxies(*n, r, was, moved)
	return c.moveMappings(*n, r, moved)
}

// moveEndpoints fills in moved: where each endpoint's address went. Those that
// keep their place go first, so that nobody else is put there.
func (c *Config) moveEndpoints(n model.Network, r Renumbering, moved map[netip.Addr]netip.Addr, place ChooseAddress) error {
	var homeless []int
	placed := []model.Endpoint{}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		if e.Network != n.Name {
			continue
		}
		e.Allow = r.moveAllowed(e.Allow)
		a, fits := r.move(e.Address4())
		if !fits || a == n.Gateway4() {
			homeless = append(homeless, i)
			continue
		}
		moved[e.Address4()], e.Addresses = a, []netip.Addr{a}
		placed = append(placed, *e)
	}
	for _, i := range homeless {
		e := &c.Endpoints[i]
		a, err := place(n, placed)
		if err != nil {
			return err
		}
		moved[e.Address4()], e.Addresses = a, []netip.Addr{a}
		placed = append(placed, *e)
	}
	return nil
}

// moveAllowed gives those of an endpoint's further addresses that are in the subnet
// their places in the new one. What has none there is no more.
func (r Renumbering) moveAllowed(list []netip.Prefix) (moved []netip.Prefix) {
	for _, p := range list {
		if p.Bits() < r.From.Bits() || !r.From.Contains(p.Addr()) {
			moved = append(moved, p)
		} else if a, fits := r.move(p.Addr()); fits && p.Bits() > r.To.Bits() {
			moved = append(moved, netip.PrefixFrom(a, p.Bits()).Masked())
		}
	}
	slices.SortFunc(moved, netip.Prefix.Compare)
	return moved
}

// moveMappings points the mappings into the network at the new addresses.
func (c *Config) moveMappings(n model.Network, r Renumbering, moved map[netip.Addr]netip.Addr) error {
	var refused error
	c.editTargets(func(m *model.Mapping, _ int, t *model.Target) {
		if t.Network != n.Name || !t.Resolved() || refused != nil {
			return
		}
		a, err := r.target(t.Internal.Address, n, moved)
		if err != nil {
			refused = model.Errorf(model.Conflict, "mapping %s leads to an address that subnet %s has no place for", m, r.To).
				WithHint("delete the mapping first, or choose a larger subnet")
			return
		}
		t.Internal.Address = a
	})
	return refused
}

// target returns where an address that a mapping leads to went. What is no
// endpoint's (a machine on an adopted bridge) is taken to keep its place.
func (r Renumbering) target(a netip.Addr, n model.Network, moved map[netip.Addr]netip.Addr) (netip.Addr, error) {
	if to, known := moved[a]; known {
		return to, nil
	}
	if !r.From.Contains(a) { // behind an endpoint
		return a, nil
	}
	to, fits := r.move(a)
	if !fits || to == n.Gateway4() {
		return netip.Addr{}, model.Errorf(model.Conflict, "%s has no place in %s", a, r.To)
	}
	return to, nil
}

// move returns the address with the same place in the new subnet, and whether
// a station can have it there.
func (r Renumbering) move(a netip.Addr) (netip.Addr, bool) {
	place := model.NumberOf(a) - model.NumberOf(r.From.Addr())
	size := uint64(1) << (32 - r.To.Bits())
	if uint64(place) >= size {
		return netip.Addr{}, false
	}
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], model.NumberOf(r.To.Addr())+place)
	to := netip.AddrFrom4(b)
	return to, checkHostAddress("address", to, r.To) == nil
}
