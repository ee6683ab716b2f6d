package wire

import (
	"github.com/hostnat/hostnat/internal/model"
)

// Step is a TCP segment out of the endpoint or in from the remote.
type Step struct {
	Out   bool
	Flags byte
}

func Out(flags byte) Step { return Step{true, flags} }

func In(flags byte) Step { return Step{false, flags} }

func (s Step) String() string {
	direction := "in"
	if s.Out {
		direction = "out"
	}
	names := map[byte]string{Syn: "SYN", SynAck: "SYN-ACK", Ack: "ACK", FinAck: "FIN", Rst: "RST", Rst | Ack: "RST-ACK"}
	return names[s.Flags] + " " + direction
}

// TCPPaths are the shortest ways to each state that a session can be in.
var TCPPaths = map[model.TCPState][]Step{
	model.StateInternalSYN: {Out(Syn)},
	model.StateExternalSYN: {In(Syn)},
	model.StateEstablished: {Out(Syn), In(SynAck)},
	model.StateInternalFIN: {Out(Syn), In(SynAck), Out(FinAck)},
	model.StateExternalFIN: {Out(Syn), In(SynAck), In(FinAck)},
	model.StateBothFIN:     {Out(Syn), In(SynAck), In(FinAck), Out(FinAck)},
	model.StateTimeWait:    {Out(Syn), In(SynAck), In(Rst)},
}
