package recording

import (
	"encoding/json"
	"net/netip"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// Version of the format. It changes when what an earlier reader knows means something else.
const Version = 1

// Line is one line of a file: one of its fields.
type Line struct {
	Begin         *Begin  `json:"begin,omitempty"`
	Configuration *string `json:"configuration,omitempty"`
	Host          *Host   `json:"host,omitempty"`
	Rows          *Rows   `json:"rows,omitempty"`
	Ready         *Ready  `json:"ready,omitempty"`
	Packet        *Packet `json:"packet,omitempty"`
	End           *End    `json:"end,omitempty"`
}

// Begin says what the file is.
type Begin struct {
	Format  string `json:"format"` // "hostnat recording"
	Version int    `json:"version"`
	Hostnat string `json:"hostnat"` // version of the program that wrote it
	Kernel  string `json:"kernel"`  // as uname -r says it
	Filter  string `json:"filter,omitempty"`
}

// Ready says when the tables had been read, and what the data path was told at that time.
type Ready struct {
	Time      time.Time       `json:"time"`
	Monotonic time.Duration   `json:"monotonic"` // the data path's clock
	Told      json.RawMessage `json:"told"`
}

// End says what is not in the file.
type End struct {
	Packets   int    `json:"packets"`
	Lost      uint64 `json:"lost,omitempty"`      // packets that came faster than they were read
	Meanwhile int    `json:"meanwhile,omitempty"` // packets that came while the tables were read: they may have changed some
	Changed   bool   `json:"changed,omitempty"`   // the data path was told something else before the end
	// Interrupted: who recorded has ended it, and the others are not known but Packets.
	Interrupted bool `json:"interrupted,omitempty"`
}

// Rows are elements of one table. A table may have several lines.
type Rows struct {
	Table  string      `json:"table"`
	Layout string      `json:"layout"` // a sum of names, places and sizes of the fields
	Room   uint32      `json:"room"`   // how many elements the table may have
	Rows   [][2][]byte `json:"rows"`   // keys and values as the kernel has them
}

// Host is what the data path asks its host for, of one network namespace.
type Host struct {
	Links     []Link     `json:"links"`
	Routes    []Route    `json:"routes"`
	Rules     []Rule     `json:"rules"`
	Listeners []Listener `json:"listeners"`
}

// Link is a network interface.
type Link struct {
	Index     int            `json:"index"`
	Name      string         `json:"name"`
	MAC       string         `json:"mac,omitempty"` // empty: it has no Ethernet header
	MTU       int            `json:"mtu"`
	Up        bool           `json:"up,omitempty"`
	Forwards  bool           `json:"forwards,omitempty"` // IPv4: routes are looked up from it
	Addresses []netip.Prefix `json:"addresses,omitempty"`
}

// Route is an IPv4 route with what the kernel takes into account.
type Route struct {
	Table    int          `json:"table"`
	To       netip.Prefix `json:"to"`
	Type     int          `json:"type"` // RTN_UNICAST is 1
	Scope    int          `json:"scope,omitempty"`
	Protocol int          `json:"protocol,omitempty"`
	Priority int          `json:"priority,omitempty"`
	TOS      int          `json:"tos,omitempty"`
	MTU      int          `json:"mtu,omitempty"`
	Source   netip.Addr   `json:"source,omitzero"`
	Hops     []Hop        `json:"hops,omitempty"`
}

// Hop is where a route leads; several share its flows.
type Hop struct {
	Link   int        `json:"link,omitempty"`
	Via    netip.Addr `json:"via,omitzero"`
	OnLink bool       `json:"onlink,omitempty"`
	Weight int        `json:"weight,omitempty"`
}

// Rule says which routing table counts.
type Rule struct {
	Priority int          `json:"priority"`
	Table    int          `json:"table"`
	From     netip.Prefix `json:"from,omitzero"`
	To       netip.Prefix `json:"to,omitzero"`
	In       string       `json:"in,omitempty"`
	Out      string       `json:"out,omitempty"`
	Mark     uint32       `json:"mark,omitempty"`
	Mask     uint32       `json:"mask,omitempty"`
	TOS      uint         `json:"tos,omitempty"`
	Invert   bool         `json:"invert,omitempty"`
}

// Listener is a socket of the host that takes what comes to a port, and has no remote.
type Listener struct {
	Protocol model.Protocol `json:"protocol"`
	Address  netip.AddrPort `json:"address"`
}

// Packet is a packet as it came to one of the data path's programs, and what became of it.
type Packet struct {
	Time        time.Time     `json:"time"`
	Program     string        `json:"program"`
	Interface   uint32        `json:"interface"`
	Link        string        `json:"link,omitempty"`
	NoEthernet  bool          `json:"noEthernet,omitempty"`
	Mark        uint32        `json:"mark,omitempty"`
	Segments    uint32        `json:"segments,omitempty"`    // that the kernel cuts it into; 0: it is one packet
	SegmentSize uint32        `json:"segmentSize,omitempty"` // bytes of payload in each of these
	Code        int32         `json:"code"`                  // the program's verdict as the kernel has it
	Verdict     model.Verdict `json:"verdict"`
	Reason      string        `json:"reason,omitempty"` // of a drop
	Told        bool          `json:"told,omitempty"`   // it was dropped, and what went on is an answer to its sender
	Endpoint    string        `json:"endpoint,omitempty"`
	Target      string        `json:"target,omitempty"`
	Session     *Session      `json:"session,omitempty"`
	CameLength  int           `json:"cameLength"` // bytes of the frame, as it came and as it went on
	Length      int           `json:"length"`
	Came        []byte        `json:"came"` // as much of these as was kept
	Went        []byte        `json:"went,omitempty"`
}

// Session is the session of a packet, as it was when the packet had been handled.
type Session struct {
	NAT      string         `json:"nat,omitempty"`
	Protocol model.Protocol `json:"protocol"`
	Internal netip.AddrPort `json:"internal"`
	External netip.AddrPort `json:"external"`
	Remote   netip.AddrPort `json:"remote"`
	State    string         `json:"state"`
}

// Recording is a whole file in memory.
type Recording struct {
	Begin         Begin
	Configuration string
	Host          Host
	Rows          []Rows
	Ready         Ready
	Packets       []Packet
	End           *End // nil: the file was cut off, or could not be written whole
}

// CountRows is how many rows of tables there are.
func (r *Recording) CountRows() (n int) {
	for i := range r.Rows {
		n += len(r.Rows[i].Rows)
	}
	return n
}

// Kept is how much of a packet is recorded: all that the data path reads and changes, and
// little of what it carries.
const Kept = 128

// PacketOf is what a file has of a captured packet.
func PacketOf(c *model.CapturedPacket) *Packet {
	p := &Packet{
		Time: c.Time, Program: c.Program, Interface: c.Interface, Link: c.Link, NoEthernet: !c.Ethernet, Mark: c.Mark,
		Segments: c.Segments, SegmentSize: c.SegmentSize, Code: c.Code, Verdict: c.Verdict, Reason: c.Reason, Told: c.Told,
		Endpoint: c.Endpoint, Target: c.Target, CameLength: c.CameLength, Length: c.Length,
		Came: c.Came[:min(len(c.Came), Kept)], Went: c.Went[:min(len(c.Went), Kept)],
	}
	if s := c.Session; s != nil {
		p.Session = &Session{NAT: s.NAT, Protocol: s.Protocol, Internal: s.Internal, External: s.External, Remote: s.Remote, State: s.State.String()}
	}
	return p
}

// Captured is the packet as a capture has it.
func (p *Packet) Captured() model.CapturedPacket {
	c := model.CapturedPacket{
		Time: p.Time, Program: p.Program, Interface: p.Interface, Link: p.Link, Ethernet: !p.NoEthernet, Mark: p.Mark,
		Segments: p.Segments, SegmentSize: p.SegmentSize, Code: p.Code, Verdict: p.Verdict, Reason: p.Reason, Told: p.Told,
		Endpoint: p.Endpoint, Target: p.Target, CameLength: p.CameLength, Length: p.Length, Came: p.Came, Went: p.Went,
	}
	if s := p.Session; s != nil {
		c.Session = &model.Session{NAT: s.NAT, Protocol: s.Protocol, Internal: s.Internal, External: s.External, Remote: s.Remote}
		_ = c.Session.State.UnmarshalText([]byte(s.State)) // a name that is not known is none
	}
	return c
}
