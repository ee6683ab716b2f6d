package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

func proxyRoutes() []route {
	return []route{
		list("/v1/proxies", func(s Service, r *http.Request) ([]api.Proxy, error) {
			all, err := s.Proxies(r.Context())
			return eachOf(all, err, proxyOf)
		}),
		change(http.MethodPost, "/v1/proxies", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in api.ProxySpec) (api.Proxy, error) {
			p, err := s.AddProxy(ctx, config.ProxySpec(in))
			return proxyOf(p), err
		}),
		act(http.MethodDelete, "/v1/proxies/{proxy}", func(ctx context.Context, s Service, r *http.Request) error {
			id, err := idIn(r, "proxy", "port proxy")
			if err != nil {
				return err
			}
			return s.DeleteProxy(ctx, id)
		}),
	}
}

func proxyOf(p control.ProxyView) api.Proxy {
	out := api.Proxy{
		ID: p.ID, Labels: p.Labels, Owner: p.Owner, Kind: string(p.Kind), Protocol: protocolOf(p.Protocol), Listen: p.Listen.String(),
		ProxyProtocol: p.ProxyProtocol, Transparent: p.Transparent,
		Listening: p.Listening, Problem: p.Problem, Connections: p.Connections, TotalConnections: p.TotalConnections,
		Refused: p.Refused, GaveWay: p.GaveWay, BytesIn: p.BytesIn, BytesOut: p.BytesOut, LastError: p.LastError, LastErrorAt: p.LastErrorAt,
	}
	if p.Kind != model.ByName {
		out.Connect = p.Connect.String()
	}
	for _, r := range p.Routes {
		out.Routes = append(out.Routes, api.ProxyRoute{Pattern: r.Pattern, Connect: r.Connect.String()})
	}
	return out
}
