/* Queues, Sources, Overrides, Jobs, alarms: views that are one table. */
#include <stdio.h>

#include "tui/acts.h"
#include "tui/operator.h"

static void draw_with(struct view *v, struct canvas *c, struct area a, us_t now, const char *how)
{
	view_list_draw(v, c, a, now);
	table_draw_empty(view_list_table(v), c, a, how);
}

/* ---- Queues: sites ---- */

static void queues_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	draw_with(
	    v, c, a, now,
	    "No mail waits: a site appears here when mail for one of its domains is accepted.");
}

static void queues_enter(struct view *v)
{
	struct table *t;
	const struct row *r = act_row(v->op, &t);

	if (r)
		operator_push(v->op, view_site_new(v->op, r));
}

static const struct view_ops queues_ops = {
	.kind = IN_QUEUES,
	.name = "Queues",
	.free = view_list_free,
	.poll = view_list_poll,
	.answer = view_list_answer,
	.draw = queues_draw,
	.title = view_list_title,
	.move = view_list_move,
	.enter = queues_enter,
	.table = view_list_table,
	.filter = view_list_filter,
	.set_filter = view_list_set_filter,
	.export_rows = view_list_export,
};

struct view *view_queues_new(struct oper *op)
{
	return view_list_new(op, &queues_ops, LIST_SITES);
}

/* ---- Sources ---- */

static void sources_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	draw_with(v, c, a, now,
		  "No virtual MTA: [virtual-mta NAME] or [mta] smtp-source-host in the "
		  "configuration makes one.");
}

static void sources_enter(struct view *v)
{
	struct table *t;
	const struct row *r = act_row(v->op, &t);

	if (r)
		operator_push(v->op, view_source_new(v->op, r));
}

static const struct view_ops sources_ops = {
	.kind = IN_SOURCES,
	.name = "Sources",
	.free = view_list_free,
	.poll = view_list_poll,
	.answer = view_list_answer,
	.draw = sources_draw,
	.title = view_list_title,
	.move = view_list_move,
	.enter = sources_enter,
	.table = view_list_table,
	.filter = view_list_filter,
	.set_filter = view_list_set_filter,
	.export_rows = view_list_export,
};

struct view *view_sources_new(struct oper *op)
{
	return view_list_new(op, &sources_ops, LIST_SOURCES);
}

/* ---- one source: its lanes across receivers ---- */

static void source_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	draw_with(v, c, a, now,
		  "No lanes: one appears when this source opens a connection to a receiver.");
}

static const struct view_ops source_ops = {
	.kind = IN_SOURCE,
	.name = "Source",
	.free = view_list_free,
	.poll = view_list_poll,
	.answer = view_list_answer,
	.draw = source_draw,
	.title = view_list_title,
	.move = view_list_move,
	.table = view_list_table,
	.filter = view_list_filter,
	.set_filter = view_list_set_filter,
	.export_rows = view_list_export,
};

struct view *view_source_new(struct oper *op, const struct row *source)
{
	struct view *v = view_list_new(op, &source_ops, LIST_LANES);
	struct view_list *l = (struct view_list *)(void *)v;
	struct str name = rstr_str(source->name), ip = rstr_str(source->source.source_ip);

	if (!v)
		return NULL;
	l->table.vmta = source->id;
	snprintf(l->of, sizeof l->of, "%.*s %.*s", (int)name.n, name.p, (int)ip.n, ip.p);
	return v;
}

/* ---- Overrides ---- */

static void overrides_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	draw_with(v, c, a, now,
		  "Nothing was changed by hand: p, r and others make an override, which stands "
		  "here until it ends.");
}

static void overrides_enter(struct view *v)
{
	struct table *t = view_list_table(v);
	const struct row *r = table_row(t);
	struct buf b;

	if (!r)
		return;
	buf_init(&b);
	row_json(LIST_OVERRIDES, r, console_now(v->op->console), &b);
	operator_push(v->op, view_text_new(v->op, t->cursor_name, buf_str(&b)));
	buf_free(&b);
}

static const struct view_ops overrides_ops = {
	.kind = IN_OVERRIDES,
	.name = "Overrides",
	.free = view_list_free,
	.poll = view_list_poll,
	.answer = view_list_answer,
	.draw = overrides_draw,
	.title = view_list_title,
	.move = view_list_move,
	.enter = overrides_enter,
	.table = view_list_table,
	.filter = view_list_filter,
	.set_filter = view_list_set_filter,
	.export_rows = view_list_export,
};

struct view *view_overrides_new(struct oper *op)
{
	return view_list_new(op, &overrides_ops, LIST_OVERRIDES);
}

/* ---- Jobs ---- */

static void jobs_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	draw_with(v, c, a, now,
		  "No jobs: mail with an X-Job header, or else each source and sender domain, "
		  "makes one.");
}

static void jobs_enter(struct view *v)
{
	struct table *t;
	const struct row *r = act_row(v->op, &t);
	struct buf target;

	if (!r)
		return;
	buf_init(&target);
	target_of(LIST_JOBS, rstr_str(r->name), &target);
	operator_push(v->op, view_messages_new(v->op, buf_str(&target)));
	buf_free(&target);
}

static const struct view_ops jobs_ops = {
	.kind = IN_JOBS,
	.name = "Jobs",
	.free = view_list_free,
	.poll = view_list_poll,
	.answer = view_list_answer,
	.draw = jobs_draw,
	.title = view_list_title,
	.move = view_list_move,
	.enter = jobs_enter,
	.table = view_list_table,
	.filter = view_list_filter,
	.set_filter = view_list_set_filter,
	.export_rows = view_list_export,
};

struct view *view_jobs_new(struct oper *op)
{
	return view_list_new(op, &jobs_ops, LIST_JOBS);
}

/* ---- alarms ---- */

static void alarms_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	draw_with(v, c, a, now,
		  "No alarms: what needs a person stands here, the most harmful first.");
}

static const struct view_ops alarms_ops = {
	.kind = IN_ALARMS,
	.name = "Alarms",
	.free = view_list_free,
	.poll = view_list_poll,
	.answer = view_list_answer,
	.draw = alarms_draw,
	.title = view_list_title,
	.move = view_list_move,
	.table = view_list_table,
	.filter = view_list_filter,
	.set_filter = view_list_set_filter,
	.export_rows = view_list_export,
};

struct view *view_alarms_new(struct oper *op)
{
	return view_list_new(op, &alarms_ops, LIST_ALARMS);
}
