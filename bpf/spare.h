/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Queues of ports that nobody uses and that are not free yet: of closed TCP
 * connections (RFC 6888 REQ-8 lets a NAT that tracks TCP have their ports back at
 * once), for other protocols of bindings in hold-down. There is one for each NAT,
 * address and protocol, so that whoever looks into one finds the port that has been
 * spare for longest in front, and nobody else's.
 *
 * A queue is two numbers, and its elements are in a table under theirs, so that
 * nothing has to be locked. Who adds one takes a number and then puts the element
 * there; who takes one moves on first, and has what he finds then.
 */
#pragma once
#include "maps.h"

enum {
	SPARES = 1 << 16, /* of a queue: an address has no more ports */
};

/* Takes the first element away, if it is still this one. False: somebody else was faster. taken.port is 0 if there was none by that number. */
INLINE bool spare_take(struct spare_queue *queue, const struct spare_key *key, __u64 first, struct spare *taken)
{
	struct spare *spare;

	if (__sync_val_compare_and_swap(&queue->first, first, first + 1) != first)
		return false;
	spare = bpf_map_lookup_elem(&spare_ports, key);
	if (spare)
		*taken = *spare;
	else
		taken->port = 0;
	map_delete(&spare_ports, key);
	return true;
}

/* The queue of a key whose number is 0, made if there is none. */
INLINE struct spare_queue *make_spare_queue(const struct spare_key *key)
{
	struct spare_queue *queue = bpf_map_lookup_elem(&spare_queues, &key->queue);

	if (likely(queue))
		return queue;
	map_update(&spare_queues, &key->queue, &no_port_bits, BPF_NOEXIST);
	return bpf_map_lookup_elem(&spare_queues, &key->queue);
}

/* Puts a port of the NAT at the end of its queue, with the remote of a connection. False: there is no room for it. */
INLINE bool spare_push(const struct binding_key *binding, __u32 nat, __u64 since, addr_t remote, __be16 remote_port)
{
	struct spare spare = { .since = since, .remote_address = remote, .remote_port = remote_port, .port = binding->port };
	struct spare_key key = { .queue = { .nat = nat, .address = binding->address, .protocol = binding->protocol } };
	struct spare_queue *queue = make_spare_queue(&key);
	__u64 number;

	if (!queue || queue->next - queue->first >= SPARES)
		return false;
	number = __sync_fetch_and_add(&queue->next, 1);
	key.number = number;
	if (map_update(&spare_ports, &key, &spare, BPF_ANY))
		return false;
	if (likely(queue->first <= number))
		return true;
	return map_delete(&spare_ports, &key) != 0; /* others have moved on before it was there; if it is gone, one has it */
}
