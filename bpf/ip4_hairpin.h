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
#include "session_open.h"

/* Whether an address and port of the host leads to an endpoint rather than to the host. */
INLINE bool is_published(struct __sk_buff *skb, const struct packet *packet)
{
	struct binding_key key = {
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	struct session_key inside = {};
	__u32 found;

	if (packet->protocol == IPPROTO_ICMP)
		return false; /* the host answers an echo to its address itself */
	found = find_inside(&key, packet->source, packet->source_port, &inside);
	if (!found || found & BINDING_HOLD_DOWN)
		return false;
	return found & BINDING_CONFIGURED || !socket_of(skb, packet);
}

/* Opens the far side's session if there is none. Returns a drop reason or none. */
GLOBAL int hairpin_open(const struct session_key *key, __be32 external_address, __be16 external_port, __u8 tcp_flags)
{
	struct binding_key binding_key = {};
	struct session_key far_key = {};
	__u32 found;

	if (!key)
		return REASON_NO_MAPPING;
	found = far_side(key, external_address, external_port, &binding_key, &far_key);
	if (!found)
		return REASON_NO_MAPPING;
	if (bpf_map_lookup_elem(&sessions, &far_key))
		return REASON_NONE;
	if (found & BINDING_HOLD_DOWN)
		return REASON_NO_MAPPING;
	return open_inbound(&far_key, &binding_key, key->remote_address, tcp_flags, SESSION_HAIRPIN);
}

/* Carries a packet of a marked session to the other endpoint. Returns -MTU if it is too big for that one. */
NOINLINE int hairpin(struct __sk_buff *skb, const struct session_key *key, struct session *session)
{
	struct packet packet = { .l3 = sizeof(struct ethhdr) };
	struct binding_key binding_key = {};
	struct session_key far_key = {};
	struct session *far;
	__u64 now = bpf_ktime_get_coarse_ns();
	struct endpoint *endpoint;
	int reason;

	if (!session || parse_ip(skb, &packet) || parse_l4(skb, &packet))
		return drop(REASON_MALFORMED);
	if (!far_side(key, session->external_address, session->external_port, &binding_key, &far_key))
		return drop(REASON_NO_MAPPING);
	far = bpf_map_lookup_elem(&sessions, &far_key);
	if (!far)
		return drop(REASON_SESSION_FAILED);
	if (far->external_address != packet.destination || far->external_port != packet.destination_port)
		return drop(REASON_SESSION_CLASH);
	endpoint = find_endpoint(far_key.compartment, far_key.internal_address);
	if (is_too_big(skb, &packet, endpoint)) {
		int verdict = cut(skb, &packet, endpoint->mtu);
		return verdict == NOT_OURS ? -(int)endpoint->mtu : verdict;
	}
	if (is_fragment(&packet)) {
		reason = first_fragment_across(skb, &packet, key->compartment, &far_key, far->network, session->external_address);
		if (reason)
			return drop(reason);
	}
	session_track(key, session, &packet, true, now);
	session_count(skb, session, &packet, true);
	session_track(&far_key, far, &packet, false, now);
	session_count(skb, far, &packet, false);
	reason = rewrite(skb, &packet, SOURCE, session->external_address, session->external_port, 1);
	if (!reason)
		reason = rewrite(skb, &packet, DESTINATION, far_key.internal_address, far_key.internal_port, 0);
	if (reason)
		return drop(reason);
	return deliver_to(skb, &packet, endpoint, far->network, far_key.internal_address);
}
