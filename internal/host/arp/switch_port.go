package arp

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// SwitchPort is a bridge's port that can carry frames.
type SwitchPort struct {
	Index        int
	Name, Bridge string
	BridgeMAC    net.HardwareAddr
}

// SwitchPorts are the ports of the host's bridges. The zero value is ready.
type SwitchPorts struct{}

// At returns a port by its interface index. A link that is gone, that is no
// bridge's port any more, that is down or has nobody at its other end is none.
func (SwitchPorts) At(index uint32) (SwitchPort, bool) {
	link, err := netlink.LinkByIndex(int(index))
	if err != nil {
		return SwitchPort{}, false
	}
	a := link.Attrs()
	if a.MasterIndex == 0 || a.RawFlags&unix.IFF_UP == 0 || a.RawFlags&unix.IFF_LOWER_UP == 0 {
		return SwitchPort{}, false
	}
	bridge, err := netlink.LinkByIndex(a.MasterIndex)
	if err != nil {
		return SwitchPort{}, false
	}
	return SwitchPort{Index: a.Index, Name: a.Name, Bridge: bridge.Attrs().Name, BridgeMAC: bridge.Attrs().HardwareAddr}, true
}

// Ask sends an ARP probe for an address to one MAC out of a port (RFC 5227
// section 2.1.1: the sender's address is 0, so that nobody learns from it). The
// answer goes to the bridge.
func (SwitchPorts) Ask(_ context.Context, port SwitchPort, mac model.MAC, a netip.Addr) error {
	to, err := net.ParseMAC(string(mac))
	if err != nil {
		return fmt.Errorf("ask %s: %w", mac, err)
	}
	conn, err := packet.Listen(&net.Interface{Index: port.Index, Name: port.Name}, packet.Raw, 0, nil)
	if err != nil {
		return fmt.Errorf("open %s for ARP: %w", port.Name, err)
	}
	defer conn.Close()
	probe := message{
		operation: opRequest, senderMAC: port.BridgeMAC, sender: netip.IPv4Unspecified(),
		targetMAC: make(net.HardwareAddr, 6), target: a,
	}
	frame := append(append(append([]byte{}, to...), port.BridgeMAC...), unix.ETH_P_ARP>>8, unix.ETH_P_ARP&0xff)
	if _, err := conn.WriteTo(append(frame, probe.marshal()...), &packet.Addr{HardwareAddr: to}); err != nil {
		return fmt.Errorf("ask %s at %s for %s: %w", mac, port.Name, a, err)
	}
	return nil
}
