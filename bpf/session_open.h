/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Puts a new session into the tables. */
#pragma once
#include "session.h"

/* Whether a packet opens no session: a TCP segment that is no SYN. */
INLINE bool opens_nothing(const struct session_key *key, __u8 tcp_flags)
{
	return key->protocol == IPPROTO_TCP && (tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN;
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
	session->timer_tick = tick_of(session->created + session->lifetime * SECOND, session->created);
	if (opening->flags & SESSION_DIALLED) {
		session->way = (struct way){ .ifindex = flow->dialler_interface, .next_hop = flow->packet.source };
		session->way_mtu = flow->packet.source_port;
	}
	if (flow->route.ifindex)
		route_keep(session, &flow->route, flow->query.tos, session->created);
	/* In a dry run the one at hand counts, whether there is one already or not. */
	return unlikely(dry_run) ? 0 : map_update(&sessions, key, session, BPF_NOEXIST);
}

/* Starts a new session's clock; session is what was put into the table. Returns a drop reason or none. */
INLINE int session_start(const struct session_key *key, struct session *session)
{
	int error;

	if (unlikely(dry_run))
		return REASON_NONE;
	event_session(EVENT_SESSION_CREATE, key, session);
	error = timer_start(key, session->timer_tick, session->created);
	if (!error)
		return REASON_NONE;
	session_end(key, session, END_NO_MEMORY); /* one that never expires is worse than none */
	return not_added(error, REASON_SESSIONS_FULL);
}

/* Gives up what was taken for a session that is not to be. */
NOINLINE int session_undo(const struct session_key *key, struct opening *opening)
{
	opening->flags |= SESSION_UNUSED;
	session_release(key, opening);
	return 0;
}

/*
 * What is taken of the endpoint's limits. In a dry run the closed connection of its own that
 * would make room has not been ended, if it counts at all.
 */
INLINE __u32 session_usage(const struct flow *flow, const struct session_key *key)
{
	const struct session_key *closed = &flow->reclaim.closed;
	struct session *session;

	if (likely(!dry_run) || !flow->reclaim.port || key->protocol != IPPROTO_TCP || closed->compartment != key->compartment ||
	    !same_address(closed->internal_address, key->internal_address))
		return USAGE_SESSION;
	session = bpf_map_lookup_elem(&sessions, closed);
	return session && session->flags & SESSION_COUNTED ? USAGE_SESSION_INSTEAD : USAGE_SESSION;
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
	taken = usage_take(&endpoint, nat, session_usage(flow, key));
	if (taken == USAGE_REFUSED) {
		session_undo(key, opening);
		event_refused(EVENT_ENDPOINT_LIMIT, key, opening->nat, opening->network);
		return REASON_ENDPOINT_LIMIT;
	}
	if (taken == USAGE_COUNTED)
		opening->flags |= SESSION_COUNTED;
	if (!(opening->flags & (SESSION_GUEST | SESSION_CONTACT)) && needs_filter_entry(key->protocol, nat, opening->flags))
		opening->flags |= join_filter(key, opening);
	error = session_insert(flow, key, session, nat);
	if (!error)
		return session_start(key, session);
	session_undo(key, opening);
	if (error == -EEXIST)
		return REASON_NONE;
	if (is_busy(error))
		return REASON_TABLE_BUSY;
	event_refused(EVENT_TABLE_FULL, key, opening->nat, opening->network);
	return error == -E2BIG ? REASON_SESSIONS_FULL : REASON_SESSION_FAILED;
}

/* The session that was opened just now. */
INLINE struct session *opened_session(const struct session_key *key, struct session *session)
{
	return unlikely(dry_run) ? session : bpf_map_lookup_elem(&sessions, key);
}

INLINE bool is_mapped(const struct session_key *key, const struct session *session)
{
	struct binding_key binding_key = binding_of(key, session->external_address, session->external_port, session->flags);
	struct binding *binding = bpf_map_lookup_elem(&bindings, &binding_key);

	return binding && binding->flags & BINDING_CONFIGURED;
}
