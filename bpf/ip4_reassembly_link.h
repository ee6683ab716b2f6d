/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Our end of the veth to the reassembly namespace: addresses become a token on the way in, and addresses again on the way out. */
#pragma once
#include "ip4_fragment.h"

/* Which of the routes there has an MTU no larger than this one; 0: as it is. RFC 791: all pieces but the last are multiples of 8. */
INLINE __u16 piece_size(__u32 mtu)
{
	__u32 pieces;

	if (mtu < sizeof(struct iphdr) + 48) /* RFC 791: every link carries 68 */
		return mtu ? 6 : 0;
	pieces = (mtu - sizeof(struct iphdr)) / 8;
	return pieces <= PIECE_EXACT ? pieces : pieces / PIECE_STEP * PIECE_STEP;
}

/* How much of reassembly's memory a sender's fragments take at the moment. */
struct load_key {
	__u32 compartment;
	__be32 source; /* 0: everybody outside, where addresses may be false */
};
struct load {
	__u64 since; /* monotonic ns */
	__s64 bytes;
};
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct load_key);
	MAP_TYPE(value, struct load);
	MAP_UINT(max_entries, 4096);
} reassembly_loads SEC(".maps");

enum {
	LOAD_MEMORY = 3, /* seconds: what waits longer has been forgotten there */
	LOAD_PACKET = 1024, /* what the kernel needs for a packet besides its bytes, about */
	LOAD_INSIDE = 2 << 20, /* bytes for an endpoint, */
	LOAD_OUTSIDE = 8 << 20, /* and for all outside: half of the memory */
};

INLINE struct load_key load_key(__u32 compartment, __be32 source)
{
	struct load_key key = { .compartment = compartment, .source = compartment == OUTSIDE ? 0 : source };
	return key;
}

/* Whether there is place for a sender's fragment: nobody may take it from all others. */
NOINLINE int reassembly_admits(__u32 compartment, __be32 source, __u32 bytes)
{
	struct load_key key = load_key(compartment, source);
	struct load *load = bpf_map_lookup_elem(&reassembly_loads, &key), new = { .bytes = bytes };
	__u64 time = now();

	if (!load) {
		new.since = time;
		map_update(&reassembly_loads, &key, &new, BPF_ANY);
		return true;
	}
	if (load->since + LOAD_MEMORY * SECOND < time) {
		load->since = time;
		load->bytes = 0;
	}
	if (load->bytes > (compartment == OUTSIDE ? LOAD_OUTSIDE : LOAD_INSIDE))
		return false;
	__sync_fetch_and_add(&load->bytes, bytes);
	return true;
}

INLINE void reassembly_left(__u32 compartment, __be32 source, __u32 bytes)
{
	struct load_key key = load_key(compartment, source);
	struct load *load = bpf_map_lookup_elem(&reassembly_loads, &key);

	if (load && load->bytes >= bytes)
		__sync_fetch_and_add(&load->bytes, -(__s64)bytes);
}

/* Gives out the next token. */
NOINLINE int take_token(struct __sk_buff *skb, struct passage *passage, __u32 size_turn, __u32 compartment, __u32 counted)
{
	const __u32 ip_at = sizeof(struct ethhdr);
	__u32 zero = 0, *last = bpf_map_lookup_elem(&last_token, &zero), slot, number;
	struct token *token;

	if (!last || !passage)
		return -1;
	number = (__sync_fetch_and_add(last, 1) & ((1U << TOKEN_BITS) - 1)) | REASSEMBLY_SOURCE << TOKEN_BITS;
	slot = number % TOKENS;
	token = bpf_map_lookup_elem(&tokens, &slot);
	if (!token)
		return -1;
	*(volatile __u32 *)&token->token = 0;
	token->ifindex = skb->mark;
	token->size = size_turn >> 8;
	token->turn = size_turn;
	token->compartment = compartment;
	token->counted = counted;
	if (bpf_skb_load_bytes(skb, 0, token->mac, sizeof(token->mac)) ||
	    bpf_skb_load_bytes(skb, ip_at + __builtin_offsetof(struct iphdr, saddr), &token->source, 8) ||
	    bpf_skb_load_bytes(skb, ip_at + __builtin_offsetof(struct iphdr, ttl), &token->ttl, 1))
		return -1;
	*(volatile __u32 *)&token->token = number;
	passage->token = number;
	return 0;
}

/* The token of a datagram, a new one if it has none. */
INLINE struct token *token_of(struct __sk_buff *skb, struct fragment_key *key, bool first, __u32 size_turn, bool counted)
{
	struct passage *known = bpf_map_lookup_elem(&passages, key), new = { .first = first };
	__u64 time = now();
	struct token *token;
	__u32 slot;

	if (known && known->expires > time) {
		if (first)
			known->first = 1;
		slot = known->token % TOKENS;
		token = bpf_map_lookup_elem(&tokens, &slot);
		if (token && token->token == known->token)
			return token;
	}
	new.expires = time + PASSAGE_MEMORY *SECOND;
	if (take_token(skb, &new, size_turn, key->compartment, counted))
		return NULL;
	map_update(&passages, key, &new, BPF_ANY);
	slot = new.token % TOKENS;
	return bpf_map_lookup_elem(&tokens, &slot);
}

/* Replaces both addresses and the TTL. */
INLINE void readdress(struct iphdr *ip, __be32 source, __be32 destination, __u8 ttl)
{
	__u16 old_word = ip->ttl | ip->protocol << 8, new_word = ttl | ip->protocol << 8;

	ip->check = adjust_ip_checksum(ip->check, ip->saddr, source, old_word, new_word);
	ip->check = adjust_ip_checksum(ip->check, ip->daddr, destination, 0, 0);
	ip->saddr = source;
	ip->daddr = destination;
	ip->ttl = ttl;
}

/* On the way in. What is dropped without a reason is nobody's who passes here. */
INLINE int reassembly_in(struct __sk_buff *skb, struct flow *flow)
{
	const __u8 mac[6] = REASSEMBLY_MAC;
	struct packet *packet = &flow->packet;
	__u32 ifindex = skb->mark, turn = skb->priority >> 16 & REASSEMBLY_TURNS, mtu = skb->priority & 0xffff, number;
	struct inside *inside;
	struct fragment_key key;
	struct ethhdr *ethernet;
	struct token *token;
	struct iphdr *ip;
	__u16 size = piece_size(mtu);
	bool single; /* no fragment */

	if (!ifindex || skb->protocol != htons(ETH_P_IP) || parse_ip(skb, packet) || unlikely(dry_run))
		return TCX_DROP; /* nothing of anybody else goes in there */
	inside = bpf_map_lookup_elem(&insides, &ifindex);
	if (inside)
		comes_from(flow, inside);
	key = fragment_key(flow, turn);
	single = !is_fragment(packet);
	if (single) { /* one token serves all packets of this kind */
		key.id = 0;
		key.turn = packet->ttl;
	}
	if (!turn && is_later_fragment(packet) && find_first_fragment(flow)) {
		skb->mark = MARK_REASSEMBLED | 1; /* its first one came meanwhile, on another CPU */
		return bpf_redirect(ifindex, BPF_F_INGRESS);
	}
	if (!single && !reassembly_admits(key.compartment, packet->source, packet->length + LOAD_PACKET))
		return drop(flow, REASON_FRAGMENT);
	token = token_of(skb, &key, !is_later_fragment(packet), (__u32)size << 8 | turn, !single);
	if (!token)
		return drop(flow, REASON_FRAGMENT);
	number = token->token;
	if (!single) /* all fragments of a datagram must look alike */
		size = token->size;
	ethernet = (void *)(long)skb->data;
	ip = (void *)(ethernet + 1);
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return drop(flow, REASON_MALFORMED);
	memcpy(ethernet->destination, mac, sizeof(mac));
	readdress(ip, htonl(number), htonl(REASSEMBLY_DESTINATION << 16 | size), REASSEMBLY_TTL);
	return TCX_NEXT;
}

/* And on the way out. */
INLINE int reassembly_out(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	struct ethhdr *ethernet;
	struct token *token, was;
	struct iphdr *ip;
	__u32 number, slot;

	if (skb->protocol != htons(ETH_P_IP) || parse_ip(skb, packet) || unlikely(dry_run))
		return TCX_DROP;
	number = ntohl(packet->source);
	if (number >> TOKEN_BITS != REASSEMBLY_SOURCE || ntohl(packet->destination) >> 16 != REASSEMBLY_DESTINATION)
		return TCX_DROP; /* what the stack there says of itself */
	slot = number % TOKENS;
	token = bpf_map_lookup_elem(&tokens, &slot);
	if (!token)
		return TCX_DROP;
	memcpy(&was, token, sizeof(was));
	if (was.token != number || *(volatile __u32 *)&token->token != number)
		return drop(flow, REASON_FRAGMENT); /* given to another meanwhile */
	ethernet = (void *)(long)skb->data;
	ip = (void *)(ethernet + 1);
	if ((void *)(ip + 1) > (void *)(long)skb->data_end)
		return TCX_DROP;
	memcpy(ethernet->destination, was.mac, sizeof(was.mac));
	readdress(ip, was.source, was.destination, was.ttl);
	if (was.counted)
		reassembly_left(was.compartment, was.source, packet->length + LOAD_PACKET);
	skb->mark = MARK_REASSEMBLED | (was.turn + 1);
	return bpf_redirect(was.ifindex, BPF_F_INGRESS);
}
