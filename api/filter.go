package api

import "net/url"

// Filter selects sessions or bindings; an empty field selects all. Internal,
// External and Remote are A, A:PORT, :PORT or a prefix. A binding has neither a
// remote nor a state: to filter bindings by them is refused.
type Filter struct {
	NAT        string
	Network    string
	Endpoint   string
	Protocol   string
	Internal   string
	External   string
	Remote     string
	RemoteName string // by which the inside party asked for Remote; *.example.com is all names below one
	State      string
}

// values are the query parameters that ask for what the filter selects.
func (f Filter) values() url.Values {
	values := url.Values{}
	for _, p := range []struct{ key, value string }{
		{"nat", f.NAT}, {"network", f.Network}, {"endpoint", f.Endpoint}, {"protocol", f.Protocol},
		{"internal", f.Internal}, {"external", f.External}, {"remote", f.Remote}, {"remotename", f.RemoteName}, {"state", f.State},
	} {
		if p.value != "" {
			values.Set(p.key, p.value)
		}
	}
	return values
}
