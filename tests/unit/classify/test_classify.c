/* What a receiver's reply means for the recipient and for the lane. The texts are our own, after
 * what large receivers and common servers say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/clock.h"
#include "core/base/rng.h"
#include "core/classify/classify.h"

static struct classifier *c;

struct example {
	enum smtp_step step;
	const char *reply;
	enum reply_class class;
	bool permanent;
	const char *enhanced;
};

static void check(const struct example *x, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct reply_verdict v;

		classify(c, NULL, x[i].step, str_of(x[i].reply), &v);
		if (v.class != x[i].class || v.permanent != x[i].permanent ||
		    strcmp(v.enhanced, x[i].enhanced) != 0)
			fail_msg("\"%s\" at %s: %s%s %s (%s); expected %s%s %s", x[i].reply,
				 smtp_step_name(x[i].step), reply_class_name(v.class),
				 v.permanent ? " permanent" : "", v.enhanced, v.rule,
				 reply_class_name(x[i].class), x[i].permanent ? " permanent" : "",
				 x[i].enhanced);
	}
}
#define CHECK(x) check(x, sizeof(x) / sizeof *(x))

static void test_success_and_no_reply(void **state)
{
	static const struct example x[] = {
		{ STEP_BODY, "250 2.0.0 Ok: queued as 4XyZ", CLASS_OK, false, "2.0.0" },
		{ STEP_RCPT, "250 2.1.5 Ok", CLASS_OK, false, "2.1.5" },
		{ STEP_RCPT, "250", CLASS_OK, false, "2.0.0" },
		{ STEP_DATA, "354 go ahead", CLASS_OK, false, "2.0.0" },
		{ STEP_BODY, "", CLASS_CONNECTION, false, "4.4.2" },
		{ STEP_RCPT, "hello", CLASS_TRANSIENT, false, "4.5.0" },
		{ STEP_RCPT, "999 what", CLASS_TRANSIENT, false, "4.5.0" },
		{ STEP_RCPT, "25", CLASS_TRANSIENT, false, "4.5.0" },
		{ STEP_RCPT, "5500 no", CLASS_TRANSIENT, false, "4.5.0" },
	};

	(void)state;
	CHECK(x);
}

static void test_greylisting_is_no_failure(void **state)
{
	static const struct example x[] = {
		{ STEP_RCPT,
		  "450 4.2.0 <a@example.net>: Recipient address rejected: Greylisted, see docs",
		  CLASS_GREYLIST, false, "4.2.0" },
		{ STEP_RCPT, "451 4.7.1 Greylisting in action, please come back in 00:04:58",
		  CLASS_GREYLIST, false, "4.7.1" },
		{ STEP_BODY, "451 temporarily grey-listed", CLASS_GREYLIST, false, "4.0.0" },
		{ STEP_RCPT, "421 4.7.0 graylisted, come back later", CLASS_GREYLIST, false,
		  "4.7.0" },
		{ STEP_RCPT,
		  "451-192.0.2.7 is not yet authorized to deliver mail from\n451 <b@example.org> "
		  "to <a@example.net>.",
		  CLASS_GREYLIST, false, "4.0.0" },
	};

	(void)state;
	CHECK(x);
}

static void test_one_mailbox_never_slows_a_lane(void **state)
{
	static const struct example x[] = {
		{ STEP_RCPT, "452 4.2.2 The mailbox of this account is over quota", CLASS_MAILBOX,
		  false, "4.2.2" },
		{ STEP_RCPT, "452 4.2.2 please come later", CLASS_MAILBOX, false, "4.2.2" },
		{ STEP_RCPT, "422 mailbox full", CLASS_MAILBOX, false, "4.0.0" },
		{ STEP_BODY, "451 user has exceeded the storage", CLASS_MAILBOX, false, "4.0.0" },
		{ STEP_RCPT,
		  "450 4.2.1 The user is receiving mail too quickly, please resend later",
		  CLASS_MAILBOX, false, "4.2.1" },
		{ STEP_RCPT,
		  "450-4.2.1 The user you write to is receiving mail\n450 4.2.1 at a rate that is "
		  "high",
		  CLASS_MAILBOX, false, "4.2.1" },
		{ STEP_RCPT, "450 4.1.1 <a@example.net>: unverified address: try later",
		  CLASS_MAILBOX, false, "4.1.1" },
		{ STEP_RCPT, "450 User unknown in local table, for now", CLASS_MAILBOX, false,
		  "4.0.0" },
		{ STEP_RCPT, "450 Requested action not taken: mailbox temporarily unavailable",
		  CLASS_MAILBOX, false, "4.0.0" },
		{ STEP_RCPT, "421 4.2.2 mailbox is full", CLASS_MAILBOX, false, "4.2.2" },
		/* but before RCPT nobody speaks of a mailbox */
		{ STEP_GREETING, "450 mailbox unavailable", CLASS_TRANSIENT, false, "4.0.0" },
		{ STEP_MAIL, "452 4.2.2 no", CLASS_TRANSIENT, false, "4.2.2" },
	};

	(void)state;
	CHECK(x);
}

static void test_throttling(void **state)
{
	static const struct example x[] = {
		{ STEP_GREETING, "421 Service not available", CLASS_THROTTLE, false, "4.0.0" },
		{ STEP_RCPT, "421 4.7.0 Try again later, closing connection.", CLASS_THROTTLE,
		  false, "4.7.0" },
		{ STEP_MAIL, "421 4.7.0 [TSS04] Messages from 192.0.2.9 temporarily deferred",
		  CLASS_THROTTLE, false, "4.7.0" },
		{ STEP_RCPT, "451 4.7.650 this server was limited (S775)", CLASS_THROTTLE, false,
		  "4.7.650" },
		{ STEP_RCPT, "451 4.7.500 Server busy. Please try again later.", CLASS_THROTTLE,
		  false, "4.7.500" },
		{ STEP_BODY, "450 4.7.28 unusual amounts of unsolicited mail", CLASS_THROTTLE,
		  false, "4.7.28" },
		{ STEP_MAIL, "451 Too many connections from your IP", CLASS_THROTTLE, false,
		  "4.0.0" },
		{ STEP_MAIL, "452 too many messages, slow down", CLASS_THROTTLE, false, "4.0.0" },
		{ STEP_RCPT, "450 your sending rate is too high", CLASS_THROTTLE, false, "4.0.0" },
		{ STEP_MAIL, "451 4.3.2 rate-limit exceeded", CLASS_THROTTLE, false, "4.3.2" },
		{ STEP_EHLO, "450 exceeded the maximum number of connections", CLASS_THROTTLE,
		  false, "4.0.0" },
		{ STEP_BODY, "450 deferred, low reputation", CLASS_THROTTLE, false, "4.0.0" },
		/* the class of the text wins over 4.1.1 */
		{ STEP_RCPT, "452 4.1.1 <a@example.net> too many recent messages", CLASS_THROTTLE,
		  false, "4.1.1" },
	};

	(void)state;
	CHECK(x);
}

static void test_a_421_that_ends_a_used_connection_is_no_throttling(void **state)
{
	static const struct example x[] = {
		{ STEP_RSET, "421 4.7.0 Try again later", CLASS_TRANSIENT, false, "4.7.0" },
		{ STEP_QUIT, "421 too busy", CLASS_TRANSIENT, false, "4.0.0" },
		{ STEP_MAIL, "421 4.4.2 mx.example.net Error: timeout exceeded", CLASS_TRANSIENT,
		  false, "4.4.2" },
		{ STEP_MAIL, "421 Connection idle, closing", CLASS_TRANSIENT, false, "4.0.0" },
		{ STEP_MAIL, "421 Max message per connection reached", CLASS_TRANSIENT, false,
		  "4.0.0" },
		{ STEP_MAIL, "421 4.7.0 Too many messages for this session", CLASS_TRANSIENT, false,
		  "4.7.0" },
		{ STEP_MAIL, "421 mx.example.net closing connection, goodbye", CLASS_TRANSIENT,
		  false, "4.0.0" },
		{ STEP_MAIL, "421 4.7.0 Too many sessions from your host", CLASS_THROTTLE, false,
		  "4.7.0" },
	};

	(void)state;
	CHECK(x);
}

static void test_a_4xx_is_never_permanent_and_a_552_at_rcpt_is_a_452(void **state)
{
	static const struct example x[] = {
		{ STEP_RCPT, "450 5.1.1 no such user", CLASS_MAILBOX, false, "5.1.1" },
		{ STEP_RCPT, "451 4.3.0 internal error", CLASS_TRANSIENT, false, "4.3.0" },
		{ STEP_RCPT, "452 4.5.3 too many recipients", CLASS_TRANSIENT, false, "4.5.3" },
		{ STEP_RCPT, "552 5.5.3 too many recipients", CLASS_TRANSIENT, false, "4.5.3" },
		{ STEP_RCPT, "552 5.2.2 over quota", CLASS_MAILBOX, false, "4.2.2" },
		{ STEP_RCPT, "552 no", CLASS_TRANSIENT, false, "4.0.0" },
		{ STEP_BODY, "552 5.2.2 over quota", CLASS_PERMANENT, true, "5.2.2" },
		{ STEP_BODY, "552 5.3.4 message too big", CLASS_PERMANENT, true, "5.3.4" },
	};

	(void)state;
	CHECK(x);
	for (int code = 400; code < 500; code++) {
		char reply[64];
		struct reply_verdict v;

		snprintf(reply, sizeof reply, "%d 5.7.1 blocked, user unknown, blacklisted", code);
		for (int step = STEP_CONNECT; step <= STEP_QUIT; step++) {
			classify(c, NULL, (enum smtp_step)step, str_of(reply), &v);
			assert_false(v.permanent);
			assert_true(v.class != CLASS_PERMANENT && v.class != CLASS_POLICY);
		}
	}
}

static void test_a_5xx_is_about_the_recipient_or_about_us(void **state)
{
	static const struct example x[] = {
		{ STEP_RCPT, "550 5.1.1 <a@example.net>: Recipient address rejected: User unknown",
		  CLASS_PERMANENT, true, "5.1.1" },
		{ STEP_RCPT, "550 sorry, no mailbox here by that name (#5.1.1 - chkusr)",
		  CLASS_PERMANENT, true, "5.1.1" },
		{ STEP_RCPT, "550 5.4.1 All recipient addresses rejected : Access denied",
		  CLASS_PERMANENT, true, "5.4.1" },
		{ STEP_RCPT, "550 5.2.1 The mailbox was blocked due to inactivity", CLASS_PERMANENT,
		  true, "5.2.1" },
		{ STEP_BODY,
		  "550-5.7.26 Mail is blocked because the sender is unauthenticated, needs\n"
		  "550 5.7.26 SPF or DKIM",
		  CLASS_PERMANENT, true, "5.7.26" },
		{ STEP_BODY, "550 spam detected", CLASS_PERMANENT, true, "5.0.0" },
		{ STEP_RCPT, "554 5.7.1 <a@example.net>: Relay access denied", CLASS_PERMANENT,
		  true, "5.7.1" },
		{ STEP_RCPT, "550 4.2.2 over quota", CLASS_PERMANENT, true, "4.2.2" },
		{ STEP_BODY, "554 5.7.1 host example.com in message is blocked, see multi.surbl",
		  CLASS_PERMANENT, true, "5.7.1" },
		{ STEP_RCPT,
		  "554 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using "
		  "zen.spamhaus.org",
		  CLASS_POLICY, true, "5.7.1" },
		{ STEP_RCPT, "550 5.7.606 Access denied, banned sending IP [192.0.2.9]",
		  CLASS_POLICY, true, "5.7.606" },
		{ STEP_MAIL,
		  "553 5.7.2 [TSS09] All messages from 192.0.2.9 will be permanently deferred",
		  CLASS_POLICY, true, "5.7.2" },
		{ STEP_MAIL, "550 Access from ip address 192.0.2.9 blocked.", CLASS_POLICY, true,
		  "5.0.0" },
		{ STEP_MAIL, "553 Mail from 2001:db8::9 not allowed", CLASS_PERMANENT, true,
		  "5.0.0" },
		{ STEP_MAIL, "550 5.7.1 Client host rejected: no PTR record", CLASS_POLICY, true,
		  "5.7.1" },
		{ STEP_RCPT, "550 Blocked", CLASS_POLICY, true, "5.0.0" },
		{ STEP_BODY, "550 Mail is frequency limited", CLASS_POLICY, true, "5.0.0" },
		{ STEP_GREETING, "554 mx.example.net", CLASS_POLICY, true, "5.0.0" },
		{ STEP_GREETING, "521 mx.example.net takes no mail", CLASS_POLICY, true, "5.0.0" },
		{ STEP_EHLO, "501 bad name", CLASS_POLICY, true, "5.0.0" },
		{ STEP_MAIL, "550 5.1.8 sender domain not found", CLASS_PERMANENT, true, "5.1.8" },
	};

	(void)state;
	CHECK(x);
}

static void test_enhanced_codes_are_found_and_addresses_are_not(void **state)
{
	static const struct example x[] = {
		{ STEP_RCPT, "550-line one\n550 5.1.1 line two", CLASS_PERMANENT, true, "5.1.1" },
		{ STEP_RCPT, "550 relay 5.6.7.8 says no", CLASS_PERMANENT, true, "5.0.0" },
		{ STEP_RCPT, "550 version 15.1.2 says no", CLASS_PERMANENT, true, "5.0.0" },
		{ STEP_RCPT, "550 5.1.1000 no", CLASS_PERMANENT, true, "5.0.0" },
		{ STEP_RCPT, "550 host 4.1.1 no", CLASS_PERMANENT, true, "5.0.0" },
		{ STEP_RCPT, "550 no (5.1.1).", CLASS_PERMANENT, true, "5.1.1" },
		{ STEP_RCPT, "550 5.1.1", CLASS_PERMANENT, true, "5.1.1" },
		{ STEP_RCPT, "550 5.1.", CLASS_PERMANENT, true, "5.0.0" },
		{ STEP_RCPT, "550 5.123.456 x", CLASS_PERMANENT, true, "5.123.456" },
		{ STEP_RCPT, "550\n550 5", CLASS_PERMANENT, true, "5.0.0" },
	};

	(void)state;
	CHECK(x);
}

/* The last line of a very long reply still counts. */
static void test_the_end_of_a_long_reply_is_seen(void **state)
{
	char *reply = malloc(70000);
	size_t n = 0;
	struct reply_verdict v;

	(void)state;
	assert_non_null(reply);
	while (n < 65000)
		n += (size_t)sprintf(reply + n, "450-see our pages for what that means\n");
	n += (size_t)sprintf(reply + n, "450 4.7.1 Greylisted");
	classify(c, NULL, STEP_RCPT, str_mem(reply, n), &v);
	assert_int_equal(v.class, CLASS_GREYLIST);
	free(reply);
}

/* A peer chooses the text: its cost must have a bound, here far below a loop pass. */
static void test_hostile_text_costs_bounded_time(void **state)
{
	static const char *const bricks[] = { "your ip ",
					      "too many a b c ",
					      "client host from ",
					      "mailbox a b ",
					      "messages in this this ",
					      "exceeded a b c ",
					      "mail from 1:1:1:1:1:",
					      "recipient is is is ",
					      "a",
					      "5.1.",
					      "((((",
					      "\n450 ",
					      "blocked mailbox ",
					      "\xff\xfe" };
	enum { BYTES = 100000, TIMES = 20 };
	static const us_t MOST_US =
	    5 * US_PER_MS; /* one call, sanitizers and a busy machine included */
	char *reply = malloc(BYTES + 64);
	struct reply_verdict v;

	(void)state;
	assert_non_null(reply);
	for (size_t b = 0; b < sizeof bricks / sizeof *bricks; b++) {
		for (int k = 0; k < 3; k++) {
			static const char *const codes[] = { "421 ", "450 ", "550 " };
			size_t n = (size_t)sprintf(reply, "%s", codes[k]);
			us_t before;

			while (n < BYTES)
				n += (size_t)sprintf(reply + n, "%s", bricks[b]);
			before = clock_thread_cpu_us();
			for (int i = 0; i < TIMES; i++)
				classify(c, NULL, STEP_RCPT, str_mem(reply, n), &v);
			assert_true(clock_thread_cpu_us() - before < TIMES * MOST_US);
		}
	}
	free(reply);
}

static void test_any_bytes_give_a_verdict(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 7);
	for (int i = 0; i < 20000; i++) {
		char reply[200];
		size_t n = rng_below(&rng, sizeof reply);
		struct reply_verdict v;

		for (size_t k = 0; k < n; k++)
			reply[k] = (char)(rng_below(&rng, 3) ? "25401. -\n"[rng_below(&rng, 9)]
							     : (char)rng_u64(&rng));
		classify(c, NULL, (enum smtp_step)rng_below(&rng, STEP_QUIT + 1), str_mem(reply, n),
			 &v);
		assert_non_null(v.rule);
		assert_true(strlen(v.enhanced) >= 5 && strlen(v.enhanced) < sizeof v.enhanced);
		assert_true(!v.permanent || v.class == CLASS_PERMANENT || v.class == CLASS_POLICY);
	}
}

static void *many(void *arg)
{
	(void)arg;
	for (int i = 0; i < 2000; i++) {
		struct reply_verdict v;

		classify(c, NULL, STEP_RCPT, STR_LIT("450 4.2.0 Greylisted"), &v);
		if (v.class != CLASS_GREYLIST)
			return NULL;
	}
	return c;
}

static void test_threads_share_one_classifier(void **state)
{
	pthread_t t[4];

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, many, NULL), 0);
	for (size_t i = 0; i < 4; i++) {
		void *ok;

		pthread_join(t[i], &ok);
		assert_non_null(ok);
	}
}

static int setup(void **state)
{
	struct errbuf e;

	(void)state;
	c = classifier_new(&e);
	if (!c)
		fprintf(stderr, "%s\n", e.text);
	return c ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	classifier_free(c);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_success_and_no_reply),
		cmocka_unit_test(test_greylisting_is_no_failure),
		cmocka_unit_test(test_one_mailbox_never_slows_a_lane),
		cmocka_unit_test(test_throttling),
		cmocka_unit_test(test_a_421_that_ends_a_used_connection_is_no_throttling),
		cmocka_unit_test(test_a_4xx_is_never_permanent_and_a_552_at_rcpt_is_a_452),
		cmocka_unit_test(test_a_5xx_is_about_the_recipient_or_about_us),
		cmocka_unit_test(test_enhanced_codes_are_found_and_addresses_are_not),
		cmocka_unit_test(test_the_end_of_a_long_reply_is_seen),
		cmocka_unit_test(test_hostile_text_costs_bounded_time),
		cmocka_unit_test(test_any_bytes_give_a_verdict),
		cmocka_unit_test(test_threads_share_one_classifier),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
