/* Where a timer lies: its expiry tick and w->tick are compared as numbers of eight base-64 digits.
 * The highest digit that differs gives the level, the expiry's digit there the slot. So within a
 * level all occupied slots lie ahead of w->tick's own digit, everything on a level comes before
 * everything on the next, and the first set bit of the lowest occupied level is the next event.
 * When w->tick reaches a slot of a higher level, its timers move down (cascade).
 *
 * Two slots are special. slot[0][own digit] holds what is due now. slot[7][0] can't be reached by
 * the rule (a differing top digit is at least 1): it holds what lies beyond the wheel's horizon of
 * 2^48 ticks and is sorted anew each time the horizon is crossed. */
#include "core/base/wheel.h"

#include <assert.h>

enum { DIGIT_BITS = 6, TOP = WHEEL_LEVELS - 1, HORIZON_BITS = WHEEL_LEVELS * DIGIT_BITS };

/* Timers moved by one wheel_pop at most (about 0.2 ms), so that a slot that holds a million
 * retries does not break the loop's budget. */
enum { CASCADE_BATCH = 4096 };

static uint64_t digit(uint64_t tick, int level)
{
	return tick >> (level * DIGIT_BITS) & (WHEEL_SLOTS - 1);
}

static uint64_t bit(uint64_t slot)
{
	return (uint64_t)1 << slot;
}

static uint64_t last_tick(const struct wheel *w, us_t now)
{
	return now > 0 ? (uint64_t)(now / w->tick_us) : 0;
}

/* Rounded up: a timer never fires early. */
static uint64_t expiry_tick(const struct wheel *w, us_t due)
{
	return due > 0 ? (uint64_t)(due / w->tick_us) + (due % w->tick_us != 0) : 0;
}

static us_t tick_time(const struct wheel *w, uint64_t tick)
{
	if (tick > (uint64_t)((US_NEVER - 1) / w->tick_us))
		return US_NEVER - 1;
	return (us_t)tick * w->tick_us;
}

void wheel_init(struct wheel *w, us_t tick_us, us_t now)
{
	assert(tick_us > 0);
	*w = (struct wheel){ .tick_us = tick_us };
	w->tick = last_tick(w, now);
	for (int level = 0; level < WHEEL_LEVELS; level++)
		for (int s = 0; s < WHEEL_SLOTS; s++) {
			struct wheel_timer *head = &w->slot[level][s];

			head->next = head->prev = head;
		}
}

static void append(struct wheel *w, struct wheel_timer *t, int level, uint64_t slot)
{
	struct wheel_timer *head = &w->slot[level][slot];

	t->next = head;
	t->prev = head->prev;
	head->prev->next = t;
	head->prev = t;
	w->occupied[level] |= bit(slot);
}

static void enter(struct wheel *w, struct wheel_timer *t)
{
	uint64_t expiry = expiry_tick(w, t->due), differ;
	int level;

	if (expiry <= w->tick) {
		append(w, t, 0, digit(w->tick, 0));
		return;
	}
	differ = expiry ^ w->tick;
	if (differ >> HORIZON_BITS) {
		append(w, t, TOP, 0);
		return;
	}
	level = (63 - __builtin_clzll(differ)) / DIGIT_BITS;
	append(w, t, level, digit(expiry, level));
}

static void leave(struct wheel *w, struct wheel_timer *t)
{
	struct wheel_timer *left = t->prev;

	left->next = t->next;
	t->next->prev = left;
	if (left == t->next) { /* only the head is left */
		size_t at = (size_t)(left - &w->slot[0][0]);

		w->occupied[at / WHEEL_SLOTS] &= ~bit(at % WHEEL_SLOTS);
	}
	t->next = t->prev = NULL;
}

void wheel_set(struct wheel *w, struct wheel_timer *t, us_t due)
{
	wheel_del(w, t);
	if (due == US_NEVER)
		return;
	t->due = due;
	enter(w, t);
	w->armed++;
}

void wheel_del(struct wheel *w, struct wheel_timer *t)
{
	if (!t->next)
		return;
	leave(w, t);
	w->armed--;
}

struct event {
	uint64_t tick; /* when the slot is reached */
	int level;
	uint64_t slot;
};

/* A cascade that was interrupted: a higher slot that w->tick has reached and that is not empty. */
static bool find_interrupted(const struct wheel *w, struct event *out)
{
	for (int level = 1; level < WHEEL_LEVELS; level++) {
		uint64_t slot = digit(w->tick, level);

		if (slot && (w->occupied[level] & bit(slot))) {
			*out = (struct event){ w->tick, level, slot };
			return true;
		}
	}
	return false;
}

static bool find_event(const struct wheel *w, struct event *out)
{
	if (find_interrupted(w, out))
		return true;
	for (int level = 0; level < WHEEL_LEVELS; level++) {
		uint64_t slots = level == TOP ? w->occupied[level] & ~bit(0) : w->occupied[level];
		int shift = level * DIGIT_BITS;

		if (!slots)
			continue;
		out->level = level;
		out->slot = (uint64_t)__builtin_ctzll(slots);
		out->tick = ((w->tick >> shift & ~(uint64_t)(WHEEL_SLOTS - 1)) | out->slot)
			    << shift;
		return true;
	}
	if (!w->occupied[TOP])
		return false;
	*out = (struct event){ ((w->tick >> HORIZON_BITS) + 1) << HORIZON_BITS, TOP, 0 };
	return true;
}

static size_t cascade(struct wheel *w, const struct event *e, size_t most)
{
	struct wheel_timer *head = &w->slot[e->level][e->slot];
	struct wheel_timer *end = head->prev; /* what returns to this slot goes behind it */
	size_t moved = 0;
	bool done = false;

	/* The far slot is sorted in one go: its timers may go back into it. */
	while (!done && (moved < most || e->slot == 0)) {
		struct wheel_timer *t = head->next;

		done = t == end;
		leave(w, t);
		enter(w, t);
		moved++;
	}
	return moved;
}

struct wheel_timer *wheel_pop(struct wheel *w, us_t now)
{
	uint64_t now_tick = last_tick(w, now);
	size_t moved = 0;
	struct event e;

	while (find_event(w, &e) && e.tick <= now_tick) {
		if (e.level > 0 && moved >= CASCADE_BATCH)
			return NULL;
		w->tick = e.tick;
		if (e.level == 0) {
			struct wheel_timer *t = w->slot[0][e.slot].next;

			wheel_del(w, t);
			return t;
		}
		moved += cascade(w, &e, CASCADE_BATCH - moved);
	}
	/* Nothing lies between, so nothing needs to move. */
	if (now_tick > w->tick)
		w->tick = now_tick;
	return NULL;
}

us_t wheel_next(const struct wheel *w)
{
	struct event e;

	return find_event(w, &e) ? tick_time(w, e.tick) : US_NEVER;
}
