package docker

import (
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/api"
)

// Network is one of Docker's, of its bridge driver.
type Network struct {
	ID       string
	Name     string
	Bridge   string
	Subnet   netip.Prefix // IPv4; not valid: none
	Gateway  netip.Addr
	Internal bool // its containers reach nobody outside
}

// LabelNetwork is that of a network whose bridge Docker has made, or that the driver has
// made for it: Docker's id of it.
const LabelNetwork = "docker.network"

// NetworkPlan is what makes hostnat's networks agree with Docker's.
type NetworkPlan struct {
	Delete []string
	Create []api.NetworkSpec
}

// PlanNetworks adopts the bridges that Docker makes, for Compose and for whoever
// types `docker network create`: Docker does not translate addresses for them when
// it leaves that to hostnat.
func PlanNetworks(list []Network, has []api.Network) (p NetworkPlan) {
	if !isInForce(list, has) {
		return p
	}
	there := make(map[string]bool)
	for _, n := range list {
		there[n.ID] = true
	}
	taken, known := make(map[string]bool), make(map[string]bool)
	for _, n := range has {
		if id := n.Labels[LabelNetwork]; n.Owner == Owner && id != "" && !there[id] {
			p.Delete = append(p.Delete, n.Name)
			continue
		}
		taken[n.Name], known[n.Bridge] = true, true
	}
	for _, n := range list {
		if known[n.Bridge] || !n.Subnet.IsValid() || !n.Gateway.IsValid() {
			continue
		}
		name := n.Name
		if taken[name] {
			name += "-" + shortID(n.ID)
		}
		taken[name] = true
		p.Create = append(p.Create, specOf(n, name))
	}
	return p
}

// isInForce reports whether Docker goes by hostnat's settings: before it is
// restarted it changes the host's firewall itself.
func isInForce(list []Network, has []api.Network) bool {
	i := slices.IndexFunc(list, func(n Network) bool { return n.Name == defaultNetwork })
	return i >= 0 && slices.ContainsFunc(has, func(n api.Network) bool { return n.Owner == Owner && n.Bridge == list[i].Bridge })
}

func specOf(n Network, name string) api.NetworkSpec {
	spec := api.NetworkSpec{
		Name: name, Bridge: n.Bridge, Adopt: true, Subnets: []string{n.Subnet.String()}, Gateways: []string{n.Gateway.String()},
		DHCP: "off", Owner: Owner, Labels: map[string]string{LabelNetwork: n.ID},
	}
	if n.Internal {
		spec.NAT = "none"
	}
	return spec
}
