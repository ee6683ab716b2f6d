package driver

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/hostnat/hostnat/api"
)

// Docker's key and value by which it asks for a gateway's address.
const (
	addressType    = "RequestAddressType"
	gatewayAddress = "com.docker.network.gateway"
)

// holdFor is how long an address is held that was given out and no endpoint has: far
// longer than Docker takes to make the endpoint.
const holdFor = 5 * time.Minute

// requestAddress gives out an address of a pool. A gateway's, and others that are asked
// for by name, go into the network when that is made.
func (d *Driver) requestAddress(ctx context.Context, r requestAddress) (leasedAddress, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, found, err := d.find(ctx, func(n api.Network) bool { return n.Labels[labelPool] == r.PoolID })
	if err != nil {
		return leasedAddress{}, err
	}
	if !found {
		return leasedAddress{}, fmt.Errorf("pool %s is not known any more: remove the network and create it again", r.PoolID)
	}
	subnet := n.Subnets[0]
	asked, err := parseAsked(r.Address, subnet)
	if err != nil {
		return leasedAddress{}, err
	}
	answer := func(a netip.Addr) (leasedAddress, error) {
		return leasedAddress{Address: netip.PrefixFrom(a, subnet.Bits()).String(), Data: map[string]string{}}, nil
	}
	switch {
	case r.Options[addressType] == gatewayAddress && !asked.IsValid():
		return answer(subnet.Addr().Next())
	case r.Options[addressType] == gatewayAddress || isLease(n) && asked.IsValid():
		return answer(asked)
	case isLease(n):
		return leasedAddress{}, fmt.Errorf("subnet %s is of no network of driver hostnat: hostnat gives addresses to those alone", subnet)
	}
	used, err := d.used(ctx, n, r.PoolID)
	if err != nil {
		return leasedAddress{}, err
	}
	a, err := choose(n, asked, used)
	if err != nil {
		return leasedAddress{}, err
	}
	if d.held[r.PoolID] == nil {
		d.held[r.PoolID] = make(map[netip.Addr]time.Time)
	}
	d.held[r.PoolID][a] = d.now()
	return answer(a)
}

func parseAsked(text string, subnet netip.Prefix) (netip.Addr, error) {
	if text == "" {
		return netip.Addr{}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil || !subnet.Contains(a) {
		return a, fmt.Errorf("address %s is not in subnet %s", text, subnet)
	}
	return a, nil
}

// used says who has the addresses of a network that somebody has.
func (d *Driver) used(ctx context.Context, n api.Network, pool string) (map[netip.Addr]string, error) {
	used := map[netip.Addr]string{n.Gateways[0]: "the gateway"}
	endpoints, err := d.daemon.Endpoints(ctx, n.Name)
	if err != nil {
		return nil, err
	}
	for _, e := range endpoints {
		for _, a := range e.Addresses {
			used[a] = "endpoint " + e.Name
		}
	}
	reservations, err := d.daemon.Reservations(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range reservations {
		if r.Network == n.Name {
			used[r.Address] = "a reservation"
		}
	}
	for a, since := range d.held[pool] {
		if d.now().Sub(since) > holdFor {
			delete(d.held[pool], a)
		} else {
			used[a] = "a container that starts"
		}
	}
	return used, nil
}

// choose returns the address that is asked for, or the lowest free one.
func choose(n api.Network, asked netip.Addr, used map[netip.Addr]string) (netip.Addr, error) {
	subnet := n.Subnets[0]
	if asked.IsValid() {
		if who, taken := used[asked]; taken {
			return asked, fmt.Errorf("address %s belongs to %s", asked, who)
		}
		return asked, nil
	}
	part := subnet
	if text := n.Labels[labelRange]; text != "" {
		var err error
		if part, err = netip.ParsePrefix(text); err != nil {
			return asked, fmt.Errorf("the range %q of network %s: %w", text, n.Name, err)
		}
	}
	for a := part.Addr(); part.Contains(a); a = a.Next() {
		last := !subnet.Contains(a.Next())
		if _, taken := used[a]; taken || last || a == subnet.Addr() || excluded(n, a) {
			continue
		}
		return a, nil
	}
	return asked, fmt.Errorf("network %s has no free address in %s", n.Name, part)
}

// excluded reports whether a network's settings keep an address back.
func excluded(n api.Network, a netip.Addr) bool {
	for _, text := range n.Exclude {
		low, high, isRange := strings.Cut(text, "-")
		if !isRange {
			high = low
		}
		first, err := netip.ParseAddr(low)
		last, err2 := netip.ParseAddr(high)
		if err == nil && err2 == nil && first.Compare(a) <= 0 && a.Compare(last) <= 0 {
			return true
		}
	}
	return false
}

// give notes that an endpoint has got its address.
func (d *Driver) give(pool string, addresses []netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range addresses {
		delete(d.held[pool], a)
	}
}

func (d *Driver) releaseAddress(_ context.Context, r releaseAddress) (nothing, error) {
	if a, err := netip.ParseAddr(r.Address); err == nil {
		d.give(r.PoolID, []netip.Addr{a})
	}
	return nothing{}, nil
}
