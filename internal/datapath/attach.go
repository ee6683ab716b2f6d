package datapath

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
)

// Hook is one of the places where a program is attached. Its name is part of
// the pin's file name.
type Hook string

// The hooks. L3 is for links without an Ethernet header.
const (
	InsideIngress       Hook = "inside-ingress"
	BridgeIngress       Hook = "bridge-ingress"
	PortIngress         Hook = "port-ingress"           // a bridge's port that is no managed endpoint's
	PortEgress          Hook = "port-egress"            // a bridge's port, whoever's
	PointToPointIngress Hook = "point-to-point-ingress" // BridgeIngress behind InsideIngress, on a link that has the gateway's address
	OutsideIngress      Hook = "outside-ingress"
	OutsideEgress       Hook = "outside-egress"
	OutsideIngressL3    Hook = "outside-ingress-l3"
	OutsideEgressL3     Hook = "outside-egress-l3"
	ReassemblyEnter     Hook = "reassembly-enter"
	ReassemblyLeave     Hook = "reassembly-leave"
	BridgeEgress        Hook = "bridge-egress"   // what the host puts out of a bridge
	LoopbackEgress      Hook = "loopback-egress" // what the host says to itself, while there are mappings
)

// Attachment is a program on an interface.
type Attachment struct {
	Interface uint32
	Hook      Hook
}

// program returns what is to be at a hook now.
func (d *Datapath) program(h Hook) (*ebpf.Program, ebpf.AttachType) {
	packet := d.objects.PacketPrograms()
	if d.observed != nil {
		packet = *d.observed
	}
	switch h {
	case InsideIngress:
		return packet.InsideIngress, ebpf.AttachTCXIngress
	case BridgeIngress, PointToPointIngress:
		return packet.BridgeIngress, ebpf.AttachTCXIngress
	case PortIngress:
		return packet.PortIngress, ebpf.AttachTCXIngress
	case PortEgress:
		return packet.PortEgress, ebpf.AttachTCXEgress
	case OutsideIngress:
		return packet.OutsideIngress, ebpf.AttachTCXIngress
	case OutsideIngressL3:
		return packet.OutsideIngressL3, ebpf.AttachTCXIngress
	case OutsideEgress:
		return packet.OutsideEgress, ebpf.AttachTCXEgress
	case OutsideEgressL3:
		return packet.OutsideEgressL3, ebpf.AttachTCXEgress
	case ReassemblyEnter:
		return packet.ReassemblyEnter, ebpf.AttachTCXEgress
	case ReassemblyLeave:
		return packet.ReassemblyLeave, ebpf.AttachTCXIngress
	case BridgeEgress:
		return d.objects.BridgeEgress, ebpf.AttachTCXEgress // it hands packets to loopback, where captures see them
	case LoopbackEgress:
		return packet.LoopbackEgress, ebpf.AttachTCXEgress
	}
	return nil, ebpf.AttachNone
}

func linkDir(dir string) string { return filepath.Join(dir, "links") }

func (d *Datapath) linkPath(a Attachment) string {
	return linkPath(d.dir, a.Interface, string(a.Hook))
}

// anchor is the program's place among those of its interface. What goes up to
// the host from a point-to-point link has passed InsideIngress, whichever is attached again.
func (h Hook) anchor() link.Anchor {
	if h == PointToPointIngress {
		return link.Tail()
	}
	return link.Head()
}

// Attach puts a program onto an interface, before other programs there, and
// pins the link. If it is there already nothing happens.
func (d *Datapath) Attach(a Attachment) error {
	d.links.Lock()
	defer d.links.Unlock()
	program, attach := d.program(a.Hook)
	if program == nil {
		return fmt.Errorf("attaching to interface %d: no hook %q", a.Interface, a.Hook)
	}
	if d.alive(a) {
		return nil
	}
	l, err := link.AttachTCX(link.TCXOptions{
		Interface: int(a.Interface), Program: program, Attach: attach, Anchor: a.Hook.anchor(),
	})
	if err != nil {
		return fmt.Errorf("attaching %s to interface %d: %w", a.Hook, a.Interface, err)
	}
	if err := l.Pin(d.linkPath(a)); err != nil {
		return errors.Join(fmt.Errorf("pinning %s of interface %d: %w", a.Hook, a.Interface, err), l.Close())
	}
	d.hold(d.linkPath(a), l)
	return nil
}

// alive reports whether the attachment's link is pinned and still holds its
// interface; a pin without interface is removed. The interface's number may
// have been given to another link meanwhile, or somebody may have detached us.
func (d *Datapath) alive(a Attachment) bool {
	l, err := link.LoadPinnedLink(d.linkPath(a), nil)
	if err != nil {
		return false
	}
	defer l.Close()
	info, err := l.Info()
	if err == nil && info.TCX() != nil && info.TCX().Ifindex == a.Interface {
		return true
	}
	_ = d.held.unpin(d.linkPath(a))
	return false
}

// Detach takes a program off an interface.
func (d *Datapath) Detach(a Attachment) error {
	d.links.Lock()
	defer d.links.Unlock()
	return d.detach(a)
}

func (d *Datapath) detach(a Attachment) error {
	if err := d.held.unpin(d.linkPath(a)); err != nil {
		return fmt.Errorf("detaching %s from interface %d: %w", a.Hook, a.Interface, err)
	}
	return nil
}

// Attachments lists what is pinned, whether its interface still exists or not.
func (d *Datapath) Attachments() ([]Attachment, error) { return ListAttachments(d.dir) }

// IsAttached reports whether a program is attached there.
func (d *Datapath) IsAttached(a Attachment) bool {
	d.links.Lock()
	defer d.links.Unlock()
	return d.alive(a)
}

// ListAttachments lists what is pinned in dir, nothing if there is no data path.
func ListAttachments(dir string) ([]Attachment, error) {
	entries, err := os.ReadDir(linkDir(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the attached programs: %w", err)
	}
	var list []Attachment
	for _, e := range entries {
		number, hook, ok := strings.Cut(e.Name(), "-")
		ifindex, err := strconv.ParseUint(number, 10, 32)
		if !ok || err != nil {
			continue
		}
		list = append(list, Attachment{Interface: uint32(ifindex), Hook: Hook(hook)})
	}
	return list, nil
}

// switched is a link that was given another program.
type switched struct {
	at     Attachment
	before *ebpf.Program
}

// updateLinks switches every pinned link to the programs just loaded, or if one
// cannot be, none. Links whose interface is gone lose their pin.
func (d *Datapath) updateLinks() error {
	if err := renameLinks(d.dir, false); err != nil {
		return err
	}
	if err := d.usePrograms(nil); err != nil {
		return errors.Join(err, renameLinks(d.dir, true))
	}
	return nil
}

// usePrograms switches every pinned link to observed programs, nil: to the objects'
// own; or if one cannot be, none.
func (d *Datapath) usePrograms(observed *kernel.PacketPrograms) error {
	d.links.Lock()
	defer d.links.Unlock()
	before := d.observed
	d.observed = observed
	err := d.switchLinks()
	if err != nil {
		d.observed = before
	}
	return err
}

func (d *Datapath) switchLinks() error {
	list, err := d.Attachments()
	if err != nil {
		return err
	}
	var done []switched
	for _, a := range stampFirst(list) {
		program, _ := d.program(a.Hook)
		if program == nil || !d.alive(a) {
			err = d.detach(a)
		} else {
			var before *ebpf.Program
			if before, err = d.updateLink(a, program); err == nil {
				done = append(done, switched{a, before})
			}
		}
		if err != nil {
			break
		}
	}
	for _, s := range done {
		if err != nil {
			err = errors.Join(err, d.restoreLink(s))
		}
		s.before.Close()
	}
	return err
}

// updateLink returns the program before, which the link does not keep any more.
func (d *Datapath) updateLink(a Attachment, program *ebpf.Program) (before *ebpf.Program, err error) {
	l, err := link.LoadPinnedLink(d.linkPath(a), nil)
	if err != nil {
		return nil, fmt.Errorf("opening the pinned %s of interface %d: %w", a.Hook, a.Interface, err)
	}
	defer l.Close()
	info, err := l.Info()
	if err == nil {
		before, err = ebpf.NewProgramFromID(info.Program)
	}
	if err != nil {
		return nil, fmt.Errorf("asking for the program of %s of interface %d: %w", a.Hook, a.Interface, err)
	}
	if err := l.Update(program); err != nil {
		before.Close()
		return nil, fmt.Errorf("updating %s of interface %d: %w", a.Hook, a.Interface, err)
	}
	return before, nil
}

func (d *Datapath) restoreLink(s switched) error {
	now, err := d.updateLink(s.at, s.before)
	if err != nil {
		return err
	}
	return now.Close()
}
