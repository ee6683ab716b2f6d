package host

import (
	"context"
	"net"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"
)

// neighbours returns a host and another machine on one wire: out0 with
// 192.0.2.1/24, eth0 with 192.0.2.2/24 and the MAC 02:00:00:00:00:02.
func neighbours(t *testing.T) (host, other *lab.Namespace) {
	t.Helper()
	host, other = hosttest.New(t), hosttest.New(t)
	hosttest.Must(t, lab.Veth(host, "out0", other, "eth0"), other.SetMAC("eth0", net.HardwareAddr{2, 0, 0, 0, 0, 2}))
	hosttest.Must(t, host.AddAddress("out0", "192.0.2.1/24"), other.AddAddress("eth0", "192.0.2.2/24"))
	hosttest.Must(t, host.SetUp("out0"), other.SetUp("eth0"))
	return host, other
}

func TestExternalIsAddedAndRemoved(t *testing.T) {
	t.Parallel()
	n, _ := neighbours(t)
	free, prefix := netip.MustParseAddr("192.0.2.9"), netip.MustParsePrefix("192.0.2.9/32")
	hosttest.On(t, n, func() error { return AddExternal(t.Context(), "out0", free) })
	l := linkNamed(t, n, "out0")
	if len(l.Addresses) != 2 || len(l.External) != 1 || l.External[0] != prefix || len(l.Lent) != 0 {
		t.Errorf("addresses %v, external %v, lent %v", l.Addresses, l.External, l.Lent)
	}
	hosttest.On(t, n, func() error {
		facts, err := Facts(t.Context(), nil)
		if !facts.HasOwn(netip.MustParseAddr("192.0.2.1")) || facts.HasOwn(free) || facts.InterfaceOf(free) != "out0" {
			t.Errorf("facts: %+v", facts.Addresses)
		}
		return err
	})
	// What is not ours stays, even if it is asked for.
	hosttest.Must(t, n.AddAddress("out0", "192.0.2.10/32"))
	for _, p := range []string{"192.0.2.1/24", "192.0.2.10/32", "192.0.2.9/32", "192.0.2.9/32"} {
		hosttest.On(t, n, func() error { return RemoveExternal(t.Context(), "out0", netip.MustParsePrefix(p)) })
	}
	hosttest.On(t, n, func() error { return RemoveExternal(t.Context(), "gone0", prefix) })
	if l := linkNamed(t, n, "out0"); len(l.Addresses) != 2 || len(l.External) != 0 {
		t.Errorf("left: %v", l.Addresses)
	}
}

// RFC 5227: an address that somebody has is not taken, whoever asks for what.
func TestExternalOfAnotherMachineIsRefused(t *testing.T) {
	t.Parallel()
	n, other := neighbours(t)
	hosttest.Must(t, other.AddAddress("eth0", "198.51.100.7/32"))
	hosttest.On(t, n, func() error {
		for _, a := range []string{"192.0.2.2", "198.51.100.7"} {
			hosttest.WantRefusal(t, AddExternal(t.Context(), "out0", netip.MustParseAddr(a)), model.Conflict,
				"external address "+a+" belongs to another machine on out0 (MAC 02:00:00:00:00:02)")
		}
		hosttest.WantRefusal(t, AddExternal(t.Context(), "gone0", netip.MustParseAddr("192.0.2.9")), model.NotFound, "interface gone0 does not exist")
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
	hosttest.Must(t, n.AddBridge("down0"), n.SetDown("down0"))
	a := netip.MustParseAddr("192.0.2.9")
	hosttest.On(t, n, func() error {
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
	hosttest.On(t, n, func() error {
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
	var listener *packet.Conn
	hosttest.On(t, other, func() error {
		link, err := net.InterfaceByName("eth0")
		if err == nil {
			listener, err = packet.Listen(link, packet.Datagram, unix.ETH_P_ARP, nil)
		}
		return err
	})
	defer listener.Close()
	a := netip.MustParseAddr("192.0.2.9")
	hosttest.On(t, n, func() error { return AddExternal(t.Context(), "out0", a) })
	buf := make([]byte, 1500)
	for {
		size, _, err := listener.ReadFrom(buf)
		hosttest.Must(t, err)
		// RFC 826: the sender's address is at 14, the target's at 24.
		if m := buf[:size]; size >= 28 && [4]byte(m[14:]) == a.As4() && [4]byte(m[24:]) == a.As4() {
			return
		}
	}
}
