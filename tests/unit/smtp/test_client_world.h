/* A world for the SMTP client's tests: one loop on a thread of its own, the client in it, fake
 * receivers on loopback in the same loop, and a fake scheduler that keeps every message. Test and
 * loop take turns: the loop runs only inside world_wait, so tests may touch everything between
 * waits. */
#ifndef STOKER_TEST_CLIENT_WORLD_H
#define STOKER_TEST_CLIENT_WORLD_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/rng.h"
#include "core/smtp/client.h"

struct world;
struct receiver;

/* ---- receivers ---- */

enum { DO_REPLY = 0, DO_CLOSE = 1, DO_RESET = 2, DO_HOLD = 4 /* say nothing */ };
struct rule { /* for commands that begin with `cmd`; "CONNECT", "BODY" (first bytes after 354), "."
	       */
	const char *cmd;
	const char *reply; /* without final CRLF; NULL: the usual one */
	int what;
	int from; /* applies from the n-th match of the receiver's life, counting from 1; 0: always
		   */
	int seen;
};
enum { RULES_MAX = 24, RECEIVERS_MAX = 4 };

struct rconn {
	struct receiver *r;
	int fd;
	ev_io io;
	struct buf in;
	bool mail, data, body_seen;
	bool dead;	  /* answers nothing any more */
	struct buf rcpts; /* accepted ones, each followed by a blank */
	struct rconn *next;
};
struct receiver {
	struct world *w;
	int fd;
	bool v6;
	struct endpoint at;
	ev_io io;
	struct rule rules[RULES_MAX];
	int nrules;
	const char *ehlo; /* the whole reply */
	struct buf said;  /* all commands; "|" where a read ended */
	struct buf got;	  /* delivered: "a@x b@x ;" a message */
	struct buf body;  /* the last message, still stuffed, without the final dot */
	int connections, open, messages, rcpts;
	size_t read_max; /* bytes a read */
	/* Instead of the rules: the whole answer to a command; *took: the message counts as
	 * accepted whatever is said. */
	int (*answer)(struct rconn *c, struct str cmd, const char *usual, char out[1024],
		      bool *took);
	/* Instead of everything: all that comes is given here. */
	void (*chaos)(struct rconn *c);
	struct rconn *conns;
};

/* ---- the world ---- */

enum job_type { JOB_TO_IO, JOB_BODY, JOB_CHUNK };
struct job {
	enum job_type type;
	struct to_io to_io;
	uint64_t session, txn;
	struct body *body;
	uint64_t offset;
	size_t n;
};
struct world {
	struct loop *loop;
	struct client *client;
	struct classifier *classifier;
	pthread_t thread;
	sem_t go, ready;
	bool (*until)(struct world *w, const void *arg);
	const void *until_arg;
	us_t deadline;
	bool reached, poke;

	struct job jobs[8192];
	size_t njobs;
	int signatures[3]; /* told, by kind */
	struct from_io *log;
	size_t nlog, caplog;
	struct receiver *receivers[RECEIVERS_MAX];
	int nreceivers;
	uint64_t next_id;
	uint64_t *given; /* ids of all transactions made */
	size_t ngiven, capgiven;

	/* the fake scheduler's ways */
	uint32_t grant; /* permits given for each ASK; 0: none is answered */
	us_t grant_for;
	struct body *body; /* what load_body answers; NULL: an error */
	bool hold_bodies;  /* load_body and read_chunk are not answered */
	struct buf file;   /* what read_chunk reads */
	size_t chunks_out, chunks_max, chunks_asked;
	void (*on_message)(struct world *w, const struct from_io *m);
	void (*before_job)(struct world *w, struct job *j);
	struct rng rng;
	void *user;
};

static inline void world_post(struct world *w, struct job j)
{
	if (w->njobs == sizeof w->jobs / sizeof *w->jobs)
		fatal("test: too many jobs");
	w->jobs[w->njobs++] = j;
}

static inline void to_sched(void *arg, const struct from_io *m)
{
	struct world *w = arg;

	if (w->nlog == w->caplog) {
		w->caplog = w->caplog ? w->caplog * 2 : 64;
		w->log = realloc(w->log, w->caplog * sizeof *w->log);
		if (!w->log)
			fatal("test: no memory");
	}
	w->log[w->nlog++] = *m;
	if (m->type == FROM_IO_ASK && w->grant) {
		struct to_io g = { .type = TO_IO_GRANT,
				   .session = m->session,
				   .n = w->grant < m->n ? w->grant : m->n,
				   .until = w->grant_for == US_NEVER
						? US_NEVER
						: clock_now_us() + w->grant_for };
		world_post(w, (struct job){ .type = JOB_TO_IO, .to_io = g });
	}
	if (w->on_message)
		w->on_message(w, m);
}

static inline void load_body(void *arg, uint64_t session, uint64_t txn, uint64_t message,
			     const struct handout_where *where)
{
	struct world *w = arg;

	(void)message;
	(void)where;
	world_post(w, (struct job){ .type = JOB_BODY, .session = session, .txn = txn });
}

static inline void read_chunk(void *arg, uint64_t session, uint64_t txn, struct body *body,
			      uint64_t offset, size_t n)
{
	struct world *w = arg;

	w->chunks_asked++;
	if (++w->chunks_out > w->chunks_max)
		w->chunks_max = w->chunks_out;
	world_post(w, (struct job){ .type = JOB_CHUNK,
				    .session = session,
				    .txn = txn,
				    .body = body,
				    .offset = offset,
				    .n = n });
}

static inline void do_chunk(struct world *w, struct job *j)
{
	struct buf b;

	w->chunks_out--;
	buf_init(&b);
	if (j->offset < w->file.n) {
		size_t left = w->file.n - j->offset;

		buf_add(&b, w->file.p + j->offset, left < j->n ? left : j->n);
	}
	client_chunk(w->client, j->session, j->txn, w->file.n ? &b : NULL, "disk on fire");
	buf_free(&b);
	body_unref(j->body);
}

static inline void do_job(struct world *w, struct job *j)
{
	if (w->before_job)
		w->before_job(w, j);
	switch (j->type) {
	case JOB_TO_IO:
		client_to_io(w->client, &j->to_io);
		break;
	case JOB_BODY:
		client_body(w->client, j->session, j->txn, w->body ? body_ref(w->body) : NULL,
			    "no such record");
		break;
	case JOB_CHUNK:
		do_chunk(w, j);
		break;
	}
}

static inline void run_jobs(struct world *w)
{
	size_t n = w->njobs, kept = 0;
	static struct job now[8192];

	memcpy(now, w->jobs, n * sizeof *now);
	w->njobs = 0;
	for (size_t i = 0; i < n; i++) {
		if (w->hold_bodies && now[i].type != JOB_TO_IO)
			now[kept++] = now[i];
		else
			do_job(w, &now[i]);
	}
	for (size_t i = 0; i < kept; i++)
		world_post(w, now[i]);
}

/* End of each pass: carry out what was asked for, and hand over to the test if it has what it waits
 * for. */
static inline bool world_pass(void *arg)
{
	struct world *w = arg;

	if (w->njobs)
		run_jobs(w);
	w->poke = false;
	while (w->until) {
		bool yes = w->until(w, w->until_arg);

		if (!yes && clock_now_us() < w->deadline)
			break;
		w->reached = yes;
		w->until = NULL;
		sem_post(&w->ready);
		while (sem_wait(&w->go) && errno == EINTR)
			;
		w->poke = true;
	}
	return (w->njobs && !w->hold_bodies) || w->poke;
}

static inline us_t world_tick(void *arg, us_t now)
{
	(void)arg;
	return now + 20 * US_PER_MS;
}

static inline void *world_thread(void *arg)
{
	struct world *w = arg;

	while (sem_wait(&w->go) && errno == EINTR)
		;
	loop_run(w->loop);
	return NULL;
}

static inline bool world_wait_quietly(struct world *w,
				      bool (*until)(struct world *w, const void *arg),
				      const void *arg, us_t within)
{
	w->until_arg = arg;
	w->deadline = clock_now_us() + within;
	w->until = until;
	sem_post(&w->go);
	while (sem_wait(&w->ready) && errno == EINTR)
		;
	return w->reached;
}

static inline void world_wait(struct world *w, bool (*until)(struct world *w, const void *arg),
			      const void *arg)
{
	assert_true(world_wait_quietly(w, until, arg, 20 * US_PER_S));
}

static inline void on_signature(void *arg, const struct signature *g)
{
	struct world *w = arg;

	w->signatures[g->kind]++;
}

static inline struct world *world_new(void)
{
	static bool once;
	struct world *w = calloc(1, sizeof *w);
	struct client_env env = { w, to_sched, load_body, read_chunk, on_signature, NULL, NULL };
	struct errbuf e;

	if (!once) {
		clock_init();
		hash_seed(1, 2);
		once = true;
	}
	if (!w)
		fatal("test: no memory");
	sem_init(&w->go, 0, 0);
	sem_init(&w->ready, 0, 0);
	w->loop = loop_new("test");
	w->classifier = classifier_new(&e);
	assert_non_null(w->classifier);
	w->client = client_new(w->loop, 7, &env, w->classifier);
	assert_non_null(w->client);
	w->grant_for = US_NEVER;
	rng_seed(&w->rng, 42);
	loop_add_before_sleep(w->loop, world_pass, w);
	loop_set_tick(w->loop, world_tick, w);
	assert_int_equal(pthread_create(&w->thread, NULL, world_thread, w), 0);
	return w;
}

/* ---- receivers: the other side ---- */

static inline void rconn_drop(struct rconn *c, bool reset)
{
	struct receiver *r = c->r;
	struct linger l = { 1, 0 };

	for (struct rconn **p = &r->conns; *p; p = &(*p)->next)
		if (*p == c) {
			*p = c->next;
			break;
		}
	ev_io_stop(loop_ev(r->w->loop), &c->io);
	if (reset)
		setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof l);
	close(c->fd);
	buf_free(&c->in);
	buf_free(&c->rcpts);
	r->open--;
	free(c);
}

static inline void rconn_say(struct rconn *c, const char *text, size_t n)
{
	if (n && send(c->fd, text, n, MSG_NOSIGNAL) != (ssize_t)n && errno != EPIPE &&
	    errno != ECONNRESET)
		fatal("test: a receiver can't answer: %s", strerror(errno));
}

static inline struct rule *rule_for(struct receiver *r, struct str cmd)
{
	for (int i = 0; i < r->nrules; i++) {
		struct rule *u = &r->rules[i];

		if (cmd.n < strlen(u->cmd) || memcmp(cmd.p, u->cmd, strlen(u->cmd)))
			continue;
		if (++u->seen >= u->from)
			return u;
	}
	return NULL;
}

static inline bool rconn_answer_freely(struct rconn *c, struct str cmd, const char *usual,
				       int *code)
{
	char text[1024] = "";
	bool took = false;
	int what = c->r->answer(c, cmd, usual, text, &took);

	if (code)
		*code = took ? 250 : atoi(text);
	rconn_say(c, text, strlen(text));
	c->dead = what & DO_HOLD;
	if (what & (DO_CLOSE | DO_RESET)) {
		rconn_drop(c, what & DO_RESET);
		return false;
	}
	return !c->dead;
}

/* False: the connection is gone. */
static inline bool rconn_answer(struct rconn *c, struct str cmd, const char *usual, int *code)
{
	if (c->r->answer)
		return rconn_answer_freely(c, cmd, usual, code);
	struct rule *u = rule_for(c->r, cmd);
	const char *text = u && u->reply ? u->reply : usual;
	int what = u ? u->what : DO_REPLY;

	if (what & DO_HOLD)
		text = NULL;
	if (text && !u && !*text)
		text = NULL;
	if (text) {
		if (code)
			*code = atoi(text);
		char whole[2048];
		int n = snprintf(whole, sizeof whole, "%s\r\n", text);

		rconn_say(c, whole, (size_t)n);
	} else if (code) {
		*code = 0;
	}
	if (what & (DO_CLOSE | DO_RESET)) {
		rconn_drop(c, what & DO_RESET);
		return false;
	}
	return true;
}

static inline bool rconn_command(struct rconn *c, struct str line)
{
	struct receiver *r = c->r;
	int code = 0;

	buf_adds(&r->said, line);
	buf_addc(&r->said, '\n');
	if (str_istarts(line, "EHLO"))
		return rconn_answer(c, line, r->ehlo, NULL);
	if (str_istarts(line, "MAIL") || str_istarts(line, "RSET")) {
		buf_clear(&c->rcpts);
		if (!rconn_answer(c, line, "250 2.1.0 Ok", &code))
			return false;
		c->mail = code == 250 && str_istarts(line, "MAIL");
		return true;
	}
	if (str_istarts(line, "RCPT")) {
		const char *end = memchr(line.p, '>', line.n);

		if (!rconn_answer(c, line, c->mail ? "250 2.1.5 Ok" : "503 5.5.1 MAIL first",
				  &code))
			return false;
		if (code / 100 == 2 && end) {
			buf_add(&c->rcpts, line.p + 9, (size_t)(end - line.p) - 9);
			buf_addc(&c->rcpts, ' ');
		}
		return true;
	}
	if (str_istarts(line, "DATA")) {
		const char *usual = c->rcpts.n ? "354 go ahead" : "554 5.5.1 no valid recipients";

		if (!rconn_answer(c, line, usual, &code))
			return false;
		c->data = code == 354;
		c->body_seen = false;
		return true;
	}
	if (str_istarts(line, "QUIT") && !r->answer) {
		struct rule *u = rule_for(r, line);

		if (!u || !(u->what & DO_HOLD)) {
			rconn_say(c, "221 bye\r\n", 9);
			rconn_drop(c, false);
			return false;
		}
		return true;
	}
	return rconn_answer(c, line, "250 Ok", NULL);
}

static inline void rconn_message(struct rconn *c, size_t n)
{
	struct receiver *r = c->r;

	buf_clear(&r->body);
	buf_add(&r->body, c->in.p, n);
	buf_addz(&r->said, ".\n");
}

static inline bool rconn_dot(struct rconn *c)
{
	struct receiver *r = c->r;
	const char *usual = c->rcpts.n ? "250 2.0.0 Ok: queued as ABC123" : "554 5.5.1 nobody";
	int code = 0;
	struct buf rcpts = c->rcpts;
	bool alive;

	buf_init(&c->rcpts);
	c->data = false;
	alive = rconn_answer(c, STR_LIT("."), usual, &code);
	if (code / 100 == 2) {
		buf_adds(&r->got, buf_str(&rcpts));
		buf_addc(&r->got, ';');
		r->messages++;
		for (size_t i = 0; i < rcpts.n; i++)
			r->rcpts += rcpts.p[i] == ' ';
	}
	buf_free(&rcpts);
	return alive;
}

/* One command or one message off the input; false: nothing whole is left, or the connection is
 * gone. */
static inline bool rconn_step(struct rconn *c, bool *alive)
{
	if (c->data) {
		char *end;
		size_t n;

		if (!c->body_seen && c->in.n) {
			c->body_seen = true;
			*alive = rconn_answer(c, STR_LIT("BODY"), "", NULL);
			if (!*alive)
				return false;
		}
		if (c->in.n >= 3 && !memcmp(c->in.p, ".\r\n", 3)) {
			rconn_message(c, 0);
			buf_shift(&c->in, 3);
		} else {
			end = memmem(c->in.p, c->in.n, "\r\n.\r\n", 5);
			if (!end)
				return false;
			n = (size_t)(end - c->in.p) + 2;
			rconn_message(c, n);
			buf_shift(&c->in, n + 3);
		}
		*alive = rconn_dot(c);
		return *alive;
	}
	char *lf = c->in.n ? memmem(c->in.p, c->in.n, "\r\n", 2) : NULL;
	if (!lf)
		return false;
	char line[4096];
	size_t n = (size_t)(lf - c->in.p);
	assert_true(n < sizeof line);
	memcpy(line, c->in.p, n);
	buf_shift(&c->in, n + 2);
	*alive = rconn_command(c, str_mem(line, n));
	return *alive;
}

static inline void rconn_readable(struct ev_loop *ev, ev_io *io, int revents)
{
	struct rconn *c = io->data;
	static char bytes[65536];
	bool alive = true;
	size_t max =
	    c->r->read_max && c->r->read_max < sizeof bytes ? c->r->read_max : sizeof bytes;
	ssize_t n = recv(c->fd, bytes, max, 0);

	(void)ev;
	(void)revents;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		rconn_drop(c, false);
		return;
	}
	if (c->dead)
		return;
	buf_add(&c->in, bytes, (size_t)n);
	if (c->r->chaos) {
		c->r->chaos(c);
		return;
	}
	while (alive && rconn_step(c, &alive))
		;
	if (alive && c->r->said.n && c->r->said.p[c->r->said.n - 1] != '|')
		buf_addc(&c->r->said, '|');
}

static inline void receiver_accept(struct ev_loop *ev, ev_io *io, int revents)
{
	struct receiver *r = io->data;
	int fd = accept4(r->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct rconn *c;

	(void)revents;
	if (fd < 0)
		return;
	c = calloc(1, sizeof *c);
	if (!c)
		fatal("test: no memory");
	*c = (struct rconn){ .r = r, .fd = fd, .next = r->conns };
	r->conns = c;
	r->connections++;
	r->open++;
	buf_init(&c->in);
	buf_init(&c->rcpts);
	ev_io_init(&c->io, rconn_readable, fd, EV_READ);
	c->io.data = c;
	ev_io_start(ev, &c->io);
	rconn_answer(c, STR_LIT("CONNECT"), "220 fake ESMTP", NULL);
}

#define EHLO_ALL                                                                                   \
	"250-fake\r\n250-PIPELINING\r\n250-SIZE 1000000\r\n250-8BITMIME\r\n250-DSN\r\n250 "        \
	"SMTPUTF8"
#define EHLO_NONE "250 fake"

/* NULL without IPv6 on this machine. */
static inline struct receiver *receiver_of(struct world *w, bool v6)
{
	struct receiver *r = calloc(1, sizeof *r);
	int on = 1;

	if (!r)
		fatal("test: no memory");
	*r = (struct receiver){ .w = w, .v6 = v6, .ehlo = EHLO_ALL };
	buf_init(&r->said);
	buf_init(&r->got);
	buf_init(&r->body);
	assert_true(endpoint_parse(v6 ? STR_LIT("::1") : STR_LIT("127.0.0.1"), 0, &r->at));
	r->fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (r->fd >= 0)
		setsockopt(r->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (r->fd < 0 || bind(r->fd, &r->at.sa, r->at.len) || listen(r->fd, 512)) {
		if (r->fd >= 0)
			close(r->fd);
		free(r);
		return NULL;
	}
	r->at.len = sizeof r->at.any;
	getsockname(r->fd, &r->at.sa, &r->at.len);
	ev_io_init(&r->io, receiver_accept, r->fd, EV_READ);
	r->io.data = r;
	ev_io_start(loop_ev(w->loop), &r->io);
	w->receivers[w->nreceivers++] = r;
	return r;
}

static inline struct receiver *receiver_new(struct world *w)
{
	struct receiver *r = receiver_of(w, false);

	if (!r)
		fatal("test: can't listen on 127.0.0.1");
	return r;
}

static inline void receiver_rule(struct receiver *r, struct rule u)
{
	assert_true(r->nrules < RULES_MAX);
	r->rules[r->nrules++] = u;
}

static inline void receiver_free(struct receiver *r)
{
	while (r->conns)
		rconn_drop(r->conns, true);
	ev_io_stop(loop_ev(r->w->loop), &r->io);
	close(r->fd);
	buf_free(&r->said);
	buf_free(&r->got);
	buf_free(&r->body);
	free(r);
}

/* ---- the end ---- */

static inline void txn_free(struct transaction *t)
{
	body_unref(t->body);
	t->body = NULL;
	transaction_free(t);
}

static inline void log_clear(struct world *w)
{
	for (size_t i = 0; i < w->nlog; i++) {
		struct from_io *m = &w->log[i];

		rstr_unref(m->host);
		rstr_unref(m->reply);
		if (m->txn)
			txn_free(m->txn);
	}
	w->nlog = 0;
}

static inline void world_free(struct world *w)
{
	loop_stop(w->loop);
	sem_post(&w->go);
	pthread_join(w->thread, NULL);
	for (size_t i = 0; i < w->njobs; i++) {
		if (w->jobs[i].body)
			body_unref(w->jobs[i].body);
		if (w->jobs[i].to_io.txn)
			txn_free(w->jobs[i].to_io.txn);
		session_spec_free(w->jobs[i].to_io.spec);
	}
	client_free(w->client);
	for (int i = 0; i < w->nreceivers; i++)
		receiver_free(w->receivers[i]);
	log_clear(w);
	free(w->log);
	free(w->given);
	body_unref(w->body);
	buf_free(&w->file);
	loop_free(w->loop);
	classifier_free(w->classifier);
	sem_destroy(&w->go);
	sem_destroy(&w->ready);
	free(w);
}

/* ---- what tests send ---- */

static inline struct session_spec *spec_new(struct world *w)
{
	struct session_spec *p = calloc(1, sizeof *p);

	if (!p)
		fatal("test: no memory");
	p->session = ++w->next_id;
	p->lane = rstr_new(STR_LIT("fake@vmta1"));
	p->site = rstr_new(STR_LIT("fake"));
	p->vmta = rstr_new(STR_LIT("vmta1"));
	p->ehlo4 = rstr_new(STR_LIT("four.example"));
	p->ehlo6 = rstr_new(STR_LIT("six.example"));
	assert_true(endpoint_parse(STR_LIT("127.0.0.9"), 0, &p->local4));
	assert_true(endpoint_parse(STR_LIT("::1"), 0, &p->local6));
	p->port = 25;
	p->smtp_pipelining = p->use_rs = true;
	p->max_msg_per_connection = 100;
	p->connect_timeout = p->greeting_timeout = p->command_timeout = 30 * US_PER_S;
	p->data_timeout = p->data_done_timeout = p->idle_timeout = 30 * US_PER_S;
	p->nhosts = w->nreceivers;
	p->hosts = calloc((size_t)w->nreceivers + 1, sizeof *p->hosts);
	for (int i = 0; i < w->nreceivers; i++) {
		char name[32];

		snprintf(name, sizeof name, "mx%d.fake", i + 1);
		p->hosts[i] = (struct dns_host){ .preference = i,
						 .name = str_dup(str_of(name)),
						 .address = malloc(sizeof(struct endpoint)),
						 .naddresses = 1 };
		p->hosts[i].address[0] = w->receivers[i]->at;
	}
	return p;
}

#define BODY_HEAD "Received: from here\r\n"
#define BODY_DATA "Subject: x\r\n\r\nhello\r\n"

static inline struct body *body_of(const char *head, struct str data)
{
	struct buf h, d;
	struct body *b;
	bool dot = false, eight = false;

	buf_init(&h);
	buf_init(&d);
	buf_addz(&h, head);
	buf_adds(&d, data);
	for (size_t i = 0; i < data.n; i++) {
		dot |= data.p[i] == '.' && (i == 0 || data.p[i - 1] == '\n');
		eight |= (unsigned char)data.p[i] > 127;
	}
	b = body_new_memory(&h, &d, 0, dot, eight);
	assert_non_null(b);
	return b;
}

/* rcpts: "a@x b@x". A body of its own, permits without end. */
static inline struct transaction *txn_new(struct world *w, const char *rcpts)
{
	uint32_t n = 1;
	struct transaction *t;
	struct str rest = str_of(rcpts), one;

	for (const char *p = rcpts; *p; p++)
		n += *p == ' ';
	t = transaction_new(n);
	if (!t)
		fatal("test: no memory");
	t->id = ++w->next_id;
	t->message = t->id + 1000000;
	if (w->ngiven == w->capgiven) {
		w->capgiven = w->capgiven ? w->capgiven * 2 : 64;
		w->given = realloc(w->given, w->capgiven * sizeof *w->given);
		if (!w->given)
			fatal("test: no memory");
	}
	w->given[w->ngiven++] = t->id;
	t->sender = arena_str(&t->arena, STR_LIT("from@here.example"));
	t->body = body_of(BODY_HEAD, STR_LIT(BODY_DATA));
	t->size = ((struct body *)t->body)->size;
	t->permit_until = US_NEVER;
	for (uint32_t i = 0; str_split(&rest, ' ', &one); i++) {
		t->rcpts[i].index = i;
		t->rcpts[i].address = arena_str(&t->arena, one);
	}
	return t;
}

static inline void send_to_io(struct world *w, struct to_io m)
{
	client_to_io(w->client, &m);
}

static inline uint64_t open_session(struct world *w, struct session_spec *p, struct transaction *t)
{
	uint64_t id = p->session;

	if (t)
		t->session = id;
	send_to_io(w, (struct to_io){ .type = TO_IO_OPEN, .session = id, .spec = p, .txn = t });
	return id;
}

static inline void give(struct world *w, uint64_t session, struct transaction *t)
{
	t->session = session;
	send_to_io(w, (struct to_io){ .type = TO_IO_TXN, .session = session, .txn = t });
}

static inline void close_session(struct world *w, uint64_t session)
{
	send_to_io(w, (struct to_io){ .type = TO_IO_CLOSE, .session = session });
}

/* ---- what tests wait for ---- */

static inline struct from_io *find_msg(struct world *w, enum from_io_type type, uint64_t number)
{
	for (size_t i = 0; i < w->nlog; i++)
		if (w->log[i].type == type && (!number || w->log[i].number == number))
			return &w->log[i];
	return NULL;
}
/* The same where it must be there. */
static inline struct from_io *the_msg(struct world *w, enum from_io_type type, uint64_t number)
{
	struct from_io *m = find_msg(w, type, number);

	if (!m)
		fatal("test: no message of type %d", (int)type);
	return m;
}
static inline struct transaction *the_txn(struct world *w, uint64_t number)
{
	struct transaction *t = the_msg(w, FROM_IO_DONE, number)->txn;

	if (!t)
		fatal("test: DONE without a transaction");
	return t;
}
static inline size_t count_msgs(struct world *w, enum from_io_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < w->nlog; i++)
		n += w->log[i].type == type;
	return n;
}
static inline struct from_io *down_of(struct world *w, uint64_t session)
{
	for (size_t i = 0; i < w->nlog; i++)
		if (w->log[i].type == FROM_IO_DOWN && w->log[i].session == session)
			return &w->log[i];
	return NULL;
}
static inline bool is_down(struct world *w, const void *session)
{
	return down_of(w, *(const uint64_t *)session) != NULL;
}
static inline bool is_done(struct world *w, const void *txn)
{
	return find_msg(w, FROM_IO_DONE, *(const uint64_t *)txn) != NULL;
}
static inline bool has_asked(struct world *w, const void *n)
{
	return count_msgs(w, FROM_IO_ASK) >= *(const size_t *)n;
}
static inline bool is_up(struct world *w, const void *n)
{
	return count_msgs(w, FROM_IO_UP) >= *(const size_t *)n;
}
/* The first receiver was told this. */
static inline bool was_said(struct world *w, const void *text)
{
	const struct buf *b = &w->receivers[0]->said;

	return b->n && memmem(b->p, b->n, text, strlen(text));
}

static inline struct from_io *wait_down(struct world *w, uint64_t session)
{
	world_wait(w, is_down, &session);
	struct from_io *down = down_of(w, session);
	if (!down)
		fatal("test: no DOWN");
	return down;
}
static inline struct transaction *wait_done(struct world *w, uint64_t txn)
{
	world_wait(w, is_done, &txn);
	return the_txn(w, txn);
}

/* Any receiver has accepted a message for this address. Addresses must be unique for that. */
static inline int times_got(struct world *w, struct str address)
{
	char word[300];
	int n = snprintf(word, sizeof word, "%.*s ", (int)address.n, address.p), times = 0;

	for (int i = 0; i < w->nreceivers; i++) {
		const struct buf *b = &w->receivers[i]->got;
		const char *p = b->p, *end = b->p + b->n;

		while (p && (p = memmem(p, (size_t)(end - p), word, (size_t)n)))
			times++, p += n;
	}
	return times;
}

/* Nothing is lost and nothing is told twice: each transaction came back once, before its session's
 * DOWN, and each recipient has one result or none; it got the message if its result says so, and
 * maybe_twice is the only doubt. */
static inline void check_ledger(struct world *w)
{
	for (size_t g = 0; g < w->ngiven; g++) {
		const struct transaction *t = NULL;

		for (size_t i = 0; i < w->nlog; i++) {
			struct from_io *m = &w->log[i];

			if (m->type != FROM_IO_DONE || m->number != w->given[g])
				continue;
			if (t)
				fail_msg("transaction %d came back twice", (int)w->given[g]);
			t = m->txn;
		}
		if (!t)
			fail_msg("transaction %d is lost", (int)w->given[g]);
		for (uint32_t i = 0; t && i < t->nrcpts; i++) {
			const struct txn_rcpt *r = &t->rcpts[i];
			bool ok = r->tried && r->verdict.class == CLASS_OK;
			int got = times_got(w, r->address);

			if (!r->tried && (r->reply || r->maybe_twice))
				fail_msg("%s: untried with a result", r->address.p);
			if (r->tried && (!r->reply || !r->verdict.rule || !r->verdict.enhanced[0]))
				fail_msg("%s: a result without words", r->address.p);
			if (got > 1 || (ok && !got) || (!ok && got && !r->maybe_twice))
				fail_msg("%s: got %d times, told %s", r->address.p, got,
					 r->tried ? r->reply->text : "untried");
		}
	}
}

#define said_all(r) buf_z(&(r)->said)
#define got_all(r)  buf_z(&(r)->got)
static inline const char *reply_of(const struct transaction *t, uint32_t i)
{
	return t->rcpts[i].reply ? t->rcpts[i].reply->text : "";
}

#endif
