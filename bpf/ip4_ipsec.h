/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The host's IPsec policies. What leaves here does not pass the kernel's own
 * way through IPsec, so a packet that a policy wants protected, or held back,
 * must not leave at all. As Linux does, both are looked at: the packet as it comes
 * from the endpoint, and as it leaves.
 */
#pragma once
#include "maps.h"
#include "route.h"

struct ipsec_flow {
	__be32 source, destination;
	__u16 source_port, destination_port; /* host order; ICMP: type and code */
	__u32 ifindex;
	__u8 protocol;
	__u8 forwarded; /* as it comes: what is for forwarded packets counts too */
	__u16 pad;
};

enum { UNDECIDED_OUT = 1, UNDECIDED_FORWARDED = 2 };
struct ipsec_search {
	const struct ipsec_flow *flow;
	__u32 base;
	__u32 undecided; /* a bit for each direction of which the policy that counts has not been found */
	__u32 holds;
};

INLINE bool is_selected(const struct ipsec_policy *policy, const struct ipsec_flow *flow)
{
	return (flow->source & policy->source_mask) == policy->source &&
	       (flow->destination & policy->destination_mask) == policy->destination &&
	       !((flow->source_port ^ policy->source_port) & policy->source_port_mask) &&
	       !((flow->destination_port ^ policy->destination_port) & policy->destination_port_mask) &&
	       (!policy->protocol || policy->protocol == flow->protocol) && (!policy->ifindex || policy->ifindex == flow->ifindex);
}

static long ipsec_step(__u32 round, struct ipsec_search *search)
{
	__u32 index = search->base + round;
	struct ipsec_policy *policy = bpf_map_lookup_elem(&ipsec_policies, &index);
	__u32 direction;

	if (!policy)
		return 1;
	direction = policy->flags & IPSEC_FORWARDED ? UNDECIDED_FORWARDED : UNDECIDED_OUT;
	if (!(search->undecided & direction) || !is_selected(policy, search->flow))
		return 0;
	search->undecided &= ~direction;
	if (!(policy->flags & IPSEC_PASSES)) {
		search->holds = 1;
		return 1;
	}
	if (!search->undecided)
		return 1;
	return 0;
}

/* Whether a policy wants a packet protected, or held back. policies is that of struct settings. */
INLINE bool ipsec_selects(const struct ipsec_flow *flow, __u32 policies)
{
	struct ipsec_search search = {
		.flow = flow,
		.base = policies & IPSEC_SECOND ? IPSEC_POLICIES : 0,
		.undecided = UNDECIDED_OUT | (flow->forwarded ? UNDECIDED_FORWARDED : 0),
	};

	bpf_loop(policies & ~IPSEC_SECOND, ipsec_step, &search, 0);
	return search.holds;
}

/* The same of what a query is for, as it comes and, where the external address is known, as it leaves. */
NOINLINE int ipsec_holds_back(struct ipsec_flow *flow, const struct session_key *key, const struct route_query *query,
			      __u32 ifindex, __u32 policies)
{
	bool is_icmp = key->protocol == IPPROTO_ICMP;

	*flow = (struct ipsec_flow){
		.source = key->internal_address,
		.destination = key->remote_address,
		.source_port = is_icmp ? ICMP_ECHO_REQUEST : ntohs(key->internal_port),
		.destination_port = ntohs(key->remote_port),
		.ifindex = ifindex,
		.protocol = key->protocol,
		.forwarded = true,
	};
	for (int i = 0; i < 2; i++) {
		if (ipsec_selects(flow, policies))
			return true;
		if (!is_set(query->external_address))
			break;
		flow->source = query->external_address;
		flow->source_port = is_icmp ? ICMP_ECHO_REQUEST : ntohs(query->external_port);
		flow->forwarded = false;
	}
	return false;
}
