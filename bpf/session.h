/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Sessions: opening, TCP tracking, expiry, ending. */
#pragma once
#include "packet.h"
#include "endpoint_dependent.h"
#include "filter.h"
#include "route.h"
#include "tcp.h"
#include "wheel.h"

/* What a session is opened with. */
struct opening {
	__u32 nat, network;
	addr_t external_address;
	__be16 external_port;
	__u16 flags;
	struct route route;
};

/*
 * What opening a session needs and the stack has no room for. No program of
 * ours interrupts another on the same CPU: they run with softirqs disabled.
 */
struct scratch {
	struct opening opening;
	__u8 binding[sizeof(struct binding)] __attribute__((aligned(8))); /* bytes: there may be no lock in an element a CPU */
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct scratch);
	MAP_UINT(max_entries, 1);
} scratches SEC(".maps");

INLINE struct scratch *get_scratch(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&scratches, &zero);
}

INLINE struct binding_key binding_of(const struct session_key *key, addr_t external_address, __be16 external_port, __u16 flags)
{
	struct binding_key binding = {
		.address = flags & SESSION_ANY_ADDRESS ? NO_ADDRESS : external_address,
		.port = external_port,
		.protocol = key->protocol,
	};
	return binding;
}

/* Gives up all that a session has taken: its filter entry, its part of its endpoint's usage, its external port. */
GLOBAL int session_release(struct session_key *key, addr_t external_address, __be16 external_port, __u32 flags, __u32 nat)
{
	struct filter_key filter;
	struct binding_key binding;

	if (!key)
		return 0;
	if (flags & SESSION_FILTER_ENTRY) {
		filter = filter_key_of(key, external_address, external_port);
		filter_leave(&filter);
	}
	if (flags & SESSION_COUNTED)
		usage_leave(key->compartment, key->internal_address, USAGE_SESSION);
	if (flags & SESSION_ENDPOINT_DEPENDENT)
		return dependent_leave(key, external_address, external_port, nat);
	binding = binding_of(key, external_address, external_port, flags);
	return binding_leave(&binding, !(flags & SESSION_UNUSED));
}

/*
 * Ends a session. Whoever deletes the element does the rest, so it is done
 * once. What is needed later is copied first: the memory may be used again.
 */
NOINLINE int session_end(struct session_key *map_key, struct session *session)
{
	struct session_key key = *map_key;
	addr_t external_address;
	__be16 external_port;
	__u32 flags, nat;

	if (!session)
		return 0;
	external_address = session->external_address;
	external_port = session->external_port;
	flags = session->flags;
	nat = session->nat;
	event_session(EVENT_SESSION_DELETE, &key, session);
	if (!bpf_map_delete_elem(&sessions, &key))
		session_release(&key, external_address, external_port, flags, nat);
	return 0;
}

static __u64 session_due(struct session_key *key, struct session *session, __u64 now)
{
	__u64 deadline = session->refreshed + session->lifetime * SECOND;

	if (now < deadline)
		return deadline;
	event_session(EVENT_SESSION_TIMEOUT, key, session);
	session_end(key, session);
	return 0;
}

GLOBAL int session_change_state(const struct session_key *key, struct session *session, __u32 old, __u32 new)
{
	__u64 now = bpf_ktime_get_coarse_ns(), lifetime;
	struct nat *nat;
	__u32 id;

	/* Of two CPUs that see both FINs at once one must see the other's state: the loser tells its caller to look again. */
	if (!key || !session || __sync_val_compare_and_swap(&session->state, old, new) != old)
		return -1;
	id = session->nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	if (!nat)
		return 0;
	lifetime = tcp_lifetime(new, nat);
	/*
	 * Until the handshake's last ACK a connection from outside may be a flood's, under a forged source: it ends like one
	 * in transition (RFC 5382 REQ-5 asks for no more).
	 */
	session->half_open = old == STATE_EXTERNAL_SYN && new == STATE_ESTABLISHED;
	if (session->half_open)
		lifetime = nat->tcp_transitory_timeout;
	session->lifetime = lifetime;
	session->refreshed = now;
	if (now + lifetime * SECOND < session->timer_due)
		timer_set(key, session, now, lifetime * SECOND);
	event_session(EVENT_SESSION_STATE, key, session);
	return 0;
}

/* A half open session got a packet that leaves it established: is it the handshake's end? */
NOINLINE int session_complete(struct session *session, bool outbound, __u8 flags)
{
	struct nat *nat;
	__u32 id;

	if (!session || outbound || !(flags & TCP_ACK))
		return 0;
	id = session->nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	if (!nat)
		return 0;
	session->lifetime = nat->tcp_established_timeout;
	session->refreshed = bpf_ktime_get_coarse_ns();
	session->half_open = false;
	return 0;
}

INLINE void session_touch(struct session *session, __u64 now)
{
	if (session->refreshed != now) /* a clean cache line stays shared */
		session->refreshed = now;
}

INLINE void session_count(struct __sk_buff *skb, struct session *session, const struct packet *packet, bool outbound)
{
	/* A GSO packet counts as the segments it becomes. The frame may be padded, the IP length is not. */
	__u32 packets = skb->gso_segs ? skb->gso_segs : 1;
	__u64 bytes = skb->gso_segs ? skb->len - packet->l3 : packet->length;

	if (outbound) {
		__sync_fetch_and_add(&session->packets_out, packets);
		__sync_fetch_and_add(&session->bytes_out, bytes);
	} else {
		__sync_fetch_and_add(&session->packets_in, packets);
		__sync_fetch_and_add(&session->bytes_in, bytes);
	}
}

/* Notes what a packet that is going to be translated means for its session. */
INLINE void session_track(const struct session_key *key, struct session *session, const struct packet *packet, bool outbound,
			  __u64 now)
{
	__u32 state, next;

	if (packet->protocol != IPPROTO_TCP) {
		/* RFC 4787 REQ-6: outbound always refreshes, inbound if the NAT says so. Never by ICMP (RFC 5508 REQ-6). */
		if (outbound || session->flags & SESSION_INBOUND_REFRESH)
			session_touch(session, now);
		return;
	}
	for (int i = 0; i < 2; i++) {
		state = session->state;
		next = tcp_next_state(state, outbound, packet->tcp_flags);
		if (likely(next == state)) {
			if (unlikely(session->half_open)) {
				session_complete(session, outbound, packet->tcp_flags);
				return;
			}
			/* A repeated SYN restarts the handshake's clock; in closing states nothing does. */
			if (likely(tcp_refreshes(state)) ||
			    (state == STATE_INTERNAL_SYN && outbound && packet->tcp_flags & TCP_SYN))
				session_touch(session, now);
			return;
		}
		if (session_change_state(key, session, state, next) == 0)
			return;
	}
}

INLINE __u32 session_lifetime(__u8 protocol, const struct session *session, const struct nat *nat)
{
	if (protocol == IPPROTO_UDP)
		return nat->udp_timeout;
	if (protocol != IPPROTO_TCP)
		return nat->icmp_timeout;
	return session->half_open ? nat->tcp_transitory_timeout : tcp_lifetime(session->state, nat);
}

/* Puts the element into the table. Returns the map's error. */
NOINLINE int session_insert(struct session_key *key, const struct opening *opening, const struct nat *nat)
{
	struct session session = {
		.external_address = opening->external_address,
		.external_port = opening->external_port,
		.flags = opening->flags,
		.nat = opening->nat,
		.network = opening->network,
	};

	session.lifetime = session_lifetime(key->protocol, &session, nat);
	session.created = session.refreshed = bpf_ktime_get_coarse_ns();
	if (opening->route.ifindex)
		route_keep(&session, &opening->route, session.created);
	return bpf_map_update_elem(&sessions, key, &session, BPF_NOEXIST);
}

/* Starts a new session's clock. */
NOINLINE int session_start(struct session_key *key)
{
	struct session *session = bpf_map_lookup_elem(&sessions, key);

	if (!session)
		return REASON_SESSION_FAILED;
	event_session(EVENT_SESSION_CREATE, key, session);
	if (!timer_set(key, session, session->created, session->lifetime * SECOND)) {
		session_end(key, session); /* one that never expires is worse than none */
		return REASON_SESSIONS_FULL;
	}
	return REASON_NONE;
}

/* A live session takes its NAT's settings as they are now. */
INLINE void session_adopt(struct session_key *key, struct session *session)
{
	__u32 id = session->nat;
	struct nat *nat = bpf_map_lookup_elem(&nats, &id);

	if (!nat)
		return;
	session->lifetime = session_lifetime(key->protocol, session, nat);
	if (key->protocol == IPPROTO_UDP && nat->udp_inbound_refresh)
		session->flags |= SESSION_INBOUND_REFRESH;
	else
		session->flags &= ~SESSION_INBOUND_REFRESH;
	if (!(session->flags & SESSION_FILTER_ENTRY) && needs_filter_entry(key->protocol, nat, session->flags) &&
	    join_filter(key, session->external_address, session->external_port, session->flags))
		session->flags |= SESSION_FILTER_ENTRY;
}

/* Gives up what was taken for a session that is not to be. */
INLINE void session_undo(struct session_key *key, const struct opening *opening)
{
	session_release(key, opening->external_address, opening->external_port, opening->flags | SESSION_UNUSED, opening->nat);
}

/*
 * Opens a session whose binding has been joined; the binding is left again if
 * that fails. If another CPU was faster, its session is the one.
 */
INLINE int session_open(struct session_key *key, struct opening *opening, const struct nat *nat)
{
	long error;
	int taken;

	if (key->protocol == IPPROTO_UDP && nat->udp_inbound_refresh)
		opening->flags |= SESSION_INBOUND_REFRESH;
	taken = usage_take(key->compartment, key->internal_address, nat, USAGE_SESSION);
	if (taken == USAGE_REFUSED) {
		session_undo(key, opening);
		event_refused(EVENT_ENDPOINT_LIMIT, key, opening->nat, opening->network);
		return REASON_ENDPOINT_LIMIT;
	}
	if (taken == USAGE_COUNTED)
		opening->flags |= SESSION_COUNTED;
	if (needs_filter_entry(key->protocol, nat, opening->flags) &&
	    join_filter(key, opening->external_address, opening->external_port, opening->flags))
		opening->flags |= SESSION_FILTER_ENTRY;
	error = session_insert(key, opening, nat);
	if (!error)
		return session_start(key);
	session_undo(key, opening);
	if (error == -EEXIST)
		return REASON_NONE;
	event_refused(EVENT_TABLE_FULL, key, opening->nat, opening->network);
	return error == -E2BIG ? REASON_SESSIONS_FULL : REASON_SESSION_FAILED;
}
