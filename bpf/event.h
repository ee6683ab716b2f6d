/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The event rings. Nothing is sent while nobody watches. */
#pragma once
#include "maps.h"

/* Whether an event is one that logs have: what begins and ends, and what is refused. */
INLINE bool is_logged(__u32 id)
{
	return id != EVENT_DROPPED && id != EVENT_SESSION_STATE && id != EVENT_SESSION_TIMEOUT && id != EVENT_BINDING_SESSIONS;
}

INLINE bool is_watched(__u64 time, __u32 id)
{
	struct settings *settings = get_settings();

	return settings && unlikely(settings->watched_until >= time) && (settings->watched_all || is_logged(id)) &&
	       likely(!dry_run);
}

/* The reader is behind: events are lost, packets are not. */
INLINE void count_lost(__u32 kind)
{
	__u64 *count = bpf_map_lookup_elem(&lost_events, &kind);

	if (count)
		__sync_fetch_and_add(count, 1); /* a timer may come between */
}

INLINE struct event *event_begin(enum event_id id)
{
	__u64 time = now();
	struct event *event;

	if (!is_watched(time, id))
		return NULL;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count_lost(LOST_EVENT);
		return NULL;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time = time;
	event->id = id;
	return event;
}

/* Begins an event of a session. NULL: there is nobody to send it to. */
INLINE struct event *event_of_session(__u32 id, const struct session_key *key, const struct session *session)
{
	struct event *event = event_begin(id);

	if (!event)
		return NULL;
	event->protocol = key->protocol;
	event->state = session->state;
	event->nat = session->nat;
	event->network = session->network;
	event->compartment = key->compartment;
	event->lifetime = session->lifetime;
	event->internal_address = key->internal_address;
	event->internal_port = key->internal_port;
	event->external_address = session->external_address;
	event->external_port = session->external_port;
	event->remote_address = key->remote_address;
	event->remote_port = key->remote_port;
	event->repeated_syns = session->repeated_syns;
	event->endpoint_rtt = session->endpoint_rtt;
	event->outside_rtt = session->outside_rtt;
	return event;
}

NOINLINE int event_session(__u32 id, const struct session_key *key, const struct session *session)
{
	struct event *event;

	if (!key || !session)
		return 0;
	event = event_of_session(id, key, session);
	if (event)
		bpf_ringbuf_submit(event, 0);
	return 0;
}

NOINLINE int event_binding(__u32 id, const struct binding_key *key, const struct binding *binding, __u32 sessions)
{
	struct event *event;

	if (!key || !binding)
		return 0;
	event = event_begin(id);
	if (!event)
		return 0;
	event->protocol = key->protocol;
	event->configured = !!(binding->flags & BINDING_CONFIGURED);
	event->nat = binding->nat;
	event->network = binding->network;
	event->compartment = binding->compartment;
	event->sessions = sessions;
	event->internal_address = binding->internal_address;
	event->internal_port = binding->internal_port;
	event->external_address = key->address;
	event->external_port = key->port;
	bpf_ringbuf_submit(event, 0);
	return 0;
}

/* Out of ports, or a table is full: what could not be made, for whom. */
NOINLINE int event_refused(__u32 id, const struct session_key *key, __u32 nat, __u32 network)
{
	struct event *event;

	if (!key)
		return 0;
	event = event_begin(id);
	if (!event)
		return 0;
	event->protocol = key->protocol;
	event->nat = nat;
	event->network = network;
	event->compartment = key->compartment;
	event->internal_address = key->internal_address;
	event->internal_port = key->internal_port;
	event->remote_address = key->remote_address;
	event->remote_port = key->remote_port;
	bpf_ringbuf_submit(event, 0);
	return 0;
}
