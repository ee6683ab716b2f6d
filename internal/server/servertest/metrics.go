package servertest

import (
	"context"
	"net/netip"

	"github.com/hostnat/hostnat/internal/metrics"
)

// Metrics are Status's numbers, and a pool.
func (s *Service) Metrics(ctx context.Context) (metrics.Snapshot, error) {
	status, err := s.Status(ctx)
	return metrics.Snapshot{
		UptimeSeconds: status.UptimeSeconds, NATs: status.NATs, Networks: status.Networks, Endpoints: status.Endpoints, Mappings: status.Mappings,
		Bindings: status.Bindings, Sessions: status.Sessions, MaxSessions: status.MaxSessions, Drops: status.Drops,
		Pools: []metrics.Pool{{NAT: "default", Protocol: "tcp", Address: netip.MustParseAddr("198.51.100.7"), Ports: 28232, InUse: 1}},
	}, err
}
