#include "tui/box.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"
#include "tui/acts.h"
#include "tui/keymap.h"

enum { BOX_WIDE = 64, BOX_MARGIN = 2, LABEL_WIDE = 12, WORD_Y = 'y' };

struct box *box_open(struct oper *op, enum box_kind kind, const char *fmt, ...)
{
	struct box *b = &op->box;
	va_list ap;

	box_close(op);
	b->kind = kind;
	va_start(ap, fmt);
	vsnprintf(b->title, sizeof b->title, fmt, ap);
	va_end(ap);
	operator_dirty(op, true);
	return b;
}

void box_line(struct box *b, bool bad, const char *fmt, ...)
{
	va_list ap;

	if (b->nlines >= BOX_LINES)
		return;
	b->line_bad[b->nlines] = bad;
	va_start(ap, fmt);
	vsnprintf(b->lines[b->nlines++], BOX_LINE, fmt, ap);
	va_end(ap);
}

void box_field(struct box *b, const char *label, const char *hint, const char *text)
{
	if (b->nfields >= BOX_FIELDS)
		return;
	b->fields[b->nfields] = (struct box_field){ .label = label, .hint = hint };
	edit_set(&b->fields[b->nfields].edit, str_of(text));
	b->nfields++;
	/* Where a y is enough the cursor waits there; else in the first field. */
	b->field = b->kind == BOX_CONFIRM ? b->nfields : 0;
}

void box_target(struct box *b, const char *target)
{
	char **v;

	if (b->ntargets >= BOX_TARGETS_MAX)
		return;
	v = realloc(b->targets, (size_t)(b->ntargets + 1) * sizeof *v);
	if (!v)
		return;
	b->targets = v;
	v[b->ntargets] = str_dup(str_of(target));
	if (v[b->ntargets])
		b->ntargets++;
}

void box_close(struct oper *op)
{
	struct box *b = &op->box;

	for (int i = 0; i < b->ntargets; i++)
		free(b->targets[i]);
	free(b->targets);
	*b = (struct box){ 0 };
}

void box_frame_left(struct oper *op, us_t now)
{
	struct box *b = &op->box;

	if (b->kind && b->frame && b->frame <= op->frames && !b->left_at)
		b->left_at = now;
}

static void refuse(struct oper *op, const char *why)
{
	snprintf(op->box.note, sizeof op->box.note, "%.*s", (int)sizeof op->box.note - 1, why);
	op->box.note_bad = true;
}

static void nothing_done(struct oper *op)
{
	box_close(op);
	operator_echo(op, STYLE_ECHO, "nothing was done");
}

/* ---- what a box makes ---- */

static const struct edit *field(const struct box *b, const char *label)
{
	for (int i = 0; i < b->nfields; i++)
		if (strcmp(b->fields[i].label, label) == 0)
			return &b->fields[i].edit;
	return NULL;
}

/* " for 2h because "…"", as the fields say; false with a note. */
static bool add_options(struct oper *op, struct buf *out)
{
	const struct edit *until = field(&op->box, "for"), *because = field(&op->box, "because");
	struct errbuf e;
	us_t d;

	if (until && until->n) {
		struct str s = str_trim(str_of(until->text));
		if (!str_ieqz(s, "ever") && fmt_parse_duration(s, &d, &e)) {
			refuse(op, e.text);
			return false;
		}
		buf_addf(out, " for %.*s", (int)s.n, s.p);
	}
	if (because && because->n) {
		buf_addz(out, " because ");
		quote_word(out, str_of(because->text));
	}
	return true;
}

static char **one_command(struct buf *line)
{
	char **v = malloc(sizeof *v);

	if (!v)
		return NULL;
	v[0] = str_dup(buf_str(line));
	if (v[0])
		return v;
	free(v);
	return NULL;
}

/* A command that was typed, again: with what the fields say. */
static void typed_act_done(struct oper *op)
{
	struct box *b = &op->box;
	struct str rest = str_of(b->command), verb;
	struct buf line;

	buf_init(&line);
	str_split(&rest, ' ', &verb);
	buf_adds(&line, verb);
	buf_addz(&line, " --yes ");
	buf_adds(&line, rest);
	if (add_options(op, &line)) {
		box_close(op);
		operator_command(op, buf_z(&line));
	}
	buf_free(&line);
}

static void confirm_done(struct oper *op)
{
	struct box *b = &op->box;
	struct buf options, line;
	char **commands;
	int n = 0;

	if (b->command[0]) {
		typed_act_done(op);
		return;
	}
	commands = calloc((size_t)b->ntargets + 1, sizeof *commands);
	buf_init(&options);
	buf_init(&line);
	if (!commands || !b->ntargets || !add_options(op, &options)) {
		free(commands);
		buf_free(&options);
		return;
	}
	for (int i = 0; i < b->ntargets; i++) {
		buf_clear(&line);
		buf_addf(&line, "%s %s%s --yes", b->verb, b->targets[i], buf_z(&options));
		commands[n] = str_dup(buf_str(&line));
		n += commands[n] != NULL;
	}
	buf_free(&line);
	buf_free(&options);
	box_close(op);
	{
		struct view *v = operator_view(op);
		struct table *t = v->ops->table ? v->ops->table(v) : NULL;
		if (t)
			table_untag(t); /* tags end with the act */
	}
	if (n == 1) {
		operator_command(op, commands[0]);
		free(commands[0]);
		free(commands);
	} else {
		act_batch(op, commands, n);
	}
}

/* NULL: fine. */
static const char *rate_wrong(struct str s, double *per_s)
{
	static char text[160];
	struct errbuf e;
	struct rate r;
	bool bare = s.n > 0;

	*per_s = 0;
	for (size_t i = 0; i < s.n; i++)
		bare = bare && s.p[i] >= '0' && s.p[i] <= '9';
	if (bare) {
		snprintf(text, sizeof text, "%.*s/s, %.*s/min or %.*s/h?", (int)s.n, s.p, (int)s.n,
			 s.p, (int)s.n, s.p);
		return text;
	}
	if (fmt_parse_rate(s, &r, &e)) {
		snprintf(text, sizeof text, "%.150s", e.text);
		return text;
	}
	*per_s = rate_unlimited(r) ? 0 : rate_per_s(r);
	return NULL;
}

/* While one types: what the rate would mean. */
static void rate_note(struct oper *op)
{
	struct box *b = &op->box;
	struct str s = str_trim(str_of(b->fields[0].edit.text));
	double per_s, all;
	const char *wrong;
	char eta[FMT_SIZE];

	b->note[0] = '\0';
	b->note_bad = false;
	if (!s.n)
		return;
	wrong = rate_wrong(s, &per_s);
	if (wrong) {
		refuse(op, wrong);
		return;
	}
	if (per_s <= 0) {
		snprintf(b->note, sizeof b->note,
			 "no limit by hand; those of the configuration hold");
		return;
	}
	if (b->limit > 0 && per_s > b->limit)
		snprintf(b->note, sizeof b->note, "no effect: it is less already (%.150s)",
			 b->limit_text);
	all = per_s * (b->each && b->lanes > 1 ? b->lanes : 1);
	if (!b->note[0] && b->queued > 0) {
		fmt_left((us_t)(b->queued / all * (double)US_PER_S), eta);
		snprintf(b->note, sizeof b->note, "empty in %s or more, if nothing new comes", eta);
	}
}

static bool rate_lines(struct oper *op, struct buf *rate, struct buf *connections)
{
	struct box *b = &op->box;
	struct str r = str_trim(str_of(b->fields[0].edit.text)),
		   n = str_trim(str_of(b->fields[1].edit.text));
	const char *each = b->each && !b->lane ? " each" : "", *wrong;
	struct errbuf e;
	double per_s;
	int64_t number;

	if (r.n) {
		if ((wrong = rate_wrong(r, &per_s))) {
			refuse(op, wrong);
			return false;
		}
		buf_addf(rate, "rate %s %.*s%s", b->targets[0], (int)r.n, r.p, each);
		if (!add_options(op, rate))
			return false;
		buf_addz(rate, " --yes"); /* the box was shown */
	}
	if (n.n) {
		if (fmt_parse_int(n, 0, 1000000, &number, &e)) {
			refuse(op, e.text);
			return false;
		}
		buf_addf(connections, "connections %s %.*s%s", b->targets[0], (int)n.n, n.p, each);
		if (!add_options(op, connections))
			return false;
		buf_addz(connections, " --yes");
	}
	return true;
}

static void rate_done(struct oper *op)
{
	struct buf rate, connections;

	buf_init(&rate);
	buf_init(&connections);
	if (op->box.ntargets && rate_lines(op, &rate, &connections)) {
		if (!rate.n && !connections.n) {
			nothing_done(op);
		} else if (rate.n && connections.n) {
			char **v = one_command(&rate),
			     **more = v ? realloc(v, 2 * sizeof *v) : NULL;
			box_close(op);
			if (more && (more[1] = str_dup(buf_str(&connections))))
				act_batch(op, more, 2);
		} else {
			box_close(op);
			operator_command(op, rate.n ? buf_z(&rate) : buf_z(&connections));
		}
	}
	buf_free(&rate);
	buf_free(&connections);
}

static void amend_done(struct oper *op)
{
	struct buf line;

	buf_init(&line);
	buf_addf(&line, "amend %s", op->box.rest);
	if (add_options(op, &line)) {
		bool any = op->box.fields[0].edit.n || op->box.fields[1].edit.n;
		box_close(op);
		if (any)
			operator_command(op, buf_z(&line));
		else
			operator_echo(op, STYLE_ECHO, "nothing was changed");
	}
	buf_free(&line);
}

static void typed_done(struct oper *op)
{
	struct box *b = &op->box;
	struct str s = str_trim(str_of(b->fields[0].edit.text));
	char line[PROMPT_TEXT];

	if (!s.n) {
		nothing_done(op);
		return;
	}
	if (!str_eqz(s, b->expect)) {
		refuse(op, "that is not it; Esc leaves everything as it is");
		return;
	}
	snprintf(line, sizeof line, "%s", b->command);
	box_close(op);
	operator_command(op, line);
}

static void route_done(struct oper *op)
{
	struct box *b = &op->box;
	struct buf line;

	if (!b->fields[0].edit.n || !b->ntargets) {
		nothing_done(op);
		return;
	}
	buf_init(&line);
	buf_addf(&line, "move %s ", b->targets[0]);
	quote_word(&line, str_trim(str_of(b->fields[0].edit.text)));
	if (b->fields[1].edit.n)
		buf_addf(&line, " share %s", b->fields[1].edit.text);
	box_close(op);
	operator_command(op, buf_z(&line));
	buf_free(&line);
}

static void choice(struct oper *op, const char *verb)
{
	struct buf line;

	if (!op->box.ntargets)
		return;
	buf_init(&line);
	buf_addf(&line, "%s %s", verb, op->box.targets[0]);
	box_close(op);
	operator_command(op, buf_z(&line));
	buf_free(&line);
}

static void show_done(struct oper *op)
{
	char line[PROMPT_TEXT];

	snprintf(line, sizeof line, "%s", op->box.command);
	box_close(op);
	operator_command(op, line);
}

/* ---- keys: a table of what ends each kind ---- */

struct box_rule {
	enum box_kind kind;
	uint32_t key;
	void (*fn)(struct oper *op);
};
static void choose_delete(struct oper *op)
{
	choice(op, "delete");
}
static void choose_bounce(struct oper *op)
{
	choice(op, "bounce");
}
static const struct box_rule on_answer[] = {
	/* where no field has the keys */
	{ BOX_CONFIRM, 'y', confirm_done },
	{ BOX_CONFIRM, 'Y', confirm_done },
	{ BOX_SHOW, 'y', show_done },
	{ BOX_SHOW, 'Y', show_done },
	{ BOX_CHOICE, 'd', choose_delete },
	{ BOX_CHOICE, 'b', choose_bounce },
	{ BOX_CONFIRM, 'n', nothing_done },
	{ BOX_CONFIRM, 'N', nothing_done },
	{ BOX_CONFIRM, KEY_ENTER, nothing_done },
	{ BOX_CONFIRM, 'q', nothing_done },
	{ BOX_SHOW, 'n', nothing_done },
	{ BOX_SHOW, 'N', nothing_done },
	{ BOX_SHOW, KEY_ENTER, nothing_done },
	{ BOX_SHOW, 'q', nothing_done },
	{ BOX_CHOICE, KEY_ENTER, nothing_done },
	{ BOX_CHOICE, 'q', nothing_done },
	{ BOX_CHOICE, 'n', nothing_done },
};
static const struct box_rule on_enter[] = {
	/* in a field */
	{ BOX_TYPED, KEY_ENTER, typed_done },
	{ BOX_RATE, KEY_ENTER, rate_done },
	{ BOX_AMEND, KEY_ENTER, amend_done },
	{ BOX_ROUTE, KEY_ENTER, route_done },
};

static bool obey(struct oper *op, const struct box_rule *rules, size_t n, uint32_t key)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].kind == op->box.kind && rules[i].key == key) {
			rules[i].fn(op);
			return true;
		}
	return false;
}

/* The fields, and behind them the answer where the box has one. */
static void next_field(struct box *b, int direction)
{
	int stops = b->nfields + (b->kind == BOX_CONFIRM ? 1 : 0);

	if (stops)
		b->field = (b->field + direction + stops) % stops;
}

static bool too_soon(struct oper *op)
{
	const struct box *b = &op->box;

	return !b->left_at || console_now(op->console) - b->left_at < BOX_GUARD_US;
}

void box_key(struct oper *op, struct key_event k)
{
	struct box *b = &op->box;
	bool in_field = b->field < b->nfields;

	if (!k.pasted && (k.code == KEY_ESC || k.code == KEY_CTRL('C'))) {
		nothing_done(op);
		return;
	}
	if (too_soon(op)) {
		refuse(op, "too fast: keys within 0.3 s of a box are dropped");
		return;
	}
	if (!k.pasted && k.code == KEY_TAB && b->kind == BOX_RATE && !b->lane) {
		b->each = !b->each;
		rate_note(op);
		return;
	}
	if (!k.pasted && (k.code == KEY_TAB || k.code == KEY_DOWN || k.code == KEY_BACKTAB ||
			  k.code == KEY_UP)) {
		next_field(b, k.code == KEY_TAB || k.code == KEY_DOWN ? 1 : -1);
		return;
	}
	if (!in_field) {
		if (!k.pasted)
			obey(op, on_answer, sizeof on_answer / sizeof on_answer[0], k.code);
		return;
	}
	if (!k.pasted && k.code == KEY_ENTER) {
		if (!obey(op, on_enter, sizeof on_enter / sizeof on_enter[0], k.code))
			next_field(b, 1);
		return;
	}
	if (edit_key(&b->fields[b->field].edit, k) && b->kind == BOX_RATE)
		rate_note(op);
}

void box_answer(struct oper *op, struct link_answer *a)
{
	struct box *b = &op->box;
	int64_t rows;
	char n[FMT_SIZE];

	if (b->kind != BOX_CONFIRM || !a->page || a->page->error[0])
		return;
	rows = a->page->total;
	if (!rows) {
		box_line(b, false, "No queue depends on it alone.");
		return;
	}
	fmt_count(a->page->rest_recipients +
		      (a->page->nrows ? (int64_t)a->page->rows[0].queue.queued : 0),
		  n);
	box_line(b, true, "%" PRId64 " queue%s, %s recipients, have no other source and will wait.",
		 rows, rows == 1 ? "" : "s", n);
}

/* ---- drawing ---- */

static const char *answer_words(const struct box *b)
{
	static const char *const words[] = {
		[BOX_NONE] = "",
		[BOX_CONFIRM] = "y does it   N, Enter or Esc does not   Tab: fields",
		[BOX_TYPED] = "Enter does it   Esc does not",
		[BOX_RATE] = "Enter does it   Esc does not   Down: next field",
		[BOX_AMEND] = "Enter does it   Esc does not   Tab: next field",
		[BOX_CHOICE] = "d or b; a number is asked for then   Esc: neither",
		[BOX_ROUTE] = "Enter; a number is asked for then   Esc: leave them",
		[BOX_SHOW] = "y does it   N, Enter or Esc does not",
	};
	return words[b->kind];
}

static void draw_field(struct oper *op, struct canvas *c, int i, struct area line)
{
	struct box_field *f = &op->box.fields[i];
	bool narrow = line.w <= 40;
	int label = narrow ? 8 : LABEL_WIDE;
	bool on = op->box.field == i;

	canvas_z(c, line.y, line.x, label, on ? STYLE_BOX_TITLE : STYLE_BOX,
		 narrow && strcmp(f->label, "connections") == 0 ? "conns" : f->label);
	canvas_fill(c, (struct area){ line.y, line.x + label, 1, line.w - label }, STYLE_BOX_FIELD);
	edit_draw(&f->edit, c, line.y, line.x + label, line.w - label, STYLE_BOX_FIELD, on);
	if (!f->edit.n)
		canvas_fmt(c, line.y, line.x + label + (on ? 1 : 0), line.w - label - 1,
			   STYLE_BOX_HINT, "%s%s", op->box.kind == BOX_TYPED ? "type " : "",
			   f->hint);
}

/* What r binds, and what Tab makes of it; whose it is stands in the title. */
static void draw_binding(const struct box *b, struct canvas *c, struct area line)
{
	const char *s = b->lanes == 1 ? "" : "s";

	if (b->lane)
		canvas_fmt(c, line.y, line.x, line.w, STYLE_BOX_TITLE, "this lane [%s]", b->rest);
	else if (b->each)
		canvas_fmt(c, line.y, line.x, line.w, STYLE_BOX_TITLE,
			   "each of %d lane%s for itself [%s together]   Tab: together", b->lanes,
			   s, b->rest);
	else
		canvas_fmt(c, line.y, line.x, line.w, STYLE_BOX_TITLE,
			   "together over %d lane%s [%s]   Tab: each lane", b->lanes, s, b->rest);
}

static int text_width(const struct box *b)
{
	int w = BOX_WIDE;

	for (int i = 0; i < b->nlines; i++) {
		int n = clean_width(str_of(b->lines[i]));
		w = n > w ? n : w;
	}
	return w;
}

void box_draw(struct oper *op, struct canvas *c, struct area room)
{
	struct box *b = &op->box;
	int w = text_width(b) + 2 * BOX_MARGIN + 2, rest, skip = 0, y;
	bool binding = b->kind == BOX_RATE;
	struct area a;

	w = w > room.w ? room.w : w;
	rest = 4 + b->nfields + binding; /* frame, note, answers */
	if (rest + b->nlines > room.h)
		skip = rest + b->nlines - room.h;
	if (skip > b->nlines)
		skip = b->nlines;
	a = (struct area){ 0, (room.w - w) / 2, rest + b->nlines - skip, w };
	a.y = room.h > a.h ? (room.h - a.h) / 2 : 0;
	canvas_over(c, 0, 0, 0, STYLE_TEXT);
	canvas_frame(c, a, STYLE_BOX);
	canvas_fmt(c, a.y, a.x + 2, w - 4, STYLE_BOX_TITLE, " %s ", b->title);
	y = a.y + 1;
	if (binding)
		draw_binding(b, c, (struct area){ y++, a.x + BOX_MARGIN, 1, w - 2 * BOX_MARGIN });
	for (int i = skip; i < b->nlines; i++)
		canvas_z(c, y++, a.x + BOX_MARGIN, w - 2 * BOX_MARGIN,
			 b->line_bad[i] ? STYLE_BOX_BAD : STYLE_BOX, b->lines[i]);
	for (int i = 0; i < b->nfields; i++)
		draw_field(op, c, i, (struct area){ y++, a.x + BOX_MARGIN, 1, w - 2 * BOX_MARGIN });
	canvas_z(c, y++, a.x + BOX_MARGIN, w - 2 * BOX_MARGIN,
		 b->note_bad ? STYLE_BOX_BAD : STYLE_BOX_DIM, b->note);
	canvas_z(c, y, a.x + BOX_MARGIN, w - 2 * BOX_MARGIN, STYLE_BOX_DIM, answer_words(b));
}
