/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What the tables of bindings and sessions have. types.h says which rules keys and values follow. */
#pragma once
#include "family.h"

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

/*
 * A binding ties an internal address and port to an external one, for every
 * remote (endpoint-independent mapping, RFC 4787 REQ-1). Its key is its
 * reservation of the external port: who inserts it has it. For ICMP the port
 * is the query identifier (RFC 5508 section 3.1). Address 0 is a configured
 * binding on any address of the host.
 */
struct binding_key {
	addr_t address;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
enum binding_flags {
	BINDING_CONFIGURED = 1,
	BINDING_ENDED = 2, /* no new session may join */
	BINDING_ALLOW_LIST = 4, /* remotes must be in the allowed map */
	BINDING_OF_RANGE = 8, /* one port of a mapping's range, here while sessions use it */
	BINDING_SPREAD = 16, /* its mapping has several targets */
	BINDING_HOLD_DOWN = 64, /* without sessions; its port may be given again from hold_until on */
	BINDING_COUNTED = 128, /* in its endpoint's usage */
	/* Not of an element: what find_inside says of others. */
	BINDING_FOUND = 1 << 16,
	BINDING_ENDPOINT_DEPENDENT = 1 << 17, /* none, but an endpoint-dependent session */
};
struct binding {
	struct bpf_spin_lock lock; /* over sessions and flags */
	__u32 sessions;
	__u32 flags;
	__u32 compartment;
	addr_t internal_address;
	__be16 internal_port;
	__u16 pad;
	__u32 nat, network;
	__u32 mapping; /* id of the static mapping, if configured */
	__u32 hold_until; /* monotonic seconds */
	__u32 hosts; /* of the sessions, those that are no guests: without one nobody new may come in */
	/* Of the sessions, those with one remote: most bindings have no other, and need no filter entry. */
	__u32 contacts;
	addr_t contact;
};

/* A static mapping. Its ports' bindings refer to it; of a range there is just this one element. */
#define MAPPING_TARGETS 16
struct target {
	addr_t address;
	__u32 network;
	__be16 port; /* the first one's */
	__u16 pad;
};
struct mapping {
	__u32 nat, compartment;
	addr_t external_address;
	__be16 external_port; /* the first */
	__u16 ports;
	__u32 flags; /* BINDING_ALLOW_LIST, BINDING_SPREAD */
	__u32 targets;
	struct target target[MAPPING_TARGETS];
};

/* Which range an external port is in: length is the address's bits, 16, and the port's. */
struct range_key {
	__u32 length;
	addr_t address; /* 0: any of the host */
	__u8 protocol;
	__u8 pad;
	__be16 port;
};

/* Which range an endpoint's port is the target of: length is the address's bits, 48, and the port's. */
struct inside_range_key {
	__u32 length;
	__u32 compartment;
	addr_t address;
	__u8 protocol;
	__u8 pad;
	__be16 port;
};

/* From the inside: which external port an internal one has on an external address. */
struct way_out {
	addr_t address; /* 0: a mapping's on any address */
	__be16 port;
	__u16 pad;
};
struct binding_index_key {
	__u32 compartment;
	addr_t internal_address;
	addr_t external_address; /* 0: of a mapping on any; ~0: of one on an address that the value names */
	__be16 internal_port;
	__u8 protocol;
	__u8 pad;
};

/* Which remotes a binding's endpoint talks to, for address-dependent filtering. */
struct filter_key {
	addr_t external_address;
	addr_t remote_address;
	__be16 external_port;
	__u8 protocol;
	__u8 pad;
};
struct filter_entry {
	struct bpf_spin_lock lock;
	__u32 sessions;
	addr_t internal_address; /* where a mapping with several targets has sent the remote */
	__be16 internal_port;
	__u16 pad;
};

/* How much of the tables an endpoint has. */
struct usage {
	struct bpf_spin_lock lock;
	__u32 sessions, ports;
	__u32 second, opened; /* new sessions in that second */
	__u32 ended; /* it is being removed */
};

/* An endpoint-dependent session's external view: its reservation of the port for this remote alone. */
struct dependent_port_key {
	addr_t external_address, remote_address;
	__be16 external_port, remote_port;
	__u8 protocol;
	__u8 pad[3];
};
struct dependent_full { /* by a dependent_port_key without external port */
	__u64 until; /* monotonic ns */
	__u16 low, high; /* of the ports that are all taken */
	__u32 pad;
};
struct dependent_port {
	__u32 compartment;
	addr_t internal_address;
	__be16 internal_port;
	__u16 pad;
};

/*
 * A spare port: nobody uses it any more, and it is not free yet. A TCP connection
 * on it is closed, or its binding is in hold-down. See spare.h.
 */
struct spare_queue_key {
	__u32 nat;
	addr_t address;
	__u8 protocol;
	__u8 pad[3];
};
struct spare_queue { /* numbers of its elements; both only ever grow */
	__u64 first; /* the one that has been there for longest */
	__u64 next; /* the one that comes next */
};
struct spare_key {
	struct spare_queue_key queue;
	__u32 number;
};
struct spare {
	__u64 since; /* closed: the session's stamp, so that one that was opened again is not meant. In hold-down: until, monotonic seconds */
	addr_t remote_address; /* of a connection, with its port */
	__be16 remote_port;
	__be16 port;
};

/* A session's key is its inside view, so that both directions find one element. */
struct session_key {
	__u32 compartment;
	addr_t internal_address;
	addr_t remote_address;
	__be16 internal_port;
	__be16 remote_port; /* 0 for ICMP */
	__u8 protocol;
	__u8 pad[3];
};
enum session_flags {
	SESSION_ANY_ADDRESS = 1, /* its binding has address 0 */
	SESSION_FILTER_ENTRY = 2, /* it is counted in a filter entry */
	SESSION_HAIRPIN = 8, /* its remote is an endpoint's external address */
	SESSION_INBOUND_REFRESH = 4, /* packets from outside keep it alive */
	SESSION_SPREAD = 16, /* its filter entry says which target its remote has */
	SESSION_ENDPOINT_DEPENDENT = 32, /* it has no binding: its external port is for this remote alone */
	SESSION_COUNTED = 64, /* in its endpoint's usage */
	SESSION_FROM_OUTSIDE = 256, /* a remote has opened it */
	SESSION_GUEST = 512, /* from outside, and nothing has come from inside since: it does not keep its binding */
	SESSION_DIALLED = 1024, /* a program of the host has opened it: its remote is the gateway, and its way is that program's end */
	SESSION_DIALLED_IP6 = 2048, /* by [::1] */
	SESSION_CONTACT = 4096, /* it is among its binding's contacts, instead of a filter entry */
	SESSION_UNUSED = 128, /* not of an element: nobody has seen its port outside, which needs no hold-down */
};
/* With NEXT_HOP_IP6 in ifindex (RFC 8950: an IPv4 route by way of an IPv6 router) next_hop is a key of next_hops6. */
struct way {
	__u32 ifindex;
	addr_t next_hop;
};
enum { NEXT_HOP_IP6 = 1U << 31 };
struct next_hop6 {
	__u32 word[4];
};

/* A connection whose opener has been answered, and has not said yet that it knows. */
enum half_open {
	HALF_OPEN_OUTSIDE = 1, /* no ACK has come from outside: its remote may be forged */
	HALF_OPEN_INSIDE = 2, /* no ACK has come from the endpoint: nothing depends on it but endpoint_rtt */
};

/* Of endpoint_rtt and outside_rtt: the rest is since when an answer is waited for, and not how long it took. */
enum rtt_flags { CLOCK_RUNS = 1U << 31 };

/*
 * An element of the table is 8 bytes of the allocator, 48 of the table, the key
 * and this: with it, 256 bytes at a multiple of 64. So what packets of both
 * directions read, what packets from inside write, and what packets from outside
 * write are on cache lines of their own, and two CPUs that have a direction each
 * take none from each other (TestEstablishedPacketsShareNothing).
 */
struct session {
	/* Changes with the session's state alone. */
	addr_t external_address;
	__be16 external_port;
	__u16 flags;
	__u32 nat, network;
	__u32 state; /* enum tcp_state */
	__u32 lifetime; /* seconds, for this state */
	__u32 half_open; /* enum half_open */
	__u32 timer_tick; /* when its timer expires: see wheel.h */
	__u64 created; /* monotonic ns */
	__u32 endpoint_rtt, outside_rtt; /* see handshake.h */
	/* Written by packets from inside. */
	__u64 refreshed; /* monotonic ns; see session_refreshed() */
	__u64 packets_out, bytes_out;
	/* The way out: for packets with this type of service, and looked up again when it is older than a second. */
	__u64 route_until;
	struct way way;
	__u16 way_mtu;
	__u8 way_tos;
	__u8 repeated_syns; /* of the handshake, by the side that has opened it; no more than 255 are counted */
	__u32 pad3[5];
	/* Written by packets from outside. */
	__u64 refreshed_in; /* monotonic ns */
	__u64 packets_in, bytes_in;
};
#ifndef FAMILY_IP6
enum { SESSION_VALUE_AT = 8 + 48 + 24 }; /* from the beginning of the 256 bytes */
_Static_assert((SESSION_VALUE_AT + __builtin_offsetof(struct session, refreshed)) % 64 == 0, "a line of its own");
_Static_assert((SESSION_VALUE_AT + __builtin_offsetof(struct session, refreshed_in)) % 64 == 0, "a line of its own");
_Static_assert(SESSION_VALUE_AT + sizeof(struct session) <= 256, "no more memory than that");
#endif
