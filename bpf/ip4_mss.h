/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Clamping the maximum segment size that a SYN announces to what the way out
 * carries, for paths that lose the ICMP errors of path MTU discovery.
 */
#pragma once
#include "options.h"
#include "session.h"

enum { TCP_OPTION_MSS = 2 };

/* Lowers the MSS of a SYN at l4 to what mtu leaves for it (RFC 9293 section 3.7.1). False only if the packet cannot be written. */
GLOBAL int clamp_mss(struct __sk_buff *skb, __u32 l4, __u32 mtu)
{
	__be16 announced, wanted = htons((__u16)(mtu - sizeof(struct iphdr) - sizeof(struct tcphdr)));
	struct option_walk walk = { .wanted = TCP_OPTION_MSS, .or_wanted = TCP_OPTION_MSS };
	__u32 at;
	__u8 doff;

	if (mtu < 576 || bpf_skb_load_bytes(skb, l4 + __builtin_offsetof(struct tcphdr, doff_res), &doff, sizeof(doff)))
		return true;
	walk.size = (doff >> 4) * 4 - sizeof(struct tcphdr);
	at = find_option(skb, &walk, l4 + sizeof(struct tcphdr));
	if (!at || at + sizeof(announced) > walk.size)
		return true;
	at += l4 + sizeof(struct tcphdr);
	if (bpf_skb_load_bytes(skb, at, &announced, sizeof(announced)) || ntohs(announced) <= ntohs(wanted))
		return true;
	if (bpf_skb_store_bytes(skb, at, &wanted, sizeof(wanted), 0))
		return false;
	/* The checksum counts words at even places: at an odd one the value's bytes are in two of them. */
	if ((at - l4) & 1) {
		announced = __builtin_bswap16(announced);
		wanted = __builtin_bswap16(wanted);
	}
	return bpf_l4_csum_replace(skb, l4 + __builtin_offsetof(struct tcphdr, check), announced, wanted, sizeof(wanted)) == 0;
}

/* Whether a packet is a SYN of a NAT that clamps. */
INLINE bool wants_clamp(const struct packet *packet, const struct session *session)
{
	struct nat *nat;
	__u32 id;

	if (likely(packet->protocol != IPPROTO_TCP || !(packet->tcp_flags & TCP_SYN)))
		return false;
	id = session->nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	return nat && nat->clamp_mss;
}
