package event

import "fmt"

// Packet is one that was translated, forwarded, or left to the host.
type Packet struct {
	ID             uint64 // its own; the events of one packet have the same
	Program        string // that had it: "inside_ingress"
	Link           string // at which it was
	Out            string // the endpoint that it goes to, or "outside"; empty: not known
	Came, Went     Side
	FromOutside    bool
	Identification uint16 // of its IP header
}

// Side is what a packet is on one side of the NAT.
type Side struct {
	From, To           string // A or A:PORT
	EtherType          uint16 // 0x0800: IPv4
	Protocol           uint8  // of IP; 0: not known
	TCPFlags           uint8
	HasICMP            bool
	ICMPType, ICMPCode uint8
	Length             int    // of the frame, bytes
	Text               string // "udp 172.16.1.2:40000 → 198.51.100.7:53"
}

// message is in WinNAT's words, as far as they go.
func (p *Packet) message(e Event) string {
	switch e.ID {
	case Translation:
		icmp := ""
		if p.Came.HasICMP {
			icmp = fmt.Sprintf(", ICMP type %d, code %d", p.Came.ICMPType, p.Came.ICMPCode)
		}
		return fmt.Sprintf("Translating packet from %s to %s into %s to %s, identification %d%s.",
			p.Came.From, p.Came.To, p.Went.From, p.Went.To, p.Identification, icmp)
	case ForwardedPacket:
		return fmt.Sprintf("Forwarded packet %s of %d bytes from %s to %s.", p.Went.Text, p.Went.Length, p.Link, p.out())
	}
	return fmt.Sprintf("Skipped packet %s of %d bytes at %s.", p.Came.Text, p.Came.Length, p.Link)
}

func (p *Packet) short(e Event) string {
	switch e.ID {
	case Translation:
		return fmt.Sprintf("translated: %s as %s → %s", p.Came.Text, p.Went.From, p.Went.To)
	case ForwardedPacket:
		return fmt.Sprintf("forwarded: %s, %d bytes, %s → %s", p.Went.Text, p.Went.Length, p.Link, p.out())
	}
	return fmt.Sprintf("left to the host: %s, %d bytes, at %s", p.Came.Text, p.Came.Length, p.Link)
}

func (p *Packet) out() string {
	if p.Out == "" {
		return "another link"
	}
	return p.Out
}
