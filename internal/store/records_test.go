package store

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

var compareNetip = cmp.Options{
	cmpopts.EquateEmpty(), // the store keeps no empty lists
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
}

// notStored are fields of domain values that are no part of the desired state.
var notStored = map[string]bool{
	"Config.Leases": true, "Config.Discovered": true, "Config.Observed": true, "Config.Guests": true, "Network.PartOf": true,
}

// filler gives every field another value, so that one which a record forgets shows.
type filler struct{ n int }

func (f *filler) fill(v reflect.Value) {
	f.n++
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.AddrFrom4([4]byte{10, 0, byte(f.n >> 8), byte(f.n)})))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(f.n >> 8), byte(f.n), 0}), 24)))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Unix(int64(f.n), 5).UTC()))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if !notStored[v.Type().Name()+"."+v.Type().Field(i).Name] {
				f.fill(v.Field(i))
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		f.fill(v.Index(0))
		f.fill(v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key)
		f.fill(value)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(fmt.Sprint("s", f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(f.n))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(uint64(f.n%250 + 1))
	default:
		panic("no value for a " + v.Type().String())
	}
}

func ordered(c *config.Config) {
	for i := range 2 {
		id := uint32(i + 1)
		c.NATs[i].ID, c.Networks[i].ID, c.Endpoints[i].ID, c.Mappings[i].ID, c.Proxies[i].ID = id, id, id, id, id
	}
}

// Each field of each value is stored: a new one that no record has fails here.
func TestEveryFieldIsStored(t *testing.T) {
	t.Parallel()
	var want config.Config
	(&filler{}).fill(reflect.ValueOf(&want).Elem())
	ordered(&want)
	all, err := allObjects(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := configOf(all)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, compareNetip); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var lease model.Lease
	(&filler{}).fill(reflect.ValueOf(&lease).Elem())
	if diff := cmp.Diff(lease, leaseToRecord(lease).value(), compareNetip); diff != "" {
		t.Errorf("lease (-want +got):\n%s", diff)
	}
}

// A change of any one field is noticed, so that it is written.
func TestEveryFieldMakesADifference(t *testing.T) {
	t.Parallel()
	var before config.Config
	(&filler{}).fill(reflect.ValueOf(&before).Elem())
	ordered(&before)
	for _, list := range []string{"NATs", "Networks", "Endpoints", "Mappings", "Proxies"} {
		element := reflect.ValueOf(before).FieldByName(list).Index(0)
		for i := range element.NumField() {
			field := element.Type().Name() + "." + element.Type().Field(i).Name
			if notStored[field] || element.Type().Field(i).Name == "ID" {
				continue
			}
			var after config.Config
			(&filler{}).fill(reflect.ValueOf(&after).Elem())
			ordered(&after)
			(&filler{n: 10_000}).fill(reflect.ValueOf(&after).Elem().FieldByName(list).Index(0).Field(i))
			if v := reflect.ValueOf(&after).Elem().FieldByName(list).Index(0).Field(i); v.Kind() == reflect.Bool {
				v.SetBool(false)
			}
			changed, err := difference(before, after)
			if err != nil || len(changed) != 1 {
				t.Errorf("another %s: %d objects are written, %v", field, len(changed), err)
			}
		}
	}
}

// A field that this version does not know would be lost: it is refused.
func TestUnknownFieldIsRefused(t *testing.T) {
	t.Parallel()
	all, err := allObjects(config.NewConfig())
	if err != nil {
		t.Fatal(err)
	}
	for key, object := range map[string]string{
		"nat 1": `{"name":"default","id":1,"colour":"blue"}`, "planet 1": `{}`, countersKey: `{"nextMoon":1}`,
	} {
		other := make(objects)
		for k, v := range all {
			other[k] = v
		}
		other[key] = []byte(object)
		if _, err := configOf(other); err == nil {
			t.Errorf("%s %s is taken", key, object)
		}
	}
}
