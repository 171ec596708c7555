/* A world for the SMTP server's tests: one loop, the server in it, a fake program behind
 * server_env, and a peer at the other end of a socketpair. Everything runs on the test's thread;
 * the world's turn comes at the end of each loop pass.
 *
 * Dialogs (tests/unit/smtp/NAME.dlg), a step a line:
 *   # words            a comment
 *   conf: WORD [VALUE] before the connection; see conf_words
 *   C: text            the client sends the text and CRLF
 *   R: text            … the text alone; \r \n \0 \\ \xHH are escapes
 *   R*: N text         … N times
 *   S: prefix          the next line from the server begins so
 *   S*: N prefix       … the next N lines
 *   CLOSED             the server has closed, and said nothing more
 *   QUIET              the server says nothing now
 *   STUCK              the same, while the client can't send all it wants to; what follows is done
 * at once MESSAGES n         so many were handed to the spool E: text            the last message's
 * envelope, as envelope() words it, holds the text M: text, M!: text  its bytes hold the text, or
 * do not (escapes as above); M$: they end in it LAST: text         the last refusal that the
 * delivery log was told of holds the text do: WORD [VALUE]   something happens in the program; see
 * do_words */
#ifndef STOKER_TEST_SERVER_WORLD_H
#define STOKER_TEST_SERVER_WORLD_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/smtp/server_session.h"

enum { STEPS_MAX = 400, ANSWERS_MAX = 64, QUIET_PASSES = 12, WORLD_DEADLINE_S = 20 };

/* ---- configuration: a snapshot by hand, so that only the server is on trial ---- */

struct test_conf {
	struct conf c;
	struct conf_listener listener;
	struct conf_source source;
	struct conf_route routes[3];
	const char *remove[4], *postmasters[2];
	int refs;
	bool no_source;
};

/* Stand-ins, weak: only these three are needed of a snapshot, and ours are not made by the reader.
 */
__attribute__((weak)) struct conf *conf_ref(struct conf *c)
{
	((struct test_conf *)(void *)c)->refs++;
	return c;
}
__attribute__((weak)) void conf_unref(struct conf *c)
{
	if (c)
		((struct test_conf *)(void *)c)->refs--;
}
__attribute__((weak)) int conf_source_for(const struct conf *c, const struct sockaddr *peer)
{
	(void)peer;
	return ((const struct test_conf *)(const void *)c)->no_source ? CONF_NONE : 0;
}

static inline void test_conf_init(struct test_conf *t)
{
	*t = (struct test_conf){ .refs = 0 };
	t->routes[0] = (struct conf_route){ "pool-a", CONF_NONE, 0 };
	t->routes[1] = (struct conf_route){ "vmta1", 0, CONF_NONE };
	t->routes[2] = (struct conf_route){ "vmta2", 1, CONF_NONE };
	t->source = (struct conf_source){ .name = "app",
					  .always_allow_relaying = true,
					  .default_route = CONF_NONE,
					  .max_rcpt_per_message = 1000,
					  .priority = 50,
					  .add_date = true,
					  .add_message_id = true,
					  .remove_headers = t->remove };
	t->listener = (struct conf_listener){ .name = "127.0.0.1:25",
					      .source = CONF_NONE,
					      .default_route = CONF_NONE };
	t->c.mta.hostname = "mx.test";
	t->c.mta.max_message_size = 50 * 1024 * 1024;
	t->c.mta.max_hops = 100;
	t->c.mta.default_route = 0;
	t->c.mta.postmasters = t->postmasters;
	t->c.listeners = &t->listener;
	t->c.nlisteners = 1;
	t->c.sources = &t->source;
	t->c.nsources = 1;
	t->c.routes = t->routes;
	t->c.nroutes = 3;
}

/* ---- the world ---- */

enum answer_kind { ANSWER_COMMIT, ANSWER_LARGE };
struct answer {
	enum answer_kind kind;
	uint64_t session;
	enum server_large_what what;
	const struct err *err;
};
struct step {
	char *word;
	struct buf arg; /* unescaped */
	long times;
	int line;
};
struct world {
	struct loop *loop;
	struct server *srv;
	struct test_conf conf, conf2;
	struct timer limit;
	const char *name;
	struct rng rng;

	int fd; /* the peer's end; -1: closed */
	bool eof;
	struct buf out; /* what the peer has still to send */
	struct buf got;
	size_t piece; /* bytes the peer sends a pass; 0: all; 1 << 20: random */

	struct step steps[STEPS_MAX];
	int nsteps, at, quiet;

	uint64_t last_id;
	int credits;
	bool manual, no_rate, deaf;
	struct answer answers[ANSWERS_MAX];
	int nanswers;
	int messages, rejected, closed, aborted;
	unsigned large_out, large_out_max;
	bool large_open;
	struct buf envelope, wire, large, rejection;
	void (*on_pass)(struct world *w);
};

/* ---- the program's side ---- */

static inline void answer_later(struct world *w, struct answer a)
{
	if (w->nanswers == ANSWERS_MAX)
		fatal("test: too many answers");
	w->answers[w->nanswers++] = a;
}

static inline uint64_t env_new_id(void *arg)
{
	return ++((struct world *)arg)->last_id;
}

static inline bool env_credit_take(void *arg)
{
	struct world *w = arg;

	if (!w->credits)
		return false;
	w->credits--;
	return true;
}

static inline void env_credit_give(void *arg)
{
	((struct world *)arg)->credits++;
}

static inline void envelope(struct world *w, const struct message *m)
{
	struct buf *b = &w->envelope;

	buf_clear(b);
	buf_addf(
	    b, "id=%llx sender=<%.*s> job=%.*s user=%.*s route=%.*s client=%.*s priority=%d ret=%d",
	    (unsigned long long)m->id, (int)m->sender.n, m->sender.p, (int)m->job.n, m->job.p,
	    (int)m->user.n, m->user.p, (int)m->route.n, m->route.p, (int)m->client.n, m->client.p,
	    m->priority, m->ret);
	buf_addf(b, " envid=%.*s utf8=%d eightbit=%d dots=%d large=%d n=%u", (int)m->envid.n,
		 m->envid.p, m->smtputf8, m->eightbit, m->body->dot_line, !body_in_memory(m->body),
		 m->nrcpts);
	for (uint32_t i = 0; i < m->nrcpts; i++) {
		const struct message_rcpt *r = &m->rcpts[i];

		buf_addf(b, " rcpt=<%.*s> at %.*s notify=%d orcpt=%.*s;", (int)r->address.n,
			 r->address.p, (int)r->domain.n, r->domain.p, r->notify, (int)r->orcpt.n,
			 r->orcpt.p);
	}
}

static inline void env_submit(void *arg, uint64_t session, struct message *m)
{
	struct world *w = arg;

	w->messages++;
	envelope(w, m);
	buf_clear(&w->wire);
	if (body_in_memory(m->body)) {
		assert_true(m->body->size <= BODY_MEMORY_MAX);
		assert_int_equal(m->body->size, m->body->head.n + m->body->data.n);
		assert_true(m->body->charged >= m->body->data.n);
		buf_adds(&w->wire, m->body->head);
		buf_adds(&w->wire, m->body->data);
	} else {
		buf_adds(&w->wire, buf_str(&w->large));
	}
	assert_true(w->wire.n >= 2 && memcmp(w->wire.p + w->wire.n - 2, "\r\n", 2) == 0);
	message_free(m);
	answer_later(w, (struct answer){ .kind = ANSWER_COMMIT, .session = session });
}

static inline void env_large_create(void *arg, uint64_t session, uint64_t message_id)
{
	struct world *w = arg;

	assert_true(w->on_pass || (message_id == w->last_id && !w->large_open));
	w->large_open = true;
	buf_clear(&w->large);
	answer_later(w, (struct answer){ ANSWER_LARGE, session, SERVER_LARGE_CREATED, NULL });
}

static inline void env_large_write(void *arg, uint64_t session, struct buf *chunk)
{
	struct world *w = arg;

	assert_true(w->on_pass || w->large_open);
	assert_true(chunk->n <= BODY_CHUNK);
	buf_adds(&w->large, buf_str(chunk));
	buf_free(chunk);
	if (++w->large_out > w->large_out_max)
		w->large_out_max = w->large_out;
	answer_later(w, (struct answer){ ANSWER_LARGE, session, SERVER_LARGE_WRITTEN, NULL });
}

static inline void env_large_finish(void *arg, uint64_t session, bool dot_line, bool eightbit)
{
	struct world *w = arg;

	(void)dot_line;
	(void)eightbit;
	assert_true(w->on_pass || w->large_open);
	w->large_open = false;
	answer_later(w, (struct answer){ ANSWER_LARGE, session, SERVER_LARGE_FINISHED, NULL });
}

static inline void env_large_abort(void *arg, uint64_t session)
{
	struct world *w = arg;

	(void)session;
	w->aborted++;
	w->large_open = false;
}

static inline void env_rejected(void *arg, const struct event *e)
{
	struct world *w = arg;

	w->rejected++;
	buf_clear(&w->rejection);
	buf_addf(&w->rejection, "%.*s <%.*s> <%.*s> %.*s from %.*s user %.*s", (int)e->enhanced.n,
		 e->enhanced.p, (int)e->sender.n, e->sender.p, (int)e->recipient.n, e->recipient.p,
		 (int)e->reply.n, e->reply.p, (int)e->source_ip.n, e->source_ip.p, (int)e->user.n,
		 e->user.p);
}

static inline bool env_source_rate(void *arg, const struct conf *c, int source, us_t now)
{
	(void)c;
	(void)now;
	assert_int_equal(source, 0);
	return !((struct world *)arg)->no_rate;
}

static inline void env_closed(void *arg, const struct endpoint *peer, int listener)
{
	(void)peer;
	assert_int_equal(listener, 0);
	((struct world *)arg)->closed++;
}

static inline void give_answer(struct world *w)
{
	struct answer a = w->answers[0];
	struct body *body = NULL;

	memmove(w->answers, w->answers + 1, (size_t)--w->nanswers * sizeof a);
	if (a.kind == ANSWER_COMMIT) {
		server_committed(w->srv, a.session, a.err);
		return;
	}
	if (a.what == SERVER_LARGE_WRITTEN)
		w->large_out--;
	if (a.what == SERVER_LARGE_FINISHED)
		body = body_new_file(body_file_new(-1, NULL, NULL), 0, w->large.n, true, true);
	server_large(w->srv, a.session, a.what, body);
}

/* ---- the peer's side ---- */

static inline void peer_closed(struct world *w)
{
	w->eof = true;
}

static inline void peer_send(struct world *w)
{
	size_t n = w->out.n;
	ssize_t sent;

	if (w->fd < 0 || !n)
		return;
	if (w->piece == 1 << 20)
		n = 1 + (size_t)rng_below(&w->rng, 40);
	else if (w->piece)
		n = w->piece;
	if (n > w->out.n)
		n = w->out.n;
	sent = send(w->fd, w->out.p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (sent > 0)
		buf_shift(&w->out, (size_t)sent);
	else if (errno != EAGAIN)
		buf_clear(&w->out); /* the server is gone; its last words are still to be read */
}

static inline void peer_receive(struct world *w)
{
	char p[4096];
	ssize_t n;

	if (w->deaf)
		return;
	while (w->fd >= 0 && !w->eof && (n = recv(w->fd, p, sizeof p, MSG_DONTWAIT)) != -1) {
		if (!n)
			peer_closed(w);
		else
			buf_add(&w->got, p, (size_t)n);
	}
	if (w->fd >= 0 && !w->eof && errno != EAGAIN)
		peer_closed(w);
}

static inline void world_connect(struct world *w)
{
	int fds[2];
	struct endpoint peer;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = fds[1];
	w->eof = false;
	assert_true(endpoint_parse(STR_LIT("192.0.2.7"), 4711, &peer));
	server_accept(w->srv, fds[0], &peer, 0);
}

/* ---- dialogs ---- */

static inline void unescape(const char *z, struct buf *out)
{
	for (; *z; z++) {
		char hex[3] = { 0 };

		if (*z != '\\') {
			buf_addc(out, *z);
			continue;
		}
		switch (*++z) {
		case 'r':
			buf_addc(out, '\r');
			break;
		case 'n':
			buf_addc(out, '\n');
			break;
		case 't':
			buf_addc(out, '\t');
			break;
		case '0':
			buf_addc(out, '\0');
			break;
		case 'x':
			memcpy(hex, z + 1, 2);
			buf_addc(out, (char)strtol(hex, NULL, 16));
			z += 2;
			break;
		default:
			buf_addc(out, *z);
		}
	}
}

static inline void conf_step(struct world *w, const char *word)
{
	struct conf_source *s = &w->conf.source;
	const char *value = strchr(word, ' ') ? strchr(word, ' ') + 1 : "";
	size_t n = strcspn(word, " ");
	struct str k = { word, n };

	if (str_eqz(k, "relay"))
		s->always_allow_relaying = strcmp(value, "no") != 0;
	else if (str_eqz(k, "source-none"))
		w->conf.no_source = true;
	else if (str_eqz(k, "size"))
		w->conf.c.mta.max_message_size = atol(value);
	else if (str_eqz(k, "source-size"))
		s->max_message_size = atol(value);
	else if (str_eqz(k, "max-rcpt"))
		s->max_rcpt_per_message = atoi(value);
	else if (str_eqz(k, "max-hops"))
		w->conf.c.mta.max_hops = atoi(value);
	else if (str_eqz(k, "postmaster"))
		w->conf.postmasters[w->conf.c.mta.npostmasters++] = value;
	else if (str_eqz(k, "hide-source"))
		s->hide_source = true;
	else if (str_eqz(k, "add-nothing"))
		s->add_date = s->add_message_id = false;
	else if (str_eqz(k, "remove-header"))
		w->conf.remove[s->nremove_headers++] = value;
	else if (str_eqz(k, "banner"))
		w->conf.listener.banner = value;
	else if (str_eqz(k, "route-source"))
		s->default_route = atoi(value);
	else if (str_eqz(k, "route-listener"))
		w->conf.listener.default_route = atoi(value);
	else if (str_eqz(k, "route-mta"))
		w->conf.c.mta.default_route = atoi(value);
	else if (str_eqz(k, "credits"))
		w->credits = atoi(value);
	else
		fail_msg("%s: conf: %s?", w->name, word);
}

static inline void do_step(struct world *w, const char *word)
{
	static const struct {
		const char *name;
		unsigned bits;
	} holds[] = { { "none", 0 },
		      { "stall", SERVER_HOLD_STALL },
		      { "floor", SERVER_HOLD_FLOOR },
		      { "memory", SERVER_HOLD_MEMORY },
		      { "failed", SERVER_HOLD_FAILED },
		      { "drain", SERVER_HOLD_DRAIN } };
	const char *value = strchr(word, ' ') ? strchr(word, ' ') + 1 : "";
	struct str k = { word, strcspn(word, " ") };

	if (str_eqz(k, "hold")) {
		for (size_t i = 0; i < sizeof holds / sizeof *holds; i++)
			if (!strcmp(value, holds[i].name))
				server_hold(w->srv, holds[i].bits);
	} else if (str_eqz(k, "manual")) {
		w->manual = true;
	} else if (str_eqz(k, "automatic")) {
		w->manual = false;
	} else if (str_eqz(k, "commit")) {
		assert_true(w->nanswers > 0);
		give_answer(w);
	} else if (str_eqz(k, "commit-fails")) {
		assert_true(w->nanswers > 0);
		w->answers[0].err =
		    !strcmp(value, "floor") ? &err_spool_floor : &err_spool_poisoned;
		give_answer(w);
	} else if (str_eqz(k, "large-fails")) {
		assert_true(w->nanswers > 0);
		w->answers[0].what = SERVER_LARGE_FAILED;
		w->large_open = false;
		w->large_out = 0;
		w->nanswers = 1;
		give_answer(w);
	} else if (str_eqz(k, "credits")) {
		w->credits = atoi(value);
		server_credit(w->srv);
	} else if (str_eqz(k, "budget")) {
		body_budget_set(*value ? body_budget_used() + (uint64_t)atol(value) : UINT64_MAX);
	} else if (str_eqz(k, "memory")) {
		server_memory(w->srv);
	} else if (str_eqz(k, "rate-reached")) {
		w->no_rate = true;
	} else if (str_eqz(k, "new-conf")) {
		w->conf2 = w->conf;
		w->conf2.refs = 0;
		w->conf2.c.sources = &w->conf2.source;
		w->conf2.source.name = "other";
		server_conf(w->srv, &w->conf2.c);
	} else if (str_eqz(k, "listener-gone")) {
		w->conf2 = w->conf;
		w->conf2.refs = 0;
		w->conf2.c.nlisteners = 0;
		server_conf(w->srv, &w->conf2.c);
	} else if (str_eqz(k, "shutdown")) {
		server_shutdown(w->srv, (*value ? atol(value) : 5000) * US_PER_MS);
	} else if (str_eqz(k, "impatient")) {
		w->srv->times = (struct server_times){ 40000, 40000, 40000, 40000, 40000, 40000 };
	} else if (str_eqz(k, "half-close")) {
		assert_int_equal(shutdown(w->fd, SHUT_WR), 0);
	} else if (str_eqz(k, "deaf")) {
		w->deaf = true;
	} else if (str_eqz(k, "hears")) {
		w->deaf = false;
	} else if (str_eqz(k, "reconnect")) {
		world_connect(w);
	} else {
		fail_msg("%s: do: %s?", w->name, word);
	}
}

static inline void fail_step(const struct world *w, const struct step *s, struct str got)
{
	struct str line = got;

	str_split(&got, '\n', &line);
	fail_msg("%s:%d: %s%.*s, but got \"%.*s\"", w->name, s->line, s->word, (int)s->arg.n,
		 s->arg.p, (int)(line.n > 300 ? 300 : line.n), line.p);
}

static inline bool holds_text(const struct buf *b, const struct buf *text)
{
	return !text->n || (b->n && memmem(b->p, b->n, text->p, text->n));
}

/* One reply line, if it is here. */
static inline bool expect_line(struct world *w, const struct step *s)
{
	char *lf = w->got.n ? memchr(w->got.p, '\n', w->got.n) : NULL;
	size_t n = lf ? (size_t)(lf + 1 - w->got.p) : 0;

	if (!lf) {
		if (w->eof)
			fail_step(w, s, STR_LIT("the server has closed"));
		return false;
	}
	if (n < 2 || w->got.p[n - 2] != '\r' || n > 514)
		fail_step(w, s, buf_str(&w->got));
	if (n < s->arg.n || memcmp(w->got.p, s->arg.p, s->arg.n) != 0)
		fail_step(w, s, buf_str(&w->got));
	buf_shift(&w->got, n);
	return true;
}

/* True when the step is done. */
static inline bool run_step(struct world *w, struct step *s)
{
	const char *z = s->word;

	if (!strcmp(z, "C: ") || !strcmp(z, "R: ") || !strcmp(z, "R*: ")) {
		for (long i = 0; i < s->times; i++)
			buf_adds(&w->out, buf_str(&s->arg));
		if (z[0] == 'C')
			buf_addz(&w->out, "\r\n");
		return true;
	}
	if (w->out.n && z[0] != 'S' && strcmp(z, "CLOSED") != 0 &&
	    !(w->at && !strcmp(w->steps[w->at - 1].word, "STUCK")))
		return false; /* what happens next happens after what was sent */
	if (!strcmp(z, "S: ") || !strcmp(z, "S*: ")) {
		while (s->times > 0 && expect_line(w, s))
			s->times--;
		return !s->times;
	}
	if (!strcmp(z, "STUCK")) {
		if (w->got.n || w->eof)
			fail_step(w, s, buf_str(&w->got));
		if (++w->quiet % QUIET_PASSES)
			return false;
		if (!w->out.n)
			fail_step(w, s, STR_LIT("all is sent"));
		return true;
	}
	if (!strcmp(z, "CLOSED")) {
		if (w->got.n)
			fail_step(w, s, buf_str(&w->got));
		return w->eof;
	}
	if (!strcmp(z, "QUIET")) {
		if (w->got.n || w->eof)
			fail_step(w, s, buf_str(&w->got));
		return ++w->quiet % QUIET_PASSES == 0;
	}
	if (!strcmp(z, "do: "))
		do_step(w, buf_z(&s->arg));
	else if (!strcmp(z, "MESSAGES ") && w->messages != atoi(buf_z(&s->arg)))
		fail_msg("%s:%d: %d messages", w->name, s->line, w->messages);
	else if (!strcmp(z, "E: ") && !holds_text(&w->envelope, &s->arg))
		fail_step(w, s, buf_str(&w->envelope));
	else if (!strcmp(z, "LAST: ") && !holds_text(&w->rejection, &s->arg))
		fail_step(w, s, buf_str(&w->rejection));
	else if (!strcmp(z, "M: ") && !holds_text(&w->wire, &s->arg))
		fail_step(w, s, buf_str(&w->wire));
	else if (!strcmp(z, "M!: ") && holds_text(&w->wire, &s->arg))
		fail_step(w, s, buf_str(&w->wire));
	else if (!strcmp(z, "M$: ") &&
		 (w->wire.n < s->arg.n ||
		  memcmp(w->wire.p + w->wire.n - s->arg.n, s->arg.p, s->arg.n) != 0))
		fail_step(w, s, buf_str(&w->wire));
	return true;
}

static inline void load_step(struct world *w, char *line, int number)
{
	static const char *const words[] = {
		"conf: ", "C: ",  "R: ",  "R*: ",   "S: ",    "S*: ",  "do: ",	"E: ",
		"M: ",	  "M!: ", "M$: ", "LAST: ", "CLOSED", "QUIET", "STUCK", "MESSAGES "
	};
	struct step *s = &w->steps[w->nsteps];
	size_t i = 0;

	line[strcspn(line, "\n")] = '\0';
	if (!line[0] || line[0] == '#')
		return;
	while (i < sizeof words / sizeof *words && strncmp(line, words[i], strlen(words[i])) != 0)
		i++;
	if (i == sizeof words / sizeof *words || w->nsteps == STEPS_MAX)
		fail_msg("%s:%d: what is \"%s\"?", w->name, number, line);
	line += strlen(words[i]);
	*s = (struct step){ .times = 1, .line = number };
	assert_non_null(s->word = str_dup(str_of(words[i])));
	if (!strcmp(s->word, "R*: ") || !strcmp(s->word, "S*: "))
		s->times = strtol(line, &line, 10), line++;
	unescape(line, &s->arg);
	if (!strcmp(s->word, "conf: "))
		conf_step(w, buf_z(&s->arg)); /* the text stays where it is */
	w->nsteps++;
}

static inline void load_dialog(struct world *w, const char *path)
{
	char *line = NULL;
	size_t cap = 0;
	int number = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	w->name = path;
	while (getline(&line, &cap, f) > 0)
		load_step(w, line, ++number);
	free(line);
	fclose(f);
}

/* ---- running ---- */

static inline bool world_pass(void *arg)
{
	struct world *w = arg;

	peer_receive(w);
	if (w->on_pass) {
		w->on_pass(w);
		peer_send(w);
		if (!w->manual && w->nanswers)
			give_answer(w);
		return true;
	}
	while (w->at < w->nsteps &&
	       (!strcmp(w->steps[w->at].word, "conf: ") || run_step(w, &w->steps[w->at])))
		w->at++;
	peer_send(w);
	if (!w->manual && w->nanswers)
		give_answer(w);
	if (w->at == w->nsteps)
		loop_stop(w->loop);
	return w->out.n || w->nanswers ||
	       (w->at < w->nsteps &&
		(!strcmp(w->steps[w->at].word, "QUIET") || !strcmp(w->steps[w->at].word, "STUCK")));
}

static inline void world_late(struct timer *t, void *arg)
{
	struct world *w = arg;

	(void)t;
	if (w->at < w->nsteps)
		fail_step(w, &w->steps[w->at], buf_str(&w->got));
	fail_msg("%s: the world stands still", w->name);
}

/* The loop sleeps until something happens: the peer's end must wake it too. */
static inline void world_watch(struct ev_loop *ev, ev_timer *t, int revents)
{
	(void)ev;
	(void)t;
	(void)revents;
}

static inline void world_init(struct world *w)
{
	struct server_env env = { .arg = w,
				  .new_id = env_new_id,
				  .credit_take = env_credit_take,
				  .credit_give = env_credit_give,
				  .submit = env_submit,
				  .large_create = env_large_create,
				  .large_write = env_large_write,
				  .large_finish = env_large_finish,
				  .large_abort = env_large_abort,
				  .rejected = env_rejected,
				  .source_rate = env_source_rate,
				  .closed = env_closed };

	memset(w, 0, sizeof *w);
	w->fd = -1;
	w->credits = 1000;
	w->last_id = 0xabc0;
	w->name = "world";
	rng_seed(&w->rng, 1);
	test_conf_init(&w->conf);
	body_budget_set(UINT64_MAX);
	body_budget_give(body_budget_used()); /* a test that failed may have left some */
	w->loop = loop_new("test");
	w->srv = server_new(w->loop, &env);
	assert_non_null(w->srv);
	server_conf(w->srv, &w->conf.c);
	loop_add_before_sleep(w->loop, world_pass, w);
	timer_init(&w->limit, world_late, w);
}

static inline void world_run(struct world *w)
{
	ev_timer tick;

	ev_timer_init(&tick, world_watch, 0.001, 0.001);
	ev_timer_start(loop_ev(w->loop), &tick);
	timer_set(w->loop, &w->limit, loop_now_exact(w->loop) + WORLD_DEADLINE_S * US_PER_S);
	loop_run(w->loop);
	ev_timer_stop(loop_ev(w->loop), &tick);
	timer_stop(w->loop, &w->limit);
}

/* Ends the world, and checks that nothing is left behind: no session, no credit, no memory, no
 * reference. */
static inline void world_end(struct world *w)
{
	struct server_stats st;

	server_stats(w->srv, &st);
	server_free(w->srv);
	if (w->fd >= 0)
		close(w->fd);
	assert_int_equal((uint64_t)w->closed, st.connections);
	assert_int_equal(body_budget_used(), 0);
	assert_int_equal(w->conf.refs, 0);
	assert_int_equal(w->conf2.refs, 0);
	assert_true(w->on_pass || w->large_out_max <= LARGE_OUTSTANDING);
	for (int i = 0; i < w->nsteps; i++) {
		free(w->steps[i].word);
		buf_free(&w->steps[i].arg);
	}
	buf_free(&w->out);
	buf_free(&w->got);
	buf_free(&w->envelope);
	buf_free(&w->wire);
	buf_free(&w->large);
	buf_free(&w->rejection);
	loop_free(w->loop);
}

#endif
