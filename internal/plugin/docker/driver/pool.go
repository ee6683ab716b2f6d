package driver

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
)

// A pool that was given out, and that no network of the driver's has, is a network by
// itself, of the type that has nothing on the host: nobody else is given its subnet, and
// it outlives restarts. It goes when the pool is given back, or becomes a network.

// mostLeases is how many of them there may be. Docker takes no pool that it finds in the
// way of the host's routes: it keeps it, asks for another one, and does not end.
const mostLeases = 64

func isLease(n api.Network) bool {
	return n.Labels[labelPool] != "" && n.Labels[docker.LabelNetwork] == ""
}

// poolID is "172.16.5.0/24", in a compartment "blue:172.16.5.0/24"; of a subnet that was
// chosen here it is some other word.
func poolID(compartment, word string) string {
	if compartment == "" {
		return word
	}
	return compartment + ":" + word
}

func compartmentOf(id string) string {
	compartment, _, has := strings.Cut(id, ":")
	if !has {
		return ""
	}
	return compartment
}

// leaseOf is the network that stands for a pool; without a subnet a free one is chosen.
func leaseOf(r requestPool) (api.NetworkSpec, error) {
	spec := api.NetworkSpec{Type: api.PerEndpointNetwork, Owner: docker.DriverOwner, DHCP: "off", DNS: "off", Labels: map[string]string{}}
	for key := range r.Options {
		if key != "compartment" {
			return spec, fmt.Errorf("option %q of IPAM is not known: use compartment", key)
		}
	}
	if r.V6 {
		return spec, fmt.Errorf("networks of hostnat have no IPv6 yet: leave --ipv6 out")
	}
	if r.Pool == "" {
		if r.SubPool != "" {
			return spec, fmt.Errorf("the range %s is given without a subnet: give --subnet too", r.SubPool)
		}
		return spec, nil
	}
	subnet, err := netip.ParsePrefix(r.Pool)
	if err != nil || !subnet.Addr().Is4() {
		return spec, fmt.Errorf("the subnet %q is not one of IPv4", r.Pool)
	}
	spec.Subnets = []string{subnet.Masked().String()}
	if r.SubPool == "" {
		return spec, nil
	}
	part, err := netip.ParsePrefix(r.SubPool)
	if err != nil || part.Bits() < subnet.Bits() || !subnet.Contains(part.Addr()) {
		return spec, fmt.Errorf("the range %q is not part of the subnet %s", r.SubPool, r.Pool)
	}
	spec.Labels[labelRange] = part.Masked().String()
	return spec, nil
}

func (d *Driver) requestPool(ctx context.Context, r requestPool) (leasedPool, error) {
	spec, err := leaseOf(r)
	if err != nil {
		return leasedPool{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	networks, err := d.daemon.Networks(ctx)
	if err != nil {
		return leasedPool{}, err
	}
	if len(spec.Subnets) == 0 {
		return d.leaseFree(ctx, spec, r.Options["compartment"], networks)
	}
	id := poolID(r.Options["compartment"], spec.Subnets[0])
	answer := leasedPool{PoolID: id, Pool: spec.Subnets[0], Data: map[string]string{}}
	i := slices.IndexFunc(networks, func(n api.Network) bool {
		at := n.Labels[labelPool]
		return n.Owner == docker.DriverOwner && at != "" && n.Subnets[0].String() == spec.Subnets[0] && compartmentOf(at) == r.Options["compartment"]
	})
	if i >= 0 && isLease(networks[i]) && networks[i].Labels[labelPool] == id && networks[i].Labels[labelRange] == spec.Labels[labelRange] {
		return answer, nil // of a call before, of which Docker made no network
	}
	if i >= 0 {
		return leasedPool{}, fmt.Errorf("subnet %s is that of network %s: choose another, or another compartment with --ipam-opt compartment=NAME and -o compartment=NAME", spec.Subnets[0], networks[i].Name)
	}
	_, err = d.lease(ctx, spec, id)
	return answer, err
}

// leaseFree leases a subnet that nobody has and that the host does not reach.
func (d *Driver) leaseFree(ctx context.Context, spec api.NetworkSpec, compartment string, networks []api.Network) (leasedPool, error) {
	if n := len(slices.DeleteFunc(slices.Clone(networks), func(n api.Network) bool { return !isLease(n) })); n >= mostLeases {
		return leasedPool{}, fmt.Errorf("%d subnets are leased to Docker that no network of driver hostnat has: choose one with --subnet, or remove networks", n)
	}
	id := poolID(compartment, "free-"+rand.Text()[:8])
	n, err := d.lease(ctx, spec, id)
	if err != nil {
		return leasedPool{}, err
	}
	return leasedPool{PoolID: id, Pool: n.Subnets[0].String(), Data: map[string]string{}}, nil
}

// lease makes the network that stands for a pool.
func (d *Driver) lease(ctx context.Context, spec api.NetworkSpec, id string) (api.Network, error) {
	spec.Labels[labelPool] = id
	spec.Name = "docker-pool-" + strings.NewReplacer("/", "_", ":", "-").Replace(id)
	return d.daemon.CreateNetwork(ctx, spec)
}

// leaseFor returns the lease of which a network is to be made: one of its compartment,
// else one of none.
func (d *Driver) leaseFor(ctx context.Context, spec api.NetworkSpec) (n api.Network, found bool, err error) {
	for _, compartment := range []string{spec.Compartment, ""} {
		n, found, err = d.find(ctx, func(n api.Network) bool {
			return isLease(n) && n.Subnets[0].String() == spec.Subnets[0] && compartmentOf(n.Labels[labelPool]) == compartment
		})
		if found || err != nil {
			break
		}
	}
	return n, found, err
}

func (d *Driver) releasePool(ctx context.Context, r releasePool) (nothing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.held, r.PoolID)
	n, found, err := d.find(ctx, func(n api.Network) bool { return isLease(n) && n.Labels[labelPool] == r.PoolID })
	if err != nil || !found {
		return nothing{}, err
	}
	return nothing{}, ignoreGone(d.daemon.DeleteNetwork(ctx, n.Name, true))
}
