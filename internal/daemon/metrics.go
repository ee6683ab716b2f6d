package daemon

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"

	"github.com/hostnat/hostnat/internal/metrics"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// Metrics gathers the numbers of all parts.
func (s service) Metrics(ctx context.Context) (metrics.Snapshot, error) {
	status, err := s.Status(ctx)
	if err != nil {
		return metrics.Snapshot{}, err
	}
	m := metrics.Snapshot{
		Version: status.Version, UptimeSeconds: status.UptimeSeconds, Problems: len(status.Problems),
		NATs: status.NATs, Networks: status.Networks, Endpoints: status.Endpoints, Mappings: status.Mappings,
		Bindings: status.Bindings, Sessions: status.Sessions, MaxSessions: status.MaxSessions, Drops: status.Drops,
		EventsLost: s.kernel.EventsLost(), DNS: s.beside.dns.Refusals(),
	}
	if m.Pools, err = s.pools(ctx); err != nil {
		return metrics.Snapshot{}, err
	}
	refusals, err := s.kernel.Refusals(ctx)
	if err != nil {
		return metrics.Snapshot{}, err
	}
	for _, r := range refusals {
		m.Refusals = append(m.Refusals, metrics.Refusal(r))
	}
	dhcp := s.beside.dhcp.Refusals()
	for _, network := range slices.Sorted(maps.Keys(dhcp)) {
		m.DHCP = append(m.DHCP, metrics.DHCP{Network: network, Forged: dhcp[network].Forged, Unserved: dhcp[network].Unserved})
	}
	for _, c := range s.exporter.Counts() {
		m.Exports = append(m.Exports, metrics.Export{Kind: c.Kind, Destination: c.String(), Sent: c.Sent, Lost: c.Lost})
	}
	s.addHandshakes(&m)
	m.Proxies, err = s.relayed(ctx)
	return m, err
}

// addHandshakes has two rows a network: how many there are is bounded by the configuration.
func (s service) addHandshakes(m *metrics.Snapshot) {
	counted := s.kernel.Handshakes()
	bounds := make([]float64, len(traffic.RoundTripBounds))
	for i, b := range traffic.RoundTripBounds {
		bounds[i] = float64(b) / microseconds
	}
	m.MissedHandshakes, m.RepeatedSYNs = counted.Missed, make(map[string]uint64)
	for _, network := range slices.Sorted(maps.Keys(counted.Networks)) {
		of := counted.Networks[network]
		m.RepeatedSYNs[network] = of.RepeatedSYNs
		for _, side := range []struct {
			name string
			traffic.RoundTrips
		}{{model.EndpointSide.String(), of.Endpoint}, {model.OutsideSide.String(), of.Outside}} {
			m.RoundTrips = append(m.RoundTrips, metrics.RoundTrips{
				Network: network, Side: side.name, Bounds: bounds, Buckets: side.Buckets[:],
				Seconds: float64(side.Microseconds) / microseconds, Unanswered: side.Unanswered,
			})
		}
	}
}

const microseconds = 1e6 // a second

func (s service) pools(ctx context.Context) (pools []metrics.Pool, err error) {
	rows, err := s.PoolUse(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		p := metrics.Pool{NAT: r.NAT, Protocol: r.Protocol.String(), Address: r.Address, Ports: r.Count}
		if r.InUse != nil {
			p.InUse = *r.InUse
		}
		pools = append(pools, p)
	}
	slices.SortFunc(pools, func(a, b metrics.Pool) int {
		return cmp.Or(cmp.Compare(a.NAT, b.NAT), a.Address.Compare(b.Address), cmp.Compare(a.Protocol, b.Protocol))
	})
	return pools, nil
}

func (s service) relayed(ctx context.Context) (list []metrics.Proxy, err error) {
	proxies, err := s.Proxies(ctx)
	for _, p := range proxies {
		list = append(list, metrics.Proxy{
			ID: strconv.FormatUint(uint64(p.ID), 10), Now: p.Connections, Total: p.TotalConnections,
			Refused: p.Refused, GaveWay: p.GaveWay, BytesIn: p.BytesIn, BytesOut: p.BytesOut,
		})
	}
	return list, err
}
