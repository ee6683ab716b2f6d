package server

import (
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/explain"
	"github.com/hostnat/hostnat/internal/model"
)

// How much of a history is sent: the latest.
const (
	mostFailures = 200
	mostRecords  = 1000
)

func historyRoutes() []route {
	return []route{get("/v1/history", func(s Service, r *http.Request) (api.History, error) {
		var f model.Filter
		var text string
		fields := filterFields(&f)
		fields["since"] = &text
		if err := query(r, fields); err != nil {
			return api.History{}, err
		}
		since, err := sinceTime(text)
		if err != nil {
			return api.History{}, err
		}
		h, err := s.History(r.Context(), since, f)
		return historyOf(h), err
	})}
}

func historyOf(h explain.History) api.History {
	return api.History{
		Since:    h.Since,
		Failures: each(firstOf(h.Failures, mostFailures), failureOf),
		Drops:    each(firstOf(h.Drops, mostRecords), dropOf),
		Ended:    each(firstOf(h.Ended, mostRecords), endedOf),
	}
}

func firstOf[T any](list []T, most int) []T { return list[:min(len(list), most)] }

func failureOf(f explain.Failure) api.Failure {
	return api.Failure{
		Outcome: string(f.Outcome), Reason: f.Reason, Count: f.Count, First: f.First, Last: f.Last,
		Network: f.Network, Endpoint: f.Endpoint, What: f.What, Meaning: f.Meaning,
		Remedies: each(f.Remedies, func(r explain.Remedy) api.Remedy { return api.Remedy(r) }),
	}
}

func dropOf(d model.Drop) api.Drop {
	out := api.Drop{
		First: d.First, Last: d.Last, Packets: d.Packets, Reason: d.Reason, Program: d.Program, Interface: d.Link,
		Network: d.Network, Endpoint: d.Endpoint, Target: d.Target, RemoteName: d.RemoteName, EtherType: d.EtherType, MAC: string(d.MAC),
		Protocol: d.Protocol, TCPFlags: d.TCPFlags, Length: d.Length,
	}
	if d.From.IsValid() {
		out.From, out.To = endText(model.Protocol(d.Protocol), d.From), endText(model.Protocol(d.Protocol), d.To)
	}
	if model.Protocol(d.Protocol) == model.ICMP {
		out.ICMPType, out.ICMPCode = &d.ICMPType, &d.ICMPCode
	}
	return out
}

func endedOf(s model.EndedSession) api.EndedSession {
	return api.EndedSession{
		Outcome: string(explain.OutcomeOf(s)), NAT: s.NAT, Network: s.Network, Endpoint: s.Endpoint, Compartment: s.Compartment,
		Protocol: protocolOf(s.Protocol), Internal: s.Internal, External: s.External, Remote: s.Remote, RemoteName: s.RemoteName, FromOutside: s.FromOutside,
		State: api.TCPState(s.State.String()), CreatedAt: s.CreatedAt, EndedAt: s.EndedAt, IdleSeconds: uint32(s.Idle.Seconds()),
		PacketsOut: s.PacketsOut, BytesOut: s.BytesOut, PacketsIn: s.PacketsIn, BytesIn: s.BytesIn,
		Handshake: handshakeOf(s.Handshake),
	}
}
