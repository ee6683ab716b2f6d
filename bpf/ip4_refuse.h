/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Answers to a sender whose packet cannot go on: ICMP errors that the packet
 * itself is turned into. This is done before anything is rewritten, so the
 * quote is what the sender knows and no inside address shows outside.
 */
#pragma once
#include "ip4_icmp_error.h"

/* RFC 792, RFC 1812 section 5.2.7. 3/13 for a flow that no port or state is left for: RFC 5508 REQ-8, decision D3. */
enum { ICMP_NET_UNREACHABLE = 0, ICMP_HOST_UNREACHABLE = 1, ICMP_FRAGMENTATION_NEEDED = 4, ICMP_PROHIBITED = 13 };

/* RFC 1812 section 4.3.2.8: errors are limited. Per CPU and second; to each side apart, so that neither takes the other's. */
enum { ERRORS_PER_SECOND = 100 };

struct error_budget {
	__u64 second;
	__u64 sent;
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct error_budget);
	MAP_UINT(max_entries, 2);
} error_budgets SEC(".maps");

enum error_side { TO_INSIDE, TO_OUTSIDE };

INLINE bool may_send_error(__u32 side)
{
	struct error_budget *budget = bpf_map_lookup_elem(&error_budgets, &side);
	__u64 second = bpf_ktime_get_coarse_ns() / SECOND;

	if (!budget)
		return false;
	if (budget->second != second) {
		budget->second = second;
		budget->sent = 0;
	}
	return budget->sent++ < ERRORS_PER_SECOND;
}

struct icmp_error {
	struct iphdr ip;
	__u8 type, code;
	__u16 check;
	__be16 unused, mtu;
} __attribute__((packed));

/* What is quoted: the IP header, and of TCP the whole fixed header, because an unfinished checksum may not be cut off. */
enum { QUOTE_SHORT = 20 + 8, QUOTE_TCP = 20 + 20 };

INLINE __u32 checksum(__s64 sum)
{
	return (__u16)~fold(sum);
}

/* Sends a frame back to where it came from. */
INLINE bool turn_ethernet(struct __sk_buff *skb)
{
	struct ethhdr *ethernet = (void *)(long)skb->data;
	__u8 mac[6];

	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return false;
	memcpy(mac, ethernet->source, sizeof(mac));
	memcpy(ethernet->source, ethernet->destination, sizeof(mac));
	memcpy(ethernet->destination, mac, sizeof(mac));
	return true;
}

/*
 * Turns the packet into an error from an address of ours to its sender and
 * sends it back through the link it came from. l3 is 14, or 0 on links without
 * Ethernet.
 */
NOINLINE int send_error(struct __sk_buff *skb, __u32 l3, __be32 from, __u32 type_code, __u32 mtu)
{
	__u32 quote = QUOTE_SHORT, room = sizeof(struct icmp_error);
	struct icmp_error *error;
	struct iphdr *old;
	void *icmp;

	old = (void *)(long)skb->data + l3;
	if ((void *)(old + 1) > (void *)(long)skb->data_end || old->ihl != 5)
		return TCX_DROP;
	/* Never about an ICMP error or a later fragment: RFC 1812 section 4.3.2.7. */
	if (old->frag_off & htons(IP_OFFSET))
		return TCX_DROP;
	if (old->protocol == IPPROTO_ICMP) {
		__u8 *icmp_type = (void *)(old + 1);
		if ((void *)(icmp_type + 1) > (void *)(long)skb->data_end || is_icmp_error(*icmp_type) ||
		    *icmp_type == ICMP_SOURCE_QUENCH || *icmp_type == ICMP_REDIRECT)
			return TCX_DROP;
	}
	if (!may_send_error(type_code >> 16))
		return TCX_DROP;
	if (old->protocol == IPPROTO_TCP)
		quote = QUOTE_TCP;
	if (bpf_skb_change_tail(skb, l3 + quote, 0) || bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
		return TCX_DROP;
	if (l3 && !turn_ethernet(skb))
		return TCX_DROP;
	error = (void *)(long)skb->data + l3;
	if ((void *)(error + 1) + QUOTE_SHORT > (void *)(long)skb->data_end)
		return TCX_DROP;
	old = (void *)(error + 1);
	icmp = &error->type;
	error->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tos = 0xc0, /* internetwork control: RFC 1812 section 4.3.2.5 */
		.tot_len = htons((__u16)(room + quote)),
		.ttl = 64,
		.protocol = IPPROTO_ICMP,
		.saddr = from,
		.daddr = old->saddr,
	};
	error->ip.check = checksum(bpf_csum_diff(NULL, 0, (void *)error, sizeof(struct iphdr), 0));
	error->type = type_code >> 8 & 0xff;
	error->code = type_code;
	error->check = 0;
	error->unused = 0;
	error->mtu = htons((__u16)mtu);
	if (quote == QUOTE_SHORT) {
		error->check = checksum(bpf_csum_diff(NULL, 0, icmp, sizeof(struct icmphdr) + QUOTE_SHORT, 0));
	} else {
		if ((void *)(error + 1) + QUOTE_TCP > (void *)(long)skb->data_end)
			return TCX_DROP;
		error->check = checksum(bpf_csum_diff(NULL, 0, icmp, sizeof(struct icmphdr) + QUOTE_TCP, 0));
	}
	return bpf_redirect(skb->ifindex, 0);
}

/* What the NAT says of a flow that no port or state is left for, as type and code; 0: nothing. */
INLINE __u32 exhaustion_answer(const struct inside *inside)
{
	__u32 id = inside ? inside->nat : 0;
	struct nat *nat = bpf_map_lookup_elem(&nats, &id);

	switch (nat ? nat->exhaustion : EXHAUSTION_PROHIBITED) {
	case EXHAUSTION_SILENT:
		return 0;
	case EXHAUSTION_UNREACHABLE: /* RFC 6888 REQ-11B */
		return ICMP_UNREACHABLE << 8 | ICMP_HOST_UNREACHABLE;
	}
	return ICMP_UNREACHABLE << 8 | ICMP_PROHIBITED;
}

/* Drops, counts, and tells the sender where the reason is one that it can act on. */
GLOBAL int refuse(struct __sk_buff *skb, const struct inside *inside, __u32 reason, __u32 mtu)
{
	const __u32 l3 = sizeof(struct ethhdr);
	__u32 answer;

	drop(reason);
	if (!inside)
		return TCX_DROP;
	switch (reason) {
	case REASON_HOP_LIMIT:
		return send_error(skb, l3, inside->gateway, ICMP_TIME_EXCEEDED << 8, 0);
	case REASON_TOO_BIG:
		return send_error(skb, l3, inside->gateway, ICMP_UNREACHABLE << 8 | ICMP_FRAGMENTATION_NEEDED, mtu);
	case REASON_NO_ROUTE:
		return send_error(skb, l3, inside->gateway, ICMP_UNREACHABLE << 8 | ICMP_NET_UNREACHABLE, 0);
	case REASON_OUT_OF_PORTS:
	case REASON_BINDINGS_FULL:
	case REASON_SESSIONS_FULL:
	case REASON_ENDPOINT_LIMIT:
		answer = exhaustion_answer(inside);
		return answer ? send_error(skb, l3, inside->gateway, answer, 0) : TCX_DROP;
	case REASON_NO_EXTERNAL_ADDRESS:
	case REASON_NO_NAT:
	case REASON_ISOLATED:
		return send_error(skb, l3, inside->gateway, ICMP_UNREACHABLE << 8 | ICMP_PROHIBITED, 0);
	}
	return TCX_DROP;
}

/* The same for a sender outside, who is told by the address that it spoke to: time exceeded, or too big if mtu is set. */
NOINLINE int refuse_outside(struct __sk_buff *skb, __u32 l3, __be32 external_address, __u32 mtu)
{
	__u32 type_code = mtu ? ICMP_UNREACHABLE << 8 | ICMP_FRAGMENTATION_NEEDED : ICMP_TIME_EXCEEDED << 8;

	drop(mtu ? REASON_TOO_BIG : REASON_HOP_LIMIT);
	return send_error(skb, l3, external_address, TO_OUTSIDE << 16 | type_code, mtu);
}
