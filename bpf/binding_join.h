/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Has an external port for a flow that begins inside: one that its endpoint has, or a new one. */
#pragma once
#include "endpoint_dependent.h"
#include "pool.h"
#include "port_reclaim.h"

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
enum { ON_ANY_ADDRESS = POOL_ADDRESSES, ON_A_MAPPING_S, AT_HOME_ALONE = 1 << 8 /* of an address: there is nothing in the index */ };

/*
 * Joins the binding that the index knows for this internal port on an external
 * address of the pool, on any, or on whichever a mapping has: that is left alone
 * if it is none of the way out's. What is not in the index is at home. One in hold-down counts as a new one. Returns
 * JOIN_NOTHING, a drop reason or none.
 */
GLOBAL int join_known(struct flow *flow, struct pool *pool, const struct nat *nat, __u32 where)
{
	struct binding_index_key index = {};
	struct binding_key binding_key = {};
	struct endpoint_key endpoint;
	struct pool_address *address = NULL;
	struct binding *binding = NULL;
	struct way_out *way = NULL;
	__u32 counted = 0;

	if (!flow || !pool || !nat)
		return JOIN_NOTHING;
	if (where == ON_A_MAPPING_S) {
		index.external_address = EVERY_ADDRESS;
	} else if (where != ON_ANY_ADDRESS) {
		address = pool_address_at(pool, where & ~AT_HOME_ALONE);
		if (!address)
			return JOIN_NOTHING;
		index.external_address = address->address;
	}
	index.compartment = flow->key.compartment;
	index.internal_address = flow->key.internal_address;
	index.internal_port = flow->key.internal_port;
	index.protocol = binding_key.protocol = flow->key.protocol;
	if (!(where & AT_HOME_ALONE))
		way = bpf_map_lookup_elem(&binding_index, &index);
	if (way && is_set(way->address) && !pool_has_address(pool, way->address))
		return JOIN_NOTHING;
	if (way) {
		binding_key.address = way->address;
		binding_key.port = way->port;
		binding = bpf_map_lookup_elem(&bindings, &binding_key);
	}
	/* The port may have become a mapping's to somewhere else a moment ago. */
	if ((!binding || !is_own(binding, &flow->key)) && address) {
		binding_key.address = address->address;
		binding_key.port = htons((__u16)port_home(&flow->key, address));
		binding = bpf_map_lookup_elem(&bindings, &binding_key);
	}
	if (!binding || !is_own(binding, &flow->key))
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

/*
 * Enters the flow's new binding in the index, unless it is at home. Returns the
 * map's error: -EEXIST if the internal port has another binding.
 */
NOINLINE int index_add(struct flow *flow)
{
	struct binding *new = (struct binding *)flow->binding, *other;
	struct way_out way = { .address = flow->binding_key.address, .port = flow->binding_key.port };
	struct binding_index_key index = index_key(&flow->binding_key, new);
	struct binding_key key = flow->binding_key;
	int error;

	if (ntohs(key.port) == flow->home)
		return 0;
	error = index_insert(&index, &way);
	if (error || !flow->home)
		return error;
	key.port = htons((__u16)flow->home);
	other = bpf_map_lookup_elem(&bindings, &key);
	if (!other || other->flags & BINDING_CONFIGURED || !is_own(other, &flow->key))
		return 0;
	index_remove(&index); /* another CPU has found it free meanwhile */
	return -EEXIST;
}

/* Makes a binding with one session, and enters it in the index. */
GLOBAL int join_new(struct __sk_buff *skb, struct flow *flow, struct pool_address *pool, const struct nat *nat)
{
	struct endpoint_key endpoint;
	struct binding_key *reserved;
	struct binding *binding;
	int reason, taken;
	long error;

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
	if (needs_filter_entry(flow->key.protocol, nat, flow->opening.flags)) {
		binding->contact = flow->key.remote_address;
		binding->contacts = 1;
	}
	endpoint = endpoint_of(&flow->key);
	reserved = &flow->binding_key;
	*reserved = (struct binding_key){ .address = pool->address, .protocol = flow->key.protocol };
	if (!flow->reclaim.port && is_scarce(reserved, pool) && has_many_ports(&endpoint, pool))
		return REASON_OUT_OF_PORTS;
	taken = usage_take(&endpoint, nat, USAGE_PORT);
	if (taken == USAGE_REFUSED)
		return REASON_ENDPOINT_LIMIT;
	if (taken == USAGE_COUNTED)
		binding->flags = BINDING_COUNTED;
	flow->home = port_home(&flow->key, pool);
	reason = port_allocate(skb, flow, pool);
	if (!reason) {
		error = index_add(flow);
		if (error) { /* another CPU made one for the same internal port: that one counts */
			binding_free(reserved);
			reason = not_added(error, REASON_SESSION_CLASH);
		}
	}
	if (reason) {
		if (taken == USAGE_COUNTED)
			usage_leave(&endpoint, USAGE_PORT);
		return reason;
	}
	flow->opening.external_address = reserved->address;
	flow->opening.external_port = reserved->port;
	if (binding->contacts)
		flow->opening.flags |= SESSION_CONTACT;
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
	__u32 home = 0;
	int reason;

	if (!flow || !pool || !nat)
		return REASON_SESSION_FAILED;
	if (!pool->count)
		return REASON_NO_EXTERNAL_ADDRESS;
	if (likely(!may_be_indexed(&flow->key)))
		home = AT_HOME_ALONE;
	reason = join_known(flow, pool, nat, paired | home);
	if (reason == JOIN_NOTHING && !home)
		reason = join_known(flow, pool, nat, ON_A_MAPPING_S);
	if (reason == JOIN_NOTHING && !home)
		reason = join_known(flow, pool, nat, ON_ANY_ADDRESS);
	if (reason == JOIN_NOTHING)
		reason = join_range_known(flow, pool);
	if (nat->pooling != POOLING_ARBITRARY)
		return reason;
	for (__u32 i = 1; i < POOL_ADDRESSES && i < pool->count && reason == JOIN_NOTHING; i++)
		reason = join_known(flow, pool, nat, (paired + i) % pool->count | home);
	return reason;
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
	for (__u32 i = 0; i < RECLAIMS && reason == REASON_OUT_OF_PORTS; i++) {
		if (!reclaim_port(flow, pool, anywhere ? POOL_ADDRESSES : paired))
			break;
		reason = join_at(skb, flow, pool, flow->reclaim.at, nat);
	}
	if (reason != REASON_OUT_OF_PORTS || !nat->endpoint_dependent)
		return reason;
	flow->reclaim.port = 0;
	reason = dependent_take(skb, flow, address);
	if (reason == REASON_OUT_OF_PORTS && flow->reclaim.port && reclaim_end(flow))
		reason = dependent_take(skb, flow, address);
	return reason;
}
