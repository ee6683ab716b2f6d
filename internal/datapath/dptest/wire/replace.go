package wire

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// callInstead puts a function into each program that calls a helper of the kernel's,
// and has it called instead. The function reads and writes a table by its address.
func callInstead(spec *ebpf.CollectionSpec, helper asm.BuiltinFunc, declared *btf.Func, table string, function asm.Instructions) {
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
