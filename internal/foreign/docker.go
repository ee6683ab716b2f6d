package foreign

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/config/wanted"
)

// dockerObject is what matters here of what 'docker network inspect' and 'docker
// inspect' print.
type dockerObject struct {
	Name     string
	Driver   string
	Internal bool
	IPAM     *struct {
		Config []struct{ Subnet, IPRange, Gateway string }
	}
	Options map[string]string

	NetworkSettings *struct {
		Ports    map[string][]struct{ HostIp, HostPort string }
		Networks map[string]struct{ IPAddress string }
	}
}

// Docker reads what 'docker network inspect' prints of networks, and 'docker inspect'
// of containers, one after the other.
func Docker(text string) (Proposal, error) {
	var p Proposal
	d := json.NewDecoder(strings.NewReader(text))
	var all []dockerObject
	for d.More() {
		var list []dockerObject
		if err := d.Decode(&list); err != nil {
			return p, fmt.Errorf("read the JSON: %w", err)
		}
		all = append(all, list...)
	}
	for _, o := range all {
		if o.IPAM != nil {
			p.addDockerNetwork(o)
		}
	}
	if len(p.Networks) > 0 {
		p.note("The subnets are Docker's now: its networks have to go before hostnat can have them.")
	}
	published := false
	for _, o := range all {
		if o.NetworkSettings != nil {
			published = p.addContainer(o) || published
		}
	}
	if published {
		p.note("Mappings lead to endpoints: attach each container (hostnat endpoint attach NETWORK NAME --docker NAME). After 'hostnat docker enable' containers and their ports are followed, and need not be in a file.")
	}
	return p, nil
}

func (p *Proposal) addDockerNetwork(o dockerObject) {
	switch o.Driver {
	case "bridge":
	case "host", "null":
		return
	default:
		p.note("Network %s is left out: its driver is %s.", o.Name, o.Driver)
		return
	}
	w := wanted.Network{Name: name(o.Name), MTU: o.Options["com.docker.network.driver.mtu"]}
	if o.Internal {
		w.NAT = "none"
	}
	if o.Options["com.docker.network.bridge.enable_icc"] == "false" {
		w.Isolation = "endpoint"
	}
	for _, c := range o.IPAM.Config {
		subnet, err := netip.ParsePrefix(c.Subnet)
		switch {
		case err != nil || !subnet.Addr().Is4():
			p.note("Network %s has the subnet %s: networks have no IPv6 yet.", o.Name, c.Subnet)
			continue
		case len(w.Subnets) > 0:
			p.note("Network %s has a second subnet, %s: a network has one.", o.Name, c.Subnet)
			continue
		}
		w.Subnets = []string{subnet.Masked().String()}
		if c.Gateway != "" {
			gateway, _, _ := strings.Cut(c.Gateway, "/")
			w.Gateways = []string{gateway}
		}
		if c.IPRange != "" {
			p.note("Network %s gives addresses out of %s: give it ranges, or exclude the rest.", o.Name, c.IPRange)
		}
	}
	p.Networks = append(p.Networks, w)
}

// addContainer proposes mappings for a container's published ports.
func (p *Proposal) addContainer(o dockerObject) (published bool) {
	container := name(strings.TrimPrefix(o.Name, "/"))
	networks := slices.Sorted(maps.Keys(o.NetworkSettings.Networks))
	if len(networks) == 0 {
		return false
	}
	type port struct {
		protocol, address string
		outside, inside   int
	}
	var ports []port
	for inside, list := range o.NetworkSettings.Ports {
		number, protocol, _ := strings.Cut(inside, "/")
		to, err := strconv.Atoi(number)
		for _, b := range list {
			from, e := strconv.Atoi(b.HostPort)
			if err != nil || e != nil || protocol != "tcp" && protocol != "udp" || strings.Contains(b.HostIp, ":") {
				if !strings.Contains(b.HostIp, ":") { // beside IPv4's there is mostly the same of IPv6
					p.note("Port %s of %s is left out.", inside, container)
				}
				continue
			}
			ports = append(ports, port{protocol, b.HostIp, from, to})
		}
	}
	slices.SortFunc(ports, func(a, b port) int {
		return strings.Compare(fmt.Sprintf("%s %s %05d", a.protocol, a.address, a.outside), fmt.Sprintf("%s %s %05d", b.protocol, b.address, b.outside))
	})
	for _, q := range ports {
		p.Mappings = append(p.Mappings, wanted.Mapping{
			Protocol: q.protocol, External: external(q.address, strconv.Itoa(q.outside)),
			Internal: []string{fmt.Sprintf("%s:%d", container, q.inside)}, Network: name(networks[0]),
		})
	}
	return len(ports) > 0
}
