/* The reader of the events that counts feedback (core/report/counters.h), on the report thread: it
 * saves what it counted, publishes the rows, raises the alarms and has jobs held. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/mta.h"
#include "core/report/counters.h"

enum { BATCH = 128, ROWS_A_PASS = 200, SAVES_A_PASS = 100 };
#define READER "feedback"
#define TABLE  "feedback"

static const us_t SAVE_EVERY = 2 * US_PER_S;
static const us_t JUDGE_EVERY = US_PER_S;
static const us_t ROWS_EVERY = 250 * US_PER_MS;

struct feedback {
	struct member *me;
	struct conf *conf;
	struct counters *c;
	struct event_reader *r;
	bool more;
	us_t save_at, judge_at, rows_at;
	/* Events up to here are in what was saved by the round before the last: that is on disk. */
	uint64_t saved, told;
};

/* ---- to the other threads ---- */

static void save_row(void *arg, struct str key, struct str value)
{
	struct feedback *f = arg;
	struct state_put *s = calloc(1, sizeof *s);

	if (!s)
		return; /* it is counted again after a restart, as far as events are kept */
	s->table = TABLE;
	s->key = rstr_new(key);
	s->value = value.p ? rstr_new(value) : NULL;
	mta_post(f->me, f->me->mta->spooler, (struct post){ .fn = spool_post_state, .p = s });
}

/* Positions follow a round behind the rows: whatever of the two reaches the disk first, no event is
 * lost, and what is read again is not counted again. */
static void save(struct feedback *f, us_t now)
{
	if (counters_save(f->c, SAVES_A_PASS, save_row, f) == SAVES_A_PASS)
		return; /* the rest in the next pass */
	f->save_at = now + SAVE_EVERY;
	if (f->saved != f->told && mta_reader_save(f->me, READER, f->saved))
		f->told = f->saved;
	f->saved = event_reader_position(f->r);
}

struct rows_out {
	struct row *v;
	int n;
};

static void take_row(void *arg, struct row *r)
{
	struct rows_out *o = arg;

	o->v[o->n++] = *r;
}

/* True: more are changed. */
static bool publish(struct feedback *f, us_t now)
{
	struct rows_out o = { .v = malloc(ROWS_A_PASS * sizeof *o.v) };

	if (!o.v)
		return false; /* they stay marked */
	counters_rows(f->c, now, ROWS_A_PASS, take_row, &o);
	if (o.n)
		mta_post(f->me, f->me->mta->control,
			 (struct post){ .fn = control_post_row, .p = o.v, .a = (uint64_t)o.n });
	else
		free(o.v);
	return o.n == ROWS_A_PASS;
}

static void hold_job(struct feedback *f, const struct counters_word *w)
{
	struct sched_cmd_box *b = calloc(1, sizeof *b);
	struct buf why;

	if (!b)
		return; /* judged anew by what comes */
	buf_init(&why);
	buf_addf(&why, "hold-job-at: %s", w->text);
	arena_init(&b->arena, 512);
	b->cmd = (struct sched_cmd){ .type = CMD_PAUSE,
				     .target = { .kind = TARGET_JOB,
						 .a = arena_str(&b->arena, w->target) },
				     .who = STR_LIT("stoker"),
				     .reason = arena_str(&b->arena, buf_str(&why)),
				     .expect = -1,
				     .silent = true };
	log_warn("job %.*s is held: %s", (int)w->target.n, w->target.p, w->text);
	buf_free(&why);
	/* On its way to the disk before anything holds the job: after a crash, what led to this
	 * hold does not hold it once more. */
	while (counters_save(f->c, SAVES_A_PASS, save_row, f) == SAVES_A_PASS)
		;
	mta_post(f->me, f->me->mta->sched, (struct post){ .fn = sched_post_command, .p = b });
}

static void word(void *arg, const struct counters_word *w)
{
	struct feedback *f = arg;
	char *target = str_dup(w->target);

	if (!target)
		return; /* said again in a second */
	switch (w->type) {
	case COUNTERS_RAISE:
		mta_alarm(f->me, w->code, true, w->severity, target, "%s", w->text);
		break;
	case COUNTERS_END:
		mta_alarm(f->me, w->code, false, 2, target, "%s", "");
		break;
	case COUNTERS_HOLD:
		hold_job(f, w);
		break;
	}
	free(target);
}

/* ---- its turn ---- */

static void one(void *arg, const struct event *e)
{
	struct feedback *f = arg;

	counters_event(f->c, e, f->conf);
}

us_t feedback_step(struct feedback *f, us_t now)
{
	us_t next;

	if (f->more)
		f->more = event_reader_next(f->r, BATCH, one, f) == BATCH;
	if (now >= f->rows_at && !publish(f, now))
		f->rows_at = now + ROWS_EVERY;
	if (now >= f->judge_at) {
		f->judge_at = now + JUDGE_EVERY;
		counters_judge(f->c, now, &f->conf->alarm, word, f);
	}
	if (now >= f->save_at)
		save(f, now);
	if (f->more)
		return now;
	next = f->save_at < f->judge_at ? f->save_at : f->judge_at;
	return next < f->rows_at ? next : f->rows_at;
}

void feedback_wake(struct feedback *f)
{
	f->more = true;
}

void feedback_conf(struct feedback *f, const struct conf *c)
{
	conf_unref(f->conf);
	f->conf = conf_ref((struct conf *)(uintptr_t)c);
}

/* ---- start and end ---- */

static void restore_row(void *arg, struct str key, struct str value)
{
	struct feedback *f = arg;

	if (!counters_restore(f->c, clock_now_us(), key, value))
		log_warn("state: feedback of %.*s can't be read; it begins anew", (int)key.n,
			 key.p);
}

struct feedback *feedback_wire(struct member *me, const struct conf *c)
{
	struct feedback *f = calloc(1, sizeof *f);

	if (f)
		f->c = counters_new();
	if (!f || !f->c)
		fatal("no memory to count feedback");
	f->me = me;
	f->conf = conf_ref((struct conf *)(uintptr_t)c);
	spool_state_each(me->mta->spool, TABLE, restore_row, f);
	f->r = event_reader_open(me->mta->spool, READER);
	if (!f->r)
		fatal("no memory to read the events");
	f->saved = f->told = event_reader_position(f->r);
	spool_reader_position(me->mta->spool, READER, f->saved);
	f->more = true;
	return f;
}

static void save_now(void *arg, struct str key, struct str value)
{
	struct feedback *f = arg;

	if (value.p)
		spool_state_put(f->me->mta->spool, TABLE, key, value);
	else
		spool_state_del(f->me->mta->spool, TABLE, key);
}

void feedback_finish(struct feedback *f)
{
	struct errbuf e = { "" };

	while (event_reader_next(f->r, BATCH, one, f) == BATCH)
		;
	while (counters_save(f->c, SAVES_A_PASS, save_now, f))
		;
	if (spool_state_commit(f->me->mta->spool, &e))
		log_error("state: %s", e.text);
	else
		spool_reader_position(f->me->mta->spool, READER, event_reader_position(f->r));
	event_reader_close(f->r);
	counters_free(f->c);
	conf_unref(f->conf);
	free(f);
}
