/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Answers to a sender whose packet cannot go on: ICMP errors that the packet
 * itself is turned into. This is done before anything is rewritten, so the
 * quote is what the sender knows and no inside address shows outside.
 */
#pragma once
#include "finish.h"
#include "ip4_rewrite.h"

/* RFC 792, RFC 1812 section 5.2.7. 3/13 for a flow that no port or state is left for: RFC 5508 REQ-8, decision D3. */

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

INLINE bool may_send_error(__u32 side)
{
	struct error_budget *budget = bpf_map_lookup_elem(&error_budgets, &side);
	__u64 second = now() / SECOND;

	if (!budget)
		return false;
	if (unlikely(dry_run))
		return budget->second != second || budget->sent < ERRORS_PER_SECOND;
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
 * sends it back through the link it came from.
 */
NOINLINE int send_error(struct __sk_buff *skb, const struct flow *flow, __u32 type_code, __u32 mtu)
{
	__u32 quote = QUOTE_SHORT, room = sizeof(struct icmp_error), l3 = flow->packet.l3;
	struct icmp_error *error;
	struct iphdr *old;
	void *icmp;

	if (l3 > sizeof(struct ethhdr))
		return TCX_DROP;
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
	if (!may_send_error(flow->tell - TELL_INSIDE))
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
		.saddr = flow->teller,
		.daddr = old->saddr,
	};
	error->ip.check = checksum(bpf_csum_diff(NULL, 0, (void *)error, sizeof(struct iphdr), 0));
	error->type = type_code >> 8;
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

enum {
	TELL_TTL = ICMP_TIME_EXCEEDED << 8,
	TELL_SIZE = ICMP_UNREACHABLE << 8 | ICMP_FRAGMENTATION_NEEDED,
	TELL_NO_ROUTE = ICMP_UNREACHABLE << 8 | ICMP_NET_UNREACHABLE,
	TELL_HOST = ICMP_UNREACHABLE << 8 | ICMP_HOST_UNREACHABLE,
	TELL_PROHIBITED = ICMP_UNREACHABLE << 8 | ICMP_PROHIBITED,
};

/* What a NAT says of a flow that no port or state is left for, as type and code; 0: nothing. */
INLINE __u32 exhaustion_answer(__u32 id)
{
	struct nat *nat = bpf_map_lookup_elem(&nats, &id);

	switch (nat ? nat->exhaustion : EXHAUSTION_PROHIBITED) {
	case EXHAUSTION_SILENT:
		return 0;
	case EXHAUSTION_UNREACHABLE: /* RFC 6888 REQ-11B */
		return TELL_HOST;
	}
	return TELL_PROHIBITED;
}

/* Type and code of what a sender is told; 0: nothing. One outside only of what concerns its own packet. */
INLINE __u32 answer_to(const struct flow *flow)
{
	switch (flow->reason) {
	case REASON_HOP_LIMIT:
		return TELL_TTL;
	case REASON_TOO_BIG:
		return TELL_SIZE;
	default:
		break;
	}
	if (flow->tell == TELL_OUTSIDE)
		return 0;
	switch (flow->reason) {
	case REASON_NO_ROUTE:
		return TELL_NO_ROUTE;
	case REASON_OUT_OF_PORTS:
	case REASON_BINDINGS_FULL:
	case REASON_SESSIONS_FULL:
	case REASON_ENDPOINT_LIMIT:
		return exhaustion_answer(flow->nat);
	case REASON_ROUTE_UNREACHABLE:
		return TELL_HOST;
	case REASON_ROUTE_PROHIBITED:
	case REASON_IPSEC:
	case REASON_NO_EXTERNAL_ADDRESS:
	case REASON_NO_NAT:
	case REASON_ISOLATED:
	case REASON_LINK_LOCAL:
		return TELL_PROHIBITED;
	default:
		return 0;
	}
}

/* What send_reset makes of the segment. */
struct reset {
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

struct tcp_pseudo {
	__be32 source, destination;
	__u8 zero, protocol;
	__be16 length;
};

/*
 * Whether the segment's checksum is still to be finished by whoever sends it on
 * (CHECKSUM_PARTIAL): it then has that of the pseudo header alone, and the
 * kernel leaves it as it is when a field changes.
 */
INLINE bool has_unfinished_checksum(struct __sk_buff *skb, __u32 offset)
{
	__u16 before, after;

	if (bpf_skb_load_bytes(skb, offset, &before, sizeof(before)) || bpf_l4_csum_replace(skb, offset, 0, 1, sizeof(__u16)) ||
	    bpf_skb_load_bytes(skb, offset, &after, sizeof(after)))
		return false;
	return before == after;
}

/*
 * Turns a TCP segment that belongs to no session into a RST to its sender (RFC
 * 9293 section 3.10.7.1), so that a program whose connection is gone hears so
 * at once. Never about a RST.
 */
NOINLINE int send_reset(struct __sk_buff *skb, const struct flow *flow)
{
	const struct packet *packet = &flow->packet;
	__u32 l3 = packet->l3 ? sizeof(struct ethhdr) : 0, payload = packet->length;
	struct tcp_pseudo pseudo = { .protocol = IPPROTO_TCP, .length = htons(sizeof(struct tcphdr)) };
	struct reset *reset;
	struct tcphdr tcp;
	bool unfinished;
	__s64 sum;

	if (packet->tcp_flags & TCP_RST || packet->l4 != packet->l3 + sizeof(struct iphdr) || is_fragment(packet) ||
	    bpf_skb_load_bytes(skb, l3 + sizeof(struct iphdr), &tcp, sizeof(tcp)) || !may_send_error(flow->tell - TELL_INSIDE))
		return TCX_DROP;
	payload -= sizeof(struct iphdr) + packet->tcp_header;
	unfinished = has_unfinished_checksum(skb, l3 + sizeof(struct iphdr) + __builtin_offsetof(struct tcphdr, check));
	if (bpf_skb_change_tail(skb, l3 + sizeof(*reset), 0) || (l3 && !turn_ethernet(skb)))
		return TCX_DROP;
	reset = (void *)(long)skb->data + l3;
	if ((void *)(reset + 1) > (void *)(long)skb->data_end)
		return TCX_DROP;
	reset->ip = (struct iphdr){
		.version = 4,
		.ihl = 5,
		.tot_len = htons(sizeof(*reset)),
		.frag_off = htons(IP_DF),
		.ttl = 64,
		.protocol = IPPROTO_TCP,
		.saddr = packet->destination,
		.daddr = packet->source,
	};
	reset->ip.check = checksum(bpf_csum_diff(NULL, 0, (void *)reset, sizeof(struct iphdr), 0));
	reset->tcp = (struct tcphdr){
		.source = tcp.dest,
		.dest = tcp.source,
		.seq = tcp.flags & TCP_ACK ? tcp.ack_seq : 0,
		.ack_seq = tcp.flags & TCP_ACK
				   ? 0
				   : htonl(ntohl(tcp.seq) + payload + !!(tcp.flags & TCP_SYN) + !!(tcp.flags & TCP_FIN)),
		.doff_res = sizeof(struct tcphdr) / 4 << 4,
		.flags = tcp.flags & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK,
	};
	pseudo.source = packet->destination;
	pseudo.destination = packet->source;
	sum = bpf_csum_diff(NULL, 0, (void *)&pseudo, sizeof(pseudo), 0);
	if (unfinished)
		reset->tcp.check = fold(sum);
	else
		reset->tcp.check = checksum(bpf_csum_diff(NULL, 0, (void *)&reset->tcp, sizeof(struct tcphdr), sum));
	return bpf_redirect(skb->ifindex, 0);
}

static int answer(struct __sk_buff *skb, const struct flow *flow)
{
	__u32 type_code;

	if (flow->reason == REASON_NO_SESSION)
		return flow->packet.protocol == IPPROTO_TCP ? send_reset(skb, flow) : TCX_DROP;
	type_code = answer_to(flow);
	return type_code ? send_error(skb, flow, type_code, flow->reason == REASON_TOO_BIG ? flow->mtu : 0) : TCX_DROP;
}
