package server

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// query fills the fields with the request's query parameters. A parameter that
// is not among them is refused: a misspelt filter must not select everything.
func query(r *http.Request, fields map[string]*string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return model.Errorf(model.Invalid, "query %q cannot be read: %v", r.URL.RawQuery, err)
	}
	for key, vs := range values {
		field, known := fields[key]
		if !known {
			return model.Errorf(model.Invalid, "query parameter %q is not known", key).
				WithHint("use %s", strings.Join(sortedKeys(fields), ", "))
		}
		if len(vs) > 1 {
			return model.Errorf(model.Invalid, "query parameter %q is given more than once", key)
		}
		*field = vs[0]
	}
	return nil
}

func filter(r *http.Request) (model.Filter, error) {
	var f model.Filter
	err := query(r, filterFields(&f))
	return f, err
}

// filterFields names the fields of a filter as they appear in a query.
func filterFields(f *model.Filter) map[string]*string {
	return map[string]*string{
		"nat": &f.NAT, "network": &f.Network, "endpoint": &f.Endpoint, "protocol": &f.Protocol,
		"internal": &f.Internal, "external": &f.External, "remote": &f.Remote, "remotename": &f.RemoteName, "state": &f.State,
	}
}

// endpointMeant is the name of the endpoint that is meant by a name or an alias; "" is "".
func endpointMeant(ctx context.Context, s Service, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	e, err := s.Endpoint(ctx, name)
	if model.CodeOf(err) == model.Conflict { // two networks have one of that name: both are meant
		return name, nil
	}
	return e.Name, err
}

// truth reads a query parameter that is true or false; left out, it is false.
func truth(name, text string) (bool, error) {
	if text == "" {
		return false, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, model.Errorf(model.Invalid, "%s=%q is neither true nor false", name, text)
	}
	return v, nil
}

// sinceTime reads the query parameter since.
func sinceTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return t, model.Errorf(model.Invalid, "since=%q is not a time", model.Clip(text)).WithHint("write it like 2026-11-30T03:10:00Z")
	}
	return t, nil
}

func sortedKeys(m map[string]*string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// number is a query parameter that is a number from 1 to most.
type number struct {
	name, text string
	to         *int
	most       int
}

// readNumbers reads those that are given; the others stay as they are.
func readNumbers(list ...number) (err error) {
	for _, n := range list {
		if n.text == "" {
			continue
		}
		if *n.to, err = strconv.Atoi(n.text); err != nil || *n.to < 1 || *n.to > n.most {
			return model.Errorf(model.Invalid, "%s=%q is not a number", n.name, model.Clip(n.text)).WithHint("use one from 1 to %d", n.most)
		}
	}
	return nil
}
