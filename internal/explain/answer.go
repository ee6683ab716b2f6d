package explain

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Answer is what becomes of a packet, and why.
type Answer struct {
	Trial    model.Trial
	Fate     model.Fate
	Steps    []Step
	Summary  string // a sentence
	Meaning  string // of Fate.Reason
	Remedies []Remedy
	Path     *model.PathMTU // nil: it was not probed
}

// Result is the answer to one of several questions, or why there is none.
type Result struct {
	Answer Answer
	Err    error
}

// Step is one thing that was looked up, and what was found.
type Step struct{ Name, Found string }

// Remedy is what has the data path decide otherwise.
type Remedy struct{ Object, Command string }

// Ask has the packet tried and says what that means.
func Ask(ctx context.Context, q Question, w World, try func(context.Context, model.Trial) (model.Fate, error)) (Answer, error) {
	t, err := q.Trial(w)
	if err != nil {
		return Answer{}, err
	}
	f, err := try(ctx, t)
	if err != nil {
		return Answer{}, err
	}
	return w.answer(t, f), nil
}

func (w World) answer(t model.Trial, f model.Fate) Answer {
	f = w.bridged(t, f)
	a := Answer{Trial: t, Fate: f, Steps: w.steps(t, f), Summary: summary(t, f), Remedies: w.remedies(t, f)}
	if r, known := event.ParseReason(f.Reason); known && f.Reason != "" {
		a.Meaning = r.Describe()
	}
	return a
}

// ForHost reports whether the packet is left to the host, since one of its addresses has
// it, and by which link it comes there.
func (a *Answer) ForHost(w World) (link string, is bool) {
	if a.Fate.Verdict != model.VerdictLeft || a.Fate.Target != "" {
		return "", false
	}
	to := a.Trial.To.Addr()
	link = a.Fate.Link
	for _, n := range w.Config.Networks {
		is = is || slices.Contains(n.Gateways, to)
		if n.Name == a.Fate.Network && n.Bridge != "" {
			link = n.Bridge
		}
	}
	for _, h := range w.Host.Addresses {
		is = is || h.Address == to
	}
	return link, is
}

// HostDrops adds that the host's firewall drops the packet, by a chain of it.
func (a *Answer) HostDrops(chain string) {
	a.Steps = append(a.Steps, Step{"ends", "the host's firewall drops it: chain " + chain})
	a.Summary = "It gets to the host, whose firewall drops it: chain " + chain + "."
	a.Remedies = []Remedy{{"the host's firewall, chain " + chain, "hostnat doctor"}}
}

// Tuple is "172.16.1.2:40000 → 93.184.216.34:443"; of ICMP, without what stands in
// a port's place for the remote.
func Tuple(p model.Protocol, from, to netip.AddrPort) string {
	if p == model.ICMP {
		return fmt.Sprintf("%s (identifier %d) → %s", from.Addr(), from.Port(), to.Addr())
	}
	return from.String() + " → " + to.String()
}

func (w World) steps(t model.Trial, f model.Fate) []Step {
	steps := []Step{
		{"packet", packetText(t)},
		{"comes in", comesIn(t, f)},
	}
	add := func(name, format string, args ...any) {
		steps = append(steps, Step{name, fmt.Sprintf(format, args...)})
	}
	if f.Verdict == model.VerdictDropped {
		add("ends", "dropped: %s; %s", reasonText(f), told(f))
		return steps
	}
	if f.Verdict == model.VerdictAnswered {
		add("ends", "answered by hostnat, which has %s", t.To.Addr())
		return steps
	}
	if f.To != t.To {
		if m, found := w.mappingAt(t); found {
			add("mapping", "%s", m.String())
		}
	}
	switch f.Session {
	case model.SessionNew:
		add("session", "none yet: this packet opens it%s", portText(t, f))
	case model.SessionKnown:
		add("session", "one that is there")
	}
	if f.IsTranslated(t) {
		add("translated", "%s", Tuple(t.Protocol, f.From, f.To))
	}
	add("goes on", "%s", goesOn(t, f))
	return steps
}

func reasonText(f model.Fate) string {
	if f.Reason == "" {
		return "without a reason"
	}
	return f.Reason
}

func told(f model.Fate) string {
	if f.Told {
		return "the sender is told"
	}
	return "the sender is told nothing"
}

// portText says where the external port of a new session comes from.
func portText(t model.Trial, f model.Fate) string {
	if f.From == t.From {
		return ""
	}
	if f.Bound {
		return fmt.Sprintf("; external port %d is bound to the endpoint's port already", f.From.Port())
	}
	return fmt.Sprintf("; the external port is drawn, %d as things are", f.From.Port())
}

func packetText(t model.Trial) string {
	what := t.Protocol.String()
	switch t.Protocol {
	case model.TCP:
		what = "tcp SYN"
		if t.TCPFlags != 0 {
			what = "tcp segment"
		}
	case model.ICMP:
		what = "icmp echo request"
	}
	return what + " " + Tuple(t.Protocol, t.From, t.To)
}

func comesIn(t model.Trial, f model.Fate) string {
	switch {
	case t.Entry == model.EntryOutside:
		return fmt.Sprintf("by %s, from outside (%s)", f.Link, f.Program)
	case t.Entry == model.EntryEndpoint && f.Endpoint != "":
		return fmt.Sprintf("by %s, from endpoint %s of network %s (%s)", f.Link, f.Endpoint, f.Network, f.Program)
	case f.Network == "":
		return fmt.Sprintf("by %s (%s)", f.Link, f.Program)
	case f.Endpoint != "":
		return fmt.Sprintf("by %s, from %s, which was not attached, of network %s (%s)", f.Link, f.Endpoint, f.Network, f.Program)
	}
	return fmt.Sprintf("by %s, from network %s (%s)", f.Link, f.Network, f.Program)
}

func goesOn(t model.Trial, f model.Fate) string {
	switch {
	case f.Verdict == model.VerdictLeft && t.Entry == model.EntryOutside:
		return "to the host itself: no mapping or session of hostnat's has it"
	case f.Verdict == model.VerdictLeft && f.Target != "":
		return fmt.Sprintf("over the network's bridge to endpoint %s", f.Target)
	case f.Verdict == model.VerdictLeft:
		return "unchanged, to the host or over the network's bridge: hostnat leaves it alone"
	case f.OutLink != "" && f.NextHop.IsValid() && f.NextHop != f.To.Addr():
		return fmt.Sprintf("out of %s by way of %s", f.OutLink, f.NextHop)
	case f.OutLink != "":
		return "out of " + f.OutLink
	case f.Target != "":
		return fmt.Sprintf("to endpoint %s of network %s", f.Target, f.TargetNetwork)
	}
	return "to " + f.To.Addr().String() + " behind a network's bridge"
}

// summary is the answer in one sentence.
func summary(t model.Trial, f model.Fate) string {
	switch {
	case f.Verdict == model.VerdictDropped:
		return "It does not get through: " + reasonText(f) + "."
	case f.Verdict == model.VerdictAnswered:
		return "It is answered by hostnat itself: the host has " + t.To.Addr().String() + "."
	case f.Verdict == model.VerdictLeft && t.Entry == model.EntryOutside:
		return "It gets to the host itself, not to an endpoint."
	case f.Verdict == model.VerdictLeft && f.Target == "":
		return "hostnat leaves it alone: the host or the bridge decides."
	case f.OutLink != "":
		return fmt.Sprintf("It gets out: the remote sees %s.", seen(t, f))
	case f.Target != "":
		return fmt.Sprintf("It gets to endpoint %s, which sees %s.", f.Target, seen(t, f))
	}
	return fmt.Sprintf("It gets to %s.", f.To.Addr())
}

func seen(t model.Trial, f model.Fate) string {
	if t.Protocol == model.ICMP {
		return f.From.Addr().String()
	}
	return f.From.String()
}

// mappingAt returns the mapping that has the packet's destination: one on the
// address before one on any.
func (w World) mappingAt(t model.Trial) (model.Mapping, bool) {
	for _, wanted := range []netip.Addr{t.To.Addr(), netip.IPv4Unspecified()} {
		for _, m := range w.Config.Mappings {
			fits := m.Protocol == model.AnyProtocol || m.Protocol == t.Protocol && m.External.Ports.Contains(t.To.Port())
			if fits && m.External.Address == wanted {
				return m, true
			}
		}
	}
	return model.Mapping{}, false
}
