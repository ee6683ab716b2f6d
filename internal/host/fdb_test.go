package host

import (
	"testing"

	"github.com/hostnat/hostnat/internal/lab"
)

func TestBridgePort(t *testing.T) {
	t.Parallel()
	n, vm := newHost(t), newHost(t)
	index := ensureBridge(t, n, testBridge())
	must(t, lab.Veth(n, "p0", vm, "eth0"), n.Enslave("p0", testBridge().Name), vm.AddAddress("eth0", testBridge().Gateway.Addr().Next().String()+"/24"))
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
	on(t, n, func() error {
		got = BridgePort(index, attrs.HardwareAddr)
		unknown = BridgePort(index, []byte{2, 9, 9, 9, 9, 9})
		return nil
	})
	if got != port.Index || unknown != 0 {
		t.Errorf("the port is %d, want %d; of an unknown MAC %d", got, port.Index, unknown)
	}
}
