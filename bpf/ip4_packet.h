/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* From bytes to a struct packet. */
#pragma once
#include "ip4_address.h"
#include "ip4_wire.h"
#include "options.h"
#include "packet.h"

INLINE struct iphdr *ip_header(struct __sk_buff *skb, const struct packet *packet)
{
	__u32 l3 = packet->l3;
	struct iphdr *ip;

	if (l3 > sizeof(struct ethhdr)) /* for the verifier */
		return NULL;
	ip = (void *)(long)skb->data + l3;
	return (void *)(ip + 1) <= (void *)(long)skb->data_end ? ip : NULL;
}

/* Reads the IP header alone: enough for the checks that need no ports. */
INLINE enum reason parse_ip(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr *ip;
	__u32 header;

	if (!pull(skb, packet->l3 + sizeof(*ip)))
		return REASON_MALFORMED;
	ip = ip_header(skb, packet);
	if (!ip)
		return REASON_MALFORMED;
	header = ip->ihl * 4;
	packet->length = ntohs(ip->tot_len);
	if (unlikely(!packet->length && skb->gso_size)) /* "BIG TCP": above 64 KiB the header has no length */
		packet->length = skb->len - packet->l3;
	if (ip->version != 4 || header < sizeof(*ip) || packet->length < header || skb->len < packet->l3 + packet->length)
		return REASON_MALFORMED;
	packet->l4 = packet->l3 + header;
	packet->source = ip->saddr;
	packet->destination = ip->daddr;
	packet->protocol = ip->protocol;
	packet->ttl = ip->ttl;
	packet->tos = ip->tos & 0xfc;
	packet->id = ip->id;
	packet->fragment = ip->frag_off;
	return REASON_NONE;
}

/*
 * Reads ports, TCP flags or the ICMP query identifier. Only the 16 bytes that
 * are needed are copied, so that IP options cost no second set of bounds checks.
 */
INLINE enum reason parse_l4(struct __sk_buff *skb, struct packet *packet)
{
	__u32 payload = packet->length - (packet->l4 - packet->l3);
	__u32 need = packet->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : L4_MINIMUM;
	__u32 offset = packet->l4;
	void *start;

	if (!has_ports(packet->protocol))
		return REASON_PROTOCOL;
	if (payload < need || !pull(skb, offset + need))
		return REASON_MALFORMED;
	if (offset > 14 + 60)
		return REASON_MALFORMED;
	start = (void *)(long)skb->data + offset;
	if (start + L4_MINIMUM > (void *)(long)skb->data_end)
		return REASON_MALFORMED;
	if (packet->protocol == IPPROTO_ICMP) {
		struct icmphdr *icmp = start;
		packet->icmp_type = icmp->type;
		packet->source_port = packet->destination_port = icmp->id;
		return REASON_NONE;
	}
	packet->source_port = ((struct udphdr *)start)->source;
	packet->destination_port = ((struct udphdr *)start)->dest;
	if (packet->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = start;
		if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
			return REASON_MALFORMED;
		packet->tcp_flags = tcp->flags;
		packet->tcp_header = tcp->doff_res >> 4 << 2;
	}
	return REASON_NONE;
}

enum { IP_LOOSE_SOURCE_ROUTE = 131, IP_STRICT_SOURCE_ROUTE = 137 };

GLOBAL int find_source_route(struct __sk_buff *skb, __u32 offset, __u32 size)
{
	struct option_walk walk = {
		.size = size,
		.wanted = IP_LOOSE_SOURCE_ROUTE,
		.or_wanted = IP_STRICT_SOURCE_ROUTE,
	};

	return find_option(skb, &walk, offset);
}

/* Whether a sender wants to choose the way itself: RFC 7126 sections 4.3 and 4.4. */
INLINE bool has_source_route(struct __sk_buff *skb, __u32 l3, __u32 l4)
{
	return unlikely(l4 - l3 > sizeof(struct iphdr)) &&
	       find_source_route(skb, l3 + sizeof(struct iphdr), l4 - l3 - sizeof(struct iphdr));
}
