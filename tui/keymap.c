#include "tui/keymap.h"

#include <ctype.h>
#include <stdio.h>

#include "tui/acts.h"

enum { CODE_ROOT = '1' };

static void go(struct oper *op, int root)
{
	operator_go(op, (enum root)root);
}

static void go_messages(struct oper *op, int arg)
{
	(void)arg;
	operator_go(op, ROOT_QUEUES);
	operator_push(op, view_messages_new(op, STR_LIT("all")));
}

static void move(struct oper *op, enum move m, int n)
{
	struct view *v = operator_view(op);

	v->ops->move(v, m, n, console_now(op->console));
	v->ops->poll(v, console_now(op->console));
}

static void lines(struct oper *op, int n)
{
	move(op, MOVE_LINES, n);
}

static void pages(struct oper *op, int n)
{
	move(op, MOVE_PAGES, n);
}

static void halves(struct oper *op, int n)
{
	move(op, MOVE_HALVES, n);
}

static void home(struct oper *op, int n)
{
	move(op, MOVE_HOME, n);
}

static void end(struct oper *op, int n)
{
	move(op, MOVE_END, n);
}

static void enter(struct oper *op, int arg)
{
	struct view *v = operator_view(op);

	(void)arg;
	if (v->ops->enter)
		v->ops->enter(v);
	else
		operator_echo(op, STYLE_ERROR, "nothing to open here");
}

static void tab(struct oper *op, int direction)
{
	struct view *v = operator_view(op);

	if (v->ops->tab)
		v->ops->tab(v, direction);
	else
		operator_echo(op, STYLE_ERROR, "this view has one pane only");
}

static void back(struct oper *op, int arg)
{
	struct view *v = operator_view(op);

	(void)arg;
	if (op->depth_n > 1)
		operator_pop(op);
	else if (v->ops->filter && v->ops->filter(v)[0] && v->ops->set_filter)
		v->ops->set_filter(v, STR_LIT(""));
	else
		operator_echo(op, STYLE_ECHO, "this is the top; q detaches, mail goes on");
}

static void quit(struct oper *op, int arg)
{
	(void)arg;
	if (op->depth_n > 1)
		operator_pop(op);
	else
		operator_leave(op, 0, "detached; mail goes on");
}

static void interrupt(struct oper *op, int arg)
{
	(void)arg;
	operator_echo(op, STYLE_ECHO, "q detaches; mail goes on. :shutdown stops Stoker");
}

static void filter(struct oper *op, int arg)
{
	struct view *v = operator_view(op);

	(void)arg;
	/* In a log that is scrolled back one looks for something; filtering would take what one
	 * reads away. */
	if (v->ops->set_filter && (v->ops->kind != IN_LOG || view_log_follows(v)))
		prompt_open(op, PROMPT_FILTER, v->ops->filter(v));
	else
		prompt_open(op, PROMPT_SEARCH, "");
}

static void command(struct oper *op, int arg)
{
	(void)arg;
	prompt_open(op, PROMPT_COMMAND, "");
}

static void search(struct oper *op, int direction)
{
	operator_search(op, STR_LIT(""), direction);
}

static void help(struct oper *op, int arg)
{
	struct buf b;

	(void)arg;
	buf_init(&b);
	keymap_help(op, &b);
	operator_push(op, view_text_new(op, "help", buf_str(&b)));
	buf_free(&b);
}

static struct table *table_of(struct oper *op)
{
	struct view *v = operator_view(op);
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;

	if (!t)
		operator_echo(op, STYLE_ERROR, "there is no list here");
	return t;
}

static void sort(struct oper *op, int direction)
{
	struct table *t = table_of(op);
	struct user_prefs *p = console_prefs_of(op->console, op->user);
	char was[TABLE_SORT];

	if (!t)
		return;
	memcpy(was, t->sort, sizeof was);
	table_sort_step(t, direction, op->cols);
	if (strcmp(was, t->sort) == 0)
		operator_echo(op, STYLE_ECHO,
			      "this is the list's own order; > sorts by its columns");
	if (p) {
		memcpy(p->sort[t->list], t->sort, sizeof t->sort);
		console_save_prefs(op->console, p);
	}
	operator_poll(op);
}

static void tag(struct oper *op, int all)
{
	struct table *t = table_of(op);

	if (!t)
		return;
	if (all) {
		if (!t->ntags)
			operator_echo(op, STYLE_ECHO, "nothing is tagged");
		table_untag(t);
		return;
	}
	if (!act_row(op, &t))
		return;
	table_tag(t);
	table_move(t, 1, console_now(op->console));
}

static void freeze(struct oper *op, int arg)
{
	(void)arg;
	op->frozen = !op->frozen;
	if (!op->frozen)
		operator_poll(op);
}

static void redraw(struct oper *op, int arg)
{
	(void)arg;
	operator_redraw(op);
}

static void log_errors(struct oper *op, int direction)
{
	view_log_errors(operator_view(op), direction);
}

static void log_wrap(struct oper *op, int arg)
{
	(void)arg;
	view_log_wrap(operator_view(op));
}

static void log_field(struct oper *op, int arg)
{
	(void)arg;
	view_log_field(operator_view(op));
}

enum { IN_ACTS = IN_QUEUES | IN_SITE | IN_SOURCES | IN_SOURCE | IN_JOBS | IN_MESSAGES };

/* clang-format off */
static const struct binding bindings[] = {
	{ 'p', IN_ACTS, "pause", 1, "pause; a source: disable", act_simple, ACT_PAUSE },
	{ 'P', IN_ACTS, "resume", 6, "resume; a source: enable", act_simple, ACT_RESUME },
	{ 'P', IN_OVERRIDES, "end", 1, "end this override", act_simple, ACT_RESUME },
	{ 'r', IN_QUEUES | IN_SITE | IN_SOURCES | IN_SOURCE, "rate", 2, "rate and connections", act_rate, 0 },
	{ 'b', IN_QUEUES | IN_SITE | IN_SOURCES | IN_SOURCE, NULL, 0, "backoff mode: backoff-max- limits hold", act_simple, ACT_BACKOFF },
	{ 'B', IN_QUEUES | IN_SITE | IN_SOURCES | IN_SOURCE, NULL, 0, "back to normal, whoever began it", act_simple, ACT_NORMAL },
	{ 'R', IN_QUEUES | IN_SITE | IN_SOURCE | IN_JOBS | IN_MESSAGES, "retry", 7, "retry now: ends waits, never a limit or a pause", act_simple, ACT_RETRY },
	{ 'v', IN_QUEUES | IN_SITE | IN_JOBS, NULL, 0, "move what is queued to another route", act_move, 0 },
	{ 'D', IN_QUEUES | IN_SITE | IN_JOBS | IN_MESSAGES, NULL, 0, "delete or bounce what is queued", act_remove, 0 },
	{ 'u', IN_ALL, NULL, 0, "undo your last act (60 s)", act_undo_key, 0 },
	{ '=', IN_ALL, NULL, 0, "expiry and reason of the act just done", act_amend, 0 },
	{ KEY_ENTER, IN_ALL, "open", 3, "open", enter, 0 },
	{ 'm', IN_QUEUES | IN_SITE | IN_JOBS, "messages", 8, "messages of this row, in due order", look_messages, 0 },
	{ 'L', IN_LISTS & ~(IN_OVERRIDES | IN_ALARMS), "log", 9, "log of this row", look_log, 0 },
	{ 'e', IN_QUEUES | IN_SITE | IN_SOURCE, "settings", 10, "settings that hold here, with their origins", look_settings, 0 },
	{ '[', IN_LOG, "error up", 6, "previous error", log_errors, -1 },
	{ ']', IN_LOG, "error down", 6, "next error", log_errors, 1 },
	{ 'w', IN_LOG, "wrap", 7, "wrap long lines", log_wrap, 0 },
	{ 'f', IN_LOG, "take field", 8, "take a field of this line into the filter", log_field, 0 },
	{ '/', IN_ALL, "filter", 4, "filter; in text: search", filter, 0 },
	{ 'n', IN_ALL, NULL, 0, "next found", search, 1 },
	{ 'N', IN_ALL, NULL, 0, "previous found", search, -1 },
	{ '<', IN_LISTS, NULL, 0, "sort by the column to the left; at the end it inverts", sort, -1 },
	{ '>', IN_LISTS, NULL, 0, "sort by the column to the right", sort, 1 },
	{ ' ', IN_LISTS, NULL, 0, "tag; act keys then work on the tagged rows only", tag, 0 },
	{ 'U', IN_LISTS, NULL, 0, "untag all", tag, 1 },
	{ '!', IN_ALL, NULL, 0, "next alarm, and go there", act_alarm, 0 },
	{ 'A', IN_ALL, NULL, 0, "acknowledge the alarm that ! showed, with a note", act_ack_key, 0 },
	{ ':', IN_ALL, NULL, 0, "command line: any command of the CLI; Tab completes, Up is history", command, 0 },
	{ KEY_TAB, IN_ALL, NULL, 0, "next pane", tab, 1 },
	{ KEY_BACKTAB, IN_ALL, NULL, 0, NULL, tab, -1 },
	{ KEY_ESC, IN_ALL, NULL, 0, "back, cancel; at the top: filter off", back, 0 },
	{ 'q', IN_ALL, NULL, 0, "back; at the top: detach, mail goes on", quit, 0 },
	{ 'y', IN_ALL, NULL, 0, "copy what stands under the cursor (OSC 52)", look_copy, 0 },
	{ 'Z', IN_ALL, NULL, 0, "freeze the screen, and go on", freeze, 0 },
	{ KEY_CTRL('L'), IN_ALL, NULL, 0, "draw everything anew", redraw, 0 },
	{ KEY_CTRL('C'), IN_ALL, NULL, 0, "clears a line that is typed", interrupt, 0 },
	{ 'j', IN_ALL, NULL, 0, "down", lines, 1 },
	{ KEY_DOWN, IN_ALL, NULL, 0, NULL, lines, 1 },
	{ 'k', IN_ALL, NULL, 0, "up", lines, -1 },
	{ KEY_UP, IN_ALL, NULL, 0, NULL, lines, -1 },
	{ KEY_PGDN, IN_ALL, NULL, 0, "a screen down", pages, 1 },
	{ KEY_PGUP, IN_ALL, NULL, 0, "a screen up", pages, -1 },
	{ KEY_CTRL('D'), IN_ALL, NULL, 0, "half a screen down", halves, 1 },
	{ KEY_CTRL('U'), IN_ALL, NULL, 0, "half a screen up", halves, -1 },
	{ 'g', IN_ALL, NULL, 0, "to the top, and stay there", home, 0 },
	{ KEY_HOME, IN_ALL, NULL, 0, NULL, home, 0 },
	{ 'G', IN_ALL, NULL, 0, "to the end; Log: follow", end, 0 },
	{ KEY_END, IN_ALL, NULL, 0, NULL, end, 0 },
	{ '1', IN_ALL, NULL, 0, "Queues", go, ROOT_QUEUES },
	{ '2', IN_ALL, NULL, 0, "Sources", go, ROOT_SOURCES },
	{ '3', IN_ALL, NULL, 0, "Log", go, ROOT_LOG },
	{ '4', IN_ALL, NULL, 0, "Messages", go_messages, 0 },
	{ '5', IN_ALL, NULL, 0, "Jobs", go, ROOT_JOBS },
	{ '6', IN_ALL, NULL, 0, "Overrides", go, ROOT_OVERRIDES },
	{ '7', IN_ALL, NULL, 0, "Feedback", go, ROOT_FEEDBACK },
	{ '?', IN_ALL, "help", 2, "this help", help, 0 },
};
/* clang-format on */
enum { BINDINGS = sizeof bindings / sizeof bindings[0] };

const struct binding *keymap_at(int i)
{
	return i >= 0 && i < (int)BINDINGS ? &bindings[i] : NULL;
}

const struct binding *keymap_find(uint32_t code, unsigned where)
{
	for (size_t i = 0; i < BINDINGS; i++)
		if (bindings[i].code == code && (bindings[i].where & where))
			return &bindings[i];
	return NULL;
}

static void say_unbound(struct oper *op, uint32_t code)
{
	char name[16];
	bool elsewhere = keymap_find(code, IN_ALL) != NULL;

	keys_name(code, name);
	if (elsewhere) /* a key that does nothing anywhere changes nothing */
		operator_echo(op, STYLE_ERROR, "%s does nothing in %s; ? shows what does", name,
			      operator_view(op)->ops->name);
}

void operator_key(struct oper *op, struct key_event e)
{
	const struct binding *b;

	if (!e.pasted &&
	    e.code == KEY_CTRL('L')) { /* the client sends it, too, when it comes back from ^Z */
		operator_redraw(op);
		return;
	}
	if (op->box.kind) {
		box_key(op, e);
		operator_dirty(op, true);
		return;
	}
	if (op->prompt.kind) {
		prompt_key(op, e);
		operator_dirty(op, true);
		return;
	}
	if (e.pasted) /* text belongs into a line; here it would be commands that nobody typed */
		return;
	b = keymap_find(e.code, (unsigned)operator_view(op)->ops->kind);
	if (!b) {
		say_unbound(op, e.code);
		return;
	}
	b->fn(op, b->arg);
	if (!op->dead && !op->leaving)
		operator_dirty(op, true);
}

/* ---- help and key bar ---- */

static void help_keys(const struct binding *b, char *out, size_t cap)
{
	size_t n;

	keys_name(b->code, out);
	for (b++; b < bindings + BINDINGS && !b->help;
	     b++) { /* the lines below without words are the same key */
		char more[16];
		keys_name(b->code, more);
		n = strlen(out);
		snprintf(out + n, cap - n, " %s", more);
	}
}

void keymap_help(struct oper *op, struct buf *out)
{
	struct view *v = operator_view(op);
	unsigned where = (unsigned)v->ops->kind;
	char keys[64];

	buf_addf(out, "KEYS IN %s\n", v->ops->name);
	for (int pass = 0; pass < 2; pass++) {
		if (pass)
			buf_addz(out, "\nKEYS EVERYWHERE\n");
		for (size_t i = 0; i < BINDINGS; i++) {
			const struct binding *b = &bindings[i];
			bool everywhere = b->where == IN_ALL;
			if (!b->help || !(b->where & where) || everywhere != (pass == 1))
				continue;
			help_keys(b, keys, sizeof keys);
			buf_addf(out, "  %-14s %s\n", keys, b->help);
		}
	}
	buf_addz(out, "\nFILTER  words are ANDed: gmail !paused  a|b  /regex/  field:text  "
		      "queued>1000  (a field is a JSON name or a heading)\n");
	buf_addz(out, "\nONLY IN THE CONSOLE\n");
	local_help(out);
	buf_addz(out, "\nCOMMANDS (:), the same as on the command line\n");
	command_help(STR_LIT(""), out);
}

void keymap_bar(struct oper *op, struct canvas *c, int y)
{
	static const struct {
		char key;
		enum root root;
		const char *word;
	} roots[] = {
		{ '1', ROOT_QUEUES, "Queues" },	    { '2', ROOT_SOURCES, "Sources" },
		{ '3', ROOT_LOG, "Log" },	    { '4', ROOTS, "Messages" },
		{ '5', ROOT_JOBS, "Jobs" },	    { '6', ROOT_OVERRIDES, "Overrides" },
		{ '7', ROOT_FEEDBACK, "Feedback" },
	};
	unsigned where = (unsigned)operator_view(op)->ops->kind;
	struct segs s;
	char name[16];

	segs_start(&s);
	for (size_t i = 0; i < sizeof roots / sizeof roots[0]; i++) {
		bool messages = op->depth_n > 1 && op->stack[1]->ops->kind == IN_MESSAGES;
		bool on =
		    roots[i].root == ROOTS ? messages : roots[i].root == op->root && !messages;
		segs_add(&s, on ? STYLE_KEY_ON : STYLE_KEY, 5, "%c", roots[i].key);
		segs_glue(&s, on ? STYLE_KEY_ON : STYLE_KEY_TEXT, 5, "%s", roots[i].word);
	}
	for (size_t i = 0; i < BINDINGS; i++) {
		const struct binding *b = &bindings[i];
		if (!b->word || !(b->where & where))
			continue;
		keys_name(b->code, name);
		segs_right(&s, STYLE_KEY, b->bar, "%s", name);
		segs_right(&s, STYLE_KEY_TEXT, b->bar, "%s", b->word);
		if (s.n && ispunct((unsigned char)name[0])) /* "?help": the bar is full */
			s.v[s.n - 1].glued = true;
	}
	segs_draw(&s, c, y, 1, c->cols - 2, 1);
}
