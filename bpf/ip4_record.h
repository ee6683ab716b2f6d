/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What the flight recorder keeps of an IPv4 or ARP packet's headers. They are
 * read anew: a packet may be dropped before its program has read them.
 */
#pragma once
#include "ip4_wire.h"
#include "record.h"

INLINE void describe_arp(struct __sk_buff *skb, __u32 l3, struct drop_record *record)
{
	struct arp_ipv4 arp;

	if (bpf_skb_load_bytes(skb, l3, &arp, sizeof(arp)))
		return;
	record->source = arp.sender_address;
	record->destination = arp.target_address;
}

INLINE void describe_transport(struct __sk_buff *skb, __u32 l4, struct drop_record *record)
{
	struct icmphdr icmp;

	if (record->protocol == IPPROTO_ICMP) {
		if (bpf_skb_load_bytes(skb, l4, &icmp, sizeof(icmp)))
			return;
		record->source_port = icmp.id;
		record->destination_port = htons(icmp.type << 8 | icmp.code);
	} else if (record->protocol == IPPROTO_TCP || record->protocol == IPPROTO_UDP) {
		bpf_skb_load_bytes(skb, l4, &record->source_port, sizeof(record->source_port));
		bpf_skb_load_bytes(skb, l4 + sizeof(__be16), &record->destination_port, sizeof(record->destination_port));
		if (record->protocol == IPPROTO_TCP)
			bpf_skb_load_bytes(skb, l4 + __builtin_offsetof(struct tcphdr, flags), &record->tcp_flags,
					   sizeof(record->tcp_flags));
	}
}

static void describe(struct __sk_buff *skb, __u32 l3, struct drop_record *record)
{
	struct iphdr ip;

	if (l3)
		bpf_skb_load_bytes(skb, __builtin_offsetof(struct ethhdr, source), record->mac, sizeof(record->mac));
	record->ethernet_type = skb->protocol;
	if (skb->protocol == htons(ETH_P_ARP))
		describe_arp(skb, l3, record);
	if (skb->protocol != htons(ETH_P_IP) || bpf_skb_load_bytes(skb, l3, &ip, sizeof(ip)))
		return;
	record->source = ip.saddr;
	record->destination = ip.daddr;
	record->protocol = ip.protocol;
	if (!(ip.frag_off & htons(IP_OFFSET))) /* only the first fragment has the ports */
		describe_transport(skb, l3 + ip.ihl * 4, record);
}
