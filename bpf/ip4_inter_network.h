/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Between networks of one compartment that are open to each other, and to what is
 * behind an endpoint: routed, not translated.
 */
#pragma once
#include "ip4_reassembly.h"

/* Nobody's own: a router does not turn what is for one into what is for all (RFC 2644). */
INLINE bool is_end_of_subnet(const struct network *network, __be32 address)
{
	__u32 bridge = network->bridge_ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &bridge);

	return inside && (address & inside->mask) == inside->subnet && (!(address & ~inside->mask) || !(~address & ~inside->mask));
}

/* NOT_OURS if the packet is for no such network. */
NOINLINE int to_open_network(struct __sk_buff *skb, struct flow *flow)
{
	struct packet *packet = &flow->packet;
	struct endpoint *endpoint;
	struct network *network;
	int verdict;
	__u32 *id;

	id = find_subnet(flow->compartment, packet->destination);
	network = id ? bpf_map_lookup_elem(&networks, id) : NULL;
	if (!network || !(network->flags & flow->network_flags & NETWORK_OPEN || *id == flow->network) ||
	    is_host_address(packet->destination))
		return NOT_OURS;
	if (*id == flow->network && network->flags & NETWORK_ENDPOINTS_ISOLATED)
		return refuse(flow, REASON_ISOLATED);
	if (is_end_of_subnet(network, packet->destination))
		return drop(flow, REASON_ISOLATED);
	if (packet->ttl <= 1)
		return refuse(flow, REASON_HOP_LIMIT);
	endpoint = find_endpoint(flow->compartment, packet->destination);
	verdict = fit(skb, flow, endpoint ? endpoint->mtu : 0);
	if (verdict != NOT_OURS)
		return verdict;
	if (rewrite_address(skb, packet, SOURCE, packet->source, 1))
		return drop(flow, REASON_MALFORMED);
	return deliver_to(skb, flow, endpoint, *id, packet->destination);
}
