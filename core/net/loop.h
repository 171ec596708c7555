/* One thread's loop: libev inside, mailboxes, timers, and the measure of each pass. A pass is:
 * drain the inboxes (in priority order), fire due timers, run the tick, run the before_sleep hooks,
 * write what the ios hold, flush the outboxes, sleep unless more is waiting, handle ready
 * descriptors. Everything here belongs to the loop's own thread, but for loop_stop and loop_stats.
 */
#ifndef STOKER_NET_LOOP_H
#define STOKER_NET_LOOP_H

#include <ev.h>

#include "core/base/clock.h"
#include "core/base/heap.h"
#include "core/base/mailbox.h"

struct loop;

struct loop *loop_new(const char *name); /* fatal without memory: start only */
/* Only after loop_run has returned (or never ran), with all timers stopped and all ios closed; ios
 * that still linger after io_close_after_flush are closed here. */
void loop_free(struct loop *l);
const char *loop_name(const struct loop *l);
struct ev_loop *loop_ev(struct loop *l);
/* To be given to mailbox_new as consumer or producer. */
struct waker *loop_waker(struct loop *l);

/* A drain that may take nothing now, for want of room elsewhere (a credit), returns this: the loop
 * then looks again after half a millisecond instead of going round at full speed. */
enum { LOOP_BLOCKED = -1 };
/* `drain` takes up to `budget` messages and returns how many it took (budget: more may wait).
 * Inboxes are drained in the order of `priority`, lowest first. Fatal without memory: start only.
 */
void loop_add_inbox(struct loop *l, struct mailbox *m, int priority, int budget,
		    int (*drain)(void *arg, struct mailbox *m, int budget), void *arg);
void loop_add_outbox(struct loop *l, struct mailbox *m);
/* Called once in each pass after the inboxes. Returns when it wants to be called again at the
 * latest (US_NEVER; a time in the past: at once, without sleeping). One a loop. */
void loop_set_tick(struct loop *l, us_t (*tick)(void *arg, us_t now), void *arg);
/* Called at the end of each pass, just before ios and outboxes are flushed and the loop may sleep:
 * the place for "read everything, sync once, then answer". Several a loop, in the order added.
 * True: work is left, don't sleep. If an io's callback runs while the ios are flushed, one more
 * pass follows before the loop sleeps, so no hook misses what such a callback left for it. */
void loop_add_before_sleep(struct loop *l, bool (*fn)(void *arg), void *arg);

/* Runs until loop_stop. The caller is the owning thread. What hooks and ios still hold is flushed
 * before it returns; it may be called again. */
void loop_run(struct loop *l);
/* Any thread. */
void loop_stop(struct loop *l);
bool loop_stopping(const struct loop *l);

/* Process clock, taken at the start of the pass and again after the sleep; loop_now_exact asks the
 * clock (and loop_now says the same from then on). */
us_t loop_now(const struct loop *l);
us_t loop_now_exact(struct loop *l);

/* Timers, 1 ms resolution, never early. Re-arming to a later time is O(1) (lazy). */
struct timer {
	struct heap_node node;
	us_t due; /* 0 = not armed */
	void (*fn)(struct timer *t, void *arg);
	void *arg;
};
void timer_init(struct timer *t, void (*fn)(struct timer *t, void *arg), void *arg);
/* Arms or moves; due 0 or US_NEVER stops it. False without memory: it is not armed (cannot happen
 * to an armed one). */
bool timer_set(struct loop *l, struct timer *t, us_t due);
void timer_stop(struct loop *l, struct timer *t);

/* Each loop's passes; read from any thread (atomics). The longest since loop_stats_reset or start.
 */
struct loop_stats {
	uint64_t passes;
	us_t cpu_max_us, wall_max_us; /* wall: without the sleep */
	us_t cpu_total_us;
};
void loop_stats(const struct loop *l, struct loop_stats *out);
void loop_stats_reset(struct loop *l);
/* Before it runs: a pass of so much CPU or more is told in the log with its end, in microseconds
 * since the epoch. For tests, which know when the machine stood still: Linux counts that as CPU
 * time of whoever ran. 0: none. */
void loop_tell_passes(struct loop *l, us_t of);

#endif
