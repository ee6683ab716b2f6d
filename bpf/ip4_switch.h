/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Frames between two machines of one network are handed over here. They do not go
 * up the bridge, where the host's firewall may drop what is bridged (br_netfilter
 * with Docker's FORWARD policy), and it is faster.
 */
#pragma once
#include "ip4_deliver.h"

INLINE bool same_mac(const __u8 *a, const __u8 *b)
{
	return !__builtin_memcmp(a, b, 6);
}

/*
 * An IPv4 frame whose source has been checked. What is for several, for nobody that
 * is known by address and MAC, or too large, is left to the bridge.
 */
NOINLINE int switch_frame(struct __sk_buff *skb, struct flow *flow, const struct inside *inside)
{
	struct endpoint_key key = { .compartment = inside->compartment, .address = flow->packet.destination };
	struct endpoint *endpoint;
	struct ethhdr *ethernet;
	struct holder *holder;

	if ((inside->flags & (NETWORK_SWITCHED | NETWORK_ENDPOINTS_ISOLATED)) != NETWORK_SWITCHED)
		return TCX_NEXT;
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return TCX_NEXT;
	endpoint = bpf_map_lookup_elem(&endpoints, &key);
	if (endpoint) {
		if (endpoint->network != inside->network || !same_mac(endpoint->mac, ethernet->destination) ||
		    is_too_big(skb, &flow->packet, endpoint))
			return TCX_NEXT;
		return endpoint->delivery == DELIVER_PEER ? bpf_redirect_peer(endpoint->ifindex, 0)
							  : hand_over(skb, endpoint->ifindex);
	}
	holder = bpf_map_lookup_elem(&holders, &key);
	if (!holder || inside->flags & NETWORK_UNGUARDED || !same_mac(holder->mac, ethernet->destination))
		return TCX_NEXT;
	return hand_over(skb, holder->port);
}
