/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Choosing an external port: at random (RFC 6056, RFC 6888 REQ-15), never one
 * that a mapping has, that a host program listens on or that the host talks
 * from. Design, rule 4.
 */
#pragma once
#include "binding.h"

enum {
	RANDOM_TRIES = 32, /* then the whole range in order, so that the last free port is found */
	HOST_PORT_MEMORY = 300, /* seconds that a port the host talked from stays the host's */
};

INLINE __u16 port_at(const struct pool_address *pool, __u32 index)
{
	__u32 size;

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

/*
 * Whether a host socket would receive what remote sends to address:port; if
 * connected is set, only one that talks to this very remote counts.
 */
INLINE bool host_socket(struct __sk_buff *skb, __u8 protocol, __be32 remote, __be16 remote_port, __be32 address, __be16 port,
			bool connected)
{
	struct bpf_sock_tuple tuple = {
		.saddr = remote,
		.sport = remote_port,
		.daddr = address,
		.dport = port,
	};
	struct bpf_sock *sock;
	bool found;

	/* Two kinds of pointer to the verifier: each is used where it was got. */
	if (protocol == IPPROTO_TCP) {
		sock = bpf_skc_lookup_tcp(skb, &tuple, SOCK_TUPLE_IPV4_SIZE, BPF_F_CURRENT_NETNS, 0);
		if (!sock)
			return false;
		found = !connected || sock->dst_port;
		bpf_sk_release(sock);
		return found;
	}
	if (protocol != IPPROTO_UDP)
		return false;
	sock = bpf_sk_lookup_udp(skb, &tuple, SOCK_TUPLE_IPV4_SIZE, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return false;
	found = !connected || sock->dst_port;
	bpf_sk_release(sock);
	return found;
}

/* Whether the host talked from this port lately (see outside_egress). */
INLINE bool host_talks(const struct binding_key *key)
{
	struct host_port_key port = { .address = key->address, .port = key->port, .protocol = key->protocol };
	__u64 *used = bpf_map_lookup_elem(&host_ports, &port);

	return used && *used + HOST_PORT_MEMORY * SECOND > bpf_ktime_get_coarse_ns();
}

struct port_search {
	struct __sk_buff *skb;
	const struct pool_address *pool;
	struct binding *binding; /* what to insert */
	struct binding_key key; /* result */
	__be32 remote;
	__be16 remote_port;
	bool found, full;
	__u32 start;
};

static long port_try(__u32 round, struct port_search *search)
{
	__u32 ports = search->pool->ports;
	__u32 index = round < RANDOM_TRIES ? bpf_get_prandom_u32() : search->start + round;
	struct binding_key any = { .protocol = search->key.protocol };
	long error;

	if (!ports)
		return 1;
	search->key.port = any.port = htons(port_at(search->pool, index % ports));
	if (bpf_map_lookup_elem(&bindings, &search->key) || bpf_map_lookup_elem(&bindings, &any) || host_talks(&search->key) ||
	    host_socket(search->skb, search->key.protocol, search->remote, search->remote_port, search->key.address,
			search->key.port, false))
		return 0;
	error = bpf_map_update_elem(&bindings, &search->key, search->binding, BPF_NOEXIST);
	if (error == -EEXIST)
		return 0; /* another CPU was faster */
	search->found = !error;
	search->full = error;
	return 1;
}

/*
 * Reserves a port of the pool for binding and returns it in search->key.
 * Returns why not, otherwise REASON_NONE.
 */
INLINE enum reason port_allocate(struct port_search *search)
{
	search->start = bpf_get_prandom_u32();
	bpf_loop(RANDOM_TRIES + search->pool->ports, port_try, search, 0);
	if (search->found)
		return REASON_NONE;
	return search->full ? REASON_BINDINGS_FULL : REASON_OUT_OF_PORTS;
}
