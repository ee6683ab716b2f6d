/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The clock by which sessions end: a timing wheel turned by one BPF timer.
 *
 * Not a timer for each session: bpf_timer_init may not sleep or take locks, so
 * it can fail whenever memory is not at hand (always, for more than a few, on
 * a Linux 6.18 that has deferred its page initialisation). A session must not
 * depend on that.
 *
 * Each session has a timer: its key and the tick at which it is due. It is not
 * moved with each packet: when it expires it looks when the last one was, and is
 * set again. Timers of one slot of the wheel share elements of a map (nodes), as
 * many as fit into 512 bytes, in a chain by their ids. Each CPU has slots of its
 * own (up to WHEEL_SHARDS), so that two that open sessions do not meet; all are
 * emptied by the one BPF timer.
 */
#pragma once
#include "spare_release.h"

#define TICK (SECOND / 16)
enum {
	WHEEL_SLOTS = 4096, /* 256 seconds; what is due later comes round again */
	WHEEL_SHARDS = 4,
	WHEEL_WORK = 1024, /* timers a turn: under a millisecond */
	WHEEL_PAUSE = 1000000, /* ns between turns while there is more to do */
	PUSH_TRIES = 16,
	NODE_TIMERS = 17, /* with the table's own 48 bytes, the key and the allocator's 8: 496 */
	FAR = 512, /* ticks: what is due later than that is rounded up to a second, so that nodes are full */
};

struct session_timer {
	struct session_key session;
	__u32 tick; /* when it is due; the session's own timer_tick says whether this is still its timer */
};

struct timer_node {
	struct bpf_spin_lock lock;
	__u32 count; /* of timers */
	__u64 next; /* id of the next in the slot, 0: none */
	__u32 slot; /* its number and 1; 0: it takes no more */
	__u32 pad;
	struct session_timer timers[NODE_TIMERS];
};

struct wheel {
	struct bpf_timer timer;
	__u64 tick; /* the next to be looked at */
	__u64 chain; /* id of the node at hand, 0: take the next slot */
	__u32 at; /* the next timer of that */
	__u32 shard; /* the next of the tick */
	__u64 now; /* of the turn */
};

HASH_MAP(timers, __u64, struct timer_node, 1 << 18);

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u64);
	MAP_UINT(max_entries, WHEEL_SLOTS *WHEEL_SHARDS);
} slots SEC(".maps");

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, struct wheel);
	MAP_UINT(max_entries, 1);
} wheels SEC(".maps");

INLINE struct wheel *get_wheel(void)
{
	__u32 zero = 0;
	return bpf_map_lookup_elem(&wheels, &zero);
}

INLINE __u32 slot_number(__u64 tick, __u32 shard)
{
	return shard * WHEEL_SLOTS + tick % WHEEL_SLOTS;
}

/*
 * The slot for a timer: the tick after next behind its time, so that the
 * BPF timer, which may be at work on this tick or the next, has not passed it.
 */
INLINE __u32 slot_for(__u64 tick, __u64 now)
{
	__u64 last = now / TICK + WHEEL_SLOTS - 4;

	return slot_number((tick < last ? tick : last) + 2, bpf_get_smp_processor_id() % WHEEL_SHARDS);
}

/* Adds a timer to a node, if that is the slot's and has room. */
INLINE bool node_add(struct timer_node *node, __u32 slot, const struct session_timer *timer)
{
	bool added = false;
	__u32 count;

	bpf_spin_lock(&node->lock);
	count = node->count;
	if (node->slot == slot + 1 && count < NODE_TIMERS) {
		node->timers[count] = *timer;
		node->count = count + 1;
		added = true;
	}
	bpf_spin_unlock(&node->lock);
	return added;
}

/* Makes a node with one timer. It is not in the slot yet. Returns the map's error. */
INLINE int node_new(__u64 *id, __u32 slot, const struct session_timer *timer)
{
	struct timer_node *node;
	int error;

	*id = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32() | 1;
	error = map_update(&timers, id, &no_port_bits, BPF_NOEXIST);
	if (error)
		return error;
	node = bpf_map_lookup_elem(&timers, id);
	if (!node)
		return -EINVAL;
	node->slot = slot + 1;
	return node_add(node, slot, timer) ? 0 : -EINVAL;
}

/* Adds a timer to the slot where it is due. Returns 0 or why not. */
NOINLINE int timer_add(const struct session_timer *timer, __u64 now)
{
	__u32 slot = slot_for(timer->tick, now);
	__u64 *head = bpf_map_lookup_elem(&slots, &slot), id, first;
	struct timer_node *node;
	int error;

	if (!head)
		return -EINVAL;
	first = *head;
	node = first ? bpf_map_lookup_elem(&timers, &first) : NULL;
	if (node && node_add(node, slot, timer))
		return 0;
	error = node_new(&id, slot, timer);
	if (error)
		return error;
	node = bpf_map_lookup_elem(&timers, &id);
	for (int i = 0; i < PUSH_TRIES && node; i++) {
		first = *(volatile __u64 *)head;
		node->next = first;
		if (__sync_val_compare_and_swap(head, first, id) == first)
			return 0;
	}
	map_delete(&timers, &id);
	return -EBUSY;
}

/* The tick at which a timer is due. */
INLINE __u32 tick_of(__u64 due, __u64 now)
{
	__u64 tick = due / TICK;

	return tick > now / TICK + FAR ? tick | 15 : tick;
}

/* Starts the clock of a session that is new: its timer_tick says when. Returns 0 or why not. */
GLOBAL int timer_start(const struct session_key *key, __u32 tick, __u64 now)
{
	struct session_timer timer;

	if (unlikely(dry_run))
		return 0;
	if (!key)
		return -EINVAL;
	timer.session = *key;
	timer.tick = tick;
	return timer_add(&timer, now);
}

/* Sets a session's timer. Returns 0 or why not: then an earlier one stands. */
GLOBAL int timer_set(const struct session_key *key, struct session *session, __u64 now, __u64 delay)
{
	struct session_timer timer;
	__u32 before;
	int error;

	if (unlikely(dry_run))
		return 0;
	if (!key || !session)
		return -EINVAL;
	timer.session = *key;
	timer.tick = tick_of(now + delay, now);
	before = session->timer_tick;
	session->timer_tick = timer.tick; /* before it can go off */
	error = timer_add(&timer, now);
	if (error)
		session->timer_tick = before;
	return error;
}

/* Defined in session.h. */
GLOBAL int session_end(const struct session_key *map_key, struct session *session, __u32 cause);

/* When a session has to be looked at again; 0: it has expired. */
INLINE __u64 session_due(const struct session *session, __u64 now)
{
	__u64 deadline = session_refreshed(session) + session->lifetime * SECOND;

	return now < deadline ? deadline : 0;
}

/*
 * Looks at one timer: its session has ended, is another, lives on, or ends now.
 * False: nothing could be done about it just now.
 */
INLINE bool timer_visit(struct session_timer *timer, __u64 now)
{
	struct session *session = bpf_map_lookup_elem(&sessions, &timer->session);
	bool early = timer->tick > now / TICK;
	__u64 due;

	if (!session || session->timer_tick != timer->tick)
		return true;
	due = session_due(session, now);
	if (early || due) {
		if (!early)
			timer->tick = tick_of(due, now);
		session->timer_tick = timer->tick;
		if (!timer_add(timer, now))
			return true;
		return !session_end(&timer->session, session, END_NO_MEMORY); /* one without a timer would live for ever */
	}
	event_session(EVENT_SESSION_TIMEOUT, &timer->session, session);
	return !session_end(&timer->session, session, END_TIMEOUT);
}

/* The next slot's chain; false: there is none that is due. */
INLINE bool wheel_next(struct wheel *wheel)
{
	__u32 slot = slot_number(wheel->tick, wheel->shard % WHEEL_SHARDS);
	__u64 *head;

	if (wheel->tick > wheel->now / TICK)
		return false;
	head = bpf_map_lookup_elem(&slots, &slot);
	if (head && *head)
		wheel->chain = __sync_lock_test_and_set(head, 0);
	wheel->at = 0;
	if (++wheel->shard >= WHEEL_SHARDS) {
		wheel->shard = 0;
		wheel->tick++;
	}
	return true;
}

/* How many timers a node has, which takes no more from now on. */
INLINE __u32 node_close(struct timer_node *node)
{
	__u32 count;

	bpf_spin_lock(&node->lock);
	node->slot = 0;
	count = node->count;
	bpf_spin_unlock(&node->lock);
	return count;
}

static long wheel_step(__u32 round, struct wheel **context)
{
	struct wheel *wheel = get_wheel();
	struct session_timer timer;
	struct timer_node *node;
	__u64 id;
	__u32 at;

	if (!wheel)
		return 1;
	id = wheel->chain;
	if (!id)
		return !wheel_next(wheel);
	node = bpf_map_lookup_elem(&timers, &id);
	if (!node) {
		wheel->chain = 0;
		return 0;
	}
	at = wheel->at;
	if (at >= node_close(node) || at >= NODE_TIMERS) {
		wheel->chain = node->next;
		wheel->at = 0;
		map_delete(&timers, &id);
		return 0;
	}
	timer = node->timers[at];
	if (!timer_visit(&timer, wheel->now)) {
		node->timers[at].tick = timer.tick;
		return 1; /* it is looked at again in the next turn */
	}
	wheel->at = at + 1;
	return 0;
}

static int wheel_turn(void *map, __u32 *key, struct wheel *wheel)
{
	struct release_turn turn = {};
	bool more;

	wheel->now = now();
	turn.now = wheel->now / SECOND;
	bpf_for_each_map_elem(&spare_queues, release_queue, &turn, 0);
	bpf_loop(WHEEL_WORK, wheel_step, &wheel, 0);
	more = wheel->chain || wheel->tick <= wheel->now / TICK;
	bpf_timer_start(&wheel->timer, more ? WHEEL_PAUSE : TICK, 0);
	return 0;
}
