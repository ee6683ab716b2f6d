package diff

import (
	"cmp"
	"slices"

	"github.com/hostnat/hostnat/internal/config/wanted"
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
func (d *Difference) Objects() (list []Object) {
	for _, k := range kinds {
		list = append(list, k.objects(d)...)
	}
	return list
}

func (k kindOf[T, W]) objects(d *Difference) (list []Object) {
	c := k.in(d)
	created := make(map[string]T)
	for _, v := range c.Added {
		created[k.title(v)] = v
	}
	var nothing W
	for _, v := range c.Removed {
		if again, is := created[k.title(v)]; is {
			delete(created, k.title(v))
			list = append(list, Object{"changed", k.name, k.title(v), fieldChanges(k.file(v), k.file(again), k.keys)})
			continue
		}
		list = append(list, Object{"deleted", k.name, k.title(v), fieldChanges(k.unusual(v), nothing, k.keys)})
	}
	for _, v := range c.Changed {
		// None: nothing is another but what it leads to.
		if fields := fieldChanges(k.file(v.Before), k.file(v.After), k.keys); len(fields) > 0 {
			list = append(list, Object{"changed", k.name, k.title(v.After), fields})
		}
	}
	for _, v := range c.Added {
		if _, is := created[k.title(v)]; is {
			list = append(list, Object{"created", k.name, k.title(v), fieldChanges(nothing, k.unusual(v), k.keys)})
		}
	}
	order := map[string]int{"deleted": 0, "changed": 1, "created": 2}
	slices.SortStableFunc(list, func(a, b Object) int { return cmp.Compare(order[a.Verb], order[b.Verb]) })
	return list
}

// unusual is what files say of an object that is not as in any new one.
func (k kindOf[T, W]) unusual(v T) W {
	var usual W
	if k.usual != nil {
		usual = k.file(k.usual(v))
	}
	w := k.file(v)
	wanted.Without(&w, &usual)
	return w
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
