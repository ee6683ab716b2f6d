package server

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hostnat/hostnat/api"
	"github.com/hostnat/hostnat/internal/control"
	"github.com/hostnat/hostnat/internal/doctor"
	"github.com/hostnat/hostnat/internal/explain"
	"github.com/hostnat/hostnat/internal/model"
)

// TestNothingIsForgotten converts values in which everything is set, and wants
// to see everything set: a field that somebody adds to package api must come
// from somewhere.
func TestNothingIsForgotten(t *testing.T) {
	t.Parallel()
	endpoint := filled[control.EndpointView]()
	endpoint.Kind = model.KindNetns
	byName := filled[control.ProxyView]()
	byName.Kind = model.ByName
	ofICMP := filled[model.Drop]()
	ofICMP.Protocol = uint8(model.ICMP)
	ended := filled[model.EndedSession]()
	ended.Idle = time.Minute
	added := []string{"Advice", "Warnings"} // when the answer is written
	for _, tt := range []struct {
		got   any
		empty []string // fields that are rightly empty
	}{
		{natOf(filled[model.NAT]()), added},
		{networkOf(filled[model.Network]()), added},
		{endpointOf(endpoint), added},
		{mappingOf(filled[control.MappingView]()), added},
		{proxyOf(filled[control.ProxyView]()), added},
		{proxyOf(byName), append([]string{"Connect"}, added...)},
		{addressOf(filled[control.AddressView]()), nil},
		{leaseOf(filled[control.LeaseView]()), nil},
		{reservationOf(filled[model.Reservation]()), added},
		{poolOf(filled[model.Pool]()), nil},
		{sessionOf(filled[model.Session]()), nil},
		{bindingOf(filled[model.Binding]()), nil},
		{portOf(filled[control.PortView]()), nil},
		{failureOf(filled[explain.Failure]()), nil},
		{dropOf(ofICMP), nil},
		{endedOf(ended), nil},
		{statusOf(control.Status{
			Version: "v", PID: 1, UptimeSeconds: 1, NATs: 1, Networks: 1, Endpoints: 1, Mappings: 1, Bindings: 1, Sessions: 1, MaxSessions: 1,
			Drops: map[string]uint64{"no-session": 1}, Problems: []string{"p"}, Warnings: []string{"w"}, ExternalAddresses: []control.AddressView{{}},
		}), []string{"Clients"}}, // the server's own
		{Findings([]doctor.Finding{filled[doctor.Finding]()})[0], nil},
	} {
		v := reflect.ValueOf(tt.got)
		for _, f := range reflect.VisibleFields(v.Type()) {
			if v.FieldByIndex(f.Index).IsZero() != slices.Contains(tt.empty, f.Name) {
				t.Errorf("%T: %s is %v", tt.got, f.Name, v.FieldByIndex(f.Index))
			}
		}
	}
}

// filled returns a value in which no field is zero, as far as fields can be set.
func filled[T any]() (v T) {
	fill(reflect.ValueOf(&v).Elem())
	return v
}

func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case netip.Addr:
		v.Set(reflect.ValueOf(netip.MustParseAddr("172.16.1.2")))
		return
	case netip.Prefix:
		v.Set(reflect.ValueOf(netip.MustParsePrefix("172.16.1.0/24")))
		return
	case netip.AddrPort:
		v.Set(reflect.ValueOf(netip.MustParseAddrPort("172.16.1.2:80")))
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), reflect.ValueOf("y"))
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(24)
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	}
}

// Lists that may hold one value today, IPv4, hold one that is not empty.
func TestListsHoldOneValue(t *testing.T) {
	t.Parallel()
	for _, in := range []api.NetworkSpec{
		{Subnets: []string{"10.0.0.0/24", "10.0.1.0/24"}}, {Subnets: []string{""}},
		{Gateways: []string{"10.0.0.1", "10.0.0.2"}}, {Gateways: []string{""}},
	} {
		if _, err := networkSpec(in); model.CodeOf(err) != model.Invalid {
			t.Errorf("%+v: %v", in, err)
		}
	}
}
