package capture

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hostnat/hostnat/internal/model"
)

// Comment says what became of a packet, and of whom it was: "sent; from c1; session tcp
// 172.16.1.2:40000 203.0.113.1:4711 198.51.100.7:443 established; nat default".
func Comment(p *model.CapturedPacket) string {
	text := append(make([]byte, 0, 192), p.Verdict...) // a capture of everything makes many of these
	if p.Verdict == model.VerdictDropped {
		text = append(append(text, ": "...), p.Reason...)
		if p.Told {
			text = append(text, ", its sender was told"...)
		}
	}
	if p.Endpoint != "" {
		text = append(append(text, "; from "...), p.Endpoint...)
	}
	s := p.Session
	if s == nil {
		return string(text)
	}
	if s.Endpoint != "" && s.Endpoint != p.Endpoint {
		text = append(append(text, "; of "...), s.Endpoint...)
	}
	if p.Target != "" {
		text = append(append(text, "; to "...), p.Target...)
	}
	text = append(append(text, "; session "...), s.Protocol.String()...)
	for _, end := range []netip.AddrPort{s.Internal, s.External, s.Remote} {
		text = end.AppendTo(append(text, ' '))
	}
	if s.Protocol == model.TCP {
		text = append(append(text, ' '), s.State.String()...)
	}
	return string(append(append(text, "; nat "...), s.NAT...))
}

// Sides reads a packet's headers on both sides of the NAT.
func (r *Reader) Sides(p *model.CapturedPacket) (came, went Headers) {
	return r.Read(p.Came, p.Ethernet), r.Read(p.Went, p.WentEthernet())
}

// Short says it in a line, with both sides of the NAT as Sides has read them.
func Short(p *model.CapturedPacket, came, went Headers) string {
	before, after := sideText(came), sideText(went)
	line := fmt.Sprintf("%s %s %d bytes", p.Link, before, p.CameLength)
	if p.Verdict == model.VerdictSent && after != before {
		line += " as " + after
	}
	return line + "  " + Comment(p)
}

// Ends are the packet's addresses, with its ports if it has any.
func (h Headers) Ends() (from, to string) {
	if h.HasPorts {
		return netip.AddrPortFrom(h.From, h.FromPort).String(), netip.AddrPortFrom(h.To, h.ToPort).String()
	}
	return h.From.String(), h.To.String()
}

// Text is "tcp 172.16.1.2:40000 → 93.184.216.34:443 [syn]".
func (h Headers) Text() string { return sideText(h) }

func sideText(h Headers) string {
	if !h.From.IsValid() {
		return fmt.Sprintf("type 0x%04x", h.EtherType)
	}
	from, to := h.Ends()
	text := fmt.Sprintf("%s %s → %s", protocolText(h), from, to)
	if h.Protocol == 6 && h.HasPorts {
		text += " " + flagText(h.TCPFlags)
	}
	return text
}

func protocolText(h Headers) string {
	switch {
	case h.EtherType == arp[0]:
		return "arp"
	case h.HasICMP:
		return fmt.Sprintf("icmp %d/%d", h.ICMPType, h.ICMPCode)
	}
	for name, p := range protocols {
		if p.protocol != 0 && p.protocol == h.Protocol {
			return name
		}
	}
	return fmt.Sprintf("protocol %d", h.Protocol)
}

func flagText(bits uint8) string {
	var list []string
	for i, name := range tcpFlags {
		if bits&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	return "[" + strings.Join(list, ",") + "]"
}
