package server

import (
	"context"
	"net/http"
	"net/netip"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/explain"
	"github.com/hostnat/hostnat/internal/model"
)

// explainRoutes has a POST, though nothing is changed: an answer takes a core for
// most of a second, which is not for everybody who may read.
func explainRoutes() []route {
	return []route{
		change(http.MethodPost, "/v1/explain", http.StatusOK, func(_ context.Context, s Service, r *http.Request, in api.ExplainSpec) (api.Explanation, error) {
			a, err := s.Explain(r.Context(), questionOf(in))
			if err != nil {
				return api.Explanation{}, err
			}
			return explanationOf(a), nil
		}),
		change(http.MethodPost, "/v1/explain/packets", http.StatusOK, func(_ context.Context, s Service, r *http.Request, in api.PacketsSpec) ([]api.ExplainedPacket, error) {
			return explainPackets(r.Context(), s, in.Packets)
		}),
	}
}

func questionOf(s api.ExplainSpec) explain.Question {
	return explain.Question{Protocol: s.Protocol, From: s.From, To: s.To, At: s.At, Probe: s.Probe, TCPFlags: s.TCPFlags}
}

func explainPackets(ctx context.Context, s Service, packets []api.ExplainSpec) ([]api.ExplainedPacket, error) {
	if len(packets) > api.MaxExplained {
		return nil, model.Errorf(model.Invalid, "%d packets are more than %d, which one request may have", len(packets), api.MaxExplained).WithHint("send them in several")
	}
	for _, p := range packets {
		if p.Probe {
			return nil, model.Errorf(model.Invalid, "several packets are not probed").WithHint("ask about one: POST /v1/explain")
		}
	}
	results, err := s.ExplainAll(ctx, each(packets, questionOf))
	if err != nil {
		return nil, err
	}
	return each(results, func(r explain.Result) api.ExplainedPacket {
		if r.Err != nil {
			return api.ExplainedPacket{Problem: r.Err.Error()}
		}
		e := explanationOf(r.Answer)
		return api.ExplainedPacket{Explanation: &e}
	}), nil
}

func explanationOf(a explain.Answer) api.Explanation {
	f := a.Fate
	e := api.Explanation{
		Verdict: string(f.Verdict), Summary: a.Summary, Protocol: protocolOf(a.Trial.Protocol),
		From: endText(a.Trial.Protocol, a.Trial.From), To: endText(a.Trial.Protocol, a.Trial.To),
		Program: f.Program, Interface: f.Link, Network: f.Network, Endpoint: f.Endpoint, NAT: f.NAT,
		Session: string(f.Session), PortBound: f.Bound, OutInterface: f.OutLink,
		TargetNetwork: f.TargetNetwork, TargetEndpoint: f.Target, Reason: f.Reason, Meaning: a.Meaning, Told: f.Told,
		Remedies: each(a.Remedies, func(r explain.Remedy) api.Remedy { return api.Remedy(r) }),
		Steps:    each(a.Steps, func(s explain.Step) api.ExplainStep { return api.ExplainStep{Step: s.Name, Found: s.Found} }),
	}
	if p := a.Path; p != nil {
		e.Path = &api.PathMTU{By: p.By, Largest: p.Largest, Tried: p.Tried, Refusal: p.Refusal, Vanish: p.Vanish()}
		if p.Router.IsValid() {
			e.Path.Router = p.Router.String()
		}
	}
	if f.NextHop.IsValid() {
		e.NextHop = f.NextHop.String()
	}
	if f.Verdict != model.VerdictDropped {
		e.NewFrom, e.NewTo = endText(a.Trial.Protocol, f.From), endText(a.Trial.Protocol, f.To)
	}
	return e
}

// endText is an end of a packet; the port of ICMP's is the identifier, and its remote has none.
func endText(p model.Protocol, a netip.AddrPort) string {
	if p == model.ICMP && a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}
