package host

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestEnsurePort(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	bridge := ensureBridge(t, n, testBridge())
	hosttest.Must(t, n.AddTAP("tap0"), n.SetDown("tap0"))
	var index int
	hosttest.On(t, n, func() (err error) { index, err = EnsurePort(t.Context(), "tap0", bridge); return err })
	if l := linkNamed(t, n, "tap0"); l.MasterIndex != bridge || !l.Up || l.Index != index || l.Type != "tuntap" {
		t.Errorf("port is %+v", l)
	}
	wantQuiet(t, n, func() error { _, err := EnsurePort(t.Context(), "tap0", bridge); return err })
	hosttest.On(t, n, func() error { return ReleasePort("tap0", bridge) })
	hosttest.On(t, n, func() error { return ReleasePort("tap0", bridge) })
	hosttest.On(t, n, func() error { return ReleasePort("tap9", bridge) })
	if l := linkNamed(t, n, "tap0"); l.MasterIndex != 0 {
		t.Errorf("released port is %+v", l)
	}
}

func TestEnsurePortRefuses(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	bridge := ensureBridge(t, n, testBridge())
	hosttest.Must(t, n.AddTAP("tap0"), n.AddBridge("other", "tap0"), lab.Veth(n, "uplink", n, "x"), n.AddAddress("uplink", "192.0.2.7/24"))
	tests := []struct {
		name, link string
		code       model.Code
		naming     string
	}{
		{"missing", "tap9", model.NotFound, "tap9"},
		{"port of another", "tap0", model.Conflict, "other"},
		{"loopback", "lo", model.Conflict, "lo"},
		{"bridge", "other", model.Conflict, "other"},
		{"host's link", "uplink", model.Conflict, "192.0.2.7"},
		{"no name", "a/b", model.Invalid, "a/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			hosttest.On(t, n, func() error {
				_, err := EnsurePort(t.Context(), tt.link, bridge)
				hosttest.WantRefusal(t, err, tt.code, tt.naming)
				hosttest.WantRefusal(t, CheckPort(t.Context(), tt.link, 0), tt.code, tt.naming)
				return nil
			})
		})
	}
}

// TestBounceCarrier looks from the other end: the plug was pulled and put back.
func TestBounceCarrier(t *testing.T) {
	t.Parallel()
	n, vm := hosttest.New(t), hosttest.New(t)
	bridge := ensureBridge(t, n, testBridge())
	hosttest.Must(t, lab.Veth(n, "p0", vm, "eth0"), n.Enslave("p0", testBridge().Name))
	port, err := n.Link("p0")
	hosttest.Must(t, err)
	before := carrierChanges(t, vm, "eth0")
	hosttest.On(t, n, func() error { return BounceCarrier([]int{port.Index, 1 << 20}) })
	if got := carrierChanges(t, vm, "eth0"); got != before+2 {
		t.Errorf("the other end's carrier changed %d times, want twice", got-before)
	}
	if l := linkNamed(t, n, "p0"); !l.Up || l.MasterIndex != bridge {
		t.Errorf("the port is %+v", l)
	}
	hosttest.On(t, n, func() error { return BounceCarrier(nil) })
}

// carrierChanges is how often a link's carrier has come or gone.
func carrierChanges(t *testing.T, n *lab.Namespace, name string) (count uint32) {
	t.Helper()
	attrs, err := n.Link(name)
	hosttest.Must(t, err)
	hosttest.On(t, n, func() error {
		req := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
		head := nl.NewIfInfomsg(unix.AF_UNSPEC)
		head.Index = int32(attrs.Index)
		req.AddData(head)
		messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
		if err != nil {
			return err
		}
		parsed, err := nl.ParseRouteAttr(messages[0][unix.SizeofIfInfomsg:])
		for _, a := range parsed {
			if a.Attr.Type == unix.IFLA_CARRIER_CHANGES {
				count = binary.NativeEndian.Uint32(a.Value)
			}
		}
		return err
	})
	return count
}

// A bridge takes no more than so many ports; who is one too many is told so.
func TestPortTooMany(t *testing.T) {
	t.Parallel()
	n := hosttest.New(t)
	hosttest.Must(t, n.AddBridge("br0"))
	hosttest.On(t, n, func() error {
		bridge, err := netlink.LinkByName("br0")
		if err != nil {
			return err
		}
		for i := range maxPorts + 1 {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = fmt.Sprintf("p%d", i)
			if i < maxPorts {
				attrs.MasterIndex = bridge.Attrs().Index
			}
			if err := netlink.LinkAdd(&netlink.Ifb{LinkAttrs: attrs}); err != nil {
				return err
			}
		}
		_, err = EnsurePort(t.Context(), fmt.Sprintf("p%d", maxPorts), bridge.Attrs().Index)
		hosttest.WantRefusal(t, err, model.Exhausted, "1023 ports")
		return nil
	})
}
