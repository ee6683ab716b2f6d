package host

import (
	"context"
	"net/netip"

	"github.com/hostnat/hostnat/internal/host/arp"
	"github.com/hostnat/hostnat/internal/model"
)

// AddExternal gives a link an address of a NAT, unless another machine on the
// wire has it: then the *model.Error, of code Conflict, names that one's MAC. The
// address is marked as hostnat's (Link.External), and the neighbours are told.
func AddExternal(ctx context.Context, name string, a netip.Addr) error {
	link, err := findLink(name)
	if err != nil {
		return err
	}
	if link == nil {
		return model.Errorf(model.NotFound, "interface %s does not exist", name).WithHint("'ip link' lists those that do")
	}
	wire, err := arp.Open(link)
	if err != nil {
		return err
	}
	defer wire.Close()
	if mac, taken, err := wire.Holder(ctx, a); err != nil {
		return err
	} else if taken {
		return model.Errorf(model.Conflict, "external address %s belongs to another machine on %s (MAC %s)", a, name, mac).
			WithHint("choose a free address, or end its use there")
	}
	if err := addMarkedAddress(link, netip.PrefixFrom(a, a.BitLen()), externalMark); err != nil {
		return err
	}
	return wire.Announce(a)
}

// RemoveExternal takes away an address that AddExternal added. A link or an
// address that is gone is fine, and one that is somebody else's stays.
func RemoveExternal(ctx context.Context, name string, prefix netip.Prefix) error {
	return takeAddress(ctx, name, func(a address) bool { return a.external && a.prefix == prefix })
}

// Holder asks on a link of the host who has an address (RFC 5227 section 2.1.1).
// Nobody is found on a link that is not there or cannot be asked.
func Holder(ctx context.Context, name string, a netip.Addr) (model.MAC, bool, error) {
	link, err := findLink(name)
	if err != nil || link == nil {
		return "", false, err
	}
	wire, err := arp.Open(link)
	if err != nil {
		return "", false, err
	}
	defer wire.Close()
	mac, taken, err := wire.Holder(ctx, a)
	return model.MAC(mac.String()), taken, err
}
