package server

import (
	"net/http"
	"strconv"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/traffic"
)

// How many rows a list of what is sent has.
const (
	usualRows = 50
	mostRows  = 1000
)

func trafficRoutes() []route {
	return []route{get("/v1/traffic", func(s Service, r *http.Request) (api.Traffic, error) {
		q, err := trafficQuery(r)
		if err != nil {
			return api.Traffic{}, err
		}
		t, err := s.Traffic(r.Context(), q)
		return trafficOf(t), err
	})}
}

func trafficQuery(r *http.Request) (traffic.Query, error) {
	q := traffic.Query{Count: usualRows}
	var order, count string
	if err := query(r, map[string]*string{"endpoint": &q.Endpoint, "match": &q.Match, "order": &order, "count": &count}); err != nil {
		return q, err
	}
	q.Order = traffic.Order(order)
	if count == "" {
		return q, nil
	}
	var err error
	if q.Count, err = strconv.Atoi(count); err != nil || q.Count < 1 || q.Count > mostRows {
		return q, model.Errorf(model.Invalid, "count=%q is not a number of rows", model.Clip(count)).WithHint("use one from 1 to %d", mostRows)
	}
	return q, nil
}

func trafficOf(t traffic.Top) api.Traffic {
	return api.Traffic{
		At: t.At, Milliseconds: uint64(t.Over.Milliseconds()), Sessions: t.Sessions, Opened: t.Opened, Unmeasured: t.Unmeasured,
		Total: api.Rate(t.Total), Drops: each(t.Drops, trafficDropOf), Endpoints: each(t.Endpoints, trafficEndpointOf),
		Active: each(t.Active, func(s traffic.Session) api.TrafficSession {
			return api.TrafficSession{Session: sessionOf(s.Session), Rate: api.Rate(s.Rate)}
		}),
		Networks: each(t.Networks, func(n traffic.Network) api.TrafficNetwork {
			return api.TrafficNetwork{Network: n.Name, Compartment: n.Compartment, Sessions: n.Sessions, Opened: n.Opened, Rate: api.Rate(n.Rate)}
		}),
		Externals: each(t.Externals, func(e traffic.External) api.TrafficExternal {
			return api.TrafficExternal{NAT: e.NAT, Address: e.Address, Rate: api.Rate(e.Rate)}
		}),
		MatchingEndpoints: t.MatchingEndpoints, MatchingSessions: t.MatchingSessions,
	}
}

func trafficDropOf(d traffic.Drop) api.TrafficDrop {
	out := api.TrafficDrop{Reason: d.Reason, Packets: d.Packets, Latest: d.Latest}
	if r, known := event.ParseReason(d.Reason); known {
		out.Meaning = r.Describe()
	}
	return out
}

func trafficEndpointOf(e traffic.Endpoint) api.TrafficEndpoint {
	return api.TrafficEndpoint{
		Endpoint: e.Name, Network: e.Network, Compartment: e.Compartment, Address: e.Address,
		Sessions: e.Sessions, Opened: e.Opened, Rate: api.Rate(e.Rate),
	}
}
