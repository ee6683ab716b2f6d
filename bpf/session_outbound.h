/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A flow's first packet from inside, and the way out of those that there are. */
#pragma once
#include "binding_join.h"
#include "session_open.h"

/* The address that a NAT has for itself for an internal one; NO_ADDRESS: it has none. */
INLINE addr_t fixed_address(__u32 nat, const struct session_key *key)
{
	struct pool_key pool_key = { .nat = nat };
	struct pool *pool = bpf_map_lookup_elem(&pools, &pool_key);
	struct pool_address *address;

	if (!pool || pool->flags & POOL_FOLLOWS_ROUTE)
		return NO_ADDRESS;
	address = pool_address_at(pool, paired_address(pool, key, NO_ADDRESS));
	return address ? address->address : NO_ADDRESS;
}

/* Finds the way out of a flow that begins inside. Returns a drop reason or none. */
INLINE int find_way_out(struct __sk_buff *skb, struct flow *flow)
{
	struct opening *opening = &flow->opening;
	addr_t fixed = fixed_address(opening->nat, &flow->key);

	flow->query = (struct route_query){
		.nat = opening->nat,
		.network = opening->network,
		.external_address = fixed,
		.tos = flow->packet.tos,
		.kind = is_set(fixed) ? ROUTE_OWN_FIXED : ROUTE_OWN,
	};
	return find_route(skb, flow);
}

/*
 * Opens a session for a packet from the inside. own is the interface that has
 * the packet's destination, if that is one of the host's addresses (a hairpin):
 * then that is the source too, as of what the host says to itself. Returns a drop reason or none.
 */
GLOBAL int open_outbound(struct __sk_buff *skb, struct flow *flow, __u32 own)
{
	struct pool *pool;
	struct nat *nat;
	__u32 id;
	int reason;

	if (!flow)
		return REASON_SESSION_FAILED;
	id = flow->nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	if (!nat)
		return REASON_NO_NAT;
	flow->opening = (struct opening){ .nat = id, .network = flow->network };
	flow->query = (struct route_query){};
	flow->route = (struct route){};
	flow->reclaim.port = 0;
	if (own) {
		flow->opening.flags |= SESSION_HAIRPIN;
		pool = find_pool_for(id, own, flow->key.remote_address);
	} else {
		reason = find_way_out(skb, flow);
		if (reason)
			return reason;
		pool = find_pool_for(id, flow->route.ifindex, flow->route.source);
	}
	if (!pool)
		return REASON_NO_EXTERNAL_ADDRESS;
	reason = join_outside(skb, flow, pool, nat);
	if (reason) {
		event_refusal(&flow->key, &flow->opening, reason);
		return reason;
	}
	/* Asked again, as the rules for another address may be other ones, and IPsec policies may be for this address. */
	if (is_set(flow->query.external_address) && !same_address(flow->query.external_address, flow->opening.external_address))
		flow->route.ifindex = 0;
	if (unlikely(has_ipsec()))
		flow->route.ifindex = 0;
	return session_open(flow, &flow->key, &flow->session, nat);
}

/* Whether answers find back to a session's external address when it leaves by another interface now. */
NOINLINE int may_leave_by(const struct session_key *key, const struct session *session, const struct route *route)
{
	struct pool *pool;

	if (!session)
		return false;
	if (session->flags & SESSION_FROM_OUTSIDE || is_mapped(key, session))
		return true;
	pool = find_pool_for(session->nat, route->ifindex, route->source);
	return pool && (pool_has_address(pool, session->external_address) ||
			(pool->flags & POOL_FOLLOWS_ROUTE && host_interface(session->external_address) == route->ifindex));
}

NOINLINE int route_kind(const struct session *session)
{
	struct pool_key key = {};
	struct pool *pool;

	if (!session)
		return ROUTE_OWN;
	key.nat = session->nat;
	if (session->flags & SESSION_FROM_OUTSIDE)
		return ROUTE_ANSWER;
	pool = bpf_map_lookup_elem(&pools, &key);
	return pool && !(pool->flags & POOL_FOLLOWS_ROUTE) ? ROUTE_OWN_FIXED : ROUTE_OWN;
}

/*
 * Looks the route of a known session up again. If the way out is another
 * interface now, where the NAT does not have the session's external address,
 * no answer would find back: the session ends. Returns a drop reason or none.
 */
GLOBAL int route_refresh(struct __sk_buff *skb, struct flow *flow, struct session *session, __u8 tos)
{
	struct route *route;
	__u32 last;
	int reason;

	if (!flow || !session)
		return REASON_ROUTE_LOOKUP;
	route = &flow->route;
	flow->query = (struct route_query){
		.nat = session->nat,
		.network = session->network,
		.external_address = session->external_address,
		.external_port = session->external_port,
		.tos = tos,
		.kind = route_kind(session),
	};
	reason = find_route(skb, flow);
	if (reason)
		return reason;
	last = session_interface(session);
	if (last && last != route->ifindex && !may_leave_by(&flow->key, session, route)) {
		session_end(&flow->key, session, END_ROUTE_CHANGED);
		return REASON_ROUTE_CHANGED;
	}
	route_keep(session, route, tos, now());
	return REASON_NONE;
}
