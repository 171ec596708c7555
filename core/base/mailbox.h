/* Mailboxes: how threads talk. Single producer, single consumer, a bounded ring of fixed-size
 * messages. Nobody waits: what does not fit in the ring stays in the producer's own spill list and
 * moves on when the consumer has made room; protocol credits bound the spill (see DESIGN.md,
 * "Nobody waits for room"). A producer fills over a loop pass and flushes once; the consumer is
 * woken once, and only if it sleeps.
 *
 * The ring size is a power of two. MAILBOX_TEST_CAPACITY (mailbox_force_capacity) sets every
 * mailbox of the process to a given size, for the capacity-2 test. */
#ifndef STOKER_BASE_MAILBOX_H
#define STOKER_BASE_MAILBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mailbox;

/* One sleeping side: the loop of a thread. `wake` is called from another thread. */
struct waker {
	uint32_t asleep; /* atomic: 1 while the thread is about to block or blocks */
	void (*wake)(void *arg);
	void *arg;
};
/* Sets asleep; the thread must then look at its mailboxes once more before it blocks: mailbox_empty
 * of each it reads, mailbox_flush of each it writes that has spill, mailbox_has_wanted of each. A
 * wake-up that came before the flag was set is only found so. */
void waker_sleep(struct waker *w);
void waker_awake(struct waker *w);
/* From any thread: wakes the owner if it sleeps. */
void waker_poke(struct waker *w);

struct mailbox_stats {
	uint64_t pushed, popped, spilled, wakes;
	size_t spill_now, spill_max;
};

/* NULL without memory. `consumer` is poked when messages wait; `producer` (may be NULL) when the
 * ring has room again and something is spilled. */
struct mailbox *mailbox_new(const char *name, size_t message_bytes, size_t capacity,
			    struct waker *producer, struct waker *consumer);
void mailbox_free(struct mailbox *m);
/* For tests: every mailbox made afterwards has this capacity (0: as asked). */
void mailbox_force_capacity(size_t capacity);

/* Producer side. push never blocks; false only without memory for the spill. */
bool mailbox_push(struct mailbox *m, const void *message);
/* Publishes what was pushed, moves spilled messages into free room, wakes the consumer if asleep.
 */
void mailbox_flush(struct mailbox *m);
/* Slots that the producer may still take without spilling (can only grow behind its back); 0 while
 * something is spilled. */
size_t mailbox_room(const struct mailbox *m);
bool mailbox_has_spill(const struct mailbox *m);
/* A producer that pushes nothing until there are `slots` free ones: it is woken when the consumer
 * makes room. Holds for one sleep. */
void mailbox_want_room(struct mailbox *m, size_t slots);
/* With `asleep` set (see waker_sleep): what was wanted is there already. */
bool mailbox_has_wanted(struct mailbox *m);
/* True once the consumer has released everything that was ever pushed. */
bool mailbox_drained(const struct mailbox *m);

/* Consumer side. pop copies the oldest message out; false if empty. */
bool mailbox_pop(struct mailbox *m, void *message);
bool mailbox_empty(const struct mailbox *m);
/* Tells the producer about the room made since the last call, if it waits for it. Call it when a
 * loop pass stops popping before the end; a pop that finds nothing does it by itself. */
void mailbox_release(struct mailbox *m);

const char *mailbox_name(const struct mailbox *m);
void mailbox_stats(const struct mailbox *m, struct mailbox_stats *out); /* producer's thread */

#endif
