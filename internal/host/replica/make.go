package replica

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hostnat/hostnat/internal/host"
	"github.com/hostnat/hostnat/internal/host/sysctl"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/recording"
)

// mostLinks is how many a recording may ask for: more than any host has.
const mostLinks = 1 << 16

// Inside makes a network namespace that looks like h and calls fn in it, on a thread that
// ends afterwards, and with it the namespace. missing is what could not be made there, in
// words: what depends on that comes out differently. Nobody else sees the namespace.
func Inside(h recording.Host, fn func(missing []string) error) error {
	var err error
	host.OnLastThread(func() { err = inside(h, fn) })
	return err
}

func inside(h recording.Host, fn func(missing []string) error) error {
	if len(h.Links) > mostLinks {
		return model.Errorf(model.Invalid, "the recording has %d links, more than any host", len(h.Links))
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if errors.Is(err, unix.EPERM) {
			return model.Errorf(model.Denied, "a network namespace cannot be made without root").WithHint("run it as root; the host's own network is not touched")
		}
		return fmt.Errorf("making a network namespace: %w", err)
	}
	m := maker{}
	defer m.close()
	m.links(h.Links)
	m.rules(h.Rules)
	m.routes(h.Routes)
	m.listeners(h.Listeners)
	return fn(m.missing)
}

type maker struct {
	missing []string
	sockets []io.Closer
}

func (m *maker) close() {
	for _, s := range m.sockets {
		_ = s.Close()
	}
}

// note notes what could not be made, unless there are very many already.
func (m *maker) note(err error, format string, args ...any) {
	const most = 20
	if err != nil && len(m.missing) < most {
		m.missing = append(m.missing, fmt.Sprintf(format, args...)+": "+err.Error())
	}
}

// links makes bridges, whatever the links were: nothing comes by them, and a bridge may have
// any number.
func (m *maker) links(all []recording.Link) {
	for _, l := range all {
		m.note(m.link(l), "link %s", l.Name)
	}
	for _, l := range all { // the setting of all links is the first to be read, and writes to the others
		if !l.Forwards {
			continue
		}
		m.note(sysctl.Set(sysctl.OfLink("ipv4", l.Name, "forwarding"), "1"), "forwarding from link %s", l.Name)
	}
}

func (m *maker) link(l recording.Link) error {
	if err := sysctl.CheckLinkName(l.Name); err != nil {
		return err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Index, attrs.Name = l.Index, l.Name
	made := netlink.Link(&netlink.Bridge{LinkAttrs: attrs})
	if l.Index == 1 {
		attrs.Name = "lo"
		made = &netlink.Device{LinkAttrs: attrs}
	} else if err := netlink.LinkAdd(made); err != nil {
		return err
	}
	if mac, err := net.ParseMAC(l.MAC); err == nil && l.Index != 1 {
		if err := netlink.LinkSetHardwareAddr(made, mac); err != nil {
			return fmt.Errorf("MAC %s: %w", l.MAC, err)
		}
	}
	if l.MTU > 0 {
		if err := netlink.LinkSetMTU(made, l.MTU); err != nil {
			return fmt.Errorf("MTU %d: %w", l.MTU, err)
		}
	}
	if err := sysctl.Set(sysctl.OfLink("ipv4", attrs.Name, "forwarding"), "0"); err != nil {
		return err
	}
	if l.Up {
		if err := netlink.LinkSetUp(made); err != nil {
			return err
		}
	}
	for _, a := range l.Addresses {
		if l.Index == 1 && a.Addr().IsLoopback() {
			continue // is there already
		}
		if err := netlink.AddrAdd(made, &netlink.Addr{IPNet: netOf(a)}); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("address %v: %w", a, err)
		}
	}
	return nil
}

func (m *maker) rules(all []recording.Rule) {
	for _, r := range all {
		const local, main, byDefault = 0, 32766, 32767
		if r.Priority == local || r.Priority == main || r.Priority == byDefault { // each namespace has these
			continue
		}
		rule := netlink.NewRule()
		rule.Family, rule.Priority, rule.Table, rule.IifName, rule.OifName = netlink.FAMILY_V4, r.Priority, r.Table, r.In, r.Out
		rule.Tos, rule.Invert, rule.Mark = r.TOS, r.Invert, r.Mark
		if r.Mask != 0 {
			rule.Mask = &r.Mask
		}
		if r.From.IsValid() {
			rule.Src = netOf(r.From)
		}
		if r.To.IsValid() {
			rule.Dst = netOf(r.To)
		}
		m.note(netlink.RuleAdd(rule), "routing rule %d", r.Priority)
	}
}

// routes adds those first that need no other: a next hop has to be on a link.
func (m *maker) routes(all []recording.Route) {
	for _, direct := range []bool{true, false} {
		for _, r := range all {
			viaNobody := len(r.Hops) == 0 || len(r.Hops) == 1 && !r.Hops[0].Via.IsValid()
			if viaNobody == direct {
				m.note(netlink.RouteReplace(routeTo(r)), "route to %v", r.To)
			}
		}
	}
}

func routeTo(r recording.Route) *netlink.Route {
	out := &netlink.Route{
		Family: netlink.FAMILY_V4, Table: r.Table, Dst: netOf(r.To), Type: r.Type, Scope: netlink.Scope(r.Scope),
		Protocol: netlink.RouteProtocol(r.Protocol), Priority: r.Priority, Tos: r.TOS, MTU: r.MTU, Src: ipOf(r.Source),
	}
	var hops []*netlink.NexthopInfo
	for _, h := range r.Hops {
		hop := &netlink.NexthopInfo{LinkIndex: h.Link, Hops: h.Weight}
		if h.Via.Is4() {
			hop.Gw = ipOf(h.Via)
		} else if h.Via.IsValid() {
			hop.Via = &netlink.Via{AddrFamily: unix.AF_INET6, Addr: ipOf(h.Via)}
		}
		if h.OnLink {
			hop.Flags = unix.RTNH_F_ONLINK
		}
		hops = append(hops, hop)
	}
	if len(hops) == 1 {
		out.LinkIndex, out.Gw, out.Via, out.Flags = hops[0].LinkIndex, hops[0].Gw, hops[0].Via, hops[0].Flags
	} else {
		out.MultiPath = hops
	}
	return out
}

// listeners are sockets that nobody reads from.
func (m *maker) listeners(all []recording.Listener) {
	for _, l := range all {
		fd, err := listen(l)
		m.note(err, "listener on %v", l.Address)
		if err == nil {
			m.sockets = append(m.sockets, fd)
		}
	}
}

type socket int

func (s socket) Close() error { return unix.Close(int(s)) }

func listen(l recording.Listener) (io.Closer, error) {
	kind := unix.SOCK_DGRAM
	if l.Protocol == model.TCP {
		kind = unix.SOCK_STREAM
	}
	family, to := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(l.Address.Port()), Addr: l.Address.Addr().As16()})
	if l.Address.Addr().Is4() {
		family, to = unix.AF_INET, &unix.SockaddrInet4{Port: int(l.Address.Port()), Addr: l.Address.Addr().As4()}
	}
	fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1), unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1), unix.Bind(fd, to))
	if err == nil && kind == unix.SOCK_STREAM {
		err = unix.Listen(fd, syscall.SOMAXCONN)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, err
	}
	return socket(fd), nil
}

func netOf(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: ipOf(p.Addr()), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func ipOf(a netip.Addr) net.IP {
	if !a.IsValid() {
		return nil
	}
	return a.AsSlice()
}
