/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* From bytes to a struct packet. */
#pragma once
#include "types.h"

struct packet {
	__u32 l3; /* offset of the IP header: 14, or 0 on links without Ethernet */
	__u32 l4; /* offset of the transport header */
	__be32 source, destination;
	__be16 source_port, destination_port; /* ICMP: both the query identifier */
	__u8 protocol;
	__u8 ttl;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 tcp_header; /* bytes */
	__u16 length; /* of the IP datagram, host order */
	__be16 id;
	__be16 fragment; /* frag_off as on the wire */
};

enum { L4_MINIMUM = 8 }; /* ports and UDP checksum; ICMP up to the sequence */

/*
 * Makes sure that the first size bytes can be read directly: header bytes may
 * lie outside the linear part (TAP, AF_PACKET, some drivers).
 */
INLINE bool pull(struct __sk_buff *skb, __u32 size)
{
	if (likely((void *)(long)skb->data + size <= (void *)(long)skb->data_end))
		return true;
	if (skb->len < size)
		return false;
	return bpf_skb_pull_data(skb, size) == 0;
}

INLINE struct iphdr *ip_header(struct __sk_buff *skb, const struct packet *packet)
{
	struct iphdr *ip = (void *)(long)skb->data + packet->l3;
	return (void *)(ip + 1) <= (void *)(long)skb->data_end ? ip : NULL;
}

/* Reads the IP header alone: enough for the checks that need no ports. */
INLINE enum reason parse_ip(struct __sk_buff *skb, struct packet *packet)
{
	struct iphdr *ip;
	__u32 header;

	if (!pull(skb, packet->l3 + sizeof(*ip)))
		return REASON_MALFORMED;
	ip = ip_header(skb, packet);
	if (!ip)
		return REASON_MALFORMED;
	header = ip->ihl * 4;
	packet->length = ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || packet->length < header)
		return REASON_MALFORMED;
	packet->l4 = packet->l3 + header;
	packet->source = ip->saddr;
	packet->destination = ip->daddr;
	packet->protocol = ip->protocol;
	packet->ttl = ip->ttl;
	packet->id = ip->id;
	packet->fragment = ip->frag_off;
	return REASON_NONE;
}

/*
 * Reads ports, TCP flags or the ICMP query identifier. Only the 16 bytes that
 * are needed are copied, so that IP options cost no second set of bounds checks.
 */
INLINE enum reason parse_l4(struct __sk_buff *skb, struct packet *packet)
{
	__u32 payload = packet->length - (packet->l4 - packet->l3);
	__u32 need = packet->protocol == IPPROTO_TCP ? sizeof(struct tcphdr) : L4_MINIMUM;
	__u32 offset = packet->l4;
	void *start;

	if (packet->protocol != IPPROTO_TCP && packet->protocol != IPPROTO_UDP && packet->protocol != IPPROTO_ICMP)
		return REASON_PROTOCOL;
	if (payload < need || !pull(skb, offset + need))
		return REASON_MALFORMED;
	if (offset > 14 + 60)
		return REASON_MALFORMED;
	start = (void *)(long)skb->data + offset;
	if (start + L4_MINIMUM > (void *)(long)skb->data_end)
		return REASON_MALFORMED;
	if (packet->protocol == IPPROTO_ICMP) {
		struct icmphdr *icmp = start;
		packet->icmp_type = icmp->type;
		packet->source_port = packet->destination_port = icmp->id;
		return REASON_NONE;
	}
	packet->source_port = ((struct udphdr *)start)->source;
	packet->destination_port = ((struct udphdr *)start)->dest;
	if (packet->protocol == IPPROTO_TCP) {
		struct tcphdr *tcp = start;
		if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
			return REASON_MALFORMED;
		packet->tcp_flags = tcp->flags;
		packet->tcp_header = tcp->doff_res >> 4 << 2;
	}
	return REASON_NONE;
}

/* A broadcast frame is not forwarded, whatever address is in it: RFC 1812 section 5.3.4. */
INLINE bool is_unicast_frame(const struct __sk_buff *skb)
{
	return skb->pkt_type != PACKET_BROADCAST && skb->pkt_type != PACKET_MULTICAST;
}

/* How long the largest datagram is that this packet becomes on the wire. */
INLINE __u32 wire_length(const struct __sk_buff *skb, const struct packet *packet)
{
	__u32 headers = packet->l4 - packet->l3;

	if (likely(!skb->gso_size))
		return packet->length;
	headers += packet->protocol == IPPROTO_TCP ? packet->tcp_header : sizeof(struct udphdr);
	return headers + skb->gso_size;
}
