/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * What a program of the host sends from ::1 to ::1 and a mapping's port: it becomes
 * a packet of IPv4 from 127.0.0.1 to itself, which ip4_loopback.h translates.
 */
#pragma once
#include "ip4_dialler.h"

INLINE bool is_ip6_loopback(const struct ip6_address *address)
{
	return !(address->word[0] | address->word[1] | address->word[2]) && address->word[3] == htonl(1);
}

/* Reads a packet from ::1 to ::1 as if it were IPv4's between 127.0.0.1 and itself, which it will be. False: it is none. */
INLINE bool parse_ip6_loopback(struct __sk_buff *skb, struct packet *packet)
{
	struct ip6hdr *ip = (void *)(long)skb->data + sizeof(struct ethhdr);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct udphdr *udp = (void *)(ip + 1);

	if ((void *)(udp + 1) > (void *)(long)skb->data_end || !is_ip6_loopback(&ip->source) || !is_ip6_loopback(&ip->destination))
		return false;
	packet->l4 = packet->l3 + sizeof(struct iphdr);
	packet->source = packet->destination = LOOPBACK_ADDRESS;
	packet->protocol = ip->next_header;
	packet->ttl = ip->hop_limit;
	packet->tos = 0;
	packet->id = 0;
	packet->fragment = htons(IP_DF);
	packet->length = ntohs(ip->payload_length) + sizeof(struct iphdr);
	packet->source_port = udp->source;
	packet->destination_port = udp->dest;
	if (packet->protocol != IPPROTO_TCP)
		return packet->protocol == IPPROTO_UDP;
	if ((void *)(tcp + 1) > (void *)(long)skb->data_end)
		return false;
	packet->tcp_flags = tcp->flags;
	packet->tcp_header = tcp->doff_res >> 4 << 2;
	return true;
}

enum { TCP_OPTION_WINDOW_SCALE = 3 };

/*
 * Takes the window scale out of a SYN that becomes IPv4 (RFC 7323 section 2.2), so that at most 64 KiB are under way at once.
 * What comes back has to fit into an IPv6 packet without a jumbo header, and segments of IPv4 may be larger.
 */
GLOBAL int drop_window_scale(struct __sk_buff *skb, __u32 l4)
{
	struct option_walk walk = { .wanted = TCP_OPTION_WINDOW_SCALE, .or_wanted = TCP_OPTION_WINDOW_SCALE };
	__be32 had = 0, has;
	__u8 *bytes = (void *)&has, doff;
	__s64 difference;
	__u32 at, odd;

	if (bpf_skb_load_bytes(skb, l4 + __builtin_offsetof(struct tcphdr, doff_res), &doff, sizeof(doff)))
		return REASON_MALFORMED;
	walk.size = (doff >> 4) * 4 - sizeof(struct tcphdr);
	at = find_option(skb, &walk, l4 + sizeof(struct tcphdr));
	if (!at)
		return REASON_NONE;
	at += l4 + sizeof(struct tcphdr) - 2; /* of its kind; kind, length and value are three bytes */
	odd = (at - l4) & 1; /* the checksum counts words at even places */
	at -= odd;
	if (bpf_skb_load_bytes(skb, at, &had, sizeof(had)))
		return REASON_MALFORMED;
	has = had;
	bytes[1] = bytes[2] = OPTION_NONE;
	if (odd)
		bytes[3] = OPTION_NONE;
	else
		bytes[0] = OPTION_NONE;
	difference = bpf_csum_diff(&had, sizeof(had), &has, sizeof(has), 0);
	if (difference < 0 || bpf_skb_store_bytes(skb, at, &has, sizeof(has), 0) ||
	    bpf_l4_csum_replace(skb, l4 + __builtin_offsetof(struct tcphdr, check), 0, difference, 0))
		return REASON_MALFORMED;
	return REASON_NONE;
}

/* Gives what parse_ip6_loopback has read the header that it has read out of it. */
NOINLINE int become_ip4(struct __sk_buff *skb, const struct packet *packet)
{
	const struct ip6_address before[2] = { IP6_LOOPBACK, IP6_LOOPBACK };
	bool udp = packet->protocol == IPPROTO_UDP;
	__u32 check = udp ? __builtin_offsetof(struct udphdr, check) : __builtin_offsetof(struct tcphdr, check);
	__be16 protocol = htons(ETH_P_IP);
	struct iphdr ip = {
		.version = 4,
		.ihl = 5,
		.tot_len = htons(packet->length),
		.frag_off = packet->fragment,
		.ttl = packet->ttl,
		.protocol = packet->protocol,
		.saddr = packet->source,
		.daddr = packet->destination,
	};
	__s64 difference = bpf_csum_diff((void *)before, sizeof(before), &ip.saddr, 2 * sizeof(ip.saddr), 0);
	__s64 sum = bpf_csum_diff(NULL, 0, (void *)&ip, sizeof(ip), 0);

	if (difference < 0 || sum < 0)
		return REASON_TRANSLATE;
	ip.check = ~fold(sum);
	if (bpf_skb_change_proto(skb, htons(ETH_P_IP), 0) ||
	    bpf_skb_store_bytes(skb, __builtin_offsetof(struct ethhdr, protocol), &protocol, sizeof(protocol), 0) ||
	    bpf_skb_store_bytes(skb, sizeof(struct ethhdr), &ip, sizeof(ip), 0) ||
	    bpf_l4_csum_replace(skb, sizeof(struct ethhdr) + sizeof(ip) + check, 0, difference,
				BPF_F_PSEUDO_HDR | (udp ? BPF_F_MARK_MANGLED_0 : 0)))
		return REASON_TRANSLATE;
	return !udp && packet->tcp_flags & TCP_SYN ? drop_window_scale(skb, packet->l4) : REASON_NONE;
}

/* Whether a program of the host would get what is sent to [::1]:port: nothing is published over IPv6, so that one keeps it. */
INLINE bool is_heard_on_ip6(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock_tuple tuple = {
		.ipv6 = { .saddr = { 0, 0, 0, htonl(1) },
			  .daddr = { 0, 0, 0, htonl(1) },
			  .sport = packet->source_port,
			  .dport = packet->destination_port },
	};

	return find_socket(skb, packet->protocol, &tuple, sizeof(tuple.ipv6));
}
