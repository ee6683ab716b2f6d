/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Bindings live as long as sessions use them. Sessions are counted
 * under a lock with an 'ended' mark, so that nobody joins one that is going.
 */
#pragma once
#include "binding_index.h"
#include "spare.h"
#include "usage.h"

/*
 * Joins a binding: one session more. False if it is just being removed. One
 * in hold-down is used again, with counted (BINDING_COUNTED or 0) in its flags.
 * A guest does not keep it (SESSION_GUEST).
 */
INLINE bool binding_join(const struct binding_key *key, struct binding *binding, __u32 counted, bool guest)
{
	__u32 sessions = 0, was = 0;

	bpf_spin_lock(&binding->lock);
	if (!(binding->flags & BINDING_ENDED)) {
		was = binding->flags;
		sessions = binding->sessions + 1;
		if (likely(!dry_run)) {
			if (was & BINDING_HOLD_DOWN)
				binding->flags = (was & ~BINDING_HOLD_DOWN) | counted;
			binding->sessions = sessions;
			if (!guest)
				binding->hosts++;
		}
	}
	bpf_spin_unlock(&binding->lock);
	if (was & BINDING_HOLD_DOWN)
		event_binding(EVENT_BINDING_CREATE, key, binding, 0);
	if (sessions)
		event_binding(EVENT_BINDING_SESSIONS, key, binding, sessions);
	return sessions != 0;
}

INLINE struct binding_index_key index_key(const struct binding_key *key, const struct binding *binding)
{
	struct binding_index_key index = {
		.compartment = binding->compartment,
		.internal_address = binding->internal_address,
		.external_address = key->address,
		.internal_port = binding->internal_port,
		.protocol = key->protocol,
	};
	return index;
}

INLINE struct port_bits *port_bits_of(const struct binding_key *key)
{
	struct port_bits_key bits = { .address = key->address, .protocol = key->protocol };
	return bpf_map_lookup_elem(&port_bits, &bits);
}

/* Frees a port for the map's hint. */
INLINE void port_free(const struct binding_key *key)
{
	struct port_bits *bits = port_bits_of(key);
	__u16 port = ntohs(key->port);
	__u64 bit = 1ULL << (port % 64);

	if (bits && __sync_fetch_and_and(&bits->word[port / 64], ~bit) & bit)
		__sync_fetch_and_add(&bits->used, -1);
}

/* Frees a dynamic binding's port for good. */
INLINE void binding_free(const struct binding_key *key)
{
	port_free(key);
	map_delete(&bindings, key);
}

/* Takes a dynamic binding away whose 'ended' mark the caller has set. */
INLINE void binding_remove(const struct binding_key *key, struct binding *binding)
{
	struct binding_index_key index = index_key(key, binding);
	struct way_out *way = bpf_map_lookup_elem(&binding_index, &index);

	if (way && way->port == key->port)
		index_remove(&index);
	binding_free(key); /* last: only now is the port free */
}

/* Puts a binding into hold-down instead of removing it. False if there is no room for that. */
INLINE bool binding_hold(const struct binding_key *key, __u32 nat, __u32 until)
{
	return spare_push(key, nat, until, NO_ADDRESS, 0);
}

/* Monotonic seconds until which a freed port of the NAT is in hold-down; 0: not at all. TCP's ports have waited in the last state of their sessions. */
INLINE __u32 hold_down_until(const struct binding_key *key, __u32 nat_id)
{
	struct nat *nat = bpf_map_lookup_elem(&nats, &nat_id);

	if (key->protocol == IPPROTO_TCP || !nat || !nat->hold_down)
		return 0;
	return now() / SECOND + 1 + nat->hold_down; /* at least so long: RFC 6888 REQ-8 */
}

/* Marks a binding that nobody uses as ended, unless somebody was faster. */
INLINE bool binding_end(struct binding *binding, __u32 hold_until)
{
	bool ended = false;

	bpf_spin_lock(&binding->lock);
	if (!binding->sessions && !(binding->flags & BINDING_ENDED) && binding->hold_until == hold_until) {
		binding->flags |= BINDING_ENDED;
		ended = true;
	}
	bpf_spin_unlock(&binding->lock);
	return ended;
}

/*
 * Leaves a binding, for a session with these flags: the last one of a dynamic
 * binding takes it along, or puts it into hold-down if the NAT says so.
 */
GLOBAL int binding_leave(struct binding_key *key, __u32 session_flags)
{
	__u32 sessions = 0, flags = BINDING_ENDED, until;
	struct binding *binding;

	if (!key || unlikely(dry_run))
		return 0;
	binding = bpf_map_lookup_elem(&bindings, key);
	if (!binding)
		return 0; /* a configured one that was deleted meanwhile */
	until = session_flags & SESSION_UNUSED ? 0 : hold_down_until(key, binding->nat);
	bpf_spin_lock(&binding->lock);
	if (binding->sessions)
		sessions = --binding->sessions;
	if (!(session_flags & SESSION_GUEST) && binding->hosts)
		binding->hosts--;
	if (session_flags & SESSION_CONTACT && binding->contacts)
		binding->contacts--;
	if (!sessions && !(binding->flags & (BINDING_ENDED | BINDING_HOLD_DOWN))) {
		flags = binding->flags;
		if (flags & BINDING_OF_RANGE) {
			binding->flags |= BINDING_ENDED;
		} else if (!(flags & BINDING_CONFIGURED)) {
			binding->flags = (flags & ~BINDING_COUNTED) | (until ? BINDING_HOLD_DOWN : BINDING_ENDED);
			binding->hold_until = until;
		}
	}
	bpf_spin_unlock(&binding->lock);
	event_binding(EVENT_BINDING_SESSIONS, key, binding, sessions);
	if (flags & BINDING_ENDED || (flags & (BINDING_CONFIGURED | BINDING_OF_RANGE)) == BINDING_CONFIGURED)
		return 0;
	event_binding(EVENT_BINDING_DELETE, key, binding, 0);
	if (flags & BINDING_COUNTED) {
		struct endpoint_key endpoint = { .compartment = binding->compartment, .address = binding->internal_address };
		usage_leave(&endpoint, USAGE_PORT);
	}
	if (flags & BINDING_OF_RANGE)
		map_delete(&bindings, key);
	else if (!until || (!binding_hold(key, binding->nat, until) && binding_end(binding, until)))
		binding_remove(key, binding);
	return 0;
}

/*
 * Whether a dynamic binding is there for guests alone: nothing has come from
 * inside for so long that all sessions of the inside have ended (RFC 4787 REQ-6).
 */
INLINE bool is_idle(const struct binding *binding)
{
	return !(binding->flags & BINDING_CONFIGURED) && !binding->hosts;
}

INLINE bool is_idle_at(const struct binding_key *key)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, key);

	return !binding || is_idle(binding);
}

/* Ends a hold-down, unless the port's binding was used again meanwhile. */
INLINE void binding_release(const struct binding_key *key, __u32 until)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, key);

	if (!binding || binding->flags & BINDING_CONFIGURED)
		port_free(key); /* a mapping has had it since */
	else if (binding->flags & BINDING_HOLD_DOWN && binding_end(binding, until))
		binding_remove(key, binding);
}
