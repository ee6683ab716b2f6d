/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Bindings and contacts live as long as sessions use them. Both are counted
 * under a lock with an 'ended' mark, so that nobody joins one that is going.
 */
#pragma once
#include "event.h"

/*
 * Finds the binding of an external address and port: its own, or a mapping's
 * on any address of the host; key->address is 0 then.
 */
INLINE struct binding *find_binding(struct binding_key *key)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, key);

	if (binding)
		return binding;
	key->address = 0;
	return bpf_map_lookup_elem(&bindings, key);
}

/* The key of a binding's session with a remote. ICMP queries have an identifier on the inside alone. */
INLINE void key_behind(const struct binding *binding, __u8 protocol, __be32 remote_address, __be16 remote_port,
		       struct session_key *key)
{
	key->compartment = binding->compartment;
	key->internal_address = binding->internal_address;
	key->internal_port = binding->internal_port;
	key->remote_address = remote_address;
	key->protocol = protocol;
	if (protocol != IPPROTO_ICMP)
		key->remote_port = remote_port;
}

/* Joins a binding: one session more. False if it is just being removed. */
INLINE bool binding_join(const struct binding_key *key, struct binding *binding)
{
	__u32 sessions = 0;

	bpf_spin_lock(&binding->lock);
	if (!(binding->flags & BINDING_ENDED))
		sessions = ++binding->sessions;
	bpf_spin_unlock(&binding->lock);
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

/* Frees a dynamic binding's port, for the map's hint and for good. */
INLINE void binding_free(const struct binding_key *key)
{
	struct port_bits *bits = port_bits_of(key);
	__u16 port = ntohs(key->port);

	if (bits)
		__sync_fetch_and_and(&bits->word[port / 64], ~(1ULL << (port % 64)));
	bpf_map_delete_elem(&bindings, key);
}

/* Leaves a binding: the last session of a dynamic one takes it along. */
NOINLINE int binding_leave(struct binding_key *key)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, key);
	struct binding_index_key index;
	__u32 sessions = 0;
	bool ended = false;
	__be16 *port;

	if (!binding)
		return 0; /* a configured one that was deleted meanwhile */
	bpf_spin_lock(&binding->lock);
	if (binding->sessions)
		sessions = --binding->sessions;
	if (!sessions && !(binding->flags & (BINDING_CONFIGURED | BINDING_ENDED))) {
		binding->flags |= BINDING_ENDED;
		ended = true;
	}
	bpf_spin_unlock(&binding->lock);
	event_binding(EVENT_BINDING_SESSIONS, key, binding, sessions);
	if (!ended)
		return 0;
	event_binding(EVENT_BINDING_DELETE, key, binding, 0);
	index = index_key(key, binding);
	port = bpf_map_lookup_elem(&binding_index, &index);
	if (port && *port == key->port)
		bpf_map_delete_elem(&binding_index, &index);
	binding_free(key); /* last: only now is the port free */
	return 0;
}

INLINE bool contact_join(const struct contact_key *key)
{
	struct contact *contact = bpf_map_lookup_elem(&contacts, key);
	struct contact new = { .sessions = 1 };
	bool joined = false;

	if (!contact)
		return bpf_map_update_elem(&contacts, key, &new, BPF_NOEXIST) == 0;
	bpf_spin_lock(&contact->lock);
	if (contact->sessions) {
		contact->sessions++;
		joined = true;
	}
	bpf_spin_unlock(&contact->lock);
	return joined;
}

INLINE void contact_leave(const struct contact_key *key)
{
	struct contact *contact = bpf_map_lookup_elem(&contacts, key);
	bool ended = false;

	if (!contact)
		return;
	bpf_spin_lock(&contact->lock);
	if (contact->sessions)
		ended = --contact->sessions == 0;
	bpf_spin_unlock(&contact->lock);
	if (ended)
		bpf_map_delete_elem(&contacts, key);
}
