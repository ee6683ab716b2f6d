/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What becomes of packets, for whoever captures: see observe.h. */
#pragma once
#include "flow.h"

#ifdef OBSERVED

INLINE bool is_at_an_end(const struct capture_settings *wanted, const struct drop_record *outline)
{
	return is_in_prefix(outline->source, wanted->address, wanted->mask) ||
	       is_in_prefix(outline->destination, wanted->address, wanted->mask);
}

INLINE bool has_port(const struct capture_settings *wanted, const struct drop_record *outline)
{
	return outline->source_port == wanted->port || outline->destination_port == wanted->port;
}

/* Whether user space may want it: it looks again, so what cannot be told here is sent. A condition may hold on either side. */
INLINE bool may_be_wanted(const struct capture_settings *wanted, const struct drop_record *before, const struct drop_record *after)
{
	if (before->ethernet_type == htons(ETH_P_IPV6))
		return !is_set(wanted->mask);
	if (wanted->protocol && wanted->protocol != before->protocol && wanted->protocol != after->protocol)
		return false;
	if (is_set(wanted->mask) && !is_at_an_end(wanted, before) && !is_at_an_end(wanted, after))
		return false;
	return !wanted->port || has_port(wanted, before) || has_port(wanted, after);
}

/* The session that a packet belongs to, if there is one. */
INLINE struct session *captured_session(const struct flow *flow)
{
	return flow->key.protocol ? bpf_map_lookup_elem(&sessions, &flow->key) : NULL;
}

INLINE __u32 fate_of(__s32 verdict, __u32 dropped)
{
	if (dropped)
		return FATE_DROPPED;
	return verdict == TCX_REDIRECT ? FATE_SENT : FATE_LEFT;
}

/* Whether user space may want it for what became of it, and for the network that it is of. */
INLINE bool may_its_fate_be_wanted(const struct capture_settings *wanted, const struct flow *flow, __s32 verdict, __u32 dropped)
{
	struct session *session;

	if (wanted->fates && !(wanted->fates & fate_of(verdict, dropped)))
		return false;
	if (wanted->reason && (!dropped || flow->reason != wanted->reason))
		return false;
	if (!wanted->network || wanted->network == flow->network)
		return true;
	session = captured_session(flow);
	return session && session->network == wanted->network;
}

INLINE void capture_session(struct capture_record *record, const struct flow *flow)
{
	struct session *session = captured_session(flow);

	record->key = flow->key;
	record->far_key = flow->far_key;
	record->nat = session ? session->nat : 0;
	record->session_network = session ? session->network : 0;
	record->external_address = session ? session->external_address : NO_ADDRESS;
	record->external_port = session ? session->external_port : 0;
	record->state = session ? session->state : 0;
}

/* Writes a packet of up to room bytes. NULL: the ring is full. */
INLINE struct capture_record *capture_packet(struct __sk_buff *skb, const struct arrival *arrival, __u32 kept, const __u32 room)
{
	struct capture_record *record = bpf_ringbuf_reserve(&captures, sizeof(*record) + room, 0);

	if (!record)
		return NULL;
	memcpy(record->came, arrival->head, CAPTURE_HEAD);
	if (kept > room)
		kept = room;
	record->kept = kept > 0 && !bpf_skb_load_bytes(skb, 0, record + 1, kept) ? kept : 0;
	return record;
}

enum { CAPTURE_SMALL = 192, CAPTURE_MEDIUM = 2048, CAPTURE_LARGE = 65536 };

NOINLINE int went(struct __sk_buff *skb, struct flow *flow, __s32 verdict, __u32 program, __u32 dropped)
{
	__u32 zero = 0, context = program == PROGRAM_REASSEMBLY_ENTER || program == PROGRAM_REASSEMBLY_LEAVE, kept = skb->len;
	struct capture_settings *wanted = bpf_map_lookup_elem(&wanted_captures, &zero);
	struct arrival *arrival = bpf_map_lookup_elem(&arrivals, &context);
	struct capture_record *record;

	if (!wanted || !arrival || !arrival->length || !may_its_fate_be_wanted(wanted, flow, verdict, dropped))
		return 0;
	if (has_filter(wanted)) {
		__builtin_memset(&arrival->outline_after, 0, sizeof(arrival->outline_after));
		describe(skb, flow->packet.l3 ?: (skb->len > arrival->length ? sizeof(struct ethhdr) : 0), &arrival->outline_after);
		if (!may_be_wanted(wanted, &arrival->outline, &arrival->outline_after))
			return 0;
	}
	if (kept > wanted->length)
		kept = wanted->length;
	if (kept <= CAPTURE_SMALL)
		record = capture_packet(skb, arrival, kept, CAPTURE_SMALL);
	else if (kept <= CAPTURE_MEDIUM)
		record = capture_packet(skb, arrival, kept, CAPTURE_MEDIUM);
	else
		record = capture_packet(skb, arrival, kept, CAPTURE_LARGE);
	if (!record) {
		arrival->lost++; /* a program may have 64 maps, and some have nearly so many */
		return 0;
	}
	record->time = since_boot();
	record->id = (__u64)bpf_get_smp_processor_id() << 40 | arrival->packets << 1 | context;
	record->came_length = arrival->length;
	record->length = skb->len;
	record->ifindex = skb->ifindex;
	record->network = flow->network;
	record->compartment = flow->compartment;
	record->verdict = verdict;
	record->program = program;
	record->reason = dropped ? flow->reason : REASON_NONE;
	record->dropped = dropped;
	record->l3 = flow->packet.l3;
	record->mark = arrival->mark;
	record->gso_size = skb->gso_size;
	record->gso_segs = skb->gso_segs;
	capture_session(record, flow);
	bpf_ringbuf_submit(record, 0);
	return 0;
}

#else

INLINE int went(struct __sk_buff *skb, struct flow *flow, __s32 verdict, __u32 program, __u32 dropped)
{
	return 0;
}

#endif
