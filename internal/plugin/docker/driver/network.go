package driver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/plugin/docker"
)

// Docker's keys of a network's options.
const (
	optionGeneric  = "com.docker.network.generic" // those that were given with -o
	optionInternal = "com.docker.network.internal"
	optionMTU      = "com.docker.network.driver.mtu"
)

// settings are the options that a network may be given with -o, and what each sets.
var settings = map[string]func(s *api.NetworkSpec, value string){
	"name":          func(s *api.NetworkSpec, v string) { s.Name = v },
	"nat":           func(s *api.NetworkSpec, v string) { s.NAT = v },
	"compartment":   func(s *api.NetworkSpec, v string) { s.Compartment = v },
	"isolation":     func(s *api.NetworkSpec, v string) { s.Isolation = v },
	"port-security": func(s *api.NetworkSpec, v string) { s.PortSecurity = v },
	"domain":        func(s *api.NetworkSpec, v string) { s.Domain = v },
	"dns":           func(s *api.NetworkSpec, v string) { s.DNS = v },
	"dhcp":          func(s *api.NetworkSpec, v string) { s.DHCP = v },
	"mtu":           func(s *api.NetworkSpec, v string) { s.MTU = v },
	optionMTU:       func(s *api.NetworkSpec, v string) { s.MTU = v },
}

// specOf is the network that Docker asks for. Docker passes neither its name nor its labels.
func specOf(r createNetwork) (api.NetworkSpec, error) {
	s := api.NetworkSpec{Name: "docker-" + shortID(r.NetworkID), Owner: docker.DriverOwner, Labels: map[string]string{docker.LabelNetwork: r.NetworkID}}
	if len(r.IPv6Data) > 0 {
		return s, fmt.Errorf("networks of hostnat have no IPv6 yet: leave --ipv6 out")
	}
	if len(r.IPv4Data) != 1 {
		return s, fmt.Errorf("a network of hostnat has one subnet, not %d", len(r.IPv4Data))
	}
	subnet, gateway, err := r.IPv4Data[0].parse()
	if err != nil {
		return s, err
	}
	s.Subnets, s.Gateways = []string{subnet.String()}, []string{gateway.String()}
	for _, name := range slices.Sorted(maps.Keys(r.IPv4Data[0].AuxAddresses)) {
		address, _, _ := strings.Cut(r.IPv4Data[0].AuxAddresses[name], "/")
		s.Exclude = append(s.Exclude, address+"-"+address)
	}
	if isSet(r.Options[optionInternal]) {
		s.NAT = "none"
	}
	given, err := generic(r.Options)
	if err != nil {
		return s, err
	}
	for _, key := range slices.Sorted(maps.Keys(given)) {
		set, known := settings[key]
		if !known {
			return s, fmt.Errorf("option %q is not known: use %s", key, strings.Join(slices.Sorted(maps.Keys(settings)), ", "))
		}
		set(&s, given[key])
	}
	if isSet(r.Options[optionInternal]) && s.NAT != "none" {
		return s, fmt.Errorf("a network with --internal is behind no NAT: leave -o nat=%s out", s.NAT)
	}
	return s, nil
}

// parse returns the subnet and the gateway in it.
func (p pool) parse() (subnet netip.Prefix, gateway netip.Addr, err error) {
	if subnet, err = netip.ParsePrefix(p.Pool); err != nil || subnet.Bits() == 0 {
		return subnet, gateway, fmt.Errorf("the subnet %q cannot be a network's: use Docker's IPAM driver or hostnat's", p.Pool)
	}
	at, err := netip.ParsePrefix(p.Gateway)
	if err != nil {
		return subnet, gateway, fmt.Errorf("the network has no gateway: %w", err)
	}
	return subnet.Masked(), at.Addr(), nil
}

// generic are the options that were given with -o.
func generic(options map[string]json.RawMessage) (given map[string]string, err error) {
	if text, has := options[optionGeneric]; has {
		if err := json.Unmarshal(text, &given); err != nil {
			return nil, fmt.Errorf("the network's options cannot be read: %w", err)
		}
	}
	return given, nil
}

func isSet(value json.RawMessage) bool { return string(value) == "true" }

func shortID(id string) string { return id[:min(12, len(id))] }

// createNetwork makes a network, in the place of the pool that it got.
func (d *Driver) createNetwork(ctx context.Context, r createNetwork) (nothing, error) {
	spec, err := specOf(r)
	if err != nil {
		return nothing{}, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, made, err := d.networkOf(ctx, r.NetworkID); made || err != nil {
		return nothing{}, err
	}
	spec.Labels[docker.LabelHost] = d.host
	lease, leased, err := d.leaseFor(ctx, spec)
	if err != nil {
		return nothing{}, err
	}
	if leased {
		spec.Labels[labelPool] = lease.Labels[labelPool]
		if part := lease.Labels[labelRange]; part != "" {
			spec.Labels[labelRange] = part
		}
	} else if spec.DHCP == "" {
		spec.DHCP = "off" // Docker itself gives out addresses
	}
	if _, err := d.daemon.CreateNetwork(ctx, spec); err != nil || !leased {
		return nothing{}, err
	}
	return nothing{}, d.daemon.DeleteNetwork(ctx, lease.Name, false)
}

// deleteNetwork deletes a network with what is left in it.
func (d *Driver) deleteNetwork(ctx context.Context, r deleteNetwork) (nothing, error) {
	n, found, err := d.networkOf(ctx, r.NetworkID)
	if err != nil || !found {
		return nothing{}, err
	}
	return nothing{}, ignoreGone(d.daemon.DeleteNetwork(ctx, n.Name, true))
}

// ignoreGone is no error if what was to be taken away is gone.
func ignoreGone(err error) error {
	if api.CodeOf(err) == api.NotFound {
		return nil
	}
	return err
}
