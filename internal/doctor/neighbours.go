package doctor

import "fmt"

const neighbourSysctl = "net/ipv4/neigh/default/gc_thresh3"

// neighbourCheck holds the limit against a burst, in which all endpoints begin to
// talk at once: entries that have not been used for five seconds make room for
// others, and what hostnat has pinned does not count (net/core/neighbour.c).
var neighbourCheck = check{
	name: "neighbours", looks: "the limit of the kernel's neighbour table, which all namespaces share",
	find: func(f Facts) []Finding {
		limit, known := f.Host.Sysctl(neighbourSysctl)
		need := f.neighbours()
		if !known || need <= limit {
			return nil
		}
		what := fmt.Sprintf("the kernel has place for %d neighbours (net.ipv4.neigh.default.gc_thresh3), and %d endpoints may need %d at once", limit, len(f.Config.Endpoints), need)
		if times := f.Host.NeighboursRefused; times > 0 {
			what += fmt.Sprintf("; there was none left %d times since the machine started", times)
		}
		value := fmt.Sprint(roomFor(need, limit))
		return []Finding{{
			Severity: Warning, What: what,
			Why:     "it is one table for all namespaces, containers' too: when it is full, first packets get lost all over the host, and its log says 'neighbor table overflow'",
			Command: "echo net.ipv4.neigh.default.gc_thresh3=" + value + " > /etc/sysctl.d/60-neighbours.conf && sysctl -p /etc/sysctl.d/60-neighbours.conf",
			fix:     &Fix{Sysctl: &Sysctl{Path: neighbourSysctl, Value: value, Was: fmt.Sprint(limit)}},
		}}
	},
}

// neighbours is how many entries the endpoints take when all talk: each one on its
// network's bridge, once it asks the host for a name, except in per-endpoint networks, which
// are pinned; and each namespace one of its own, for loopback.
func (f Facts) neighbours() (n int) {
	pinned := make(map[string]bool)
	for _, network := range f.Config.Networks {
		pinned[network.Name] = network.PerEndpoint()
	}
	namespaces := make(map[string]bool) // an endpoint's kind and target
	for _, e := range f.Config.Endpoints {
		if !pinned[e.Network] {
			n++
		}
		if e.InNamespace() {
			namespaces[string(e.Kind)+e.Target] = true
		}
	}
	return n + len(namespaces)
}

// roomFor is twice what is needed at least: endpoints have neighbours of their own,
// and the host has other namespaces.
func roomFor(need, limit int) int {
	room := max(limit, 1024)
	for room < 2*need {
		room *= 2
	}
	return room
}
