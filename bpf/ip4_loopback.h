/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The host's own programs reach a mapping by any address of the host and by
 * loopback: what they send there leaves by the loopback interface. It is
 * translated as a packet from outside is, so that it does not matter how a
 * program dials: TCP or UDP, connected or not, MPTCP, bound to an address or to
 * an interface, by an IPv6 socket to ::1 or to a v4-mapped address.
 *
 * All that the host says to itself passes here, so what is no mapping's is
 * told by one look at a table of ports.
 */
#pragma once
#include "ip4_ip6_loopback.h"

/* Which ports of TCP and of UDP some mapping has, on whatever address. */
enum { PUBLISHED_TCP, PUBLISHED_UDP, PUBLISHED };
struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct port_bits);
	MAP_UINT(max_entries, PUBLISHED);
} published SEC(".maps");

/* Whether what begins at l4 is for a port that some mapping has. */
INLINE bool is_published_port(struct __sk_buff *skb, __u8 protocol, __u32 l4)
{
	__u32 which = protocol == IPPROTO_UDP ? PUBLISHED_UDP : PUBLISHED_TCP;
	struct port_bits *bits;
	struct udphdr *ports; /* TCP's are at the same place */
	__u16 port;

	if (protocol != IPPROTO_UDP && protocol != IPPROTO_TCP)
		return false;
	ports = (void *)(long)skb->data + l4;
	if ((void *)(ports + 1) > (void *)(long)skb->data_end)
		return false;
	port = ntohs(ports->dest);
	bits = bpf_map_lookup_elem(&published, &which);
	return bits && bits->word[port / 64] >> (port % 64) & 1;
}

/* The fast end for nearly everything that passes loopback. What a stack has made has its headers in the linear part. */
INLINE bool may_be_published(struct __sk_buff *skb)
{
	const __u32 l3 = sizeof(struct ethhdr);
	void *start = (void *)(long)skb->data + l3, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = start;
	struct ip6hdr *ip6 = start;

	if (skb->protocol == htons(ETH_P_IP))
		return (void *)(ip + 1) <= end &&
		       (unlikely(ip->frag_off & htons(IP_OFFSET)) || is_published_port(skb, ip->protocol, l3 + ip->ihl * 4));
	return skb->protocol == htons(ETH_P_IPV6) && (void *)(ip6 + 1) <= end &&
	       is_published_port(skb, ip6->next_header, l3 + sizeof(*ip6));
}

/* The gateway's address by which an endpoint knows the host; 0: it is on no network of ours. */
INLINE __be32 gateway_of(const struct session_key *key, const struct endpoint *endpoint)
{
	struct network *network;
	struct inside *inside;
	__u32 ifindex, *id;

	if (endpoint) {
		ifindex = endpoint->ifindex;
	} else {
		id = find_subnet(key->compartment, key->internal_address);
		network = id ? bpf_map_lookup_elem(&networks, id) : NULL;
		ifindex = network ? network->bridge_ifindex : 0;
	}
	inside = bpf_map_lookup_elem(&insides, &ifindex);
	return inside ? inside->gateway : 0;
}

/* The interface that a sender's socket is bound to; 0: none. */
INLINE __u32 bound_interface(struct __sk_buff *skb)
{
	struct bpf_sock *sock = skb->sk;

	if (sock)
		sock = bpf_sk_fullsock(sock);
	return sock && sock->bound_dev_if != LOOPBACK_IFINDEX ? sock->bound_dev_if : 0;
}

INLINE bool is_of_dialler(const struct session *session, const struct packet *packet, __u32 flags)
{
	return (session->flags & (SESSION_DIALLED | SESSION_DIALLED_IP6)) == flags && dialler_address(session) == packet->source &&
	       dialler_port(session) == packet->source_port && session->external_address == packet->destination &&
	       session->external_port == packet->destination_port;
}

enum {
	STAND_IN_TRIES = 4, /* ports that may stand for a flow */
	LOWEST_STAND_IN = 1024,
};

/* A port of the gateway that may stand for a flow: none from which the host itself connects. */
INLINE __be16 stand_in_port(const struct packet *packet, __u32 try)
{
	struct settings *settings = get_settings();
	__u32 end = settings && settings->local_port_low >= 2 * LOWEST_STAND_IN ? settings->local_port_low : 65536;
	__u32 hash =
		mix(packet->source ^ mix(packet->destination ^ mix(packet->source_port << 16 | packet->destination_port))) + try;

	return htons(LOWEST_STAND_IN + mix(hash) % (end - LOWEST_STAND_IN));
}

enum { DIALLED_NEVER, DIALLED_BEFORE };

/*
 * Looks for the flow's session at the ports that may stand for it. If there is none,
 * flow->key.remote_port is a free one of them, or 0.
 */
GLOBAL int find_dialled(struct __sk_buff *skb, struct flow *flow, __u32 flags)
{
	struct session *session;
	struct session_key *key;
	__be16 free = 0;

	if (!flow)
		return DIALLED_NEVER;
	key = &flow->key;
	for (__u32 try = 0; try < STAND_IN_TRIES; try++) {
		key->remote_port = stand_in_port(&flow->packet, try);
		session = bpf_map_lookup_elem(&sessions, key);
		if (session && is_of_dialler(session, &flow->packet, flags))
			return DIALLED_BEFORE;
		if (!session && !free &&
		    !host_socket(skb, key->protocol, key->internal_address, key->internal_port, key->remote_address,
				 key->remote_port))
			free = key->remote_port;
	}
	key->remote_port = free;
	return DIALLED_NEVER;
}

/* To the endpoint, cut where it is too big: the stack would have cut it, whatever "don't fragment" says of the loopback interface. */
NOINLINE int cut_for_endpoint(struct __sk_buff *skb, struct flow *flow, const struct endpoint *endpoint)
{
	struct packet *packet = &flow->packet;
	__u32 link = reassembly_ifindex(skb);
	struct iphdr *ip;

	if (!endpoint || !link)
		return drop(flow, REASON_TOO_BIG);
	if (!is_fragment(packet)) { /* else it has an identification of its own, and may be cut */
		if (!rewrite_id(skb, packet, next_fragment_id(flow)))
			return drop(flow, REASON_TOO_BIG);
		ip = ip_header(skb, packet);
		if (!ip)
			return drop(flow, REASON_MALFORMED);
		ip->check = adjust_ip_checksum(ip->check, 0, 0, ip->frag_off, 0);
		ip->frag_off = 0;
	}
	skb->priority = endpoint->mtu;
	skb->mark = endpoint->ifindex;
	return bpf_redirect(link, 0);
}

INLINE int deliver_from_host(struct __sk_buff *skb, struct flow *flow, struct endpoint *endpoint, __u32 network)
{
	if (unlikely(!endpoint))
		return deliver_to(skb, flow, NULL, network, flow->key.internal_address);
	if (!address_ethernet(skb, endpoint))
		return drop(flow, REASON_MALFORMED);
	if (unlikely(is_too_big(skb, &flow->packet, endpoint)))
		return cut_for_endpoint(skb, flow, endpoint);
	return bpf_redirect(endpoint->ifindex, 0);
}

/*
 * Fragments leave by loopback where its MTU was lowered, and those of sockets that
 * are bound to a bridge. The first comes first. The note is under a compartment of
 * its own, as nobody outside is to add to such a datagram.
 */
INLINE struct fragment_key fragment_key_of_host(const struct flow *flow)
{
	struct fragment_key key = fragment_key(flow, 0);

	key.compartment = HOST;
	return key;
}

NOINLINE int first_fragment_from_host(struct __sk_buff *skb, struct flow *flow, __u32 network)
{
	struct fragment_key key = fragment_key_of_host(flow);
	struct fragment note = {
		.expires = now() + FRAGMENT_MEMORY * SECOND,
		.source = flow->key.remote_address,
		.destination = flow->key.internal_address,
		.id = next_fragment_id(flow), /* all that the host says to an endpoint has one address */
		.compartment = flow->key.compartment,
		.network = network,
	};

	if (map_update(&fragments, &key, &note, BPF_ANY) || !rewrite_id(skb, &flow->packet, note.id))
		return REASON_FRAGMENT;
	return REASON_NONE;
}

/* Does with a later fragment what was done with the first one. */
NOINLINE int later_fragment_from_host(struct __sk_buff *skb, struct flow *flow)
{
	struct fragment_key key = fragment_key_of_host(flow);
	struct fragment *note = bpf_map_lookup_elem(&fragments, &key);
	struct packet *packet = &flow->packet;

	if (!note || note->expires < now())
		return TCX_NEXT;
	if (!rewrite_id(skb, packet, note->id) || rewrite_address(skb, packet, SOURCE, note->source, 0) ||
	    rewrite_address(skb, packet, DESTINATION, note->destination, 0))
		return drop(flow, REASON_MALFORMED);
	flow->key.internal_address = note->destination;
	return deliver_from_host(skb, flow, find_endpoint(note->compartment, note->destination), note->network);
}

/* Whether a flow's first packet is a dialler's, rather than the host's own. flow->key.remote_port is 0 if no port can stand for it. */
INLINE bool dials(struct __sk_buff *skb, const struct flow *flow, __u32 found, __u32 flags)
{
	const struct packet *packet = &flow->packet;

	if (opens_nothing(&flow->key, packet->tcp_flags) || !lets_in(mapping_of(&flow->binding_key), found, packet->destination))
		return false;
	if (flags & SESSION_DIALLED_IP6)
		return !is_heard_on_ip6(skb, packet);
	return !(socket_of(skb, packet) & SOCKET_CONNECTED);
}

/* The session of what a program of the host sends to a published port. NULL: *verdict says what becomes of it. */
INLINE struct session *session_of_dialler(struct __sk_buff *skb, struct flow *flow, __u32 found, __u32 flags, int *verdict)
{
	*verdict = TCX_NEXT;
	if (find_dialled(skb, flow, flags) == DIALLED_NEVER) {
		if (!dials(skb, flow, found, flags))
			return NULL;
		*verdict = flow->key.remote_port ? REASON_NONE : REASON_OUT_OF_PORTS;
		if (!*verdict) {
			flow->dialler_interface = bound_interface(skb);
			*verdict = open_inbound(flow, flags);
		}
		*verdict = drop(flow, *verdict ?: REASON_SESSION_FAILED); /* unless there is one */
	}
	return find_session(&flow->key, &flow->session);
}

/* A packet of the host to itself, for a port that some mapping has. */
INLINE int from_host(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	__u32 flags = SESSION_DIALLED, found;
	struct endpoint *endpoint;
	struct session *session;
	__be32 gateway;
	int reason, verdict;

	if (skb->protocol == htons(ETH_P_IPV6)) {
		flags |= SESSION_DIALLED_IP6;
		if (!parse_ip6_loopback(skb, packet))
			return TCX_NEXT;
	} else if (parse_ip(skb, packet)) {
		return TCX_NEXT;
	} else if (unlikely(is_later_fragment(packet))) {
		return later_fragment_from_host(skb, flow);
	} else if (parse_l4(skb, packet)) {
		return TCX_NEXT;
	}
	if (!is_loopback(packet->destination) && !is_host_address(packet->destination))
		return TCX_NEXT;
	if (packet->destination_port == htons(DNS) && is_inside(packet->destination))
		return TCX_NEXT; /* at the gateways networks' own name servers answer */
	flow->binding_key = (struct binding_key){
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	found = find_inside(&flow->binding_key, packet->destination, packet->source_port, &flow->key);
	if (!(found & BINDING_CONFIGURED))
		return TCX_NEXT;
	endpoint = find_endpoint(flow->key.compartment, flow->key.internal_address);
	gateway = gateway_of(&flow->key, endpoint);
	if (!gateway)
		return TCX_NEXT;
	flow->key.remote_address = gateway;
	session = session_of_dialler(skb, flow, found, flags, &verdict);
	if (!session)
		return verdict;
	flow->reason = REASON_NONE;
	session_track(&flow->key, session, packet, false, now());
	session_count(skb, session, packet, false);
	if (flags & SESSION_DIALLED_IP6 && become_ip4(skb, packet))
		return drop(flow, REASON_TRANSLATE);
	reason = unlikely(is_fragment(packet)) ? first_fragment_from_host(skb, flow, session->network) : REASON_NONE;
	if (!reason)
		reason = rewrite(skb, packet, SOURCE, gateway, flow->key.remote_port, 0);
	if (!reason)
		reason = rewrite(skb, packet, DESTINATION, flow->key.internal_address, flow->key.internal_port, 0);
	if (reason)
		return drop(flow, reason);
	return deliver_from_host(skb, flow, endpoint, session->network);
}
