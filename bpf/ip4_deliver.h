/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* The last step of a translated packet. Neither way passes netfilter or the host's IP stack. */
#pragma once
#include "flow.h"
#include "ip4_rewrite.h"

/* By way of an IPv6 router: RFC 8950. */
NOINLINE int deliver_by_ip6(struct __sk_buff *skb, struct flow *flow, __u32 ifindex, __u32 next_hop)
{
	struct bpf_redir_neigh neighbour = { .nh_family = AF_INET6 };
	struct next_hop6 *router = bpf_map_lookup_elem(&next_hops6, &next_hop);

	if (!router)
		return drop(flow, REASON_ROUTE_LOOKUP);
	memcpy(neighbour.ipv6_nh, router, sizeof(*router));
	skb->mark = MARK_TRANSLATED;
	return bpf_redirect_neigh(ifindex, &neighbour, sizeof(neighbour), 0);
}

INLINE int deliver_outside(struct __sk_buff *skb, struct flow *flow, struct way way)
{
	struct bpf_redir_neigh neighbour = { .nh_family = AF_INET, .ipv4_nh = way.next_hop };

	if (unlikely(way.ifindex & NEXT_HOP_IP6))
		return deliver_by_ip6(skb, flow, way.ifindex & ~NEXT_HOP_IP6, way.next_hop);
	skb->mark = MARK_TRANSLATED;
	return bpf_redirect_neigh(way.ifindex, &neighbour, sizeof(neighbour), 0);
}

/* Out of a link of the inside, past the bridge that it may be a port of. */
INLINE int hand_over(struct __sk_buff *skb, __u32 ifindex)
{
	skb->mark = MARK_TO_PORT;
	return bpf_redirect(ifindex, 0);
}

/* Gives a packet from a link without Ethernet the header that the inside needs. */
INLINE bool add_ethernet(struct __sk_buff *skb)
{
	struct ethhdr *ethernet;

	if (bpf_skb_change_head(skb, sizeof(*ethernet), 0))
		return false;
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return false;
	ethernet->protocol = htons(ETH_P_IP);
	return true;
}

INLINE bool address_ethernet(struct __sk_buff *skb, const struct endpoint *endpoint)
{
	struct ethhdr *ethernet = (void *)(long)skb->data;

	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return false;
	memcpy(ethernet->destination, endpoint->mac, sizeof(endpoint->mac));
	memcpy(ethernet->source, endpoint->gateway_mac, sizeof(endpoint->gateway_mac));
	return true;
}

/* The endpoint that has an address, or has it behind it. */
INLINE struct endpoint *find_endpoint(__u32 compartment, __be32 address)
{
	struct subnet_key key = { .length = 32 + ADDRESS_BITS, .compartment = compartment, .address = address };
	struct endpoint *endpoint = bpf_map_lookup_elem(&endpoints, &key.compartment); /* which begins a struct endpoint_key */
	__be32 *router;

	if (likely(endpoint) || likely(!has_setting(SETTING_ALLOWANCES)))
		return endpoint;
	router = bpf_map_lookup_elem(&behind, &key);
	if (!router)
		return NULL;
	key.address = *router;
	return bpf_map_lookup_elem(&endpoints, &key.compartment);
}

INLINE bool is_too_big(const struct __sk_buff *skb, const struct packet *packet, const struct endpoint *endpoint)
{
	return endpoint && endpoint->mtu && unlikely(wire_length(skb, packet) > endpoint->mtu);
}

/* To whoever was last seen with an address at a port of a network's switch. NOT_OURS if nobody was. */
INLINE int deliver_to_port(struct __sk_buff *skb, struct flow *flow, __u32 compartment, __u32 bridge, __be32 address)
{
	struct endpoint_key key = { .compartment = compartment, .address = address };
	struct holder *holder = bpf_map_lookup_elem(&holders, &key);
	struct inside *inside = holder ? bpf_map_lookup_elem(&insides, &bridge) : NULL;
	struct ethhdr *ethernet;

	if (!inside || inside->flags & NETWORK_UNGUARDED)
		return NOT_OURS;
	if (!flow->packet.l3 && !add_ethernet(skb))
		return drop(flow, REASON_MALFORMED);
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return drop(flow, REASON_MALFORMED);
	memcpy(ethernet->destination, holder->mac, sizeof(holder->mac));
	memcpy(ethernet->source, inside->gateway_mac, sizeof(inside->gateway_mac));
	return hand_over(skb, holder->port);
}

/* Hands a translated packet to the endpoint that has address or, if that is none of ours, to its network's bridge. */
INLINE int deliver_to(struct __sk_buff *skb, struct flow *flow, struct endpoint *endpoint, __u32 network_id, __be32 address)
{
	struct bpf_redir_neigh neighbour = { .nh_family = AF_INET, .ipv4_nh = address };
	struct network *network;
	int verdict;

	if (likely(endpoint)) {
		if (!flow->packet.l3 && !add_ethernet(skb))
			return drop(flow, REASON_MALFORMED);
		if (!address_ethernet(skb, endpoint))
			return drop(flow, REASON_MALFORMED);
		if (endpoint->delivery == DELIVER_PEER)
			return bpf_redirect_peer(endpoint->ifindex, 0);
		return hand_over(skb, endpoint->ifindex);
	}
	network = bpf_map_lookup_elem(&networks, &network_id);
	if (!network || !network->bridge_ifindex)
		return drop(flow, REASON_ENDPOINT_GONE);
	verdict = deliver_to_port(skb, flow, network->compartment, network->bridge_ifindex, address);
	if (verdict != NOT_OURS)
		return verdict;
	return bpf_redirect_neigh(network->bridge_ifindex, &neighbour, sizeof(neighbour), 0);
}

INLINE int deliver_inside(struct __sk_buff *skb, struct flow *flow, __u32 compartment, __u32 network_id, __be32 address)
{
	return deliver_to(skb, flow, find_endpoint(compartment, address), network_id, address);
}
