/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/*
 * The clock by which sessions end: a timing wheel turned by one BPF timer.
 *
 * Not a timer for each session: bpf_timer_init may not sleep or take locks, so
 * it can fail whenever memory is not at hand (always, for more than a few, on
 * a Linux 6.18 that has deferred its page initialisation). A session must not
 * depend on that.
 *
 * Each session has a timer, an element that a slot of the wheel leads to. It is
 * not moved with each packet: when it expires it looks when the last one was, and
 * is set again. Slots are chains of timers by id, pushed by any CPU without a
 * lock, and taken by the one BPF timer.
 */
#pragma once
#include "spare_release.h"

#define TICK (SECOND / 16)
enum {
	WHEEL_SLOTS = 4096, /* 256 seconds; what is due later comes round again */
	WHEEL_WORK = 1024, /* timers a turn: under a millisecond */
	WHEEL_PAUSE = 1000000, /* ns between turns while there is more to do */
	PUSH_TRIES = 16,
};

struct session_timer {
	struct session_key session;
	__u32 pad;
	__u64 due; /* monotonic ns; the session's own timer_due says whether this is still its timer */
	__u64 next; /* id of the next in the slot, 0: none */
};

struct wheel {
	struct bpf_timer timer;
	__u64 tick; /* the next to be looked at */
	__u64 chain; /* id of the timer at hand, 0: take the next slot */
	__u64 last_id;
	__u64 now; /* of the turn */
};

HASH_MAP(timers, __u64, struct session_timer, 1 << 21);

struct {
	MAP_UINT(type, BPF_MAP_TYPE_ARRAY);
	MAP_TYPE(key, __u32);
	MAP_TYPE(value, __u64);
	MAP_UINT(max_entries, WHEEL_SLOTS);
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

/*
 * The slot for a timer: the tick after next behind its time, so that the
 * BPF timer, which may be at work on this tick or the next, has not passed it.
 */
INLINE __u64 *slot_for(__u64 due, __u64 now)
{
	__u64 tick = due / TICK, last = now / TICK + WHEEL_SLOTS - 4;
	__u32 index;

	if (tick > last)
		tick = last;
	index = (tick + 2) % WHEEL_SLOTS;
	return bpf_map_lookup_elem(&slots, &index);
}

INLINE bool slot_push(__u64 *slot, __u64 id, struct session_timer *timer)
{
	for (int i = 0; i < PUSH_TRIES; i++) {
		__u64 head = *slot;
		timer->next = head;
		if (__sync_val_compare_and_swap(slot, head, id) == head)
			return true;
	}
	return false;
}

/* Sets a session's timer. Returns 0 or why not: then an earlier one stands. */
GLOBAL int timer_set(const struct session_key *key, struct session *session, __u64 now, __u64 delay)
{
	struct session_timer new = { .due = now + delay };
	struct wheel *wheel = get_wheel();
	struct session_timer *timer;
	__u64 *slot, id, before;
	int error;

	if (unlikely(dry_run))
		return 0;
	if (!wheel || !key || !session)
		return -EINVAL;
	new.session = *key;
	before = session->timer_due;
	slot = slot_for(new.due, now);
	if (!slot)
		return -EINVAL;
	id = __sync_fetch_and_add(&wheel->last_id, 1) + 1;
	error = map_update(&timers, &id, &new, BPF_NOEXIST);
	if (error)
		return error;
	timer = bpf_map_lookup_elem(&timers, &id);
	if (!timer)
		return -EINVAL;
	session->timer_due = new.due; /* before it can go off */
	if (slot_push(slot, id, timer))
		return 0;
	session->timer_due = before;
	map_delete(&timers, &id);
	return -EBUSY;
}

/* Defined in session.h. */
GLOBAL int session_end(const struct session_key *map_key, struct session *session, __u32 cause);

/* When a session has to be looked at again; 0: it has expired. */
INLINE __u64 session_due(const struct session *session, __u64 now)
{
	__u64 deadline = session->refreshed + session->lifetime * SECOND;

	return now < deadline ? deadline : 0;
}

/* Puts a timer where it will be looked at again. */
INLINE bool timer_move(__u64 id, struct session_timer *timer, struct session *session, __u64 due, __u64 now)
{
	__u64 *slot = slot_for(due, now);

	if (!slot)
		return false;
	timer->due = due;
	session->timer_due = due;
	return slot_push(slot, id, timer);
}

/* Looks at one timer: its session has ended, is another, lives on, or ends now. */
INLINE void timer_visit(__u64 id, struct session_timer *timer, __u64 now)
{
	struct session_key key = timer->session;
	struct session *session = bpf_map_lookup_elem(&sessions, &key);
	__u64 due = timer->due;

	if (session && session->timer_due == due) {
		if (due <= now)
			due = session_due(session, now);
		if (due && timer_move(id, timer, session, due, now))
			return;
		if (!due)
			event_session(EVENT_SESSION_TIMEOUT, &key, session);
		/* One without a timer would live for ever. */
		if (session_end(&key, session, due ? END_NO_MEMORY : END_TIMEOUT) &&
		    timer_move(id, timer, session, now + SECOND, now))
			return;
	}
	map_delete(&timers, &id);
}

static long wheel_step(__u32 round, struct wheel **context)
{
	struct wheel *wheel = get_wheel();
	struct session_timer *timer;
	__u64 id, *slot;
	__u32 index;

	if (!wheel)
		return 1;
	id = wheel->chain;
	if (!id) {
		if (wheel->tick > wheel->now / TICK)
			return 1;
		index = wheel->tick % WHEEL_SLOTS;
		slot = bpf_map_lookup_elem(&slots, &index);
		if (slot)
			wheel->chain = __sync_lock_test_and_set(slot, 0);
		wheel->tick++;
		return 0;
	}
	timer = bpf_map_lookup_elem(&timers, &id);
	if (!timer) {
		wheel->chain = 0;
		return 0;
	}
	wheel->chain = timer->next;
	timer_visit(id, timer, wheel->now);
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
