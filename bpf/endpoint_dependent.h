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

enum { DEPENDENT_TRIES = 8192 };

struct dependent_search {
	struct __sk_buff *skb;
	struct flow *flow;
	struct port_bits *reserved;
	struct dependent_port_key key; /* result */
	struct dependent_port inside;
	__u32 low, size, start;
};

/* Notes the connection that has the port at hand, if it is closed, and of several the one that has been so for longest. */
INLINE void dependent_note_closed(struct dependent_search *search)
{
	struct dependent_port *inside = bpf_map_lookup_elem(&dependent_ports, &search->key);
	struct reclaim *reclaim = &search->flow->reclaim;
	struct session_key *key = &search->flow->far_key;
	struct session *session;

	if (!inside)
		return;
	*key = (struct session_key){
		.compartment = inside->compartment,
		.internal_address = inside->internal_address,
		.internal_port = inside->internal_port,
		.remote_address = search->key.remote_address,
		.remote_port = search->key.remote_port,
		.protocol = search->key.protocol,
	};
	session = bpf_map_lookup_elem(&sessions, key);
	if (!session || !is_closed(session->state) || session->refreshed >= reclaim->oldest)
		return;
	reclaim->oldest = session->refreshed;
	reclaim->port = ntohs(search->key.external_port);
	reclaim->closed.session = *key;
}

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
	search->flow->ports.found = !error;
	search->flow->ports.full = error && error != -EEXIST;
	if (error == -EEXIST && binding.protocol == IPPROTO_TCP)
		dependent_note_closed(search);
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
	search.start = flow->reclaim.port ? flow->reclaim.port - search.low : bpf_get_prandom_u32();
	search.reserved = bpf_map_lookup_elem(&reserved_ports, &bits);
	flow->reclaim.port = 0;
	flow->reclaim.oldest = ~0ULL;
	flow->ports.found = flow->ports.full = false;
	bpf_loop(search.size < DEPENDENT_TRIES ? search.size : DEPENDENT_TRIES, dependent_step, &search, 0);
	if (unlikely(dry_run) && !flow->ports.found && flow->reclaim.port) { /* that would be ended */
		search.key.external_port = htons(flow->reclaim.port);
		flow->ports.found = true;
	}
	if (!flow->ports.found)
		return flow->ports.full ? REASON_BINDINGS_FULL : REASON_OUT_OF_PORTS;
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
