/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A packet from the inside whose source has been checked: where it goes, and its translation on the way out. */
#pragma once
#include "ip4_dialler.h"
#include "ip4_fragment.h"
#include "ip4_hairpin.h"
#include "ip4_icmp_error.h"
#include "ip4_inter_network.h"
#include "ip4_mss.h"
#include "ip4_one_to_one.h"
#include "session_outbound.h"

/* Whether a socket of the host talks to the endpoint under the address of a remote. */
INLINE bool is_transparent(struct __sk_buff *skb, const struct packet *packet)
{
	return has_setting(SETTING_TRANSPARENT) && packet->protocol == IPPROTO_TCP && socket_of(skb, packet) & SOCKET_CONNECTED;
}

INLINE int to_transparent_socket(struct __sk_buff *skb)
{
	skb->mark = MARK_TRANSPARENT;
	return TCX_NEXT;
}

enum { DHCP_SERVER = 67, DHCP_CLIENT = 68 };

INLINE bool is_from_dhcp_port(const struct packet *packet)
{
	return packet->protocol == IPPROTO_UDP && packet->source_port == htons(DHCP_CLIENT) &&
	       packet->destination_port == htons(DHCP_SERVER);
}

/* A first packet: opens its session, or says where it goes without one (*session stays NULL). */
INLINE int first_outbound(struct __sk_buff *skb, struct flow *flow, struct session **session)
{
	struct packet *packet = &flow->packet;
	__u32 own = host_interface(packet->destination);
	int reason;

	if (own && !is_published(skb, flow)) {
		if (unlikely(is_fragment(packet)))
			note_foreign(flow);
		return TCX_NEXT; /* to the host itself */
	}
	/* Networks are isolated from each other, on one NAT too. */
	if (!own && is_isolated(flow->compartment, packet->destination))
		return refuse(flow, REASON_ISOLATED);
	if (opens_nothing(&flow->key, packet->tcp_flags))
		return is_transparent(skb, packet) ? to_transparent_socket(skb) : refuse(flow, REASON_NO_SESSION);
	if (packet->ttl <= 1)
		return refuse(flow, REASON_HOP_LIMIT);
	reason = open_outbound(skb, flow, own);
	if (reason)
		return refuse(flow, reason);
	*session = opened_session(&flow->key, &flow->session);
	return drop(flow, REASON_SESSION_FAILED); /* unless there is one */
}

/* Translates a packet from the inside and sends it out. */
INLINE int outbound(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	struct session *session;
	int reason, verdict;
	__u64 time;

	if (unlikely(!has_ports(packet->protocol)))
		return one_to_one_outbound(skb, flow);
	if (unlikely(is_later_fragment(packet)))
		return later_fragment_out(skb, flow);
	reason = parse_l4(skb, packet);
	if (unlikely(reason))
		return drop(flow, reason);
	if (packet->protocol == IPPROTO_ICMP && is_icmp_error(packet->icmp_type))
		return is_host_address(packet->destination) ? error_hairpin(skb, flow) : error_outbound(skb, flow);
	/* Of the other messages an echo request alone has a session (RFC 5508 REQ-10, REQ-11). */
	if (packet->protocol == IPPROTO_ICMP && packet->icmp_type != ICMP_ECHO_REQUEST)
		return is_host_address(packet->destination) ? TCX_NEXT : drop(flow, REASON_NO_SESSION);
	flow->key = (struct session_key){
		.compartment = flow->compartment,
		.internal_address = packet->source,
		.remote_address = packet->destination,
		.internal_port = packet->source_port,
		.remote_port = packet->protocol == IPPROTO_ICMP ? 0 : packet->destination_port,
		.protocol = packet->protocol,
	};

	session = find_session(&flow->key, &flow->session);
	if (unlikely(!session)) {
		verdict = first_outbound(skb, flow, &session);
		if (!session)
			return verdict;
		flow->reason = REASON_NONE;
	}
	if (unlikely(packet->ttl <= 1))
		return refuse(flow, REASON_HOP_LIMIT);
	if (unlikely(is_fragment(packet)) && find_passage(skb, flow)) {
		verdict = to_reassembly(skb, flow, 0);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if (unlikely(session->flags & SESSION_HAIRPIN)) {
		reason = hairpin_open(flow, session);
		return reason ? drop(flow, reason) : hairpin(skb, flow, session);
	}
	time = now();
	if (unlikely(session->route_until < time || session->way_tos != packet->tos)) {
		reason = route_refresh(skb, flow, session, packet->tos);
		if (reason)
			return refuse(flow, reason);
	}
	if (unlikely(wire_length(skb, packet) > session->way_mtu)) {
		verdict = cut(skb, flow, session->way_mtu);
		return verdict == NOT_OURS ? refuse_size(flow, session->way_mtu) : verdict;
	}
	session_track(&flow->key, session, packet, true, time);
	session_count(skb, session, packet, true);
	if (unlikely(wants_clamp(packet, session)) && !clamp_mss(skb, packet->l4, session->way_mtu))
		return drop(flow, REASON_MALFORMED);
	if (unlikely(is_fragment(packet))) {
		reason = first_fragment_out(skb, flow, session);
		if (reason)
			return drop(flow, reason);
	}
	/* What a router may still fragment needs an identification that no other endpoint's has: RFC 7857 section 10. */
	if (unlikely(!(packet->fragment & htons(IP_DF | IP_MF | IP_OFFSET))) && !rewrite_id(skb, packet, next_fragment_id(flow)))
		return drop(flow, REASON_MALFORMED);
	reason = rewrite(skb, packet, SOURCE, session->external_address, session->external_port, 1);
	if (unlikely(reason))
		return drop(flow, reason);
	return deliver_outside(skb, flow, way_load(&session->way));
}

enum { DNS = 53 };

/*
 * Whether a packet to the gateway's address is for a mapping on any address, or
 * for a session of one: `host.internal` is the gateway, and what is published
 * on all addresses of the host is there too. Most packets to the gateway are
 * the host's own (DNS), so protocols without ports and later fragments are not
 * looked at. A name server that is published on all addresses of the host does not
 * take the place of the network's.
 */
INLINE bool is_published_at_gateway(struct __sk_buff *skb, struct flow *flow, const struct inside *inside)
{
	struct packet *packet = &flow->packet;

	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP)
		return false;
	if (is_later_fragment(packet) || parse_l4(skb, packet))
		return false;
	if (packet->destination_port == htons(DNS) && inside->flags & NETWORK_NAMES)
		return false;
	return is_published(skb, flow);
}

INLINE bool reaches_link_local(__u32 id)
{
	struct nat *nat = bpf_map_lookup_elem(&nats, &id);

	return nat && nat->link_local;
}

/*
 * A packet from the inside whose source has been checked. What is for the
 * link or for the host goes on; everything else is ours.
 */
INLINE int from_inside(struct __sk_buff *skb, struct flow *flow, const struct inside *inside)
{
	struct packet *packet = &flow->packet;
	int verdict;

	/* The host would take what is for its loopback, where some tool has set route_localnet (CVE-2020-8558). */
	if (unlikely(is_nobodys(packet->destination)))
		return drop(flow, REASON_MARTIAN_DESTINATION);
	if (stays_on_link(packet->destination))
		return TCX_NEXT;
	if (unlikely(packet->destination == inside->gateway)) {
		verdict = to_dialler(skb, flow);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if ((packet->destination & inside->mask) == inside->subnet) {
		if (unlikely(packet->destination == inside->gateway) && flow->nat && is_published_at_gateway(skb, flow, inside))
			return outbound(skb, flow);
		if (unlikely(inside->flags & NETWORK_ENDPOINTS_ISOLATED) && !is_host_address(packet->destination))
			return refuse(flow, REASON_ISOLATED);
		return TCX_NEXT;
	}
	if (unlikely(has_source_route(skb, packet->l3, packet->l4)))
		return drop(flow, REASON_SOURCE_ROUTE);
	if (unlikely(inside->flags & (NETWORK_OPEN | NETWORK_ROUTERS))) {
		verdict = to_open_network(skb, flow);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if (!flow->nat)
		return refuse(flow, REASON_NO_NAT);
	if (unlikely(is_link_local(packet->destination)) && !reaches_link_local(flow->nat))
		return refuse(flow, REASON_LINK_LOCAL);
	return outbound(skb, flow);
}
