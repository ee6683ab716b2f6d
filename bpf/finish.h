/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Where a program's packet ends: the one place that counts and records drops, and from which the sender is told. */
#pragma once
#include "capture.h"
#include "record.h"

/* Turns the packet into an error to its sender. Each address family defines it. */
static int answer(struct __sk_buff *skb, const struct flow *flow);

NOINLINE int dropped(struct __sk_buff *skb, struct flow *flow, enum program program)
{
	__u32 reason = flow->reason;
	__u64 *count = bpf_map_lookup_elem(&drops, &reason);

	if (count && reason != REASON_NONE && likely(!dry_run)) {
		*count += 1; /* per CPU, and no other program comes between */
		record_drop(skb, flow, program);
	}
	return flow->tell == TELL_NOBODY ? TCX_DROP : answer(skb, flow);
}

/*
 * The end of each program on a link: whoever wants to see packets and what
 * became of them looks here, where the packet is as it goes on, or as it came if
 * it is dropped.
 */
INLINE int finish(struct __sk_buff *skb, struct flow *flow, int verdict, enum program program)
{
	bool drops = verdict == TCX_DROP;

	if (unlikely(drops))
		verdict = dropped(skb, flow, program);
	went(skb, flow, verdict, program, drops);
	return verdict;
}
