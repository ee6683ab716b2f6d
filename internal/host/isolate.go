package host

import (
	"context"
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// IsolatedPorts returns which ports of bridges, by index, are kept from sending
// to other such ports of their bridge.
func IsolatedPorts(ctx context.Context) (map[int]bool, error) {
	ports, err := dump(ctx, dumpIsolated)
	if err != nil {
		return nil, fmt.Errorf("list isolated ports: %w", err)
	}
	return ports, nil
}

func dumpIsolated() (map[int]bool, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_BRIDGE))
	messages, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	ports := make(map[int]bool)
	for _, m := range messages {
		index, isolated, err := parseIsolated(m)
		if err != nil {
			return nil, err
		}
		if isolated {
			ports[index] = true
		}
	}
	return ports, nil
}

func parseIsolated(message []byte) (index int, isolated bool, err error) {
	if len(message) < unix.SizeofIfInfomsg {
		return 0, false, nil
	}
	head := nl.DeserializeIfInfomsg(message)
	attrs, err := nl.ParseRouteAttr(message[unix.SizeofIfInfomsg:])
	for _, a := range attrs {
		if err != nil || a.Attr.Type&^unix.NLA_F_NESTED != unix.IFLA_PROTINFO || a.Attr.Type&unix.NLA_F_NESTED == 0 {
			continue // of the bridge itself, or a failure
		}
		settings, nested := nl.ParseRouteAttr(a.Value)
		err = nested
		for _, s := range settings {
			isolated = isolated || s.Attr.Type == nl.IFLA_BRPORT_ISOLATED && len(s.Value) > 0 && s.Value[0] != 0
		}
	}
	if err != nil {
		return 0, false, fmt.Errorf("parse bridge port: %w", err)
	}
	return int(head.Index), isolated, nil
}

// IsolatePort keeps a bridge's port from sending to the others that are kept so,
// or lets it. The bridge itself it reaches always. The kernel announces even a
// change that is none.
func IsolatePort(index int, isolated bool) error {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("find port %d: %w", index, err)
	}
	return onLink("isolate", link, netlink.LinkSetIsolated(link, isolated))
}
