/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the data path knows of a packet, and what does not depend on its address family. */
#pragma once
#include "types.h"

struct packet {
	__u32 l3; /* offset of the IP header: 14, or 0 on links without Ethernet */
	__u32 l4; /* offset of the transport header */
	addr_t source, destination;
	__be16 source_port, destination_port; /* ICMP: both the query identifier */
	__u8 protocol;
	__u8 ttl;
	__u8 tos; /* without congestion notification: RFC 3168 section 5 */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 tcp_header; /* bytes */
	__be16 id;
	__be16 fragment; /* frag_off as on the wire */
	__u32 length; /* of the IP datagram, host order */
};

/* The packet inside an ICMP error. Only 8 bytes behind its IP header are sure to be there (RFC 792). */
struct quote {
	__u32 icmp, l3, l4; /* offsets in the whole packet: the error, the quoted headers */
	__u32 end; /* of the datagram: a frame may be padded */
	addr_t source, destination;
	__be16 source_port, destination_port; /* ICMP: the query identifier and 0 */
	__u16 ip_check; /* where the header has one */
	__u8 protocol;
	__u8 pad;
};

/* Whether a NAT can tell an endpoint's flows apart by what is behind the IP header. */
INLINE bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == QUERY_PROTOCOL;
}

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

/*
 * Whether a frame is addressed to this link: not to all (RFC 1812 section 5.3.4: such are not forwarded), nor to another
 * station that it only sees.
 */
INLINE bool is_for_host_link(const struct __sk_buff *skb)
{
	return skb->pkt_type == PACKET_HOST;
}

/*
 * Whether a frame is a VLAN's: the VLAN's own link has programs of its own. An
 * identifier of 0 is a priority alone (IEEE 802.1Q section 6.9).
 */
INLINE bool is_for_vlan(struct __sk_buff *skb)
{
	if (likely(!skb->vlan_present))
		return false;
	return skb->vlan_tci & 0xfff || bpf_skb_vlan_pop(skb);
}

/* Takes off a VLAN tag that is a priority alone. False if it is a VLAN's, or if there is another one behind it. */
INLINE bool drop_priority_tag(struct __sk_buff *skb)
{
	return !(skb->vlan_tci & 0xfff) && !bpf_skb_vlan_pop(skb) && !skb->vlan_present;
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
