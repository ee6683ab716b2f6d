package host

import (
	"testing"

	"github.com/hostnat/hostnat/internal/lab"
	"github.com/hostnat/hostnat/internal/nat"
)

func TestEnsurePort(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	bridge := ensureBridge(t, n, testBridge())
	must(t, n.AddTAP("tap0"), n.SetDown("tap0"))
	var index int
	on(t, n, func() (err error) { index, err = EnsurePort(t.Context(), "tap0", bridge); return err })
	if l := linkNamed(t, n, "tap0"); l.MasterIndex != bridge || !l.Up || l.Index != index || l.Type != "tuntap" {
		t.Errorf("port is %+v", l)
	}
	wantQuiet(t, n, func() error { _, err := EnsurePort(t.Context(), "tap0", bridge); return err })
	on(t, n, func() error { return ReleasePort("tap0", bridge) })
	on(t, n, func() error { return ReleasePort("tap0", bridge) })
	on(t, n, func() error { return ReleasePort("tap9", bridge) })
	if l := linkNamed(t, n, "tap0"); l.MasterIndex != 0 {
		t.Errorf("released port is %+v", l)
	}
}

func TestEnsurePortRefuses(t *testing.T) {
	t.Parallel()
	n := newHost(t)
	bridge := ensureBridge(t, n, testBridge())
	must(t, n.AddTAP("tap0"), n.AddBridge("other", "tap0"), lab.Veth(n, "uplink", n, "x"), n.AddAddress("uplink", "192.0.2.7/24"))
	tests := []struct {
		name, link string
		code       nat.Code
		naming     string
	}{
		{"missing", "tap9", nat.NotFound, "tap9"},
		{"port of another", "tap0", nat.Conflict, "other"},
		{"loopback", "lo", nat.Conflict, "lo"},
		{"bridge", "other", nat.Conflict, "other"},
		{"host's link", "uplink", nat.Conflict, "192.0.2.7"},
		{"no name", "a/b", nat.Invalid, "a/b"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			on(t, n, func() error {
				_, err := EnsurePort(t.Context(), tt.link, bridge)
				wantRefusal(t, err, tt.code, tt.naming)
				wantRefusal(t, CheckPort(t.Context(), tt.link, 0), tt.code, tt.naming)
				return nil
			})
		})
	}
}
