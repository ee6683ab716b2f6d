package wire

import (
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// FailureTable says which writes of the programs under test fail. No program of the
// product knows it: it is put in where they ask the kernel (FailWrites).
const FailureTable = ".test_failures"

// Failures are what becomes of the next writes: the first Works of them work, the
// next Fails fail as Errno says, and then all work again.
type Failures struct{ Works, Fails, Errno uint64 }

// Fail is how so many writes fail, after some that work.
func Fail(works, fails int, as syscall.Errno) *Failures {
	return &Failures{Works: uint64(works), Fails: uint64(fails), Errno: uint64(-int64(as))}
}

// FailWrites lets a test have the programs' writes to tables fail.
func FailWrites(spec *ebpf.CollectionSpec) {
	long := &btf.Int{Name: "long", Size: 8, Encoding: btf.Signed}
	for helper, name := range map[asm.BuiltinFunc]string{asm.FnMapUpdateElem: "test_update", asm.FnMapDeleteElem: "test_delete"} {
		declared := &btf.Func{Name: name, Type: &btf.FuncProto{Return: long}, Linkage: btf.StaticFunc}
		kernel.CallInstead(spec, helper, declared, FailureTable, asm.Instructions{
			asm.LoadMapPtr(asm.R5, 0), // neither helper has a fifth argument
			asm.LoadMem(asm.R0, asm.R5, 0, asm.DWord),
			asm.JEq.Imm(asm.R0, 0, name+"_fails"),
			asm.Sub.Imm(asm.R0, 1),
			asm.StoreMem(asm.R5, 0, asm.R0, asm.DWord),
			asm.Ja.Label(name + "_works"),
			asm.LoadMem(asm.R0, asm.R5, 8, asm.DWord).WithSymbol(name + "_fails"),
			asm.JEq.Imm(asm.R0, 0, name+"_works"),
			asm.Sub.Imm(asm.R0, 1),
			asm.StoreMem(asm.R5, 8, asm.R0, asm.DWord),
			asm.LoadMem(asm.R0, asm.R5, 16, asm.DWord),
			asm.Return(),
			helper.Call().WithSymbol(name + "_works"),
			asm.Return(),
		})
	}
	spec.Maps[FailureTable] = &ebpf.MapSpec{Name: FailureTable, Type: ebpf.Array, KeySize: 4, ValueSize: 24, MaxEntries: 1}
}
