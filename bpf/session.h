/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Sessions: TCP tracking, lifetime, ending. */
#pragma once
#include "endpoint_dependent.h"
#include "filter.h"
#include "handshake.h"
#include "record.h"
#include "tcp.h"
#include "wheel.h"

INLINE struct binding_key binding_of(const struct session_key *key, addr_t external_address, __be16 external_port, __u16 flags)
{
	struct binding_key binding = {
		.address = flags & SESSION_ANY_ADDRESS ? NO_ADDRESS : external_address,
		.port = external_port,
		.protocol = key->protocol,
	};
	return binding;
}

/*
 * The session of a key. In a dry run it is a copy, which may be changed like the
 * element itself and changes nothing.
 */
INLINE struct session *find_session(const struct session_key *key, struct session *copy)
{
	struct session *session = bpf_map_lookup_elem(&sessions, key);

	if (likely(!dry_run) || !session)
		return session;
	*copy = *session;
	return copy;
}

/* Gives up all that a session has taken: its filter entry, its part of its endpoint's usage, its external port. */
INLINE void session_release(const struct session_key *key, const struct opening *opening)
{
	if (opening->flags & SESSION_FILTER_ENTRY) {
		struct filter_key filter = filter_key_of(key, opening);
		filter_leave(&filter);
	}
	if (opening->flags & SESSION_COUNTED) {
		struct endpoint_key endpoint = endpoint_of(key);
		usage_leave(&endpoint, USAGE_SESSION);
	}
	if (opening->flags & SESSION_ENDPOINT_DEPENDENT) {
		dependent_leave(key, opening);
	} else {
		struct binding_key binding = binding_of(key, opening->external_address, opening->external_port, opening->flags);
		binding_leave(&binding, opening->flags);
	}
}

/*
 * Ends a session. Whoever deletes the element does the rest, so it is done
 * once. What is needed later is copied first: the memory may be used again.
 * Returns 0, or -EBUSY: it lives on, for the table could not be written.
 */
GLOBAL int session_end(const struct session_key *map_key, struct session *session, __u32 cause)
{
	struct opening opening = {};
	struct end_record *record;
	struct session_key key;
	struct event *event;
	__u64 serial = 0;
	long error;

	if (!map_key || !session || unlikely(dry_run))
		return 0;
	key = *map_key;
	opening.nat = session->nat;
	opening.external_address = session->external_address;
	opening.external_port = session->external_port;
	opening.flags = session->flags;
	event = event_of_session(EVENT_SESSION_DELETE, &key, session);
	if (event)
		event->cause = cause;
	record = record_end(&key, session, cause, &serial);
	error = map_delete(&sessions, &key);
	if (error) {
		if (event)
			bpf_ringbuf_discard(event, 0);
		return is_busy(error) ? -EBUSY : 0;
	}
	if (event)
		bpf_ringbuf_submit(event, 0);
	record_publish(record, serial);
	session_release(&key, &opening);
	return 0;
}

/*
 * Notes a connection that both ends have closed, or one of them has reset: its port may be had back when ports are
 * short. Without memory for it, it keeps its port until it expires.
 */
INLINE void note_closed(const struct session_key *key, const struct session *session)
{
	struct binding_key binding = binding_of(key, session->external_address, session->external_port, session->flags);

	if (is_set(binding.address) && likely(!dry_run)) /* else it is a mapping's, which does not become free */
		spare_push(&binding, session->nat, session_refreshed(session), key->remote_address, key->remote_port);
}

GLOBAL int session_change_state(const struct session_key *key, struct session *session, __u32 old, __u32 new, __u32 outbound)
{
	__u64 time = now(), lifetime;
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
	session->half_open = handshake_goes_on(session, old, new, outbound);
	if (session->half_open == HALF_OPEN_OUTSIDE)
		lifetime = nat->tcp_transitory_timeout;
	session->lifetime = lifetime;
	session->refreshed = time;
	if (is_closed(new) && session->flags & SESSION_ENDPOINT_DEPENDENT)
		forget_full(key, session->external_address);
	else if (is_closed(new))
		note_closed(key, session);
	if ((time + lifetime * SECOND) / TICK < session->timer_tick)
		timer_set(key, session, time, lifetime * SECOND);
	event_session(EVENT_SESSION_STATE, key, session);
	return 0;
}

/* A half open session got a packet that leaves it established: is it the handshake's end? */
NOINLINE int session_complete(struct session *session, bool outbound, __u8 flags)
{
	__u64 time = now();
	struct nat *nat;
	__u32 id;

	if (!session)
		return 0;
	count_repeated_syn(session, outbound, flags);
	if (session->half_open == HALF_OPEN_INSIDE)
		session->refreshed = time;
	if (outbound != (session->half_open == HALF_OPEN_INSIDE) || !(flags & TCP_ACK))
		return 0;
	side_answers(session, outbound);
	id = session->nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	if (!nat)
		return 0;
	session->lifetime = nat->tcp_established_timeout;
	session->refreshed = time;
	session->half_open = 0;
	return 0;
}

/* A packet that changes nothing in a state that packets do not keep: of an unanswered handshake, or of a closed connection. */
NOINLINE int session_repeat(struct session *session, bool outbound, __u8 flags)
{
	__u64 time = now();

	if (!session)
		return 0;
	count_repeated_syn(session, outbound, flags);
	/* A repeated SYN keeps the session; in closing states nothing does. */
	if (session->state == STATE_INTERNAL_SYN && outbound && flags & TCP_SYN)
		session->refreshed = time;
	if (flags & TCP_RST) /* refused: that is an answer too */
		side_answers(session, outbound);
	return 0;
}

/* A guest whose endpoint has answered keeps its binding from now on, and its remote may come back. */
NOINLINE int session_confirm(const struct session_key *key, struct session *session)
{
	struct opening opening = {};
	struct binding_key binding_key;
	struct binding *binding;
	struct nat *nat;
	__u32 id;

	if (!session || unlikely(dry_run))
		return 0;
	opening.external_address = session->external_address;
	opening.external_port = session->external_port;
	opening.flags = session->flags;
	id = session->nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	binding_key = binding_of(key, session->external_address, session->external_port, session->flags);
	binding = bpf_map_lookup_elem(&bindings, &binding_key);
	if (!binding || !nat)
		return 0;
	bpf_spin_lock(&binding->lock); /* of two CPUs one confirms */
	if (session->flags & SESSION_GUEST) {
		session->flags &= ~SESSION_GUEST;
		binding->hosts++;
	} else {
		opening.flags |= SESSION_FILTER_ENTRY;
	}
	bpf_spin_unlock(&binding->lock);
	if (!(opening.flags & SESSION_FILTER_ENTRY) && needs_filter_entry(key->protocol, nat, opening.flags))
		session->flags |= join_filter(key, &opening);
	return 0;
}

INLINE void session_touch(struct session *session, bool outbound, __u64 now)
{
	if (outbound)
		session->refreshed = now;
	else
		session->refreshed_in = now;
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

	if (unlikely(outbound && session->flags & SESSION_GUEST))
		session_confirm(key, session);
	if (packet->protocol != IPPROTO_TCP) {
		/* RFC 4787 REQ-6: outbound always refreshes, inbound if the NAT says so. Never by ICMP (RFC 5508 REQ-6). */
		if (outbound || session->flags & SESSION_INBOUND_REFRESH)
			session_touch(session, outbound, now);
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
			if (likely(tcp_refreshes(state)))
				session_touch(session, outbound, now);
			else
				session_repeat(session, outbound, packet->tcp_flags);
			return;
		}
		if (session_change_state(key, session, state, next, outbound) == 0)
			return;
	}
}

INLINE __u32 session_lifetime(__u8 protocol, const struct session *session, const struct nat *nat)
{
	if (protocol == IPPROTO_UDP)
		return nat->udp_timeout;
	if (protocol != IPPROTO_TCP)
		return nat->icmp_timeout;
	return session->half_open == HALF_OPEN_OUTSIDE ? nat->tcp_transitory_timeout : tcp_lifetime(session->state, nat);
}

/* A live session takes its NAT's settings as they are now. */
INLINE void session_adopt(struct session_key *key, struct session *session)
{
	struct opening opening = {};
	__u32 id = session->nat;
	struct nat *nat = bpf_map_lookup_elem(&nats, &id);

	if (!nat)
		return;
	session->lifetime = session_lifetime(key->protocol, session, nat);
	if (key->protocol == IPPROTO_UDP && nat->udp_inbound_refresh)
		session->flags |= SESSION_INBOUND_REFRESH;
	else
		session->flags &= ~SESSION_INBOUND_REFRESH;
	/* A guest's remote has not been spoken to yet. */
	if (!(session->flags & (SESSION_FILTER_ENTRY | SESSION_CONTACT | SESSION_GUEST)) &&
	    needs_filter_entry(key->protocol, nat, session->flags)) {
		opening.external_address = session->external_address;
		opening.external_port = session->external_port;
		opening.flags = session->flags;
		session->flags |= join_filter(key, &opening);
	}
}
