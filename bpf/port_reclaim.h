/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Has a port back that nobody uses, where ports are short (RFC 6888 REQ-8). */
#pragma once
#include "pool.h"
#include "port.h"
#include "session.h"

enum {
	RECLAIM_TRIES = 512, /* elements that are looked at: those that are of no use any more are taken away for good */
	RECLAIMS = 8, /* for a flow: there may be other connections on a port, or somebody else is faster to take it */
	DRY_COUNTS = 64, /* ports whose closed connections a dry run counts */
};

/* A search among what nobody uses; how far it is stands in the flow (struct reclaim). */
struct reclaim_search {
	struct flow *flow;
	const struct pool *pool;
};

INLINE bool may_have(const struct pool_address *address, __u16 port)
{
	return ports_in_word(address, port / 64) >> (port % 64) & 1;
}

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
		    same_address(pool->address[i].address, key->address) && may_have(&pool->address[i], port)) {
			result->port = port;
			result->at = i;
			return true;
		}
	}
	return false;
}

/* Whether what a queue has is still so: the connection is closed, whose key is flow->far_key then, or the binding in hold-down. */
INLINE bool is_still_spare(struct flow *flow, const struct binding_key *at, const struct spare *spare)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, at);

	if (!binding || binding->flags & BINDING_CONFIGURED) /* a mapping's port does not become free */
		return false;
	if (at->protocol != IPPROTO_TCP)
		return binding->flags & BINDING_HOLD_DOWN && binding->hold_until == spare->since;
	return closed_session(at, binding, spare, &flow->far_key) != NULL;
}

/* Looks at the first of a queue. True: it was of no use and is gone, so there may be another. */
NOINLINE int reclaim_look(struct flow *flow, const struct pool_address *address)
{
	struct binding_key at = { .address = address->address, .protocol = flow->key.protocol };
	struct spare_key key = { .queue = { .nat = flow->opening.nat, .address = at.address, .protocol = at.protocol } };
	struct spare_queue *queue = bpf_map_lookup_elem(&spare_queues, &key.queue);
	struct reclaim *result = &flow->reclaim;
	struct spare *spare, taken;
	__u64 first;

	if (!queue)
		return false;
	first = queue->first;
	if (first == queue->next)
		return false;
	key.number = first;
	spare = bpf_map_lookup_elem(&spare_ports, &key);
	if (spare) {
		at.port = spare->port;
		if (may_have(address, ntohs(at.port)) && is_still_spare(flow, &at, spare)) {
			if (spare->since < result->oldest) {
				result->oldest = spare->since;
				result->number = first;
				result->port = ntohs(at.port);
				result->at = result->looking;
				result->closed = flow->far_key;
			}
			return false;
		}
	}
	if (spare_take(queue, &key, first, &taken) && taken.port && at.protocol != IPPROTO_TCP) {
		at.port = taken.port;
		binding_release(&at, taken.since);
	}
	return true;
}

static long reclaim_step(__u32 round, struct reclaim_search *search)
{
	struct reclaim *result = &search->flow->reclaim;
	const struct pool *pool = search->pool;
	__u32 i = result->looking;

	if (i >= pool->count || i >= POOL_ADDRESSES)
		return 1;
	if (reclaim_look(search->flow, &pool->address[i & (POOL_ADDRESSES - 1)]))
		return 0;
	result->looking++;
	return result->only != POOL_ADDRESSES;
}

static long dry_count_closed(void *map, const struct session_key *key, struct session *session, struct reclaim_search *search)
{
	const struct binding_key *binding = &search->flow->binding_key;
	struct reclaim *result = &search->flow->reclaim;

	if (key->protocol != binding->protocol || !is_closed(session->state) || session->external_port != binding->port ||
	    !same_address(session->external_address, binding->address))
		return 0;
	result->sessions++;
	if (session_refreshed(session) > result->since)
		result->since = session_refreshed(session);
	return 0;
}

/* What closed connections leave a port when they have been ended in their order. */
static long dry_find_closed(void *map, const struct session_key *key, struct session *session, struct reclaim_search *search)
{
	struct binding_key *at = &search->flow->binding_key;
	struct reclaim *result = &search->flow->reclaim;
	struct binding *binding;

	if (key->protocol != IPPROTO_TCP || !is_closed(session->state) || session->nat != search->flow->opening.nat ||
	    session->flags & SESSION_ENDPOINT_DEPENDENT || session_refreshed(session) >= result->oldest)
		return 0;
	*at = binding_of(key, session->external_address, session->external_port, session->flags);
	binding = bpf_map_lookup_elem(&bindings, at);
	if (!binding || binding->flags & BINDING_CONFIGURED)
		return 0;
	result->sessions = 1;
	result->since = session_refreshed(session);
	if (binding->sessions > 1 && result->counts < DRY_COUNTS) {
		result->counts++;
		result->sessions = 0;
		bpf_for_each_map_elem(&sessions, dry_count_closed, search, 0);
	}
	if (result->sessions == binding->sessions && result->since < result->oldest && is_wanted(search, at)) {
		result->oldest = result->since;
		result->closed = *key;
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
	const struct session_key *key = &flow->reclaim.closed;
	struct session *session = bpf_map_lookup_elem(&sessions, key);

	if (session)
		session_end(key, session, END_PRESSURE);
	return true;
}

/* Finds the port that has been spare for longest. False: there is none. */
NOINLINE int reclaim_find(struct flow *flow, const struct pool *pool, __u32 only)
{
	struct reclaim_search search = { .flow = flow, .pool = pool };
	struct reclaim *result = &flow->reclaim;

	result->port = result->counts = 0;
	result->only = only;
	result->looking = only == POOL_ADDRESSES ? 0 : only;
	result->oldest = ~0ULL;
	if (unlikely(dry_run))
		dry_reclaim(&search);
	else
		bpf_loop(RECLAIM_TRIES, reclaim_step, &search, 0);
	return result->port != 0;
}

/* Takes what was found out of its queue, and ends a hold-down. False: another CPU has it. */
NOINLINE int reclaim_take(struct flow *flow, const struct pool *pool)
{
	const struct reclaim *result = &flow->reclaim;
	struct binding_key at = { .protocol = flow->key.protocol, .port = htons(result->port) };
	struct spare_key key = { .queue = { .nat = flow->opening.nat, .protocol = at.protocol }, .number = result->number };
	struct spare_queue *queue;
	struct spare taken;

	at.address = key.queue.address = pool->address[result->at & (POOL_ADDRESSES - 1)].address;
	queue = bpf_map_lookup_elem(&spare_queues, &key.queue);
	if (!queue || !spare_take(queue, &key, result->number, &taken))
		return false;
	if (at.protocol != IPPROTO_TCP)
		binding_release(&at, result->oldest);
	return true;
}

/*
 * Has the port back that nobody has used for longest, for want of a free one: of a
 * closed connection (RFC 6888 REQ-8, exception for NATs that track TCP), or for other
 * protocols of a hold-down. A flow refused would be worse than an early reuse.
 * Nothing live is touched. only is the index of the address in the pool that it
 * has to be on; POOL_ADDRESSES: any of them.
 */
INLINE bool reclaim_port(struct flow *flow, const struct pool *pool, __u32 only)
{
	if (!reclaim_find(flow, pool, only))
		return false;
	if (likely(!dry_run) && reclaim_take(flow, pool) && flow->key.protocol == IPPROTO_TCP)
		reclaim_end(flow);
	return true; /* who has not got it tries, and asks again */
}
