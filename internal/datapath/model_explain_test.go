package datapath

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// TestExplainForLong is TestDryRun until HOSTNAT_EXPLAINED packets have been explained
// and then sent: seed after seed, as TestModelForLong.
func TestExplainForLong(t *testing.T) {
	want, err := strconv.Atoi(os.Getenv("HOSTNAT_EXPLAINED"))
	if err != nil {
		t.Skip("takes long: HOSTNAT_EXPLAINED=1000000")
	}
	seed, err := strconv.Atoi(os.Getenv("HOSTNAT_SEED"))
	if err != nil {
		seed = 1
	}
	w, count, differences := newDryTwin(t, 1000), newTally(), 0
	for ; w.explained < want && differences < longDifferences; seed++ {
		if !t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) { w.fromSeed(t, seed, count) }) {
			differences++
		}
		fmt.Printf("seed %d: %d differences; %v; %s\n", seed, differences, count, w.explainedText())
	}
}

// knows reports whether the model has the session that a dry run has found.
func (p *pairOf) knows(d *decision) bool {
	return d != nil && p.model.Sessions()[toKey(d.key)] != nil
}

// trialLike makes the trial that a packet would be, if explain can be asked of it: IPv4,
// whole, without options, from the inside or from outside.
func trialLike(a natmodel.Arrival) (t Trial, is bool) {
	const moreOrOffset = 0x3fff
	if len(a.Frame) < ethernetHeader+ipv4Header+8 || a.Hook == natmodel.ToOutside || a.Turns > 0 {
		return t, false
	}
	ip := a.Frame[ethernetHeader:]
	t.Protocol = model.Protocol(ip[9])
	if binary.BigEndian.Uint16(a.Frame[12:]) != 0x0800 || ip[0] != 0x45 || binary.BigEndian.Uint16(ip[6:])&moreOrOffset != 0 {
		return t, false
	}
	t.Entry = model.EntryEndpoint
	if a.Hook == natmodel.FromOutside {
		t.Entry = model.EntryOutside
	}
	l4 := ip[ipv4Header:]
	t.From, t.To = netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[12:16])), 0), netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[16:20])), 0)
	switch {
	case t.Protocol == model.TCP || t.Protocol == model.UDP:
		t.To = netip.AddrPortFrom(t.To.Addr(), binary.BigEndian.Uint16(l4[2:]))
	case t.Protocol != model.ICMP || l4[0] != 8: // echo requests alone
		return t, false
	}
	t.From, _ = addressesIn(a.Frame, t)
	return t, true
}

// explains compares what explain makes of a dry run with what has become of the packet.
func (d *decision) explains(a natmodel.Arrival, got ran, want natmodel.Result, known bool) string {
	t, _ := trialLike(a)
	f := d.fate
	verdict := model.VerdictSent
	switch want.Verdict {
	case natmodel.Passed, natmodel.ToSocket:
		verdict = model.VerdictLeft
	case natmodel.Dropped, natmodel.Answered:
		verdict = model.VerdictDropped
	}
	told := want.Verdict == natmodel.Answered && want.Reason != ""
	if want.Verdict == natmodel.Answered && !told {
		verdict = model.VerdictAnswered
	}
	if f.Verdict != verdict || f.Told != told || verdict == model.VerdictDropped && natmodel.Reason(f.Reason.String()) != want.Reason {
		return fmt.Sprintf("explained: %+v; it was %v, %q", *f, want.Verdict, want.Reason)
	}
	if verdict == model.VerdictDropped {
		return ""
	}
	from, to := t.From, t.To
	if verdict == model.VerdictSent {
		from, to = addressesIn(got.frame, t)
	}
	drawn := a.Choice.External.IsValid() && a.Hook != natmodel.FromOutside
	if f.To != to || f.From != from && !drawn || (f.From != t.From) != (from != t.From) {
		return fmt.Sprintf("explained: %v to %v; it went from %v to %v", f.From, f.To, from, to)
	}
	if (f.OutInterface != 0) != (want.Verdict == natmodel.Outward) {
		return fmt.Sprintf("explained: out of link %d; it was %v", f.OutInterface, want.Verdict)
	}
	if f.Session == model.SessionNone {
		return ""
	}
	if (f.Session == model.SessionKnown) != known {
		return fmt.Sprintf("explained: session %q; known before: %v", f.Session, known)
	}
	made := slices.ContainsFunc(want.Events, func(e natmodel.Event) bool { return e.ID == natmodel.BindingCreate && !e.Configured })
	if f.Session == model.SessionNew && f.Bound && (made || drawn) {
		return fmt.Sprintf("explained: external port %v is bound already; chosen %v", f.From, a.Choice.External)
	}
	return ""
}

// callsItself reports whether a frame goes on to the address that it was sent from.
func callsItself(frame, onward []byte) bool {
	const header = ethernetHeader + ipv4Header
	return len(frame) >= header && len(onward) >= header && bytes.Equal(frame[ethernetHeader+12:ethernetHeader+16], onward[ethernetHeader+16:header])
}

// withoutID is a frame without its identification, of which a dry run uses none up, and
// without the checksum of its header.
func withoutID(frame []byte) []byte {
	frame = slices.Clone(frame)
	if len(frame) >= ethernetHeader+ipv4Header {
		clear(frame[ethernetHeader+4 : ethernetHeader+6])
		clear(frame[ethernetHeader+10 : ethernetHeader+12])
	}
	return frame
}

// withoutSender is withoutID without the sender's address and port and the checksums.
func withoutSender(frame []byte) []byte {
	frame = withoutID(frame)
	if len(frame) < ethernetHeader+ipv4Header+8 {
		return frame
	}
	ip := frame[ethernetHeader:]
	clear(ip[12:16])
	l4 := ip[min(int(ip[0]&15)*4, len(ip)):]
	port, sum := 0, 16 // of TCP
	switch model.Protocol(ip[9]) {
	case model.UDP:
		sum = 6
	case model.ICMP:
		port, sum = 4, 2
	}
	for _, at := range []int{port, sum} {
		if at+2 <= len(l4) {
			clear(l4[at : at+2])
		}
	}
	return frame
}
