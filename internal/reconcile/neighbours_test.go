package reconcile

import (
	"net/netip"
	"testing"
)

func TestUnmanagedAt(t *testing.T) {
	t.Parallel()
	c := testConfig()
	web, lan, e := c.Networks[0], c.Networks[1], c.Endpoints[0]
	if e.Network != web.Name {
		t.Fatalf("endpoint %s is in %s", e.Name, e.Network)
	}
	free := web.Gateway4().Next().Next().Next()
	e.Addresses = []netip.Addr{web.Gateway4().Next()}
	c.Endpoints[0] = e
	tests := []struct {
		name, link string
		address    netip.Addr
		want       bool
	}{
		{"somebody", web.Bridge, free, true},
		{"an attached endpoint", web.Bridge, e.Address4(), false},
		{"that address on another bridge", lan.Bridge, e.Address4(), lan.Subnet4().Contains(e.Address4())},
		{"not of the subnet", web.Bridge, netip.MustParseAddr("198.51.100.7"), false},
		{"on no bridge of ours", "eth0", free, false},
	}
	unmanaged := unmanagedAt(c)
	for _, tt := range tests {
		if got := unmanaged(tt.link, tt.address); got != tt.want {
			t.Errorf("%s, %s on %s: %t, want %t", tt.name, tt.address, tt.link, got, tt.want)
		}
	}
}
