/* The SMTP client against receivers that refuse, vanish, stall or talk nonsense: whatever happens,
 * each recipient has one result or comes back untried, and no doubt is hidden. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>

#include "tests/unit/smtp/test_client_world.h"

/* ---- one fault in a session with two transactions ---- */

struct fault {
	struct rule rule;
	bool lockstep; /* without PIPELINING */
	bool one;      /* one transaction only */
	/* what becomes of a1 a2 a3 of the first transaction: u untried, d deferred, p permanent, o
	 * ok, t deferred, maybe twice */
	const char *first, *second;
	bool planned;
	enum smtp_step step;
	const char *words; /* in DOWN's reply */
};

static char result_letter(const struct txn_rcpt *r)
{
	if (!r->tried)
		return 'u';
	if (r->maybe_twice)
		return r->verdict.class == CLASS_CONNECTION ? 't' : '?';
	if (r->verdict.class == CLASS_OK)
		return 'o';
	return r->verdict.permanent ? 'p' : 'd';
}

static void check_results(const struct transaction *t, const char *want, const char *what)
{
	char got[16];

	assert_int_equal(strlen(want), t->nrcpts);
	for (uint32_t i = 0; i <= t->nrcpts && i < sizeof got; i++)
		got[i] = i < t->nrcpts ? result_letter(&t->rcpts[i]) : '\0';
	if (strcmp(got, want) != 0)
		fail_msg("%s: results %s, not %s", what, got, want);
}

static void run_fault(const struct fault *f)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a1@x a2@x a3@x"),
			   *b = f->one ? NULL : txn_new(w, "b1@x");
	uint64_t a_id = a->id, b_id = b ? b->id : 0, session;
	struct from_io *down;

	if (f->lockstep)
		r->ehlo = EHLO_NONE;
	receiver_rule(r, f->rule);
	session = open_session(w, spec_new(w), a);
	if (b)
		give(w, session, b);
	down = wait_down(w, session);
	if (down->planned != f->planned || down->step != f->step)
		fail_msg("%s: planned %d, step %s", f->rule.cmd, down->planned,
			 smtp_step_name(down->step));
	assert_true(down->established);
	if (f->words && !strstr(down->reply ? down->reply->text : "", f->words))
		fail_msg("%s: DOWN says %s", f->rule.cmd,
			 down->reply ? down->reply->text : "nothing");
	check_results(the_txn(w, a_id), f->first, f->rule.cmd);
	if (b)
		check_results(the_txn(w, b_id), f->second, f->rule.cmd);
	assert_ptr_equal(down, &w->log[w->nlog - 1]);
	check_ledger(w);
	world_free(w);
}

static void a_421_at_any_stage_closes_the_connection(void **state)
{
#define R421(cmd, from)                                                                            \
	{                                                                                          \
		cmd, "421 4.7.0 go away", DO_CLOSE, from, 0                                        \
	}
	static const struct fault faults[] = {
		/* the first MAIL: RCPTs are out with PIPELINING; without, MAIL's answer is the
		   answer to all */
		{ R421("MAIL", 1), false, false, "ddd", "u", false, STEP_MAIL,
		  "421 4.7.0 go away" },
		{ R421("MAIL", 1), true, false, "ddd", "u", false, STEP_MAIL, "421 4.7.0 go away" },
		{ R421("RCPT TO:<a2", 1), false, false, "ddd", "u", false, STEP_RCPT, "421" },
		{ R421("RCPT TO:<a2", 1), true, false, "ddu", "u", false, STEP_RCPT, "421" },
		{ R421("DATA", 1), false, false, "ddd", "u", false, STEP_DATA, "421" },
		{ R421("DATA", 1), true, false, "ddd", "u", false, STEP_DATA, "421" },
		{ R421("BODY", 1), true, false, "ddd", "u", false, STEP_BODY, "421" },
		{ R421(".", 1), false, false, "ddd", "u", false, STEP_BODY, "421" },
		{ R421(".", 1), true, false, "ddd", "u", false, STEP_BODY, "421" },
		/* a connection that has served: it is the receiver's way of saying enough */
		{ R421("MAIL", 2), false, false, "ooo", "u", true, STEP_RSET, "421" },
		{ R421("MAIL", 2), true, false, "ooo", "u", true, STEP_RSET, "421" },
		{ R421("RCPT TO:<b", 1), true, false, "ooo", "d", false, STEP_RCPT, "421" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		run_fault(&faults[i]);
}

static void a_connection_lost_at_any_stage_loses_no_recipient(void **state)
{
#define RCLOSE(cmd, from)                                                                          \
	{                                                                                          \
		cmd, "", DO_CLOSE | DO_HOLD, from, 0                                               \
	}
	static const struct fault faults[] = {
		{ RCLOSE("MAIL", 1), false, false, "ddd", "u", false, STEP_MAIL,
		  "connection closed by peer after MAIL FROM" },
		{ RCLOSE("MAIL", 1), true, false, "ddd", "u", false, STEP_MAIL,
		  "connection closed by peer after MAIL FROM" },
		{ RCLOSE("RCPT TO:<a2", 1), true, false, "ddu", "u", false, STEP_RCPT,
		  "connection closed by peer after RCPT TO" },
		{ RCLOSE("DATA", 1), true, false, "ddd", "u", false, STEP_DATA, "after DATA" },
		{ RCLOSE(".", 1), true, false, "ttt", "u", false, STEP_BODY, "after end of DATA" },
		{ { ".", "", DO_RESET | DO_HOLD, 1, 0 },
		  true,
		  false,
		  "ttt",
		  "u",
		  false,
		  STEP_BODY,
		  "connection reset by peer after end of DATA" },
		{ { "RCPT TO:<a1", "", DO_RESET | DO_HOLD, 1, 0 },
		  true,
		  false,
		  "duu",
		  "u",
		  false,
		  STEP_RCPT,
		  "connection reset by peer after RCPT TO" },
		/* the receiver closed between two messages */
		{ RCLOSE("MAIL", 2), true, false, "ooo", "u", true, STEP_MAIL,
		  "closed by peer after MAIL FROM" },
		{ { ".", NULL, DO_CLOSE, 1, 0 }, true, true, "ooo", NULL, true, STEP_RSET, NULL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		run_fault(&faults[i]);
}

static void nonsense_while_replies_are_due_means_that_the_state_is_unknown(void **state)
{
#define RSAY(cmd, text)                                                                            \
	{                                                                                          \
		cmd, text, 0, 1, 0                                                                 \
	}
	static const struct fault faults[] = {
		{ RSAY("RCPT TO:<a2", "what do you mean"), false, false, "ddd", "u", false,
		  STEP_RCPT, "protocol error" },
		{ RSAY("RCPT TO:<a2", "250-one\r\n550 two"), false, false, "ddd", "u", false,
		  STEP_RCPT, "no SMTP reply" },
		{ RSAY("RCPT TO:<a2", "150 early bird"), false, false, "ddd", "u", false, STEP_RCPT,
		  "no SMTP reply" },
		{ RSAY("MAIL", "354 what"), true, false, "ddd", "u", false, STEP_MAIL,
		  "protocol error: wrong code" },
		{ RSAY("DATA", "250 Ok"), true, false, "ddd", "u", false, STEP_DATA, "wrong code" },
		{ RSAY(".", "354 more"), true, false, "ttt", "u", false, STEP_BODY, "wrong code" },
		{ RSAY(".", "2?0 hm"), true, false, "ttt", "u", false, STEP_BODY, "no SMTP reply" },
		/* a reply more than there should be */
		{ RSAY("MAIL", "250 Ok\r\n250 Ok"), true, false, "ddd", "u", false, STEP_RCPT,
		  "before it was due" },
		{ RSAY("DATA", "354 go\r\n250 done"), true, false, "ddd", "u", false, STEP_BODY,
		  "before it was due" },
		{ { ".", "250 Ok\r\n250 Ok", 0, 1, 0 },
		  true,
		  true,
		  "ooo",
		  NULL,
		  false,
		  STEP_RSET,
		  "before it was due" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		run_fault(&faults[i]);
}

static void an_early_refusal_of_the_message_is_taken_at_its_word(void **state)
{
	struct fault f = { { "BODY", "552 5.3.4 too big for me", DO_CLOSE, 1, 0 },
			   true,
			   false,
			   "ppp",
			   "u",
			   false,
			   STEP_BODY,
			   "552 5.3.4" };
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a1@x");
	uint64_t session, id = t->id;
	size_t n = 20 << 20;
	char *bytes = malloc(n);

	(void)state;
	(void)f;
	/* more than the socket takes, so that the dot can't have left */
	assert_non_null(bytes);
	memset(bytes, 'x', n);
	body_unref(t->body);
	t->body = body_of("", str_mem(bytes, n));
	free(bytes);
	r->ehlo = EHLO_NONE;
	receiver_rule(r, f.rule);
	session = open_session(w, spec_new(w), t);
	wait_down(w, session);
	t = the_txn(w, id);
	assert_string_equal(reply_of(t, 0), "552 5.3.4 too big for me");
	assert_true(t->rcpts[0].verdict.permanent);
	check_ledger(w);
	world_free(w);
}

/* ---- refusals that leave the session as it is ---- */

static void check_refusal(struct rule u, bool lockstep, const char *want, const char *reply,
			  const char *said)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a1@x a2@x"), *b = txn_new(w, "b1@x");
	uint64_t a_id = a->id, b_id = b->id, session;

	if (lockstep)
		r->ehlo = EHLO_NONE;
	receiver_rule(r, u);
	session = open_session(w, spec_new(w), a);
	a = wait_done(w, a_id);
	check_results(a, want, u.cmd);
	assert_string_equal(reply_of(a, 0), reply);
	r->nrules = 0;
	give(w, session, b);
	check_results(wait_done(w, b_id), "o", u.cmd);
	if (!strstr(said_all(r), said))
		fail_msg("%s: %s is not in %s", u.cmd, said, said_all(r));
	close_session(w, session);
	assert_true(wait_down(w, session)->planned);
	check_ledger(w);
	world_free(w);
}

static void a_refused_transaction_leaves_a_session_that_can_take_the_next(void **state)
{
	(void)state;
	for (int lockstep = 0; lockstep < 2; lockstep++) {
		check_refusal((struct rule){ "MAIL", "550 5.7.1 not you", 0, 0, 0 }, lockstep, "pp",
			      "550 5.7.1 not you", "MAIL FROM");
		check_refusal((struct rule){ "MAIL", "451 4.3.0 later", 0, 0, 0 }, lockstep, "dd",
			      "451 4.3.0 later", "MAIL FROM");
		check_refusal((struct rule){ "RCPT", "450 4.2.0 busy", 0, 0, 0 }, lockstep, "dd",
			      "450 4.2.0 busy", "RSET\n");
		check_refusal((struct rule){ "DATA", "451 4.3.0 no", 0, 0, 0 }, lockstep, "dd",
			      "451 4.3.0 no", "RSET\n");
		check_refusal((struct rule){ ".", "554 5.7.1 spam", 0, 0, 0 }, lockstep, "pp",
			      "554 5.7.1 spam", "DATA");
	}
}

static void with_everybody_refused_354_is_answered_by_an_empty_message(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a1@x a2@x"), *b = txn_new(w, "b1@x");
	uint64_t a_id = a->id, b_id = b->id, session;

	(void)state;
	receiver_rule(r, (struct rule){ "RCPT TO:<a", "550 5.1.1 no", 0, 0, 0 });
	receiver_rule(r, (struct rule){ "DATA", "354 go ahead", 0, 0, 0 });
	session = open_session(w, spec_new(w), a);
	check_results(wait_done(w, a_id), "pp", "all refused");
	assert_int_equal(r->body.n, 0);
	assert_int_equal(r->messages, 0);
	give(w, session, b);
	check_results(wait_done(w, b_id), "o", "the next");
	check_ledger(w);
	world_free(w);
}

static void a_refused_mail_with_rcpt_and_data_taken_sends_nothing(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a1@x");
	uint64_t id = a->id, session;

	(void)state;
	receiver_rule(r, (struct rule){ "MAIL", "550 5.7.1 no", 0, 0, 0 });
	receiver_rule(r, (struct rule){ "RCPT", "250 why not", 0, 0, 0 });
	receiver_rule(r, (struct rule){ "DATA", "354 go", 0, 0, 0 });
	session = open_session(w, spec_new(w), a);
	assert_false(wait_down(w, session)->planned);
	check_results(the_txn(w, id), "p", "MAIL refused");
	assert_int_equal(r->messages, 0);
	world_free(w);
}

/* ---- time ---- */

static void check_timeout(struct rule u, size_t field, const char *words, const char *want)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	struct transaction *t = txn_new(w, "a1@x a2@x");
	uint64_t id = t->id, session;
	struct from_io *down;

	*(us_t *)(void *)((char *)p + field) = 80 * US_PER_MS;
	r->ehlo = EHLO_NONE;
	receiver_rule(r, u);
	session = open_session(w, p, t);
	down = wait_down(w, session);
	check_results(the_txn(w, id), want, u.cmd);
	assert_non_null(down->reply);
	assert_string_equal(down->reply->text, words);
	assert_false(down->planned);
	assert_int_equal(down->verdict.class, CLASS_CONNECTION);
	check_ledger(w);
	world_free(w);
}

static void each_step_has_one_deadline_and_says_which_it_was(void **state)
{
#define RHOLD(cmd) (struct rule){ cmd, NULL, DO_HOLD, 0, 0 }
#define FIELD(f)   offsetof(struct session_spec, f)
	(void)state;
	check_timeout(RHOLD("CONNECT"), FIELD(greeting_timeout),
		      "timed out after 80ms waiting for the greeting", "uu");
	check_timeout(RHOLD("EHLO"), FIELD(command_timeout),
		      "timed out after 80ms waiting for the reply to EHLO", "uu");
	check_timeout(RHOLD("MAIL"), FIELD(command_timeout),
		      "timed out after 80ms waiting for the reply to MAIL FROM", "dd");
	check_timeout(RHOLD("RCPT TO:<a2"), FIELD(command_timeout),
		      "timed out after 80ms waiting for the reply to RCPT TO", "dd");
	check_timeout(RHOLD("DATA"), FIELD(command_timeout),
		      "timed out after 80ms waiting for the reply to DATA", "dd");
	check_timeout(RHOLD("."), FIELD(data_done_timeout),
		      "timed out after 80ms waiting for the reply to end of DATA", "tt");
}

static void a_connection_that_is_never_taken_times_out(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	struct from_io *down;
	uint64_t session;
	int fill[16];

	(void)state;
	/* a full backlog: the kernel drops what comes on top */
	ev_io_stop(loop_ev(w->loop), &r->io);
	listen(r->fd, 0);
	for (size_t i = 0; i < sizeof fill / sizeof *fill; i++) {
		fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		if (connect(fill[i], &r->at.sa, r->at.len) && errno != EINPROGRESS)
			fail_msg("connect: %s", strerror(errno));
	}
	p->connect_timeout = 80 * US_PER_MS;
	session = open_session(w, p, txn_new(w, "a1@x"));
	down = wait_down(w, session);
	assert_string_equal(down->reply ? down->reply->text : "",
			    "timed out after 80ms connecting");
	assert_int_equal(down->step, STEP_CONNECT);
	check_ledger(w);
	for (size_t i = 0; i < sizeof fill / sizeof *fill; i++)
		close(fill[i]);
	world_free(w);
}

static void a_multi_line_reply_that_never_ends_ends_with_its_step(void **state)
{
	struct rule endless = { "MAIL", "250-one\r\n250-two", 0, 0, 0 };

	(void)state;
	check_timeout(endless, FIELD(command_timeout),
		      "timed out after 80ms waiting for the reply to MAIL FROM", "dd");
}

static void talk_without_end(struct rconn *c)
{
	enum { LINES = 4000 };

	for (int i = 0; i < LINES && !c->dead; i++)
		rconn_say(c, "250-x\r\n", 7);
	c->dead = true;
}

/* At the speed of the network that would cost as much as all other sessions together. */
static void a_reply_of_thousands_of_lines_is_none(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	uint64_t session;
	struct from_io *down;

	(void)state;
	r->chaos = talk_without_end;
	p->command_timeout = US_PER_S;
	session = open_session(w, p, txn_new(w, "a1@x"));
	down = wait_down(w, session);
	assert_non_null(down->reply);
	if (!strstr(down->reply->text, "protocol error: a reply has too many lines"))
		fail_msg("%s", down->reply->text);
	check_ledger(w);
	world_free(w);
}

static void stop_reading(struct rconn *c)
{
	/* The whole dialog without looking: MAIL, RCPT, DATA are taken, then nothing is read any
	 * more. */
	if (!memmem(c->in.p, c->in.n, "EHLO", 4))
		return;
	if (!memmem(c->in.p, c->in.n, "MAIL", 4)) {
		rconn_say(c, "250-x\r\n250 PIPELINING\r\n", 23);
		return;
	}
	if (!c->data)
		rconn_say(c, "250 Ok\r\n250 Ok\r\n354 go\r\n", 24);
	c->data = true;
	ev_io_stop(loop_ev(c->r->w->loop), &c->io);
}

static void a_receiver_that_stops_reading_the_message_is_given_up(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	struct transaction *t = txn_new(w, "a1@x");
	uint64_t id = t->id, session;
	struct from_io *down;
	size_t n = 20 << 20;
	char *bytes = malloc(n);

	(void)state;
	assert_non_null(bytes);
	memset(bytes, 'x', n);
	body_unref(t->body);
	t->body = body_of("", str_mem(bytes, n));
	free(bytes);
	r->chaos = stop_reading;
	p->data_timeout = 100 * US_PER_MS;
	session = open_session(w, p, t);
	down = wait_down(w, session);
	assert_non_null(down->reply);
	assert_string_equal(down->reply->text, "timed out after 100ms sending the message");
	check_results(the_txn(w, id), "d", "stalled");
	world_free(w);
}

/* ---- fail-over ---- */

static void addresses_are_tried_in_turn_and_each_failure_is_told(void **state)
{
	struct world *w = world_new();
	struct receiver *r[4] = { receiver_new(w), receiver_new(w), receiver_new(w),
				  receiver_new(w) };
	struct transaction *t = txn_new(w, "a1@x");
	uint64_t id = t->id;
	size_t k = 0;

	(void)state;
	receiver_rule(r[0], (struct rule){ "CONNECT", "554 5.7.1 no mail from you", 0, 0, 0 });
	receiver_rule(r[1], (struct rule){ "CONNECT", "421 4.3.2 busy", DO_CLOSE, 0, 0 });
	receiver_rule(r[2], (struct rule){ "EHLO", "", DO_CLOSE | DO_HOLD, 0, 0 });
	open_session(w, spec_new(w), t);
	t = wait_done(w, id);
	check_results(t, "o", "fail-over");
	assert_string_equal(t->mx->text, "mx4.fake");
	for (size_t i = 0; i < w->nlog; i++) {
		static const char *const words[] = { "554 5.7.1 no mail from you", "421 4.3.2 busy",
						     "connection closed by peer after EHLO" };
		static const enum smtp_step step[] = { STEP_GREETING, STEP_GREETING, STEP_EHLO };

		if (w->log[i].type != FROM_IO_ADDRESS_FAILED)
			continue;
		assert_true(k < 3);
		assert_string_equal(w->log[i].reply->text, words[k]);
		assert_int_equal(w->log[i].step, step[k]);
		assert_int_equal(endpoint_port(&w->log[i].address), endpoint_port(&r[k]->at));
		k++;
	}
	assert_int_equal(k, 3);
	assert_string_equal(the_msg(w, FROM_IO_UP, 0)->host->text, "mx4.fake");
	assert_non_null(strstr(said_all(r[0]), "QUIT"));
	world_free(w);
}

static void when_no_address_answers_the_mail_comes_back_untried(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a1@x");
	uint64_t id = t->id, session;
	struct from_io *down;

	(void)state;
	ev_io_stop(loop_ev(w->loop), &r->io);
	close(r->fd);
	r->fd = -1;
	session = open_session(w, spec_new(w), t);
	down = wait_down(w, session);
	assert_false(down->planned || down->established);
	assert_int_equal(down->step, STEP_CONNECT);
	assert_non_null(down->reply);
	assert_string_equal(down->reply->text, "connection refused");
	check_results(the_txn(w, id), "u", "refused");
	assert_int_equal(count_msgs(w, FROM_IO_ADDRESS_FAILED), 1);
	check_ledger(w);
	world_free(w);
}

static void a_host_without_a_usable_address_fails_in_words(void **state)
{
	struct world *w = world_new();
	struct session_spec *p;
	struct transaction *t = txn_new(w, "a1@x");
	uint64_t session;
	struct from_io *down;

	(void)state;
	receiver_new(w);
	p = spec_new(w);
	p->ip_versions = IPV_6;
	session = open_session(w, p, t);
	down = wait_down(w, session);
	assert_false(down->established);
	assert_non_null(down->reply);
	assert_string_equal(down->reply->text,
			    "no host of fake has an address that virtual MTA vmta1 can reach");
	check_ledger(w);
	world_free(w);
}

static void a_preferred_family_is_tried_first(void **state)
{
	struct world *w = world_new();
	struct receiver *r4 = receiver_new(w), *r6 = receiver_of(w, true);
	struct session_spec *p;
	struct transaction *t;
	struct endpoint *two;
	uint64_t id;

	(void)state;
	if (!r6)
		fail_msg("no IPv6 here: nothing can listen on ::1");
	for (int pass = 0; pass < 2; pass++) {
		p = spec_new(w);
		p->nhosts = 1; /* one host with both addresses */
		two = calloc(2, sizeof *two);
		assert_non_null(two);
		two[0] = r4->at;
		two[1] = r6->at;
		free(p->hosts[0].address);
		free(p->hosts[1].address);
		free(p->hosts[1].name);
		p->hosts[0].address = two;
		p->hosts[0].naddresses = 2;
		p->ip_versions = pass ? IPV_PREFER_6 : IPV_PREFER_4;
		t = txn_new(w, pass ? "six@x" : "four@x");
		id = t->id;
		open_session(w, p, t);
		wait_done(w, id);
		assert_int_equal((pass ? r6 : r4)->messages, 1);
	}
	world_free(w);
}

static void a_source_address_that_is_not_here_is_said_so(void **state)
{
	struct world *w = world_new();
	struct session_spec *p;
	uint64_t session;
	struct from_io *down;

	(void)state;
	receiver_new(w);
	p = spec_new(w);
	assert_true(endpoint_parse(STR_LIT("203.0.113.7"), 0, &p->local4));
	session = open_session(w, p, txn_new(w, "a1@x"));
	down = wait_down(w, session);
	assert_non_null(down->reply);
	assert_string_equal(down->reply->text, "the source address is not on this machine");
	check_ledger(w);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_421_at_any_stage_closes_the_connection),
		cmocka_unit_test(a_connection_lost_at_any_stage_loses_no_recipient),
		cmocka_unit_test(nonsense_while_replies_are_due_means_that_the_state_is_unknown),
		cmocka_unit_test(an_early_refusal_of_the_message_is_taken_at_its_word),
		cmocka_unit_test(a_refused_transaction_leaves_a_session_that_can_take_the_next),
		cmocka_unit_test(with_everybody_refused_354_is_answered_by_an_empty_message),
		cmocka_unit_test(a_refused_mail_with_rcpt_and_data_taken_sends_nothing),
		cmocka_unit_test(each_step_has_one_deadline_and_says_which_it_was),
		cmocka_unit_test(a_connection_that_is_never_taken_times_out),
		cmocka_unit_test(a_multi_line_reply_that_never_ends_ends_with_its_step),
		cmocka_unit_test(a_reply_of_thousands_of_lines_is_none),
		cmocka_unit_test(a_receiver_that_stops_reading_the_message_is_given_up),
		cmocka_unit_test(addresses_are_tried_in_turn_and_each_failure_is_told),
		cmocka_unit_test(when_no_address_answers_the_mail_comes_back_untried),
		cmocka_unit_test(a_host_without_a_usable_address_fails_in_words),
		cmocka_unit_test(a_preferred_family_is_tried_first),
		cmocka_unit_test(a_source_address_that_is_not_here_is_said_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
