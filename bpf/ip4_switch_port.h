/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Ports of a network's bridge that other tools plugged in. What good switches
 * call port security, dynamic ARP inspection, IP source guard, DHCP snooping,
 * router advertisement guard and BPDU guard, from one table: who is where
 * (ip4_station.h).
 */
#pragma once
#include "ip4_station.h"

/* Ethernet's longest frame by the length field: below this it is IEEE 802.3 with LLC behind it. */
enum { ETH_P_802_3_MIN = 0x0600 };
enum {
	ETH_P_8021Q = 0x8100,
	ETH_P_8021AD = 0x88a8,
	ETH_P_8021AH = 0x88e7,
	ETH_P_QINQ = 0x9100,
	ETH_P_MPLS = 0x8847,
	ETH_P_MPLS_MULTICAST = 0x8848,
	ETH_P_PPPOE = 0x8864,
	ETH_P_PPPOE_DISCOVERY = 0x8863,
};

/* What was refused at a port, for `status`: the last of each reason. Forgetting the oldest is right here. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct refusal_key);
	MAP_TYPE(value, struct refusal);
	MAP_UINT(max_entries, 4096);
} refusals SEC(".maps");

/* Drops a frame, and notes who tried what. */
NOINLINE int turn_away(struct flow *flow, const struct frame *frame, __be32 address, __u32 reason)
{
	struct refusal_key key = { .port = frame->port, .reason = reason };
	struct refusal new = {}, *refusal = bpf_map_lookup_elem(&refusals, &key);

	if (unlikely(dry_run))
		return drop(flow, reason);
	if (!refusal) {
		new.count = 1;
		new.last = frame->now;
		new.address = address;
		memcpy(new.mac, frame->mac, sizeof(new.mac));
		map_update(&refusals, &key, &new, BPF_NOEXIST);
		return drop(flow, reason);
	}
	__sync_fetch_and_add(&refusal->count, 1);
	refusal->last = frame->now;
	refusal->address = address;
	memcpy(refusal->mac, frame->mac, sizeof(refusal->mac));
	return drop(flow, reason);
}

/* What hides what is behind it from these checks. */
INLINE bool is_encapsulation(__be16 protocol)
{
	switch (protocol) {
	case htons(ETH_P_8021Q):
	case htons(ETH_P_8021AD):
	case htons(ETH_P_8021AH):
	case htons(ETH_P_QINQ):
	case htons(ETH_P_MPLS):
	case htons(ETH_P_MPLS_MULTICAST):
	case htons(ETH_P_PPPOE):
	case htons(ETH_P_PPPOE_DISCOVERY):
		return true;
	}
	return ntohs(protocol) < ETH_P_802_3_MIN;
}

/*
 * Takes a priority tag off (VLAN 0: IEEE 802.1Q section 6.9) and reads the
 * frame's header. Returns a drop reason or none.
 */
INLINE enum reason read_frame(struct __sk_buff *skb, struct frame *frame)
{
	struct ethhdr *ethernet;

	if (unlikely(skb->vlan_present) && !drop_priority_tag(skb))
		return REASON_ENCAPSULATED;
	if (!pull(skb, sizeof(*ethernet)))
		return REASON_MALFORMED;
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return REASON_MALFORMED;
	memcpy(frame->destination, ethernet->destination, sizeof(frame->destination));
	memcpy(frame->mac, ethernet->source, sizeof(frame->mac));
	frame->protocol = ethernet->protocol;
	return REASON_NONE;
}

/* Whether a frame is between bridges, or between a bridge and its neighbour: IEEE 802.1Q tables 8-1 and 10-1, and Cisco's. */
INLINE bool is_bridge_protocol(const __u8 *destination)
{
	return (*(__u32 *)destination == htonl(0x0180c200) && !destination[4] && destination[5] < 0x30) ||
	       (*(__u32 *)destination == htonl(0x01000ccc) && destination[4] == 0xcc);
}

/* The checks that need no more than the Ethernet header. Returns a drop reason or none. */
INLINE enum reason check_frame(const struct frame *frame, const struct inside *inside)
{
	if (is_bridge_protocol(frame->destination))
		return REASON_BRIDGE_PROTOCOL;
	if (is_encapsulation(frame->protocol))
		return REASON_ENCAPSULATED;
	if (frame->mac[0] & 1 || !(*(__u32 *)frame->mac | *(__u16 *)(frame->mac + 4)) || same_mac(frame->mac, inside->gateway_mac))
		return REASON_SPOOFED_SOURCE;
	return check_station(frame);
}

/* ARP: it may speak of its sender alone, and of an address that is the sender's. Returns a drop reason or none. */
NOINLINE int check_port_arp(struct __sk_buff *skb, const struct frame *frame, const struct inside *inside, __be32 *claimed)
{
	struct arp_ipv4 arp;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &arp, sizeof(arp)))
		return REASON_MALFORMED;
	if (arp.hardware != htons(1) || arp.protocol != htons(ETH_P_IP) || arp.hardware_size != 6 || arp.protocol_size != 4)
		return REASON_MALFORMED;
	*claimed = arp.sender_address;
	if (!same_mac(arp.sender_mac, frame->mac))
		return REASON_SPOOFED_SOURCE;
	/* 0.0.0.0 asks whether an address is free (RFC 5227 section 1.1) and claims nothing. */
	return arp.sender_address ? check_source(frame, inside, arp.sender_address) : REASON_NONE;
}

enum {
	IPPROTO_HOPOPTS = 0,
	IPPROTO_ROUTING = 43,
	IPPROTO_FRAGMENT = 44,
	IPPROTO_AH = 51,
	IPPROTO_DSTOPTS = 60,
	IPPROTO_ICMPV6 = 58,
	IPV6_HEADER = 40,
	IPV6_HEADERS = 8, /* that are looked through; more are refused */
	ND_ROUTER_ADVERTISEMENT = 134,
	ND_REDIRECT = 137,
	DHCPV6_SERVER = 547,
};

/*
 * Router advertisements, redirects and DHCPv6 servers' messages: nobody at a
 * port is a router (RFC 6105). Extension headers are looked through; a first
 * fragment that hides its upper-layer header is refused (RFC 7113 section 2).
 * Returns a drop reason or none.
 */
NOINLINE int check_ipv6(struct __sk_buff *skb)
{
	__u32 offset = sizeof(struct ethhdr) + IPV6_HEADER;
	__u8 next, header[4];
	__be16 ports[2];

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr) + 6, &next, sizeof(next)) || skb->len < offset)
		return REASON_MALFORMED;
	for (int i = 0; i < IPV6_HEADERS; i++) {
		if (next == IPPROTO_ICMPV6) {
			if (bpf_skb_load_bytes(skb, offset, header, 1))
				return REASON_ROGUE_ROUTER;
			return header[0] == ND_ROUTER_ADVERTISEMENT || header[0] == ND_REDIRECT ? REASON_ROGUE_ROUTER : REASON_NONE;
		}
		if (next == IPPROTO_UDP) {
			if (bpf_skb_load_bytes(skb, offset, ports, sizeof(ports)))
				return REASON_ROGUE_SERVER;
			return ports[0] == htons(DHCPV6_SERVER) ? REASON_ROGUE_SERVER : REASON_NONE;
		}
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_FRAGMENT &&
		    next != IPPROTO_AH)
			return REASON_NONE;
		if (bpf_skb_load_bytes(skb, offset, header, sizeof(header)))
			return REASON_ROGUE_ROUTER;
		if (next == IPPROTO_FRAGMENT) {
			if (header[2] || header[3] & 0xf8)
				return REASON_NONE; /* a later fragment: useless without its first */
			offset += 8;
		} else if (next == IPPROTO_AH) {
			offset += (header[1] + 2) * 4;
		} else {
			offset += (header[1] + 1) * 8;
		}
		next = header[0];
	}
	return REASON_ROGUE_ROUTER;
}

enum { TO_GATEWAY = -3 }; /* no TCX verdict: the packet's source is checked, and it is to be routed */

/* An IPv4 packet of a port whose frame has been checked. Returns a verdict or TO_GATEWAY. */
INLINE int check_port_ip(struct __sk_buff *skb, struct flow *flow, const struct frame *frame, const struct inside *inside)
{
	struct packet *packet = &flow->packet;
	bool to_gateway = same_mac(frame->destination, inside->gateway_mac);
	int reason = parse_ip(skb, packet);

	if (unlikely(reason))
		return turn_away(flow, frame, 0, reason);
	if (packet->source || to_gateway) { /* 0.0.0.0: RFC 4541 section 2.1.1 has such reports of groups */
		reason = check_source(frame, inside, packet->source);
		/* A client without an address, or with one that it has lost, may say so to the server and to nobody else. */
		if (unlikely(reason) && (to_gateway || frame->destination[0] & 1) && is_from_dhcp_client(skb, packet))
			return to_gateway ? to_dhcp_server(skb) : TCX_NEXT;
		if (unlikely(reason))
			return turn_away(flow, frame, packet->source, reason);
	}
	if (to_gateway)
		return TO_GATEWAY;
	return is_from_rogue_server(skb, packet, inside) ? turn_away(flow, frame, packet->source, REASON_ROGUE_SERVER)
							 : switch_frame(skb, flow, inside);
}

/* All checks of a frame from a port. A function of its own: what it has on the stack is gone when the packet is routed. */
NOINLINE int check_port(struct __sk_buff *skb, struct flow *flow, const struct inside *inside)
{
	struct frame frame = {
		.now = now(),
		.port = skb->ifindex,
		.network = flow->network,
		.compartment = flow->compartment,
	};
	__be32 claimed = 0;
	int reason;

	reason = read_frame(skb, &frame);
	if (!reason)
		reason = check_frame(&frame, inside);
	if (!reason && frame.protocol == htons(ETH_P_ARP))
		reason = check_port_arp(skb, &frame, inside, &claimed);
	if (!reason && frame.protocol == htons(ETH_P_IPV6))
		reason = check_ipv6(skb);
	if (unlikely(reason))
		return turn_away(flow, &frame, claimed, reason);
	return frame.protocol == htons(ETH_P_IP) ? check_port_ip(skb, flow, &frame, inside) : TCX_NEXT;
}

/* From a port of a network's bridge that is no managed endpoint's. */
INLINE int from_switch_port(struct __sk_buff *skb, struct flow *flow, const struct inside *inside)
{
	int verdict;

	if (inside->flags & NETWORK_UNGUARDED)
		return TCX_NEXT;
	verdict = check_port(skb, flow, inside);
	if (verdict != TO_GATEWAY)
		return verdict;
	if (unlikely(is_nobodys(flow->packet.destination)))
		return drop(flow, REASON_MARTIAN_DESTINATION);
	return stays_on_link(flow->packet.destination) ? TCX_NEXT : from_inside(skb, flow, inside);
}
