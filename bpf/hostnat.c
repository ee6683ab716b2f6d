// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * hostnat's data path: the entry points. See docs/packet-flow.md.
 *
 *   inside_ingress   from an endpoint's own link
 *   port_ingress     from a bridge's port that some tool plugged in
 *   port_egress      to any port of a network's bridge
 *   bridge_ingress   from whatever else is on a network's bridge
 *   outside_ingress  from any interface of the host that isn't inside
 *   outside_egress   to any of these: the leak guard
 *   reassembly_enter, reassembly_leave  what goes to the reassembly namespace, and what comes from there
 *   loopback_egress  what the host says to itself
 *   bridge_egress    what the host puts out of a network's bridge
 *   end_session, adopt_session, change_index, forget_place, start_wheel   called by user space
 */
#include "ip4_antispoof.h"
#include "ip4_guard.h"
#include "ip4_inbound.h"
#include "ip4_loopback.h"
#include "ip4_bound.h"
#include "ip4_record.h"
#include "ip4_reassembly_link.h"
#include "ip4_refuse.h"
#include "ip4_dhcp.h"
#include "ip4_switch_port.h"
#include "stamp.h"
#include "shared_types.h"

/* From an endpoint's own link. */
INLINE int from_endpoint(struct __sk_buff *skb, struct flow *flow)
{
	__u32 ifindex = skb->ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &ifindex);
	struct packet *packet = &flow->packet;
	struct ethhdr *ethernet;
	bool to_gateway;
	int reason;

	if (!inside)
		return drop(flow, REASON_NO_INSTANCE);
	comes_from(flow, inside);
	if (unlikely(skb->vlan_present) && !drop_priority_tag(skb))
		return drop(flow, REASON_ENCAPSULATED);
	if (!pull(skb, sizeof(*ethernet)))
		return drop(flow, REASON_MALFORMED);
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return drop(flow, REASON_MALFORMED);
	if (unlikely(!is_own_mac(inside, ethernet->source)))
		return came_from_reassembly(skb) ? cut_to_endpoint(skb) : drop(flow, REASON_SPOOFED_SOURCE);
	if (ethernet->protocol == htons(ETH_P_ARP))
		return check_arp(skb, flow, inside);
	/* Has no NAT here yet, and a rogue router advertisement could fool the host. */
	if (ethernet->protocol == htons(ETH_P_IPV6))
		return drop(flow, REASON_IPV6);
	if (ethernet->protocol != htons(ETH_P_IP))
		return drop(flow, REASON_PROTOCOL);

	to_gateway = !__builtin_memcmp(ethernet->destination, inside->gateway_mac, sizeof(inside->gateway_mac));
	reason = parse_ip(skb, packet);
	if (unlikely(reason))
		return drop(flow, reason);
	if (unlikely(packet->source != inside->address) &&
	    !has_source(skb, inside, packet->source, to_gateway ? SOURCE_OWN : SOURCE_OWN | SOURCE_FORWARDED))
		return is_from_dhcp_client(skb, packet) ? TCX_NEXT : drop(flow, REASON_SPOOFED_SOURCE);
	if (!to_gateway) /* switched, not routed */
		return is_from_rogue_server(skb, packet, inside) ? drop(flow, REASON_ROGUE_SERVER)
								 : switch_frame(skb, flow, inside);
	return from_inside(skb, flow, inside);
}

/* The end of a frame that has been looked at and goes on to the bridge, or to the host. */
INLINE int to_bridge(struct __sk_buff *skb, struct flow *flow)
{
	int verdict = ration_dhcp(skb, flow);

	if (verdict == TCX_NEXT)
		put_stamp(skb, flow->stamp);
	return verdict;
}

SEC("tcx/ingress")
int inside_ingress(struct __sk_buff *skb)
{
	struct flow *flow = begin(skb, CONTEXT_PACKET, sizeof(struct ethhdr));
	int verdict;

	if (!flow)
		return TCX_DROP;
	verdict = from_endpoint(skb, flow);
	if (verdict == TCX_NEXT)
		verdict = to_bridge(skb, flow);
	return finish(skb, flow, verdict, PROGRAM_INSIDE_INGRESS);
}

/*
 * What comes up a bridge from a port that is no endpoint's own: adopted
 * bridges, links plugged in by hand. A managed endpoint's packets have been
 * taken at its port, so here its address is a forgery unless for the host.
 */
INLINE int from_bridge(struct __sk_buff *skb, struct flow *flow)
{
	__u32 ifindex = skb->ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &ifindex);
	int reason, verdict;

	if (!inside)
		return TCX_NEXT;
	comes_from(flow, inside);
	if (unlikely(!take_stamp(skb, inside) && !is_of_no_port(skb) && !dry_run)) {
		keep_question(skb, flow);
		return drop(flow, REASON_UNCHECKED_PORT);
	}
	if (is_for_vlan(skb) || skb->protocol != htons(ETH_P_IP) || !is_for_host_link(skb) || skb->mark == MARK_TRANSPARENT)
		return TCX_NEXT;
	reason = parse_ip(skb, &flow->packet);
	if (unlikely(reason))
		return drop(flow, reason);
	verdict = from_unmanaged(skb, flow, inside);
	return verdict == TCX_NEXT && is_lost_to_host(inside->flags, flow->packet.source) ? unrouted_to_host(skb, flow) : verdict;
}

SEC("tcx/ingress")
int bridge_ingress(struct __sk_buff *skb)
{
	struct flow *flow = begin(skb, CONTEXT_PACKET, sizeof(struct ethhdr));

	return flow ? finish(skb, flow, from_bridge(skb, flow), PROGRAM_BRIDGE_INGRESS) : TCX_DROP;
}

/*
 * From a port of a network's bridge that is no managed endpoint's: some tool
 * plugged it in. It may not speak for the gateway, for a managed endpoint, for
 * who else has an address by DHCP, or as a DHCP server, and its packets for the outside need not go up the bridge.
 */
INLINE int from_port(struct __sk_buff *skb, struct flow *flow)
{
	__u32 ifindex = skb->ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &ifindex);

	if (!inside)
		return TCX_NEXT;
	comes_from(flow, inside);
	return from_switch_port(skb, flow, inside);
}

SEC("tcx/ingress")
int port_ingress(struct __sk_buff *skb)
{
	struct flow *flow = begin(skb, CONTEXT_PACKET, sizeof(struct ethhdr));
	int verdict;

	if (!flow)
		return TCX_DROP;
	verdict = from_port(skb, flow);
	if (verdict == TCX_NEXT)
		verdict = to_bridge(skb, flow);
	return finish(skb, flow, verdict, PROGRAM_PORT_INGRESS);
}

/* To a port of a network's bridge, a managed endpoint's or not. What has come by another one has been looked at there, or is dropped. */
INLINE int to_port(struct __sk_buff *skb, struct flow *flow)
{
	__u32 ifindex = skb->ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &ifindex);

	if (!inside)
		return TCX_NEXT;
	comes_from(flow, inside);
	return take_stamp(skb, inside) ? TCX_NEXT : drop(flow, REASON_UNCHECKED_PORT);
}

SEC("tcx/egress")
int port_egress(struct __sk_buff *skb)
{
	struct flow *flow;

	if (likely(skb->mark == MARK_TO_PORT)) {
		skb->mark = 0;
		return TCX_NEXT;
	}
	if (!skb->ingress_ifindex || skb->ingress_ifindex == skb->ifindex) /* made by the host, or sent back by us */
		return TCX_NEXT;
	flow = begin(skb, CONTEXT_PACKET, sizeof(struct ethhdr));
	return flow ? finish(skb, flow, to_port(skb, flow), PROGRAM_PORT_EGRESS) : TCX_DROP;
}

INLINE int from_outside(struct __sk_buff *skb, struct flow *flow)
{
	if (unlikely(is_for_vlan(skb)))
		return TCX_NEXT;
	if (unlikely(skb->protocol == htons(ETH_P_ARP)))
		return arp_inbound(skb, flow);
	return skb->protocol == htons(ETH_P_IP) ? inbound(skb, flow) : TCX_NEXT;
}

SEC("tcx/ingress")
int outside_ingress(struct __sk_buff *skb)
{
	struct flow *flow = begin(skb, CONTEXT_PACKET, sizeof(struct ethhdr));

	return flow ? finish(skb, flow, from_outside(skb, flow), PROGRAM_OUTSIDE_INGRESS) : TCX_DROP;
}

/* For tun and other links without Ethernet. */
SEC("tcx/ingress")
int outside_ingress_l3(struct __sk_buff *skb)
{
	struct flow *flow = begin(skb, CONTEXT_PACKET, 0);

	if (!flow)
		return TCX_DROP;
	return finish(skb, flow, skb->protocol == htons(ETH_P_IP) ? inbound(skb, flow) : TCX_NEXT, PROGRAM_OUTSIDE_INGRESS);
}

SEC("tcx/egress")
int outside_egress(struct __sk_buff *skb)
{
	struct flow *flow;

	if (likely(is_translated(skb)))
		return TCX_NEXT;
	if (unlikely(skb->mark == MARK_TO_DIALLER))
		return bpf_redirect(LOOPBACK_IFINDEX, 0);
	flow = begin(skb, CONTEXT_PACKET, sizeof(struct ethhdr));
	return flow ? finish(skb, flow, guard(skb, flow), PROGRAM_OUTSIDE_EGRESS) : TCX_DROP;
}

SEC("tcx/egress")
int outside_egress_l3(struct __sk_buff *skb)
{
	struct flow *flow;

	if (likely(is_translated(skb)))
		return TCX_NEXT;
	if (unlikely(skb->mark == MARK_TO_DIALLER))
		return bpf_redirect(LOOPBACK_IFINDEX, 0);
	flow = begin(skb, CONTEXT_PACKET, 0);
	return flow ? finish(skb, flow, guard(skb, flow), PROGRAM_OUTSIDE_EGRESS) : TCX_DROP;
}

/* At our end of the veth to the reassembly namespace: to it and from it. */
SEC("tcx/egress")
int reassembly_enter(struct __sk_buff *skb)
{
	struct flow *flow = begin(skb, CONTEXT_REASSEMBLY, sizeof(struct ethhdr));

	return flow ? finish(skb, flow, reassembly_in(skb, flow), PROGRAM_REASSEMBLY_ENTER) : TCX_DROP;
}

SEC("tcx/ingress")
int reassembly_leave(struct __sk_buff *skb)
{
	struct flow *flow = begin(skb, CONTEXT_REASSEMBLY, sizeof(struct ethhdr));

	return flow ? finish(skb, flow, reassembly_out(skb, flow), PROGRAM_REASSEMBLY_LEAVE) : TCX_DROP;
}

/* On the loopback interface: what the host says to itself. */
SEC("tcx/egress")
int loopback_egress(struct __sk_buff *skb)
{
	bool answer = skb->mark == MARK_TO_DIALLER, bound = skb->mark == MARK_FROM_BOUND;
	struct flow *flow;
	int verdict;

	if (likely(!answer && !bound && !may_be_published(skb)))
		return TCX_NEXT;
	flow = begin(skb, CONTEXT_PACKET, sizeof(struct ethhdr));
	if (!flow)
		return TCX_DROP;
	if (answer)
		verdict = to_dialler_address(skb, flow);
	else
		verdict = from_loopback(skb, flow, bound);
	return finish(skb, flow, verdict, PROGRAM_LOOPBACK_EGRESS);
}

SEC("tcx/egress")
int bridge_egress(struct __sk_buff *skb)
{
	if (unlikely(skb->mark == MARK_TO_DIALLER))
		return bpf_redirect(LOOPBACK_IFINDEX, 0);
	if (unlikely(skb->protocol == htons(ETH_P_ARP)))
		return answer_own_arp(skb);
	if (unlikely(is_of_bound(skb))) {
		skb->mark = MARK_FROM_BOUND;
		return bpf_redirect(LOOPBACK_IFINDEX, 0);
	}
	if (skb->ingress_ifindex)
		stamp_forwarded(skb);
	return TCX_NEXT;
}

/*
 * User space ends a session by a test run of this program, with the key and why
 * behind an Ethernet header's worth of bytes: so its binding is left as always.
 * Returns TCX_DROP if the table could not be written: try again.
 */
SEC("tcx/ingress")
int end_session(struct __sk_buff *skb)
{
	struct end_request request;
	struct session *session;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &request, sizeof(request)))
		return TCX_DROP;
	session = bpf_map_lookup_elem(&sessions, &request.key);
	if (!session)
		return TCX_PASS;
	return session_end(&request.key, session, request.cause) ? TCX_DROP : TCX_NEXT;
}

/*
 * The same way a session takes its NAT's settings, when they have changed or
 * when user space has put it into the table itself. One that is due ends.
 */
SEC("tcx/ingress")
int adopt_session(struct __sk_buff *skb)
{
	__u64 time = now(), due;
	struct session_key key;
	struct session *session;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &key, sizeof(key)))
		return TCX_DROP;
	session = bpf_map_lookup_elem(&sessions, &key);
	if (!session || unlikely(dry_run))
		return TCX_PASS;
	session_adopt(&key, session);
	due = session_due(session, time);
	if (!due) {
		event_session(EVENT_SESSION_TIMEOUT, &key, session);
		return session_end(&key, session, END_TIMEOUT) ? TCX_DROP : TCX_NEXT;
	}
	if (session->timer_tick && session->timer_tick <= due / TICK)
		return TCX_NEXT;
	return timer_set(&key, session, time, due - time) ? TCX_DROP : TCX_NEXT;
}

/* The same way user space changes the index, so that its elements are counted. Returns an error number. */
SEC("tcx/ingress")
int change_index(struct __sk_buff *skb)
{
	struct index_request request;
	int error;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &request, sizeof(request)))
		return EINVAL;
	if (request.change == INDEX_REMOVE)
		return -index_remove(&request.key);
	error = index_insert(&request.key, &request.way);
	if (error != -EEXIST || request.change == INDEX_ADD)
		return -error;
	error = map_update(&binding_index, &request.key, &request.way, BPF_EXIST);
	return error == -ENOENT ? EBUSY : -error; /* it has gone meanwhile: try again */
}

/* The same way user space has a row of who is where forgotten. */
SEC("tcx/ingress")
int forget_place(struct __sk_buff *skb)
{
	struct claim claim;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &claim, sizeof(claim)))
		return TCX_DROP;
	return claim.address ? forget_holder(&claim) : forget_station(&claim);
}

/*
 * User space starts the wheel, and hands it to a newer program, by a test run
 * of this one. Returns TCX_DROP if no timer could be had: try again.
 */
SEC("tcx/ingress")
int start_wheel(struct __sk_buff *skb)
{
	struct wheel *wheel = get_wheel();
	long error;

	if (!wheel || unlikely(dry_run))
		return TCX_DROP;
	error = bpf_timer_init(&wheel->timer, &wheels, CLOCK_MONOTONIC);
	if (error && error != -EBUSY) /* there is one */
		return TCX_DROP;
	if (!wheel->tick)
		wheel->tick = now() / TICK;
	if (bpf_timer_set_callback(&wheel->timer, wheel_turn) || bpf_timer_start(&wheel->timer, TICK, 0))
		return TCX_DROP;
	return TCX_NEXT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
