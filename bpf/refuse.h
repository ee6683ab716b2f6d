/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Answers to an inside sender whose packet cannot go on: ICMP errors that the
 * packet itself is turned into. This is done before anything is rewritten, so
 * the quote is what the sender knows and no inside address shows outside.
 */
#pragma once
#include "icmp.h"

/* RFC 792, RFC 1812 section 5.2.7. 3/13 for a flow that no port or state is left for: RFC 5508 REQ-8, decision D3. */
enum { ICMP_NET_UNREACHABLE = 0, ICMP_FRAGMENTATION_NEEDED = 4, ICMP_PROHIBITED = 13 };

/* RFC 1812 section 4.3.2.8: errors are limited. Per CPU and second. */
enum { ERRORS_PER_SECOND = 100 };

struct error_budget {
	__u64 second;
	__u64 sent;
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct error_budget);
	MAP_UINT(max_entries, 1);
} error_budgets SEC(".maps");

INLINE bool may_send_error(void)
{
	__u32 zero = 0;
	struct error_budget *budget = bpf_map_lookup_elem(&error_budgets, &zero);
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
	struct ethhdr ethernet;
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

/*
 * Turns the packet into an error from the gateway to its sender and sends it
 * back through the link it came from.
 */
NOINLINE int send_error(struct __sk_buff *skb, const struct inside *inside, __u32 type_code, __u32 mtu)
{
	__u32 quote = QUOTE_SHORT, room = sizeof(struct icmp_error) - sizeof(struct ethhdr);
	struct icmp_error *error;
	struct iphdr *old;
	const __u32 icmp = sizeof(struct ethhdr) + sizeof(struct iphdr);
	__u8 mac[6];
	void *start;

	old = (void *)(long)skb->data + sizeof(struct ethhdr);
	if (!inside || (void *)(old + 1) > (void *)(long)skb->data_end || old->ihl != 5)
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
	if (!may_send_error())
		return TCX_DROP;
	if (old->protocol == IPPROTO_TCP)
		quote = QUOTE_TCP;
	if (bpf_skb_change_tail(skb, sizeof(struct ethhdr) + quote, 0) || bpf_skb_adjust_room(skb, room, BPF_ADJ_ROOM_MAC, 0))
		return TCX_DROP;
	error = start = (void *)(long)skb->data;
	if ((void *)(error + 1) + QUOTE_SHORT > (void *)(long)skb->data_end)
		return TCX_DROP;
	old = (void *)(error + 1);
	memcpy(mac, error->ethernet.source, sizeof(mac));
	memcpy(error->ethernet.source, error->ethernet.destination, sizeof(mac));
	memcpy(error->ethernet.destination, mac, sizeof(mac));
	error->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tos = 0xc0, /* internetwork control: RFC 1812 section 4.3.2.5 */
		.tot_len = htons((__u16)(room + quote)),
		.ttl = 64,
		.protocol = IPPROTO_ICMP,
		.saddr = inside->gateway,
		.daddr = old->saddr,
	};
	error->ip.check = checksum(bpf_csum_diff(NULL, 0, start + sizeof(struct ethhdr), sizeof(struct iphdr), 0));
	error->type = type_code >> 8;
	error->code = type_code;
	error->check = 0;
	error->unused = 0;
	error->mtu = htons((__u16)mtu);
	if (quote == QUOTE_SHORT) {
		error->check = checksum(bpf_csum_diff(NULL, 0, start + icmp, sizeof(struct icmphdr) + QUOTE_SHORT, 0));
	} else {
		if ((void *)(error + 1) + QUOTE_TCP > (void *)(long)skb->data_end)
			return TCX_DROP;
		error->check = checksum(bpf_csum_diff(NULL, 0, start + icmp, sizeof(struct icmphdr) + QUOTE_TCP, 0));
	}
	return bpf_redirect(skb->ifindex, 0);
}

/* Drops, counts, and tells the sender where the reason is one that it can act on. */
NOINLINE int refuse(struct __sk_buff *skb, const struct inside *inside, __u32 reason, __u32 mtu)
{
	drop(reason);
	switch (reason) {
	case REASON_HOP_LIMIT:
		return send_error(skb, inside, ICMP_TIME_EXCEEDED << 8, 0);
	case REASON_TOO_BIG:
		return send_error(skb, inside, ICMP_UNREACHABLE << 8 | ICMP_FRAGMENTATION_NEEDED, mtu);
	case REASON_NO_ROUTE:
		return send_error(skb, inside, ICMP_UNREACHABLE << 8 | ICMP_NET_UNREACHABLE, 0);
	case REASON_OUT_OF_PORTS:
	case REASON_BINDINGS_FULL:
	case REASON_SESSIONS_FULL:
	case REASON_NO_EXTERNAL_ADDRESS:
	case REASON_NO_NAT:
	case REASON_ISOLATED:
		return send_error(skb, inside, ICMP_UNREACHABLE << 8 | ICMP_PROHIBITED, 0);
	}
	return TCX_DROP;
}
