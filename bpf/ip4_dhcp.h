/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* How much a machine may ask of DHCP servers. */
#pragma once
#include "ip4_switch_port.h"

enum { DHCP_MESSAGES = 1000 }; /* to DHCP servers that a link may send in a second */

/* Whether a packet is for a DHCP server. */
INLINE bool is_for_dhcp_server(struct __sk_buff *skb, struct packet *packet)
{
	return skb->protocol == htons(ETH_P_IP) && !parse_ip(skb, packet) && packet->protocol == IPPROTO_UDP &&
	       !is_fragment(packet) && !parse_l4(skb, packet) && packet->destination_port == htons(DHCP_SERVER);
}

/*
 * What a link may ask of DHCP servers in a second. The daemon has one queue for
 * all of a network: one link's flood shall not fill it. Two CPUs that begin a
 * second at once let a few more through.
 */
INLINE bool may_ask_dhcp_server(struct port_load *load, __u64 time)
{
	if (load->asked_since + SECOND < time && likely(!dry_run)) {
		load->asked_since = time;
		load->asked = 0;
	}
	if (unlikely(dry_run))
		return load->asked_since + SECOND < time || load->asked < DHCP_MESSAGES;
	return __sync_fetch_and_add(&load->asked, 1) < DHCP_MESSAGES;
}

/* The end of a frame that goes on to the host or up the bridge. */
NOINLINE int ration_dhcp(struct __sk_buff *skb, struct flow *flow)
{
	struct frame frame = { .now = now(), .port = skb->ifindex };
	struct port_load *load;

	if (likely(!is_for_dhcp_server(skb, &flow->packet)))
		return TCX_NEXT;
	load = find_load(frame.port);
	if (!load || may_ask_dhcp_server(load, frame.now))
		return TCX_NEXT;
	bpf_skb_load_bytes(skb, sizeof(frame.mac), frame.mac, sizeof(frame.mac));
	return turn_away(flow, &frame, flow->packet.source, REASON_DHCP_FLOOD);
}

/* A few seconds' worth of machines that are plugged in. Who finds it full asks again. */
struct {
	MAP_UINT(type, BPF_MAP_TYPE_RINGBUF);
	MAP_UINT(max_entries, 1 << 16);
} early_questions SEC(".maps");

/*
 * A DHCP client asks as soon as it has a link, and again after seconds. So a question
 * that comes before the port is checked, and is dropped, waits for that.
 */
NOINLINE int keep_question(struct __sk_buff *skb, struct flow *flow)
{
	struct early_question *question;
	__u32 length = skb->len;

	if (skb->vlan_present || !is_for_dhcp_server(skb, &flow->packet))
		return 0;
	/* Keeps the compiler from making one comparison of two, from which the verifier would not learn both. */
	asm volatile("" : "+r"(length));
	if (!length || length > EARLY_QUESTION)
		return 0;
	question = bpf_ringbuf_reserve(&early_questions, sizeof(*question), 0);
	if (!question)
		return 0;
	question->time = now();
	question->network = flow->network;
	question->length = bpf_skb_load_bytes(skb, 0, question->frame, length) ? 0 : length;
	bpf_ringbuf_submit(question, 0);
	return 0;
}
