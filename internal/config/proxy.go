package config

import (
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// AddProxy adds a port proxy. One that is the same in everything is returned as
// it is. At says where names lead now: a name that leads nowhere is kept.
func (c *Config) AddProxy(spec ProxySpec, at Locate) (model.Proxy, error) {
	p, err := parseProxy(spec)
	if err != nil {
		return model.Proxy{}, err
	}
	p.Metadata = model.Metadata{Labels: spec.Labels, Owner: spec.Owner}
	if err := p.Check(); err != nil {
		return model.Proxy{}, err
	}
	for _, has := range c.Proxies {
		if has.Same(p) {
			return has, sameMetadata(fmt.Sprintf("port proxy %d", has.ID), has.Metadata, p.Metadata)
		}
	}
	if err := c.checkProxyPort(p); err != nil {
		return model.Proxy{}, err
	}
	for _, n := range c.Networks {
		if err := clashNameServer(p, n); err != nil {
			return model.Proxy{}, err
		}
	}
	p.ID = max(c.NextProxy, 1) // 0 in what was stored before there were proxies
	if err := ProxyLoop(p, c.Proxies, at); err != nil {
		return model.Proxy{}, err
	}
	c.NextProxy = p.ID + 1
	c.Proxies = append(c.Proxies, p)
	return p, nil
}

// DeleteProxy deletes the port proxy of that id.
func (c *Config) DeleteProxy(id uint32) error {
	if _, err := c.Proxy(id); err != nil {
		return err
	}
	c.Proxies = slices.DeleteFunc(c.Proxies, func(p model.Proxy) bool { return p.ID == id })
	return nil
}

// Proxy returns the port proxy of that id, or a NotFound Error.
func (c *Config) Proxy(id uint32) (model.Proxy, error) {
	for _, p := range c.Proxies {
		if p.ID == id {
			return p, nil
		}
	}
	return model.Proxy{}, model.Errorf(model.NotFound, "port proxy %d does not exist", id).WithHint("'hostnat proxy list' shows those that do")
}

// HasTransparentProxy reports whether a proxy needs the way back for
// connections that have a client's address as their source.
func (c *Config) HasTransparentProxy() bool {
	return slices.ContainsFunc(c.Proxies, func(p model.Proxy) bool { return p.Transparent })
}
