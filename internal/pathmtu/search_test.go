package pathmtu

import (
	"context"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/model"
)

// path is a remote as a sender sees it.
type path struct {
	largest int        // that gets there
	router  netip.Addr // that says so of larger ones
	says    int        // the MTU that it says; 0: none
	mute    bool       // no size is answered
	refusal string
	lossy   bool // of two packets one is lost
	falls   int  // after so many packets no one answers any more; 0: never

	sent int
}

func (p *path) name() string { return "echo requests" }

func (p *path) send(_ context.Context, size int, _ time.Duration) (answer, error) {
	p.sent++
	switch {
	case p.refusal != "":
		return answer{refusal: p.refusal}, nil
	case p.mute || p.lossy && p.sent%2 == 1 || p.falls > 0 && p.sent > p.falls:
		return answer{}, nil
	case size > p.largest:
		return answer{tooBig: p.router, mtu: p.says}, nil
	}
	return answer{got: true, took: time.Millisecond}, nil
}

// TestSearch: the size above which packets vanish is found to the byte, with few packets.
func TestSearch(t *testing.T) {
	t.Parallel()
	router := netip.MustParseAddr("198.51.100.1")
	for _, tt := range []struct {
		name   string
		path   path
		want   model.PathMTU
		vanish bool
		most   int // packets
	}{
		{"everything gets there", path{largest: 1500}, model.PathMTU{Largest: 1500}, false, 2},
		{"a black hole", path{largest: 1400}, model.PathMTU{Largest: 1400}, true, 40},
		{"one byte less than all", path{largest: 1499}, model.PathMTU{Largest: 1499}, true, 40},
		{"only the smallest", path{largest: 128}, model.PathMTU{Largest: 128}, true, 40},
		{"a black hole with losses", path{largest: 1380, lossy: true}, model.PathMTU{Largest: 1380}, true, 60},
		{"a router says so", path{largest: 1400, router: router, says: 1400}, model.PathMTU{Largest: 1400, Router: router}, false, 12},
		{"a router says so, and no size", path{largest: 1400, router: router}, model.PathMTU{Largest: 1400, Router: router}, false, 16},
		{"a router lies", path{largest: 1000, router: router, says: 9000}, model.PathMTU{Largest: 1000, Router: router}, false, 16},
		{"nobody answers", path{mute: true}, model.PathMTU{}, false, 3},
		{"not reached", path{refusal: "no"}, model.PathMTU{Refusal: "no"}, false, 1},
	} {
		tt.want.By, tt.want.Tried = "echo requests", 1500
		got, err := search(t.Context(), &tt.path, 1500)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if got.Vanish() != tt.vanish {
			t.Errorf("%s: vanish is %v", tt.name, got.Vanish())
		}
		if tt.path.sent > tt.most {
			t.Errorf("%s: %d packets, want at most %d", tt.name, tt.path.sent, tt.most)
		}
	}
}

// TestSearchDoesNotBlameTheSize: a remote that goes quiet is no black hole.
func TestSearchDoesNotBlameTheSize(t *testing.T) {
	t.Parallel()
	for falls := 1; falls < 12; falls++ {
		p := path{largest: 1400, falls: falls}
		if got, err := search(t.Context(), &p, 1500); err == nil {
			t.Errorf("it answered %d packets: %+v", falls, got)
		}
	}
}

// TestReadError: what the kernel tells of an ICMP error (ip(7), struct sock_extended_err).
func TestReadError(t *testing.T) {
	t.Parallel()
	message := func(origin, kind, code byte, info uint32) []byte {
		b := make([]byte, 32)
		b[4], b[5], b[6] = origin, kind, code
		binary.NativeEndian.PutUint32(b[8:], info)
		copy(b[20:], []byte{198, 51, 100, 1})
		return b
	}
	if a, is := readError(message(unix.SO_EE_ORIGIN_ICMP, 3, 4, 1400)); !is || a.mtu != 1400 || a.tooBig != netip.MustParseAddr("198.51.100.1") {
		t.Errorf("too big: %+v, %v", a, is)
	}
	if a, is := readError(message(unix.SO_EE_ORIGIN_ICMP, 3, 1, 0)); !is || a.refusal != "198.51.100.1 answers with ICMP type 3, code 1" {
		t.Errorf("unreachable: %+v, %v", a, is)
	}
	for _, b := range [][]byte{nil, make([]byte, 16), message(unix.SO_EE_ORIGIN_LOCAL, 3, 4, 1400)} {
		if a, is := readError(b); is {
			t.Errorf("%x: %+v", b, a)
		}
	}
}
