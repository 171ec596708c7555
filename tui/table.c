#include "tui/table.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"

enum { MARK_COLUMNS = TABLE_MARK };

void table_init_view(struct table *t, enum list_id list)
{
	*t = (struct table){ .list = list };
}

void table_untag(struct table *t)
{
	for (int i = 0; i < t->ntags; i++)
		free(t->tags[i].name);
	free(t->tags);
	t->tags = NULL;
	t->ntags = 0;
}

void table_free_view(struct table *t)
{
	table_untag(t);
	page_free(t->page);
	page_free(t->next);
	*t = (struct table){ .list = t->list };
}

/* ---- which row ---- */

static bool find_in(const struct page *p, uint64_t id, int *index)
{
	for (int i = 0; p && id && i < p->nrows; i++)
		if (p->rows[i].id == id) {
			*index = i;
			return true;
		}
	return false;
}

bool table_find(const struct table *t, uint64_t id, int *index)
{
	return find_in(t->page, id, index);
}

const struct row *table_row(const struct table *t)
{
	int i;

	if (t->gone || !table_find(t, t->cursor, &i))
		return NULL;
	return &t->page->rows[i];
}

static void put_cursor(struct table *t, int index, bool unseen)
{
	const struct row *r = &t->page->rows[index];
	struct str name = rstr_str(r->name);

	if (r->id != t->cursor || t->gone) {
		t->marked_since = 0;
		t->unseen = unseen;
	}
	t->cursor = r->id;
	t->cursor_at = t->page->offset + index;
	t->gone = false;
	snprintf(t->cursor_name, sizeof t->cursor_name, "%.*s", (int)name.n, name.p);
}

bool table_held(const struct table *t, us_t now)
{
	return now < t->held_until;
}

/* ---- what the operator has seen ---- */

static bool read_by_now(us_t since, us_t now)
{
	return since && now - since >= TABLE_FRESH_US;
}

void table_frame_left(struct table *t, us_t now)
{
	if (t->drawn == t->cursor && !t->marked_since)
		t->marked_since = now;
	if (!t->order_since)
		t->order_since = now;
	t->away = false;
}

void table_left(struct table *t)
{
	t->away = true;
}

bool table_seen(const struct table *t, us_t now)
{
	return !t->to_end && !t->away && (!t->unseen || read_by_now(t->marked_since, now));
}

/* The page is of a sort or filter that no longer holds. */
static bool outdated(const struct table *t)
{
	return t->page && t->page->serial != t->serial;
}

/* A key goes to this row: did it stand there on the terminal, long enough to be meant? */
static bool goes_unseen(const struct table *t, int index, us_t now)
{
	int at = t->page->offset + index;

	return t->away || at < t->top || at >= t->top + t->visible ||
	       !read_by_now(t->order_since, now);
}

/* Do lines of the screen show another row than before? */
static bool reorders(const struct table *t, const struct page *p)
{
	for (int at = t->top; t->page && at < t->top + t->visible; at++) {
		int i = at - t->page->offset, k = at - p->offset;
		bool was = i >= 0 && i < t->page->nrows, is = k >= 0 && k < p->nrows;

		if (was != is || (is && t->page->rows[i].id != p->rows[k].id))
			return true;
	}
	return !t->page;
}

/* ---- asking and answers ---- */

void table_ask(struct table *t, struct link_request *r)
{
	int lines = t->visible > 0 ? t->visible : 25;
	int limit = lines * 3;

	r->op = LINK_QUERY;
	r->q.list = t->list;
	r->q.site = t->site;
	r->q.vmta = t->vmta;
	r->q.offset = t->to_end ? INT32_MAX / 2 : t->top > lines ? t->top - lines : 0;
	r->q.limit = limit > TABLE_LIMIT_MAX ? TABLE_LIMIT_MAX : limit;
	r->q.around = t->moved && !t->to_end ? t->cursor : 0;
	r->q.serial = t->serial;
	if (t->to_end && t->page)
		r->q.offset = t->page->total > limit ? (int)(t->page->total - limit) : 0;
	r->text = rstr_new(str_of(t->filter));
	r->sort = rstr_new(str_of(t->sort));
}

void table_answer(struct table *t, struct page *p)
{
	if (p && p->serial != t->serial) { /* asked before sort or filter changed */
		page_free(p);
		return;
	}
	page_free(t->next);
	t->next = p;
}

/* Does the page hold every line that the screen shows? */
static bool covers(const struct table *t, const struct page *p)
{
	int last = t->top + t->visible;

	if (last > p->total)
		last = (int)p->total;
	return p->offset <= t->top && p->offset + p->nrows >= last;
}

/* New values in the old order; what is new is not shown yet, what is gone keeps its line. */
static void merge(struct table *t)
{
	int k;

	for (int i = 0; i < t->page->nrows; i++) {
		struct row old = t->page->rows[i];
		if (!find_in(t->next, old.id, &k))
			continue;
		t->page->rows[i] = t->next->rows[k];
		t->next->rows[k] = old;
	}
	t->page->total = t->next->total;
	t->page->all = t->next->all;
	t->page->at = t->next->at;
	page_free(t->next);
	t->next = NULL;
}

static void follow_cursor(struct table *t)
{
	int i;

	if (!t->moved) {
		t->top = 0;
		t->gone = false;
		if (t->page->nrows && t->page->offset == 0)
			put_cursor(t, 0, true);
		else
			t->cursor = 0;
		return;
	}
	if (table_find(t, t->cursor, &i))
		t->cursor_at = t->page->offset + i;
	if (t->cursor_at >= t->page->total && t->page->total > 0 && !t->gone)
		t->cursor_at = (int)t->page->total - 1;
}

/* The newest page takes its place; the cursor stays on its row. */
void table_adopt(struct table *t, us_t now)
{
	int i;
	bool here;

	if (!t->next)
		return;
	here = find_in(t->next, t->cursor, &i);
	if (t->moved && t->next->around == t->cursor && !t->to_end && t->cursor) {
		if (t->gone && here) { /* it is back: a key may be for what was shown as gone */
			t->unseen = true;
			t->marked_since = 0;
		}
		t->gone = !here && !t->next->error[0];
	}
	if (t->page && t->moved && !t->to_end && table_held(t, now) && covers(t, t->page) &&
	    !t->next->error[0]) {
		merge(t);
		return;
	}
	if (reorders(t, t->next))
		t->order_since = 0;
	page_free(t->page);
	t->page = t->next;
	t->next = NULL;
	if (t->to_end && t->page->nrows) {
		t->to_end = false;
		put_cursor(t, t->page->nrows - 1, true);
	}
	follow_cursor(t);
}

/* The screen's lines hold the cursor. */
static void scroll(struct table *t, int lines)
{
	int total = t->page ? (int)t->page->total : 0;

	t->visible = lines;
	if (t->moved && t->cursor_at < t->top)
		t->top = t->cursor_at;
	if (t->moved && t->cursor_at >= t->top + lines)
		t->top = t->cursor_at - lines + 1;
	if (t->top > total - lines && !t->gone)
		t->top = total > lines ? total - lines : 0;
	if (t->top < 0)
		t->top = 0;
}

/* ---- moving ---- */

/* The place of the cursor inside the page, also if its row is gone. */
static int place(const struct table *t)
{
	int i;

	if (table_find(t, t->cursor, &i))
		return i;
	return t->cursor_at - t->page->offset;
}

void table_move(struct table *t, int rows, us_t now)
{
	int i;

	if (!t->page || !t->page->nrows || outdated(t))
		return;
	i = place(t);
	/* Behind a vanished row the next one has moved up to its line. */
	if (t->gone && !table_find(t, t->cursor, &(int){ 0 }) && rows > 0)
		i--;
	i += rows;
	i = i < 0 ? 0 : i >= t->page->nrows ? t->page->nrows - 1 : i;
	t->moved = true;
	t->to_end = false;
	t->held_until = now + TABLE_HOLD_US;
	put_cursor(t, i, goes_unseen(t, i, now));
}

void table_home(struct table *t, us_t now)
{
	bool unseen = t->page && goes_unseen(t, -t->page->offset, now);

	t->moved = false;
	t->to_end = false;
	t->top = 0;
	t->held_until = 0;
	if (t->page && t->page->nrows && t->page->offset == 0 && !outdated(t))
		put_cursor(t, 0, unseen);
}

void table_end(struct table *t, us_t now)
{
	bool all = t->page && t->page->offset + t->page->nrows >= t->page->total;

	if (!t->page || !t->page->nrows || outdated(t))
		return;
	t->moved = true;
	t->held_until = now + TABLE_HOLD_US;
	if (all)
		put_cursor(t, t->page->nrows - 1, goes_unseen(t, t->page->nrows - 1, now));
	else
		t->to_end = true;
}

/* ---- tags ---- */

static int tag_index(const struct table *t, uint64_t id)
{
	for (int i = 0; i < t->ntags; i++)
		if (t->tags[i].id == id)
			return i;
	return -1;
}

bool table_tagged(const struct table *t, uint64_t id)
{
	return tag_index(t, id) >= 0;
}

static void tag_add(struct table *t, const struct row *r)
{
	struct tag *v;

	if (t->ntags >= TABLE_TAGS_MAX || table_tagged(t, r->id))
		return;
	v = realloc(t->tags, (size_t)(t->ntags + 1) * sizeof *v);
	if (!v)
		return;
	t->tags = v;
	v[t->ntags].name = str_dup(rstr_str(r->name));
	v[t->ntags].id = r->id;
	if (v[t->ntags].name)
		t->ntags++;
}

void table_tag(struct table *t)
{
	const struct row *r = table_row(t);
	int i = r ? tag_index(t, r->id) : -1;

	if (!r)
		return;
	if (i < 0) {
		tag_add(t, r);
		return;
	}
	free(t->tags[i].name);
	t->tags[i] = t->tags[--t->ntags];
}

void table_tag_page(struct table *t)
{
	for (int i = 0; t->page && i < t->page->nrows; i++)
		tag_add(t, &t->page->rows[i]);
}

/* The longest name on the page. */
static int longest_name(const struct table *t)
{
	int longest = 1;

	for (int i = 0; t->page && i < t->page->nrows; i++) {
		int w = clean_width(rstr_str(t->page->rows[i].name));
		longest = w > longest ? w : longest;
	}
	return t->list == LIST_OVERRIDES || t->list == LIST_ALARMS ? 0 : longest;
}

/* ---- sort and filter ---- */

static void fresh_start(struct table *t)
{
	t->serial++;
	page_free(t->next);
	t->next = NULL;
	t->moved = false;
	t->to_end = false;
	t->top = 0;
	t->cursor = 0;
	t->gone = false;
	t->held_until = 0;
}

void table_set_filter(struct table *t, struct str filter)
{
	snprintf(t->filter, sizeof t->filter, "%.*s", (int)filter.n, filter.p);
	fresh_start(t);
}

bool table_sort_by(struct table *t, struct str field)
{
	const struct field *f = field_find(t->list, field);
	const char *was = t->sort[0] == '-' ? t->sort + 1 : t->sort;
	bool again = f && strcmp(was, f->json) == 0;

	if (str_ieqz(field, list_def(t->list)->default_sort)) {
		t->sort[0] = '\0';
		fresh_start(t);
		return true;
	}
	if (!f)
		return false;
	snprintf(t->sort, sizeof t->sort, "%s%s", again && t->sort[0] != '-' ? "-" : "", f->json);
	fresh_start(t);
	return true;
}

void table_sort_step(struct table *t, int direction, int width)
{
	const struct list_def *d = list_def(t->list);
	const char *was = t->sort[0] == '-' ? t->sort + 1 : t->sort;
	int widths[TABLE_COLUMNS], shown[TABLE_COLUMNS], n = 0, at = -1;

	table_layout(d->fields, d->nfields, t->hidden, width, longest_name(t), widths);
	for (int i = 0; i < d->nfields && i < TABLE_COLUMNS; i++)
		if (widths[i] && d->fields[i].type != V_TREND) {
			if (strcmp(d->fields[i].json, was) == 0)
				at = n;
			shown[n++] = i;
		}
	/* The list's own order stands left of the first column. */
	if (n == 0)
		return;
	if (at + direction < -1 || at + direction >= n) {
		if (at >= 0)
			table_sort_by(t, str_of(was));
		return;
	}
	at += direction;
	if (at < 0)
		t->sort[0] = '\0';
	else
		snprintf(t->sort, sizeof t->sort, "%s", d->fields[shown[at]].json);
	fresh_start(t);
}

/* ---- drawing ---- */

enum style state_style(int state)
{
	static const enum style styles[] = {
		[STATE_OK] = STYLE_OK,	      [STATE_BACKOFF] = STYLE_BACK,
		[STATE_RESTING] = STYLE_REST, [STATE_PAUSED] = STYLE_PAUSED,
		[STATE_WARMING] = STYLE_WARM, [STATE_DISABLED] = STYLE_DISABLED,
		[STATE_DOWN] = STYLE_DOWN,    [STATE_IDLE] = STYLE_IDLE,
	};
	return state >= 0 && state <= STATE_IDLE ? styles[state] : STYLE_TEXT;
}

void table_cell(const struct field *f, const struct row *r, us_t now, const struct tz *tz,
		struct buf *out)
{
	struct value v = { .type = V_NONE };

	f->get(r, now, &v);
	if (v.type == V_TIME)
		tz_minute(tz, v.i, now, out); /* in the operator's zone */
	else
		value_text(&v, now, out);
}

static enum style cell_style(const struct field *f, const struct row *r)
{
	bool grey = r->state == STATE_IDLE || (r->kind == ROW_OVERRIDE && r->override.ended_at) ||
		    (r->kind == ROW_ALARM && r->alarm.gone);

	if (strcmp(f->json, "st") == 0)
		return state_style(r->state);
	if (r->kind == ROW_ALARM && strcmp(f->json, "severity") == 0)
		return r->alarm.severity <= 1	? STYLE_DOWN
		       : r->alarm.severity == 2 ? STYLE_BACK
						: STYLE_TEXT;
	if (grey)
		return STYLE_DIM;
	if (f->type == V_TREND)
		return STYLE_TREND;
	if (strcmp(f->json, "why.text") == 0 && r->state != STATE_OK)
		return state_style(r->state);
	return STYLE_TEXT;
}

static void draw_trend(struct canvas *c, int y, int x, int w, const struct value *v)
{
	float values[TREND_STEPS];

	for (int i = 0; i < TREND_STEPS; i++)
		values[i] = (float)v->trend[i];
	canvas_spark(c, y, x, STYLE_TREND, values, w < TREND_STEPS ? w : TREND_STEPS, 0);
}

/* "paused by op1, 4h00 left" in a narrow column: how long still is what one looks for. " left" goes
 * first, then the end of the words before it. */
static void keep_time_left(struct buf *b, int w)
{
	static const char end[] = " left", dots[] = "...";
	const size_t n_end = sizeof end - 1;
	enum { WORDS_LEAST = 6 };
	struct str s = buf_str(b);
	char tail[FMT_SIZE + 2];
	int width = 0, room;
	size_t n = 0;
	const char *comma;

	if (clean_width(s) <= w || s.n < n_end || memcmp(s.p + s.n - n_end, end, n_end) != 0)
		return;
	s.n -= n_end;
	b->n = s.n;
	comma = memrchr(s.p, ',', s.n);
	if (clean_width(s) <= w || !comma || s.n - (size_t)(comma - s.p) >= sizeof tail)
		return;
	snprintf(tail, sizeof tail, "%.*s", (int)(s.n - (size_t)(comma - s.p)), comma);
	room = w - (int)strlen(tail) - (int)sizeof dots + 1;
	if (room < WORDS_LEAST)
		return;
	while (s.p + n < comma) {
		uint32_t rune;
		size_t k = clean_rune((struct str){ s.p + n, s.n - n }, &rune);
		width += clean_rune_width(rune) > 0 ? clean_rune_width(rune) : 0;
		if (width > room)
			break;
		n += k;
	}
	b->n = n;
	buf_addz(b, dots);
	buf_addz(b, tail);
}

static void draw_row(const struct table *t, struct canvas *c, struct area line, const struct row *r,
		     const int *widths, us_t now, const struct tz *tz)
{
	const struct list_def *d = list_def(t->list);
	int x = line.x + MARK_COLUMNS;
	struct buf b;

	buf_init(&b);
	for (int i = 0; i < d->nfields && i < TABLE_COLUMNS; i++) {
		const struct field *f = &d->fields[i];
		struct value v = { .type = V_NONE };
		if (!widths[i])
			continue;
		buf_clear(&b);
		if (f->type == V_TREND)
			f->get(r, now, &v);
		else
			table_cell(f, r, now, tz, &b);
		if (strcmp(f->json, "why.text") == 0)
			keep_time_left(&b, widths[i]);
		if (v.type == V_TREND)
			draw_trend(c, line.y, x, widths[i], &v);
		else if (f->right)
			canvas_right(c, line.y, x, widths[i], cell_style(f, r), buf_str(&b));
		else
			canvas_text(c, line.y, x, widths[i], cell_style(f, r), buf_str(&b));
		x += widths[i] + 1;
	}
	buf_free(&b);
}

static void draw_heading(const struct table *t, struct canvas *c, struct area line,
			 const int *widths)
{
	const struct list_def *d = list_def(t->list);
	const char *sort = t->sort[0] == '-' ? t->sort + 1 : t->sort;
	int x = line.x + MARK_COLUMNS;

	for (int i = 0; i < d->nfields && i < TABLE_COLUMNS; i++) {
		const struct field *f = &d->fields[i];
		enum style style = strcmp(f->json, sort) == 0 ? STYLE_SORTED : STYLE_HEADING;
		if (!widths[i])
			continue;
		if (f->right)
			canvas_right(c, line.y, x, widths[i], style, str_of(f->heading));
		else
			canvas_z(c, line.y, x, widths[i], style, f->heading);
		x += widths[i] + 1;
	}
}

static void draw_marks(const struct table *t, struct canvas *c, struct area line, uint64_t id,
		       bool focused)
{
	bool cursor = id == t->cursor, tagged = table_tagged(t, id);

	if (tagged) {
		canvas_z(c, line.y, line.x + (cursor && focused ? 1 : 0), 1, STYLE_STRONG, "*");
		canvas_over(c, line.y, line.x, line.w, STYLE_TAGGED);
	}
	if (cursor && focused) {
		canvas_z(c, line.y, line.x, 1, STYLE_STRONG, ">");
		canvas_over(c, line.y, line.x, line.w, STYLE_CURSOR);
	}
}

static void draw_gone(const struct table *t, struct canvas *c, struct area line)
{
	canvas_fill(c, line, STYLE_TEXT);
	canvas_fmt(c, line.y, line.x + MARK_COLUMNS, line.w - MARK_COLUMNS, STYLE_DIM, "%s   gone",
		   t->cursor_name);
}

void table_draw(struct table *t, struct canvas *c, struct area a, us_t now, const struct tz *tz,
		bool focused)
{
	const struct list_def *d = list_def(t->list);
	int widths[TABLE_COLUMNS] = { 0 }, ghost = 0, here;

	table_adopt(t, now);
	scroll(t, a.h - 1);
	table_layout(d->fields, d->nfields, t->hidden, a.w, longest_name(t), widths);
	draw_heading(t, c, (struct area){ a.y, a.x, 1, a.w }, widths);
	t->drawn = focused && !t->gone ? t->cursor : 0;
	for (int l = 0; t->page && l + 1 < a.h; l++) {
		struct area line = { a.y + 1 + l, a.x, 1, a.w };
		int i = t->top + l - t->page->offset - ghost;
		if (t->gone && !ghost && t->top + l == t->cursor_at &&
		    !table_find(t, t->cursor, &here)) {
			draw_gone(t, c, line);
			draw_marks(t, c, line, t->cursor, focused);
			ghost = 1;
			continue;
		}
		if (i < 0 || i >= t->page->nrows)
			continue;
		if (t->gone && t->page->rows[i].id == t->cursor)
			draw_gone(t, c, line);
		else
			draw_row(t, c, line, &t->page->rows[i], widths, now, tz);
		draw_marks(t, c, line, t->page->rows[i].id, focused);
	}
}
