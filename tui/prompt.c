#include "tui/prompt.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"
#include "tui/operator.h"

/* ---- a line ---- */

void edit_set(struct edit *e, struct str text)
{
	e->n = text.n < PROMPT_TEXT - 1 ? text.n : PROMPT_TEXT - 1;
	if (e->n)
		memcpy(e->text, text.p, e->n);
	e->text[e->n] = '\0';
	e->at = e->n;
}

static size_t before(const struct edit *e, size_t at)
{
	while (at > 0 && ((uint8_t)e->text[--at] & 0xC0) == 0x80)
		;
	return at;
}

static size_t behind(const struct edit *e, size_t at)
{
	uint32_t rune;
	size_t n = clean_rune((struct str){ e->text + at, e->n - at }, &rune);

	return at + n;
}

static void cut(struct edit *e, size_t from, size_t to)
{
	memmove(e->text + from, e->text + to, e->n - to + 1);
	e->n -= to - from;
	e->at = from;
}

static bool insert(struct edit *e, uint32_t rune)
{
	struct buf b;

	if (rune == '\t' || rune == '\n' || rune == '\r')
		rune = ' '; /* of a paste */
	if (rune < ' ' || rune == KEY_BACKSPACE || rune > 0x10FFFF || clean_rune_width(rune) < 0)
		return false;
	buf_init(&b);
	rune_put(&b, rune);
	if (e->n + b.n < PROMPT_TEXT) {
		memmove(e->text + e->at + b.n, e->text + e->at, e->n - e->at + 1);
		memcpy(e->text + e->at, b.p, b.n);
		e->n += b.n;
		e->at += b.n;
	}
	buf_free(&b);
	return true;
}

static size_t word_before(const struct edit *e)
{
	size_t at = e->at;

	while (at > 0 && e->text[at - 1] == ' ')
		at--;
	while (at > 0 && e->text[at - 1] != ' ')
		at--;
	return at;
}

static void edit_backspace(struct edit *e)
{
	if (e->at)
		cut(e, before(e, e->at), e->at);
}
static void edit_delete(struct edit *e)
{
	if (e->at < e->n)
		cut(e, e->at, behind(e, e->at));
}
static void edit_left(struct edit *e)
{
	e->at = before(e, e->at);
}
static void edit_right(struct edit *e)
{
	e->at = behind(e, e->at);
}
static void edit_home(struct edit *e)
{
	e->at = 0;
}
static void edit_end(struct edit *e)
{
	e->at = e->n;
}
static void edit_word(struct edit *e)
{
	cut(e, word_before(e), e->at);
}
static void edit_front(struct edit *e)
{
	cut(e, 0, e->at);
}
static void edit_rest(struct edit *e)
{
	cut(e, e->at, e->n);
}

static const struct {
	uint32_t key;
	void (*fn)(struct edit *e);
} edit_keys[] = {
	{ KEY_BACKSPACE, edit_backspace }, { KEY_DELETE, edit_delete },
	{ KEY_LEFT, edit_left },	   { KEY_RIGHT, edit_right },
	{ KEY_HOME, edit_home },	   { KEY_END, edit_end },
	{ KEY_CTRL('A'), edit_home },	   { KEY_CTRL('E'), edit_end },
	{ KEY_CTRL('B'), edit_left },	   { KEY_CTRL('F'), edit_right },
	{ KEY_CTRL('W'), edit_word },	   { KEY_CTRL('U'), edit_front },
	{ KEY_CTRL('K'), edit_rest },	   { KEY_CTRL('D'), edit_delete },
};

bool edit_key(struct edit *e, struct key_event k)
{
	for (size_t i = 0; !k.pasted && i < sizeof edit_keys / sizeof edit_keys[0]; i++)
		if (edit_keys[i].key == k.code) {
			edit_keys[i].fn(e);
			return true;
		}
	return k.code < KEY_NONE && insert(e, k.code);
}

void edit_draw(const struct edit *e, struct canvas *c, int y, int x, int w, enum style style,
	       bool on)
{
	size_t from = 0;
	int cursor;

	if (w < 2)
		return;
	/* The cursor stays in sight: the front goes first. */
	while ((cursor = clean_width((struct str){ e->text + from, e->at - from })) >= w)
		from = behind(e, from);
	canvas_text(c, y, x, w, style, (struct str){ e->text + from, e->n - from });
	if (on) {
		c->cursor_y = y;
		c->cursor_x = x + cursor;
	}
}

/* ---- the prompt ---- */

static void forget_words(struct prompt *p)
{
	for (int i = 0; i < p->nwords; i++)
		free(p->words[i]);
	p->nwords = 0;
	p->word = -1;
	p->completing = false;
}

void prompt_open(struct oper *op, enum prompt_kind kind, const char *text)
{
	struct prompt *p = &op->prompt;

	forget_words(p);
	p->kind = kind;
	p->history = 0;
	edit_set(&p->line, str_of(text));
	snprintf(p->saved, sizeof p->saved, "%s", text);
	operator_dirty(op, true);
}

void prompt_close(struct oper *op)
{
	forget_words(&op->prompt);
	op->prompt.kind = PROMPT_NONE;
}

void prompt_history_add(struct oper *op, struct str line)
{
	struct user_prefs *p = console_prefs_of(op->console, op->user);
	char *copy;

	if (!p || !line.n || (p->nhistory && str_eqz(line, p->history[p->nhistory - 1])))
		return;
	copy = str_dup(line);
	if (!copy)
		return;
	if (p->nhistory == PROMPT_HISTORY) {
		free(p->history[0]);
		memmove(p->history, p->history + 1, (PROMPT_HISTORY - 1) * sizeof p->history[0]);
		p->nhistory--;
	}
	p->history[p->nhistory++] = copy;
	console_save_prefs(op->console, p);
}

static void history(struct oper *op, int step)
{
	struct prompt *p = &op->prompt;
	const struct user_prefs *u = console_prefs_of(op->console, op->user);
	int to = p->history + step;

	if (!u || to < 0 || to > u->nhistory)
		return;
	if (p->history == 0)
		snprintf(p->saved, sizeof p->saved, "%s", p->line.text);
	p->history = to;
	edit_set(&p->line, str_of(to ? u->history[u->nhistory - to] : p->saved));
}

/* ---- completion: words from control, and our own commands ---- */

static void add_word(void *arg, struct str word)
{
	struct prompt *p = arg;
	char *copy = p->nwords < PROMPT_WORDS && word.n ? str_dup(word) : NULL;

	if (copy)
		p->words[p->nwords++] = copy;
}

static size_t last_word(const struct edit *e)
{
	size_t at = e->n;

	while (at > 0 && e->text[at - 1] != ' ')
		at--;
	return at;
}

static void put_word(struct prompt *p)
{
	char line[PROMPT_TEXT];
	size_t at = last_word(&p->line);

	if (p->word < 0 || p->word >= p->nwords)
		return;
	snprintf(line, sizeof line, "%.*s%s", (int)at, p->line.text, p->words[p->word]);
	edit_set(&p->line, str_of(line));
}

/* As far as all words agree. */
static void put_common(struct prompt *p)
{
	char line[PROMPT_TEXT];
	size_t at = last_word(&p->line), n = strlen(p->words[0]);

	for (int i = 1; i < p->nwords; i++) {
		size_t k = 0;
		while (k < n && p->words[i][k] == p->words[0][k])
			k++;
		n = k;
	}
	if (n <= p->line.n - at)
		return;
	snprintf(line, sizeof line, "%.*s%.*s%s", (int)at, p->line.text, (int)n, p->words[0],
		 p->nwords == 1 ? " " : "");
	edit_set(&p->line, str_of(line));
}

void prompt_completions(struct oper *op, struct str lines)
{
	struct prompt *p = &op->prompt;
	struct str word;

	if (p->kind != PROMPT_COMMAND || !p->completing)
		return;
	forget_words(p);
	local_complete(str_of(p->line.text), add_word, p);
	while (str_split(&lines, '\n', &word))
		add_word(p, str_trim(word));
	p->completing = p->nwords > 0;
	if (p->nwords)
		put_common(p);
	if (p->nwords == 1)
		forget_words(p);
	operator_dirty(op, true);
}

static void complete(struct oper *op, int direction)
{
	struct prompt *p = &op->prompt;

	if (p->completing && p->nwords) {
		p->word = (p->word + direction + p->nwords) % p->nwords;
		put_word(p);
		return;
	}
	p->completing = true;
	operator_ask(op, link_request_make(LINK_COMPLETE, str_of(p->line.text)), 0, ASK_COMPLETE);
}

/* ---- Enter ---- */

static void run_filter(struct oper *op, struct str text)
{
	struct view *v = operator_view(op);

	if (v->ops->set_filter && !v->ops->set_filter(v, text))
		return;
	operator_poll(op);
}

static void run_command(struct oper *op, struct str text)
{
	struct str line = str_trim(text), rest = line, word;

	if (!line.n)
		return;
	prompt_history_add(op, line);
	if (local_command(op, line))
		return;
	if (str_split(&rest, ' ', &word) && str_eqz(word, "reload") &&
	    !memmem(line.p, line.n, "--dry-run", 9)) {
		operator_reload(op, line.p);
		return;
	}
	operator_command(op, line.p);
}

static void run_search(struct oper *op, struct str text)
{
	if (text.n)
		operator_search(op, text, 1);
}

static void run_note(struct oper *op, struct str text)
{
	char line[PROMPT_TEXT + 300];
	struct buf b;

	buf_init(&b);
	buf_addz(&b, op->prompt.note_command);
	if (text.n)
		buf_addf(&b, " because \"");
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] == '"' || text.p[i] == '\\')
			buf_addc(&b, '\\');
		buf_addc(&b, text.p[i]);
	}
	if (text.n)
		buf_addc(&b, '"');
	snprintf(line, sizeof line, "%s", buf_z(&b));
	buf_free(&b);
	operator_command(op, line);
}

static const struct prompt_def {
	const char *mark;
	void (*run)(struct oper *op, struct str text);
	const char *hint;
} defs[] = {
	[PROMPT_NONE] = { "", NULL, "" },
	[PROMPT_FILTER] = { "/", run_filter,
			    "gmail  !paused  a|b  /regex/  field:text  queued>1000" },
	[PROMPT_COMMAND] = { ":", run_command, "any command; Tab completes" },
	[PROMPT_SEARCH] = { "/", run_search, "text to look for" },
	[PROMPT_NOTE] = { "note: ", run_note, "a note for the others; may be empty" },
};

static void enter(struct oper *op)
{
	char text[PROMPT_TEXT];
	enum prompt_kind kind = op->prompt.kind;

	snprintf(text, sizeof text, "%s", op->prompt.line.text);
	prompt_close(op);
	defs[kind].run(op, str_of(text));
}

static void cancel(struct oper *op)
{
	struct prompt *p = &op->prompt;
	char saved[PROMPT_TEXT];
	bool filter = p->kind == PROMPT_FILTER;

	snprintf(saved, sizeof saved, "%s", p->saved);
	prompt_close(op);
	if (filter)
		run_filter(op, str_of(saved));
}

/* ^C clears the line; on an empty one it leaves. */
static void interrupt(struct oper *op)
{
	if (op->prompt.line.n)
		edit_set(&op->prompt.line, STR_LIT(""));
	else
		cancel(op);
}

void prompt_key(struct oper *op, struct key_event k)
{
	struct prompt *p = &op->prompt;

	if (!k.pasted && k.code == KEY_ENTER) {
		enter(op);
	} else if (!k.pasted && k.code == KEY_ESC) {
		cancel(op);
	} else if (!k.pasted && k.code == KEY_CTRL('C')) {
		interrupt(op);
	} else if (!k.pasted && p->kind == PROMPT_COMMAND &&
		   (k.code == KEY_TAB || k.code == KEY_BACKTAB)) {
		complete(op, k.code == KEY_TAB ? 1 : -1);
	} else if (!k.pasted && p->kind == PROMPT_COMMAND &&
		   (k.code == KEY_UP || k.code == KEY_DOWN)) {
		history(op, k.code == KEY_UP ? 1 : -1);
	} else if (!k.pasted && k.code == KEY_BACKSPACE && !p->line.n) {
		cancel(op);
	} else {
		edit_key(&p->line, k);
		forget_words(p);
		if (p->kind == PROMPT_FILTER) /* the list narrows while one types */
			run_filter(op, str_of(p->line.text));
	}
}

static void draw_words(const struct prompt *p, struct canvas *c, int y)
{
	int x = 1, first = p->word > 0 ? p->word : 0;

	for (int i = first; i < p->nwords && x < c->cols - 2; i++) {
		x += canvas_z(c, y, x, c->cols - x - 1, i == p->word ? STYLE_MATCH : STYLE_DIM,
			      p->words[i]);
		x += 2;
	}
}

void prompt_draw(struct oper *op, struct canvas *c, int y)
{
	const struct prompt *p = &op->prompt;
	const struct prompt_def *d = &defs[p->kind];
	int x = 1;

	x += canvas_z(c, y, x, c->cols - x, STYLE_KEY, d->mark);
	edit_draw(&p->line, c, y, x, c->cols - x - 1, STYLE_INPUT, true);
	if (!p->line.n)
		canvas_z(c, y, x + 1, c->cols - x - 2, STYLE_DIM, d->hint);
	if (p->nwords && y > 0) {
		canvas_fill(c, (struct area){ y - 1, 0, 1, c->cols }, STYLE_TEXT);
		draw_words(p, c, y - 1);
	}
}
