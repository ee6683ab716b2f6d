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

// kinds are those that have a record for each object, by what begins their keys. A new
// one is an element here, and its record.
var kinds = map[string]kind{
	kindNAT: kindOf[model.NAT, natRecord]{
		differs: func(d *diff.Difference) diff.List[model.NAT] { return d.NATs }, list: func(c *config.Config) *[]model.NAT { return &c.NATs },
		id: func(v *model.NAT) uint32 { return v.ID }, record: natToRecord, value: natRecord.value,
	},
	kindNetwork: kindOf[model.Network, networkRecord]{
		differs: func(d *diff.Difference) diff.List[model.Network] { return d.Networks }, list: func(c *config.Config) *[]model.Network { return &c.Networks },
		id: func(v *model.Network) uint32 { return v.ID }, record: networkToRecord, value: networkRecord.value,
	},
	kindEndpoint: kindOf[model.Endpoint, endpointRecord]{
		differs: func(d *diff.Difference) diff.List[model.Endpoint] { return d.Endpoints }, list: func(c *config.Config) *[]model.Endpoint { return &c.Endpoints },
		id: func(v *model.Endpoint) uint32 { return v.ID }, record: endpointToRecord, value: endpointRecord.value,
	},
	kindMapping: kindOf[model.Mapping, mappingRecord]{
		differs: func(d *diff.Difference) diff.List[model.Mapping] { return d.Mappings }, list: func(c *config.Config) *[]model.Mapping { return &c.Mappings },
		id: func(v *model.Mapping) uint32 { return v.ID }, record: mappingToRecord, value: mappingRecord.value,
	},
	kindProxy: kindOf[model.Proxy, proxyRecord]{
		differs: func(d *diff.Difference) diff.List[model.Proxy] { return d.Proxies }, list: func(c *config.Config) *[]model.Proxy { return &c.Proxies },
		id: func(v *model.Proxy) uint32 { return v.ID }, record: proxyToRecord, value: proxyRecord.value,
	},
}

// kind is what kindOf does for its objects.
type kind interface {
	addChanges(changed objects, name string, d *diff.Difference) error
	decode(c *config.Config, text []byte) error
}

// kindOf is how objects T are kept as records R.
type kindOf[T, R any] struct {
	differs func(*diff.Difference) diff.List[T]
	list    func(*config.Config) *[]T
	id      func(*T) uint32
	record  func(T) R
	value   func(R) T
}

func (k kindOf[T, R]) addChanges(changed objects, name string, d *diff.Difference) error {
	key := func(v *T) string { return name + " " + strconv.FormatUint(uint64(k.id(v)), 10) }
	list := k.differs(d)
	for i := range list.Removed {
		changed[key(&list.Removed[i])] = nil
	}
	for _, v := range list.Put() {
		if err := changed.put(key(&v), k.record(v)); err != nil {
			return err
		}
	}
	return nil
}

func (k kindOf[T, R]) decode(c *config.Config, text []byte) error {
	var r R
	err := decodeStrictly(text, &r)
	list := k.list(c)
	*list = append(*list, k.value(r))
	return err
}

// changedObjects are those in which two configurations differ, by their
// difference; nil for one that is gone.
func changedObjects(d *diff.Difference, after *config.Config) (objects, error) {
	changed := make(objects)
	var errs []error
	if d.Rest {
		errs = append(errs, changed.put(restKey, restToRecord(*after)))
	}
	if d.Counters {
		errs = append(errs, changed.put(countersKey, countersToRecord(*after)))
	}
	for name, k := range kinds {
		errs = append(errs, k.addChanges(changed, name, d))
	}
	return changed, errors.Join(errs...)
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
	name, _, _ := strings.Cut(key, " ")
	k, known := kinds[name]
	if !known {
		return fmt.Errorf("nothing of that kind is known")
	}
	return k.decode(c, text)
}

// decodeStrictly refuses a field that this version does not know: it would be
// lost with the next change.
func decodeStrictly(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	return d.Decode(into)
}
