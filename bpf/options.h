/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Walking options: those of IP and of TCP have one form, a kind, and a length but for kinds 0 and 1. */
#pragma once
#include "types.h"

enum { OPTION_END = 0, OPTION_NONE = 1, OPTIONS_MAXIMUM = 40 };

struct option_walk {
	__u8 options[OPTIONS_MAXIMUM];
	__u32 size; /* of the options */
	__u32 at; /* the next one */
	__u32 found; /* where the wanted one's value is, 0: not found */
	__u8 wanted, or_wanted;
	__u8 pad[2];
};

static long option_step(__u32 round, struct option_walk *walk)
{
	__u32 at = walk->at;
	__u8 kind, length;

	if (at + 2 > walk->size || at > OPTIONS_MAXIMUM - 2)
		return 1;
	kind = walk->options[at];
	length = walk->options[at + 1];
	if (kind == OPTION_NONE) {
		walk->at = at + 1;
		return 0;
	}
	if (kind == OPTION_END || length < 2)
		return 1;
	if (kind == walk->wanted || kind == walk->or_wanted) {
		walk->found = at + 2;
		return 1;
	}
	walk->at = at + length;
	return 0;
}

/* Finds an option among the size bytes at offset: where its value is from there, or 0. */
INLINE __u32 find_option(struct __sk_buff *skb, struct option_walk *walk, __u32 offset)
{
	__u32 size = walk->size;

	if (size > OPTIONS_MAXIMUM)
		return 0;
	/* Keeps the compiler from making one comparison of two, from which the verifier would not learn both. */
	asm volatile("" : "+r"(size));
	if (!size || bpf_skb_load_bytes(skb, offset, walk->options, size))
		return 0;
	bpf_loop(OPTIONS_MAXIMUM, option_step, walk, 0);
	return walk->found;
}
