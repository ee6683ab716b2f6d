package datapath

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/hostnat/hostnat/dev/lab"
	"github.com/hostnat/hostnat/internal/model"
)

// wire is a capture of one link in both directions. Every packet that came in
// from the host must have right checksums, and none that came to an outside may
// have an inside address, quoted ones included.
type wire struct {
	outside bool

	mu      sync.Mutex
	packets []packet
	damaged func(packet) bool // what may have wrong checksums
}

// packet is what tests look at of a captured frame.
type packet struct {
	ether    uint16
	from, to netip.AddrPort // for ICMP queries the identifier is the port of both
	protocol model.Protocol
	flags    byte // of TCP
	ttl      byte
	size     int    // of the frame
	checksum uint16 // of UDP
	payload  string // of UDP, the first bytes
	options  string // of IP
	outgoing bool
	wrong    bool   // a checksum is
	data     []byte // the first bytes of the frame
}

func watch(t *testing.T, n *lab.Namespace, link string) *wire {
	t.Helper()
	tap, err := lab.Capture(n, link)
	must(t, err)
	attrs, err := n.Link(link)
	must(t, err)
	w := &wire{}
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

// expectWrong lets packets that match have wrong checksums.
func (w *wire) expectWrong(match func(packet) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.damaged = match
}

// keep reports whether the packet may be wrong.
func (w *wire) keep(p lab.Packet, ethernet, wrong bool) bool {
	d := decode(p.Data, ethernet)
	d.outgoing, d.wrong = p.Outgoing, wrong
	w.mu.Lock()
	defer w.mu.Unlock()
	w.packets = append(w.packets, d)
	return w.damaged != nil && w.damaged(d)
}

func decode(frame []byte, ethernet bool) packet {
	d := packet{ether: etherIPv4, size: len(frame), data: slices.Clone(frame[:min(len(frame), 320)])}
	ip := frame
	if ethernet {
		if len(frame) < 14 {
			return d
		}
		d.ether, ip = binary.BigEndian.Uint16(frame[12:]), frame[14:]
	}
	if d.ether == etherIPv4 {
		d.decodeIP(ip)
	}
	return d
}

func (d *packet) decodeIP(ip []byte) {
	if len(ip) < 20 || ip[0]>>4 != 4 || ip[0]&15 < 5 || len(ip) < int(ip[0]&15)*4+8 {
		return
	}
	l4 := ip[int(ip[0]&15)*4:]
	source, _ := netip.AddrFromSlice(ip[12:16])
	destination, _ := netip.AddrFromSlice(ip[16:20])
	var ports [2]uint16
	d.protocol, d.ttl, d.options = model.Protocol(ip[9]), ip[8], string(ip[20:int(ip[0]&15)*4])
	switch d.protocol {
	case model.ICMP:
		ports[0] = binary.BigEndian.Uint16(l4[4:])
		ports[1] = ports[0]
	case model.TCP, model.UDP:
		ports = [2]uint16{binary.BigEndian.Uint16(l4), binary.BigEndian.Uint16(l4[2:])}
	}
	if d.protocol == model.TCP && len(l4) >= 20 {
		d.flags = l4[13]
	}
	if d.protocol == model.UDP {
		d.checksum = binary.BigEndian.Uint16(l4[6:])
		end := min(len(l4), max(8, int(binary.BigEndian.Uint16(l4[4:]))))
		d.payload = string(l4[8:min(end, 40)])
	}
	d.from, d.to = netip.AddrPortFrom(source, ports[0]), netip.AddrPortFrom(destination, ports[1])
}

// came returns what has come in on the link and matches.
func (w *wire) came(match func(packet) bool) []packet {
	return w.seen(func(p packet) bool { return !p.outgoing && match(p) })
}

func (w *wire) seen(match func(packet) bool) []packet {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []packet
	for _, p := range w.packets {
		if match(p) {
			list = append(list, p)
		}
	}
	return list
}

// await waits until so many packets that match have come in, and returns them.
func (w *wire) await(t *testing.T, what string, count int, match func(packet) bool) []packet {
	t.Helper()
	var list []packet
	eventually(t, what, func() bool {
		list = w.came(match)
		return len(list) >= count
	})
	return list
}

func (w *wire) checkLeaks(t *testing.T) {
	if !w.outside {
		return
	}
	inside := netip.MustParsePrefix("172.16.0.0/12")
	for _, p := range w.came(func(packet) bool { return true }) {
		quoted := packet{}
		if p.protocol == model.ICMP && len(p.data) > 14+20+8+28 && slices.Contains([]byte{3, 4, 5, 11, 12}, p.data[14+20]) {
			quoted.decodeIP(p.data[14+20+8:])
		}
		for _, a := range []netip.AddrPort{p.from, p.to, quoted.from, quoted.to} {
			if inside.Contains(a.Addr()) {
				t.Errorf("inside address %v shows outside: %x", a, p.data)
			}
		}
	}
}

// is matches packets of a protocol between two addresses with ports; what is
// not valid matches all.
func is(p model.Protocol, from, to netip.AddrPort) func(packet) bool {
	return func(got packet) bool {
		return got.protocol == p && (!from.IsValid() || got.from == from) && (!to.IsValid() || got.to == to)
	}
}

// says matches UDP packets by their payload.
func says(text string) func(packet) bool {
	return func(got packet) bool { return got.protocol == model.UDP && got.payload == text }
}
