/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The way out of a session. */
#pragma once
#include "maps.h"

struct route {
	__u32 ifindex;
	addr_t next_hop;
	__u32 mtu;
};

/* Asks the host's routing tables for a session's way out. Each address family defines it. Returns a drop reason or none. */
static int find_route(struct __sk_buff *skb, const struct session_key *key, struct route *route);

enum { ROUTE_MEMORY = 1 }; /* seconds until the tables are asked again */

INLINE void route_keep(struct session *session, const struct route *route, __u64 now)
{
	session->out_ifindex = route->ifindex;
	session->next_hop = route->next_hop;
	session->out_mtu = route->mtu;
	session->route_expires = now + ROUTE_MEMORY * SECOND;
}
