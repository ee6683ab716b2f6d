/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Whose fault is it? How long each side of the NAT took to answer in a TCP
 * connection's handshake, and how often its opener repeated its SYN, by the
 * slow path's packets alone: the SYN, the SYN-ACK and the first ACK.
 *
 * Opened from inside, the outside has the time from the SYN to the SYN-ACK, and
 * the endpoint that from the SYN-ACK to its ACK; opened from outside, the other
 * way round. The first of each counts: what was lost on a side, and had to be
 * sent again, is time that this side took.
 *
 * A side's number is microseconds, or CLOCK_RUNS and since when its answer is
 * waited for; 0: it was never asked.
 */
#pragma once
#include "maps.h"

enum { MICROSECOND = 1000 };

/* By the exact clock: now() is up to a tick behind, which is longer than most answers take. */
INLINE __u32 clock_start(void)
{
	return (__u32)(since_boot() / MICROSECOND) | CLOCK_RUNS;
}

/* Of two CPUs that see the answer one stops the clock. */
INLINE void side_answers(struct session *session, bool outbound)
{
	__u32 *clock = outbound ? &session->endpoint_rtt : &session->outside_rtt, since = *clock, took;

	if (!(since & CLOCK_RUNS))
		return;
	took = (clock_start() - since) & ~CLOCK_RUNS;
	__sync_val_compare_and_swap(clock, since, took ?: 1);
}

/* Counts a SYN like the one that has opened the session. */
INLINE void count_repeated_syn(struct session *session, bool outbound, __u8 flags)
{
	bool opener = outbound ? session->state == STATE_INTERNAL_SYN || session->half_open == HALF_OPEN_INSIDE
			       : session->state == STATE_EXTERNAL_SYN || session->half_open == HALF_OPEN_OUTSIDE;

	if (opener && (flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && session->repeated_syns < 255)
		session->repeated_syns++;
}

/* A packet has changed a session's state. Returns which last packet its handshake waits for: enum half_open, or 0. */
NOINLINE int handshake_goes_on(struct session *session, __u32 old, __u32 new, bool outbound)
{
	bool answered = new == STATE_ESTABLISHED &&old != STATE_TIME_WAIT;

	side_answers(session, outbound);
	if (new == STATE_INTERNAL_SYN || new == STATE_EXTERNAL_SYN || (answered && old == STATE_BOTH_FIN)) { /* a new one */
		session->repeated_syns = 0;
		session->outside_rtt = new == STATE_INTERNAL_SYN ? clock_start() : 0;
		session->endpoint_rtt = new == STATE_EXTERNAL_SYN ? clock_start() : 0;
	}
	if (!answered)
		return 0;
	if (outbound) {
		session->outside_rtt = clock_start();
		return HALF_OPEN_OUTSIDE;
	}
	session->endpoint_rtt = clock_start();
	return HALF_OPEN_INSIDE;
}
