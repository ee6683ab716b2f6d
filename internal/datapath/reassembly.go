package datapath

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// The reassembly namespace is a network namespace where the kernel puts fragments together and
// cuts packets; see bpf/ip4_reassembly.h. It has no name. What keeps it is the pinned link
// of a netfilter program inside, which is there for one thing: to switch
// reassembly on for what is forwarded.

// reassemblyPriority is behind the kernel's reassembly (NF_IP_PRI_CONNTRACK_DEFRAG, -400).
const reassemblyPriority = -399

func reassemblyPin(dir string) string { return filepath.Join(linkDir(dir), "reassembly") }

// HasReassembly reports whether one made earlier is still kept.
func (d *Datapath) HasReassembly() bool {
	l, err := link.LoadPinnedLink(reassemblyPin(d.dir), nil)
	if err != nil {
		return false
	}
	defer l.Close()
	info, err := l.Info()
	return err == nil && info.Netfilter() != nil
}

// KeepReassembly makes the calling thread's network namespace the one for reassembly, which
// is switched on there; it stands for as long as the data path. The one before is
// let go.
func (d *Datapath) KeepReassembly() error {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "reassembly", Type: ebpf.Netfilter, AttachType: ebpf.AttachNetfilter, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}, // NF_ACCEPT
	})
	if err != nil {
		return fmt.Errorf("loading the program of the reassembly namespace: %w", err)
	}
	defer program.Close()
	l, err := link.AttachNetfilter(link.NetfilterOptions{
		Program: program, ProtocolFamily: link.NetfilterProtoIPv4, Hook: link.NetfilterInetPreRouting,
		Priority: reassemblyPriority, NetfilterFlags: 1 << link.NetfilterIPDefrag, // the constant is the number of the bit
	})
	if err != nil {
		return fmt.Errorf("switching reassembly on in its namespace (CONFIG_NETFILTER_BPF_LINK): %w", err)
	}
	if err := d.dropReassembly(); err != nil {
		return errors.Join(err, l.Close())
	}
	if err := l.Pin(reassemblyPin(d.dir)); err != nil {
		return errors.Join(fmt.Errorf("keeping the reassembly namespace: %w", err), l.Close())
	}
	d.hold(reassemblyPin(d.dir), l)
	return nil
}

func (d *Datapath) dropReassembly() error {
	if err := d.held.unpin(reassemblyPin(d.dir)); err != nil {
		return fmt.Errorf("letting the former reassembly namespace go: %w", err)
	}
	return nil
}
