package kernel

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// InsideAddress is an address inside, unique in its compartment, as keys have it.
type InsideAddress struct{ Compartment, Address uint32 }

// MaxInsides is how many addresses a program can look for.
const MaxInsides = 64

// ErrMany says that there are too many of them to pick.
var ErrMany = errors.New("there are more sessions than are picked in the kernel")

// maxPicked is how many sessions are picked.
const maxPicked = 1 << 16

// SessionsOf calls visit for the sessions of some inside addresses, at most
// MaxInsides. A program walks the table and picks them: what is not asked for is
// not copied to user space. With ErrMany nothing was visited.
func SessionsOf(sessions *ebpf.Map, insides []InsideAddress, visit func(*SessionKey, *Session) error) error {
	picked, err := newPicked(sessions)
	if err != nil {
		return err
	}
	defer picked.Close()
	if err := runWalk("pick_sessions", pickSessions(sessions, picked, insides)); err != nil {
		return err
	}
	return Each(picked, visit)
}

// newPicked makes a table for some of the sessions.
func newPicked(sessions *ebpf.Map) (*ebpf.Map, error) {
	picked, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "picked_sessions", Type: ebpf.Hash, KeySize: sessions.KeySize(), ValueSize: sessions.ValueSize(),
		MaxEntries: maxPicked, Flags: unix.BPF_F_NO_PREALLOC,
	})
	if err != nil {
		return nil, fmt.Errorf("making a table for sessions: %w", err)
	}
	return picked, nil
}

// runWalk runs a program that begins with walk once. ErrMany: a table of its own was full.
func runWalk(name string, instructions asm.Instructions) error {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.Syscall, Flags: unix.BPF_F_SLEEPABLE, License: "Dual BSD/GPL", Instructions: instructions,
	})
	if err != nil {
		return fmt.Errorf("loading the program %s: %w", name, err)
	}
	defer program.Close()
	full, err := program.Run(&ebpf.RunOptions{})
	if err != nil {
		return fmt.Errorf("running the program %s: %w", name, err)
	}
	if full != 0 {
		return ErrMany
	}
	return nil
}

// walk is the beginning of a program that calls a function for each element of a table, and
// returns whether that has written something to what it got as the last argument.
func walk(name, function string, table *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		beginFunction(asm.Mov.Imm(asm.R1, 0), name, btf.GlobalFunc),
		asm.StoreMem(asm.RFP, -8, asm.R1, asm.DWord), // whether it was full
		asm.LoadMapPtr(asm.R1, table.FD()),
		asm.Instruction{OpCode: asm.LoadImmOp(asm.DWord), Dst: asm.R2, Src: asm.PseudoFunc, Constant: -1}.WithReference(function),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, -8),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnForEachMapElem.Call(),
		asm.LoadMem(asm.R0, asm.RFP, -8, asm.DWord),
		asm.Return(),
	}
}

// pickSessions is the program: it copies each element whose inside is one of those
// to another table, and returns 1 if that was full.
func pickSessions(sessions, picked *ebpf.Map, insides []InsideAddress) asm.Instructions {
	const key, value, full = asm.R6, asm.R7, asm.R8
	list := append(walk("pick_sessions", "pick", sessions),
		// pick(map, key, value, full)
		beginFunction(asm.Mov.Reg(key, asm.R2), "pick", btf.StaticFunc),
		asm.Mov.Reg(value, asm.R3),
		asm.Mov.Reg(full, asm.R4),
		asm.LoadMem(asm.R1, key, int16(unsafe.Offsetof(SessionKey{}.Compartment)), asm.Word),
		asm.LoadMem(asm.R2, key, int16(unsafe.Offsetof(SessionKey{}.InternalAddress)), asm.Word))
	for i, in := range insides {
		next := fmt.Sprint("next", i)
		list = append(list,
			asm.LoadImm(asm.R3, int64(in.Compartment), asm.DWord),
			asm.JNE.Reg(asm.R1, asm.R3, next),
			asm.LoadImm(asm.R3, int64(in.Address), asm.DWord),
			asm.JEq.Reg(asm.R2, asm.R3, "copy"),
			asm.Mov.Imm(asm.R0, 0).WithSymbol(next))
	}
	return append(list,
		asm.Return(),
		asm.LoadMapPtr(asm.R1, picked.FD()).WithSymbol("copy"),
		asm.Mov.Reg(asm.R2, key),
		asm.Mov.Reg(asm.R3, value),
		asm.Mov.Imm(asm.R4, 0),
		asm.FnMapUpdateElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "on"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreMem(full, 0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, 1), // walk no further
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("on"),
		asm.Return())
}

// beginFunction begins a function. The kernel wants to know the type of one that it is
// to call for each element.
func beginFunction(first asm.Instruction, name string, linkage btf.FuncLinkage) asm.Instruction {
	number := &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}
	proto := &btf.FuncProto{Return: number}
	if linkage == btf.StaticFunc {
		for _, name := range []string{"map", "key", "value", "full"} {
			proto.Params = append(proto.Params, btf.FuncParam{Name: name, Type: number})
		}
	}
	return btf.WithFuncMetadata(first.WithSymbol(name), &btf.Func{Name: name, Type: proto, Linkage: linkage})
}
