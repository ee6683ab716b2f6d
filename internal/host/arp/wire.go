package arp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// How an address is asked for. RFC 5227 section 1.1 probes three times within
// up to seven seconds, for wireless and bridged nets that come up at that
// moment. Ours are up, and a person waits: answers come within milliseconds.
const (
	probes     = 3
	probeSpace = 150 * time.Millisecond
)

var broadcastMAC = net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Wire sends and receives ARP on a link. The zero value is of a link without
// ARP: nobody answers there.
type Wire struct {
	conn   *packet.Conn
	mac    net.HardwareAddr
	probes int           // how often an address is asked for,
	space  time.Duration // with this between them, and after the last
}

// Open opens a link that is up and has ARP; of another, the wire is empty.
func Open(link netlink.Link) (*Wire, error) {
	a := link.Attrs()
	if a.EncapType != "ether" || len(a.HardwareAddr) != 6 || a.RawFlags&unix.IFF_UP == 0 || a.RawFlags&unix.IFF_NOARP != 0 {
		return &Wire{}, nil
	}
	conn, err := packet.Listen(&net.Interface{Index: a.Index, MTU: a.MTU, Name: a.Name, HardwareAddr: a.HardwareAddr}, packet.Datagram, unix.ETH_P_ARP, nil)
	if err != nil {
		return nil, fmt.Errorf("open %s for ARP: %w", a.Name, err)
	}
	return &Wire{conn: conn, mac: a.HardwareAddr, probes: probes, space: probeSpace}, nil
}

// AddressHolder asks on a bridge of ours who has an address, and waits for 80 ms:
// machines there are on this host, and a DHCP client waits for its offer. A bridge
// that cannot be asked has nobody.
func AddressHolder(ctx context.Context, bridge int, a netip.Addr) (model.MAC, bool) {
	link, err := netlink.LinkByIndex(bridge)
	if err != nil {
		return "", false
	}
	wire, err := Open(link)
	if err != nil {
		return "", false
	}
	defer wire.Close()
	wire.probes, wire.space = 2, 40*time.Millisecond
	mac, taken, err := wire.Holder(ctx, a)
	return model.MAC(mac.String()), taken && err == nil
}

// Close ends listening.
func (w *Wire) Close() {
	if w.conn != nil {
		_ = w.conn.Close()
	}
}

// Holder probes for an address and returns who has it, if anybody does.
func (w *Wire) Holder(ctx context.Context, a netip.Addr) (mac net.HardwareAddr, taken bool, err error) {
	if w.conn == nil {
		return nil, false, nil
	}
	for range w.probes {
		// A sender address of 0 leaves the neighbours' caches alone (RFC 5227 section 2.1.1).
		if err := w.request(netip.IPv4Unspecified(), a); err != nil {
			return nil, false, err
		}
		if mac, taken, err = w.listen(ctx, a); taken || err != nil {
			return mac, taken, err
		}
	}
	return nil, false, ctx.Err()
}

// Announce tells the neighbours who has the address now (RFC 5227 section 2.3),
// so that one that remembers its last holder forgets that.
func (w *Wire) Announce(a netip.Addr) error {
	if w.conn == nil {
		return nil
	}
	return w.request(a, a)
}

func (w *Wire) request(sender, target netip.Addr) error {
	m := message{operation: opRequest, senderMAC: w.mac, sender: sender, targetMAC: make(net.HardwareAddr, 6), target: target}
	if _, err := w.conn.WriteTo(m.marshal(), &packet.Addr{HardwareAddr: broadcastMAC}); err != nil {
		return fmt.Errorf("ask by ARP who has %s: %w", target, err)
	}
	return nil
}

// listen waits for one probe's answer.
func (w *Wire) listen(ctx context.Context, a netip.Addr) (net.HardwareAddr, bool, error) {
	deadline := time.Now().Add(w.space)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if err := w.conn.SetReadDeadline(deadline); err != nil {
		return nil, false, fmt.Errorf("listen for ARP: %w", err)
	}
	buf := make([]byte, 1500)
	for {
		n, _, err := w.conn.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, false, nil
		}
		if err != nil {
			return nil, false, fmt.Errorf("listen for ARP: %w", err)
		}
		if m, ok := parse(buf[:n]); ok && m.claims(a, w.mac) {
			return m.senderMAC, true, nil
		}
	}
}
