#include "tui/plain.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clean.h"
#include "tui/acts.h"
#include "tui/operator.h"

enum { SHOWN = 20, CHOICES = 8 };
enum plain_tag { PLAIN_LIST = 100, PLAIN_ACT };
enum menu { MENU_TOP, MENU_LIST, MENU_ROW, MENU_YES };

struct plain {
	struct oper *op;
	struct edit line;
	enum menu menu;
	struct page *page; /* what was listed, for its numbers */
	enum list_id list;
	int chosen;
	char command[PROMPT_TEXT]; /* MENU_YES: waits for a yes or a number */
	char expect[128];
};

static const struct {
	const char *word;
	enum list_id list;
} lists[] = {
	{ "queues by site", LIST_SITES },
	{ "sources", LIST_SOURCES },
	{ "jobs", LIST_JOBS },
	{ "overrides", LIST_OVERRIDES },
	{ "alarms", LIST_ALARMS },
	{ "feedback", LIST_FEEDBACK },
	{ "bounce and complaint rates", LIST_REPUTATION },
};
enum { NLISTS = sizeof lists / sizeof lists[0] };

struct plain *plain_new(struct oper *op)
{
	struct plain *p = calloc(1, sizeof *p);

	if (p)
		p->op = op;
	return p;
}

void plain_free(struct plain *p)
{
	if (!p)
		return;
	page_free(p->page);
	free(p);
}

/* ---- lines out: clean, in the terminal's character set, CR LF ---- */

static void write_bytes(struct plain *p, struct str s)
{
	operator_frame_out(p->op, 'T', s);
}

static void say(struct plain *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct plain *p, const char *fmt, ...)
{
	struct buf text, out;
	struct str rest, line;
	va_list ap;

	buf_init(&text);
	buf_init(&out);
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	rest = buf_str(&text);
	while (str_split(&rest, '\n', &line)) {
		clean_add(&out, line, !p->op->utf8);
		buf_addz(&out, "\r\n");
	}
	/* What does not read is not written to without end. */
	if (p->op->out.n < OUT_FRAME_MAX)
		write_bytes(p, buf_str(&out));
	buf_free(&text);
	buf_free(&out);
}

static void mark(struct plain *p)
{
	write_bytes(p, STR_LIT("> "));
}

void plain_say(struct plain *p, const char *text)
{
	say(p, "%s", text);
}

static void say_top(struct plain *p)
{
	struct buf b;

	p->menu = MENU_TOP;
	buf_init(&b);
	header_sentence(p->op, &b);
	say(p, "%s", buf_z(&b));
	for (int i = 0; i < (int)NLISTS; i++)
		say(p, "%d %s", i + 1, lists[i].word);
	say(p, "Type a number, a command (help lists them), or q to detach; an empty line shows "
	       "this again.");
	mark(p);
	buf_free(&b);
}

void plain_start(struct plain *p)
{
	say(p, "Stoker, in lines.");
	say_top(p);
}

/* ---- lists ---- */

static void ask_list(struct plain *p, enum list_id list)
{
	struct link_request *r = link_request_make(LINK_QUERY, STR_LIT(""));

	if (!r)
		return;
	p->list = list;
	r->q.list = list;
	r->q.limit = SHOWN;
	r->sort = rstr_new(STR_LIT(""));
	operator_ask(p->op, r, 0, PLAIN_LIST);
}

/* "queued 402.1k, out/s 8.3": every column with its name, for those who can't see columns. */
static void row_words(struct plain *p, const struct row *r, struct buf *out)
{
	const struct list_def *d = list_def(p->list);
	us_t now = console_now(p->op->console);
	bool any = false;
	struct buf cell;

	buf_init(&cell);
	for (int i = 0; i < d->nfields; i++) {
		const struct field *f = &d->fields[i];
		if (!f->heading || f->type == V_TREND)
			continue;
		buf_clear(&cell);
		table_cell(f, r, now, p->op->tz, &cell);
		if (!cell.n || str_eqz(buf_str(&cell), "-"))
			continue;
		if (any)
			buf_addf(out, ", %s ", f->json);
		buf_adds(out, buf_str(&cell));
		any = true;
	}
	buf_free(&cell);
}

static void say_list(struct plain *p)
{
	struct buf b;

	if (p->page->error[0] || !p->page->nrows) {
		say(p, "%s", p->page->error[0] ? p->page->error : "nothing there");
		say_top(p);
		return;
	}
	p->menu = MENU_LIST;
	buf_init(&b);
	for (int i = 0; i < p->page->nrows; i++) {
		buf_clear(&b);
		row_words(p, &p->page->rows[i], &b);
		say(p, "%d %s", i + 1, buf_z(&b));
	}
	buf_free(&b);
	if (p->page->total > p->page->nrows)
		say(p, "%lld more: `%s --filter WORD` finds them",
		    (long long)p->page->total - p->page->nrows, list_def(p->list)->name);
	say(p, "Type a number to act on it, or an empty line to go back.");
	mark(p);
}

/* ---- one row: numbered acts ---- */

static const struct row_act {
	enum list_id list; /* LIST_COUNT: queues, sites, jobs */
	const char *word, *verb;
	bool asks; /* for a rate */
} row_acts[] = {
	{ LIST_SOURCES, "disable", "disable", false },
	{ LIST_SOURCES, "enable", "enable", false },
	{ LIST_OVERRIDES, "end it", "end", false },
	{ LIST_ALARMS, "acknowledge", "ack", false },
	{ LIST_COUNT, "pause", "pause", false },
	{ LIST_COUNT, "resume", "resume", false },
	{ LIST_COUNT, "retry now", "retry", false },
	{ LIST_SITES, "backoff", "backoff", false },
	{ LIST_SITES, "back to normal", "normal", false },
	{ LIST_LANES, "backoff", "backoff", false },
	{ LIST_LANES, "back to normal", "normal", false },
};

static bool act_fits(const struct row_act *a, enum list_id list)
{
	bool common = list != LIST_SOURCES && list != LIST_OVERRIDES && list != LIST_ALARMS &&
		      list != LIST_FEEDBACK && list != LIST_REPUTATION;

	return a->list == list || (a->list == LIST_COUNT && common);
}

static const struct row_act *act_at(enum list_id list, int n)
{
	for (size_t i = 0; i < sizeof row_acts / sizeof row_acts[0]; i++)
		if (act_fits(&row_acts[i], list) && --n == 0)
			return &row_acts[i];
	return NULL;
}

static void row_target(const struct plain *p, const struct row *r, struct buf *out)
{
	if (p->list == LIST_OVERRIDES)
		buf_addf(out, "%" PRIu64, r->override.number);
	else if (p->list == LIST_ALARMS)
		buf_addf(out, "%" PRIu64, r->alarm.number);
	else
		target_of(p->list, rstr_str(r->name), out);
}

static void say_row(struct plain *p, int i)
{
	struct buf b;

	if (i < 0 || !p->page || i >= p->page->nrows) {
		say(p, "There is no such number.");
		mark(p);
		return;
	}
	p->chosen = i;
	p->menu = MENU_ROW;
	buf_init(&b);
	row_target(p, &p->page->rows[i], &b);
	say(p, "%s", buf_z(&b));
	for (int k = 1; act_at(p->list, k); k++)
		say(p, "%d %s", k, act_at(p->list, k)->word);
	if (p->list == LIST_SITES)
		say(p, "or type: rate %s 10/s", buf_z(&b));
	say(p, "Type a number, a command, or an empty line to go back.");
	mark(p);
	buf_free(&b);
}

static void run(struct plain *p, const char *line)
{
	snprintf(p->command, sizeof p->command, "%s", line);
	operator_ask(p->op, link_request_make(LINK_COMMAND, str_of(line)), 0, PLAIN_ACT);
}

static void act(struct plain *p, int n)
{
	const struct row_act *a = act_at(p->list, n);
	struct buf line;

	if (!a || !p->page || p->chosen >= p->page->nrows) {
		say(p, "There is no such number.");
		mark(p);
		return;
	}
	if (!operator_may_act(p->op)) {
		mark(p);
		return;
	}
	buf_init(&line);
	buf_addf(&line, "%s ", a->verb);
	row_target(p, &p->page->rows[p->chosen], &line);
	run(p, buf_z(&line));
	buf_free(&line);
}

static void answer_result(struct plain *p, struct link_answer *a)
{
	if (a->confirm >= 0 && a->exit) {
		p->menu = MENU_YES;
		if (a->confirm)
			snprintf(p->expect, sizeof p->expect, "%" PRId64, a->confirm);
		else
			snprintf(p->expect, sizeof p->expect, "%s",
				 strncmp(p->command, "shutdown", 8) == 0
				     ? p->op->console->header.hostname
				     : "yes");
		say(p, "%s. Type %s to do it, anything else to leave it.", rstr_str(a->text).p,
		    p->expect);
		mark(p);
		return;
	}
	p->menu = MENU_TOP;
	say(p, "%s%s", a->exit ? "Refused: " : "",
	    a->text && a->text->len ? a->text->text : "done");
	mark(p);
}

void plain_answer(struct plain *p, struct link_answer *a, int tag)
{
	if (tag == PLAIN_ACT) {
		answer_result(p, a);
	} else if (tag == PLAIN_LIST && a->page) {
		page_free(p->page);
		p->page = a->page;
		a->page = NULL;
		say_list(p);
	}
}

/* ---- lines in ---- */

static void confirmed(struct plain *p, struct str line)
{
	char command[PROMPT_TEXT + 160];
	bool count = p->expect[0] >= '0' && p->expect[0] <= '9';

	p->menu = MENU_TOP;
	if (!str_eqz(line, p->expect)) {
		say(p, "Nothing was done.");
		mark(p);
		return;
	}
	snprintf(command, sizeof command, "%s --yes%s%s", p->command, count ? " --expect " : "",
		 count ? p->expect : "");
	run(p, command);
}

static int number_of(struct str line)
{
	int n = 0;

	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] < '0' || line.p[i] > '9' || n > 9999)
			return -1;
		n = n * 10 + (line.p[i] - '0');
	}
	return line.n ? n : -1;
}

static void take_number(struct plain *p, int n)
{
	if (p->menu == MENU_LIST)
		say_row(p, n - 1);
	else if (p->menu == MENU_ROW)
		act(p, n);
	else if (n >= 1 && n <= (int)NLISTS)
		ask_list(p, lists[n - 1].list);
	else
		say_top(p);
}

static void take_line(struct plain *p, struct str line)
{
	struct buf b;

	if (p->menu == MENU_YES) {
		confirmed(p, line);
	} else if (!line.n) {
		say_top(p);
	} else if (str_eqz(line, "q") || str_eqz(line, "quit")) {
		operator_leave(p->op, 0, "detached; mail goes on");
	} else if (number_of(line) >= 0) {
		take_number(p, number_of(line));
	} else if (str_eqz(line, "help") || str_eqz(line, "?")) {
		buf_init(&b);
		command_help(STR_LIT(""), &b);
		say(p, "%s", buf_z(&b));
		mark(p);
		buf_free(&b);
	} else {
		run(p, line.p);
	}
}

static void echo_key(struct plain *p, struct key_event k)
{
	struct buf b;

	if (!edit_key(&p->line, k) || p->op->cooked)
		return;
	if (k.code == KEY_BACKSPACE) {
		write_bytes(p, STR_LIT("\b \b"));
		return;
	}
	buf_init(&b);
	if (k.code >= ' ' && k.code < KEY_NONE)
		rune_put(&b, k.code);
	write_bytes(p, buf_str(&b));
	buf_free(&b);
}

void plain_key(struct plain *p, struct key_event k)
{
	char text[PROMPT_TEXT];

	if (k.code == KEY_ENTER) {
		snprintf(text, sizeof text, "%s", p->line.text);
		edit_set(&p->line, STR_LIT(""));
		if (!p->op->cooked)
			write_bytes(p, STR_LIT("\r\n"));
		take_line(p, str_trim(str_of(text)));
	} else if (k.code == KEY_CTRL('C')) {
		edit_set(&p->line, STR_LIT(""));
		say(p, "^C");
		say(p, "q detaches; mail goes on.");
		mark(p);
	} else if (k.code == KEY_BACKSPACE ? p->line.n > 0 : k.code >= ' ' && k.code < KEY_NONE) {
		p->line.at = p->line.n; /* lines are only added to at the end */
		echo_key(p, k);
	}
}
