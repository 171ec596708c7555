/* Hierarchical timer wheel for millions of retries: add and cancel are O(1). 8 levels of 64 slots,
 * tick 10 ms by default. Timers fire in tick order, never early. One thread owns a wheel; it has no
 * clock of its own. */
#ifndef STOKER_BASE_WHEEL_H
#define STOKER_BASE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>

#include "core/base/clock.h"

struct wheel_timer {
	struct wheel_timer *next, *prev; /* NULL when not armed */
	us_t due;
};
enum { WHEEL_LEVELS = 8, WHEEL_SLOTS = 64 };
struct wheel {
	us_t tick_us;
	uint64_t tick; /* last tick that was fired */
	size_t armed;
	uint64_t occupied[WHEEL_LEVELS]; /* bitmap of slots with timers */
	struct wheel_timer slot[WHEEL_LEVELS][WHEEL_SLOTS];
};
void wheel_init(struct wheel *w, us_t tick_us, us_t now);
/* Arms or re-arms. A time in the past fires at the next wheel_pop. US_NEVER disarms. */
void wheel_set(struct wheel *w, struct wheel_timer *t, us_t due);
void wheel_del(struct wheel *w, struct wheel_timer *t);
/* The next timer due at or before now, disarmed; NULL if none. Call until NULL or the budget ends.
 * Moves a few thousand timers between levels at most: if more must move first, it returns NULL
 * while wheel_next is still at or before now, and goes on at the next call. */
struct wheel_timer *wheel_pop(struct wheel *w, us_t now);
/* A lower bound of the next firing, US_NEVER if nothing is armed. */
us_t wheel_next(const struct wheel *w);
#define WHEEL_OF(t, type, member) ((type *)(void *)((char *)(t)-offsetof(type, member)))

#endif
