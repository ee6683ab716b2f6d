/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The reassembly namespace: private, behind one veth pair, with nothing in it but
 * the kernel's own reassembly and fragmentation (internal/host, reassembly.go). Fragments go in in any order and come out with the first one
 * first; what is too big for the way on comes out in pieces. Then they arrive
 * once more at the interface where they had come from.
 *
 * In there a datagram goes by a token instead of its addresses. So those of two
 * compartments with equal addresses do not mix, and when it comes out we know
 * whose it is.
 */
#pragma once
#include "ip4_deliver.h"

/* What comes out was inside twice at the most: for order and for size. */
enum { REASSEMBLY_TURNS = 3 }; /* the bits of it that count */

enum {
	PASSAGE_MEMORY = 4, /* seconds: a little longer than reassembly waits */
	REASSEMBLY_TTL = 64,
	REASSEMBLY_SOURCE = 10, /* first byte of a token as a source address */
	REASSEMBLY_DESTINATION = 0xac1f, /* 172.31.SIZE, where SIZE chooses a route with an MTU */
	TOKENS = 16384,
	TOKEN_BITS = 24,
	PIECE_EXACT = 256, /* sizes: 20 + 8n up to here, then in steps of 512 */
	PIECE_STEP = 64,
};

/* Of the veth's two ends. The far one must be right, or the stack there would not take the frame. */
#define REASSEMBLY_MAC { 0x02, 0x68, 0x6e, 0x00, 0x00, 0x02 }

struct fragment_key {
	__u32 compartment;
	__be32 source, destination;
	__be16 id;
	__u8 protocol;
	__u8 turn; /* of a packet that is no fragment, on its way through: its TTL */
};

/* A datagram's way through the reassembly namespace. */
struct passage {
	__u64 expires; /* monotonic ns */
	__u32 token;
	__u32 first; /* its first fragment is in there: it is ours */
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct fragment_key);
	MAP_TYPE(value, struct passage);
	MAP_UINT(max_entries, TOKENS);
} passages SEC(".maps");

/* What a token stands for. Tokens are given out in a circle. */
struct token {
	__u32 token; /* 0 while it is written */
	__u32 ifindex; /* where the datagram came from */
	__be32 source, destination;
	__u8 mac[12]; /* as in the frame */
	__u8 ttl;
	__u8 turn;
	__u16 size;
	__u32 compartment;
	__u32 counted; /* in reassembly_loads: fragments, which may stay there */
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct token);
	MAP_UINT(max_entries, TOKENS);
} tokens SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u32);
	MAP_UINT(max_entries, 1);
} last_token SEC(".maps");

INLINE bool is_fragment(const struct packet *packet)
{
	return packet->fragment & htons(IP_MF | IP_OFFSET);
}

/* All but the first: no ports in there. */
INLINE bool is_later_fragment(const struct packet *packet)
{
	return packet->fragment & htons(IP_OFFSET);
}

INLINE struct fragment_key fragment_key(const struct flow *flow, __u8 turn)
{
	struct fragment_key key = {
		.compartment = flow->compartment,
		.source = flow->packet.source,
		.destination = flow->packet.destination,
		.id = flow->packet.id,
		.protocol = flow->packet.protocol,
		.turn = turn,
	};
	return key;
}

/* How often a packet has been through. */
INLINE __u32 reassembly_turns(const struct __sk_buff *skb)
{
	__u32 mark = skb->mark;

	return (mark & ~REASSEMBLY_TURNS) == MARK_REASSEMBLED ? mark & REASSEMBLY_TURNS : 0;
}

INLINE bool came_from_reassembly(const struct __sk_buff *skb)
{
	return reassembly_turns(skb) != 0;
}

/* The way through that other fragments of the same datagram have taken. */
INLINE struct passage *find_passage(const struct __sk_buff *skb, const struct flow *flow)
{
	struct fragment_key key = fragment_key(flow, reassembly_turns(skb));
	struct passage *passage = bpf_map_lookup_elem(&passages, &key);

	return passage && passage->expires > now() ? passage : NULL;
}

INLINE __u32 reassembly_ifindex(const struct __sk_buff *skb)
{
	struct settings *settings = get_settings();

	return settings && reassembly_turns(skb) < 2 ? settings->reassembly_ifindex : 0;
}

/*
 * Sends a packet to the reassembly namespace, to be cut to mtu unless that is 0. Interface,
 * turn and MTU go along in fields that nothing touches on the few steps to
 * reassembly_enter. NOT_OURS if there is no such namespace.
 */
NOINLINE int to_reassembly(struct __sk_buff *skb, struct flow *flow, __u32 mtu)
{
	__u32 link = reassembly_ifindex(skb);

	if (!link)
		return NOT_OURS;
	if (!flow->packet.l3 && !add_ethernet(skb))
		return drop(flow, REASON_MALFORMED);
	skb->priority = reassembly_turns(skb) << 16 | (mtu < 0xffff ? mtu : 0xffff);
	skb->mark = skb->ifindex;
	return bpf_redirect(link, 0);
}

/* Has a packet cut to mtu. NOT_OURS if it may not be, or if there is no such namespace. */
INLINE int cut(struct __sk_buff *skb, struct flow *flow, __u32 mtu)
{
	return flow->packet.fragment & htons(IP_DF) ? NOT_OURS : to_reassembly(skb, flow, mtu);
}

/*
 * Where one fragment of a datagram has gone to reassembly, the others do too; what
 * is too big for the way on is cut there (RFC 791). NOT_OURS if the packet fits,
 * and its sender is told if nobody may cut.
 */
NOINLINE int fit(struct __sk_buff *skb, struct flow *flow, __u32 mtu)
{
	int verdict;

	if (is_fragment(&flow->packet) && find_passage(skb, flow)) {
		verdict = to_reassembly(skb, flow, 0);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if (!mtu || wire_length(skb, &flow->packet) <= mtu)
		return NOT_OURS;
	verdict = cut(skb, flow, mtu);
	return verdict == NOT_OURS ? refuse_size(flow, mtu) : verdict;
}

/* Sends a copy there. It goes through reassembly_enter before this returns. */
NOINLINE int copy_to_reassembly(struct __sk_buff *skb)
{
	__u32 link = reassembly_ifindex(skb), mark = skb->mark, priority = skb->priority;

	if (!link || unlikely(dry_run))
		return 0;
	skb->priority = 0;
	skb->mark = skb->ifindex;
	bpf_clone_redirect(skb, link, 0);
	skb->priority = priority;
	skb->mark = mark;
	return 0;
}
