/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A packet from outside: whose it is, and its translation on the way in. */
#pragma once
#include "ip4_fragment.h"
#include "ip4_mss.h"
#include "session_inbound.h"
#include "ip4_icmp_error.h"
#include "ip4_one_to_one.h"

/*
 * Whether an address is a network's and nobody's outside. One that an outside
 * interface of the host has is the host's own, though a network's subnet holds
 * it (the host met a LAN with the same prefix); a gateway always counts.
 */
INLINE bool is_inside(__be32 address)
{
	__u32 *network = find_inside_prefix(address), ifindex;

	if (likely(!network))
		return false;
	ifindex = host_interface(address);
	return ifindex ? !bpf_map_lookup_elem(&outsides, &ifindex) : *network;
}

/* Not for a binding: the host's own, unless it pretends to come from or to know the inside. */
INLINE int foreign(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;

	if (unlikely(is_fragment(packet))) {
		if (came_from_reassembly(skb)) {
			if (packet->l3) /* the host got the others when they came */
				return drop(flow, REASON_FIRST_FRAGMENT);
			skb->mark = 0;
		} else if (!packet->l3 && find_passage(skb, flow)) {
			return to_reassembly(skb, flow, 0); /* there the others are waiting for it */
		}
		if (!is_later_fragment(packet))
			note_foreign(flow);
	}
	if (unlikely(is_inside(packet->source) || is_inside(packet->destination)))
		return drop(flow, REASON_INSIDE_FROM_OUTSIDE);
	return TCX_NEXT;
}

/*
 * Whether a packet that no session expects is the host's all the same, or just
 * passes through. Design, rule 4: a host program may bind a port that is in
 * dynamic use, and may talk from one that is mapped.
 */
INLINE bool is_for_host(struct __sk_buff *skb, const struct flow *flow, bool configured)
{
	if (flow->packet.protocol == IPPROTO_ICMP)
		return true;
	if (!flow->binding_key.address && !is_host_address(flow->packet.destination))
		return true;
	return socket_of(skb, &flow->packet) & (configured ? SOCKET_CONNECTED : SOCKET_FOUND);
}

/* A first packet for what find_inside has found: opens its session, or says where it goes without one (*session stays NULL). */
INLINE int first_inbound(struct __sk_buff *skb, struct flow *flow, __u32 found, struct session **session)
{
	struct packet *packet = &flow->packet;
	int reason;

	if (found & BINDING_HOLD_DOWN || is_for_host(skb, flow, found & BINDING_CONFIGURED))
		return foreign(skb, flow);
	/* A mapping on any address is not on the gateways': no answer may leave under them. */
	if (is_martian(packet->source) || is_near(flow->key.compartment, flow->key.internal_address, packet->source) ||
	    is_inside(packet->destination))
		return drop(flow, REASON_INSIDE_FROM_OUTSIDE);
	if (packet->ttl <= 1) /* who may not come in is not told that there is anything */
		return (found & (BINDING_CONFIGURED | BINDING_ALLOW_LIST)) == BINDING_CONFIGURED ? refuse(flow, REASON_HOP_LIMIT)
												 : drop(flow, REASON_HOP_LIMIT);
	reason = open_inbound(flow, 0);
	if (reason == REASON_NO_SESSION &&
	    found & BINDING_CONFIGURED) /* as a host answers for a connection that it does not know */
		return refuse(flow, reason);
	if (reason)
		return drop(flow, reason);
	*session = opened_session(&flow->key, &flow->session);
	return drop(flow, REASON_SESSION_FAILED); /* unless there is one */
}

/* Translates a packet from outside, if it belongs to a binding, and delivers it. */
INLINE int inbound(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	struct session *session;
	struct endpoint *endpoint;
	__u32 found;
	int reason, verdict;

	if (!is_for_host_link(skb) || parse_ip(skb, packet))
		return TCX_NEXT; /* the stack knows what to do with it */
	if (is_loopback(packet->destination))
		return TCX_NEXT; /* the stack drops it: a mapping on loopback is the host's own alone */
	flow->teller = packet->destination; /* a sender is told by the address that it spoke to */
	if (unlikely(!has_ports(packet->protocol))) {
		verdict = one_to_one_inbound(skb, flow);
		return verdict == NOT_OURS ? foreign(skb, flow) : verdict;
	}
	if (unlikely(is_later_fragment(packet))) {
		verdict = later_fragment_in(skb, flow);
		return verdict == NOT_OURS ? foreign(skb, flow) : verdict;
	}
	if (parse_l4(skb, packet))
		return foreign(skb, flow);
	if (packet->protocol == IPPROTO_ICMP && packet->icmp_type != ICMP_ECHO_REPLY) {
		verdict = is_icmp_error(packet->icmp_type) ? error_inbound(skb, flow) : NOT_OURS;
		return verdict == NOT_OURS ? foreign(skb, flow) : verdict;
	}
	flow->binding_key = (struct binding_key){
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	found = find_inside(&flow->binding_key, packet->source, packet->source_port, &flow->key);
	if (!found)
		return foreign(skb, flow);

	session = find_session(&flow->key, &flow->session);
	if (unlikely(!session)) {
		verdict = first_inbound(skb, flow, found, &session);
		if (!session)
			return verdict;
		flow->reason = REASON_NONE;
	}
	if (unlikely(session->flags & SESSION_GUEST) &&
	    is_idle_at(&flow->binding_key)) /* RFC 4787 REQ-6: outside alone keeps nothing */
		return drop(flow, REASON_MAPPING_IDLE);
	if (unlikely(session->flags & SESSION_HAIRPIN)) /* both its ends are inside */
		return drop(flow, REASON_INSIDE_FROM_OUTSIDE);
	if (unlikely(has_source_route(skb, packet->l3, packet->l4)))
		return drop(flow, REASON_SOURCE_ROUTE);
	/* One remote port, two external ports, one internal port: the endpoint could not tell them apart. */
	if (unlikely(session->external_address != packet->destination || session->external_port != packet->destination_port)) {
		reason = found & BINDING_CONFIGURED ? take_over(flow) : REASON_SESSION_CLASH;
		session = reason ? NULL : opened_session(&flow->key, &flow->session);
		if (!session)
			return drop(flow, reason ?: REASON_SESSION_FAILED);
	}
	if (unlikely(packet->ttl <= 1))
		return refuse(flow, REASON_HOP_LIMIT);
	endpoint = find_endpoint(flow->key.compartment, flow->key.internal_address);
	if (unlikely(is_fragment(packet)) && find_passage(skb, flow)) {
		verdict = to_reassembly(skb, flow, 0);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if (is_too_big(skb, packet, endpoint)) {
		verdict = cut(skb, flow, endpoint->mtu);
		return verdict == NOT_OURS ? refuse_size(flow, endpoint->mtu) : verdict;
	}
	if (unlikely(is_fragment(packet))) {
		reason = first_fragment_in(flow, session->network);
		if (reason)
			return drop(flow, reason);
	}
	session_track(&flow->key, session, packet, false, now());
	session_count(skb, session, packet, false);
	if (unlikely(wants_clamp(packet, session))) {
		if (!session->way_mtu) /* opened from outside: the way there has not been asked for yet */
			route_refresh(skb, flow, session, 0);
		if (!clamp_mss(skb, packet->l4, session->way_mtu))
			return drop(flow, REASON_MALFORMED);
	}
	reason = rewrite(skb, packet, DESTINATION, flow->key.internal_address, flow->key.internal_port, 1);
	if (unlikely(reason))
		return drop(flow, reason);
	return deliver_to(skb, flow, endpoint, session->network, flow->key.internal_address);
}

/* ARP from outside: who asks there for an inside address is not told (RFC 3022 section 5). The host would answer for its gateways. */
INLINE int arp_inbound(struct __sk_buff *skb, struct flow *flow)
{
	struct arp_ipv4 arp;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &arp, sizeof(arp)) || arp.operation != htons(ARP_REQUEST))
		return TCX_NEXT;
	return is_inside(arp.target_address) ? drop(flow, REASON_INSIDE_FROM_OUTSIDE) : TCX_NEXT;
}
