package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Owner is the alias (`ip link show`) of links that hostnat made.
const Owner = "hostnat"

// Link is a network link of the host at one moment.
type Link struct {
	Index        int
	Name         string
	Type         string // "veth", "bridge", "tuntap"...; "device" for hardware and loopback
	MAC          model.MAC
	MTU          int  // bytes
	Segment      int  // bytes that it takes of TCP over IPv4 in one piece (gso_ipv4_max_size); 0: the kernel does not know that (before 6.3)
	SegmentMax   int  // the most that it takes without cutting in software (tso_max_size)
	MasterIndex  int  // of the bridge or bond it is a port of; 0: none
	Up           bool // administratively
	Loopback     bool
	HasEthernet  bool // frames start with an Ethernet header
	Alias        string
	PeerIndex    int            // of a veth's other end (or a VLAN's parent), in the namespace PeerNSID; 0: none
	PeerNSID     int            // the kernel's id of that namespace; -1: the same one
	Isolated     bool           // a bridge's port that is kept from others that are (IsolatePort)
	Carrier      bool           // of a TAP: a program has it open
	VNetHdr      bool           // of a TAP: who has it open hands over large segments, and leaves checksums out (IFF_VNET_HDR)
	Addresses    []netip.Prefix // IPv4, host bits kept, in the kernel's order
	Lent         []netip.Prefix // those of Addresses that AdoptBridge added
	External     []netip.Prefix // those of Addresses that AddExternal added
	PointToPoint bool           // EnsurePointToPoint has changed it, and nobody has given it back
	Unrouted     []netip.Prefix // those of Addresses whose prefix the main routing table does not have
	Deprecated   []netip.Prefix // those of Addresses whose preferred lifetime is over
	Forwards     bool           // what comes in there may be forwarded (net.ipv4.conf.NAME.forwarding)
	Narrow       []netip.Prefix // those of Addresses that are known on the link or the host alone, by their scope
}

// Owned reports whether hostnat made the link.
func (l Link) Owned() bool { return l.Alias == Owner }

// IsIdleTAP reports whether it is a TAP that no program has open: whoever was behind it
// does not run.
func (l Link) IsIdleTAP() bool { return l.Type == "tuntap" && l.HasEthernet && !l.Carrier }

// WaitsToMove reports whether it is an end of a veth pair that still waits to be moved to
// where it is for, as a container engine makes one: both ends are here, and this one is
// down and has no address.
func (l Link) WaitsToMove() bool {
	return l.Type == "veth" && !l.Up && l.PeerIndex != 0 && l.PeerNSID == -1 && len(l.Addresses) == 0
}

// Hostnats reports whether the link is hostnat's alone: nothing that the host
// itself uses follows from it.
func (l Link) Hostnats() bool { return l.Owned() || l.Name == AnchorName || l.Name == ReassemblyLink }

// Links returns all links with their IPv4 addresses, ordered by index.
func Links(ctx context.Context) ([]Link, error) {
	links, err := readLinks(ctx, 0)
	if err != nil {
		return nil, fmt.Errorf("list links: %w", err)
	}
	addrs, err := Dump(ctx, func() ([]address, error) { return dumpAddresses(0) })
	if err != nil {
		return nil, fmt.Errorf("list addresses: %w", err)
	}
	byLink := make(map[int][]address)
	for _, a := range addrs {
		byLink[a.link] = append(byLink[a.link], a)
	}
	for i := range links {
		links[i].addAddresses(byLink[links[i].Index])
	}
	slices.SortFunc(links, func(a, b Link) int { return cmp.Compare(a.Index, b.Index) })
	return links, nil
}

func (l *Link) addAddresses(own []address) {
	for _, a := range own {
		l.Addresses = append(l.Addresses, a.prefix)
		if !a.routed {
			l.Unrouted = append(l.Unrouted, a.prefix)
		}
		if a.marked && !l.Owned() {
			l.Lent = append(l.Lent, a.prefix)
		}
		if a.external {
			l.External = append(l.External, a.prefix)
		}
		if a.deprecated {
			l.Deprecated = append(l.Deprecated, a.prefix)
		}
		if a.scope != unix.RT_SCOPE_UNIVERSE {
			l.Narrow = append(l.Narrow, a.prefix)
		}
	}
}

// DeleteLink removes a link that hostnat made. A link that is gone is fine; one
// that is somebody else's is a conflict.
func DeleteLink(name string) error {
	link, err := findLink(name)
	if err != nil || link == nil {
		return err
	}
	if link.Attrs().Alias != Owner {
		return model.Errorf(model.Conflict, "link %s was not made by hostnat and stays", name)
	}
	if err := netlink.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete link %s: %w", name, err)
	}
	return nil
}

// findLink returns nil if there is no link of that name.
func findLink(name string) (netlink.Link, error) {
	if err := sysctl.CheckLinkName(name); err != nil {
		return nil, err
	}
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("find link %s: %w", name, err)
	}
	return link, nil
}

func linkFrom(l netlink.Link) Link {
	a := l.Attrs()
	return Link{
		Index:        a.Index,
		Name:         a.Name,
		Type:         l.Type(),
		MAC:          model.MAC(a.HardwareAddr.String()),
		MTU:          a.MTU,
		MasterIndex:  a.MasterIndex,
		Up:           a.RawFlags&unix.IFF_UP != 0,
		Loopback:     a.RawFlags&unix.IFF_LOOPBACK != 0,
		HasEthernet:  a.EncapType == "ether",
		Alias:        a.Alias,
		PeerIndex:    a.ParentIndex,
		PeerNSID:     a.NetNsID,
		PointToPoint: wasOf(a.AltNames) != "",
	}
}
