/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The external port that an internal one has if it is free: its home, drawn by a
 * keyed hash (RFC 6056 section 3.3.3). Nobody who does not know the key can tell
 * it, though endpoints see their own. A binding at home is found without the
 * index, so most bindings are in one table alone.
 */
#pragma once
#include "flow.h"

GLOBAL int port_at(const struct pool_address *pool, __u32 index)
{
	__u32 size;

	if (!pool)
		return 0;
	for (int i = 0; i < POOL_RANGES; i++) {
		size = pool->range[i].high - pool->range[i].low + 1;
		if (!pool->range[i].high)
			break;
		if (index < size)
			return pool->range[i].low + index;
		index -= size;
	}
	return 0;
}

struct siphash {
	__u64 v0, v1, v2, v3;
};

INLINE __u64 rotate(__u64 word, int bits)
{
	return word << bits | word >> (64 - bits);
}

INLINE void siphash_round(struct siphash *s)
{
	s->v0 += s->v1;
	s->v1 = rotate(s->v1, 13) ^ s->v0;
	s->v0 = rotate(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotate(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotate(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotate(s->v1, 17) ^ s->v2;
	s->v2 = rotate(s->v2, 32);
}

INLINE void siphash_word(struct siphash *s, __u64 word)
{
	s->v3 ^= word;
	siphash_round(s);
	s->v0 ^= word;
}

/* SipHash-1-3 of two words. */
INLINE __u64 siphash(const __u64 *secret, __u64 first, __u64 second)
{
	struct siphash s = {
		.v0 = secret[0] ^ 0x736f6d6570736575ULL,
		.v1 = secret[1] ^ 0x646f72616e646f6dULL,
		.v2 = secret[0] ^ 0x6c7967656e657261ULL,
		.v3 = secret[1] ^ 0x7465646279746573ULL,
	};

	siphash_word(&s, first);
	siphash_word(&s, second);
	siphash_word(&s, 16ULL << 56);
	s.v2 ^= 0xff;
	for (int i = 0; i < 3; i++)
		siphash_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* The home of an internal port on an address; 0: that has no ports. It changes with the address's ranges: user space enters all bindings in the index then. */
GLOBAL int port_home(const struct session_key *key, const struct pool_address *pool)
{
	struct settings *settings = get_settings();
	__u64 hash;

	if (!key || !pool || !settings)
		return 0;
	hash = siphash(settings->port_secret, (__u64)key->compartment << 32 | hash_address(key->internal_address),
		       (__u64)hash_address(pool->address) << 32 | key->internal_port << 8 | key->protocol);
	return port_at(pool, (hash >> 32) * pool->ports >> 32);
}

/* Whether a binding is that of the flow's internal port. */
INLINE bool is_own(const struct binding *binding, const struct session_key *key)
{
	return binding->compartment == key->compartment && same_address(binding->internal_address, key->internal_address) &&
	       binding->internal_port == key->internal_port;
}
