/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The flight recorder: the last packets that were dropped and the last sessions
 * that ended, for whoever asks afterwards why something failed. It is written on
 * drops and ends alone, so what goes through pays nothing for it, and it goes on
 * while no daemon runs.
 *
 * Each recorder is an array of parts, and each part a ring. All that one
 * endpoint has dropped, and all sessions of one endpoint, are in one part: a
 * flood overwrites little but its own.
 */
#pragma once
#include "event.h"
#include "flow.h"

enum {
	RECORD_PARTS = 64,
	DROPS_IN_PART = 128,
	ENDS_IN_PART = 1024,
};

#define RECORDER(name, record_type, in_part)                               \
	struct {                                                           \
		MAP_UINT(type, BPF_MAP_TYPE_ARRAY);                        \
		MAP_TYPE(key, __u32);                                      \
		MAP_TYPE(value, record_type);                              \
		MAP_UINT(max_entries, RECORD_PARTS *(in_part));            \
	} name SEC(".maps");                                               \
	struct {                                                           \
		MAP_UINT(type, BPF_MAP_TYPE_ARRAY);                        \
		MAP_TYPE(key, __u32);                                      \
		MAP_TYPE(value, __u64); /* how many were written so far */ \
		MAP_UINT(max_entries, RECORD_PARTS);                       \
	} name##_written SEC(".maps")

RECORDER(drop_records, struct drop_record, DROPS_IN_PART);
RECORDER(end_records, struct end_record, ENDS_IN_PART);

/* Writes a serial number: after what stands before it, and before what comes next. */
INLINE void stamp(__u64 *number, __u64 serial)
{
	asm volatile("" ::: "memory");
	*(volatile __u64 *)number = serial;
	asm volatile("" ::: "memory");
}

INLINE __u32 record_part(__u32 compartment, addr_t address)
{
	return mix(hash_address(address) ^ compartment) % RECORD_PARTS;
}

/* Whether two drops differ in nothing but their time and their length. */
INLINE bool is_same_drop(const struct drop_record *a, const struct drop_record *b)
{
	return a->reason == b->reason && a->program == b->program && a->ifindex == b->ifindex && a->network == b->network &&
	       a->compartment == b->compartment && same_address(a->source, b->source) &&
	       same_address(a->destination, b->destination) && a->source_port == b->source_port &&
	       a->destination_port == b->destination_port && a->protocol == b->protocol && a->tcp_flags == b->tcp_flags &&
	       a->ethernet_type == b->ethernet_type && !__builtin_memcmp(a->mac, b->mac, sizeof(a->mac));
}

NOINLINE int record_drop(struct __sk_buff *skb, struct flow *flow, enum program program)
{
	struct drop_record *new = &flow->dropped, *last, *record;
	__u64 *written, serial;
	__u32 part, slot;

	/* Machines send a little IPv6 by themselves, all the time: it would write over what somebody asks for. */
	if (unlikely(dry_run) ||
	    (skb->protocol == htons(ETH_P_IPV6) && (flow->reason == REASON_IPV6 || flow->reason == REASON_NO_INSTANCE)))
		return 0;
	__builtin_memset(new, 0, sizeof(*new));
	describe(skb, flow->packet.l3, new);
	new->first = new->last = since_boot();
	new->count = 1;
	new->ifindex = skb->ifindex;
	new->network = flow->network;
	new->compartment = flow->compartment;
	new->reason = flow->reason;
	new->program = program;
	new->length = skb->len;
	if (is_watched(now(), EVENT_DROPPED) && bpf_ringbuf_output(&drop_events, new, sizeof(*new), 0))
		count_lost(LOST_DROP);
	part = record_part(new->compartment, new->source);
	written = bpf_map_lookup_elem(&drop_records_written, &part);
	if (!written)
		return 0;
	slot = part * DROPS_IN_PART + (*written - 1) % DROPS_IN_PART;
	last = bpf_map_lookup_elem(&drop_records, &slot);
	if (*written && last && is_same_drop(last, new)) {
		last->last = new->last;
		last->length = new->length;
		__sync_fetch_and_add(&last->count, 1);
		return 0;
	}
	serial = __sync_fetch_and_add(written, 1);
	slot = part * DROPS_IN_PART + serial % DROPS_IN_PART;
	record = bpf_map_lookup_elem(&drop_records, &slot);
	if (!record)
		return 0;
	new->serial = record->serial; /* not valid until all is there */
	new->check = serial + 1;
	stamp(&record->check, serial + 1);
	*record = *new;
	stamp(&record->serial, serial + 1);
	return 0;
}

/* Writes what is known of a session that is about to end. It counts from record_publish() on. NULL: there is no room. */
INLINE struct end_record *record_end(const struct session_key *key, const struct session *session, __u32 cause, __u64 *serial)
{
	__u32 part = record_part(key->compartment, key->internal_address), slot;
	__u64 *written = bpf_map_lookup_elem(&end_records_written, &part), time = now();
	struct end_record *record;

	if (!written)
		return NULL;
	*serial = __sync_fetch_and_add(written, 1);
	slot = part * ENDS_IN_PART + *serial % ENDS_IN_PART;
	*serial += 1;
	record = bpf_map_lookup_elem(&end_records, &slot);
	if (!record)
		return NULL;
	stamp(&record->check, *serial);
	record->ended = since_boot();
	record->lived = time - session->created;
	record->idle = time - session_refreshed(session);
	record->key = *key;
	record->external_address = session->external_address;
	record->external_port = session->external_port;
	record->flags = session->flags;
	record->nat = session->nat;
	record->network = session->network;
	record->state = session->state;
	record->cause = cause;
	record->repeated_syns = session->repeated_syns;
	record->endpoint_rtt = session->endpoint_rtt;
	record->outside_rtt = session->outside_rtt;
	record->packets_out = session->packets_out;
	record->bytes_out = session->bytes_out;
	record->packets_in = session->packets_in;
	record->bytes_in = session->bytes_in;
	return record;
}

INLINE void record_publish(struct end_record *record, __u64 serial)
{
	if (record)
		stamp(&record->serial, serial);
}
