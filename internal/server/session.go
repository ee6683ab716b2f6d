package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/model"
)

func sessionRoutes() []route {
	return []route{
		streamed("/v1/bindings", Service.Bindings, bindingOf),
		streamed("/v1/sessions", Service.Sessions, sessionOf),
		reply(http.MethodDelete, "/v1/sessions", deleteSessions),
	}
}

func deleteSessions(ctx context.Context, s Service, r *http.Request) (api.EndedSessions, error) {
	var f model.Filter
	var all string
	fields := filterFields(&f)
	fields["all"] = &all
	if err := query(r, fields); err != nil {
		return api.EndedSessions{}, err
	}
	every, err := truth("all", all)
	if err != nil {
		return api.EndedSessions{}, err
	}
	ended, err := s.DeleteSessions(ctx, f, every)
	return api.EndedSessions{Ended: ended}, err
}

func sessionOf(s model.Session) api.Session {
	return api.Session{
		NAT: s.NAT, Network: s.Network, Endpoint: s.Endpoint, Compartment: s.Compartment, Protocol: protocolOf(s.Protocol),
		Internal: s.Internal, External: s.External, Remote: s.Remote, RemoteName: s.RemoteName, State: api.TCPState(s.State.String()),
		LifetimeSeconds: s.LifetimeSeconds, CreatedAt: s.CreatedAt,
		PacketsOut: s.PacketsOut, BytesOut: s.BytesOut, PacketsIn: s.PacketsIn, BytesIn: s.BytesIn,
		Handshake: handshakeOf(s.Handshake),
	}
}

func handshakeOf(h model.Handshake) api.Handshake {
	return api.Handshake{
		EndpointMicroseconds: h.EndpointMicroseconds, OutsideMicroseconds: h.OutsideMicroseconds,
		RepeatedSYNs: h.RepeatedSYNs, Awaits: h.Awaits.String(),
	}
}

func bindingOf(b model.Binding) api.Binding {
	return api.Binding{
		NAT: b.NAT, Network: b.Network, Endpoint: b.Endpoint, Compartment: b.Compartment, Protocol: protocolOf(b.Protocol),
		Internal: b.Internal, External: b.External, SessionCount: b.SessionCount, Configured: b.Configured,
	}
}
