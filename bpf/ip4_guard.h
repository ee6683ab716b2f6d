/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What leaves by an outside interface: the leak guard, and a note of the ports from which the host talks. */
#pragma once
#include "ip4_inbound.h"

/* ARP to the outside: the host does not speak under its gateways' addresses there. */
INLINE int arp_outbound(struct __sk_buff *skb, struct flow *flow)
{
	struct arp_ipv4 arp;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &arp, sizeof(arp)))
		return TCX_NEXT;
	return is_inside(arp.sender_address) ? drop(flow, REASON_UNTRANSLATED) : TCX_NEXT;
}

/* Remembers that the host talks from this port, unless it is where a binding has its own. */
INLINE int note_host_port(struct __sk_buff *skb, struct packet *packet)
{
	struct settings *settings = get_settings();
	struct binding_key binding = {};
	struct host_port_key key = {};
	__u64 time = now(), *used;
	__u16 port;

	if (!settings || is_later_fragment(packet) || parse_l4(skb, packet) || unlikely(dry_run))
		return 0;
	port = ntohs(packet->source_port);
	/* Below 1024 and among the ephemeral ports no NAT allocates by itself. */
	if (packet->protocol != IPPROTO_ICMP &&
	    (port < 1024 || (port >= settings->local_port_low && port <= settings->local_port_high)))
		return 0;
	binding.address = key.address = packet->source;
	binding.port = key.port = packet->source_port;
	binding.protocol = key.protocol = packet->protocol;
	used = bpf_map_lookup_elem(&host_ports, &key);
	if (likely(used)) {
		if (unlikely(*used + HOST_PORT_PRECISION * SECOND < time)) /* a clean cache line stays shared */
			*used = time;
		return 0;
	}
	if (!bpf_map_lookup_elem(&bindings, &binding))
		map_update(&host_ports, &key, &time, BPF_ANY);
	return 0;
}

/* Whether the stack has forwarded what a network sent: outside somebody else may have the same address (is_inside). */
INLINE bool came_from_inside(const struct __sk_buff *skb, __be32 source)
{
	__u32 ifindex = skb->ingress_ifindex; /* 0: the host made it */
	struct inside *inside = unlikely(ifindex) ? bpf_map_lookup_elem(&insides, &ifindex) : NULL;

	return inside && (source & inside->mask) == inside->subnet && !is_host_address(source);
}

/* The leak guard. Design, rule 1: no packet with an inside source leaves untranslated. */
INLINE int guard(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;

	if (unlikely(skb->protocol == htons(ETH_P_ARP) && packet->l3))
		return arp_outbound(skb, flow);
	if (skb->protocol != htons(ETH_P_IP) || parse_ip(skb, packet))
		return TCX_NEXT;
	if (unlikely(is_inside(packet->source) || came_from_inside(skb, packet->source)))
		return drop(flow, REASON_UNTRANSLATED);
	note_host_port(skb, packet);
	return TCX_NEXT;
}

/* What our first program has translated, and finished, only loses its mark. */
INLINE bool is_translated(struct __sk_buff *skb)
{
	if (skb->mark != MARK_TRANSLATED)
		return false;
	skb->mark = 0;
	return true;
}
