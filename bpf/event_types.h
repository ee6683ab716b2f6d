/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* What user space is told of what happened: events as they come, and what the flight recorder keeps. */
#pragma once
#include "types.h"

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
	EVENT_DROPPED = 1030,
	EVENT_OUT_OF_PORTS = 1033,
	EVENT_ENDPOINT_DEPENDENT_BEGIN = 2011,
	EVENT_ENDPOINT_DEPENDENT_END = 2012,
	EVENT_ENDPOINT_LIMIT = 2013,
};
struct event {
	__u64 time; /* monotonic ns */
	__u16 id;
	__u8 protocol;
	__u8 configured;
	__u32 state;
	__u32 nat, network, compartment;
	__u32 lifetime, sessions;
	addr_t internal_address, external_address, remote_address;
	__be16 internal_port, external_port, remote_port;
	__u8 cause; /* of a session that is deleted: enum end_cause */
	__u8 repeated_syns; /* these three as in struct session */
	__u32 endpoint_rtt, outside_rtt;
};

/* For which watchers there was no room in a ring: it is counted. */
enum lost_kind { LOST_EVENT = 0, LOST_DROP = 1, LOST_KINDS = 2 };

/* Which program had a packet. */
enum program {
	PROGRAM_INSIDE_INGRESS = 1,
	PROGRAM_BRIDGE_INGRESS = 2,
	PROGRAM_PORT_INGRESS = 3,
	PROGRAM_OUTSIDE_INGRESS = 4,
	PROGRAM_OUTSIDE_EGRESS = 5,
	PROGRAM_REASSEMBLY_ENTER = 6,
	PROGRAM_REASSEMBLY_LEAVE = 7,
	PROGRAM_LOOPBACK_EGRESS = 8,
	PROGRAM_PORT_EGRESS = 9,
};

/*
 * A packet that was dropped, or several in a row that were alike. A row is
 * whole if serial and check are the same: check is written first, serial last.
 */
struct drop_record {
	__u64 serial;
	__u64 first, last; /* ns since the machine has booted, suspended or not */
	__u32 count;
	__u32 ifindex; /* the link that it was at */
	__u32 network, compartment; /* that it came from; see OUTSIDE */
	addr_t source, destination; /* as it came; of ARP the sender's and the target's */
	__be16 source_port, destination_port; /* ICMP: the identifier, and type and code */
	__be16 ethernet_type;
	__u8 mac[6]; /* of its sender; 0 where the link has none */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 reason; /* enum reason */
	__u8 program; /* enum program */
	__u32 length; /* of the frame; of several the last one's */
	__u64 check;
};

/* Why a session has ended. */
enum end_cause {
	END_TIMEOUT = 1, /* its state says of what */
	END_BY_HAND = 2,
	END_CONFIGURATION = 3, /* its mapping, endpoint, network or NAT is gone or another one */
	END_ADDRESS_LOST = 4, /* the host or the NAT does not have its external address or port any more */
	END_ROUTE_CHANGED = 5,
	END_PRESSURE = 6, /* closed already, and its port was needed */
	END_TAKEN_OVER = 7, /* by a mapping that its remote came in by */
	END_NO_MEMORY = 8, /* for its timer */
};

/* What user space asks for with end_session. */
struct end_request {
	struct session_key key;
	__u32 cause; /* enum end_cause */
};

/* What user space asks for with change_index. */
enum index_change {
	INDEX_ADD, /* unless there is one */
	INDEX_PUT, /* in its place */
	INDEX_REMOVE,
};

struct index_request {
	struct binding_index_key key;
	struct way_out way;
	__u32 change; /* enum index_change */
};

/* A session that has ended. serial and check as in struct drop_record. */
struct end_record {
	__u64 serial;
	__u64 ended; /* ns since the machine has booted, suspended or not */
	__u64 lived, idle; /* ns: since it was opened, and since it was last refreshed */
	struct session_key key;
	addr_t external_address;
	__be16 external_port;
	__u16 flags; /* enum session_flags */
	__u32 nat, network;
	__u8 state, cause; /* enum tcp_state, enum end_cause */
	__u8 repeated_syns; /* these three as in struct session */
	__u8 pad;
	__u32 endpoint_rtt, outside_rtt;
	__u64 packets_out, bytes_out, packets_in, bytes_in;
	__u64 check;
};
