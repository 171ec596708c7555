/* Commands that show one thing, whose facts another thread has. */
#include "core/base/clean.h"
#include "core/control/private.h"
#include "core/control/text.h"

/* What another thread refuses, in its words. */
static void refused(struct request *r, int exit, struct rstr *text)
{
	struct str words = rstr_str(text);

	request_fail(r, exit, "%.*s", (int)words.n, words.p);
	rstr_unref(text);
}

/* JSON as it is, or for the eye. A refusal can be JSON, too: what the DNS said of a domain that
 * can't be mailed. */
static void on_json(struct request *r, int exit, struct rstr *text)
{
	struct buf out;

	if (exit != EXIT_DONE && !(text && text->len && text->text[0] == '{')) {
		refused(r, exit, text);
		return;
	}
	buf_init(&out);
	if (r->inv.json || !json_text(rstr_str(text), r->columns, &out)) {
		buf_adds(&out, rstr_str(text));
		buf_addc(&out, '\n');
	}
	rstr_unref(text);
	text = rstr_new(buf_str(&out));
	buf_free(&out);
	if (text)
		request_stream_text(r, exit, text);
	else
		request_fail(r, EXIT_REFUSED, "no memory for the answer");
}

static void on_detail(struct request *r, int exit, struct rstr *text)
{
	struct buf words;

	if (exit == EXIT_DONE) {
		on_json(r, exit, text);
		return;
	}
	buf_init(&words);
	buf_adds(&words, text_chomp(rstr_str(text)));
	names_near(r->c->mirror, &r->inv.sched.target, &words);
	request_fail(r, exit, "%s", buf_z(&words));
	buf_free(&words);
	rstr_unref(text);
}

void show_detail(struct request *r)
{
	request_wait_text(r, on_detail);
	r->c->env.sched_detail(r->c->env.arg, r->id, &r->inv.sched.target);
}

/* The message as it goes on the wire: bytes for a file or another program, not for a terminal. */
static void on_raw(struct request *r, int exit, struct rstr *text)
{
	struct buf clean;

	if (exit != EXIT_DONE) {
		refused(r, exit, text);
		return;
	}
	if (r->tty) {
		buf_init(&clean);
		clean_lines(rstr_str(text), &clean);
		rstr_unref(text);
		text = rstr_new(buf_str(&clean));
		buf_free(&clean);
	}
	if (text)
		request_stream_text(r, EXIT_DONE, text);
	else
		request_fail(r, EXIT_REFUSED, "no memory for the message");
}

void show_message(struct request *r)
{
	request_wait_text(r, r->inv.raw ? on_raw : on_json);
	r->c->env.message(r->c->env.arg, r->id, r->inv.number, r->inv.raw);
}

static void on_settings(struct request *r, int exit, struct rstr *text)
{
	struct buf clean;

	if (exit != EXIT_DONE || r->inv.json) {
		r->inv.json = true; /* finished as it is */
		on_json(r, exit, text);
		return;
	}
	buf_init(&clean);
	clean_lines(rstr_str(text), &clean);
	rstr_unref(text);
	request_out(r, buf_str(&clean));
	buf_free(&clean);
	request_finish(r, EXIT_DONE);
}

void show_settings(struct request *r)
{
	request_wait_text(r, on_settings);
	r->c->env.settings(r->c->env.arg, r->id, r->inv.arg, r->inv.via, r->inv.json);
}

void show_resolve(struct request *r)
{
	request_wait_text(r, on_json);
	r->c->env.resolve(r->c->env.arg, r->id, r->inv.arg);
}
