package kernel

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

const chanceTable = ".own_chance"

// Chance is what the programs draw instead of random numbers, where they are to choose
// again what another data path has chosen: first, then each time as much more as step.
type Chance struct{ table *ebpf.Map }

// NewChance makes one.
func NewChance() (*Chance, error) {
	table, err := ebpf.NewMap(oneElement(chanceTable, 16))
	if err != nil {
		return nil, fmt.Errorf("making numbers to draw for the data path: %w", err)
	}
	return &Chance{table}, nil
}

// Rule makes the programs of spec draw these numbers. Its table, which is added to
// tables, replaces the one of that name when spec is loaded.
func (c *Chance) Rule(spec *ebpf.CollectionSpec, tables map[string]*ebpf.Map) {
	CallInstead(spec, asm.FnGetPrandomU32, returnsU64("own_chance"), chanceTable, asm.Instructions{
		asm.LoadMapPtr(asm.R1, 0),
		asm.LoadMem(asm.R0, asm.R1, 0, asm.DWord),
		asm.LoadMem(asm.R2, asm.R1, 8, asm.DWord),
		asm.Add.Reg(asm.R2, asm.R0),
		asm.StoreMem(asm.R1, 0, asm.R2, asm.DWord),
		asm.LSh.Imm(asm.R0, 32),
		asm.RSh.Imm(asm.R0, 32), // numbers of 32 bits
		asm.Return(),
	})
	spec.Maps[chanceTable] = oneElement(chanceTable, 16)
	tables[chanceTable] = c.table
}

// Set says which numbers come.
func (c *Chance) Set(first, step uint32) error {
	return c.table.Put(uint32(0), [2]uint64{uint64(first), uint64(step)})
}

// Close lets go of the table.
func (c *Chance) Close() error { return c.table.Close() }
