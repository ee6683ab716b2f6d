package nattest

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/datapath/dptest"
	"github.com/hostnat/hostnat/internal/datapath/dptest/wire"
	"github.com/hostnat/hostnat/internal/datapath/kernel"
	"github.com/hostnat/hostnat/internal/model"
)

// tcpTransitions is RFC 6146 section 3.5.2 with decision D5. What is not
// listed changes nothing.
var tcpTransitions = map[model.TCPState]map[wire.Step]model.TCPState{
	model.StateInternalSYN: {
		wire.In(wire.SynAck): model.StateEstablished,
		wire.In(wire.Syn):    model.StateEstablished, // simultaneous open
	},
	model.StateExternalSYN: {
		wire.Out(wire.SynAck): model.StateEstablished,
		wire.Out(wire.Syn):    model.StateEstablished,
	},
	model.StateEstablished: {
		wire.Out(wire.FinAck): model.StateInternalFIN, wire.In(wire.FinAck): model.StateExternalFIN,
		wire.Out(wire.Rst): model.StateTimeWait, wire.In(wire.Rst): model.StateTimeWait,
		wire.Out(wire.Rst | wire.Ack): model.StateTimeWait, wire.In(wire.Rst | wire.Ack): model.StateTimeWait,
	},
	model.StateInternalFIN: {
		wire.Out(wire.Syn):   model.StateInternalSYN,
		wire.In(wire.FinAck): model.StateBothFIN,
		wire.Out(wire.Rst):   model.StateTimeWait, wire.In(wire.Rst): model.StateTimeWait,
		wire.Out(wire.Rst | wire.Ack): model.StateTimeWait, wire.In(wire.Rst | wire.Ack): model.StateTimeWait,
	},
	model.StateExternalFIN: {
		wire.Out(wire.Syn):    model.StateInternalSYN,
		wire.Out(wire.FinAck): model.StateBothFIN,
		wire.Out(wire.Rst):    model.StateTimeWait, wire.In(wire.Rst): model.StateTimeWait,
		wire.Out(wire.Rst | wire.Ack): model.StateTimeWait, wire.In(wire.Rst | wire.Ack): model.StateTimeWait,
	},
	model.StateBothFIN: {
		// A SYN from outside may be forged, and would free the port early: the endpoint's answer counts (RFC 5382 REQ-5).
		wire.Out(wire.Syn): model.StateInternalSYN, wire.Out(wire.SynAck): model.StateEstablished,
		// a RST changes nothing: RFC 6146 section 3.5.2.2
	},
	model.StateTimeWait: {
		wire.Out(wire.Syn):    model.StateInternalSYN, // one from outside may be forged: RFC 7857 section 2.3
		wire.Out(wire.SynAck): model.StateEstablished, wire.In(wire.SynAck): model.StateEstablished,
		wire.Out(wire.Ack): model.StateEstablished, wire.In(wire.Ack): model.StateEstablished,
		wire.Out(wire.FinAck): model.StateEstablished, wire.In(wire.FinAck): model.StateEstablished,
	},
}

type tcpCase struct {
	steps []wire.Step
	want  model.TCPState
}

// tcpCases is every segment in every state.
func tcpCases() []tcpCase {
	var cases []tcpCase
	for state, path := range wire.TCPPaths {
		cases = append(cases, tcpCase{path, state})
		for _, flags := range []byte{wire.Syn, wire.SynAck, wire.Ack, wire.FinAck, wire.Rst, wire.Rst | wire.Ack} {
			for _, last := range []wire.Step{wire.Out(flags), wire.In(flags)} {
				want, changes := tcpTransitions[state][last]
				if !changes {
					want = state
				}
				cases = append(cases, tcpCase{append(append([]wire.Step(nil), path...), last), want})
			}
		}
	}
	return cases
}

func tcpLifetime(s model.TCPState, of model.Timeouts) time.Duration {
	switch s {
	case model.StateExternalSYN:
		return 6 * time.Second // TCP_INCOMING_SYN, RFC 6146 section 4
	case model.StateEstablished, model.StateInternalFIN, model.StateExternalFIN:
		return of.TCPEstablished.Duration()
	}
	return of.TCPTransitory.Duration()
}

// halfOpen reports whether the remote opened the connection, or opened it again
// after both FINs, and has not sent the handshake's last ACK: it may be a flood
// under forged addresses.
func (c tcpCase) halfOpen() bool {
	last := c.steps[len(c.steps)-1]
	again := last == wire.Out(wire.SynAck) && slices.Contains(c.steps, wire.In(wire.FinAck)) && slices.Contains(c.steps, wire.Out(wire.FinAck))
	return c.want == model.StateEstablished && (c.steps[0] == wire.In(wire.Syn) || again)
}

// Each case has a mapped internal port of its own, so that its external one is
// known before the first segment.
func TestTCPStatesAndLifetimes(t *testing.T) {
	t.Parallel()
	for _, profile := range []model.Profile{model.ProfileRFC, model.ProfileWinNAT} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			r := dptest.NewRig(t, 1, dptest.StandStill)
			r.Mute(t, 0)
			r.Config.NATs[wire.RigNAT] = dptest.DefaultNAT(profile)
			cases := tcpCases()
			for i := range cases {
				port := uint16(10000 + i)
				external := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
				r.Config.Mappings[uint32(i+1)] = dptest.Mapping(model.TCP, external.String(), wire.Inside(0, port))
			}
			r.Apply(t)
			for round := range 5 {
				playRound(t, r, cases, round)
			}
			for i, c := range cases {
				checkCase(t, r, c, wire.Inside(0, uint16(10000+i)), profile)
			}
			r.Consistent(t)
		})
	}
}

// playRound sends the segment of that number of each case, and waits until all
// have been counted.
func playRound(t *testing.T, r *dptest.Rig, cases []tcpCase, round int) {
	t.Helper()
	var outward, inward []wire.Segment
	for i, c := range cases {
		port := uint16(10000 + i)
		switch {
		case round >= len(c.steps):
		case c.steps[round].Out:
			outward = append(outward, wire.Segment{Protocol: model.TCP, Flags: c.steps[round].Flags, From: wire.Inside(0, port), To: wire.Unanswered(7, 80)})
		default:
			to := netip.AddrPortFrom(wire.HostAddress, port)
			inward = append(inward, wire.Segment{Protocol: model.TCP, Flags: c.steps[round].Flags, From: wire.Unanswered(7, 80), To: to})
		}
	}
	r.FromEndpoint(t, 0, outward...)
	r.FromRemote(t, inward...)
	wire.Eventually(t, fmt.Sprintf("segments of round %d", round), func() bool {
		done := 0
		for _, s := range r.Sessions(t) {
			steps := len(cases[s.Internal.Port()-10000].steps)
			if s.PacketsIn+s.PacketsOut == uint64(min(steps, round+1)) {
				done++
			}
		}
		return done == len(cases)
	})
}

func checkCase(t *testing.T, r *dptest.Rig, c tcpCase, internal netip.AddrPort, profile model.Profile) {
	t.Helper()
	got, has := r.Session(t, model.TCP, internal, wire.Unanswered(7, 80))
	if !has || got.State != c.want {
		t.Errorf("%v: state %v, want %v", c.steps, got.State, c.want)
		return
	}
	timeouts, _ := profile.Defaults()
	want := tcpLifetime(c.want, timeouts)
	if c.halfOpen() {
		want = timeouts.TCPTransitory.Duration()
	}
	if lifetime := lifetimeOf(t, r, model.TCP, internal); lifetime != want {
		t.Errorf("%v: lives %v, want %v", c.steps, lifetime, want)
	}
}

// lifetimeOf is how long the session of an internal address and port lives after its
// last packet.
func lifetimeOf(t *testing.T, r *dptest.Rig, protocol model.Protocol, internal netip.AddrPort) (lifetime time.Duration) {
	t.Helper()
	wire.Must(t, kernel.Each(r.Datapath.Objects().Sessions, func(k *kernel.SessionKey, s *kernel.Session) error {
		if k.Protocol == uint8(protocol) && kernel.ToAddrPort(k.InternalAddress, k.InternalPort) == internal {
			lifetime = time.Duration(s.Lifetime) * time.Second
		}
		return nil
	}))
	return lifetime
}

// Lifetimes of the protocols without states.
func TestIdleLifetimesOfProfiles(t *testing.T) {
	t.Parallel()
	r := dptest.NewRig(t, 1, dptest.StandStill)
	r.Mute(t, 0)
	for i, tt := range []struct {
		profile   model.Profile
		udp, icmp time.Duration
	}{
		{model.ProfileRFC, 300 * time.Second, 60 * time.Second},
		{model.ProfileWinNAT, 120 * time.Second, 30 * time.Second},
	} {
		r.Config.NATs[wire.RigNAT] = dptest.DefaultNAT(tt.profile)
		r.Apply(t)
		for p, want := range map[model.Protocol]time.Duration{model.UDP: tt.udp, model.ICMP: tt.icmp} {
			from := wire.Inside(0, uint16(4000+i))
			r.FromEndpoint(t, 0, wire.Segment{Protocol: p, From: from, To: wire.Unanswered(7, 0)})
			r.External(t, p, from)
			if lifetime := lifetimeOf(t, r, p, from); lifetime != want {
				t.Errorf("%s: %v lives %v, want %v", tt.profile, p, lifetime, want)
			}
		}
	}
}

// clockSlack is how much later than a packet a busy machine may look at its session.
const clockSlack = 4 * time.Second
