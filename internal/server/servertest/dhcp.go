package servertest

import (
	"context"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

func leaseName(l control.LeaseView) string       { return l.Network + "/" + l.Address.String() }
func reservationName(r model.Reservation) string { return r.Network + "/" + r.Address.String() }
func poolName(p model.Pool) string               { return p.Prefix.String() }

// DHCPLeases returns a network's leases.
func (s *Service) DHCPLeases(_ context.Context, network string) ([]control.LeaseView, error) {
	rows, err := all(s, &s.leases)
	return slices.DeleteFunc(rows, func(l control.LeaseView) bool { return network != "" && l.Network != network }), err
}

// DeleteLease removes a lease.
func (s *Service) DeleteLease(_ context.Context, network, address string) error {
	return remove(s, "lease", network+"/"+address, &s.leases, leaseName)
}

// Reservations returns all reservations.
func (s *Service) Reservations(context.Context) ([]model.Reservation, error) {
	return all(s, &s.reservations)
}

// AddReservation adds a reservation; Address must be valid.
func (s *Service) AddReservation(_ context.Context, spec config.ReservationSpec) (model.Reservation, error) {
	r := model.Reservation{Network: spec.Network, MAC: model.MAC(spec.MAC), Name: spec.Name, Address: netip.MustParseAddr(spec.Address)}
	return add(s, r, &s.reservations)
}

// DeleteReservation removes a reservation.
func (s *Service) DeleteReservation(_ context.Context, network, address string) error {
	return remove(s, "reservation", network+"/"+address, &s.reservations, reservationName)
}

// Pools returns all pools.
func (s *Service) Pools(context.Context) ([]model.Pool, error) { return all(s, &s.pools) }

// AddPool adds a pool; Prefix must be valid.
func (s *Service) AddPool(_ context.Context, spec config.PoolSpec) (model.Pool, error) {
	size, err := strconv.Atoi(spec.Size)
	if err != nil {
		size = 24
	}
	return add(s, model.Pool{Prefix: netip.MustParsePrefix(spec.Prefix), Size: size}, &s.pools)
}

// DeletePool removes a pool.
func (s *Service) DeletePool(_ context.Context, prefix string) error {
	return remove(s, "pool", prefix, &s.pools, poolName)
}

func exampleLeases(at time.Time) []control.LeaseView {
	return []control.LeaseView{{Lease: model.Lease{Network: "web", Address: netip.MustParseAddr("172.16.1.77"), MAC: "52:54:00:12:34:56",
		Hostname: "vm7", State: model.LeaseReleased, Since: at, Expires: at.Add(time.Hour)}}}
}
