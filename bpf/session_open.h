/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A flow's first packet: find or make its binding, then its session. */
#pragma once
#include "session.h"

/* What a NAT may use for what leaves by ifindex; NULL: nothing may leave there. */
INLINE struct pool *find_pool(__u32 nat, __u32 ifindex)
{
	struct pool_key key = { .nat = nat, .ifindex = ifindex };
	struct pool *pool = bpf_map_lookup_elem(&pools, &key);

	if (pool)
		return pool;
	key.ifindex = 0;
	pool = bpf_map_lookup_elem(&pools, &key);
	return pool && !(pool->flags & POOL_BOUND) ? pool : NULL;
}

/* The same where a NAT without addresses of its own has the source that a route chooses. */
INLINE struct pool *find_pool_for(__u32 nat, __u32 ifindex, addr_t source)
{
	struct pool_key key = { .nat = nat, .address = source };
	struct pool *pool = find_pool(nat, ifindex), *own;

	if (!pool || !(pool->flags & POOL_FOLLOWS_ROUTE) || !is_set(source))
		return pool;
	own = bpf_map_lookup_elem(&pools, &key);
	return own ?: pool;
}

/*
 * Paired pooling: one inside address keeps to one external address (RFC 4787 REQ-2). Of a link's own the first is
 * the best one, unless the next hop is in the prefix of another.
 */
INLINE __u32 paired_address(const struct pool *pool, const struct session_key *key, addr_t next_hop)
{
	if (pool->flags & POOL_FOLLOWS_ROUTE) {
		for (__u32 i = 0; i < POOL_ADDRESSES; i++) {
			if (i < pool->count && is_in_prefix(next_hop, pool->address[i].address, pool->address[i].mask))
				return i;
		}
		return 0;
	}
	return mix(hash_address(key->internal_address) ^ key->compartment) % (pool->count ?: 1);
}

INLINE struct pool_address *pool_address_at(struct pool *pool, __u32 index)
{
	if (!pool->count)
		return NULL;
	index %= pool->count;
	return &pool->address[index & (POOL_ADDRESSES - 1)]; /* the mask is for the verifier */
}

INLINE bool pool_has_address(const struct pool *pool, addr_t address)
{
	for (int i = 0; i < POOL_ADDRESSES; i++) {
		if (i < pool->count + pool->mapped && same_address(pool->address[i].address, address))
			return true;
	}
	return false;
}

/* The flow leaves by this binding, on the pool's address if it is on any. */
INLINE void leave_by(struct opening *opening, const struct binding_key *key)
{
	opening->external_port = key->port;
	if (is_set(key->address))
		opening->external_address = key->address;
	else
		opening->flags |= SESSION_ANY_ADDRESS;
}

/* Whether a mapping on the address goes before one on any address at its port: then what leaves by that gets no answer. */
INLINE bool is_shadowed(const struct binding_key *any, addr_t address)
{
	struct binding_key key = { .address = address, .port = any->port, .protocol = any->protocol };
	struct binding *binding = bpf_map_lookup_elem(&bindings, &key);

	return (binding && binding->flags & BINDING_CONFIGURED) || (has_setting(SETTING_SHADOWS) && range_of(&key));
}

enum { JOIN_NOTHING = -1 }; /* no drop reason: there is none to join */

/* Where join_known looks: below POOL_ADDRESSES, on this address of the pool. */
enum { ON_ANY_ADDRESS = POOL_ADDRESSES, ON_A_MAPPING_S };

/*
 * Joins the binding that the index knows for this internal port on an external
 * address of the pool, on any, or on whichever a mapping has: that is left alone
 * if it is none of the way out's. One in hold-down counts as a new one. Returns
 * JOIN_NOTHING, a drop reason or none.
 */
GLOBAL int join_known(struct flow *flow, struct pool *pool, const struct nat *nat, __u32 where)
{
	struct binding_index_key index = {};
	struct binding_key binding_key = {};
	struct endpoint_key endpoint;
	struct pool_address *address;
	struct binding *binding;
	struct way_out *way;
	__u32 counted = 0;

	if (!flow || !pool || !nat)
		return JOIN_NOTHING;
	if (where == ON_A_MAPPING_S) {
		index.external_address = EVERY_ADDRESS;
	} else if (where != ON_ANY_ADDRESS) {
		address = pool_address_at(pool, where);
		if (!address)
			return JOIN_NOTHING;
		index.external_address = address->address;
	}
	index.compartment = flow->key.compartment;
	index.internal_address = flow->key.internal_address;
	index.internal_port = flow->key.internal_port;
	index.protocol = binding_key.protocol = flow->key.protocol;
	way = bpf_map_lookup_elem(&binding_index, &index);
	if (!way || (is_set(way->address) && !pool_has_address(pool, way->address)))
		return JOIN_NOTHING;
	binding_key.address = way->address;
	binding_key.port = way->port;
	binding = bpf_map_lookup_elem(&bindings, &binding_key);
	/* The port may have become a mapping's to somewhere else a moment ago. */
	if (!binding || binding->compartment != flow->key.compartment ||
	    !same_address(binding->internal_address, flow->key.internal_address) ||
	    binding->internal_port != flow->key.internal_port)
		return JOIN_NOTHING;
	if (!is_set(binding_key.address) && is_shadowed(&binding_key, flow->opening.external_address))
		return JOIN_NOTHING;
	if (binding->flags & BINDING_HOLD_DOWN) {
		endpoint = endpoint_of(&flow->key);
		int taken = usage_take(&endpoint, nat, USAGE_PORT);
		if (taken == USAGE_REFUSED)
			return REASON_ENDPOINT_LIMIT;
		counted = taken == USAGE_COUNTED ? BINDING_COUNTED : 0;
	}
	if (!binding_join(&binding_key, binding, counted, false)) {
		if (counted)
			usage_leave(&endpoint, USAGE_PORT);
		return JOIN_NOTHING;
	}
	leave_by(&flow->opening, &binding_key);
	return REASON_NONE;
}

/* Joins the port of a range whose target this internal port is: the endpoint's way out too. Returns as join_known. */
GLOBAL int join_range_known(struct flow *flow, const struct pool *pool)
{
	struct inside_range_key range = { .length = 64 + ADDRESS_BITS };
	struct binding_key binding_key = {};
	struct mapping *mapping;
	__u32 *id;
	int reason;

	if (!flow || !pool || !has_setting(SETTING_RANGES))
		return JOIN_NOTHING;
	range.compartment = flow->key.compartment;
	range.address = flow->key.internal_address;
	range.protocol = binding_key.protocol = flow->key.protocol;
	range.port = flow->key.internal_port;
	id = bpf_map_lookup_elem(&inside_ranges, &range);
	mapping = id ? find_mapping(*id) : NULL;
	if (!mapping || (is_set(mapping->external_address) && !pool_has_address(pool, mapping->external_address)))
		return JOIN_NOTHING;
	binding_key.address = mapping->external_address;
	binding_key.port =
		htons((__u16)(ntohs(mapping->external_port) + ntohs(flow->key.internal_port) - ntohs(mapping->target[0].port)));
	if (!is_set(binding_key.address) && is_shadowed(&binding_key, flow->opening.external_address))
		return JOIN_NOTHING;
	reason = join_range(&binding_key, mapping, *id, &flow->key);
	if (reason)
		return reason == REASON_NO_MAPPING ? JOIN_NOTHING : reason;
	leave_by(&flow->opening, &binding_key);
	return REASON_NONE;
}

/* Makes a binding with one session, and enters it in the index. */
GLOBAL int join_new(struct __sk_buff *skb, struct flow *flow, struct pool_address *pool, const struct nat *nat)
{
	struct binding_index_key index;
	struct endpoint_key endpoint;
	struct binding_key *reserved;
	struct way_out way = {};
	struct binding *binding;
	int reason, taken;

	if (!flow || !pool || !nat)
		return REASON_NO_EXTERNAL_ADDRESS;
	binding = (struct binding *)flow->binding;
	__builtin_memset(binding, 0, sizeof(*binding));
	binding->sessions = binding->hosts = 1;
	binding->compartment = flow->key.compartment;
	binding->internal_address = flow->key.internal_address;
	binding->internal_port = flow->key.internal_port;
	binding->nat = flow->opening.nat;
	binding->network = flow->opening.network;
	endpoint = endpoint_of(&flow->key);
	reserved = &flow->binding_key;
	*reserved = (struct binding_key){ .address = pool->address, .protocol = flow->key.protocol };
	if (!flow->reclaimed && is_scarce(reserved, pool) && has_many_ports(&endpoint, pool))
		return REASON_OUT_OF_PORTS;
	taken = usage_take(&endpoint, nat, USAGE_PORT);
	if (taken == USAGE_REFUSED)
		return REASON_ENDPOINT_LIMIT;
	if (taken == USAGE_COUNTED)
		binding->flags = BINDING_COUNTED;
	reason = port_allocate(skb, flow, pool);
	if (!reason) {
		index = index_key(reserved, binding);
		way.address = reserved->address;
		way.port = reserved->port;
		if (map_update(&binding_index, &index, &way, BPF_NOEXIST)) {
			binding_free(reserved);
			reason = REASON_SESSION_CLASH; /* another CPU made one for the same internal port: that one counts */
		}
	}
	if (reason) {
		if (taken == USAGE_COUNTED)
			usage_leave(&endpoint, USAGE_PORT);
		return reason;
	}
	flow->opening.external_address = reserved->address;
	flow->opening.external_port = reserved->port;
	event_binding(EVENT_BINDING_CREATE, reserved, binding, 0);
	event_binding(EVENT_BINDING_SESSIONS, reserved, binding, 1);
	return REASON_NONE;
}

/* A new binding on the pool's address at index, or another CPU's. Returns a drop reason or none. */
INLINE int join_at(struct __sk_buff *skb, struct flow *flow, struct pool *pool, __u32 index, const struct nat *nat)
{
	struct pool_address *address = pool_address_at(pool, index);
	int reason;

	if (!address)
		return REASON_NO_EXTERNAL_ADDRESS;
	reason = join_new(skb, flow, address, nat);
	if (reason == REASON_SESSION_CLASH) {
		reason = join_known(flow, pool, nat, index % (pool->count ?: 1));
		if (reason == JOIN_NOTHING)
			reason = REASON_BINDINGS_FULL;
	}
	return reason;
}

/*
 * The external port that the internal one has already: a static mapping's is
 * its endpoint's outward too. With arbitrary pooling it may be on any address.
 */
GLOBAL int join_existing(struct flow *flow, struct pool *pool, const struct nat *nat, __u32 paired)
{
	int reason;

	if (!flow || !pool || !nat)
		return REASON_SESSION_FAILED;
	if (!pool->count)
		return REASON_NO_EXTERNAL_ADDRESS;
	reason = join_known(flow, pool, nat, paired);
	if (reason == JOIN_NOTHING)
		reason = join_known(flow, pool, nat, ON_A_MAPPING_S);
	if (reason == JOIN_NOTHING)
		reason = join_known(flow, pool, nat, ON_ANY_ADDRESS);
	if (reason == JOIN_NOTHING)
		reason = join_range_known(flow, pool);
	if (nat->pooling != POOLING_ARBITRARY)
		return reason;
	for (__u32 i = 1; i < POOL_ADDRESSES && i < pool->count && reason == JOIN_NOTHING; i++)
		reason = join_known(flow, pool, nat, (paired + i) % pool->count);
	return reason;
}

enum { RECLAIM_TRIES = 64 };

struct reclaim {
	struct session_key *closed; /* a closed connection to be ended */
	__u32 nat;
	__u8 protocol;
	bool found;
};

/* Finds the longest closed connection of a NAT. Nothing live is touched. */
static long reclaim_closed(__u32 round, struct reclaim *reclaim)
{
	struct session *session;
	struct closed closed;

	if (bpf_map_pop_elem(&closed_sessions, &closed))
		return 1;
	session = bpf_map_lookup_elem(&sessions, &closed.session);
	if (!session || !is_closed(session->state) || session->refreshed != closed.since)
		return 0; /* ended, or open again */
	if (session->nat != reclaim->nat) {
		bpf_map_push_elem(&closed_sessions, &closed, BPF_EXIST);
		return 0;
	}
	*reclaim->closed = closed.session;
	reclaim->found = true;
	return 1;
}

/* Ends the hold-down of the port of a NAT that has been in it for longest. */
static long reclaim_held(__u32 round, struct reclaim *reclaim)
{
	struct hold_down hold = {};
	struct binding *binding;

	if (bpf_map_pop_elem(&hold_downs, &hold))
		return 1;
	binding = bpf_map_lookup_elem(&bindings, &hold.binding);
	if (!binding || !(binding->flags & BINDING_HOLD_DOWN) || binding->hold_until != hold.until) {
		binding_release(&hold); /* a mapping has had the port since, or it is in use again */
		return 0;
	}
	if ((binding->nat != reclaim->nat || hold.binding.protocol != reclaim->protocol) &&
	    !bpf_map_push_elem(&hold_downs, &hold, 0))
		return 0;
	binding_release(&hold);
	reclaim->found = true;
	return 1;
}

/*
 * Has a port back that nobody uses any more, for want of a free one: of a closed
 * connection (RFC 6888 REQ-8, exception for NATs that track TCP), or for other
 * protocols of a hold-down. A flow refused would be worse than an early reuse.
 */
INLINE bool reclaim_port(struct flow *flow)
{
	struct reclaim reclaim = { .closed = &flow->far_key, .nat = flow->opening.nat, .protocol = flow->key.protocol };
	struct session *session;

	if (unlikely(dry_run))
		return false;
	if (flow->key.protocol != IPPROTO_TCP) {
		bpf_loop(RECLAIM_TRIES, reclaim_held, &reclaim, 0);
		return reclaim.found;
	}
	bpf_loop(RECLAIM_TRIES, reclaim_closed, &reclaim, 0);
	session = reclaim.found ? bpf_map_lookup_elem(&sessions, &flow->far_key) : NULL;
	if (session)
		session_end(&flow->far_key, session);
	return session != NULL;
}

/* Has an external port for the packet's flow. Returns a drop reason or none. */
INLINE int join_outside(struct __sk_buff *skb, struct flow *flow, struct pool *pool, const struct nat *nat)
{
	bool anywhere = nat->pooling == POOLING_ARBITRARY && !(pool->flags & POOL_FOLLOWS_ROUTE);
	__u32 paired = paired_address(pool, &flow->key, flow->route.next_hop);
	struct pool_address *address = pool_address_at(pool, paired);
	int reason;

	if (!address)
		return REASON_NO_EXTERNAL_ADDRESS;
	flow->opening.external_address = address->address;
	reason = join_existing(flow, pool, nat, paired);
	if (reason == JOIN_NOTHING)
		reason = join_at(skb, flow, pool, paired, nat);
	for (__u32 i = 1; i < POOL_ADDRESSES && reason == REASON_OUT_OF_PORTS && anywhere; i++)
		reason = i < pool->count ? join_at(skb, flow, pool, paired + i, nat) : REASON_OUT_OF_PORTS;
	if (reason == REASON_OUT_OF_PORTS && reclaim_port(flow)) {
		flow->reclaimed = 1;
		reason = join_at(skb, flow, pool, paired, nat);
	}
	if (reason == REASON_OUT_OF_PORTS && nat->endpoint_dependent)
		reason = dependent_take(skb, flow, address);
	return reason;
}

/* Tells watchers why a flow was refused, where that is for want of something. */
INLINE void event_refusal(const struct session_key *key, const struct opening *opening, int reason)
{
	if (reason == REASON_OUT_OF_PORTS)
		event_refused(EVENT_OUT_OF_PORTS, key, opening->nat, opening->network);
	else if (reason == REASON_BINDINGS_FULL)
		event_refused(EVENT_TABLE_FULL, key, opening->nat, opening->network);
	else if (reason == REASON_ENDPOINT_LIMIT)
		event_refused(EVENT_ENDPOINT_LIMIT, key, opening->nat, opening->network);
}

/* Puts the element into the table. Returns the map's error. */
NOINLINE int session_insert(const struct flow *flow, const struct session_key *key, struct session *session, const struct nat *nat)
{
	const struct opening *opening = &flow->opening;

	__builtin_memset(session, 0, sizeof(*session));
	session->external_address = opening->external_address;
	session->external_port = opening->external_port;
	session->flags = opening->flags;
	session->nat = opening->nat;
	session->network = opening->network;
	session->lifetime = session_lifetime(key->protocol, session, nat);
	session->created = session->refreshed = now();
	if (opening->flags & SESSION_DIALLED) {
		session->way = (struct way){ .ifindex = flow->dialler_interface, .next_hop = flow->packet.source };
		session->way_mtu = flow->packet.source_port;
	}
	if (flow->route.ifindex)
		route_keep(session, &flow->route, flow->query.tos, session->created);
	/* In a dry run the one at hand counts, whether there is one already or not. */
	return unlikely(dry_run) ? 0 : map_update(&sessions, key, session, BPF_NOEXIST);
}

/* Starts a new session's clock. Returns a drop reason or none. */
INLINE int session_start(const struct session_key *key)
{
	struct session *session = bpf_map_lookup_elem(&sessions, key);

	if (unlikely(dry_run))
		return REASON_NONE;
	if (!session)
		return REASON_SESSION_FAILED;
	event_session(EVENT_SESSION_CREATE, key, session);
	if (timer_set(key, session, session->created, session->lifetime * SECOND))
		return REASON_NONE;
	session_end(key, session); /* one that never expires is worse than none */
	return REASON_SESSIONS_FULL;
}

/* Gives up what was taken for a session that is not to be. */
NOINLINE int session_undo(const struct session_key *key, struct opening *opening)
{
	opening->flags |= SESSION_UNUSED;
	session_release(key, opening);
	return 0;
}

/*
 * Opens a session whose binding has been joined; the binding is left again if
 * that fails. If another CPU was faster, its session is the one.
 */
INLINE int session_open(struct flow *flow, const struct session_key *key, struct session *session, const struct nat *nat)
{
	struct opening *opening = &flow->opening;
	struct endpoint_key endpoint = endpoint_of(key);
	long error;
	int taken;

	if (key->protocol == IPPROTO_UDP && nat->udp_inbound_refresh)
		opening->flags |= SESSION_INBOUND_REFRESH;
	taken = usage_take(&endpoint, nat, USAGE_SESSION);
	if (taken == USAGE_REFUSED) {
		session_undo(key, opening);
		event_refused(EVENT_ENDPOINT_LIMIT, key, opening->nat, opening->network);
		return REASON_ENDPOINT_LIMIT;
	}
	if (taken == USAGE_COUNTED)
		opening->flags |= SESSION_COUNTED;
	if (!(opening->flags & SESSION_GUEST) && needs_filter_entry(key->protocol, nat, opening->flags) &&
	    join_filter(key, opening))
		opening->flags |= SESSION_FILTER_ENTRY;
	error = session_insert(flow, key, session, nat);
	if (!error)
		return session_start(key);
	session_undo(key, opening);
	if (error == -EEXIST)
		return REASON_NONE;
	event_refused(EVENT_TABLE_FULL, key, opening->nat, opening->network);
	return error == -E2BIG ? REASON_SESSIONS_FULL : REASON_SESSION_FAILED;
}

/* The session that was opened just now. */
INLINE struct session *opened_session(const struct session_key *key, struct session *session)
{
	return unlikely(dry_run) ? session : bpf_map_lookup_elem(&sessions, key);
}

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
	flow->reclaimed = false;
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

INLINE bool is_mapped(const struct session_key *key, const struct session *session)
{
	struct binding_key binding_key = binding_of(key, session->external_address, session->external_port, session->flags);
	struct binding *binding = bpf_map_lookup_elem(&bindings, &binding_key);

	return binding && binding->flags & BINDING_CONFIGURED;
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
		session_end(&flow->key, session);
		return REASON_ROUTE_CHANGED;
	}
	route_keep(session, route, tos, now());
	return REASON_NONE;
}

/* The network of the mapping's target that a session leads to. */
INLINE __u32 network_of(struct mapping *mapping, const struct session_key *key)
{
	for (__u32 i = 0; i < MAPPING_TARGETS && i < mapping->targets; i++) {
		if (same_address(mapping->target[i].address, key->internal_address))
			return mapping->target[i].network;
	}
	return mapping->target[0].network;
}

INLINE bool opens_nothing(const struct session_key *key, __u8 tcp_flags)
{
	return key->protocol == IPPROTO_TCP && (tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN;
}

/* Joins a mapping for a remote, by its own element: a range's port, or several targets. Returns a drop reason or none. */
GLOBAL int join_mapping(const struct binding_key *binding_key, const struct session_key *key, struct opening *opening,
			__u32 tcp_flags)
{
	struct binding *binding;
	struct mapping *mapping;
	__u32 id;

	if (!binding_key || !key || !opening)
		return REASON_SESSION_FAILED;
	binding = bpf_map_lookup_elem(&bindings, binding_key);
	id = binding ? binding->mapping : range_of(binding_key);
	mapping = find_mapping(id);
	if (!mapping)
		return REASON_NO_MAPPING;
	if (!(opening->flags & SESSION_DIALLED) && !lets_in(id, mapping->flags, key->remote_address))
		return REASON_REMOTE_NOT_ALLOWED;
	if (opens_nothing(key, tcp_flags))
		return REASON_NO_SESSION;
	opening->nat = mapping->nat;
	opening->network = network_of(mapping, key);
	if (mapping->flags & BINDING_SPREAD)
		opening->flags |= SESSION_SPREAD;
	if (!binding || binding->flags & BINDING_OF_RANGE)
		return join_range(binding_key, mapping, id, key);
	return binding_join(binding_key, binding, 0, false) ? REASON_NONE : REASON_NO_MAPPING;
}

/* Joins a binding for a remote. Returns a drop reason or none. */
INLINE int join_binding(const struct binding_key *binding_key, struct binding *binding, const struct session_key *key,
			struct opening *opening, __u32 tcp_flags)
{
	__u32 id = binding->nat;
	struct nat *nat = bpf_map_lookup_elem(&nats, &id);
	int reason;

	opening->nat = id;
	opening->network = binding->network;
	if (!nat)
		return REASON_NO_NAT;
	reason = opening->flags & SESSION_DIALLED ? REASON_NONE : admit(binding_key, binding, nat, key->remote_address);
	if (reason)
		return reason;
	if (opens_nothing(key, tcp_flags))
		return REASON_NO_SESSION;
	if (!(binding->flags & BINDING_CONFIGURED) && !(opening->flags & SESSION_HAIRPIN) &&
	    !(key->protocol == IPPROTO_UDP && nat->udp_inbound_refresh))
		opening->flags |= SESSION_GUEST;
	return binding_join(binding_key, binding, 0, opening->flags & SESSION_GUEST) ? REASON_NONE : REASON_NO_MAPPING;
}

/*
 * Opens a session for a packet from outside, for what find_inside has found by
 * flow->binding_key: of flow->key, or for a hairpin (SESSION_HAIRPIN) of
 * flow->far_key. Returns a drop reason or none.
 */
GLOBAL int open_inbound(struct flow *flow, __u32 flags)
{
	struct binding_key *binding_key;
	struct session *session;
	struct session_key *key;
	struct binding *binding;
	struct nat *nat;
	__u32 id;
	int reason;

	if (!flow)
		return REASON_SESSION_FAILED;
	binding_key = &flow->binding_key;
	key = flags & SESSION_HAIRPIN ? &flow->far_key : &flow->key;
	session = flags & SESSION_HAIRPIN ? &flow->far_session : &flow->session;
	flow->route.ifindex = 0; /* it is looked up for the endpoint's first answer */
	flow->opening = (struct opening){
		.flags = flags | SESSION_FROM_OUTSIDE,
		.external_address = flow->packet.destination,
		.external_port = binding_key->port,
	};
	if (!is_set(binding_key->address))
		flow->opening.flags |= SESSION_ANY_ADDRESS;
	binding = bpf_map_lookup_elem(&bindings, binding_key);
	if (binding && !(binding->flags & (BINDING_SPREAD | BINDING_OF_RANGE)))
		reason = join_binding(binding_key, binding, key, &flow->opening, flow->packet.tcp_flags);
	else
		reason = join_mapping(binding_key, key, &flow->opening, flow->packet.tcp_flags);
	if (reason) {
		event_refusal(key, &flow->opening, reason);
		return reason;
	}
	id = flow->opening.nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	if (!nat)
		return REASON_NO_NAT;
	return session_open(flow, key, session, nat);
}

/*
 * A packet for a mapping whose endpoint has a session with the same remote by
 * another external port: one that it opened itself while there was no mapping.
 * The mapping takes over, so that it is not dead for this remote. Not with TCP:
 * a SYN under a forged source would cut a connection. Returns a drop reason or
 * none: then there is a session again.
 */
GLOBAL int take_over(struct flow *flow)
{
	struct session *session;

	if (!flow)
		return REASON_SESSION_CLASH;
	session = bpf_map_lookup_elem(&sessions, &flow->key);
	if (!session || flow->key.protocol == IPPROTO_TCP || is_mapped(&flow->key, session))
		return REASON_SESSION_CLASH;
	session_end(&flow->key, session);
	return open_inbound(flow, 0);
}
