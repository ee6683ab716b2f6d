package host

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// neighbours returns a host and another machine on one wire: out0 with
// 192.0.2.1/24, eth0 with 192.0.2.2/24 and the MAC 02:00:00:00:00:02.
func neighbours(t *testing.T) (host, other *lab.Namespace) {
	t.Helper()
	host, other = newHost(t), newHost(t)
	must(t, lab.Veth(host, "out0", other, "eth0"), other.SetMAC("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 2}))
	must(t, host.AddAddress("out0", "192.0.2.1/24"), other.AddAddress("eth0", "192.0.2.2/24"))
	must(t, host.SetUp("out0"), other.SetUp("eth0"))
	return host, other
}

func TestExternalIsAddedAndRemoved(t *testing.T) {
	t.Parallel()
	n, _ := neighbours(t)
	free, prefix := netip.MustParseAddr("192.0.2.9"), netip.MustParsePrefix("192.0.2.9/32")
	on(t, n, func() error { return AddExternal(t.Context(), "out0", free) })
	l := linkNamed(t, n, "out0")
	if len(l.Addresses) != 2 || len(l.External) != 1 || l.External[0] != prefix || len(l.Lent) != 0 {
		t.Errorf("addresses %v, external %v, lent %v", l.Addresses, l.External, l.Lent)
	}
	on(t, n, func() error {
		facts, err := Facts(t.Context(), nil)
		if !facts.HasOwn(netip.MustParseAddr("192.0.2.1")) || facts.HasOwn(free) || facts.InterfaceOf(free) != "out0" {
			t.Errorf("facts: %+v", facts.Addresses)
		}
		return err
	})
	// What is not ours stays, even if it is asked for.
	must(t, n.AddAddress("out0", "192.0.2.10/32"))
	for _, p := range []string{"192.0.2.1/24", "192.0.2.10/32", "192.0.2.9/32", "192.0.2.9/32"} {
		on(t, n, func() error { return RemoveExternal(t.Context(), "out0", netip.MustParsePrefix(p)) })
	}
	on(t, n, func() error { return RemoveExternal(t.Context(), "gone0", prefix) })
	if l := linkNamed(t, n, "out0"); len(l.Addresses) != 2 || len(l.External) != 0 {
		t.Errorf("left: %v", l.Addresses)
	}
}

// RFC 5227: an address that somebody has is not taken, whoever asks for what.
func TestExternalOfAnotherMachineIsRefused(t *testing.T) {
	t.Parallel()
	n, other := neighbours(t)
	must(t, other.AddAddress("eth0", "198.51.100.7/32"))
	on(t, n, func() error {
		for _, a := range []string{"192.0.2.2", "198.51.100.7"} {
			wantRefusal(t, AddExternal(t.Context(), "out0", netip.MustParseAddr(a)), model.Conflict,
				"external address "+a+" belongs to another machine on out0 (MAC 02:00:00:00:00:02)")
		}
		wantRefusal(t, AddExternal(t.Context(), "gone0", netip.MustParseAddr("192.0.2.9")), model.NotFound, "interface gone0 does not exist")
		return nil
	})
	if l := linkNamed(t, n, "out0"); len(l.Addresses) != 1 {
		t.Errorf("added all the same: %v", l.Addresses)
	}
}

// A link that is down, or has no ARP, has nobody to ask.
func TestExternalWithoutARP(t *testing.T) {
	t.Parallel()
	n, _ := neighbours(t)
	must(t, n.AddBridge("down0"), n.SetDown("down0"))
	a := netip.MustParseAddr("192.0.2.9")
	on(t, n, func() error {
		for _, link := range []string{"lo", "down0"} {
			if err := AddExternal(t.Context(), link, a); err != nil {
				t.Errorf("%s: %v", link, err)
			}
		}
		return nil
	})
}

func TestExternalIsGivenUpWithItsContext(t *testing.T) {
	t.Parallel()
	n, _ := neighbours(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	on(t, n, func() error {
		if err := AddExternal(ctx, "out0", netip.MustParseAddr("192.0.2.9")); err == nil {
			t.Error("added without having asked")
		}
		return nil
	})
}

// The neighbours learn of the address's new place at once.
func TestExternalIsAnnounced(t *testing.T) {
	t.Parallel()
	n, other := neighbours(t)
	var w *wire
	on(t, other, func() error {
		link, err := findLink("eth0")
		if err == nil {
			w, err = openWire(link)
		}
		return err
	})
	defer w.Close()
	a := netip.MustParseAddr("192.0.2.9")
	on(t, n, func() error { return AddExternal(t.Context(), "out0", a) })
	buf := make([]byte, 1500)
	for {
		size, _, err := w.conn.ReadFrom(buf)
		must(t, err)
		if m, ok := parseARP(buf[:size]); ok && m.sender == a && m.target == a {
			return
		}
	}
}
