/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * ICMP errors: they quote a packet of a session, which names the session and
 * has to be turned back to what its receiver knows (RFC 5508 section 4). They
 * never refresh or end a session (REQ-6, RFC 5382 REQ-10).
 */
#pragma once
#include "ip4_deliver.h"
#include "session_open.h"

enum { ICMP_UNREACHABLE = 3, ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETER_PROBLEM = 12 };

enum { ICMP_SOURCE_QUENCH = 4, ICMP_REDIRECT = 5 }; /* errors too (RFC 1122 section 3.2.2), which are not translated */

INLINE bool is_icmp_error(__u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

/* The packet inside an error. Only 8 bytes behind its IP header are sure to be there (RFC 792). */
struct quote {
	__u32 icmp, l3, l4; /* offsets in the whole packet: the error, the quoted headers */
	__u32 end; /* of the datagram: a frame may be padded */
	__be32 source, destination;
	__be16 source_port, destination_port; /* ICMP: the query identifier and 0 */
	__u16 ip_check;
	__u8 protocol;
	__u8 pad;
};

NOINLINE int parse_quote(struct __sk_buff *skb, __u32 icmp, struct quote *quote)
{
	struct iphdr ip;
	struct udphdr ports; /* TCP's ports are at the same place */

	quote->icmp = icmp;
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

/* Where the datagram ends, by its own length. */
INLINE __u32 datagram_end(struct __sk_buff *skb, const struct packet *packet)
{
	struct iphdr *ip = ip_header(skb, packet);
	return ip ? packet->l3 + ntohs(ip->tot_len) : 0;
}

INLINE bool error_ttl_exceeded(struct __sk_buff *skb, const struct packet *packet)
{
	struct iphdr *ip = ip_header(skb, packet);
	return !ip || ip->ttl <= 1;
}

/*
 * Both directions are functions of their own, with what they need of the
 * packet by value: a pointer to it would keep it on the stack for all packets.
 */

/* An error from outside about a packet without ports, of a whole address; NOT_OURS if it is nobody's. */
INLINE int one_to_one_error_inbound(struct __sk_buff *skb, struct packet *packet, const struct quote *quote)
{
	__be32 address = quote->source;
	struct one_to_one *pair = bpf_map_lookup_elem(&one_to_one_in, &address);
	int reason;

	if (!pair)
		return NOT_OURS;
	if (is_martian(packet->source))
		return drop(REASON_INSIDE_FROM_OUTSIDE);
	if (error_ttl_exceeded(skb, packet))
		return drop(REASON_HOP_LIMIT);
	reason = rewrite_quote(skb, quote, SOURCE, pair->internal_address, quote->source_port);
	if (!reason)
		reason = rewrite_address(skb, packet, DESTINATION, pair->internal_address, 1);
	if (reason)
		return drop(reason);
	return deliver_inside(skb, packet, pair->compartment, pair->network, pair->internal_address);
}

/* The same from an endpoint; key has its compartment, its address and the remote's. */
INLINE int one_to_one_error_outbound(struct __sk_buff *skb, const struct packet *packet, const struct quote *quote,
				     const struct session_key *key)
{
	struct endpoint_key endpoint = { .compartment = key->compartment, .address = key->internal_address };
	struct one_to_one *pair = bpf_map_lookup_elem(&one_to_one_out, &endpoint);
	struct route route = {};
	int reason;

	if (!pair)
		return drop(REASON_ICMP_ERROR_INVALID);
	if (error_ttl_exceeded(skb, packet))
		return drop(REASON_HOP_LIMIT);
	reason = find_route(skb, key, &route);
	if (!reason)
		reason = rewrite_quote(skb, quote, DESTINATION, pair->external_address, quote->destination_port);
	if (!reason)
		reason = rewrite_address(skb, packet, SOURCE, pair->external_address, 1);
	return reason ? drop(reason) : deliver_outside(skb, route.ifindex, route.next_hop);
}

/* An error from outside about a packet that a session sent (RFC 5508 REQ-4); NOT_OURS if none did. */
NOINLINE int error_inbound(struct __sk_buff *skb, __u32 l3, __u32 l4, __be32 source, __be32 destination)
{
	struct packet packet = { .l3 = l3, .l4 = l4, .source = source, .destination = destination };
	struct binding_key binding_key = {};
	struct session_key key = {};
	struct quote quote = {};
	struct session *session;
	int reason;

	quote.end = datagram_end(skb, &packet);
	if (parse_quote(skb, packet.l4, &quote))
		return NOT_OURS;
	if (unlikely(!has_ports(quote.protocol)))
		return one_to_one_error_inbound(skb, &packet, &quote);
	binding_key.address = quote.source;
	binding_key.port = quote.source_port;
	binding_key.protocol = quote.protocol;
	if (!find_inside(&binding_key, quote.destination, quote.destination_port, &key))
		return NOT_OURS;
	session = bpf_map_lookup_elem(&sessions, &key);
	if (!session || session->external_address != quote.source || session->external_port != quote.source_port)
		return NOT_OURS;
	if (is_martian(source) || session->flags & SESSION_HAIRPIN) /* of a hairpin nobody outside has seen a packet */
		return drop(REASON_INSIDE_FROM_OUTSIDE);
	if (error_ttl_exceeded(skb, &packet))
		return drop(REASON_HOP_LIMIT);
	reason = rewrite_quote(skb, &quote, SOURCE, key.internal_address, key.internal_port);
	if (reason)
		return drop(reason);
	reason = rewrite_address(skb, &packet, DESTINATION, key.internal_address, 1);
	if (reason)
		return drop(reason);
	return deliver_inside(skb, &packet, key.compartment, session->network, key.internal_address);
}

/* An error from an endpoint about a packet that a session brought it (RFC 5508 REQ-5). */
GLOBAL int error_outbound(struct __sk_buff *skb, __u32 l4, __be32 source, __be32 destination, __u32 compartment)
{
	struct packet packet = { .l3 = sizeof(struct ethhdr), .l4 = l4, .source = source, .destination = destination };
	struct session_key key = { .compartment = compartment };
	struct quote quote = {};
	struct session *session;
	int reason;

	quote.end = datagram_end(skb, &packet);
	reason = parse_quote(skb, packet.l4, &quote);
	if (reason)
		return drop(reason);
	key.internal_address = quote.destination;
	key.internal_port = quote.destination_port;
	key.remote_address = quote.source;
	key.protocol = quote.protocol;
	if (quote.protocol != IPPROTO_ICMP)
		key.remote_port = quote.source_port;
	/* A router behind the endpoint may speak for it, but only to the remote: nobody else is told of a session. */
	if (quote.destination != packet.source || quote.source != packet.destination)
		return drop(REASON_ICMP_ERROR_NO_SESSION);
	if (unlikely(!has_ports(quote.protocol)))
		return one_to_one_error_outbound(skb, &packet, &quote, &key);
	session = bpf_map_lookup_elem(&sessions, &key);
	if (!session)
		return drop(REASON_ICMP_ERROR_NO_SESSION);
	if (error_ttl_exceeded(skb, &packet))
		return drop(REASON_HOP_LIMIT);
	if (session->route_expires < bpf_ktime_get_coarse_ns()) {
		reason = route_refresh(skb, &key, session);
		if (reason)
			return drop(reason);
	}
	reason = rewrite_quote(skb, &quote, DESTINATION, session->external_address, session->external_port);
	if (reason)
		return drop(reason);
	/* The outside sees the NAT's address alone. */
	reason = rewrite_address(skb, &packet, SOURCE, session->external_address, 1);
	if (reason)
		return drop(reason);
	return deliver_outside(skb, session->out_ifindex, session->next_hop);
}

/*
 * An error from an endpoint to an address of the host: about a hairpinned
 * packet it goes on to the other endpoint (RFC 5508 REQ-7), else it is the host's.
 */
GLOBAL int error_hairpin(struct __sk_buff *skb, __u32 l4, __be32 source, __be32 destination, __u32 compartment)
{
	struct packet packet = { .l3 = sizeof(struct ethhdr), .l4 = l4, .source = source, .destination = destination };
	struct session_key key = { .compartment = compartment }, far_key = {};
	struct binding_key binding_key = {};
	struct session *session, *far;
	struct quote quote = {};
	int reason;

	quote.end = datagram_end(skb, &packet);
	if (parse_quote(skb, l4, &quote) || quote.destination != source || quote.source != destination)
		return TCX_NEXT;
	key.internal_address = quote.destination;
	key.internal_port = quote.destination_port;
	key.remote_address = quote.source;
	key.remote_port = quote.source_port;
	key.protocol = quote.protocol;
	session = bpf_map_lookup_elem(&sessions, &key);
	if (!session || !(session->flags & SESSION_HAIRPIN))
		return TCX_NEXT;
	if (!far_side(&key, session->external_address, session->external_port, &binding_key, &far_key))
		return drop(REASON_ICMP_ERROR_NO_SESSION);
	far = bpf_map_lookup_elem(&sessions, &far_key);
	/* By another external address it would be another flow of the two. */
	if (!far || far->external_address != quote.source || far->external_port != quote.source_port)
		return drop(REASON_ICMP_ERROR_NO_SESSION);
	if (error_ttl_exceeded(skb, &packet))
		return drop(REASON_HOP_LIMIT);
	reason = rewrite_quote(skb, &quote, DESTINATION, session->external_address, session->external_port);
	if (!reason)
		reason = parse_quote(skb, l4, &quote); /* its checksums are others now */
	if (!reason)
		reason = rewrite_quote(skb, &quote, SOURCE, far_key.internal_address, far_key.internal_port);
	if (!reason)
		reason = rewrite_address(skb, &packet, SOURCE, session->external_address, 1);
	if (!reason)
		reason = rewrite_address(skb, &packet, DESTINATION, far_key.internal_address, 0);
	if (reason)
		return drop(reason);
	return deliver_inside(skb, &packet, far_key.compartment, far->network, far_key.internal_address);
}
