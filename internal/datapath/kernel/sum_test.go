package kernel

import (
	"errors"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
)

// Sessions are counted by address, compartment and network, and those that were refreshed are
// seen, as they are; of more than fit, none.
func TestSumSessions(t *testing.T) {
	lab.RequireRoot(t)
	m, err := ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.Hash, KeySize: uint32(unsafe.Sizeof(SessionKey{})), ValueSize: uint32(unsafe.Sizeof(Session{})),
		MaxEntries: 3 * maxPicked, Flags: unix.BPF_F_NO_PREALLOC,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	const before, since, later = 1 << 40, 1<<40 + 1, 1<<40 + 7 // more than 32 bits
	fill := func(on SessionsOn, refreshed uint64, first, count int) {
		t.Helper()
		keys, values := make([]SessionKey, count), make([]Session, count)
		for i := range keys {
			keys[i] = SessionKey{Compartment: on.Compartment, InternalAddress: on.Address, RemoteAddress: uint32(first + i)}
			values[i] = Session{Network: on.Network, Refreshed: refreshed, Lifetime: uint32(first + i)}
			if i%2 == 1 { // by what comes in
				values[i].Refreshed, values[i].RefreshedIn = before, refreshed
			}
		}
		if _, err := m.BatchUpdate(keys, values, nil); err != nil {
			t.Fatal(err)
		}
	}
	idle, some, same, other := SessionsOn{1, 5, 0x020110ac}, SessionsOn{1, 5, 0x030110ac}, SessionsOn{1, 6, 0x030110ac}, SessionsOn{2, 7, 0x030110ac}
	fill(idle, before, 0, 3000)
	fill(some, before, 0, 300)
	fill(some, since, 300, 40)
	fill(same, later, 340, 5)
	fill(other, later, 0, 6)
	seen := make(map[SessionsOn]uint64)
	counts, err := SumSessions(m, since, func(k *SessionKey, s *Session) error {
		seen[SessionsOn{k.Compartment, s.Network, k.InternalAddress}]++
		if k.RemoteAddress != s.Lifetime || s.LastRefreshed() < since {
			t.Errorf("key %+v has value %+v", k, s)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[SessionsOn]uint64{idle: 3000, some: 340, same: 5, other: 6}, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[SessionsOn]uint64{some: 40, same: 5, other: 6}, seen); diff != "" {
		t.Errorf("seen (-want +got):\n%s", diff)
	}
	fill(idle, later, 3000, maxPicked)
	visited := 0
	_, err = SumSessions(m, since, func(*SessionKey, *Session) error { visited++; return nil })
	if !errors.Is(err, ErrMany) || visited != 0 {
		t.Errorf("too many: %v, %d visited", err, visited)
	}
}
