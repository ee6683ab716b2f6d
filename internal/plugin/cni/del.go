package cni

import (
	"context"
	"encoding/json"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/types"
)

// Del takes a container from a network, whatever is left of it; nothing is no error.
// Of the configuration it reads the name alone: what was made by an earlier one has
// to go too.
func (p *Plugin) Del(ctx context.Context, r *skel.CmdArgs) error {
	var c types.PluginConf
	if err := json.Unmarshal(r.StdinData, &c); err != nil {
		return types.NewError(types.ErrDecodingFailure, "hostnat: the configuration cannot be read", err.Error())
	}
	all, err := p.Daemon.Endpoints(ctx, "")
	if err != nil {
		return err
	}
	a := attachment{network: c.Name, container: r.ContainerID, ifName: r.IfName}
	return p.remove(ctx, all, func(is attachment) bool { return is == a })
}

// GC takes away what is on a network of attachments that the runtime does not know.
func (p *Plugin) GC(ctx context.Context, r *skel.CmdArgs) error {
	var c types.PluginConf
	if err := json.Unmarshal(r.StdinData, &c); err != nil {
		return types.NewError(types.ErrDecodingFailure, "hostnat: the configuration cannot be read", err.Error())
	}
	valid := make(map[attachment]bool)
	for _, a := range c.ValidAttachments {
		valid[attachment{c.Name, a.ContainerID, a.IfName}] = true
	}
	all, err := p.Daemon.Endpoints(ctx, "")
	if err != nil {
		return err
	}
	return p.remove(ctx, all, func(is attachment) bool { return is.network == c.Name && !valid[is] })
}
