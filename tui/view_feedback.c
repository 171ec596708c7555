/* Feedback: what receivers say of our mail. Panes: bounces by receiver and category, with
 * complaints; rates of receivers, virtual MTAs and jobs. Enter shows the replies behind a number.
 * Below them, where there is room, the addresses suppressed last, from the log. */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"
#include "tui/acts.h"
#include "tui/operator.h"
#include "tui/text_pane.h"

enum { PANE_FEEDBACK, PANE_RATES, PANES };
/* From so many lines on the panes share the screen. */
enum { SMALL = 14, PANE_LEAST = 4 };
#define LATE_US (10 * US_PER_S)
/* The newest suppressions: a title and so many lines, from a height on. A look goes back through
 * the whole ring where there are few, hence not every second. */
enum { NEWEST = 3, ROOM_FOR_NEWEST = 20, ASK_NEWEST = PANES };
#define NEWEST_EVERY_US (5 * US_PER_S)

struct view_feedback {
	struct view view;
	struct table tables[PANES];
	int pane;
	us_t waiting[PANES];
	struct text_pane newest;
	us_t newest_at; /* asked for; 0: not yet */
};
static const char *const pane_names[PANES] = { "BOUNCES AND COMPLAINTS", "RATES" };
static const char *const pane_empty[PANES] = {
	"No bounce and no complaint in a day: a row appears with the first of a receiver and kind.",
	"Nothing was delivered or bounced in a day: rates appear with the first mail.",
};

static struct view_feedback *feedback_of(struct view *v)
{
	return (struct view_feedback *)(void *)v;
}

static void feedback_free(struct view *v)
{
	struct view_feedback *f = feedback_of(v);

	for (int i = 0; i < PANES; i++)
		table_free_view(&f->tables[i]);
	text_pane_free(&f->newest);
	free(f);
}

static void ask_newest(struct view_feedback *f, us_t now)
{
	struct link_request *r;

	if (f->newest_at && now - f->newest_at < NEWEST_EVERY_US)
		return;
	r = link_request_make(LINK_LOG, STR_LIT("type:suppressed"));
	if (!r)
		return;
	r->backwards = true;
	r->n = NEWEST;
	f->newest_at = now;
	view_ask(&f->view, r, ASK_NEWEST);
}

static void feedback_poll(struct view *v, us_t now)
{
	struct view_feedback *f = feedback_of(v);

	for (int i = 0; i < PANES; i++) {
		bool due = !f->waiting[i] || now - f->waiting[i] > LATE_US;
		struct link_request *r = due ? calloc(1, sizeof *r) : NULL;

		if (!r)
			continue;
		f->waiting[i] = now;
		table_ask(&f->tables[i], r);
		view_ask(v, r, i);
	}
	ask_newest(f, now);
}

static void feedback_answer(struct view *v, struct link_answer *a, int tag)
{
	struct view_feedback *f = feedback_of(v);

	if (tag == ASK_NEWEST)
		text_pane_events(&f->newest, a, v->op->tz);
	if (tag >= PANES || !a->page)
		return;
	f->waiting[tag] = 0;
	table_answer(&f->tables[tag], a->page);
	a->page = NULL;
}

/* ---- drawing ---- */

static int64_t rows_of(const struct view_feedback *f, int p)
{
	return f->tables[p].page ? f->tables[p].page->total : 0;
}

static void draw_names(const struct view_feedback *f, struct canvas *c, struct area line, int only)
{
	struct segs tabs;

	segs_start(&tabs);
	for (int p = 0; p < PANES; p++) {
		bool on = p == f->pane;

		if (only >= 0 && p != only)
			continue;
		segs_add(&tabs, on ? STYLE_PANE_ON : STYLE_PANE, on ? 0 : p + 1, "%s",
			 pane_names[p]);
		segs_glue(&tabs, STYLE_DIM, on ? 0 : p + 1, " %lld", (long long)rows_of(f, p));
	}
	if (only != f->pane)
		segs_right(&tabs, STYLE_DIM, 9, "Tab");
	segs_draw(&tabs, c, line.y, line.x + 1, line.w - 2, 2);
}

static void draw_table(struct view_feedback *f, int p, struct canvas *c, struct area a, us_t now)
{
	if (rows_of(f, p) || f->tables[p].gone)
		table_draw(&f->tables[p], c, a, now, f->view.op->tz, p == f->pane);
	else
		table_draw_empty(&f->tables[p], c, (struct area){ a.y - 1, a.x, a.h + 1, a.w },
				 pane_empty[p]);
}

/* The pane with the keys gets what it needs, the other at least a few lines. */
static int height_of_first(const struct view_feedback *f, int all)
{
	int64_t wish[PANES];
	int most = all - PANE_LEAST, first;

	for (int p = 0; p < PANES; p++)
		wish[p] = rows_of(f, p) ? rows_of(f, p) + 2 : PANE_LEAST;
	if (wish[0] + wish[1] <= all)
		return (int)wish[0];
	first = f->pane == 0 || wish[1] > most ? most : all - (int)wish[1];
	if (f->pane != 0 && wish[1] > most)
		first = PANE_LEAST;
	if (f->pane == 0 && wish[0] < most)
		first = (int)wish[0];
	return first < PANE_LEAST ? PANE_LEAST : first;
}

/* At the bottom; what is left for the panes. */
static int draw_newest(const struct view_feedback *f, struct canvas *c, struct area a)
{
	int n = f->newest.n < NEWEST ? f->newest.n : NEWEST, y = a.y + a.h - n;

	if (!n || a.h < ROOM_FOR_NEWEST)
		return a.h;
	canvas_z(c, y - 1, a.x + 1, a.w - 2, STYLE_PANE, "NEWEST SUPPRESSIONS");
	for (int i = 0; i < n; i++)
		canvas_z(c, y + i, a.x + 2, a.w - 3, STYLE_TEXT, f->newest.lines[i]);
	return a.h - n - 1;
}

static void feedback_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	struct view_feedback *f = feedback_of(v);
	int first;

	for (int i = 0; i < PANES; i++)
		table_adopt(&f->tables[i], now);
	if (a.h < SMALL) {
		draw_names(f, c, (struct area){ a.y, a.x, 1, a.w }, -1);
		draw_table(f, f->pane, c, (struct area){ a.y + 1, a.x, a.h - 1, a.w }, now);
		return;
	}
	a.h = draw_newest(f, c, a);
	first = height_of_first(f, a.h);
	draw_names(f, c, (struct area){ a.y, a.x, 1, a.w }, 0);
	draw_table(f, 0, c, (struct area){ a.y + 1, a.x, first - 1, a.w }, now);
	draw_names(f, c, (struct area){ a.y + first, a.x, 1, a.w }, 1);
	draw_table(f, 1, c, (struct area){ a.y + first + 1, a.x, a.h - first - 1, a.w }, now);
}

static void feedback_title(struct view *v, struct segs *s, us_t now)
{
	struct view_feedback *f = feedback_of(v);

	segs_add(s, STYLE_DIM, 7, ">");
	segs_add(s, STYLE_TEXT, 7, "%s",
		 f->tables[f->pane].filter[0] ? "filtered" : "hour and day");
	table_title(&f->tables[f->pane], s, now);
}

/* ---- keys ---- */

static struct table *feedback_table(struct view *v)
{
	return &feedback_of(v)->tables[feedback_of(v)->pane];
}

static void feedback_move(struct view *v, enum move m, int n, us_t now)
{
	table_move_by(feedback_table(v), m, n, now);
}

static void feedback_tab(struct view *v, int direction)
{
	struct view_feedback *f = feedback_of(v);

	table_untag(&f->tables[f->pane]);
	f->pane = (f->pane + direction + PANES) % PANES;
}

static void replies_text(struct view *v, const struct row *r, us_t now, struct buf *out)
{
	const struct row_feedback *x = &r->feedback;
	struct str rest = rstr_str(x->replies), line;

	buf_addf(out,
		 "provider   %s\ncategory   %s\nrecipients %llu in the last hour, %llu in a day, "
		 "%llu since the first\nlast       ",
		 rstr_str(x->provider).p, rstr_str(x->category).p, (unsigned long long)x->hour,
		 (unsigned long long)x->day, (unsigned long long)x->total);
	tz_minute(v->op->tz, x->last_at, now, out);
	buf_addz(out, "\n\nREPLIES since the start, numbers and addresses aside\n");
	if (!rest.n)
		buf_addz(out, "  none since the start\n");
	while (rest.n && str_split(&rest, '\n', &line)) {
		buf_addz(out, "  ");
		clean_add(out, line, false);
		buf_addc(out, '\n');
	}
}

static void feedback_enter(struct view *v)
{
	struct view_feedback *f = feedback_of(v);
	us_t now = console_now(v->op->console);
	struct table *t;
	const struct row *r = act_row(v->op, &t);
	struct buf b;

	if (!r)
		return;
	buf_init(&b);
	if (f->pane == PANE_FEEDBACK)
		replies_text(v, r, now, &b);
	else
		row_json(LIST_REPUTATION, r, now, &b);
	operator_push(v->op, view_text_new(v->op, t->cursor_name, buf_str(&b)));
	buf_free(&b);
}

static const char *feedback_filter(struct view *v)
{
	return feedback_table(v)->filter;
}

static bool feedback_set_filter(struct view *v, struct str what)
{
	struct view_feedback *f = feedback_of(v);

	table_set_filter(feedback_table(v), what);
	f->waiting[f->pane] = 0;
	return true;
}

static void feedback_export(struct view *v, bool json, struct buf *out)
{
	const struct page *p = feedback_table(v)->page;

	if (p)
		page_export(p, json, out);
}

static const struct view_ops feedback_ops = {
	.kind = IN_FEEDBACK,
	.name = "Feedback",
	.free = feedback_free,
	.poll = feedback_poll,
	.answer = feedback_answer,
	.draw = feedback_draw,
	.title = feedback_title,
	.move = feedback_move,
	.enter = feedback_enter,
	.tab = feedback_tab,
	.table = feedback_table,
	.filter = feedback_filter,
	.set_filter = feedback_set_filter,
	.export_rows = feedback_export,
};

struct view *view_feedback_new(struct oper *op)
{
	struct view_feedback *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->view = (struct view){ .ops = &feedback_ops, .op = op, .serial = ++op->next_serial };
	table_init_view(&f->tables[PANE_FEEDBACK], LIST_FEEDBACK);
	table_init_view(&f->tables[PANE_RATES], LIST_REPUTATION);
	return &f->view;
}
