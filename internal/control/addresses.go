package control

import (
	"context"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/nat"
)

// Addresses returns the external addresses that the NATs use now.
func (c *Control) Addresses(ctx context.Context) ([]AddressView, error) {
	config, _ := c.snapshot()
	facts, err := c.kernel.Facts(ctx)
	if err != nil {
		return nil, err
	}
	return viewAddresses(config, facts), nil
}

// AddAddress gives a NAT an external address, "A" or "A:LO-HI". One that the host
// does not have is added to the outgoing interface, unless another machine on
// the wire has it.
func (c *Control) AddAddress(ctx context.Context, natName, spec string) (AddressView, error) {
	var a nat.ExternalAddress
	add := func(config *nat.Config) error {
		var err error
		if a, err = config.AddAddress(natName, spec); err != nil {
			return err
		}
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return err
		}
		if !facts.HasOwn(a.Address) {
			config.MarkAdded(natName, a.Address)
			a.Added = true
		}
		return checkRanges(*config, natName, facts)
	}
	placed := func(r Report) error { return r.Addresses[a.Address] }
	if err := c.change(ctx, "add address "+spec, add, placed); err != nil {
		return AddressView{}, err
	}
	facts, err := c.kernel.Facts(ctx) // with what was just added
	if err != nil {
		return AddressView{}, err
	}
	return viewFixed(natName, a, facts), nil
}

// RemoveAddress takes an external address, or one range "A:LO-HI" of it, from a
// NAT, and from the host if it was added to it.
func (c *Control) RemoveAddress(ctx context.Context, natName, addr string) error {
	return c.change(ctx, "remove address "+addr, func(config *nat.Config) error {
		return config.RemoveAddress(natName, addr)
	}, nil)
}

// checkRanges refuses more port ranges than the data path has room for: taking
// out the host's own ports makes two of one.
func checkRanges(config nat.Config, natName string, facts nat.HostFacts) error {
	n, err := config.NAT(natName)
	if err != nil {
		return err
	}
	count := make(map[netip.Addr]int)
	for _, a := range n.ExternalAddresses {
		if count[a.Address] += len(a.Ports.Without(facts.LocalPorts)); count[a.Address] > nat.MaxRanges {
			return nat.Errorf(nat.Conflict, "without the host's own ports %s, %s has %d port ranges", facts.LocalPorts, a.Address, count[a.Address]).
				WithHint("%d are possible: give ranges that do not lie across the host's", nat.MaxRanges)
		}
	}
	return nil
}

func viewAddresses(config nat.Config, facts nat.HostFacts) []AddressView {
	views := []AddressView{}
	for _, n := range config.NATs {
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
func externalAddresses(n nat.NAT, facts nat.HostFacts) []nat.ExternalAddress {
	if len(n.ExternalAddresses) > 0 {
		return n.ExternalAddresses
	}
	links := n.ExternalInterfaces
	if len(links) == 0 {
		links = []string{facts.DefaultInterface}
	}
	var list []nat.ExternalAddress
	for _, link := range links {
		if a := facts.AddressOf(link); a.IsValid() {
			list = append(list, nat.ExternalAddress{Address: a, Ports: nat.DefaultPorts})
		}
	}
	return list
}

func viewFixed(natName string, a nat.ExternalAddress, facts nat.HostFacts) AddressView {
	source := Fixed
	if a.Added {
		source = Added
	}
	return AddressView{
		NAT: natName, Address: a.Address, Ports: rangesText(a.Ports.Without(facts.LocalPorts)),
		Interface: facts.InterfaceOf(a.Address), Source: source,
	}
}

func rangesText(ranges []nat.PortRange) string {
	var text []string
	for _, r := range ranges {
		text = append(text, r.String())
	}
	return strings.Join(text, ",")
}
