/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The header of IPv6, which the host's own programs speak over loopback. */
#pragma once
#include "kernel.h"

struct ip6_address {
	__be32 word[4];
};
#define IP6_LOOPBACK                      \
	{                                 \
		{                         \
			0, 0, 0, htonl(1) \
		}                         \
	}

struct ip6hdr {
	__u8 version_tos, tos_flow;
	__be16 flow;
	__be16 payload_length;
	__u8 next_header, hop_limit;
	struct ip6_address source, destination;
};

/* RFC 8200 section 4.5 */
struct ip6_fragment {
	__u8 next_header, reserved;
	__be16 offset_more;
	__be32 id;
};
#define IP6_FRAGMENT 44

/* An ICMPv6 error that quotes what is sure to be there: RFC 4443 section 3. */
struct icmp6_error {
	struct ip6hdr ip;
	__u8 type, code;
	__u16 check;
	__be32 unused;
	struct ip6hdr quoted;
	__be16 source_port, destination_port;
	__be32 rest; /* of the first 8 bytes */
};
#define IP6_ICMP 58

enum icmp6 {
	ICMP6_UNREACHABLE = 1,
	ICMP6_NO_ROUTE = ICMP6_UNREACHABLE << 8 | 0,
	ICMP6_PROHIBITED = ICMP6_UNREACHABLE << 8 | 1,
	ICMP6_PORT_UNREACHABLE = ICMP6_UNREACHABLE << 8 | 4,
	ICMP6_TIME_EXCEEDED = 3 << 8,
};
