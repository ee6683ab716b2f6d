package capture

import (
	"fmt"
	"strings"

	"golang.org/x/net/bpf"
)

// longestProgram is BPF_MAXINSNS of the kernel.
const longestProgram = 4096

// WithProgram returns the filter with a classic BPF program beside it, as tcpdump -ddd
// prints it: the number of instructions, then one a line in four numbers. It sees
// frames with their Ethernet header.
func (f Filter) WithProgram(text string) (Filter, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	var count int
	if _, err := fmt.Sscanf(lines[0], "%d", &count); err != nil || count != len(lines)-1 || count < 1 || count > longestProgram {
		return f, refused("what tcpdump -ddd prints begins with the number of its instructions, 1 to %d", longestProgram)
	}
	raw := make([]bpf.RawInstruction, count)
	for i, line := range lines[1:] {
		r := &raw[i]
		if n, err := fmt.Sscanf(line, "%d %d %d %d", &r.Op, &r.Jt, &r.Jf, &r.K); err != nil || n != 4 {
			return f, refused("line %d of the BPF program is no instruction of four numbers", i+2)
		}
	}
	instructions, known := bpf.Disassemble(raw)
	if !known {
		return f, refused("the BPF program has instructions that are not known")
	}
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		return f, refused("the BPF program does not run: %v", err)
	}
	f.program = vm
	return f, nil
}

func (f Filter) accepts(frame []byte) bool {
	n, err := f.program.Run(frame)
	return err == nil && n > 0
}
