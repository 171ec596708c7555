/* The log of deliveries: it follows until one scrolls up; filter, errors, wrap, times. Lines are
 * control's ring of the last 100,000 events, and above these the log's files, also rotated ones. */
#include <stdio.h>
#include <stdlib.h>

#include "tui/view_log_inner.h"

enum { KEEP = 3000, ASK_N = 200 };
enum log_tag { TAG_NEWER, TAG_NEWEST, TAG_OLDER, TAG_BELOW, TAG_ERROR, TAG_AT };

static void log_free(struct view *v)
{
	free(log_of(v)->v);
	free(v);
}

/* ---- asking ---- */

static void ask_in(struct view_log *l, enum link_op op, uint64_t from, bool backwards, bool errors,
		   int n, int tag)
{
	struct link_request *r = link_request_make(op, str_of(l->filter));

	if (!r)
		return;
	r->from_event = from;
	r->at = from || op == LINK_LOG ? 0 : l->jump_to;
	r->backwards = backwards;
	r->errors_only = errors;
	r->n = n;
	view_ask(&l->view, r, tag);
}

/* The ring holds the newest; what lies further back is in the files. */
static void ask(struct view_log *l, uint64_t from, bool backwards, bool errors, int n, int tag)
{
	bool ring = !from || (l->ring_first &&
			      (backwards ? from > l->ring_first : from + 1 >= l->ring_first));

	ask_in(l, ring ? LINK_LOG : LINK_OLD_LOG, from, backwards, errors, n, tag);
}

static uint64_t older_than(const struct view_log *l)
{
	return l->up && l->up < l->v[0].id ? l->up : l->v[0].id;
}

static void ask_older(struct view_log *l)
{
	l->asked_up = older_than(l);
	ask(l, l->asked_up, true, false, ASK_N, TAG_OLDER);
}

static void ask_below(struct view_log *l, uint64_t from)
{
	l->asked_below = l->v[l->n - 1].id;
	ask(l, from, false, false, ASK_N, TAG_BELOW);
}

static void log_poll(struct view *v, us_t now)
{
	struct view_log *l = log_of(v);

	if (!view_idle(v, now))
		return;
	if (!l->n)
		ask(l, 0, true, false, ASK_N, TAG_NEWEST);
	else
		ask_in(l, LINK_LOG, l->v[l->n - 1].id, false, false, l->follow ? ASK_N : 0,
		       TAG_NEWER);
}

static bool room(struct view_log *l)
{
	if (!l->v)
		l->v = calloc(KEEP + ASK_N * 2, sizeof *l->v);
	return l->v != NULL;
}

static void drop_oldest(struct view_log *l)
{
	int over = l->n - KEEP;

	if (over <= 0)
		return;
	memmove(l->v, l->v + over, (size_t)(l->n - over) * sizeof *l->v);
	l->n -= over;
	l->top = l->top > over ? l->top - over : 0;
}

static void append(struct view_log *l, const struct link_answer *a)
{
	for (int i = 0; i < a->nlines && i < ASK_N; i++)
		if (!l->n || a->lines[i].id > l->v[l->n - 1].id)
			log_entry_read(&l->v[l->n++], &a->lines[i]);
	drop_oldest(l);
}

static void prepend(struct view_log *l, const struct link_answer *a)
{
	int n = a->nlines > ASK_N ? ASK_N : a->nlines;

	if (l->n + n > KEEP)
		l->n = KEEP - n; /* the newest go; End asks for them again */
	memmove(l->v + n, l->v, (size_t)l->n * sizeof *l->v);
	for (int i = 0; i < n; i++)
		log_entry_read(&l->v[i], &a->lines[i]);
	l->n += n;
	l->top += n;
}

/* All lines are others now. */
static void start_anew(struct view_log *l)
{
	l->n = 0;
	l->up = 0;
	l->at_start = l->hunting = false;
}

static int index_of(const struct view_log *l, uint64_t id)
{
	for (int i = 0; i < l->n; i++)
		if (l->v[i].id >= id)
			return i;
	return l->n - 1;
}

static void set_cursor(struct view_log *l, int i)
{
	if (i >= l->n)
		i = l->n - 1;
	if (i < 0)
		i = 0;
	l->cursor_line = i;
	l->cursor = l->n ? l->v[i].id : 0;
}

static void measure(struct view_log *l, us_t now)
{
	if (!l->rate_at || now - l->rate_at >= US_PER_S) {
		if (l->rate_at && l->ring_last >= l->rate_last)
			l->shown_rate = (double)(l->ring_last - l->rate_last) * (double)US_PER_S /
					(double)(now - l->rate_at);
		l->rate_at = now;
		l->rate_last = l->ring_last;
	}
}

/* An error that [ or ] found, with what stands around it. */
static void found_error(struct view_log *l, const struct link_answer *a)
{
	bool back = l->want_error < 0;
	uint64_t id = a->nlines ? a->lines[back ? a->nlines - 1 : 0].id : 0;
	uint64_t on = a->op == LINK_OLD_LOG ? a->log_looked : back ? l->ring_first : 0;

	if (!id && on && l->hunting) {
		ask(l, on, back, true, 1, TAG_ERROR);
		return;
	}
	if (!id) {
		operator_echo(l->view.op, STYLE_ECHO, "no %s error", back ? "earlier" : "later");
		return;
	}
	l->follow = false;
	if (l->n && id >= l->v[0].id && id <= l->v[l->n - 1].id) {
		set_cursor(l, index_of(l, id));
		return;
	}
	start_anew(l);
	append(l, a);
	set_cursor(l, index_of(l, id));
	ask_below(l, id);
	ask_older(l);
}

static void begins_here(const struct view_log *l)
{
	struct oper *op = l->view.op;
	struct buf b;

	buf_init(&b);
	tz_text(op->tz, l->v[0].at, console_now(op->console), &b);
	operator_echo(op, STYLE_ECHO, "the log begins at %s, with its rotated files", buf_z(&b));
	buf_free(&b);
}

static void found_older(struct view_log *l, const struct link_answer *a)
{
	uint64_t keep = l->cursor;

	if (!l->n || older_than(l) != l->asked_up)
		return; /* asked above other lines than these */
	prepend(l, a);
	set_cursor(l, index_of(l, keep));
	l->up = a->nlines >= ASK_N ? 0 : a->op == LINK_LOG ? l->ring_first : a->log_looked;
	l->at_start = a->op == LINK_OLD_LOG && a->nlines < ASK_N && !a->log_looked;
	if (l->at_start && l->hunting && !a->nlines)
		begins_here(l);
	else if (l->hunting && !a->nlines)
		ask_older(l);
}

static void found_below(struct view_log *l, const struct link_answer *a)
{
	if (!l->n || l->follow || l->v[l->n - 1].id != l->asked_below)
		return;
	append(l, a);
	set_cursor(l, index_of(l, l->cursor));
	if (!a->nlines && a->log_looked && l->hunting)
		ask_below(l, a->log_looked);
}

/* The first line of :at's time or later. What stands above comes next, so that one can look up. */
static void found_time(struct view_log *l, const struct link_answer *a)
{
	if (!l->hunting)
		return;
	if (!a->nlines && a->log_looked) {
		ask(l, a->log_looked, false, false, ASK_N, TAG_AT);
		return;
	}
	l->hunting = false;
	if (!a->nlines) {
		operator_echo(l->view.op, STYLE_ECHO, "the log has nothing that late");
		return;
	}
	start_anew(l);
	append(l, a);
	l->top = 0;
	set_cursor(l, 0);
	if (l->v[0].id == a->log_first && l->v[0].at > l->jump_to)
		begins_here(l);
	else
		ask_older(l);
}

static void found_newer(struct view_log *l, const struct link_answer *a, int tag)
{
	if (!l->follow && l->n) { /* but for the empty view, only who follows wants them */
		if (tag == TAG_NEWER)
			l->matched_below = a->matched + (uint64_t)a->nlines;
		return;
	}
	if (tag == TAG_NEWEST)
		start_anew(l);
	if (tag == TAG_NEWER && a->matched) {
		/* more came than one can read: on to the newest */
		ask(l, 0, true, false, ASK_N, TAG_NEWEST);
		return;
	}
	append(l, a);
	l->matched_below = 0;
	set_cursor(l, l->n - 1);
}

static void log_answer(struct view *v, struct link_answer *a, int tag)
{
	struct view_log *l = log_of(v);

	l->error[0] = '\0';
	if (a->exit && a->text) {
		snprintf(l->error, sizeof l->error, "%s", a->text->text);
		return;
	}
	if (!room(l))
		return;
	if (a->op == LINK_LOG) {
		l->answered = true;
		l->ring_first = a->log_first;
		l->ring_last = a->log_last;
		measure(l, console_now(v->op->console));
	}
	switch ((enum log_tag)tag) {
	case TAG_ERROR:
		found_error(l, a);
		break;
	case TAG_AT:
		found_time(l, a);
		break;
	case TAG_OLDER:
		found_older(l, a);
		break;
	case TAG_BELOW:
		found_below(l, a);
		break;
	case TAG_NEWER:
	case TAG_NEWEST:
		found_newer(l, a, tag);
		break;
	}
}

/* ---- keys ---- */

static void log_move(struct view *v, enum move m, int n, us_t now)
{
	struct view_log *l = log_of(v);
	int page = l->visible > 1 ? l->visible - 1 : 1, to = l->cursor_line;

	to += m == MOVE_LINES	 ? n
	      : m == MOVE_PAGES	 ? n * page
	      : m == MOVE_HALVES ? n * (page + 1) / 2
				 : 0;
	l->field = 0;
	l->hunting = true;
	if (m == MOVE_END) {
		l->hunting = false;
		l->follow = true;
		l->matched_below = 0;
		ask(l, 0, true, false, ASK_N, TAG_NEWEST);
		return;
	}
	if (m == MOVE_HOME)
		to = 0;
	if (to > l->cursor_line && l->follow)
		return; /* below the newest there is nothing */
	l->follow = false;
	if (to < 0 && l->n && l->at_start)
		begins_here(l);
	else if (to < 0 && l->n && view_idle(v, now))
		ask_older(l);
	if (to >= l->n && l->n && view_idle(v, now))
		ask_below(l, l->v[l->n - 1].id);
	set_cursor(l, to);
}

static void log_enter(struct view *v)
{
	struct view_log *l = log_of(v);
	const struct log_entry *e = l->n ? &l->v[l->cursor_line] : NULL;
	char line[40];

	if (!e || l->follow) {
		operator_echo(v->op, STYLE_ECHO,
			      "k or Up stops at a line, Enter then opens its message");
		return;
	}
	snprintf(line, sizeof line, "message %s", e->message);
	operator_push(v->op, view_text_command(v->op, e->message, str_of(line)));
}

static const char *log_filter(struct view *v)
{
	return log_of(v)->filter;
}

static bool log_set_filter(struct view *v, struct str text)
{
	struct view_log *l = log_of(v);

	snprintf(l->filter, sizeof l->filter, "%.*s", (int)text.n, text.n ? text.p : "");
	l->of[0] = '\0';
	start_anew(l);
	l->top = 0;
	l->follow = true;
	l->answered = false;
	l->matched_below = 0;
	v->waiting_since = 0;
	return true;
}

static void log_search(struct view *v, struct str what, int direction)
{
	struct view_log *l = log_of(v);
	char low[128];

	if (!str_lower(what, low, sizeof low))
		return;
	for (int i = l->cursor_line - direction; i >= 0 && i < l->n;
	     i -= direction) /* n goes up, to what was before */
		if (log_entry_holds(&l->v[i], low)) {
			l->follow = false;
			set_cursor(l, i);
			return;
		}
	operator_echo(v->op, STYLE_ECHO,
		      "\"%s\" is not further %s in what is loaded; / filters all", low,
		      direction > 0 ? "up" : "down");
}

static const struct view_ops log_ops = {
	.kind = IN_LOG,
	.name = "Log",
	.free = log_free,
	.poll = log_poll,
	.answer = log_answer,
	.draw = log_draw,
	.title = log_title,
	.move = log_move,
	.enter = log_enter,
	.filter = log_filter,
	.set_filter = log_set_filter,
	.search = log_search,
};

struct view *view_log_new(struct oper *op)
{
	struct view_log *l = calloc(1, sizeof *l);

	if (!l)
		return NULL;
	l->view = (struct view){ .ops = &log_ops, .op = op, .serial = ++op->next_serial };
	l->follow = true;
	return &l->view;
}

void view_log_of(struct view *v, const char *name, struct str filter)
{
	log_set_filter(v, filter);
	snprintf(log_of(v)->of, sizeof log_of(v)->of, "%s", name);
}

bool view_log_follows(struct view *v)
{
	return log_of(v)->follow;
}

void view_log_errors(struct view *v, int direction)
{
	struct view_log *l = log_of(v);

	l->want_error = direction;
	l->hunting = true;
	if (l->n)
		ask(l, l->cursor, direction < 0, true, 1, TAG_ERROR);
}

void view_log_wrap(struct view *v)
{
	log_of(v)->wrap = !log_of(v)->wrap;
}

/* f: one field of the line after the other becomes a filter. */
void view_log_field(struct view *v)
{
	struct view_log *l = log_of(v);
	const struct log_entry *e = l->n ? &l->v[l->cursor_line] : NULL;
	const char *names[] = { "recipient", "virtual_mta", "mx", "message", "reply" };
	char code[8], filter[TABLE_FILTER];
	const char *values[5];

	if (!e)
		return;
	snprintf(code, sizeof code, "%.3s", e->reply);
	values[0] = strchr(e->who, '@') ? strchr(e->who, '@') + 1 : e->who;
	values[1] = e->vmta;
	values[2] = e->mx;
	values[3] = e->message;
	values[4] = code;
	for (int k = 0; k < 5; k++) {
		int i = l->field++ % 5;
		if (!values[i][0])
			continue;
		snprintf(filter, sizeof filter, "%s:%s", names[i], values[i]);
		prompt_open(v->op, PROMPT_FILTER, l->filter);
		edit_set(&v->op->prompt.line, str_of(filter));
		return;
	}
}

void view_log_at(struct view *v, us_t at)
{
	struct view_log *l = log_of(v);
	int i = 0;

	l->follow = false;
	l->jump_to = at;
	l->hunting = true;
	if (!l->n || l->v[0].at > at || l->v[l->n - 1].at < at) {
		ask_in(l, LINK_OLD_LOG, 0, false, false, ASK_N, TAG_AT);
		return;
	}
	while (l->v[i].at < at)
		i++;
	set_cursor(l, i);
}
