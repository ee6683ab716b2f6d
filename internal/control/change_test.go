package control

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func TestChangesReachStoreAndKernel(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	ctx := t.Context()
	steps := []func() error{
		func() error {
			_, err := c.CreateNAT(ctx, config.NATSpec{Name: "office", ExternalInterfaces: []string{"eth0"}})
			return err
		},
		func() error { _, err := c.SetNAT(ctx, "office", map[string]string{"udp-timeout": "9"}); return err },
		func() error { _, err := c.AddAddress(ctx, "office", "192.168.7.5:2000-2999"); return err },
		func() error {
			_, err := c.CreateNetwork(ctx, config.NetworkSpec{Name: "lab", NAT: "office"})
			return err
		},
		func() error { return c.DeleteMapping(ctx, 1) },
		func() error { return c.DetachEndpoint(ctx, "c1") },
		func() error { return c.DeleteNetwork(ctx, "web", false) },
		func() error { return c.DeleteNetwork(ctx, "lab", false) },
		func() error { return c.RemoveAddress(ctx, "office", "192.168.7.5") },
		func() error { return c.DeleteNAT(ctx, "office") },
	}
	for i, step := range steps {
		before, _ := c.snapshot()
		if err := step(); err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		after, _ := c.snapshot()
		if fmt.Sprint(before) == fmt.Sprint(after) {
			t.Errorf("step %d changed nothing", i)
		}
		same(t, c, k, s, after)
	}
}

// A change that the kernel refuses leaves no trace in any of the three places.
func TestRefusedByKernelIsUndone(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	before, _ := c.snapshot()
	k.refuse = func(c config.Config) error {
		if len(c.Networks) != len(before.Networks) || len(c.Endpoints) != len(before.Endpoints) || len(c.Mappings) != len(before.Mappings) || len(c.NATs) != len(before.NATs) {
			return errKernel
		}
		return nil
	}
	ctx := t.Context()
	changes := map[string]func() error{
		"create network": func() error { _, err := c.CreateNetwork(ctx, config.NetworkSpec{Name: "lab"}); return err },
		"attach endpoint": func() error {
			_, err := c.AttachEndpoint(ctx, config.EndpointSpec{Network: "web", Name: "c2", PID: "7"})
			return err
		},
		"add mapping": func() error {
			_, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "udp", External: "53", Internal: "c1:53"})
			return err
		},
		"create NAT":     func() error { _, err := c.CreateNAT(ctx, config.NATSpec{Name: "office"}); return err },
		"delete mapping": func() error { return c.DeleteMapping(ctx, 1) },
		"delete network": func() error { return c.DeleteNetwork(ctx, "web", true) },
	}
	for name, change := range changes {
		err := change()
		if !errors.Is(err, errKernel) || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
		same(t, c, k, s, before)
	}
	if st, _ := c.Status(ctx); len(st.Problems) != 0 {
		t.Errorf("problems: %q", st.Problems)
	}
}

func TestEndpointThatGoesAwayWhileAttaching(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	before, _ := c.snapshot()
	why := model.Errorf(model.NotFound, "namespace c2 does not exist").WithHint("start it")
	k.absent = map[string]error{"c2": why}
	_, err := c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "web", Name: "c2", Netns: "c2"})
	if err != error(why) {
		t.Errorf("got %v, want %v", err, why)
	}
	same(t, c, k, s, before)
}

// Once a change has begun it does not stop half-way because the client left.
func TestCallerGoesAway(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.CreateNetwork(ctx, config.NetworkSpec{Name: "lab"}); err != nil {
		t.Fatal(err)
	}
	after, _ := c.snapshot()
	same(t, c, k, s, after)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	k.missing = map[string]bool{"gone": true}
	k.taken = map[netip.Addr]error{netip.MustParseAddr("192.0.2.1"): model.Errorf(model.Conflict, "192.0.2.1 belongs to another machine")}
	k.listener = &model.Listener{Program: "nginx", PID: 41, Address: netip.MustParseAddrPort("0.0.0.0:80")}
	before, _ := c.snapshot()
	ctx := t.Context()
	mapping := func(external, internal string) error {
		_, err := c.AddMapping(ctx, config.MappingSpec{Protocol: "tcp", External: external, Internal: internal})
		return err
	}
	_, noTarget := c.AttachEndpoint(ctx, config.EndpointSpec{Network: "web", Name: "x", Netns: "gone"})
	_, noInterface := c.CreateNAT(ctx, config.NATSpec{Name: "n", ExternalInterfaces: []string{"eth9"}})
	_, noAddress := c.CreateNAT(ctx, config.NATSpec{Name: "n", ExternalAddresses: []string{"192.0.2.9", "192.0.2.1"}})
	_, addAddress := c.AddAddress(ctx, "default", "192.0.2.1")
	_, noNewInterface := c.SetNAT(ctx, "default", map[string]string{"external-interface": "eth0,eth9"})
	_, everyPort := c.AddMapping(ctx, config.MappingSpec{Protocol: "udp", External: "1024-65535", Internal: "c1:1024-65535"})
	_, overlap := c.CreateNetwork(ctx, config.NetworkSpec{Name: "n", Subnet: "192.168.0.0/16"})
	_, noNetwork := c.Endpoints(ctx, "nope")
	_, noEndpoint := c.Endpoint(ctx, "nope")
	tests := []struct {
		err      error
		code     model.Code
		mentions string
	}{
		{mapping("80", "c1:80"), model.Conflict, "nginx (pid 41) listens on tcp 0.0.0.0:80"},
		{mapping("8080", "c1:81"), model.Conflict, "1 (tcp *:8080 to c1:80)"},
		{mapping("99", "172.16.1.1:80"), model.Invalid, "gateway"},
		{noTarget, model.NotFound, `namespace "gone"`},
		{noInterface, model.NotFound, "eth9"},
		{mapping("78-88", "c1:78-88"), model.Conflict, "nginx (pid 41) listens on tcp 0.0.0.0:80"},
		{noAddress, model.Conflict, "another machine"},
		{addAddress, model.Conflict, "another machine"},
		{noNewInterface, model.NotFound, "eth9"},
		{everyPort, model.Conflict, `udp *:1024-65535 would take the last dynamic udp port of NAT "default"`},
		{overlap, model.Conflict, "address of eth0"},
		{noNetwork, model.NotFound, "nope"},
		{noEndpoint, model.NotFound, "nope"},
		{c.DeleteMapping(ctx, 7), model.NotFound, "mapping 7"},
		{c.DeleteNetwork(ctx, "web", false), model.Conflict, "--force"},
	}
	for _, tt := range tests {
		if model.CodeOf(tt.err) != tt.code || !strings.Contains(fmt.Sprint(tt.err), tt.mentions) {
			t.Errorf("got %v, want %s with %q", tt.err, tt.code, tt.mentions)
		}
	}
	same(t, c, k, s, before)
}

func TestSameMappingAndEndpointAgain(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	before, _ := c.snapshot()
	// The mapping's own port is not looked for listeners again.
	k.listener = &model.Listener{Program: "x", Address: netip.MustParseAddrPort("0.0.0.0:8080")}
	m, err := c.AddMapping(t.Context(), config.MappingSpec{Protocol: "tcp", External: "8080", Internal: "c1:80"})
	if err != nil || m.ID != 1 || !m.Active {
		t.Errorf("mapping: %+v, %v", m, err)
	}
	applied := len(k.applied)
	e, err := c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "web", Name: "c1", Netns: "c1"})
	if err != nil || !cmp.Equal(e.Endpoint, before.Endpoints[0], compareNetip) {
		t.Errorf("endpoint: %+v, %v", e, err)
	}
	if len(k.applied) == applied {
		t.Error("attaching again repairs nothing")
	}
	same(t, c, k, s, before)
}

func TestConcurrentChanges(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprintf("p%d", i)
			if _, err := c.AttachEndpoint(t.Context(), config.EndpointSpec{Network: "web", Name: name, Netns: name}); err != nil {
				t.Error(err)
			}
			if _, err := c.Status(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	after, _ := c.snapshot()
	seen := map[netip.Addr]bool{}
	for _, e := range after.Endpoints {
		seen[e.Address4()] = true
	}
	if len(after.Endpoints) != 9 || len(seen) != 9 {
		t.Errorf("%d endpoints with %d addresses", len(after.Endpoints), len(seen))
	}
	same(t, c, k, s, after)
}

func TestDetachedEndpointsMappingStaysAndServesAgain(t *testing.T) {
	t.Parallel()
	c, k, _ := withWeb(t)
	ctx := t.Context()
	if err := c.DetachEndpoint(ctx, "c1"); err != nil {
		t.Fatal(err)
	}
	if m, _ := c.Mappings(ctx); len(m) != 1 || m[0].Active || len(k.last().Mappings) != 0 {
		t.Errorf("mappings %+v, in the kernel %+v", m, k.last().Mappings)
	}
	if _, err := c.AttachEndpoint(ctx, config.EndpointSpec{Network: "web", Name: "c1", Netns: "new", Address: "172.16.1.40"}); err != nil {
		t.Fatal(err)
	}
	m, _ := c.Mappings(ctx)
	if !m[0].Active || m[0].Internal != "172.16.1.40:80" || !slices.ContainsFunc(k.last().Mappings, func(m model.Mapping) bool { return m.ID == 1 }) {
		t.Errorf("mappings %+v", m)
	}
}

// An address that the host does not have is added, and known as such.
func TestAddressIsAdded(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	ctx := t.Context()
	list := func() (text string) {
		views, err := c.Addresses(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range views {
			text += fmt.Sprintln(v.NAT, v.Address, v.Ports, v.Interface, v.Source)
		}
		return text
	}
	for _, a := range []string{"192.0.2.1:2000-2009", "192.0.2.1:3000-3009", "192.168.7.5:2000-2009"} {
		if _, err := c.AddAddress(ctx, "default", a); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.CreateNAT(ctx, config.NATSpec{Name: "office", ExternalAddresses: []string{"192.0.2.2:1-9"}}); err != nil {
		t.Fatal(err)
	}
	const want = `default 192.0.2.1 2000-2009 eth0 added
default 192.0.2.1 3000-3009 eth0 added
default 192.168.7.5 2000-2009 eth0 fixed
office 192.0.2.2 1-9 eth0 added
`
	if diff := cmp.Diff(want, list()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	after, _ := c.snapshot()
	same(t, c, k, s, after)
	if err := c.RemoveAddress(ctx, "default", "192.0.2.1:2000-2009"); err != nil || !strings.HasPrefix(list(), "default 192.0.2.1 3000-3009 eth0 added") {
		t.Errorf("%v, left:\n%s", err, list())
	}
}

// The host's ephemeral ports cut a range in two: more than four are refused, not
// quietly left out.
func TestRangesAcrossTheHostsPorts(t *testing.T) {
	t.Parallel()
	c, k, s := withWeb(t)
	k.local = model.PortRange{Low: 2005, High: 2006}
	ctx := t.Context()
	for _, r := range []string{"2000-2009", "3000-3009", "4000-4009"} {
		if _, err := c.AddAddress(ctx, "default", "192.0.2.1:"+r); err != nil {
			t.Fatal(err)
		}
	}
	before, _ := c.snapshot()
	_, err := c.AddAddress(ctx, "default", "192.0.2.1:5000-5009")
	if model.CodeOf(err) != model.Conflict || !strings.Contains(err.Error(), "without the host's own ports 2005-2006, 192.0.2.1 has 5 port ranges") {
		t.Errorf("got %v", err)
	}
	same(t, c, k, s, before)
}
