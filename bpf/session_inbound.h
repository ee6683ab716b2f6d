/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* A flow's first packet from outside: by a mapping, or to a port that an endpoint uses. */
#pragma once
#include "session_open.h"

/* The network of the mapping's target that a session leads to. */
INLINE __u32 network_of(struct mapping *mapping, const struct session_key *key)
{
	for (__u32 i = 0; i < MAPPING_TARGETS && i < mapping->targets; i++) {
		if (same_address(mapping->target[i].address, key->internal_address))
			return mapping->target[i].network;
	}
	return mapping->target[0].network;
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
	session_end(&flow->key, session, END_TAKEN_OVER);
	return open_inbound(flow, 0);
}
