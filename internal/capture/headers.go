package capture

import (
	"net/netip"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// Headers is what the headers of a frame say, as far as a filter looks at them.
type Headers struct {
	EtherType          uint16 // 0x0800: IPv4
	Protocol           uint8  // of IP; 0: none that is known
	From, To           netip.Addr
	FromPort, ToPort   uint16
	HasPorts           bool // it is TCP or UDP, and no later fragment
	TCPFlags           uint8
	ICMPType, ICMPCode uint8
	HasICMP            bool
	ICMPID             uint16 // of an echo
	Identification     uint16 // of an IPv4 header
}

// Reader reads headers. It keeps memory for the next frame, so each goroutine needs one
// of its own.
type Reader struct {
	ethernet layers.Ethernet
	vlan     layers.Dot1Q
	arp      layers.ARP
	ip4      layers.IPv4
	ip6      layers.IPv6
	tcp      layers.TCP
	udp      layers.UDP
	icmp4    layers.ICMPv4
	icmp6    layers.ICMPv6
	frames   *gopacket.DecodingLayerParser
	packets  *gopacket.DecodingLayerParser // of links without Ethernet
	decoded  []gopacket.LayerType
}

// NewReader returns a reader.
func NewReader() *Reader {
	r := &Reader{}
	r.frames, r.packets = r.parser(layers.LayerTypeEthernet), r.parser(layers.LayerTypeIPv4)
	return r
}

func (r *Reader) parser(first gopacket.LayerType) *gopacket.DecodingLayerParser {
	p := gopacket.NewDecodingLayerParser(first, &r.ethernet, &r.vlan, &r.arp, &r.ip4, &r.ip6, &r.tcp, &r.udp, &r.icmp4, &r.icmp6)
	p.IgnoreUnsupported = true
	return p
}

// Read reads a frame, or a packet that begins with its IP header. What is damaged or
// cut off is left out.
func (r *Reader) Read(bytes []byte, ethernet bool) Headers {
	h := Headers{EtherType: uint16(layers.EthernetTypeIPv4)}
	parser := r.packets
	if ethernet {
		parser, h.EtherType = r.frames, 0
	}
	_ = parser.DecodeLayers(bytes, &r.decoded) // what it has understood is in decoded
	for _, layer := range r.decoded {
		r.take(&h, layer)
	}
	return h
}

func (r *Reader) take(h *Headers, layer gopacket.LayerType) {
	switch layer {
	case layers.LayerTypeEthernet:
		h.EtherType = uint16(r.ethernet.EthernetType)
	case layers.LayerTypeDot1Q:
		h.EtherType = uint16(r.vlan.Type)
	case layers.LayerTypeARP:
		h.From, _ = netip.AddrFromSlice(r.arp.SourceProtAddress)
		h.To, _ = netip.AddrFromSlice(r.arp.DstProtAddress)
	case layers.LayerTypeIPv4:
		h.Protocol, h.Identification = uint8(r.ip4.Protocol), r.ip4.Id
		h.From, _ = netip.AddrFromSlice(r.ip4.SrcIP)
		h.To, _ = netip.AddrFromSlice(r.ip4.DstIP)
	case layers.LayerTypeIPv6:
		h.Protocol = uint8(r.ip6.NextHeader)
		h.From, _ = netip.AddrFromSlice(r.ip6.SrcIP)
		h.To, _ = netip.AddrFromSlice(r.ip6.DstIP)
	case layers.LayerTypeTCP:
		h.FromPort, h.ToPort, h.HasPorts = uint16(r.tcp.SrcPort), uint16(r.tcp.DstPort), true
		h.TCPFlags = flagsOf(&r.tcp)
	case layers.LayerTypeUDP:
		h.FromPort, h.ToPort, h.HasPorts = uint16(r.udp.SrcPort), uint16(r.udp.DstPort), true
	case layers.LayerTypeICMPv4:
		h.ICMPType, h.ICMPCode, h.HasICMP, h.ICMPID = r.icmp4.TypeCode.Type(), r.icmp4.TypeCode.Code(), true, r.icmp4.Id
	}
}

// tcpFlags are the names of TCP's flags, from the lowest bit on (RFC 9293 section 3.1).
var tcpFlags = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr"}

func flagsOf(t *layers.TCP) (bits uint8) {
	for i, set := range []bool{t.FIN, t.SYN, t.RST, t.PSH, t.ACK, t.URG, t.ECE, t.CWR} {
		if set {
			bits |= 1 << i
		}
	}
	return bits
}
