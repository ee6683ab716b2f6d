package config

import (
	"cmp"
	"slices"

	"github.com/hostnat/hostnat/internal/model"
)

// ObjectChange says for people what becomes of one object.
type ObjectChange struct {
	Verb   string // "created", "changed" or "deleted"
	Kind   string // "pool", "nat", "network", "endpoint", "reservation", "mapping" or "proxy"
	Name   string // of a mapping or proxy "tcp *:8080", of a reservation "web/172.16.1.9"
	Fields []FieldChange
}

// FieldChange is a key of an object as files have it. Before is empty in what is
// created, After in what is deleted.
type FieldChange struct{ Key, Before, After string }

// Objects returns what differs, in the order in which files have things. What is
// deleted and created under one name is one change.
func (d *Difference) Objects() []ObjectChange {
	return slices.Concat(
		objects("pool", d.Pools, wantedPool, func(p model.Pool) WantedPool { return WantedPool{} }, func(p model.Pool) string { return p.Prefix.String() }, "prefix"),
		objects("nat", d.NATs, wantedNAT, func(n model.NAT) WantedNAT { return wantedNAT(defaultNAT(n)) }, func(n model.NAT) string { return n.Name }, "name"),
		objects("network", d.Networks, wantedNetwork, func(n model.Network) WantedNetwork { return wantedNetwork(usualNetwork(n)) }, func(n model.Network) string { return n.Name }, "name"),
		objects("endpoint", d.Endpoints, wantedEndpoint, func(model.Endpoint) WantedEndpoint { return WantedEndpoint{} }, func(e model.Endpoint) string { return e.Name }, "name"),
		objects("reservation", d.Reservations, wantedReservation, func(model.Reservation) WantedReservation { return WantedReservation{} },
			func(r model.Reservation) string { return r.Network + "/" + r.Address.String() }, "network", "address"),
		objects("mapping", d.Mappings, wantedMapping, func(model.Mapping) WantedMapping { return WantedMapping{} }, mappingName, "protocol", "external", "network"),
		objects("proxy", d.Proxies, wantedProxy, func(model.Proxy) WantedProxy { return wantedProxy(model.Proxy{}) }, func(p model.Proxy) string { return p.Protocol.String() + " " + p.Listen.String() }, "protocol", "listen"),
	)
}

func mappingName(m model.Mapping) string { return m.Protocol.String() + " " + m.ExternalText() }

// objects are those of one kind. The keys are in its name.
func objects[T, W any](kind string, c Changes[T], of, usual func(T) W, name func(T) string, keys ...string) (list []ObjectChange) {
	created := make(map[string]T)
	for _, v := range c.Added {
		created[name(v)] = v
	}
	text := func(v T) W {
		w, u := of(v), usual(v)
		without(&w, &u)
		return w
	}
	var nothing W
	for _, v := range c.Removed {
		if again, is := created[name(v)]; is {
			delete(created, name(v))
			list = append(list, ObjectChange{"changed", kind, name(v), fieldChanges(of(v), of(again), keys)})
			continue
		}
		list = append(list, ObjectChange{"deleted", kind, name(v), fieldChanges(text(v), nothing, keys)})
	}
	for _, v := range c.Changed {
		// None: nothing is another but what it leads to.
		if fields := fieldChanges(of(v.Before), of(v.After), keys); len(fields) > 0 {
			list = append(list, ObjectChange{"changed", kind, name(v.After), fields})
		}
	}
	for _, v := range c.Added {
		if _, is := created[name(v)]; is {
			list = append(list, ObjectChange{"created", kind, name(v), fieldChanges(nothing, text(v), keys)})
		}
	}
	order := map[string]int{"deleted": 0, "changed": 1, "created": 2}
	slices.SortStableFunc(list, func(a, b ObjectChange) int { return cmp.Compare(order[a.Verb], order[b.Verb]) })
	return list
}

func fieldChanges[W any](before, after W, keys []string) (list []FieldChange) {
	old := FieldsOf(&before)
	for i, f := range FieldsOf(&after) {
		if was, is := old[i].Text(), f.Text(); was != is && !slices.Contains(keys, f.Key) {
			list = append(list, FieldChange{Key: f.Key, Before: was, After: is})
		}
	}
	return list
}
