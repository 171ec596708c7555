/* Text to be read: settings with origins, results, differences, help. JSON is laid out first. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"
#include "tui/operator.h"

enum { LINES_MAX = 50000, NOTE_MAX = 44 };

struct view_text {
	struct view view;
	char title[TABLE_NAME];
	char *text; /* with \n; lines point into it */
	struct str *lines;
	int n, top, visible;
	int found; /* line; -1 */
	char search[128];
	bool awaits;
	int note_at;   /* column of what stands behind a mark */
	char *command; /* to be sent with the first poll */
};

static struct view_text *text_of(struct view *v)
{
	return (struct view_text *)(void *)v;
}

static void text_free(struct view *v)
{
	struct view_text *t = text_of(v);

	free(t->text);
	free(t->lines);
	free(t->command);
	free(t);
}

/* Line ends that were escaped (a message's headers in one value) are lines again, set in. */
static struct str unfold(struct str text, struct buf *out)
{
	static const char crlf[] = "\\x0d\\x0a", tab[] = "\\x09";
	const char *at;

	while ((at = memmem(text.p, text.n, crlf, sizeof crlf - 1))) {
		size_t n = (size_t)(at - text.p);
		buf_add(out, text.p, n);
		buf_addz(out, "\n    ");
		text.p += n + sizeof crlf - 1;
		text.n -= n + sizeof crlf - 1;
		if (text.n >= sizeof tab - 1 && memcmp(text.p, tab, sizeof tab - 1) == 0) {
			buf_addz(out, "    ");
			text.p += sizeof tab - 1;
			text.n -= sizeof tab - 1;
		}
	}
	buf_adds(out, text);
	return buf_str(out);
}

static char *layout(struct str text)
{
	json_t *o = text.n && (text.p[0] == '{' || text.p[0] == '[')
			? json_loadb(text.p, text.n, 0, NULL)
			: NULL;
	char *out = o ? json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER) : NULL;

	struct buf b;

	json_decref(o);
	buf_init(&b);
	if (!out)
		out = str_dup(unfold(text, &b));
	buf_free(&b);
	return out;
}

static const char note_mark[] = "   ; ";

/* "max-smtp-out = 4   ; default": what stands behind the mark is set in one column. */
static const char *note_of(struct str line)
{
	return memmem(line.p, line.n, note_mark, sizeof note_mark - 1);
}

static void find_notes(struct view_text *t)
{
	t->note_at = 0;
	for (int i = 0; i < t->n; i++) {
		const char *at = note_of(t->lines[i]);
		int w =
		    at ? clean_width((struct str){ t->lines[i].p, (size_t)(at - t->lines[i].p) })
		       : 0;
		if (w > t->note_at)
			t->note_at = w < NOTE_MAX ? w : NOTE_MAX;
	}
}

void view_text_set(struct view *v, struct str text)
{
	struct view_text *t = text_of(v);
	struct str rest, line;
	char *copy = layout(text);
	int n = 1;

	for (const char *p = copy; p && *p; p++)
		n += *p == '\n';
	if (n > LINES_MAX)
		n = LINES_MAX;
	free(t->text);
	free(t->lines);
	t->text = copy;
	t->lines = copy ? calloc((size_t)n, sizeof *t->lines) : NULL;
	t->n = 0;
	t->found = -1;
	t->awaits = false;
	if (!t->lines)
		return;
	rest = str_of(copy);
	while (t->n < n && str_split(&rest, '\n', &line))
		t->lines[t->n++] = line;
	find_notes(t);
}

static void text_poll(struct view *v, us_t now)
{
	struct view_text *t = text_of(v);

	(void)now;
	if (!t->command)
		return;
	view_ask(v, link_request_make(LINK_COMMAND, str_of(t->command)), 0);
	free(t->command);
	t->command = NULL;
}

static void text_answer(struct view *v, struct link_answer *a, int tag)
{
	(void)tag;
	view_text_set(v, rstr_str(a->text));
}

static enum style line_style(struct str line)
{
	if (line.n && line.p[0] == '+')
		return STYLE_GOOD;
	if (line.n && line.p[0] == '-' && line.n > 1 && line.p[1] != '-')
		return STYLE_ERROR;
	if (line.n && (line.p[0] == '~' || line.p[0] == '!'))
		return STYLE_BACK;
	/* A line in capitals is a heading. */
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] >= 'a' && line.p[i] <= 'z')
			return STYLE_TEXT;
	return line.n > 3 && line.p[0] >= 'A' && line.p[0] <= 'Z' ? STYLE_TITLE : STYLE_TEXT;
}

static void draw_line(const struct view_text *t, struct canvas *c, struct area a, int i)
{
	struct str line = t->lines[i], note;
	enum style style = i == t->found ? STYLE_MATCH : line_style(line);
	const char *at = note_of(line);
	int x;

	if (!at) {
		canvas_text(c, a.y, a.x, a.w, style, line);
		return;
	}
	note = (struct str){ at + sizeof note_mark - 1,
			     line.n - (size_t)(at - line.p) - (sizeof note_mark - 1) };
	x = canvas_text(c, a.y, a.x, a.w, style, (struct str){ line.p, (size_t)(at - line.p) });
	x = x < t->note_at ? t->note_at : x;
	canvas_text(c, a.y, a.x + x + 2, a.w - x - 2, STYLE_DIM, note);
}

static void text_draw(struct view *v, struct canvas *c, struct area a, us_t now)
{
	struct view_text *t = text_of(v);

	(void)now;
	t->visible = a.h;
	if (t->top > t->n - a.h)
		t->top = t->n - a.h;
	if (t->top < 0)
		t->top = 0;
	if (t->awaits)
		canvas_z(c, a.y + 1, a.x + 2, a.w - 4, STYLE_DIM, "asking ...");
	else if (!t->n || (t->n == 1 && !t->lines[0].n))
		canvas_z(c, a.y + 1, a.x + 2, a.w - 4, STYLE_DIM,
			 "Nothing to say: the answer was empty.");
	for (int i = 0; i < a.h && t->top + i < t->n; i++) {
		draw_line(t, c, (struct area){ a.y + i, a.x + 1, 1, a.w - 2 }, t->top + i);
	}
}

static void text_title(struct view *v, struct segs *s, us_t now)
{
	struct view_text *t = text_of(v);
	int last = t->top + t->visible < t->n ? t->top + t->visible : t->n;

	(void)now;
	segs_add(s, STYLE_DIM, 1, ">");
	segs_add(s, STYLE_TEXT, 1, "%s", t->title);
	if (t->search[0])
		segs_right(s, STYLE_STRONG, 0, "/%s", t->search);
	segs_right(s, STYLE_DIM, 2, "line %d of %d", last, t->n);
}

static void text_move(struct view *v, enum move m, int n, us_t now)
{
	struct view_text *t = text_of(v);
	int page = t->visible > 1 ? t->visible - 1 : 1;

	(void)now;
	switch (m) {
	case MOVE_LINES:
		t->top += n;
		break;
	case MOVE_PAGES:
		t->top += n * page;
		break;
	case MOVE_HALVES:
		t->top += n * (page + 1) / 2;
		break;
	case MOVE_HOME:
		t->top = 0;
		break;
	case MOVE_END:
		t->top = t->n;
		break;
	}
	if (t->top > t->n - t->visible)
		t->top = t->n - t->visible;
	if (t->top < 0)
		t->top = 0;
}

static bool contains(struct str line, struct str what)
{
	char low[256], text[128];

	if (line.n > sizeof low - 1)
		line.n = sizeof low - 1;
	return str_lower(line, low, sizeof low) && str_lower(what, text, sizeof text) &&
	       strstr(low, text);
}

static void text_search(struct view *v, struct str what, int direction)
{
	struct view_text *t = text_of(v);
	bool again = strcmp(t->search, what.p) == 0;
	int from = again && t->found >= 0 ? t->found : t->top - direction;

	snprintf(t->search, sizeof t->search, "%.*s", (int)what.n, what.p);
	for (int k = 1; k <= t->n; k++) {
		int i = ((from + direction * k) % t->n + t->n) % t->n;
		if (!contains(t->lines[i], what))
			continue;
		t->found = i;
		if (i < t->top || i >= t->top + t->visible)
			t->top = i > t->visible / 3 ? i - t->visible / 3 : 0;
		return;
	}
	t->found = -1;
	operator_echo(v->op, STYLE_ERROR, "\"%s\" is not in this text", t->search);
}

static void text_export(struct view *v, bool json, struct buf *out)
{
	(void)json;
	if (text_of(v)->text)
		buf_addz(out, text_of(v)->text);
}

static const struct view_ops text_ops = {
	.kind = IN_TEXT,
	.name = "Text",
	.free = text_free,
	.poll = text_poll,
	.answer = text_answer,
	.draw = text_draw,
	.title = text_title,
	.move = text_move,
	.search = text_search,
	.export_rows = text_export,
};

struct view *view_text_new(struct oper *op, const char *title, struct str text)
{
	struct view_text *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	t->view = (struct view){ .ops = &text_ops, .op = op, .serial = ++op->next_serial };
	snprintf(t->title, sizeof t->title, "%s", title);
	view_text_set(&t->view, text);
	return &t->view;
}

struct view *view_text_command(struct oper *op, const char *title, struct str command)
{
	struct view *v = view_text_new(op, title, STR_LIT(""));

	if (!v)
		return NULL;
	text_of(v)->awaits = true;
	text_of(v)->command = str_dup(command);
	return v;
}
