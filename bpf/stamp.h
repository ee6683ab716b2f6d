/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * A port that somebody has just plugged into a network's bridge has no program
 * yet, and no program can be attached to ports to come; but the bridge forwards
 * what comes by it at once. So the others do not believe the bridge: what a program
 * of ours has looked at carries a stamp, and what carries none goes no further than
 * to the next port of the bridge, or to the bridge itself on its way to the host.
 *
 * The stamp is in skb->hash. It passes the bridge and netfilter, and whoever wants a
 * hash afterwards makes it anew. It comes along from no namespace but as a number
 * that the kernel draws, so nobody inside can choose it. A packet's mark is
 * overwritten by rules that restore a connection's, tc_index comes along from
 * another namespace, and the port itself is forgotten on the way to the host. A
 * number, not a bit, as links that hand packets over have hashes of their own, and
 * another one for each network, as a port may change its bridge.
 */
#pragma once
#include "maps.h"

/* Says of a frame on its way to the bridge that it has been looked at. */
INLINE void put_stamp(struct __sk_buff *skb, __u32 stamp)
{
	if (likely(stamp))
		bpf_set_hash(skb, stamp);
}

/* Whether a frame that comes from a bridge was stamped. Then it is not any more: nobody else is to see the number. */
INLINE bool take_stamp(struct __sk_buff *skb, const struct inside *inside)
{
	if (unlikely(!inside->stamp))
		return true;
	if (skb->hash != inside->stamp)
		return false;
	bpf_set_hash_invalid(skb);
	return true;
}

/* What the host puts out of a bridge but has not made itself. Its own has come by no link, and needs no stamp. */
INLINE void stamp_forwarded(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &ifindex);

	if (inside)
		put_stamp(skb, inside->stamp);
}
