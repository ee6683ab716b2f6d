/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * How much of the tables each endpoint has, so that one cannot take them from
 * its neighbours: RFC 6888 REQ-4 and REQ-5.
 */
#pragma once
#include "event.h"

enum usage_kind {
	USAGE_SESSION,
	USAGE_PORT,
	USAGE_SESSION_INSTEAD, /* in a dry run: of one that would have been ended */
};
enum usage_result { USAGE_UNCOUNTED, USAGE_COUNTED, USAGE_REFUSED };

INLINE struct usage *find_usage(const struct endpoint_key *endpoint)
{
	struct usage none = {}, *usage = bpf_map_lookup_elem(&usages, endpoint);

	if (usage)
		return usage;
	map_update(&usages, endpoint, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&usages, endpoint);
}

/* Takes one more of a kind for an endpoint, if its NAT's limits allow that. */
GLOBAL int usage_take(const struct endpoint_key *endpoint, const struct nat *nat, __u32 kind)
{
	__u32 second = now() / SECOND, max_sessions, max_ports, max_rate, opened;
	int result = USAGE_COUNTED;
	struct usage *usage;

	if (!endpoint || !nat)
		return USAGE_UNCOUNTED;
	usage = find_usage(endpoint);
	if (!usage)
		return USAGE_UNCOUNTED;
	max_sessions = nat->max_sessions ?: ~0U;
	max_ports = nat->max_ports ?: ~0U;
	max_rate = nat->max_rate ?: ~0U;
	bpf_spin_lock(&usage->lock);
	opened = usage->second == second ? usage->opened : 0;
	if (unlikely(dry_run) && kind == USAGE_SESSION_INSTEAD && usage->sessions == 1)
		opened = 0; /* with the endpoint's only session its count would have ended */
	if (usage->ended) {
		result = USAGE_UNCOUNTED;
	} else if (kind == USAGE_PORT ? usage->ports >= max_ports
				      : usage->sessions - (kind == USAGE_SESSION_INSTEAD) >= max_sessions || opened >= max_rate) {
		result = USAGE_REFUSED;
	} else if (likely(!dry_run)) {
		if (kind == USAGE_PORT) {
			usage->ports++;
		} else {
			usage->sessions++;
			usage->second = second;
			usage->opened = opened + 1;
		}
	}
	bpf_spin_unlock(&usage->lock);
	return result;
}

/* Gives one back. */
GLOBAL int usage_leave(const struct endpoint_key *endpoint, __u32 kind)
{
	struct usage *usage;
	bool ended = false;

	if (!endpoint || unlikely(dry_run))
		return 0;
	usage = bpf_map_lookup_elem(&usages, endpoint);
	if (!usage)
		return 0;
	bpf_spin_lock(&usage->lock);
	if (kind == USAGE_PORT && usage->ports)
		usage->ports--;
	if (kind == USAGE_SESSION && usage->sessions)
		usage->sessions--;
	if (!usage->sessions && !usage->ports && !usage->ended)
		ended = usage->ended = true;
	bpf_spin_unlock(&usage->lock);
	if (ended)
		map_delete(&usages, endpoint);
	return 0;
}

/* The endpoint that a session is of. */
INLINE struct endpoint_key endpoint_of(const struct session_key *key)
{
	struct endpoint_key endpoint = { .compartment = key->compartment, .address = key->internal_address };
	return endpoint;
}
