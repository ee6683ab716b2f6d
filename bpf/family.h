/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The address family that a compilation is for: the one header that knows.
 * Everything that names neither IPv4 nor IPv6 uses addr_t and what is below,
 * so that it can be compiled once for each. There is no program for IPv6 yet;
 * with FAMILY_IP6 scripts/lint.sh only checks that the other headers compile.
 */
#pragma once
#include "kernel.h"

#ifdef FAMILY_IP6

typedef struct {
	__be32 word[4];
} addr_t;
enum {
	ADDRESS_BITS = 128,
	QUERY_PROTOCOL = 58, /* ICMPv6 */
};

INLINE bool same_address(addr_t a, addr_t b)
{
	return !__builtin_memcmp(&a, &b, sizeof(a));
}

INLINE addr_t address_of_all(__be32 word)
{
	return (addr_t){ { word, word, word, word } };
}

INLINE bool is_in_prefix(addr_t address, addr_t of, addr_t mask)
{
	for (int i = 0; i < 4; i++) {
		if ((address.word[i] ^ of.word[i]) & mask.word[i])
			return false;
	}
	return true;
}

INLINE __u32 hash_address(addr_t address)
{
	return address.word[0] ^ address.word[1] ^ address.word[2] ^ address.word[3];
}

INLINE __u32 socket_tuple(struct bpf_sock_tuple *tuple, addr_t remote, __be16 remote_port, addr_t address, __be16 port)
{
	memcpy(tuple->ipv6.saddr, &remote, sizeof(remote));
	memcpy(tuple->ipv6.daddr, &address, sizeof(address));
	tuple->ipv6.sport = remote_port;
	tuple->ipv6.dport = port;
	return sizeof(tuple->ipv6);
}

#else

typedef __be32 addr_t;
enum {
	ADDRESS_BITS = 32,
	QUERY_PROTOCOL = IPPROTO_ICMP,
};

INLINE bool same_address(addr_t a, addr_t b)
{
	return a == b;
}

INLINE addr_t address_of_all(__be32 word)
{
	return word;
}

INLINE bool is_in_prefix(addr_t address, addr_t of, addr_t mask)
{
	return !((address ^ of) & mask);
}

INLINE __u32 hash_address(addr_t address)
{
	return address;
}

/* Fills in what asks for a socket, and returns its size. */
INLINE __u32 socket_tuple(struct bpf_sock_tuple *tuple, addr_t remote, __be16 remote_port, addr_t address, __be16 port)
{
	tuple->ipv4.saddr = remote;
	tuple->ipv4.daddr = address;
	tuple->ipv4.sport = remote_port;
	tuple->ipv4.dport = port;
	return sizeof(tuple->ipv4);
}

#endif

#define NO_ADDRESS address_of_all(0)
#define EVERY_ADDRESS address_of_all(~0U) /* in the binding index: on whichever a mapping has */

INLINE bool is_set(addr_t address)
{
	return !same_address(address, NO_ADDRESS);
}
