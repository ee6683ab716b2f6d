package reconcile

import (
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
)

// TestLostPacketsAreToldOnce: each reader is told how many it did not get, and how many of
// them for its own slowness; also if no packet follows.
func TestLostPacketsAreToldOnce(t *testing.T) {
	t.Parallel()
	r := &captureReader{batches: make(chan model.CaptureBatch, 1)}
	c := &captures{readers: map[*captureReader]bool{r: true}}
	three := model.CaptureBatch{Packets: make([]model.CapturedPacket, 3), Lost: 1}
	for range 3 {
		c.send(three)
	}
	if b := <-r.batches; len(b.Packets) != 3 || b.Lost != 1 || b.Behind != 0 {
		t.Errorf("first %+v", b)
	}
	c.send(model.CaptureBatch{})
	if b := <-r.batches; len(b.Packets) != 0 || b.Lost != 8 || b.Behind != 6 {
		t.Errorf("then %+v", b)
	}
	c.send(model.CaptureBatch{})
	select {
	case b := <-r.batches:
		t.Errorf("and again %+v", b)
	default:
	}
}

// TestWishOfAll: what several readers wish for is what all of it is.
func TestWishOfAll(t *testing.T) {
	t.Parallel()
	prefix := netip.MustParsePrefix("192.0.2.0/24")
	a := model.CaptureWish{Length: 94, Protocol: model.UDP, Prefix: prefix, Port: 53}
	for _, tt := range []struct{ b, want model.CaptureWish }{
		{a, a},
		{model.CaptureWish{}, model.CaptureWish{}},
		{
			model.CaptureWish{Length: 128, Protocol: model.UDP, Prefix: prefix, Port: 54},
			model.CaptureWish{Length: 128, Protocol: model.UDP, Prefix: prefix},
		},
	} {
		c := &captures{readers: map[*captureReader]bool{{wish: a}: true, {wish: tt.b}: true}}
		if got := c.wish(); got != tt.want {
			t.Errorf("%+v and %+v: %+v, want %+v", a, tt.b, got, tt.want)
		}
	}
}

// TestNetworkNumber: only a network that has one number can be looked for by it.
func TestNetworkNumber(t *testing.T) {
	t.Parallel()
	n := names{networks: map[uint32]string{1: "web", 2: "each", 3: "each", 4: ""}}
	for name, want := range map[string]uint32{"web": 1, "each": 0, "": 0, "none": 0} {
		if got := n.networkNumber(name); got != want {
			t.Errorf("%q has number %d, want %d", name, got, want)
		}
	}
}
