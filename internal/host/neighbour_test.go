package host

import (
	"slices"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/host/hosttest"
)

func TestNeighbours(t *testing.T) {
	t.Parallel()
	n, vm := hosttest.New(t), hosttest.New(t)
	index := ensureBridge(t, n, testBridge())
	own := testBridge().Gateway.Addr().Next()
	hosttest.Must(t, lab.Veth(n, "p0", vm, "eth0"), n.Enslave("p0", testBridge().Name), vm.AddAddress("eth0", own.String()+"/24"))
	card, err := vm.Link("eth0")
	hosttest.Must(t, err)
	if _, err := lab.Ping(t.Context(), vm, testBridge().Gateway.Addr().String()); err != nil {
		t.Fatal(err)
	}
	want := Neighbour{Link: index, Address: own, MAC: [6]byte(card.HardwareAddr)}
	hosttest.On(t, n, func() error {
		list, err := Neighbours(t.Context())
		if !slices.Equal(list, []Neighbour{want}) {
			t.Errorf("neighbours are %v, want %v", list, want)
		}
		if got := LinkName(index); got != testBridge().Name {
			t.Errorf("the bridge is called %q", got)
		}
		if got := LinkName(1 << 20); got != "" {
			t.Errorf("a link that is none is called %q", got)
		}
		return err
	})
}
