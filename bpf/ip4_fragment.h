/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Fragments. Only a datagram's first one has ports; it leaves a note of how it
 * was translated, which the others follow. Those that come before it, and what
 * is too big for the way on, take a turn through the reassembly namespace (ip4_reassembly.h) and are
 * seen once more, in order and small enough.
 */
#pragma once
#include "ip4_deliver.h"
#include "ip4_reassembly.h"

enum { FRAGMENT_MEMORY = 15 }; /* seconds; RFC 6146 section 4 asks for at least 2 */

struct fragment {
	__u64 expires; /* monotonic ns */
	__be32 source, destination; /* what they become; 0: stay */
	__be16 id; /* what the identification becomes, if the source changes */
	__u16 mtu; /* of the way on; 0: any */
	struct way way; /* outward: the way out */
	__u32 compartment, network; /* inward: whose address the destination is */
};

/* Bounded, and the oldest goes first: a flood of first fragments harms fragments alone. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct fragment_key);
	MAP_TYPE(value, struct fragment);
	MAP_UINT(max_entries, 16384);
} fragments SEC(".maps");

/* First fragments that went on untouched, and until when that counts: a hint that spares the others the detour. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct fragment_key);
	MAP_TYPE(value, __u64);
	MAP_UINT(max_entries, 4096);
} foreign_fragments SEC(".maps");

enum { FRAGMENT_IDS = 256 }; /* so many a CPU takes at once: few packets write what all CPUs read */

/* The next identification that no CPU has taken. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u32);
	MAP_UINT(max_entries, 1);
} fragment_ids SEC(".maps");

/*
 * Outward, datagrams of two endpoints meet under one address: each gets an
 * identification of its own, or the remote would mix them. RFC 3022 section
 * 6.3, RFC 7857 section 10.
 */
INLINE __be16 next_fragment_id(struct flow *flow)
{
	__u32 zero = 0, *next;

	if (!flow->ids_left) {
		next = bpf_map_lookup_elem(&fragment_ids, &zero);
		if (!next)
			return 0;
		flow->next_id = unlikely(dry_run) ? *next : __sync_fetch_and_add(next, FRAGMENT_IDS);
		flow->ids_left = FRAGMENT_IDS;
	}
	flow->ids_left--;
	return htons(flow->next_id++);
}

NOINLINE int note_outward(const struct flow *flow, const struct session *session, __be16 id)
{
	struct fragment note = { .expires = now() + FRAGMENT_MEMORY * SECOND, .id = id };
	struct fragment_key key = fragment_key(flow, 0);

	if (!session)
		return -1;
	note.source = session->external_address;
	note.way = way_load(&session->way);
	note.mtu = session->way_mtu;
	return map_update(&fragments, &key, &note, BPF_ANY);
}

/* far is the session's key on the receiver's side. */
NOINLINE int note_inward(const struct flow *flow, const struct session_key *far, __u32 network, __be32 source, __be16 id)
{
	struct fragment note = { .expires = now() + FRAGMENT_MEMORY * SECOND, .source = source, .id = id };
	struct fragment_key key = fragment_key(flow, 0);

	if (!far)
		return -1;
	note.destination = far->internal_address;
	note.compartment = far->compartment;
	note.network = network;
	return map_update(&fragments, &key, &note, BPF_ANY);
}

INLINE struct fragment *find_first_fragment(const struct flow *flow)
{
	struct fragment_key key = fragment_key(flow, 0);
	struct fragment *note = bpf_map_lookup_elem(&fragments, &key);

	return note && note->expires > now() ? note : NULL;
}

/* Remembers that a first fragment was not for a session. */
INLINE void note_foreign(const struct flow *flow)
{
	struct fragment_key key = fragment_key(flow, 0);
	__u64 expires = now() + FRAGMENT_MEMORY * SECOND;

	map_delete(&fragments, &key); /* of an older datagram with the same identification */
	map_update(&foreign_fragments, &key, &expires, BPF_ANY);
}

INLINE bool is_foreign(const struct flow *flow)
{
	struct fragment_key key = fragment_key(flow, 0);
	__u64 *expires = bpf_map_lookup_elem(&foreign_fragments, &key);

	return expires && *expires > now();
}

/* Gives a fragment another identification. */
INLINE bool rewrite_id(struct __sk_buff *skb, const struct packet *packet, __be16 id)
{
	struct iphdr *ip = ip_header(skb, packet);

	if (!ip)
		return false;
	ip->check = adjust_ip_checksum(ip->check, 0, 0, ip->id, id);
	ip->id = id;
	return true;
}

/* The first fragment of a datagram going out; afterwards it is translated like any packet. */
INLINE enum reason first_fragment_out(struct __sk_buff *skb, struct flow *flow, const struct session *session)
{
	__be16 id = next_fragment_id(flow);

	if (note_outward(flow, session, id) || !rewrite_id(skb, &flow->packet, id))
		return REASON_FRAGMENT;
	return REASON_NONE;
}

INLINE enum reason first_fragment_in(const struct flow *flow, __u32 network)
{
	return note_inward(flow, &flow->key, network, 0, 0) ? REASON_FRAGMENT : REASON_NONE;
}

/* The first fragment of a hairpin: both ends will be another. */
INLINE enum reason first_fragment_across(struct __sk_buff *skb, struct flow *flow, __u32 network, __be32 source)
{
	__be16 id = next_fragment_id(flow);

	if (note_inward(flow, &flow->far_key, network, source, id) || !rewrite_id(skb, &flow->packet, id))
		return REASON_FRAGMENT;
	return REASON_NONE;
}

/* Does with a later fragment what was done with the first one. */
NOINLINE int follow(struct __sk_buff *skb, struct flow *flow, const struct fragment *note)
{
	struct packet *packet = &flow->packet;
	struct endpoint *endpoint;

	if (packet->ttl <= 1)
		return drop(flow, REASON_HOP_LIMIT);
	if (note->source && (!rewrite_id(skb, packet, note->id) || rewrite_address(skb, packet, SOURCE, note->source, 1)))
		return drop(flow, REASON_MALFORMED);
	if (!note->destination) {
		if (note->mtu && packet->length > note->mtu)
			return drop(flow, REASON_TOO_BIG);
		return deliver_outside(skb, flow, note->way);
	}
	if (rewrite_address(skb, packet, DESTINATION, note->destination, note->source ? 0 : 1))
		return drop(flow, REASON_MALFORMED);
	endpoint = find_endpoint(note->compartment, note->destination);
	if (is_too_big(skb, packet, endpoint))
		return drop(flow, REASON_TOO_BIG);
	return deliver_to(skb, flow, endpoint, note->network, note->destination);
}

/*
 * A later fragment whose first one was not seen. From one that has been in the
 * reassembly namespace nothing more can be learnt. What may be the host's goes on
 * to the host at once, and a copy to reassembly in case that it is ours after all.
 */
NOINLINE int wait_for_first(struct __sk_buff *skb, struct flow *flow, bool may_be_hosts)
{
	struct passage *passage = find_passage(skb, flow);
	int verdict;

	if (came_from_reassembly(skb)) {
		if (!passage)
			return may_be_hosts && !flow->packet.l3 ? NOT_OURS : drop(flow, REASON_FIRST_FRAGMENT);
	} else if (may_be_hosts && flow->packet.l3 && !(passage && passage->first)) {
		copy_to_reassembly(skb);
		return NOT_OURS;
	}
	verdict = to_reassembly(skb, flow, 0);
	if (verdict != NOT_OURS)
		return verdict;
	return may_be_hosts ? NOT_OURS : drop(flow, REASON_FIRST_FRAGMENT);
}

/* A later fragment from the inside. */
INLINE int later_fragment_out(struct __sk_buff *skb, struct flow *flow)
{
	struct fragment *note = find_first_fragment(flow);
	bool to_host;
	int verdict;

	if (note)
		return follow(skb, flow, note);
	to_host = is_host_address(flow->packet.destination);
	if (to_host && !came_from_reassembly(skb) && is_foreign(flow))
		return TCX_NEXT;
	verdict = wait_for_first(skb, flow, to_host);
	return verdict == NOT_OURS ? TCX_NEXT : verdict;
}

/* A later fragment from outside; NOT_OURS if it may be the host's. */
INLINE int later_fragment_in(struct __sk_buff *skb, struct flow *flow)
{
	struct fragment *note = find_first_fragment(flow);

	if (note)
		return follow(skb, flow, note);
	if (is_foreign(flow))
		return NOT_OURS;
	return wait_for_first(skb, flow, true);
}
