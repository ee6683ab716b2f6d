/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Who speaks inside, and as whom: endpoints that we manage, and whatever else is on a network's bridge. */
#pragma once
#include "ip4_outbound.h"
#include "ip4_refuse.h"

/* Whether an endpoint may send from an address that is not its own, in one of these ways. */
INLINE bool has_source(struct __sk_buff *skb, const struct inside *inside, __be32 address, __u32 ways)
{
	struct source_key key = { .length = 32 + ADDRESS_BITS, .ifindex = skb->ifindex, .address = address };
	__u32 *allowed;

	if (likely(!(inside->flags & INSIDE_ALLOWANCES)) || address == inside->gateway)
		return false;
	allowed = bpf_map_lookup_elem(&sources, &key);
	return allowed && *allowed & ways;
}

/*
 * Whether a MAC may be an endpoint's. One with further addresses may be a virtual
 * router, which has a MAC for each of its groups (RFC 5798 section 7.3).
 */
INLINE bool is_own_mac(const struct inside *inside, const __u8 *mac)
{
	if (likely(!__builtin_memcmp(mac, inside->mac, sizeof(inside->mac))))
		return true;
	return inside->flags & INSIDE_ALLOWANCES && !mac[0] && !mac[1] && mac[2] == 0x5e && !mac[3] && mac[4] == 1;
}

/*
 * What comes up a bridge by no port: the host's own multicasts and the bridge's own
 * questions for groups, which it hears itself; and what was in the reassembly
 * namespace. A frame for a group that has come by a port is known for one.
 */
INLINE bool is_of_no_port(struct __sk_buff *skb)
{
	__u8 first;

	if (skb->pkt_type == PACKET_LOOPBACK || came_from_reassembly(skb))
		return true;
	return skb->pkt_type == PACKET_HOST && !bpf_skb_load_bytes(skb, 0, &first, sizeof(first)) && first & 1;
}

/* ARP from an endpoint: it may speak of itself alone. */
INLINE int check_arp(struct __sk_buff *skb, struct flow *flow, const struct inside *inside)
{
	struct arp_ipv4 *arp;

	if (!pull(skb, sizeof(struct ethhdr) + sizeof(*arp)))
		return drop(flow, REASON_MALFORMED);
	arp = (void *)(long)skb->data + sizeof(struct ethhdr);
	if ((void *)(arp + 1) > (void *)(long)skb->data_end)
		return drop(flow, REASON_MALFORMED);
	/* 0.0.0.0 asks whether an address is free (RFC 5227 section 1.1) and claims nothing. */
	if (!is_own_mac(inside, arp->sender_mac) || (arp->sender_address != inside->address && arp->sender_address &&
						     !has_source(skb, inside, arp->sender_address, SOURCE_OWN)))
		return drop(flow, REASON_SPOOFED_SOURCE);
	return TCX_NEXT;
}

/*
 * What a DHCP client says to a server. It has no address yet, or one of before
 * (RFC 2131 sections 4.1 and 4.4.5), as the server may have had when it was told
 * of it; the server goes by the client's MAC, so any address may pass.
 */
INLINE bool is_from_dhcp_client(struct __sk_buff *skb, struct packet *packet)
{
	return packet->protocol == IPPROTO_UDP && !is_fragment(packet) && !parse_l4(skb, packet) && is_from_dhcp_port(packet);
}

/* To the DHCP server, which reads packets as they come, but to nobody behind the host's routing. */
INLINE int to_dhcp_server(struct __sk_buff *skb)
{
	bpf_skb_change_type(skb, PACKET_OTHERHOST);
	return TCX_NEXT;
}

/* What a DHCP client would take for its server's answer: nobody inside gives one, unless the network has its server there. */
INLINE bool is_from_rogue_server(struct __sk_buff *skb, struct packet *packet, const struct inside *inside)
{
	return unlikely(packet->protocol == IPPROTO_UDP) && !(inside->flags & NETWORK_DHCP_INSIDE) && !is_later_fragment(packet) &&
	       !parse_l4(skb, packet) && packet->destination_port == htons(DHCP_CLIENT);
}

/* Whether an address may be that of somebody who is no managed endpoint. */
INLINE bool is_unmanaged(const struct inside *inside, __be32 address)
{
	struct subnet_key key = { .length = 32 + ADDRESS_BITS, .compartment = inside->compartment, .address = address };

	return (address & inside->mask) == inside->subnet && address != inside->gateway &&
	       !bpf_map_lookup_elem(&endpoints, &key.compartment) &&
	       (likely(!has_setting(SETTING_ALLOWANCES)) || !bpf_map_lookup_elem(&behind, &key));
}

/* A packet for the gateway's MAC from somebody who is no managed endpoint. */
INLINE int from_unmanaged(struct __sk_buff *skb, struct flow *flow, const struct inside *inside)
{
	struct packet *packet = &flow->packet;

	if (unlikely(is_nobodys(packet->destination)))
		return drop(flow, REASON_MARTIAN_DESTINATION);
	if (stays_on_link(packet->destination))
		return TCX_NEXT;
	if (!is_unmanaged(inside, packet->source)) { /* managed endpoints' packets for the host have been looked at */
		if (is_host_address(packet->destination))
			return TCX_NEXT;
		return is_from_dhcp_client(skb, packet) ? to_dhcp_server(skb) : drop(flow, REASON_SPOOFED_SOURCE);
	}
	return from_inside(skb, flow, inside);
}

/* Whether the DHCP server has given an address to another one. Of an end that has come nobody need have told us. */
INLINE bool is_anothers_lease(const struct inside *inside, __be32 address, const __u8 *mac)
{
	struct endpoint_key key = { .compartment = inside->compartment, .address = address };
	struct lease *lease = bpf_map_lookup_elem(&leases, &key);

	return lease && lease->until > now() && __builtin_memcmp(lease->mac, mac, sizeof(lease->mac));
}

/*
 * Turns an echo request to the host into the answer (RFC 1122 section 3.2.2.6)
 * and sends it back through the link it came from.
 */
INLINE int answer_echo(struct __sk_buff *skb, struct flow *flow)
{
	const struct packet *packet = &flow->packet;
	__be32 turned[2] = { packet->destination, packet->source };
	__u8 type = ICMP_ECHO_REPLY;

	if (!turn_ethernet(skb) ||
	    bpf_skb_store_bytes(skb, packet->l3 + __builtin_offsetof(struct iphdr, saddr), turned, sizeof(turned), 0) ||
	    bpf_l4_csum_replace(skb, packet->l4 + __builtin_offsetof(struct icmphdr, check), htons(ICMP_ECHO_REQUEST << 8), 0,
				sizeof(__u16)) ||
	    bpf_skb_store_bytes(skb, packet->l4, &type, sizeof(type), 0))
		return drop(flow, REASON_MALFORMED);
	return bpf_redirect(skb->ifindex, 0);
}

/*
 * A packet to the host from a network to which the host's routing tables do not
 * lead: it is unrouted, or another link of the host has a part of its prefix. What
 * most sockets answer would go to another network, or outside. Sockets that are
 * bound to the bridge, and those that dialled a mapping, answer through the bridge;
 * an echo is answered here.
 */
NOINLINE int unrouted_to_host(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;

	if (stays_on_link(packet->destination))
		return TCX_NEXT;
	if (is_fragment(packet) || parse_l4(skb, packet))
		return refuse(flow, REASON_ISOLATED);
	if (packet->protocol == IPPROTO_ICMP && packet->icmp_type == ICMP_ECHO_REQUEST && is_host_address(packet->destination))
		return answer_echo(skb, flow);
	/* The DHCP server needs no route, and who pinged the endpoint was bound to the bridge. */
	if (is_from_dhcp_port(packet) || (packet->protocol == IPPROTO_ICMP && packet->icmp_type == ICMP_ECHO_REPLY) ||
	    socket_of(skb, packet) & SOCKET_BOUND_HERE)
		return TCX_NEXT;
	return refuse(flow, REASON_ISOLATED);
}
