/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Choosing an external port: by a keyed hash, then at random (RFC 6056, RFC 6888 REQ-15), never one
 * that a mapping has, that a host program listens on or that the host talks
 * from. Design, rule 4.
 */
#pragma once
#include "flow.h"
#include "mapping.h"
#include "port_home.h"

enum {
	LAST_PORTS = 32, /* the last 1/32 of an address's ports is for endpoints with few */
	MANY_PORTS = 256, /* more than 1/256 of them is many */
	RANDOM_TRIES = 16, /* then the range is searched word by word from a random place */
	SEARCH_STEPS = 2 * PORT_WORDS, /* all words, and as many ports in them that turn out to be taken */
	HOST_PORT_MEMORY = 300, /* seconds that a port the host talked from stays the host's */
	HOST_PORT_PRECISION = 10, /* seconds: how often it is noted again that it still does */
};

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

/* The host socket that would receive what a tuple says, described; 0: there is none. */
INLINE __u32 find_socket(struct __sk_buff *skb, __u8 protocol, struct bpf_sock_tuple *tuple, __u32 size)
{
	struct bpf_sock *sock;
	__u32 found;

	/* Two kinds of pointer to the verifier: each is used where it was got. */
	if (protocol == IPPROTO_TCP) {
		sock = bpf_skc_lookup_tcp(skb, tuple, size, BPF_F_CURRENT_NETNS, 0);
		if (!sock)
			return 0;
		found = describe_socket(skb, sock);
		bpf_sk_release(sock);
		return found;
	}
	if (protocol != IPPROTO_UDP)
		return 0;
	sock = bpf_sk_lookup_udp(skb, tuple, size, BPF_F_CURRENT_NETNS, 0);
	if (!sock)
		return 0;
	found = describe_socket(skb, sock);
	asm volatile("" : "+r"(found)); /* keeps the two ways apart, which look the same to the compiler */
	bpf_sk_release(sock);
	return found;
}

/* The host socket that would receive what remote sends to address:port, described; 0: there is none. */
INLINE __u32 host_socket(struct __sk_buff *skb, __u8 protocol, addr_t remote, __be16 remote_port, addr_t address, __be16 port)
{
	struct bpf_sock_tuple tuple;
	__u32 size = socket_tuple(&tuple, remote, remote_port, address, port);

	return find_socket(skb, protocol, &tuple, size);
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

	return used && *used + (HOST_PORT_MEMORY + HOST_PORT_PRECISION) * SECOND > now();
}

/*
 * Whether so few ports of an address are left that they are kept for endpoints
 * that have few: one that has many does not take the last ones from its
 * neighbours (RFC 6888 REQ-4). Ranges of few ports are not divided.
 */
INLINE bool is_scarce(const struct binding_key *key, const struct pool_address *pool)
{
	struct port_bits *bits = port_bits_of(key);

	return pool->all >= MANY_PORTS && bits && bits->used + pool->all / LAST_PORTS >= pool->all;
}

INLINE bool has_many_ports(const struct endpoint_key *endpoint, const struct pool_address *pool)
{
	struct usage *usage = bpf_map_lookup_elem(&usages, endpoint);

	return usage && usage->ports > pool->all / MANY_PORTS;
}

/* What a search for a port needs. How far it is stands in the flow (struct port_cursor), since the stack is small. */
struct port_search {
	struct __sk_buff *skb;
	struct flow *flow;
	const struct pool_address *pool;
	struct port_bits *bits, *reserved;
};

/* Whose a port is that somebody has. A mapping's has no bit: nobody would take that away again. */
enum holder_of_port { HELD_BY_MAPPING, HELD_BY_OTHER, HELD_BY_OWN };
INLINE enum holder_of_port holder_of(const struct flow *flow)
{
	struct binding *binding = bpf_map_lookup_elem(&bindings, &flow->binding_key);

	if (!binding || binding->flags & BINDING_CONFIGURED)
		return HELD_BY_MAPPING;
	return is_own(binding, &flow->key) ? HELD_BY_OWN : HELD_BY_OTHER;
}

/* Whether the port of flow->binding_key is a mapping's on any address, or the host's own. */
NOINLINE int is_in_other_use(const struct port_search *search)
{
	const struct flow *flow = search->flow;
	const struct binding_key *key = &flow->binding_key;
	struct binding_key any = { .port = key->port, .protocol = key->protocol };

	return bpf_map_lookup_elem(&bindings, &any) || host_talks(key) ||
	       host_socket(search->skb, key->protocol, flow->key.remote_address, flow->key.remote_port, key->address, key->port);
}

/* Tries to reserve a port. True ends the search: found, or the table is full. */
INLINE bool port_try(struct port_search *search, __u16 port)
{
	struct flow *flow = search->flow;
	struct binding_key *key = &flow->binding_key;
	enum holder_of_port holder = HELD_BY_OTHER;
	__u64 bit = 1ULL << (port % 64);
	long error;

	key->port = htons(port);
	if (is_in_other_use(search))
		return false;
	/* A dry run has not ended what the port had before. */
	error = unlikely(dry_run) && flow->reclaim.port ? 0 : map_update(&bindings, key, flow->binding, BPF_NOEXIST);
	if (error == -EEXIST)
		holder = holder_of(flow);
	if ((!error || (error == -EEXIST && holder != HELD_BY_MAPPING)) && likely(!dry_run) &&
	    !(__sync_fetch_and_or(&search->bits->word[port / 64], bit) & bit))
		__sync_fetch_and_add(&search->bits->used, 1);
	flow->ports.found = !error;
	if (error && error != -EEXIST)
		flow->ports.failed = not_added(error, REASON_BINDINGS_FULL);
	else if (error && holder == HELD_BY_OWN) /* another CPU was faster: that binding counts */
		flow->ports.failed = REASON_SESSION_CLASH;
	return error != -EEXIST || holder == HELD_BY_OWN;
}

INLINE __u64 reserved_in_word(const struct port_search *search, __u32 word)
{
	return search->reserved ? search->reserved->word[word % PORT_WORDS] : 0;
}

/* The next port to try: the one that was had back, or home, then at random, then in order; 0: none in this step, -1: none at all. */
INLINE int port_next(__u32 round, struct port_search *search)
{
	struct port_cursor *at = &search->flow->ports;
	struct port_bits *bits = search->bits;
	__u32 word, bit;
	__u16 port;

	if (!bits || (round && search->flow->reclaim.port))
		return -1;
	if (search->flow->reclaim.port)
		return search->flow->reclaim.port;
	if (round < RANDOM_TRIES) {
		port = round ? port_at(search->pool, bpf_get_prandom_u32() % (search->pool->ports ?: 1)) : search->flow->home;
		return (bits->word[port / 64] | reserved_in_word(search, port / 64)) >> (port % 64) & 1 ? 0 : port;
	}
	if (at->candidates) {
		bit = __builtin_ctzll(at->candidates);
		at->candidates &= at->candidates - 1;
		return at->base + bit;
	}
	if (at->word == at->end)
		return -1;
	word = at->word++ % PORT_WORDS;
	at->base = word * 64;
	at->candidates = ports_in_word(search->pool, word) & ~bits->word[word] & ~reserved_in_word(search, word);
	return 0;
}

static long port_step(__u32 round, struct port_search *search)
{
	int port = port_next(round, search);

	return port < 0 || (port && port_try(search, port));
}

/* Makes an address's element of port_bits. Returns a drop reason that counts if there is none then. */
NOINLINE int port_bits_add(const struct port_bits_key *key)
{
	return not_added(map_update(&port_bits, key, &no_port_bits, BPF_NOEXIST), REASON_BINDINGS_FULL);
}

/*
 * Reserves a port of the pool for the binding in the flow; flow->binding_key has
 * address and protocol, and gets the port. Returns why not, otherwise
 * REASON_NONE.
 */
INLINE enum reason port_allocate(struct __sk_buff *skb, struct flow *flow, const struct pool_address *pool)
{
	struct port_bits_key key = { .address = flow->binding_key.address, .protocol = flow->binding_key.protocol };
	struct port_search search = { .skb = skb, .flow = flow, .pool = pool };

	search.bits = port_bits_of(&flow->binding_key);
	if (!search.bits) {
		flow->ports.failed = port_bits_add(&key);
		search.bits = unlikely(dry_run) ? (struct port_bits *)&no_port_bits : port_bits_of(&flow->binding_key);
		if (!search.bits)
			return flow->ports.failed;
	}
	search.reserved = bpf_map_lookup_elem(&reserved_ports, &key);
	flow->ports = (struct port_cursor){ .word = bpf_get_prandom_u32() };
	flow->ports.end = flow->ports.word + PORT_WORDS;
	bpf_loop(RANDOM_TRIES + SEARCH_STEPS, port_step, &search, 0);
	if (flow->ports.found)
		return REASON_NONE;
	return flow->ports.failed ?: REASON_OUT_OF_PORTS;
}
