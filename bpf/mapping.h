/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Whose an external address and port is. The common cases, a dynamic binding
 * and a mapping of one port to one target, are one look-up. A mapping of a
 * range is one element for all its ports, and one with several targets says
 * for each remote which it has: these take the slow way.
 *
 * The most specific wins: a port on its own address, a range on its own
 * address, then the same on any address of the host.
 */
#pragma once
#include "binding.h"

/* The id of the mapping whose range an external port is in, 0 if there is none. */
INLINE __u32 range_of(const struct binding_key *key)
{
	struct range_key range = {
		.length = 32 + ADDRESS_BITS,
		.address = key->address,
		.protocol = key->protocol,
		.port = key->port,
	};
	__u32 *id = bpf_map_lookup_elem(&ranges, &range);

	return id ? *id : 0;
}

INLINE struct mapping *find_mapping(__u32 id)
{
	return bpf_map_lookup_elem(&mappings, &id);
}

struct target_choice {
	struct mapping *mapping;
	addr_t remote;
	__u32 highest, best; /* hash and index of the best target so far */
};

static long choose_step(__u32 index, struct target_choice *choice)
{
	struct target *target;
	__u32 weight;

	if (index >= MAPPING_TARGETS || index >= choice->mapping->targets)
		return 1;
	target = &choice->mapping->target[index];
	weight = mix(mix(hash_address(choice->remote)) ^ hash_address(target->address) ^ target->port);
	if (weight >= choice->highest) {
		choice->highest = weight;
		choice->best = index;
	}
	return 0;
}

/*
 * The target that a new remote gets: the one with the highest hash of both
 * (rendezvous hashing), so that a target that goes moves its own remotes alone.
 */
INLINE struct target *choose_target(struct mapping *mapping, addr_t remote)
{
	struct target_choice choice = { .mapping = mapping, .remote = remote };

	if (mapping->targets > 1)
		bpf_loop(MAPPING_TARGETS, choose_step, &choice, 0);
	return &mapping->target[choice.best & (MAPPING_TARGETS - 1)];
}

/* Fills in a mapping's end for this external port; a remote that has sessions stays where it is. */
INLINE void inside_of(struct mapping *mapping, const struct binding_key *binding, addr_t address, struct session_key *key)
{
	struct filter_key filter_key = {
		.external_address = address,
		.remote_address = key->remote_address,
		.external_port = binding->port,
		.protocol = binding->protocol,
	};
	__u16 offset = ntohs(binding->port) - ntohs(mapping->external_port);
	struct filter_entry *entry;
	struct target *target;

	key->compartment = mapping->compartment;
	if (mapping->flags & BINDING_SPREAD) {
		entry = bpf_map_lookup_elem(&filter_entries, &filter_key);
		if (entry && is_set(entry->internal_address)) {
			key->internal_address = entry->internal_address;
			key->internal_port = entry->internal_port;
			return;
		}
	}
	target = choose_target(mapping, key->remote_address);
	key->internal_address = target->address;
	key->internal_port = htons((__u16)(ntohs(target->port) + offset));
}

/* The inside of an endpoint-dependent session. */
INLINE bool find_dependent(const struct binding_key *binding_key, struct session_key *key)
{
	struct dependent_port_key dependent_port_key = {
		.external_address = binding_key->address,
		.remote_address = key->remote_address,
		.external_port = binding_key->port,
		.remote_port = key->remote_port,
		.protocol = binding_key->protocol,
	};
	struct dependent_port *dependent = bpf_map_lookup_elem(&dependent_ports, &dependent_port_key);

	if (!dependent)
		return false;
	key->compartment = dependent->compartment;
	key->internal_address = dependent->internal_address;
	key->internal_port = dependent->internal_port;
	return true;
}

INLINE void take_inside(struct session_key *key, const struct binding *binding)
{
	key->compartment = binding->compartment;
	key->internal_address = binding->internal_address;
	key->internal_port = binding->internal_port;
}

/* find_inside's slow way. */
GLOBAL int find_mapped(struct binding_key *binding_key, struct session_key *key)
{
	struct binding *binding;
	struct mapping *mapping;
	addr_t address;
	__u32 id = 0, flags;

	if (!binding_key || !key)
		return 0;
	address = binding_key->address;
	binding = bpf_map_lookup_elem(&bindings, binding_key);
	if (!binding && find_dependent(binding_key, key))
		return BINDING_FOUND | BINDING_ENDPOINT_DEPENDENT;
	if (!binding)
		id = range_of(binding_key);
	if (!binding && !id) {
		binding_key->address = NO_ADDRESS;
		binding = bpf_map_lookup_elem(&bindings, binding_key);
		if (!binding)
			id = range_of(binding_key);
	}
	flags = BINDING_CONFIGURED;
	if (binding) {
		flags = binding->flags;
		id = binding->mapping;
		if (!(flags & BINDING_SPREAD)) {
			take_inside(key, binding);
			return flags | BINDING_FOUND;
		}
	}
	mapping = id ? find_mapping(id) : NULL;
	if (!mapping)
		return 0;
	inside_of(mapping, binding_key, address, key);
	return flags | mapping->flags | BINDING_FOUND;
}

/*
 * Whether an external port without a binding may be a range's or an
 * endpoint-dependent session's all the same. Of most of the host's own packets it
 * says no, so that they pay for no more look-ups.
 */
INLINE bool may_lack_binding(__be16 port)
{
	struct settings *settings = get_settings();

	return settings && (settings->flags & SETTING_RANGES ||
			    (ntohs(port) >= settings->dependent_low && ntohs(port) <= settings->dependent_high));
}

/*
 * Finds whose an external address and port is to a remote: fills in key, and
 * sets binding_key->address to 0 if a mapping on any address has it. Returns
 * the binding's flags with BINDING_FOUND, or 0: nobody's.
 */
INLINE __u32 find_inside(struct binding_key *binding_key, addr_t remote_address, __be16 remote_port, struct session_key *key)
{
	addr_t address = binding_key->address;
	struct binding *binding = bpf_map_lookup_elem(&bindings, binding_key);

	if (!binding) {
		binding_key->address = NO_ADDRESS;
		binding = bpf_map_lookup_elem(&bindings, binding_key);
	}
	*key = (struct session_key){
		.remote_address = remote_address,
		.remote_port = binding_key->protocol != QUERY_PROTOCOL ? remote_port
								       : 0, /* queries have an identifier on the inside alone */
		.protocol = binding_key->protocol,
	};
	if (likely(binding && !(binding->flags & BINDING_SPREAD) &&
		   (is_set(binding_key->address) || !has_setting(SETTING_SHADOWS)))) {
		take_inside(key, binding);
		return binding->flags | BINDING_FOUND;
	}
	if (!binding && !may_lack_binding(binding_key->port))
		return 0;
	binding_key->address = address;
	return find_mapped(binding_key, key);
}

/* The id of the static mapping that find_inside has found. */
INLINE __u32 mapping_of(const struct binding_key *key)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, key);

	return binding ? binding->mapping : range_of(key);
}

/* Whether a mapping lets a remote in. */
INLINE bool lets_in(__u32 mapping, __u32 flags, addr_t source)
{
	struct allowed_key remote = { .length = 32 + ADDRESS_BITS, .mapping = mapping, .remote = source };

	return !(flags & BINDING_ALLOW_LIST) || bpf_map_lookup_elem(&allowed, &remote);
}

/*
 * Joins the binding of a port of a range, or makes it: it is there while
 * sessions use it. The caller has the internal end from find_inside. Returns a
 * drop reason or none.
 */
NOINLINE int join_range(const struct binding_key *key, struct mapping *mapping, __u32 id, const struct session_key *session)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, key);
	struct binding new = {
		.sessions = 1,
		.flags = BINDING_CONFIGURED | BINDING_OF_RANGE,
		.mapping = id,
	};
	long error;

	if (!mapping)
		return REASON_NO_MAPPING;
	if (binding)
		return binding->mapping == id && binding_join(key, binding, 0, false) ? REASON_NONE : REASON_NO_MAPPING;
	new.flags |= mapping->flags;
	new.nat = mapping->nat;
	new.compartment = mapping->compartment;
	new.network = mapping->target[0].network;
	if (!(mapping->flags & BINDING_SPREAD)) {
		new.internal_address = session->internal_address;
		new.internal_port = session->internal_port;
	}
	error = map_update(&bindings, key, &new, BPF_NOEXIST);
	if (error == -EEXIST) { /* another CPU was faster */
		binding = bpf_map_lookup_elem(&bindings, key);
		return binding && binding->mapping == id && binding_join(key, binding, 0, false) ? REASON_NONE : REASON_NO_MAPPING;
	}
	if (error)
		return not_added(error, REASON_BINDINGS_FULL);
	event_binding(EVENT_BINDING_CREATE, key, &new, 0);
	event_binding(EVENT_BINDING_SESSIONS, key, &new, 1);
	return REASON_NONE;
}
