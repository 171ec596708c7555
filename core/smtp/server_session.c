/* A session's life: what it says, what it waits for, what drives it, and the one way out of every
 * transaction. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/log.h"
#include "core/smtp/server_session.h"

#define SESSION_MAGIC 0x73736E72u

enum {
	INPUT_MAX =
	    16 * 1024, /* commands behind a message that wait to be run; then reading stops */
	IDLE_INPUT_MAX = 4096, /* memory that an idle session keeps for those behind a message */
	OUTPUT_LOW =
	    16 * 1024,	 /* replies left to be read when a session that waits for that goes on */
	ERRORS_MAX = 20, /* since the last accepted message */
	TOLD_PER_S = 10
};

const char *const server_state_words[SV_STATES] = {
	"connected", "ready", "auth",	       "mail", "rcpt",	 "data",
	"bdat",	     "chunk", "chunk-refused", "skip", "commit", "closed",
};

/* ---- lists ---- */

static void list_add(struct session_list *l, struct session *s, size_t link)
{
	struct session_link *k = (struct session_link *)(void *)((char *)s + link);

	*k = (struct session_link){ .prev = l->last };
	if (l->last)
		((struct session_link *)(void *)((char *)l->last + link))->next = s;
	else
		l->first = s;
	l->last = s;
}

static void list_del(struct session_list *l, struct session *s, size_t link)
{
	struct session_link *k = (struct session_link *)(void *)((char *)s + link);

	if (k->prev)
		((struct session_link *)(void *)((char *)k->prev + link))->next = k->next;
	else
		l->first = k->next;
	if (k->next)
		((struct session_link *)(void *)((char *)k->next + link))->prev = k->prev;
	else
		l->last = k->prev;
	*k = (struct session_link){ NULL, NULL };
}

/* ---- small acts ---- */

void enter_state(struct session *s, enum server_state to)
{
	log_debug("smtp in #%" PRIu64 " %s: %s -> %s", s->id, s->ip, server_state_words[s->state],
		  server_state_words[to]);
	s->state = to;
	s->line_since = loop_now(s->srv->loop);
}

void say(struct session *s, const char *line)
{
	char out[REPLY_LINE + 2];
	size_t n = strlen(line);

	if (n > REPLY_LINE)
		n = REPLY_LINE;
	memcpy(out, line, n);
	memcpy(out + n, "\r\n", 2);
	if (!io_write(s->io, str_mem(out, n + 2)))
		say_and_close(s, NULL);
}

void sayf(struct session *s, const char *fmt, ...)
{
	char line[REPLY_LINE + 1];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	say(s, line);
}

static void end_session(struct session *s, bool flush)
{
	if (s->state == SV_CLOSED)
		return;
	s->flush = flush;
	enter_state(s, SV_CLOSED);
}

void say_and_close(struct session *s, const char *line)
{
	if (line && s->state != SV_CLOSED)
		say(s, line);
	end_session(s, line != NULL);
}

void say_error(struct session *s, const char *line)
{
	s->srv->stats.protocol_errors++;
	say(s, line);
	if (++s->errors >= ERRORS_MAX)
		say_and_close(s, "421 4.7.0 Too many errors");
}

/* A stranger can earn a line with each connection or refusal: the logs are not his to fill. */
bool may_tell(const struct server *srv, struct per_second *p)
{
	us_t now = loop_now(srv->loop);

	if (now - p->since >= US_PER_S)
		*p = (struct per_second){ .since = now, .untold = p->untold };
	if (p->n++ < TOLD_PER_S)
		return true;
	p->untold++;
	return false;
}

void close_for_bytes(struct session *s, const char *what)
{
	struct buf helo;

	s->srv->stats.smuggling_refused++;
	if (!may_tell(s->srv, &s->srv->warned)) {
		say_and_close(s, what);
		return;
	}
	if (s->srv->warned.untold)
		log_warn("smtp in: %u more sessions were closed for such bytes",
			 s->srv->warned.untold);
	s->srv->warned.untold = 0;
	buf_init(&helo);
	clean_add(&helo, str_of(s->helo), true);
	log_warn("smtp in: %s (%s) in state %s: %s: closed", s->ip, buf_z(&helo),
		 server_state_words[s->state], what + 4);
	buf_free(&helo);
	say_and_close(s, what);
}

static struct session_list *list_for(struct server *srv, enum server_wait w)
{
	if (w == WAIT_CREDIT)
		return &srv->for_credit;
	if (w == WAIT_TURN)
		return &srv->for_turn;
	return w == WAIT_MEMORY ? &srv->for_memory : NULL;
}

bool wait_for(struct session *s, enum server_wait w)
{
	if (s->waited_out && (w == WAIT_STALL || w == WAIT_CREDIT || w == WAIT_MEMORY))
		return false;
	s->wait = w;
	s->wait_since = loop_now(s->srv->loop);
	s->waits_in = list_for(s->srv, w);
	if (s->waits_in)
		list_add(s->waits_in, s, offsetof(struct session, in_wait));
	return true;
}

void wait_over(struct session *s)
{
	if (s->wait == WAIT_NONE)
		return;
	if (s->waits_in)
		list_del(s->waits_in, s, offsetof(struct session, in_wait));
	s->waits_in = NULL;
	s->wait = WAIT_NONE;
	s->data_since += loop_now(s->srv->loop) - s->wait_since;
}

void tx_reset(struct session *s)
{
	struct server *srv = s->srv;

	if (s->large)
		srv->env.large_abort(srv->env.arg, s->id);
	if (s->credit)
		srv->env.credit_give(srv->env.arg);
	if (s->charged)
		body_budget_give(s->charged);
	message_free(s->m);
	buf_free(&s->data);
	buf_free(&s->large_head);
	memset(&s->m, 0, sizeof *s - offsetof(struct session, m));
}

void tell_rejected(struct session *s, struct str sender, struct str recipient, const char *reply)
{
	struct server *srv = s->srv;
	struct event e = { .type = EVENT_REJECTED, .at = loop_now(srv->loop) };
	const char *end = strchr(reply + 4, ' ');

	if (!s->relay && !may_tell(srv, &srv->strangers))
		return; /* counted all the same; a client of ours is told of whatever it lost */
	e.sender = sender;
	e.recipient = recipient;
	e.source_ip = str_of(s->ip);
	e.reply = str_of(reply);
	e.enhanced = str_mem(reply + 4, end ? (size_t)(end - reply - 4) : 0);
	if (s->user_name[0] || s->auth_step)
		e.user = str_of(s->user_name[0] ? s->user_name : s->auth_user);
	else if (s->source >= 0)
		e.user = str_of(s->conf->sources[s->source].name);
	srv->env.rejected(srv->env.arg, &e);
}

struct str session_input(const struct session *s)
{
	if (s->in_off < s->in.n)
		return str_mem(s->in.p + s->in_off, s->in.n - s->in_off);
	return io_input(s->io);
}

void session_consume(struct session *s, size_t n)
{
	if (s->in_off == s->in.n) {
		io_consume(s->io, n);
		return;
	}
	s->in_off += n;
	if (s->in_off < s->in.n)
		return;
	buf_clear(&s->in);
	s->in_off = 0;
}

/* ---- configuration ---- */

int server_find_listener(const struct conf *c, const char *name)
{
	for (int i = 0; i < c->nlisteners + c->npickups; i++) {
		if (strcmp(c->listeners[i].name, name) == 0)
			return i;
	}
	return CONF_NONE;
}

/* CONFIG.md, [source]: the authenticated user's, else the longest matching CIDR, else the
 * listener's. */
void session_source(struct session *s)
{
	const struct conf *c = s->conf;
	int user = s->user_name[0] ? conf_user_find(c, str_of(s->user_name)) : CONF_NONE;
	const struct conf_source *src;

	s->source = user < 0 ? CONF_NONE : c->users[user].source;
	if (s->source < 0)
		s->source = conf_source_for(c, &s->peer.sa);
	if (s->source < 0)
		s->source = c->listeners[s->listener].source;
	src = s->source < 0 ? NULL : &c->sources[s->source];
	s->relay = user >= 0 || (src && src->always_allow_relaying);
	s->size_limit =
	    src && src->max_message_size ? src->max_message_size : c->mta.max_message_size;
}

static void use_conf(struct session *s, struct conf *c, int listener)
{
	s->conf = c;
	s->listener = listener;
	session_source(s);
}

bool session_conf(struct session *s)
{
	struct conf *now = s->srv->conf, *was = s->conf;
	int listener;

	if (was == now)
		return true;
	listener = server_find_listener(now, was->listeners[s->listener].name);
	if (listener < 0 || (s->user_name[0] && conf_user_find(now, str_of(s->user_name)) < 0))
		return false;
	use_conf(s, conf_ref(now), listener);
	conf_unref(was);
	return true;
}

/* ---- driving a session ---- */

static bool receiving(const struct session *s)
{
	return s->state == SV_DATA || s->state == SV_CHUNK;
}

static us_t next_deadline(const struct session *s)
{
	const struct server_times *t = &s->srv->times;

	switch (s->wait) {
	case WAIT_NONE:
		if (receiving(s) || s->state == SV_SKIP)
			return data_deadline(s);
		if (s->state == SV_BDAT && data_deadline(s) < s->line_since + t->command)
			return data_deadline(s);
		return s->line_since + t->command;
	case WAIT_STALL:
		return s->wait_since + t->stall;
	case WAIT_CREDIT:
		return s->wait_since + t->credit;
	case WAIT_MEMORY:
		return s->wait_since + t->memory;
	case WAIT_OUTPUT:
	case WAIT_TLS:
		return s->wait_since + t->command;
	case WAIT_AUTH:
		return s->auth_at ? s->auth_at : US_NEVER;
	case WAIT_LARGE:
	case WAIT_COMMIT:
	case WAIT_TURN:
		break;
	}
	return US_NEVER; /* we answer */
}

/* What the peer sends now goes where it belongs: to the io's own buffer, behind what came after a
 * message, or into the message. */
static void point_sink(struct session *s)
{
	struct buf *sink = NULL;
	size_t max = 0;

	if (receiving(s) && !session_input(s).n) {
		sink = data_sink(s, &max);
	} else if (s->in_off < s->in.n) {
		buf_shift(&s->in, s->in_off);
		s->in_off = 0;
		sink = &s->in;
		max = INPUT_MAX;
	}
	if (sink || s->sink)
		io_set_sink(s->io, sink, max);
	s->sink = sink;
}

static void session_free(struct session *s)
{
	struct server *srv = s->srv;

	wait_over(s);
	tx_reset(s);
	io_set_sink(s->io, NULL, 0);
	if (s->flush)
		io_close_after_flush(s->io, srv->times.last_line);
	else
		io_close(s->io);
	idmap_del(&srv->by_id, s->id);
	list_del(&srv->all, s, offsetof(struct session, in_all));
	srv->env.closed(srv->env.arg, &s->peer, s->door);
	conf_unref(s->conf);
	buf_free(&s->in);
	s->magic = 0;
	pool_put(&srv->pool, s);
}

/* Before the loop goes on: what is read next, and until when. */
static void settle(struct session *s)
{
	us_t deadline = next_deadline(s);

	point_sink(s);
	if (!s->in.n && s->in.cap > IDLE_INPUT_MAX)
		buf_free(&s->in);
	/* Re-arming with each read costs more than it is worth: the io fires early, and timed_out
	 * looks again. */
	if (deadline == US_NEVER || (s->deadline && deadline >= s->deadline))
		return;
	s->deadline = deadline;
	io_set_deadline(s->io, deadline);
}

/* A line that began behind a message may go on in the io's buffer. True: there is more of it now.
 */
static bool gather_input(struct session *s)
{
	size_t n = s->in.n - s->in_off;

	if (n && io_input(s->io).n)
		point_sink(s);
	return s->in.n - s->in_off > n;
}

static bool step(struct session *s)
{
	bool data = receiving(s) || s->state == SV_SKIP || s->state == SV_COMMIT;

	return data ? data_step(s) : command_step(s);
}

void session_drive(struct session *s)
{
	if (s->driving)
		return; /* an answer came at once, from inside a step */
	s->driving = true;
	s->commands = 0;
	while (s->state != SV_CLOSED && s->wait == WAIT_NONE && (step(s) || gather_input(s)))
		;
	s->driving = false;
	if (s->state != SV_CLOSED && s->wait == WAIT_NONE) {
		if (s->eof)
			end_session(s, true); /* replies that are still to be written may be read */
		else if (s->srv->closing && (s->state == SV_READY || s->state == SV_CONNECTED))
			say_and_close(s, "421 4.3.2 Shutting down, try again later");
	}
	if (s->state == SV_CLOSED)
		session_free(s);
	else
		settle(s);
}

static void timed_out(struct session *s)
{
	s->deadline = 0; /* the io has cleared it; settle arms it anew */
	if (next_deadline(s) > loop_now(s->srv->loop))
		return;
	switch (s->wait) {
	case WAIT_NONE:
		say_and_close(s, "421 4.4.2 Timed out");
		break;
	case WAIT_STALL:
	case WAIT_CREDIT:
	case WAIT_MEMORY:
		wait_over(s);
		s->waited_out = true;
		break;
	case WAIT_AUTH:
		wait_over(s);
		break;
	case WAIT_OUTPUT:
	case WAIT_TLS:
		say_and_close(s, NULL);
		break;
	case WAIT_LARGE:
	case WAIT_COMMIT:
	case WAIT_TURN:
		break;
	}
}

static void session_event(struct io *io, enum io_event ev, void *arg)
{
	struct session *s = arg;

	OBJ_CHECK(s, SESSION_MAGIC);
	switch (ev) {
	case IO_DATA:
	case IO_CONNECTED:
		break;
	case IO_DRAINED:
		if (s->wait == WAIT_OUTPUT)
			wait_over(s);
		break;
	case IO_TIMEOUT:
		timed_out(s);
		break;
	case IO_EOF:
		s->eof = true;
		break;
	case IO_TLS:
		tls_established(s);
		break;
	case IO_ERROR:
		if (io_tls_failed(io))
			tls_broken(s);
		say_and_close(s, NULL);
		break;
	}
	session_drive(s);
}

/* ---- birth ---- */

struct session *server_session_open(struct server *srv, int fd, const struct endpoint *peer,
				    int listener)
{
	struct session *s = pool_get(&srv->pool);

	if (!s) {
		close(fd);
		return NULL;
	}
	s->magic = SESSION_MAGIC;
	s->id = ++srv->next_id;
	s->srv = srv;
	s->peer = *peer;
	s->line_since = loop_now(srv->loop);
	endpoint_print(peer, s->ip);
	if (!idmap_put(&srv->by_id, s->id, s)) {
		pool_put(&srv->pool, s);
		close(fd);
		return NULL;
	}
	s->io = io_new(srv->loop, fd, session_event, s);
	if (!s->io) {
		idmap_del(&srv->by_id, s->id);
		pool_put(&srv->pool, s);
		return NULL;
	}
	io_set_input_max(s->io, INPUT_MAX);
	io_set_low_water(s->io,
			 OUTPUT_LOW); /* not 0: that would announce every reply that is written */
	use_conf(s, conf_ref(srv->conf), listener);
	list_add(&srv->all, s, offsetof(struct session, in_all));
	if (s->conf->listeners[listener].tls == CONF_TLS_IMPLICIT)
		implicit_begin(s);
	return s;
}
