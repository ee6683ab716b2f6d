/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Rewriting one end of a packet. RFC 3022 section 4.1: checksums are adjusted,
 * not computed anew, so that a damaged packet stays damaged.
 *
 * All direct writes come first: the checksum helper ends the validity of
 * packet pointers. The helper knows what offloads left to do (CHECKSUM_PARTIAL
 * holds only the pseudo-header's sum, CHECKSUM_COMPLETE a sum of all bytes);
 * direct arithmetic on the TCP and UDP checksum would not.
 */
#pragma once
#include "ip4_packet.h"

INLINE __u32 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* RFC 1624 equation 3 over one 32-bit address and the TTL's 16-bit word. */
INLINE __u16 adjust_ip_checksum(__u16 check, __be32 old, __be32 new, __u16 old_word, __u16 new_word)
{
	__u32 sum = (__u16)~check;

	sum += (__u16)~old + (__u16)(~old >> 16) + (__u16)~old_word;
	sum += (new & 0xffff) + (new >> 16) + new_word;
	return ~fold(sum);
}

enum side {
	SOURCE,
	DESTINATION,
};

/* Replaces source or destination where there is no port: ICMP errors, later fragments. Takes hops off the TTL. */
INLINE enum reason rewrite_address(struct __sk_buff *skb, const struct packet *packet, enum side side, __be32 address, __u8 hops)
{
	struct iphdr *ip = ip_header(skb, packet);
	__be32 old = side == SOURCE ? packet->source : packet->destination;
	__u16 old_word, new_word;

	if (!ip)
		return REASON_MALFORMED;
	old_word = ip->ttl | ip->protocol << 8;
	ip->ttl -= hops;
	new_word = ip->ttl | ip->protocol << 8;
	if (side == SOURCE)
		ip->saddr = address;
	else
		ip->daddr = address;
	ip->check = adjust_ip_checksum(ip->check, old, address, old_word, new_word);
	return REASON_NONE;
}

/*
 * Replaces source or destination by address:port and takes hops off the TTL.
 * The caller has checked that the TTL is above hops and has parsed the packet.
 */
INLINE enum reason rewrite(struct __sk_buff *skb, const struct packet *packet, enum side side, __be32 address, __be16 port,
			   __u8 hops)
{
	__be32 old_address = side == SOURCE ? packet->source : packet->destination;
	__be16 old_port = side == SOURCE ? packet->source_port : packet->destination_port;
	__u64 mangled = packet->protocol == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 offset = packet->l4, check;
	void *l4;

	if (rewrite_address(skb, packet, side, address, hops))
		return REASON_MALFORMED;
	if (offset > 14 + 60)
		return REASON_MALFORMED;
	l4 = (void *)(long)skb->data + offset;
	if (l4 + L4_MINIMUM > (void *)(long)skb->data_end)
		return REASON_MALFORMED;
	if (packet->protocol == IPPROTO_ICMP) {
		/* No pseudo-header: the address does not count, the identifier does. */
		((struct icmphdr *)l4)->id = port;
		check = offset + __builtin_offsetof(struct icmphdr, check);
		if (old_port != port && bpf_l4_csum_replace(skb, check, old_port, port, sizeof(port)))
			return REASON_MALFORMED;
		return REASON_NONE;
	}
	if (side == SOURCE)
		((struct udphdr *)l4)->source = port;
	else
		((struct udphdr *)l4)->dest = port;
	check = offset + (packet->protocol == IPPROTO_TCP ? __builtin_offsetof(struct tcphdr, check)
							  : __builtin_offsetof(struct udphdr, check));
	if (bpf_l4_csum_replace(skb, check, old_address, address, BPF_F_PSEUDO_HDR | mangled | sizeof(address)))
		return REASON_MALFORMED;
	if (old_port != port && bpf_l4_csum_replace(skb, check, old_port, port, mangled | sizeof(port)))
		return REASON_MALFORMED;
	return REASON_NONE;
}
