/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * A packet's context: what a program knows of the packet at hand, and what
 * becomes of it. It is an element for each CPU, since the stack has 512 bytes
 * for a whole chain of functions.
 *
 * One program of ours does not interrupt another on the same CPU, since they
 * run with softirqs disabled, but a copy that goes to the reassembly namespace
 * passes reassembly_enter while the program that sends it has not ended: so
 * there are two elements. The timer has none.
 */
#pragma once
#include "event_types.h"
#include "observe.h"
#include "packet.h"
#include "route.h"

/* What a session is opened with. */
struct opening {
	__u32 nat, network;
	addr_t external_address;
	__be16 external_port;
	__u16 flags;
};

/* Where a search for a free port is. */
struct port_cursor {
	__u64 candidates; /* of the word at hand */
	__u32 base; /* first port of that word */
	__u32 word; /* the next to be looked at */
	__u32 end; /* where it has been everywhere; both count on beyond the last word */
	bool found;
	__u8 pad[3];
	enum reason failed; /* why no element could be added; REASON_NONE: that was not it */
};

/* A search for a port that nobody uses any more: see port_reclaim.h. */
struct reclaim {
	__u32 port; /* the result; 0: none */
	__u32 at; /* index of its address in the pool */
	__u32 only; /* index of the address that is looked for; POOL_ADDRESSES: any */
	__u32 looking; /* index of the address whose queue is looked at */
	__u64 number; /* of the result in its queue */
	__u64 oldest; /* since when nobody has used the result */
	/* In a dry run: */
	__u32 counts; /* how often sessions have been counted */
	__u32 sessions; /* of the port that is looked at: how many are closed */
	__u64 since; /* and since when the last one is */
	struct session_key closed; /* the connection that had the port */
};

/* Who is told why a packet was dropped. */
enum tell { TELL_NOBODY, TELL_INSIDE, TELL_OUTSIDE };

struct flow {
	struct packet packet;
	enum reason reason; /* why the packet is dropped */
	enum tell tell;
	addr_t teller; /* the address that tells the sender */
	__u32 mtu; /* with REASON_TOO_BIG: of the way on */
	/* The network that the packet comes from; from outside, the compartment is OUTSIDE and the rest 0. */
	__u32 network, compartment, nat, network_flags;
	__u32 stamp; /* of its switch: see stamp.h */
	struct session_key key; /* of the packet's session */
	struct session_key far_key; /* of a hairpin's session on the other side */
	struct binding_key binding_key; /* the external end that led to key or far_key, or that is being reserved */
	struct quote quote; /* of an ICMP error */
	struct opening opening;
	struct route_query query; /* what the way out was asked for */
	struct route route; /* of what is being opened */
	/* Outlives the packet: identifications that this CPU has for datagrams that may be fragmented. */
	__u16 next_id, ids_left;
	__u32 dialler_interface; /* that the socket of a program of the host is bound to; 0: none */
	struct drop_record dropped; /* what is going to be recorded of it */
	struct reclaim reclaim;
	__u32 home; /* external port that the flow's internal one has if it is free; 0: none */
	struct port_cursor ports;
	struct session session, far_session; /* to be put in; in a dry run, copies that may be changed */
	__u8 binding[sizeof(struct binding)] __attribute__((aligned(8))); /* bytes: there may be no lock in an element a CPU */
};

enum { OUTSIDE = ~0U, HOST = ~1U }; /* in place of a compartment: no network has these */

struct {
	MAP_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct flow);
	MAP_UINT(max_entries, CONTEXTS);
} flows SEC(".maps");

/* The context of a packet whose IP header is at l3. What is not set here is set before it is read. */
INLINE struct flow *begin(struct __sk_buff *skb, __u32 context, __u32 l3)
{
	struct flow *flow = bpf_map_lookup_elem(&flows, &context);

	if (!flow)
		return NULL;
	came(skb, context, l3);
#ifdef OBSERVED
	flow->key.protocol = flow->far_key.protocol = 0;
#endif
	flow->packet.l3 = l3;
	flow->reason = REASON_NONE;
	flow->tell = TELL_NOBODY;
	flow->compartment = OUTSIDE;
	flow->network = flow->nat = flow->network_flags = flow->stamp = 0;
	if (unlikely(dry_run))
		flow->reclaim.port = 0;
	return flow;
}

/* The packet comes from this network. */
INLINE void comes_from(struct flow *flow, const struct inside *inside)
{
	flow->network = inside->network;
	flow->compartment = inside->compartment;
	flow->nat = inside->nat;
	flow->network_flags = inside->flags;
	flow->stamp = inside->stamp;
	flow->teller = inside->gateway;
}

enum { NOT_OURS = -2 }; /* no TCX verdict: somebody else has to decide */

/* The verdict of a packet that is dropped without a word. It is counted where the program ends, in finish(). */
INLINE int drop(struct flow *flow, enum reason reason)
{
	flow->reason = reason;
	return TCX_DROP;
}

/* The verdict of a packet whose sender is told, where the reason is one that it can act on. */
INLINE int refuse(struct flow *flow, enum reason reason)
{
	flow->tell = flow->compartment == OUTSIDE ? TELL_OUTSIDE : TELL_INSIDE;
	return drop(flow, reason);
}

/* Too big for a way on of this MTU. */
INLINE int refuse_size(struct flow *flow, __u32 mtu)
{
	flow->mtu = mtu;
	return refuse(flow, REASON_TOO_BIG);
}
