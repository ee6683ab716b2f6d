package cni

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"github.com/containernetworking/cni/pkg/version"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/container"
)

// Check fails if a container is not connected as ADD has left it.
func (p *Plugin) Check(ctx context.Context, r *skel.CmdArgs) error {
	c, err := parse(r.StdinData)
	if err != nil {
		return err
	}
	if c.RawPrevResult == nil {
		return invalid("CHECK has no prevResult")
	}
	if err := version.ParsePrevResult(&c.PluginConf); err != nil {
		return types.NewError(types.ErrDecodingFailure, "hostnat: prevResult cannot be read", err.Error())
	}
	made, err := types100.GetResult(c.PrevResult)
	if err != nil {
		return types.NewError(types.ErrDecodingFailure, "hostnat: prevResult cannot be read", err.Error())
	}
	all, err := p.Daemon.Endpoints(ctx, "")
	if err != nil {
		return err
	}
	a := attachment{network: c.Name, container: r.ContainerID, ifName: r.IfName}
	i := slices.IndexFunc(all, func(e api.Endpoint) bool { return e.Owner == Owner && attachmentOf(e.Labels) == a })
	if i < 0 {
		return types.NewError(types.ErrUnknownContainer, "hostnat: container "+a.container+" has no "+a.ifName+" on network "+a.network, "")
	}
	if err := checkEndpoint(all[i], r, made); err != nil {
		return err
	}
	return p.checkPorts(ctx, c, a, all[i].Name)
}

// checkEndpoint compares an endpoint with what ADD has answered.
func checkEndpoint(e api.Endpoint, r *skel.CmdArgs, made *types100.Result) error {
	if e.State != api.EndpointUp {
		return changed("endpoint %s is %s", e.Name, e.State)
	}
	for _, ip := range made.IPs {
		if ip.Interface == nil || *ip.Interface < 0 || *ip.Interface >= len(made.Interfaces) {
			continue
		}
		link := made.Interfaces[*ip.Interface]
		if link.Sandbox != r.Netns || link.Name != r.IfName {
			continue // another plugin's
		}
		if a, ok := netip.AddrFromSlice(ip.Address.IP); !ok || !slices.Contains(e.Addresses, a.Unmap()) {
			return changed("endpoint %s has %v, not %s", e.Name, e.Addresses, ip.Address.IP)
		}
		if link.Mac != "" && !strings.EqualFold(link.Mac, e.MAC) {
			return changed("endpoint %s has MAC %s, not %s", e.Name, e.MAC, link.Mac)
		}
	}
	return nil
}

// checkPorts makes sure that each published port has its mapping.
func (p *Plugin) checkPorts(ctx context.Context, c conf, a attachment, endpoint string) error {
	want, err := published(c.Runtime.PortMappings, endpoint)
	if err != nil || len(want) == 0 {
		return err
	}
	mappings, err := p.Daemon.Mappings(ctx)
	if err != nil {
		return err
	}
	for _, w := range want {
		external := strings.Replace(w.External, "*", "0.0.0.0", 1)
		has := func(m api.Mapping) bool {
			return m.Owner == Owner && attachmentOf(m.Labels) == a && string(m.Protocol) == w.Protocol && m.External == external
		}
		if !slices.ContainsFunc(mappings, has) {
			return changed("%s port %s is not published", w.Protocol, external)
		}
	}
	return nil
}

// Status fails if no container can be connected.
func (p *Plugin) Status(ctx context.Context, r *skel.CmdArgs) error {
	c, err := parse(r.StdinData)
	if err != nil {
		return err
	}
	_, err = p.Daemon.Version(ctx)
	switch {
	case err != nil && !p.Flows():
		return types.NewError(types.ErrLimitedConnectivity, "hostnat: "+err.Error(), "and containers that are connected reach nothing")
	case err != nil:
		return types.NewError(types.ErrPluginNotAvailable, "hostnat: "+err.Error(), "containers that are connected go on")
	}
	has, err := p.Daemon.Network(ctx, c.Network)
	if api.CodeOf(err) == api.NotFound {
		return nil // ADD makes it
	}
	if err == nil {
		err = container.Differs(has, c.spec())
	}
	if err != nil {
		return types.NewError(types.ErrPluginNotAvailable, "hostnat: "+err.Error(), "containers that are connected go on")
	}
	return nil
}

func changed(format string, args ...any) error {
	return types.NewError(codeChanged, "hostnat: "+fmt.Sprintf(format, args...), "")
}
