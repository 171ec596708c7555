/* The suppression list in the running process: the spool thread writes it behind its own commits,
 * in steps; io threads look into it with readers of their own. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/mta.h"
#include "core/spool/suppress.h"

#define READER "suppression" /* of the events */
#define TABLE  "suppression" /* of the state: that there is a list */
enum { JOB_ROWS = 240, ROWS_A_STEP = 256, PURGED_A_STEP = 100, EVENTS_A_STEP = 4096 };

static const us_t JOB_WITHIN = US_PER_MS; /* and as long again for their commit */
static const us_t APART = 50 * US_PER_MS; /* commits of what the mail itself brings */
static const us_t UPKEEP_EVERY = US_PER_S;
static const us_t RETRY_FAILED = 10 * US_PER_S;

struct suppress_thread {
	struct member *me;
	struct suppression *l;
	struct conf_suppression rules;
	size_t ready;		   /* rows that wait and whose events are durable */
	uint64_t ready_to;	   /* the last event of these */
	uint64_t listed_to;	   /* all events up to here are committed to the list */
	struct suppress_job *jobs; /* of commands, the oldest first */
	us_t step_at, upkeep_at;
	bool purging, failed;
};

/* ---- start ---- */

static void known(void *arg, struct str key, struct str value)
{
	(void)key;
	(void)value;
	*(bool *)arg = true;
}

/* The state remembers that there is a list: one that is lost is not begun anew in silence. */
static bool may_create(struct mta *m)
{
	char path[PATH_MAX];
	bool made = false;
	spool_state_each(m->spool, TABLE, known, &made);
	m->suppression_new = !made;
	snprintf(path, sizeof path, "%s/start-empty", m->conf->mta.state);
	return !made || unlink(path) == 0;
}

void mta_suppression_open(struct mta *m)
{
	struct errbuf e = { "" };
	char dir[PATH_MAX];
	snprintf(dir, sizeof dir, "%s/suppression", m->conf->mta.state);
	struct suppression_opts o = { .dir = dir, .create = may_create(m) };
	const struct err *err = suppression_open(&o, &m->suppression, &e);
	if (err && !o.create)
		fatal("%s; or create the file %s/start-empty to begin with an empty suppression "
		      "list",
		      e.text[0] ? e.text : err->text, m->conf->mta.state);
	if (err)
		fatal("%s", e.text[0] ? e.text : err->text);
	if (!spool_state_put(m->spool, TABLE, STR_LIT("list"), STR_LIT("1")) ||
	    spool_state_commit(m->spool, &e))
		fatal("the state can't be written: %s", e.text);
}

static void again(void *arg, const struct event *ev)
{
	struct suppress_thread *x = arg;
	if (!suppress_again(x->l, &x->rules, ev))
		fatal("no memory for the suppression list");
}

static void write_all(struct suppress_thread *x)
{
	struct errbuf e = { "" };
	if (suppression_commit(x->l, ROWS_A_STEP, true, &e))
		fatal("%s", e.text);
}

/* What was told and had not reached the list when the last life ended. */
static void catch_up(struct suppress_thread *x)
{
	struct spool *s = x->me->mta->spool;
	struct event_reader *r = event_reader_open(s, READER);
	if (!r)
		fatal("no memory for the suppression list");
	if (x->me->mta->suppression_new) /* older events know nothing of a list */
		event_reader_seek(r, event_reader_last(r));
	if (suppression_marked(x->l) > event_reader_position(r))
		event_reader_seek(r, suppression_marked(x->l));
	while (event_reader_next(r, EVENTS_A_STEP, again, x))
		write_all(x);
	x->listed_to = event_reader_position(r);
	if (!suppression_mark(x->l, x->listed_to))
		fatal("no memory for the suppression list");
	write_all(x);
	event_reader_close(r);
	spool_reader_position(s, READER, x->listed_to);
}

struct suppress_thread *mta_suppress_wire(struct member *spooler)
{
	struct suppress_thread *x = calloc(1, sizeof *x);
	if (!x)
		fatal("no memory for the suppression list");
	x->me = spooler;
	x->l = spooler->mta->suppression;
	x->rules = spooler->mta->conf->suppression;
	catch_up(x);
	return x;
}

void mta_suppress_conf(struct suppress_thread *x, const struct conf *c)
{
	x->rules = c->suppression;
}

/* ---- what the mail brings ---- */

void mta_suppress_event(struct suppress_thread *x, const struct event *ev)
{
	suppress_event(x->l, x->me->mta->spool, &x->rules, ev);
}

void mta_suppress_committed(struct suppress_thread *x)
{
	uint64_t last = spool_last_event(x->me->mta->spool);
	if (!suppression_waiting(x->l)) {
		x->listed_to = last;
		return;
	}
	if (!suppression_mark(x->l, last))
		return; /* with the next commit */
	x->ready_to = last;
	x->ready = suppression_waiting(x->l);
}

static void failed(struct suppress_thread *x, us_t now, const char *why)
{
	x->step_at = now + RETRY_FAILED;
	if (x->failed)
		return;
	x->failed = true;
	log_error("suppression: %s", why);
	mta_alarm(x->me, "suppression", true, 2, "suppression",
		  "the suppression list can't be written: %s", why);
}

static void works(struct suppress_thread *x)
{
	if (!x->failed)
		return;
	x->failed = false;
	mta_alarm(x->me, "suppression", false, 2, "suppression", "%s", "");
}

static bool commit(struct suppress_thread *x, us_t now, unsigned rows, bool sync)
{
	size_t before = suppression_waiting(x->l);
	struct errbuf e = { "" };
	const struct err *err = suppression_commit(x->l, rows, sync, &e);
	size_t done = before - suppression_waiting(x->l);
	x->ready -= done < x->ready ? done : x->ready;
	if (err) {
		failed(x, now, e.text);
		return false;
	}
	works(x);
	if (!x->ready && x->ready_to > x->listed_to)
		x->listed_to = x->ready_to;
	return true;
}

/* The events behind the list may go when the list is durable. */
static void upkeep(struct suppress_thread *x, us_t now)
{
	struct errbuf e = { "" };
	uint64_t listed = x->listed_to;
	x->upkeep_at = now + UPKEEP_EVERY;
	if (!suppression_synced(x->l) && suppression_sync(x->l, &e)) {
		failed(x, now, e.text);
		return;
	}
	spool_reader_position(x->me->mta->spool, READER, listed);
	x->purging = true;
}

/* What has ended goes only while nothing else waits. */
static bool purge(struct suppress_thread *x, us_t now)
{
	if (!x->purging || suppression_waiting(x->l))
		return false;
	x->purging = suppression_purge(x->l, now, PURGED_A_STEP);
	x->ready = suppression_waiting(x->l);
	return x->ready > 0;
}

/* ---- commands ---- */

void mta_suppress_job(struct suppress_thread *x, struct suppress_job *j)
{
	struct suppress_job **end = &x->jobs;
	while (*end)
		end = &(*end)->next;
	*end = j;
	j->left = (struct reader){ (const uint8_t *)j->rows.p, j->rows.n, false };
}

bool mta_suppress_wants_commit(const struct suppress_thread *x)
{
	return x->jobs && suppression_waiting(x->l) > x->ready;
}

static void tell(struct suppress_job *j, const struct suppression_key *k,
		 const struct suppression_entry *e)
{
	struct suppression_key address = *k;
	struct event ev = { .type = EVENT_SUPPRESSED,
			    .at = e->at,
			    .reply = e->words,
			    .user = rstr_str(j->who),
			    .format = STR_LIT("manual"),
			    .scope = str_mem(k->bytes + k->base, k->n - k->base) };
	size_t domain = strlen(k->bytes), local = k->base - domain - 2;
	/* DOMAIN NUL LOCAL NUL: back to an address */
	memcpy(address.bytes, k->bytes + domain + 1, local);
	address.bytes[local] = '@';
	memcpy(address.bytes + local + 1, k->bytes, domain);
	ev.recipient = str_mem(address.bytes, local + 1 + domain);
	if (!event_encode(&j->told, &ev))
		log_error("suppression: no memory to tell what was put on the list");
}

static bool put(struct suppress_thread *x, struct suppress_job *j, const struct suppression_key *k,
		const struct suppression_entry *e, us_t now)
{
	struct suppression_found f;
	if (suppression_get(x->l, k, &f) && f.e.until > now && f.e.until >= e->until) {
		j->already++;
		return true;
	}
	if (!suppression_put(x->l, k, e))
		return false;
	j->done++;
	if (j->tell)
		tell(j, k, e);
	return true;
}

static bool removed(struct suppress_thread *x, struct suppress_job *j,
		    const struct suppression_key *k)
{
	struct suppression_found f;
	if (!suppression_get(x->l, k, &f)) {
		j->already++;
		return true;
	}
	j->done++;
	return suppression_del(x->l, k);
}

static void job_end(struct suppress_thread *x, int exit, struct rstr *text)
{
	struct suppress_job *j = x->jobs;
	struct reader told = { (const uint8_t *)j->told.p, j->told.n, false };
	struct event ev = { .id = 0 };
	x->jobs = j->next;
	while (event_decode(&told, &ev))
		spool_event(x->me->mta->spool, &ev);
	mta_post(
	    x->me, x->me->mta->control,
	    (struct post){ .fn = control_post_text, .a = j->id, .b = (uint64_t)exit, .p = text });
	rstr_unref(j->who);
	buf_free(&j->rows);
	buf_free(&j->told);
	free(j);
}

/* Some rows of the oldest job into the buffer, which holds nothing else. */
static bool job_rows(struct suppress_thread *x, us_t now)
{
	struct suppress_job *j = x->jobs;
	struct suppression_key k;
	struct suppression_entry e;
	us_t stop = clock_now_us() + JOB_WITHIN;
	bool del;
	for (int i = 0; i < JOB_ROWS && (i % 16 || clock_now_us() < stop) &&
			suppression_batch_next(&j->left, &del, &k, &e);
	     i++)
		if (!(del ? removed(x, j, &k) : put(x, j, &k, &e, now))) {
			job_end(x, EXIT_REFUSED, rstr_newf("no memory for the suppression list"));
			return false;
		}
	x->ready = suppression_waiting(x->l);
	return x->ready > 0;
}

/* A step of the oldest job; true: more to do now. */
static bool job_step(struct suppress_thread *x, us_t now)
{
	struct suppress_job *j = x->jobs;
	struct errbuf e = { "" };
	if (!j || suppression_waiting(x->l))
		return false;
	if (job_rows(x, now) && !commit(x, now, ROWS_A_STEP, false)) {
		/* its rows stay and are tried again */
		job_end(x, EXIT_REFUSED,
			rstr_newf("the suppression list can't be written now, an alarm says why"));
		return false;
	}
	if (x->jobs != j || j->left.n || suppression_waiting(x->l))
		return x->jobs != NULL;
	if (suppression_sync(x->l, &e))
		job_end(x, EXIT_REFUSED, rstr_newf("it can't be written now: %s", e.text));
	else
		job_end(x, EXIT_DONE,
			rstr_newf("%llu %llu", (unsigned long long)j->done,
				  (unsigned long long)j->already));
	return x->jobs != NULL;
}

bool mta_suppress_step(struct suppress_thread *x, us_t now)
{
	if (now < x->step_at)
		return false;
	if (now >= x->upkeep_at)
		upkeep(x, now);
	if (!x->ready && x->jobs)
		return job_step(x, now);
	if (!x->ready && !purge(x, now))
		return false;
	if (!commit(x, now, x->ready < ROWS_A_STEP ? (unsigned)x->ready : ROWS_A_STEP, false))
		return false;
	if (!x->ready && !x->purging)
		x->step_at = now + APART;
	return x->ready > 0 || x->purging || x->jobs;
}

us_t mta_suppress_next(const struct suppress_thread *x)
{
	us_t next = x->upkeep_at > x->step_at ? x->upkeep_at : x->step_at;
	return x->ready || (x->jobs && !suppression_waiting(x->l)) ? x->step_at : next;
}

void mta_suppress_finish(struct suppress_thread *x)
{
	us_t now = loop_now(x->me->loop);
	mta_suppress_committed(x);
	if (commit(x, now, ROWS_A_STEP, true))
		upkeep(x, now);
}
