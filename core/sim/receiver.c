#include "core/sim/receiver.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/net/listener.h"
#include "core/sim/world.h"
#include "core/smtp/framing.h"

enum {
	PORTS_TO_TRY = 50,
	LINE_MAX_BYTES = 2048,
	SESSION_MAX_BYTES = 64 * 1024 * 1024,
	RECEIVERS_MAX = 64
};

static const us_t SESSION_IDLE = 5 * US_PER_MIN;

struct receiver { /* one of the world's */
	struct sim_receivers *all;
	const struct receiver_def *def;
	struct listener *listener;
};

struct source { /* one source IP at one receiver */
	uint64_t key;
	unsigned connections;
	us_t second;	   /* start of the running second */
	unsigned messages; /* in it */
};

struct sim_receivers {
	struct loop *l;
	struct receiver r[RECEIVERS_MAX];
	int n;
	struct idmap sources; /* hash of (receiver, IP) -> struct source */
	struct idmap grey;    /* hash of (receiver, sender, recipient) -> struct grey */
};

struct grey {
	us_t first;
};

enum state { WAIT_COMMAND, WAIT_DATA, CLOSING };

struct session {
	struct receiver *r;
	struct source *src;
	struct io *io;
	enum state state;
	struct buf body;
	struct data_scan scan;
	struct buf replies; /* due at `timer` */
	struct timer timer;
	unsigned messages, rcpts;
	bool mail, close_after;
	char sender[300];
	char ip[ENDPOINT_SIZE];
};

static const struct temper *temper(const struct session *s)
{
	return &s->r->def->t;
}

static void session_free(struct session *s)
{
	timer_stop(s->r->all->l, &s->timer);
	if (s->src)
		s->src->connections--;
	buf_free(&s->body);
	buf_free(&s->replies);
	free(s);
}

static void session_end(struct session *s)
{
	io_close(s->io);
	session_free(s);
}

/* Replies leave after the receiver's latency, together. */
static void reply(struct session *s, const char *text)
{
	buf_addz(&s->replies, text);
	buf_addz(&s->replies, "\r\n");
	if (!s->timer.due)
		timer_set(s->r->all->l, &s->timer,
			  loop_now(s->r->all->l) + temper(s)->latency_ms * US_PER_MS);
}

static void replies_due(struct timer *t, void *arg)
{
	struct session *s = arg;
	(void)t;
	io_write(s->io, buf_str(&s->replies));
	buf_clear(&s->replies);
	if (!s->close_after)
		return;
	io_close_after_flush(s->io, US_PER_S);
	session_free(s);
}

static void hang_up(struct session *s, const char *text)
{
	reply(s, text);
	s->close_after = true;
	s->state = CLOSING;
}

static uint64_t hash_two(const void *p, struct str a, struct str b)
{
	uint64_t h[3] = { (uint64_t)(uintptr_t)p, hash_ibytes(a.p, a.n), hash_ibytes(b.p, b.n) };
	return hash_bytes(h, sizeof h);
}

static struct source *source_of(struct receiver *r, const char *ip)
{
	uint64_t key = hash_two(r, str_of(ip), STR_LIT(""));
	struct source *s = idmap_get(&r->all->sources, key);
	if (s)
		return s;
	s = calloc(1, sizeof *s);
	if (!s || !idmap_put(&r->all->sources, key, s)) {
		free(s);
		return NULL;
	}
	s->key = key;
	return s;
}

/* True: one more message in this second is tolerated. */
static bool rate_ok(struct session *s)
{
	us_t now = loop_now(s->r->all->l);
	if (!temper(s)->rate)
		return true;
	if (now - s->src->second >= US_PER_S) {
		s->src->second = now;
		s->src->messages = 0;
	}
	return ++s->src->messages <= temper(s)->rate;
}

static void do_ehlo(struct session *s, struct str arg)
{
	char text[256];
	(void)arg;
	snprintf(text, sizeof text,
		 "250-%s\r\n250-SIZE 50000000\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n%s250 "
		 "ENHANCEDSTATUSCODES",
		 s->r->def->mx[0], temper(s)->no_pipelining ? "" : "250-PIPELINING\r\n");
	reply(s, text);
}

static void do_mail(struct session *s, struct str arg)
{
	const struct temper *t = temper(s);
	if (t->max_messages && s->messages >= t->max_messages) {
		hang_up(s, "421 4.7.0 Max message per connection reached, closing connection");
		return;
	}
	if (!rate_ok(s)) {
		if (strncmp(t->rate_reply, "421", 3) == 0)
			hang_up(s, t->rate_reply);
		else
			reply(s, t->rate_reply);
		return;
	}
	snprintf(s->sender, sizeof s->sender, "%.*s", (int)(arg.n < 290 ? arg.n : 290), arg.p);
	s->mail = true;
	s->rcpts = 0;
	reply(s, "250 2.1.0 sender ok");
}

/* "TO:<a@b> …" -> a@b */
static struct str path_of(struct str arg)
{
	const char *open = memchr(arg.p, '<', arg.n);
	const char *close = open ? memchr(open, '>', arg.n - (size_t)(open - arg.p)) : NULL;
	return close ? (struct str){ open + 1, (size_t)(close - open) - 1 } : STR_LIT("");
}

static bool greylisted(struct session *s, struct str rcpt)
{
	us_t now = loop_now(s->r->all->l), delay = temper(s)->greylist;
	if (!delay)
		return false;
	uint64_t key = hash_two(s->src, str_of(s->sender), rcpt);
	struct grey *g = idmap_get(&s->r->all->grey, key);
	if (g)
		return now - g->first < delay;
	g = calloc(1, sizeof *g);
	if (!g || !idmap_put(&s->r->all->grey, key, g))
		free(g);
	else
		g->first = now;
	return true;
}

static void do_rcpt(struct session *s, struct str arg)
{
	const struct temper *t = temper(s);
	struct str rcpt = path_of(arg);
	unsigned percent = world_percent_of(rcpt);
	if (!s->mail) {
		reply(s, "503 5.5.1 need MAIL first");
		return;
	}
	if (percent < t->unknown_percent) {
		reply(s, t->unknown_reply);
		return;
	}
	if (percent < t->unknown_percent + t->full_percent) {
		reply(s, "452 4.2.2 The recipient's mailbox is over quota, try again later");
		return;
	}
	if (greylisted(s, rcpt)) {
		reply(s,
		      "450 4.2.0 Recipient address rejected: Greylisted, please come back later");
		return;
	}
	s->rcpts++;
	reply(s, "250 2.1.5 recipient ok");
}

static void do_data(struct session *s, struct str arg)
{
	(void)arg;
	if (!s->mail) {
		reply(s, "503 5.5.1 need MAIL first");
		return;
	}
	if (!s->rcpts) {
		reply(s, "554 5.5.1 no valid recipients");
		return;
	}
	s->state = WAIT_DATA;
	buf_clear(&s->body);
	data_scan_init(&s->scan, false);
	reply(s, "354 go ahead");
}

static void do_rset(struct session *s, struct str arg)
{
	(void)arg;
	s->mail = false;
	reply(s, "250 2.0.0 ok");
}

static void do_quit(struct session *s, struct str arg)
{
	(void)arg;
	hang_up(s, "221 2.0.0 bye");
}

static const struct {
	const char *verb;
	void (*run)(struct session *s, struct str arg);
} verbs[] = { { "EHLO", do_ehlo }, { "HELO", do_ehlo }, { "MAIL", do_mail }, { "RCPT", do_rcpt },
	      { "DATA", do_data }, { "RSET", do_rset }, { "NOOP", do_rset }, { "QUIT", do_quit } };

static void command(struct session *s, struct str line)
{
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
		if (!str_istarts(line, verbs[i].verb))
			continue;
		verbs[i].run(s, (struct str){ line.p + 4, line.n - 4 });
		return;
	}
	reply(s, "500 5.5.1 what?");
}

static void message_done(struct session *s)
{
	char text[96];
	s->messages++;
	s->mail = false;
	s->state = WAIT_COMMAND;
	snprintf(text, sizeof text, "250 2.0.0 OK %08llx",
		 (unsigned long long)(loop_now(s->r->all->l) ^ (us_t)(uintptr_t)s) & 0xffffffffu);
	reply(s, text);
}

/* Takes what it can of the input; false: needs more bytes. */
static bool eat_data(struct session *s, struct str in)
{
	struct str after = { NULL, 0 };
	size_t before = in.n;
	if (s->body.n + in.n > SESSION_MAX_BYTES) {
		hang_up(s, "552 5.3.4 too much");
		return false;
	}
	buf_adds(&s->body, in);
	enum data_result r = data_scan(&s->scan, &s->body, &after);
	io_consume(s->io, before - after.n);
	if (r == DATA_END)
		message_done(s);
	else if (r != DATA_MORE)
		hang_up(s, "554 5.5.2 bare CR or LF");
	return r == DATA_END;
}

static bool eat_line(struct session *s, struct str in)
{
	struct str line;
	size_t used = 0;
	char copy[LINE_MAX_BYTES];
	enum line_result r = framing_line(in, LINE_MAX_BYTES, &line, &used);
	if (r == LINE_MORE)
		return false;
	if (r != LINE_OK) {
		hang_up(s, "500 5.5.2 bad line");
		return false;
	}
	memcpy(copy, line.p, line.n);
	io_consume(s->io, used);
	command(s, (struct str){ copy, line.n });
	return true;
}

static void session_event(struct io *io, enum io_event ev, void *arg)
{
	struct session *s = arg;
	if (ev == IO_EOF || ev == IO_ERROR || ev == IO_TIMEOUT) {
		session_end(s);
		return;
	}
	if (ev != IO_DATA)
		return;
	io_set_deadline(io, loop_now(s->r->all->l) + SESSION_IDLE);
	for (;;) {
		struct str in = io_input(io);
		if (!in.n || s->state == CLOSING)
			return;
		if (!(s->state == WAIT_DATA ? eat_data(s, in) : eat_line(s, in)))
			return;
	}
}

static void greet(struct session *s)
{
	const struct temper *t = temper(s);
	char text[300];
	if (t->refuse_source && strcmp(t->refuse_source, s->ip) == 0) {
		hang_up(s, t->refuse_reply);
		return;
	}
	if (t->max_connections && s->src->connections > t->max_connections) {
		hang_up(s, "421 4.7.1 Too many connections from your host");
		return;
	}
	snprintf(text, sizeof text, "220 %s ESMTP simulated", s->r->def->mx[0]);
	reply(s, text);
}

static void accepted(void *arg, int fd, const struct endpoint *peer)
{
	struct receiver *r = arg;
	struct session *s = calloc(1, sizeof *s);
	if (!s) {
		close(fd);
		return;
	}
	s->r = r;
	endpoint_print(peer, s->ip);
	s->io = io_new(r->all->l, fd, session_event, s);
	s->src = s->io ? source_of(r, s->ip) : NULL;
	timer_init(&s->timer, replies_due, s);
	if (!s->src) {
		if (s->io)
			io_close(s->io);
		free(s);
		return;
	}
	s->src->connections++;
	greet(s);
}

static bool bind_all(struct sim_receivers *all, uint16_t port, int *fds)
{
	for (int i = 0; i < all->n; i++) {
		char ip[16];
		struct endpoint at;
		struct errbuf e = { "" };
		fds[i] = -1;
		if (all->r[i].def->t.down)
			continue;
		world_address(i, ip);
		if (endpoint_parse(str_of(ip), port, &at))
			fds[i] = listener_bind(&at, &e);
		if (fds[i] >= 0)
			continue;
		while (i-- > 0)
			if (fds[i] >= 0)
				close(fds[i]);
		return false;
	}
	return true;
}

struct sim_receivers *sim_receivers_start(struct loop *l, uint16_t *port)
{
	struct sim_receivers *all = calloc(1, sizeof *all);
	int fds[RECEIVERS_MAX];
	if (!all)
		return NULL;
	const struct receiver_def *defs = world_receivers(&all->n);
	all->l = l;
	idmap_init(&all->sources);
	idmap_init(&all->grey);
	for (int i = 0; i < all->n; i++)
		all->r[i] = (struct receiver){ .all = all, .def = &defs[i] };
	for (int tries = 0; tries < PORTS_TO_TRY; tries++, (*port)++) {
		if (!bind_all(all, *port, fds))
			continue;
		for (int i = 0; i < all->n; i++)
			if (fds[i] >= 0)
				all->r[i].listener =
				    listener_start(l, fds[i], accepted, &all->r[i]);
		return all;
	}
	free(all);
	return NULL;
}

void sim_receivers_stop(struct sim_receivers *all)
{
	for (int i = 0; i < all->n; i++)
		if (all->r[i].listener)
			listener_stop(all->r[i].listener);
	idmap_free(&all->sources);
	idmap_free(&all->grey);
	free(all);
}
