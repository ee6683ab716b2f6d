/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Packets as they came, for whoever captures. Only a second object has this,
 * which is compiled with OBSERVED: its programs take the place of the others
 * while somebody captures. Those that run otherwise have none of it.
 */
#pragma once
#include "event_types.h"
#include "maps.h"

/* One program of ours does not interrupt another on the same CPU, but for the one case that flow.h tells of. */
enum context { CONTEXT_PACKET, CONTEXT_REASSEMBLY, CONTEXTS };

/* What a packet's headers say. Each address family defines it. */
static void describe(struct __sk_buff *skb, __u32 l3, struct drop_record *record);

#ifdef OBSERVED

enum { CAPTURE_HEAD = 128 }; /* bytes that are kept of a packet as it came: all that a program changes is in them */

/* What user space asks for. What is 0 does not matter. */
struct capture_settings {
	__u64 until; /* as now(): nothing is captured afterwards */
	addr_t address, mask; /* of either end, before or after translation */
	__u32 length; /* bytes of a packet at most */
	__u32 network; /* that the packet comes from, or that its session is of */
	__be16 port; /* of either end, before or after translation */
	__u8 protocol;
	__u8 fates; /* enum fate, a bit each */
	__u8 reason; /* of a drop */
	__u8 pad[3];
};

/* What becomes of a packet. */
enum fate {
	FATE_DROPPED = 1 << 0,
	FATE_SENT = 1 << 1, /* out of a link, or to an endpoint */
	FATE_LEFT = 1 << 2, /* to the host or the bridge */
};

/* A packet, and behind it as much as is kept of it as it goes on. */
struct capture_record {
	__u64 time; /* ns since the machine has booted, suspended or not */
	__u64 id; /* the packet's own */
	__u32 came_length, length; /* bytes, as it came and as it goes on */
	__u32 kept; /* bytes of it as it goes on that follow */
	__u32 ifindex; /* the link that it was at */
	__u32 network, compartment; /* that it came from; see OUTSIDE */
	__s32 verdict; /* of the program */
	__u8 program; /* enum program */
	__u8 reason; /* enum reason, if it was dropped */
	__u8 dropped; /* 1: it was; with another verdict than TCX_DROP it goes on as an answer to its sender */
	__u8 l3; /* where the IP header is: 0 or behind an Ethernet header */
	struct session_key key, far_key; /* protocol 0: it belongs to no session, to no second one */
	__u32 nat, session_network; /* of its session; 0: it has none */
	addr_t external_address;
	__be16 external_port;
	__u8 state; /* enum tcp_state */
	__u8 pad;
	__u32 mark; /* as it came */
	__u16 gso_size, gso_segs; /* how the kernel cuts it on its way out; 0: it is one packet */
	__u8 came[CAPTURE_HEAD];
};

struct arrival {
	__u64 packets; /* how many this CPU has seen */
	__u64 lost; /* for how many of them there was no room in the ring */
	__u32 length; /* bytes; 0: it is not captured */
	__u32 mark;
	struct drop_record outline, outline_after; /* what a filter looks at */
	__u8 head[CAPTURE_HEAD];
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct arrival);
	MAP_UINT(max_entries, CONTEXTS);
} arrivals SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct capture_settings);
	MAP_UINT(max_entries, 1);
} wanted_captures SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_RINGBUF);
	MAP_UINT(max_entries, 1 << 25);
} captures SEC(".maps");

INLINE bool has_filter(const struct capture_settings *wanted)
{
	return wanted->protocol || wanted->port || is_set(wanted->mask);
}

/* Keeps how a packet came, before anything is changed. */
NOINLINE int came(struct __sk_buff *skb, __u32 context, __u32 l3)
{
	struct arrival *arrival = bpf_map_lookup_elem(&arrivals, &context);
	__u32 zero = 0, length = skb->len;
	struct capture_settings *wanted = bpf_map_lookup_elem(&wanted_captures, &zero);

	if (!arrival || !wanted)
		return 0;
	arrival->packets++;
	arrival->length = wanted->until < now() ? 0 : length;
	if (!arrival->length)
		return 0;
	arrival->mark = skb->mark;
	if (has_filter(wanted)) {
		__builtin_memset(&arrival->outline, 0, sizeof(arrival->outline));
		describe(skb, l3, &arrival->outline);
	}
	if (length > CAPTURE_HEAD)
		length = CAPTURE_HEAD;
	if (length > 0)
		bpf_skb_load_bytes(skb, 0, arrival->head, length);
	return 0;
}

#else

INLINE int came(struct __sk_buff *skb, __u32 context, __u32 l3)
{
	return 0;
}

#endif
