/* The readers of the [accounting] sections, each with a position of its own, on the report thread.
 * A position moves only behind what is in the file: a full disk stops that one file, with an alarm,
 * and it goes on by itself; the events wait in the spool (events-max). */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/mta.h"

enum { BATCH_EVENTS = 64, BATCH_BYTES = 64 * 1024 };
#define PREFIX "accounting:"

static const us_t POSITION_EVERY = 200 * US_PER_MS;
static const us_t RETRY = 5 * US_PER_S;

struct book {
	char *name;		      /* the section's */
	char reader[MTA_READER_NAME]; /* "accounting:NAME" */
	struct accounting *a;	      /* NULL: its file could not be opened yet */
	struct event_reader *r;
	uint64_t written, saved, missed; /* event numbers */
	us_t blocked_until;
	bool failing, more;
	struct book *next;
};

struct books {
	struct member *me;
	struct conf *conf;
	struct book *first;
	us_t position_at;
};

static int section_of(const struct conf *c, const char *reader)
{
	char z[MTA_READER_NAME];

	for (int i = 0; i < c->naccounting; i++) {
		mta_reader_name(PREFIX, c->accounting[i].name, z);
		if (strcmp(z, reader) == 0)
			return i;
	}
	return CONF_NONE;
}

static void post_position(struct books *b, struct book *k)
{
	if (mta_reader_save(b->me, k->reader, k->written))
		k->saved = k->written;
}

static void failed(struct books *b, struct book *k, const char *why)
{
	k->blocked_until = loop_now(b->me->loop) + RETRY;
	if (k->failing)
		return;
	k->failing = true;
	log_error("[accounting %s] %s; events wait in the spool, mail goes on", k->name, why);
	mta_alarm(b->me, "accounting", true, 2, k->name, "records can't be written: %s", why);
}

static void works(struct books *b, struct book *k)
{
	if (!k->failing)
		return;
	k->failing = false;
	mta_alarm(b->me, "accounting", false, 2, k->name, "%s", "");
}

static void tell_missed(struct books *b, struct book *k)
{
	mta_reader_missed(b->me, "accounting", k->name, event_reader_missed(k->r), &k->missed);
}

static void one(void *arg, const struct event *e)
{
	accounting_event(((struct book *)arg)->a, e);
}

/* What could not be written is read again. */
static bool flush(struct books *b, struct book *k)
{
	struct errbuf e = { "" };

	if (accounting_flush(k->a, &e)) {
		event_reader_seek(k->r, k->written);
		failed(b, k, e.text);
		return false;
	}
	k->written = event_reader_position(k->r);
	works(b, k);
	return true;
}

static bool open_file(struct books *b, struct book *k)
{
	int i = section_of(b->conf, k->reader);
	struct errbuf e = { "" };

	if (i == CONF_NONE || accounting_open(b->conf, i, &k->a, &e)) {
		failed(b, k, e.text);
		return false;
	}
	return true;
}

static void batch(struct books *b, struct book *k)
{
	int n = 0;

	if (!k->a && !open_file(b, k))
		return;
	while (n < BATCH_EVENTS && accounting_waiting(k->a) < BATCH_BYTES &&
	       event_reader_next(k->r, 1, one, k))
		n++;
	k->more = n == BATCH_EVENTS || accounting_waiting(k->a) >= BATCH_BYTES;
	flush(b, k);
	tell_missed(b, k);
}

static struct book *book_new(struct books *b, const struct conf_accounting *x, bool from_now)
{
	struct book *k = calloc(1, sizeof *k);

	if (!k || !(k->name = strdup(x->name)))
		fatal("no memory for [accounting %s]", x->name);
	mta_reader_name(PREFIX, x->name, k->reader);
	k->r = event_reader_open(b->me->mta->spool, k->reader);
	if (!k->r)
		fatal("no memory to read the events");
	if (from_now)
		event_reader_seek(k->r, event_reader_last(k->r));
	k->written = event_reader_position(k->r);
	k->more = true;
	k->next = b->first;
	b->first = k;
	return k;
}

static void book_free(struct book *k)
{
	accounting_close(k->a);
	event_reader_close(k->r);
	free(k->name);
	free(k);
}

static bool wanted(void *arg, const char *reader)
{
	return section_of(arg, reader) != CONF_NONE;
}

struct books *books_wire(struct member *me, const struct conf *c)
{
	struct books *b = calloc(1, sizeof *b);
	struct errbuf e = { "" };

	if (!b)
		fatal("no memory for accounting");
	b->me = me;
	b->conf = conf_ref((struct conf *)(uintptr_t)c);
	spool_readers_forget(me->mta->spool, PREFIX, wanted, b->conf);
	for (int i = 0; i < c->naccounting; i++) {
		struct book *k = book_new(b, &c->accounting[i], false);

		if (accounting_open(b->conf, i, &k->a, &e))
			fatal("%s", e.text);
		spool_reader_position(me->mta->spool, k->reader, k->written);
	}
	return b;
}

void books_conf(struct books *b, const struct conf *c)
{
	struct book **at = &b->first, *k;

	conf_unref(b->conf);
	b->conf = conf_ref((struct conf *)(uintptr_t)c);
	while ((k = *at)) {
		if (section_of(c, k->reader) != CONF_NONE) {
			accounting_close(k->a); /* nothing waits between two batches */
			k->a = NULL;
			k->blocked_until = 0;
			k->more = true;
			at = &k->next;
			continue;
		}
		*at = k->next;
		mta_reader_forget(b->me, k->reader);
		works(b, k);
		book_free(k);
	}
	for (int i = 0; i < c->naccounting; i++) {
		char z[MTA_READER_NAME];

		mta_reader_name(PREFIX, c->accounting[i].name, z);
		for (k = b->first; k && strcmp(k->reader, z) != 0; k = k->next)
			;
		if (!k)
			post_position(b, book_new(b, &c->accounting[i], true));
	}
}

void books_wake(struct books *b)
{
	for (struct book *k = b->first; k; k = k->next)
		k->more = true;
}

static void upkeep(struct books *b, struct book *k, us_t now, bool rotate)
{
	struct errbuf e = { "" };

	if (k->written != k->saved)
		post_position(b, k);
	if (k->a && accounting_rotate(k->a, now, rotate, &e))
		failed(b, k, e.text);
}

us_t books_step(struct books *b, us_t now)
{
	us_t next;

	for (struct book *k = b->first; k; k = k->next)
		if (now >= k->blocked_until && (k->more || k->failing))
			batch(b, k);
	if (now >= b->position_at) {
		b->position_at = now + POSITION_EVERY;
		for (struct book *k = b->first; k; k = k->next)
			upkeep(b, k, now, false);
	}
	next = b->position_at;
	for (struct book *k = b->first; k; k = k->next) {
		if (k->more && !k->failing)
			return now;
		if (k->failing && k->blocked_until < next)
			next = k->blocked_until;
	}
	return next;
}

void books_rotate(struct books *b, us_t now)
{
	for (struct book *k = b->first; k; k = k->next)
		upkeep(b, k, now, true);
}

void books_finish(struct books *b)
{
	struct book *k;

	while ((k = b->first)) {
		do
			batch(b, k);
		while (k->more && !k->failing);
		spool_reader_position(b->me->mta->spool, k->reader, k->written);
		b->first = k->next;
		book_free(k);
	}
	conf_unref(b->conf);
	free(b);
}
