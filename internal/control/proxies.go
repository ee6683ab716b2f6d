package control

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// Relays are the port proxies at work: package portproxy has the real ones,
// tests a fake.
type Relays interface {
	// Apply makes c's proxies those that are relayed for. It does not fail: what
	// is in the way is in the states.
	Apply(c config.Config)
	// States returns what the proxies do now, by id.
	States() map[uint32]model.ProxyState
	// Lookup returns the addresses of a name; nil if it is not known.
	Lookup(ctx context.Context, host string) []netip.Addr
}

// noRelays is for a Control that has none.
type noRelays struct{}

func (noRelays) Apply(config.Config)                         {}
func (noRelays) States() map[uint32]model.ProxyState         { return nil }
func (noRelays) Lookup(context.Context, string) []netip.Addr { return nil }

// ProxyView is a port proxy and what it does.
type ProxyView struct {
	model.Proxy
	model.ProxyState
}

// nameTime is how long AddProxy waits for name servers to find out whether the
// proxy would lead to itself. If they take longer, the engine finds out.
const nameTime = 2 * time.Second

// Proxies returns all port proxies.
func (c *Control) Proxies(context.Context) ([]ProxyView, error) {
	cfg, _ := c.snapshot()
	states := c.relays.States()
	views := []ProxyView{}
	for _, p := range cfg.Proxies {
		views = append(views, ProxyView{Proxy: p, ProxyState: states[p.ID]})
	}
	return views, nil
}

// AddProxy adds a port proxy, unless its port belongs to somebody else or it
// would relay to itself. One that is the same in everything is returned. A name
// that does not resolve is kept, and said in the view.
func (c *Control) AddProxy(ctx context.Context, spec config.ProxySpec) (ProxyView, error) {
	var p model.Proxy
	err := c.change(ctx, "add port proxy", func(cfg *config.Config) error {
		asking, cancel := context.WithTimeout(ctx, nameTime)
		defer cancel()
		at, err := c.locate(asking, cfg)
		if err != nil {
			return err
		}
		count := len(cfg.Proxies)
		if p, err = cfg.AddProxy(spec, at); err != nil || len(cfg.Proxies) == count {
			return err
		}
		return c.checkProxyListener(ctx, p)
	}, nil)
	if err != nil {
		return ProxyView{}, err
	}
	return ProxyView{Proxy: p, ProxyState: c.relays.States()[p.ID]}, nil
}

// DeleteProxy deletes the port proxy of that id and ends its connections.
func (c *Control) DeleteProxy(ctx context.Context, id uint32) error {
	return c.change(ctx, fmt.Sprintf("delete port proxy %d", id), func(cfg *config.Config) error {
		return cfg.DeleteProxy(id)
	}, nil)
}

// locate says where names lead and what is the host's own.
func (c *Control) locate(ctx context.Context, cfg *config.Config) (config.Locate, error) {
	facts, err := c.host.Facts(ctx)
	if err != nil {
		return config.Locate{}, err
	}
	known := make(map[string][]netip.Addr)
	return config.Locate{
		Local: func(a netip.Addr) bool {
			return facts.InterfaceOf(a) != "" || slices.ContainsFunc(cfg.Networks, func(n model.Network) bool { return n.Gateway4() == a })
		},
		Resolve: func(host string) []netip.Addr {
			if e, err := cfg.Endpoint(host); err == nil {
				return []netip.Addr{e.Address4()}
			}
			list, asked := known[host]
			if !asked {
				list = c.relays.Lookup(ctx, host)
				known[host] = list
			}
			return list
		},
	}, nil
}

// checkProxyListener refuses a port on which a program of the host listens.
func (c *Control) checkProxyListener(ctx context.Context, p model.Proxy) error {
	for _, a := range p.ListenAddresses() {
		l, err := c.host.Listener(ctx, p.Protocol, model.AddrPorts{Address: a, Ports: p.Listen.Ports})
		if err != nil {
			return err
		}
		if l != nil {
			return model.Errorf(model.Conflict, "%s listens on %s %s", program(*l), p.Protocol, l.Address).
				WithHint("end it, or choose another port")
		}
	}
	return nil
}

// proxyProblems says which port proxies do not work now, and why.
func (c *Control) proxyProblems(cfg config.Config) (list []string) {
	states := c.relays.States()
	for _, p := range cfg.Proxies {
		if problem := states[p.ID].Problem; problem != "" {
			list = append(list, fmt.Sprintf("port proxy %d: %s", p.ID, problem))
		}
	}
	return list
}
