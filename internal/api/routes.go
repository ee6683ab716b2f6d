package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/model"
)

// routes lists every operation there is.
func routes() []route {
	var all []route
	for _, group := range [][]route{generalRoutes(), natRoutes(), networkRoutes(), endpointRoutes(), dhcpRoutes(), mappingRoutes(), proxyRoutes(), tableRoutes()} {
		all = append(all, group...)
	}
	return all
}

func generalRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/v1/openapi.json", out: map[string]any{}, handle: serveDocument},
		{method: http.MethodGet, path: "/v1/version", out: Version{}, handle: serveVersion},
		{method: http.MethodGet, path: "/v1/status", out: control.Status{}, handle: serveStatus},
		list("/v1/doctor", func(s Service, r *http.Request) ([]doctor.Finding, error) {
			return s.Doctor(r.Context(), false)
		}),
		change(http.MethodPost, "/v1/doctor", http.StatusOK, func(ctx context.Context, s Service, _ *http.Request, in doctorSpec) ([]doctor.Finding, error) {
			return s.Doctor(ctx, in.Fix)
		}),
		act(http.MethodPost, "/v1/down", func(ctx context.Context, s Service, _ *http.Request) error {
			return s.Down(ctx)
		}),
	}
}

func natRoutes() []route {
	return []route{
		list("/v1/nats", func(s Service, r *http.Request) ([]model.NAT, error) {
			return s.NATs(r.Context())
		}),
		get("/v1/nats/{nat}", func(s Service, r *http.Request) (model.NAT, error) {
			return s.NAT(r.Context(), r.PathValue("nat"))
		}),
		change(http.MethodPost, "/v1/nats", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in config.NATSpec) (model.NAT, error) {
			return s.CreateNAT(ctx, in)
		}),
		change(http.MethodPatch, "/v1/nats/{nat}", http.StatusOK, func(ctx context.Context, s Service, r *http.Request, in natSettings) (model.NAT, error) {
			return s.SetNAT(ctx, r.PathValue("nat"), in.Settings)
		}),
		act(http.MethodDelete, "/v1/nats/{nat}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DeleteNAT(ctx, r.PathValue("nat"))
		}),
		list("/v1/addresses", func(s Service, r *http.Request) ([]control.AddressView, error) {
			return s.Addresses(r.Context())
		}),
		change(http.MethodPost, "/v1/nats/{nat}/addresses", http.StatusCreated, func(ctx context.Context, s Service, r *http.Request, in addressSpec) (control.AddressView, error) {
			return s.AddAddress(ctx, r.PathValue("nat"), in.Address)
		}),
		act(http.MethodDelete, "/v1/nats/{nat}/addresses/{address}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.RemoveAddress(ctx, r.PathValue("nat"), r.PathValue("address"))
		}),
	}
}

func networkRoutes() []route {
	return []route{
		list("/v1/networks", func(s Service, r *http.Request) ([]model.Network, error) {
			return s.Networks(r.Context())
		}),
		get("/v1/networks/{network}", func(s Service, r *http.Request) (model.Network, error) {
			return s.Network(r.Context(), r.PathValue("network"))
		}),
		change(http.MethodPost, "/v1/networks", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in config.NetworkSpec) (model.Network, error) {
			return s.CreateNetwork(ctx, in)
		}),
		act(http.MethodDelete, "/v1/networks/{network}", deleteNetwork),
		change(http.MethodPatch, "/v1/networks/{network}", http.StatusOK, func(ctx context.Context, s Service, r *http.Request, in networkSettings) (model.Network, error) {
			return s.SetNetwork(ctx, r.PathValue("network"), in.Settings)
		}),
		change(http.MethodPost, "/v1/networks/{network}/renumber", http.StatusOK, func(ctx context.Context, s Service, r *http.Request, in renumberSpec) (config.Renumbering, error) {
			return s.RenumberNetwork(ctx, r.PathValue("network"), in.Subnet)
		}),
	}
}

func deleteNetwork(ctx context.Context, s Service, r *http.Request) error {
	var force string
	if err := query(r, map[string]*string{"force": &force}); err != nil {
		return err
	}
	forced, err := truth("force", force)
	if err != nil {
		return err
	}
	return s.DeleteNetwork(ctx, r.PathValue("network"), forced)
}

func endpointRoutes() []route {
	return []route{
		list("/v1/endpoints", func(s Service, r *http.Request) ([]control.EndpointView, error) {
			var network string
			if err := query(r, map[string]*string{"network": &network}); err != nil {
				return nil, err
			}
			return s.Endpoints(r.Context(), network)
		}),
		get("/v1/endpoints/{endpoint}", func(s Service, r *http.Request) (control.EndpointView, error) {
			return s.Endpoint(r.Context(), r.PathValue("endpoint"))
		}),
		change(http.MethodPost, "/v1/endpoints", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in config.EndpointSpec) (control.EndpointView, error) {
			return s.AttachEndpoint(ctx, in)
		}),
		act(http.MethodDelete, "/v1/endpoints/{endpoint}", func(ctx context.Context, s Service, r *http.Request) error {
			return s.DetachEndpoint(ctx, r.PathValue("endpoint"))
		}),
	}
}

func mappingRoutes() []route {
	return []route{
		list("/v1/mappings", func(s Service, r *http.Request) ([]control.MappingView, error) {
			return s.Mappings(r.Context())
		}),
		change(http.MethodPost, "/v1/mappings", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in config.MappingSpec) (control.MappingView, error) {
			return s.AddMapping(ctx, in)
		}),
		get("/v1/mappings/{mapping}", func(s Service, r *http.Request) (control.MappingView, error) {
			id, err := mappingID(r)
			if err != nil {
				return control.MappingView{}, err
			}
			return s.Mapping(r.Context(), id)
		}),
		act(http.MethodDelete, "/v1/mappings/{mapping}", func(ctx context.Context, s Service, r *http.Request) error {
			id, err := mappingID(r)
			if err != nil {
				return err
			}
			return s.DeleteMapping(ctx, id)
		}),
	}
}

func mappingID(r *http.Request) (uint32, error) {
	id, err := strconv.ParseUint(r.PathValue("mapping"), 10, 32)
	if err != nil {
		return 0, model.Errorf(model.Invalid, "mapping id %q is not a number", r.PathValue("mapping"))
	}
	return uint32(id), nil
}

func proxyRoutes() []route {
	return []route{
		list("/v1/proxies", func(s Service, r *http.Request) ([]control.ProxyView, error) {
			return s.Proxies(r.Context())
		}),
		change(http.MethodPost, "/v1/proxies", http.StatusCreated, func(ctx context.Context, s Service, _ *http.Request, in config.ProxySpec) (control.ProxyView, error) {
			return s.AddProxy(ctx, in)
		}),
		act(http.MethodDelete, "/v1/proxies/{proxy}", func(ctx context.Context, s Service, r *http.Request) error {
			id, err := strconv.ParseUint(r.PathValue("proxy"), 10, 32)
			if err != nil {
				return model.Errorf(model.Invalid, "port proxy id %q is not a number", r.PathValue("proxy"))
			}
			return s.DeleteProxy(ctx, uint32(id))
		}),
	}
}

func tableRoutes() []route {
	return []route{
		list("/v1/bindings", func(s Service, r *http.Request) ([]model.Binding, error) {
			f, err := filter(r)
			if err != nil {
				return nil, err
			}
			return s.Bindings(r.Context(), f)
		}),
		list("/v1/sessions", func(s Service, r *http.Request) ([]model.Session, error) {
			f, err := filter(r)
			if err != nil {
				return nil, err
			}
			return s.Sessions(r.Context(), f)
		}),
		reply(http.MethodDelete, "/v1/sessions", deleteSessions),
		list("/v1/ports", func(s Service, r *http.Request) ([]control.PortView, error) {
			var protocol string
			if err := query(r, map[string]*string{"protocol": &protocol}); err != nil {
				return nil, err
			}
			ports, err := s.Ports(r.Context(), protocol)
			if !trusted(r) {
				hidePrograms(ports)
			}
			return ports, err
		}),
		{method: http.MethodGet, path: "/v1/events", out: stream{}, handle: serveEvents},
	}
}

// hidePrograms leaves out whose program listens: what the kernel, too, shows of a
// process's sockets to that process's user alone.
func hidePrograms(ports []control.PortView) {
	for i := range ports {
		if ports[i].Kind == control.ListenerPort {
			ports[i].Owner = "a program of the host"
		}
	}
}

func deleteSessions(ctx context.Context, s Service, r *http.Request) (control.EndedSessions, error) {
	var f model.Filter
	var all string
	fields := filterFields(&f)
	fields["all"] = &all
	if err := query(r, fields); err != nil {
		return control.EndedSessions{}, err
	}
	every, err := truth("all", all)
	if err != nil {
		return control.EndedSessions{}, err
	}
	return s.DeleteSessions(ctx, f, every)
}
