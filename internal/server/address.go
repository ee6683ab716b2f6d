package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/control"
)

func addressRoutes() []route {
	return []route{
		list("/v1/addresses", func(s Service, r *http.Request) ([]api.Address, error) {
			all, err := s.Addresses(r.Context())
			return eachOf(all, err, addressOf)
		}),
		change(http.MethodPost, "/v1/nats/{nat}/addresses", http.StatusCreated, func(ctx context.Context, s Service, r *http.Request, in api.AddressSpec) (api.Address, error) {
			a, err := s.AddAddress(ctx, r.PathValue("nat"), in.Address)
			return addressOf(a), err
		}),
		act(http.MethodDelete, "/v1/nats/{nat}/addresses/{address}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.RemoveAddress(ctx, r.PathValue("nat"), r.PathValue("address"))
		}),
	}
}

func addressOf(a control.AddressView) api.Address {
	return api.Address{NAT: a.NAT, Address: a.Address, Ports: a.Ports, Interface: a.Interface, Source: string(a.Source)}
}
