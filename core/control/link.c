/* The console's door: each request is answered once, on this thread. Commands run as requests whose
 * words are collected for the answer. */
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/control/private.h"
#include "core/control/text.h"
#include "core/report/delivery_log.h"

enum { TEXT_MAX = 256 * 1024, LINES_MAX = 2000, EVENTS_A_STEP = 512, COMPLETIONS_MAX = 60 };

void link_request_free(struct link_request *r)
{
	if (!r)
		return;
	rstr_unref(r->text);
	rstr_unref(r->sort);
	rstr_unref(r->user);
	free(r);
}

void link_answer_free(struct link_answer *a)
{
	if (!a)
		return;
	page_free(a->page);
	rstr_unref(a->text);
	rstr_unref(a->confirm_word);
	for (int i = 0; i < a->nlines; i++)
		rstr_unref(a->lines[i].text);
	free(a->lines);
	free(a);
}

static struct link_answer *answer_new(const struct link_request *r)
{
	struct link_answer *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	a->id = r->id;
	a->operator= r->operator;
	a->op = r->op;
	a->confirm = -1;
	return a;
}

static void send_answer(struct control *c, struct link_answer *a)
{
	if (c->answer)
		c->answer(c->link_arg, a);
	else
		link_answer_free(a);
}

/* ---- a command or detail: its words, collected ---- */

struct collector {
	struct link_answer *a;
	struct buf out, err;
};

static void collect(struct buf *b, struct str text)
{
	if (b->n < TEXT_MAX)
		buf_add(b, text.p, text.n < TEXT_MAX - b->n ? text.n : TEXT_MAX - b->n);
}

static void link_out(struct request *r, struct str text)
{
	collect(&((struct collector *)r->owner)->out, text);
}

static void link_err(struct request *r, struct str line)
{
	collect(&((struct collector *)r->owner)->err, line);
}

/* The console asks by itself: the command comes again with --yes. */
static void link_ask(struct request *r, int64_t count, struct str word, struct str text)
{
	struct collector *k = r->owner;

	collect(&k->out, text);
	k->a->confirm_word = rstr_new(word);
	k->a->confirm = count >= 0 ? count : 0;
	k->a->risk = r->risk;
	k->a->risk_expiry = r->risk_expiry;
	request_finish(r, EXIT_REFUSED);
}

static void link_done(struct request *r, int exit)
{
	struct collector *k = r->owner;
	struct control *c = r->c;

	/* Of what failed all is shown: errors of a file stand in what it wrote, not in the last
	 * word. */
	if (exit != EXIT_DONE && k->err.n) {
		if (k->out.n && k->out.p[k->out.n - 1] != '\n')
			buf_addc(&k->out, '\n');
		buf_adds(&k->out, buf_str(&k->err));
	}
	k->a->exit = exit;
	k->a->text = rstr_new(text_chomp(buf_str(&k->out)));
	send_answer(c, k->a);
	buf_free(&k->out);
	buf_free(&k->err);
	free(k);
}

static const struct sink link_sink = { link_out, link_err, link_ask, link_done, NULL, NULL };

static struct request *link_start(struct control *c, const struct link_request *l)
{
	struct collector *k = calloc(1, sizeof *k);
	struct rstr *session = rstr_newf("console %llu", (unsigned long long)l->operator);
	struct request *r = NULL;

	if (k && session && (k->a = answer_new(l)) != NULL)
		r = request_new(c, &link_sink, k, l->user, session, l->role);
	rstr_unref(session);
	if (r) {
		buf_init(&k->out);
		buf_init(&k->err);
		r->tty = true;
		r->own_session = true;
		return r;
	}
	if (k)
		link_answer_free(k->a);
	free(k);
	log_error("no memory for a console's request");
	return NULL;
}

static void link_command(struct control *c, const struct link_request *l)
{
	struct request *r = link_start(c, l);
	struct errbuf e = { "" };
	struct str *words;
	int n;

	if (!r)
		return;
	if (!command_split(rstr_str(l->text), &r->mem, &words, &n, &e))
		request_fail(r, EXIT_USAGE, "%s", e.text);
	else if (n && str_eqz(words[0], "log"))
		request_fail(r, EXIT_USAGE, "the log is view 3");
	else
		request_start(r, words, n);
}

static void link_detail(struct control *c, const struct link_request *l)
{
	struct str words[] = { STR_LIT("queue"), rstr_str(l->text), STR_LIT("--json") };
	struct request *r = link_start(c, l);

	if (r)
		request_start(r, words, 3);
}

/* ---- pages ---- */

static void no_words(struct request *r, struct str text)
{
	(void)r;
	(void)text;
}

static void one_line(struct request *r, struct str line)
{
	((struct link_answer *)r->owner)->text = rstr_new(line);
}

struct question {
	struct query q;
	struct asking *asking;
	us_t cpu; /* spent on it */
	struct rstr *filter, *sort;
};

static void question_free(void *state)
{
	struct question *k = state;

	asking_free(k->asking);
	rstr_unref(k->filter);
	rstr_unref(k->sort);
	free(k);
}

static void page_done(struct request *r, int exit)
{
	struct link_answer *a = r->owner;

	a->exit = exit;
	send_answer(r->c, a);
}

static const struct sink page_sink = { no_words, one_line, NULL, page_done, NULL, NULL };

/* True when the page is there, or can't be had. */
static bool question_step(struct request *r, struct question *k)
{
	us_t before = clock_thread_cpu_us();
	bool done;

	if (!k->asking)
		k->asking = asking_new(r->c->mirror, &k->q, control_now(r->c));
	done = !k->asking || asking_step(k->asking);
	k->cpu += clock_thread_cpu_us() - before;
	return done;
}

static enum pump_result pump_query(struct request *r)
{
	struct question *k = r->state;
	struct link_answer *a = r->owner;

	if (!question_step(r, k))
		return PUMP_MORE;
	if (k->cpu > r->c->page_cpu_max_us)
		r->c->page_cpu_max_us = k->cpu;
	a->page = k->asking ? asking_page(k->asking) : NULL;
	request_finish(r, a->page && !a->page->error[0] ? EXIT_DONE : EXIT_USAGE);
	return PUMP_DONE;
}

static void link_query(struct control *c, const struct link_request *l)
{
	struct link_answer *a = answer_new(l);
	struct question *k = calloc(1, sizeof *k);
	struct rstr *session = rstr_new(STR_LIT("console"));
	struct request *r = NULL;

	if (a && k && session)
		r = request_new(c, &page_sink, a, l->user, session, l->role);
	rstr_unref(session);
	if (!r) {
		free(k);
		link_answer_free(a);
		return;
	}
	*k = (struct question){ .q = l->q, .filter = rstr_ref(l->text), .sort = rstr_ref(l->sort) };
	k->q.filter = rstr_str(k->filter);
	k->q.sort = rstr_str(k->sort);
	request_stream(r, pump_query, k, question_free);
}

/* ---- lines of the log, in steps ---- */

struct reading {
	struct link_answer *a;
	struct sieve *filter;
	uint64_t next, stop; /* event to look at, and the one not to look at any more */
	uint64_t count_from; /* what is newer is counted only */
	int want;
	bool back, errors_only;
};

static void reading_free(void *state)
{
	struct reading *k = state;

	sieve_free(k->filter);
	free(k);
}

static bool wanted(struct request *r, const struct reading *k, uint64_t id, struct event *e)
{
	return logring_get(r->c->ring, id, e) && (!k->errors_only || event_is_error(e)) &&
	       event_filter_match(k->filter, e, control_now(r->c));
}

static void add_line(struct reading *k, const struct event *e)
{
	struct log_line *line = &k->a->lines[k->a->nlines];
	struct buf json;

	buf_init(&json);
	event_json(e, &json);
	*line = (struct log_line){ e->id, e->at, (uint8_t)e->type, rstr_new(buf_str(&json)) };
	buf_free(&json);
	if (line->text)
		k->a->nlines++;
}

static void reverse_lines(struct link_answer *a)
{
	for (int i = 0; i < a->nlines / 2; i++) {
		struct log_line t = a->lines[i];

		a->lines[i] = a->lines[a->nlines - 1 - i];
		a->lines[a->nlines - 1 - i] = t;
	}
}

/* Up the ring: lines first, then what is only counted. */
static bool read_up(struct request *r, struct reading *k)
{
	struct event e;

	for (int i = 0; i < EVENTS_A_STEP; i++, k->next++) {
		if (k->next >= k->stop)
			return true;
		if (!wanted(r, k, k->next, &e))
			continue;
		if (!k->back && k->a->nlines < k->want)
			add_line(k, &e);
		else
			k->a->matched++;
	}
	return false;
}

/* Down the ring until enough lines are found; then up again, counting. */
static bool read_down(struct request *r, struct reading *k)
{
	struct event e;

	for (int i = 0; i < EVENTS_A_STEP; i++, k->next--) {
		if (k->next <= k->stop || k->a->nlines >= k->want)
			return true;
		if (wanted(r, k, k->next, &e))
			add_line(k, &e);
	}
	return false;
}

static enum pump_result pump_lines(struct request *r)
{
	struct reading *k = r->state;

	if (k->back && k->count_from) {
		if (!read_down(r, k))
			return PUMP_MORE;
		reverse_lines(k->a);
		k->next = k->count_from;
		k->stop = logring_last(r->c->ring) + 1;
		k->count_from = 0;
		return PUMP_MORE;
	}
	if (!read_up(r, k))
		return PUMP_MORE;
	request_finish(r, EXIT_DONE);
	return PUMP_DONE;
}

static void lines_done(struct request *r, int exit)
{
	struct link_answer *a = r->owner;

	a->exit = exit;
	a->log_first = logring_first(r->c->ring);
	a->log_last = logring_last(r->c->ring);
	send_answer(r->c, a);
}

static const struct sink lines_sink = { no_words, one_line, NULL, lines_done, NULL, NULL };

static void reading_range(struct reading *k, const struct logring *ring,
			  const struct link_request *l)
{
	uint64_t first = logring_first(ring), last = logring_last(ring);
	uint64_t from = l->from_event ? l->from_event : last + 1;

	/* From the newest on there is only backwards. */
	k->back = l->backwards || !l->from_event;
	if (k->back) {
		k->next = from ? from - 1 : 0;
		if (k->next > last)
			k->next = last;
		k->stop = first ? first - 1 : 0;
		k->count_from = from + (l->from_event ? 1 : 0);
	} else {
		k->next = from + 1 > first ? from + 1 : first;
		k->stop = last + 1;
	}
}

static void link_log(struct control *c, const struct link_request *l)
{
	struct rstr *session = rstr_new(STR_LIT("console"));
	struct reading *k = calloc(1, sizeof *k);
	struct link_answer *a = answer_new(l);
	struct errbuf e = { "" };
	struct request *r = NULL;

	if (a && k && session) {
		k->want = l->n < 0 ? 0 : l->n < LINES_MAX ? l->n : LINES_MAX;
		a->lines = calloc((size_t)k->want + 1, sizeof *a->lines);
		if (a->lines)
			r = request_new(c, &lines_sink, a, l->user, session, l->role);
	}
	rstr_unref(session);
	if (!r) {
		free(k);
		link_answer_free(a);
		return;
	}
	k->a = a;
	k->errors_only = l->errors_only;
	k->filter = event_filter_parse(rstr_str(l->text), &e);
	reading_range(k, c->ring, l);
	request_stream(r, pump_lines, k, reading_free);
	if (!k->filter)
		request_fail(r, EXIT_USAGE, "%s", e.text);
}

/* ---- completion ---- */

struct completions {
	struct buf out;
	int n;
};

static void add_completion(void *arg, struct str word)
{
	struct completions *k = arg;

	if (k->n++ >= COMPLETIONS_MAX)
		return;
	buf_adds(&k->out, word);
	buf_addc(&k->out, '\n');
}

static void link_complete(struct control *c, const struct link_request *l)
{
	struct link_answer *a = answer_new(l);
	struct completions k = { .n = 0 };

	if (!a)
		return;
	buf_init(&k.out);
	command_complete(c->mirror, rstr_str(l->text), add_completion, &k);
	a->text = rstr_new(buf_str(&k.out));
	buf_free(&k.out);
	send_answer(c, a);
}

void control_link(struct control *c, struct link_request *l)
{
	OBJ_CHECK(c, CONTROL_MAGIC);
	switch (l->op) {
	case LINK_QUERY:
		link_query(c, l);
		break;
	case LINK_COMMAND:
		link_command(c, l);
		break;
	case LINK_DETAIL:
		link_detail(c, l);
		break;
	case LINK_LOG:
		link_log(c, l);
		break;
	case LINK_OLD_LOG: /* a worker's: files are not read here */
		break;
	case LINK_COMPLETE:
		link_complete(c, l);
		break;
	case LINK_COUNT:
		c->operators = l->n;
		break;
	}
	link_request_free(l);
}

void link_header(struct control *c)
{
	struct buf json;
	struct rstr *text;

	if (!c->header)
		return;
	buf_init(&json);
	text = status_json(c, &json) ? rstr_new(buf_str(&json)) : NULL;
	buf_free(&json);
	if (text)
		c->header(c->link_arg, mirror_get_totals(c->mirror, NULL), text);
}
