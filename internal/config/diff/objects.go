package diff

import (
	"cmp"
	"slices"

	"github.com/hostnat/hostnat/internal/config/wanted"
	"github.com/hostnat/hostnat/internal/model"
)

// Object says for people what becomes of one object.
type Object struct {
	Verb   string // "created", "changed" or "deleted"
	Kind   string // "pool", "nat", "network", "endpoint", "reservation", "mapping" or "proxy"
	Name   string // of a mapping or proxy "tcp *:8080", of a reservation "web/172.16.1.9"
	Fields []Field
}

// Field is a key of an object as files have it. Before is empty in what is
// created, After in what is deleted.
type Field struct{ Key, Before, After string }

// Text says it in a line: "nat default changed: udp-timeout 300s → 60s".
func (o Object) Text() string {
	text := o.Kind + " " + o.Name + " " + o.Verb
	for i, f := range o.Fields {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		text += separator + f.text()
	}
	return text
}

func (f Field) text() string {
	switch {
	case f.Before == "":
		return f.Key + " " + f.After
	case f.After == "":
		return f.Key + " was " + f.Before
	}
	return f.Key + " " + f.Before + " → " + f.After
}

// Objects returns what differs, in the order in which files have things. What is
// deleted and created under one name is one change.
func (d *Difference) Objects() []Object {
	return slices.Concat(
		objects("pool", d.Pools, wanted.OfPool, func(p model.Pool) wanted.Pool { return wanted.Pool{} }, func(p model.Pool) string { return p.Prefix.String() }, "prefix"),
		objects("nat", d.NATs, wanted.OfNAT, func(n model.NAT) wanted.NAT { return wanted.OfNAT(wanted.DefaultNAT(n)) }, func(n model.NAT) string { return n.Name }, "name"),
		objects("network", d.Networks, wanted.OfNetwork, func(n model.Network) wanted.Network { return wanted.OfNetwork(wanted.UsualNetwork(n)) }, func(n model.Network) string { return n.Name }, "name"),
		objects("endpoint", d.Endpoints, wanted.OfEndpoint, func(model.Endpoint) wanted.Endpoint { return wanted.Endpoint{} }, func(e model.Endpoint) string { return e.Name }, "name"),
		objects("reservation", d.Reservations, wanted.OfReservation, func(model.Reservation) wanted.Reservation { return wanted.Reservation{} },
			func(r model.Reservation) string { return r.Network + "/" + r.Address.String() }, "network", "address"),
		objects("mapping", d.Mappings, wanted.OfMapping, func(model.Mapping) wanted.Mapping { return wanted.Mapping{} }, mappingName, "protocol", "external", "network"),
		objects("proxy", d.Proxies, wanted.OfProxy, func(model.Proxy) wanted.Proxy { return wanted.OfProxy(model.Proxy{}) }, func(p model.Proxy) string { return p.Protocol.String() + " " + p.Listen.String() }, "protocol", "listen"),
	)
}

func mappingName(m model.Mapping) string { return m.Protocol.String() + " " + m.ExternalText() }

// objects are those of one kind. The keys are in its name.
func objects[T, W any](kind string, c List[T], of, usual func(T) W, name func(T) string, keys ...string) (list []Object) {
	created := make(map[string]T)
	for _, v := range c.Added {
		created[name(v)] = v
	}
	text := func(v T) W {
		w, u := of(v), usual(v)
		wanted.Without(&w, &u)
		return w
	}
	var nothing W
	for _, v := range c.Removed {
		if again, is := created[name(v)]; is {
			delete(created, name(v))
			list = append(list, Object{"changed", kind, name(v), fieldChanges(of(v), of(again), keys)})
			continue
		}
		list = append(list, Object{"deleted", kind, name(v), fieldChanges(text(v), nothing, keys)})
	}
	for _, v := range c.Changed {
		// None: nothing is another but what it leads to.
		if fields := fieldChanges(of(v.Before), of(v.After), keys); len(fields) > 0 {
			list = append(list, Object{"changed", kind, name(v.After), fields})
		}
	}
	for _, v := range c.Added {
		if _, is := created[name(v)]; is {
			list = append(list, Object{"created", kind, name(v), fieldChanges(nothing, text(v), keys)})
		}
	}
	order := map[string]int{"deleted": 0, "changed": 1, "created": 2}
	slices.SortStableFunc(list, func(a, b Object) int { return cmp.Compare(order[a.Verb], order[b.Verb]) })
	return list
}

func fieldChanges[W any](before, after W, keys []string) (list []Field) {
	old := wanted.FieldsOf(&before)
	for i, f := range wanted.FieldsOf(&after) {
		if was, is := old[i].Text(), f.Text(); was != is && !slices.Contains(keys, f.Key) {
			list = append(list, Field{Key: f.Key, Before: was, After: is})
		}
	}
	return list
}
