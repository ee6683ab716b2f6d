/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Endpoint-dependent mapping, for a NAT that may go on with it when its ports
 * are used up: each session has an external port for its remote alone, so one
 * port serves as many sessions as there are remotes (RFC 7857 section 3). A
 * slice of the range is kept for it, so that endpoint-independent bindings
 * never meet it (RFC 4787 REQ-11).
 */
#pragma once
#include "port.h"

enum { OVERFLOW_TRIES = 8192 };

struct overflow_search {
	struct __sk_buff *skb;
	struct port_bits *reserved;
	struct overflow_key key; /* result */
	struct overflow inside;
	__u32 low, size, start;
	bool found, full;
};

static long overflow_step(__u32 round, struct overflow_search *search)
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
	error = bpf_map_update_elem(&overflows, &search->key, &search->inside, BPF_NOEXIST);
	search->found = !error;
	search->full = error && error != -EEXIST;
	return error != -EEXIST;
}

INLINE __u64 *overflow_count(__u32 nat)
{
	__u64 none = 0, *count = bpf_map_lookup_elem(&overflow_counts, &nat);

	if (count)
		return count;
	bpf_map_update_elem(&overflow_counts, &nat, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&overflow_counts, &nat);
}

/* Reserves an external port for this session's remote. Returns why not, otherwise REASON_NONE. */
GLOBAL int overflow_take(struct __sk_buff *skb, const struct session_key *key, const struct pool_address *pool, __u32 nat,
			 __be16 *port)
{
	struct overflow_search search = { .skb = skb, .start = bpf_get_prandom_u32() };
	struct port_bits_key bits = {};
	__u64 *count;

	if (!key || !pool || !port || !pool->overflow.high)
		return REASON_OUT_OF_PORTS;
	bits.address = search.key.external_address = pool->address;
	bits.protocol = search.key.protocol = key->protocol;
	search.key.remote_address = key->remote_address;
	search.key.remote_port = key->remote_port;
	search.inside.compartment = key->compartment;
	search.inside.internal_address = key->internal_address;
	search.inside.internal_port = key->internal_port;
	search.low = pool->overflow.low;
	search.size = pool->overflow.high - pool->overflow.low + 1;
	search.reserved = bpf_map_lookup_elem(&reserved_ports, &bits);
	bpf_loop(search.size < OVERFLOW_TRIES ? search.size : OVERFLOW_TRIES, overflow_step, &search, 0);
	if (!search.found)
		return search.full ? REASON_BINDINGS_FULL : REASON_OUT_OF_PORTS;
	*port = search.key.external_port;
	count = overflow_count(nat);
	if (count && __sync_fetch_and_add(count, 1) == 0)
		event_refused(EVENT_OVERFLOW_BEGIN, key, nat, 0);
	return REASON_NONE;
}

GLOBAL int overflow_leave(const struct session_key *key, __be32 external_address, __be16 external_port, __u32 nat)
{
	struct overflow_key overflow_key = { .external_address = external_address, .external_port = external_port };
	__u64 *count;

	if (!key)
		return 0;
	overflow_key.remote_address = key->remote_address;
	overflow_key.remote_port = key->remote_port;
	overflow_key.protocol = key->protocol;
	if (bpf_map_delete_elem(&overflows, &overflow_key))
		return 0;
	count = overflow_count(nat);
	if (count && __sync_fetch_and_add(count, -1) == 1)
		event_refused(EVENT_OVERFLOW_END, key, nat, 0);
	return 0;
}
