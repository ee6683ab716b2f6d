package datapath

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// What is not IPv4 must not become 0 in a table, which is any address there.
func TestOtherFamiliesAreRefused(t *testing.T) {
	t.Parallel()
	six, four := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("172.16.1.2")
	prefix, port := netip.MustParsePrefix("2001:db8::/64"), netip.AddrPortFrom(four, 80)
	mapping := func(external, internal netip.Addr, from ...netip.Prefix) Config {
		return Config{Mappings: map[uint32]Mapping{1: {
			External: model.SinglePort(netip.AddrPortFrom(external, 80)),
			Targets:  []Target{{Internal: model.SinglePort(netip.AddrPortFrom(internal, 80))}}, From: from,
		}}}
	}
	for name, c := range map[string]Config{
		"a pool":              {Pools: []Pool{{Addresses: []PoolAddress{{Address: six}}}}},
		"no address of one":   {Pools: []Pool{{Addresses: []PoolAddress{{}}}}},
		"a subnet":            {Networks: map[uint32]Network{1: {Subnet: prefix}}},
		"a gateway":           {Networks: map[uint32]Network{1: {Subnet: netip.PrefixFrom(four, 24), Gateway: six}}},
		"an overlap":          {Networks: map[uint32]Network{1: {Subnet: netip.PrefixFrom(four, 24), HostOverlap: []netip.Prefix{prefix}}}},
		"an inside":           {Insides: map[uint32]Inside{1: {Address: six}}},
		"an endpoint":         {Endpoints: []Endpoint{{Address: six}}},
		"the host":            {HostAddresses: map[netip.Addr]uint32{six: 1}},
		"a mapped IPv4":       {HostAddresses: map[netip.Addr]uint32{netip.MustParseAddr("::ffff:10.0.0.1"): 1}},
		"a lease":             {Leases: []Lease{{Address: six}}},
		"outside of mapping":  mapping(six, four),
		"target of mapping":   mapping(four, six),
		"remotes of mapping":  mapping(four, four, prefix),
		"one-to-one":          {OneToOne: map[uint32]OneToOne{1: {External: four, Internal: six}}},
		"one-to-one remotes":  {OneToOne: map[uint32]OneToOne{1: {External: four, Internal: four, From: []netip.Prefix{prefix}}}},
		"one-to-one no inner": {OneToOne: map[uint32]OneToOne{1: {External: four}}},
	} {
		err := checkFamily(c)
		if model.CodeOf(err) != model.Invalid || !strings.Contains(err.Error(), "IPv4 only") {
			t.Errorf("%s: %v", name, err)
		}
	}
	fine := mapping(netip.IPv4Unspecified(), port.Addr(), netip.PrefixFrom(four, 24))
	fine.Insides = map[uint32]Inside{1: {}} // a bridge has none
	fine.Networks = map[uint32]Network{1: {Subnet: netip.PrefixFrom(four, 24)}}
	if err := checkFamily(fine); err != nil {
		t.Errorf("IPv4 alone: %v", err)
	}
}

// Whatever user space tells the data path, or asks it: an address of another family is
// refused in every field, one that the package does not have yet too.
func TestEveryAddressIsChecked(t *testing.T) {
	t.Parallel()
	for _, value := range []any{Config{}, Part{}, []Lease{}, map[uint32]Mapping{}, Trial{}, Claim{}} {
		found := 0
		filled := func(at int, with netip.Addr) any {
			f := filler{at: at, with: with}
			v := f.fill(reflect.TypeOf(value))
			found = f.seen
			return v.Interface()
		}
		if err := checkFamily(filled(-1, netip.Addr{})); err != nil {
			t.Errorf("%T of IPv4 alone: %v", value, err)
		}
		if found == 0 {
			t.Errorf("%T has no address", value)
		}
		for i := range found {
			one := filled(i, netip.MustParseAddr("2001:db8::1"))
			if err := checkFamily(one); model.CodeOf(err) != model.Invalid {
				t.Errorf("%+v is not refused: %v", one, err)
			}
		}
	}
}

// filler makes values with one element in each list and each map, and 10.0.0.1 for
// every address that must be IPv4, but for one.
type filler struct {
	at   int // which of them has another address
	with netip.Addr
	seen int // addresses so far
}

func (f *filler) address() netip.Addr {
	f.seen++
	if f.seen-1 == f.at {
		return f.with
	}
	return netip.MustParseAddr("10.0.0.1")
}

func (f *filler) fill(t reflect.Type) reflect.Value {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return reflect.ValueOf(f.address())
	case reflect.TypeFor[netip.Prefix]():
		return reflect.ValueOf(netip.PrefixFrom(f.address(), 32))
	case reflect.TypeFor[netip.AddrPort]():
		return reflect.ValueOf(netip.AddrPortFrom(f.address(), 80))
	}
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(f.fill(t.Elem()))
	case reflect.Slice:
		v.Set(reflect.Append(v, f.fill(t.Elem())))
	case reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(f.fill(t.Key()), f.fill(t.Elem()))
	case reflect.Struct:
		for i := range t.NumField() {
			if field := t.Field(i); field.IsExported() && field.Tag.Get("address") != anyFamily {
				v.Field(i).Set(f.fill(field.Type))
			}
		}
	}
	return v
}

// What is encoded all the same is nobody's address, and never 0, which is anybody's.
func TestNoOtherFamilyIsAnybody(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"2001:db8::1", "::", "::ffff:10.0.0.1", "fe80::1%eth0"} {
		if got := kernel.ToAddress(kernel.AddressOf(netip.MustParseAddr(text))); got.String() != "255.255.255.255" {
			t.Errorf("%s becomes %s", text, got)
		}
	}
}

func BenchmarkCheckFamily(b *testing.B) {
	c := Config{Mappings: make(map[uint32]Mapping)}
	four := netip.MustParseAddrPort("172.16.1.2:80")
	for i := range uint32(10_000) {
		c.Mappings[i] = Mapping{External: model.SinglePort(four), Targets: []Target{{Internal: model.SinglePort(four)}}}
	}
	for b.Loop() {
		if err := checkFamily(c); err != nil {
			b.Fatal(err)
		}
	}
}
