/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What a NAT may use outside, and which of it an endpoint has. */
#pragma once
#include "session.h"

/* What a NAT may use for what leaves by ifindex; NULL: nothing may leave there. */
INLINE struct pool *find_pool(__u32 nat, __u32 ifindex)
{
	struct pool_key key = { .nat = nat, .ifindex = ifindex };
	struct pool *pool = bpf_map_lookup_elem(&pools, &key);

	if (pool)
		return pool;
	key.ifindex = 0;
	pool = bpf_map_lookup_elem(&pools, &key);
	return pool && !(pool->flags & POOL_BOUND) ? pool : NULL;
}

/* The same where a NAT without addresses of its own has the source that a route chooses. */
INLINE struct pool *find_pool_for(__u32 nat, __u32 ifindex, addr_t source)
{
	struct pool_key key = { .nat = nat, .address = source };
	struct pool *pool = find_pool(nat, ifindex), *own;

	if (!pool || !(pool->flags & POOL_FOLLOWS_ROUTE) || !is_set(source))
		return pool;
	own = bpf_map_lookup_elem(&pools, &key);
	return own ?: pool;
}

/*
 * Paired pooling: one inside address keeps to one external address (RFC 4787 REQ-2). Of a link's own the first is
 * the best one, unless the next hop is in the prefix of another.
 */
INLINE __u32 paired_address(const struct pool *pool, const struct session_key *key, addr_t next_hop)
{
	if (pool->flags & POOL_FOLLOWS_ROUTE) {
		for (__u32 i = 0; i < POOL_ADDRESSES; i++) {
			if (i < pool->count && is_in_prefix(next_hop, pool->address[i].address, pool->address[i].mask))
				return i;
		}
		return 0;
	}
	return mix(hash_address(key->internal_address) ^ key->compartment) % (pool->count ?: 1);
}

INLINE struct pool_address *pool_address_at(struct pool *pool, __u32 index)
{
	if (!pool->count)
		return NULL;
	index %= pool->count;
	return &pool->address[index & (POOL_ADDRESSES - 1)]; /* the mask is for the verifier */
}

INLINE bool pool_has_address(const struct pool *pool, addr_t address)
{
	for (int i = 0; i < POOL_ADDRESSES; i++) {
		if (i < pool->count + pool->mapped && same_address(pool->address[i].address, address))
			return true;
	}
	return false;
}
