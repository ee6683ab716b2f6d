/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Hairpin: an endpoint talks to an external address and port that leads to an
 * endpoint, of whichever network or NAT, itself included. The packet goes out
 * and comes in in one step. The receiver sees the sender's external address
 * and port (RFC 4787 REQ-9a), so each side has a session, both marked: they are
 * for each other alone. One step cannot loop: what comes out is inside.
 */
#pragma once
#include "ip4_deliver.h"
#include "ip4_fragment.h"
#include "session_inbound.h"

/* Whether an address and port of the host leads to an endpoint rather than to the host. */
INLINE bool is_published(struct __sk_buff *skb, struct flow *flow)
{
	const struct packet *packet = &flow->packet;
	__u32 found;

	if (packet->protocol == IPPROTO_ICMP)
		return false; /* the host answers an echo to its address itself */
	flow->binding_key = (struct binding_key){
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	found = find_inside(&flow->binding_key, packet->source, packet->source_port, &flow->far_key);
	if (!found || found & BINDING_HOLD_DOWN)
		return false;
	return found & BINDING_CONFIGURED || !socket_of(skb, packet);
}

/* Fills in flow->binding_key and flow->far_key for a session of a hairpin. Returns as find_inside. */
INLINE __u32 far_side(struct flow *flow, const struct session *session)
{
	flow->binding_key = (struct binding_key){
		.address = flow->key.remote_address,
		.port = flow->key.remote_port,
		.protocol = flow->key.protocol,
	};
	return find_inside(&flow->binding_key, session->external_address, session->external_port, &flow->far_key);
}

/* Opens the far side's session if there is none. Returns a drop reason or none. */
NOINLINE int hairpin_open(struct flow *flow, struct session *session)
{
	__u32 found;

	if (!session)
		return REASON_SESSION_FAILED;
	found = far_side(flow, session);
	if (!found)
		return REASON_NO_MAPPING;
	if (bpf_map_lookup_elem(&sessions, &flow->far_key))
		return REASON_NONE;
	return found & BINDING_HOLD_DOWN ? REASON_NO_MAPPING : open_inbound(flow, SESSION_HAIRPIN);
}

/* Carries a packet of a marked session to the other endpoint, whose session there is (hairpin_open). */
NOINLINE int hairpin(struct __sk_buff *skb, struct flow *flow, struct session *session)
{
	struct session *far = find_session(&flow->far_key, &flow->far_session);
	struct packet *packet = &flow->packet;
	struct endpoint *endpoint;
	__u64 time = now();
	int reason, verdict;

	if (unlikely(dry_run) && !far)
		far = &flow->far_session; /* opened just now */
	if (!session || !far)
		return drop(flow, REASON_SESSION_FAILED);
	if (far->external_address != packet->destination || far->external_port != packet->destination_port)
		return drop(flow, REASON_SESSION_CLASH);
	endpoint = find_endpoint(flow->far_key.compartment, flow->far_key.internal_address);
	if (is_too_big(skb, packet, endpoint)) {
		verdict = cut(skb, flow, endpoint->mtu);
		return verdict == NOT_OURS ? refuse_size(flow, endpoint->mtu) : verdict;
	}
	if (is_fragment(packet)) {
		reason = first_fragment_across(skb, flow, far->network, session->external_address);
		if (reason)
			return drop(flow, reason);
	}
	session_track(&flow->key, session, packet, true, time);
	session_count(skb, session, packet, true);
	session_track(&flow->far_key, far, packet, false, time);
	session_count(skb, far, packet, false);
	reason = rewrite(skb, packet, SOURCE, session->external_address, session->external_port, 1);
	if (!reason)
		reason = rewrite(skb, packet, DESTINATION, flow->far_key.internal_address, flow->far_key.internal_port, 0);
	if (reason)
		return drop(flow, reason);
	return deliver_to(skb, flow, endpoint, far->network, flow->far_key.internal_address);
}
