package natmodel

import (
	"time"

	"github.com/hostnat/hostnat/internal/nat"
)

// incomingSYN is how long a session waits for the answer to a SYN from outside
// (RFC 6146 section 4, TCP_INCOMING_SYN).
const incomingSYN = 6 * time.Second

// nextState is RFC 6146 section 3.5.2.2's machine, with RFC 7857 section 2.
func nextState(state nat.TCPState, outward bool, flags byte) nat.TCPState {
	has := func(f byte) bool { return flags&f != 0 }
	newSYN := has(flagSYN) && !has(flagACK)
	if has(flagRST) {
		if state >= nat.StateEstablished && state != nat.StateBothFIN {
			return nat.StateTimeWait // RFC 7857 section 2.3: kept for 4 minutes
		}
		return state // a refused handshake, or a closed connection, just runs out
	}
	switch state {
	case nat.StateInternalSYN: // SYN-ACK, or a simultaneous open (RFC 5382 REQ-2a)
		if !outward && has(flagSYN) {
			return nat.StateEstablished
		}
	case nat.StateExternalSYN:
		if outward && has(flagSYN) {
			return nat.StateEstablished
		}
	case nat.StateEstablished:
		if has(flagFIN) {
			return pick(outward, nat.StateInternalFIN, nat.StateExternalFIN)
		}
	case nat.StateInternalFIN, nat.StateExternalFIN:
		if newSYN && outward { // decision D5, where nobody outside can do it
			return nat.StateInternalSYN
		}
		if has(flagFIN) && outward == (state == nat.StateExternalFIN) {
			return nat.StateBothFIN
		}
	case nat.StateBothFIN:
		if newSYN { // decision D5: a new connection on old ports
			return pick(outward, nat.StateInternalSYN, nat.StateExternalSYN)
		}
	case nat.StateTimeWait:
		if newSYN { // from outside it may be forged, and the connection alive
			return pick(outward, nat.StateInternalSYN, nat.StateTimeWait)
		}
		return nat.StateEstablished // RFC 6146: any packet but a RST
	case nat.StateNone:
		if has(flagSYN) {
			return pick(outward, nat.StateInternalSYN, nat.StateExternalSYN)
		}
	}
	return state
}

func pick(outward bool, out, in nat.TCPState) nat.TCPState {
	if outward {
		return out
	}
	return in
}

// lifetime is how long a TCP session lives without a packet (RFC 5382 REQ-5).
func lifetime(state nat.TCPState, t nat.Timeouts) time.Duration {
	switch state {
	case nat.StateNone, nat.StateExternalSYN:
		return incomingSYN
	case nat.StateEstablished, nat.StateInternalFIN, nat.StateExternalFIN:
		return t.TCPEstablished.Duration()
	default:
		return t.TCPTransitory.Duration()
	}
}

// keepsAlive reports whether a packet that does not change the state refreshes
// the session: not where the connection is closing, so that its end comes
// (RFC 6146 section 3.5.2.2).
func keepsAlive(state nat.TCPState, outward bool, flags byte) bool {
	switch state {
	case nat.StateEstablished, nat.StateInternalFIN, nat.StateExternalFIN:
		return true
	case nat.StateInternalSYN:
		return outward && flags&flagSYN != 0 // sent again
	}
	return false
}
