/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Keys and values of the maps, shared with user space (bpf2go makes the Go
 * types). Addresses and ports are in network byte order, everything else in
 * the host's. Padding is written out: keys are compared byte by byte.
 */
#pragma once
#include "kernel.h"

#define SECOND 1000000000ULL

/* Reasons for a drop. 0x00-0x19 are WinNAT's ActionReason numbers, ours follow. */
enum reason {
	REASON_NONE = 0x00,
	REASON_FIRST_FRAGMENT = 0x02,
	REASON_ICMP_ERROR_INVALID = 0x03,
	REASON_ICMP_ERROR_NO_SESSION = 0x04,
	REASON_NO_MAPPING = 0x06,
	REASON_TRANSLATE = 0x09,
	REASON_HOP_LIMIT = 0x0a,
	REASON_TOO_BIG = 0x0b,
	REASON_ROUTE_LOOKUP = 0x0c,
	REASON_NO_ROUTE = 0x0d,
	REASON_SESSION_FAILED = 0x0e,
	REASON_NOT_EXTERNAL = 0x0f,
	REASON_NO_EXTERNAL_ADDRESS = 0x10,
	REASON_PROTOCOL = 0x13,
	REASON_NO_INSTANCE = 0x19,
	REASON_SPOOFED_SOURCE = 0x40,
	REASON_SESSIONS_FULL = 0x41,
	REASON_BINDINGS_FULL = 0x42,
	REASON_OUT_OF_PORTS = 0x43,
	REASON_FILTERED = 0x44,
	REASON_NO_SESSION = 0x45,
	REASON_ISOLATED = 0x46,
	REASON_UNTRANSLATED = 0x47,
	REASON_MALFORMED = 0x48,
	REASON_REMOTE_NOT_ALLOWED = 0x49,
	REASON_SESSION_CLASH = 0x4a,
	REASON_INSIDE_FROM_OUTSIDE = 0x4b,
	REASON_FRAGMENT = 0x4c,
	REASON_ENDPOINT_GONE = 0x4d,
	REASON_NO_NAT = 0x4e,
	REASON_IPV6 = 0x4f,
	REASON_ROUTE_CHANGED = 0x50,
	REASON_COUNT = 0x60,
};

/* TCP states: WinNAT's numbers, RFC 6146 section 3.5.2's machine. */
enum tcp_state {
	STATE_NONE = 0, /* "Closed/NA": every session that is not TCP */
	STATE_INTERNAL_SYN = 1,
	STATE_EXTERNAL_SYN = 2,
	STATE_ESTABLISHED = 3,
	STATE_INTERNAL_FIN = 4,
	STATE_EXTERNAL_FIN = 5,
	STATE_BOTH_FIN = 6,
	STATE_TIME_WAIT = 7, /* after a RST; RFC 6146's TRANS */
};

enum filtering { /* RFC 4787 section 5 */
	FILTER_ENDPOINT_INDEPENDENT = 0,
	FILTER_ADDRESS_DEPENDENT = 1,
	FILTER_ADDRESS_AND_PORT_DEPENDENT = 2,
};

/* One element: the settings that the data path reads on slow paths. */
struct settings {
	__u64 watched_until; /* monotonic ns; events are sent while it lies ahead */
	__u64 netns_cookie; /* of the daemon's namespace: whose programs reach mappings by loopback */
	__u32 anchor_ifindex; /* input device for route look-ups */
	__u16 local_port_low, local_port_high; /* the host's ephemeral ports, host order */
};

struct nat {
	__u32 udp_timeout, tcp_established_timeout, tcp_transitory_timeout, icmp_timeout; /* seconds */
	__u8 tcp_filtering, udp_filtering, udp_inbound_refresh, pad;
};

/* What a NAT may use outside when a packet leaves by ifindex; ifindex 0: any. */
struct pool_key {
	__u32 nat, ifindex;
};
#define POOL_ADDRESSES 8
#define POOL_RANGES 4
struct port_range {
	__u16 low, high; /* host order, inclusive; 0-0: unused */
};
struct pool_address {
	__be32 address;
	__u32 ports; /* how many the ranges hold together */
	struct port_range range[POOL_RANGES];
};
struct pool {
	__u32 count, pad;
	struct pool_address address[POOL_ADDRESSES];
};

enum { OUTSIDE_NO_ETHERNET = 1 };
struct outside {
	__u32 flags;
};

struct network {
	__u32 bridge_ifindex;
};

/*
 * An inside interface: an endpoint's link, or a network's bridge. It has all
 * that a packet's way out needs to know of its network: one look-up a packet.
 */
struct inside {
	__u32 network, compartment;
	__u32 nat; /* 0: none, the network is internal only */
	__be32 address; /* the endpoint's own, 0 on a bridge */
	__be32 subnet, mask, gateway;
	__u8 mac[6], gateway_mac[6];
};

struct endpoint_key {
	__u32 compartment;
	__be32 address;
};
enum delivery { DELIVER_PEER = 0, DELIVER_LINK = 1 };
struct endpoint {
	__u32 ifindex; /* the link on the host's side */
	__u32 network;
	__u8 delivery;
	__u8 pad;
	__u8 mac[6], gateway_mac[6];
	__u8 pad2[2];
};

/*
 * A binding ties an internal address and port to an external one, for every
 * remote (endpoint-independent mapping, RFC 4787 REQ-1). Its key is its
 * reservation of the external port: who inserts it has it. For ICMP the port
 * is the query identifier (RFC 5508 section 3.1). Address 0 is a configured
 * binding on any address of the host.
 */
struct binding_key {
	__be32 address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
enum {
	BINDING_CONFIGURED = 1,
	BINDING_ENDED = 2, /* no new session may join */
	BINDING_ALLOW_LIST = 4, /* remotes must be in the allowed map */
};
struct binding {
	struct bpf_spin_lock lock; /* over sessions and flags */
	__u32 sessions;
	__u32 flags;
	__u32 compartment;
	__be32 internal_address;
	__be16 internal_port;
	__u16 pad;
	__u32 nat, network;
	__u32 mapping; /* id of the static mapping, if configured */
	__u32 pad2;
};

/* From the inside: which external port an internal one has on an external address. */
struct binding_index_key {
	__u32 compartment;
	__be32 internal_address;
	__be32 external_address;
	__be16 internal_port;
	__u8 protocol;
	__u8 pad;
};

/* Which remotes a binding's endpoint talks to, for address-dependent filtering. */
struct contact_key {
	__be32 external_address;
	__be32 remote_address;
	__be16 external_port;
	__u8 protocol;
	__u8 pad;
};
struct contact {
	struct bpf_spin_lock lock;
	__u32 sessions;
};

/* A session's key is its inside view, so that both directions find one element. */
struct session_key {
	__u32 compartment;
	__be32 internal_address;
	__be32 remote_address;
	__be16 internal_port;
	__be16 remote_port; /* 0 for ICMP */
	__u8 protocol;
	__u8 pad[3];
};
enum {
	SESSION_ANY_ADDRESS = 1, /* its binding has address 0 */
	SESSION_CONTACT = 2, /* it holds a contact */
	SESSION_HAIRPIN = 8, /* its remote is an endpoint's external address */
	SESSION_INBOUND_REFRESH = 4, /* packets from outside keep it alive */
};
struct session {
	__u64 created; /* monotonic ns */
	__u64 refreshed; /* monotonic ns */
	__u64 alarm_due; /* when its alarm goes off, monotonic ns */
	__u32 state; /* enum tcp_state */
	__u32 lifetime; /* seconds, for this state */
	__be32 external_address;
	__be16 external_port;
	__u16 flags;
	__u32 nat, network;
	/* The way out, looked up again when it is older than a second. */
	__u64 route_expires;
	__u32 out_ifindex;
	__be32 next_hop;
	__u32 out_mtu;
	__u32 pad;
	__u64 packets_out, bytes_out, packets_in, bytes_in;
};

struct port_bits_key {
	__be32 address;
	__u8 protocol;
	__u8 pad[3];
};
#define PORT_WORDS (65536 / 64)
struct port_bits {
	__u64 word[PORT_WORDS]; /* bit 0 of word 0 is port 0 */
};

/* A host port from which the host itself talks: not for bindings. */
struct host_port_key {
	__be32 address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};

struct prefix_key {
	__u32 length;
	__be32 address;
};
struct allowed_key {
	__u32 length; /* 32 bits of mapping id, then the prefix */
	__u32 mapping;
	__be32 remote;
};

/* What the ring carries: WinNAT's ids, see internal/event. */
enum event_id {
	EVENT_SESSION_CREATE = 1001,
	EVENT_SESSION_STATE = 1003,
	EVENT_SESSION_TIMEOUT = 1004,
	EVENT_SESSION_DELETE = 1005,
	EVENT_BINDING_CREATE = 1006,
	EVENT_BINDING_DELETE = 1007,
	EVENT_BINDING_SESSIONS = 1008,
	EVENT_TABLE_FULL = 1016,
	EVENT_OUT_OF_PORTS = 1033,
};
struct event {
	__u64 time; /* monotonic ns */
	__u16 id;
	__u8 protocol;
	__u8 configured;
	__u32 state;
	__u32 nat, network, compartment;
	__u32 lifetime, sessions;
	__be32 internal_address, external_address, remote_address;
	__be16 internal_port, external_port, remote_port;
	__u16 pad;
};
