/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The way out of a session. */
#pragma once
#include "maps.h"

struct route {
	__u32 ifindex;
	addr_t next_hop;
	addr_t source; /* which address of the host's the route chooses; NO_ADDRESS: the kernel does not say, or there are better ones */
	__u32 metric;
	__u16 mtu;
	bool via_ip6; /* next_hop is a key of next_hops6 */
	__u8 pad;
};

/* Whose packet it is for the host's rules, which may be for a network and for an address of the host's. */
enum route_kind {
	ROUTE_OWN, /* a flow that an endpoint begins, under whichever address the route chooses: the inside's rules count */
	ROUTE_OWN_FIXED, /* the same under an address that its NAT has for itself: the rules of both count, the inside's first */
	ROUTE_ANSWER, /* a remote has begun it: it goes as the host's own answer would, unless the inside's rules forbid it */
};

/* What a way out is asked for, beside the session's key. */
struct route_query {
	__u32 nat, network;
	addr_t external_address; /* NO_ADDRESS: not known yet */
	__be16 external_port;
	__u8 tos;
	__u8 kind;
};

struct flow;

/* Asks the host's routing tables for a session's way out, by flow->query and into flow->route. Each address family defines it. Returns a drop reason or none. */
int find_route(struct __sk_buff *skb, struct flow *flow);

INLINE void way_store(struct way *to, struct way way)
{
	__u64 word;

	if (sizeof(way) != sizeof(word)) {
		*to = way;
		return;
	}
	memcpy(&word, &way, sizeof(word));
	*(volatile __u64 *)to = word;
}

INLINE struct way way_load(const struct way *from)
{
	struct way way;
	__u64 word;

	if (sizeof(way) != sizeof(word))
		return *from;
	word = *(volatile const __u64 *)from;
	memcpy(&way, &word, sizeof(way));
	return way;
}

INLINE struct way way_of(const struct route *route)
{
	struct way way = { .ifindex = route->ifindex | (route->via_ip6 ? NEXT_HOP_IP6 : 0), .next_hop = route->next_hop };

	return way;
}

enum { ROUTE_MEMORY = 1 }; /* seconds until the tables are asked again */

/* Interface and next hop are written at once: no packet goes by the one to the other. */
INLINE void route_keep(struct session *session, const struct route *route, __u8 tos, __u64 now)
{
	way_store(&session->way, way_of(route));
	session->way_mtu = route->mtu;
	session->way_tos = tos;
	session->route_until = now + ROUTE_MEMORY * SECOND;
}

/* The interface by which a session left last; 0: it has not yet. */
INLINE __u32 session_interface(const struct session *session)
{
	return session->way.ifindex & ~NEXT_HOP_IP6;
}
