package cni

import (
	"encoding/json"
	"net"
	"net/netip"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"

	"github.com/hostnat/hostnat/api"
)

// resultOf says what has become of the container's link.
func resultOf(c conf, r *skel.CmdArgs, e api.Endpoint) *types100.Result {
	inside := 1 // of Interfaces
	result := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{
			{Name: e.Interface, Mtu: e.MTU},
			{Name: r.IfName, Mac: e.MAC, Mtu: e.MTU, Sandbox: r.Netns},
		},
		Routes: []*types.Route{},
		DNS:    dnsOf(c, e),
	}
	for i, a := range e.Addresses {
		result.IPs = append(result.IPs, &types100.IPConfig{
			Interface: &inside, Gateway: e.Gateways[i].AsSlice(),
			Address: net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(e.Subnets[i].Bits(), a.BitLen())},
		})
		all := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		result.Routes = append(result.Routes, &types.Route{Dst: net.IPNet{IP: all.Addr().AsSlice(), Mask: net.CIDRMask(0, a.BitLen())}, GW: e.Gateways[i].AsSlice()})
	}
	return result
}

// dnsOf is what the runtime asks for, else what the configuration says, else the
// network's own name server.
func dnsOf(c conf, e api.Endpoint) types.DNS {
	var asked struct {
		Servers  []string `json:"servers"`
		Searches []string `json:"searches"`
		Options  []string `json:"options"`
	}
	if text, err := json.Marshal(c.Runtime.DNS); err == nil && json.Unmarshal(text, &asked) == nil && len(asked.Servers) > 0 {
		return types.DNS{Nameservers: asked.Servers, Search: asked.Searches, Options: asked.Options}
	}
	if !c.DNS.IsEmpty() {
		return c.DNS
	}
	var dns types.DNS
	for _, a := range e.DNS {
		dns.Nameservers = append(dns.Nameservers, a.String())
	}
	if len(e.DNS) > 0 && e.Domain != "" {
		dns.Domain, dns.Search = e.Domain, []string{e.Domain}
	}
	return dns
}
