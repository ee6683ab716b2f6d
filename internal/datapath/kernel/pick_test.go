package kernel

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// An endpoint's sessions are picked from a table of many; of more than fit, none
// is shown rather than some.
func TestSessionsOf(t *testing.T) {
	lab.RequireRoot(t)
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.Hash, KeySize: uint32(unsafe.Sizeof(SessionKey{})), ValueSize: uint32(unsafe.Sizeof(Session{})),
		MaxEntries: 3 * maxPicked, Flags: unix.BPF_F_NO_PREALLOC,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	fill := func(compartment, address uint32, count int) {
		t.Helper()
		keys, values := make([]SessionKey, count), make([]Session, count)
		for i := range keys {
			keys[i] = SessionKey{Compartment: compartment, InternalAddress: address, RemoteAddress: uint32(i)}
			values[i].Lifetime = uint32(i)
		}
		if _, err := m.BatchUpdate(keys, values, nil); err != nil {
			t.Fatal(err)
		}
	}
	const first, second, busy = 0x020110ac, 0xfe0110ac, 0x030110ac
	fill(1, first, 300)
	fill(2, first, 50)
	fill(2, second, 7)
	fill(1, busy, maxPicked+1)
	for name, tt := range map[string]struct {
		insides []InsideAddress
		want    int
	}{
		"one":     {[]InsideAddress{{1, first}}, 300},
		"another": {[]InsideAddress{{2, first}}, 50},
		"several": {[]InsideAddress{{9, first}, {2, second}, {2, first}}, 57},
		"none":    {[]InsideAddress{{1, second}}, 0},
		"most":    {append(make([]InsideAddress, MaxInsides-1), InsideAddress{2, second}), 7},
	} {
		count := 0
		err := SessionsOf(m, tt.insides, func(k *SessionKey, s *Session) error {
			count++
			if k.RemoteAddress != s.Lifetime {
				t.Errorf("%s: key %+v has value %+v", name, k, s)
			}
			return nil
		})
		if count != tt.want || err != nil {
			t.Errorf("%s: %d sessions, %v; want %d", name, count, err, tt.want)
		}
	}
	visited := 0
	err = SessionsOf(m, []InsideAddress{{1, busy}}, func(*SessionKey, *Session) error { visited++; return nil })
	if !errors.Is(err, ErrMany) || visited != 0 {
		t.Errorf("too many: %v, %d visited", err, visited)
	}
}
