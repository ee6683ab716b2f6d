package control

import (
	"context"
	"os"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// TAPSpec asks for a TAP in a network, which is given by its name or its bridge, or for
// the one that was made for an endpoint.
type TAPSpec struct {
	Network, Bridge string
	Endpoint        string // instead of these
	VNetHdr         bool
}

// OpenedTAP is a TAP that is a port of a network's bridge as long as it is open.
type OpenedTAP struct{ Network, Interface string }

// OpenTAP plugs a TAP into a network, as any tool might. Whoever gets the file can
// send when it is checked what comes from there, and no earlier.
func (c *Control) OpenTAP(ctx context.Context, spec TAPSpec) (OpenedTAP, *os.File, error) {
	c.changing.Lock()
	defer c.changing.Unlock()
	cfg, _ := c.snapshot()
	if spec.Endpoint != "" {
		return c.openOwnTAP(ctx, cfg, spec)
	}
	n, err := networkOf(cfg, spec)
	if err != nil {
		return OpenedTAP{}, nil, err
	}
	name, file, err := c.host.OpenTAP(ctx, n, spec.VNetHdr)
	if err != nil {
		return OpenedTAP{}, nil, err
	}
	if err := c.reconcile(ctx); err != nil {
		file.Close()
		return OpenedTAP{}, nil, err
	}
	return OpenedTAP{Network: n.Name, Interface: name}, file, nil
}

// openOwnTAP opens an endpoint's TAP.
func (c *Control) openOwnTAP(ctx context.Context, cfg config.Config, spec TAPSpec) (OpenedTAP, *os.File, error) {
	if spec.Network != "" || spec.Bridge != "" {
		return OpenedTAP{}, nil, model.Errorf(model.Invalid, "an endpoint's TAP is in the endpoint's network").WithHint("leave network and bridge out")
	}
	e, err := cfg.Endpoint(spec.Endpoint)
	if err != nil {
		return OpenedTAP{}, nil, err
	}
	if e.Kind != model.KindTAP || !e.TAP.Made {
		return OpenedTAP{}, nil, model.Errorf(model.Conflict, "endpoint %q has no TAP on the host that hostnat has made", e.Name).
			WithHint("attach it with --tap TAP --create")
	}
	file, err := c.host.OpenOwnTAP(ctx, e, spec.VNetHdr)
	return OpenedTAP{Network: e.Network, Interface: e.Target}, file, err
}

// networkOf finds the network that a TAP is to be plugged into.
func networkOf(cfg config.Config, spec TAPSpec) (model.Network, error) {
	if (spec.Network == "") == (spec.Bridge == "") {
		return model.Network{}, model.Errorf(model.Invalid, "a TAP is plugged into one network").WithHint("give its name or its bridge")
	}
	if spec.Network != "" {
		n, err := cfg.Network(spec.Network)
		if err == nil && n.PerEndpoint() {
			err = model.Errorf(model.Conflict, "network %q has no switch", n.Name).WithHint("use 'hostnat endpoint attach %s NAME --tap TAP --create'", n.Name)
		}
		return n, err
	}
	for _, n := range cfg.Networks {
		if n.Bridge == spec.Bridge && !n.PerEndpoint() {
			return n, nil
		}
	}
	return model.Network{}, model.Errorf(model.NotFound, "no network has the bridge %q", model.Clip(spec.Bridge)).WithHint("'hostnat network list' shows the bridges")
}
