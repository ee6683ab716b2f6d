package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func reservationRoutes() []route {
	return []route{
		list("/v1/reservations", func(s Service, r *http.Request) ([]api.Reservation, error) {
			all, err := s.Reservations(r.Context())
			return eachOf(all, err, reservationOf)
		}),
		change(http.MethodPost, "/v1/reservations", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in api.ReservationSpec) (api.Reservation, error) {
			made, err := s.AddReservation(ctx, config.ReservationSpec(in))
			return reservationOf(made), err
		}),
		act(http.MethodDelete, "/v1/networks/{network}/reservations/{address}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DeleteReservation(ctx, r.PathValue("network"), r.PathValue("address"))
		}),
	}
}

func reservationOf(r model.Reservation) api.Reservation {
	return api.Reservation{Network: r.Network, MAC: string(r.MAC), Name: r.Name, Address: r.Address, Labels: r.Labels, Owner: r.Owner}
}
