package config

import (
	"fmt"
	"slices"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

// Prune deletes what files that are the whole truth do not mention: of each of their
// sections, the objects of its kind and its owner. mappings and proxies are the ids
// of those that are mentioned.
func (c *Config) Prune(w *wanted.Objects, mappings, proxies []uint32) error {
	stale := func(kind, owner string) bool {
		return !model.IsPluginOwner(owner) && slices.Contains(w.Sections, wanted.Section{Kind: kind, Owner: owner})
	}
	c.Proxies = slices.DeleteFunc(c.Proxies, func(p model.Proxy) bool {
		return stale("proxies", p.Owner) && !slices.Contains(proxies, p.ID)
	})
	kept := make(map[uint32]bool, len(mappings))
	for _, id := range mappings {
		kept[id] = true
	}
	c.Mappings = slices.DeleteFunc(slices.Clone(c.Mappings), func(m model.Mapping) bool {
		return stale("mappings", m.Owner) && !kept[m.ID]
	})
	endpoints := namesIn(w.Endpoints, func(e wanted.Endpoint) string { return e.Name })
	for _, e := range slices.Clone(c.Endpoints) {
		if stale("endpoints", e.Owner) && !endpoints[e.Name] {
			if err := c.DetachEndpoint(e.Name); err != nil {
				return fmt.Errorf("prune: %w", err)
			}
		}
	}
	reservations := namesIn(w.Reservations, func(r wanted.Reservation) string { return r.Network + "/" + r.Address })
	c.Reservations = slices.DeleteFunc(c.Reservations, func(r model.Reservation) bool {
		return stale("reservations", r.Owner) && !reservations[r.Network+"/"+r.Address.String()]
	})
	networks := namesIn(w.Networks, func(n wanted.Network) string { return n.Name })
	for _, n := range slices.Clone(c.Networks) {
		if stale("networks", n.Owner) && !networks[n.Name] {
			if err := c.DeleteNetwork(n.Name, false); err != nil {
				return prunedError(err, "files mention no network %q, and it cannot be deleted", n.Name)
			}
		}
	}
	nats := namesIn(w.NATs, func(n wanted.NAT) string { return n.Name })
	for _, n := range slices.Clone(c.NATs) {
		if stale("nats", n.Owner) && !nats[n.Name] && n.Name != model.DefaultNAT {
			if err := c.DeleteNAT(n.Name); err != nil {
				return prunedError(err, "files mention no NAT %q, and it cannot be deleted", n.Name)
			}
		}
	}
	pools := namesIn(w.Pools, func(p wanted.Pool) string { return p.Prefix })
	c.Pools = slices.DeleteFunc(c.Pools, func(p model.Pool) bool { return stale("pools", "") && !pools[p.Prefix.String()] })
	return nil
}

func namesIn[T any](list []T, name func(T) string) map[string]bool {
	names := make(map[string]bool, len(list))
	for _, v := range list {
		names[name(v)] = true
	}
	return names
}

func prunedError(err error, format string, args ...any) error {
	return &model.Error{Code: model.CodeOf(err), Message: fmt.Sprintf(format, args...) + ": " + err.Error()}
}
