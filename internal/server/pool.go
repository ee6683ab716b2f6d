package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

func poolRoutes() []route {
	return []route{
		list("/v1/pools", func(s Service, r *http.Request) ([]api.Pool, error) {
			all, err := s.Pools(r.Context())
			return eachOf(all, err, poolOf)
		}),
		change(http.MethodPost, "/v1/pools", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in api.PoolSpec) (api.Pool, error) {
			p, err := s.AddPool(ctx, config.PoolSpec(in))
			return poolOf(p), err
		}),
		act(http.MethodDelete, "/v1/pools/{prefix}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DeletePool(ctx, r.PathValue("prefix"))
		}),
	}
}

func poolOf(p model.Pool) api.Pool { return api.Pool{Prefix: p.Prefix, Size: p.Size} }
