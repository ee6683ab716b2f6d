/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Filtering: which remotes may open a session to a dynamic binding (RFC 4787
 * section 5). The binding says how many sessions it has with one remote address,
 * and a filter entry how many with each further one; of a mapping with several
 * targets, which one the remote has too.
 */
#pragma once
#include "flow.h"
#include "mapping.h"

INLINE struct filter_key filter_key_of(const struct session_key *key, const struct opening *opening)
{
	struct filter_key filter = {
		.external_address = opening->external_address,
		/* Programs of the host count as one remote for each address that they dial. */
		.remote_address = opening->flags & SESSION_DIALLED ? opening->external_address : key->remote_address,
		.external_port = opening->external_port,
		.protocol = key->protocol,
	};
	return filter;
}

/* Joins the filter entry of a binding for a remote; new is what it is if there is none yet. */
INLINE bool filter_join(const struct filter_key *key, struct filter_entry *new)
{
	struct filter_entry *entry = bpf_map_lookup_elem(&filter_entries, key);
	bool joined = false;

	new->sessions = 1;
	if (!entry)
		return map_update(&filter_entries, key, new, BPF_NOEXIST) == 0;
	bpf_spin_lock(&entry->lock);
	if (entry->sessions) {
		if (likely(!dry_run))
			entry->sessions++;
		joined = true;
	}
	bpf_spin_unlock(&entry->lock);
	return joined;
}

INLINE void filter_leave(const struct filter_key *key)
{
	struct filter_entry *entry = bpf_map_lookup_elem(&filter_entries, key);
	bool ended = false;

	if (!entry || unlikely(dry_run))
		return;
	bpf_spin_lock(&entry->lock);
	if (entry->sessions)
		ended = --entry->sessions == 0;
	bpf_spin_unlock(&entry->lock);
	if (ended)
		map_delete(&filter_entries, key);
}

/* Joins a binding's contacts, if they are of the same remote or of none. */
NOINLINE int contact_join(const struct filter_key *key, __u32 session_flags)
{
	struct binding_key binding_key = {
		.address = session_flags & SESSION_ANY_ADDRESS ? NO_ADDRESS : key->external_address,
		.port = key->external_port,
		.protocol = key->protocol,
	};
	struct binding *binding = bpf_map_lookup_elem(&bindings, &binding_key);
	bool joined = false;

	if (!binding)
		return false;
	bpf_spin_lock(&binding->lock);
	if (!binding->contacts || same_address(binding->contact, key->remote_address)) {
		joined = true;
		if (likely(!dry_run)) {
			binding->contact = key->remote_address;
			binding->contacts++;
		}
	}
	bpf_spin_unlock(&binding->lock);
	return joined;
}

/*
 * Joins what says which remotes the endpoint talks to, or where a mapping with
 * several targets has sent them. Returns the flag that the session has for it.
 */
GLOBAL int join_filter(const struct session_key *key, const struct opening *opening)
{
	struct filter_key filter_key;
	struct filter_entry entry = {};

	if (!key || !opening)
		return 0;
	filter_key = filter_key_of(key, opening);
	if (!(opening->flags & SESSION_SPREAD) && contact_join(&filter_key, opening->flags))
		return SESSION_CONTACT;
	if (opening->flags & SESSION_SPREAD) {
		entry.internal_address = key->internal_address;
		entry.internal_port = key->internal_port;
	}
	return filter_join(&filter_key, &entry) ? SESSION_FILTER_ENTRY : 0;
}

INLINE bool needs_filter_entry(__u8 protocol, const struct nat *nat, __u32 flags)
{
	__u8 filtering = protocol == IPPROTO_TCP ? nat->tcp_filtering : nat->udp_filtering;

	if (flags & SESSION_SPREAD)
		return true;
	if (flags & SESSION_ENDPOINT_DEPENDENT) /* no remote but its own reaches it */
		return false;
	return protocol != QUERY_PROTOCOL && filtering == FILTER_ADDRESS_DEPENDENT;
}

/* Whether a remote may open a session to a binding (RFC 4787 REQ-8, RFC 5382 REQ-3). */
INLINE enum reason admit(const struct binding_key *key, const struct binding *binding, const struct nat *nat, addr_t source)
{
	__u8 filtering = key->protocol == IPPROTO_TCP ? nat->tcp_filtering : nat->udp_filtering;
	struct filter_key filter = {
		.external_address = key->address,
		.remote_address = source,
		.external_port = key->port,
		.protocol = key->protocol,
	};

	if (is_idle(binding))
		return REASON_MAPPING_IDLE;
	if (binding->flags & BINDING_CONFIGURED)
		return lets_in(binding->mapping, binding->flags, source) ? REASON_NONE : REASON_REMOTE_NOT_ALLOWED;
	if (filtering == FILTER_ENDPOINT_INDEPENDENT)
		return REASON_NONE;
	if (filtering == FILTER_ADDRESS_DEPENDENT &&
	    ((binding->contacts && same_address(binding->contact, source)) || bpf_map_lookup_elem(&filter_entries, &filter)))
		return REASON_NONE;
	return REASON_FILTERED;
}
