package store

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// A configuration is kept as objects, so that a change writes what has changed.
// An object's key is a letter for its kind and its id, so that keys sort as the
// lists do. What has no id is one object more.

// restKey has the configuration without the lists of kinds.
const restKey = "rest"

// kind is one of the lists of a configuration, each element of which is an object.
type kind struct {
	letter byte
	encode func(into map[string]any, c config.Config)
	change func(into map[string]any, before, after config.Config)
	decode func(c *config.Config, text []byte) error
	empty  func(c *config.Config)
}

var kinds = []kind{
	listOf('a', func(c *config.Config) *[]model.NAT { return &c.NATs }, func(v *model.NAT) uint32 { return v.ID }, nil),
	listOf('b', func(c *config.Config) *[]model.Network { return &c.Networks }, func(v *model.Network) uint32 { return v.ID }, (*model.Network).Equal),
	listOf('c', func(c *config.Config) *[]model.Endpoint { return &c.Endpoints }, func(v *model.Endpoint) uint32 { return v.ID }, (*model.Endpoint).Equal),
	listOf('d', func(c *config.Config) *[]model.Mapping { return &c.Mappings }, func(v *model.Mapping) uint32 { return v.ID }, (*model.Mapping).Equal),
	listOf('e', func(c *config.Config) *[]model.Proxy { return &c.Proxies }, func(v *model.Proxy) uint32 { return v.ID }, nil),
}

// listOf describes a list whose elements are ordered by id. equal is for lists
// that are long; nil: any way will do.
func listOf[T any](letter byte, list func(*config.Config) *[]T, id func(*T) uint32, equal func(a, b *T) bool) kind {
	if equal == nil {
		equal = func(a, b *T) bool { return reflect.DeepEqual(a, b) }
	}
	key := func(v *T) string {
		return string(binary.BigEndian.AppendUint32([]byte{letter}, id(v)))
	}
	return kind{
		letter: letter,
		encode: func(into map[string]any, c config.Config) {
			for i := range *list(&c) {
				v := &(*list(&c))[i]
				into[key(v)] = v
			}
		},
		change: func(into map[string]any, before, after config.Config) {
			old, now := *list(&before), *list(&after)
			for len(old) > 0 || len(now) > 0 {
				switch {
				case len(now) == 0 || len(old) > 0 && id(&old[0]) < id(&now[0]):
					into[key(&old[0])] = nil
					old = old[1:]
				case len(old) == 0 || id(&now[0]) < id(&old[0]):
					into[key(&now[0])] = &now[0]
					now = now[1:]
				default:
					if !equal(&old[0], &now[0]) {
						into[key(&now[0])] = &now[0]
					}
					old, now = old[1:], now[1:]
				}
			}
		},
		decode: func(c *config.Config, text []byte) error {
			var v T
			if err := json.Unmarshal(text, &v); err != nil {
				return err
			}
			*list(c) = append(*list(c), v)
			return nil
		},
		empty: func(c *config.Config) { *list(c) = []T{} },
	}
}

// allObjects are the objects of a configuration, by key.
func allObjects(c config.Config) map[string]any {
	objects := map[string]any{restKey: restOf(c)}
	for _, k := range kinds {
		k.encode(objects, c)
	}
	return objects
}

// changedObjects are those in which two configurations differ; nil for one that
// is gone.
func changedObjects(before, after config.Config) map[string]any {
	objects := make(map[string]any)
	if old, now := restOf(before), restOf(after); !reflect.DeepEqual(old, now) {
		objects[restKey] = now
	}
	for _, k := range kinds {
		k.change(objects, before, after)
	}
	return objects
}

func restOf(c config.Config) config.Config {
	for _, k := range kinds {
		k.empty(&c)
	}
	c.Leases, c.Learnt, c.Heard = nil, nil, nil // not stored
	return c
}

// addObject puts an object of a list into the configuration that it is of. Those
// of one list have to come in the order of their keys.
func addObject(c *config.Config, key string, text []byte) error {
	i := slices.IndexFunc(kinds, func(k kind) bool { return key != "" && k.letter == key[0] })
	if i < 0 {
		return fmt.Errorf("%q is nothing known", key)
	}
	return kinds[i].decode(c, text)
}
