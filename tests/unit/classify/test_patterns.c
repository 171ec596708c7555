/* Pattern lists: what their actions make of a reply, and what the shipped ones know. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf/conf.h"
#include "core/classify/classify.h"

static struct classifier *c;

static struct conf *read_conf(const char *more, bool shipped)
{
	char path[] = "/tmp/stoker-patterns-XXXXXX", dir[4200], home[4096];
	struct conf_read_opts o = { .shipped_dir = dir };
	struct conf_problems problems;
	struct conf *conf;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_non_null(getcwd(home, sizeof home));
	snprintf(dir, sizeof dir, "%s/conf", home);
	dprintf(fd,
		"[mta]\nhostname = mx.test\nsmtp-source-host = 127.0.1.1 m.test\nshipped = %s\n%s",
		shipped ? "yes" : "no", more);
	close(fd);
	conf_problems_init(&problems);
	conf = conf_read(path, &o, &problems);
	conf_problems_free(&problems);
	unlink(path);
	assert_non_null(conf);
	return conf;
}

static void actions_change_class_and_fate(void **state)
{
	static const struct {
		const char *reply;
		enum reply_class class;
		bool permanent;
		const char *enhanced;
	} cases[] = {
		{ "421 4.7.0 slow", CLASS_THROTTLE, false, "4.7.0" },
		{ "550 5.7.1 slow", CLASS_POLICY, true, "5.7.1" },
		{ "550 5.7.1 grey", CLASS_GREYLIST, false, "4.7.1" },
		{ "450 4.2.1 gone", CLASS_PERMANENT, true, "5.2.1" },
		{ "550 5.7.1 half", CLASS_TRANSIENT, false, "4.7.1" },
		{ "450-4.7.1 first line\n450 4.7.1 too many connections, air", CLASS_MAILBOX, false,
		  "4.7.1" },
		{ "550 5.7.1 blocked by spamhaus, air", CLASS_PERMANENT, true, "5.7.1" },
		{ "250 2.0.0 slow", CLASS_OK, false, "2.0.0" },
		{ "450 4.7.1 nothing that a line knows", CLASS_TRANSIENT, false, "4.7.1" },
	};
	struct conf *conf = read_conf("[pattern-list default]\nreply = /SLOW$/ slower\n"
				      "reply = /grey/ greylist\nreply = /gone/ bounce-rcpt\n"
				      "reply = /half/ retry-in=30m\nreply = /air/ ignore\n",
				      false);
	const struct pattern_list *l = patterns_find(conf->patterns, "default");

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct reply_verdict v;

		classify(c, l, STEP_RCPT, str_of(cases[i].reply), &v);
		if (v.class != cases[i].class || v.permanent != cases[i].permanent)
			fail_msg("%s: %s", cases[i].reply, reply_class_name(v.class));
		assert_string_equal(v.enhanced, cases[i].enhanced);
	}
	conf_unref(conf);
}

/* Replies in the receivers' forms, and whether they are about how we send. */
static void the_shipped_rules_know_the_large_receivers(void **state)
{
	static const struct {
		const char *reply;
		unsigned acts;
	} cases[] = {
		{ "421-4.7.28 Our system has seen an unusual rate of unsolicited mail\n421 4.7.28 "
		  "bye",
		  DO_BACKOFF },
		{ "450 4.2.1 The user you contact is receiving mail too quickly", DO_IGNORE },
		{ "421 4.7.0 [TSS04] Messages from 192.0.2.7 temporarily deferred", DO_BACKOFF },
		{ "421 Max message per connection reached, closing", DO_IGNORE },
		{ "553 5.7.2 [TSS09] All messages will be permanently deferred",
		  DO_BACKOFF | DO_DISABLE_SOURCE },
		{ "550 SC-001 (X) Unfortunately, messages weren't sent: RP-001", DO_BACKOFF },
		{ "550 5.7.1 messages from [192.0.2.7] weren't sent, on our list (S3140)",
		  DO_BACKOFF },
		{ "451 4.7.650 The mail server [192.0.2.7] has been rate limited (S775)",
		  DO_BACKOFF },
		{ "451 4.7.500 Server busy. Please try again later (AS77712)", DO_SLOWER },
		{ "421 4.7.1 Mail deferred due to excessive volume", DO_BACKOFF },
		{ "421 4.1.0 192.0.2.7 Throttled, see RL000001", DO_SLOWER },
		{ "421 mwinf5c ME Trop de connexions. OFR004_104 [104]", DO_SLOWER },
		{ "554 IP=192.0.2.7 - no reputation (NOWL)", DO_BACKOFF },
		{ "421 Rate limit reached. Come again", DO_SLOWER },
		{ "451 Internal resource temporarily unavailable - see mimecast", DO_SLOWER },
		{ "550 5.7.0 Blocked, see ipcheck.proofpoint.com", DO_BACKOFF },
		{ "554 Client host blocked using Barracuda Reputation", DO_BACKOFF },
		{ "550 Access from ip address 192.0.2.7 blocked", DO_BACKOFF },
		{ "451 4.7.1 Sorry, the service is currently unavailable. Please come back later",
		  DO_SLOWER },
		{ "550 Mail content denied: connection frequency limited",
		  DO_BACKOFF | DO_RETRY_IN },
		{ "554 DT:SPM 163 smtp", DO_BACKOFF },
		{ "550 5.1.1 no such user here", 0 },
		{ "552 5.2.2 mailbox full", 0 },
		{ "550 5.7.26 DMARC policy of the domain", 0 },
		{ "451 4.3.0 try later", 0 },
	};
	struct conf *conf = read_conf("", true);
	const struct pattern_list *l = patterns_find(conf->patterns, "default");

	(void)state;
	assert_non_null(l);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct reply_verdict v;

		classify(c, l, STEP_RCPT, str_of(cases[i].reply), &v);
		if ((v.pattern ? v.pattern->does.acts : 0) != cases[i].acts)
			fail_msg("%s: %s", cases[i].reply, v.rule);
		if (v.pattern)
			assert_memory_equal(v.rule, "patterns.ini:", 13);
	}
	assert_int_equal(l->n_success, 0); /* accepted mail costs no match */
	conf_unref(conf);
}

/* A session keeps the lists that it began with. */
static void lists_outlive_their_configuration(void **state)
{
	struct conf *conf = read_conf("[pattern-list default]\nreply = /x/ slower\n", false);
	struct patterns *p = patterns_ref(conf->patterns);
	struct reply_verdict v;

	(void)state;
	conf_unref(conf);
	classify(c, patterns_find(p, "default"), STEP_RCPT, STR_LIT("450 x"), &v);
	assert_int_equal(v.class, CLASS_THROTTLE);
	patterns_unref(p);
}

/* An operator's pattern may be bad, and a peer chooses the text. */
static void a_hostile_text_meets_a_bad_pattern_in_bounded_time(void **state)
{
	struct conf *conf = read_conf("[pattern-list default]\nreply = /(a+)+$/ slower\n"
				      "reply = /^4\\d\\d/ ignore\n",
				      false);
	char reply[2000];
	struct reply_verdict v;
	us_t before;

	(void)state;
	memset(reply, 'a', sizeof reply);
	memcpy(reply, "450 ", 4);
	reply[sizeof reply - 1] = 'b';
	before = clock_thread_cpu_us();
	classify(c, patterns_find(conf->patterns, "default"), STEP_RCPT,
		 str_mem(reply, sizeof reply), &v);
	assert_true(clock_thread_cpu_us() - before <
		    50 * US_PER_MS);		  /* sanitizers, a busy machine */
	assert_int_equal(v.class, CLASS_MAILBOX); /* the next line's turn */
	conf_unref(conf);
}

static int begin(void **state)
{
	struct errbuf e;

	(void)state;
	c = classifier_new(&e);
	return c ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	classifier_free(c);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(actions_change_class_and_fate),
		cmocka_unit_test(the_shipped_rules_know_the_large_receivers),
		cmocka_unit_test(lists_outlive_their_configuration),
		cmocka_unit_test(a_hostile_text_meets_a_bad_pattern_in_bounded_time),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
