package datapath

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/natmodel"
)

// pairOf is model and data path in one world.
type pairOf struct {
	*twin
	model *natmodel.Model
	now   time.Duration
	drops map[natmodel.Reason]uint64 // expected
	steps int
	rules rules

	firsts []natmodel.Arrival // fragments that were sent, whose others may come
}

// begin starts a world on both sides.
func (w *twin) begin(start world) (*pairOf, error) {
	if err := w.reset(start); err != nil {
		return nil, err
	}
	return &pairOf{
		twin: w, model: natmodel.New(modelConfig(start)), rules: start.Rules, drops: make(map[natmodel.Reason]uint64),
	}, nil
}

// disagreement says in what model and data path differ, and on which packet.
type disagreement struct {
	arrival natmodel.Arrival
	want    natmodel.Result
	text    string
	rules   rules
}

func (d *disagreement) Error() string {
	return fmt.Sprintf("%s\npacket at hook %d (endpoint %d, network %d, marked %v): %x\nmodel says %v %s",
		d.text, d.arrival.Hook, d.arrival.Endpoint, d.arrival.Network, d.arrival.Marked, d.arrival.Frame, d.want.Verdict, d.want.Reason)
}

// step hands a packet to both, and compares.
func (p *pairOf) step(a natmodel.Arrival) error {
	if _, err := p.readEvents(); err != nil { // of waits and changes: their order is the table's
		return err
	}
	dry, err := p.decide(a)
	if err != nil {
		return err
	}
	got, err := p.run(a)
	if err != nil {
		return err
	}
	p.steps++
	if a.Hook != natmodel.ToOutside && len(a.Frame) > 22 && a.Frame[12] == 8 && binary.BigEndian.Uint16(a.Frame[20:])&0x3fff == 0x2000 {
		p.firsts = append(p.firsts, a)
	}
	events, err := p.readEvents()
	if err != nil {
		return err
	}
	sessions, err := contentsOf[kernel.SessionKey, kernel.Session](p.dp.objects.Sessions)
	if err != nil {
		return err
	}
	a.Choice = p.choice(sessions, events, got)
	known := p.knows(dry)
	want, problem := p.model.Step(a, p.now)
	if want.Reason != "" {
		p.drops[want.Reason]++
	}
	if problem != nil {
		return &disagreement{a, want, problem.Error(), p.rules}
	}
	texts := []string{compareFrames(a, want, got), p.holds(dry, a, got, want, known), p.compareSessions(sessions), p.compareBindings(), compareEvents(want.Events, events)}
	if p.careful || len(strings.Join(texts, "")) > 0 {
		texts = append(texts, p.compareDrops())
	}
	if text := strings.TrimSpace(strings.Join(texts, "\n")); text != "" {
		return &disagreement{a, want, text, p.rules}
	}
	return nil
}

// choice is what the data path shows of what it chose.
func (p *pairOf) choice(sessions map[kernel.SessionKey]kernel.Session, events []natmodel.Event, got ran) natmodel.Choice {
	choice := natmodel.Choice{FragmentID: frameID(got.frame)}
	for _, e := range events {
		if e.ID == natmodel.BindingCreate && !e.Configured {
			choice.External = e.External
		}
	}
	for k, s := range sessions {
		if _, known := p.model.Sessions()[toKey(k)]; !known && s.Flags&kernel.SessionEndpointDependent != 0 {
			choice.External = kernel.ToAddrPort(s.ExternalAddress, s.ExternalPort)
		}
	}
	return choice
}

// finish compares what is not looked at after each packet: the counters, and the
// tables that only serve others.
func (p *pairOf) finish() error {
	texts := p.compareDrops() + p.compareIndex() + p.compareFilterEntries()
	if texts != "" {
		return &disagreement{text: texts, rules: p.rules}
	}
	return nil
}

// compareIndex: the way from an internal port to its binding, the mapping's if
// there is one.
func (p *pairOf) compareIndex() string {
	have, err := contentsOf[kernel.BindingIndexKey, kernel.WayOut](p.dp.objects.BindingIndex)
	if err != nil {
		return err.Error()
	}
	counted, err := p.indexCount()
	if err != nil {
		return err.Error()
	}
	if counted != len(have) {
		return fmt.Sprintf("%d elements of the index are counted, there are %d", counted, len(have))
	}
	want := make(map[kernel.BindingIndexKey]bool) // whether it has to be there
	for k, b := range p.model.Bindings() {
		if !b.IsWayOut() {
			continue
		}
		here := kernel.BindingIndexKey{
			Compartment: b.Compartment, InternalAddress: kernel.AddressOf(b.Internal.Addr()), ExternalAddress: kernel.AddressOf(k.External.Addr()),
			InternalPort: kernel.PortOf(b.Internal.Port()), Protocol: uint8(k.Protocol),
		}
		want[here] = b.Configured // a dynamic one may be at home: that it is found then, the packets say
		if b.Configured {
			for _, key := range indexKeys(here) {
				want[key] = true
			}
		}
	}
	for key, needed := range want {
		if _, has := have[key]; !has && needed {
			return fmt.Sprintf("index has not %+v\n", key)
		}
		delete(have, key)
	}
	if len(have) > 0 {
		return fmt.Sprintf("index has %+v of no binding\n", have)
	}
	return ""
}

// compareFilterEntries: how many sessions each binding has with a remote address, of
// those that have said so: all that a packet from there may need.
func (p *pairOf) compareFilterEntries() string {
	have, err := contentsOf[kernel.FilterKey, kernel.FilterEntry](p.dp.objects.FilterEntries)
	if err != nil {
		return err.Error()
	}
	sessions, err := contentsOf[kernel.SessionKey, kernel.Session](p.dp.objects.Sessions)
	if err != nil {
		return err.Error()
	}
	got, want := make(map[kernel.FilterKey]uint32), make(map[kernel.FilterKey]uint32)
	for k, c := range have {
		got[k] = c.Sessions
	}
	contacts := make(map[kernel.BindingKey]uint32)
	for k, s := range sessions {
		if s.Flags&kernel.SessionContact != 0 {
			at := kernel.BindingKey{Address: s.ExternalAddress, Port: s.ExternalPort, Protocol: k.Protocol}
			if s.Flags&kernel.SessionAnyAddress != 0 {
				at.Address = 0
			}
			contacts[at]++
			var b kernel.Binding
			if err := p.dp.objects.Bindings.Lookup(&at, &b); err != nil || b.Contact != k.RemoteAddress || b.Contacts < contacts[at] {
				return fmt.Sprintf("session %v is no contact of its binding %+v (%v)", toKey(k), b, err)
			}
		} else if s.Flags&kernel.SessionFilterEntry != 0 {
			want[kernel.FilterKey{
				ExternalAddress: s.ExternalAddress, RemoteAddress: k.RemoteAddress, ExternalPort: s.ExternalPort, Protocol: k.Protocol,
			}]++
		} else if in, has := p.model.Sessions()[toKey(k)]; has && s.Flags&kernel.SessionGuest == 0 && p.needsFilterEntry(k.Protocol, in) {
			return fmt.Sprintf("session %v has no contact\n", toKey(k))
		}
	}
	bindings, err := contentsOf[kernel.BindingKey, kernel.Binding](p.dp.objects.Bindings)
	if err != nil {
		return err.Error()
	}
	for at, b := range bindings {
		if b.Contacts != contacts[at] {
			return fmt.Sprintf("binding %+v counts %d contacts, there are %d sessions", at, b.Contacts, contacts[at])
		}
	}
	if maps.Equal(got, want) {
		return ""
	}
	return "contacts (-model +data path)\n" + cmp.Diff(want, got)
}

func (p *pairOf) needsFilterEntry(protocol uint8, s *natmodel.Session) bool {
	filtering := p.rules.UDP
	if model.Protocol(protocol) == model.TCP {
		filtering = p.rules.TCP
	}
	return s.IsSpread() || !s.IsEndpointDependent() && model.Protocol(protocol) != model.ICMP && filtering == model.AddressDependent
}

// pass lets time pass on both sides.
func (p *pairOf) pass(by time.Duration) error {
	p.now += by
	p.model.Advance(p.now)
	return errors.Join(p.age(by), p.orderHolds())
}

func (p *pairOf) setMappings(ids map[uint32]bool) error {
	p.model.SetMappings(modelMappings(ids))
	return errors.Join(p.applyMappings(p.config(p.rules, ids)), p.orderHolds())
}

func (p *pairOf) setRules(r rules) error {
	err := p.endHoldDowns(0) // by the clock that they began with
	p.rules = r
	for id, n := range modelConfig(world{Rules: r}).NATs {
		p.model.SetNAT(id, n)
	}
	var changed []uint32
	nats := rows[uint32, kernel.Nat]{what: "NATs", in: p.dp.objects.Nats, of: natValues, changed: &changed}
	return errors.Join(err, nats.write(nil, p.config(r, nil)), p.dp.adoptSettings(changed), p.orderHolds())
}

func compareFrames(a natmodel.Arrival, want natmodel.Result, got ran) string {
	verdict, mark := uint32(wire.TCXRedirect), uint32(0)
	if a.Turns > 0 {
		mark = wire.ReassembledMark | uint32(a.Turns)
	}
	switch want.Verdict {
	case natmodel.Passed:
		verdict = wire.TCXNext
	case natmodel.Dropped:
		verdict = wire.TCXDrop
	case natmodel.Outward:
		mark = wire.TranslatedMark
	case natmodel.Inward: // to a link, or to a bridge, whose programs tell them apart
		if got.mark == wire.ToPortMark {
			mark = wire.ToPortMark
		}
	case natmodel.ToReassembly:
		mark = got.from
	case natmodel.ToSocket:
		verdict, mark = wire.TCXNext, wire.SocketMark
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
	State                                    model.TCPState
	EndpointDependent, Hairpin               bool
	Lifetime, Age, Idle                      time.Duration
	PacketsOut, BytesOut, PacketsIn, BytesIn uint64
}

func (p *pairOf) compareSessions(have map[kernel.SessionKey]kernel.Session) string {
	now := uint64(p.clock.Now())
	age := func(stamp uint64) time.Duration { return time.Duration(now - stamp) }
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
			NAT: s.Nat, Network: s.Network, External: kernel.ToAddrPort(s.ExternalAddress, s.ExternalPort), State: model.TCPState(s.State),
			EndpointDependent: s.Flags&kernel.SessionEndpointDependent != 0, Hairpin: s.Flags&kernel.SessionHairpin != 0,
			Lifetime: time.Duration(s.Lifetime) * time.Second, Age: age(s.Created), Idle: age(s.LastRefreshed()),
			PacketsOut: s.PacketsOut, BytesOut: s.BytesOut, PacketsIn: s.PacketsIn, BytesIn: s.BytesIn,
		}
		wanted := sessionView{
			NAT: want.NAT, Network: want.Network, External: want.External, State: want.State,
			EndpointDependent: want.IsEndpointDependent(), Hairpin: want.IsHairpin(),
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
	have, err := contentsOf[kernel.BindingKey, kernel.Binding](p.dp.objects.Bindings)
	if err != nil {
		return err.Error()
	}
	got, want := make(map[natmodel.BindingKey]natmodel.Binding), make(map[natmodel.BindingKey]natmodel.Binding)
	for k, b := range have {
		if b.Compartment == dummy {
			continue
		}
		got[natmodel.BindingKey{Protocol: model.Protocol(k.Protocol), External: kernel.ToAddrPort(k.Address, k.Port)}] = natmodel.Binding{
			NAT: b.Nat, Network: b.Network, Compartment: b.Compartment, Internal: kernel.ToAddrPort(b.InternalAddress, b.InternalPort),
			Sessions: int(b.Sessions), Configured: b.Flags&kernel.BindingConfigured != 0, HoldDown: b.Flags&kernel.BindingHoldDown != 0,
		}
	}
	for k, b := range p.model.Bindings() {
		want[k] = natmodel.Binding{
			NAT: b.NAT, Network: b.Network, Compartment: b.Compartment, Internal: b.Internal,
			Sessions: b.Sessions, Configured: b.Configured, HoldDown: b.HoldDown,
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
