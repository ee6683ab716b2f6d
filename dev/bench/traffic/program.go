package traffic

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/hostnat/hostnat/dev/lab"
)

// Verdicts of a TCX program.
const (
	VerdictNext = -1 // the next program, or on into the stack
	VerdictDrop = 2
)

// Bytes of the headers of a UDP datagram in an Ethernet frame.
const (
	EthernetHeader = 14
	IPv4Header     = 20
	UDPHeader      = 8
)

// Where things are in an Ethernet frame with an IPv4 header without options.
const (
	atEtherType   = 12
	atProtocol    = EthernetHeader + 9
	atSource      = EthernetHeader + 12
	atDestination = EthernetHeader + 16
	atUDPTarget   = EthernetHeader + IPv4Header + 2
	atPayload     = EthernetHeader + IPv4Header + UDPHeader
)

// onlyUDP leaves packets other than UDP to the given ports to "pass". The
// context must be in R6, which absolute loads read.
func onlyUDP(low, high uint16) asm.Instructions {
	return asm.Instructions{
		asm.LoadAbs(atEtherType, asm.Half),
		asm.JNE.Imm(asm.R0, 0x0800, "pass"),
		asm.LoadAbs(atProtocol, asm.Byte),
		asm.JNE.Imm(asm.R0, 17, "pass"),
		asm.LoadAbs(atUDPTarget, asm.Half),
		asm.JLT.Imm(asm.R0, int32(low), "pass"),
		asm.JGT.Imm(asm.R0, int32(high), "pass"),
	}
}

// lookup puts the address of a map's value for the key at the top of the stack
// into R0 and leaves to "pass" if there is none.
func lookup(m *ebpf.Map) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
	}
}

// leave ends with a verdict, and with "pass" for what is not ours.
func leave(verdict int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R0, verdict),
		asm.Return(),
		asm.Mov.Imm(asm.R0, VerdictNext).WithSymbol("pass"),
		asm.Return(),
	}
}

// probe is a program of ours at the ingress of a link.
type probe struct {
	program  *ebpf.Program
	attached link.Link
}

// attachProbe puts a program before all others at a link's ingress.
func attachProbe(n *lab.Namespace, linkName, name string, code asm.Instructions) (*probe, error) {
	attrs, err := n.Link(linkName)
	if err != nil {
		return nil, err
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: name, Type: ebpf.SchedCLS, AttachType: ebpf.AttachTCXIngress, Instructions: code, License: "Apache-2.0",
	})
	if err != nil {
		return nil, fmt.Errorf("load program %s: %w", name, err)
	}
	p := &probe{program: program}
	err = n.Do(func() (err error) {
		p.attached, err = link.AttachTCX(link.TCXOptions{
			Interface: attrs.Index, Program: program, Attach: ebpf.AttachTCXIngress, Anchor: link.Head(),
		})
		return err
	})
	if err != nil {
		program.Close()
		return nil, fmt.Errorf("attach program %s to %s in %s: %w", name, linkName, n.Name, err)
	}
	return p, nil
}

func (p *probe) close() error { return errors.Join(p.attached.Close(), p.program.Close()) }

// immediate is an address as an absolute load puts it into a register; compare
// 32 bits of it.
func immediate(a netip.Addr) int32 {
	four := a.As4()
	return int32(binary.BigEndian.Uint32(four[:]))
}
