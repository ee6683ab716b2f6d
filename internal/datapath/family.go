package datapath

import (
	"net/netip"
	"reflect"

	"github.com/hostnat/hostnat/internal/model"
)

// checkFamily returns an error for an address in a value that these programs cannot
// have: they know IPv4 alone, and in their tables 0 is any address. Every address and
// every prefix that a value of exported fields holds has to be IPv4, unless the
// field's tag says what else it may be.
func checkFamily(value any) error {
	v := reflect.ValueOf(value)
	if check := familyCheck(v.Type(), v.Type().Name(), ""); check != nil {
		return check(v)
	}
	return nil
}

// Check refuses a configuration that no caller of ours makes: one that was read from a
// file, which anybody may have written.
func (c Config) Check() error {
	if err := checkFamily(c); err != nil {
		return err
	}
	for id, m := range c.Mappings {
		if len(m.Targets) == 0 {
			return model.Errorf(model.Invalid, "mapping %d has no target", id)
		}
		for _, ports := range append([]model.AddrPorts{m.External}, internalOf(m.Targets)...) {
			if ports.Count() < 1 || ports.Count() != m.External.Count() {
				return model.Errorf(model.Invalid, "mapping %d has %d ports outside and %d inside", id, m.External.Count(), ports.Count())
			}
		}
	}
	for _, p := range c.Pools {
		for _, a := range p.Addresses {
			for _, r := range a.Ports {
				if r.Size() < 1 {
					return model.Errorf(model.Invalid, "a pool has the ports %v", r)
				}
			}
		}
	}
	return nil
}

func internalOf(targets []Target) (list []model.AddrPorts) {
	for _, t := range targets {
		list = append(list, t.Internal)
	}
	return list
}

// What the tag `address` of a field allows.
const (
	orNone    = "or none" // not given
	anyFamily = "any family"
)

// familyCheck returns the check of a type's values; nil if they hold no address.
func familyCheck(t reflect.Type, what, allowed string) func(reflect.Value) error {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return func(v reflect.Value) error { return isIPv4(what, allowed, v.Interface().(netip.Addr)) }
	case reflect.TypeFor[netip.Prefix]():
		return func(v reflect.Value) error { return isIPv4(what, allowed, v.Interface().(netip.Prefix).Addr()) }
	case reflect.TypeFor[netip.AddrPort]():
		return func(v reflect.Value) error { return isIPv4(what, allowed, v.Interface().(netip.AddrPort).Addr()) }
	}
	switch t.Kind() {
	case reflect.Pointer:
		return ifGiven(familyCheck(t.Elem(), what, allowed))
	case reflect.Slice:
		return eachElement(familyCheck(t.Elem(), what, allowed))
	case reflect.Map:
		return eachEntry(familyCheck(t.Key(), what, allowed), familyCheck(t.Elem(), what, allowed))
	case reflect.Struct:
		return eachField(t, what)
	}
	return nil
}

func ifGiven(check func(reflect.Value) error) func(reflect.Value) error {
	if check == nil {
		return nil
	}
	return func(v reflect.Value) error {
		if v.IsNil() {
			return nil
		}
		return check(v.Elem())
	}
}

func eachElement(check func(reflect.Value) error) func(reflect.Value) error {
	if check == nil {
		return nil
	}
	return func(v reflect.Value) error {
		for i := range v.Len() {
			if err := check(v.Index(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func eachEntry(key, element func(reflect.Value) error) func(reflect.Value) error {
	if key == nil && element == nil {
		return nil
	}
	return func(v reflect.Value) error {
		for entry := v.MapRange(); entry.Next(); {
			if key != nil {
				if err := key(entry.Key()); err != nil {
					return err
				}
			}
			if element != nil {
				if err := element(entry.Value()); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func eachField(t reflect.Type, what string) func(reflect.Value) error {
	checks := make(map[int]func(reflect.Value) error)
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		if check := familyCheck(f.Type, what+"."+f.Name, f.Tag.Get("address")); check != nil {
			checks[i] = check
		}
	}
	if len(checks) == 0 {
		return nil
	}
	return func(v reflect.Value) error {
		for i, check := range checks {
			if err := check(v.Field(i)); err != nil {
				return err
			}
		}
		return nil
	}
}

func isIPv4(what, allowed string, a netip.Addr) error {
	if a.Is4() || allowed == anyFamily || allowed == orNone && !a.IsValid() {
		return nil
	}
	return model.Errorf(model.Invalid, "%s is %v: the data path translates IPv4 only", what, a)
}
