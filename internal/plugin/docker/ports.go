package docker

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
)

// Row is published ports that follow each other.
type Row struct {
	Port     // the first
	last int // the last one's Port.Public
}

// Rows joins ports that follow each other on both sides, so that a range is one
// mapping. What Docker shows for IPv6 is left out: hostnat's mappings are IPv4, and
// of "every address" Docker shows both.
func Rows(published []Port) (rows []Row) {
	list := slices.DeleteFunc(slices.Clone(published), func(p Port) bool {
		return p.Public == 0 || p.Host.IsValid() && !p.Host.Unmap().Is4() || p.Protocol != "tcp" && p.Protocol != "udp"
	})
	for i := range list {
		if list[i].Host = list[i].Host.Unmap(); !list[i].Host.IsValid() {
			list[i].Host = netip.IPv4Unspecified()
		}
	}
	slices.SortFunc(list, func(a, b Port) int {
		return cmp.Or(cmp.Compare(a.Protocol, b.Protocol), a.Host.Compare(b.Host), cmp.Compare(a.Public, b.Public), cmp.Compare(a.Private, b.Private))
	})
	list = slices.Compact(list)
	for _, p := range list {
		if n := len(rows); n > 0 && rows[n-1].goesOn(p) {
			rows[n-1].last++
			continue
		}
		rows = append(rows, Row{p, int(p.Public)})
	}
	return rows
}

// goesOn reports whether a port is the next one of the row.
func (r Row) goesOn(p Port) bool {
	return p.Protocol == r.Protocol && p.Host == r.Host && int(p.Public) == r.last+1 && int(p.Private) == r.private()+1
}

// private is the last port of the container.
func (r Row) private() int { return int(r.Private) + r.last - int(r.Public) }

// External is "0.0.0.0:80", or "192.0.2.1:8000-8009".
func (r Row) External() string {
	return r.Host.String() + ":" + rangeText(int(r.Public), r.last)
}

// Internal is "80", or "8000-8009".
func (r Row) Internal() string { return rangeText(int(r.Private), r.private()) }

func rangeText(low, high int) string {
	if low == high {
		return fmt.Sprint(low)
	}
	return fmt.Sprintf("%d-%d", low, high)
}
