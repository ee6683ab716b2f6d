/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The way out: asked of the host's own routing tables and rules, as if the
 * packet had come in at the anchor, a link of ours that carries nothing. It
 * alone has forwarding switched on, so the host's ip_forward stays as it is.
 */
#pragma once
#include "route.h"

NOINLINE int find_route(struct __sk_buff *skb, const struct session_key *key, struct route *route)
{
	struct settings *settings = get_settings();
	struct bpf_fib_lookup fib = {
		.family = AF_INET,
		.l4_protocol = key->protocol,
		.sport = key->internal_port,
		.dport = key->remote_port,
		.tot_len = 1, /* asks for the MTU back */
		.ipv4_src = key->internal_address,
		.ipv4_dst = key->remote_address,
	};
	long result;

	if (!settings)
		return REASON_ROUTE_LOOKUP;
	fib.ifindex = settings->anchor_ifindex;
	result = bpf_fib_lookup(skb, &fib, sizeof(fib), BPF_FIB_LOOKUP_SKIP_NEIGH);
	if (result < 0)
		return REASON_ROUTE_LOOKUP;
	if (result != BPF_FIB_LKUP_RET_SUCCESS || fib.family != AF_INET)
		return REASON_NO_ROUTE;
	if (!bpf_map_lookup_elem(&outsides, &fib.ifindex))
		return REASON_NOT_EXTERNAL;
	route->ifindex = fib.ifindex;
	route->next_hop = fib.ipv4_dst;
	route->mtu = fib.tot_len;
	return REASON_NONE;
}
