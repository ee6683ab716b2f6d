/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Keys and values of the maps, shared with user space (bpf2go makes the Go
 * types). Addresses and ports are in network byte order, everything else in
 * the host's. Padding is written out: keys are compared byte by byte.
 */
#pragma once
#include "family.h"
#include "reason.h"
#include "session_types.h"

#define SECOND 1000000000ULL

enum filtering { /* RFC 4787 section 5 */
	FILTER_ENDPOINT_INDEPENDENT = 0,
	FILTER_ADDRESS_DEPENDENT = 1,
	FILTER_ADDRESS_AND_PORT_DEPENDENT = 2,
};

enum setting_flags { /* what a packet that has no binding may belong to all the same */
	SETTING_RANGES = 1, /* a mapping of several ports */
	SETTING_TRANSPARENT = 4, /* a socket of ours that has a remote's address */
	SETTING_SHADOWS = 16, /* ranges on one address, which go before what is mapped on any */
	SETTING_ALLOWANCES = 512, /* endpoints have further addresses */
	SETTING_MAPPINGS = 1024, /* there are mappings, so loopback_egress is where the host speaks to itself */
	SETTING_ROUTE_MTUS = 256, /* routes of the host have MTUs of their own */
};

/* One element: the settings that the data path reads on slow paths. */
struct settings {
	__u64 watched_until; /* monotonic ns; events are sent while it lies ahead */
	__u32 anchor_ifindex; /* input device for route look-ups */
	__u32 flags;
	__u32 reassembly_ifindex; /* our end of the veth to the reassembly namespace; 0: there is none */
	__u16 local_port_low, local_port_high; /* the host's ephemeral ports, host order */
	__u32 ipsec; /* how many IPsec policies there are, and IPSEC_SECOND if they are in the second half of the map */
	__u16 dependent_low, dependent_high; /* the ports that endpoint-dependent sessions may have, host order; 0-0: none */
	__u64 port_secret[2]; /* with which external ports are drawn: see port_home() */
	__u32 watched_all; /* 1: all events are sent; 0: those that are logged, see is_logged() */
	__u32 pad;
};

struct nat {
	__u32 udp_timeout, tcp_established_timeout, tcp_transitory_timeout, icmp_timeout; /* seconds */
	__u32 hold_down; /* hold-down: seconds before a freed UDP port or query identifier may be given again */
	__u32 max_sessions, max_ports, max_rate; /* an endpoint's: at once, at once, new ones a second; 0: no limit */
	__u8 tcp_filtering, udp_filtering, udp_inbound_refresh;
	__u8 pooling, endpoint_dependent, clamp_mss;
	__u8 exhaustion; /* enum exhaustion */
	__u8 link_local; /* 1: its endpoints reach 169.254.0.0/16 outside */
	__u32 table; /* the routing table by which everything leaves; 0: the host's rules decide */
};
enum pooling { POOLING_PAIRED = 0, POOLING_ARBITRARY = 1 }; /* RFC 4787 REQ-2 */
enum exhaustion { /* how a flow is refused that no port or state is left for: decision D3 */
	EXHAUSTION_PROHIBITED = 0,
	EXHAUSTION_UNREACHABLE = 1,
	EXHAUSTION_SILENT = 2,
};

/*
 * What a NAT may use outside when a packet leaves by ifindex; ifindex 0: any.
 * With an address: what a NAT without addresses of its own uses where the host's
 * routes choose that address for what leaves.
 */
struct pool_key {
	__u32 nat, ifindex;
	addr_t address;
};
#define POOL_ADDRESSES 8
#define POOL_RANGES 4
struct port_range {
	__u16 low, high; /* host order, inclusive; 0-0: unused */
};
struct pool_address {
	addr_t address, mask;
	__u32 ports; /* how many the ranges hold together */
	__u32 all; /* how many dynamic ports all NATs have on the address */
	struct port_range range[POOL_RANGES];
	struct port_range dependent; /* for endpoint-dependent mapping alone */
};
enum pool_flags {
	POOL_FOLLOWS_ROUTE = 1, /* the NAT has no addresses of its own */
	POOL_BOUND = 2, /* with ifindex 0: the NAT may leave by those interfaces alone that it has a pool of */
};
struct pool {
	__u32 count; /* that new bindings may have */
	__u32 flags;
	__u32 mapped; /* behind these: addresses that one-to-one mappings have for themselves */
	struct pool_address address[POOL_ADDRESSES];
};

enum outside_flags { OUTSIDE_NO_ETHERNET = 1 };
struct outside {
	__u32 flags;
};

enum network_flags {
	NETWORK_OPEN = 1, /* its endpoints and those of other open networks of the compartment reach each other */
	NETWORK_ENDPOINTS_ISOLATED = 2, /* its endpoints do not reach each other */
	NETWORK_UNROUTED = 4, /* its prefix has no route in the host's main table, since another network may have it too */
	NETWORK_SWITCHED = 64, /* its switch is hostnat's own: frames between its machines need not go up the bridge */
	NETWORK_UNGUARDED = 16, /* its switch's ports are not checked: see ip4_switch_port.h */
	NETWORK_HOST_OVERLAP = 8, /* the host has come to a LAN or a VPN with a part of its subnet */
	NETWORK_DHCP_INSIDE = 32, /* somebody inside may be its DHCP server: hostnat is not */
	NETWORK_NAMES = 128, /* a name server of hostnat's answers at its gateway */
	NETWORK_ROUTERS = 256, /* endpoints of it have prefixes outside its subnet behind them */
	INSIDE_ALLOWANCES = 512, /* of an endpoint's link: the endpoint may send from further addresses */
};
struct network {
	__u32 bridge_ifindex;
	__u32 flags;
	__u32 compartment;
	__u32 input_ifindex; /* what its packets come in by, as far as the host's routing rules are concerned; 0: the anchor */
};

/*
 * An inside interface: an endpoint's link, or a network's bridge. It has all
 * that a packet's way out needs to know of its network: one look-up a packet.
 */
struct inside {
	__u32 network, compartment;
	__u32 nat; /* 0: none, the network is internal only */
	addr_t address; /* the endpoint's own, 0 on a bridge */
	addr_t subnet, mask, gateway;
	__u8 mac[6], gateway_mac[6];
	__u32 flags; /* of its network */
	__u32 stamp; /* what frames carry that were checked at a port of its switch; 0: it has none, or they are not checked */
};

/* What else an endpoint may send from, by its link: length is the address's bits and 32. */
struct source_key {
	__u32 length;
	__u32 ifindex;
	addr_t address;
};
enum source_flags {
	SOURCE_OWN = 1, /* as from its own address */
	SOURCE_FORWARDED = 2, /* to others on its switch alone: it is their router */
};

struct endpoint_key {
	__u32 compartment;
	addr_t address;
};

/* Who has an address by DHCP. */
struct lease {
	__u64 until; /* ns, as bpf_ktime_get_coarse_ns() */
	__u8 mac[6];
	__u8 pad[2];
};

/*
 * Who is where on a network's switch. A MAC is at one port, an address is
 * one MAC's. Learnt by first use.
 */
struct station_key {
	__u32 network;
	__u8 mac[6];
	__u8 pad[2];
};
struct station {
	__u64 seen; /* monotonic ns: when it was last heard of at its port */
	__u64 claimed; /* monotonic ns: when another port last claimed it, and user space was told */
	__u32 port;
	__u32 pad;
};
struct holder { /* of an address, by struct endpoint_key */
	__u64 seen, claimed; /* as a station's */
	__u32 port;
	__u8 mac[6];
	__u8 pad[2];
};
struct port_load {
	__u32 stations, holders;
	__u64 asked_since; /* monotonic ns */
	__u32 asked; /* the DHCP server, since then */
	__u32 pad;
};
/* A frame that was refused, since its MAC or address is somebody else's: user space asks whether that one is still there. */
struct claim {
	__u64 time; /* monotonic ns */
	__u32 network, compartment;
	__u32 port, holder_port; /* who claims, who has it */
	addr_t address; /* 0: the MAC itself */
	__u8 mac[6], holder_mac[6]; /* the same if address is 0 */
};
/* What somebody has asked a DHCP server before his port was checked: user space answers when it is. */
enum { EARLY_QUESTION = 1516 }; /* bytes of a frame */
struct early_question {
	__u64 time; /* monotonic ns */
	__u32 network;
	__u32 length; /* of the frame; 0: it could not be read */
	__u8 frame[EARLY_QUESTION];
	__u8 pad[4];
};
struct refusal_key {
	__u32 port, reason;
};
struct refusal { /* the last one of that reason at that port */
	__u64 count, last; /* monotonic ns */
	addr_t address; /* 0: none */
	__u8 mac[6];
	__u8 pad[6];
};

enum delivery { DELIVER_PEER = 0, DELIVER_LINK = 1 };
struct endpoint {
	__u32 ifindex; /* the link on the host's side */
	__u32 network;
	__u8 delivery;
	__u8 pad;
	__u8 mac[6], gateway_mac[6];
	__u16 mtu; /* of the link; 0: unknown */
};

/* Which route a packet has gone by: length is 96 bits and the prefix's. */
struct route_mtu_key {
	__u32 length;
	__u32 ifindex;
	__u32 next_hop; /* 0: none. Of an IPv6 one, its key in next_hops6 */
	__u32 metric;
	addr_t destination;
};

/* An IPsec policy of the host, as of struct xfrm_selector. Of several that select a packet the first counts, in each direction. */
enum ipsec_limits { IPSEC_POLICIES = 2048, IPSEC_SECOND = 1U << 31 };
enum ipsec_flags {
	IPSEC_FORWARDED = 1, /* it is for packets that are forwarded; else for all that leave */
	IPSEC_PASSES = 2, /* what it selects may leave as it is */
};
struct ipsec_policy {
	addr_t source, source_mask, destination, destination_mask;
	__u16 source_port, source_port_mask, destination_port, destination_port_mask; /* host order */
	__u32 ifindex; /* 0: any */
	__u8 protocol; /* 0: any */
	__u8 flags;
	__u16 pad;
};

struct host_address {
	__u32 ifindex; /* of the interface that has it */
	__u32 flags;
};
enum host_address_flags { HOST_ADDRESS_DEPRECATED = 1 };

struct port_bits_key {
	addr_t address;
	__u8 protocol;
	__u8 pad[3];
};
#define PORT_WORDS (65536 / 64)
struct port_bits {
	__u64 word[PORT_WORDS]; /* bit 0 of word 0 is port 0 */
	__u32 used, pad; /* how many bits are set */
};

/* A host port from which the host itself talks: not for bindings. */
struct host_port_key {
	addr_t address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

/* Whose subnet an address is in: length is 32 bits and the prefix's. */
struct subnet_key {
	__u32 length;
	__u32 compartment;
	addr_t address;
};

/* A one-to-one mapping, of a whole external address: what has no ports is translated by it (RFC 3022 section 2.1, Basic NAT). */
struct one_to_one {
	__u32 mapping, flags; /* BINDING_ALLOW_LIST */
	__u32 compartment, network;
	__u32 nat;
	addr_t internal_address;
	addr_t external_address;
};

struct prefix_key {
	__u32 length;
	addr_t address;
};
struct allowed_key {
	__u32 length; /* 32 bits of mapping id, then the prefix */
	__u32 mapping;
	addr_t remote;
};

/* On packets, from one of our programs to another or to the host. */
enum mark {
	MARK_TRANSLATED = 0x684e4154, /* "hNAT": translated; outside_egress takes it off */
	MARK_TRANSPARENT = 0x684e5458, /* "hNTX": for a socket of the host that has the remote's address; a routing rule of ours takes it there */
	MARK_TO_PORT = 0x684e5450, /* "hNTP": handed over to a link by us; port_egress takes it off */
	MARK_FROM_BOUND = 0x684e5442, /* "hNTB": of a socket that is bound to a bridge, to an address of the host's own */
	MARK_TO_DIALLER = 0x684e5444, /* "hNTD": an answer to a program of the host, on its way to the loopback interface */
	MARK_REASSEMBLED = 0x684e5200, /* "hNR": has been in the reassembly namespace; the lowest two bits count how often */
};
