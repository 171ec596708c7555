/* Commands that change something. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"
#include "core/control/private.h"
#include "core/control/text.h"

static void send_sched(struct request *r,
		       void (*on_reply)(struct request *r, const struct sched_reply *reply))
{
	struct sched_cmd *s = &r->inv.sched;

	s->id = r->id;
	s->who = rstr_str(r->who);
	s->session = rstr_str(r->session);
	request_wait_reply(r, on_reply);
	r->c->env.sched_command(r->c->env.arg, s);
}

/* The scheduler's own words; a target that fits nothing gets the names near to it. */
static void refused(struct request *r, const struct sched_reply *reply)
{
	struct buf text;

	buf_init(&text);
	buf_adds(&text, text_chomp(rstr_str(reply->text)));
	if (r->inv.has_target && !strstr(buf_z(&text), "; nearest: "))
		names_near(r->c->mirror, &r->inv.sched.target, &text);
	request_fail(r, reply->exit, "%s", buf_z(&text));
	buf_free(&text);
}

static void on_done(struct request *r, const struct sched_reply *reply)
{
	struct buf text;

	if (reply->exit != EXIT_DONE) {
		refused(r, reply);
		return;
	}
	buf_init(&text);
	clean_add(&text, text_chomp(rstr_str(reply->text)), false);
	buf_addc(&text, '\n');
	request_out(r, buf_str(&text));
	buf_free(&text);
	request_finish(r, EXIT_DONE);
}

static void do_sched(struct request *r)
{
	send_sched(r, on_done);
}

void act_sched(struct request *r)
{
	if (!risk_asks(r, do_sched))
		do_sched(r);
}

/* ---- move, bounce, delete: count, ask, do ---- */

static void do_counted(struct request *r)
{
	r->inv.sched.dry_run = false;
	send_sched(r, on_done);
}

static void ask_counted(struct request *r, uint64_t count)
{
	static const char *const what[] = { "move", "bounce", "delete" };
	enum sched_cmd_type type = r->inv.sched.type;
	struct buf text;
	char word[24];

	snprintf(word, sizeof word, "%llu", (unsigned long long)count);
	buf_init(&text);
	buf_addf(&text, "%s %s recipient%s of ",
		 what[type == CMD_MOVE	   ? 0
		      : type == CMD_BOUNCE ? 1
					   : 2],
		 word, count == 1 ? "" : "s");
	clean_add(&text, r->inv.arg, false);
	buf_addz(&text, "; this can't be undone");
	if (!r->tty)
		request_fail(r, EXIT_REFUSED, "%s: add --yes", buf_z(&text));
	else
		request_ask(r, (int64_t)count, str_of(word), buf_str(&text), do_counted);
	buf_free(&text);
}

static void on_counted(struct request *r, const struct sched_reply *reply)
{
	if (reply->exit != EXIT_DONE) {
		refused(r, reply);
		return;
	}
	if (r->inv.dry_run) {
		on_done(r, reply);
		return;
	}
	r->inv.sched.expect = (int64_t)reply->done;
	if (r->inv.yes || !reply->done)
		do_counted(r);
	else
		ask_counted(r, reply->done);
}

void act_irreversible(struct request *r)
{
	struct sched_cmd *s = &r->inv.sched;

	/* What is counted and what is taken is what was there when the operator looked. */
	if (!s->shown_at)
		s->shown_at = control_now(r->c);
	if (r->inv.yes && s->expect >= 0 && !r->inv.dry_run) {
		do_counted(r);
		return;
	}
	s->dry_run = true;
	send_sched(r, on_counted);
}

/* ---- undo ---- */

static const struct row *own_last(struct request *r)
{
	const struct row *row, *last = NULL;
	size_t pos = 0;

	while ((row = mirror_next(r->c->mirror, ROW_OVERRIDE, &pos)) != NULL) {
		const struct row_override *o = &row->override;

		if (!o->act && !o->ended_at && str_eq(rstr_str(o->who), rstr_str(r->who)) &&
		    (!last || o->number > last->override.number))
			last = row;
	}
	return last;
}

void act_undo(struct request *r)
{
	bool ask = r->tty && !r->inv.yes && !r->own_session;
	const struct row *last = ask ? own_last(r) : NULL;
	struct buf text;

	if (!last) {
		act_sched(r);
		return;
	}
	/* Shown, then exactly this one is ended, whatever came meanwhile. */
	r->inv.sched.type = CMD_END;
	r->inv.sched.number = last->override.number;
	buf_init(&text);
	buf_addf(&text, "end override %llu: ", (unsigned long long)last->override.number);
	clean_add(&text, rstr_str(last->override.what), false);
	buf_addc(&text, ' ');
	clean_add(&text, rstr_str(last->override.target), false);
	request_ask(r, -1, STR_LIT("yes"), buf_str(&text), act_sched);
	buf_free(&text);
}

/* ---- control's own ---- */

void act_ack(struct request *r)
{
	struct errbuf e = { "" };

	if (!alarms_ack(r->c, r->inv.number, rstr_str(r->who), r->inv.sched.reason, &e)) {
		request_fail(r, EXIT_REFUSED, "%s", e.text);
		return;
	}
	request_outf(r, "alarm %llu is acknowledged\n", (unsigned long long)r->inv.number);
	control_say(r->c, "%s acknowledged alarm %llu", r->who->text,
		    (unsigned long long)r->inv.number);
	request_finish(r, EXIT_DONE);
}

void act_rotate(struct request *r)
{
	r->c->env.rotate(r->c->env.arg);
	control_say(r->c, "%s started new log files", r->who->text);
	request_outf(r, "new log files are started\n");
	request_finish(r, EXIT_DONE);
}

static void do_shutdown(struct request *r)
{
	control_say(r->c, "%s shuts down", r->who->text);
	request_outf(r, "stopping: what is in flight is finished first\n");
	r->c->env.shutdown(r->c->env.arg, rstr_str(r->who));
	request_finish(r, EXIT_DONE);
}

void act_shutdown(struct request *r)
{
	struct str host = str_of(r->c->conf->mta.hostname);

	if (r->inv.yes)
		do_shutdown(r);
	else if (!r->tty)
		request_fail(r, EXIT_REFUSED, "shutdown: add --yes");
	else
		request_ask(r, -1, host, STR_LIT("stop this mail server"), do_shutdown);
}

/* ---- reload ---- */

/* What differs may be 10,000 lines: they are cleaned and sent in steps, as no pass may be long. */
enum { RELOAD_STEP = 16 * 1024 };
struct reloaded {
	struct rstr *text;
	size_t at;
	int exit;
};

static void reloaded_free(void *state)
{
	struct reloaded *k = state;

	rstr_unref(k->text);
	free(k);
}

static enum pump_result pump_reloaded(struct request *r)
{
	struct reloaded *k = r->state;
	struct str rest = rstr_str(k->text), step;
	struct buf clean;
	const char *end;
	int exit = k->exit;

	rest.p += k->at;
	rest.n -= k->at;
	step = rest;
	if (rest.n > RELOAD_STEP) { /* whole lines */
		end = memchr(rest.p + RELOAD_STEP, '\n', rest.n - RELOAD_STEP);
		step.n = end ? (size_t)(end - rest.p) + 1 : rest.n;
	}
	k->at += step.n;
	buf_init(&clean);
	clean_lines(step, &clean);
	request_out(r, buf_str(&clean));
	buf_free(&clean);
	if (step.n < rest.n)
		return PUMP_MORE;
	if (exit == EXIT_DONE)
		request_finish(r, exit);
	else
		request_fail(r, exit, "nothing was changed");
	return PUMP_DONE;
}

static void on_reloaded(struct request *r, int exit, struct rstr *text)
{
	struct reloaded *k = calloc(1, sizeof *k);

	if (!k) {
		rstr_unref(text);
		request_fail(r, EXIT_REFUSED, "no memory for the answer");
		return;
	}
	*k = (struct reloaded){ text, 0, exit };
	request_stream(r, pump_reloaded, k, reloaded_free);
}

void act_reload(struct request *r)
{
	request_wait_text(r, on_reloaded);
	r->c->env.reload(r->c->env.arg, r->id, r->inv.dry_run, r->inv.number, rstr_str(r->who));
}
