package lab

import (
	"slices"
	"testing"
)

func TestTopologyConnects(t *testing.T) {
	t.Parallel()
	top := StartTopology(t, 2)
	if got := len(top.Endpoints); got != 2 {
		t.Fatalf("%d endpoints, want 2", got)
	}
	links, err := top.Endpoints[0].Links()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(links)
	if slices.ContainsFunc(links, func(s string) bool { return s == "eth0" }) {
		t.Errorf("endpoint is not bare: %v", links)
	}
	ln, err := top.Remote.Listen("tcp", ":80")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := top.Host.Dial(t.Context(), "tcp", RemoteAddress+":80")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
}

func TestLinkHelpers(t *testing.T) {
	t.Parallel()
	n := newNamespace(t)
	steps := []struct {
		name string
		do   func() error
	}{
		{"veth", func() error { return Veth(n, "a", n, "b") }},
		{"tap", func() error { return n.AddTAP("tap0") }},
		{"bridge", func() error { return n.AddBridge("br", "a", "tap0") }},
		{"address", func() error { return n.AddAddress("br", "10.9.0.1/24") }},
		{"route", func() error { return n.AddRoute("10.10.0.0/16", "10.9.0.2") }},
		{"mtu", func() error { return n.SetMTU("b", 1400) }},
		{"offloads off", func() error { return n.SetOffloads("b", false) }},
		{"offloads on", func() error { return n.SetOffloads("b", true) }},
		{"down", func() error { return n.SetDown("b") }},
		{"delete address", func() error { return n.DeleteAddress("br", "10.9.0.1/24") }},
		{"delete", func() error { return n.DeleteLink("b") }},
	}
	for _, s := range steps {
		if err := s.do(); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	if _, err := n.Link("a"); err == nil {
		t.Error("veth peer outlived its pair")
	}
	if l, err := n.Link("tap0"); err != nil || l.MasterIndex == 0 {
		t.Errorf("tap0: %+v, %v; want it enslaved", l, err)
	}
}
