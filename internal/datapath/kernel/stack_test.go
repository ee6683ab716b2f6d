package kernel

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
)

// What the kernel allows a program is 512 bytes of stack for any chain of
// functions, and 8 functions in a chain. What is left is for whoever adds to it.
const (
	mostStack  = 400
	mostFrames = 6
	stackUnit  = 16 // each function's part is a multiple, where there is a JIT compiler
)

// function is one of a program's, as the verifier sees it.
type function struct {
	name  string
	low   int  // bytes that its own instructions use
	loops bool // the verifier puts bpf_loop's work in place, with three registers on the stack
	calls map[string]bool
	async map[string]bool // given to a timer: begins a chain of its own
}

// functionsOf splits a program's instructions.
func functionsOf(p *ebpf.ProgramSpec) []*function {
	var list []*function
	var f *function
	var low [11]int // where a register points to in the stack, as bytes below its top; -1: not there
	for i, ins := range p.Instructions {
		if i == 0 || btf.FuncMetadata(&p.Instructions[i]) != nil {
			f = &function{name: ins.Symbol(), calls: make(map[string]bool), async: make(map[string]bool)}
			list = append(list, f)
			for r := range low {
				low[r] = -1
			}
			low[asm.R10] = 0
		}
		f.note(ins, &low)
		switch {
		case ins.IsBuiltinCall() && ins.Constant == int64(asm.FnLoop):
			f.loops = true
		case ins.IsFunctionCall():
			f.calls[ins.Reference()] = true
		case ins.IsLoadOfFunctionPointer() || ins.IsFunctionReference():
			if usedByTimer(p.Instructions[i:]) {
				f.async[ins.Reference()] = true
			} else {
				f.calls[ins.Reference()] = true
			}
		}
	}
	return list
}

// usedByTimer reports whether the next helper that is called takes a timer's callback.
func usedByTimer(rest asm.Instructions) bool {
	for _, ins := range rest {
		if ins.IsBuiltinCall() {
			return ins.Constant == int64(asm.FnTimerSetCallback)
		}
	}
	return false
}

// note follows pointers into the stack.
func (f *function) note(ins asm.Instruction, low *[11]int) {
	deepest := func(r asm.Register, offset int16) {
		if r < 11 && low[r] >= 0 {
			f.low = max(f.low, low[r]-int(offset))
		}
	}
	switch class := ins.OpCode.Class(); {
	case class.IsStore():
		deepest(ins.Dst, ins.Offset)
	case class.IsLoad() && ins.OpCode.Mode() == asm.MemMode:
		deepest(ins.Src, ins.Offset)
		low[ins.Dst] = -1
	case class.IsLoad():
		low[ins.Dst] = -1
	case class.IsALU() && ins.OpCode.ALUOp() == asm.Mov && ins.OpCode.Source() == asm.RegSource:
		low[ins.Dst] = low[ins.Src]
	case class.IsALU() && ins.OpCode.ALUOp() == asm.Add && ins.OpCode.Source() == asm.ImmSource && low[ins.Dst] >= 0:
		low[ins.Dst] -= int(ins.Constant)
		deepest(ins.Dst, 0)
	case class.IsALU():
		low[ins.Dst] = -1
	}
}

// chain is the worst way through functions by one measure.
type chain struct {
	cost int
	path []string
}

func worst(all map[string]*function, name string, cost func(*function) int) chain {
	f := all[name]
	var below chain
	for _, callee := range slices.Sorted(maps.Keys(f.calls)) {
		if c := worst(all, callee, cost); c.cost > below.cost {
			below = c
		}
	}
	return chain{cost(f) + below.cost, append([]string{f.name}, below.path...)}
}

// stack is in bytes, as the verifier prints it.
func (f *function) stack() int {
	stack := (f.low + 7) / 8 * 8
	if f.loops {
		stack += 3 * 8
	}
	return stack
}

func stackOf(f *function) int { return (f.stack() + stackUnit - 1) / stackUnit * stackUnit }

// TestUnwatchedCostsNothing: the programs that packets meet while nobody captures have
// not one instruction for it. Those of the other object all have.
func TestUnwatchedCostsNothing(t *testing.T) {
	t.Parallel()
	plain, err := LoadSpec()
	if err != nil {
		t.Fatal(err)
	}
	observed, err := loadObserved()
	if err != nil {
		t.Fatal(err)
	}
	captures := func(p *ebpf.ProgramSpec) bool {
		return slices.ContainsFunc(p.Instructions, func(i asm.Instruction) bool { return slices.Contains(observedOnly, i.Reference()) })
	}
	for name, p := range plain.Programs {
		if captures(p) {
			t.Errorf("%s captures", name)
		}
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[PacketPrograms]()) {
		if name := field.Tag.Get("ebpf"); !captures(observed.Programs[name]) {
			t.Errorf("%s of the second object does not capture", name)
		}
	}
}

// TestStackAndFrames prints how much of the stack and of the call frames each
// program needs at worst, and fails above what we allow. That the reckoning is
// the verifier's is checked against what that says of each function.
func TestStackAndFrames(t *testing.T) {
	t.Parallel()
	for name, load := range map[string]func() (*ebpf.CollectionSpec, error){"plain": LoadSpec, "observed": loadObserved} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, err := load()
			if err != nil {
				t.Fatal(err)
			}
			checkStacks(t, spec)
		})
	}
}

// mostMaps is how many maps a program may have: the kernel takes 64, and tests add
// their clock.
const mostMaps = 63

func checkStacks(t *testing.T, spec *ebpf.CollectionSpec) {
	for name, p := range spec.Programs {
		used := make(map[string]bool)
		for _, i := range p.Instructions {
			if spec.Maps[i.Reference()] != nil {
				used[i.Reference()] = true
			}
		}
		if t.Logf("%s has %d maps of 64", name, len(used)); len(used) > mostMaps {
			t.Errorf("%s has more than %d", name, mostMaps)
		}
	}
	for _, m := range spec.Maps {
		if m.Type != ebpf.RingBuf {
			m.MaxEntries = min(m.MaxEntries, 1024) // they are not used
		}
	}
	loaded, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}})
	if err != nil {
		t.Fatal(err)
	}
	defer loaded.Close()
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		list, all := functionsOf(spec.Programs[name]), make(map[string]*function)
		roots := []string{list[0].name}
		var stacks []string
		for _, f := range list {
			all[f.name] = f
			if !strings.HasPrefix(f.name, "dry_") { // for dry runs alone: the verifier has left it out
				stacks = append(stacks, strconv.Itoa(f.stack()))
			}
			roots = append(roots, slices.Sorted(maps.Keys(f.async))...)
		}
		if got, said := strings.Join(stacks, "+"), verifiersStacks(loaded.Programs[name].VerifierLog); got != said {
			t.Errorf("%s: stack of each function is\n%s, the verifier says\n%s", name, got, said)
		}
		for _, root := range roots {
			stack, frames := worst(all, root, stackOf), worst(all, root, func(*function) int { return 1 })
			line := fmt.Sprintf("%-20s stack %3d of 512: %s\n%-20s frames %d of 8: %s", root, stack.cost, strings.Join(stack.path, " > "),
				"", frames.cost, strings.Join(frames.path, " > "))
			t.Log(line)
			if stack.cost > mostStack || frames.cost > mostFrames {
				t.Errorf("%s needs more than %d bytes of stack or %d frames", root, mostStack, mostFrames)
			}
		}
	}
}

var stackDepths = regexp.MustCompile(`stack depth ([0-9+]+)`)

func verifiersStacks(log string) string {
	all := stackDepths.FindAllStringSubmatch(log, -1)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1][1]
}
