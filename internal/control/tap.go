package control

import (
	"context"
	"os"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// TAPSpec asks for a TAP in a network, which is given by its name or its bridge.
type TAPSpec struct {
	Network, Bridge string
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
