/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Between networks of one compartment that are open to each other: routed, not translated. */
#pragma once
#include "ip4_deliver.h"
#include "ip4_refuse.h"
#include "ip4_reassembly.h"

/* Nobody's own: a router does not turn what is for one into what is for all (RFC 2644). */
INLINE bool is_end_of_subnet(const struct network *network, __be32 address)
{
	__u32 bridge = network->bridge_ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &bridge);

	return inside && (!(address & ~inside->mask) || !(~address & ~inside->mask));
}

/*
 * What is too big for the way on is cut in the reassembly namespace (RFC 791); where one
 * fragment of a datagram has gone there, the others do too. The sender is told
 * the MTU if nobody may cut.
 */
INLINE int size_to_open_network(struct __sk_buff *skb, const struct inside *inside, const struct packet *packet, __u32 mtu)
{
	int verdict;

	if (unlikely(is_fragment(packet)) && find_passage(skb, packet, inside->compartment)) {
		verdict = to_reassembly(skb, packet->l3, 0);
		if (verdict != NOT_OURS)
			return verdict;
	}
	if (likely(!mtu || wire_length(skb, packet) <= mtu))
		return NOT_OURS;
	verdict = cut(skb, packet, mtu);
	return verdict == NOT_OURS ? refuse(skb, inside, REASON_TOO_BIG, mtu) : verdict;
}

/* NOT_OURS if the packet is for no such network. A function of its own: it reads what it needs of the packet again. */
GLOBAL int to_open_network(struct __sk_buff *skb, const struct inside *inside)
{
	struct packet packet = { .l3 = sizeof(struct ethhdr) };
	struct endpoint *endpoint;
	struct network *network;
	int verdict;
	__u32 *id;

	if (!inside || parse_ip(skb, &packet))
		return NOT_OURS;
	id = find_subnet(inside->compartment, packet.destination);
	network = id ? bpf_map_lookup_elem(&networks, id) : NULL;
	if (!network || !(network->flags & NETWORK_OPEN) || is_host_address(packet.destination))
		return NOT_OURS;
	if (is_end_of_subnet(network, packet.destination))
		return drop(REASON_ISOLATED);
	if (packet.ttl <= 1)
		return refuse(skb, inside, REASON_HOP_LIMIT, 0);
	endpoint = find_endpoint(inside->compartment, packet.destination);
	verdict = size_to_open_network(skb, inside, &packet, endpoint ? endpoint->mtu : 0);
	if (verdict != NOT_OURS)
		return verdict;
	if (rewrite_address(skb, &packet, SOURCE, packet.source, 1))
		return drop(REASON_MALFORMED);
	return deliver_to(skb, &packet, endpoint, *id, packet.destination);
}
