/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Sessions: opening, TCP tracking, expiry, ending. */
#pragma once
#include "parse.h"
#include "port.h"
#include "route.h"
#include "tcp.h"
#include "wheel.h"

/* What a session is opened with: small, because the stack is (512 bytes for a whole call chain). */
struct opening {
	__u32 nat, network;
	__be32 external_address;
	__be16 external_port;
	__u16 flags;
	struct route route;
};

INLINE struct binding_key binding_of(const struct session_key *key, __be32 external_address, __be16 external_port, __u16 flags)
{
	struct binding_key binding = {
		.address = flags & SESSION_ANY_ADDRESS ? 0 : external_address,
		.port = external_port,
		.protocol = key->protocol,
	};
	return binding;
}

INLINE struct contact_key contact_of(const struct session_key *key, __be32 external_address, __be16 external_port)
{
	struct contact_key contact = {
		.external_address = external_address,
		.remote_address = key->remote_address,
		.external_port = external_port,
		.protocol = key->protocol,
	};
	return contact;
}

/*
 * Ends a session. Whoever deletes the element does the rest, so it is done
 * once. What is needed later is copied first: the memory may be used again.
 */
NOINLINE int session_end(struct session_key *map_key, struct session *session)
{
	struct session_key key = *map_key;
	struct binding_key binding;
	struct contact_key contact;
	bool has_contact;

	if (!session)
		return 0;
	binding = binding_of(&key, session->external_address, session->external_port, session->flags);
	contact = contact_of(&key, session->external_address, session->external_port);
	has_contact = session->flags & SESSION_CONTACT;
	event_session(EVENT_SESSION_DELETE, &key, session);
	if (bpf_map_delete_elem(&sessions, &key))
		return 0;
	if (has_contact)
		contact_leave(&contact);
	binding_leave(&binding);
	return 0;
}

static __u64 session_alarm(struct session_key *key, struct session *session, __u64 now)
{
	__u64 deadline = session->refreshed + session->lifetime * SECOND;

	if (now < deadline)
		return deadline;
	event_session(EVENT_SESSION_TIMEOUT, key, session);
	session_end(key, session);
	return 0;
}

NOINLINE int session_change_state(const struct session_key *key, struct session *session, __u32 old, __u32 new)
{
	__u64 now = bpf_ktime_get_coarse_ns(), lifetime;
	struct nat *nat;
	__u32 id;

	/* Of two CPUs that see both FINs at once one must see the other's state: the loser tells its caller to look again. */
	if (!session || __sync_val_compare_and_swap(&session->state, old, new) != old)
		return -1;
	id = session->nat;
	nat = bpf_map_lookup_elem(&nats, &id);
	if (!nat)
		return 0;
	lifetime = tcp_lifetime(new, nat);
	session->lifetime = lifetime;
	session->refreshed = now;
	if (now + lifetime * SECOND < session->alarm_due)
		alarm_set(key, session, now, lifetime * SECOND);
	event_session(EVENT_SESSION_STATE, key, session);
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

INLINE __u32 session_first_lifetime(__u8 protocol, const struct nat *nat)
{
	switch (protocol) {
	case IPPROTO_TCP:
		return TCP_INCOMING_SYN;
	case IPPROTO_UDP:
		return nat->udp_timeout;
	default:
		return nat->icmp_timeout;
	}
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
		.lifetime = session_first_lifetime(key->protocol, nat),
	};

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
	if (!alarm_set(key, session, session->created, session->lifetime * SECOND)) {
		session_end(key, session); /* one that never expires is worse than none */
		return REASON_SESSIONS_FULL;
	}
	return REASON_NONE;
}

/*
 * Opens a session whose binding has been joined; the binding is left again if
 * that fails. If another CPU was faster, its session is the one.
 */
INLINE int session_open(struct session_key *key, struct opening *opening, const struct nat *nat)
{
	struct binding_key binding = binding_of(key, opening->external_address, opening->external_port, opening->flags);
	struct contact_key contact = contact_of(key, opening->external_address, opening->external_port);
	__u8 filtering = key->protocol == IPPROTO_TCP ? nat->tcp_filtering : nat->udp_filtering;
	long error;

	if (key->protocol == IPPROTO_UDP && nat->udp_inbound_refresh)
		opening->flags |= SESSION_INBOUND_REFRESH;
	if (key->protocol != IPPROTO_ICMP && filtering == FILTER_ADDRESS_DEPENDENT && contact_join(&contact))
		opening->flags |= SESSION_CONTACT;
	error = session_insert(key, opening, nat);
	if (!error)
		return session_start(key);
	if (opening->flags & SESSION_CONTACT)
		contact_leave(&contact);
	binding_leave(&binding);
	if (error == -EEXIST)
		return REASON_NONE;
	event_refused(EVENT_TABLE_FULL, key, opening->nat, opening->network);
	return error == -E2BIG ? REASON_SESSIONS_FULL : REASON_SESSION_FAILED;
}
