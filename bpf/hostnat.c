// SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause)
/*
 * hostnat's data path: the entry points. See docs/packet-flow.md.
 *
 *   inside_ingress   from an endpoint's own link
 *   bridge_ingress   from whatever else is on a network's bridge
 *   outside_ingress  from any interface of the host that isn't inside
 *   outside_egress   to any of these: the leak guard
 *   host_connect4, ...  the host's own sockets
 *   end_session, start_wheel   called by user space
 */
#include "dial.h"
#include "fragment.h"
#include "hairpin.h"
#include "open.h"
#include "refuse.h"

/* Translates a packet from the inside and sends it out. */
INLINE int outbound(struct __sk_buff *skb, struct packet *packet, const struct inside *inside)
{
	struct session_key key = {
		.compartment = inside->compartment,
		.internal_address = packet->source,
		.remote_address = packet->destination,
	};
	struct session *session;
	__u32 own;
	__u64 now;
	int reason;

	if (unlikely(is_later_fragment(packet)))
		return is_host_address(packet->destination) ? TCX_NEXT : later_fragment_out(skb, packet, inside->compartment);
	reason = parse_l4(skb, packet);
	if (unlikely(reason))
		return drop(reason);
	if (packet->protocol == IPPROTO_ICMP && is_icmp_error(packet->icmp_type))
		return is_host_address(packet->destination)
			       ? TCX_NEXT
			       : error_outbound(skb, packet->l4, packet->source, packet->destination, inside->compartment);
	/* Of the other messages an echo request alone has a session (RFC 5508 REQ-10, REQ-11). */
	if (packet->protocol == IPPROTO_ICMP && packet->icmp_type != ICMP_ECHO_REQUEST)
		return is_host_address(packet->destination) ? TCX_NEXT : drop(REASON_NO_SESSION);
	key.internal_port = packet->source_port;
	key.protocol = packet->protocol;
	if (packet->protocol != IPPROTO_ICMP)
		key.remote_port = packet->destination_port;

	session = bpf_map_lookup_elem(&sessions, &key);
	if (unlikely(!session)) {
		own = host_interface(packet->destination);
		if (own && !is_published(skb, packet))
			return TCX_NEXT; /* to the host itself */
		/* Networks are isolated from each other, on one NAT too. */
		if (!own && is_inside_address(packet->destination))
			return refuse(skb, inside, REASON_ISOLATED, 0);
		if (packet->protocol == IPPROTO_TCP && (packet->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
			return drop(REASON_NO_SESSION);
		if (packet->ttl <= 1)
			return refuse(skb, inside, REASON_HOP_LIMIT, 0);
		reason = open_outbound(skb, &key, inside->network, inside->nat, own);
		if (reason)
			return refuse(skb, inside, reason, 0);
		session = bpf_map_lookup_elem(&sessions, &key);
		if (!session)
			return drop(REASON_SESSION_FAILED);
	}
	if (unlikely(packet->ttl <= 1))
		return refuse(skb, inside, REASON_HOP_LIMIT, 0);
	if (unlikely(session->flags & SESSION_HAIRPIN)) {
		reason = hairpin_open(&key, session->external_address, session->external_port, packet->tcp_flags);
		return reason ? drop(reason) : hairpin(skb, &key, session);
	}
	now = bpf_ktime_get_coarse_ns();
	if (unlikely(session->route_expires < now)) {
		reason = route_refresh(skb, &key, session);
		if (reason)
			return refuse(skb, inside, reason, 0);
	}
	if (unlikely(wire_length(skb, packet) > session->out_mtu))
		return refuse(skb, inside, REASON_TOO_BIG, session->out_mtu);
	session_track(&key, session, packet, true, now);
	session_count(skb, session, packet, true);
	if (unlikely(is_fragment(packet))) {
		reason = first_fragment_out(skb, packet, inside->compartment, session);
		if (reason)
			return drop(reason);
	}
	reason = rewrite(skb, packet, SOURCE, session->external_address, session->external_port, 1);
	if (unlikely(reason))
		return drop(reason);
	return deliver_outside(skb, session->out_ifindex, session->next_hop);
}

/* Whether an address is no destination for unicast beyond the link. RFC 1812 section 5.3.7, RFC 6890 */
INLINE bool stays_on_link(__be32 address)
{
	__u8 first = address & 0xff, second = address >> 8 & 0xff;

	return first >= 224 || first == 127 || first == 0 || (first == 169 && second == 254);
}

/*
 * A packet from the inside whose source has been checked. What is for the
 * link or for the host goes on; everything else is ours.
 */
INLINE int from_inside(struct __sk_buff *skb, struct packet *packet, const struct inside *inside)
{
	if ((packet->destination & inside->mask) == inside->subnet || stays_on_link(packet->destination))
		return TCX_NEXT;
	if (!inside->nat)
		return refuse(skb, inside, REASON_NO_NAT, 0);
	return outbound(skb, packet, inside);
}

/* ARP from an endpoint: it may speak of itself alone. */
INLINE int check_arp(struct __sk_buff *skb, const struct inside *inside)
{
	struct arp_ipv4 *arp;

	if (!pull(skb, sizeof(struct ethhdr) + sizeof(*arp)))
		return drop(REASON_MALFORMED);
	arp = (void *)(long)skb->data + sizeof(struct ethhdr);
	if ((void *)(arp + 1) > (void *)(long)skb->data_end)
		return drop(REASON_MALFORMED);
	/* 0.0.0.0 asks whether an address is free (RFC 5227 section 1.1) and claims nothing. */
	if (__builtin_memcmp(arp->sender_mac, inside->mac, sizeof(inside->mac)) ||
	    (arp->sender_address != inside->address && arp->sender_address))
		return drop(REASON_SPOOFED_SOURCE);
	return TCX_NEXT;
}

SEC("tcx/ingress")
int inside_ingress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &ifindex);
	struct packet packet = { .l3 = sizeof(struct ethhdr) };
	struct ethhdr *ethernet;
	bool to_gateway;
	int reason;

	if (!inside)
		return drop(REASON_NO_INSTANCE);
	if (!pull(skb, sizeof(*ethernet)))
		return drop(REASON_MALFORMED);
	ethernet = (void *)(long)skb->data;
	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return drop(REASON_MALFORMED);
	if (unlikely(__builtin_memcmp(ethernet->source, inside->mac, sizeof(inside->mac))))
		return drop(REASON_SPOOFED_SOURCE);
	if (skb->vlan_present)
		return drop(REASON_PROTOCOL);
	if (ethernet->protocol == htons(ETH_P_ARP))
		return check_arp(skb, inside);
	/* Has no NAT here yet, and a rogue router advertisement could fool the host. */
	if (ethernet->protocol == htons(ETH_P_IPV6))
		return drop(REASON_IPV6);
	if (ethernet->protocol != htons(ETH_P_IP))
		return drop(REASON_PROTOCOL);

	to_gateway = !__builtin_memcmp(ethernet->destination, inside->gateway_mac, sizeof(inside->gateway_mac));
	reason = parse_ip(skb, &packet);
	if (unlikely(reason))
		return drop(reason);
	if (unlikely(packet.source != inside->address))
		return drop(REASON_SPOOFED_SOURCE);
	if (!to_gateway)
		return TCX_NEXT; /* switched, not routed */
	return from_inside(skb, &packet, inside);
}

/*
 * What comes up a bridge from a port that is no endpoint's own: adopted
 * bridges, links plugged in by hand. A managed endpoint's packets have been
 * taken at its port, so here its address is a forgery unless for the host.
 */
SEC("tcx/ingress")
int bridge_ingress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex;
	struct inside *inside = bpf_map_lookup_elem(&insides, &ifindex);
	struct packet packet = { .l3 = sizeof(struct ethhdr) };
	struct endpoint_key source = {};
	int reason;

	if (!inside || skb->protocol != htons(ETH_P_IP) || !is_unicast_frame(skb))
		return TCX_NEXT;
	reason = parse_ip(skb, &packet);
	if (unlikely(reason))
		return drop(reason);
	if (is_host_address(packet.destination) || stays_on_link(packet.destination))
		return TCX_NEXT;
	source.compartment = inside->compartment;
	source.address = packet.source;
	if ((packet.source & inside->mask) != inside->subnet || packet.source == inside->gateway ||
	    bpf_map_lookup_elem(&endpoints, &source))
		return drop(REASON_SPOOFED_SOURCE);
	return from_inside(skb, &packet, inside);
}

/* Not for a binding: the host's own, unless it pretends to come from or to know the inside. */
INLINE int foreign(const struct packet *packet)
{
	if (unlikely(is_inside_address(packet->source) || is_inside_address(packet->destination)))
		return drop(REASON_INSIDE_FROM_OUTSIDE);
	return TCX_NEXT;
}

/*
 * Whether a packet that no session expects is the host's all the same, or just
 * passes through. Design, rule 4: a host program may bind a port that is in
 * dynamic use, and may talk from one that is mapped.
 */
INLINE bool is_for_host(struct __sk_buff *skb, const struct packet *packet, const struct binding_key *key, bool configured)
{
	if (packet->protocol == IPPROTO_ICMP)
		return true;
	if (!key->address && !is_host_address(packet->destination))
		return true;
	return host_socket(skb, packet->protocol, packet->source, packet->source_port, packet->destination,
			   packet->destination_port, configured);
}

/* Translates a packet from outside, if it belongs to a binding, and delivers it. */
INLINE int inbound(struct __sk_buff *skb, __u32 l3)
{
	struct packet packet = { .l3 = l3 };
	struct binding_key binding_key = {};
	struct session_key key = {};
	struct binding *binding;
	struct session *session;
	__be32 internal_address;
	int reason;

	if (!is_unicast_frame(skb) || parse_ip(skb, &packet))
		return TCX_NEXT; /* the stack knows what to do with it */
	if (is_loopback(packet.destination))
		return TCX_NEXT; /* the stack drops it: a mapping on loopback is the host's own alone */
	if (unlikely(is_later_fragment(&packet))) {
		int verdict = later_fragment_in(skb, &packet);
		return verdict == NOT_OURS ? foreign(&packet) : verdict;
	}
	if (parse_l4(skb, &packet))
		return foreign(&packet);
	if (packet.protocol == IPPROTO_ICMP && packet.icmp_type != ICMP_ECHO_REPLY) {
		int verdict = is_icmp_error(packet.icmp_type) ? error_inbound(skb, l3, packet.l4, packet.source, packet.destination)
							      : NOT_OURS;
		return verdict == NOT_OURS ? foreign(&packet) : verdict;
	}
	binding_key.address = packet.destination;
	binding_key.port = packet.destination_port;
	binding_key.protocol = packet.protocol;
	binding = find_binding(&binding_key);
	if (!binding)
		return foreign(&packet);
	key_behind(binding, packet.protocol, packet.source, packet.source_port, &key);
	internal_address = key.internal_address;

	session = bpf_map_lookup_elem(&sessions, &key);
	if (unlikely(!session)) {
		if (is_for_host(skb, &packet, &binding_key, binding->flags & BINDING_CONFIGURED))
			return foreign(&packet);
		/* Nobody outside has such an address: RFC 1812 section 5.3.7. */
		if (is_host_address(packet.source) || is_inside_address(packet.source) || stays_on_link(packet.source))
			return drop(REASON_INSIDE_FROM_OUTSIDE);
		if (packet.ttl <= 1)
			return drop(REASON_HOP_LIMIT);
		reason = open_inbound(&key, &binding_key, packet.destination, packet.tcp_flags, 0);
		if (reason)
			return drop(reason);
		session = bpf_map_lookup_elem(&sessions, &key);
		if (!session)
			return drop(REASON_SESSION_FAILED);
	}
	if (unlikely(session->flags & SESSION_HAIRPIN)) /* both its ends are inside */
		return drop(REASON_INSIDE_FROM_OUTSIDE);
	/* One remote port, two external ports, one internal port: the endpoint could not tell them apart. */
	if (unlikely(session->external_address != packet.destination || session->external_port != packet.destination_port))
		return drop(REASON_SESSION_CLASH);
	if (unlikely(packet.ttl <= 1))
		return drop(REASON_HOP_LIMIT);
	if (unlikely(is_fragment(&packet))) {
		reason = first_fragment_in(&packet, key.compartment, internal_address, session->network);
		if (reason)
			return drop(reason);
	}
	session_track(&key, session, &packet, false, bpf_ktime_get_coarse_ns());
	session_count(skb, session, &packet, false);
	reason = rewrite(skb, &packet, DESTINATION, internal_address, key.internal_port, 1);
	if (unlikely(reason))
		return drop(reason);
	return deliver_inside(skb, &packet, key.compartment, session->network, internal_address);
}

SEC("tcx/ingress")
int outside_ingress(struct __sk_buff *skb)
{
	return skb->protocol == htons(ETH_P_IP) ? inbound(skb, sizeof(struct ethhdr)) : TCX_NEXT;
}

/* For tun and other links without Ethernet. */
SEC("tcx/ingress")
int outside_ingress_l3(struct __sk_buff *skb)
{
	return skb->protocol == htons(ETH_P_IP) ? inbound(skb, 0) : TCX_NEXT;
}

/* Remembers that the host talks from this port, unless it is where a binding has its own. */
INLINE void note_host_port(struct __sk_buff *skb, struct packet *packet)
{
	struct settings *settings = get_settings();
	struct binding_key binding = {};
	struct host_port_key key = {};
	__u64 now = bpf_ktime_get_coarse_ns(), *used;
	__u16 port;

	if (!settings || is_later_fragment(packet) || parse_l4(skb, packet))
		return;
	port = ntohs(packet->source_port);
	/* Below 1024 and among the ephemeral ports no NAT allocates by itself. */
	if (packet->protocol != IPPROTO_ICMP &&
	    (port < 1024 || (port >= settings->local_port_low && port <= settings->local_port_high)))
		return;
	binding.address = key.address = packet->source;
	binding.port = key.port = packet->source_port;
	binding.protocol = key.protocol = packet->protocol;
	used = bpf_map_lookup_elem(&host_ports, &key);
	if (used) {
		*used = now;
		return;
	}
	if (!bpf_map_lookup_elem(&bindings, &binding))
		bpf_map_update_elem(&host_ports, &key, &now, BPF_ANY);
}

/* The leak guard. Design, rule 1: no packet with an inside source leaves untranslated. */
INLINE int guard(struct __sk_buff *skb, __u32 l3)
{
	struct packet packet = { .l3 = l3 };

	if (likely(skb->mark == TRANSLATED_MARK)) {
		skb->mark = 0;
		return TCX_NEXT;
	}
	if (skb->protocol != htons(ETH_P_IP) || parse_ip(skb, &packet))
		return TCX_NEXT;
	if (unlikely(is_inside_address(packet.source)))
		return drop(REASON_UNTRANSLATED);
	note_host_port(skb, &packet);
	return TCX_NEXT;
}

SEC("tcx/egress")
int outside_egress(struct __sk_buff *skb)
{
	return guard(skb, sizeof(struct ethhdr));
}

SEC("tcx/egress")
int outside_egress_l3(struct __sk_buff *skb)
{
	return guard(skb, 0);
}

/* The host's own sockets; 1 lets the call go on. */
SEC("cgroup/connect4")
int host_connect4(struct bpf_sock_addr *ctx)
{
	dial4(ctx);
	return 1;
}

SEC("cgroup/sendmsg4")
int host_sendmsg4(struct bpf_sock_addr *ctx)
{
	dial4(ctx);
	return 1;
}

SEC("cgroup/recvmsg4")
int host_recvmsg4(struct bpf_sock_addr *ctx)
{
	show4(ctx);
	return 1;
}

SEC("cgroup/getpeername4")
int host_getpeername4(struct bpf_sock_addr *ctx)
{
	show4(ctx);
	return 1;
}

SEC("cgroup/connect6")
int host_connect6(struct bpf_sock_addr *ctx)
{
	dial6(ctx);
	return 1;
}

SEC("cgroup/sendmsg6")
int host_sendmsg6(struct bpf_sock_addr *ctx)
{
	dial6(ctx);
	return 1;
}

SEC("cgroup/recvmsg6")
int host_recvmsg6(struct bpf_sock_addr *ctx)
{
	show6(ctx);
	return 1;
}

SEC("cgroup/getpeername6")
int host_getpeername6(struct bpf_sock_addr *ctx)
{
	show6(ctx);
	return 1;
}

/*
 * User space ends a session by a test run of this program, with the key behind
 * an Ethernet header's worth of bytes: so its binding is left as always.
 */
SEC("tcx/ingress")
int end_session(struct __sk_buff *skb)
{
	struct session_key key;
	struct session *session;

	if (bpf_skb_load_bytes(skb, sizeof(struct ethhdr), &key, sizeof(key)))
		return TCX_DROP;
	session = bpf_map_lookup_elem(&sessions, &key);
	if (!session)
		return TCX_PASS;
	session_end(&key, session);
	return TCX_NEXT;
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

	if (!wheel)
		return TCX_DROP;
	error = bpf_timer_init(&wheel->timer, &wheels, CLOCK_MONOTONIC);
	if (error && error != -EBUSY) /* there is one */
		return TCX_DROP;
	if (!wheel->tick)
		wheel->tick = bpf_ktime_get_coarse_ns() / TICK;
	if (bpf_timer_set_callback(&wheel->timer, wheel_turn) || bpf_timer_start(&wheel->timer, TICK, 0))
		return TCX_DROP;
	return TCX_NEXT;
}

char _license[] SEC("license") = "Dual BSD/GPL";
