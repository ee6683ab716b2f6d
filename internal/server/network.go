package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func networkRoutes() []route {
	return []route{
		list("/v1/networks", func(s Service, r *http.Request) ([]api.Network, error) {
			all, err := s.Networks(r.Context())
			return eachOf(all, err, networkOf)
		}),
		get("/v1/networks/{network}", func(s Service, r *http.Request) (api.Network, error) {
			n, err := s.Network(r.Context(), r.PathValue("network"))
			return networkOf(n), err
		}),
		change(http.MethodPost, "/v1/networks", http.StatusCreated, createNetwork),
		act(http.MethodDelete, "/v1/networks/{network}", deleteNetwork),
		change(http.MethodPatch, "/v1/networks/{network}", http.StatusOK, func(ctx context.Context, s Service, r *http.Request, in api.Settings) (api.Network, error) {
			n, err := s.SetNetwork(ctx, r.PathValue("network"), in.Settings)
			return networkOf(n), err
		}),
		change(http.MethodPost, "/v1/networks/{network}/renumber", http.StatusOK, func(ctx context.Context, s Service, r *http.Request, in api.RenumberSpec) (api.Renumbering, error) {
			moved, err := s.RenumberNetwork(ctx, r.PathValue("network"), in.Subnet)
			return api.Renumbering{Network: moved.Network, From: moved.From, To: moved.To}, err
		}),
	}
}

func createNetwork(ctx context.Context, s Service, _ *http.Request, in api.NetworkSpec) (api.Network, error) {
	spec, err := networkSpec(in)
	if err != nil {
		return api.Network{}, err
	}
	n, err := s.CreateNetwork(ctx, spec)
	return networkOf(n), err
}

func networkSpec(in api.NetworkSpec) (config.NetworkSpec, error) {
	spec := config.NetworkSpec{
		Name: in.Name, Type: in.Type, Labels: in.Labels, Owner: in.Owner, NAT: in.NAT, Bridge: in.Bridge, Compartment: in.Compartment, Adopt: in.Adopt, Domain: in.Domain,
		Overlap: in.Overlap, Isolation: in.Isolation, PortSecurity: in.PortSecurity, DHCP: in.DHCP, DNS: in.DNS, LeaseTime: in.LeaseTime, MTU: in.MTU,
		NTP: in.NTP, Ranges: in.Ranges, Exclude: in.Exclude,
	}
	var err error
	if spec.Subnet, err = only("subnets", in.Subnets); err != nil {
		return spec, err
	}
	spec.Gateway, err = only("gateways", in.Gateways)
	return spec, err
}

// only returns the value of a list that may hold one today, or "" of an empty
// one: IPv6 will make it two.
func only(key string, list []string) (string, error) {
	switch {
	case len(list) == 0:
		return "", nil
	case len(list) > 1:
		return "", model.Errorf(model.Invalid, "%q has %d values", key, len(list)).WithHint("give one")
	case list[0] == "":
		return "", model.Errorf(model.Invalid, "%q has an empty value", key).WithHint("leave it out to have one chosen")
	}
	return list[0], nil
}

func deleteNetwork(ctx context.Context, s Service, r *http.Request) error {
	var force string
	if err := query(r, map[string]*string{"force": &force}); err != nil {
		return err
	}
	forced, err := truth("force", force)
	if err != nil {
		return err
	}
	return s.DeleteNetwork(ctx, r.PathValue("network"), forced)
}

func networkOf(n model.Network) api.Network {
	return api.Network{
		Name: n.Name, Type: string(n.Type), Labels: n.Labels, Owner: n.Owner, ID: n.ID, NAT: n.NAT, Compartment: n.Compartment,
		Subnets: n.Subnets, Gateways: n.Gateways, Bridge: n.Bridge, Adopted: n.Adopted,
		Overlap: n.Overlap.String(), Isolation: n.Isolation.String(), PortSecurity: n.PortSecurity.String(), DNS: n.DNS.String(), Domain: n.DomainName(),
		DHCP: n.DHCP.String(), LeaseTime: uint32(n.LeaseDuration()), MTU: n.MTU, NTP: n.NTP, PXE: api.PXE(n.PXE),
		Routes: texts(n.Routes), Ranges: texts(n.Ranges), Exclude: texts(n.Exclude),
	}
}
