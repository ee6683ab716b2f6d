/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Packets that are not TCP, UDP or ICMP: SCTP, GRE, ESP and the rest have no
 * ports that a NAT could choose. Where a mapping gives an endpoint a whole
 * external address, the address alone is replaced: no session is needed.
 */
#pragma once
#include "ip4_reassembly.h"
#include "ip4_route.h"
#include "mapping.h"

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

/* To an endpoint that has an external address of its own. */
INLINE int one_to_one_deliver(struct __sk_buff *skb, struct flow *flow, const struct one_to_one *pair, struct endpoint *endpoint,
			      __u8 hops)
{
	int reason = one_to_one_rewrite(skb, &flow->packet, DESTINATION, pair->internal_address, hops);

	return reason ? drop(flow, reason) : deliver_to(skb, flow, endpoint, pair->network, pair->internal_address);
}

/* From one such endpoint to another (hairpin): each sees the other's external address. */
INLINE int one_to_one_across(struct __sk_buff *skb, struct flow *flow, const struct one_to_one *near, const struct one_to_one *far)
{
	struct endpoint *endpoint = find_endpoint(far->compartment, far->internal_address);
	int reason, verdict;

	if (!lets_in(far->mapping, far->flags, near->external_address))
		return drop(flow, REASON_REMOTE_NOT_ALLOWED);
	verdict = fit(skb, flow, endpoint ? endpoint->mtu : 0);
	if (verdict != NOT_OURS)
		return verdict;
	reason = one_to_one_rewrite(skb, &flow->packet, SOURCE, near->external_address, 1);
	if (reason)
		return drop(flow, reason);
	return one_to_one_deliver(skb, flow, far, endpoint, 0);
}

/* From an endpoint. */
NOINLINE int one_to_one_outbound(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	struct endpoint_key source = { .compartment = flow->compartment, .address = packet->source };
	__be32 destination = packet->destination;
	struct one_to_one *pair, *far;
	const struct route *route = &flow->route;
	int reason, verdict;

	far = bpf_map_lookup_elem(&one_to_one_in, &destination);
	if (!far && is_host_address(destination))
		return TCX_NEXT;
	pair = bpf_map_lookup_elem(&one_to_one_out, &source);
	if (!pair)
		return drop(flow, REASON_PROTOCOL);
	if (is_isolated(flow->compartment, destination)) /* networks are isolated from each other */
		return refuse(flow, REASON_ISOLATED);
	if (packet->ttl <= 1)
		return refuse(flow, REASON_HOP_LIMIT);
	if (far)
		return one_to_one_across(skb, flow, pair, far);
	flow->key = (struct session_key){
		.internal_address = packet->source,
		.remote_address = destination,
		.protocol = packet->protocol,
	};
	reason = find_one_to_one_route(skb, flow, pair);
	if (reason)
		return refuse(flow, reason);
	verdict = fit(skb, flow, route->mtu);
	if (verdict != NOT_OURS)
		return verdict;
	reason = one_to_one_rewrite(skb, packet, SOURCE, pair->external_address, 1);
	if (reason)
		return drop(flow, reason);
	return deliver_outside(skb, flow, way_of(route));
}

/* From outside; NOT_OURS if no mapping has the address. */
NOINLINE int one_to_one_inbound(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	__be32 destination = packet->destination;
	struct one_to_one *pair = bpf_map_lookup_elem(&one_to_one_in, &destination);
	struct endpoint *endpoint;
	int verdict;

	if (!pair)
		return NOT_OURS;
	if (is_martian(packet->source) || is_near(pair->compartment, pair->internal_address, packet->source))
		return drop(flow, REASON_INSIDE_FROM_OUTSIDE);
	if (!lets_in(pair->mapping, pair->flags, packet->source))
		return drop(flow, REASON_REMOTE_NOT_ALLOWED);
	if (has_source_route(skb, packet->l3, packet->l4))
		return drop(flow, REASON_SOURCE_ROUTE);
	if (packet->ttl <= 1) {
		verdict = refuse(flow, REASON_HOP_LIMIT);
	} else {
		endpoint = find_endpoint(pair->compartment, pair->internal_address);
		verdict = fit(skb, flow, endpoint ? endpoint->mtu : 0);
		if (verdict == NOT_OURS)
			return one_to_one_deliver(skb, flow, pair, endpoint, 1);
	}
	if (pair->flags & BINDING_ALLOW_LIST) /* who may not come in is not told that there is anything */
		flow->tell = TELL_NOBODY;
	return verdict;
}
