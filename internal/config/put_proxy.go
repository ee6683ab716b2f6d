package config

import (
	"cmp"
	"slices"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

// MatchProxies returns, for each port proxy that is wanted, the id of the one that
// listens there now; 0: none does.
func (c *Config) MatchProxies(list []wanted.Proxy) ([]uint32, error) {
	ids := make([]uint32, len(list))
	for i, w := range list {
		protocol, err := parseProxyProtocol(w.Protocol)
		if err != nil {
			return nil, w.Refuse("protocol", err)
		}
		listen, err := parseListen(w.Listen)
		if err != nil {
			return nil, w.Refuse("listen", err)
		}
		for _, p := range c.Proxies {
			if p.Protocol == protocol && p.Listen == listen && p.ListensOn4() == listensOn4(w) {
				ids[i] = p.ID
			}
		}
		if j := slices.Index(ids[:i], ids[i]); ids[i] != 0 && j >= 0 {
			return nil, w.Refuse("listen", model.Errorf(model.Invalid, "%s %s is there twice: line %d of %s has it too", protocol, listen, list[j].Line, list[j].File))
		}
	}
	return ids, nil
}

// listensOn4 says of a proxy that is wanted what Proxy.ListensOn4 says of one that is.
func listensOn4(w wanted.Proxy) bool {
	listen, _ := parseListen(w.Listen) // was read before
	return model.Proxy{Kind: model.ProxyKind(w.Kind), Listen: listen}.ListensOn4()
}

// PutProxy is a port proxy that is to be added. One with an id had it before.
type PutProxy struct {
	wanted.Place
	Spec ProxySpec
	ID   uint32
}

// ReleaseProxies returns the port proxies that are to be added, and takes those out
// that they come in the place of. What is as it is wanted stays.
func (c *Config) ReleaseProxies(list []wanted.Proxy, ids []uint32, whole bool) (todo []PutProxy, err error) {
	gone := make(map[uint32]bool)
	for i, w := range list {
		var had model.Proxy
		if ids[i] != 0 {
			if had, err = c.Proxy(ids[i]); err != nil {
				return nil, w.At(err)
			}
			if err := w.MayChange("port proxy "+had.String(), had.Owner); err != nil {
				return nil, err
			}
			if base := wanted.OfProxy(had); !whole {
				if len(w.Routes) > 0 || w.Connect != "" {
					base.Routes, base.Connect = nil, ""
				}
				wanted.Overlay(&w, &base)
			}
		}
		put, err := putProxy(w, had, whole)
		if err != nil {
			return nil, err
		}
		p, err := parseProxy(put.Spec)
		if err != nil {
			return nil, w.At(err)
		}
		if ids[i] != 0 {
			put.ID = ids[i]
			if p.Same(had) && had.Metadata.Equal(model.Metadata{Labels: put.Spec.Labels, Owner: put.Spec.Owner}) {
				continue
			}
			gone[put.ID] = true
		}
		todo = append(todo, put)
	}
	c.Proxies = slices.DeleteFunc(c.Proxies, func(p model.Proxy) bool { return gone[p.ID] })
	return todo, nil
}

func putProxy(w wanted.Proxy, had model.Proxy, whole bool) (PutProxy, error) {
	spec := ProxySpec{Kind: w.Kind, Protocol: w.Protocol, Listen: w.Listen, Connect: w.Connect, Routes: w.Routes}
	for _, s := range []struct {
		key, text string
		to        *bool
	}{{"proxyProtocol", w.ProxyProtocol, &spec.ProxyProtocol}, {"transparent", w.Transparent, &spec.Transparent}} {
		if s.text == "" {
			continue
		}
		if err := parseSwitch(s.text, s.to); err != nil {
			return PutProxy{}, w.Refuse(s.key, prefixed(s.key, err))
		}
	}
	m, err := w.Metadata(had.Metadata, w.Labels, w.Owner, whole)
	spec.Labels, spec.Owner = m.Labels, m.Owner
	return PutProxy{Place: w.Place, Spec: spec}, err
}

// AddWantedProxy adds a port proxy that ReleaseProxies has returned. isNew says
// that none listened there before.
func (c *Config) AddWantedProxy(put PutProxy, at Locate) (p model.Proxy, isNew bool, err error) {
	next := c.NextProxy
	if p, err = c.AddProxy(put.Spec, at); err != nil {
		return p, false, put.At(err)
	}
	if put.ID == 0 {
		return p, true, nil
	}
	c.Proxies[len(c.Proxies)-1].ID, c.NextProxy, p.ID = put.ID, next, put.ID
	slices.SortFunc(c.Proxies, func(a, b model.Proxy) int { return cmp.Compare(a.ID, b.ID) })
	return p, false, nil
}
