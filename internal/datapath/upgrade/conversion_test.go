package upgrade

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

var (
	u8  = &btf.Int{Name: "u8", Size: 1}
	u16 = &btf.Int{Name: "u16", Size: 2}
	u32 = &btf.Int{Name: "u32", Size: 4}
	u64 = &btf.Int{Name: "u64", Size: 8}
)

type member struct {
	name string
	t    btf.Type
}

// structOf lays its members out without gaps.
func structOf(name string, members ...member) *btf.Struct {
	s := &btf.Struct{Name: name}
	for _, m := range members {
		s.Members = append(s.Members, btf.Member{Name: m.name, Type: m.t, Offset: btf.Bits(s.Size * 8)})
		size, err := btf.Sizeof(m.t)
		if err != nil {
			panic(err)
		}
		s.Size += uint32(size)
	}
	return s
}

func row(t btf.Type, n uint32) btf.Type { return &btf.Array{Index: u32, Type: t, Nelems: n} }

func TestConversion(t *testing.T) {
	t.Parallel()
	pair := structOf("pair", member{"low", u16}, member{"high", u16})
	for name, test := range map[string]struct {
		from, to *btf.Struct
		old, new string // bytes
		refusal  string // of the value, "" for none
		asKey    string // of the key, "" for none
	}{
		"the same":    {from: structOf("s", member{"a", u16}, member{"b", u16}), to: structOf("s", member{"a", u16}, member{"b", u16}), old: "aabb", new: "aabb"},
		"other order": {from: structOf("s", member{"a", u16}, member{"b", u32}), to: structOf("s", member{"b", u32}, member{"a", u16}), old: "aabbbb", new: "bbbbaa"},
		"wider":       {from: structOf("s", member{"a", u16}), to: structOf("s", member{"a", u32}), old: "aa", new: "aa\x00\x00"},
		"narrower": {from: structOf("s", member{"a", u32}), to: structOf("s", member{"a", u16}),
			refusal: "the field a is shorter now", asKey: "the field a is shorter now"},
		"one more": {from: structOf("s", member{"a", u16}), to: structOf("s", member{"n", u8}, member{"a", u16}), old: "aa", new: "\x00aa",
			asKey: "its key has the field n now"},
		"one less": {from: structOf("s", member{"a", u16}, member{"g", u8}), to: structOf("s", member{"a", u16}), old: "aag", new: "aa",
			asKey: "its key had the field g before"},
		"padding":      {from: structOf("s", member{"a", u16}, member{"pad", u16}), to: structOf("s", member{"pad", u8}, member{"a", u16}), old: "aapp", new: "\x00aa"},
		"rows":         {from: structOf("s", member{"a", row(u16, 2)}), to: structOf("s", member{"a", row(u16, 3)}), old: "aabb", new: "aabb\x00\x00"},
		"shorter rows": {from: structOf("s", member{"a", row(u8, 6)}), to: structOf("s", member{"a", row(u8, 4)}), old: "abcdef", new: "abcd"},
		"rows of others": {from: structOf("s", member{"a", row(u16, 2)}), to: structOf("s", member{"a", row(u32, 2)}),
			refusal: "the field a was something else before", asKey: "the field a was something else before"},
		"structs in rows": {from: structOf("s", member{"r", row(pair, 2)}),
			to:  structOf("s", member{"r", row(structOf("pair", member{"high", u16}, member{"low", u16}), 2)}),
			old: "llhhLLHH", new: "hhllHHLL"},
		"a lock": {from: structOf("s", member{"lock", structOf("bpf_spin_lock", member{"val", u32})}, member{"a", u16}),
			to: structOf("s", member{"a", u16}), old: "xxxxaa", new: "aa"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, err := layoutOf(test.from)
			wire.Must(t, err)
			to, err := layoutOf(test.to)
			wire.Must(t, err)
			c, err := convertValue(from, to)
			refusedAs(t, err, test.refusal)
			if err == nil {
				got := []byte(strings.Repeat("?", to.size))
				c.apply([]byte(test.old), got)
				if diff := cmp.Diff(test.new, string(got)); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			}
			_, err = convertKey(from, to)
			refusedAs(t, err, test.asKey)
		})
	}
}

func refusedAs(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
		t.Errorf("got error %v, want %q", err, want)
	}
}

// The kernel knows the layout of a map that somebody else has made; elements
// find into another one, be they more than one system call reads.
func TestCarryingElementsBetweenMaps(t *testing.T) {
	t.Parallel()
	lab.RequireRoot(t)
	const n = 2*kernel.BatchSize + 7
	make := func(value *btf.Struct) *ebpf.Map {
		m, err := ebpf.NewMap(&ebpf.MapSpec{
			Type: ebpf.Hash, MaxEntries: 2 * n, KeySize: 4, ValueSize: value.Size,
			Key: structOf("key", member{"id", u32}), Value: value,
		})
		wire.Must(t, err)
		t.Cleanup(func() { m.Close() })
		return m
	}
	old := make(structOf("value", member{"gone", u64}, member{"a", u32}, member{"b", u32}))
	now := make(structOf("value", member{"b", u64}, member{"a", u32}, member{"more", u32}))
	for i := range uint32(n) {
		wire.Must(t, old.Put(i, binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint64(nil, 99), i+1), i+2)))
	}
	from, err := tableOf(old)
	wire.Must(t, err)
	to, err := tableOf(now)
	wire.Must(t, err)
	c, err := newCarrier(from, to)
	wire.Must(t, err)

	type value struct {
		B       uint64
		A, More uint32
	}
	list, err := typed[uint32, value](old, c)
	wire.Must(t, err)
	wire.Must(t, putAll("elements", now, list))
	wire.Must(t, carryMap(old, now, c)) // the same again, one by one
	if count(now) != n || len(list) != n {
		t.Errorf("%d and %d elements, want %d", len(list), count(now), n)
	}
	wire.Must(t, kernel.Each(now, func(k *uint32, v *value) error {
		if want := (value{B: uint64(*k) + 2, A: *k + 1}); *v != want {
			t.Errorf("element %d is %+v, want %+v", *k, *v, want)
		}
		return nil
	}))
}
