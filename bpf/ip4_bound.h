/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Programs of the host whose sockets are bound to a network's bridge
 * (SO_BINDTODEVICE). What such a program sends to an address of the host leaves
 * by the bridge: the kernel takes it for one on that link, whatever its routes
 * say (ip_route_output_key). Nobody on that link has the address. So the packet is
 * turned to loopback, where all is that the host says to itself, whether some
 * mapping has the port or not.
 */
#pragma once
#include "ip4_loopback.h"
#include "stamp.h"

/*
 * Whether an address is one by which the host speaks to itself. Of those in the
 * bridge's own subnet only the gateway's is: a machine inside may have an address
 * that the host has on a LAN with the same prefix.
 */
INLINE bool is_own_address(const struct __sk_buff *skb, __be32 address)
{
	__u32 ifindex = skb->ifindex;
	struct inside *inside;

	if (is_loopback(address))
		return true;
	if (!is_host_address(address))
		return false;
	inside = bpf_map_lookup_elem(&insides, &ifindex);
	return inside && ((address & inside->mask) != inside->subnet || address == inside->gateway);
}

/* Whether a packet is a bound program's, for an address of the host's own. */
INLINE bool is_of_bound(struct __sk_buff *skb)
{
	struct iphdr *ip = (void *)(long)skb->data + sizeof(struct ethhdr);

	if (likely(bound_interface(skb) != skb->ifindex) || skb->protocol != htons(ETH_P_IP))
		return false;
	return (void *)(ip + 1) <= (void *)(long)skb->data_end && is_own_address(skb, ip->daddr);
}

/*
 * At loopback, what a bound program sends to a port that no mapping has: to the host's
 * own stack. Left on the bridge it does not arrive, as nobody there answers the
 * ARP request. The answer finds the socket: it is for the gateway's
 * address, whose route is the bridge's.
 */
NOINLINE int to_own_port(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	__be32 address, before;
	int reason = parse_ip(skb, packet);

	if (reason)
		return drop(flow, reason);
	address = packet->destination;
	before = address_before_loopback(address, 0);
	if (is_later_fragment(packet) || (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP))
		reason = rewrite_address(skb, packet, DESTINATION, before, 0);
	else if (!(reason = parse_l4(skb, packet)))
		reason = rewrite(skb, packet, DESTINATION, before, packet->destination_port, 0);
	return reason ? drop(flow, reason) : deliver_to_dialler(skb, address, 0);
}

/* What leaves by loopback: what the host says to itself, and what bound programs say to it. */
INLINE int from_loopback(struct __sk_buff *skb, struct flow *flow, bool bound)
{
	int verdict;

	if (unlikely(bound))
		skb->mark = 0;
	verdict = from_host(skb, flow);
	return unlikely(bound) && verdict == TCX_NEXT ? to_own_port(skb, flow) : verdict;
}

/*
 * Nobody on the link has the host's other addresses, so the host itself answers
 * when it asks for one there. It never does but for such a program: it announces
 * and probes its gateway's address alone.
 */
NOINLINE int answer_own_arp(struct __sk_buff *skb)
{
	struct arp_ipv4 arp;
	__be32 asked;

	if (!has_setting(SETTING_MAPPINGS) || bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &arp, sizeof(arp)))
		return TCX_NEXT;
	asked = arp.target_address;
	if (arp.operation != htons(ARP_REQUEST) || !arp.sender_address || arp.sender_address == asked ||
	    !is_own_address(skb, asked))
		return TCX_NEXT;
	memcpy(arp.target_mac, arp.sender_mac, sizeof(arp.target_mac));
	arp.operation = htons(ARP_REPLY);
	arp.target_address = arp.sender_address;
	arp.sender_address = asked;
	if (bpf_skb_store_bytes(skb, 0, arp.target_mac, sizeof(arp.target_mac), 0) ||
	    bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &arp, sizeof(arp), 0))
		return TCX_DROP;
	stamp_forwarded(skb);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}
