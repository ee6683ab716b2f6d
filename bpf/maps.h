/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Every map of the data path. All are pinned: they outlive the daemon. */
#pragma once
#include "event_types.h"

#define HASH_MAP(name, key_type, value_type, entries) KEYED_MAP(BPF_MAP_TYPE_HASH, name, key_type, value_type, entries)
#define LPM_MAP(name, key_type, value_type, entries) KEYED_MAP(BPF_MAP_TYPE_LPM_TRIE, name, key_type, value_type, entries)
#define KEYED_MAP(map_type, name, key_type, value_type, entries)      \
	struct {                                           \
		MAP_UINT(type, map_type);         \
		MAP_TYPE(key, key_type);                   \
		MAP_TYPE(value, value_type);               \
		MAP_UINT(max_entries, entries);            \
		MAP_UINT(map_flags, BPF_F_NO_PREALLOC);    \
	} name SEC(".maps")

/* Written by user space: what is configured. */
HASH_MAP(insides, __u32, struct inside, 16384);
HASH_MAP(outsides, __u32, struct outside, 4096);
HASH_MAP(networks, __u32, struct network, 16384);
HASH_MAP(endpoints, struct endpoint_key, struct endpoint, 65536);
HASH_MAP(leases, struct endpoint_key, struct lease, 65536); /* of who is no managed endpoint */
HASH_MAP(nats, __u32, struct nat, 4096);
HASH_MAP(pools, struct pool_key, struct pool, 65536);
HASH_MAP(host_addresses, addr_t, struct host_address, 4096);
HASH_MAP(broadcasts, addr_t, __u32, 4096); /* of the host's subnets; value: the interface */

/* MTUs that routes have of their own, in bytes; 0: none, though others that are asked for alike have one. */
LPM_MAP(route_mtus, struct route_mtu_key, __u32, 65536);

/* Two halves: user space fills the one that is not in use. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct ipsec_policy);
	MAP_UINT(max_entries, IPSEC_POLICIES * 2);
} ipsec_policies SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct settings);
	MAP_UINT(max_entries, 1);
} configuration SEC(".maps");

/* Value: id of the network; 0: within its subnet, but the host reaches these addresses on another link (a LAN or VPN that overlaps). */
LPM_MAP(inside_prefixes, struct prefix_key, __u32, 4096);

/* Further addresses of endpoints. */
LPM_MAP(sources, struct source_key, __u32, 16384); /* value: enum source_flags */
LPM_MAP(behind, struct subnet_key, addr_t, 16384); /* value: address of the endpoint; 0: several may have it, and ARP says who has */

LPM_MAP(allowed, struct allowed_key, __u32, 65536);

LPM_MAP(subnets, struct subnet_key, __u32, 16384); /* value: id of the network */

HASH_MAP(one_to_one_in, addr_t, struct one_to_one, 4096); /* by external address */
HASH_MAP(one_to_one_out, struct endpoint_key, struct one_to_one, 4096);
HASH_MAP(mappings, __u32, struct mapping, 65536);
LPM_MAP(ranges, struct range_key, __u32, 65536); /* value: id of the mapping */

LPM_MAP(inside_ranges, struct inside_range_key, __u32, 65536); /* the same */

/*
 * Written by the data path: what lives. Plain hashes, never LRU: a full table
 * refuses the new and keeps the old (RFC 6888 REQ-11D).
 */
HASH_MAP(sessions, struct session_key, struct session, 1 << 20);
HASH_MAP(bindings, struct binding_key, struct binding, 1 << 18);
HASH_MAP(binding_index, struct binding_index_key, struct way_out, 1 << 18);
HASH_MAP(filter_entries, struct filter_key, struct filter_entry, 1 << 20);
HASH_MAP(dependent_ports, struct dependent_port_key, struct dependent_port, 1 << 20);
HASH_MAP(dependent_count, __u32, __u64, 4096); /* endpoint-dependent sessions of a NAT */
HASH_MAP(usages, struct endpoint_key, struct usage, 65536);

/* Who is where on networks' switches: see ip4_station.h. */
HASH_MAP(managed_macs, struct station_key, __u32, 65536); /* of endpoints that we attached: their links. Written by user space */
HASH_MAP(stations, struct station_key, struct station, 65536);
HASH_MAP(holders, struct endpoint_key, struct holder, 65536);
HASH_MAP(port_loads, __u32, struct port_load, 16384); /* by interface */

/* Ports that nobody uses and that are not free yet, a queue for each NAT, address and protocol: see spare.h. */
HASH_MAP(spare_queues, struct spare_queue_key, struct spare_queue, 16384);
HASH_MAP(spare_ports, struct spare_key, struct spare, 1 << 19);

/*
 * Which external ports have dynamic bindings, a bit each: a hint, so that the
 * last free port of a range is found without asking for each. What counts is
 * the binding's insertion. 8 KiB an address and protocol, made when needed.
 */
HASH_MAP(port_bits, struct port_bits_key, struct port_bits, 1024);

/*
 * Ports that no dynamic binding may have: those of mappings and whatever else
 * user space keeps, a bit each.
 */
HASH_MAP(reserved_ports, struct port_bits_key, struct port_bits, 1024);

/* What large new elements are copied from, such as those of port_bits: the stack has no room for them. */
static const struct port_bits no_port_bits;

/* IPv6 routers by way of which IPv4 packets leave; each look-up of a route enters it again. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct next_hop6);
	MAP_UINT(max_entries, 1024);
} next_hops6 SEC(".maps");

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

/* Drops have a ring of their own: a flood of them costs no other event. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_RINGBUF);
	MAP_UINT(max_entries, 1 << 19);
} drop_events SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32); /* enum lost_kind */
	MAP_TYPE(value, __u64);
	MAP_UINT(max_entries, LOST_KINDS);
} lost_events SEC(".maps");

/*
 * Set in programs of their own, which run packets to see what would become of
 * them: they decide everything, and change no map. In the others the verifier
 * knows that it is false, and leaves out what depends on it.
 */
const volatile bool dry_run = false;

enum { MAP_TRIES = 4 };

/*
 * Whether a map could just not be written then, which says nothing of its room:
 * its lock was held (by which error depends on the kernel), or the CPU's few
 * elements in stock were used up.
 */
INLINE bool is_busy(long error)
{
	return error == -EBUSY || error == -ENOMEM || error == -EAGAIN || error == -EDEADLK || error == -ETIMEDOUT;
}

/* What the data path writes goes through these two. Who was too busy is asked again. */
INLINE long map_update(void *map, const void *key, const void *value, __u64 flags)
{
	int tries = MAP_TRIES;
	long error;

	if (unlikely(dry_run))
		return flags == BPF_NOEXIST && bpf_map_lookup_elem(map, key) ? -EEXIST : 0;
	do
		error = bpf_map_update_elem(map, key, value, flags);
	while (unlikely(is_busy(error)) && --tries);
	return error;
}

INLINE long map_delete(void *map, const void *key)
{
	int tries = MAP_TRIES;
	long error;

	if (unlikely(dry_run))
		return 0;
	do
		error = bpf_map_delete_elem(map, key);
	while (unlikely(is_busy(error)) && --tries);
	return error;
}

/* The drop reason of an element that could not be added. */
INLINE enum reason not_added(long error, enum reason full)
{
	return is_busy(error) ? REASON_TABLE_BUSY : full;
}

/* The data path's time: monotonic, ns. A clock tick behind the exact one, and much cheaper. */
INLINE __u64 now(void)
{
	return bpf_ktime_get_coarse_ns();
}

/* The recorder's: ns since the machine has booted, suspended or not, so that it still says when something was after a sleep. */
INLINE __u64 since_boot(void)
{
	return bpf_ktime_get_boot_ns();
}

/* When a session was last kept alive, by either direction. */
INLINE __u64 session_refreshed(const struct session *session)
{
	return session->refreshed > session->refreshed_in ? session->refreshed : session->refreshed_in;
}

INLINE __u32 mix(__u32 value)
{
	value = (value ^ (value >> 16)) * 0x45d9f3b;
	return value ^ (value >> 16);
}

INLINE struct settings *get_settings(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&configuration, &zero);
}

INLINE bool has_ipsec(void)
{
	struct settings *settings = get_settings();
	return settings && settings->ipsec;
}

INLINE bool has_setting(__u32 flag)
{
	struct settings *settings = get_settings();
	return settings && settings->flags & flag;
}

/* By value: an address taken of a field would keep all of the struct from registers. */
INLINE bool is_host_address(addr_t address)
{
	return bpf_map_lookup_elem(&host_addresses, &address) != NULL;
}

/* The interface that has an address of the host, 0 if none has. */
INLINE __u32 host_interface(addr_t address)
{
	struct host_address *host = bpf_map_lookup_elem(&host_addresses, &address);
	return host ? host->ifindex : 0;
}

/* The id of the network whose subnet an address is in; NULL: it is in none of the compartment's. */
INLINE __u32 *find_subnet(__u32 compartment, addr_t address)
{
	struct subnet_key key = { .length = 32 + ADDRESS_BITS, .compartment = compartment, .address = address };

	return bpf_map_lookup_elem(&subnets, &key);
}

INLINE __u32 *find_inside_prefix(addr_t address)
{
	struct prefix_key key = { .length = ADDRESS_BITS, .address = address };

	return bpf_map_lookup_elem(&inside_prefixes, &key);
}

/* Whether an address is a network's and nobody's outside. Of networks that the host's routing tables leave out only the gateway's is. */
INLINE bool is_inside_address(addr_t address)
{
	__u32 *network = find_inside_prefix(address);

	return network && *network;
}

/* Whether a destination is in another network's subnet. What overlaps with the host's own surroundings is outside for all networks but its own. */
INLINE bool is_isolated(__u32 compartment, addr_t destination)
{
	__u32 *network = find_inside_prefix(destination);

	return network ? *network : find_subnet(compartment, destination) != NULL;
}

/* Whether what the host sends to an address of a network would go to another link by its routing tables. */
INLINE bool is_lost_to_host(__u32 network_flags, addr_t address)
{
	__u32 *network;

	if (likely(!(network_flags & (NETWORK_UNROUTED | NETWORK_HOST_OVERLAP))))
		return false;
	if (network_flags & NETWORK_UNROUTED)
		return true;
	network = find_inside_prefix(address);
	return network && !*network;
}

/*
 * Whether an endpoint takes a remote for one of its own network, or of one that
 * is open to it, though it is outside: its answers would stay inside.
 */
INLINE bool is_near(__u32 compartment, addr_t internal, addr_t remote)
{
	__u32 *remotes = find_subnet(compartment, remote), *own;
	struct network *network;

	if (likely(!remotes))
		return false;
	own = find_subnet(compartment, internal);
	network = bpf_map_lookup_elem(&networks, remotes);
	return !own || *own == *remotes || !network || network->flags & NETWORK_OPEN;
}
