/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The session of a program of the host that dials a mapping, and the way back
 * to it. To the endpoint it is the gateway with a port that stands for the flow;
 * the program sees the address and port that it dialled, since packets carry these.
 *
 * Such a session needs no way out. In its place is the program's own end.
 */
#pragma once
#include "ip4_fragment.h"
#include "ip4_icmp_error.h"
#include "ip4_ip6_wire.h"
#include "session_outbound.h"

enum { LOOPBACK_IFINDEX = 1 }; /* in every network namespace */
#define LOOPBACK_ADDRESS htonl(0x7f000001)

INLINE __be32 dialler_address(const struct session *session)
{
	return session->way.next_hop;
}

INLINE __be16 dialler_port(const struct session *session)
{
	return session->way_mtu;
}

/* The interface that the program's socket is bound to; 0: none. */
INLINE __u32 dialler_interface(const struct session *session)
{
	return session->way.ifindex;
}

/* A network's bridge, if an interface is one. */
INLINE struct inside *find_bridge(__u32 ifindex)
{
	struct inside *inside = bpf_map_lookup_elem(&insides, &ifindex);
	struct network *network;
	__u32 id;

	if (!inside)
		return NULL;
	id = inside->network;
	network = bpf_map_lookup_elem(&networks, &id);
	return network && network->bridge_ifindex == ifindex ? inside : NULL;
}

/* The outside interface or bridge whose output the packets to a dialler take, 0 if it is loopback's. */
INLINE __u32 way_to_dialler(__u32 ifindex)
{
	return ifindex && (bpf_map_lookup_elem(&outsides, &ifindex) || find_bridge(ifindex)) ? ifindex : 0;
}

/*
 * What stands in a packet for the dialler's address until it is at loopback:
 * deliver_to_dialler. By a bridge it is the gateway's, which alone has a route there.
 */
INLINE __be32 address_before_loopback(__be32 address, __u32 way)
{
	struct inside *bridge = way ? find_bridge(way) : NULL;

	if (bridge)
		return bridge->gateway;
	return way || is_loopback(address) ? address : LOOPBACK_ADDRESS;
}

/*
 * To the host's own stack as from itself. What comes without a route may not have
 * a source that is the host's own, so it gets one by leaving for 127.0.0.1 by the
 * loopback interface; there to_dialler_address puts in the right address. A socket
 * that is bound to an interface takes only what has that one's route.
 */
INLINE int deliver_to_dialler(struct __sk_buff *skb, __be32 address, __u32 way)
{
	if (bpf_skb_change_type(skb, PACKET_HOST)) /* nobody does so on loopback, and the frame was for the bridge */
		return TCX_DROP;
	skb->mark = MARK_TO_DIALLER;
	skb->priority = address_before_loopback(address, way) == address ? 0 : address;
	return bpf_redirect_neigh(way ?: LOOPBACK_IFINDEX, NULL, 0, 0);
}

/* On the loopback interface: the last step of a packet to a program that dialled. */
NOINLINE int to_dialler_address(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	__be32 address = skb->priority;
	int reason;

	skb->mark = 0;
	skb->priority = 0;
	if (!address || skb->protocol != htons(ETH_P_IP))
		return TCX_NEXT;
	reason = parse_ip(skb, packet);
	if (!reason && (is_later_fragment(packet) || packet->protocol == IPPROTO_ICMP))
		reason = rewrite_address(skb, packet, DESTINATION, address, 0);
	else if (!reason && !(reason = parse_l4(skb, packet)))
		reason = rewrite(skb, packet, DESTINATION, address, packet->destination_port, 0);
	return reason ? drop(flow, reason) : TCX_NEXT;
}

/* What an answer gets in front of it. The second is there for fragments alone. */
struct ip6_headers {
	struct ip6hdr ip;
	struct ip6_fragment fragment;
};

/*
 * An answer to a program that dialled by IPv6: the same addresses in an IPv6
 * header, and in a fragment header if it is a piece of one (RFC 7915 section 4.1).
 * UDP needs a checksum there (RFC 8200 section 8.1). One without is not read
 * again for it, as it goes no further than to a socket of this host: that is told
 * that the checksum was found right. The pieces of one have to say so all alike.
 */
NOINLINE int answer_by_ip6(struct __sk_buff *skb, struct flow *flow)
{
	const __be32 before[2] = { LOOPBACK_ADDRESS, LOOPBACK_ADDRESS };
	struct packet *packet = &flow->packet;
	bool udp = packet->protocol == IPPROTO_UDP, piece = is_fragment(packet), first = !is_later_fragment(packet);
	__u16 offset = ntohs(packet->fragment);
	struct ip6_headers headers = {
		.ip = {
			.version_tos = 6 << 4,
			.payload_length = htons(packet->length - sizeof(struct iphdr) + (piece ? sizeof(struct ip6_fragment) : 0)),
			.next_header = piece ? IP6_FRAGMENT : packet->protocol,
			.hop_limit = packet->ttl,
			.source = IP6_LOOPBACK,
			.destination = IP6_LOOPBACK,
		},
		.fragment = {
			.next_header = packet->protocol,
			.offset_more = htons((offset & IP_OFFSET) << 3 | !!(offset & IP_MF)),
			.id = htonl(ntohs(packet->id)),
		},
	};
	__u32 check = udp ? __builtin_offsetof(struct udphdr, check) : __builtin_offsetof(struct tcphdr, check);
	__u32 l4 = sizeof(struct ethhdr) + (piece ? sizeof(headers) : sizeof(headers.ip));
	__be16 protocol = htons(ETH_P_IPV6);
	__u16 sum = 0, any = 0xffff;
	__s64 difference;
	bool blank;

	if (packet->l4 - packet->l3 != sizeof(struct iphdr))
		return drop(flow, REASON_FRAGMENT);
	if (udp && first && bpf_skb_load_bytes(skb, packet->l4 + check, &sum, sizeof(sum)))
		return drop(flow, REASON_TRANSLATE);
	blank = udp && first && !sum;
	difference = bpf_csum_diff(before, sizeof(before), (void *)&headers.ip.source, 2 * sizeof(headers.ip.source), 0);
	if (difference < 0 || bpf_skb_change_proto(skb, htons(ETH_P_IPV6), 0) ||
	    bpf_skb_store_bytes(skb, __builtin_offsetof(struct ethhdr, protocol), &protocol, sizeof(protocol), 0) ||
	    bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &headers.ip, sizeof(headers.ip), 0) ||
	    (piece && (bpf_skb_adjust_room(skb, sizeof(headers.fragment), BPF_ADJ_ROOM_NET, 0) ||
		       bpf_skb_store_bytes(skb, sizeof(struct ethhdr) + sizeof(headers.ip), &headers.fragment,
					   sizeof(headers.fragment), 0))) ||
	    (blank && bpf_skb_store_bytes(skb, l4 + check, &any, sizeof(any), 0)) ||
	    (first && !blank &&
	     bpf_l4_csum_replace(skb, l4 + check, 0, difference, BPF_F_PSEUDO_HDR | (udp ? BPF_F_MARK_MANGLED_0 : 0))))
		return drop(flow, REASON_TRANSLATE);
	if (unlikely(blank) || (udp && !first))
		bpf_csum_level(skb, BPF_CSUM_LEVEL_INC);
	return deliver_to_dialler(skb, LOOPBACK_ADDRESS, 0);
}

/* What an ICMP error is in IPv6 (RFC 7915 section 4.2), type and code; 0: nothing. Sizes are no matter, as what is too big is cut. */
INLINE __u32 error_in_ip6(__u8 type, __u8 code)
{
	if (type == ICMP_TIME_EXCEEDED)
		return ICMP6_TIME_EXCEEDED | code;
	if (type != ICMP_UNREACHABLE || code == ICMP_FRAGMENTATION_NEEDED)
		return 0;
	switch (code) {
	case ICMP_PROTOCOL_UNREACHABLE:
	case ICMP_PORT_UNREACHABLE:
		return ICMP6_PORT_UNREACHABLE;
	case ICMP_NET_PROHIBITED:
	case ICMP_HOST_PROHIBITED:
	case ICMP_PROHIBITED:
	case ICMP_PRECEDENCE:
		return ICMP6_PROHIBITED;
	}
	return ICMP6_NO_ROUTE;
}

/* An endpoint's ICMP error about what a program has sent it by IPv6, from which flow->quote has been read. */
NOINLINE int error_by_ip6(struct __sk_buff *skb, struct flow *flow, const struct session *session)
{
	const struct quote *quote = &flow->quote;
	struct icmp6_error *error;
	__be16 protocol = htons(ETH_P_IPV6), length = 0;
	__be32 rest = 0;
	__u32 type;
	__u8 code;
	__s64 sum;

	if (!session || bpf_skb_load_bytes(skb, quote->icmp + 1, &code, sizeof(code)) ||
	    bpf_skb_load_bytes(skb, quote->l3 + __builtin_offsetof(struct iphdr, tot_len), &length, sizeof(length)) ||
	    bpf_skb_load_bytes(skb, quote->l4 + 2 * sizeof(__be16), &rest, sizeof(rest)))
		return drop(flow, REASON_MALFORMED);
	type = error_in_ip6(flow->packet.icmp_type, code);
	if (!type || bpf_skb_change_proto(skb, htons(ETH_P_IPV6), 0) ||
	    bpf_skb_change_tail(skb, sizeof(struct ethhdr) + sizeof(*error), 0) ||
	    bpf_skb_store_bytes(skb, __builtin_offsetof(struct ethhdr, protocol), &protocol, sizeof(protocol), 0) ||
	    !pull(skb, sizeof(struct ethhdr) + sizeof(*error)))
		return drop(flow, REASON_TRANSLATE);
	error = (void *)(long)skb->data + sizeof(struct ethhdr);
	if ((void *)(error + 1) > (void *)(long)skb->data_end)
		return drop(flow, REASON_TRANSLATE);
	error->ip = (struct ip6hdr){
		.version_tos = 6 << 4,
		.payload_length = htons(sizeof(*error) - sizeof(error->ip)),
		.next_header = IP6_ICMP,
		.hop_limit = 64,
		.source = IP6_LOOPBACK,
		.destination = IP6_LOOPBACK,
	};
	error->quoted = error->ip;
	error->quoted.payload_length = htons(ntohs(length) - sizeof(struct iphdr));
	error->quoted.next_header = quote->protocol;
	error->type = type >> 8;
	error->code = type;
	error->check = 0;
	error->unused = 0;
	error->source_port = dialler_port(session);
	error->destination_port = session->external_port;
	error->rest = rest;
	sum = bpf_csum_diff(NULL, 0, (void *)&error->ip.source, sizeof(*error) - __builtin_offsetof(struct ip6hdr, source),
			    htonl(sizeof(*error) - sizeof(error->ip)) + htonl(IP6_ICMP));
	if (sum < 0)
		return drop(flow, REASON_TRANSLATE);
	error->check = ~fold(sum);
	return deliver_to_dialler(skb, LOOPBACK_ADDRESS, 0);
}

INLINE void note_to_dialler(const struct flow *flow, const struct session *session, __be16 id)
{
	struct fragment note = {
		.expires = now() + FRAGMENT_MEMORY * SECOND,
		.source = session->external_address,
		.destination = dialler_address(session),
		.id = id,
		.way = { .ifindex = dialler_interface(session) },
		.compartment = OUTSIDE,
		.network = session->flags & SESSION_DIALLED_IP6, /* of no network, it says by which protocol */
	};
	struct fragment_key key = fragment_key(flow, 0);

	map_update(&fragments, &key, &note, BPF_ANY);
}

/* An endpoint's ICMP error about what a dialler has sent it. */
NOINLINE int error_to_dialler(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	struct quote *quote = &flow->quote;
	struct session *session;
	__u32 way;
	int reason;

	if (parse_quote(skb, flow) || quote->destination != packet->source || quote->source != packet->destination)
		return NOT_OURS;
	key_of_quote(flow, quote);
	session = bpf_map_lookup_elem(&sessions, &flow->key);
	if (!session || !(session->flags & SESSION_DIALLED))
		return NOT_OURS;
	if (session->flags & SESSION_DIALLED_IP6)
		return error_by_ip6(skb, flow, session);
	way = way_to_dialler(dialler_interface(session));
	reason = rewrite_quote(skb, quote, DESTINATION, session->external_address, session->external_port);
	if (!reason)
		reason = parse_quote(skb, flow); /* its checksums are others now */
	if (!reason)
		reason = rewrite_quote(skb, quote, SOURCE, dialler_address(session), dialler_port(session));
	if (!reason && way && find_bridge(way))
		return TCX_NEXT; /* the stack asks for a socket by the interface that the error comes in by: up the bridge, then */
	if (!reason)
		reason = rewrite_address(skb, packet, SOURCE, session->external_address, 0);
	if (!reason)
		reason = rewrite_address(skb, packet, DESTINATION, address_before_loopback(dialler_address(session), way), 0);
	return reason ? drop(flow, reason) : deliver_to_dialler(skb, dialler_address(session), way);
}

/* Pieces of what a dialler has sent come back to the link of the endpoint that they are for: cut_for_endpoint. */
INLINE int cut_to_endpoint(struct __sk_buff *skb)
{
	skb->mark = 0;
	return bpf_redirect(skb->ifindex, 0);
}

/* Does with a later fragment to a dialler what was done with the first one. */
INLINE int later_fragment_to_dialler(struct __sk_buff *skb, struct flow *flow)
{
	struct fragment *note = find_first_fragment(flow);
	struct packet *packet = &flow->packet;
	__u32 way;

	if (!note || note->compartment != OUTSIDE)
		return NOT_OURS;
	way = way_to_dialler(note->way.ifindex);
	if (!rewrite_id(skb, packet, note->id) || rewrite_address(skb, packet, SOURCE, note->source, 0) ||
	    rewrite_address(skb, packet, DESTINATION, address_before_loopback(note->destination, way), 0))
		return drop(flow, REASON_MALFORMED);
	packet->id = note->id;
	return note->network ? answer_by_ip6(skb, flow) : deliver_to_dialler(skb, note->destination, way);
}

/* The session of a packet from an endpoint to its gateway, by which a program of the host has dialled it. */
INLINE struct session *dialled_session(struct flow *flow)
{
	const struct packet *packet = &flow->packet;
	struct session *session;

	flow->key = (struct session_key){
		.compartment = flow->compartment,
		.internal_address = packet->source,
		.remote_address = packet->destination,
		.internal_port = packet->source_port,
		.remote_port = packet->destination_port,
		.protocol = packet->protocol,
	};
	session = find_session(&flow->key, &flow->session);
	return session && session->flags & SESSION_DIALLED ? session : NULL;
}

/* What an endpoint sends to its gateway's address: NOT_OURS unless it is for a program of the host that has dialled a mapping. */
NOINLINE int to_dialler(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	struct session *session;
	__u32 way;
	__be16 id;
	int reason;

	if (is_later_fragment(packet))
		return later_fragment_to_dialler(skb, flow);
	if (parse_l4(skb, packet))
		return NOT_OURS;
	if (packet->protocol == IPPROTO_ICMP)
		return is_icmp_error(packet->icmp_type) ? error_to_dialler(skb, flow) : NOT_OURS;
	session = dialled_session(flow);
	if (!session)
		return NOT_OURS;
	session_track(&flow->key, session, packet, true, now());
	session_count(skb, session, packet, true);
	if (is_fragment(packet)) {
		id = next_fragment_id(flow);
		note_to_dialler(flow, session, id);
		if (!rewrite_id(skb, packet, id))
			return drop(flow, REASON_MALFORMED);
		packet->id = id;
	}
	way = way_to_dialler(dialler_interface(session));
	reason = rewrite(skb, packet, SOURCE, session->external_address, session->external_port, 0);
	if (!reason)
		reason = rewrite(skb, packet, DESTINATION, address_before_loopback(dialler_address(session), way),
				 dialler_port(session), 0);
	if (reason)
		return drop(flow, reason);
	return session->flags & SESSION_DIALLED_IP6 ? answer_by_ip6(skb, flow)
						    : deliver_to_dialler(skb, dialler_address(session), way);
}
