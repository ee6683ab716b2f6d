package datapath

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/cilium/ebpf"

	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/event"
	"github.com/hostnat/hostnat/internal/model"
)

// Trial is a packet of which one asks what would become of it.
type Trial struct {
	Protocol  model.Protocol
	From, To  netip.AddrPort
	Entry     model.Entry
	Interface uint32
	MAC       [6]byte // of the interface; of an EntryOutside alone
	TCPFlags  uint8   // 0: a SYN's
}

// Fate is what the programs decide, with ids in place of names.
type Fate struct {
	Program      string
	Interface    uint32 // on which it runs
	Verdict      model.Verdict
	Reason       event.Reason
	Told         bool
	From, To     netip.AddrPort // as the packet goes on
	Source       Party          // from which it comes; zero: from outside
	Target       Party          // that gets it; zero: what is outside, or the host
	NAT          uint32         // of Source, or of the session
	Session      model.SessionUse
	Bound        bool
	OutInterface uint32 // to the outside; 0: it does not go there
	NextHop      netip.Addr
}

// Party is who has an address in a network.
type Party struct {
	Network, Compartment uint32
	Address              netip.Addr
}

// Trials are the programs for dry runs: see docs/decisions/032-dry-run.md.
type Trials struct {
	datapath *Datapath
	programs *kernel.Trial
}

// OpenTrials loads them, which takes most of a second.
func (d *Datapath) OpenTrials() (*Trials, error) {
	spec, err := kernel.LoadSpec()
	if err != nil {
		return nil, fmt.Errorf("reading the embedded data path: %w", err)
	}
	programs, err := kernel.OpenTrial(spec, d.objects.Tables())
	if err != nil {
		return nil, err
	}
	return &Trials{d, programs}, nil
}

// Close lets go of them.
func (p *Trials) Close() error { return p.programs.Close() }

// Try runs the programs on the tables as they are, for one packet, and changes nothing.
func (p *Trials) Try(t Trial) (Fate, error) {
	if err := checkFamily(t); err != nil {
		return Fate{}, err
	}
	e, err := p.datapath.entryOf(t)
	if err != nil {
		return Fate{}, err
	}
	return p.datapath.try(p.programs, t, e)
}

// entry is where and how a trial's packet comes in.
type entry struct {
	program  string
	ifindex  uint32
	from, to [6]byte // MACs
}

// strangerMAC stands for a sender or a receiver that nothing is known of. It is
// locally administered (RFC 9542 section 2.1).
var strangerMAC = [6]byte{0x02, 0, 0, 0, 0, 0x01}

func (d *Datapath) entryOf(t Trial) (entry, error) {
	e := entry{program: "outside_ingress", ifindex: t.Interface, from: strangerMAC, to: t.MAC}
	if t.Entry == model.EntryOutside {
		return e, nil
	}
	var inside kernel.Inside
	if err := d.objects.Insides.Lookup(t.Interface, &inside); err != nil {
		return e, fmt.Errorf("looking up what is on interface %d: %w", t.Interface, err)
	}
	e.to = inside.GatewayMac
	e.program = "bridge_ingress"
	address := kernel.AddressOf(t.From.Addr())
	if t.Entry == model.EntryEndpoint {
		e.program, e.from = "inside_ingress", inside.Mac
	} else if holder, known := d.holder(inside.Compartment, address); known {
		e.program, e.ifindex, e.from = "port_ingress", holder.Port, holder.Mac
	}
	to := kernel.AddressOf(t.To.Addr())
	if to != inside.Gateway && to&inside.Mask == inside.Subnet && e.program != "bridge_ingress" {
		e.to = d.macOf(inside.Compartment, to)
	}
	return e, nil
}

// holder returns who was last seen with an address at a port of a switch.
func (d *Datapath) holder(compartment, address uint32) (h kernel.Holder, known bool) {
	return h, d.objects.Holders.Lookup(kernel.EndpointKey{Compartment: compartment, Address: address}, &h) == nil
}

// macOf returns the MAC that a neighbour would learn for an address of its network.
func (d *Datapath) macOf(compartment, address uint32) [6]byte {
	var e kernel.Endpoint
	if d.objects.Endpoints.Lookup(kernel.EndpointKey{Compartment: compartment, Address: address}, &e) == nil {
		return e.Mac
	}
	if h, known := d.holder(compartment, address); known {
		return h.Mac
	}
	return strangerMAC
}

func (e entry) of(p *kernel.Trial) *ebpf.Program {
	switch e.program {
	case "inside_ingress":
		return p.InsideIngress
	case "port_ingress":
		return p.PortIngress
	case "bridge_ingress":
		return p.BridgeIngress
	}
	return p.OutsideIngress
}

// skbuff is the beginning of a struct __sk_buff; the kernel takes the rest as 0.
type skbuff struct {
	Before  [10]uint32
	Ifindex uint32
}

const nobody = ^kernel.Reason(0) // no program leaves this in a context

func (d *Datapath) try(p *kernel.Trial, t Trial, e entry) (Fate, error) {
	flows := make([]kernel.Flow, ebpf.MustPossibleCPU())
	for i := range flows {
		flows[i].Reason = nobody
	}
	if err := p.Flows.Put(uint32(0), flows); err != nil {
		return Fate{}, fmt.Errorf("preparing a trial's context: %w", err)
	}
	run := ebpf.RunOptions{Data: trialFrame(t, e), DataOut: make([]byte, 1024), Context: skbuff{Ifindex: e.ifindex}}
	verdict, err := e.of(p).Run(&run)
	if err != nil {
		return Fate{}, fmt.Errorf("running %s for a trial on interface %d: %w", e.program, e.ifindex, err)
	}
	if err := p.Flows.Lookup(uint32(0), &flows); err != nil {
		return Fate{}, fmt.Errorf("reading a trial's context: %w", err)
	}
	for i := range flows {
		if flows[i].Reason != nobody {
			return d.fate(t, e, verdict, run.DataOut, &flows[i]), nil
		}
	}
	return Fate{}, errors.New("no program has run for the trial")
}

const (
	tcxNext     = ^uint32(0)
	tcxPass     = 0
	tcxDrop     = 2
	tcxRedirect = 7
	contextless = ^uint32(0) // the compartment of what comes from outside
)

// fate reads what a program has left: the verdict, the frame as it goes on, and its context.
func (d *Datapath) fate(t Trial, e entry, verdict uint32, frame []byte, f *kernel.Flow) Fate {
	got := Fate{Program: e.program, Interface: e.ifindex, From: t.From, To: t.To, NAT: f.Nat}
	if f.Compartment != contextless {
		got.Source = Party{Network: f.Network, Compartment: f.Compartment, Address: t.From.Addr()}
	}
	switch {
	case verdict == tcxNext || verdict == tcxPass:
		got.Verdict = model.VerdictLeft
		return got
	case verdict != tcxRedirect || f.Tell != 0: // a sender that is told gets the packet back as an error
		got.Verdict, got.Reason, got.Told = model.VerdictDropped, event.Reason(f.Reason), verdict == tcxRedirect
		return got
	case isEchoReply(frame, t): // what was tried is a request: see answer_echo() of bpf/ip4_antispoof.h
		got.Verdict = model.VerdictAnswered
		return got
	}
	got.Verdict = model.VerdictSent
	got.From, got.To = addressesIn(frame, t)
	d.follow(&got, t, f)
	return got
}

// follow says where a packet that is sent on gets to, and by which session.
func (d *Datapath) follow(got *Fate, t Trial, f *kernel.Flow) {
	leaves, enters := got.From != t.From, got.To != t.To
	if leaves || enters {
		got.Session, got.Bound = d.sessionUse(f), d.isBound(t.Protocol, f)
		got.NAT = f.Session.Nat
	}
	compartment := f.Compartment
	switch {
	case leaves && !enters:
		const byIPv6 = 1 << 31 // NEXT_HOP_IP6
		got.OutInterface = f.Session.Way.Ifindex &^ byIPv6
		if f.Session.Way.Ifindex&byIPv6 == 0 && f.Session.Way.NextHop != 0 {
			got.NextHop = kernel.ToAddress(f.Session.Way.NextHop)
		}
		return
	case leaves:
		compartment = f.FarKey.Compartment
	case enters:
		compartment = f.Key.Compartment
	}
	got.Target = Party{Compartment: compartment, Address: got.To.Addr()}
	var e kernel.Endpoint
	if d.objects.Endpoints.Lookup(kernel.EndpointKey{Compartment: compartment, Address: kernel.AddressOf(got.To.Addr())}, &e) == nil {
		got.Target.Network = e.Network
	}
}

func (d *Datapath) sessionUse(f *kernel.Flow) model.SessionUse {
	var s kernel.Session
	if d.objects.Sessions.Lookup(&f.Key, &s) == nil {
		return model.SessionKnown
	}
	return model.SessionNew
}

// isBound reports whether the session's external port is that of a binding or a mapping
// of the sender's port already, on its address or on any. It may be another's too: one
// in hold-down, or one that is shared with other remotes.
func (d *Datapath) isBound(p model.Protocol, f *kernel.Flow) bool {
	for _, address := range []uint32{f.Session.ExternalAddress, 0} {
		key := kernel.BindingKey{Address: address, Port: f.Session.ExternalPort, Protocol: uint8(p)}
		var b kernel.Binding
		if d.objects.Bindings.Lookup(&key, &b) != nil || b.Flags&kernel.BindingHoldDown != 0 {
			continue
		}
		own := b.Compartment == f.Key.Compartment && b.InternalAddress == f.Key.InternalAddress && b.InternalPort == f.Key.InternalPort
		if own || b.Flags&kernel.BindingConfigured != 0 {
			return true
		}
	}
	return false
}
