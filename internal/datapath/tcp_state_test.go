package datapath

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// step is a TCP segment out of the endpoint or in from the remote.
type step struct {
	out   bool
	flags byte
}

func out(flags byte) step { return step{true, flags} }
func in(flags byte) step  { return step{false, flags} }

func (s step) String() string {
	direction := "in"
	if s.out {
		direction = "out"
	}
	names := map[byte]string{syn: "SYN", synAck: "SYN-ACK", ack: "ACK", finAck: "FIN", rst: "RST", rst | ack: "RST-ACK"}
	return names[s.flags] + " " + direction
}

// tcpPaths are the shortest ways to each state that a session can be in.
var tcpPaths = map[model.TCPState][]step{
	model.StateInternalSYN: {out(syn)},
	model.StateExternalSYN: {in(syn)},
	model.StateEstablished: {out(syn), in(synAck)},
	model.StateInternalFIN: {out(syn), in(synAck), out(finAck)},
	model.StateExternalFIN: {out(syn), in(synAck), in(finAck)},
	model.StateBothFIN:     {out(syn), in(synAck), in(finAck), out(finAck)},
	model.StateTimeWait:    {out(syn), in(synAck), in(rst)},
}

// tcpTransitions is RFC 6146 section 3.5.2 with decision D5. What is not
// listed changes nothing.
var tcpTransitions = map[model.TCPState]map[step]model.TCPState{
	model.StateInternalSYN: {
		in(synAck): model.StateEstablished,
		in(syn):    model.StateEstablished, // simultaneous open
	},
	model.StateExternalSYN: {
		out(synAck): model.StateEstablished,
		out(syn):    model.StateEstablished,
	},
	model.StateEstablished: {
		out(finAck): model.StateInternalFIN, in(finAck): model.StateExternalFIN,
		out(rst): model.StateTimeWait, in(rst): model.StateTimeWait,
		out(rst | ack): model.StateTimeWait, in(rst | ack): model.StateTimeWait,
	},
	model.StateInternalFIN: {
		out(syn):   model.StateInternalSYN,
		in(finAck): model.StateBothFIN,
		out(rst):   model.StateTimeWait, in(rst): model.StateTimeWait,
		out(rst | ack): model.StateTimeWait, in(rst | ack): model.StateTimeWait,
	},
	model.StateExternalFIN: {
		out(syn):    model.StateInternalSYN,
		out(finAck): model.StateBothFIN,
		out(rst):    model.StateTimeWait, in(rst): model.StateTimeWait,
		out(rst | ack): model.StateTimeWait, in(rst | ack): model.StateTimeWait,
	},
	model.StateBothFIN: {
		out(syn): model.StateInternalSYN, in(syn): model.StateExternalSYN,
		// a RST changes nothing: RFC 6146 section 3.5.2.2
	},
	model.StateTimeWait: {
		out(syn):    model.StateInternalSYN, // one from outside may be forged: RFC 7857 section 2.3
		out(synAck): model.StateEstablished, in(synAck): model.StateEstablished,
		out(ack): model.StateEstablished, in(ack): model.StateEstablished,
		out(finAck): model.StateEstablished, in(finAck): model.StateEstablished,
	},
}

type tcpCase struct {
	steps []step
	want  model.TCPState
}

// tcpCases is every segment in every state.
func tcpCases() []tcpCase {
	var cases []tcpCase
	for state, path := range tcpPaths {
		cases = append(cases, tcpCase{path, state})
		for _, flags := range []byte{syn, synAck, ack, finAck, rst, rst | ack} {
			for _, last := range []step{out(flags), in(flags)} {
				want, changes := tcpTransitions[state][last]
				if !changes {
					want = state
				}
				cases = append(cases, tcpCase{append(append([]step(nil), path...), last), want})
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

// halfOpen reports whether the remote opened the connection and has not sent the
// handshake's last ACK: it may be a flood under forged addresses.
func (c tcpCase) halfOpen() bool {
	return c.want == model.StateEstablished && c.steps[0] == in(syn)
}

// Each case has a mapped internal port of its own, so that its external one is
// known before the first segment.
func TestTCPStatesAndLifetimes(t *testing.T) {
	t.Parallel()
	for _, profile := range []model.Profile{model.ProfileRFC, model.ProfileWinNAT} {
		t.Run(string(profile), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			r.mute(t, 0)
			r.config.NATs[rigNAT] = defaultNAT(profile)
			cases := tcpCases()
			for i := range cases {
				port := uint16(10000 + i)
				external := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
				r.config.Mappings[uint32(i+1)] = mapping(model.TCP, external.String(), inside(0, port))
			}
			r.apply(t)
			for round := range 5 {
				r.playRound(t, cases, round)
			}
			for i, c := range cases {
				r.checkCase(t, c, inside(0, uint16(10000+i)), profile)
			}
			r.consistent(t)
		})
	}
}

// playRound sends the segment of that number of each case, and waits until all
// have been counted.
func (r *rig) playRound(t *testing.T, cases []tcpCase, round int) {
	t.Helper()
	var outward, inward []segment
	for i, c := range cases {
		port := uint16(10000 + i)
		switch {
		case round >= len(c.steps):
		case c.steps[round].out:
			outward = append(outward, segment{protocol: model.TCP, flags: c.steps[round].flags, from: inside(0, port), to: stranger(7, 80)})
		default:
			to := netip.AddrPortFrom(hostAddress, port)
			inward = append(inward, segment{protocol: model.TCP, flags: c.steps[round].flags, from: stranger(7, 80), to: to})
		}
	}
	r.fromEndpoint(t, 0, outward...)
	r.fromRemote(t, inward...)
	eventually(t, fmt.Sprintf("segments of round %d", round), func() bool {
		done := 0
		for _, s := range r.sessions(t) {
			steps := len(cases[s.Internal.Port()-10000].steps)
			if s.PacketsIn+s.PacketsOut == uint64(min(steps, round+1)) {
				done++
			}
		}
		return done == len(cases)
	})
}

func (r *rig) checkCase(t *testing.T, c tcpCase, internal netip.AddrPort, profile model.Profile) {
	t.Helper()
	got, has := r.session(t, model.TCP, internal, stranger(7, 80))
	if !has || got.State != c.want {
		t.Errorf("%v: state %v, want %v", c.steps, got.State, c.want)
		return
	}
	timeouts, _ := profile.Defaults()
	want := tcpLifetime(c.want, timeouts)
	if c.halfOpen() {
		want = timeouts.TCPTransitory.Duration()
	}
	if got.Left > want || got.Left < want-clockSlack {
		t.Errorf("%v: ends in %v, want %v", c.steps, got.Left, want)
	}
}

// Lifetimes of the protocols without states.
func TestIdleLifetimesOfProfiles(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.mute(t, 0)
	for i, tt := range []struct {
		profile   model.Profile
		udp, icmp time.Duration
	}{
		{model.ProfileRFC, 300 * time.Second, 60 * time.Second},
		{model.ProfileWinNAT, 120 * time.Second, 30 * time.Second},
	} {
		r.config.NATs[rigNAT] = defaultNAT(tt.profile)
		r.apply(t)
		for p, want := range map[model.Protocol]time.Duration{model.UDP: tt.udp, model.ICMP: tt.icmp} {
			from := inside(0, uint16(4000+i))
			r.fromEndpoint(t, 0, segment{protocol: p, from: from, to: stranger(7, 0)})
			r.external(t, p, from)
			s, _ := r.session(t, p, from, stranger(7, 0))
			if s.Left > want || s.Left < want-clockSlack {
				t.Errorf("%s: %v ends in %v, want %v", tt.profile, p, s.Left, want)
			}
		}
	}
}

// clockSlack is how much later than a packet a busy machine may look at its session.
const clockSlack = 4 * time.Second
