/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Every map of the data path. All are pinned: they outlive the daemon. */
#pragma once
#include "types.h"

#define HASH_MAP(name, key_type, value_type, entries)      \
	struct {                                           \
		MAP_UINT(type, BPF_MAP_TYPE_HASH);         \
		MAP_TYPE(key, key_type);                   \
		MAP_TYPE(value, value_type);               \
		MAP_UINT(max_entries, entries);            \
		MAP_UINT(map_flags, BPF_F_NO_PREALLOC);    \
	} name SEC(".maps")

/* Written by user space: what is configured. */
HASH_MAP(insides, __u32, struct inside, 16384);
HASH_MAP(outsides, __u32, struct outside, 4096);
HASH_MAP(networks, __u32, struct network, 4096);
HASH_MAP(endpoints, struct endpoint_key, struct endpoint, 65536);
HASH_MAP(nats, __u32, struct nat, 4096);
HASH_MAP(pools, struct pool_key, struct pool, 16384);
HASH_MAP(host_addresses, __be32, __u32, 4096); /* value: the interface that has it */

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct settings);
	MAP_UINT(max_entries, 1);
} configuration SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_LPM_TRIE);
	MAP_TYPE(key, struct prefix_key);
	MAP_TYPE(value, __u32);
	MAP_UINT(max_entries, 4096);
	MAP_UINT(map_flags, BPF_F_NO_PREALLOC);
} inside_prefixes SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_LPM_TRIE);
	MAP_TYPE(key, struct allowed_key);
	MAP_TYPE(value, __u32);
	MAP_UINT(max_entries, 65536);
	MAP_UINT(map_flags, BPF_F_NO_PREALLOC);
} allowed SEC(".maps");

/*
 * Written by the data path: what lives. Plain hashes, never LRU: a full table
 * refuses the new and keeps the old (RFC 6888 REQ-11D).
 */
HASH_MAP(sessions, struct session_key, struct session, 1 << 20);
HASH_MAP(bindings, struct binding_key, struct binding, 1 << 18);
HASH_MAP(binding_index, struct binding_index_key, __be16, 1 << 18);
HASH_MAP(contacts, struct contact_key, struct contact, 1 << 20);

/*
 * Which external ports have dynamic bindings, a bit each: a hint, so that the
 * last free port of a range is found without asking for each. What counts is
 * the binding's insertion. 8 KiB an address and protocol, made when needed.
 */
HASH_MAP(port_bits, struct port_bits_key, struct port_bits, 1024);

/* Stays zero: what a new element of port_bits is copied from. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct port_bits);
	MAP_UINT(max_entries, 1);
} no_port_bits SEC(".maps");

/* Hints only, so forgetting the oldest is right here. Value: when last used. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct host_port_key);
	MAP_TYPE(value, __u64);
	MAP_UINT(max_entries, 4096);
} host_ports SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u64);
	MAP_UINT(max_entries, REASON_COUNT);
} drops SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_RINGBUF);
	MAP_UINT(max_entries, 1 << 20);
} events SEC(".maps");

INLINE struct settings *get_settings(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&configuration, &zero);
}

/* Counts a drop under its reason; each drop passes here. */
INLINE int drop(enum reason reason)
{
	__u32 index = reason;
	__u64 *count = bpf_map_lookup_elem(&drops, &index);
	if (count)
		*count += 1; /* per CPU, and programs do not nest here */
	return TCX_DROP;
}

/* By value: an address taken of a field would keep the whole struct from registers. */
INLINE bool is_host_address(__be32 address)
{
	return bpf_map_lookup_elem(&host_addresses, &address) != NULL;
}

/* The interface that has an address of the host, 0 if none has. */
INLINE __u32 host_interface(__be32 address)
{
	__u32 *ifindex = bpf_map_lookup_elem(&host_addresses, &address);
	return ifindex ? *ifindex : 0;
}

INLINE bool is_inside_address(__be32 address)
{
	struct prefix_key key = { .length = 32, .address = address };
	return bpf_map_lookup_elem(&inside_prefixes, &key) != NULL;
}
