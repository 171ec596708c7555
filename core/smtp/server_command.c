/* The table of commands, and those that need no more than a line each. */
#include <inttypes.h>

#include "core/base/clean.h"
#include "core/smtp/server_session.h"

enum {
	COMMAND_LINE_MAX =
	    2048, /* RFC 5321's 512, and what RFC 3461 and 6531 add to MAIL and RCPT */
	COMMANDS_PER_TURN = 256, /* under a millisecond; then the other sessions have their turn */
	COMMANDS_IN_CROWD = 32,	 /* while other sessions wait for their turn already */
	TOLD_MAX = 320,		 /* bytes of a bad RCPT that the delivery log is told */
	OUTPUT_MAX = 64 * 1024	 /* replies that the peer does not read */
};

/* The name as it may stand in Received and in logs: peers send anything here. */
static void set_helo(struct session *s, struct str name)
{
	size_t n = name.n < HELO_MAX ? name.n : HELO_MAX;

	for (size_t i = 0; i < n; i++) {
		char c = name.p[i];
		bool good = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
			    memchr("-._:[]", c, 6);

		s->helo[i] = good ? c : '?';
	}
	s->helo[n] = '\0';
}

static const char *check_helo(struct session *s, struct command_args *a)
{
	(void)s;
	return a->text.n ? NULL : "501 5.5.4 Say EHLO and your host name";
}

static void do_helo(struct session *s, struct command_args *a)
{
	tx_reset(s);
	s->esmtp = false;
	set_helo(s, a->text);
	enter_state(s, SV_READY);
	sayf(s, "250 %s", s->conf->mta.hostname);
}

static void do_ehlo(struct session *s, struct command_args *a)
{
	tx_reset(s);
	s->esmtp = true;
	set_helo(s, a->text);
	enter_state(s, SV_READY);
	sayf(s,
	     "250-%s\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SIZE %" PRId64
	     "\r\n250-ENHANCEDSTATUSCODES\r\n250-SMTPUTF8\r\n250-DSN\r\n%s%s250 CHUNKING",
	     s->conf->mta.hostname, s->size_limit, starttls_offer(s), auth_offer(s));
}

static const char *check_no_argument(struct session *s, struct command_args *a)
{
	(void)s;
	return a->text.n ? "501 5.5.4 This command takes no argument" : NULL;
}

static const char *check_nothing(struct session *s, struct command_args *a)
{
	(void)s;
	(void)a;
	return NULL;
}

static void do_rset(struct session *s, struct command_args *a)
{
	(void)a;
	tx_reset(s);
	if (s->state != SV_CONNECTED)
		enter_state(s, SV_READY);
	say(s, "250 2.0.0 Reset");
}

static void do_noop(struct session *s, struct command_args *a)
{
	(void)a;
	say(s, "250 2.0.0 Ok");
}

static void do_help(struct session *s, struct command_args *a)
{
	(void)a;
	say(s, "214 2.0.0 EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT");
}

static void do_vrfy(struct session *s, struct command_args *a)
{
	(void)a;
	say(s,
	    "252 2.5.2 Addresses are not verified here; send the mail, and failures are reported");
}

static void do_quit(struct session *s, struct command_args *a)
{
	(void)a;
	say_and_close(s, "221 2.0.0 Bye");
}

static void not_implemented(struct session *s, struct command_args *a)
{
	(void)a;
	say_error(s, "502 5.5.1 Command not implemented");
}

#define IN(state) (1u << (state))
enum {
	IDLE = IN(SV_CONNECTED) | IN(SV_READY),
	OPEN = IN(SV_MAIL) | IN(SV_RCPT),
	CHUNKS = IN(SV_BDAT) | IN(SV_BDAT_REFUSED),
	ANY = IDLE | OPEN | CHUNKS
};

/* What a listener with tls = required still answers in plain (RFC 3207 4). */
static bool needs_no_tls(struct str verb)
{
	static const char *const verbs[] = { "EHLO", "HELO", "STARTTLS", "NOOP", "RSET", "QUIT" };

	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (str_ieqz(verb, verbs[i]))
			return true;
	return false;
}

/* check: judges the arguments and changes nothing; NULL, or the reply that refuses. proceed: acts
 * and answers, or calls wait_for: then the command is run again later. */
static const struct command {
	const char *verb;
	unsigned states;
	const char *(*check)(struct session *s, struct command_args *a);
	void (*proceed)(struct session *s, struct command_args *a);
} commands[] = {
	{ "MAIL", IN(SV_READY), check_mail, do_mail },
	{ "RCPT", OPEN, check_rcpt, do_rcpt },
	{ "DATA", IN(SV_RCPT), check_no_argument, do_data },
	{ "BDAT", ANY, check_bdat, do_bdat },
	{ "EHLO", ANY, check_helo, do_ehlo },
	{ "HELO", ANY, check_helo, do_helo },
	{ "RSET", ANY, check_no_argument, do_rset },
	{ "NOOP", ANY, check_nothing, do_noop },
	{ "QUIT", ANY, check_no_argument, do_quit },
	{ "HELP", ANY, check_nothing, do_help },
	{ "VRFY", ANY, check_nothing, do_vrfy },
	{ "EXPN", ANY, check_nothing, not_implemented },
	{ "STARTTLS", IDLE, check_starttls, do_starttls },
	{ "AUTH", IDLE, check_auth_command, do_auth },
	{ "ETRN", ANY, check_nothing, not_implemented },
	{ "TURN", ANY, check_nothing, not_implemented },
};

/* What is said to a command that its state does not allow. */
static const char *wrong_state(enum server_state state)
{
	switch (state) {
	case SV_CONNECTED:
		return "503 5.5.1 EHLO or HELO first";
	case SV_READY:
		return "503 5.5.1 MAIL first";
	case SV_MAIL:
		return "503 5.5.1 RCPT first: there is no valid recipient yet";
	case SV_RCPT:
		return "503 5.5.1 A transaction is open already; RSET ends it";
	case SV_BDAT:
	case SV_BDAT_REFUSED:
		return "503 5.5.1 BDAT has begun; a LAST chunk or RSET ends it";
	case SV_AUTH:
	case SV_DATA:
	case SV_CHUNK:
	case SV_SKIP:
	case SV_COMMIT:
	case SV_CLOSED:
	case SV_STATES:
		break;
	}
	return "503 5.5.1 Not now";
}

static const struct command *find_command(struct str verb)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		if (str_ieqz(verb, commands[i].verb))
			return &commands[i];
	}
	return NULL;
}

/* What is no address is told to the log too: an application that ignores our reply has lost a
 * recipient. */
static void refuse_rcpt(struct session *s, struct str text, const char *no)
{
	struct buf clean;

	s->srv->stats.refused++;
	if (!s->relay) {
		say_error(s, no);
		return;
	}
	buf_init(&clean);
	if (clean_add(&clean, str_mem(text.p, text.n < TOLD_MAX ? text.n : TOLD_MAX), true))
		tell_rejected(s, s->m->sender, buf_str(&clean), no);
	buf_free(&clean);
	say(s, no); /* a list with bad addresses is no attack */
}

static void run_command(struct session *s, struct str line)
{
	struct command_args a = { .text = { "", 0 } };
	const struct command *c;
	struct str verb = { "", 0 };
	const char *no;

	a.envid = a.orcpt = a.text;
	if (str_split(&line, ' ', &verb))
		a.text = str_trim(line);
	c = find_command(verb);
	if (!c) {
		say_error(s, "500 5.5.2 Command not recognised");
		return;
	}
	no = needs_no_tls(verb) ? NULL : tls_missing(s);
	if (no) {
		if (c->check == check_bdat) /* unknown bytes follow */
			say_and_close(s, no);
		else
			say_error(s, no);
		return;
	}
	if (!(c->states & IN(s->state))) {
		say_error(s, s->state == SV_MAIL && c->check == check_mail ? wrong_state(SV_RCPT)
									   : wrong_state(s->state));
		return;
	}
	no = c->check(s, &a);
	if (!no)
		c->proceed(s, &a);
	else if (c->check == check_bdat) /* unknown bytes follow */
		say_and_close(s, no);
	else if (c->check == check_rcpt)
		refuse_rcpt(s, a.text, no);
	else
		say_error(s, no);
}

/* A client may send commands faster than it reads our answers, and without end. */
static bool must_rest(struct session *s)
{
	unsigned most = s->srv->for_turn.first ? COMMANDS_IN_CROWD : COMMANDS_PER_TURN;

	if (s->commands++ >= most) {
		io_pause(s->io);
		return wait_for(s, WAIT_TURN);
	}
	if (io_output_pending(s->io) <= OUTPUT_MAX)
		return false;
	io_flush(s->io);
	return io_output_pending(s->io) > OUTPUT_MAX && wait_for(s, WAIT_OUTPUT);
}

bool command_step(struct session *s)
{
	struct str line;
	size_t used = 0;

	if (must_rest(s))
		return false;
	switch (framing_line(session_input(s), COMMAND_LINE_MAX, &line, &used)) {
	case LINE_MORE:
		return false;
	case LINE_TOO_LONG:
		say_and_close(s, "500 5.5.2 Line too long");
		return false;
	case LINE_BAD_BYTES:
		close_for_bytes(s, "500 5.5.2 Bare CR, bare LF or NUL in a command");
		return false;
	case LINE_OK:
		break;
	}
	if (s->state == SV_AUTH)
		auth_line(s, line);
	else
		run_command(s, line);
	if (s->wait != WAIT_NONE)
		return false; /* it is run again */
	s->waited_out = false;
	s->line_since = loop_now(s->srv->loop);
	session_consume(s, used);
	if (s->start_tls)
		starttls_begin(s);
	return true;
}
