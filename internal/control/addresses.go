package control

import (
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Addresses returns the external addresses that the NATs use now.
func (c *Control) Addresses(ctx context.Context) ([]AddressView, error) {
	cfg, _ := c.snapshot()
	facts, err := c.host.Facts(ctx)
	if err != nil {
		return nil, err
	}
	return viewAddresses(cfg, facts), nil
}

// AddAddress gives a NAT an external address, "A" or "A:LO-HI". One that the host
// does not have is added to the outgoing interface, unless another machine on
// the wire has it.
func (c *Control) AddAddress(ctx context.Context, natName, spec string) (AddressView, error) {
	var a model.ExternalAddress
	add := func(cfg *config.Config) error {
		var err error
		if a, err = cfg.AddAddress(natName, spec); err != nil {
			return err
		}
		facts, err := c.host.Facts(ctx)
		if err != nil {
			return err
		}
		if !facts.HasOwn(a.Address) {
			if err := checkNotNeeded(a.Address, facts); err != nil {
				return err
			}
			cfg.MarkAdded(natName, a.Address)
			a.Added = true
		}
		return checkRanges(*cfg, natName, facts)
	}
	placed := func(r Report) error { return r.Addresses[a.Address] }
	if err := c.change(ctx, "add address "+spec, add, placed); err != nil {
		return AddressView{}, err
	}
	facts, err := c.host.Facts(ctx) // with what was just added
	if err != nil {
		return AddressView{}, err
	}
	return viewFixed(natName, a, facts), nil
}

// checkNotNeeded refuses to add an address to the host that a machine has which the host
// does not work without. Those on a wire of the host are asked by ARP, as everybody there is.
func checkNotNeeded(a netip.Addr, facts model.HostFacts) error {
	if slices.ContainsFunc(facts.Needed(), func(m model.HostMachine) bool { return m.Address == a }) && len(facts.LinksReaching(a)) == 0 {
		return model.Errorf(model.Conflict, "external address %s is that of a router or resolver of the host, which would not reach it any more", a).
			WithHint("choose another")
	}
	for _, h := range facts.Prefixes {
		connected := strings.HasPrefix(h.Source, model.AddressSource) && h.Prefix.Bits() < 31 // of a link between two machines both are addresses (RFC 3021)
		if connected && (a == h.Prefix.Masked().Addr() || a == model.LastAddress(h.Prefix)) {
			return model.Errorf(model.Invalid, "external address %s is the first or last of %s (%s), which no machine has", a, h.Prefix.Masked(), h.Source).
				WithHint("choose another")
		}
	}
	return nil
}

// RemoveAddress takes an external address, or one range "A:LO-HI" of it, from a
// NAT, and from the host if it was added to it.
func (c *Control) RemoveAddress(ctx context.Context, natName, addr string) error {
	return c.change(ctx, "remove address "+addr, func(cfg *config.Config) error {
		return cfg.RemoveAddress(natName, addr)
	}, nil)
}

// checkRanges refuses more port ranges than the data path has room for: taking
// out the host's own ports makes two of one.
func checkRanges(cfg config.Config, natName string, facts model.HostFacts) error {
	n, err := cfg.NAT(natName)
	if err != nil {
		return err
	}
	count := make(map[netip.Addr]int)
	for _, a := range n.ExternalAddresses {
		if count[a.Address] += len(a.Ports.Without(facts.LocalPorts)); count[a.Address] > model.MaxRanges {
			return model.Errorf(model.Conflict, "without the host's own ports %s, %s has %d port ranges", facts.LocalPorts, a.Address, count[a.Address]).
				WithHint("%d are possible: give ranges that do not lie across the host's", model.MaxRanges)
		}
	}
	return nil
}

func viewAddresses(cfg config.Config, facts model.HostFacts) []AddressView {
	views := []AddressView{}
	for _, n := range cfg.NATs {
		for _, a := range externalAddresses(n, facts) {
			v := viewFixed(n.Name, a, facts)
			if len(n.ExternalAddresses) == 0 {
				v.Source = Interface
			}
			views = append(views, v)
		}
	}
	return views
}

// externalAddresses are those that a NAT uses now: its own, or what its
// interfaces have.
func externalAddresses(n model.NAT, facts model.HostFacts) []model.ExternalAddress {
	if len(n.ExternalAddresses) > 0 {
		return n.ExternalAddresses
	}
	links := n.ExternalInterfaces
	if len(links) == 0 {
		links = []string{facts.DefaultInterface}
	}
	var list []model.ExternalAddress
	for _, link := range links {
		for _, a := range facts.AddressesOf(link) {
			list = append(list, model.ExternalAddress{Address: a, Ports: model.DefaultPorts})
		}
	}
	return list
}

func viewFixed(natName string, a model.ExternalAddress, facts model.HostFacts) AddressView {
	source := Fixed
	if a.Added {
		source = Added
	}
	return AddressView{
		NAT: natName, Address: a.Address, Ports: rangesText(a.Ports.Without(facts.LocalPorts)),
		Interface: facts.InterfaceOf(a.Address), Source: source,
	}
}

func rangesText(ranges []model.PortRange) string {
	var text []string
	for _, r := range ranges {
		text = append(text, r.String())
	}
	return strings.Join(text, ",")
}
