package wire

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// Capture is a capture of one link in both directions. Every packet that came in
// from the host must have right checksums, and none that came to an outside may
// have an inside address, quoted ones included.
type Capture struct {
	Outside bool

	Mu      sync.Mutex
	Packets []Packet
	damaged func(Packet) bool // what may have wrong checksums
}

// Packet is what tests look at of a captured frame.
type Packet struct {
	Ether    uint16
	From, To netip.AddrPort // for ICMP queries the identifier is the port of both
	Protocol model.Protocol
	Flags    byte // of TCP
	TTL      byte
	Size     int    // of the frame
	Checksum uint16 // of UDP
	Payload  string // of UDP, the first bytes
	Options  string // of IP
	outgoing bool
	Wrong    bool   // a checksum is
	Data     []byte // the first bytes of the frame
}

func Watch(t *testing.T, n *lab.Namespace, link string) *Capture {
	t.Helper()
	return WatchProtocol(t, n, link, unix.ETH_P_ALL)
}

// WatchProtocol captures as Watch does, but what the protocol itself gets: lab.CaptureProtocol.
func WatchProtocol(t *testing.T, n *lab.Namespace, link string, protocol uint16) *Capture {
	t.Helper()
	tap, err := lab.CaptureProtocol(n, link, protocol)
	Must(t, err)
	attrs, err := n.Link(link)
	Must(t, err)
	w := &Capture{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p := range tap.Packets() {
			err := tap.Verify(p)
			if !w.keep(p, attrs.EncapType == "ether", err != nil) && err != nil && !p.Outgoing { // what it sends itself is the test's business
				t.Errorf("%s in %s: %v: %x", link, n.Name, err, p.Data[:min(len(p.Data), 128)])
			}
		}
	}()
	t.Cleanup(func() {
		if lost, err := tap.Dropped(); err != nil || lost > 0 { // then what is said not to have come may have come
			t.Errorf("%s in %s: the capture lost %d packets, %v", link, n.Name, lost, err)
		}
		tap.Close()
		<-done
		w.checkLeaks(t)
	})
	return w
}

// ExpectWrong lets packets that match have wrong checksums.
func (w *Capture) ExpectWrong(match func(Packet) bool) {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.damaged = match
}

// keep reports whether the packet may be wrong.
func (w *Capture) keep(p lab.Packet, ethernet, wrong bool) bool {
	d := decode(p.Data, ethernet)
	d.outgoing, d.Wrong = p.Outgoing, wrong
	w.Mu.Lock()
	defer w.Mu.Unlock()
	w.Packets = append(w.Packets, d)
	return w.damaged != nil && w.damaged(d)
}

func decode(frame []byte, ethernet bool) Packet {
	d := Packet{Ether: EtherIPv4, Size: len(frame), Data: slices.Clone(frame[:min(len(frame), 320)])}
	ip := frame
	if ethernet {
		if len(frame) < 14 {
			return d
		}
		d.Ether, ip = binary.BigEndian.Uint16(frame[12:]), frame[14:]
	}
	if d.Ether == EtherIPv4 {
		d.DecodeIP(ip)
	}
	return d
}

func (d *Packet) DecodeIP(ip []byte) {
	if len(ip) < 20 || ip[0]>>4 != 4 || ip[0]&15 < 5 || len(ip) < int(ip[0]&15)*4+8 {
		return
	}
	l4 := ip[int(ip[0]&15)*4:]
	source, _ := netip.AddrFromSlice(ip[12:16])
	destination, _ := netip.AddrFromSlice(ip[16:20])
	var ports [2]uint16
	d.Protocol, d.TTL, d.Options = model.Protocol(ip[9]), ip[8], string(ip[20:int(ip[0]&15)*4])
	switch d.Protocol {
	case model.ICMP:
		ports[0] = binary.BigEndian.Uint16(l4[4:])
		ports[1] = ports[0]
	case model.TCP, model.UDP:
		ports = [2]uint16{binary.BigEndian.Uint16(l4), binary.BigEndian.Uint16(l4[2:])}
	}
	if d.Protocol == model.TCP && len(l4) >= 20 {
		d.Flags = l4[13]
	}
	if d.Protocol == model.UDP {
		d.Checksum = binary.BigEndian.Uint16(l4[6:])
		end := min(len(l4), max(8, int(binary.BigEndian.Uint16(l4[4:]))))
		d.Payload = string(l4[8:min(end, 40)])
	}
	d.From, d.To = netip.AddrPortFrom(source, ports[0]), netip.AddrPortFrom(destination, ports[1])
}

// Came returns what has come in on the link and matches.
func (w *Capture) Came(match func(Packet) bool) []Packet {
	return w.seen(func(p Packet) bool { return !p.outgoing && match(p) })
}

func (w *Capture) seen(match func(Packet) bool) []Packet {
	w.Mu.Lock()
	defer w.Mu.Unlock()
	var list []Packet
	for _, p := range w.Packets {
		if match(p) {
			list = append(list, p)
		}
	}
	return list
}

// Await waits until so many packets that match have come in, and returns them.
func (w *Capture) Await(t *testing.T, what string, count int, match func(Packet) bool) []Packet {
	t.Helper()
	var list []Packet
	Eventually(t, what, func() bool {
		list = w.Came(match)
		return len(list) >= count
	})
	return list
}

func (w *Capture) checkLeaks(t *testing.T) {
	if !w.Outside {
		return
	}
	inside := netip.MustParsePrefix("172.16.0.0/12")
	for _, p := range w.Came(func(Packet) bool { return true }) {
		quoted := Packet{}
		if p.Protocol == model.ICMP && len(p.Data) > 14+20+8+28 && slices.Contains([]byte{3, 4, 5, 11, 12}, p.Data[14+20]) {
			quoted.DecodeIP(p.Data[14+20+8:])
		}
		for _, a := range []netip.AddrPort{p.From, p.To, quoted.From, quoted.To} {
			if inside.Contains(a.Addr()) {
				t.Errorf("inside address %v shows outside: %x", a, p.Data)
			}
		}
	}
}

// Is matches packets of a protocol between two addresses with ports; what is
// not valid matches all.
func Is(p model.Protocol, from, to netip.AddrPort) func(Packet) bool {
	return func(got Packet) bool {
		return got.Protocol == p && (!from.IsValid() || got.From == from) && (!to.IsValid() || got.To == to)
	}
}

// Says matches UDP packets by their payload.
func Says(text string) func(Packet) bool {
	return func(got Packet) bool { return got.Protocol == model.UDP && got.Payload == text }
}
