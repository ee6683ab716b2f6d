/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * How much of the tables each endpoint has, so that one cannot take them from
 * its neighbours: RFC 6888 REQ-4 and REQ-5.
 */
#pragma once
#include "event.h"

enum usage_kind { USAGE_SESSION, USAGE_PORT };
enum usage_result { USAGE_UNCOUNTED, USAGE_COUNTED, USAGE_REFUSED };

INLINE struct usage *find_usage(__u32 compartment, addr_t address)
{
	struct endpoint_key key = { .compartment = compartment, .address = address };
	struct usage none = {}, *usage = bpf_map_lookup_elem(&usages, &key);

	if (usage)
		return usage;
	bpf_map_update_elem(&usages, &key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&usages, &key);
}

/* Takes one more of a kind for an endpoint, if its NAT's limits allow that. */
GLOBAL int usage_take(__u32 compartment, addr_t address, const struct nat *nat, __u32 kind)
{
	__u32 now = bpf_ktime_get_coarse_ns() / SECOND, max_sessions, max_ports, max_rate;
	struct usage *usage = find_usage(compartment, address);
	int result = USAGE_COUNTED;

	if (!usage || !nat)
		return USAGE_UNCOUNTED;
	max_sessions = nat->max_sessions ?: ~0U;
	max_ports = nat->max_ports ?: ~0U;
	max_rate = nat->max_rate ?: ~0U;
	bpf_spin_lock(&usage->lock);
	if (usage->second != now) {
		usage->second = now;
		usage->opened = 0;
	}
	if (usage->ended) {
		result = USAGE_UNCOUNTED;
	} else if (kind == USAGE_PORT) {
		if (usage->ports >= max_ports)
			result = USAGE_REFUSED;
		else
			usage->ports++;
	} else if (usage->sessions >= max_sessions || usage->opened >= max_rate) {
		result = USAGE_REFUSED;
	} else {
		usage->sessions++;
		usage->opened++;
	}
	bpf_spin_unlock(&usage->lock);
	return result;
}

/* Takes a port for an endpoint of the NAT of that id. */
INLINE int usage_take_of(__u32 compartment, addr_t address, __u32 nat_id)
{
	struct nat *nat = bpf_map_lookup_elem(&nats, &nat_id);

	return nat ? usage_take(compartment, address, nat, USAGE_PORT) : USAGE_UNCOUNTED;
}

/* Gives one back. */
GLOBAL int usage_leave(__u32 compartment, addr_t address, __u32 kind)
{
	struct endpoint_key key = { .compartment = compartment, .address = address };
	struct usage *usage = bpf_map_lookup_elem(&usages, &key);
	bool ended = false;

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
		bpf_map_delete_elem(&usages, &key);
	return 0;
}
