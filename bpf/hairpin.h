/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Hairpin: an endpoint talks to an external address and port that leads to an
 * endpoint, of whichever network or NAT, itself included. The packet goes out
 * and comes in in one step. The receiver sees the sender's external address
 * and port (RFC 4787 REQ-9a), so each side has a session, both marked: they are
 * for each other alone. One step cannot loop: what comes out is inside.
 */
#pragma once
#include "deliver.h"
#include "fragment.h"
#include "open.h"

/* Whether an address and port of the host leads to an endpoint rather than to the host. */
INLINE bool is_published(struct __sk_buff *skb, const struct packet *packet)
{
	struct binding_key key = {
		.address = packet->destination,
		.port = packet->destination_port,
		.protocol = packet->protocol,
	};
	struct binding *binding;

	if (packet->protocol == IPPROTO_ICMP)
		return false; /* the host answers an echo to its address itself */
	binding = find_binding(&key);
	if (!binding)
		return false;
	return binding->flags & BINDING_CONFIGURED || !host_socket(skb, packet->protocol, packet->source, packet->source_port,
								   packet->destination, packet->destination_port, false);
}

/* The binding that a marked session's remote address and port are of, and the key of the session on that side. */
INLINE struct binding *far_side(const struct session_key *key, __be32 external_address, __be16 external_port,
				struct binding_key *binding_key, struct session_key *far_key)
{
	struct binding *binding;

	binding_key->address = key->remote_address;
	binding_key->port = key->remote_port;
	binding_key->protocol = key->protocol;
	binding = find_binding(binding_key);
	if (!binding)
		return NULL;
	key_behind(binding, key->protocol, external_address, external_port, far_key);
	return binding;
}

/* Opens the far side's session if there is none. Returns a drop reason or none. */
GLOBAL int hairpin_open(const struct session_key *key, __be32 external_address, __be16 external_port, __u8 tcp_flags)
{
	struct binding_key binding_key = {};
	struct session_key far_key = {};

	if (!key || !far_side(key, external_address, external_port, &binding_key, &far_key))
		return REASON_NO_MAPPING;
	if (bpf_map_lookup_elem(&sessions, &far_key))
		return REASON_NONE;
	return open_inbound(&far_key, &binding_key, key->remote_address, tcp_flags, SESSION_HAIRPIN);
}

/* Carries a packet of a marked session to the other endpoint. */
NOINLINE int hairpin(struct __sk_buff *skb, const struct session_key *key, struct session *session)
{
	struct packet packet = { .l3 = sizeof(struct ethhdr) };
	struct binding_key binding_key = {};
	struct session_key far_key = {};
	struct session *far;
	__u64 now = bpf_ktime_get_coarse_ns();
	int reason;

	if (!session || parse_ip(skb, &packet) || is_fragment(&packet) || parse_l4(skb, &packet))
		return drop(REASON_FRAGMENT);
	if (!far_side(key, session->external_address, session->external_port, &binding_key, &far_key))
		return drop(REASON_NO_MAPPING);
	far = bpf_map_lookup_elem(&sessions, &far_key);
	if (!far)
		return drop(REASON_SESSION_FAILED);
	if (far->external_address != packet.destination || far->external_port != packet.destination_port)
		return drop(REASON_SESSION_CLASH);
	session_track(key, session, &packet, true, now);
	session_count(skb, session, &packet, true);
	session_track(&far_key, far, &packet, false, now);
	session_count(skb, far, &packet, false);
	reason = rewrite(skb, &packet, SOURCE, session->external_address, session->external_port, 1);
	if (!reason)
		reason = rewrite(skb, &packet, DESTINATION, far_key.internal_address, far_key.internal_port, 0);
	if (reason)
		return drop(reason);
	return deliver_inside(skb, &packet, far_key.compartment, far->network, far_key.internal_address);
}
