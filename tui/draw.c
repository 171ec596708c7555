/* A frame: header, title, the view, echo or prompt, key bar; a box over all. */
#include <stdio.h>

#include "tui/keymap.h"
#include "tui/operator.h"
#include "tui/text_pane.h"

enum { COMPACT_ROWS = 8, COMPACT_COLS = 40, BAR_ROWS = 10 };

static void draw_title(struct oper *op, struct canvas *c, int y, us_t now)
{
	struct view *v = operator_view(op);
	struct segs s;

	segs_start(&s);
	segs_add(&s, STYLE_TITLE, 0, "%s",
		 op->depth_n > 1 ? op->stack[0]->ops->name : v->ops->name);
	v->ops->title(v, &s, now);
	if (op->frozen)
		segs_right(&s, STYLE_BACK, 0, "FROZEN, Z goes on");
	segs_draw(&s, c, y, 1, c->cols - 2, 1);
}

/* What the row has to say that its columns have no room for. */
static void add_row_words(struct segs *s, const struct row *r, const struct tz *tz, us_t now)
{
	const struct rstr *words[ROW_KINDS] = {
		[ROW_QUEUE] = r->kind == ROW_QUEUE ? r->queue.last_reply : NULL,
		[ROW_SITE] = r->kind == ROW_SITE ? r->site.last_reply : NULL,
		[ROW_LANE] = r->kind == ROW_LANE ? r->lane.last_reply : NULL,
		[ROW_SOURCE] = r->kind == ROW_SOURCE ? r->source.last_reply : NULL,
		[ROW_OVERRIDE] = r->kind == ROW_OVERRIDE ? r->override.reason : NULL,
		[ROW_ALARM] = r->kind == ROW_ALARM ? r->alarm.text : NULL,
		[ROW_FEEDBACK] = r->kind == ROW_FEEDBACK ? r->feedback.replies : NULL,
	};
	const struct rstr *w = words[r->kind];

	if (r->kind == ROW_OVERRIDE && r->override.ended_at) {
		struct buf at;
		buf_init(&at);
		tz_minute(tz, r->override.ended_at, now, &at);
		segs_add(s, STYLE_DIM, 0, "%s ended %s%s%s", rstr_str(r->name).p, buf_z(&at),
			 r->override.ended_by ? " by " : "", rstr_str(r->override.ended_by).p);
		buf_free(&at);
	}
	if (w && w->len) {
		segs_add(s, STYLE_DIM, 0, r->kind == ROW_OVERRIDE ? "%s because" : "%s",
			 rstr_str(r->name).p);
		segs_add(s, STYLE_TEXT, 0, "%s", w->text);
	} else if (r->why.text && r->why.text->len) {
		segs_add(s, STYLE_DIM, 0, "%s", rstr_str(r->name).p);
		segs_add(s, STYLE_TEXT, 0, "%s", r->why.text->text);
	}
	if (r->why.origin && r->why.origin->len)
		segs_add(s, STYLE_DIM, 1, "by %s", origin_name(r->why.origin->text));
}

static void draw_echo(struct oper *op, struct canvas *c, int y, us_t now)
{
	struct view *v = operator_view(op);
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;
	struct segs s;

	segs_start(&s);
	if (op->echo.text[0] && now < op->echo.until) {
		segs_add(&s, op->echo.style, 0, "%s", op->echo.text);
		if (op->echo.override && op->echo.own) {
			segs_right(&s, STYLE_KEY, 1, "u");
			segs_right(&s, STYLE_KEY_TEXT, 1, "undo");
			segs_right(&s, STYLE_KEY, 2, "=");
			segs_right(&s, STYLE_KEY_TEXT, 2, "expiry, reason");
		}
	} else if (t && table_row(t)) {
		add_row_words(&s, table_row(t), op->tz, now);
	}
	if (t && t->page && t->page->total)
		segs_right(&s, STYLE_DIM, 3, "row %d/%lld", t->cursor_at + 1,
			   (long long)t->page->total);
	segs_draw(&s, c, y, 1, c->cols - 2, 1);
}

/* On the smallest screens every line is dear: the key bar goes first, then the header shrinks to
 * one line. */
void operator_draw(struct oper *op, us_t now)
{
	struct canvas *c = &op->canvas;
	bool compact = c->rows < COMPACT_ROWS || c->cols < COMPACT_COLS;
	bool bar = c->rows >= BAR_ROWS;
	struct view *v = operator_view(op);
	int y, bottom = c->rows - 1;

	canvas_clear(c);
	y = header_draw(op, c, now, compact);
	if (c->rows > y + 3)
		draw_title(op, c, y++, now);
	if (bar)
		keymap_bar(op, c, bottom--);
	if (bottom > y) {
		if (op->prompt.kind)
			prompt_draw(op, c, bottom);
		else
			draw_echo(op, c, bottom, now);
		bottom--;
	}
	if (bottom >= y)
		v->ops->draw(v, c, (struct area){ y, 0, bottom - y + 1, c->cols }, now);
	if (op->box.kind) {
		box_draw(op, c, (struct area){ 0, 0, c->rows, c->cols });
		if (!op->box.frame)
			op->box.frame = op->frames;
	}
}
