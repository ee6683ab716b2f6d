/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Choosing an external port: at random (RFC 6056, RFC 6888 REQ-15), never one
 * that a mapping has, that a host program listens on or that the host talks
 * from. Design, rule 4.
 */
#pragma once
#include "mapping.h"
#include "packet.h"

enum {
	RANDOM_TRIES = 16, /* then the range is searched word by word from a random place */
	SEARCH_STEPS = 2 * PORT_WORDS, /* all words, and as many ports in them that turn out to be taken */
	HOST_PORT_MEMORY = 300, /* seconds that a port the host talked from stays the host's */
};

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

/* The ports of a word of port_bits that the pool may use, a bit each. */
GLOBAL __u64 ports_in_word(const struct pool_address *pool, __u32 word)
{
	__u32 first = word * 64, last = first + 63, low, high;
	__u64 ports = 0;

	if (!pool)
		return 0;
	for (int i = 0; i < POOL_RANGES; i++) {
		low = pool->range[i].low;
		high = pool->range[i].high;
		if (!high || high < first || low > last)
			continue;
		low = low > first ? low - first : 0;
		high = high < last ? high - first : 63;
		ports |= (~0ULL >> (63 - (high & 63))) & (~0ULL << (low & 63));
	}
	return ports;
}

enum { /* what a host socket is to a packet */
       SOCKET_FOUND = 1, /* it would get it */
       SOCKET_CONNECTED = 2, /* it talks to this very remote */
       SOCKET_BOUND_HERE = 4, /* it is bound to the interface that the packet is at */
};

INLINE __u32 describe_socket(const struct __sk_buff *skb, const struct bpf_sock *sock)
{
	return SOCKET_FOUND | (sock->dst_port ? SOCKET_CONNECTED : 0) |
	       (sock->bound_dev_if == skb->ifindex ? SOCKET_BOUND_HERE : 0);
}

/* The host socket that would receive what remote sends to address:port, described; 0: there is none. */
INLINE __u32 host_socket(struct __sk_buff *skb, __u8 protocol, addr_t remote, __be16 remote_port, addr_t address, __be16 port)
{
	struct bpf_sock_tuple tuple;
	__u32 size = socket_tuple(&tuple, remote, remote_port, address, port);
	struct bpf_sock *sock;
	__u32 found;

	/* Two kinds of pointer to the verifier: each is used where it was got. */
	if (protocol == IPPROTO_TCP) {
		sock = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sock)
			return 0;
		found = describe_socket(skb, sock);
		bpf_sk_release(sock);
		return found;
	}
	if (protocol != IPPROTO_UDP)
		return 0;
	sock = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return 0;
	found = describe_socket(skb, sock);
	asm volatile("" : "+r"(found)); /* keeps the two ways apart, which look the same to the compiler */
	bpf_sk_release(sock);
	return found;
}

/* The same for a packet whose ports have been read. */
INLINE __u32 socket_of(struct __sk_buff *skb, const struct packet *packet)
{
	return host_socket(skb, packet->protocol, packet->source, packet->source_port, packet->destination,
			   packet->destination_port);
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
	struct port_bits *bits, *reserved;
	struct binding_key key; /* result */
	addr_t remote;
	__be16 remote_port;
	bool found, full;
	__u32 word; /* the next to be looked at */
	__u32 end; /* where it has been everywhere; both count on beyond the last word */
	__u32 base; /* first port of the word at hand */
	__u64 candidates; /* of that word */
};

/* A mapping's port has no bit: nobody would take it away again. */
INLINE bool is_dynamic(const struct binding_key *key)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, key);
	return binding && !(binding->flags & BINDING_CONFIGURED);
}

/* Tries to reserve a port. True ends the search: found, or no room in the table. */
INLINE bool port_try(struct port_search *search, __u16 port)
{
	struct binding_key any = { .protocol = search->key.protocol };
	long error;

	search->key.port = any.port = htons(port);
	if (bpf_map_lookup_elem(&bindings, &any) || host_talks(&search->key) ||
	    host_socket(search->skb, search->key.protocol, search->remote, search->remote_port, search->key.address,
			search->key.port))
		return false;
	error = bpf_map_update_elem(&bindings, &search->key, search->binding, BPF_NOEXIST);
	if (!error || (error == -EEXIST && is_dynamic(&search->key)))
		__sync_fetch_and_or(&search->bits->word[port / 64], 1ULL << (port % 64));
	search->found = !error;
	search->full = error && error != -EEXIST;
	return error != -EEXIST;
}

INLINE __u64 reserved_in_word(const struct port_search *search, __u32 word)
{
	return search->reserved ? search->reserved->word[word % PORT_WORDS] : 0;
}

/* The next port to try: at random, then in order; 0: none in this step, -1: none at all. */
INLINE int port_next(__u32 round, struct port_search *search)
{
	struct port_bits *bits = search->bits;
	__u32 word, bit;
	__u16 port;

	if (!bits)
		return -1;
	if (round < RANDOM_TRIES) {
		port = port_at(search->pool, bpf_get_prandom_u32() % (search->pool->ports ?: 1));
		return (bits->word[port / 64] | reserved_in_word(search, port / 64)) >> (port % 64) & 1 ? 0 : port;
	}
	if (search->candidates) {
		bit = __builtin_ctzll(search->candidates);
		search->candidates &= search->candidates - 1;
		return search->base + bit;
	}
	if (search->word == search->end)
		return -1;
	word = search->word++ % PORT_WORDS;
	search->base = word * 64;
	search->candidates = ports_in_word(search->pool, word) & ~bits->word[word] & ~reserved_in_word(search, word);
	return 0;
}

static long port_step(__u32 round, struct port_search *search)
{
	int port = port_next(round, search);

	return port < 0 || (port && port_try(search, port));
}

/*
 * Reserves a port of the pool for binding and returns it in search->key.
 * Returns why not, otherwise REASON_NONE.
 */
INLINE enum reason port_allocate(struct port_search *search)
{
	struct port_bits_key key = { .address = search->key.address, .protocol = search->key.protocol };
	__u32 zero = 0;

	search->bits = port_bits_of(&search->key);
	if (!search->bits) {
		struct port_bits *none = bpf_map_lookup_elem(&no_port_bits, &zero);
		if (none)
			bpf_map_update_elem(&port_bits, &key, none, BPF_NOEXIST);
		search->bits = port_bits_of(&search->key);
		if (!search->bits)
			return REASON_BINDINGS_FULL;
	}
	search->reserved = bpf_map_lookup_elem(&reserved_ports, &key);
	search->word = bpf_get_prandom_u32();
	search->end = search->word + PORT_WORDS;
	bpf_loop(RANDOM_TRIES + SEARCH_STEPS, port_step, search, 0);
	if (search->found)
		return REASON_NONE;
	return search->full ? REASON_BINDINGS_FULL : REASON_OUT_OF_PORTS;
}
