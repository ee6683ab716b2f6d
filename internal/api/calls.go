package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/model"
)

// at puts names into a path: at("/v1/nats/", "a") is "/v1/nats/a". A name that
// would change the path's meaning is refused here, as it cannot exist.
func at(prefix string, name string) (string, error) {
	if name == "" || name == "." || name == ".." {
		return "", model.Errorf(model.Invalid, "%q is not a name", name)
	}
	return prefix + url.PathEscape(name), nil
}

// one calls an operation on one named thing.
func (c *Client) one(ctx context.Context, method, prefix, name, suffix string, in, out any) error {
	path, err := at(prefix, name)
	if err != nil {
		return err
	}
	return c.call(ctx, method, path+suffix, in, out)
}

// Version asks for the daemon's version.
func (c *Client) Version(ctx context.Context) (v Version, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/version", nil, &v)
	return v, err
}

// Status asks how the daemon and the data path are.
func (c *Client) Status(ctx context.Context) (s control.Status, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
	return s, err
}

// Doctor asks what is wrong with the host; fix has it do what is safe.
func (c *Client) Doctor(ctx context.Context, fix bool) (l []doctor.Finding, err error) {
	if fix {
		err = c.call(ctx, http.MethodPost, "/v1/doctor", doctorSpec{Fix: true}, &l)
	} else {
		err = c.call(ctx, http.MethodGet, "/v1/doctor", nil, &l)
	}
	return l, err
}

// Down has everything removed from the kernel; the configuration stays.
func (c *Client) Down(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/down", nil, nil)
}

// NATs lists the NATs.
func (c *Client) NATs(ctx context.Context) (l []model.NAT, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/nats", nil, &l)
	return l, err
}

// NAT returns one NAT.
func (c *Client) NAT(ctx context.Context, name string) (n model.NAT, err error) {
	err = c.one(ctx, http.MethodGet, "/v1/nats/", name, "", nil, &n)
	return n, err
}

// CreateNAT creates a NAT.
func (c *Client) CreateNAT(ctx context.Context, spec config.NATSpec) (n model.NAT, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/nats", spec, &n)
	return n, err
}

// SetNAT changes a NAT's settings.
func (c *Client) SetNAT(ctx context.Context, name string, settings map[string]string) (n model.NAT, err error) {
	err = c.one(ctx, http.MethodPatch, "/v1/nats/", name, "", natSettings{Settings: settings}, &n)
	return n, err
}

// DeleteNAT deletes a NAT.
func (c *Client) DeleteNAT(ctx context.Context, name string) error {
	return c.one(ctx, http.MethodDelete, "/v1/nats/", name, "", nil, nil)
}

// Addresses lists the external addresses of all NATs.
func (c *Client) Addresses(ctx context.Context) (l []control.AddressView, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/addresses", nil, &l)
	return l, err
}

// AddAddress gives a NAT an external address, A or A:LO-HI.
func (c *Client) AddAddress(ctx context.Context, natName, spec string) (a control.AddressView, err error) {
	err = c.one(ctx, http.MethodPost, "/v1/nats/", natName, "/addresses", addressSpec{Address: spec}, &a)
	return a, err
}

// RemoveAddress takes an external address away from a NAT.
func (c *Client) RemoveAddress(ctx context.Context, natName, address string) error {
	suffix, err := at("/addresses/", address)
	if err != nil {
		return err
	}
	return c.one(ctx, http.MethodDelete, "/v1/nats/", natName, suffix, nil, nil)
}

// Networks lists the networks.
func (c *Client) Networks(ctx context.Context) (l []model.Network, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/networks", nil, &l)
	return l, err
}

// Network returns one network.
func (c *Client) Network(ctx context.Context, name string) (n model.Network, err error) {
	err = c.one(ctx, http.MethodGet, "/v1/networks/", name, "", nil, &n)
	return n, err
}

// CreateNetwork creates a network.
func (c *Client) CreateNetwork(ctx context.Context, spec config.NetworkSpec) (n model.Network, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/networks", spec, &n)
	return n, err
}

// DeleteNetwork deletes a network; with force, its endpoints and mappings too.
func (c *Client) DeleteNetwork(ctx context.Context, name string, force bool) error {
	suffix := ""
	if force {
		suffix = "?force=true"
	}
	return c.one(ctx, http.MethodDelete, "/v1/networks/", name, suffix, nil, nil)
}

// SetNetwork changes a network's settings.
func (c *Client) SetNetwork(ctx context.Context, name string, settings map[string]string) (n model.Network, err error) {
	err = c.one(ctx, http.MethodPatch, "/v1/networks/", name, "", networkSettings{Settings: settings}, &n)
	return n, err
}

// RenumberNetwork moves a network to another subnet, to a free one if subnet is "".
func (c *Client) RenumberNetwork(ctx context.Context, name, subnet string) (r config.Renumbering, err error) {
	err = c.one(ctx, http.MethodPost, "/v1/networks/", name, "/renumber", renumberSpec{Subnet: subnet}, &r)
	return r, err
}

// Endpoints lists the endpoints of a network, or of all if network is "".
func (c *Client) Endpoints(ctx context.Context, network string) (l []control.EndpointView, err error) {
	values := url.Values{}
	if network != "" {
		values.Set("network", network)
	}
	err = c.call(ctx, http.MethodGet, "/v1/endpoints"+encodeQuery(values), nil, &l)
	return l, err
}

// Endpoint returns one endpoint.
func (c *Client) Endpoint(ctx context.Context, name string) (e control.EndpointView, err error) {
	err = c.one(ctx, http.MethodGet, "/v1/endpoints/", name, "", nil, &e)
	return e, err
}

// AttachEndpoint attaches a VM or container to a network.
func (c *Client) AttachEndpoint(ctx context.Context, spec config.EndpointSpec) (e control.EndpointView, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/endpoints", spec, &e)
	return e, err
}

// DetachEndpoint detaches an endpoint.
func (c *Client) DetachEndpoint(ctx context.Context, name string) error {
	return c.one(ctx, http.MethodDelete, "/v1/endpoints/", name, "", nil, nil)
}

// Mappings lists the static mappings.
func (c *Client) Mappings(ctx context.Context) (l []control.MappingView, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/mappings", nil, &l)
	return l, err
}

// Mapping returns one static mapping.
func (c *Client) Mapping(ctx context.Context, id uint32) (m control.MappingView, err error) {
	err = c.one(ctx, http.MethodGet, "/v1/mappings/", strconv.FormatUint(uint64(id), 10), "", nil, &m)
	return m, err
}

// AddMapping publishes a port.
func (c *Client) AddMapping(ctx context.Context, spec config.MappingSpec) (m control.MappingView, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/mappings", spec, &m)
	return m, err
}

// DeleteMapping deletes a static mapping.
func (c *Client) DeleteMapping(ctx context.Context, id uint32) error {
	return c.one(ctx, http.MethodDelete, "/v1/mappings/", strconv.FormatUint(uint64(id), 10), "", nil, nil)
}

// Proxies lists the port proxies.
func (c *Client) Proxies(ctx context.Context) (l []control.ProxyView, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/proxies", nil, &l)
	return l, err
}

// AddProxy adds a port proxy.
func (c *Client) AddProxy(ctx context.Context, spec config.ProxySpec) (p control.ProxyView, err error) {
	err = c.call(ctx, http.MethodPost, "/v1/proxies", spec, &p)
	return p, err
}

// DeleteProxy deletes a port proxy and ends its connections.
func (c *Client) DeleteProxy(ctx context.Context, id uint32) error {
	return c.one(ctx, http.MethodDelete, "/v1/proxies/", strconv.FormatUint(uint64(id), 10), "", nil, nil)
}

// Bindings lists the bindings that match the filter.
func (c *Client) Bindings(ctx context.Context, filter model.Filter) (l []model.Binding, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/bindings"+encodeFilter(filter), nil, &l)
	return l, err
}

// DeleteSessions ends the sessions that match the filter; all, in its place,
// ends every one.
func (c *Client) DeleteSessions(ctx context.Context, filter model.Filter, all bool) (e control.EndedSessions, err error) {
	values := filterValues(filter)
	if all {
		values.Set("all", "true")
	}
	err = c.call(ctx, http.MethodDelete, "/v1/sessions"+encodeQuery(values), nil, &e)
	return e, err
}

// Ports lists who has which external port; protocol "" is all of them.
func (c *Client) Ports(ctx context.Context, protocol string) (l []control.PortView, err error) {
	values := url.Values{}
	if protocol != "" {
		values.Set("protocol", protocol)
	}
	err = c.call(ctx, http.MethodGet, "/v1/ports"+encodeQuery(values), nil, &l)
	return l, err
}

// Sessions lists the sessions that match the filter.
func (c *Client) Sessions(ctx context.Context, filter model.Filter) (l []model.Session, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/sessions"+encodeFilter(filter), nil, &l)
	return l, err
}
