/* An operator's views and questions: the stack of views, polls, commands and their answers. */
#include <stdio.h>
#include <stdlib.h>
#include <inttypes.h>

#include "core/base/clean.h"
#include "tui/operator.h"

struct view *operator_view(const struct oper *op)
{
	return op->stack[op->depth_n - 1];
}

static struct view *root_new(struct oper *op, enum root root)
{
	static struct view *(*const makers[ROOTS])(struct oper *) = {
		[ROOT_QUEUES] = view_queues_new,     [ROOT_SOURCES] = view_sources_new,
		[ROOT_LOG] = view_log_new,	     [ROOT_OVERRIDES] = view_overrides_new,
		[ROOT_JOBS] = view_jobs_new,	     [ROOT_ALARMS] = view_alarms_new,
		[ROOT_FEEDBACK] = view_feedback_new,
	};
	struct view *v = makers[root](op);
	struct table *t = v && v->ops->table ? v->ops->table(v) : NULL;
	struct user_prefs *p = console_prefs_of(op->console, op->user);

	if (t && p) {
		t->hidden = p->hidden[t->list];
		memcpy(t->sort, p->sort[t->list], sizeof t->sort);
	}
	return v;
}

static void leave_view(struct view *v)
{
	struct table *t = v->ops->table ? v->ops->table(v) : NULL;

	if (!t)
		return;
	table_untag(t); /* tags end on leaving the view */
	table_left(t);
}

void operator_go(struct oper *op, enum root root)
{
	if (!op->roots[root])
		op->roots[root] = root_new(op, root);
	if (!op->roots[root]) {
		operator_echo(op, STYLE_ERROR, "no memory for this view");
		return;
	}
	if (op->depth_n)
		leave_view(operator_view(op));
	while (op->depth_n > 1)
		view_free(op->stack[--op->depth_n]);
	op->stack[0] = op->roots[root];
	op->depth_n = 1;
	op->root = root;
	operator_poll(op);
	operator_dirty(op, true);
}

bool operator_push(struct oper *op, struct view *v)
{
	if (!v) {
		operator_echo(op, STYLE_ERROR, "no memory for this view");
		return false;
	}
	leave_view(operator_view(op));
	if (op->depth_n == STACK_MAX)
		view_free(op->stack[--op->depth_n]);
	op->stack[op->depth_n++] = v;
	operator_poll(op);
	operator_dirty(op, true);
	return true;
}

void operator_pop(struct oper *op)
{
	if (op->depth_n <= 1)
		return;
	view_free(op->stack[--op->depth_n]);
	operator_poll(op);
	operator_dirty(op, true);
}

void operator_poll(struct oper *op)
{
	struct view *v;

	if (!op->depth_n || op->plain)
		return;
	v = operator_view(op);
	v->ops->poll(v, console_now(op->console));
}

static void free_batch(struct batch *b)
{
	for (int i = 0; i < b->n; i++)
		free(b->commands[i]);
	free(b->commands);
	*b = (struct batch){ 0 };
}

void operator_free_views(struct oper *op)
{
	while (op->depth_n > 1)
		view_free(op->stack[--op->depth_n]);
	op->depth_n = 0;
	for (int i = 0; i < ROOTS; i++)
		view_free(op->roots[i]);
	free_batch(&op->batch);
}

/* ---- questions ---- */

struct link_request *link_request_make(enum link_op what, struct str text)
{
	struct link_request *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->op = what;
	r->text = rstr_new(text);
	return r;
}

uint64_t operator_ask(struct oper *op, struct link_request *r, uint64_t view, int tag)
{
	struct console *c = op->console;
	uint64_t id = c->next_request + 1;
	int slot = 0;

	if (!r)
		return 0;
	for (int i = 0; i < PENDING_MAX; i++) {
		if (!op->pending[i].id) {
			slot = i;
			break;
		}
		if (op->pending[i].id < op->pending[slot].id)
			slot = i; /* all are out: the oldest is forgotten, its answer will be
				     dropped */
	}
	c->next_request = id;
	r->id = id;
	r->operator= op->id;
	r->role = op->role;
	r->user = rstr_new(str_of(op->user));
	op->pending[slot] = (struct pending){ id, view, tag };
	c->env.request(c->env.arg, r);
	return id;
}

void operator_answer(struct oper *op, struct link_answer *a)
{
	struct pending p = { 0 };

	for (int i = 0; i < PENDING_MAX; i++)
		if (op->pending[i].id == a->id) {
			p = op->pending[i];
			op->pending[i].id = 0;
			break;
		}
	if (!p.id || op->leaving)
		return;
	if (op->plain) {
		if (op->lines)
			plain_answer(op->lines, a, p.tag);
		return;
	}
	if (!p.view) {
		operator_own_answer(op, a, p.tag);
		return;
	}
	for (int i = 0; i < op->depth_n; i++)
		if (op->stack[i]->serial == p.view) {
			struct view *v = op->stack[i];
			v->waiting_since = 0;
			v->ops->answer(v, a, p.tag);
			operator_dirty(op,
				       console_now(op->console) - op->key_at < FRAME_BY_ITSELF_US);
			return;
		}
}

static const struct command *command_of(const char *line)
{
	struct str rest = str_of(line), word;

	return str_split(&rest, ' ', &word) ? command_find(word) : NULL;
}

void operator_command(struct oper *op, const char *line)
{
	const struct command *c = command_of(line);
	int n;

	if (c && (c->flags & COMMAND_IRREVERSIBLE) && !strstr(line, "--shown-at"))
		n = snprintf(op->last_command, sizeof op->last_command, "%s --shown-at %" PRId64,
			     line, console_now(op->console));
	else
		n = snprintf(op->last_command, sizeof op->last_command, "%s", line);
	if (n >= (int)sizeof op->last_command) {
		operator_echo(op, STYLE_ERROR, "the command is longer than %zu bytes",
			      sizeof op->last_command - 1);
		return;
	}
	operator_ask(op, link_request_make(LINK_COMMAND, str_of(op->last_command)), 0, ASK_ACT);
}

void operator_reload(struct oper *op, const char *line)
{
	char dry[PROMPT_TEXT];

	snprintf(op->last_command, sizeof op->last_command, "%s", line);
	snprintf(dry, sizeof dry, "%.*s --dry-run", PROMPT_TEXT - 16, line);
	operator_ask(op, link_request_make(LINK_COMMAND, str_of(dry)), 0, ASK_SHOW);
}

/* ---- results ---- */

static struct str first_line(struct str s)
{
	const char *end = memchr(s.p, '\n', s.n);

	return str_trim(end ? (struct str){ s.p, (size_t)(end - s.p) } : s);
}

/* "… (override 18)" */
static uint64_t override_of(struct str s)
{
	static const char mark[] = "(override ";
	uint64_t n = 0;
	const char *p = memmem(s.p, s.n, mark, sizeof mark - 1);

	if (!p)
		return 0;
	for (p += sizeof mark - 1; p < s.p + s.n && *p >= '0' && *p <= '9' && n < UINT64_MAX / 20;
	     p++)
		n = n * 10 + (uint64_t)(*p - '0');
	return n;
}

static void show_result(struct oper *op, struct link_answer *a)
{
	struct str text = rstr_str(a->text), line = first_line(text);

	if (text.n > line.n + 1 &&
	    memchr(text.p, '\n', text.n - 1)) { /* more than a line: to be read */
		operator_push(op, view_text_new(op, "result", text));
		return;
	}
	operator_echo(op, a->exit ? STYLE_ERROR : STYLE_GOOD, "%.*s", (int)line.n,
		      line.n ? line.p : "done");
	if (!line.n)
		operator_echo(op, a->exit ? STYLE_ERROR : STYLE_GOOD, a->exit ? "refused" : "done");
	op->echo.own = true;
	op->echo.override = a->exit ? 0 : override_of(line);
}

static void batch_step(struct oper *op, const struct link_answer *a)
{
	struct batch *b = &op->batch;
	struct str line = first_line(rstr_str(a->text));

	if (a->exit == 0)
		b->done++;
	else if (b->refused++ == 0)
		snprintf(b->first_refusal, sizeof b->first_refusal, "%.*s", (int)line.n,
			 line.n ? line.p : "");
	if (b->next < b->n) {
		operator_command(op, b->commands[b->next++]);
		return;
	}
	if (b->refused)
		operator_echo(op, STYLE_ERROR, "%d done, %d refused: %s", b->done, b->refused,
			      b->first_refusal);
	else
		operator_echo(op, STYLE_GOOD, "%d done; the last: %.*s", b->done, (int)line.n,
			      line.n ? line.p : "");
	op->echo.own = true;
	op->echo.override = 0;
	free_batch(b);
}

/* What can't be undone: the number was frozen at the key press and must be typed; Stoker's end: the
 * host's name. */
static void ask_typed(struct oper *op, const struct link_answer *a)
{
	const struct command *c = command_of(op->last_command);
	struct str line = first_line(rstr_str(a->text));
	struct box *b = box_open(
	    op, a->confirm > 0 || (c && strcmp(c->name, "shutdown") == 0) ? BOX_TYPED : BOX_SHOW,
	    "%s", a->confirm > 0 ? "this can't be undone" : "sure?");

	box_line(b, a->confirm > 0, "%.*s", (int)line.n, line.n ? line.p : "");
	if (a->confirm > 0) {
		snprintf(b->command, sizeof b->command, "%.*s --yes --expect %" PRId64,
			 PROMPT_TEXT - 48, op->last_command, a->confirm);
		snprintf(b->expect, sizeof b->expect, "%" PRId64, a->confirm);
		box_line(b, false,
			 "Exactly these: later arrivals stay, what is in a transaction finishes.");
	} else {
		snprintf(b->command, sizeof b->command, "%.*s --yes", PROMPT_TEXT - 16,
			 op->last_command);
		snprintf(b->expect, sizeof b->expect, "%.63s", op->console->header.hostname);
	}
	if (b->kind == BOX_TYPED)
		box_field(b, "type", b->expect, "");
}

/* Much is concerned: names, recipients, expiry and reason, y or N. */
static void ask_risk(struct oper *op, const struct link_answer *a)
{
	const struct command *c = command_of(op->last_command);
	struct str text = rstr_str(a->text), line;
	struct box *b = box_open(op, BOX_CONFIRM, "%s", op->last_command);

	snprintf(b->command, sizeof b->command, "%s", op->last_command);
	while (str_split(&text, '\n', &line))
		box_line(b, false, "%.*s", (int)line.n, line.n ? line.p : "");
	if (a->risk_expiry)
		box_field(b, "for", a->risk_expiry, "");
	if (c && (c->flags & COMMAND_ACT))
		box_field(b, "because",
			  strstr(b->command, " because ") ? "as typed"
							  : "a reason for those who come after you",
			  "");
}

/* The difference that a reload would make. */
static void ask_reload(struct oper *op, const struct link_answer *a)
{
	struct str text = rstr_str(a->text), line;
	struct box *b;
	int more = 0;

	if (a->exit) { /* errors: all of them, to be read */
		operator_push(op, view_text_new(op, "reload: nothing was changed", text));
		return;
	}
	if (!memchr(text.p, '\n', text.n) && (!text.n || !strchr("~+-", text.p[0]))) {
		operator_echo(op, STYLE_ECHO, "%.*s: nothing to reload", (int)text.n,
			      text.n ? text.p : "");
		return;
	}
	b = box_open(op, BOX_SHOW, "apply this?");
	snprintf(b->command, sizeof b->command, "%s", op->last_command);
	while (str_split(&text, '\n', &line)) {
		if (b->nlines < BOX_LINES - 2)
			box_line(b, false, "%.*s", (int)line.n, line.p);
		else
			more++;
	}
	if (more)
		box_line(b, true, "%d more lines; :reload --dry-run shows all", more);
}

void operator_own_answer(struct oper *op, struct link_answer *a, int tag)
{
	if (tag == ASK_COMPLETE) {
		prompt_completions(op, rstr_str(a->text));
	} else if (tag == ASK_ALARM) {
		alarm_answer(op, a);
	} else if (tag == ASK_BOX) {
		box_answer(op, a);
	} else if (tag == ASK_LOG) {
		log_answer_queues(op, a);
	} else if (tag == ASK_EXPORT) {
		export_answer(op, a);
	} else if (tag == ASK_SHOW) {
		ask_reload(op, a);
	} else if (op->batch.n) {
		batch_step(op, a);
	} else if (a->risk) {
		ask_risk(op, a);
	} else if (a->confirm >= 0 && a->exit) {
		ask_typed(op, a);
	} else {
		show_result(op, a);
		operator_poll(op);
	}
	operator_dirty(op, true);
}

void operator_search(struct oper *op, struct str text, int direction)
{
	struct view *v = operator_view(op);

	if (text.n)
		snprintf(op->last_search, sizeof op->last_search, "%.*s", (int)text.n, text.p);
	if (!v->ops->search)
		operator_echo(op, STYLE_ERROR, "nothing to search in here; / filters");
	else if (!op->last_search[0])
		operator_echo(op, STYLE_ERROR, "nothing was searched for yet; / searches");
	else
		v->ops->search(v, str_of(op->last_search), direction);
}
