package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// hostHook is a program at a socket call of the host's own programs.
type hostHook struct {
	name    string // of the pin
	attach  ebpf.AttachType
	program *ebpf.Program
}

func (d *Datapath) hostHooks() []hostHook {
	o := &d.objects
	return []hostHook{
		{"host-connect4", ebpf.AttachCGroupInet4Connect, o.HostConnect4},
		{"host-connect6", ebpf.AttachCGroupInet6Connect, o.HostConnect6},
		{"host-sendmsg4", ebpf.AttachCGroupUDP4Sendmsg, o.HostSendmsg4},
		{"host-sendmsg6", ebpf.AttachCGroupUDP6Sendmsg, o.HostSendmsg6},
		{"host-recvmsg4", ebpf.AttachCGroupUDP4Recvmsg, o.HostRecvmsg4},
		{"host-recvmsg6", ebpf.AttachCGroupUDP6Recvmsg, o.HostRecvmsg6},
		{"host-getpeername4", ebpf.AttachCgroupInet4GetPeername, o.HostGetpeername4},
		{"host-getpeername6", ebpf.AttachCgroupInet6GetPeername, o.HostGetpeername6},
	}
}

// AttachHost lets the programs of the control group (the root of cgroup v2:
// all of the host) reach mappings by the host's own addresses and by loopback.
// Links that are there already are switched to the programs just loaded, those
// that somebody has detached made anew.
func (d *Datapath) AttachHost(cgroup string) error {
	for _, h := range d.hostHooks() {
		if err := d.attachHost(cgroup, h); err != nil {
			return err
		}
	}
	return nil
}

func (d *Datapath) attachHost(cgroup string, h hostHook) error {
	pin := filepath.Join(linkDir(d.dir), h.name)
	l, err := link.LoadPinnedLink(pin, nil)
	if err == nil {
		defer l.Close()
		if l.Update(h.program) == nil {
			return nil
		}
		if err := d.unpin(pin); err != nil { // somebody has detached it
			return fmt.Errorf("removing the pin of %s: %w", h.name, err)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("opening the pinned %s: %w", h.name, err)
	}
	l, err = link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: h.attach, Program: h.program})
	if err != nil {
		return fmt.Errorf("attaching %s to %s: %w", h.name, cgroup, err)
	}
	if err := l.Pin(pin); err != nil {
		return errors.Join(fmt.Errorf("pinning %s: %w", h.name, err), l.Close())
	}
	d.hold(pin, l)
	return nil
}
