/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Endpoint-dependent mapping, for a NAT that may go on with it when its ports
 * are used up: each session has an external port for its remote alone, so one
 * port serves as many sessions as there are remotes (RFC 7857 section 3). A
 * slice of the range is kept for it, so that endpoint-independent bindings
 * never meet it (RFC 4787 REQ-11).
 */
#pragma once
#include "flow.h"
#include "port.h"
#include "tcp.h"

enum {
	DEPENDENT_TRIES = 8192,
	DEPENDENT_MANY = 256, /* so many ports take time to search */
	FULL_MEMORY = 100000000, /* ns: how long it is remembered that a remote has none left */
};

/*
 * For which remotes all ports are taken: who sends to one of them from ever new
 * ports shall not have all of them searched for each packet. A port that is left
 * ends that. Forgetting the oldest is right here.
 */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct dependent_port_key);
	MAP_TYPE(value, struct dependent_full);
	MAP_UINT(max_entries, 4096);
} dependent_full SEC(".maps");

struct dependent_search {
	struct __sk_buff *skb;
	struct flow *flow;
	struct port_bits *reserved;
	struct dependent_port_key key; /* result */
	struct dependent_port inside;
	__u32 low, size, start;
};

/* The connection that has the port at hand, as flow->far_key says it, if it is closed longer than the one that is known; else NULL. */
INLINE struct session *dependent_closed(struct dependent_search *search, const struct dependent_port *inside)
{
	struct session_key *key = &search->flow->far_key;
	struct session *session;

	if (search->key.protocol != IPPROTO_TCP)
		return NULL;
	*key = (struct session_key){
		.compartment = inside->compartment,
		.internal_address = inside->internal_address,
		.internal_port = inside->internal_port,
		.remote_address = search->key.remote_address,
		.remote_port = search->key.remote_port,
		.protocol = search->key.protocol,
	};
	session = bpf_map_lookup_elem(&sessions, key);
	return session && is_closed(session->state) && session_refreshed(session) < search->flow->reclaim.oldest ? session : NULL;
}

/* Whether a port is another NAT's with this address, for a binding, or the host's own. */
NOINLINE int is_elsewhere(struct dependent_search *search)
{
	struct binding_key *binding = &search->flow->binding_key;

	*binding = (struct binding_key){
		.address = search->key.external_address,
		.port = search->key.external_port,
		.protocol = search->key.protocol,
	};
	return bpf_map_lookup_elem(&bindings, binding) || host_talks(binding) ||
	       host_socket(search->skb, binding->protocol, search->key.remote_address, search->key.remote_port, binding->address,
			   binding->port);
}

static long dependent_step(__u32 round, struct dependent_search *search)
{
	__u16 port = search->low + (search->start + round) % (search->size ?: 1);
	struct reclaim *reclaim = &search->flow->reclaim;
	struct session *closed = NULL;
	struct dependent_port *taken;
	long error;

	search->key.external_port = htons(port);
	if (search->reserved && search->reserved->word[port / 64] >> (port % 64) & 1)
		return 0;
	taken = bpf_map_lookup_elem(&dependent_ports, &search->key); /* first: it costs least, and in a flood it is so */
	if (taken) {
		closed = dependent_closed(search, taken);
		if (!closed)
			return 0;
	}
	if (is_elsewhere(search))
		return 0;
	if (closed) {
		reclaim->oldest = session_refreshed(closed);
		reclaim->port = port;
		reclaim->closed = search->flow->far_key;
		return 0;
	}
	error = map_update(&dependent_ports, &search->key, &search->inside, BPF_NOEXIST);
	search->flow->ports.found = !error;
	if (error && error != -EEXIST)
		search->flow->ports.failed = not_added(error, REASON_BINDINGS_FULL);
	return error != -EEXIST;
}

/* Whether it is remembered that the remote of a search has no port left. */
NOINLINE int is_full(const struct dependent_search *search)
{
	struct dependent_full *full = bpf_map_lookup_elem(&dependent_full, &search->key);

	return unlikely(full) && full->until > now() && full->low == search->low && full->high - full->low + 1 == search->size;
}

/* Remembers that all ports have been looked at in vain. */
NOINLINE int note_full(struct dependent_search *search)
{
	struct dependent_full full = {
		.until = now() + FULL_MEMORY,
		.low = search->low,
		.high = search->low + search->size - 1,
	};

	search->key.external_port = 0;
	map_update(&dependent_full, &search->key, &full, BPF_ANY);
	return 0;
}

/* A remote has a port again: of one that is left, or of a connection that is closed. */
INLINE void forget_full(const struct session_key *key, addr_t external_address)
{
	struct dependent_port_key remote = {
		.external_address = external_address,
		.remote_address = key->remote_address,
		.remote_port = key->remote_port,
		.protocol = key->protocol,
	};

	map_delete(&dependent_full, &remote);
}

INLINE __u64 *find_dependent_count(__u32 nat)
{
	__u64 none = 0, *count = bpf_map_lookup_elem(&dependent_count, &nat);

	if (count)
		return count;
	map_update(&dependent_count, &nat, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&dependent_count, &nat);
}

/*
 * Reserves an external port for this session's remote. Returns why not, otherwise
 * REASON_NONE. Without a free one, flow->reclaim has a closed connection whose port
 * would do; called again then, it begins with that port.
 */
GLOBAL int dependent_take(struct __sk_buff *skb, struct flow *flow, const struct pool_address *pool)
{
	struct dependent_search search = { .skb = skb, .flow = flow };
	struct port_bits_key bits = {};
	__u64 *count;

	if (!flow || !pool || !pool->dependent.high)
		return REASON_OUT_OF_PORTS;
	bits.address = search.key.external_address = pool->address;
	bits.protocol = search.key.protocol = flow->key.protocol;
	search.key.remote_address = flow->key.remote_address;
	search.key.remote_port = flow->key.remote_port;
	search.inside.compartment = flow->key.compartment;
	search.inside.internal_address = flow->key.internal_address;
	search.inside.internal_port = flow->key.internal_port;
	search.low = pool->dependent.low;
	search.size = pool->dependent.high - pool->dependent.low + 1;
	if (is_full(&search))
		return REASON_OUT_OF_PORTS;
	search.start = flow->reclaim.port ? flow->reclaim.port - search.low : bpf_get_prandom_u32();
	search.reserved = bpf_map_lookup_elem(&reserved_ports, &bits);
	flow->reclaim.port = 0;
	flow->reclaim.oldest = ~0ULL;
	flow->ports.found = false;
	flow->ports.failed = REASON_NONE;
	bpf_loop(search.size < DEPENDENT_TRIES ? search.size : DEPENDENT_TRIES, dependent_step, &search, 0);
	if (unlikely(dry_run) && !flow->ports.found && flow->reclaim.port) { /* that would be ended */
		search.key.external_port = htons(flow->reclaim.port);
		flow->ports.found = true;
	}
	if (!flow->ports.found && !flow->ports.failed && !flow->reclaim.port && search.size >= DEPENDENT_MANY)
		note_full(&search);
	if (!flow->ports.found)
		return flow->ports.failed ?: REASON_OUT_OF_PORTS;
	flow->opening.external_address = search.key.external_address;
	flow->opening.external_port = search.key.external_port;
	flow->opening.flags |= SESSION_ENDPOINT_DEPENDENT;
	if (unlikely(dry_run))
		return REASON_NONE;
	count = find_dependent_count(flow->opening.nat);
	if (count && __sync_fetch_and_add(count, 1) == 0)
		event_refused(EVENT_ENDPOINT_DEPENDENT_BEGIN, &flow->key, flow->opening.nat, 0);
	return REASON_NONE;
}

GLOBAL int dependent_leave(const struct session_key *key, const struct opening *opening)
{
	struct dependent_port_key dependent = {};
	__u64 *count;

	if (!key || !opening || unlikely(dry_run))
		return 0;
	dependent.external_address = opening->external_address;
	dependent.external_port = opening->external_port;
	dependent.remote_address = key->remote_address;
	dependent.remote_port = key->remote_port;
	dependent.protocol = key->protocol;
	if (map_delete(&dependent_ports, &dependent))
		return 0;
	forget_full(key, opening->external_address);
	count = find_dependent_count(opening->nat);
	if (count && __sync_fetch_and_add(count, -1) == 1)
		event_refused(EVENT_ENDPOINT_DEPENDENT_END, key, opening->nat, 0);
	return 0;
}
