/* The report thread: a reader of the events. It writes the delivery log and passes the events on to
 * the control thread's ring. It holds nobody up: when its disk is full, events wait in the spool
 * (events-max) and mail goes on. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/log.h"
#include "core/mta.h"

enum { READ_BATCH = 128 }; /* about 1 ms of work a pass */

static const us_t POSITION_EVERY =
    200 * US_PER_MS; /* well under the second that may repeat after a crash */
static const us_t RETRY_LOG = 5 * US_PER_S;

struct report_thread {
	struct member *me;
	struct conf *conf;
	struct event_reader *reader;
	struct delivery_log *log;
	struct books *books;
	struct feedback *feedback;
	uint64_t written; /* all up to this event is in the log */
	uint64_t saved;	  /* position that the spool was last told */
	uint64_t shown;	  /* the last event that control's ring has */
	struct hooks *hooks;
	us_t position_at;
	us_t blocked_until; /* the log can't be written: the reader waits */
	bool failing, more;
	struct buf ring; /* the batch for control's ring */
	uint64_t ring_first;
	int ring_n;
	int audit_fd;
	uint64_t missed;
};

static struct report_thread *state(struct member *me)
{
	return me->state;
}

static void one(void *arg, const struct event *e)
{
	struct report_thread *t = arg;
	delivery_log_event(t->log, e);
	if (e->id <= t->shown)
		return; /* read again, for the log */
	t->shown = e->id;
	if (!t->ring_n)
		t->ring_first = e->id;
	struct event short_one = *e;
	short_one.others = short_one.esmtp = STR_LIT("");
	if (event_encode(&t->ring, &short_one))
		t->ring_n++;
}

static void ring_send(struct report_thread *t)
{
	struct rstr *batch = t->ring_n ? rstr_new(buf_str(&t->ring)) : NULL;
	if (batch)
		mta_post(t->me, t->me->mta->control,
			 (struct post){ .fn = control_post_events,
					.a = t->ring_first,
					.b = (uint64_t)t->ring_n,
					.p = batch });
	buf_clear(&t->ring);
	t->ring_n = 0;
}

static void log_failed(struct report_thread *t, const char *why)
{
	t->blocked_until = loop_now(t->me->loop) + RETRY_LOG;
	if (t->failing)
		return;
	t->failing = true;
	log_error("delivery log: %s; events wait in the spool, mail goes on", why);
	mta_alarm(t->me, "delivery-log", true, 2, "log", "the delivery log can't be written: %s",
		  why);
}

static void log_works(struct report_thread *t)
{
	if (!t->failing)
		return;
	t->failing = false;
	mta_alarm(t->me, "delivery-log", false, 2, "log", "%s", "");
}

static void missed(struct report_thread *t)
{
	uint64_t n = event_reader_missed(t->reader);
	if (n == t->missed)
		return;
	t->missed = n;
	mta_alarm(t->me, "events-missed", true, 2, "log",
		  "%llu events were dropped before the delivery log had them",
		  (unsigned long long)n);
}

/* False: the log can't be written. It keeps what waits and writes that first. */
static bool write_log(struct report_thread *t)
{
	struct errbuf e = { "" };
	const struct err *err = delivery_log_flush(t->log, &e);
	if (err == &err_no_memory)
		event_reader_seek(t->reader, t->written);
	if (err) {
		log_failed(t, e.text);
		return false;
	}
	t->written = event_reader_position(t->reader);
	log_works(t);
	return true;
}

/* True: more events wait. */
static bool read_batch(struct report_thread *t)
{
	if (t->failing && !write_log(t))
		return false;
	int n = event_reader_next(t->reader, READ_BATCH, one, t);
	bool written = write_log(t);
	ring_send(t);
	missed(t);
	return written && n == READ_BATCH;
}

static void position(struct report_thread *t, us_t now)
{
	struct errbuf e = { "" };
	t->position_at = now + POSITION_EVERY;
	if (t->written != t->saved) {
		t->saved = t->written;
		mta_post(t->me, t->me->mta->spooler,
			 (struct post){ .fn = spool_post_position,
					.p = rstr_new(STR_LIT("delivery-log")),
					.a = t->written });
	}
	if (delivery_log_rotate(t->log, now, false, &e))
		log_failed(t, e.text);
}

static us_t tick(void *arg, us_t now)
{
	struct report_thread *t = arg;
	if (now >= t->blocked_until && (t->more || t->failing))
		t->more = read_batch(t);
	if (now >= t->position_at)
		position(t, now);
	us_t next = books_step(t->books, now), hooks = hooks_step(t->hooks, now);
	next = hooks < next ? hooks : next;
	us_t counted = feedback_step(t->feedback, now);
	next = counted < next ? counted : next;
	if (t->more && !t->failing)
		return now;
	if (t->failing && t->blocked_until < next)
		next = t->blocked_until;
	return next < t->position_at ? next : t->position_at;
}

void report_post_wake(struct member *to, struct post *p)
{
	(void)p;
	state(to)->more = true;
	books_wake(state(to)->books);
	hooks_wake(state(to)->hooks);
	feedback_wake(state(to)->feedback);
}

void report_post_conf(struct member *to, struct post *p)
{
	struct report_thread *t = state(to);
	struct errbuf e = { "" };
	struct delivery_log *log = NULL;
	books_conf(t->books, p->p);
	hooks_conf(t->hooks, p->p);
	feedback_conf(t->feedback, p->p);
	conf_unref(t->conf);
	t->conf = p->p;
	/* First: the new one notes where the file ends, and cuts a torn batch back to there. */
	write_log(t);
	if (delivery_log_open(t->conf, &log, &e)) {
		log_failed(t, e.text);
		return;
	}
	delivery_log_replace(log, t->log);
	t->log = log;
	t->blocked_until = 0; /* the new one may have room */
}

void report_post_rotate(struct member *to, struct post *p)
{
	struct errbuf e = { "" };
	(void)p;
	books_rotate(state(to)->books, loop_now(to->loop));
	if (delivery_log_rotate(state(to)->log, loop_now(to->loop), true, &e))
		log_failed(state(to), e.text);
}

void report_post_audit(struct member *to, struct post *p)
{
	struct report_thread *t = state(to);
	struct buf line;
	char at[CLOCK_RFC3339_SIZE];
	buf_init(&line);
	clock_rfc3339(loop_now(to->loop), at);
	buf_addf(&line, "%s ", at);
	clean_add(&line, rstr_str(p->p), false);
	buf_addc(&line, '\n');
	if (t->audit_fd < 0)
		t->audit_fd =
		    open(t->conf->mta.audit_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (t->audit_fd < 0 || write(t->audit_fd, line.p, line.n) != (ssize_t)line.n) {
		log_error("audit log %s: can't be written; the line was: %.*s",
			  t->conf->mta.audit_log, (int)line.n - 1, line.p);
		mta_alarm(to, "audit-log", true, 2, "log", "the audit log can't be written");
	}
	buf_free(&line);
	rstr_unref(p->p);
}

void mta_report_wire(struct member *me)
{
	struct report_thread *t = calloc(1, sizeof *t);
	struct errbuf e = { "" };
	if (!t)
		fatal("no memory for the report thread");
	me->state = t;
	t->me = me;
	t->conf = conf_ref(me->mta->conf);
	t->audit_fd = open(t->conf->mta.audit_log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	if (t->audit_fd < 0)
		fatal("the audit log %s can't be opened: %s", t->conf->mta.audit_log,
		      strerror(errno));
	if (delivery_log_open(t->conf, &t->log, &e))
		fatal("%s", e.text);
	t->reader = event_reader_open(me->mta->spool, "delivery-log");
	if (!t->reader)
		fatal("no memory to read the events");
	t->written = t->saved = event_reader_position(t->reader);
	t->books = books_wire(me, t->conf);
	t->hooks = hooks_wire(me, t->conf);
	t->feedback = feedback_wire(me, t->conf);
	buf_init(&t->ring);
	t->more = true;
	loop_set_tick(me->loop, tick, t);
}

void mta_report_finish(struct member *me)
{
	struct report_thread *t = state(me);
	while (read_batch(t))
		;
	spool_reader_position(me->mta->spool, "delivery-log", t->written);
	books_finish(t->books);
	hooks_finish(t->hooks);
	feedback_finish(t->feedback);
	event_reader_close(t->reader);
	delivery_log_close(t->log);
}
