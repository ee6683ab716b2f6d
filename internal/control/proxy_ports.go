package control

import (
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// proxyPorts has a row for each address that a port proxy listens on. One that
// listens on a name has that of all addresses: where the name leads is not
// hostnat's to say.
func proxyPorts(cfg config.Config, states map[uint32]model.ProxyState) (views []PortView) {
	for _, p := range cfg.Proxies {
		addresses := p.ListenAddresses()
		if len(addresses) == 0 {
			addresses = []netip.Addr{netip.IPv4Unspecified()}
		}
		for _, a := range addresses {
			v := ownedPorts(p.Protocol, model.AddrPorts{Address: a, Ports: p.Listen.Ports}, ProxyPort, proxyOwner(p))
			if !states[p.ID].Listening {
				*v.InUse = 0
			}
			views = append(views, v)
		}
	}
	return views
}

func proxyOwner(p model.Proxy) string {
	if p.Kind == model.ByName {
		return fmt.Sprintf("by name (proxy %d)", p.ID)
	}
	return fmt.Sprintf("%s (proxy %d)", p.Connect, p.ID)
}

// foreign leaves out the sockets of this process that are proxies'.
func foreign(listeners []model.Listener, cfg config.Config) []model.Listener {
	return slices.DeleteFunc(slices.Clone(listeners), func(l model.Listener) bool {
		return l.PID == os.Getpid() && slices.ContainsFunc(cfg.Proxies, func(p model.Proxy) bool {
			return p.Protocol == l.Protocol && p.Listen.Ports.Contains(l.Address.Port())
		})
	})
}
