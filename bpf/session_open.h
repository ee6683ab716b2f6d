/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A flow's first packet: find or make its binding, then its session. */
#pragma once
#include "session.h"

INLINE struct pool *find_pool(__u32 nat, __u32 ifindex)
{
	struct pool_key key = { .nat = nat, .ifindex = ifindex };
	struct pool *pool = bpf_map_lookup_elem(&pools, &key);

	if (pool)
		return pool;
	key.ifindex = 0;
	return bpf_map_lookup_elem(&pools, &key);
}

/* Paired pooling: one inside address keeps to one external address (RFC 4787 REQ-2). */
INLINE __u32 paired_address(const struct pool *pool, const struct session_key *key)
{
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

/*
 * Joins the binding that the index knows for this internal port on an external
 * address of the pool, on any (0), or on whichever a mapping has (~0): that is
 * left alone if it is none of the way out's. One in hold-down counts as a new one.
 * Returns JOIN_NOTHING, a drop reason or none.
 */
GLOBAL int join_known(const struct session_key *key, struct opening *opening, const struct pool *pool, addr_t address)
{
	struct binding_index_key index = { .external_address = address };
	struct binding_key binding_key = {};
	struct binding *binding;
	struct way_out *way;
	__u32 counted = 0;

	if (!key || !opening || !pool)
		return JOIN_NOTHING;
	index.compartment = key->compartment;
	index.internal_address = key->internal_address;
	index.internal_port = key->internal_port;
	index.protocol = binding_key.protocol = key->protocol;
	way = bpf_map_lookup_elem(&binding_index, &index);
	if (!way || (is_set(way->address) && !pool_has_address(pool, way->address)))
		return JOIN_NOTHING;
	binding_key.address = way->address;
	binding_key.port = way->port;
	binding = bpf_map_lookup_elem(&bindings, &binding_key);
	/* The port may have become a mapping's to somewhere else a moment ago. */
	if (!binding || binding->compartment != key->compartment ||
	    !same_address(binding->internal_address, key->internal_address) || binding->internal_port != key->internal_port)
		return JOIN_NOTHING;
	if (!is_set(binding_key.address) && is_shadowed(&binding_key, opening->external_address))
		return JOIN_NOTHING;
	if (binding->flags & BINDING_HOLD_DOWN) {
		int taken = usage_take_of(key->compartment, key->internal_address, opening->nat);
		if (taken == USAGE_REFUSED)
			return REASON_ENDPOINT_LIMIT;
		counted = taken == USAGE_COUNTED ? BINDING_COUNTED : 0;
	}
	if (!binding_join(&binding_key, binding, counted)) {
		if (counted)
			usage_leave(key->compartment, key->internal_address, USAGE_PORT);
		return JOIN_NOTHING;
	}
	leave_by(opening, &binding_key);
	return REASON_NONE;
}

/* Joins the port of a range whose target this internal port is: the endpoint's way out too. Returns as join_known. */
GLOBAL int join_range_known(const struct session_key *key, struct opening *opening, const struct pool *pool)
{
	struct inside_range_key range = { .length = 64 + ADDRESS_BITS };
	struct binding_key binding_key = {};
	struct mapping *mapping;
	__u32 *id;
	int reason;

	if (!key || !opening || !pool || !has_setting(SETTING_RANGES))
		return JOIN_NOTHING;
	range.compartment = key->compartment;
	range.address = key->internal_address;
	range.protocol = binding_key.protocol = key->protocol;
	range.port = key->internal_port;
	id = bpf_map_lookup_elem(&inside_ranges, &range);
	mapping = id ? find_mapping(*id) : NULL;
	if (!mapping || (is_set(mapping->external_address) && !pool_has_address(pool, mapping->external_address)))
		return JOIN_NOTHING;
	binding_key.address = mapping->external_address;
	binding_key.port =
		htons((__u16)(ntohs(mapping->external_port) + ntohs(key->internal_port) - ntohs(mapping->target[0].port)));
	if (!is_set(binding_key.address) && is_shadowed(&binding_key, opening->external_address))
		return JOIN_NOTHING;
	reason = join_range(&binding_key, mapping, *id, key);
	if (reason)
		return reason == REASON_NO_MAPPING ? JOIN_NOTHING : reason;
	leave_by(opening, &binding_key);
	return REASON_NONE;
}

/* Makes a binding with one session, and enters it in the index. */
GLOBAL int join_new(struct __sk_buff *skb, const struct session_key *key, struct opening *opening, struct pool_address *pool,
		    const struct nat *nat)
{
	struct port_search search = { .skb = skb, .pool = pool };
	struct scratch *scratch = get_scratch();
	struct binding_index_key index;
	struct way_out way = {};
	struct binding *binding;
	int reason, taken;

	if (!scratch || !key || !opening || !pool || !nat)
		return REASON_NO_EXTERNAL_ADDRESS;
	search.binding = binding = (struct binding *)scratch->binding;
	__builtin_memset(binding, 0, sizeof(*binding));
	binding->sessions = 1;
	binding->compartment = key->compartment;
	binding->internal_address = key->internal_address;
	binding->internal_port = key->internal_port;
	binding->nat = opening->nat;
	binding->network = opening->network;
	search.key.protocol = key->protocol;
	search.remote = key->remote_address;
	search.remote_port = key->remote_port;
	taken = usage_take(key->compartment, key->internal_address, nat, USAGE_PORT);
	if (taken == USAGE_REFUSED)
		return REASON_ENDPOINT_LIMIT;
	if (taken == USAGE_COUNTED)
		binding->flags = BINDING_COUNTED;
	search.key.address = pool->address;
	reason = port_allocate(&search);
	if (!reason) {
		index = index_key(&search.key, binding);
		way.address = search.key.address;
		way.port = search.key.port;
		if (bpf_map_update_elem(&binding_index, &index, &way, BPF_NOEXIST)) {
			binding_free(&search.key);
			reason = REASON_SESSION_CLASH; /* another CPU made one for the same internal port: that one counts */
		}
	}
	if (reason) {
		if (taken == USAGE_COUNTED)
			usage_leave(key->compartment, key->internal_address, USAGE_PORT);
		return reason;
	}
	opening->external_address = search.key.address;
	opening->external_port = search.key.port;
	event_binding(EVENT_BINDING_CREATE, &search.key, binding, 0);
	event_binding(EVENT_BINDING_SESSIONS, &search.key, binding, 1);
	return REASON_NONE;
}

/* A new binding on the pool's address at index, or another CPU's. Returns a drop reason or none. */
INLINE int join_at(struct __sk_buff *skb, const struct session_key *key, struct opening *opening, struct pool *pool, __u32 index,
		   const struct nat *nat)
{
	struct pool_address *address = pool_address_at(pool, index);
	int reason;

	if (!address)
		return REASON_NO_EXTERNAL_ADDRESS;
	reason = join_new(skb, key, opening, address, nat);
	if (reason == REASON_SESSION_CLASH) {
		reason = join_known(key, opening, pool, address->address);
		if (reason == JOIN_NOTHING)
			reason = REASON_BINDINGS_FULL;
	}
	return reason;
}

/*
 * The external port that the internal one has already: a static mapping's is
 * its endpoint's outward too. With arbitrary pooling it may be on any address.
 */
GLOBAL int join_existing(const struct session_key *key, struct opening *opening, struct pool *pool, __u32 paired, __u32 anywhere)
{
	struct pool_address *address;
	int reason;

	if (!key || !opening || !pool)
		return REASON_SESSION_FAILED;
	address = pool_address_at(pool, paired);
	reason = address ? join_known(key, opening, pool, address->address) : REASON_NO_EXTERNAL_ADDRESS;
	if (reason == JOIN_NOTHING)
		reason = join_known(key, opening, pool, EVERY_ADDRESS);
	if (reason == JOIN_NOTHING)
		reason = join_known(key, opening, pool, NO_ADDRESS);
	if (reason == JOIN_NOTHING)
		reason = join_range_known(key, opening, pool);
	for (__u32 i = 1; i < POOL_ADDRESSES && anywhere && i < pool->count && reason == JOIN_NOTHING; i++) {
		address = pool_address_at(pool, paired + i);
		reason = address ? join_known(key, opening, pool, address->address) : JOIN_NOTHING;
	}
	return reason;
}

/* Has an external port for the packet's flow. Returns a drop reason or none. */
INLINE int join_outside(struct __sk_buff *skb, const struct session_key *key, struct opening *opening, struct pool *pool,
			const struct nat *nat)
{
	bool anywhere = nat->pooling == POOLING_ARBITRARY;
	__u32 paired = paired_address(pool, key);
	struct pool_address *address = pool_address_at(pool, paired);
	int reason;

	if (!address)
		return REASON_NO_EXTERNAL_ADDRESS;
	opening->external_address = address->address;
	reason = join_existing(key, opening, pool, paired, anywhere);
	if (reason == JOIN_NOTHING)
		reason = join_at(skb, key, opening, pool, paired, nat);
	for (__u32 i = 1; i < POOL_ADDRESSES && reason == REASON_OUT_OF_PORTS && anywhere; i++)
		reason = i < pool->count ? join_at(skb, key, opening, pool, paired + i, nat) : REASON_OUT_OF_PORTS;
	if (reason == REASON_OUT_OF_PORTS && nat->endpoint_dependent) {
		reason = dependent_take(skb, key, address, opening->nat, &opening->external_port);
		opening->external_address = address->address;
		if (!reason)
			opening->flags |= SESSION_ENDPOINT_DEPENDENT;
	}
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

/*
 * Opens a session for a packet from the inside. own is the interface that has
 * the packet's destination, if that is one of the host's addresses (a hairpin).
 * Returns a drop reason or none.
 */
GLOBAL int open_outbound(struct __sk_buff *skb, struct session_key *key, __u32 network_id, __u32 nat_id, __u32 own)
{
	struct nat *nat = bpf_map_lookup_elem(&nats, &nat_id);
	struct scratch *scratch = get_scratch();
	struct opening *opening;
	struct pool *pool;
	int reason;

	if (!key || !scratch)
		return REASON_SESSION_FAILED;
	if (!nat)
		return REASON_NO_NAT;
	opening = &scratch->opening;
	*opening = (struct opening){ .nat = nat_id, .network = network_id };
	if (own) {
		opening->flags |= SESSION_HAIRPIN;
	} else {
		reason = find_route(skb, key, &opening->route);
		if (reason)
			return reason;
	}
	pool = find_pool(nat_id, own ? own : opening->route.ifindex);
	if (!pool)
		return REASON_NO_EXTERNAL_ADDRESS;
	reason = join_outside(skb, key, opening, pool, nat);
	if (reason) {
		event_refusal(key, opening, reason);
		return reason;
	}
	return session_open(key, opening, nat);
}

/* Whether a NAT has this external address for packets that leave by ifindex. */
INLINE bool pool_has(__u32 nat, __u32 ifindex, addr_t address)
{
	struct pool *pool = find_pool(nat, ifindex);

	return pool && pool_has_address(pool, address);
}

INLINE bool is_mapped(const struct session_key *key, const struct session *session)
{
	struct binding_key binding_key = binding_of(key, session->external_address, session->external_port, session->flags);
	struct binding *binding = bpf_map_lookup_elem(&bindings, &binding_key);

	return binding && binding->flags & BINDING_CONFIGURED;
}

/*
 * Looks the route of a known session up again. If the way out is another
 * interface now, where the NAT does not have the session's external address,
 * no answer would find back: the session ends. Returns a drop reason or none.
 */
NOINLINE int route_refresh(struct __sk_buff *skb, struct session_key *key, struct session *session)
{
	struct route route = {};
	int reason;

	if (!session)
		return REASON_ROUTE_LOOKUP;
	reason = find_route(skb, key, &route);
	if (reason)
		return reason;
	if (session->out_ifindex && session->out_ifindex != route.ifindex && !is_mapped(key, session) &&
	    !pool_has(session->nat, route.ifindex, session->external_address)) {
		session_end(key, session);
		return REASON_ROUTE_CHANGED;
	}
	route_keep(session, &route, bpf_ktime_get_coarse_ns());
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
	if (!lets_in(id, mapping->flags, key->remote_address))
		return REASON_REMOTE_NOT_ALLOWED;
	if (opens_nothing(key, tcp_flags))
		return REASON_NO_SESSION;
	opening->nat = mapping->nat;
	opening->network = network_of(mapping, key);
	if (mapping->flags & BINDING_SPREAD)
		opening->flags |= SESSION_SPREAD;
	if (!binding || binding->flags & BINDING_OF_RANGE)
		return join_range(binding_key, mapping, id, key);
	return binding_join(binding_key, binding, 0) ? REASON_NONE : REASON_NO_MAPPING;
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
	reason = admit(binding_key, binding, nat, key->remote_address);
	if (reason)
		return reason;
	if (opens_nothing(key, tcp_flags))
		return REASON_NO_SESSION;
	return binding_join(binding_key, binding, 0) ? REASON_NONE : REASON_NO_MAPPING;
}

/*
 * Opens a session for a packet from outside, for what find_inside has found.
 * Returns a drop reason or none.
 */
GLOBAL int open_inbound(struct session_key *key, struct binding_key *binding_key, addr_t external_address, __u8 tcp_flags,
			__u16 flags)
{
	struct scratch *scratch = get_scratch();
	struct opening *opening;
	struct binding *binding;
	struct nat *nat;
	__u32 id;
	int reason;

	if (!key || !binding_key || !scratch)
		return REASON_SESSION_FAILED;
	opening = &scratch->opening;
	*opening = (struct opening){
		.flags = flags,
		.external_address = external_address,
		.external_port = binding_key->port,
	};
	if (!is_set(binding_key->address))
		opening->flags |= SESSION_ANY_ADDRESS;
	binding = bpf_map_lookup_elem(&bindings, binding_key);
	if (binding && !(binding->flags & (BINDING_SPREAD | BINDING_OF_RANGE)))
		reason = join_binding(binding_key, binding, key, opening, tcp_flags);
	else
		reason = join_mapping(binding_key, key, opening, tcp_flags);
	if (reason) {
		event_refusal(key, opening, reason);
		return reason;
	}
	id = opening->nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	if (!nat)
		return REASON_NO_NAT;
	return session_open(key, opening, nat);
}

/*
 * A packet for a mapping whose endpoint has a session with the same remote by
 * another external port: one that it opened itself while there was no mapping.
 * The mapping takes over, so that it is not dead for this remote. Not with TCP:
 * a SYN under a forged source would cut a connection. Returns a drop reason or
 * none: then there is a session again.
 */
GLOBAL int take_over(struct session_key *key, struct binding_key *binding_key, addr_t external_address)
{
	struct session *session;

	if (!key || !binding_key)
		return REASON_SESSION_CLASH;
	session = bpf_map_lookup_elem(&sessions, key);
	if (!session || key->protocol == IPPROTO_TCP || is_mapped(key, session))
		return REASON_SESSION_CLASH;
	session_end(key, session);
	return open_inbound(key, binding_key, external_address, 0, 0);
}
