/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * Who is where on networks' switches, of those at ports that other tools plugged in.
 *
 * `stations` says at which port a MAC is, `holders` which MAC has an IPv4
 * address. Both are learnt by first use. A row moves to another port or MAC
 * only when user space has found that nobody answers there any more (struct
 * claim), however long its own has been silent: who sleeps is not gone.
 */
#pragma once
#include "ip4_antispoof.h"
#include "ip4_switch.h"

enum {
	STATIONS_A_PORT = 64, /* MACs, and IPv4 addresses, that a port may have at a time */
	CLAIM_PAUSE = 250000000, /* ns between two claims of one row that user space is told of */
	SEEN_STEP = 50000000, /* ns: how exactly a row says when it was last heard of */
};

struct {
	MAP_UINT(type, BPF_MAP_TYPE_RINGBUF);
	MAP_UINT(max_entries, 1 << 16);
} claims SEC(".maps");

/* What the checks of one frame need to know of it. */
struct frame {
	__u64 now;
	__u32 port, network, compartment;
	__u8 destination[6]; /* both MACs start at a multiple of 4: they are compared as words */
	__be16 protocol;
	__u8 mac[6];
	__u8 pad[6];
};

/* Tells user space that somebody else claims a row, not with each frame. */
INLINE void claim(const struct frame *frame, __be32 address, __u32 holder_port, const __u8 *holder_mac, __u64 *claimed)
{
	struct claim *claim;
	__u64 before = *claimed;

	if (unlikely(dry_run) || before + CLAIM_PAUSE > frame->now ||
	    __sync_val_compare_and_swap(claimed, before, frame->now) != before)
		return;
	claim = bpf_ringbuf_reserve(&claims, sizeof(*claim), 0);
	if (!claim)
		return; /* the next frame claims again */
	claim->time = frame->now;
	claim->network = frame->network;
	claim->compartment = frame->compartment;
	claim->port = frame->port;
	claim->holder_port = holder_port;
	claim->address = address;
	memcpy(claim->mac, frame->mac, sizeof(claim->mac));
	memcpy(claim->holder_mac, holder_mac, sizeof(claim->holder_mac));
	bpf_ringbuf_submit(claim, 0);
}

INLINE struct port_load *find_load(__u32 port)
{
	struct port_load none = {}, *load = bpf_map_lookup_elem(&port_loads, &port);

	if (load)
		return load;
	map_update(&port_loads, &port, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&port_loads, &port);
}

/* Takes one more row for a port. False if it has as many as it may. */
INLINE bool load_take(__u32 *rows)
{
	if (unlikely(dry_run))
		return *rows < STATIONS_A_PORT;
	if (__sync_fetch_and_add(rows, 1) < STATIONS_A_PORT)
		return true;
	__sync_fetch_and_add(rows, -1);
	return false;
}

INLINE void load_leave(__u32 port, bool holder)
{
	struct port_load *load = bpf_map_lookup_elem(&port_loads, &port);

	if (load && likely(!dry_run))
		__sync_fetch_and_add(holder ? &load->holders : &load->stations, -1);
}

INLINE enum reason learn_station(const struct frame *frame, const struct station_key *key)
{
	struct station new = { .seen = frame->now, .port = frame->port };
	struct port_load *load;
	long error;

	if (bpf_map_lookup_elem(&managed_macs, key)) /* an endpoint's that we attached: it is nowhere else */
		return REASON_MAC_ELSEWHERE;
	load = find_load(frame->port);
	if (unlikely(dry_run))
		return !load || load_take(&load->stations) ? REASON_NONE : REASON_PORT_LIMIT;
	if (!load || !load_take(&load->stations))
		return REASON_PORT_LIMIT;
	error = map_update(&stations, key, &new, BPF_NOEXIST);
	if (!error)
		return REASON_NONE;
	__sync_fetch_and_add(&load->stations, -1);
	return not_added(error, REASON_PORT_LIMIT); /* full, or another CPU has just learnt it: the next frame is looked at again */
}

/* Whether a frame's MAC is at its port. Returns a drop reason or none. */
GLOBAL int check_station(const struct frame *frame)
{
	struct station_key key = {};
	struct station *station;
	__u32 port;

	if (!frame)
		return REASON_MALFORMED;
	key.network = frame->network;
	memcpy(key.mac, frame->mac, sizeof(key.mac));
	station = bpf_map_lookup_elem(&stations, &key);
	if (unlikely(!station))
		return learn_station(frame, &key);
	port = station->port;
	if (likely(port == frame->port)) {
		if (station->seen + SEEN_STEP < frame->now && likely(!dry_run))
			station->seen = frame->now;
		return REASON_NONE;
	}
	claim(frame, 0, port, frame->mac, &station->claimed);
	return REASON_MAC_ELSEWHERE;
}

INLINE enum reason learn_holder(const struct frame *frame, const struct endpoint_key *key)
{
	struct holder new = { .seen = frame->now, .port = frame->port };
	struct port_load *load = find_load(frame->port);
	long error;

	if (unlikely(dry_run))
		return !load || load_take(&load->holders) ? REASON_NONE : REASON_PORT_LIMIT;
	if (!load || !load_take(&load->holders))
		return REASON_PORT_LIMIT;
	memcpy(new.mac, frame->mac, sizeof(new.mac));
	error = map_update(&holders, key, &new, BPF_NOEXIST);
	if (!error)
		return REASON_NONE;
	__sync_fetch_and_add(&load->holders, -1);
	return not_added(error, REASON_PORT_LIMIT);
}

/* Whether a frame's MAC may speak for an IPv4 address of the network. Returns a drop reason or none. */
GLOBAL int check_holder(const struct frame *frame, __be32 address)
{
	struct endpoint_key key = { .address = address };
	struct holder *holder;
	__u32 port;

	if (!frame)
		return REASON_MALFORMED;
	key.compartment = frame->compartment;
	holder = bpf_map_lookup_elem(&holders, &key);
	if (unlikely(!holder))
		return learn_holder(frame, &key);
	if (likely(same_mac(holder->mac, frame->mac))) {
		port = holder->port;
		if (unlikely(port != frame->port)) { /* the station has moved: its addresses go with it */
			struct port_load *load = find_load(frame->port);

			if (unlikely(dry_run))
				return !load || load_take(&load->holders) ? REASON_NONE : REASON_PORT_LIMIT;
			if (!load || !load_take(&load->holders))
				return REASON_PORT_LIMIT;
			if (__sync_val_compare_and_swap(&holder->port, port, frame->port) == port)
				load_leave(port, true);
			else
				__sync_fetch_and_add(&load->holders, -1);
		}
		if (holder->seen + SEEN_STEP < frame->now && likely(!dry_run))
			holder->seen = frame->now;
		return REASON_NONE;
	}
	claim(frame, address, holder->port, holder->mac, &holder->claimed);
	return REASON_ADDRESS_ELSEWHERE;
}

/* Whether somebody at a port may speak for an IPv4 address. Returns a drop reason or none. */
GLOBAL int check_source(const struct frame *frame, const struct inside *inside, __be32 address)
{
	if (!frame || !inside)
		return REASON_SPOOFED_SOURCE;
	if (!is_unmanaged(inside, address) || !(~address & ~inside->mask) || !(address & ~inside->mask))
		return REASON_SPOOFED_SOURCE;
	if (is_anothers_lease(inside, address, frame->mac))
		return REASON_SPOOFED_SOURCE;
	return check_holder(frame, address);
}

/*
 * User space takes a row away, since nobody answers there any more, or its port
 * is gone: then the next frame is first use again. Not if the row was heard of
 * after claim->time. Returns TCX_NEXT if the row is gone, TCX_PASS if it stays.
 */
INLINE int forget_station(const struct claim *claim)
{
	struct station_key key = { .network = claim->network };
	struct station *station;

	memcpy(key.mac, claim->holder_mac, sizeof(key.mac));
	station = bpf_map_lookup_elem(&stations, &key);
	if (!station)
		return TCX_NEXT;
	if (station->port != claim->holder_port || station->seen > claim->time)
		return TCX_PASS;
	if (!map_delete(&stations, &key))
		load_leave(claim->holder_port, false);
	return TCX_NEXT;
}

INLINE int forget_holder(const struct claim *claim)
{
	struct endpoint_key key = { .compartment = claim->compartment, .address = claim->address };
	struct holder *holder = bpf_map_lookup_elem(&holders, &key);

	if (!holder)
		return TCX_NEXT;
	if (holder->port != claim->holder_port || holder->seen > claim->time || !same_mac(holder->mac, claim->holder_mac))
		return TCX_PASS;
	if (!map_delete(&holders, &key))
		load_leave(claim->holder_port, true);
	return TCX_NEXT;
}
