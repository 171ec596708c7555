/* A workload on a spool and, beside it, what it was promised: for each message from which operation
 * on it may be there and must be there, for each recipient the states it went through, likewise. */
#ifndef STOKER_TEST_SPOOL_WORLD_H
#define STOKER_TEST_SPOOL_WORLD_H

#include "tests/unit/spool/disk.h"
#include "tests/unit/spool/kit.h"

#include "core/base/crc32c.h"

enum { STATES_MAX = 12, RCPTS_MAX = 12, MSGS_MAX = 4000, EVENTS_MAX = 40000, PUTS_MAX = 4000 };

struct w_state { /* of a recipient */
	enum rcpt_state state;
	uint16_t attempts;
	us_t due;
	size_t may, must;   /* operations from which on; SIZE_MAX: not yet */
	enum event_type as; /* what it was counted as */
};
struct w_rcpt {
	struct w_state v[STATES_MAX];
	unsigned n;
};
struct w_msg {
	uint64_t id, size;
	uint32_t crc, nrcpts;
	size_t may, must;
	bool dsn;
	struct w_rcpt r[RCPTS_MAX];
};
struct w_put {
	size_t may, must;
};
struct world {
	struct kit *k;
	struct disk *disk;
	struct rng rng;
	struct w_msg *msgs;
	size_t nmsgs;
	struct w_state *fresh[4096],
	    *covered[4096]; /* outcomes no commit has, or one that may not be durable */
	size_t nfresh, ncovered;
	struct {
		uint32_t hash;
		size_t seen;
	} * events; /* by number: what a reader was shown */
	uint64_t last_seen;
	struct event_reader *reader;
	struct w_put puts[PUTS_MAX]; /* versions of the one row in the state */
	size_t nputs;
	struct {
		uint64_t id;
		size_t at;
	} ids[MSGS_MAX]; /* given, in order */
	size_t nids;
	bool trims;  /* saves its reader's position, so that events go */
	bool faulty; /* writes and syncs fail now and then */
};

/* One call of a kind on a path with `part` in it fails, `after` others. */
static struct {
	const char *part;
	enum disk_kind kind;
	unsigned after;
} w_fault;

static int w_refuse(enum disk_kind kind, const char *path)
{
	if (!w_fault.part || kind != w_fault.kind || !strstr(path, w_fault.part) || w_fault.after--)
		return 0;
	w_fault.part = NULL;
	return EIO;
}

static void w_no_fault(void)
{
	w_fault.part = NULL;
	spy.refuse = NULL;
}

static size_t w_now(const struct world *w)
{
	return w->disk->nops;
}

static void world_init(struct world *w, struct kit *k, struct disk *d, uint64_t seed)
{
	memset(w, 0, sizeof *w);
	w->k = k;
	w->disk = d;
	rng_seed(&w->rng, seed);
	w->msgs = calloc(MSGS_MAX, sizeof *w->msgs);
	w->events = calloc(EVENTS_MAX, sizeof *w->events);
	assert_true(w->msgs && w->events);
	w->trims = rng_below(&w->rng, 2);
	w->faulty = rng_below(&w->rng, 2);
}

static void world_free(struct world *w)
{
	free(w->msgs);
	free(w->events);
}

/* ---- the workload ---- */

static uint32_t body_crc(const struct body *b)
{
	return crc32c(crc32c(0, b->head.p, b->head.n), b->data.p, b->data.n);
}

static struct body *w_large_body(struct world *w, uint64_t id, uint32_t *crc)
{
	struct spool_large *l = spool_large_create(w->k->s, id, &w->k->e);
	size_t n = 1 + (size_t)rng_below(&w->rng, 3);
	struct body *out;

	assert_non_null(l);
	*crc = 0;
	for (size_t i = 0; i < n; i++) {
		char chunk[3000];

		memset(chunk, (int)('a' + rng_below(&w->rng, 26)), sizeof chunk);
		*crc = crc32c(*crc, chunk, sizeof chunk);
		assert_null(spool_large_write(l, str_mem(chunk, sizeof chunk), &w->k->e));
	}
	assert_null(spool_large_finish(l, true, false, &out, &w->k->e));
	return out;
}

static struct message *w_message(struct world *w, uint32_t nrcpts)
{
	struct message *m = kit_message(w->k, nrcpts, (size_t)rng_below(&w->rng, 5000));
	struct w_msg *o = &w->msgs[w->nmsgs++];

	assert_true(w->nmsgs < MSGS_MAX);
	w->ids[w->nids].id = m->id;
	w->ids[w->nids++].at = w_now(w);
	*o = (struct w_msg){ .id = m->id, .nrcpts = nrcpts, .may = SIZE_MAX, .must = SIZE_MAX };
	o->crc = body_crc(m->body);
	if (!rng_below(&w->rng, 10)) {
		body_unref(m->body);
		m->body = w_large_body(w, m->id, &o->crc);
	}
	o->size = m->body->size;
	for (uint32_t i = 0; i < nrcpts; i++) {
		o->r[i].v[0] = (struct w_state){ .state = RCPT_QUEUED };
		o->r[i].n = 1;
	}
	return m;
}

static void w_begin_commit(struct world *w)
{
	for (size_t i = 0; i < w->nfresh; i++)
		if (w->fresh[i]->may == SIZE_MAX)
			w->fresh[i]->may = w_now(w);
}

static void w_commit(struct world *w, bool sync)
{
	w_begin_commit(w);
	if (spool_commit(w->k->s, w->k->now, sync, &w->k->e)) {
		assert_true(w->faulty);
		return;
	}
	for (size_t i = 0; i < w->ncovered; i++)
		w->covered[i]->must = w_now(w);
	w->ncovered = 0;
	for (size_t i = 0; i < w->nfresh; i++) {
		if (sync)
			w->fresh[i]->must = w_now(w);
		else
			w->covered[w->ncovered++] = w->fresh[i];
	}
	w->nfresh = 0;
}

/* False: refused, which only a faulty world may see. */
static bool w_flush(struct world *w, size_t first, bool report)
{
	static struct got g;

	for (size_t i = first; i < w->nmsgs; i++)
		w->msgs[i].may = w_now(w);
	if (report) { /* it may commit first */
		w_begin_commit(w);
		w_no_fault();
	}
	bool refused = spool_flush(w->k->s, w->k->now, kit_take, &g, &w->k->e) != NULL;

	assert_true(w->faulty || !refused);
	got_free(&g);
	for (size_t i = first; i < w->nmsgs && !refused; i++)
		w->msgs[i].must = w_now(w);
	return !refused;
}

static void w_accept(struct world *w)
{
	size_t first = w->nmsgs, n = 1 + (size_t)rng_below(&w->rng, 6);

	for (size_t i = 0; i < n; i++) {
		uint64_t dice = rng_below(&w->rng, 10);
		uint32_t rcpts = dice < 7 ? 1 : dice < 9 ? 3 : RCPTS_MAX;

		assert_true(spool_add(w->k->s, w_message(w, rcpts)));
	}
	w_flush(w, first, false);
}

static struct w_state *w_last(struct w_rcpt *r)
{
	return &r->v[r->n - 1];
}

static struct w_state *w_push(struct w_rcpt *r, enum rcpt_state state, enum event_type as)
{
	struct w_state *last = w_last(r), *s = &r->v[r->n++];

	*s = (struct w_state){
		.state = state, .as = as, .attempts = last->attempts, .due = last->due
	};
	s->may = s->must = SIZE_MAX;
	return s;
}

/* One of the recipients in a state; NULL: none was met. */
static struct w_msg *w_pick(struct world *w, enum rcpt_state state, uint32_t *rcpt)
{
	for (int tries = 0; tries < 50 && w->nmsgs; tries++) {
		struct w_msg *m = &w->msgs[rng_below(&w->rng, w->nmsgs)];

		*rcpt = (uint32_t)rng_below(&w->rng, m->nrcpts);
		if (m->must != SIZE_MAX && w_last(&m->r[*rcpt])->state == state &&
		    m->r[*rcpt].n < STATES_MAX - 2)
			return m;
	}
	return NULL;
}

static void w_outcome(struct world *w)
{
	static const struct {
		enum rcpt_state state;
		enum event_type as;
	} kinds[] = { { RCPT_DONE, EVENT_DELIVERED },  { RCPT_DONE, EVENT_DELIVERED },
		      { RCPT_DONE, EVENT_DELIVERED },  { RCPT_DONE, EVENT_BOUNCED },
		      { RCPT_DONE, EVENT_EXPIRED },    { RCPT_DONE, EVENT_REMOVED },
		      { RCPT_QUEUED, EVENT_DEFERRED }, { RCPT_QUEUED, EVENT_DEFERRED },
		      { RCPT_REPORT, EVENT_BOUNCED },  { RCPT_REPORT, EVENT_EXPIRED } };
	size_t kind = (size_t)rng_below(&w->rng, sizeof kinds / sizeof kinds[0]);
	uint32_t rcpt;
	struct w_msg *m = w_pick(w, RCPT_QUEUED, &rcpt);
	struct w_state *s;

	if (!m || w->nfresh > 4000)
		return;
	s = w_push(&m->r[rcpt], kinds[kind].state, kinds[kind].as);
	s->attempts++;
	s->due = s->state == RCPT_QUEUED ? w->k->now + (us_t)rng_below(&w->rng, 1000) : 0;
	struct outcome o = { .message = m->id,
			     .rcpt = rcpt,
			     .state = s->state,
			     .as = s->as,
			     .attempts = s->attempts,
			     .due = s->due,
			     .reply = STR_LIT("451 some words"),
			     .enhanced = "4.0.0" };
	struct event e = { .at = w->k->now, .type = s->as, .message = m->id, .rcpt = rcpt };

	assert_true(spool_outcome(w->k->s, &o, &e));
	w->fresh[w->nfresh++] = s;
}

/* Our own report on up to three recipients of one message. */
static void w_report(struct world *w)
{
	uint32_t rcpt, n = 0;
	size_t first = w->nmsgs;
	struct w_msg *about = w_pick(w, RCPT_REPORT, &rcpt);
	uint32_t list[3];
	struct message *m;

	if (!about)
		return;
	m = w_message(w, 1);
	w->msgs[first].dsn = m->dsn = true;
	m->sender = STR_LIT("");
	m->reports_on = about->id;
	for (uint32_t i = 0; i < about->nrcpts && n < 3; i++)
		if (w_last(&about->r[i])->state == RCPT_REPORT && about->r[i].n < STATES_MAX - 1)
			list[n++] = i;
	m->reports_rcpts = memcpy(arena_alloc(&m->arena, sizeof list), list, sizeof list);
	m->nreports_rcpts = n;
	assert_true(spool_add(w->k->s, m));
	for (uint32_t i = 0; i < n; i++)
		w_push(&about->r[list[i]], RCPT_DONE, EVENT_RECEIVED)->may = w_now(w);
	bool accepted = w_flush(w, first, true);

	for (uint32_t i = 0; i < n; i++) {
		if (accepted)
			w_last(&about->r[list[i]])->must = w_now(w);
		else /* the index could not be read, so nothing was written */
			about->r[list[i]].n--;
	}
}

static uint32_t event_hash(const struct event *e)
{
	uint64_t v[4] = { e->type, e->message, e->rcpt, (uint64_t)e->at };

	return crc32c(0, v, sizeof v);
}

static void w_saw(void *arg, const struct event *e)
{
	struct world *w = arg;

	assert_true(e->id < EVENTS_MAX);
	assert_int_equal(e->id, w->last_seen + 1);
	w->events[e->id].hash = event_hash(e);
	w->events[e->id].seen = w_now(w);
	w->last_seen = e->id;
}

static void w_read_events(struct world *w)
{
	if (!w->reader)
		w->reader = event_reader_open(w->k->s, "log");
	assert_true(w->reader || w->faulty);
	if (!w->reader) /* the index is given up just now */
		return;
	while (event_reader_next(w->reader, 100, w_saw, w))
		;
	assert_int_equal(event_reader_missed(w->reader), 0);
	if (w->trims)
		spool_reader_position(w->k->s, "log", w->last_seen);
}

static void w_put_state(struct world *w)
{
	char value[32];

	if (w->nputs + 1 >= PUTS_MAX)
		return;
	snprintf(value, sizeof value, "%zu", ++w->nputs);
	assert_true(spool_state_put(w->k->s, "test", STR_LIT("row"), str_of(value)));
	w->puts[w->nputs].may = w_now(w);
	assert_null(spool_state_commit(w->k->s, &w->k->e));
	w->puts[w->nputs].must = w_now(w);
}

static void w_upkeep(struct world *w)
{
	int n = (int)rng_below(&w->rng, 12);

	w->k->now += (us_t)rng_below(&w->rng, 90) * US_PER_S;
	while (n-- > 0 && spool_step(w->k->s, w->k->now))
		;
	if (spool_wants_segment(w->k->s) && rng_below(&w->rng, 2))
		if (spool_prepare_segment(w->k->s, &w->k->e))
			assert_true(w->faulty);
}

/* Not of the state's calls and not of large bodies: their failure has no after-effects
 * (test_faults). */
static void w_plan_fault(struct world *w)
{
	static const char *const parts[] = { "/index/", "/seg/0" };

	w_fault.kind = rng_below(&w->rng, 2) ? DISK_SYNC : DISK_WRITE;
	w_fault.after = (unsigned)rng_below(&w->rng, 6);
	w_fault.part = parts[rng_below(&w->rng, 2)];
	spy.refuse = w_refuse;
}

static void world_step(struct world *w)
{
	uint64_t dice = rng_below(&w->rng, 100);

	if (w->faulty && !rng_below(&w->rng, 12))
		w_plan_fault(w);

	if (dice < 18)
		w_accept(w);
	else if (dice < 62)
		for (int i = 0; i < 4; i++)
			w_outcome(w);
	else if (dice < 68)
		w_report(w);
	else if (dice < 84)
		w_commit(w, rng_below(&w->rng, 3) == 0);
	else if (dice < 86)
		w_put_state(w);
	else if (dice < 90)
		w_read_events(w);
	else
		w_upkeep(w);
}

#endif
