/* The SMTP client against well-behaved receivers: what it says, in which order, and what it
 * reports. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>

#include "tests/unit/smtp/test_client_world.h"

static void one_message_is_delivered_with_the_remotes_words(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x.example");
	uint64_t id = t->id, session;
	struct from_io *down;

	(void)state;
	session = open_session(w, spec_new(w), t);
	t = wait_done(w, id);
	assert_true(t->rcpts[0].tried);
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_OK);
	assert_string_equal(t->rcpts[0].verdict.enhanced, "2.0.0");
	assert_int_equal(t->rcpts[0].step, STEP_BODY);
	assert_string_equal(reply_of(t, 0), "250 2.0.0 Ok: queued as ABC123");
	assert_false(t->rcpts[0].maybe_twice);
	assert_string_equal(t->vmta->text, "vmta1");
	assert_string_equal(t->source_ip->text, "127.0.0.9");
	assert_string_equal(t->mx->text, "mx1.fake");
	assert_string_equal(t->mx_ip->text, "127.0.0.1");
	assert_true(t->started_at && t->ended_at >= t->started_at);
	close_session(w, session);
	down = wait_down(w, session);
	assert_true(down->planned && down->established);
	assert_null(down->reply);
	assert_string_equal(got_all(r), "a@x.example ;");
	assert_string_equal(buf_z(&r->body), BODY_HEAD BODY_DATA);
	/* one write for the envelope, one for the message */
	assert_string_equal(said_all(r),
			    "EHLO four.example\n|MAIL FROM:<from@here.example> SIZE=42\n"
			    "RCPT TO:<a@x.example>\nDATA\n|.\n|QUIT\n");
	world_free(w);
}

static void each_recipient_gets_its_own_result(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x bad@x full@x b@x");
	uint64_t id = t->id;

	(void)state;
	receiver_rule(
	    r, (struct rule){ "RCPT TO:<bad@", "550-5.1.1 no such\r\n550 5.1.1 user", 0, 0, 0 });
	receiver_rule(r, (struct rule){ "RCPT TO:<full@", "452 4.2.2 mailbox full", 0, 0, 0 });
	open_session(w, spec_new(w), t);
	t = wait_done(w, id);
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_OK);
	assert_true(t->rcpts[1].verdict.permanent);
	assert_string_equal(reply_of(t, 1), "550-5.1.1 no such\n550 5.1.1 user");
	assert_int_equal(t->rcpts[1].step, STEP_RCPT);
	assert_false(t->rcpts[2].verdict.permanent);
	assert_string_equal(t->rcpts[2].verdict.enhanced, "4.2.2");
	assert_int_equal(t->rcpts[3].verdict.class, CLASS_OK);
	assert_string_equal(got_all(r), "a@x b@x ;");
	world_free(w);
}

/* 60 refusals of almost 1 KB at once: a pass judges some, the next ones the rest, and none is lost.
 */
static void a_pass_judges_only_so_many_refusals(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	char rcpts[60 * 8], words[950] = "550 5.7.1 ", *p = rcpts;
	struct transaction *t;
	struct client_stats st;
	uint64_t id;

	(void)state;
	for (int i = 0; i < 60; i++)
		p += sprintf(p, "%su%d@x", i ? " " : "", i);
	memset(words + 10, 'x', sizeof words - 11);
	t = txn_new(w, rcpts);
	id = t->id;
	receiver_rule(r, (struct rule){ "RCPT TO:<", words, 0, 0, 0 });
	open_session(w, spec_new(w), t);
	t = wait_done(w, id);
	for (uint32_t i = 0; i < 60; i++) {
		assert_true(t->rcpts[i].verdict.permanent);
		assert_string_equal(reply_of(t, i), words);
	}
	client_stats(w->client, &st);
	assert_true(st.judged_max > 950);
	assert_true(st.judged_max <= 8 * 1024 + 2048 + 64);
	world_free(w);
}

static void without_pipelining_each_command_waits_for_its_reply(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x bad@x b@x"), *t2 = txn_new(w, "bad@x");
	uint64_t id = t->id, id2 = t2->id, session;

	(void)state;
	r->ehlo = EHLO_NONE;
	receiver_rule(r, (struct rule){ "RCPT TO:<bad@", "550 5.1.1 no", 0, 0, 0 });
	session = open_session(w, spec_new(w), t);
	wait_done(w, id);
	assert_string_equal(
	    said_all(r),
	    "EHLO four.example\n|MAIL FROM:<from@here.example>\n|RCPT TO:<a@x>\n|RCPT TO:<bad@x>\n|"
	    "RCPT TO:<b@x>\n|DATA\n|.\n|");
	assert_false(the_msg(w, FROM_IO_UP, 0)->pipelining);
	/* nobody is accepted: no DATA, and RSET only before the next MAIL */
	buf_clear(&r->said);
	give(w, session, t2);
	wait_done(w, id2);
	assert_string_equal(said_all(r), "MAIL FROM:<from@here.example>\n|RCPT TO:<bad@x>\n|");
	t2 = txn_new(w, "c@x");
	id2 = t2->id;
	give(w, session, t2);
	assert_int_equal(wait_done(w, id2)->rcpts[0].verdict.class, CLASS_OK);
	assert_non_null(strstr(said_all(r), "|RSET\n|MAIL FROM:"));
	assert_string_equal(got_all(r), "a@x b@x ;c@x ;");
	world_free(w);
}

static void pipelining_is_not_used_when_it_is_switched_off(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id;

	(void)state;
	p->smtp_pipelining = false;
	open_session(w, p, t);
	wait_done(w, id);
	assert_non_null(strstr(said_all(r), "SIZE=42\n|RCPT TO:<a@x>\n|DATA\n|"));
	world_free(w);
}

static void the_next_envelope_leaves_with_the_end_of_the_message(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *a = txn_new(w, "a@x"), *b = txn_new(w, "b@x c@x");
	uint64_t id = b->id, session;

	(void)state;
	session = open_session(w, spec_new(w), a);
	give(w, session, b);
	b = wait_done(w, id);
	assert_true(the_msg(w, FROM_IO_UP, 0)->pipelining);
	assert_int_equal(b->rcpts[1].verdict.class, CLASS_OK);
	/* no read ended between the dot and DATA */
	assert_non_null(strstr(said_all(r), "DATA\n|.\nMAIL FROM:<from@here.example> SIZE=42\n"
					    "RCPT TO:<b@x>\nRCPT TO:<c@x>\nDATA\n"));
	assert_string_equal(got_all(r), "a@x ;b@x c@x ;");
	world_free(w);
}

static void many_messages_go_over_one_connection(void **state)
{
	enum { N = 50 };
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t session, last = 0;

	(void)state;
	session = open_session(w, spec_new(w), t);
	for (int i = 1; i < N; i++) {
		last = t->id;
		t = txn_new(w, "a@x");
		give(w, session, t);
		wait_done(w, last);
	}
	wait_done(w, t->id);
	assert_int_equal(r->connections, 1);
	assert_int_equal(r->messages, N);
	assert_null(strstr(said_all(r), "RSET"));
	world_free(w);
}

static void after_max_msg_per_connection_it_quits(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	struct transaction *t[3] = { txn_new(w, "a@x"), txn_new(w, "b@x"), txn_new(w, "c@x") };
	uint64_t id[3], session;
	struct from_io *down;

	(void)state;
	for (int i = 0; i < 3; i++)
		id[i] = t[i]->id;
	p->max_msg_per_connection = 2;
	session = open_session(w, p, t[0]);
	give(w, session, t[1]);
	wait_done(w, id[0]);
	give(w, session, t[2]);
	down = wait_down(w, session);
	assert_true(down->planned);
	assert_false(the_txn(w, id[2])->rcpts[0].tried);
	assert_int_equal(r->messages, 2);
	assert_non_null(strstr(said_all(r), "QUIT"));
	world_free(w);
}

static void without_use_rs_a_connection_carries_one_message(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	struct transaction *t = txn_new(w, "a@x"), *t2 = txn_new(w, "b@x");
	uint64_t session, id2 = t2->id;

	(void)state;
	p->use_rs = false;
	session = open_session(w, p, t);
	give(w, session, t2);
	assert_true(wait_down(w, session)->planned);
	assert_false(the_msg(w, FROM_IO_UP, 0)->pipelining);
	assert_false(the_txn(w, id2)->rcpts[0].tried);
	assert_string_equal(got_all(r), "a@x ;");
	world_free(w);
}

static void ehlo_refused_leads_to_helo(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id;

	(void)state;
	receiver_rule(r, (struct rule){ "EHLO", "502 5.5.1 what?", 0, 0, 0 });
	open_session(w, spec_new(w), t);
	assert_int_equal(wait_done(w, id)->rcpts[0].verdict.class, CLASS_OK);
	assert_non_null(
	    strstr(said_all(r),
		   "EHLO four.example\n|HELO four.example\n|MAIL FROM:<from@here.example>\n|"));
	assert_int_equal(count_msgs(w, FROM_IO_ADDRESS_FAILED), 0);
	world_free(w);
}

static void over_ipv6_it_gives_the_name_for_ipv6(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_of(w, true);
	struct transaction *t;
	uint64_t id;

	(void)state;
	if (!r)
		fail_msg("no IPv6 here: nothing can listen on ::1");
	t = txn_new(w, "a@x");
	id = t->id;
	open_session(w, spec_new(w), t);
	t = wait_done(w, id);
	assert_string_equal(t->source_ip->text, "::1");
	assert_string_equal(t->mx_ip->text, "::1");
	assert_non_null(strstr(said_all(r), "EHLO six.example\n"));
	world_free(w);
}

static void odd_but_legal_replies_are_understood(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id;

	(void)state;
	r->ehlo = "250-fake says hello\n250-pipelining\n250";
	receiver_rule(r, (struct rule){ "CONNECT", "220-fake\r\n220-is\r\n220", 0, 0, 0 });
	receiver_rule(r, (struct rule){ "MAIL", "250", 0, 0, 0 });
	receiver_rule(r, (struct rule){ "RCPT", "251-will\n251 forward", 0, 0, 0 });
	receiver_rule(r, (struct rule){ ".", "250-2.6.0 line one\r\n250 2.6.0 line two", 0, 0, 0 });
	open_session(w, spec_new(w), t);
	t = wait_done(w, id);
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_OK);
	assert_string_equal(t->rcpts[0].verdict.enhanced, "2.6.0");
	assert_string_equal(reply_of(t, 0), "250-2.6.0 line one\n250 2.6.0 line two");
	assert_true(the_msg(w, FROM_IO_UP, 0)->pipelining);
	world_free(w);
}

static bool some_passes(struct world *w, const void *left)
{
	(void)w;
	return !--*(int *)(uintptr_t)left;
}

static void replies_may_come_in_any_pieces(void **state)
{
	static const char *const pieces[] = { "2",	 "50",	"-2.1.",
					      "0 one\r", "\n2", "50 2.1.0 two\r",
					      "\n" };
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id;

	(void)state;
	r->ehlo = EHLO_NONE;
	receiver_rule(r, (struct rule){ "MAIL", NULL, DO_HOLD, 0, 0 });
	open_session(w, spec_new(w), t);
	world_wait(w, was_said, "MAIL");
	for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
		int left = 4;

		assert_null(strstr(said_all(r), "RCPT"));
		rconn_say(r->conns, pieces[i], strlen(pieces[i]));
		r->conns->mail = true;
		world_wait(w, some_passes, &left);
	}
	assert_int_equal(wait_done(w, id)->rcpts[0].verdict.class, CLASS_OK);
	world_free(w);
}

static void what_the_receiver_did_not_offer_is_not_used(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id;

	(void)state;
	r->ehlo = EHLO_NONE;
	body_unref(t->body);
	t->body = body_of("", STR_LIT("caf\xc3\xa9\r\n"));
	t->ret = RET_FULL;
	t->envid = arena_str(&t->arena, STR_LIT("abc"));
	t->rcpts[0].notify = NOTIFY_FAILURE;
	open_session(w, spec_new(w), t);
	wait_done(w, id);
	assert_non_null(
	    strstr(said_all(r), "MAIL FROM:<from@here.example>\n|RCPT TO:<a@x>\n|DATA\n"));
	world_free(w);
}

static void what_it_offered_is_passed_on(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "\xc3\xa9@x b@x");
	uint64_t id = t->id;

	(void)state;
	body_unref(t->body);
	t->body = body_of("", STR_LIT("caf\xc3\xa9\r\n"));
	t->smtputf8 = true;
	t->ret = RET_HDRS;
	t->envid = arena_str(&t->arena, STR_LIT("abc+2B"));
	t->rcpts[0].notify = NOTIFY_NEVER;
	t->rcpts[1].notify = NOTIFY_SUCCESS | NOTIFY_DELAY;
	t->rcpts[1].orcpt = arena_str(&t->arena, STR_LIT("rfc822;b+40x"));
	open_session(w, spec_new(w), t);
	wait_done(w, id);
	assert_non_null(strstr(
	    said_all(r),
	    "|MAIL FROM:<from@here.example> SIZE=7 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=abc+2B\n"
	    "RCPT TO:<\xc3\xa9@x> NOTIFY=NEVER\n"
	    "RCPT TO:<b@x> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;b+40x\nDATA\n"));
	world_free(w);
}

static void check_refused(const char *ehlo,
			  void (*prepare)(struct session_spec *p, struct transaction *t),
			  const char *enhanced)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x b@x"), *ok = txn_new(w, "c@x");
	struct session_spec *p = spec_new(w);
	uint64_t id = t->id, ok_id = ok->id, session;

	r->ehlo = ehlo;
	prepare(p, t);
	session = open_session(w, p, t);
	give(w, session, ok);
	t = wait_done(w, id);
	for (int i = 0; i < 2; i++) {
		assert_true(t->rcpts[i].tried);
		assert_true(t->rcpts[i].verdict.permanent);
		assert_string_equal(t->rcpts[i].verdict.enhanced, enhanced);
		assert_non_null(strstr(reply_of(t, (uint32_t)i), "mx1.fake"));
	}
	/* the session goes on, and the receiver never heard of it */
	assert_int_equal(wait_done(w, ok_id)->rcpts[0].verdict.class, CLASS_OK);
	assert_null(strstr(said_all(r), "RCPT TO:<a@x>"));
	world_free(w);
}

static void make_large(struct session_spec *p, struct transaction *t)
{
	char bytes[500];

	(void)p;
	memset(bytes, 'x', sizeof bytes);
	body_unref(t->body);
	t->body = body_of("", str_mem(bytes, sizeof bytes));
}

static void make_utf8(struct session_spec *p, struct transaction *t)
{
	(void)p;
	t->smtputf8 = true;
}

static void make_eightbit(struct session_spec *p, struct transaction *t)
{
	p->eightbit = EIGHTBIT_BOUNCE;
	body_unref(t->body);
	t->body = body_of("", STR_LIT("caf\xc3\xa9\r\n"));
}

static void what_a_receiver_cannot_take_is_refused_without_trying(void **state)
{
	(void)state;
	check_refused("250-fake\r\n250-PIPELINING\r\n250 SIZE 400", make_large, "5.3.4");
	check_refused("250 SIZE 400", make_utf8, "5.6.7");
	check_refused("250-fake\r\n250 SIZE 400", make_large, "5.3.4");
	check_refused("250-fake\r\n250-PIPELINING\r\n250 DSN", make_utf8, "5.6.7");
	check_refused("250-fake\r\n250-PIPELINING\r\n250 DSN", make_eightbit, "5.6.3");
	check_refused(EHLO_NONE, make_eightbit, "5.6.3");
}

static void dots_are_doubled_and_the_end_is_unmistakable(void **state)
{
	static const char *const bodies[][2] = {
		{ ".a\r\n..\r\n.\r\nb\r\n", "..a\r\n...\r\n..\r\nb\r\n" },
		{ "no line end", "no line end\r\n" },
		{ ".", "..\r\n" },
		{ "\r\n.\r\n\r\n.", "\r\n..\r\n\r\n..\r\n" },
	};
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	uint64_t session = open_session(w, spec_new(w), NULL);

	(void)state;
	for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
		struct transaction *t = txn_new(w, "a@x");
		uint64_t id = t->id;

		body_unref(t->body);
		t->body = body_of("", str_of(bodies[i][0]));
		give(w, session, t);
		wait_done(w, id);
		assert_string_equal(buf_z(&r->body), bodies[i][1]);
	}
	world_free(w);
}

static void a_body_without_bytes_is_sent_as_such(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x");
	uint64_t id = t->id;

	(void)state;
	body_unref(t->body);
	t->body = body_of("", STR_LIT(""));
	open_session(w, spec_new(w), t);
	assert_int_equal(wait_done(w, id)->rcpts[0].verdict.class, CLASS_OK);
	assert_int_equal(r->messages, 1);
	world_free(w);
}

static void control_characters_from_disk_never_become_commands(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x b@x c@x");
	uint64_t id = t->id;

	(void)state;
	t->rcpts[1].address = arena_str(&t->arena, STR_LIT("b@x>\r\nRCPT TO:<evil@x"));
	t->rcpts[2].orcpt = arena_str(&t->arena, STR_LIT("rfc822;x\r\nRSET"));
	t->envid = arena_str(&t->arena, STR_LIT("x y"));
	open_session(w, spec_new(w), t);
	t = wait_done(w, id);
	assert_true(t->rcpts[1].verdict.permanent);
	assert_string_equal(t->rcpts[1].verdict.enhanced, "5.1.3");
	assert_int_equal(t->rcpts[0].verdict.class, CLASS_OK);
	assert_int_equal(t->rcpts[2].verdict.class, CLASS_OK);
	assert_string_equal(got_all(r), "a@x c@x ;");
	world_free(w);
}

static void idle_sessions_quit(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct session_spec *p = spec_new(w);
	uint64_t session;
	struct from_io *down;

	(void)state;
	p->idle_timeout = 50 * US_PER_MS;
	session = open_session(w, p, txn_new(w, "a@x"));
	down = wait_down(w, session);
	assert_true(down->planned && down->established);
	assert_non_null(strstr(said_all(r), "QUIT"));
	world_free(w);
}

static void counters_count(void **state)
{
	struct world *w = world_new();
	struct receiver *r = receiver_new(w);
	struct transaction *t = txn_new(w, "a@x b@x");
	uint64_t id = t->id, session;
	struct client_stats st;

	(void)state;
	(void)r;
	session = open_session(w, spec_new(w), t);
	wait_done(w, id);
	client_stats(w->client, &st);
	assert_int_equal(st.sessions, 1);
	assert_int_equal(st.attempts, 2);
	assert_int_equal(st.connects, 1);
	assert_int_equal(st.connect_failures, 0);
	assert_true(st.bytes_out > 100);
	close_session(w, session);
	wait_down(w, session);
	client_stats(w->client, &st);
	assert_int_equal(st.sessions, 0);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_message_is_delivered_with_the_remotes_words),
		cmocka_unit_test(each_recipient_gets_its_own_result),
		cmocka_unit_test(a_pass_judges_only_so_many_refusals),
		cmocka_unit_test(without_pipelining_each_command_waits_for_its_reply),
		cmocka_unit_test(pipelining_is_not_used_when_it_is_switched_off),
		cmocka_unit_test(the_next_envelope_leaves_with_the_end_of_the_message),
		cmocka_unit_test(many_messages_go_over_one_connection),
		cmocka_unit_test(after_max_msg_per_connection_it_quits),
		cmocka_unit_test(without_use_rs_a_connection_carries_one_message),
		cmocka_unit_test(ehlo_refused_leads_to_helo),
		cmocka_unit_test(over_ipv6_it_gives_the_name_for_ipv6),
		cmocka_unit_test(odd_but_legal_replies_are_understood),
		cmocka_unit_test(replies_may_come_in_any_pieces),
		cmocka_unit_test(what_the_receiver_did_not_offer_is_not_used),
		cmocka_unit_test(what_it_offered_is_passed_on),
		cmocka_unit_test(what_a_receiver_cannot_take_is_refused_without_trying),
		cmocka_unit_test(dots_are_doubled_and_the_end_is_unmistakable),
		cmocka_unit_test(a_body_without_bytes_is_sent_as_such),
		cmocka_unit_test(control_characters_from_disk_never_become_commands),
		cmocka_unit_test(idle_sessions_quit),
		cmocka_unit_test(counters_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
