/* Recipients that wait, in due order: of a queue, a job, all. Rows are the owner's (the
 * scheduler's), at most 200 a page; Enter opens one message. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"
#include "tui/acts.h"
#include "tui/operator.h"

enum { PAGE = 200, CELL = 200 };
#define AGAIN_US (2 * US_PER_S)

enum column { COL_ID, COL_RECIPIENT, COL_STATE, COL_TRY, COL_NEXT, COL_SIZE, COL_REPLY, COLS };
static const struct field columns[COLS] = {
	/* only what layout needs of a field */
	[COL_ID] = { .json = "id", .heading = "MESSAGE", .width = 17 },
	[COL_RECIPIENT] = { .json = "recipient", .heading = "RECIPIENT", .width = 30 },
	[COL_STATE] = { .json = "state", .heading = "STATE", .width = 9, .drop = 3 },
	[COL_TRY] = { .json = "attempts", .heading = "TRY", .width = 3, .drop = 8, .right = true },
	[COL_NEXT] = { .json = "next_attempt", .heading = "NEXT", .width = 11, .drop = 7 },
	[COL_SIZE] = { .json = "size", .heading = "SIZE", .width = 6, .drop = 9, .right = true },
	[COL_REPLY] = { .json = "why.text", .heading = "WHY", .drop = 2 },
};
struct message_line {
	char cells[COLS][CELL];
};
struct view_messages {
	struct view view;
	char target[TABLE_NAME];
	char filter[TABLE_FILTER];
	struct message_line *rows;
	int n, cursor, top, visible;
	int64_t total;
	bool answered;
	char error[200];
	us_t asked_at;
};

static struct view_messages *messages_of(struct view *v)
{
	return (struct view_messages *)(void *)v;
}

static void messages_free(struct view *v)
{
	struct view_messages *m = messages_of(v);

	free(m->rows);
	free(m);
}

static void messages_poll(struct view *v, us_t now)
{
	struct view_messages *m = messages_of(v);
	struct buf line;

	/* While somebody reads further down, the lines stay. */
	if (!view_idle(v, now) || (m->asked_at && now - m->asked_at < AGAIN_US) ||
	    (m->answered && m->cursor > 0))
		return;
	m->asked_at = now;
	buf_init(&line);
	buf_addz(&line, "messages ");
	buf_addz(&line, m->target);
	buf_addf(&line, " --json --limit %d", PAGE);
	if (m->filter[0]) {
		buf_addz(&line, " --filter ");
		quote_word(&line, str_of(m->filter));
	}
	view_ask(v, link_request_make(LINK_COMMAND, buf_str(&line)), 0);
	buf_free(&line);
}

static void cell(char *out, const json_t *row, const char *key)
{
	const char *dot = strchr(key, '.');
	char object[16];
	const json_t *v;

	snprintf(object, sizeof object, "%.*s", dot ? (int)(dot - key) : 0, key);
	v = dot ? json_object_get(json_object_get(row, object), dot + 1)
		: json_object_get(row, key);

	if (json_is_string(v))
		snprintf(out, CELL, "%s", json_string_value(v));
	else if (json_is_number(v))
		snprintf(out, CELL, "%.0f", json_number_value(v));
	else
		snprintf(out, CELL, "-");
}

/* When it is tried next, in the operator's zone; what is due already says so. */
static void next_text(const struct view_messages *m, char *cell_text)
{
	us_t at = tz_parse(cell_text), now = console_now(m->view.op->console);
	struct buf b;

	if (!at)
		return;
	buf_init(&b);
	if (at <= now)
		buf_addz(&b, "due");
	else
		tz_text(m->view.op->tz, at, now, &b);
	snprintf(cell_text, CELL, "%s", buf_z(&b));
	buf_free(&b);
}

static void take_row(const struct view_messages *m, struct message_line *line, const json_t *row)
{
	char size[FMT_SIZE];

	for (int i = 0; i < COLS; i++)
		cell(line->cells[i], row, columns[i].json);
	fmt_bytes(json_integer_value(json_object_get(row, "size")), size);
	snprintf(line->cells[COL_SIZE], CELL, "%s", size);
	next_text(m, line->cells[COL_NEXT]);
}

static void messages_answer(struct view *v, struct link_answer *a, int tag)
{
	struct view_messages *m = messages_of(v);
	struct str text = rstr_str(a->text);
	json_t *o = json_loadb(text.p, text.n, 0, NULL), *rows = json_object_get(o, "rows"), *row;
	size_t i;

	(void)tag;
	m->answered = true;
	m->error[0] = '\0';
	if (a->exit || !o)
		snprintf(m->error, sizeof m->error, "%.*s", (int)text.n,
			 text.n ? text.p : "no answer");
	free(m->rows);
	m->rows = calloc(json_array_size(rows) + 1, sizeof *m->rows);
	m->n = 0;
	json_array_foreach(rows, i, row) if (m->rows) take_row(m, &m->rows[m->n++], row);
	m->total = json_is_integer(json_object_get(o, "total"))
		       ? json_integer_value(json_object_get(o, "total"))
		       : -1;
	if (m->cursor >= m->n)
		m->cursor = m->n ? m->n - 1 : 0;
	json_decref(o);
}

static void draw_line(const struct view_messages *m, struct canvas *c, struct area line, int i,
		      const int *widths)
{
	int x = line.x + 2;

	for (int k = 0; k < COLS; k++) {
		struct str s = i < 0 ? str_of(columns[k].heading) : str_of(m->rows[i].cells[k]);
		enum style style = i < 0			   ? STYLE_HEADING
				   : k == COL_REPLY || k == COL_ID ? STYLE_DIM
								   : STYLE_TEXT;
		if (!widths[k])
			continue;
		if (columns[k].right)
			canvas_right(c, line.y, x, widths[k], style, s);
		else
			canvas_text(c, line.y, x, widths[k], style, s);
		x += widths[k] + 1;
	}
	if (i >= 0 && i == m->cursor) {
		canvas_z(c, line.y, line.x, 1, STYLE_STRONG, ">");
		canvas_over(c, line.y, line.x, line.w, STYLE_CURSOR);
	}
}

static int longest_id(const struct view_messages *m)
{
	int longest = 1;

	for (int i = 0; i < m->n; i++) {
		int w = clean_width(str_of(m->rows[i].cells[COL_ID]));

		longest = w > longest ? w : longest;
	}
	return longest;
}

static void messages_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	struct view_messages *m = messages_of(v);
	int widths[COLS];

	(void)now;
	m->visible = a.h - 1;
	if (m->cursor < m->top)
		m->top = m->cursor;
	if (m->cursor >= m->top + m->visible)
		m->top = m->cursor - m->visible + 1;
	table_layout(columns, COLS, 0, a.w, longest_id(m), widths);
	draw_line(m, c, (struct area){ a.y, a.x, 1, a.w }, -1, widths);
	for (int l = 0; l < m->visible && m->top + l < m->n; l++)
		draw_line(m, c, (struct area){ a.y + 1 + l, a.x, 1, a.w }, m->top + l, widths);
	if (m->error[0])
		canvas_z(c, a.y + 1, a.x + 2, a.w - 4, STYLE_ERROR, m->error);
	else if (!m->n)
		canvas_z(c, a.y + 1, a.x + 2, a.w - 4, STYLE_DIM,
			 m->answered ? "No recipient waits here: what is accepted and not yet "
				       "delivered stands here."
				     : "asking ...");
}

static void messages_title(struct view *v, struct segs *s, us_t now)
{
	struct view_messages *m = messages_of(v);
	char n[FMT_SIZE];

	(void)now;
	segs_add(s, STYLE_DIM, 2, "> Messages >");
	segs_add(s, STYLE_STRONG, 0, "%s", m->target);
	if (m->filter[0])
		segs_right(s, STYLE_STRONG, 1, "filter %s", m->filter);
	segs_right(s, STYLE_DIM, 3, "in due order");
	fmt_count(m->total, n);
	if (m->total > m->n)
		segs_right(s, STYLE_DIM, 2, "the first %d of %s", m->n, n);
	else if (m->answered)
		segs_right(s, STYLE_DIM, 2, "%d shown", m->n);
}

static void messages_move(struct view *v, enum move how, int n, us_t now)
{
	struct view_messages *m = messages_of(v);
	int page = m->visible > 1 ? m->visible - 1 : 1;

	(void)now;
	switch (how) {
	case MOVE_LINES:
		m->cursor += n;
		break;
	case MOVE_PAGES:
		m->cursor += n * page;
		break;
	case MOVE_HALVES:
		m->cursor += n * (page + 1) / 2;
		break;
	case MOVE_HOME:
		m->cursor = 0;
		break;
	case MOVE_END:
		m->cursor = m->n - 1;
		break;
	}
	if (m->cursor >= m->n)
		m->cursor = m->n - 1;
	if (m->cursor < 0)
		m->cursor = 0;
}

static void messages_enter(struct view *v)
{
	struct view_messages *m = messages_of(v);
	char line[CELL + 16], id[CELL];

	if (m->cursor >= m->n)
		return;
	snprintf(id, sizeof id, "%s", m->rows[m->cursor].cells[COL_ID]);
	id[strcspn(id, "./:")] = '\0';
	snprintf(line, sizeof line, "message %s", id);
	operator_push(v->op, view_text_command(v->op, id, str_of(line)));
}

static const char *messages_filter(struct view *v)
{
	return messages_of(v)->filter;
}

static bool messages_set_filter(struct view *v, struct str text)
{
	struct view_messages *m = messages_of(v);

	snprintf(m->filter, sizeof m->filter, "%.*s", (int)text.n, text.n ? text.p : "");
	m->cursor = 0;
	m->answered = false;
	m->asked_at = 0;
	v->waiting_since = 0;
	return true;
}

static const struct view_ops messages_ops = {
	.kind = IN_MESSAGES,
	.name = "Messages",
	.free = messages_free,
	.poll = messages_poll,
	.answer = messages_answer,
	.draw = messages_draw,
	.title = messages_title,
	.move = messages_move,
	.enter = messages_enter,
	.filter = messages_filter,
	.set_filter = messages_set_filter,
};

struct view *view_messages_new(struct oper *op, struct str target)
{
	struct view_messages *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->view = (struct view){ .ops = &messages_ops, .op = op, .serial = ++op->next_serial };
	snprintf(m->target, sizeof m->target, "%.*s", (int)target.n, target.p);
	return &m->view;
}
