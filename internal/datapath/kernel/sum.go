package kernel

import (
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// SessionsOn is whose sessions are counted: an address inside, on a network.
type SessionsOn struct{ Compartment, Network, Address uint32 }

// maxCounted is how many addresses can have sessions.
const maxCounted = 1 << 17

// SumSessions counts the sessions of each address inside, and calls visit for those that were
// refreshed since then (monotonic ns). A program walks the table: idle sessions are not copied
// to user space. With ErrMany nothing was visited.
func SumSessions(sessions *ebpf.Map, since uint64, visit func(*SessionKey, *Session) error) (map[SessionsOn]uint64, error) {
	picked, err := newPicked(sessions)
	if err != nil {
		return nil, err
	}
	defer picked.Close()
	counted, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "counted_sessions", Type: ebpf.Hash, KeySize: uint32(unsafe.Sizeof(SessionsOn{})), ValueSize: 8,
		MaxEntries: maxCounted, Flags: unix.BPF_F_NO_PREALLOC,
	})
	if err != nil {
		return nil, fmt.Errorf("making a table for counts of sessions: %w", err)
	}
	defer counted.Close()
	if err := runWalk("sum_sessions", sumSessions(sessions, counted, picked, since)); err != nil {
		return nil, err
	}
	counts := make(map[SessionsOn]uint64)
	err = Each(counted, func(on *SessionsOn, count *uint64) error { counts[*on] = *count; return nil })
	if err != nil {
		return nil, err
	}
	return counts, Each(picked, visit)
}

// sumSessions is the program: it counts each element by address and copies those that were
// refreshed lately. It returns 1 if a table was full.
func sumSessions(sessions, counted, picked *ebpf.Map, since uint64) asm.Instructions {
	const key, value, full = asm.R6, asm.R7, asm.R8
	const on, one = -16, -24 // on the stack: a SessionsOn, a count
	return append(walk("sum_sessions", "sum", sessions),
		// sum(map, key, value, full)
		beginFunction(asm.Mov.Reg(key, asm.R2), "sum", btf.StaticFunc),
		asm.Mov.Reg(value, asm.R3),
		asm.Mov.Reg(full, asm.R4),
		asm.LoadMem(asm.R1, key, int16(unsafe.Offsetof(SessionKey{}.Compartment)), asm.Word),
		asm.StoreMem(asm.RFP, on+int16(unsafe.Offsetof(SessionsOn{}.Compartment)), asm.R1, asm.Word),
		asm.LoadMem(asm.R1, value, int16(unsafe.Offsetof(Session{}.Network)), asm.Word),
		asm.StoreMem(asm.RFP, on+int16(unsafe.Offsetof(SessionsOn{}.Network)), asm.R1, asm.Word),
		asm.LoadMem(asm.R1, key, int16(unsafe.Offsetof(SessionKey{}.InternalAddress)), asm.Word),
		asm.StoreMem(asm.RFP, on+int16(unsafe.Offsetof(SessionsOn{}.Address)), asm.R1, asm.Word),
		asm.LoadMapPtr(asm.R1, counted.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, on),
		asm.FnMapLookupElem.Call(),
		asm.JNE.Imm(asm.R0, 0, "count"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreMem(asm.RFP, one, asm.R1, asm.DWord),
		asm.LoadMapPtr(asm.R1, counted.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, on),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, one),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "refreshed"),
		asm.Ja.Label("full"),
		asm.LoadMem(asm.R1, asm.R0, 0, asm.DWord).WithSymbol("count"),
		asm.Add.Imm(asm.R1, 1),
		asm.StoreMem(asm.R0, 0, asm.R1, asm.DWord),

		asm.LoadMem(asm.R1, value, int16(unsafe.Offsetof(Session{}.Refreshed)), asm.DWord).WithSymbol("refreshed"),
		asm.LoadImm(asm.R2, int64(since), asm.DWord),
		asm.JGE.Reg(asm.R1, asm.R2, "pick"),
		asm.LoadMem(asm.R1, value, int16(unsafe.Offsetof(Session{}.RefreshedIn)), asm.DWord),
		asm.JLT.Reg(asm.R1, asm.R2, "next"),
		asm.LoadMapPtr(asm.R1, picked.FD()).WithSymbol("pick"),
		asm.Mov.Reg(asm.R2, key),
		asm.Mov.Reg(asm.R3, value),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "next"),
		asm.Mov.Imm(asm.R1, 1).WithSymbol("full"),
		asm.StoreMem(full, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 1), // walk no further
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("next"),
		asm.Return())
}
