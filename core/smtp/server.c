/* The server's face: accepting, configuration, holds, and the answers that sessions wait for. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/smtp/server_session.h"

#define SERVER_MAGIC 0x73727672u

static const us_t TURNS_US = 2 * US_PER_MS;

/* Sessions of several io threads meet in one worker: their ids must differ. */
enum { SERVER_ID_SHIFT = 48 };
static uint64_t servers; /* atomic: how many were made */

/* RFC 5321 4.5.3.2 says how long clients wait: 5 min for MAIL's answer, 2 for 354's, 3 for a block
 * of data to be taken. We refuse before they give up. */
static const struct server_times usual_times = {
	.command = 5 * US_PER_MIN,
	.data = 5 * US_PER_MIN,
	.stall = 4 * US_PER_MIN,
	.credit = 90 * US_PER_S,
	.memory = 100 * US_PER_S,
	.last_line = 10 * US_PER_S,
};

static void shutdown_due(struct timer *t, void *arg);

/* Before the loop would sleep: sessions that had their turn in this pass go on, as many as fit into
 * TURNS_US; a thousand that flood must not hold the others up. True: some want one more. */
static bool next_turn(void *arg)
{
	struct server *srv = arg;
	struct session *last = srv->for_turn.last;
	us_t until = last ? clock_now_us() + TURNS_US : 0;
	bool done = !last;

	while (!done) {
		struct session *s = srv->for_turn.first;

		done = s == last || clock_now_us() >= until;
		wait_over(s);
		io_resume(s->io);
		session_drive(s);
	}
	return srv->for_turn.first != NULL;
}

struct server *server_new(struct loop *l, const struct server_env *env)
{
	struct server *srv = calloc(1, sizeof *srv);

	if (!srv)
		return NULL;
	srv->magic = SERVER_MAGIC;
	srv->loop = l;
	srv->env = *env;
	srv->times = usual_times;
	srv->next_id = __atomic_add_fetch(&servers, 1, __ATOMIC_RELAXED) << SERVER_ID_SHIFT;
	pool_init(&srv->pool, "smtp-in", sizeof(struct session));
	idmap_init(&srv->by_id);
	timer_init(&srv->shutdown, shutdown_due, srv);
	loop_add_before_sleep(l, next_turn, srv);
	return srv;
}

/* Ends all sessions; `line`: what they are told. */
static void end_all(struct server *srv, const char *line)
{
	while (srv->all.first) {
		struct session *s = srv->all.first;

		say_and_close(s, line);
		session_drive(s);
	}
}

void server_free(struct server *srv)
{
	if (!srv)
		return;
	OBJ_CHECK(srv, SERVER_MAGIC);
	end_all(srv, NULL);
	timer_stop(srv->loop, &srv->shutdown);
	idmap_free(&srv->by_id);
	pool_free(&srv->pool);
	conf_unref(srv->conf);
	srv->magic = 0;
	free(srv);
}

void server_conf(struct server *srv, struct conf *c)
{
	struct conf *was = srv->conf;

	OBJ_CHECK(srv, SERVER_MAGIC);
	srv->conf = conf_ref(c);
	conf_unref(was);
}

/* Each session in turn; it may be gone afterwards. */
static void wake_all(struct server *srv, enum server_wait w)
{
	struct session *next;

	for (struct session *s = srv->all.first; s; s = next) {
		next = s->in_all.next;
		if (s->wait != w)
			continue;
		wait_over(s);
		session_drive(s);
	}
}

void server_hold(struct server *srv, unsigned holds)
{
	bool stalled = srv->holds & SERVER_HOLD_STALL;

	srv->holds = holds;
	if (stalled && !(holds & SERVER_HOLD_STALL))
		wake_all(srv, WAIT_STALL);
}

/* ---- connections ---- */

void server_refuse(int fd, const char *text)
{
	char line[REPLY_LINE + 3];
	int n = snprintf(line, sizeof line, "421 %s\r\n", text);

	/* A new connection has room for a line; if not, closing says enough. */
	if (n > 0 && n < (int)sizeof line &&
	    send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) == n)
		(void)shutdown(fd, SHUT_WR);
	close(fd);
}

void greet(struct session *s)
{
	const char *host = s->conf->mta.hostname;
	const char *banner = s->conf->listeners[s->listener].banner;

	if (s->srv->closing || (s->srv->holds & SERVER_HOLD_DRAIN))
		say_and_close(s, "421 4.3.2 No new mail is taken here now, try again later");
	else if (!banner)
		sayf(s, "220 %s ESMTP Stoker", host);
	else if (str_istarts(str_of(banner), host))
		sayf(s, "220 %s", banner);
	else
		sayf(s, "220 %s %s", host, banner);
}

void server_accept(struct server *srv, int fd, const struct endpoint *peer, const char *listener,
		   int door)
{
	struct session *s = NULL;
	int index = srv->conf ? server_find_listener(srv->conf, listener) : CONF_NONE;

	OBJ_CHECK(srv, SERVER_MAGIC);
	if (index < 0)
		server_refuse(fd, "4.3.2 This listener is gone, try again later");
	else
		s = server_session_open(srv, fd, peer, index);
	if (!s) {
		srv->env.closed(srv->env.arg, peer, door);
		return;
	}
	s->door = door;
	srv->stats.connections++;
	if (s->wait != WAIT_TLS)
		greet(s);
	session_drive(s);
}

/* ---- answers ---- */

static const char *commit_refusal(const struct err *err)
{
	return err == &err_spool_floor
		   ? "452 4.3.1 Insufficient system storage, try again later"
		   : "451 4.3.0 The message cannot be written now, try again later";
}

void server_committed(struct server *srv, uint64_t session, const struct err *err)
{
	struct session *s = idmap_get(&srv->by_id, session);

	if (!s || s->wait != WAIT_COMMIT)
		return;
	wait_over(s);
	enter_state(s, SV_READY);
	if (err) {
		srv->stats.refused++;
		say(s, commit_refusal(err));
	} else {
		s->errors = 0;
		srv->stats.accepted_messages++;
		srv->stats.accepted_recipients += s->queued_rcpts;
		sayf(s, "250 2.0.0 %" PRIx64 " queued", s->queued_id);
	}
	s->line_since = loop_now(srv->loop);
	session_drive(s);
}

void server_credit(struct server *srv)
{
	struct session *s;

	while ((s = srv->for_credit.first) && srv->env.credit_take(srv->env.arg)) {
		wait_over(s);
		s->credit = true;
		session_drive(s);
	}
}

void server_memory(struct server *srv)
{
	struct session *s;

	while ((s = srv->for_memory.first) && body_budget_take(s->wanted)) {
		wait_over(s);
		s->charged += s->wanted;
		s->prepaid = s->wanted;
		session_drive(s);
	}
}

void server_auth(struct server *srv, uint64_t session, enum server_auth_verdict v, us_t delay)
{
	struct session *s = idmap_get(&srv->by_id, session);

	if (!s)
		return;
	session_auth_answer(s, v, delay);
	session_drive(s);
}

void server_large(struct server *srv, uint64_t session, enum server_large_what what,
		  struct body *body)
{
	struct session *s = idmap_get(&srv->by_id, session);

	if (!s) {
		body_unref(body);
		return;
	}
	data_large(s, what, body);
	session_drive(s);
}

/* ---- the end ---- */

static void shutdown_due(struct timer *t, void *arg)
{
	(void)t;
	end_all(arg, "421 4.3.2 Shutting down, try again later");
}

void server_shutdown(struct server *srv, us_t within)
{
	struct session *next;

	srv->closing = true;
	wake_all(srv, WAIT_STALL); /* their MAIL is refused now */
	for (struct session *s = srv->all.first; s; s = next) {
		next = s->in_all.next;
		session_drive(s);
	}
	if (!timer_set(srv->loop, &srv->shutdown, loop_now(srv->loop) + within))
		shutdown_due(&srv->shutdown, srv);
}

void server_stats(const struct server *srv, struct server_stats *out)
{
	*out = srv->stats;
}
