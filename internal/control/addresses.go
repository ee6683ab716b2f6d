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

// AddAddress gives a NAT an external address of the host, "A" or "A:LO-HI".
func (c *Control) AddAddress(ctx context.Context, natName, spec string) (v AddressView, err error) {
	err = c.change(ctx, "add address "+spec, func(config *nat.Config) error {
		a, err := config.AddAddress(natName, spec)
		if err != nil {
			return err
		}
		facts, err := c.kernel.Facts(ctx)
		if err != nil {
			return err
		}
		v = viewFixed(natName, a, facts)
		return checkHostHas(facts, a.Address)
	}, nil)
	return v, err
}

// RemoveAddress takes an external address from a NAT.
func (c *Control) RemoveAddress(ctx context.Context, natName, addr string) error {
	return c.change(ctx, "remove address "+addr, func(config *nat.Config) error {
		return config.RemoveAddress(natName, addr)
	}, nil)
}

func checkHostHas(facts nat.HostFacts, a netip.Addr) error {
	if facts.InterfaceOf(a) != "" {
		return nil
	}
	return nat.Errorf(nat.NotFound, "the host does not have address %s", a).
		WithHint("add it to the outgoing interface first: ip address add %s/32 dev %s", a, orName(facts.DefaultInterface, "IF"))
}

func orName(name, otherwise string) string {
	if name == "" {
		return otherwise
	}
	return name
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
	return AddressView{
		NAT: natName, Address: a.Address, Ports: rangesText(a.Ports.Without(facts.LocalPorts)),
		Interface: facts.InterfaceOf(a.Address), Source: Fixed,
	}
}

func rangesText(ranges []nat.PortRange) string {
	var text []string
	for _, r := range ranges {
		text = append(text, r.String())
	}
	return strings.Join(text, ",")
}
