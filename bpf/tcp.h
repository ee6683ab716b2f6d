/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* TCP states and lifetimes: pure functions of RFC 6146 section 3.5.2 and RFC 7857 section 2. */
#pragma once
#include "types.h"

/* RFC 6146 section 4, TCP_INCOMING_SYN. WinNAT starts every TCP session with it. */
#define TCP_INCOMING_SYN 6

/*
 * A SYN in a closing state is a new connection on old ports: the handshake
 * starts again, the binding stays (decision D5). One from outside changes
 * nothing by itself, since it may have a forged source and needs no sequence
 * number: it would cut a connection that may live yet, or free the port of a
 * closed one early. The endpoint's SYN-ACK to it does.
 */
INLINE __u32 tcp_next_state(__u32 state, bool outbound, __u8 flags)
{
	bool new_syn = (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;

	if (flags & TCP_RST) {
		/* A refused handshake and a closed connection just run out; a live one is kept 4 minutes. RFC 7857 section 2.3 */
		bool live = state >= STATE_ESTABLISHED && state != STATE_BOTH_FIN;
		return live ? STATE_TIME_WAIT : state;
	}

	switch (state) {
	case STATE_NONE:
		if (flags & TCP_SYN)
			return outbound ? STATE_INTERNAL_SYN : STATE_EXTERNAL_SYN;
		break;
	case STATE_INTERNAL_SYN: /* SYN-ACK, or SYN of a simultaneous open (RFC 5382 REQ-2) */
		if (!outbound && (flags & TCP_SYN))
			return STATE_ESTABLISHED;
		break;
	case STATE_EXTERNAL_SYN:
		if (outbound && (flags & TCP_SYN))
			return STATE_ESTABLISHED;
		break;
	case STATE_ESTABLISHED:
		if (flags & TCP_FIN)
			return outbound ? STATE_INTERNAL_FIN : STATE_EXTERNAL_FIN;
		break;
	case STATE_INTERNAL_FIN:
	case STATE_EXTERNAL_FIN:
		if (new_syn && outbound)
			return STATE_INTERNAL_SYN;
		if ((flags & TCP_FIN) && outbound == (state == STATE_EXTERNAL_FIN))
			return STATE_BOTH_FIN;
		break;
	case STATE_BOTH_FIN:
		if (outbound && (flags & TCP_SYN))
			return new_syn ? STATE_INTERNAL_SYN : STATE_ESTABLISHED;
		break;
	case STATE_TIME_WAIT:
		if (new_syn)
			return outbound ? STATE_INTERNAL_SYN : STATE_TIME_WAIT;
		return STATE_ESTABLISHED; /* RFC 6146: not dead after all */
	}
	return state;
}

INLINE __u32 tcp_lifetime(__u32 state, const struct nat *nat)
{
	switch (state) {
	case STATE_NONE:
	case STATE_EXTERNAL_SYN:
		return TCP_INCOMING_SYN;
	case STATE_ESTABLISHED:
	case STATE_INTERNAL_FIN:
	case STATE_EXTERNAL_FIN:
		return nat->tcp_established_timeout;
	default:
		return nat->tcp_transitory_timeout;
	}
}

/* Whether a packet that changes nothing still keeps a session in this state alive. */
INLINE bool tcp_refreshes(__u32 state)
{
	return state >= STATE_ESTABLISHED && state <= STATE_EXTERNAL_FIN;
}

/* Whether both ends have closed a connection, or one has reset it. */
INLINE bool is_closed(__u32 state)
{
	return state == STATE_BOTH_FIN || state == STATE_TIME_WAIT;
}
