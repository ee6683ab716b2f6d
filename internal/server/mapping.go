package server

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/model"
)

func mappingRoutes() []route {
	return []route{
		list("/v1/mappings", func(s Service, r *http.Request) ([]api.Mapping, error) {
			all, err := s.Mappings(r.Context())
			return eachOf(all, err, mappingOf)
		}),
		change(http.MethodPost, "/v1/mappings", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in api.MappingSpec) (api.Mapping, error) {
			m, err := s.AddMapping(ctx, config.MappingSpec(in))
			return mappingOf(m), err
		}),
		get("/v1/mappings/{mapping}", func(s Service, r *http.Request) (api.Mapping, error) {
			id, err := idIn(r, "mapping", "mapping")
			if err != nil {
				return api.Mapping{}, err
			}
			m, err := s.Mapping(r.Context(), id)
			return mappingOf(m), err
		}),
		act(http.MethodDelete, "/v1/mappings/{mapping}", func(ctx context.Context, s Service, r *http.Request) error {
			id, err := idIn(r, "mapping", "mapping")
			if err != nil {
				return err
			}
			return s.DeleteMapping(ctx, id)
		}),
	}
}

// idIn reads a number that is part of a request's path.
func idIn(r *http.Request, key, what string) (uint32, error) {
	id, err := strconv.ParseUint(r.PathValue(key), 10, 32)
	if err != nil {
		return 0, model.Errorf(model.Invalid, "%s id %q is not a number", what, r.PathValue(key))
	}
	return uint32(id), nil
}

func mappingOf(m control.MappingView) api.Mapping {
	return api.Mapping{
		ID: m.ID, Labels: m.Labels, Owner: m.Owner, NAT: m.NAT, Network: m.Network, Protocol: protocolOf(m.Protocol), External: m.External.String(),
		Internal: m.Internal, Endpoint: m.Endpoint, Targets: each(m.Targets, targetOf),
		From: append([]netip.Prefix{}, m.From...), Active: m.Active,
	}
}

func targetOf(t model.Target) api.Target {
	return api.Target{Endpoint: t.Endpoint, Network: t.Network, MAC: string(t.MAC), Internal: t.Internal.String()}
}

func protocolOf(p model.Protocol) api.Protocol { return api.Protocol(p.String()) }
