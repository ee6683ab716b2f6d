package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// History is what failed since a time.
type History struct {
	Since    time.Time
	Failures []Failure            // the latest first
	Drops    []model.Drop         // the latest first
	Ended    []model.EndedSession // the latest first
}

// Failure is what failed for one cause, between the same two parties.
type Failure struct {
	Outcome     Outcome
	Reason      string // of drops
	Count       uint64 // packets that were dropped, or sessions
	First, Last time.Time
	Network     string
	Endpoint    string // whose flow it was; empty: none that is known
	What        string // "c1 → 93.184.216.34:443 (tcp)"
	Meaning     string
	Remedies    []Remedy
}

// Outcome is how a flow came to its end.
type Outcome string

// The outcomes. Those from Closed on are no failures.
const (
	Dropped      Outcome = "dropped"       // packets, with a reason
	Unanswered   Outcome = "unanswered"    // by the party that it was opened to
	Refused      Outcome = "refused"       // by that party
	Reset        Outcome = "reset"         // by one of the two
	Stalled      Outcome = "stalled"       // after its handshake: large packets were sent, and nothing came back
	Idle         Outcome = "idle"          // an open connection of which nothing was heard for its timeout
	ByHand       Outcome = "by-hand"       // session delete
	Changed      Outcome = "configuration" // its mapping, endpoint, network or NAT
	AddressLost  Outcome = "address-lost"
	RouteChanged Outcome = "route-changed"
	NoMemory     Outcome = "no-memory"
	Closed       Outcome = "closed" // by both parties, or a conversation without connection that was over
)

// answerTime is how long an answer may take before a session that is still there
// counts as unanswered.
const answerTime = 2 * time.Second

// OutcomeOf says how a session came to its end.
func OutcomeOf(s model.EndedSession) Outcome {
	switch s.Cause {
	case model.EndByHand:
		return ByHand
	case model.EndConfiguration:
		return Changed
	case model.EndAddressLost:
		return AddressLost
	case model.EndRouteChanged:
		return RouteChanged
	case model.EndNoMemory:
		return NoMemory
	case model.EndPressure, model.EndTakenOver:
		return Closed
	}
	if stalled(s) {
		return Stalled
	}
	switch s.State {
	case model.StateBothFIN:
		return Closed
	case model.StateTimeWait:
		return Reset
	case model.StateEstablished, model.StateInternalFIN, model.StateExternalFIN:
		return Idle
	}
	answers := s.PacketsIn
	if s.FromOutside {
		answers = s.PacketsOut
	}
	switch {
	case answers == 0:
		return Unanswered
	case s.Protocol == model.TCP:
		return Refused // the answer to its SYN was none that opens a connection
	}
	return Closed
}

// stalled reports whether large packets of an open connection got no answer, though its
// handshake did: after it at most a greeting came from outside, or an opener's question.
func stalled(s model.EndedSession) bool {
	const sizeable = 1000 // bytes, the mean of what follows a handshake of two packets of at most 60 bytes
	answers := uint64(2)
	if s.FromOutside {
		answers = 3
	}
	if s.Protocol != model.TCP || s.PacketsIn > answers || s.PacketsIn == 0 || s.PacketsOut < 5 || s.BytesOut < 2*60 {
		return false
	}
	switch s.State {
	case model.StateEstablished, model.StateInternalFIN, model.StateTimeWait:
		return (s.BytesOut-2*60)/(s.PacketsOut-2) >= sizeable
	}
	return false
}

// Review finds what failed since a time.
type Review struct {
	world    World
	since    time.Time
	selected model.Selection
	now      time.Time
	failures failures
}

// NewReview begins one: of what is selected alone.
func NewReview(w World, since time.Time, selected model.Selection, now time.Time) *Review {
	return &Review{world: w, since: since, selected: selected, now: now, failures: failures{world: w, byKey: make(map[failureKey]*Failure)}}
}

// Live takes a session that is there now: one that waits for an answer is a failure
// too.
func (r *Review) Live(s model.Session) {
	if !r.selected.Session(&s) {
		return
	}
	ended := model.EndedSession{Session: s, EndedAt: r.now, FromOutside: s.State == model.StateExternalSYN}
	switch {
	case waits(s, r.now):
		r.failures.session(ended, Unanswered)
	case r.now.Sub(s.CreatedAt) >= answerTime && stalled(ended):
		r.failures.session(ended, Stalled)
	}
}

// History is what failed, of a recording and of the sessions that Live has had.
func (r *Review) History(recording model.Recording) History {
	h := History{Since: r.since}
	for _, d := range recording.Drops {
		d.Target = r.world.targetOf(d)
		if r.selected.Drop(&d) {
			h.Drops = append(h.Drops, d)
		}
	}
	for _, s := range recording.Ended {
		if r.selected.Session(&s.Session) {
			h.Ended = append(h.Ended, s)
		}
	}
	slices.SortFunc(h.Drops, func(a, b model.Drop) int { return b.Last.Compare(a.Last) })
	slices.SortFunc(h.Ended, func(a, b model.EndedSession) int { return b.EndedAt.Compare(a.EndedAt) })
	for _, d := range h.Drops {
		r.failures.drop(d)
	}
	for _, s := range h.Ended {
		r.failures.session(s, OutcomeOf(s))
	}
	h.Failures = r.failures.list()
	return h
}

// waits reports whether a session is a connection that nobody has answered yet.
func waits(s model.Session, now time.Time) bool {
	if now.Sub(s.CreatedAt) < answerTime {
		return false
	}
	return s.State == model.StateInternalSYN && s.PacketsIn == 0 || s.State == model.StateExternalSYN && s.PacketsOut == 0
}

// targetOf is the endpoint that a mapping leads a packet from outside to.
func (w World) targetOf(d model.Drop) string {
	if !d.FromOutside || !d.To.IsValid() {
		return ""
	}
	m, found := w.mappingAt(trialOf(d))
	if !found {
		return ""
	}
	for _, t := range m.Targets {
		for _, e := range w.Config.Endpoints {
			if e.Network == t.Network && e.Address4() == t.Internal.Address {
				return e.Name
			}
		}
	}
	return ""
}

func trialOf(d model.Drop) model.Trial {
	t := model.Trial{Protocol: model.Protocol(d.Protocol), From: d.From, To: d.To, Entry: model.EntryEndpoint, Link: d.Link}
	if d.FromOutside {
		t.Entry = model.EntryOutside
	}
	return t
}

// failureKey is what failures of one kind have in common.
type failureKey struct {
	outcome          Outcome
	reason           string
	network          string
	inside           netip.Addr
	endpoint, sender string // sender: a MAC, where there is no address
	fromOutside      bool
	other            netip.AddrPort // where the flow went; from outside without the sender's port
	protocol         uint8
	link             string
}

type failures struct {
	world World
	byKey map[failureKey]*Failure
}

func (f *failures) add(key failureKey, count uint64, first, last time.Time, make func() Failure) {
	have := f.byKey[key]
	if have == nil {
		made := make()
		made.Outcome, made.Reason, made.Network, made.Endpoint = key.outcome, key.reason, key.network, key.endpoint
		made.First, made.Last = first, last
		have = &made
		f.byKey[key] = have
	}
	have.Count += count
	if first.Before(have.First) {
		have.First = first
	}
	if last.After(have.Last) {
		have.Last = last
	}
}

func (f *failures) list() []Failure {
	list := make([]Failure, 0, len(f.byKey))
	for _, v := range f.byKey {
		list = append(list, *v)
	}
	slices.SortFunc(list, func(a, b Failure) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.What, b.What), cmp.Compare(a.Reason, b.Reason))
	})
	return list
}

func (f *failures) drop(d model.Drop) {
	key := failureKey{
		outcome: Dropped, reason: d.Reason, network: d.Network, endpoint: cmp.Or(d.Endpoint, d.Target),
		fromOutside: d.FromOutside, inside: d.From.Addr(), other: d.To, protocol: d.Protocol, link: d.Link,
	}
	if !d.From.IsValid() {
		key.sender = string(d.MAC)
	}
	f.add(key, uint64(d.Packets), d.First, d.Last, func() Failure {
		made := Failure{What: d.Text()}
		r, known := event.ParseReason(d.Reason)
		if known {
			made.Meaning = r.Describe()
		}
		if d.From.IsValid() {
			t := trialOf(d)
			made.Remedies = f.world.remedies(t, model.Fate{
				Program: d.Program, Link: d.Link, NAT: f.world.natNameOf(d.Network), Network: d.Network, Endpoint: d.Endpoint,
				Verdict: model.VerdictDropped, Reason: d.Reason, From: d.From, To: d.To,
			})
		}
		return made
	})
}

// natNameOf is the NAT of a network; empty: none.
func (w World) natNameOf(network string) string {
	if n, found := w.networkNamed(network); found && n.HasNAT() {
		return n.NAT
	}
	return ""
}

func (f *failures) session(s model.EndedSession, outcome Outcome) {
	if outcome == Closed {
		return
	}
	key := failureKey{
		outcome: outcome, network: s.Network, endpoint: s.Endpoint, inside: s.Internal.Addr(),
		fromOutside: s.FromOutside, other: s.Remote, protocol: uint8(s.Protocol),
	}
	if s.FromOutside { // whoever it was: what matters is what they asked for
		key.other = s.Internal
	}
	f.add(key, 1, s.CreatedAt, s.EndedAt, func() Failure {
		return Failure{What: sessionText(s), Meaning: f.world.sessionMeaning(s, outcome), Remedies: sessionRemedies(s, outcome)}
	})
}

func sessionText(s model.EndedSession) string {
	inside := cmp.Or(s.Endpoint, s.Internal.Addr().String())
	if s.FromOutside {
		port := ""
		if s.Protocol != model.ICMP {
			port = fmt.Sprintf(":%d", s.Internal.Port())
		}
		return fmt.Sprintf("outside → %s%s, %s", inside, port, s.Protocol)
	}
	remote := model.Portless(s.Remote)
	if s.RemoteName != "" {
		remote += " (" + s.RemoteName + ")"
	}
	return fmt.Sprintf("%s → %s, %s", inside, remote, s.Protocol)
}

func (w World) sessionMeaning(s model.EndedSession, outcome Outcome) string {
	inside := cmp.Or(s.Endpoint, s.Internal.Addr().String())
	switch {
	case outcome == Unanswered && s.FromOutside:
		return fmt.Sprintf("The packets were handed to %s at %s, which sent nothing back: a firewall of its own dropped them, or its way back is not %s.",
			inside, model.Portless(s.Internal), w.gatewayOf(s.Network))
	case outcome == Stalled:
		return fmt.Sprintf("The handshake was done; then %d packets of %d bytes on average left, and nothing came back: large packets get lost on the way (an MTU black hole), or the other end hangs.",
			s.PacketsOut-2, (s.BytesOut-2*60)/(s.PacketsOut-2))
	case outcome == Unanswered:
		return fmt.Sprintf("The packets left as %s, and nothing came back: the remote, or a firewall on the way, does not answer.", s.External.Addr())
	case outcome == Refused && s.FromOutside:
		return fmt.Sprintf("%s refused the connection: nothing listens on %s there.", inside, model.Portless(s.Internal))
	case outcome == Refused:
		return "The remote refused the connection: nothing listens there, or a firewall says so."
	}
	return outcomeText[outcome]
}

var outcomeText = map[Outcome]string{
	Reset:        "One of the two ends reset the connection.",
	Idle:         "The connection was open, and nothing was sent for its timeout.",
	ByHand:       "Somebody ended it: session delete.",
	Changed:      "Its mapping, endpoint, network or NAT was removed or changed.",
	AddressLost:  "The host or the NAT does not have its external address or port any more.",
	RouteChanged: "The host's way out is another link now, where the NAT does not have its external address.",
	NoMemory:     "The kernel had no memory for its timer.",
}

func (w World) gatewayOf(network string) string {
	if n, found := w.networkNamed(network); found {
		return "the gateway " + n.Gateway4().String()
	}
	return "the network's gateway"
}

// sessionRemedies are where to look further: hostnat did its part.
func sessionRemedies(s model.EndedSession, outcome Outcome) []Remedy {
	switch {
	case s.Endpoint == "":
		return nil
	case outcome == Unanswered && !s.FromOutside:
		to := s.Remote.String()
		if s.Protocol == model.ICMP {
			to = s.Remote.Addr().String()
		}
		return []Remedy{{"the way that its packets take", fmt.Sprintf("hostnat explain %s %s %s", s.Protocol, s.Endpoint, to)}}
	case outcome == Stalled:
		return []Remedy{{"how large packets may be on the way", fmt.Sprintf("hostnat explain tcp %s %s --probe", s.Endpoint, s.Remote)}}
	case outcome == Idle:
		return []Remedy{{"the timeout of NAT " + s.NAT, fmt.Sprintf("hostnat nat show %s", s.NAT)}}
	}
	return nil
}
