package server

import (
	"context"
	"net/http"

	"github.com/hostnat/hostnat/internal/control"
)

// route is one operation. in and out are values of the body types (nil: no
// body), which the tests hold against the OpenAPI document.
type route struct {
	method, path string
	in, out      any
	handle       func(*Server, http.ResponseWriter, *http.Request) error
}

// get makes a route that reads.
func get[Out any](path string, f func(Service, *http.Request) (Out, error)) route {
	var out Out
	return route{method: http.MethodGet, path: path, out: out,
		handle: func(s *Server, w http.ResponseWriter, r *http.Request) error {
			v, err := inTurn(s, r, f)
			if err != nil {
				return err
			}
			return writeJSON(w, http.StatusOK, v)
		}}
}

// list makes a route that reads an array. An empty one is [], never null.
func list[T any](path string, f func(Service, *http.Request) ([]T, error)) route {
	return get(path, func(s Service, r *http.Request) ([]T, error) {
		rows, err := f(s, r)
		if rows == nil {
			rows = []T{}
		}
		return rows, err
	})
}

// change makes a route with a body that changes something and answers with
// what became of it.
func change[In, Out any](method, path string, status int, f func(context.Context, Service, *http.Request, In) (Out, error)) route {
	return changeOf(maxBody, method, path, status, f)
}

// changeOf is change for a body of at most so many bytes.
func changeOf[In, Out any](most int64, method, path string, status int, f func(context.Context, Service, *http.Request, In) (Out, error)) route {
	var in In
	var out Out
	return route{method: method, path: path, in: in, out: out,
		handle: func(s *Server, w http.ResponseWriter, r *http.Request) error {
			var in In
			if err := readJSON(w, r, most, &in); err != nil {
				return err
			}
			v, err := f(finishing(r), s.service, r, in)
			if err != nil {
				return err
			}
			advise(finishing(r), s.service, &v)
			return writeJSON(w, status, v)
		}}
}

// reply makes a route without a body that changes something and answers with
// what became of it.
func reply[Out any](method, path string, f func(context.Context, Service, *http.Request) (Out, error)) route {
	var out Out
	return route{method: method, path: path, out: out,
		handle: func(s *Server, w http.ResponseWriter, r *http.Request) error {
			v, err := f(finishing(r), s.service, r)
			if err != nil {
				return err
			}
			return writeJSON(w, http.StatusOK, v)
		}}
}

// act makes a route that changes something and has nothing to say about it.
func act(method, path string, f func(context.Context, Service, *http.Request) error) route {
	return route{method: method, path: path,
		handle: func(s *Server, w http.ResponseWriter, r *http.Request) error {
			if err := f(finishing(r), s.service, r); err != nil {
				return err
			}
			w.WriteHeader(http.StatusNoContent)
			return nil
		}}
}

// finishing is the request's context without its end: a client that goes away
// in the middle of a change must not leave the change half done. It says who asks.
func finishing(r *http.Request) context.Context {
	ctx := context.WithoutCancel(r.Context())
	if p, is := ctx.Value(peerKey{}).(peer); is {
		return control.WithAuthor(ctx, p.String())
	}
	return ctx
}
