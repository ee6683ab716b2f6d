package model

import (
	"net/netip"
	"reflect"
	"testing"
)

// A field that is added to a value must be added to its Equal.
func TestEqualSeesEveryField(t *testing.T) {
	t.Parallel()
	seesEveryField(t, (*NAT).Equal)
	seesEveryField(t, (*Network).Equal)
	seesEveryField(t, (*Endpoint).Equal)
	seesEveryField(t, (*Mapping).Equal)
	seesEveryField(t, (*Proxy).Equal)
	seesEveryField(t, (*Reservation).Equal)
}

func seesEveryField[T any](t *testing.T, equal func(a, b *T) bool) {
	t.Helper()
	for field := range reflect.TypeFor[T]().NumField() {
		var a, b T
		fill(t, reflect.ValueOf(&b).Elem().Field(field))
		if equal(&a, &b) || equal(&b, &a) || !equal(&b, &b) {
			t.Errorf("%s.%s", reflect.TypeFor[T]().Name(), reflect.TypeFor[T]().Field(field).Name)
		}
	}
}

// fill gives a field a value that it does not have by itself.
func fill(t *testing.T, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[netip.Addr]():
		v.Set(reflect.ValueOf(netip.MustParseAddr("10.0.0.1")))
	case v.Type() == reflect.TypeFor[netip.Prefix]():
		v.Set(reflect.ValueOf(netip.MustParsePrefix("10.0.0.0/8")))
	case v.Kind() == reflect.Struct:
		fill(t, v.Field(0))
	case v.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("x"), reflect.ValueOf("y"))
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.CanInt():
		v.SetInt(1)
	case v.CanUint():
		v.SetUint(1)
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("a field of type %s", v.Type())
	}
}

func TestIsolationAsText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Isolation{"on": IsolatedNetwork, "off": NotIsolated, "endpoint": IsolatedEndpoints} {
		var got Isolation
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s is %q, %v", text, got, err)
		}
		if back := got.String(); back != text {
			t.Errorf("%q becomes %s", got, back)
		}
	}
	for _, text := range []string{"", "ON", "network", "off "} {
		if err := new(Isolation).UnmarshalText([]byte(text)); CodeOf(err) != Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhichNetworksAreOpenToEachOther(t *testing.T) {
	t.Parallel()
	kinds := []Isolation{IsolatedNetwork, NotIsolated, IsolatedEndpoints}
	for _, a := range kinds {
		for _, b := range kinds {
			for _, compartment := range []string{"default", "blue"} {
				want := a == NotIsolated && b == NotIsolated && compartment == "default"
				got := Network{Isolation: a, Compartment: "default"}.IsOpenTo(Network{Isolation: b, Compartment: compartment})
				if got != want {
					t.Errorf("%q and %q of %s: %v", a, b, compartment, got)
				}
			}
		}
	}
}

func TestCutPointToPoint(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][2]string{"snap/e1": {"snap", "e1"}, "web": {"web", ""}, "": {"", ""}} {
		if network, endpoint := CutPointToPoint(name); [2]string{network, endpoint} != want {
			t.Errorf("%q: %q, %q", name, network, endpoint)
		}
	}
	if CheckName("network", "snap/e1") == nil {
		t.Error("a user may call a network like a point-to-point link")
	}
}
