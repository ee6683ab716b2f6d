package reconcile

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/datapath"
	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/model"
)

// Neighbours returns who is on networks' bridges and no attached endpoint: who has
// exchanged ARP with the host, and whom the bridge has heard of lately (five minutes, if
// nobody has changed that) behind a port that is still there; and of whom the data path has.
func (k *Kernel) Neighbours(ctx context.Context) ([]model.Neighbour, error) {
	found, err := host.Neighbours(ctx)
	if err != nil {
		return nil, err
	}
	unmanaged := unmanagedAt(k.lastConfig())
	bridges := make(map[int]string) // by index
	list := []model.Neighbour{}
	for _, f := range found {
		bridge, known := bridges[f.Link]
		if !known {
			bridge = host.LinkName(f.Link)
			bridges[f.Link] = bridge
		}
		mac := net.HardwareAddr(f.MAC[:])
		if unmanaged(bridge, f.Address) && host.BridgePort(f.Link, mac) != 0 {
			list = append(list, model.Neighbour{Bridge: bridge, Address: f.Address, MAC: model.MAC(mac.String())})
		}
	}
	places, err := k.datapath.Places()
	if err != nil {
		return nil, err
	}
	return append(list, heardOf(k.lastConfig(), places, list, time.Now())...), nil
}

// heardLately is as long as bridges remember a MAC.
const heardLately = 5 * time.Minute

// heardOf are those of whom the data path alone has heard lately: who is told where the
// gateway is does not ask the host.
func heardOf(c config.Config, places []datapath.Place, known []model.Neighbour, now time.Time) (list []model.Neighbour) {
	unmanaged, has := unmanagedAt(c), make(map[string]bool, len(known))
	for _, n := range known {
		has[n.Bridge+" "+n.Address.String()] = true
	}
	for _, n := range c.Networks {
		for _, p := range places {
			if p.Compartment == c.CompartmentID(n.Compartment) && unmanaged(n.Bridge, p.Address) && now.Sub(p.Seen) < heardLately &&
				!has[n.Bridge+" "+p.Address.String()] {
				list = append(list, model.Neighbour{Bridge: n.Bridge, Address: p.Address, MAC: p.MAC})
			}
		}
	}
	return list
}

// unmanagedAt returns a function that reports whether an address on a link is that of
// somebody on a network's bridge whom hostnat did not attach.
func unmanagedAt(c config.Config) func(link string, a netip.Addr) bool {
	type place struct {
		link    string
		address netip.Addr
	}
	bridges := make(map[string]model.Network, len(c.Networks)) // by link
	links := make(map[string]string, len(c.Networks))          // by network
	for _, n := range c.Networks {
		bridges[n.Bridge], links[n.Name] = n, n.Bridge
	}
	attached := make(map[place]bool, len(c.Endpoints))
	for _, e := range c.Endpoints {
		attached[place{links[e.Network], e.Address4()}] = true
	}
	return func(link string, a netip.Addr) bool {
		n, ours := bridges[link]
		return ours && n.Subnet4().Contains(a) && !attached[place{link, a}]
	}
}
