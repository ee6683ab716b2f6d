package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

func TestPluggedIn(t *testing.T) {
	t.Parallel()
	c := testConfig()
	veth := func(index, bridge int, name string) host.Link {
		return host.Link{Index: index, Name: name, MasterIndex: bridge, Type: "veth", Up: true}
	}
	down, tap := veth(11, 4, "down"), veth(12, 4, "vm0")
	down.Up, tap.Type = false, "tuntap"
	links := append(testLinks(), veth(9, 4, "lxc0"), veth(10, 7, "lxc1"), down, tap, veth(13, 7, "ep"), veth(14, 99, "elsewhere"))
	c.Endpoints = append(c.Endpoints, model.Endpoint{Name: "ep", Network: "lan", Kind: model.KindPort, Interface: "ep"})
	if diff := cmp.Diff([]int{9}, pluggedIn(c, c.Networks[0], links)); diff != "" {
		t.Errorf("on a bridge of ours (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{13}, pluggedIn(c, c.Networks[1], links)); diff != "" {
		t.Errorf("on an adopted bridge (-want +got):\n%s", diff)
	}
	c.Networks[0].Bridge = "missing"
	if got := pluggedIn(c, c.Networks[0], links); got != nil {
		t.Errorf("without its bridge: %v", got)
	}
}
