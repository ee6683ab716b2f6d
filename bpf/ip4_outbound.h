/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A packet from the inside whose source has been checked: where it goes, and its translation on the way out. */
#pragma once
#include "ip4_inter_network.h"
#include "ip4_reassembly_link.h"
#include "ip4_fragment.h"
#include "ip4_hairpin.h"
#include "ip4_mss.h"
#include "session_open.h"
#include "ip4_refuse.h"
#include "ip4_one_to_one.h"

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

/* Translates a packet from the inside and sends it out. */
INLINE int outbound(struct __sk_buff *skb, struct packet *packet, const struct inside *inside)
{
	struct session_key key = {
		.compartment = inside->compartment,
		.internal_address = packet->source,
		.remote_address = packet->destination,
	};
	struct session *session;
	__u32 own, mtu;
	__u64 now;
	int reason, verdict;

	if (unlikely(!has_ports(packet->protocol)))
		return one_to_one_outbound(skb, inside);
	if (unlikely(is_later_fragment(packet)))
		return later_fragment_out(skb, packet, inside->compartment);
	reason = parse_l4(skb, packet);
	if (unlikely(reason))
		return drop(reason);
	if (packet->protocol == IPPROTO_ICMP && is_icmp_error(packet->icmp_type))
		return is_host_address(packet->destination)
			       ? error_hairpin(skb, packet->l4, packet->source, packet->destination, inside->compartment)
			       : error_outbound(skb, packet->l4, packet->source, packet->destination, inside->compartment);
	/* Of the other messages an echo request alone has a session (RFC 5508 REQ-10, REQ-11). */
	if (packet->protocol == IPPROTO_ICMP && packet->icmp_type != ICMP_ECHO_REQUEST)
		return is_host_address(packet->destination) ? TCX_NEXT : drop(REASON_NO_SESSION);
	key.internal_port = packet->source_port;
	key.protocol = packet->protocol;
	if (packet->protocol != IPPROTO_ICMP)
		key.remote_port = packet->destination_port;

	session = bpf_map_lookup_elem(&sessions, &key);
	if (unlikely(!session)) {
		own = host_interface(packet->destination);
		if (own && !is_published(skb, packet)) {
			if (unlikely(is_fragment(packet)))
				note_foreign(packet, inside->compartment);
			return TCX_NEXT; /* to the host itself */
		}
		/* Networks are isolated from each other, on one NAT too. */
		if (!own && is_isolated(inside->compartment, packet->destination))
			return refuse(skb, inside, REASON_ISOLATED, 0);
		if (opens_nothing(&key, packet->tcp_flags))
			return is_transparent(skb, packet) ? to_transparent_socket(skb) : drop(REASON_NO_SESSION);
		if (packet->ttl <= 1)
			return refuse(skb, inside, REASON_HOP_LIMIT, 0);
		reason = open_outbound(skb, &key, inside->network, inside->nat, own);
		if (reason)
			return refuse(skb, inside, reason, 0);
		session = bpf_map_lookup_elem(&sessions, &key);
		if (!session)
			return drop(REASON_SESSION_FAILED);
	}
	if (unlikely(packet->ttl <= 1))
		return refuse(skb, inside, REASON_HOP_LIMIT, 0);
	if (unlikely(is_fragment(packet)) && find_passage(skb, packet, inside->compartment)) {
		verdict = to_reassembly(skb, packet->l3, 0);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if (unlikely(session->flags & SESSION_HAIRPIN)) {
		reason = hairpin_open(&key, session->external_address, session->external_port, packet->tcp_flags);
		if (reason)
			return drop(reason);
		verdict = hairpin(skb, &key, session);
		return verdict < NOT_OURS ? refuse(skb, inside, REASON_TOO_BIG, -verdict) : verdict;
	}
	now = bpf_ktime_get_coarse_ns();
	if (unlikely(session->route_expires < now)) {
		reason = route_refresh(skb, &key, session);
		if (reason)
			return refuse(skb, inside, reason, 0);
	}
	if (unlikely(wire_length(skb, packet) > session->out_mtu)) {
		mtu = session->out_mtu;
		verdict = cut(skb, packet, mtu);
		return verdict == NOT_OURS ? refuse(skb, inside, REASON_TOO_BIG, mtu) : verdict;
	}
	session_track(&key, session, packet, true, now);
	session_count(skb, session, packet, true);
	if (unlikely(wants_clamp(packet, session)) && !clamp_mss(skb, packet->l4, session->out_mtu))
		return drop(REASON_MALFORMED);
	if (unlikely(is_fragment(packet))) {
		reason = first_fragment_out(skb, packet, inside->compartment, session);
		if (reason)
			return drop(reason);
	}
	/* What a router may still fragment needs an identification that no other endpoint's has: RFC 7857 section 10. */
	if (unlikely(!(packet->fragment & htons(IP_DF | IP_MF | IP_OFFSET))) && !rewrite_id(skb, packet, next_fragment_id()))
		return drop(REASON_MALFORMED);
	reason = rewrite(skb, packet, SOURCE, session->external_address, session->external_port, 1);
	if (unlikely(reason))
		return drop(reason);
	return deliver_outside(skb, session->out_ifindex, session->next_hop);
}

/*
 * A packet from the inside whose source has been checked. What is for the
 * link or for the host goes on; everything else is ours.
 */
INLINE int from_inside(struct __sk_buff *skb, struct packet *packet, const struct inside *inside)
{
	/* The host would take what is for its loopback, where some tool has set route_localnet (CVE-2020-8558). */
	if (unlikely(is_nobodys(packet->destination)))
		return drop(REASON_MARTIAN_DESTINATION);
	if (stays_on_link(packet->destination))
		return TCX_NEXT;
	if ((packet->destination & inside->mask) == inside->subnet) {
		if (unlikely(inside->flags & NETWORK_ENDPOINTS_ISOLATED) && !is_host_address(packet->destination))
			return refuse(skb, inside, REASON_ISOLATED, 0);
		return TCX_NEXT;
	}
	if (unlikely(has_source_route(skb, packet->l3, packet->l4)))
		return drop(REASON_SOURCE_ROUTE);
	if (unlikely(inside->flags & NETWORK_OPEN)) {
		int verdict = to_open_network(skb, inside);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if (!inside->nat)
		return refuse(skb, inside, REASON_NO_NAT, 0);
	return outbound(skb, packet, inside);
}
