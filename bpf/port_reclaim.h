/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Has a port back that nobody uses, where ports are short (RFC 6888 REQ-8). */
#pragma once
#include "session.h"

enum { RECLAIM_TRIES = 64 };

struct reclaim {
	struct session_key *closed; /* a closed connection to be ended */
	__u32 nat;
	__u8 protocol;
	bool found;
};

/* Finds the longest closed connection of a NAT. Nothing live is touched. */
static long reclaim_closed(__u32 round, struct reclaim *reclaim)
{
	struct session *session;
	struct closed closed;

	if (bpf_map_pop_elem(&closed_sessions, &closed))
		return 1;
	session = bpf_map_lookup_elem(&sessions, &closed.session);
	if (!session || !is_closed(session->state) || session->refreshed != closed.since)
		return 0; /* ended, or open again */
	if (session->nat != reclaim->nat) {
		bpf_map_push_elem(&closed_sessions, &closed, BPF_EXIST);
		return 0;
	}
	*reclaim->closed = closed.session;
	reclaim->found = true;
	return 1;
}

/* Ends the hold-down of the port of a NAT that has been in it for longest. */
static long reclaim_held(__u32 round, struct reclaim *reclaim)
{
	struct hold_down hold = {};
	struct binding *binding;

	if (bpf_map_pop_elem(&hold_downs, &hold))
		return 1;
	binding = bpf_map_lookup_elem(&bindings, &hold.binding);
	if (!binding || !(binding->flags & BINDING_HOLD_DOWN) || binding->hold_until != hold.until) {
		binding_release(&hold); /* a mapping has had the port since, or it is in use again */
		return 0;
	}
	if ((binding->nat != reclaim->nat || hold.binding.protocol != reclaim->protocol) &&
	    !bpf_map_push_elem(&hold_downs, &hold, 0))
		return 0;
	binding_release(&hold);
	reclaim->found = true;
	return 1;
}

/*
 * Has a port back that nobody uses any more, for want of a free one: of a closed
 * connection (RFC 6888 REQ-8, exception for NATs that track TCP), or for other
 * protocols of a hold-down. A flow refused would be worse than an early reuse.
 */
INLINE bool reclaim_port(struct flow *flow)
{
	struct reclaim reclaim = { .closed = &flow->far_key, .nat = flow->opening.nat, .protocol = flow->key.protocol };
	struct session *session;

	if (unlikely(dry_run))
		return false;
	if (flow->key.protocol != IPPROTO_TCP) {
		bpf_loop(RECLAIM_TRIES, reclaim_held, &reclaim, 0);
		return reclaim.found;
	}
	bpf_loop(RECLAIM_TRIES, reclaim_closed, &reclaim, 0);
	session = reclaim.found ? bpf_map_lookup_elem(&sessions, &flow->far_key) : NULL;
	if (session)
		session_end(&flow->far_key, session);
	return session != NULL;
}
