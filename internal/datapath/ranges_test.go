package datapath

import (
	"math/rand/v2"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

func TestPortPrefixesCoverTheirRangeOnce(t *testing.T) {
	t.Parallel()
	ranges := []model.PortRange{{Low: 1, High: 65535}, {Low: 8000, High: 8999}, {Low: 65535, High: 65535}, {Low: 1024, High: 1025}}
	for range 200 {
		a, b := uint16(rand.IntN(65535)+1), uint16(rand.IntN(65535)+1)
		ranges = append(ranges, model.PortRange{Low: min(a, b), High: max(a, b)})
	}
	for _, r := range ranges {
		prefixes := portPrefixes(r)
		if len(prefixes) > 30 {
			t.Errorf("%v: %d prefixes", r, len(prefixes))
		}
		next := uint32(r.Low)
		for _, p := range prefixes {
			size := uint32(1) << (16 - p.length)
			if uint32(p.port) != next || uint32(p.port)%size != 0 {
				t.Errorf("%v: prefix %+v, want one aligned and from %d", r, p, next)
			}
			next += size
		}
		if next != uint32(r.High)+1 {
			t.Errorf("%v: ends before %d", r, next)
		}
	}
}
