/* Mail to an [inbound] domain: durable like any other, then read by a worker instead of being sent.
 * The spool thread keeps the line of what waits (ids alone, so that a flood of it costs nothing),
 * hands a few at a time to a worker, and records what came of each: the events and the end of its
 * recipients are one commit, so after a crash it is read again, or it is done. Mail that is
 * forwarded ends as a report does: its recipients are RCPT_REPORT until the new message is durable
 * (core/spool/spool.h, "Report"). */
#include <stdlib.h>
#include <string.h>

#include "core/base/clean.h"
#include "core/base/log.h"
#include "core/feedback/inbound.h"
#include "core/feedback/mime.h"
#include "core/feedback/seen.h"
#include "core/feedback/unmatched.h"
#include "core/mta.h"

/* The worker looks up logins too: strangers put two messages in front of one at most. */
enum { READ_AT_ONCE = 2, LINE_FIRST = 64, FIRST_BLOCK = 64 * 1024 };

static const us_t RETRY_AFTER = 10 * US_PER_S; /* no memory, or unmatched/ can't be written */

enum inbound_count {
	N_RECEIVED,
	N_FATES,
	N_FORWARDED = N_FATES + INBOUND_FATES,
	N_KEPT,
	N_REPEATED,
	N_COUNTS
};

struct ring { /* of messages' ids */
	uint64_t *ids;
	size_t first, n, cap;
};

struct inbound_line { /* spool thread, but for what is marked */
	/* What could not be read or kept waits by itself: it holds up nobody behind it. */
	struct ring fresh, again;
	unsigned out;		     /* at the worker */
	us_t retry_at;		     /* when `again` is tried */
	bool told;		     /* that something could not be read or kept: an alarm */
	uint64_t waiting;	     /* atomic */
	struct unmatched *unmatched; /* the worker's */
	struct seen *seen;
	uint64_t count[N_COUNTS]; /* atomic */
};

/* On its way to the worker and back. */
struct inbound_work {
	struct message *m; /* envelope and states */
	struct body *body;
	struct buf events; /* encoded */
	enum inbound_fate fate;
	struct rstr *words;
	struct message *forward; /* the new message; NULL */
	bool kept, failed;
};

static void count(struct mta *m, int what)
{
	__atomic_fetch_add(&m->inbound->count[what], 1, __ATOMIC_RELAXED);
}

static uint64_t counted(const struct mta *m, int what)
{
	return __atomic_load_n(&m->inbound->count[what], __ATOMIC_RELAXED);
}

/* ---- the line: spool thread ---- */

bool inbound_is(const struct message *m)
{
	return str_eqz(m->route, MESSAGE_INBOUND);
}

static bool grow(struct ring *r)
{
	size_t cap = r->cap ? r->cap * 2 : LINE_FIRST;
	uint64_t *ids = malloc(cap * sizeof *ids);

	if (!ids)
		return false;
	for (size_t i = 0; i < r->n; i++)
		ids[i] = r->ids[(r->first + i) % r->cap];
	free(r->ids);
	r->ids = ids;
	r->cap = cap;
	r->first = 0;
	return true;
}

static void enter(struct ring *r, uint64_t id)
{
	if (r->n == r->cap && !grow(r))
		fatal("no memory for inbound mail; everything accepted is on disk and is read at "
		      "the next start");
	r->ids[(r->first + r->n++) % r->cap] = id;
}

static uint64_t take(struct ring *r)
{
	uint64_t id = r->ids[r->first];

	r->first = (r->first + 1) % r->cap;
	r->n--;
	return id;
}

static void wait_again(struct member *me, uint64_t id, const char *why)
{
	struct inbound_line *l = me->mta->inbound;

	if (!l->told)
		mta_alarm(me, "inbound", true, 2, "inbound",
			  "message %llx can't be read or kept now: %s; it waits",
			  (unsigned long long)id, why);
	l->told = true;
	l->retry_at = loop_now(me->loop) + RETRY_AFTER;
	enter(&l->again, id);
}

static void tell_sched(struct member *me, uint64_t in, uint64_t loaded, uint64_t removed)
{
	mta_post(me, me->mta->sched,
		 (struct post){ .fn = sched_post_aside, .a = in, .b = loaded, .c = removed });
}

static uint64_t in_state(const struct message *m, enum rcpt_state s)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < m->nrcpts; i++)
		n += m->rcpts[i].state == s;
	return n;
}

void inbound_enter(struct member *spooler, struct message *m, bool loaded)
{
	uint64_t n = in_state(m, RCPT_QUEUED);

	tell_sched(spooler, loaded ? 0 : n, loaded ? n : 0, 0);
	if (!loaded)
		count(spooler->mta, N_RECEIVED);
	enter(&spooler->mta->inbound->fresh, m->id);
	message_free(m);
}

static void hand_out(struct member *me, uint64_t id)
{
	struct spool *s = me->mta->spool;
	struct inbound_work *w = calloc(1, sizeof *w);
	struct message *m = w ? spool_message(s, id) : NULL;

	if (!m) { /* no memory, or the index is not readable now */
		free(w);
		wait_again(me, id, "no memory, or its place in the spool can't be looked up");
		return;
	}
	w->m = m;
	w->body = spool_body(s, id, &m->where);
	buf_init(&w->events);
	me->mta->inbound->out++;
	mta_post(me, me->mta->workers[WORKER_SLOW],
		 (struct post){ .fn = worker_post_inbound, .p = w });
}

void inbound_step(struct member *spooler)
{
	struct inbound_line *l = spooler->mta->inbound;
	us_t now = loop_now(spooler->loop);

	while (l->out < READ_AT_ONCE && l->again.n && now >= l->retry_at)
		hand_out(spooler, take(&l->again));
	while (l->out < READ_AT_ONCE && l->fresh.n)
		hand_out(spooler, take(&l->fresh));
	__atomic_store_n(&l->waiting, l->fresh.n + l->again.n + l->out, __ATOMIC_RELAXED);
}

/* ---- what came of it: spool thread ---- */

/* False: it was believed before. */
static bool record_events(struct member *me, const struct inbound_work *w)
{
	bool fresh = true;
	struct reader r = { (const uint8_t *)w->events.p, w->events.n, false };
	struct event e = { .id = 0 };

	while (event_decode(&r, &e))
		if (seen_before(me->mta->inbound->seen, &e))
			fresh = false;
		else
			mta_spool_reported(me, &e);
	return fresh;
}

/* Mail whose new message was not durable when Stoker stopped has been counted, and its events are
 * on disk. */
static void end_rcpt(struct member *me, const struct inbound_work *w, uint32_t i)
{
	const struct message_rcpt *r = &w->m->rcpts[i];
	bool again = r->state == RCPT_REPORT;
	struct outcome o = { .message = w->m->id,
			     .rcpt = i,
			     .state = w->forward ? RCPT_REPORT : RCPT_DONE,
			     .as = again ? EVENT_RECEIVED : EVENT_REMOVED };
	struct event e = { .at = loop_now(me->loop),
			   .type = EVENT_REMOVED,
			   .message = w->m->id,
			   .rcpt = i,
			   .sender = w->m->sender,
			   .recipient = r->address,
			   .queue = w->m->route,
			   .reply = rstr_str(w->words),
			   .job = w->m->job,
			   .user = w->m->user,
			   .queued_at = w->m->received_at,
			   .size = w->m->where.body_bytes };

	if (r->state == RCPT_DONE || (again && w->forward))
		return;
	if (!spool_outcome(me->mta->spool, &o, again ? NULL : &e))
		fatal("no memory to record a report; it is read again at the next start");
}

static void work_free(struct inbound_work *w)
{
	message_free(w->m);
	message_free(w->forward);
	body_unref(w->body);
	buf_free(&w->events);
	rstr_unref(w->words);
	free(w);
}

void spool_post_inbound(struct member *to, struct post *p)
{
	struct inbound_work *w = p->p;
	struct mta *mta = to->mta;
	uint64_t fresh = in_state(w->m, RCPT_QUEUED);

	mta->inbound->out--;
	if (w->failed) {
		wait_again(to, w->m->id, rstr_str(w->words).p);
		work_free(w);
		return;
	}
	if (mta->inbound->told && !mta->inbound->again.n) {
		mta->inbound->told = false;
		mta_alarm(to, "inbound", false, 2, "inbound", "%s", "");
	}
	if (fresh)
		count(mta, record_events(to, w) ? N_FATES + (int)w->fate : N_REPEATED);
	for (uint32_t i = 0; i < w->m->nrcpts; i++)
		end_rcpt(to, w, i);
	if (fresh)
		tell_sched(to, 0, 0, fresh);
	if (w->kept || w->forward)
		count(mta, w->kept ? N_KEPT : N_FORWARDED);
	if (w->forward)
		mta_post(to, to, (struct post){ .fn = spool_post_message, .p = w->forward });
	w->forward = NULL;
	work_free(w);
}

/* ---- reading: the worker ---- */

static void fail(struct inbound_work *w, const char *why)
{
	w->failed = true;
	rstr_unref(w->words);
	w->words = rstr_new(str_of(why));
}

static bool read_text(const struct body *b, struct buf *out)
{
	size_t most = MIME_BYTES_MAX + 1, n = b->size < most ? (size_t)b->size : most;
	int64_t got = buf_reserve(out, n ? n : 1) ? spool_body_read(b, 0, out->p, n) : -1;

	out->n = got > 0 ? (size_t)got : 0;
	return got >= 0;
}

static struct str *addresses(const struct message *m, struct arena *mem)
{
	struct str *v = arena_alloc(mem, m->nrcpts * sizeof *v);

	for (uint32_t i = 0; v && i < m->nrcpts; i++)
		v[i] = m->rcpts[i].address;
	return v;
}

static bool judge(struct mta *mta, const struct conf *c, struct inbound_work *w, struct buf *text,
		  struct arena *mem)
{
	struct inbound_mail mail = { .to = addresses(w->m, mem),
				     .nto = w->m->nrcpts,
				     .client = w->m->client,
				     .text = buf_str(text),
				     .at = clock_now_us() };
	struct inbound_result r;

	if (!mail.to || !inbound_judge(c, mta->classifier, &mail, mem, &r))
		return false;
	w->fate = r.fate;
	w->words = rstr_new(r.words);
	for (uint32_t i = 0; i < r.n; i++)
		if (!event_encode(&w->events, &r.events[i]))
			return false;
	return w->words != NULL;
}

/* ---- mail for a person: the worker ---- */

static bool forward_head(const struct conf *c, const struct inbound_work *w, uint64_t id,
			 struct buf *out)
{
	char date[CLOCK_RFC5322_SIZE];

	clock_rfc5322(clock_now_us(), date);
	buf_addf(out, "Received: by %s id %llx;\r\n\t%s\r\nX-Stoker-Unmatched: ", c->mta.hostname,
		 (unsigned long long)id, date);
	clean_add(out, rstr_str(w->words), false);
	return buf_addz(out, "\r\n") && !buf_failed(out);
}

static struct body *copy_small(const struct body *from, struct buf *head)
{
	struct buf data;
	struct body *b = NULL;
	uint64_t charged;
	int64_t n;

	buf_init(&data);
	n = buf_reserve(&data, from->size + 1) ? spool_body_read(from, 0, data.p, from->size) : -1;
	if (n == (int64_t)from->size) {
		data.n = (size_t)n;
		charged = body_budget_take(data.n + head->n) ? data.n + head->n : 0;
		b = body_new_memory(head, &data, charged, true, true);
		if (!b)
			body_budget_give(charged);
	}
	buf_free(&data);
	return b;
}

static struct body *copy_large(struct mta *mta, uint64_t id, const struct body *from,
			       struct buf *head)
{
	struct errbuf e = { "" };
	struct spool_large *l = spool_large_create(mta->spool, id, &e);
	struct body *b = NULL;
	struct buf piece;
	bool ok = l && !spool_large_write(l, buf_str(head), &e);

	buf_init(&piece);
	ok = ok && buf_reserve(&piece, BODY_CHUNK);
	for (uint64_t at = 0; ok && at < from->size; at += BODY_CHUNK) {
		size_t n = from->size - at < BODY_CHUNK ? (size_t)(from->size - at) : BODY_CHUNK;

		ok = spool_body_read(from, at, piece.p, n) == (int64_t)n &&
		     !spool_large_write(l, str_mem(piece.p, n), &e);
	}
	if (l && !ok)
		spool_large_abort(l);
	else if (l && spool_large_finish(l, true, true, &b, &e))
		b = NULL;
	buf_free(&piece);
	return b;
}

static bool forward_rcpts(struct message *f, const struct conf_inbound *x)
{
	f->rcpts = arena_alloc(&f->arena, (size_t)x->nforward * sizeof *f->rcpts);
	for (int i = 0; f->rcpts && i < x->nforward; i++)
		if (mta_own_recipient(f, &f->rcpts[f->nrcpts], str_of(x->forward[i])))
			f->nrcpts++;
	return f->nrcpts > 0;
}

static bool forward_about(struct message *f, const struct message *m)
{
	uint32_t *v = arena_alloc(&f->arena, m->nrcpts * sizeof *v);

	for (uint32_t i = 0; v && i < m->nrcpts; i++)
		if (m->rcpts[i].state != RCPT_DONE)
			v[f->nreports_rcpts++] = i;
	f->reports_on = m->id;
	f->reports_rcpts = v;
	return v != NULL;
}

/* From <>, as our reports are: what can't be delivered is never bounced. NULL without memory. */
static struct message *forward_make(struct mta *mta, const struct conf *c,
				    const struct conf_inbound *x, const struct inbound_work *w)
{
	struct message *f = message_new();
	struct buf head;

	if (!f)
		return NULL;
	buf_init(&head);
	f->id = spool_new_id(mta->spool);
	f->received_at = clock_now_us();
	f->dsn = f->eightbit = true;
	f->job = arena_str(&f->arena, STR_LIT("stoker/unmatched"));
	f->user = arena_str(&f->arena, STR_LIT("stoker"));
	f->route = arena_str(&f->arena, str_of(c->routes[c->mta.default_route].name));
	f->client = arena_str(&f->arena, STR_LIT("local"));
	f->smtputf8 = w->m->smtputf8;
	f->priority = 50;
	if (f->id && forward_rcpts(f, x) && forward_about(f, w->m) &&
	    forward_head(c, w, f->id, &head))
		f->body = w->body->size + head.n > BODY_MEMORY_MAX
			      ? copy_large(mta, f->id, w->body, &head)
			      : copy_small(w->body, &head);
	buf_free(&head);
	if (f->body)
		return f;
	message_free(f);
	return NULL;
}

static void for_a_person(struct mta *mta, const struct conf *c, struct inbound_work *w)
{
	int section = conf_inbound_of(c, w->m->rcpts[0].address);
	const struct conf_inbound *x = section == CONF_NONE ? NULL : &c->inbound[section];
	struct errbuf e = { "" };

	if (x && x->nforward && c->mta.default_route != CONF_NONE) {
		w->forward = forward_make(mta, c, x, w);
		if (!w->forward)
			fail(w, "no memory or no room to forward it");
		return;
	}
	w->kept = true;
	if (unmatched_keep(mta->inbound->unmatched, w->m, w->body, rstr_str(w->words),
			   spool_body_read, &e))
		fail(w, e.text);
}

void worker_post_inbound(struct member *to, struct post *p)
{
	struct inbound_work *w = p->p;
	struct mta *mta = to->mta;
	struct conf *c = conf_ref(__atomic_load_n(&mta->conf, __ATOMIC_ACQUIRE));
	struct arena mem;
	struct buf text;

	arena_init(&mem, FIRST_BLOCK);
	buf_init(&text);
	if (!w->body || !read_text(w->body, &text))
		fail(w, "the spool can't be read");
	else if (!judge(mta, c, w, &text, &mem))
		fail(w, "no memory");
	else if (w->fate == INBOUND_UNVERIFIED || w->fate == INBOUND_OTHER)
		for_a_person(mta, c, w);
	buf_free(&text);
	arena_free(&mem);
	conf_unref(c);
	mta_post(to, mta->spooler, (struct post){ .fn = spool_post_inbound, .p = w });
}

/* ---- out: io threads ---- */

bool mta_mark(const struct conf *c, struct transaction *t, struct str vmta, struct str *path,
	      struct str *header)
{
	int section = t->nrcpts == 1 && !t->dsn ? conf_inbound_of(c, t->sender) : CONF_NONE;
	struct token_about about = { .recipient = t->rcpts[0].address,
				     .sender = t->sender,
				     .job = t->job,
				     .user = t->user,
				     .virtual_mta = vmta,
				     .envid = t->envid };

	*path = *header = STR_LIT("");
	if (section == CONF_NONE)
		return true;
	return inbound_mark(c, section, (struct token){ t->message, t->rcpts[0].index }, &about,
			    &t->arena, path, header);
}

/* ---- `status` and start ---- */

void inbound_status(struct mta *m, bool configured, struct jsonw *w)
{
	static const struct {
		const char *name;
		int what;
	} names[] = { { "received", N_RECEIVED },
		      { "bounces", N_FATES + INBOUND_BOUNCE },
		      { "complaints", N_FATES + INBOUND_COMPLAINT },
		      { "ignored", N_FATES + INBOUND_NOTED },
		      { "unverified", N_FATES + INBOUND_UNVERIFIED },
		      { "other", N_FATES + INBOUND_OTHER },
		      { "forwarded", N_FORWARDED },
		      { "kept", N_KEPT },
		      { "repeated", N_REPEATED } };

	if (!configured && !counted(m, N_RECEIVED))
		return;
	jsonw_object(w, "inbound");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		jsonw_int(w, names[i].name, (int64_t)counted(m, names[i].what));
	jsonw_int(w, "waiting", (int64_t)__atomic_load_n(&m->inbound->waiting, __ATOMIC_RELAXED));
	jsonw_end_object(w);
}

void inbound_finish(struct mta *m)
{
	unmatched_free(m->inbound->unmatched);
	seen_free(m->inbound->seen);
	free(m->inbound->fresh.ids);
	free(m->inbound->again.ids);
	free(m->inbound);
	m->inbound = NULL;
}

void inbound_start(struct mta *m)
{
	m->inbound = calloc(1, sizeof *m->inbound);
	if (m->inbound)
		*m->inbound = (struct inbound_line){
			.unmatched = unmatched_new(m->conf->mta.spool, UNMATCHED_BYTES_MAX),
			.seen = seen_new(),
		};
	if (!m->inbound || !m->inbound->unmatched || !m->inbound->seen)
		fatal("no memory for inbound mail");
}
