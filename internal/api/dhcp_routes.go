package api

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

// dhcpRoutes are those of address management: leases, reservations, pools.
func dhcpRoutes() []route {
	return []route{
		list("/v1/leases", func(s Service, r *http.Request) ([]control.LeaseView, error) {
			var network string
			if err := query(r, map[string]*string{"network": &network}); err != nil {
				return nil, err
			}
			return s.DHCPLeases(r.Context(), network)
		}),
		act(http.MethodDelete, "/v1/networks/{network}/leases/{address}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DeleteLease(ctx, r.PathValue("network"), r.PathValue("address"))
		}),
		list("/v1/reservations", func(s Service, r *http.Request) ([]model.Reservation, error) {
			return s.Reservations(r.Context())
		}),
		change(http.MethodPost, "/v1/reservations", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in config.ReservationSpec) (model.Reservation, error) {
			return s.AddReservation(ctx, in)
		}),
		act(http.MethodDelete, "/v1/networks/{network}/reservations/{address}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DeleteReservation(ctx, r.PathValue("network"), r.PathValue("address"))
		}),
		list("/v1/pools", func(s Service, r *http.Request) ([]model.Pool, error) {
			return s.Pools(r.Context())
		}),
		change(http.MethodPost, "/v1/pools", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in config.PoolSpec) (model.Pool, error) {
			return s.AddPool(ctx, in)
		}),
		act(http.MethodDelete, "/v1/pools/{prefix}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DeletePool(ctx, r.PathValue("prefix"))
		}),
	}
}
