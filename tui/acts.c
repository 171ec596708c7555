/* Keys that act. What they hit is the cursor's row as the last frame showed it, by name; tagged
 * rows if there are any. */
#include "tui/acts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "tui/keymap.h"

enum { NAMES_SHOWN = 6 };

void quote_word(struct buf *out, struct str w)
{
	bool plain = w.n > 0;

	for (size_t i = 0; i < w.n; i++)
		if (w.p[i] == ' ' || w.p[i] == '\t' || w.p[i] == '"' || w.p[i] == '\\')
			plain = false;
	if (plain) {
		buf_adds(out, w);
		return;
	}
	buf_addc(out, '"');
	for (size_t i = 0; i < w.n; i++) {
		if (w.p[i] == '"' || w.p[i] == '\\')
			buf_addc(out, '\\');
		buf_addc(out, w.p[i]);
	}
	buf_addc(out, '"');
}

void target_of(enum list_id list, struct str name, struct buf *out)
{
	static const char *const prefix[LIST_COUNT] = {
		[LIST_QUEUES] = "",	  [LIST_SITES] = "@",	[LIST_LANES] = "",
		[LIST_SOURCES] = "vmta:", [LIST_JOBS] = "job:", [LIST_OVERRIDES] = "",
		[LIST_ALARMS] = "",	  [LIST_FEEDBACK] = "", [LIST_REPUTATION] = "",
	};
	struct buf b;

	buf_init(&b);
	buf_addz(&b, prefix[list]);
	buf_adds(&b, name);
	quote_word(out, buf_str(&b));
	buf_free(&b);
}

struct verb {
	enum list_id list;
	int which;
	const char *verb, *past;
	bool expires; /* it makes an override: expiry and reason */
};
static const struct verb verbs[] = {
	{ LIST_SOURCES, ACT_PAUSE, "disable", "disabled", true },
	{ LIST_SOURCES, ACT_RESUME, "enable", "enabled", false },
	{ LIST_OVERRIDES, ACT_RESUME, "end", "ended", false },
	{ LIST_COUNT, ACT_PAUSE, "pause", "paused", true },
	{ LIST_COUNT, ACT_RESUME, "resume", "resumed", false },
	{ LIST_COUNT, ACT_RETRY, "retry", "retried", false },
	{ LIST_COUNT, ACT_BACKOFF, "backoff", "in backoff", true },
	{ LIST_COUNT, ACT_NORMAL, "normal", "back to normal", false },
};

static const struct verb *verb_of(enum list_id list, int which)
{
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (verbs[i].which == which &&
		    (verbs[i].list == list || verbs[i].list == LIST_COUNT))
			return &verbs[i];
	return &verbs[3];
}

/* ---- which rows ---- */

const struct row *act_row(struct oper *op, struct table **table)
{
	struct view *v = operator_view(op);
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;
	us_t now = console_now(op->console);

	*table = t;
	if (!t) {
		operator_echo(op, STYLE_ERROR, "there is no row here to act on");
		return NULL;
	}
	if (t->gone) {
		operator_echo(op, STYLE_ERROR, "gone: %s is no longer there; nothing was done",
			      t->cursor_name);
		return NULL;
	}
	if (!table_row(t)) {
		operator_echo(op, STYLE_ERROR, "nothing stands under the cursor");
		return NULL;
	}
	if (!table_seen(t, now)) {
		operator_echo(
		    op, STYLE_ERROR,
		    "rows moved just now: %s came under the cursor; press it again if you mean it",
		    t->cursor_name);
		return NULL;
	}
	return table_row(t);
}

/* NULL: no row is tagged, the cursor's is meant. */
static struct table *tagged_table(struct oper *op)
{
	struct view *v = operator_view(op);
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;

	return t && t->ntags ? t : NULL;
}

/* An override is named by its number. */
static void row_target(const struct table *t, const struct row *r, struct buf *out)
{
	if (t->list == LIST_OVERRIDES)
		buf_addf(out, "%" PRIu64, r->override.number);
	else
		target_of(t->list, rstr_str(r->name), out);
}

void act_batch(struct oper *op, char **commands, int n)
{
	if (op->batch.n) {
		operator_echo(op, STYLE_ERROR, "the acts before this one are not done yet");
		for (int i = 0; i < n; i++)
			free(commands[i]);
		free(commands);
		return;
	}
	op->batch = (struct batch){ .commands = commands, .n = n, .next = 1 };
	operator_command(op, commands[0]);
}

static uint64_t recipients(const struct row *r)
{
	if (r->kind == ROW_SITE || r->kind == ROW_QUEUE)
		return r->queue.queued;
	return r->kind == ROW_JOB ? r->job.queued : 0;
}

static bool needs_box(const struct table *t, const struct row *r, int which)
{
	if (t->ntags || t->list == LIST_JOBS)
		return true;
	if (t->list == LIST_SOURCES && which == ACT_PAUSE)
		return true;
	if (which == ACT_RETRY)
		return recipients(r) > RISK_RETRY;
	return r->kind == ROW_SITE && r->site.domains > RISK_DOMAINS;
}

/* Names and recipients of the tagged rows; also of those that the filter hides. */
static void name_tagged(struct box *b, const struct table *t, const struct row *cursor)
{
	uint64_t sum = 0;
	int hidden = 0, i;
	char n[FMT_SIZE];

	if (cursor && !table_tagged(t, cursor->id))
		box_line(b, true, "The cursor's row, %s, is not among them.", t->cursor_name);
	for (int k = 0; k < t->ntags; k++) {
		struct buf target;
		buf_init(&target);
		target_of(t->list, str_of(t->tags[k].name), &target);
		box_target(b, buf_z(&target));
		buf_free(&target);
		if (table_find(t, t->tags[k].id, &i))
			sum += recipients(&t->page->rows[i]);
		else
			hidden++;
		if (k < NAMES_SHOWN)
			box_line(b, false, "  %s", t->tags[k].name);
	}
	if (t->ntags > NAMES_SHOWN)
		box_line(b, false, "  and %d more", t->ntags - NAMES_SHOWN);
	fmt_count((int64_t)sum, n);
	if (sum)
		box_line(b, false, "%s recipients", n);
	if (hidden)
		box_line(b, true,
			 "%d of them are not on this page (filter or scrolling hides them).",
			 hidden);
}

static void name_one(struct box *b, const struct table *t, const struct row *r)
{
	struct buf target;
	char n[FMT_SIZE];

	buf_init(&target);
	row_target(t, r, &target);
	box_target(b, buf_z(&target));
	fmt_count((int64_t)recipients(r), n);
	if (r->kind == ROW_SITE)
		box_line(b, false, "%u domains, %s recipients", r->site.domains, n);
	else if (r->kind == ROW_SOURCE)
		box_line(b, false, "%u connections, %u providers and sites",
			 r->source.t.connections, r->source.provider_count);
	else
		box_line(b, false, "%s recipients", n);
	buf_free(&target);
}

static void open_confirm(struct oper *op, struct table *t, const struct row *r,
			 const struct verb *v)
{
	bool forever = v->which == ACT_PAUSE && (t->list == LIST_SOURCES || t->list == LIST_JOBS);
	struct box *b;

	if (t->ntags)
		b = box_open(op, BOX_CONFIRM, "%s %d tagged", v->verb, t->ntags);
	else
		b = box_open(op, BOX_CONFIRM, "%s %s", v->verb, t->cursor_name);
	snprintf(b->verb, sizeof b->verb, "%s", v->verb);
	if (t->ntags)
		name_tagged(b, t, r);
	else
		name_one(b, t, r);
	if (v->expires) {
		box_field(b, "for",
			  forever		    ? "until ended; or 2h, 30m"
			  : v->which == ACT_BACKOFF ? "1h; or 30m, 1d, ever"
						    : "4h; or 30m, 1d, ever",
			  "");
		box_field(b, "because", "a reason for those who come after you", "");
	}
	if (t->list == LIST_SOURCES && v->which == ACT_PAUSE && !t->ntags)
		act_no_other_source(op, rstr_str(r->name));
}

void act_simple(struct oper *op, int which)
{
	struct table *t;
	const struct row *r;
	const struct verb *v;
	struct buf b;

	if (!operator_may_act(op))
		return;
	t = tagged_table(op);
	r = t ? table_row(t) : act_row(op, &t);
	if (!r && !(t && t->ntags))
		return;
	v = verb_of(t->list, which);
	if (t->list == LIST_OVERRIDES && r && (r->override.ended_at || r->override.act)) {
		operator_echo(op, STYLE_ERROR,
			      r->override.act ? "an act on record is not ended"
					      : "it has ended already");
		return;
	}
	if (needs_box(t, r, which)) {
		open_confirm(op, t, r, v);
		return;
	}
	buf_init(&b);
	buf_addf(&b, "%s ", v->verb);
	row_target(t, r, &b);
	operator_command(op, buf_z(&b));
	buf_free(&b);
}

/* ---- r ---- */

void act_rate(struct oper *op, int arg)
{
	struct table *t;
	const struct row *r;
	struct box *b;
	struct buf target;
	char now_text[FMT_SIZE];

	(void)arg;
	if (!operator_may_act(op) || !(r = act_row(op, &t)))
		return;
	if (t->ntags) {
		operator_echo(op, STYLE_ERROR, "r works on one row: U untags");
		return;
	}
	b = box_open(op, BOX_RATE, "rate and connections: %s", t->cursor_name);
	buf_init(&target);
	row_target(t, r, &target);
	box_target(b, buf_z(&target));
	buf_free(&target);
	b->lane = t->list == LIST_LANES;
	b->queued = (double)recipients(r);
	b->lanes = r->kind == ROW_SITE ? (int)r->site.lanes : 1;
	fmt_per_s(r->kind == ROW_SITE || r->kind == ROW_QUEUE ? (double)r->queue.t.rate
		  : r->kind == ROW_LANE			      ? (double)r->lane.t.rate
							      : (double)r->source.t.rate,
		  now_text);
	snprintf(b->rest, sizeof b->rest, "now %s/s", now_text);
	/* The newest override rules over an older one: only what is not an override stays. */
	if (r->why.limit > 0 && !str_istarts(rstr_str(r->why.origin), "override") &&
	    (r->why.code == WHY_RATE || r->why.code == WHY_WARM_UP || r->why.code == WHY_BACKOFF)) {
		b->limit = (double)r->why.limit;
		snprintf(b->limit_text, sizeof b->limit_text, "%s, %s", rstr_str(r->why.text).p,
			 rstr_str(r->why.origin).p);
	}
	box_line(b, false, "binds now: %s%s%s", rstr_str(r->why.text).p,
		 r->why.origin && r->why.origin->len ? ", by " : "", rstr_str(r->why.origin).p);
	box_field(b, "rate", "10/s, 600/min or 50/h", "");
	box_field(b, "connections", "unchanged", "");
	box_field(b, "for", "1h; or 30m, 1d, ever", "");
}

/* ---- u, = ---- */

static bool recent(struct oper *op)
{
	if (op->echo.own && op->echo.override && console_now(op->console) < op->echo.until)
		return true;
	operator_echo(op, STYLE_ERROR,
		      "no act of yours in the last 60 s; 6 shows all overrides, P ends one");
	return false;
}

void act_undo_key(struct oper *op, int arg)
{
	char line[64];

	(void)arg;
	if (!operator_may_act(op) || !recent(op))
		return;
	snprintf(line, sizeof line, "end %" PRIu64, op->echo.override);
	op->echo.override = 0; /* once */
	operator_command(op, line);
}

void act_amend(struct oper *op, int arg)
{
	struct box *b;

	(void)arg;
	if (!operator_may_act(op) || !recent(op))
		return;
	b = box_open(op, BOX_AMEND, "override %" PRIu64, op->echo.override);
	snprintf(b->rest, sizeof b->rest, "%" PRIu64, op->echo.override);
	box_line(b, false, "%s", op->echo.text);
	box_field(b, "for", "as it is; or 30m, 4h, ever", "");
	box_field(b, "because", "as it is", "");
}

/* ---- D, v ---- */

void act_remove(struct oper *op, int arg)
{
	struct table *t;
	const struct row *r;

	(void)arg;
	if (!operator_may_act(op) || !(r = act_row(op, &t)))
		return;
	if (op->role < ROLE_ADMIN) {
		operator_echo(op, STYLE_ERROR, "delete and bounce need the role admin");
		return;
	}
	if (t->ntags) {
		operator_echo(op, STYLE_ERROR, "D works on one row: U untags");
		return;
	}
	name_one(box_open(op, BOX_CHOICE, "delete or bounce %s", t->cursor_name), t, r);
	box_line(&op->box, false, "d  delete silently");
	box_line(&op->box, false, "b  bounce with a report to the senders");
}

void act_move(struct oper *op, int arg)
{
	struct table *t;
	const struct row *r;
	struct box *b;

	(void)arg;
	if (!operator_may_act(op) || !(r = act_row(op, &t)))
		return;
	if (op->role < ROLE_ADMIN || t->ntags) {
		operator_echo(op, STYLE_ERROR,
			      t->ntags ? "v works on one row: U untags"
				       : "move needs the role admin");
		return;
	}
	b = box_open(op, BOX_ROUTE, "move what is queued: %s", t->cursor_name);
	name_one(b, t, r);
	box_field(b, "to", "a virtual MTA or pool", "");
	box_field(b, "share", "all; or 50%", "");
}

/* Routes that lead to this source alone, from the running configuration; then their queues are
 * counted. */
void act_no_other_source(struct oper *op, struct str vmta)
{
	const struct conf *c = op->console->conf;
	struct link_request *r;
	struct buf filter;

	if (!c)
		return;
	buf_init(&filter);
	buf_addz(&filter, "route:/^(");
	buf_adds(&filter, vmta);
	for (int i = 0; i < c->npools; i++)
		if (c->pools[i].nmembers == 1 &&
		    str_ieqz(vmta, c->vmtas[c->pools[i].members[0].vmta].name))
			buf_addf(&filter, "|%s", c->pools[i].name);
	buf_addz(&filter, ")$/");
	r = link_request_make(LINK_QUERY, buf_str(&filter));
	buf_free(&filter);
	if (!r)
		return;
	r->q.list = LIST_QUEUES;
	r->q.limit = 1;
	r->sort = rstr_new(STR_LIT(""));
	operator_ask(op, r, 0, ASK_BOX);
}
