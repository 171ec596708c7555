/* What all views share: questions, and the parts of views that are a table. */
#include "tui/view.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/jsonw.h"
#include "tui/operator.h"

#define ANSWER_LATE_US (10 * US_PER_S)

void view_free(struct view *v)
{
	if (v)
		v->ops->free(v);
}

void view_ask(struct view *v, struct link_request *r, int tag)
{
	if (!r)
		return;
	v->waiting_since = console_now(v->op->console);
	operator_ask(v->op, r, v->serial, tag);
}

bool view_idle(const struct view *v, us_t now)
{
	return !v->waiting_since || now - v->waiting_since > ANSWER_LATE_US;
}

/* ---- tables ---- */

void table_title(const struct table *t, struct segs *s, us_t now)
{
	const struct field *f =
	    field_find(t->list, str_of(t->sort[0] == '-' ? t->sort + 1 : t->sort));
	const char *sort =
	    f ? (f->heading ? f->heading : f->json) : list_def(t->list)->default_sort;

	segs_right(s, STYLE_DIM, 6, "sort");
	segs_right(s, STYLE_SORTED, 6, "%s%s", sort, t->sort[0] == '-' ? " inverted" : "");
	if (t->filter[0]) {
		segs_right(s, STYLE_DIM, 0, "filter");
		segs_right(s, STYLE_STRONG, 0, "%s", t->filter);
	}
	if (t->ntags)
		segs_right(s, STYLE_BACK, 0, "tagged %d", t->ntags);
	if (t->moved && table_held(t, now))
		segs_right(s, STYLE_DIM, 5, "order held 3s");
	else
		segs_right(s, STYLE_DIM, 8, "live");
}

/* Plain words over as many lines as they need. */
static void draw_sentence(struct canvas *c, struct area a, const char *text)
{
	for (int y = a.y; *text && y < a.y + a.h; y++) {
		size_t n = strlen(text), w = (size_t)(a.w > 1 ? a.w : 1);

		if (n > w && y + 1 < a.y + a.h) {
			const char *blank = memrchr(text, ' ', w + 1);

			n = blank ? (size_t)(blank - text) : w;
		}
		canvas_text(c, y, a.x, a.w, STYLE_DIM, str_mem(text, n));
		text += n + strspn(text + n, " ");
	}
}

void table_draw_empty(const struct table *t, struct canvas *c, struct area a, const char *how)
{
	int y = a.y + (a.h > 3 ? 2 : 1);

	if (a.h < 2 || (t->page && t->page->nrows) || t->gone)
		return;
	if (t->page && t->page->error[0])
		canvas_z(c, y, a.x + 2, a.w - 4, STYLE_ERROR, t->page->error);
	else if (!t->page)
		canvas_z(c, y, a.x + 2, a.w - 4, STYLE_DIM, "asking ...");
	else if (t->filter[0])
		canvas_fmt(c, y, a.x + 2, a.w - 4, STYLE_DIM,
			   "None of %lld match this filter; Esc takes it off.",
			   (long long)t->page->all);
	else
		draw_sentence(c, (struct area){ y, a.x + 2, a.y + a.h - y, a.w - 4 }, how);
}

void table_move_by(struct table *t, enum move m, int n, us_t now)
{
	int page = t->visible > 1 ? t->visible - 1 : 1;

	switch (m) {
	case MOVE_LINES:
		table_move(t, n, now);
		return;
	case MOVE_PAGES:
		table_move(t, n * page, now);
		return;
	case MOVE_HALVES:
		table_move(t, n * (page + 1) / 2, now);
		return;
	case MOVE_HOME:
		table_home(t, now);
		return;
	case MOVE_END:
		table_end(t, now);
		return;
	}
}

static struct view_list *list_of(struct view *v)
{
	return (struct view_list *)(void *)v;
}

struct view *view_list_new(struct oper *op, const struct view_ops *ops, enum list_id list)
{
	struct view_list *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->view = (struct view){ .ops = ops, .op = op, .serial = ++op->next_serial };
	table_init_view(&l->table, list);
	return &l->view;
}

void view_list_free(struct view *v)
{
	table_free_view(&list_of(v)->table);
	free(v);
}

void view_list_poll(struct view *v, us_t now)
{
	struct link_request *r = view_idle(v, now) ? calloc(1, sizeof *r) : NULL;

	if (!r)
		return;
	table_ask(&list_of(v)->table, r);
	view_ask(v, r, 0);
}

void view_list_answer(struct view *v, struct link_answer *a, int tag)
{
	struct view_list *l = list_of(v);

	(void)tag;
	if (!a->page)
		return;
	table_answer(&l->table, a->page);
	a->page = NULL;
}

/* What the filter shows below: "18,211 more, 9.8k recipients". */
static void draw_rest(const struct table *t, struct canvas *c, struct area a)
{
	int shown = t->top + t->visible;
	char n[FMT_SIZE];

	if (!t->page || t->page->total <= shown || a.h < 4)
		return;
	fmt_count(t->page->total - shown, n);
	canvas_fill(c, (struct area){ a.y + a.h - 1, a.x, 1, a.w }, STYLE_TEXT);
	canvas_fmt(c, a.y + a.h - 1, a.x + 2, a.w - 4, STYLE_DIM, "(%s more below; / to filter)",
		   n);
}

/* Queues shows sites; mail whose receiver the DNS has not told stands in none of them. */
static bool draw_no_site(struct view *v, struct canvas *c, struct area a)
{
	uint64_t n = v->op->console->header.totals.no_site;
	char count[FMT_SIZE];

	if (!n || list_of(v)->table.list != LIST_SITES || a.h < 4)
		return false;
	fmt_count((int64_t)n, count);
	canvas_fill(c, (struct area){ a.y + a.h - 1, a.x, 1, a.w }, STYLE_TEXT);
	canvas_fmt(c, a.y + a.h - 1, a.x + 2, a.w - 4, STYLE_ERROR,
		   "%s recipient%s wait for the DNS, in no site yet   :queues --filter dns", count,
		   n == 1 ? "" : "s");
	return true;
}

void view_list_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	struct view_list *l = list_of(v);
	struct table *t = &l->table;
	bool more;

	a.h -= draw_no_site(v, c, a);
	more = t->page && a.h > 6 && t->page->total > a.h - 1;

	table_draw(t, c, (struct area){ a.y, a.x, a.h - more, a.w }, now, v->op->tz, true);
	if (more)
		draw_rest(t, c, a);
}

void view_list_title(struct view *v, struct segs *s, us_t now)
{
	struct view_list *l = list_of(v);

	segs_add(s, STYLE_DIM, 7, ">");
	segs_add(s, STYLE_TEXT, 7, "%s",
		 l->of[0]	      ? l->of
		 : l->table.filter[0] ? "filtered"
				      : "all");
	table_title(&l->table, s, now);
}

void view_list_move(struct view *v, enum move m, int n, us_t now)
{
	table_move_by(&list_of(v)->table, m, n, now);
}

struct table *view_list_table(struct view *v)
{
	return &list_of(v)->table;
}

const char *view_list_filter(struct view *v)
{
	return list_of(v)->table.filter;
}

bool view_list_set_filter(struct view *v, struct str text)
{
	table_set_filter(&list_of(v)->table, text);
	v->waiting_since = 0; /* the answer that is out is for another filter */
	return true;
}

static void csv_cell(struct buf *out, struct str s)
{
	buf_addc(out, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			buf_addc(out, '"');
		buf_addc(out, s.p[i]);
	}
	buf_addc(out, '"');
}

static void export_csv(const struct page *p, us_t now, struct buf *out)
{
	const struct list_def *d = list_def(p->list);
	struct buf cell;

	buf_init(&cell);
	for (int r = -1; r < p->nrows; r++)
		for (int i = 0; i < d->nfields; i++) {
			struct value v = { .type = V_NONE };
			if (!d->fields[i].in_json)
				continue;
			buf_clear(&cell);
			if (r < 0)
				buf_addz(&cell, d->fields[i].json);
			else
				d->fields[i].get(&p->rows[r], now, &v);
			if (r >= 0 && v.type != V_NONE)
				value_text(&v, now, &cell);
			if (i)
				buf_addc(out, ',');
			csv_cell(out, buf_str(&cell));
			if (i + 1 == d->nfields)
				buf_addz(out, "\r\n");
		}
	buf_free(&cell);
}

void page_export(const struct page *p, bool json, struct buf *out)
{
	if (json)
		page_json(p, p->at, out);
	else
		export_csv(p, p->at, out);
}

void view_list_export(struct view *v, bool json, struct buf *out)
{
	const struct page *p = list_of(v)->table.page;

	if (p)
		page_export(p, json, out);
}
