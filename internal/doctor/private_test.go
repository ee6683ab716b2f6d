package doctor

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// withClones is a healthy host with two per-endpoint networks of one prefix, and two
// clones in the first: in a namespace and behind a TAP.
func withClones() Facts {
	f := healthy()
	gateway := []netip.Prefix{pre("172.16.9.1/24")}
	for i, name := range []string{"snap", "snip"} {
		f.Config.Networks = append(f.Config.Networks, model.Network{Name: name, ID: uint32(10 + i), NAT: "default", Type: model.TypePerEndpoint, Compartment: model.EachCompartment,
			Subnets: []netip.Prefix{pre("172.16.9.0/24")}, Gateways: []netip.Addr{gateway[0].Addr()}})
	}
	for i, link := range []string{"hv-e1", "tap0"} {
		f.Config.Endpoints = append(f.Config.Endpoints, model.Endpoint{Name: fmt.Sprintf("e%d", i), ID: uint32(20 + i), Network: "snap", Interface: link,
			Kind: model.KindTAP, Addresses: []netip.Addr{netip.MustParseAddr("172.16.9.2")}})
		f.Host.Sysctls["net/ipv4/conf/"+link+"/rp_filter"] = "0"
	}
	f.Host.Links = append(f.Host.Links,
		host.Link{Index: 7, Name: "hv-e1", Alias: host.Owner, MTU: 1500, Addresses: gateway, Unrouted: gateway},
		host.Link{Index: 8, Name: "tap0", MTU: 1500, Addresses: gateway, Unrouted: gateway, Lent: gateway, PointToPoint: true})
	return f
}

func TestNothingIsWrongWithClones(t *testing.T) {
	t.Parallel()
	for _, daemon := range []bool{true, false} {
		f := withClones()
		if !daemon {
			without(&f)
		}
		for _, found := range Run(f) {
			if found.Faulty() && found.Check != "daemon" {
				t.Errorf("daemon %v: %+v", daemon, found)
			}
		}
	}
}

// One finding for all clones of a network, not one for each.
func TestFirewallBeforeClones(t *testing.T) {
	t.Parallel()
	f := withClones()
	f.Host.Sysctls["net/ipv4/conf/all/rp_filter"] = "1"
	f.Host.Sysctls["net/ipv4/conf/hn-web/rp_filter"] = "0"
	count := 0
	for _, found := range Run(f) {
		if found.Check == "reverse-path" && found.Command == "sysctl -w net.ipv4.conf.hv-e1.rp_filter=2" {
			count++
		} else if found.Check == "reverse-path" {
			t.Errorf("%+v", found)
		}
	}
	if count != 1 {
		t.Errorf("%d findings about snap, want 1", count)
	}
}

func TestLinkOfCloneIsLeft(t *testing.T) {
	t.Parallel()
	f := withClones()
	without(&f)
	f.Config.Endpoints = f.Config.Endpoints[:len(f.Config.Endpoints)-1]
	var found []Finding
	for _, one := range Run(f) {
		if one.Faulty() && one.Check != "daemon" {
			found = append(found, one)
		}
	}
	if len(found) != 1 || found[0].Check != "leftover" || found[0].fix == nil || found[0].fix.ReleasePointToPoint != "tap0" {
		t.Errorf("found %+v", found)
	}
}
