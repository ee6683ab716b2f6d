/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Headers of IPv4 and of what goes with it alone. */
#pragma once
#include "kernel.h"

struct iphdr {
	__u8 ihl : 4, version : 4; /* little-endian bit order: the object is bpfel */
	__u8 tos;
	__be16 tot_len, id, frag_off;
	__u8 ttl, protocol;
	__u16 check;
	__be32 saddr, daddr;
};
enum { IP_DF = 0x4000, IP_MF = 0x2000, IP_OFFSET = 0x1fff };

struct icmphdr {
	__u8 type, code;
	__u16 check;
	__be16 id, sequence;
};
enum { ICMP_ECHO_REPLY = 0, ICMP_ECHO_REQUEST = 8 };

enum {
	ICMP_NET_UNREACHABLE = 0,
	ICMP_HOST_UNREACHABLE = 1,
	ICMP_PROTOCOL_UNREACHABLE = 2,
	ICMP_PORT_UNREACHABLE = 3,
	ICMP_FRAGMENTATION_NEEDED = 4,
	ICMP_NET_PROHIBITED = 9,
	ICMP_HOST_PROHIBITED = 10,
	ICMP_PROHIBITED = 13,
	ICMP_PRECEDENCE = 15,
};
enum { ICMP_UNREACHABLE = 3, ICMP_TIME_EXCEEDED = 11, ICMP_PARAMETER_PROBLEM = 12 };

enum { ICMP_SOURCE_QUENCH = 4, ICMP_REDIRECT = 5 }; /* errors too (RFC 1122 section 3.2.2), which are not translated */

INLINE bool is_icmp_error(__u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

enum { ARP_REQUEST = 1, ARP_REPLY = 2 };
struct arp_ipv4 {
	__be16 hardware, protocol;
	__u8 hardware_size, protocol_size;
	__be16 operation;
	__u8 sender_mac[6];
	__be32 sender_address;
	__u8 target_mac[6];
	__be32 target_address;
} __attribute__((packed));
