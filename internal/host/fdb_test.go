package host

import (
	"context"
	"testing"
	"time"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
	"github.com/hostnat/hostnat/internal/model"
)

func TestBridgePort(t *testing.T) {
	t.Parallel()
	n, vm := hosttest.New(t), hosttest.New(t)
	index := ensureBridge(t, n, testBridge())
	hosttest.Must(t, lab.Veth(n, "p0", vm, "eth0"), n.Enslave("p0", testBridge().Name), vm.AddAddress("eth0", testBridge().Gateway.Addr().Next().String()+"/24"))
	attrs, err := vm.Link("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lab.Ping(t.Context(), vm, testBridge().Gateway.Addr().String()); err != nil {
		t.Fatal(err)
	}
	port, err := n.Link("p0")
	if err != nil {
		t.Fatal(err)
	}
	var got, unknown int
	var has, hasItself, hasNone bool
	hosttest.On(t, n, func() error {
		got = BridgePort(index, attrs.HardwareAddr)
		unknown = BridgePort(index, []byte{2, 9, 9, 9, 9, 9})
		has, hasItself, hasNone = BridgeHasPort(index, port.Index), BridgeHasPort(index, index), BridgeHasPort(index, 1<<20)
		return nil
	})
	if got != port.Index || unknown != 0 {
		t.Errorf("the port is %d, want %d; of an unknown MAC %d", got, port.Index, unknown)
	}
	if !has || hasItself || hasNone {
		t.Errorf("the bridge has its port: %t, itself: %t, one that is nowhere: %t", has, hasItself, hasNone)
	}
}

// TestPinMAC sends from one port with the MAC that another one has.
func TestPinMAC(t *testing.T) {
	t.Parallel()
	n, vm, forger := hosttest.New(t), hosttest.New(t), hosttest.New(t)
	index := ensureBridge(t, n, testBridge())
	gateway := testBridge().Gateway.Addr()
	hosttest.Must(t, lab.Veth(n, "p0", vm, "eth0"), n.Enslave("p0", testBridge().Name), vm.AddAddress("eth0", gateway.Next().String()+"/24"))
	hosttest.Must(t, lab.Veth(n, "p1", forger, "eth0"), n.Enslave("p1", testBridge().Name), forger.AddAddress("eth0", gateway.Next().Next().String()+"/24"))
	own, err := vm.Link("eth0")
	hosttest.Must(t, err)
	hosttest.Must(t, forger.SetMAC("eth0", own.HardwareAddr))
	port, err := n.Link("p0")
	hosttest.Must(t, err)
	behind := func() (port int) {
		hosttest.On(t, n, func() error { port = BridgePort(index, own.HardwareAddr); return nil })
		return port
	}
	ping := func(from *lab.Namespace) {
		// What it sends counts, not whether the answer finds its way.
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, _ = lab.Ping(ctx, from, gateway.String())
	}
	ping(vm)
	ping(forger)
	if got := behind(); got == port.Index {
		t.Fatalf("the forger does not get what it forges: the MAC is behind %d", got)
	}
	for range 2 {
		hosttest.On(t, n, func() error { return PinMAC(port.Index, model.MAC(own.HardwareAddr.String())) })
		ping(forger)
		if got := behind(); got != port.Index {
			t.Errorf("the MAC is behind port %d, want %d", got, port.Index)
		}
	}
	hosttest.Must(t, n.SetDown("p0"), n.SetUp("p0"))
	if got := behind(); got != port.Index {
		t.Errorf("after the port was down, the MAC is behind port %d, want %d", got, port.Index)
	}
	hosttest.On(t, n, func() error {
		if PinMAC(port.Index, "02") == nil || PinMAC(1<<20, "02:00:00:00:00:01") == nil {
			t.Error("a MAC that is none, or a port that is none, is no error")
		}
		return nil
	})
}
