/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * ICMP errors: they quote a packet of a session, which names the session and
 * has to be turned back to what its receiver knows (RFC 5508 section 4). They
 * never refresh or end a session (REQ-6, RFC 5382 REQ-10).
 */
#pragma once
#include "ip4_deliver.h"
#include "ip4_hairpin.h"
#include "ip4_route.h"
#include "session_outbound.h"

/* Where the datagram ends, by its own length. */
INLINE __u32 datagram_end(struct __sk_buff *skb, const struct packet *packet)
{
	struct iphdr *ip = ip_header(skb, packet);
	return ip ? packet->l3 + ntohs(ip->tot_len) : 0;
}

/* Reads the quote of an error into flow->quote. Returns why not, otherwise REASON_NONE. */
NOINLINE int parse_quote(struct __sk_buff *skb, struct flow *flow)
{
	struct quote *quote = &flow->quote;
	__u32 icmp = flow->packet.l4;
	struct iphdr ip;
	struct udphdr ports; /* TCP's ports are at the same place */

	*quote = (struct quote){ .icmp = icmp, .end = datagram_end(skb, &flow->packet) };
	quote->l3 = icmp + sizeof(struct icmphdr);
	if (bpf_skb_load_bytes(skb, quote->l3, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return REASON_ICMP_ERROR_INVALID;
	if (ip.frag_off & htons(IP_OFFSET))
		return REASON_ICMP_ERROR_INVALID; /* no ports in there */
	quote->l4 = quote->l3 + ip.ihl * 4; /* the quote's options are skipped: REQ-3b */
	if (quote->l4 + sizeof(ports) > quote->end || bpf_skb_load_bytes(skb, quote->l4, &ports, sizeof(ports)))
		return REASON_ICMP_ERROR_INVALID;
	quote->source = ip.saddr;
	quote->destination = ip.daddr;
	quote->protocol = ip.protocol;
	quote->ip_check = ip.check;
	switch (ip.protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		quote->source_port = ports.source;
		quote->destination_port = ports.dest;
		return REASON_NONE;
	case IPPROTO_ICMP: /* type, code and checksum, then the identifier; an error about an error is none of ours */
		if ((ports.source & 0xff) != ICMP_ECHO_REQUEST && (ports.source & 0xff) != ICMP_ECHO_REPLY)
			return REASON_ICMP_ERROR_INVALID;
		quote->source_port = quote->destination_port = ports.len;
		return REASON_NONE;
	}
	return REASON_NONE; /* of a whole address, which has no ports: see ip4_one_to_one.h */
}

/* Where the transport checksum of the quote is, 0 if it has none there. */
INLINE __u32 quote_check_offset(struct __sk_buff *skb, const struct quote *quote)
{
	__u32 offset = quote->l4;

	switch (quote->protocol) {
	case IPPROTO_TCP:
		offset += __builtin_offsetof(struct tcphdr, check);
		return offset + sizeof(__u16) <= quote->end ? offset : 0; /* with 8 bytes quoted it is cut off */
	case IPPROTO_UDP:
		return offset + __builtin_offsetof(struct udphdr, check);
	case IPPROTO_ICMP:
		return offset + __builtin_offsetof(struct icmphdr, check);
	default:
		return 0;
	}
}

/* Replaces bytes of the quote; the ICMP checksum, at icmp_check, covers them. */
INLINE long replace_in_quote(struct __sk_buff *skb, __u32 icmp_check, __u32 offset, __u16 old, __u16 new)
{
	if (old == new)
		return 0;
	return bpf_skb_store_bytes(skb, offset, &new, sizeof(new), 0)
		       ?: bpf_l4_csum_replace(skb, icmp_check, old, new, sizeof(new));
}

/*
 * Turns one end of the quote back to address:port, with all its checksums. The
 * quote's IP checksum takes up the address's change, so that the ICMP checksum
 * does not see either.
 */
NOINLINE int rewrite_quote(struct __sk_buff *skb, const struct quote *quote, enum side side, __be32 address, __be16 port)
{
	__be32 old = side == SOURCE ? quote->source : quote->destination;
	__be16 old_port = side == SOURCE ? quote->source_port : quote->destination_port;
	__u32 icmp_check = quote->icmp + __builtin_offsetof(struct icmphdr, check);
	__u32 at = quote->l3 + (side == SOURCE ? __builtin_offsetof(struct iphdr, saddr) : __builtin_offsetof(struct iphdr, daddr));
	__u32 port_at = quote->l4 + (side == SOURCE ? 0 : sizeof(port));
	__u32 check_at = quote_check_offset(skb, quote), sum;
	__u16 check, new_check;

	if (quote->protocol == IPPROTO_ICMP)
		port_at = quote->l4 + __builtin_offsetof(struct icmphdr, id);
	new_check = adjust_ip_checksum(quote->ip_check, old, address, 0, 0);
	if (replace_in_quote(skb, icmp_check, at, old, address) ||
	    replace_in_quote(skb, icmp_check, at + 2, old >> 16, address >> 16) ||
	    replace_in_quote(skb, icmp_check, quote->l3 + __builtin_offsetof(struct iphdr, check), quote->ip_check, new_check) ||
	    replace_in_quote(skb, icmp_check, port_at, old_port, port))
		return REASON_TRANSLATE;
	if (!check_at || bpf_skb_load_bytes(skb, check_at, &check, sizeof(check)))
		return REASON_NONE;
	if (quote->protocol == IPPROTO_UDP && !check)
		return REASON_NONE; /* none was sent */
	sum = (__u16)~check + (__u16)~old_port + port;
	if (quote->protocol != IPPROTO_ICMP) /* a pseudo-header counts the address too */
		sum += (__u16)~old + (__u16) ~(old >> 16) + (address & 0xffff) + (address >> 16);
	new_check = ~fold(sum);
	if (quote->protocol == IPPROTO_UDP && !new_check)
		new_check = 0xffff;
	return replace_in_quote(skb, icmp_check, check_at, check, new_check) ? REASON_TRANSLATE : REASON_NONE;
}

/* An error from outside about a packet without ports, of a one-to-one mapping; NOT_OURS if it is nobody's. */
INLINE int one_to_one_error_inbound(struct __sk_buff *skb, struct flow *flow, const struct quote *quote)
{
	__be32 address = quote->source;
	struct one_to_one *pair = bpf_map_lookup_elem(&one_to_one_in, &address);
	int reason;

	if (!pair)
		return NOT_OURS;
	if (is_martian(flow->packet.source))
		return drop(flow, REASON_INSIDE_FROM_OUTSIDE);
	if (flow->packet.ttl <= 1)
		return drop(flow, REASON_HOP_LIMIT);
	reason = rewrite_quote(skb, quote, SOURCE, pair->internal_address, quote->source_port);
	if (!reason)
		reason = rewrite_address(skb, &flow->packet, DESTINATION, pair->internal_address, 1);
	if (reason)
		return drop(flow, reason);
	return deliver_inside(skb, flow, pair->compartment, pair->network, pair->internal_address);
}

/* The same from an endpoint; flow->key has its compartment, its address and the remote's. */
INLINE int one_to_one_error_outbound(struct __sk_buff *skb, struct flow *flow, const struct quote *quote)
{
	struct endpoint_key endpoint = endpoint_of(&flow->key);
	struct one_to_one *pair = bpf_map_lookup_elem(&one_to_one_out, &endpoint);
	int reason;

	if (!pair)
		return drop(flow, REASON_ICMP_ERROR_INVALID);
	if (flow->packet.ttl <= 1)
		return drop(flow, REASON_HOP_LIMIT);
	reason = find_one_to_one_route(skb, flow, pair);
	if (!reason)
		reason = rewrite_quote(skb, quote, DESTINATION, pair->external_address, quote->destination_port);
	if (!reason)
		reason = rewrite_address(skb, &flow->packet, SOURCE, pair->external_address, 1);
	return reason ? drop(flow, reason) : deliver_outside(skb, flow, way_of(&flow->route));
}

/* An error from outside about a packet that a session sent (RFC 5508 REQ-4); NOT_OURS if none did. */
NOINLINE int error_inbound(struct __sk_buff *skb, struct flow *flow)
{
	struct session_key *key = &flow->key;
	struct quote *quote = &flow->quote;
	struct session *session;
	int reason;

	if (parse_quote(skb, flow))
		return NOT_OURS;
	if (unlikely(!has_ports(quote->protocol)))
		return one_to_one_error_inbound(skb, flow, quote);
	flow->binding_key = (struct binding_key){
		.address = quote->source,
		.port = quote->source_port,
		.protocol = quote->protocol,
	};
	if (!find_inside(&flow->binding_key, quote->destination, quote->destination_port, key))
		return NOT_OURS;
	session = bpf_map_lookup_elem(&sessions, key);
	if (!session || session->external_address != quote->source || session->external_port != quote->source_port)
		return NOT_OURS;
	if (is_martian(flow->packet.source) || session->flags & SESSION_HAIRPIN) /* of a hairpin nobody outside has seen a packet */
		return drop(flow, REASON_INSIDE_FROM_OUTSIDE);
	if (flow->packet.ttl <= 1)
		return drop(flow, REASON_HOP_LIMIT);
	reason = rewrite_quote(skb, quote, SOURCE, key->internal_address, key->internal_port);
	if (reason)
		return drop(flow, reason);
	reason = rewrite_address(skb, &flow->packet, DESTINATION, key->internal_address, 1);
	if (reason)
		return drop(flow, reason);
	return deliver_inside(skb, flow, key->compartment, session->network, key->internal_address);
}

/* The key of the session that brought an endpoint the quoted packet. */
INLINE void key_of_quote(struct flow *flow, const struct quote *quote)
{
	flow->key = (struct session_key){
		.compartment = flow->compartment,
		.internal_address = quote->destination,
		.internal_port = quote->destination_port,
		.remote_address = quote->source,
		.remote_port = quote->protocol != IPPROTO_ICMP ? quote->source_port : 0,
		.protocol = quote->protocol,
	};
}

/* An error from an endpoint about a packet that a session brought it (RFC 5508 REQ-5). */
NOINLINE int error_outbound(struct __sk_buff *skb, struct flow *flow)
{
	struct quote *quote = &flow->quote;
	struct session *session;
	int reason;

	reason = parse_quote(skb, flow);
	if (reason)
		return drop(flow, reason);
	key_of_quote(flow, quote);
	/* A router behind the endpoint may speak for it, but only to the remote: nobody else is told of a session. */
	if (quote->destination != flow->packet.source || quote->source != flow->packet.destination)
		return drop(flow, REASON_ICMP_ERROR_NO_SESSION);
	if (unlikely(!has_ports(quote->protocol)))
		return one_to_one_error_outbound(skb, flow, quote);
	session = find_session(&flow->key, &flow->session);
	if (!session)
		return drop(flow, REASON_ICMP_ERROR_NO_SESSION);
	if (flow->packet.ttl <= 1)
		return drop(flow, REASON_HOP_LIMIT);
	if (session->route_until < now()) {
		reason = route_refresh(skb, flow, session, session->way_tos);
		if (reason)
			return drop(flow, reason);
	}
	reason = rewrite_quote(skb, quote, DESTINATION, session->external_address, session->external_port);
	if (reason)
		return drop(flow, reason);
	/* The outside sees the NAT's address alone. */
	reason = rewrite_address(skb, &flow->packet, SOURCE, session->external_address, 1);
	if (reason)
		return drop(flow, reason);
	return deliver_outside(skb, flow, way_load(&session->way));
}

/*
 * An error from an endpoint to an address of the host: about a hairpinned
 * packet it goes on to the other endpoint (RFC 5508 REQ-7), else it is the host's.
 */
NOINLINE int error_hairpin(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	struct session *session, *far;
	struct quote *quote = &flow->quote;
	int reason;

	if (parse_quote(skb, flow) || quote->destination != packet->source || quote->source != packet->destination)
		return TCX_NEXT;
	key_of_quote(flow, quote);
	session = bpf_map_lookup_elem(&sessions, &flow->key);
	if (!session || !(session->flags & SESSION_HAIRPIN))
		return TCX_NEXT;
	if (!far_side(flow, session))
		return drop(flow, REASON_ICMP_ERROR_NO_SESSION);
	far = bpf_map_lookup_elem(&sessions, &flow->far_key);
	/* By another external address it would be another flow of the two. */
	if (!far || far->external_address != quote->source || far->external_port != quote->source_port)
		return drop(flow, REASON_ICMP_ERROR_NO_SESSION);
	if (packet->ttl <= 1)
		return drop(flow, REASON_HOP_LIMIT);
	reason = rewrite_quote(skb, quote, DESTINATION, session->external_address, session->external_port);
	if (!reason)
		reason = parse_quote(skb, flow); /* its checksums are others now */
	if (!reason)
		reason = rewrite_quote(skb, quote, SOURCE, flow->far_key.internal_address, flow->far_key.internal_port);
	if (!reason)
		reason = rewrite_address(skb, packet, SOURCE, session->external_address, 1);
	if (!reason)
		reason = rewrite_address(skb, packet, DESTINATION, flow->far_key.internal_address, 0);
	if (reason)
		return drop(flow, reason);
	return deliver_inside(skb, flow, flow->far_key.compartment, far->network, flow->far_key.internal_address);
}
