package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/config/diff"
	"github.com/hostnat/hostnat/internal/model"
)

// A configuration is kept as objects, so that a change writes what has changed.
// An object's key is its kind and its id. What has no id is two objects more.
const (
	kindNAT      = "nat"
	kindNetwork  = "network"
	kindEndpoint = "endpoint"
	kindMapping  = "mapping"
	kindProxy    = "proxy"

	countersKey = "counters"
	restKey     = "rest"
)

// put encodes a record as an object.
func (o objects) put(key string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	o[key] = text
	return nil
}

// changedObjects are those in which two configurations differ, by their
// difference; nil for one that is gone.
func changedObjects(d *diff.Difference, after *config.Config) (objects, error) {
	changed := make(objects)
	var rest, counters error
	if d.Rest {
		rest = changed.put(restKey, restToRecord(*after))
	}
	if d.Counters {
		counters = changed.put(countersKey, countersToRecord(*after))
	}
	return changed, errors.Join(rest, counters,
		addChanges(changed, kindNAT, d.NATs, func(v *model.NAT) uint32 { return v.ID }, natToRecord),
		addChanges(changed, kindNetwork, d.Networks, func(v *model.Network) uint32 { return v.ID }, networkToRecord),
		addChanges(changed, kindEndpoint, d.Endpoints, func(v *model.Endpoint) uint32 { return v.ID }, endpointToRecord),
		addChanges(changed, kindMapping, d.Mappings, func(v *model.Mapping) uint32 { return v.ID }, mappingToRecord),
		addChanges(changed, kindProxy, d.Proxies, func(v *model.Proxy) uint32 { return v.ID }, proxyToRecord))
}

func addChanges[T, R any](changed objects, kind string, c diff.List[T], id func(*T) uint32, record func(T) R) error {
	key := func(v *T) string { return kind + " " + strconv.FormatUint(uint64(id(v)), 10) }
	for i := range c.Removed {
		changed[key(&c.Removed[i])] = nil
	}
	for _, v := range c.Put() {
		if err := changed.put(key(&v), record(v)); err != nil {
			return err
		}
	}
	return nil
}

// allObjects are those of a configuration.
func allObjects(c config.Config) (objects, error) {
	d := diff.Of(&config.Config{}, &c)
	return changedObjects(&d, &c)
}

// configOf is the configuration that objects are of.
func configOf(all objects) (config.Config, error) {
	c := config.Config{NATs: []model.NAT{}, Networks: []model.Network{}, Endpoints: []model.Endpoint{}, Mappings: []model.Mapping{}}
	for _, key := range slices.SortedFunc(maps.Keys(all), compareKeys) {
		if err := decodeObject(&c, key, all[key]); err != nil {
			return config.Config{}, fmt.Errorf("%s: %w", key, err)
		}
	}
	if len(c.NATs) == 0 || len(c.Compartments) == 0 {
		return config.Config{}, fmt.Errorf("the default NAT or compartment is missing")
	}
	return c, nil
}

func decodeObject(c *config.Config, key string, text []byte) error {
	switch key {
	case countersKey:
		var r countersRecord
		err := decodeStrictly(text, &r)
		r.addTo(c)
		return err
	case restKey:
		var r restRecord
		err := decodeStrictly(text, &r)
		r.addTo(c)
		return err
	}
	switch kind, _, _ := strings.Cut(key, " "); kind {
	case kindNAT:
		return decodeInto(&c.NATs, text, natRecord.value)
	case kindNetwork:
		return decodeInto(&c.Networks, text, networkRecord.value)
	case kindEndpoint:
		return decodeInto(&c.Endpoints, text, endpointRecord.value)
	case kindMapping:
		return decodeInto(&c.Mappings, text, mappingRecord.value)
	case kindProxy:
		return decodeInto(&c.Proxies, text, proxyRecord.value)
	}
	return fmt.Errorf("nothing of that kind is known")
}

func decodeInto[T, R any](list *[]T, text []byte, value func(R) T) error {
	var r R
	err := decodeStrictly(text, &r)
	*list = append(*list, value(r))
	return err
}

// decodeStrictly refuses a field that this version does not know: it would be
// lost with the next change.
func decodeStrictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
