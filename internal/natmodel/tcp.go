package natmodel

import (
	"time"

	"github.com/hostnat/hostnat/internal/model"
)

// incomingSYN is how long a session waits for the answer to a SYN from outside
// (RFC 6146 section 4, TCP_INCOMING_SYN).
const incomingSYN = 6 * time.Second

// nextState is RFC 6146 section 3.5.2.2's machine, with RFC 7857 section 2.
func nextState(state model.TCPState, outward bool, flags byte) model.TCPState {
	has := func(f byte) bool { return flags&f != 0 }
	newSYN := has(flagSYN) && !has(flagACK)
	if has(flagRST) {
		if state >= model.StateEstablished && state != model.StateBothFIN {
			return model.StateTimeWait // RFC 7857 section 2.3: kept for 4 minutes
		}
		return state // a refused handshake, or a closed connection, just runs out
	}
	switch state {
	case model.StateInternalSYN: // SYN-ACK, or a simultaneous open (RFC 5382 REQ-2a)
		if !outward && has(flagSYN) {
			return model.StateEstablished
		}
	case model.StateExternalSYN:
		if outward && has(flagSYN) {
			return model.StateEstablished
		}
	case model.StateEstablished:
		if has(flagFIN) {
			return pick(outward, model.StateInternalFIN, model.StateExternalFIN)
		}
	case model.StateInternalFIN, model.StateExternalFIN:
		if newSYN && outward { // decision D5, where nobody outside can do it
			return model.StateInternalSYN
		}
		if has(flagFIN) && outward == (state == model.StateExternalFIN) {
			return model.StateBothFIN
		}
	case model.StateBothFIN:
		// Decision D5: a new connection on old ports, if the endpoint begins or answers it.
		if outward && newSYN {
			return model.StateInternalSYN
		}
		if outward && has(flagSYN) {
			return model.StateEstablished
		}
	case model.StateTimeWait:
		if newSYN { // from outside it may be forged, and the connection alive
			return pick(outward, model.StateInternalSYN, model.StateTimeWait)
		}
		return model.StateEstablished // RFC 6146: any packet but a RST
	case model.StateNone:
		if has(flagSYN) {
			return pick(outward, model.StateInternalSYN, model.StateExternalSYN)
		}
	}
	return state
}

func pick(outward bool, out, in model.TCPState) model.TCPState {
	if outward {
		return out
	}
	return in
}

// lifetime is how long a TCP session lives without a packet (RFC 5382 REQ-5).
func lifetime(state model.TCPState, t model.Timeouts) time.Duration {
	switch state {
	case model.StateNone, model.StateExternalSYN:
		return incomingSYN
	case model.StateEstablished, model.StateInternalFIN, model.StateExternalFIN:
		return t.TCPEstablished.Duration()
	default:
		return t.TCPTransitory.Duration()
	}
}

// keepsAlive reports whether a packet that does not change the state refreshes
// the session: not where the connection is closing, so that its end comes
// (RFC 6146 section 3.5.2.2).
func keepsAlive(state model.TCPState, outward bool, flags byte) bool {
	switch state {
	case model.StateEstablished, model.StateInternalFIN, model.StateExternalFIN:
		return true
	case model.StateInternalSYN:
		return outward && flags&flagSYN != 0 // sent again
	}
	return false
}
