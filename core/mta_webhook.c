/* The readers of the [webhook] sections, each with a position of its own, on the report thread. A
 * far end that is down stops its own reader only, with an alarm; the events wait in the spool
 * (events-max), mail goes on. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/mta.h"
#include "core/report/poster.h"
#include "core/report/webhook.h"

#define PREFIX "webhook:"

static const us_t POSITION_EVERY =
    200 * US_PER_MS; /* well under the second that may repeat after a crash */

struct hook {
	struct hooks *all;
	char *name;		      /* the section's */
	char reader[MTA_READER_NAME]; /* "webhook:NAME" */
	struct webhook *w;
	struct poster_job *job; /* NULL: nothing is on its way */
	uint64_t saved, missed; /* event numbers */
	struct rstr *trouble;	/* what the alarm says; NULL: there is none */
	struct hook *next;
};

struct hooks {
	struct member *me;
	struct poster *poster;
	struct hook *first;
	us_t position_at;
};

static int section_of(const struct conf *c, const char *reader)
{
	char z[MTA_READER_NAME];

	for (int i = 0; i < c->nwebhooks; i++) {
		mta_reader_name(PREFIX, c->webhooks[i].name, z);
		if (strcmp(z, reader) == 0)
			return i;
	}
	return CONF_NONE;
}

static void add(uint64_t *atomic, uint64_t n)
{
	__atomic_fetch_add(atomic, n, __ATOMIC_RELAXED);
}

/* ---- requests ---- */

static void answered(void *arg, const struct poster_answer *a)
{
	struct hook *k = arg;
	struct hook_counts *n = &k->all->me->mta->hook_counts;
	uint64_t sent = webhook_sent(k->w), position = webhook_position(k->w);

	k->job = NULL; /* freed behind us */
	webhook_answered(k->w, loop_now(k->all->me->loop),
			 &(struct webhook_answer){ a->status, a->retry_after, a->why });
	add(&n->requests, 1);
	add(&n->failed, webhook_position(k->w) == position);
	add(&n->events, webhook_sent(k->w) - sent);
}

static bool post(void *arg, struct webhook *w, const struct webhook_request *r)
{
	const char *headers[WEBHOOK_HEADERS];
	struct hook *k = arg;

	(void)w;
	for (int i = 0; i < r->nheaders; i++)
		headers[i] = r->headers[i];
	k->job = poster_start(k->all->poster, r->url, headers, r->nheaders, r->body, answered, k);
	return k->job != NULL;
}

static void drop(void *arg, struct webhook *w)
{
	struct hook *k = arg;

	(void)w;
	poster_drop(k->job);
	k->job = NULL;
}

/* ---- alarms ---- */

static void works(struct hooks *h, struct hook *k)
{
	if (!k->trouble)
		return;
	rstr_unref(k->trouble);
	k->trouble = NULL;
	mta_alarm(h->me, "webhook", false, 2, k->name, "%s", "");
}

static void tell(struct hooks *h, struct hook *k)
{
	const char *why = webhook_trouble(k->w);

	if (!why) {
		works(h, k);
		return;
	}
	if (k->trouble && str_eqz(rstr_str(k->trouble), why))
		return;
	rstr_unref(k->trouble);
	k->trouble = rstr_new(str_of(why));
	log_error("[webhook %s] %s; events wait in the spool, mail goes on", k->name, why);
	mta_alarm(h->me, "webhook", true, 2, k->name,
		  "events can't be sent to [webhook %s]: %s; they wait", k->name, why);
}

/* ---- hooks ---- */

static void save(struct hooks *h, struct hook *k)
{
	uint64_t at = webhook_position(k->w);

	if (at != k->saved && mta_reader_save(h->me, k->reader, at))
		k->saved = at;
}

/* One that the spool has no position of begins with what happens from now on. */
static struct hook *hook_new(struct hooks *h, struct conf *c, int i, bool from_now)
{
	struct hook *k = calloc(1, sizeof *k);
	const char *name = c->webhooks[i].name;
	struct event_reader *r;

	if (!k || !(k->name = strdup(name)))
		fatal("no memory for [webhook %s]", name);
	k->all = h;
	mta_reader_name(PREFIX, name, k->reader);
	r = event_reader_open(h->me->mta->spool, k->reader);
	if (!r)
		fatal("no memory to read the events");
	if (from_now || !event_reader_known(r))
		event_reader_seek(r, event_reader_last(r));
	k->w =
	    webhook_new(c, i, r, &(struct webhook_carrier){ .arg = k, .post = post, .drop = drop });
	if (!k->w)
		fatal("no memory for [webhook %s]", name);
	k->next = h->first;
	h->first = k;
	return k;
}

static void hook_free(struct hook *k)
{
	webhook_free(k->w);
	rstr_unref(k->trouble);
	free(k->name);
	free(k);
}

static bool wanted(void *arg, const char *reader)
{
	return section_of(arg, reader) != CONF_NONE;
}

struct hooks *hooks_wire(struct member *me, const struct conf *c)
{
	struct hooks *h = calloc(1, sizeof *h);
	struct conf *mine = (struct conf *)(uintptr_t)c;

	if (!h || !(h->poster = poster_new(me->loop, &poster_limits)))
		fatal("no memory for webhooks");
	h->me = me;
	spool_readers_forget(me->mta->spool, PREFIX, wanted, mine);
	for (int i = 0; i < c->nwebhooks; i++) {
		struct hook *k = hook_new(h, mine, i, false);

		k->saved = webhook_position(k->w);
		spool_reader_position(me->mta->spool, k->reader, k->saved);
	}
	return h;
}

void hooks_conf(struct hooks *h, const struct conf *c)
{
	struct conf *mine = (struct conf *)(uintptr_t)c;
	struct hook **at = &h->first, *k;

	while ((k = *at)) {
		int i = section_of(c, k->reader);

		if (i != CONF_NONE) {
			webhook_conf(k->w, mine, i);
			at = &k->next;
			continue;
		}
		*at = k->next;
		mta_reader_forget(h->me, k->reader);
		works(h, k);
		hook_free(k);
	}
	for (int i = 0; i < c->nwebhooks; i++) {
		char z[MTA_READER_NAME];

		mta_reader_name(PREFIX, c->webhooks[i].name, z);
		for (k = h->first; k && strcmp(k->reader, z) != 0; k = k->next)
			;
		if (!k)
			save(h, hook_new(h, mine, i, true));
	}
}

void hooks_wake(struct hooks *h)
{
	for (struct hook *k = h->first; k; k = k->next)
		webhook_wake(k->w);
}

us_t hooks_step(struct hooks *h, us_t now)
{
	us_t next = US_NEVER;
	uint64_t behind = 0;

	for (struct hook *k = h->first; k; k = k->next) {
		us_t due = webhook_step(k->w, now);

		tell(h, k);
		mta_reader_missed(h->me, "webhook", k->name, webhook_missed(k->w), &k->missed);
		next = due < next ? due : next;
		behind = webhook_behind(k->w) > behind ? webhook_behind(k->w) : behind;
	}
	__atomic_store_n(&h->me->mta->hook_counts.behind, behind, __ATOMIC_RELAXED);
	if (now < h->position_at)
		return next < h->position_at || !h->first ? next : h->position_at;
	h->position_at = now + POSITION_EVERY;
	for (struct hook *k = h->first; k; k = k->next)
		save(h, k);
	return h->first && h->position_at < next ? h->position_at : next;
}

void hooks_finish(struct hooks *h)
{
	struct hook *k;

	while ((k = h->first)) {
		spool_reader_position(h->me->mta->spool, k->reader, webhook_position(k->w));
		h->first = k->next;
		hook_free(k);
	}
	poster_free(h->poster);
	free(h);
}

void hooks_status(struct mta *m, bool configured, struct jsonw *w)
{
	const struct hook_counts *n = &m->hook_counts;

	if (!configured)
		return;
	jsonw_object(w, "webhooks");
	jsonw_int(w, "requests", (int64_t)__atomic_load_n(&n->requests, __ATOMIC_RELAXED));
	jsonw_int(w, "failed", (int64_t)__atomic_load_n(&n->failed, __ATOMIC_RELAXED));
	jsonw_int(w, "events", (int64_t)__atomic_load_n(&n->events, __ATOMIC_RELAXED));
	jsonw_int(w, "behind", (int64_t)__atomic_load_n(&n->behind, __ATOMIC_RELAXED));
	jsonw_end_object(w);
}
