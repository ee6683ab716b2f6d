package doctor

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

var addressesCheck = check{
	name: "addresses", looks: "whether the networks have addresses left",
	find: func(f Facts) (found []Finding) {
		for _, n := range f.Config.Networks {
			if n.PerEndpoint() || f.Daemon == nil { // there one is for all; and leases are the daemon's
				continue
			}
			taken := f.taken(n)
			switch {
			case left(n, n.Stations(), taken) == 0:
				found = append(found, Finding{
					Severity: Note, What: fmt.Sprintf("network %s (%s) has no address left", n.Name, n.Subnet4()),
					Why:     "no endpoint can be attached without --address, and no new DHCP client gets an answer",
					Command: fmt.Sprintf("hostnat network renumber %s --subnet PREFIX, a larger one", n.Name),
				})
			case n.DHCP.On() && left(n, n.Dynamic(), taken) == 0:
				found = append(found, Finding{
					Severity: Note, What: fmt.Sprintf("the range of network %s for DHCP clients is used up", n.Name),
					Why:     "a new client gets no answer; leases end after " + n.LeaseDuration().Duration().String(),
					Command: fmt.Sprintf("hostnat network set %s range=LO-HI, a larger one, or all", n.Name),
				})
			}
		}
		return found
	},
}

// taken are the addresses of a network that nobody new gets.
func (f Facts) taken(n model.Network) map[netip.Addr]bool {
	taken := map[netip.Addr]bool{n.Gateway4(): true}
	for _, e := range slices.Concat(f.Config.Endpoints, f.Config.Discovered) {
		if e.Network == n.Name {
			taken[e.Address4()] = true
		}
	}
	for _, l := range f.Config.Leases {
		if l.Network == n.Name {
			taken[l.Address] = true
		}
	}
	for _, r := range f.Config.Reservations {
		if r.Network == n.Name {
			taken[r.Address] = true
		}
	}
	return taken
}

// left is how many addresses of the ranges are neither taken nor excluded.
func left(n model.Network, ranges []model.AddressRange, taken map[netip.Addr]bool) (count int) {
	for _, r := range ranges {
		count += r.Size()
		for _, e := range n.Exclude {
			if e.Overlaps(r) {
				count -= model.AddressRange{Low: later(e.Low, r.Low), High: earlier(e.High, r.High)}.Size()
			}
		}
		for a := range taken {
			if r.Contains(a) && !n.Excludes(a) {
				count--
			}
		}
	}
	return max(count, 0)
}

func later(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return b
	}
	return a
}

func earlier(a, b netip.Addr) netip.Addr {
	if a.Less(b) {
		return a
	}
	return b
}
