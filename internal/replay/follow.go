package replay

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/datapath/rerun"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
	"github.com/hostnat/hostnat/internal/recording"
)

// follower has the model go beside the programs.
type follower struct {
	*world
	model *natmodel.Model
	stale bool                         // the tables may hold what the model does not know
	odd   map[natmodel.BindingKey]bool // external ends of which the tables have a part
}

// prepare has the model know what the tables hold, if something has happened that it did
// not follow. It is called before the programs get the packet.
func (f *follower) prepare(o *kernel.Objects, at time.Duration) error {
	if f.off != "" || !f.stale && f.model != nil {
		return nil
	}
	state, err := stateOf(o, at)
	if err != nil {
		return fmt.Errorf("reading the tables for the model: %w", err)
	}
	if f.model == nil {
		f.model = natmodel.New(f.config)
	}
	f.odd = make(map[natmodel.BindingKey]bool)
	for _, at := range f.model.Restore(state) {
		f.odd[at] = true
	}
	f.stale = false
	return nil
}

// step gives the model the packet, with what the programs chose, and says in what the two
// differ; why says why it does not follow.
func (f *follower) step(p *recording.Packet, frame []byte, got *rerun.Outcome, at time.Duration) (want natmodel.Result, list []string, why string) {
	if f.off != "" {
		return want, nil, f.off
	}
	a, why := f.arrival(p, frame)
	if why == "" {
		why = f.beyond(got)
	}
	if why != "" {
		f.stale = true
		return want, nil, why
	}
	a.Choice = f.choice(got)
	want, problem := f.model.Step(a, at)
	if problem != nil {
		return want, []string{"choice: " + problem.Error()}, ""
	}
	if want.Verdict == natmodel.ToSocket { // which sockets there are it does not know
		f.stale = true
		return want, nil, "transparent sockets"
	}
	return want, f.compare(p, want, got), ""
}

// beyond names what a packet has to do with that the model leaves out.
func (f *follower) beyond(got *rerun.Outcome) string {
	s := got.Session
	if s == nil {
		return ""
	}
	if f.odd[natmodel.BindingKey{Protocol: s.Protocol, External: s.External}] {
		return "flows of which only a part was read from the tables"
	}
	for _, n := range f.told.Networks {
		if s.Remote.Addr() == n.Gateway {
			return "the host's own connections"
		}
	}
	if n := f.told.NATs[s.NAT]; n.Table != 0 {
		return "NATs with a routing table of their own"
	}
	return ""
}

// choice is what the programs chose where the model has no rule: a new session's external
// port, and the identification of a datagram.
func (f *follower) choice(got *rerun.Outcome) (c natmodel.Choice) {
	if len(got.Went) > idAt+2 {
		c.FragmentID = binary.BigEndian.Uint16(got.Went[idAt:])
	}
	if got.Session == nil {
		return c
	}
	for key, s := range f.model.Sessions() {
		if s.External == got.Session.External && key.Protocol == got.Session.Protocol {
			return c // it has that already
		}
	}
	if _, bound := f.model.Bindings()[natmodel.BindingKey{Protocol: got.Session.Protocol, External: got.Session.External}]; !bound {
		c.External = got.Session.External
	}
	return c
}

// The programs' verdicts, as the kernel has them.
const (
	next     = -1
	drop     = 2
	redirect = 7
)

func (f *follower) compare(p *recording.Packet, want natmodel.Result, got *rerun.Outcome) (list []string) {
	code := int32(redirect)
	switch want.Verdict {
	case natmodel.Passed:
		code = next
	case natmodel.Dropped:
		code = drop
	}
	if code != got.Code {
		list = append(list, fmt.Sprintf("verdict: the model has %v (%d), the programs %d", want.Verdict, code, got.Code))
	}
	reason := natmodel.Reason("")
	if got.Verdict == model.VerdictDropped {
		reason = natmodel.Reason(got.Reason.String())
	}
	if want.Reason != reason {
		list = append(list, fmt.Sprintf("reason: the model has %q, the programs %q", want.Reason, reason))
	}
	if len(list) == 0 && want.Verdict != natmodel.Dropped && !f.isClamped(p, got) {
		a, b := want.Frame[:min(len(want.Frame), len(got.Went))], got.Went
		if a, b = alikeNow(p, a, b); !bytes.Equal(a, b) {
			list = append(list, fmt.Sprintf("packet: the model has %x, the programs %x", a, b))
		}
	}
	if len(list) == 0 && got.Session != nil {
		list = f.compareSession(got)
	}
	return list
}

// isClamped reports whether the programs may have lowered the segment size in a SYN, which the
// model leaves as it is.
func (f *follower) isClamped(p *recording.Packet, got *rerun.Outcome) bool {
	const flags, syn = 13, 2
	if len(p.Came) < header+40 || model.Protocol(p.Came[protocolAt]) != model.TCP || sumAt(p.Came) == 0 {
		return false
	}
	l4 := header + int(p.Came[header]&15)*4
	return l4+flags < len(p.Came) && p.Came[l4+flags]&syn != 0 && got.Session != nil && f.told.NATs[got.Session.NAT].MSSClamp
}

// alikeNow is alike for two frames that were both made from the packet that was run.
func alikeNow(p *recording.Packet, a, b []byte) ([]byte, []byte) {
	n := min(len(a), len(b))
	a, b = slices.Clone(a[:n]), slices.Clone(b[:n])
	if p.Told && p.CameLength > len(p.Came) && n > header+20 {
		blank(a, b, sumAt(a))
	}
	return a, b
}

func (f *follower) compareSession(got *rerun.Outcome) []string {
	for key, s := range f.model.Sessions() {
		if key.Protocol == got.Session.Protocol && key.Internal == got.Session.Internal && key.Remote == got.Session.Remote &&
			s.NAT == got.Session.NAT && key.Compartment == got.Session.Compartment {
			if s.External == got.Session.External && s.State == got.Session.State {
				return nil
			}
			return []string{fmt.Sprintf("session: the model has %v %v, the programs %v %v", s.External, s.State, got.Session.External, got.Session.State)}
		}
	}
	return []string{fmt.Sprintf("session: the model has none, the programs %v %v %v", got.Session.Internal, got.Session.External, got.Session.Remote)}
}
