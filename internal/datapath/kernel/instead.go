package kernel

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// CallInstead puts a function into each program that calls a helper of the kernel's,
// and has it called instead: in the data path that is under test or that replays what
// another one did. The function reads and writes a table by its address.
func CallInstead(spec *ebpf.CollectionSpec, helper asm.BuiltinFunc, declared *btf.Func, table string, function asm.Instructions) {
	for _, p := range spec.Programs {
		calls := false
		for i := range p.Instructions {
			if ins := &p.Instructions[i]; ins.IsBuiltinCall() && ins.Constant == int64(helper) && p.Instructions[i].Symbol() == "" {
				call := asm.Call.Label(declared.Name)
				call.Metadata = ins.Metadata
				*ins, calls = call.WithReference(declared.Name), true
			}
		}
		if !calls {
			continue
		}
		mine := append(asm.Instructions(nil), function...)
		for i := range mine {
			if mine[i].IsLoadFromMap() {
				mine[i].Src = asm.PseudoMapValue
				mine[i] = mine[i].WithReference(table)
			}
		}
		mine[0] = btf.WithFuncMetadata(mine[0].WithSymbol(declared.Name), declared).WithSource(p.Instructions[0].Source())
		p.Instructions = append(p.Instructions, mine...)
	}
}

// returnsU64 is a function without arguments that returns a number.
func returnsU64(name string) *btf.Func {
	u64 := &btf.Int{Name: "unsigned long", Size: 8}
	return &btf.Func{Name: name, Type: &btf.FuncProto{Return: u64}, Linkage: btf.StaticFunc}
}

// AskForTime puts a function into each program that is called instead of the
// kernel's for the time, and returns the table of 8 bytes that it reads: now() of
// bpf/maps.h.
func AskForTime(spec *ebpf.CollectionSpec, function asm.Instructions) *ebpf.MapSpec {
	CallInstead(spec, asm.FnKtimeGetCoarseNs, returnsU64("own_now"), clockTable, function)
	m := oneElement(clockTable, 8)
	spec.Maps[clockTable] = m
	return m
}

func oneElement(name string, size uint32) *ebpf.MapSpec {
	return &ebpf.MapSpec{Name: name, Type: ebpf.Array, KeySize: 4, ValueSize: size, MaxEntries: 1}
}
