/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Packets that are not TCP, UDP or ICMP: SCTP, GRE, ESP and the rest have no
 * ports that a NAT could choose. Where a mapping gives an endpoint a whole
 * external address, the address alone is replaced: no session is needed.
 */
#pragma once
#include "mapping.h"
#include "ip4_refuse.h"
#include "ip4_reassembly.h"
#include "ip4_route.h"

enum { IPPROTO_DCCP = 33, IPPROTO_UDPLITE = 136, OTHER_CHECKSUM = 6 };

/* These two count the addresses in their checksums; where that is is the same in both. RFC 4340 section 9, RFC 3828 section 3.1 */
INLINE bool counts_addresses(const struct packet *packet)
{
	return (packet->protocol == IPPROTO_DCCP || packet->protocol == IPPROTO_UDPLITE) &&
	       !(packet->fragment & htons(IP_OFFSET)) && packet->length >= packet->l4 - packet->l3 + OTHER_CHECKSUM + 2;
}

INLINE enum reason one_to_one_rewrite(struct __sk_buff *skb, const struct packet *packet, enum side side, __be32 address, __u8 hops)
{
	__be32 old = side == SOURCE ? packet->source : packet->destination;
	/* UDP-Lite knows no packet without a checksum: 0 is sent as 0xffff (RFC 3828 section 3.1). */
	__u64 mangled = packet->protocol == IPPROTO_UDPLITE ? BPF_F_MARK_MANGLED_0 : 0;

	if (rewrite_address(skb, packet, side, address, hops))
		return REASON_MALFORMED;
	if (counts_addresses(packet) &&
	    bpf_l4_csum_replace(skb, packet->l4 + OTHER_CHECKSUM, old, address, BPF_F_PSEUDO_HDR | mangled | sizeof(address)))
		return REASON_MALFORMED;
	return REASON_NONE;
}

enum { TOO_BIG = -3 }; /* and nobody may cut it */

/*
 * What is too big for the way on is cut in the reassembly namespace (RFC 791); where one
 * fragment of a datagram has gone there, the others do too. NOT_OURS if it fits.
 */
INLINE int one_to_one_fit(struct __sk_buff *skb, const struct packet *packet, __u32 compartment, __u32 mtu)
{
	int verdict;

	if (is_fragment(packet) && find_passage(skb, packet, compartment)) {
		verdict = to_reassembly(skb, packet->l3, 0);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if (!mtu || wire_length(skb, packet) <= mtu)
		return NOT_OURS;
	verdict = cut(skb, packet, mtu);
	return verdict == NOT_OURS ? TOO_BIG : verdict;
}

/* To an endpoint that has an external address of its own. */
INLINE int one_to_one_deliver(struct __sk_buff *skb, struct packet *packet, const struct one_to_one *pair,
			      struct endpoint *endpoint, __u8 hops)
{
	int reason = one_to_one_rewrite(skb, packet, DESTINATION, pair->internal_address, hops);

	return reason ? drop(reason) : deliver_to(skb, packet, endpoint, pair->network, pair->internal_address);
}

/* From one such endpoint to another (hairpin): each sees the other's external address. */
INLINE int one_to_one_across(struct __sk_buff *skb, struct packet *packet, const struct inside *inside,
			     const struct one_to_one *near, const struct one_to_one *far)
{
	struct endpoint *endpoint = find_endpoint(far->compartment, far->internal_address);
	__u32 mtu = endpoint ? endpoint->mtu : 0;
	int reason, verdict;

	if (!lets_in(far->mapping, far->flags, near->external_address))
		return drop(REASON_REMOTE_NOT_ALLOWED);
	verdict = one_to_one_fit(skb, packet, inside->compartment, mtu);
	if (verdict != NOT_OURS)
		return verdict == TOO_BIG ? refuse(skb, inside, REASON_TOO_BIG, mtu) : verdict;
	reason = one_to_one_rewrite(skb, packet, SOURCE, near->external_address, 1);
	if (reason)
		return drop(reason);
	return one_to_one_deliver(skb, packet, far, endpoint, 0);
}

/* From an endpoint. Its own function: what it needs of the packet it reads again. */
GLOBAL int one_to_one_outbound(struct __sk_buff *skb, const struct inside *inside)
{
	struct packet packet = { .l3 = sizeof(struct ethhdr) };
	struct session_key key = {};
	struct endpoint_key source = {};
	struct route route = {};
	struct one_to_one *pair, *far;
	__be32 destination;
	int reason, verdict;

	if (!inside || parse_ip(skb, &packet))
		return drop(REASON_MALFORMED);
	destination = packet.destination;
	far = bpf_map_lookup_elem(&one_to_one_in, &destination);
	if (!far && is_host_address(destination))
		return TCX_NEXT;
	source.compartment = inside->compartment;
	source.address = packet.source;
	pair = bpf_map_lookup_elem(&one_to_one_out, &source);
	if (!pair)
		return drop(REASON_PROTOCOL);
	if (is_isolated(inside->compartment, packet.destination)) /* networks are isolated from each other */
		return refuse(skb, inside, REASON_ISOLATED, 0);
	if (packet.ttl <= 1)
		return refuse(skb, inside, REASON_HOP_LIMIT, 0);
	if (far)
		return one_to_one_across(skb, &packet, inside, pair, far);
	key.internal_address = packet.source;
	key.remote_address = packet.destination;
	key.protocol = packet.protocol;
	reason = find_route(skb, &key, &route);
	if (reason)
		return refuse(skb, inside, reason, 0);
	verdict = one_to_one_fit(skb, &packet, inside->compartment, route.mtu);
	if (verdict != NOT_OURS)
		return verdict == TOO_BIG ? refuse(skb, inside, REASON_TOO_BIG, route.mtu) : verdict;
	reason = one_to_one_rewrite(skb, &packet, SOURCE, pair->external_address, 1);
	if (reason)
		return drop(reason);
	return deliver_outside(skb, route.ifindex, route.next_hop);
}

/* From outside; NOT_OURS if no mapping has the address. */
NOINLINE int one_to_one_inbound(struct __sk_buff *skb, __u32 l3)
{
	struct packet packet = { .l3 = l3 };
	struct endpoint *endpoint;
	struct one_to_one *pair;
	__be32 destination;
	int verdict;
	bool tells;

	if (parse_ip(skb, &packet))
		return NOT_OURS;
	destination = packet.destination; /* an address taken of it would keep the struct from registers */
	pair = bpf_map_lookup_elem(&one_to_one_in, &destination);
	if (!pair)
		return NOT_OURS;
	if (is_martian(packet.source) || is_near(pair->compartment, pair->internal_address, packet.source))
		return drop(REASON_INSIDE_FROM_OUTSIDE);
	if (!lets_in(pair->mapping, pair->flags, packet.source))
		return drop(REASON_REMOTE_NOT_ALLOWED);
	if (has_source_route(skb, l3, packet.l4))
		return drop(REASON_SOURCE_ROUTE);
	tells = !(pair->flags & BINDING_ALLOW_LIST); /* who may not come in is not told that there is anything */
	if (packet.ttl <= 1)
		return tells ? refuse_outside(skb, l3, destination, 0) : drop(REASON_HOP_LIMIT);
	endpoint = find_endpoint(pair->compartment, pair->internal_address);
	verdict = one_to_one_fit(skb, &packet, FRAGMENTS_OUTSIDE, endpoint ? endpoint->mtu : 0);
	if (verdict == TOO_BIG)
		return tells && endpoint ? refuse_outside(skb, l3, destination, endpoint->mtu) : drop(REASON_TOO_BIG);
	if (verdict != NOT_OURS)
		return verdict;
	return one_to_one_deliver(skb, &packet, pair, endpoint, 1);
}
