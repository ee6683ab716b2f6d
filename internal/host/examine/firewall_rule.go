package examine

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/google/nftables/xt"
	"golang.org/x/sys/unix"
)

// loaded is what a register of the rule's machine holds at the moment.
type loaded int

const (
	loadedUnknown loaded = iota
	loadedIn
	loadedOut
	loadedProtocol
	loadedFamily
	loadedSource
	loadedDestination
	loadedPort
	loadedState
)

// ruleReader goes through a rule's expressions, which load a register and then
// compare it.
type ruleReader struct {
	rule Rule
	has  loaded // whichever register: rules use one at a time
	bits int    // of the loaded address that are compared
	mask uint32 // of the loaded state
}

func ruleFrom(expressions []expr.Any) Rule {
	r := ruleReader{}
	for _, e := range expressions {
		r.read(e)
	}
	return r.rule
}

func (r *ruleReader) read(e expr.Any) {
	switch e := e.(type) {
	case *expr.Meta:
		r.has = metaLoads[e.Key]
	case *expr.Payload:
		r.payload(e)
	case *expr.Bitwise:
		r.masked(e.Mask)
	case *expr.Ct:
		r.has = loadedUnknown
		if e.Key == expr.CtKeySTATE {
			r.has, r.mask = loadedState, ^uint32(0)
		}
	case *expr.Cmp:
		r.compare(e)
	case *expr.Match:
		r.extension(e)
	case *expr.Target:
		r.rule.Does = xtTargets[e.Name]
	case *expr.Masq:
		r.rule.Does = "masquerade"
	case *expr.Redir:
		r.rule.Does = "dnat"
	case *expr.NAT:
		r.rule.Does = "snat"
		if e.Type == expr.NATTypeDestNAT {
			r.rule.Does = "dnat"
		}
	case *expr.Reject:
		r.rule.Does = "drop"
	case *expr.Verdict:
		r.rule.Does, r.rule.Target = verdicts[e.Kind], e.Chain
	case *expr.Lookup, *expr.Range, *expr.Fib, *expr.Limit, *expr.Exthdr, *expr.Connlimit, *expr.Socket, *expr.Numgen, *expr.Hash, *expr.Quota:
		r.rule.Match.Unknown = true
	}
}

var metaLoads = map[expr.MetaKey]loaded{
	expr.MetaKeyIIFNAME: loadedIn, expr.MetaKeyOIFNAME: loadedOut, expr.MetaKeyL4PROTO: loadedProtocol, expr.MetaKeyNFPROTO: loadedFamily,
}

var xtTargets = map[string]string{"MASQUERADE": "masquerade", "SNAT": "snat", "DNAT": "dnat", "REDIRECT": "dnat", "REJECT": "drop", "DROP": "drop", "ACCEPT": "accept"}

var verdicts = map[expr.VerdictKind]string{
	expr.VerdictAccept: "accept", expr.VerdictDrop: "drop", expr.VerdictJump: "jump", expr.VerdictGoto: "goto", expr.VerdictReturn: "return",
}

// payload: offsets are of the IPv4 header (RFC 791 section 3.1) and of TCP's
// and UDP's ports.
func (r *ruleReader) payload(e *expr.Payload) {
	r.has = loadedUnknown
	switch {
	case e.Base == expr.PayloadBaseNetworkHeader && e.Offset == 12 && e.Len <= 4:
		r.has, r.bits = loadedSource, int(e.Len)*8
	case e.Base == expr.PayloadBaseNetworkHeader && e.Offset == 16 && e.Len <= 4:
		r.has, r.bits = loadedDestination, int(e.Len)*8
	case e.Base == expr.PayloadBaseNetworkHeader && e.Offset == 9 && e.Len == 1:
		r.has = loadedProtocol
	case e.Base == expr.PayloadBaseTransportHeader && e.Offset == 2 && e.Len == 2:
		r.has = loadedPort
	}
}

func (r *ruleReader) masked(mask []byte) {
	n, isPrefix := maskBits(mask)
	switch {
	case r.has == loadedState && len(mask) == 4:
		r.mask = binary.NativeEndian.Uint32(mask)
	case isPrefix && (r.has == loadedSource || r.has == loadedDestination):
		r.bits = n
	default:
		r.has = loadedUnknown
	}
}

func (r *ruleReader) compare(e *expr.Cmp) {
	m := &r.rule.Match
	equal, not := e.Op == expr.CmpOpEq, e.Op == expr.CmpOpNeq
	if !equal && !not {
		m.Unknown = true
		return
	}
	switch {
	case r.has == loadedIn:
		m.In = linkMatch(e.Data, not)
	case r.has == loadedOut:
		m.Out = linkMatch(e.Data, not)
	case r.has == loadedSource:
		m.Source = r.prefixMatch(e.Data, not)
	case r.has == loadedDestination:
		m.Destination = r.prefixMatch(e.Data, not)
	case r.has == loadedProtocol && equal && len(e.Data) > 0:
		m.Protocol = e.Data[0]
	case r.has == loadedFamily && equal && len(e.Data) > 0:
		m.Never = m.Never || e.Data[0] != unix.NFPROTO_IPV4
	case r.has == loadedPort && equal && len(e.Data) == 2:
		port := binary.BigEndian.Uint16(e.Data)
		m.Ports = PortMatch{port, port}
	case r.has == loadedState:
		m.Never = m.Never || !r.asksForNew(e)
	default:
		m.Unknown = true
	}
}

// asksForNew reports whether the state of a connection's first packet passes
// "ct state", which is a mask and "not 0", or one state.
func (r *ruleReader) asksForNew(e *expr.Cmp) bool {
	const stateNew = 1 << 3 // NF_CT_STATE_BIT(IP_CT_NEW) of nf_conntrack_common.h
	if len(e.Data) != 4 {
		return true
	}
	value := binary.NativeEndian.Uint32(e.Data)
	return (stateNew&r.mask == value) == (e.Op == expr.CmpOpEq)
}

// extension reads a match of iptables-nft.
func (r *ruleReader) extension(e *expr.Match) {
	m := &r.rule.Match
	switch info := e.Info.(type) {
	case *xt.Comment:
	case *xt.Tcp:
		m.Protocol = unix.IPPROTO_TCP
		m.setPorts(info.DstPorts, info.SrcPorts != [2]uint16{0, 0xffff} || info.InvFlags != 0)
	case *xt.Udp:
		m.Protocol = unix.IPPROTO_UDP
		m.setPorts(info.DstPorts, info.SrcPorts != [2]uint16{0, 0xffff} || info.InvFlags != 0)
	case *xt.ConntrackMtinfo3:
		m.conntrack(info.StateMask, info.MatchFlags, info.InvertFlags)
	case *xt.ConntrackMtinfo2:
		m.conntrack(info.StateMask, info.MatchFlags, info.InvertFlags)
	default:
		m.Unknown = m.Unknown || e.Name != "comment"
	}
}

func (m *Match) setPorts(ports [2]uint16, more bool) {
	if ports != [2]uint16{0, 0xffff} {
		m.Ports = PortMatch{ports[0], ports[1]}
	}
	m.Unknown = m.Unknown || more
}

// conntrack: the states of xt_conntrack.h, XT_CONNTRACK_STATE_BIT(IP_CT_NEW).
func (m *Match) conntrack(states, match, invert uint16) {
	const stateNew = 1 << 3
	if match != uint16(xt.ConntrackState) {
		m.Unknown = true
		return
	}
	hasNew := states&stateNew != 0
	if invert&uint16(xt.ConntrackState) != 0 {
		hasNew = !hasNew
	}
	m.Never = m.Never || !hasNew
}

// linkMatch: a name that ends with its zero byte is whole, one that does not is
// how names begin ("veth*").
func linkMatch(data []byte, not bool) LinkMatch {
	name, _, whole := bytes.Cut(data, []byte{0})
	return LinkMatch{Name: strings.TrimSuffix(string(name), "+"), Begins: !whole, Not: not}
}

func (r *ruleReader) prefixMatch(data []byte, not bool) PrefixMatch {
	var b [4]byte
	copy(b[:], data)
	return PrefixMatch{Prefix: netip.PrefixFrom(netip.AddrFrom4(b), r.bits).Masked(), Not: not}
}

// maskBits returns the length of a mask that a prefix can have.
func maskBits(mask []byte) (int, bool) {
	if len(mask) != 4 {
		return 0, false
	}
	v := binary.BigEndian.Uint32(mask)
	n := bits.LeadingZeros32(^v)
	return n, v<<n == 0
}
