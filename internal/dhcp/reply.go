package dhcp

import (
	"cmp"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/rfc1035label"

	"github.com/hostnat/hostnat/internal/model"
)

// reply makes an OFFER or ACK of address a; not valid: the answer to an INFORM.
func (s *Scope) reply(r *request, kind dhcpv4.MessageType, a netip.Addr) Outcome {
	m, err := dhcpv4.NewReplyFromRequest(r.message,
		dhcpv4.WithMessageType(kind), dhcpv4.WithServerIP(s.Gateway.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(s.Gateway.AsSlice())))
	if err != nil { // no random number for a transaction id that is replaced anyway
		return Outcome{Why: err.Error()}
	}
	m.ClientIPAddr = net.IPv4zero
	if r.kind == dhcpv4.MessageTypeRequest || r.kind == dhcpv4.MessageTypeInform {
		m.ClientIPAddr = r.message.ClientIPAddr // table 3 of RFC 2131
	}
	if a.IsValid() {
		m.YourIPAddr = a.AsSlice()
		lease := s.Lease.Duration()
		m.UpdateOption(dhcpv4.OptIPAddressLeaseTime(lease))
		renew, rebind := s.times(lease)
		m.UpdateOption(dhcpv4.OptRenewTimeValue(renew))
		m.UpdateOption(dhcpv4.OptRebindingTimeValue(rebind))
	}
	s.options(r, m)
	return Outcome{Reply: m, To: destination(r, a)}
}

// When a client of a network that may move asks whether it may keep its address:
// so that it has one of the new subnet within 10 s. The former gateway does not
// answer ARP any more, so dhclient asks in vain once and by broadcast 5 s later.
// The lease stays long, since clients keep their addresses while the daemon is away.
const (
	soonRenew  = 2 * time.Second
	soonRebind = 4 * time.Second
)

// times are when a client of such a lease asks its server again (T1), and when
// anybody (T2): section 4.4.5's defaults, unless that is too late. A client that
// is told need not guess.
func (s *Scope) times(lease time.Duration) (renew, rebind time.Duration) {
	renew, rebind = lease/2, lease*7/8
	if s.Moves {
		renew, rebind = min(renew, soonRenew), min(rebind, soonRebind)
	}
	return renew.Truncate(time.Second), rebind.Truncate(time.Second)
}

// nak tells a client that it cannot have its address. It goes to everybody,
// since the client's address is not to be relied on (section 4.3.2).
func (s *Scope) nak(r *request, why string) Outcome {
	m, err := dhcpv4.NewReplyFromRequest(r.message,
		dhcpv4.WithMessageType(dhcpv4.MessageTypeNak),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(s.Gateway.AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptMessage(why)))
	if err != nil {
		return Outcome{Why: err.Error()}
	}
	m.ClientIPAddr = net.IPv4zero
	return Outcome{Reply: m, To: broadcast, Why: why}
}

// destination is where a reply goes (section 4.1): the address that the client
// uses, or everybody if it asked for that, or the address that it gets, which
// it does not answer ARP for yet.
func destination(r *request, a netip.Addr) netip.Addr {
	switch {
	case r.current.IsValid():
		return r.current
	case r.message.IsBroadcast() || !a.IsValid():
		return broadcast
	}
	return a
}

// options adds what the client asks for, of what there is; all of it if it
// does not say (section 3.5).
func (s *Scope) options(r *request, m *dhcpv4.DHCPv4) {
	gateway := net.IP(s.Gateway.AsSlice())
	m.UpdateOption(dhcpv4.OptSubnetMask(net.CIDRMask(s.Subnet.Bits(), 32)))
	m.UpdateOption(dhcpv4.OptBroadcastAddress(model.LastAddress(s.Subnet).AsSlice()))
	m.UpdateOption(dhcpv4.OptRouter(gateway))
	if s.DNS {
		m.UpdateOption(dhcpv4.OptDNS(gateway))
	}
	m.UpdateOption(dhcpv4.OptDomainName(s.Domain))
	m.UpdateOption(dhcpv4.OptDomainSearch(&rfc1035label.Labels{Labels: []string{s.Domain}}))
	if name := s.hostname(r); name != "" {
		m.UpdateOption(dhcpv4.OptHostName(name))
	}
	if mtu := s.mtuOf(r); mtu >= minOptionMTU {
		m.UpdateOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, []byte{byte(mtu >> 8), byte(mtu)}))
	}
	if len(s.NTP) > 0 {
		m.UpdateOption(dhcpv4.OptNTPServers(ips(s.NTP)...))
	}
	s.boot(m)
	if len(s.Routes) > 0 {
		m.UpdateOption(dhcpv4.OptClasslessStaticRoute(s.routes()...))
	}
	for code := range m.Options {
		if !needed[code] && !r.message.IsOptionRequested(dhcpv4.GenericOptionCode(code)) {
			delete(m.Options, code)
		}
	}
}

// boot tells a machine that boots from the network where the file is: in the fields of
// BOOTP (RFC 951 section 3), as far as they hold it, and as options.
func (s *Scope) boot(m *dhcpv4.DHCPv4) {
	server := s.PXE.ServerName
	if s.PXE.NextServer.IsValid() {
		m.ServerIPAddr = s.PXE.NextServer.AsSlice()
		server = cmp.Or(server, s.PXE.NextServer.String())
	}
	if server != "" {
		m.UpdateOption(dhcpv4.OptTFTPServerName(server))
	}
	if len(server) <= maxSname {
		m.ServerHostName = server
	}
	if s.PXE.BootFile == "" {
		return
	}
	m.UpdateOption(dhcpv4.OptBootFileName(s.PXE.BootFile))
	if len(s.PXE.BootFile) <= maxFile {
		m.BootFileName = s.PXE.BootFile
	}
}

// What the fields sname and file hold, in bytes, before the zero at their end.
const maxSname, maxFile = 63, 127

// mtuOf is what the client is told: not more than its port takes, since the bridge
// drops larger frames for it and tells nobody. A TAP has 1500 bytes unless somebody
// has set more.
func (s *Scope) mtuOf(r *request) int {
	if r.mtu == 0 {
		return s.MTU
	}
	return min(s.MTU, r.mtu)
}

// minOptionMTU is the least that option 26 can say (RFC 2132 section 5.1).
const minOptionMTU = 68

// needed are options that go into a reply unasked.
var needed = map[uint8]bool{
	dhcpv4.OptionSubnetMask.Code():         true,
	dhcpv4.OptionDHCPMessageType.Code():    true,
	dhcpv4.OptionServerIdentifier.Code():   true,
	dhcpv4.OptionIPAddressLeaseTime.Code(): true,
	dhcpv4.OptionRenewTimeValue.Code():     true,
	dhcpv4.OptionRebindingTimeValue.Code(): true,
	dhcpv4.OptionClientIdentifier.Code():   true, // RFC 6842 section 3
}

// hostname is what the client is told to call itself: the endpoint's name, or
// what it says itself.
func (s *Scope) hostname(r *request) string {
	if f, own := s.own(r); own && f.hostname != "" {
		return f.hostname
	}
	return r.hostname
}

// routes are those of option 121. A client that heeds it ignores option 3, so
// the default route is among them (RFC 3442).
func (s *Scope) routes() []*dhcpv4.Route {
	list := []*dhcpv4.Route{{Dest: &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, Router: s.Gateway.AsSlice()}}
	for _, r := range s.Routes {
		list = append(list, &dhcpv4.Route{
			Dest:   &net.IPNet{IP: r.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(r.Prefix.Bits(), 32)},
			Router: r.Via.AsSlice(),
		})
	}
	return list
}

func ips(list []netip.Addr) []net.IP {
	out := make([]net.IP, len(list))
	for i, a := range list {
		out[i] = a.AsSlice()
	}
	return out
}
