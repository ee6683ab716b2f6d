package dhcp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"

	"github.com/hostnat/hostnat/internal/model"
)

// request is a client's message, checked and in our own values.
//
// A client is known by its card alone. RFC 2131 section 2 takes the client
// identifier; but the boot ROM, the installer and the system of one machine have
// different ones, and clones of one VM have the same (RFC 4361 section 4.1).
type request struct {
	message  *dhcpv4.DHCPv4
	kind     dhcpv4.MessageType
	mac      model.MAC  // what the client is known by
	id       string     // option 61 in hexadecimal; "" if there is none, or it only repeats the MAC; for people alone
	hostname string     // one label in lower case, or ""
	wanted   netip.Addr // option 50
	server   netip.Addr // option 54
	current  netip.Addr // ciaddr: what the client has and uses
	mtu      int        // bytes that its port of the bridge takes; 0: not known
}

// parse reads a client's message. The error says why it is ignored.
func parse(payload []byte) (*request, error) {
	m, err := dhcpv4.FromBytes(payload)
	if err != nil {
		return nil, fmt.Errorf("malformed: %w", err)
	}
	r := &request{message: m, kind: m.MessageType(), current: address(m.ClientIPAddr)}
	switch {
	case m.OpCode != dhcpv4.OpcodeBootRequest:
		return nil, fmt.Errorf("not a request")
	case m.HWType != iana.HWTypeEthernet || len(m.ClientHWAddr) != 6:
		return nil, fmt.Errorf("not from Ethernet")
	case r.kind == dhcpv4.MessageTypeNone:
		return nil, fmt.Errorf("BOOTP without DHCP")
	// Nobody may speak for others: a network is one link, where relays have no place.
	case address(m.GatewayIPAddr).IsValid() || m.Options.Has(dhcpv4.OptionRelayAgentInformation):
		return nil, fmt.Errorf("relayed")
	}
	if r.mac, err = model.ParseMAC(m.ClientHWAddr.String()); err != nil {
		return nil, err
	}
	r.id = clientID(m)
	r.hostname = hostname(m)
	r.wanted = address(m.RequestedIPAddress())
	r.server = address(m.ServerIdentifier())
	return r, nil
}

// maxClientID is how much of a client identifier is kept, in bytes.
const maxClientID = 64

func clientID(m *dhcpv4.DHCPv4) string {
	id := m.Options.Get(dhcpv4.OptionClientIdentifier)
	// Type 1, Ethernet, and the MAC: says nothing new.
	if len(id) == 0 || id[0] == byte(iana.HWTypeEthernet) && bytes.Equal(id[1:], m.ClientHWAddr) {
		return ""
	}
	return hex.EncodeToString(id[:min(len(id), maxClientID)])
}

// hostname is what the client calls itself: option 12, or else the client's
// FQDN, option 81 (RFC 4702 section 2.1).
func hostname(m *dhcpv4.DHCPv4) string {
	if name := model.HostLabel(text(m.Options.Get(dhcpv4.OptionHostName))); name != "" {
		return name
	}
	const flags, encoded = 3, 0x04
	fqdn := m.Options.Get(dhcpv4.OptionFQDN)
	if len(fqdn) <= flags {
		return ""
	}
	name := fqdn[flags:]
	if fqdn[0]&encoded != 0 { // the first label, with its length before it
		if int(name[0]) >= len(name) {
			return ""
		}
		name = name[1 : 1+int(name[0])]
	}
	return model.HostLabel(text(name))
}

// text ends at the first zero byte, which some clients send along.
func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}

// address converts; 0.0.0.0 and what is no IPv4 address are not valid.
func address(ip net.IP) netip.Addr {
	a, ok := netip.AddrFromSlice(ip.To4())
	if !ok || a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}
