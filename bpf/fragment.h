/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Fragments. Only a datagram's first one has ports; it leaves a note of how it
 * was translated, which the others follow. They must come after it: those that
 * come before are dropped and counted.
 */
#pragma once
#include "deliver.h"

enum { FRAGMENT_MEMORY = 15 }; /* seconds; RFC 6146 section 4 asks for at least 2 */
enum { FRAGMENTS_OUTSIDE = ~0U }; /* in place of a compartment: no network has this one */

struct fragment_key {
	__u32 compartment;
	__be32 source, destination;
	__be16 id;
	__u8 protocol;
	__u8 pad;
};

struct fragment {
	__u64 expires; /* monotonic ns */
	__be32 address; /* what the translated end becomes */
	__be16 id; /* what the identification becomes */
	__u16 pad;
	__u32 ifindex; /* outward: the way out */
	__be32 next_hop;
	__u32 compartment, network; /* inward: whose address it is */
};

/* Bounded, and the oldest goes first: a flood of first fragments harms fragments alone. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct fragment_key);
	MAP_TYPE(value, struct fragment);
	MAP_UINT(max_entries, 16384);
} fragments SEC(".maps");

/* The last identification given to a fragmented datagram. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u32);
	MAP_UINT(max_entries, 1);
} fragment_ids SEC(".maps");

INLINE bool is_fragment(const struct packet *packet)
{
	return packet->fragment & htons(IP_MF | IP_OFFSET);
}

/* All but the first: no ports in there. */
INLINE bool is_later_fragment(const struct packet *packet)
{
	return packet->fragment & htons(IP_OFFSET);
}

INLINE struct fragment_key fragment_key(const struct packet *packet, __u32 compartment)
{
	struct fragment_key key = {
		.compartment = compartment,
		.source = packet->source,
		.destination = packet->destination,
		.id = packet->id,
		.protocol = packet->protocol,
	};
	return key;
}

/*
 * Outward, datagrams of two endpoints meet under one address: each gets an
 * identification of its own, or the remote would mix them. RFC 3022 section
 * 6.3, RFC 7857 section 10.
 */
INLINE __be16 next_fragment_id(void)
{
	__u32 zero = 0;
	__u32 *last = bpf_map_lookup_elem(&fragment_ids, &zero);

	return last ? htons((__u16)__sync_fetch_and_add(last, 1)) : 0;
}

/* Functions of their own: the stack of the programs is nearly used up. */
NOINLINE int note_outward(const struct fragment_key *key, const struct session *session, __be16 id)
{
	struct fragment note = { .expires = bpf_ktime_get_coarse_ns() + FRAGMENT_MEMORY * SECOND, .id = id };

	if (!session)
		return -1;
	note.address = session->external_address;
	note.ifindex = session->out_ifindex;
	note.next_hop = session->next_hop;
	return bpf_map_update_elem(&fragments, key, &note, BPF_ANY);
}

NOINLINE int note_inward(const struct fragment_key *key, __u32 compartment, __be32 address, __u32 network)
{
	struct fragment note = {
		.expires = bpf_ktime_get_coarse_ns() + FRAGMENT_MEMORY * SECOND,
		.address = address,
		.compartment = compartment,
		.network = network,
	};

	return bpf_map_update_elem(&fragments, key, &note, BPF_ANY);
}

INLINE struct fragment *find_first_fragment(const struct packet *packet, __u32 compartment)
{
	struct fragment_key key = fragment_key(packet, compartment);
	struct fragment *note = bpf_map_lookup_elem(&fragments, &key);

	return note && note->expires > bpf_ktime_get_coarse_ns() ? note : NULL;
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
INLINE enum reason first_fragment_out(struct __sk_buff *skb, const struct packet *packet, __u32 compartment,
				      const struct session *session)
{
	struct fragment_key key = fragment_key(packet, compartment);
	__be16 id = next_fragment_id();

	if (note_outward(&key, session, id) || !rewrite_id(skb, packet, id))
		return REASON_FRAGMENT;
	return REASON_NONE;
}

INLINE enum reason first_fragment_in(const struct packet *packet, __u32 compartment, __be32 address, __u32 network)
{
	struct fragment_key key = fragment_key(packet, FRAGMENTS_OUTSIDE);

	return note_inward(&key, compartment, address, network) ? REASON_FRAGMENT : REASON_NONE;
}

/* A later fragment going out. */
INLINE int later_fragment_out(struct __sk_buff *skb, const struct packet *packet, __u32 compartment)
{
	struct fragment *note = find_first_fragment(packet, compartment);

	if (!note)
		return drop(REASON_FIRST_FRAGMENT);
	if (packet->ttl <= 1)
		return drop(REASON_HOP_LIMIT);
	if (!rewrite_id(skb, packet, note->id) || rewrite_address(skb, packet, SOURCE, note->address, 1))
		return drop(REASON_MALFORMED);
	return deliver_outside(skb, note->ifindex, note->next_hop);
}

/* A later fragment coming in; NOT_OURS if its first one was not translated. */
INLINE int later_fragment_in(struct __sk_buff *skb, struct packet *packet)
{
	struct fragment *note = find_first_fragment(packet, FRAGMENTS_OUTSIDE);

	if (!note)
		return NOT_OURS;
	if (packet->ttl <= 1)
		return drop(REASON_HOP_LIMIT);
	if (rewrite_address(skb, packet, DESTINATION, note->address, 1))
		return drop(REASON_MALFORMED);
	return deliver_inside(skb, packet, note->compartment, note->network, note->address);
}
