/* Two promises need care, both of the form "you write A and read B, I write B and read A":
 *
 *   producer: publish tail, read consumer's asleep  | consumer: set asleep, read tail
 *   producer: set wants_room, read head             | consumer: publish head, read wants_room
 *
 * A wake-up is lost only if both sides read the old value. So these eight accesses are sequentially
 * consistent: in their one total order at least one read comes after the other side's write. They
 * are accesses and not fences because TSan does not know fences, and they happen once a flush or
 * release, not once a message. The messages' bytes need only acquire and release on tail and head.
 */
#include "core/base/mailbox.h"

#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE = 64, MIN_CAPACITY = 2, FIRST_SPILL = 16, KEEP_SPILL_BYTES = 64 * 1024 };

/* The producer's own queue for what the ring has no room for. */
struct spill {
	char *p;
	size_t first, n; /* of cap messages, wrapping */
	size_t cap;	 /* power of two, or 0 */
};

struct mailbox {
	/* Constant. */
	const char *name;
	size_t message_bytes;
	size_t capacity; /* power of two */
	char *ring;
	struct waker *producer, *consumer;

	/* The producer's. */
	_Alignas(CACHE_LINE) uint64_t filled; /* messages ever put into the ring */
	uint64_t published;		      /* what tail says */
	uint64_t head_seen;
	struct spill spill;
	size_t wanted;		    /* free slots to be woken for; 0: none */
	struct mailbox_stats stats; /* but popped */

	/* The consumer's. */
	_Alignas(CACHE_LINE) uint64_t taken; /* messages ever taken */
	uint64_t released;		     /* taken at the last mailbox_release */
	uint64_t tail_seen;

	/* Both, atomic. */
	_Alignas(CACHE_LINE) uint64_t tail; /* written by the producer */
	_Alignas(CACHE_LINE) uint64_t head; /* written by the consumer */
	_Alignas(CACHE_LINE) uint32_t wants_room;
};

static size_t forced_capacity;

void mailbox_force_capacity(size_t capacity)
{
	forced_capacity = capacity;
}

void waker_sleep(struct waker *w)
{
	__atomic_store_n(&w->asleep, 1, __ATOMIC_SEQ_CST);
}

void waker_awake(struct waker *w)
{
	__atomic_store_n(&w->asleep, 0, __ATOMIC_SEQ_CST);
}

/* True if the owner slept and this call woke it. */
static bool poke(struct waker *w)
{
	if (!w || !__atomic_load_n(&w->asleep, __ATOMIC_SEQ_CST))
		return false;
	if (!__atomic_exchange_n(&w->asleep, 0, __ATOMIC_SEQ_CST))
		return false;
	w->wake(w->arg);
	return true;
}

void waker_poke(struct waker *w)
{
	poke(w);
}

static size_t power_of_two(size_t n)
{
	size_t p = MIN_CAPACITY;

	while (p < n && p <= SIZE_MAX / 4)
		p *= 2;
	return p;
}

struct mailbox *mailbox_new(const char *name, size_t message_bytes, size_t capacity,
			    struct waker *producer, struct waker *consumer)
{
	struct mailbox *m = aligned_alloc(CACHE_LINE, sizeof *m);

	if (!m)
		return NULL;
	memset(m, 0, sizeof *m);
	m->name = name;
	m->message_bytes = message_bytes;
	m->capacity = power_of_two(forced_capacity ? forced_capacity : capacity);
	m->producer = producer;
	m->consumer = consumer;
	m->ring = calloc(m->capacity, message_bytes);
	if (!m->ring) {
		free(m);
		return NULL;
	}
	return m;
}

void mailbox_free(struct mailbox *m)
{
	if (!m)
		return;
	free(m->spill.p);
	free(m->ring);
	free(m);
}

static char *ring_slot(const struct mailbox *m, uint64_t i)
{
	return m->ring + (i & (m->capacity - 1)) * m->message_bytes;
}

/* Producer: looks at the consumer's progress only when its last knowledge says "full". */
static bool ring_full(struct mailbox *m)
{
	if (m->filled - m->head_seen < m->capacity)
		return false;
	m->head_seen = __atomic_load_n(&m->head, __ATOMIC_SEQ_CST);
	return m->filled - m->head_seen >= m->capacity;
}

static void fill(struct mailbox *m, const void *message)
{
	memcpy(ring_slot(m, m->filled), message, m->message_bytes);
	m->filled++;
}

static bool spill_grow(struct spill *s, size_t bytes)
{
	size_t cap = s->cap ? s->cap * 2 : FIRST_SPILL;
	size_t front = s->cap - s->first; /* messages before the wrap */
	char *p;

	if (cap > SIZE_MAX / 2 / bytes)
		return false;
	p = malloc(cap * bytes);
	if (!p)
		return false;
	if (s->n) { /* it is full: all of it, in order */
		memcpy(p, s->p + s->first * bytes, front * bytes);
		memcpy(p + front * bytes, s->p, s->first * bytes);
	}
	free(s->p);
	s->p = p;
	s->first = 0;
	s->cap = cap;
	return true;
}

static bool spill_add(struct mailbox *m, const void *message)
{
	struct spill *s = &m->spill;

	if (s->n == s->cap && !spill_grow(s, m->message_bytes))
		return false;
	memcpy(s->p + ((s->first + s->n) & (s->cap - 1)) * m->message_bytes, message,
	       m->message_bytes);
	s->n++;
	m->stats.spilled++;
	if (s->n > m->stats.spill_max)
		m->stats.spill_max = s->n;
	return true;
}

static void spill_to_ring(struct mailbox *m)
{
	struct spill *s = &m->spill;

	while (s->n && !ring_full(m)) {
		fill(m, s->p + s->first * m->message_bytes);
		s->first = (s->first + 1) & (s->cap - 1);
		s->n--;
	}
	if (!s->n && s->cap * m->message_bytes > KEEP_SPILL_BYTES) {
		free(s->p);
		*s = (struct spill){ 0 };
	}
}

bool mailbox_push(struct mailbox *m, const void *message)
{
	if (m->spill.n || ring_full(m)) {
		if (!spill_add(m, message))
			return false;
	} else {
		fill(m, message);
	}
	m->stats.pushed++;
	return true;
}

void mailbox_flush(struct mailbox *m)
{
	size_t left;

	spill_to_ring(m);
	/* Ends with all moved, or with a look at a full ring after the flag was set: whoever makes
	 * room from then on sees the flag. Left set for nothing, it costs one needless poke. */
	do {
		left = m->spill.n;
		if (!left)
			break;
		__atomic_store_n(&m->wants_room, 1, __ATOMIC_SEQ_CST);
		spill_to_ring(m);
	} while (m->spill.n < left);
	if (m->published == m->filled)
		return;
	m->published = m->filled;
	__atomic_store_n(&m->tail, m->filled, __ATOMIC_SEQ_CST);
	if (poke(m->consumer))
		m->stats.wakes++;
}

size_t mailbox_room(const struct mailbox *m)
{
	uint64_t head = __atomic_load_n(&m->head, __ATOMIC_ACQUIRE);

	return m->spill.n ? 0 : m->capacity - (size_t)(m->filled - head);
}

bool mailbox_drained(const struct mailbox *m)
{
	return !m->spill.n && __atomic_load_n(&m->head, __ATOMIC_SEQ_CST) == m->filled;
}

bool mailbox_has_spill(const struct mailbox *m)
{
	return m->spill.n > 0;
}

void mailbox_want_room(struct mailbox *m, size_t slots)
{
	m->wanted = slots;
}

/* The order is mailbox_flush's: the flag, then the look. */
bool mailbox_has_wanted(struct mailbox *m)
{
	size_t wanted = m->wanted;

	if (!wanted)
		return false;
	m->wanted = 0;
	__atomic_store_n(&m->wants_room, 1, __ATOMIC_SEQ_CST);
	m->head_seen = __atomic_load_n(&m->head, __ATOMIC_SEQ_CST);
	return !m->spill.n && m->capacity - (size_t)(m->filled - m->head_seen) >= wanted;
}

bool mailbox_pop(struct mailbox *m, void *message)
{
	if (m->taken == m->tail_seen)
		m->tail_seen = __atomic_load_n(&m->tail, __ATOMIC_SEQ_CST);
	if (m->taken == m->tail_seen) {
		mailbox_release(m);
		return false;
	}
	memcpy(message, ring_slot(m, m->taken), m->message_bytes);
	m->taken++;
	__atomic_store_n(&m->head, m->taken, __ATOMIC_RELEASE);
	return true;
}

bool mailbox_empty(const struct mailbox *m)
{
	return m->taken == __atomic_load_n(&m->tail, __ATOMIC_SEQ_CST);
}

void mailbox_release(struct mailbox *m)
{
	if (m->released == m->taken)
		return;
	m->released = m->taken;
	__atomic_store_n(&m->head, m->taken, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&m->wants_room, __ATOMIC_SEQ_CST) &&
	    __atomic_exchange_n(&m->wants_room, 0, __ATOMIC_SEQ_CST))
		poke(m->producer);
}

const char *mailbox_name(const struct mailbox *m)
{
	return m->name;
}

void mailbox_stats(const struct mailbox *m, struct mailbox_stats *out)
{
	*out = m->stats;
	out->popped = __atomic_load_n(&m->head, __ATOMIC_ACQUIRE);
	out->spill_now = m->spill.n;
}
