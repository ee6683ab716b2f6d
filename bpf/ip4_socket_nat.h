/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The host's own programs reach a mapping by any address of the host and by
 * loopback. There is no packet to translate: the socket is pointed at the
 * endpoint when it connects or sends, and is shown what it dialled when it
 * asks. Limited to the daemon's network namespace.
 */
#pragma once
#include "ip4_address.h"
#include "mapping.h"

struct socket_nat_key {
	__u64 socket; /* cookie */
	__be32 address; /* the endpoint's */
	__be16 port;
	__u16 pad;
};

struct dialled {
	__be32 ip6[4]; /* as the program gave it; IPv4 in the last word alone */
	__be16 port;
	__u16 pad;
};

/* A hint for showing, so the oldest may go: a socket then sees the endpoint's address. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_LRU_HASH);
	MAP_TYPE(key, struct socket_nat_key);
	MAP_TYPE(value, struct dialled);
	MAP_UINT(max_entries, 65536);
} socket_nat SEC(".maps");

/*
 * Fills in the mapping's end that a host program means by address:port. False
 * if that is none. The program counts as a remote with that address.
 */
INLINE bool socket_target(struct bpf_sock_addr *ctx, __be32 address, struct session_key *inside)
{
	struct settings *settings = get_settings();
	struct binding_key key = { .address = address, .port = ctx->user_port, .protocol = ctx->protocol };
	__u32 found;

	if (!settings || settings->netns_cookie != bpf_get_netns_cookie(ctx))
		return false;
	if (ctx->protocol != IPPROTO_TCP && ctx->protocol != IPPROTO_UDP)
		return false;
	if (!is_loopback(address) && !is_host_address(address))
		return false;
	found = find_inside(&key, address, 0, inside);
	return found & BINDING_CONFIGURED && lets_in(mapping_of(&key), found, address);
}

INLINE void note_dialled(struct bpf_sock_addr *ctx, const struct session_key *inside, const struct dialled *dialled)
{
	struct socket_nat_key key = {
		.socket = bpf_get_socket_cookie(ctx),
		.address = inside->internal_address,
		.port = inside->internal_port,
	};

	map_update(&socket_nat, &key, dialled, BPF_ANY);
}

/*
 * The way to an endpoint that the host's main table does not know, or leads away
 * from: the socket is bound to the network's bridge. One that is not connecting might be used
 * for others later, and is left alone. False: do not dial.
 */
INLINE bool bind_unrouted(struct bpf_sock_addr *ctx, const struct session_key *inside, bool connecting)
{
	__u32 *id = find_subnet(inside->compartment, inside->internal_address);
	struct network *network = id ? bpf_map_lookup_elem(&networks, id) : NULL;
	__u32 ifindex;

	if (likely(!network || !is_lost_to_host(network->flags, inside->internal_address)))
		return true;
	ifindex = network->bridge_ifindex;
	return connecting && !bpf_setsockopt(ctx, SOL_SOCKET, SO_BINDTOIFINDEX, &ifindex, sizeof(ifindex));
}

/* connect and sendto of an IPv4 socket. */
INLINE void socket_dial4(struct bpf_sock_addr *ctx, bool connecting)
{
	struct dialled dialled = { .ip6 = { 0, 0, 0, ctx->user_ip4 }, .port = ctx->user_port };
	struct session_key inside = {};

	if (!socket_target(ctx, ctx->user_ip4, &inside) || !bind_unrouted(ctx, &inside, connecting))
		return;
	note_dialled(ctx, &inside, &dialled);
	ctx->user_ip4 = inside.internal_address;
	ctx->user_port = inside.internal_port;
}

/* ::ffff:0:0/96, RFC 4291 section 2.5.5.2 */
#define MAPPED_WORD htonl(0xffff)

/* The same of an IPv6 socket: to a v4-mapped address (Java, dual-stack programs), or to ::1. */
INLINE void socket_dial6(struct bpf_sock_addr *ctx, bool connecting)
{
	struct dialled dialled = {
		.ip6 = { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] },
		.port = ctx->user_port,
	};
	__be32 address = dialled.ip6[3];
	struct session_key inside = {};

	if (dialled.ip6[0] || dialled.ip6[1])
		return;
	if (!dialled.ip6[2] && address == htonl(1))
		address = htonl(0x7f000001);
	else if (dialled.ip6[2] != MAPPED_WORD)
		return;
	if (!socket_target(ctx, address, &inside) || !bind_unrouted(ctx, &inside, connecting))
		return;
	note_dialled(ctx, &inside, &dialled);
	ctx->user_ip6[2] = MAPPED_WORD;
	ctx->user_ip6[3] = inside.internal_address;
	ctx->user_port = inside.internal_port;
}

/* getpeername, and the sender that recvfrom tells: what was dialled for address:port. */
INLINE struct dialled *find_dialled(struct bpf_sock_addr *ctx, __be32 address)
{
	struct socket_nat_key key = { .socket = bpf_get_socket_cookie(ctx), .address = address, .port = ctx->user_port };

	return bpf_map_lookup_elem(&socket_nat, &key);
}

INLINE void socket_show4(struct bpf_sock_addr *ctx)
{
	struct dialled *dialled = find_dialled(ctx, ctx->user_ip4);

	if (!dialled)
		return;
	ctx->user_ip4 = dialled->ip6[3];
	ctx->user_port = dialled->port;
}

INLINE void socket_show6(struct bpf_sock_addr *ctx)
{
	struct dialled *dialled;

	if (ctx->user_ip6[0] || ctx->user_ip6[1] || ctx->user_ip6[2] != MAPPED_WORD)
		return;
	dialled = find_dialled(ctx, ctx->user_ip6[3]);
	if (!dialled)
		return;
	ctx->user_ip6[2] = dialled->ip6[2];
	ctx->user_ip6[3] = dialled->ip6[3];
	ctx->user_port = dialled->port;
}
