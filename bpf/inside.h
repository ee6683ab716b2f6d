/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Who speaks inside, and as whom: endpoints that we manage, and whatever else is on a network's bridge. */
#pragma once
#include "outbound.h"

/* ARP from an endpoint: it may speak of itself alone. */
INLINE int check_arp(struct __sk_buff *skb, const struct inside *inside)
{
	struct arp_ipv4 *arp;

	if (!pull(skb, sizeof(struct ethhdr) + sizeof(*arp)))
		return drop(REASON_MALFORMED);
	arp = (void *)(long)skb->data + sizeof(struct ethhdr);
	if ((void *)(arp + 1) > (void *)(long)skb->data_end)
		return drop(REASON_MALFORMED);
	/* 0.0.0.0 asks whether an address is free (RFC 5227 section 1.1) and claims nothing. */
	if (__builtin_memcmp(arp->sender_mac, inside->mac, sizeof(inside->mac)) ||
	    (arp->sender_address != inside->address && arp->sender_address))
		return drop(REASON_SPOOFED_SOURCE);
	return TCX_NEXT;
}

/*
 * A DHCP client's broadcast. It has no address yet, or one of before (RFC 2131
 * sections 4.1 and 4.4.5); the server goes by its MAC, so any source may pass.
 */
INLINE bool is_from_dhcp_client(struct __sk_buff *skb, struct packet *packet)
{
	return packet->protocol == IPPROTO_UDP && packet->destination == ~0U && !is_fragment(packet) && !parse_l4(skb, packet) &&
	       is_from_dhcp_port(packet);
}

/* What a DHCP client would take for its server's answer: nobody inside gives one. */
INLINE bool is_for_dhcp_client(struct __sk_buff *skb, struct packet *packet)
{
	return unlikely(packet->protocol == IPPROTO_UDP) && !is_later_fragment(packet) && !parse_l4(skb, packet) &&
	       packet->destination_port == htons(DHCP_CLIENT);
}

/* Whether an address may be that of somebody who is no managed endpoint. */
INLINE bool is_unmanaged(const struct inside *inside, __be32 address)
{
	struct endpoint_key key = { .compartment = inside->compartment, .address = address };

	return (address & inside->mask) == inside->subnet && address != inside->gateway && !bpf_map_lookup_elem(&endpoints, &key);
}

/* A packet for the gateway's MAC from somebody who is no managed endpoint. */
INLINE int from_unmanaged(struct __sk_buff *skb, struct packet *packet, const struct inside *inside)
{
	if (unlikely(is_nobodys(packet->destination)))
		return drop(REASON_MARTIAN_DESTINATION);
	if (stays_on_link(packet->destination))
		return TCX_NEXT;
	if (!is_unmanaged(inside, packet->source)) /* managed endpoints' packets for the host have been looked at */
		return is_host_address(packet->destination) ? TCX_NEXT : drop(REASON_SPOOFED_SOURCE);
	return from_inside(skb, packet, inside);
}

/* ARP from somebody who is no managed endpoint: not for the gateway, and not for one that is. */
INLINE int check_unmanaged_arp(struct __sk_buff *skb, const struct inside *inside)
{
	struct endpoint_key key = { .compartment = inside->compartment };
	struct arp_ipv4 arp;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &arp, sizeof(arp)))
		return drop(REASON_MALFORMED);
	key.address = arp.sender_address;
	if (arp.sender_address == inside->gateway || bpf_map_lookup_elem(&endpoints, &key))
		return drop(REASON_SPOOFED_SOURCE);
	return TCX_NEXT;
}

/* A socket of the host that would take the packet, if it is bound to the bridge that the packet came up. */
INLINE bool is_bound_here(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock_tuple tuple = {
		.saddr = packet->source,
		.daddr = packet->destination,
		.sport = packet->source_port,
		.dport = packet->destination_port,
	};
	struct bpf_sock *sock;
	bool bound;

	/* Two kinds of pointer to the verifier: each is used where it was got. */
	if (packet->protocol == IPPROTO_TCP) {
		sock = bpf_skc_lookup_tcp(skb, &tuple, SOCK_TUPLE_IPV4_SIZE, BPF_F_CURRENT_NETNS, 0);
		if (!sock)
			return false;
		bound = sock->bound_dev_if == skb->ifindex;
		bpf_sk_release(sock);
		return bound;
	}
	if (packet->protocol != IPPROTO_UDP)
		return false;
	sock = bpf_sk_lookup_udp(skb, &tuple, SOCK_TUPLE_IPV4_SIZE, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return false;
	bound = sock->bound_dev_if == skb->ifindex;
	bpf_sk_release(sock);
	return bound;
}

/*
 * Whether the host answers a packet of a network whose prefix its routing
 * tables do not know, since another network may have it: what a socket says
 * that is bound to this bridge finds its way, and all else might find another's.
 */
NOINLINE int is_answered_apart(struct __sk_buff *skb)
{
	struct packet packet = { .l3 = sizeof(struct ethhdr) };

	if (parse_ip(skb, &packet) || stays_on_link(packet.destination))
		return true;
	if (is_fragment(&packet) || parse_l4(skb, &packet))
		return false;
	return is_from_dhcp_port(&packet) || is_bound_here(skb, &packet); /* the DHCP server needs no route */
}
