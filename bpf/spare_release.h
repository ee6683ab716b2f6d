/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the wheel does with queues of spare ports: ends hold-downs that are over, and forgets connections that are. */
#pragma once
#include "binding.h"
#include "tcp.h"

enum { RELEASES = 512 }; /* of a queue in a turn of the wheel */

/* The closed connection on a binding that an element of a queue means, and its key; NULL: it has ended, or is open again. */
INLINE struct session *closed_session(const struct binding_key *at, const struct binding *binding, const struct spare *spare,
				      struct session_key *key)
{
	struct session *session;

	*key = (struct session_key){
		.compartment = binding->compartment,
		.internal_address = binding->internal_address,
		.remote_address = spare->remote_address,
		.internal_port = binding->internal_port,
		.remote_port = spare->remote_port,
		.protocol = at->protocol,
	};
	session = bpf_map_lookup_elem(&sessions, key);
	return session && is_closed(session->state) && session_refreshed(session) == spare->since &&
			       session->external_port == at->port && same_address(session->external_address, at->address)
		       ? session
		       : NULL;
}

INLINE bool is_closed_still(const struct spare_key *key, const struct spare *spare)
{
	struct binding_key at = { .address = key->queue.address, .port = spare->port, .protocol = key->queue.protocol };
	struct binding *binding = bpf_map_lookup_elem(&bindings, &at);
	struct session_key session;

	return binding && closed_session(&at, binding, spare, &session);
}

struct release_turn {
	__u32 now; /* monotonic seconds */
	struct spare_queue_key queue;
};

/* Looks at the first of a queue, and takes it away if it is over. */
static long release_step(__u32 round, struct release_turn *turn)
{
	struct spare_queue *queue = bpf_map_lookup_elem(&spare_queues, &turn->queue);
	bool tcp = turn->queue.protocol == IPPROTO_TCP;
	struct binding_key at = {};
	struct spare *spare, taken;
	struct spare_key key;
	__u64 first;

	if (!queue)
		return 1;
	first = queue->first;
	if (first == queue->next)
		return 1;
	key = (struct spare_key){ .queue = turn->queue, .number = first };
	spare = bpf_map_lookup_elem(&spare_ports, &key);
	if (spare && (tcp ? is_closed_still(&key, spare) : spare->since > turn->now))
		return 1;
	if (!spare_take(queue, &key, first, &taken) || !taken.port || tcp)
		return 0;
	at.address = key.queue.address;
	at.port = taken.port;
	at.protocol = key.queue.protocol;
	if (taken.since <= turn->now || !binding_hold(&at, key.queue.nat, taken.since)) /* not due: it came at this very moment */
		binding_release(&at, taken.since);
	return 0;
}

static long release_queue(void *map, const struct spare_queue_key *key, struct spare_queue *queue, struct release_turn *turn)
{
	turn->queue = *key;
	bpf_loop(RELEASES, release_step, turn, 0);
	return 0;
}
