/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Has a port back that nobody uses, where ports are short (RFC 6888 REQ-8). */
#pragma once
#include "pool.h"
#include "port.h"
#include "session.h"

enum {
	RECLAIM_TRIES = 64, /* elements of a queue that are looked at */
	RECLAIMS = 8, /* for a flow: there may be other connections on a port, or somebody else is faster to take it */
};

/* A search among what nobody uses; how far it is stands in the flow (struct reclaim). */
struct reclaim_search {
	struct flow *flow;
	const struct pool *pool;
};

/* Takes a port for the result, if it is one that the flow may have. */
INLINE bool is_wanted(const struct reclaim_search *search, const struct binding_key *key)
{
	const struct pool *pool = search->pool;
	struct reclaim *result = &search->flow->reclaim;
	__u16 port = ntohs(key->port);

	if (key->protocol != search->flow->key.protocol)
		return false;
	for (__u32 i = 0; i < POOL_ADDRESSES; i++) {
		if (i < pool->count && (result->only == POOL_ADDRESSES || result->only == i) &&
		    same_address(pool->address[i].address, key->address) &&
		    ports_in_word(&pool->address[i], port / 64) >> (port % 64) & 1) {
			result->port = port;
			result->at = i;
			return true;
		}
	}
	return false;
}

/* Finds the longest closed connection whose port would do. */
static long reclaim_closed(__u32 round, struct reclaim_search *search)
{
	struct closed *closed = &search->flow->reclaim.closed;
	struct binding_key key;
	struct binding *binding;
	struct session *session;

	if (bpf_map_pop_elem(&closed_sessions, closed))
		return 1;
	session = bpf_map_lookup_elem(&sessions, &closed->session);
	if (!session || !is_closed(session->state) || session->refreshed != closed->since)
		return 0; /* ended, or open again */
	key = binding_of(&closed->session, session->external_address, session->external_port, session->flags);
	binding = bpf_map_lookup_elem(&bindings, &key);
	if (!binding || binding->flags & BINDING_CONFIGURED)
		return 0; /* a mapping's port does not become free */
	if (session->nat == search->flow->opening.nat && is_wanted(search, &key))
		return 1;
	bpf_map_push_elem(&closed_sessions, closed, BPF_EXIST);
	return 0;
}

/* Ends the hold-down that has lasted for longest of a port that would do. */
static long reclaim_held(__u32 round, struct reclaim_search *search)
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
	if (binding->nat == search->flow->opening.nat && is_wanted(search, &hold.binding)) {
		binding_release(&hold);
		return 1;
	}
	if (bpf_map_push_elem(&hold_downs, &hold, 0))
		binding_release(&hold);
	return 0;
}

static long dry_count_closed(void *map, const struct session_key *key, struct session *session, struct reclaim_search *search)
{
	const struct binding_key *binding = &search->flow->binding_key;
	struct reclaim *result = &search->flow->reclaim;

	if (key->protocol != binding->protocol || !is_closed(session->state) || session->external_port != binding->port ||
	    !same_address(session->external_address, binding->address))
		return 0;
	result->sessions++;
	if (session->refreshed > result->since)
		result->since = session->refreshed;
	return 0;
}

/* What closed connections leave a port when they have been ended in their order. */
static long dry_find_closed(void *map, const struct session_key *key, struct session *session, struct reclaim_search *search)
{
	struct binding_key *at = &search->flow->binding_key;
	struct reclaim *result = &search->flow->reclaim;
	struct binding *binding;

	if (key->protocol != IPPROTO_TCP || !is_closed(session->state) || session->nat != search->flow->opening.nat ||
	    session->flags & SESSION_ENDPOINT_DEPENDENT || session->refreshed >= result->oldest)
		return 0;
	*at = binding_of(key, session->external_address, session->external_port, session->flags);
	binding = bpf_map_lookup_elem(&bindings, at);
	if (!binding || binding->flags & BINDING_CONFIGURED)
		return 0;
	result->sessions = 1;
	result->since = session->refreshed;
	if (binding->sessions > 1 && result->counts < RECLAIM_TRIES) {
		result->counts++;
		result->sessions = 0;
		bpf_for_each_map_elem(&sessions, dry_count_closed, search, 0);
	}
	if (result->sessions == binding->sessions && result->since < result->oldest && is_wanted(search, at)) {
		result->oldest = result->since;
		result->closed.session = *key;
	}
	return 0;
}

static long dry_find_held(void *map, const struct binding_key *key, struct binding *binding, struct reclaim_search *search)
{
	struct reclaim *result = &search->flow->reclaim;

	if (binding->flags & BINDING_HOLD_DOWN && binding->nat == search->flow->opening.nat &&
	    binding->hold_until < result->oldest && is_wanted(search, key))
		result->oldest = binding->hold_until;
	return 0;
}

/* A dry run can look into no queue without changing it, so it looks at everything. */
INLINE void dry_reclaim(struct reclaim_search *search)
{
	if (search->flow->key.protocol == IPPROTO_TCP)
		bpf_for_each_map_elem(&sessions, dry_find_closed, search, 0);
	else
		bpf_for_each_map_elem(&bindings, dry_find_held, search, 0);
}

/* Ends the closed connection that was found. */
INLINE bool reclaim_end(struct flow *flow)
{
	const struct session_key *key = &flow->reclaim.closed.session;
	struct session *session = bpf_map_lookup_elem(&sessions, key);

	if (session)
		session_end(key, session, END_PRESSURE);
	return true;
}

/*
 * Has a port back that nobody uses any more, for want of a free one: of a closed
 * connection (RFC 6888 REQ-8, exception for NATs that track TCP), or for other
 * protocols of a hold-down. A flow refused would be worse than an early reuse.
 * Nothing live is touched. only is the index of the address in the pool that it
 * has to be on; POOL_ADDRESSES: any of them.
 */
INLINE bool reclaim_port(struct flow *flow, const struct pool *pool, __u32 only)
{
	struct reclaim_search search = { .flow = flow, .pool = pool };
	struct reclaim *result = &flow->reclaim;

	result->port = result->counts = 0;
	result->only = only;
	result->oldest = ~0ULL;
	if (unlikely(dry_run)) {
		dry_reclaim(&search);
		return result->port;
	}
	if (flow->key.protocol != IPPROTO_TCP) {
		bpf_loop(RECLAIM_TRIES, reclaim_held, &search, 0);
		return result->port;
	}
	bpf_loop(RECLAIM_TRIES, reclaim_closed, &search, 0);
	return result->port && reclaim_end(flow);
}
