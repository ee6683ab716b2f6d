/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The way out: asked of the host's own routing tables and rules, as if the
 * packet had come in by its network's own link or, where that does not forward,
 * by the anchor, a link of ours that carries nothing.
 */
#pragma once
#include "flow.h"
#include "ip4_address.h"
#include "ip4_ipsec.h"
#include "route.h"

/* What a rule of the host's can go by. */
struct fib_question {
	__u32 input; /* interface that the packet comes in by */
	__u32 table; /* 0: the rules decide */
	__be32 source, destination;
	__be16 source_port, destination_port;
	__u8 protocol, tos;
	__u16 pad;
};

/* What a look-up needs and the stack has no room for; see struct scratch. */
struct route_work {
	struct bpf_fib_lookup fib;
	struct fib_question question;
	struct route inside, neither;
	struct ipsec_flow ipsec;
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct route_work);
	MAP_UINT(max_entries, 1);
} route_works SEC(".maps");

INLINE int fib_reason(long result)
{
	switch (result) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_FRAG_NEEDED: /* for this very packet: its sender is told elsewhere */
		return REASON_NONE;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
		return REASON_ROUTE_BLACKHOLE;
	case BPF_FIB_LKUP_RET_UNREACHABLE:
		return REASON_ROUTE_UNREACHABLE;
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return REASON_ROUTE_PROHIBITED;
	}
	return result < 0 || result == BPF_FIB_LKUP_RET_FWD_DISABLED ? REASON_ROUTE_LOOKUP : REASON_NO_ROUTE;
}

INLINE __u32 hash_next_hop6(const struct next_hop6 *hop)
{
	return mix(hop->word[0] ^ mix(hop->word[1] ^ mix(hop->word[2] ^ mix(hop->word[3]))));
}

/*
 * Asks the kernel's tables. It answers with the interface's MTU where no length
 * is given: with one, a path MTU that the host has learnt for itself would count,
 * and by a forged ICMP error anybody could bind endpoints to that.
 */
NOINLINE int ask_fib(struct __sk_buff *skb, struct route_work *work, struct route *route)
{
	const struct fib_question *question = &work->question;
	struct bpf_fib_lookup *fib = &work->fib;
	__u32 flags = BPF_FIB_LOOKUP_SKIP_NEIGH | (question->table ? BPF_FIB_LOOKUP_DIRECT | BPF_FIB_LOOKUP_TBID : 0);
	long result;
	int reason;

	*fib = (struct bpf_fib_lookup){
		.family = AF_INET,
		.l4_protocol = question->protocol,
		.ifindex = question->input,
		.tos = question->tos,
		.ipv4_src = question->source,
		.ipv4_dst = question->destination,
		.sport = question->source_port,
		.dport = question->destination_port,
		.table = question->table,
	};
	result = bpf_fib_lookup(skb, fib, sizeof(*fib), flags | BPF_FIB_LOOKUP_SRC);
	route->source = fib->ipv4_src;
	if (unlikely(result == -EINVAL)) { /* before Linux 6.7 */
		result = bpf_fib_lookup(skb, fib, sizeof(*fib), flags);
		route->source = NO_ADDRESS;
	}
	reason = fib_reason(result);
	if (reason)
		return question->table && reason == REASON_NO_ROUTE ? REASON_ROUTE_UNREACHABLE : reason;
	route->ifindex = fib->ifindex;
	route->metric = fib->metric;
	route->mtu = fib->tot_len ?: 0xffff; /* loopback's does not fit */
	route->next_hop = fib->ipv4_dst;
	route->via_ip6 = fib->family == AF_INET6;
	if (unlikely(route->via_ip6)) {
		const struct next_hop6 *hop = (const void *)&fib->ipv4_dst;
		route->next_hop = hash_next_hop6(hop);
		map_update(&next_hops6, &route->next_hop, hop, BPF_ANY);
	}
	return REASON_NONE;
}

INLINE bool is_same_way(int reason, const struct route *route, int other_reason, const struct route *other)
{
	return reason == other_reason && (reason || (route->ifindex == other->ifindex && route->next_hop == other->next_hop));
}

INLINE bool is_denied(int reason)
{
	return reason == REASON_ROUTE_BLACKHOLE || reason == REASON_ROUTE_UNREACHABLE || reason == REASON_ROUTE_PROHIBITED ||
	       reason == REASON_NO_ROUTE; /* what a rule "unreachable" gives */
}

/*
 * A flow under an address of the host's: its rules may be for that (policy
 * routing of several uplinks) and for the inside (a VPN for some networks, a kill
 * switch). Where both ways differ, a third one that no such rule is for tells
 * which of them made the difference. work has the inside's question.
 */
INLINE int ask_for_both(struct __sk_buff *skb, struct route_work *work, const struct route_query *query, __u32 anchor,
			struct route *route)
{
	int reason, inside_reason, neither_reason;

	inside_reason = ask_fib(skb, work, &work->inside);
	work->question.input = anchor;
	work->question.source = query->external_address;
	work->question.source_port = query->external_port;
	reason = ask_fib(skb, work, route);
	if (likely(is_same_way(reason, route, inside_reason, &work->inside)))
		return reason;
	work->question.source = NO_ADDRESS;
	neither_reason = ask_fib(skb, work, &work->neither);
	if (is_same_way(inside_reason, &work->inside, neither_reason, &work->neither))
		return reason;
	if (query->kind == ROUTE_ANSWER && !is_denied(inside_reason))
		return reason;
	*route = work->inside;
	return inside_reason;
}

/* A route's own MTU holds for endpoints, locked or not, as where Linux forwards. */
INLINE void limit_mtu(struct route *route, __be32 destination)
{
	struct route_mtu_key key = {
		.length = 128,
		.ifindex = route->ifindex,
		.next_hop = route->next_hop == destination && !route->via_ip6 ? 0 : route->next_hop,
		.metric = route->metric,
		.destination = destination,
	};
	__u32 *mtu = bpf_map_lookup_elem(&route_mtus, &key);

	if (mtu && *mtu && *mtu < route->mtu)
		route->mtu = *mtu;
}

/*
 * Whether there are better sources than an address of the host's: one that is
 * deprecated, or a link-local one for what goes beyond the link (RFC 3927 section 2.7).
 */
INLINE bool is_poor_source(__be32 source, __be32 destination)
{
	struct host_address *address;

	if (unlikely(is_link_local(source)))
		return !is_link_local(destination);
	address = bpf_map_lookup_elem(&host_addresses, &source);
	return address && address->flags & HOST_ADDRESS_DEPRECATED;
}

INLINE __u32 input_of(const struct settings *settings, __u32 network_id)
{
	struct network *network = bpf_map_lookup_elem(&networks, &network_id);

	return network && network->input_ifindex ? network->input_ifindex : settings->anchor_ifindex;
}

/* Global, so that the verifier looks at it once: looked at from each place that asks, loading took ten times as long. */
GLOBAL int find_route(struct __sk_buff *skb, struct flow *flow)
{
	struct settings *settings = get_settings();
	const struct route_query *query;
	const struct session_key *key;
	struct route_work *work;
	__u32 zero = 0, nat_id;
	struct route *route;
	struct nat *nat;
	int reason;

	if (!flow)
		return REASON_ROUTE_LOOKUP;
	key = &flow->key;
	query = &flow->query;
	route = &flow->route;
	nat_id = query->nat;
	work = bpf_map_lookup_elem(&route_works, &zero);
	nat = bpf_map_lookup_elem(&nats, &nat_id);
	if (!settings || !nat || !work)
		return REASON_ROUTE_LOOKUP;
	work->question = (struct fib_question){
		.input = input_of(settings, query->network),
		.table = nat->table,
		.source = key->internal_address,
		.destination = key->remote_address,
		.protocol = key->protocol,
		.tos = query->tos,
	};
	if (key->protocol != IPPROTO_ICMP) {
		work->question.source_port = key->internal_port;
		work->question.destination_port = key->remote_port;
	}
	if (query->kind == ROUTE_OWN || nat->table)
		reason = ask_fib(skb, work, route);
	else
		reason = ask_for_both(skb, work, query, settings->anchor_ifindex, route);
	if (reason)
		return reason;
	if (!bpf_map_lookup_elem(&outsides, &route->ifindex))
		return REASON_NOT_EXTERNAL;
	if (unlikely(settings->flags & SETTING_ROUTE_MTUS))
		limit_mtu(route, key->remote_address);
	if (unlikely(is_poor_source(route->source, key->remote_address)))
		route->source = NO_ADDRESS;
	if (unlikely(settings->ipsec) && ipsec_holds_back(&work->ipsec, key, query, route->ifindex, settings->ipsec))
		return REASON_IPSEC;
	return REASON_NONE;
}

/* The way out of a packet without ports, from an endpoint that has an external address of its own: flow->route. */
INLINE int find_one_to_one_route(struct __sk_buff *skb, struct flow *flow, const struct one_to_one *pair)
{
	flow->query = (struct route_query){
		.nat = pair->nat,
		.network = pair->network,
		.external_address = pair->external_address,
		.tos = flow->packet.tos,
		.kind = ROUTE_OWN_FIXED,
	};
	return find_route(skb, flow);
}
