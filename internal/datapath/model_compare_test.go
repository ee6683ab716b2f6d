package datapath

import (
	"bytes"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/nat"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// pairOf is model and data path in one world.
type pairOf struct {
	*twin
	model   *natmodel.Model
	now     time.Duration
	drops   map[natmodel.Reason]uint64 // expected
	steps   int
	rules   rules
	removed bool
}

// begin starts a world on both sides.
func (w *twin) begin(start world) (*pairOf, error) {
	if err := w.reset(start); err != nil {
		return nil, err
	}
	return &pairOf{twin: w, model: natmodel.New(modelConfig(start)), rules: start.Rules, drops: make(map[natmodel.Reason]uint64)}, nil
}

// disagreement says in what model and data path differ, and on which packet.
type disagreement struct {
	arrival natmodel.Arrival
	want    natmodel.Result
	text    string
	removed bool // mappings were, earlier
}

func (d *disagreement) Error() string {
	return fmt.Sprintf("%s\npacket at hook %d (endpoint %d, network %d, marked %v): %x\nmodel says %v %s",
		d.text, d.arrival.Hook, d.arrival.Endpoint, d.arrival.Network, d.arrival.Marked, d.arrival.Frame, d.want.Verdict, d.want.Reason)
}

// step hands a packet to both, and compares.
func (p *pairOf) step(a natmodel.Arrival) error {
	got, err := p.run(a)
	if err != nil {
		return err
	}
	p.steps++
	sessions, err := contentsOf[bpfSessionKey, bpfSession](p.dp.objects.Sessions)
	if err != nil {
		return err
	}
	a.Choice = p.choice(sessions, got)
	want, problem := p.model.Step(a, p.now)
	if want.Reason != "" {
		p.drops[want.Reason]++
	}
	if problem != nil {
		return &disagreement{a, want, problem.Error(), p.removed}
	}
	texts := []string{compareFrames(want, got), p.compareSessions(sessions), p.compareBindings()}
	if want.Reason != "" || p.steps%8 == 0 || len(strings.Join(texts, "")) > 0 { // the counters take longest to read
		texts = append(texts, p.compareDrops())
	}
	if text := strings.TrimSpace(strings.Join(texts, "\n")); text != "" {
		return &disagreement{a, want, text, p.removed}
	}
	return nil
}

// choice is what the data path shows of what it chose.
func (p *pairOf) choice(sessions map[bpfSessionKey]bpfSession, got ran) natmodel.Choice {
	choice := natmodel.Choice{FragmentID: frameID(got.frame)}
	for k, s := range sessions {
		if _, known := p.model.Sessions()[toKey(k)]; !known && k.Compartment != dummy {
			choice.External = toAddrPort(s.ExternalAddress, s.ExternalPort)
		}
	}
	return choice
}

// finish compares what is not looked at after each packet: the counters, and the
// tables that only serve others.
func (p *pairOf) finish() error {
	texts := p.compareDrops() + p.compareIndex() + p.compareContacts()
	if texts != "" {
		return &disagreement{text: texts, removed: p.removed}
	}
	return nil
}

// compareIndex: the way from an internal port to its binding, the mapping's if
// there is one.
func (p *pairOf) compareIndex() string {
	have, err := contentsOf[bpfBindingIndexKey, uint16](p.dp.objects.BindingIndex)
	if err != nil {
		return err.Error()
	}
	want := make(map[bpfBindingIndexKey]bool)
	for k, b := range p.model.Bindings() {
		want[bpfBindingIndexKey{
			Compartment: b.Compartment, InternalAddress: addressOf(b.Internal.Addr()), ExternalAddress: addressOf(k.External.Addr()),
			InternalPort: portOf(b.Internal.Port()), Protocol: uint8(k.Protocol),
		}] = true
	}
	for key := range want {
		if _, has := have[key]; !has {
			return fmt.Sprintf("index has not %+v\n", key)
		}
		delete(have, key)
	}
	if len(have) > 0 {
		return fmt.Sprintf("index has %+v of no binding\n", have)
	}
	return ""
}

// compareContacts: how many sessions each binding has with a remote address.
func (p *pairOf) compareContacts() string {
	have, err := contentsOf[bpfContactKey, bpfContact](p.dp.objects.Contacts)
	if err != nil {
		return err.Error()
	}
	got, want := make(map[bpfContactKey]uint32), make(map[bpfContactKey]uint32)
	for k, c := range have {
		got[k] = c.Sessions
	}
	for k, s := range p.model.Sessions() {
		filtering := p.rules.UDP
		if k.Protocol == nat.TCP {
			filtering = p.rules.TCP
		}
		if k.Protocol != nat.ICMP && filtering == nat.AddressDependent {
			want[bpfContactKey{
				ExternalAddress: addressOf(s.External.Addr()), RemoteAddress: addressOf(k.Remote.Addr()),
				ExternalPort: portOf(s.External.Port()), Protocol: uint8(k.Protocol),
			}]++
		}
	}
	if maps.Equal(got, want) {
		return ""
	}
	return "contacts (-model +data path)\n" + cmp.Diff(want, got)
}

// pass lets time pass on both sides.
func (p *pairOf) pass(by time.Duration) error {
	p.now += by
	p.model.Advance(p.now)
	return p.age(by)
}

func (p *pairOf) setMappings(ids map[uint32]bool) error {
	p.removed = true
	p.model.SetMappings(modelMappings(ids))
	return p.dp.applyMappings(pickMappings(ids))
}

func compareFrames(want natmodel.Result, got ran) string {
	verdict, mark := uint32(tcxRedirect), uint32(0)
	switch want.Verdict {
	case natmodel.Passed:
		verdict = tcxNext
	case natmodel.Dropped:
		verdict = tcxDrop
	case natmodel.Outward:
		mark = translatedMark
	}
	switch {
	case got.verdict != verdict:
		return fmt.Sprintf("verdict is %d, want %d", int32(got.verdict), int32(verdict))
	case got.mark != mark:
		return fmt.Sprintf("mark is %#x, want %#x", got.mark, mark)
	case want.Verdict != natmodel.Dropped && !bytes.Equal(got.frame, want.Frame):
		return fmt.Sprintf("frame\n got %x\nwant %x", got.frame, want.Frame)
	}
	return ""
}

func (p *pairOf) compareDrops() string {
	got, err := p.namedDrops()
	if err != nil {
		return err.Error()
	}
	if maps.Equal(p.drops, got) {
		return ""
	}
	return "drops (-model +data path)\n" + cmp.Diff(p.drops, got)
}

// sessionView is what both sides know of a session.
type sessionView struct {
	NAT, Network                             uint32
	External                                 netip.AddrPort
	State                                    nat.TCPState
	Lifetime, Age, Idle                      time.Duration // the latter two in whole seconds
	PacketsOut, BytesOut, PacketsIn, BytesIn uint64
}

func (p *pairOf) compareSessions(have map[bpfSessionKey]bpfSession) string {
	now := uint64(readClock().monotonic)
	// Whole seconds: a sequence takes milliseconds, and waits are of seconds.
	age := func(stamp uint64) time.Duration { return time.Duration(now - stamp).Truncate(time.Second) }
	count := 0
	for k, s := range have {
		if k.Compartment == dummy {
			continue
		}
		count++
		key := toKey(k)
		want, known := p.model.Sessions()[key]
		if !known {
			return fmt.Sprintf("the data path has a session %v that the model has not", key)
		}
		got := sessionView{
			NAT: s.Nat, Network: s.Network, External: toAddrPort(s.ExternalAddress, s.ExternalPort), State: nat.TCPState(s.State),
			Lifetime: time.Duration(s.Lifetime) * time.Second, Age: age(s.Created), Idle: age(s.Refreshed),
			PacketsOut: s.PacketsOut, BytesOut: s.BytesOut, PacketsIn: s.PacketsIn, BytesIn: s.BytesIn,
		}
		wanted := sessionView{
			NAT: want.NAT, Network: want.Network, External: want.External, State: want.State,
			Lifetime: want.Lifetime, Age: p.now - want.Created, Idle: p.now - want.Refreshed,
			PacketsOut: want.PacketsOut, BytesOut: want.BytesOut, PacketsIn: want.PacketsIn, BytesIn: want.BytesIn,
		}
		if got != wanted {
			return fmt.Sprintf("session %v\n got %+v\nwant %+v", key, got, wanted)
		}
	}
	if count != len(p.model.Sessions()) {
		return fmt.Sprintf("the data path has %d sessions, the model %d: %v", count, len(p.model.Sessions()), p.model.Sessions())
	}
	return ""
}

func (p *pairOf) compareBindings() string {
	have, err := contentsOf[bpfBindingKey, bpfBinding](p.dp.objects.Bindings)
	if err != nil {
		return err.Error()
	}
	got, want := make(map[natmodel.BindingKey]natmodel.Binding), make(map[natmodel.BindingKey]natmodel.Binding)
	for k, b := range have {
		if b.Compartment == dummy {
			continue
		}
		got[natmodel.BindingKey{Protocol: nat.Protocol(k.Protocol), External: toAddrPort(k.Address, k.Port)}] = natmodel.Binding{
			NAT: b.Nat, Network: b.Network, Compartment: b.Compartment, Internal: toAddrPort(b.InternalAddress, b.InternalPort),
			Sessions: int(b.Sessions), Configured: b.Flags&bindingConfigured != 0,
		}
	}
	for k, b := range p.model.Bindings() {
		want[k] = natmodel.Binding{
			NAT: b.NAT, Network: b.Network, Compartment: b.Compartment, Internal: b.Internal,
			Sessions: b.Sessions, Configured: b.Configured,
		}
	}
	if len(got) == len(want) {
		same := true
		for k, b := range want {
			if other, has := got[k]; !has || other != b {
				same = false
			}
		}
		if same {
			return ""
		}
	}
	return fmt.Sprintf("bindings\n got %+v\nwant %+v", got, want)
}
