/* A world for the SMTP server's tests: one loop, the server in it, a fake program behind
 * server_env, and a peer at the other end of a socketpair. Everything runs on the test's thread;
 * the world's turn comes at the end of each loop pass. */
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

enum { STEPS_MAX = 400, ANSWERS_MAX = 64, DOOR = 7 };

/* ---- configuration: a snapshot by hand, so that only the server is on trial ---- */

struct test_conf {
	struct conf c;
	struct conf_listener listener;
	struct conf_source source;
	struct conf_route routes[3];
	struct conf_user user;
	const char *remove[4], *postmasters[2];
	int refs;
	bool no_source;
};

/* Stand-ins, weak: only these are needed of a snapshot, and ours are not made by the reader.
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
__attribute__((weak)) int conf_inbound_for(const struct conf *c, struct str domain)
{
	(void)c;
	(void)domain;
	return CONF_NONE;
}

__attribute__((weak)) int conf_source_for(const struct conf *c, const struct sockaddr *peer)
{
	(void)peer;
	return ((const struct test_conf *)(const void *)c)->no_source ? CONF_NONE : 0;
}

__attribute__((weak)) int conf_route_find(const struct conf *c, struct str name)
{
	for (int i = 0; i < c->nroutes; i++)
		if (str_eqz(name, c->routes[i].name))
			return i;
	return CONF_NONE;
}

__attribute__((weak)) int conf_user_find(const struct conf *c, struct str name)
{
	for (int i = 0; i < c->nusers; i++)
		if (str_ieqz(name, c->users[i].name))
			return i;
	return CONF_NONE;
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
	t->user = (struct conf_user){
		.name = "ann", .password = "$6$hash", .source = CONF_NONE, .priority = 7
	};
	t->c.users = &t->user;
	t->c.nusers = 1;
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

static inline void env_auth(void *arg, uint64_t session, const struct server_auth_ask *a)
{
	struct world *w = arg;
	bool right = a->hash && strcmp(a->hash, "$6$hash") == 0 && str_eqz(a->password, "right");

	server_auth(w->srv, session, right ? SERVER_AUTH_OK : SERVER_AUTH_WRONG, 0);
}

static inline void env_closed(void *arg, const struct endpoint *peer, int door)
{
	(void)peer;
	assert_int_equal(door, DOOR);
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
	server_accept(w->srv, fds[0], &peer, "127.0.0.1:25", DOOR);
}

#endif
