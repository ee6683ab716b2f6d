/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Which binding an internal port leaves by, if that is not at its home: see port_home.h.
 *
 * Most flows have nothing in the index. So that they need not look for it under
 * each address, the elements are counted by a hash of the internal port: zero says that
 * there is none. An element is counted before it is there and until it is gone, so
 * the count may be too high for a moment, and never too low.
 */
#pragma once
#include "maps.h"

/* Few enough to stay in the caches: to read from a page for the first time costs more than the look-ups. */
enum { INDEX_COUNTS = 1 << 12 };

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u32);
	MAP_UINT(max_entries, INDEX_COUNTS);
} index_counts SEC(".maps");

INLINE __u32 *index_count(__u32 compartment, addr_t internal_address, __be16 internal_port, __u8 protocol)
{
	__u32 which =
		mix(mix(hash_address(internal_address) ^ compartment) ^ ((__u32)internal_port << 8 | protocol)) % INDEX_COUNTS;

	return bpf_map_lookup_elem(&index_counts, &which);
}

/* Whether the internal port of a flow may have something in the index, under whichever address. */
INLINE bool may_be_indexed(const struct session_key *key)
{
	__u32 *count = index_count(key->compartment, key->internal_address, key->internal_port, key->protocol);

	return !count || *(volatile __u32 *)count;
}

INLINE __u32 *index_count_of(const struct binding_index_key *key)
{
	return index_count(key->compartment, key->internal_address, key->internal_port, key->protocol);
}

/* Adds an element. Returns the map's error: -EEXIST if there is one. */
INLINE int index_insert(const struct binding_index_key *key, const struct way_out *way)
{
	__u32 *count = index_count_of(key);
	int error;

	if (!count)
		return -EINVAL;
	if (likely(!dry_run))
		__sync_fetch_and_add(count, 1);
	error = map_update(&binding_index, key, way, BPF_NOEXIST);
	if (error && likely(!dry_run))
		__sync_fetch_and_add(count, -1);
	return error;
}

/* Removes an element. Returns the map's error: -ENOENT if there is none. */
INLINE int index_remove(const struct binding_index_key *key)
{
	__u32 *count = index_count_of(key);
	int error = map_delete(&binding_index, key);

	if (!error && count && likely(!dry_run))
		__sync_fetch_and_add(count, -1);
	return error;
}
