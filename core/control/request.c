#include <stdlib.h>

#include "core/base/clean.h"
#include "core/control/private.h"
#include "core/control/text.h"

enum { REQUEST_MAGIC = 0x72657175, FIRST_BLOCK = 1024, RESULT_MAX = 300, CHUNK = 64 * 1024 };
/* A worker that reads a configuration takes 100 ms, a DNS look-up some seconds. */
static const us_t answer_within = 60 * US_PER_S;

static const struct {
	const char *name;
	command_fn *fn;
} functions[] = {
	{ "status", show_status },
	{ "queues", list_rows },
	{ "sites", list_rows },
	{ "lanes", list_rows },
	{ "sources", list_rows },
	{ "jobs", list_rows },
	{ "overrides", list_rows },
	{ "alarms", list_rows },
	{ "feedback", list_rows },
	{ "reputation", list_rows },
	{ "messages", list_messages },
	{ "queue", show_detail },
	{ "lane", show_detail },
	{ "message", show_message },
	{ "settings", show_settings },
	{ "resolve", show_resolve },
	{ "log", show_log },
	{ "pause", act_sched },
	{ "resume", act_sched },
	{ "rate", act_sched },
	{ "connections", act_sched },
	{ "backoff", act_sched },
	{ "normal", act_sched },
	{ "retry", act_sched },
	{ "disable", act_sched },
	{ "enable", act_sched },
	{ "end", act_sched },
	{ "undo", act_undo },
	{ "amend", act_sched },
	{ "drain", act_sched },
	{ "suppress add", suppress_add },
	{ "suppress remove", suppress_remove },
	{ "suppress list", suppress_list },
	{ "suppress import", suppress_import },
	{ "suppress export", suppress_export },
	{ "ack", act_ack },
	{ "rotate", act_rotate },
	{ "reload", act_reload },
	{ "shutdown", act_shutdown },
	{ "move", act_irreversible },
	{ "bounce", act_irreversible },
	{ "delete", act_irreversible },
};

/* ---- life ---- */

struct request *request_new(struct control *c, const struct sink *sink, void *owner,
			    struct rstr *who, struct rstr *session, enum role role)
{
	struct request *r = calloc(1, sizeof *r);

	if (!r)
		return NULL;
	r->magic = REQUEST_MAGIC;
	r->id = ++c->next_id;
	r->c = c;
	r->sink = sink;
	r->owner = owner;
	r->who = rstr_ref(who);
	r->session = rstr_ref(session);
	r->role = role;
	arena_init(&r->mem, FIRST_BLOCK);
	buf_init(&r->result);
	if (!idmap_put(&c->requests, r->id, r)) {
		rstr_unref(r->who);
		rstr_unref(r->session);
		free(r);
		return NULL;
	}
	return r;
}

struct request *request_by_id(struct control *c, uint64_t id)
{
	return idmap_get(&c->requests, id);
}

static void drop_state(struct request *r)
{
	if (r->free_state)
		r->free_state(r->state);
	r->state = NULL;
	r->free_state = NULL;
}

static void unlink_runnable(struct request *r)
{
	struct control *c = r->c;

	if (!r->runnable)
		return;
	for (struct request **p = &c->runnable; *p; p = &(*p)->next_runnable) {
		if (*p != r)
			continue;
		*p = r->next_runnable;
		if (c->runnable_tail == &r->next_runnable)
			c->runnable_tail = p;
		break;
	}
	r->runnable = false;
}

static void request_free(struct request *r)
{
	OBJ_CHECK(r, REQUEST_MAGIC);
	unlink_runnable(r);
	idmap_del(&r->c->requests, r->id);
	drop_state(r);
	rstr_unref(r->who);
	rstr_unref(r->session);
	buf_free(&r->result);
	arena_free(&r->mem);
	r->magic = 0;
	free(r);
}

void requests_free(struct control *c)
{
	size_t pos = 0;
	uint64_t id;
	void *r;

	while (idmap_next(&c->requests, &pos, &id, &r)) {
		if (((struct request *)r)->owner)
			((struct request *)r)->sink->done(r, EXIT_REFUSED);
		request_free(r);
		pos = 0; /* deleting moves entries */
	}
	idmap_free(&c->requests);
}

/* who, what, result: one line. */
static void audit(struct request *r, int exit)
{
	struct buf line;

	if (!r->inv.cmd || !(r->inv.cmd->flags & COMMAND_ACT))
		return;
	buf_init(&line);
	clean_add(&line, rstr_str(r->who), false);
	buf_addz(&line, " (");
	clean_add(&line, rstr_str(r->session), false);
	buf_addz(&line, "):");
	for (int i = 0; i < r->nwords; i++) {
		bool quote = !r->words[i].n || memchr(r->words[i].p, ' ', r->words[i].n);

		buf_addz(&line, quote ? " \"" : " ");
		clean_add(&line, r->words[i], false);
		buf_addz(&line, quote ? "\"" : "");
	}
	buf_addf(&line, " -> %s: ", exit == EXIT_DONE ? "done" : "refused");
	clean_add(&line, text_chomp(buf_str(&r->result)), false);
	r->c->env.audit(r->c->env.arg, buf_str(&line));
	buf_free(&line);
}

void request_finish(struct request *r, int exit)
{
	OBJ_CHECK(r, REQUEST_MAGIC);
	audit(r, exit);
	if (r->owner)
		r->sink->done(r, exit);
	r->owner = NULL;
	request_free(r);
}

void request_cancel(struct request *r)
{
	OBJ_CHECK(r, REQUEST_MAGIC);
	r->owner = NULL;
	/* An act that is under way happens whether or not somebody still listens: its line in the
	 * audit log follows. */
	if (!r->asked_at || !r->inv.cmd || !(r->inv.cmd->flags & COMMAND_ACT))
		request_free(r);
}

/* ---- words to the owner ---- */

static void remember(struct request *r, struct str text)
{
	text = text_chomp(text);
	if (!text.n)
		return;
	buf_clear(&r->result);
	buf_add(&r->result, text.p, text.n < RESULT_MAX ? text.n : RESULT_MAX);
}

void request_out(struct request *r, struct str text)
{
	if (r->inv.cmd && (r->inv.cmd->flags & COMMAND_ACT))
		remember(r, text);
	if (r->owner)
		r->sink->out(r, text);
}

void request_outf(struct request *r, const char *fmt, ...)
{
	struct buf text;
	va_list ap;

	buf_init(&text);
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	request_out(r, buf_str(&text));
	buf_free(&text);
}

void request_fail(struct request *r, int exit, const char *fmt, ...)
{
	struct buf text, clean;
	va_list ap;

	buf_init(&text);
	buf_init(&clean);
	va_start(ap, fmt);
	buf_vaddf(&text, fmt, ap);
	va_end(ap);
	clean_add(&clean, text_chomp(buf_str(&text)), false);
	remember(r, buf_str(&clean));
	if (r->owner)
		r->sink->err(r, buf_str(&clean));
	buf_free(&text);
	buf_free(&clean);
	request_finish(r, exit);
}

bool request_full(const struct request *r)
{
	return r->owner && r->sink->full && r->sink->full(r);
}

/* ---- start ---- */

static const char *role_name(enum role role)
{
	static const char *const names[] = { "none", "read", "operate", "admin" };

	return names[role];
}

static bool copy_words(struct request *r, const struct str *words, int n)
{
	r->words = arena_alloc(&r->mem, (size_t)(n ? n : 1) * sizeof *words);
	if (!r->words)
		return false;
	for (int i = 0; i < n; i++) {
		r->words[i] = arena_str(&r->mem, words[i]);
		if (!r->words[i].p)
			return false;
		r->nwords++;
	}
	return true;
}

static void help_here(struct request *r)
{
	struct buf text;
	bool found;

	buf_init(&text);
	found = command_help_words(r->words + 1, r->nwords - 1, &text);
	request_out(r, buf_str(&text));
	buf_free(&text);
	request_finish(r, found ? EXIT_DONE : EXIT_USAGE);
}

void request_start(struct request *r, const struct str *words, int n)
{
	const struct command *cmd;
	struct errbuf e = { "" };

	if (!copy_words(r, words, n)) {
		request_fail(r, EXIT_REFUSED, "no memory for this command");
		return;
	}
	if (!invocation_parse(r->words, n, &r->mem, control_now(r->c), &r->inv, &e)) {
		/* Not an act: there is nothing to audit. */
		r->inv.cmd = NULL;
		request_fail(r, EXIT_USAGE, "%s", e.text);
		return;
	}
	cmd = r->inv.cmd;
	if (str_eqz(words[0], "help")) {
		help_here(r);
		return;
	}
	if (cmd->flags & COMMAND_LOCAL) {
		request_fail(r, EXIT_USAGE, "%s is a command of the shell: stoker %s %s", cmd->name,
			     cmd->name, cmd->args);
		return;
	}
	if (r->role < cmd->role) {
		request_fail(r, EXIT_REFUSED,
			     "%s needs the role %s; %.*s has %s ([console] in the "
			     "configuration says who has which)",
			     cmd->name, role_name(cmd->role), (int)rstr_str(r->who).n,
			     rstr_str(r->who).p, role_name(r->role));
		return;
	}
	for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
		if (strcmp(functions[i].name, cmd->name) == 0) {
			functions[i].fn(r);
			return;
		}
	request_fail(r, EXIT_USAGE, "%s does not work here", cmd->name);
}

/* ---- waiting ---- */

void request_wait_text(struct request *r,
		       void (*on_text)(struct request *r, int exit, struct rstr *text))
{
	r->on_text = on_text;
	r->on_reply = NULL;
	r->asked_at = control_now(r->c);
}

void request_wait_reply(struct request *r,
			void (*on_reply)(struct request *r, const struct sched_reply *reply))
{
	r->on_reply = on_reply;
	r->on_text = NULL;
	r->asked_at = control_now(r->c);
}

void request_ask(struct request *r, int64_t count, struct str word, struct str text,
		 void (*on_confirm)(struct request *r))
{
	r->confirm_word = arena_str(&r->mem, word);
	r->on_confirm = on_confirm;
	if (!r->owner) { /* it left while the count was made */
		request_finish(r, EXIT_REFUSED);
		return;
	}
	r->sink->ask(r, count, word, text);
}

void request_confirm(struct request *r, struct str typed)
{
	void (*go)(struct request * r) = r->on_confirm;

	r->on_confirm = NULL;
	if (!go)
		return;
	if (str_eq(text_chomp(typed), r->confirm_word))
		go(r);
	else
		request_fail(r, EXIT_REFUSED, "nothing was done");
}

bool request_file(struct request *r, struct str piece)
{
	void (*take)(struct request * r, struct str piece) = r->on_file;

	r->on_file = NULL;
	if (take)
		take(r, piece);
	return take != NULL;
}

void requests_expire(struct control *c, us_t now)
{
	size_t pos = 0;
	uint64_t id;
	void *p;

	while (idmap_next(&c->requests, &pos, &id, &p)) {
		struct request *r = p;

		if (!r->asked_at || now - r->asked_at < answer_within)
			continue;
		request_fail(r, EXIT_REFUSED, "no answer within a minute; it may still happen");
		pos = 0;
	}
}

/* ---- streaming ---- */

void request_stream(struct request *r, enum pump_result (*pump)(struct request *r), void *state,
		    void (*free_state)(void *state))
{
	r->pump = pump;
	r->state = state;
	r->free_state = free_state;
	request_wake(r);
}

void request_wake(struct request *r)
{
	if (!r->pump || r->runnable)
		return;
	r->runnable = true;
	r->next_runnable = NULL;
	*r->c->runnable_tail = r;
	r->c->runnable_tail = &r->next_runnable;
}

static struct request *take_runnable(struct control *c)
{
	struct request *r = c->runnable;

	c->runnable = r->next_runnable;
	if (!c->runnable)
		c->runnable_tail = &c->runnable;
	r->runnable = false;
	return r;
}

bool requests_pump(struct control *c, us_t budget)
{
	us_t start = loop_now_exact(c->loop);

	while (c->runnable && loop_now_exact(c->loop) - start < budget) {
		struct request *r = take_runnable(c);

		if (request_full(r))
			continue; /* its sink wakes it */
		if (r->pump(r) == PUMP_MORE)
			request_wake(r);
	}
	return c->runnable != NULL;
}

struct long_text {
	struct rstr *text;
	size_t at;
	int exit;
};

static void long_text_free(void *state)
{
	struct long_text *t = state;

	rstr_unref(t->text);
	free(t);
}

static enum pump_result pump_text(struct request *r)
{
	struct long_text *t = r->state;
	size_t n = t->text->len - t->at;
	int exit = t->exit;

	if (n > CHUNK)
		n = CHUNK;
	request_out(r, str_mem(t->text->text + t->at, n));
	t->at += n;
	if (t->at < t->text->len)
		return PUMP_MORE;
	request_finish(r, exit);
	return PUMP_DONE;
}

void request_stream_text(struct request *r, int exit, struct rstr *text)
{
	struct long_text *t = calloc(1, sizeof *t);

	if (!t) {
		rstr_unref(text);
		request_fail(r, EXIT_REFUSED, "no memory for the answer");
		return;
	}
	*t = (struct long_text){ text, 0, exit };
	request_stream(r, pump_text, t, long_text_free);
}
