/* `suppress add` and `remove`: a few rows for the spool thread, which answers when they are
 * durable. What is there now is read here, with the control thread's own reader. */
#include <stdio.h>

#include "core/base/clean.h"
#include "core/control/private.h"
#include "core/control/suppress.h"

struct suppression_reader *suppress_reader(struct request *r)
{
	struct control *c = r->c;

	if (!c->suppressed && c->env.suppression)
		c->suppressed = suppression_reader_open(c->env.suppression);
	if (!c->suppressed)
		request_fail(r, EXIT_REFUSED, SUPPRESS_UNREADABLE);
	return c->suppressed;
}

void suppress_send(struct request *r, struct buf *rows, bool tell,
		   void (*on_done)(struct request *r, int exit, struct rstr *text))
{
	struct control *c = r->c;

	request_wait_text(r, on_done);
	c->env.suppress(c->env.arg, r->id, rows, tell, rstr_str(r->who));
}

bool suppress_counts(struct rstr *text, uint64_t *done, uint64_t *already)
{
	unsigned long long a = 0, b = 0;
	bool ok = text && sscanf(text->text, "%llu %llu", &a, &b) == 2;

	*done = a;
	*already = b;
	return ok;
}

/* "u@example.com, for mail of news.example", or without its end: for all. */
static void add_whom(struct request *r, struct buf *out)
{
	clean_add(out, r->inv.arg, false);
	if (r->inv.via.n)
		buf_addf(out, " for mail of %s", r->inv.via.p);
}

static bool key_of(struct request *r, struct suppression_key *k)
{
	const char *why = suppression_key(r->inv.arg, r->inv.via, k);

	if (why)
		request_fail(r, EXIT_USAGE, "\"%.*s\" is no address: %s", (int)r->inv.arg.n,
			     r->inv.arg.p, why);
	return !why;
}

static void refused(struct request *r, int exit, struct rstr *text)
{
	request_fail(r, exit == EXIT_DONE ? EXIT_REFUSED : exit, "%s",
		     text ? text->text : "no memory for the answer");
	rstr_unref(text);
}

static void on_added(struct request *r, int exit, struct rstr *text)
{
	uint64_t done, already;
	struct buf out;

	if (exit != EXIT_DONE || !suppress_counts(text, &done, &already)) {
		refused(r, exit, text);
		return;
	}
	rstr_unref(text);
	buf_init(&out);
	add_whom(r, &out);
	buf_addz(&out,
		 done ? " is on the suppression list now" : " was on the suppression list already");
	if (done)
		control_say(r->c, "%s: %s", r->who->text, buf_z(&out));
	buf_addc(&out, '\n');
	request_out(r, buf_str(&out));
	buf_free(&out);
	request_finish(r, EXIT_DONE);
}

void suppress_add(struct request *r)
{
	struct suppression_entry e = { .why = SUPPRESS_MANUAL,
				       .at = control_now(r->c),
				       .until = r->inv.sched.until,
				       .words = r->inv.sched.reason,
				       .by = rstr_str(r->who) };
	struct suppression_key k;
	struct buf rows;

	if (!key_of(r, &k))
		return;
	if (e.until <= e.at) {
		request_fail(r, EXIT_USAGE, "that time is over already");
		return;
	}
	buf_init(&rows);
	if (suppression_batch_add(&rows, false, &k, &e))
		suppress_send(r, &rows, true, on_added);
	else
		request_fail(r, EXIT_REFUSED, "no memory for this command");
}

/* ---- remove ---- */

/* An address is there once for each of many senders' domains: so many are taken off at a time, and
 * behind their commit the list is looked at again. */
enum { REMOVED_A_STEP = 500 };

struct removal {
	struct request *r;
	struct buf rows;
	int n;
	bool failed;
};

static bool add_removal(void *arg, const struct suppression_row *row)
{
	struct removal *x = arg;
	struct suppression_key k;
	struct str scope = x->r->inv.via;

	if ((scope.n && !str_eq(row->scope, scope)) || row->e.until <= control_now(x->r->c))
		return true;
	x->n++;
	x->failed = suppression_key_parts(row->local, row->domain, row->scope, &k) ||
		    !suppression_batch_add(&x->rows, true, &k, NULL);
	return !x->failed;
}

/* The entries of a key: with a scope the one that comes first, as all others are longer. */
static int find_removals(struct removal *x, struct suppression_reader *reader,
			 const struct suppression_key *k)
{
	struct suppression_key after = { .n = 0 };
	int n, most = x->r->inv.via.n ? 1 : REMOVED_A_STEP;

	do
		n = suppression_page(reader, &after, str_mem(k->bytes, k->n), most, add_removal, x);
	while (n == REMOVED_A_STEP && !x->n);
	return n;
}

static void tell_removed(struct request *r)
{
	struct buf out;

	buf_init(&out);
	add_whom(r, &out);
	buf_addz(&out, " is taken off the suppression list");
	control_say(r->c, "%s: %s", r->who->text, buf_z(&out));
	buf_addc(&out, '\n');
	request_out(r, buf_str(&out));
	buf_free(&out);
	request_finish(r, EXIT_DONE);
}

static void tell_absent(struct request *r)
{
	struct buf whom;

	buf_init(&whom);
	add_whom(r, &whom);
	request_fail(r, EXIT_REFUSED, "%s is not on the suppression list", buf_z(&whom));
	buf_free(&whom);
}

static void remove_step(struct request *r, bool first);

static void on_removed(struct request *r, int exit, struct rstr *text)
{
	uint64_t done, already;

	if (exit != EXIT_DONE || !suppress_counts(text, &done, &already)) {
		refused(r, exit, text);
		return;
	}
	rstr_unref(text);
	if (done && !r->inv.via.n)
		remove_step(r, false);
	else
		tell_removed(r);
}

static void remove_step(struct request *r, bool first)
{
	struct removal x = { .r = r };
	struct suppression_reader *reader;
	struct suppression_key k;
	int n;

	if (!key_of(r, &k) || !(reader = suppress_reader(r)))
		return;
	buf_init(&x.rows);
	n = find_removals(&x, reader, &k);
	if (n >= 0 && x.n && !x.failed) {
		suppress_send(r, &x.rows, false, on_removed);
		return;
	}
	buf_free(&x.rows);
	if (n < 0)
		request_fail(r, EXIT_REFUSED, SUPPRESS_UNREADABLE);
	else if (x.failed)
		request_fail(r, EXIT_REFUSED, "no memory for this command");
	else if (first)
		tell_absent(r);
	else
		tell_removed(r);
}

void suppress_remove(struct request *r)
{
	remove_step(r, true);
}
