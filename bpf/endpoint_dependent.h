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

enum { DEPENDENT_TRIES = 8192 };

struct dependent_search {
	struct __sk_buff *skb;
	struct port_bits *reserved;
	struct dependent_port_key key; /* result */
	struct dependent_port inside;
	__u32 low, size, start;
	bool found, full;
};

static long dependent_step(__u32 round, struct dependent_search *search)
{
	struct binding_key binding = { .address = search->key.external_address, .protocol = search->key.protocol };
	__u16 port = search->low + (search->start + round) % (search->size ?: 1);
	long error;

	binding.port = search->key.external_port = htons(port);
	if (search->reserved && search->reserved->word[port / 64] >> (port % 64) & 1)
		return 0;
	/* Another NAT with this address may have it for a binding. */
	if (bpf_map_lookup_elem(&bindings, &binding) || host_talks(&binding) ||
	    host_socket(search->skb, binding.protocol, search->key.remote_address, search->key.remote_port, binding.address,
			binding.port))
		return 0;
	error = map_update(&dependent_ports, &search->key, &search->inside, BPF_NOEXIST);
	search->found = !error;
	search->full = error && error != -EEXIST;
	return error != -EEXIST;
}

INLINE __u64 *find_dependent_count(__u32 nat)
{
	__u64 none = 0, *count = bpf_map_lookup_elem(&dependent_count, &nat);

	if (count)
		return count;
	map_update(&dependent_count, &nat, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&dependent_count, &nat);
}

/* Reserves an external port for this session's remote. Returns why not, otherwise REASON_NONE. */
GLOBAL int dependent_take(struct __sk_buff *skb, struct flow *flow, const struct pool_address *pool)
{
	struct dependent_search search = { .skb = skb, .start = bpf_get_prandom_u32() };
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
	search.reserved = bpf_map_lookup_elem(&reserved_ports, &bits);
	bpf_loop(search.size < DEPENDENT_TRIES ? search.size : DEPENDENT_TRIES, dependent_step, &search, 0);
	if (!search.found)
		return search.full ? REASON_BINDINGS_FULL : REASON_OUT_OF_PORTS;
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
	count = find_dependent_count(opening->nat);
	if (count && __sync_fetch_and_add(count, -1) == 1)
		event_refused(EVENT_ENDPOINT_DEPENDENT_END, key, opening->nat, 0);
	return 0;
}
