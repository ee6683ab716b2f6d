package servertest

import (
	"cmp"
	"context"
	"net/netip"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/explain"
	"github.com/hostnat/hostnat/internal/model"
)

// ExplainAll says the same of each.
func (s *Service) ExplainAll(ctx context.Context, questions []explain.Question) ([]explain.Result, error) {
	results := make([]explain.Result, len(questions))
	for i, q := range questions {
		results[i].Answer, results[i].Err = s.Explain(ctx, q)
	}
	return results, s.Err
}

// Explain says that the packet is dropped, whatever it is.
func (s *Service) Explain(_ context.Context, q explain.Question) (explain.Answer, error) {
	p, err := model.ParseProtocol(q.Protocol)
	if s.Err != nil || err != nil {
		return explain.Answer{}, cmp.Or(s.Err, err)
	}
	from, to := netip.MustParseAddrPort("172.16.1.2:40000"), netip.MustParseAddrPort("172.16.2.2:80")
	return explain.Answer{
		Trial: model.Trial{Protocol: p, From: from, To: to, Entry: model.EntryEndpoint, Link: "hv-web1"},
		Fate: model.Fate{
			Program: "inside_ingress", Link: "hv-web1", NAT: "default", Network: "web", Endpoint: "web1",
			Verdict: model.VerdictDropped, Reason: event.IsolatedNetwork.String(), Told: true, From: from, To: to,
		},
		Steps:    []explain.Step{{Name: "packet", Found: "tcp SYN"}, {Name: "ends", Found: "dropped"}},
		Summary:  "It does not get through: isolated-network.",
		Meaning:  event.IsolatedNetwork.Describe(),
		Remedies: []explain.Remedy{{Object: "network web, which is isolated", Command: "hostnat network set web isolation=off"}},
	}, nil
}
