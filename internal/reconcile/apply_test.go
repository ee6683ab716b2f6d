package reconcile

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

func TestBridgesDown(t *testing.T) {
	t.Parallel()
	c := config.NewConfig()
	c.Networks = []model.Network{{Name: "lan", Bridge: "br0", Adopted: true}, {Name: "guests", Bridge: "br1", Adopted: true}, {Name: "web", Bridge: "hn-web"}}
	links := []host.Link{{Name: "br0"}, {Name: "br1", Up: true}, {Name: "br2"}, {Name: "hn-web"}}
	want := []string{"bridge br0 of network lan is down: nothing gets through; 'ip link set br0 up' fixes it"}
	if diff := cmp.Diff(want, bridgesDown(c, links)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
