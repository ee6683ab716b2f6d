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
