/* What the connection says: events, reply lines, time-outs, and which state the session is in
 * because of them. Each reply goes to the oldest thing that is due; a reply when nothing is due, or
 * before what it answers has left, means that we no longer know what the receiver is talking about,
 * and the connection is closed. */
#include "core/smtp/client_session.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"

#define ALLOWED(field) offsetof(struct session_spec, field)
const struct state_words client_state_words[STATES] = {
	[STATE_CONNECT] = { "connect", "connecting", "while connecting", STEP_CONNECT,
			    ALLOWED(connect_timeout) },
	[STATE_GREETING] = { "greeting", "waiting for the greeting", "before the greeting",
			     STEP_GREETING, ALLOWED(greeting_timeout) },
	[STATE_EHLO] = { "EHLO", "waiting for the reply to EHLO", "after EHLO", STEP_EHLO,
			 ALLOWED(command_timeout) },
	[STATE_HELO] = { "HELO", "waiting for the reply to HELO", "after HELO", STEP_EHLO,
			 ALLOWED(command_timeout) },
	[STATE_STARTTLS] = { "STARTTLS", "waiting for the reply to STARTTLS", "after STARTTLS",
			     STEP_TLS, ALLOWED(command_timeout) },
	/* Some boxes swallow the handshake: the wait is that for a connection. */
	[STATE_TLS] = { "TLS", "in the TLS handshake", "in the TLS handshake", STEP_TLS,
			ALLOWED(connect_timeout) },
	[STATE_AUTH] = { "AUTH", "waiting for the reply to AUTH", "after AUTH", STEP_AUTH,
			 ALLOWED(command_timeout) },
	[STATE_IDLE] = { "idle", "between messages", "between messages", STEP_RSET,
			 ALLOWED(idle_timeout) },
	/* no limit: we wait for ourselves, and the receiver says when it has waited enough */
	[STATE_HOLD] = { "hold", "before MAIL FROM", "before MAIL FROM", STEP_RSET, 0 },
	[STATE_MAIL] = { "MAIL", "waiting for the reply to MAIL FROM", "after MAIL FROM", STEP_MAIL,
			 ALLOWED(command_timeout) },
	[STATE_RCPT] = { "RCPT", "waiting for the reply to RCPT TO", "after RCPT TO", STEP_RCPT,
			 ALLOWED(command_timeout) },
	[STATE_PERMIT] = { "permit", "between RCPT TO", "between RCPT TO", STEP_RCPT,
			   ALLOWED(command_timeout) },
	[STATE_DATA] = { "DATA", "waiting for the reply to DATA", "after DATA", STEP_DATA,
			 ALLOWED(command_timeout) },
	[STATE_BODY] = { "body", "sending the message", "while sending the message", STEP_BODY,
			 ALLOWED(data_timeout) },
	[STATE_DOT] = { "dot", "waiting for the reply to end of DATA", "after end of DATA",
			STEP_BODY, ALLOWED(data_done_timeout) },
	[STATE_RSET] = { "RSET", "waiting for the reply to RSET", "after RSET", STEP_RSET,
			 ALLOWED(command_timeout) },
	[STATE_QUIT] = { "QUIT", "waiting for the reply to QUIT", "after QUIT", STEP_QUIT,
			 ALLOWED(command_timeout) },
	[STATE_GONE] = { "gone", "after the end", "after the end", STEP_QUIT, 0 },
};

/* What is due, the state that waits for it, and who takes it. */
static const struct {
	enum state state;
	void (*take)(struct session *s, struct slot *k, const struct reply *r);
} awaited[EXPECT_KINDS] = {
	[EXPECT_GREETING] = { STATE_GREETING, client_on_greeting },
	[EXPECT_EHLO] = { STATE_EHLO, client_on_ehlo },
	[EXPECT_HELO] = { STATE_HELO, client_on_helo },
	[EXPECT_STARTTLS] = { STATE_STARTTLS, client_on_starttls },
	[EXPECT_AUTH] = { STATE_AUTH, client_on_auth },
	[EXPECT_RSET] = { STATE_RSET, client_on_rset },
	[EXPECT_MAIL] = { STATE_MAIL, client_on_mail },
	[EXPECT_RCPT] = { STATE_RCPT, client_on_rcpt },
	[EXPECT_DATA] = { STATE_DATA, client_on_data },
	[EXPECT_DOT] = { STATE_DOT, client_on_dot },
	[EXPECT_QUIT] = { STATE_QUIT, client_on_quit },
};

/* ---- verdicts and words of our own ---- */

struct reply_verdict client_verdict_own(enum reply_class class, const char *enhanced,
					const char *rule)
{
	struct reply_verdict v = { .class = class,
				   .permanent = class == CLASS_PERMANENT,
				   .rule = rule };

	snprintf(v.enhanced, sizeof v.enhanced, "%s", enhanced);
	return v;
}

struct reply_verdict client_verdict_lost(const char *enhanced)
{
	return client_verdict_own(CLASS_CONNECTION, enhanced, "connection");
}

/* "2.1.5" at the front of "250 2.1.5 …", or none. */
static size_t enhanced_length(struct str text)
{
	size_t n = 0, dots = 0;

	if (text.n < 9 || text.p[4] != '2' || text.p[5] != '.')
		return 0;
	for (; n < 11 && 4 + n < text.n && text.p[4 + n] != ' '; n++) {
		char ch = text.p[4 + n];

		if (ch == '.')
			dots++;
		else if (ch < '0' || ch > '9')
			return 0;
	}
	return dots == 2 && n < 11 ? n : 0;
}

struct reply_verdict client_verdict_ok(const struct session *s, const struct reply *r)
{
	struct reply_verdict v = { .class = CLASS_OK, .rule = "code 2xx" };
	size_t n = enhanced_length(r->text);

	if (n)
		memcpy(v.enhanced, r->text.p + 4, n);
	else
		memcpy(v.enhanced, "2.0.0", 6);
	classify_success(s->c->classifier, s->spec->patterns_list, r->text, &v);
	return v;
}

struct rstr *client_words_lost(const struct session *s, const char *error)
{
	return rstr_newf("%s %s", error, client_state_words[client_where(s)].lost);
}

/* ---- states ---- */

static us_t least(us_t a, us_t b)
{
	return a < b ? a : b;
}

static us_t time_allowed(const struct session *s, enum state state)
{
	size_t at = client_state_words[state].allowed;
	us_t t = at ? *(const us_t *)(const void *)((const char *)s->spec + at) : US_NEVER;

	if (state == STATE_QUIT)
		return least(t, CLIENT_QUIT_WAIT);
	if (state == STATE_BODY && s->expect_n) /* the dot is in the output, or already out */
		return least(t, s->spec->data_done_timeout);
	if (state == STATE_PERMIT) /* the receiver has a time-out too, and those it accepted wait */
		return s->slot[s->cur].accepted ? least(t / 2, CLIENT_MORE_PERMITS_WAIT) : t / 2;
	return t;
}

void client_enter_state(struct session *s, enum state state)
{
	us_t allowed = time_allowed(s, state);

	if (s->state != state)
		log_debug("session %llx: %s", (unsigned long long)s->id,
			  client_state_words[state].name);
	s->state = state;
	s->since = loop_now(s->c->loop);
	if (s->io)
		io_set_deadline(s->io, allowed == US_NEVER ? US_NEVER : s->since + allowed);
	if (state == STATE_BODY && s->io)
		s->progress = io_bytes_out(s->io);
}

bool client_dot_left(const struct session *s)
{
	return s->expect_n && io_bytes_out(s->io) >= s->expect[s->expect_head].end;
}

enum state client_where(const struct session *s)
{
	const struct slot *k = &s->slot[s->cur];

	if (s->state == STATE_QUIT || s->state == STATE_GONE || s->state == STATE_CONNECT)
		return s->state;
	if (s->expect_n) {
		enum state st = awaited[s->expect[s->expect_head].kind].state;

		return st == STATE_DOT && !client_dot_left(s) ? STATE_BODY : st;
	}
	if (!s->up)
		return s->state;
	if (!k->t)
		return STATE_IDLE;
	if (k->phase == PHASE_ENVELOPE)
		return STATE_PERMIT;
	return k->phase == PHASE_BODY ? STATE_BODY : STATE_HOLD;
}

/* At the end of whatever has happened: into the state that it means. A step's deadline begins with
 * the step; each reply ends one. Sending counts as one step until the last byte has left: looking
 * at it when its time is over saves watching the output of every message. */
void client_rest(struct session *s)
{
	enum state now;

	if (s->state == STATE_GONE || s->state == STATE_QUIT || !s->up)
		return;
	now = client_where(s);
	if (now == STATE_DOT && s->state != STATE_DOT)
		now = STATE_BODY;
	if (now != s->state || s->replied)
		client_enter_state(s, now);
	s->replied = false;
}

/* ---- output and what is due ---- */

bool client_send(struct session *s, struct str bytes)
{
	s->queued += bytes.n;
	s->c->stats.bytes_out += bytes.n;
	return io_write(s->io, bytes);
}

void client_expect(struct session *s, enum expect_kind kind, struct slot *k, uint32_t count,
		   uint64_t end)
{
	unsigned at = (s->expect_head + s->expect_n++) % EXPECT_MAX;

	if (s->expect_n > EXPECT_MAX)
		fatal("smtp client: more than %d replies are due at once", EXPECT_MAX);
	s->expect[at] = (struct expect){
		.kind = (uint8_t)kind, .slot = k == &s->slot[1], .count = count, .end = end
	};
	if (k)
		k->pending += count;
}

/* ---- replies ---- */

void client_protocol_error(struct session *s, const char *what, struct str line)
{
	char words[320];
	int show = line.n < 200 ? (int)line.n : 200;

	snprintf(words, sizeof words, "protocol error: %s (\"%.*s\")", what, show, line.p);
	if (s->up) {
		client_fail(s, false, words);
		return;
	}
	struct reply_verdict v = client_verdict_own(CLASS_CONNECTION, "4.5.0", "protocol");
	client_address_failed(s, &v, client_words_lost(s, words));
}

/* 421, or a refusal that comes while we still send: the receiver is about to close. What it said is
 * why. */
static void farewell(struct session *s, const struct reply *r)
{
	enum state where = client_where(s);
	const struct slot *k = &s->slot[s->cur];
	bool before_mail = !k->t || k->phase == PHASE_HELD || !k->mail_answered;
	struct session_end e = { .step = client_state_words[where].step, .answered = true };

	e.polite = s->finished && before_mail;
	e.planned = e.polite || where == STATE_IDLE;
	if (e.polite)
		e.step = STEP_RSET; /* between messages */
	else if (before_mail && !s->expect_n)
		e.step = STEP_EHLO; /* it had not served yet: this is about our coming */
	classify_from(s->c->classifier, s->spec->patterns_list, e.step, rstr_str(s->mx), r->text,
		      &e.verdict);
	e.reply = rstr_new(r->text);
	client_end(s, &e);
}

/* Some say goodbye with 451 or 554 where 421 is meant. Where nobody's mail is concerned, or where
 * we still send it, any refusal is taken for that. */
static void unexpected(struct session *s, const struct reply *r)
{
	const struct slot *k = &s->slot[s->cur];
	bool aside = !k->t || k->phase == PHASE_HELD || k->phase == PHASE_BODY;

	if (r->code == 421 || (aside && s->up && reply_negative(r)))
		farewell(s, r);
	else
		client_protocol_error(s, "a reply came before it was due", r->text);
}

static void take_reply(struct session *s, const struct reply *r)
{
	struct expect *due = &s->expect[s->expect_head];
	struct io *io = s->io;

	if (s->state == STATE_QUIT) {
		client_on_quit(s, NULL, r);
		return;
	}
	if (!s->expect_n) {
		unexpected(s, r);
		return;
	}
	if (s->up && r->code == 421) {
		farewell(s, r);
		return;
	}
	if (io_bytes_out(s->io) < due->end) {
		/* Refusing a message half-way is rude but clear; anything else is a reply to
		 * nothing. */
		if (due->kind == EXPECT_DOT && reply_negative(r))
			farewell(s, r);
		else
			client_protocol_error(s, "a reply came before it was due", r->text);
		return;
	}
	if (due->kind >= EXPECT_MAIL && due->kind <= EXPECT_DOT)
		s->slot[due->slot].pending--;
	awaited[due->kind].take(s, &s->slot[due->slot], r);
	if (s->state == STATE_GONE || s->io != io)
		return;
	/* Only now: what it answered is where the session was while it was judged. */
	if (!--due->count) {
		s->expect_head = (s->expect_head + 1) % EXPECT_MAX;
		s->expect_n--;
	}
	s->replied = true;
	client_txn_over(s);
}

/* "250 text" or "250": the usual reply, taken where it lies. */
static int single_line_code(struct str line)
{
	int code = 0;

	if (line.n < 3 || (line.n > 3 && line.p[3] != ' '))
		return 0;
	for (int i = 0; i < 3; i++) {
		if (line.p[i] < '0' || line.p[i] > '9')
			return 0;
		code = code * 10 + (line.p[i] - '0');
	}
	return code >= 200 && code < 600 ? code : 0;
}

static void count_judged(struct client *c, size_t n)
{
	c->judged += CLIENT_JUDGED_LEAST + (n < CLIENT_JUDGED_MAX ? n : CLIENT_JUDGED_MAX);
	if (c->judged > c->stats.judged_max)
		c->stats.judged_max = c->judged;
}

static void take_line(struct session *s, struct str line)
{
	struct reply r = { single_line_code(line), line };

	if (s->scan.lines || !r.code) {
		reply_scan_line(&s->scan, line);
		if (s->scan.bad) {
			client_protocol_error(s, "this is no SMTP reply", line);
			return;
		}
		if (s->scan.lines > CLIENT_REPLY_LINES_MAX) {
			client_protocol_error(s, "a reply has too many lines", line);
			return;
		}
		if (!s->scan.done)
			return;
		r = (struct reply){ s->scan.code, buf_str(&s->scan.text) };
	}
	if (reply_negative(&r))
		count_judged(s->c, r.text.n);
	take_reply(s, &r);
	if (s->scan.lines && s->state != STATE_GONE)
		reply_scan_clear(&s->scan);
}

enum taken {
	TAKEN_ALL,
	TAKEN_SOME, /* this pass has judged enough */
	TAKEN_ENDED /* the connection ended or was changed on the way */
};

/* Takes the whole lines. */
static enum taken take_lines(struct session *s, struct io *io)
{
	struct str in = io_input(io);
	size_t used = 0;

	while (used < in.n) {
		if (s->c->judged >= CLIENT_JUDGED_A_PASS) {
			io_consume(io, used);
			return TAKEN_SOME;
		}
		const char *from = in.p + used;
		const char *lf = memchr(from, '\n', in.n - used);
		struct str line = { from, lf ? (size_t)(lf - from) : in.n - used };

		if (line.n > CLIENT_REPLY_LINE_MAX) {
			client_protocol_error(s, "a reply line is too long", line);
			return TAKEN_ENDED;
		}
		if (!lf)
			break;
		used += line.n + 1;
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		take_line(s, line);
		if (s->state == STATE_GONE || s->io != io)
			return TAKEN_ENDED;
		if (s->start_tls) {
			bool more = used < in.n;

			io_consume(io, used);
			client_tls_begin(s, more);
			return TAKEN_ENDED;
		}
	}
	io_consume(io, used);
	return TAKEN_ALL;
}

/* ---- events ---- */

/* The connection is dead, and all that it still said has been read. */
static void lost(struct session *s, const char *error)
{
	enum state where = client_where(s);
	const struct slot *k = &s->slot[s->cur];
	struct session_end e = { .step = client_state_words[where].step,
				 .verdict = client_verdict_lost("4.4.2") };

	if (s->state == STATE_QUIT) {
		client_on_quit(s, NULL, NULL);
		return;
	}
	if (where == STATE_TLS) {
		client_tls_failed(s, error);
		return;
	}
	if (!s->up) {
		if (where == STATE_CONNECT)
			e.verdict = client_verdict_lost("4.4.1");
		client_address_failed(s, &e.verdict,
				      where == STATE_CONNECT ? rstr_new(str_of(error))
							     : client_words_lost(s, error));
		return;
	}
	e.polite = s->finished && (!k->t || !k->mail_answered);
	e.planned = e.polite || where == STATE_IDLE;
	if (where == STATE_HOLD && !s->finished)
		e.step = STEP_EHLO;
	e.reply = client_words_lost(s, error);
	client_end(s, &e);
}

static void too_slow(struct session *s, enum state where)
{
	char span[FMT_SIZE], words[160];
	struct session_end e = { .step = client_state_words[where].step,
				 .verdict = client_verdict_lost("4.4.2") };

	fmt_duration(time_allowed(s, where), span);
	snprintf(words, sizeof words, "timed out after %s %s", span,
		 client_state_words[where].waiting);
	if (s->up) {
		e.reply = rstr_new(str_of(words));
		client_end(s, &e);
		return;
	}
	if (where == STATE_TLS) {
		client_tls_failed(s, words);
		return;
	}
	if (where == STATE_CONNECT)
		e.verdict = client_verdict_lost("4.4.1");
	client_address_failed(s, &e.verdict, rstr_new(str_of(words)));
}

/* data-timeout over while sending: is it all out, does it move, or do we wait for our own disk? */
static void sending_timeout(struct session *s)
{
	uint64_t out = io_bytes_out(s->io);
	us_t since = s->since, allowed = time_allowed(s, STATE_BODY);
	uint64_t least = (uint64_t)(allowed / US_PER_S) * CLIENT_DATA_BYTES_PER_S;

	if (s->expect_n && client_dot_left(s)) {
		us_t due = since + s->spec->data_done_timeout;

		client_enter_state(s, STATE_DOT);
		io_set_deadline(s->io, due > s->since ? due : s->since + 1);
	} else if (out - s->progress > least || !io_output_pending(s->io)) {
		client_enter_state(s, STATE_BODY);
	} else {
		too_slow(s, STATE_BODY);
	}
}

static void timed_out(struct session *s)
{
	switch (s->state) {
	case STATE_QUIT:
		client_on_quit(s, NULL, NULL);
		break;
	case STATE_IDLE:
		client_quit(s);
		break;
	case STATE_PERMIT:
		s->slot[s->cur].stop = true;
		client_work(s);
		break;
	case STATE_BODY:
		sending_timeout(s);
		break;
	case STATE_CONNECT:
	case STATE_GREETING:
	case STATE_EHLO:
	case STATE_HELO:
	case STATE_STARTTLS:
	case STATE_TLS:
	case STATE_AUTH:
	case STATE_HOLD:
	case STATE_MAIL:
	case STATE_RCPT:
	case STATE_DATA:
	case STATE_DOT:
	case STATE_RSET:
	case STATE_GONE:
	case STATES:
		too_slow(s, s->state);
		break;
	}
}

/* ---- input, so much a pass ---- */

/* Without memory it is read now. */
static bool wait_for_pass(struct client *c, uint64_t id)
{
	if (c->late_n == c->late_cap) {
		size_t cap = c->late_cap ? c->late_cap * 2 : 64;
		uint64_t *p = reallocarray(c->late, cap, sizeof *p);

		if (!p) {
			c->judged = 0;
			return false;
		}
		c->late = p;
		c->late_cap = cap;
	}
	c->late[c->late_n++] = id;
	return true;
}

/* Reads what came, and says what came with it when all is read. */
static void take_input(struct session *s, struct io *io, enum io_event ev)
{
	enum taken taken = take_lines(s, io);

	while (taken == TAKEN_SOME && !wait_for_pass(s->c, s->id))
		taken = take_lines(s, io);
	if (taken == TAKEN_ENDED)
		return;
	if (taken == TAKEN_SOME) {
		s->late_io = io;
		s->late = ev;
	}
	if (ev == IO_DATA)
		client_work(s);
	else if (taken == TAKEN_ALL)
		lost(s, ev == IO_EOF ? "connection closed by peer" : io_error(io));
}

static void input_came(struct session *s, struct io *io, enum io_event ev)
{
	if (s->late_io != io)
		take_input(s, io, ev);
	else if (ev != IO_DATA) /* the rest goes first */
		s->late = ev;
}

bool client_late(void *arg)
{
	struct client *c = arg;
	size_t n = c->late_n, i = 0;

	OBJ_CHECK(c, CLIENT_MAGIC);
	c->judged = 0;
	if (!n)
		return false;
	client_enter_call(c);
	for (; i < n && c->judged < CLIENT_JUDGED_A_PASS; i++) {
		struct session *s = idmap_get(&c->sessions, c->late[i]);
		struct io *io = s ? s->late_io : NULL;

		if (!io || io != s->io || s->state == STATE_GONE)
			continue;
		s->late_io = NULL;
		take_input(s, io, s->late);
	}
	client_leave_call(c);
	c->late_n -= i;
	memmove(c->late, c->late + i, c->late_n * sizeof *c->late);
	return c->late_n > 0;
}

void client_io_event(struct io *io, enum io_event ev, void *arg)
{
	struct session *s = arg;
	struct client *c = s->c;

	OBJ_CHECK(s, SESSION_MAGIC);
	client_enter_call(c);
	switch (ev) {
	case IO_CONNECTED:
		client_connected(s);
		break;
	case IO_DATA:
	case IO_EOF:
	case IO_ERROR:
		input_came(s, io, ev);
		break;
	case IO_TLS:
		client_tls_established(s);
		break;
	case IO_DRAINED:
		client_work(s);
		break;
	case IO_TIMEOUT:
		timed_out(s);
		break;
	}
	client_leave_call(c);
}
