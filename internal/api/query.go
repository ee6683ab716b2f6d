package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hostnat/hostnat/internal/nat"
)

// query fills the fields with the request's query parameters. A parameter that
// is not among them is refused: a misspelt filter must not select everything.
func query(r *http.Request, fields map[string]*string) error {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nat.Errorf(nat.Invalid, "query %q cannot be read: %v", r.URL.RawQuery, err)
	}
	for key, vs := range values {
		field, known := fields[key]
		if !known {
			return nat.Errorf(nat.Invalid, "query parameter %q is not known", key).
				WithHint("use %s", strings.Join(sortedKeys(fields), ", "))
		}
		if len(vs) > 1 {
			return nat.Errorf(nat.Invalid, "query parameter %q is given more than once", key)
		}
		*field = vs[0]
	}
	return nil
}

func filter(r *http.Request) (nat.Filter, error) {
	var f nat.Filter
	err := query(r, filterFields(&f))
	return f, err
}

// filterFields names the fields of a filter as they appear in a query.
func filterFields(f *nat.Filter) map[string]*string {
	return map[string]*string{
		"nat": &f.NAT, "network": &f.Network, "endpoint": &f.Endpoint, "protocol": &f.Protocol,
		"internal": &f.Internal, "external": &f.External, "remote": &f.Remote, "state": &f.State,
	}
}

// encodeFilter is the reverse of filter: "?nat=default", or "" for no filter.
func encodeFilter(f nat.Filter) string {
	values := url.Values{}
	for key, v := range filterFields(&f) {
		if *v != "" {
			values.Set(key, *v)
		}
	}
	return encodeQuery(values)
}

func encodeQuery(values url.Values) string {
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

func sortedKeys(m map[string]*string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
