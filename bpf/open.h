/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A flow's first packet: find or make its binding, then its session. */
#pragma once
#include "session.h"

INLINE __u32 mix(__u32 value)
{
	value = (value ^ (value >> 16)) * 0x45d9f3b;
	return value ^ (value >> 16);
}

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
INLINE struct pool_address *pool_address_of(struct pool *pool, const struct session_key *key)
{
	__u32 index;

	if (!pool->count)
		return NULL;
	index = mix(key->internal_address ^ key->compartment) % pool->count;
	return &pool->address[index & (POOL_ADDRESSES - 1)]; /* the mask is for the verifier */
}

/* Joins the binding that the index knows for this internal port on this external address, if any. */
INLINE bool join_known(const struct session_key *key, struct opening *opening, __be32 address)
{
	struct binding_index_key index = {
		.compartment = key->compartment,
		.internal_address = key->internal_address,
		.external_address = address,
		.internal_port = key->internal_port,
		.protocol = key->protocol,
	};
	struct binding_key binding_key = { .address = address, .protocol = key->protocol };
	__be16 *port = bpf_map_lookup_elem(&binding_index, &index);
	struct binding *binding;

	if (!port)
		return false;
	binding_key.port = *port;
	binding = bpf_map_lookup_elem(&bindings, &binding_key);
	/* The port may have become a mapping's to somewhere else a moment ago. */
	if (!binding || binding->compartment != key->compartment || binding->internal_address != key->internal_address ||
	    binding->internal_port != key->internal_port || !binding_join(&binding_key, binding))
		return false;
	opening->external_port = binding_key.port;
	if (!address)
		opening->flags |= SESSION_ANY_ADDRESS;
	return true;
}

/* Makes a binding with one session, and enters it in the index. */
NOINLINE int join_new(struct __sk_buff *skb, const struct session_key *key, struct opening *opening, struct pool_address *pool)
{
	struct binding binding = {
		.sessions = 1,
		.compartment = key->compartment,
		.internal_address = key->internal_address,
		.internal_port = key->internal_port,
		.nat = opening->nat,
		.network = opening->network,
	};
	struct port_search search = {
		.skb = skb,
		.pool = pool,
		.binding = &binding,
		.key = { .address = opening->external_address, .protocol = key->protocol },
		.remote = key->remote_address,
		.remote_port = key->remote_port,
	};
	struct binding_index_key index;
	int reason;

	if (!pool)
		return REASON_NO_EXTERNAL_ADDRESS;
	reason = port_allocate(&search);
	if (reason)
		return reason;
	index = index_key(&search.key, &binding);
	if (bpf_map_update_elem(&binding_index, &index, &search.key.port, BPF_NOEXIST)) {
		/* Another CPU made one for the same internal port: that one counts. */
		binding_free(&search.key);
		return join_known(key, opening, opening->external_address) ? REASON_NONE : REASON_BINDINGS_FULL;
	}
	opening->external_port = search.key.port;
	event_binding(EVENT_BINDING_CREATE, &search.key, &binding, 0);
	event_binding(EVENT_BINDING_SESSIONS, &search.key, &binding, 1);
	return REASON_NONE;
}

/*
 * Opens a session for a packet from the inside. own is the interface that has
 * the packet's destination, if that is one of the host's addresses (a hairpin).
 * Returns a drop reason or none.
 */
GLOBAL int open_outbound(struct __sk_buff *skb, struct session_key *key, __u32 network_id, __u32 nat_id, __u32 own)
{
	struct opening opening = { .nat = nat_id, .network = network_id };
	struct nat *nat = bpf_map_lookup_elem(&nats, &nat_id);
	struct pool_address *address;
	struct pool *pool;
	int reason;

	if (!key)
		return REASON_SESSION_FAILED;
	if (!nat)
		return REASON_NO_NAT;
	if (own) {
		opening.flags |= SESSION_HAIRPIN;
	} else {
		reason = find_route(skb, key, &opening.route);
		if (reason)
			return reason;
	}
	pool = find_pool(nat_id, own ? own : opening.route.ifindex);
	if (!pool)
		return REASON_NO_EXTERNAL_ADDRESS;
	address = pool_address_of(pool, key);
	if (!address)
		return REASON_NO_EXTERNAL_ADDRESS;
	opening.external_address = address->address;
	/* A static mapping's port is its endpoint's port outward too. */
	if (!join_known(key, &opening, opening.external_address) && !join_known(key, &opening, 0)) {
		reason = join_new(skb, key, &opening, address);
		if (reason == REASON_OUT_OF_PORTS)
			event_refused(EVENT_OUT_OF_PORTS, key, nat_id, network_id);
		else if (reason == REASON_BINDINGS_FULL)
			event_refused(EVENT_TABLE_FULL, key, nat_id, network_id);
		if (reason)
			return reason;
	}
	return session_open(key, &opening, nat);
}

/* Whether a NAT has this external address for packets that leave by ifindex. */
INLINE bool pool_has(__u32 nat, __u32 ifindex, __be32 address)
{
	struct pool *pool = find_pool(nat, ifindex);

	if (!pool)
		return false;
	for (int i = 0; i < POOL_ADDRESSES; i++) {
		if (i < pool->count && pool->address[i].address == address)
			return true;
	}
	return false;
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

/* Whether a remote may open a session to a binding (RFC 4787 REQ-8, RFC 5382 REQ-3). */
INLINE enum reason admit(const struct binding_key *key, const struct binding *binding, const struct nat *nat, __be32 source)
{
	__u8 filtering = key->protocol == IPPROTO_TCP ? nat->tcp_filtering : nat->udp_filtering;
	struct contact_key contact = {
		.external_address = key->address,
		.remote_address = source,
		.external_port = key->port,
		.protocol = key->protocol,
	};

	if (binding->flags & BINDING_CONFIGURED) {
		struct allowed_key remote = { .length = 64, .mapping = binding->mapping, .remote = source };
		if (binding->flags & BINDING_ALLOW_LIST && !bpf_map_lookup_elem(&allowed, &remote))
			return REASON_REMOTE_NOT_ALLOWED;
		return REASON_NONE;
	}
	if (filtering == FILTER_ENDPOINT_INDEPENDENT)
		return REASON_NONE;
	if (filtering == FILTER_ADDRESS_DEPENDENT && bpf_map_lookup_elem(&contacts, &contact))
		return REASON_NONE;
	return REASON_FILTERED;
}

/* Opens a session for a packet from outside to a binding. Returns a drop reason or none. */
GLOBAL int open_inbound(struct session_key *key, struct binding_key *binding_key, __be32 external_address, __u8 tcp_flags,
			__u16 flags)
{
	struct binding *binding;
	struct opening opening = { .flags = flags };
	struct nat *nat;
	__u32 nat_id;
	int reason;

	if (!key || !binding_key)
		return REASON_SESSION_FAILED;
	binding = bpf_map_lookup_elem(&bindings, binding_key);
	if (!binding)
		return REASON_NO_MAPPING;
	nat_id = binding->nat;
	nat = bpf_map_lookup_elem(&nats, &nat_id);
	if (!nat)
		return REASON_NO_NAT;
	reason = admit(binding_key, binding, nat, key->remote_address);
	if (reason)
		return reason;
	if (key->protocol == IPPROTO_TCP && (tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return REASON_NO_SESSION;
	opening.nat = nat_id;
	opening.network = binding->network;
	opening.external_address = external_address;
	opening.external_port = binding_key->port;
	if (!binding_key->address)
		opening.flags |= SESSION_ANY_ADDRESS;
	if (!binding_join(binding_key, binding))
		return REASON_NO_MAPPING;
	return session_open(key, &opening, nat);
}
