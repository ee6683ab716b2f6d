package server

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

func endpointRoutes() []route {
	return []route{
		list("/v1/endpoints", func(s Service, r *http.Request) ([]api.Endpoint, error) {
			var network string
			if err := query(r, map[string]*string{"network": &network}); err != nil {
				return nil, err
			}
			all, err := s.Endpoints(r.Context(), network)
			return eachOf(all, err, endpointOf)
		}),
		get("/v1/endpoints/{endpoint}", func(s Service, r *http.Request) (api.Endpoint, error) {
			e, err := s.Endpoint(r.Context(), r.PathValue("endpoint"))
			return endpointOf(e), err
		}),
		change(http.MethodPost, "/v1/endpoints", http.StatusCreated, attachEndpoint),
		change(http.MethodPatch, "/v1/endpoints/{endpoint}", http.StatusOK, func(ctx context.Context, s Service, r *http.Request, in api.Settings) (api.Endpoint, error) {
			e, err := s.SetEndpoint(ctx, r.PathValue("endpoint"), in.Settings)
			return endpointOf(e), err
		}),
		act(http.MethodDelete, "/v1/endpoints/{endpoint}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DetachEndpoint(ctx, r.PathValue("endpoint"))
		}),
	}
}

func attachEndpoint(ctx context.Context, s Service, _ *http.Request, in api.EndpointSpec) (api.Endpoint, error) {
	address, err := only("addresses", in.Addresses)
	if err != nil {
		return api.Endpoint{}, err
	}
	e, err := s.AttachEndpoint(ctx, config.EndpointSpec{
		Network: in.Network, Name: in.Name, Netns: in.Netns, PID: in.PID, TAP: in.TAP, Port: in.Port, Pair: in.Pair,
		Address: address, MAC: in.MAC, Labels: in.Labels, Owner: in.Owner, IfName: in.IfName, Aliases: in.Aliases, Allow: in.Allow,
		Make: model.TAP{Made: in.Create, User: in.User, Group: in.Group, Queues: in.Queues, VNetHdr: in.VNetHdr},
	})
	return endpointOf(e), err
}

func endpointOf(e control.EndpointView) api.Endpoint {
	out := api.Endpoint{
		Name: e.Name, ID: e.ID, Labels: e.Labels, Owner: e.Owner, Network: e.Network, Addresses: e.Addresses, Gateways: []netip.Addr{e.Gateway},
		Subnets: []netip.Prefix{netip.PrefixFrom(e.Address4(), e.PrefixLength).Masked()},
		MAC:     string(e.MAC), Kind: string(e.Kind), Target: e.Target, Interface: e.Interface, IfName: e.IfName, Aliases: e.Aliases, Allow: e.Allow,
		Create: e.TAP.Made, User: e.TAP.User, Group: e.TAP.Group, Queues: e.TAP.Queues, VNetHdr: e.TAP.VNetHdr,
		MTU: e.MTU, State: string(e.State), Managed: e.Managed, Domain: e.Domain, Configure: e.Configure,
	}
	if e.DNS.IsValid() {
		out.DNS = []netip.Addr{e.DNS}
	}
	return out
}
