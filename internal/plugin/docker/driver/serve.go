package driver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of a call: a container may publish some thousand ports.
const (
	maxBody    = 4 << 20 // bytes
	readWithin = 30 * time.Second
)

// method is one of the protocol's: a body in, a value out.
type method func(ctx context.Context, body []byte) (any, error)

// as makes a method of a function. Docker sends no body, or null, where nothing is asked.
func as[In, Out any](do func(context.Context, In) (Out, error)) method {
	return func(ctx context.Context, body []byte) (any, error) {
		var in In
		if len(body) > 0 {
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, fmt.Errorf("the call cannot be read: %w", err)
			}
		}
		return do(ctx, in)
	}
}

// says is a method that always answers the same.
func says(answer any) method {
	return func(context.Context, []byte) (any, error) { return answer, nil }
}

// networkMethods are those of a network driver; what is for Swarm alone is left out.
func (d *Driver) networkMethods() map[string]method {
	return map[string]method{
		"GetCapabilities":             says(capabilities{Scope: "local", ConnectivityScope: "local", GwAllocChecker: true}),
		"GwAllocCheck":                says(gateways{SkipIPv6: true}), // a network's gateway is the host itself
		"CreateNetwork":               as(d.createNetwork),
		"DeleteNetwork":               as(d.deleteNetwork),
		"CreateEndpoint":              as(d.createEndpoint),
		"DeleteEndpoint":              as(d.deleteEndpoint),
		"EndpointOperInfo":            says(operInfo{Value: map[string]string{}}),
		"Join":                        as(d.join),
		"Leave":                       as(d.leave),
		"ProgramExternalConnectivity": as(d.publish),
		"RevokeExternalConnectivity":  as(d.leave),
		"DiscoverNew":                 says(nothing{}),
		"DiscoverDelete":              says(nothing{}),
	}
}

// ipamMethods are those of an IPAM driver. Replays are not wanted: what was given out is
// written down.
func (d *Driver) ipamMethods() map[string]method {
	return map[string]method{
		"GetCapabilities":         says(ipamCapabilities{}),
		"GetDefaultAddressSpaces": says(addressSpaces{"hostnat", "hostnat-global"}),
		"RequestPool":             as(d.requestPool),
		"ReleasePool":             as(d.releasePool),
		"RequestAddress":          as(d.requestAddress),
		"ReleaseAddress":          as(d.releaseAddress),
	}
}

// Handler answers Docker's calls.
func (d *Driver) Handler(log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /Plugin.Activate", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, activation{Implements: []string{"NetworkDriver", "IpamDriver"}})
	})
	add := func(kind, errorKey string, methods map[string]method) {
		for name, m := range methods {
			mux.HandleFunc("POST /"+kind+"."+name, func(w http.ResponseWriter, r *http.Request) {
				answer, err := call(w, r, m)
				if err != nil {
					log.Warn("Docker's call is refused", "call", kind+"."+name, "error", err)
					answer = map[string]string{errorKey: err.Error()}
				}
				reply(w, answer)
			})
		}
	}
	add("NetworkDriver", "Err", d.networkMethods())
	add("IpamDriver", "Error", d.ipamMethods())
	return mux
}

func call(w http.ResponseWriter, r *http.Request, m method) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return nil, fmt.Errorf("the call cannot be read: %w", err)
	}
	return m(r.Context(), body)
}

// reply sends an answer. Docker hangs up now and then, and asks again.
func reply(w http.ResponseWriter, answer any) {
	w.Header().Set("Content-Type", "application/vnd.docker.plugins.v1.1+json")
	_ = json.NewEncoder(w).Encode(answer)
}

// Serve answers at a socket until ctx ends.
func (d *Driver) Serve(ctx context.Context, l net.Listener, log *slog.Logger) error {
	srv := &http.Server{Handler: d.Handler(log), ReadTimeout: readWithin, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); ctx.Err() == nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve Docker's driver: %w", err)
	}
	return ctx.Err()
}
