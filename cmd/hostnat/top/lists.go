package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/cmd/hostnat/text"
)

// columnOf makes a column of rows.
func columnOf[T any](rows []T, title string, rank int, right bool, cell func(*T) string) column {
	c := column{title: title, rank: rank, right: right, cells: make([]string, len(rows))}
	for i := range rows {
		c.cells[i] = text.OrDash(cell(&rows[i]))
	}
	return c
}

func endpointColumns(t api.Traffic, rows []api.TrafficEndpoint) []column {
	type row = api.TrafficEndpoint
	of := func(title string, rank int, right bool, cell func(*row) string) column {
		return columnOf(rows, title, rank, right, cell)
	}
	return []column{
		of("ENDPOINT", 0, false, func(e *row) string { return e.Endpoint }),
		of("NETWORK", 2, false, func(e *row) string { return e.Network }),
		of("ADDRESS", 1, false, func(e *row) string { return e.Address.String() }),
		of("SESSIONS", 0, true, func(e *row) string { return fmt.Sprint(e.Sessions) }),
		of("NEW/s", 3, true, func(e *row) string { return perSecond(t, e.Opened) }),
		of("OUT/s", 0, true, func(e *row) string { return text.Bytes(e.Rate.BytesOut) }),
		of("IN/s", 0, true, func(e *row) string { return text.Bytes(e.Rate.BytesIn) }),
		of("PACKETS/s", 4, true, func(e *row) string { return packets(e.Rate) }),
		of("COMPARTMENT", 5, false, func(e *row) string { return e.Compartment }),
	}
}

func sessionColumns(t api.Traffic, rows []api.TrafficSession) []column {
	type row = api.TrafficSession
	of := func(title string, rank int, right bool, cell func(*row) string) column {
		return columnOf(rows, title, rank, right, cell)
	}
	return []column{
		of("PROTO", 2, false, func(s *row) string { return string(s.Protocol) }),
		of("ENDPOINT", 1, false, func(s *row) string { return s.Endpoint }),
		of("INTERNAL", 3, false, func(s *row) string { return text.HostPort(s.Internal) }),
		of("EXTERNAL", 6, false, func(s *row) string { return text.HostPort(s.External) }),
		of("REMOTE", 0, false, func(s *row) string { return text.HostPort(s.Remote) }),
		of("STATE", 4, false, func(s *row) string { return stateText(s.State) }),
		of("OUT/s", 0, true, func(s *row) string { return text.Bytes(s.Rate.BytesOut) }),
		of("IN/s", 0, true, func(s *row) string { return text.Bytes(s.Rate.BytesIn) }),
		of("RTT END|OUT", 6, true, func(s *row) string { return roundTrips(s.Handshake) }),
		of("PACKETS/s", 7, true, func(s *row) string { return packets(s.Rate) }),
		of("AGE", 5, true, func(s *row) string { return text.Seconds(seconds(t.At.Sub(s.CreatedAt))) }),
		of("NETWORK", 8, false, func(s *row) string { return s.Network }),
		of("REMOTE NAME", 4, false, func(s *row) string { return s.RemoteName }),
	}
}

func dropColumns(t api.Traffic, rows []api.TrafficDrop) []column {
	type row = api.TrafficDrop
	of := func(title string, right bool, cell func(*row) string) column {
		return columnOf(rows, title, 0, right, cell)
	}
	return []column{
		of("REASON", false, func(d *row) string { return d.Reason }),
		of("NOW/s", true, func(d *row) string { return perSecond(t, d.Latest) }),
		of("PACKETS", true, func(d *row) string { return fmt.Sprint(d.Packets) }),
		of("MEANING", false, func(d *row) string { return d.Meaning }),
	}
}

// roundTrips is how long the endpoint and the outside took to answer the handshake.
func roundTrips(h api.Handshake) string {
	endpoint, outside := text.Answered(h, api.EndpointSide), text.Answered(h, api.OutsideSide)
	if endpoint == "" && outside == "" {
		return ""
	}
	return text.OrDash(endpoint) + "|" + text.OrDash(outside)
}

// packets are out/in.
func packets(r api.Rate) string { return short(r.PacketsOut) + "/" + short(r.PacketsIn) }

func stateText(s api.TCPState) string {
	if s == api.StateNone {
		return ""
	}
	return string(s)
}

func seconds(d time.Duration) uint64 { return uint64(max(0, d.Seconds())) }

// perSecond is how many that is in a second, with one digit behind the point.
func perSecond(t api.Traffic, n uint64) string {
	if t.Milliseconds == 0 || n == 0 {
		return "0"
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(n)*1000/float64(t.Milliseconds)), ".0")
}

// short is a number in at most five characters or so.
func short(n uint64) string {
	switch {
	case n < 100_000:
		return fmt.Sprint(n)
	case n < 10_000_000:
		return fmt.Sprintf("%dk", n/1000)
	}
	return fmt.Sprintf("%dM", n/1_000_000)
}
