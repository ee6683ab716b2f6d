package datapath

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// The room is a network namespace where the kernel puts fragments together and
// cuts packets; see bpf/ip4_reassembly.h. It has no name. What keeps it is the pinned link
// of a netfilter program inside, which is there for one thing: to switch
// reassembly on for what is forwarded.

// roomPriority is behind the kernel's reassembly (NF_IP_PRI_CONNTRACK_DEFRAG, -400).
const roomPriority = -399

func (d *Datapath) roomPin() string { return filepath.Join(linkDir(d.dir), "room") }

// HasRoom reports whether a room made earlier is still kept.
func (d *Datapath) HasRoom() bool {
	l, err := link.LoadPinnedLink(d.roomPin(), nil)
	if err != nil {
		return false
	}
	defer l.Close()
	info, err := l.Info()
	return err == nil && info.Netfilter() != nil
}

// KeepRoom makes the calling thread's network namespace the room: reassembly is
// switched on there, and the namespace stands for as long as the data path. The
// one that was the room before is let go.
func (d *Datapath) KeepRoom() error {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "room_accept", Type: ebpf.Netfilter, AttachType: ebpf.AttachNetfilter, License: "Dual BSD/GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}, // NF_ACCEPT
	})
	if err != nil {
		return fmt.Errorf("loading the room's program: %w", err)
	}
	defer program.Close()
	l, err := link.AttachNetfilter(link.NetfilterOptions{
		Program: program, ProtocolFamily: link.NetfilterProtoIPv4, Hook: link.NetfilterInetPreRouting,
		Priority: roomPriority, NetfilterFlags: 1 << link.NetfilterIPDefrag, // the constant is the number of the bit
	})
	if err != nil {
		return fmt.Errorf("switching reassembly on in the room (CONFIG_NETFILTER_BPF_LINK): %w", err)
	}
	if err := d.letRoomGo(); err != nil {
		return errors.Join(err, l.Close())
	}
	if err := l.Pin(d.roomPin()); err != nil {
		return errors.Join(fmt.Errorf("keeping the room: %w", err), l.Close())
	}
	d.hold(d.roomPin(), l)
	return nil
}

func (d *Datapath) letRoomGo() error {
	if err := d.unpin(d.roomPin()); err != nil {
		return fmt.Errorf("letting the old room go: %w", err)
	}
	return nil
}
