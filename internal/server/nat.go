package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func natRoutes() []route {
	return []route{
		list("/v1/nats", func(s Service, r *http.Request) ([]api.NAT, error) {
			all, err := s.NATs(r.Context())
			return eachOf(all, err, natOf)
		}),
		get("/v1/nats/{nat}", func(s Service, r *http.Request) (api.NAT, error) {
			n, err := s.NAT(r.Context(), r.PathValue("nat"))
			return natOf(n), err
		}),
		change(http.MethodPost, "/v1/nats", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in api.NATSpec) (api.NAT, error) {
			n, err := s.CreateNAT(ctx, config.NATSpec(in))
			return natOf(n), err
		}),
		change(http.MethodPatch, "/v1/nats/{nat}", http.StatusOK, func(ctx context.Context, s Service, r *http.Request, in api.Settings) (api.NAT, error) {
			n, err := s.SetNAT(ctx, r.PathValue("nat"), in.Settings)
			return natOf(n), err
		}),
		act(http.MethodDelete, "/v1/nats/{nat}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DeleteNAT(ctx, r.PathValue("nat"))
		}),
	}
}

func natOf(n model.NAT) api.NAT {
	return api.NAT{
		Name: n.Name, ID: n.ID, Labels: n.Labels, Owner: n.Owner,
		ExternalInterfaces: append([]string{}, n.ExternalInterfaces...), // never null
		ExternalAddresses:  each(n.ExternalAddresses, externalAddressOf),
		Profile:            string(n.Profile),
		Timeouts: api.Timeouts{
			UDP: uint32(n.Timeouts.UDP), TCPEstablished: uint32(n.Timeouts.TCPEstablished),
			TCPTransitory: uint32(n.Timeouts.TCPTransitory), ICMP: uint32(n.Timeouts.ICMP),
		},
		TCPFiltering: string(n.TCPFiltering), UDPFiltering: string(n.UDPFiltering), UDPInboundRefresh: n.UDPInboundRefresh,
		Pooling: string(n.Pooling), EndpointDependent: n.EndpointDependent, HoldDown: uint32(n.HoldDown),
		Limits:   api.Limits{Sessions: n.Limits.Sessions, Ports: n.Limits.Ports, Rate: n.Limits.Rate},
		MSSClamp: n.MSSClamp, Exhaustion: string(n.Exhaustion), Table: n.Table, LinkLocal: allowOrRefuse(n.LinkLocal),
	}
}

func allowOrRefuse(allowed bool) string {
	if allowed {
		return "allow"
	}
	return "refuse"
}

func externalAddressOf(a model.ExternalAddress) api.ExternalAddress {
	return api.ExternalAddress{Address: a.Address, Ports: api.PortRange{Low: a.Ports.Low, High: a.Ports.High}, Added: a.Added}
}
