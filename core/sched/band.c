/* Ready mail in the order of hand-out: higher priority first (one attempt in 20 goes to lower
 * ones), then round robin by job, then as it became due. Recipients that prefer one virtual MTA
 * stand in a line of their own in their job's band. */
#include "core/sched/inner.h"

enum { LOWER_EVERY = 20 };

static uint64_t band_key(const struct queue *q, const struct job *j, uint8_t priority)
{
	return table_mix(q->row.id * 0x9E3779B97F4A7C15u + j->row.id * 0xC2B2AE3D27D4EB4Fu +
			 priority);
}

uint64_t band_hash(const struct table_link *l)
{
	const struct band *b = (const struct band *)(const void *)l;

	return band_key(b->queue, b->job, b->priority);
}

/* The pointer to the head of this priority's level, or to where it belongs. */
static struct band **level_of(struct queue *q, uint8_t priority)
{
	struct band **at = &q->bands;

	while (*at && (*at)->priority > priority)
		at = &(*at)->lower;
	return at;
}

static void enter_level(struct queue *q, struct band *b)
{
	struct band **at = level_of(q, b->priority), *head = *at;

	if (head && head->priority == b->priority) {
		b->next = head;
		b->prev = head->prev;
		b->prev->next = b;
		head->prev = b;
		return;
	}
	b->next = b->prev = b;
	b->lower = head;
	*at = b;
}

static void leave_level(struct queue *q, struct band *b)
{
	struct band **at = level_of(q, b->priority);

	if (*at == b) {
		struct band *heir = b->next == b ? b->lower : b->next;

		if (heir != b->lower)
			heir->lower = b->lower;
		*at = heir;
	}
	b->prev->next = b->next;
	b->next->prev = b->prev;
}

static struct band *band_get(struct sched *s, struct queue *q, struct job *j, uint8_t priority)
{
	struct table_link *l = table_bucket(&s->bands, band_key(q, j, priority));
	struct band *b;

	for (; l; l = l->next) {
		b = TABLE_OF(l, struct band);
		if (b->queue == q && b->job == j && b->priority == priority)
			return b;
	}
	b = pool_get(&s->band_pool);
	if (!b)
		return NULL;
	b->queue = q;
	b->job = j;
	b->priority = priority;
	b->sub.band = b;
	if (!table_add(&s->bands, &b->link)) {
		pool_put(&s->band_pool, b);
		return NULL;
	}
	enter_level(q, b);
	return b;
}

static void band_free(struct sched *s, struct band *b)
{
	leave_level(b->queue, b);
	table_del(&s->bands, &b->link);
	while (b->sub.next) {
		struct sub *u = b->sub.next;

		b->sub.next = u->next;
		pool_put(&s->sub_pool, u);
	}
	pool_put(&s->band_pool, b);
}

static struct sub *sub_get(struct sched *s, struct band *b, uint16_t prefer)
{
	struct sub *u = &b->sub;

	if (!prefer)
		return u;
	while (u->next && u->next->prefer != prefer)
		u = u->next;
	if (u->next)
		return u->next;
	u->next = pool_get(&s->sub_pool);
	if (!u->next)
		return &b->sub;
	u->next->band = b;
	u->next->prefer = prefer;
	return u->next;
}

bool band_add(struct sched *s, struct rcpt *r, bool at_front)
{
	const struct msg *m = rcpt_msg(r);
	struct band *b = band_get(s, r->queue, m->job, m->priority);
	struct sub *u;

	if (!b)
		return false;
	u = sub_get(s, b, r->prefer);
	if (!u->head) {
		r->ready.next = r->ready.prev = r;
		u->head = r;
		u->since_s = (uint32_t)(s->now / US_PER_S);
	} else {
		r->ready.next = u->head;
		r->ready.prev = u->head->ready.prev;
		r->ready.prev->ready.next = r;
		u->head->ready.prev = r;
		if (at_front)
			u->head = r;
	}
	r->ready.sub = u;
	u->n++;
	b->n++;
	return true;
}

static void sub_drop(struct sched *s, struct band *b, struct sub *u)
{
	struct sub *at = &b->sub;

	if (u == at)
		return;
	while (at->next != u)
		at = at->next;
	at->next = u->next;
	pool_put(&s->sub_pool, u);
}

void band_del(struct sched *s, struct rcpt *r)
{
	struct sub *u = r->ready.sub;
	struct band *b = u->band;

	if (u->head == r)
		u->head = r->ready.next == r ? NULL : r->ready.next;
	r->ready.prev->ready.next = r->ready.next;
	r->ready.next->ready.prev = r->ready.prev;
	u->n--;
	if (!u->n)
		sub_drop(s, b, u);
	if (!--b->n)
		band_free(s, b);
}

/* The level whose turn it is: every 20th pick goes to the lower ones, which share it in turn. */
struct band *band_level(struct queue *q)
{
	struct band *b = q->bands;
	unsigned levels = 0, skip;

	if (!b || !b->lower || q->picks % LOWER_EVERY != LOWER_EVERY - 1)
		return b;
	for (const struct band *l = b->lower; l; l = l->lower)
		levels++;
	skip = q->picks / LOWER_EVERY % levels;
	for (b = b->lower; skip; skip--)
		b = b->lower;
	return b;
}

/* b becomes the head of its level. */
void band_turn(struct queue *q, struct band *b)
{
	struct band **at = level_of(q, b->priority);

	if (!*at || *at == b)
		return;
	b->lower = (*at)->lower;
	*at = b;
}

void band_picked(struct queue *q, struct band *b)
{
	q->picks++;
	band_turn(q, b->next); /* the next job's turn */
}

struct rcpt *band_head(struct band *b)
{
	struct sub *u = &b->sub;

	while (!u->n)
		u = u->next;
	return u->head;
}
