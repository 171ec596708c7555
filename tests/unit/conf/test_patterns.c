/* [pattern-list]: what is understood, what is refused, and what `check` says of it. */
#include "conf/patterns.h"
#include "tests/unit/conf/fixture.h"

static struct world w;

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

static const struct pattern_list *list(const char *name)
{
	assert_non_null(w.c);
	return patterns_find(w.c->patterns, name);
}

static void every_action_is_understood(void **state)
{
	static const struct {
		const char *text;
		struct pattern_acts does;
	} cases[] = {
		{ "/a/ mode=backoff", { DO_BACKOFF, 0, 0, 0 } },
		{ "/a/ mode=backoff for=2h", { DO_BACKOFF, 2 * US_PER_HOUR, 0, 0 } },
		{ "/a/ mode=normal", { DO_NORMAL, 0, 0, 0 } },
		{ "/a/ skip-mx", { DO_SKIP_MX, 0, 0, 0 } },
		{ "/a/ bounce-queue", { DO_BOUNCE_QUEUE, 0, 0, 0 } },
		{ "/a/ BOUNCE-RCPT", { DO_BOUNCE_RCPT, 0, 0, 0 } },
		{ "/a/ disable-source-ip", { DO_DISABLE_SOURCE, 0, 0, 0 } },
		{ "/a/ mode=backoff for=1h, disable-source-ip for=30m",
		  { DO_BACKOFF | DO_DISABLE_SOURCE, US_PER_HOUR, 30 * US_PER_MIN, 0 } },
		{ "/a/ slower", { DO_SLOWER, 0, 0, 0 } },
		{ "/a/ greylist", { DO_GREYLIST, 0, 0, 0 } },
		{ "/a/ slower, retry-in=15m", { DO_SLOWER | DO_RETRY_IN, 0, 0, 15 * US_PER_MIN } },
		{ "/a/ ignore", { DO_IGNORE, 0, 0, 0 } },
		{ "/a b, c; \\/ #/ ignore", { DO_IGNORE, 0, 0, 0 } },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[400];

		snprintf(text, sizeof text, BASE "[pattern-list default]\nreply = %s   # why\n",
			 cases[i].text);
		world_read(&w, text);
		expect_clean(&w);
		assert_int_equal(list("default")->n, 1);
		assert_memory_equal(&list("DEFAULT")->v[0]->does, &cases[i].does,
				    sizeof cases[i].does);
		assert_string_equal(list("default")->v[0]->rule, "a.ini:8");
	}
}

static void what_is_wrong_is_said(void **state)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
		{ "reply = /a(/ slower", "a.ini:8: error: reply: /a(/ is wrong at byte" },
		{ "reply = a slower", "write /pattern/ action" },
		{ "reply = /a/", "behind the pattern stands what to do" },
		{ "reply = /a/ slwer", "did you mean \"slower\"?" },
		{ "reply = /a/ for=2h", "for= stands behind mode=backoff or disable-source-ip" },
		{ "reply = /a/ slower for=2h", "for= stands behind" },
		{ "reply = /a/ mode=backoff for=2", "" },
		{ "reply = /a/ mode=backoff for=31d", "out of range: write 1s to 30d" },
		{ "reply = /a/ mode=backoff, mode=normal", "contradict each other" },
		{ "reply = /a/ skip-mx bounce-queue", "contradict each other" },
		{ "reply = /a/ ignore slower", "contradict each other" },
		{ "reply = /a/ bounce-rcpt retry-in=5m", "contradict each other" },
		{ "reply = include", "behind include stands one list's name" },
		{ "reply = include other", "there is no [pattern-list other]" },
		{ "reply = include mine", "[pattern-list mine] includes itself" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char text[600];

		snprintf(text, sizeof text,
			 BASE "[pattern-list mine]\n%s\n[domain *]\nsmtp-pattern-list = mine\n",
			 cases[i].line);
		assert_null(world_read(&w, text));
		expect_text(&w, "a.ini:8: error: reply");
		expect_text(&w, cases[i].says);
	}
	assert_null(world_read(&w, BASE "[pattern-list mine]\nreply = /a/ slower\n"
					"[domain *]\nsmtp-pattern-list = mien\n"));
	expect_text(&w, "there is no [pattern-list mien]: did you mean \"mine\"?");
}

static void includes_are_spelled_out_in_place(void **state)
{
	const struct pattern_list *l;

	(void)state;
	world_read(&w, BASE "[pattern-list mine]\nreply = /a/ slower\nreply = include second\n"
			    "reply = /z/ ignore\n[pattern-list second]\nreply = /b/ mode=normal\n"
			    "[domain *]\nsmtp-pattern-list = mine\n");
	expect_clean(&w);
	l = list("mine");
	assert_int_equal(l->n, 3);
	assert_string_equal(l->v[0]->rule, "a.ini:8");
	assert_string_equal(l->v[1]->rule, "a.ini:12");
	assert_string_equal(l->v[2]->rule, "a.ini:10");
	/* Only so much must be looked at when a reply is no refusal. */
	assert_int_equal(l->n_success, 2);
	assert_int_equal(list("second")->n_success, 1);
	assert_null(list("third"));
}

static void yours_come_before_the_shipped_ones(void **state)
{
	struct conf_read_opts o = { .shipped_dir = "shipped" };

	(void)state;
	if (access("shipped", F_OK))
		assert_int_equal(mkdir("shipped", 0700), 0);
	world_file("shipped/patterns.ini", "[pattern-list default]\nreply = /s/ slower\n");
	world_file("a.ini", BASE "[pattern-list default]\nreply = /mine/ ignore\n");
	world_read_with(&w, "a.ini", &o);
	expect_clean(&w);
	assert_int_equal(list("default")->n, 2);
	assert_string_equal(list("default")->v[0]->rule, "a.ini:8");
	assert_string_equal(list("default")->v[1]->rule, "patterns.ini:2");
	world_file("b.ini", "[mta]\nshipped = no\n" BASE);
	world_read_with(&w, "b.ini", &o);
	expect_clean(&w);
	assert_int_equal(list("default")->n, 0);
}

static void a_line_that_can_never_match_is_a_warning(void **state)
{
	(void)state;
	world_read(&w, BASE "[pattern-list default]\nreply = /a/ slower\nreply = /b/ ignore\n"
			    "reply = /A/ ignore\n");
	assert_int_equal(w.problems.warnings, 1);
	expect_text(&w, "a.ini:10: warning: [pattern-list default]: /A/ is never reached: /a/ "
			"(a.ini:8)");
	world_read(&w, BASE "[pattern-list default]\nreply = /.*/ slower\nreply = /b/ ignore\n");
	assert_int_equal(w.problems.warnings, 1);
	expect_text(&w, "a.ini:9: warning: [pattern-list default]: /b/ is never reached: /.*/");
	world_read(&w, BASE "[pattern-list idle]\nreply = /a/ slower\n");
	assert_int_equal(w.problems.warnings, 1);
	expect_text(&w, "a.ini:7: warning: [pattern-list idle] is used by no smtp-pattern-list");
}

static void a_twin_that_is_not_smaller_is_a_warning(void **state)
{
	(void)state;
	world_read(&w, BASE "[domain x.example]\nmax-smtp-out = 2\nbackoff-max-smtp-out = 3\n"
			    "max-msg-rate = 1/min\nbackoff-max-msg-rate = 2/min\n");
	assert_int_equal(w.problems.warnings, 2);
	expect_text(&w, "a.ini:9: warning: [domain x.example]: backoff-max-smtp-out = 3 is more");
	expect_text(&w, "a.ini:11: warning: [domain x.example]: backoff-max-msg-rate = 2/min is "
			"more");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_action_is_understood),
		cmocka_unit_test(what_is_wrong_is_said),
		cmocka_unit_test(includes_are_spelled_out_in_place),
		cmocka_unit_test(yours_come_before_the_shipped_ones),
		cmocka_unit_test(a_line_that_can_never_match_is_a_warning),
		cmocka_unit_test(a_twin_that_is_not_smaller_is_a_warning),
	};

	return cmocka_run_group_tests(tests, open_world, close_world);
}
