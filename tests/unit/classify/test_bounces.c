/* [bounce-category-patterns]: whose line rules, what it sees, and what it does to the lane; and
 * that the short way past most patterns (core/base/need.h) never changes an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/conf.h"
#include "core/classify/category.h"

enum { LINE = 4096 };

static struct classifier *c;

static struct conf *read_conf(const char *more, bool shipped)
{
	char path[] = "/tmp/stoker-bounces-XXXXXX", dir[4200], home[4096];
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
	return conf;
}

static struct reply_verdict judge(const struct conf *conf, const char *receiver, const char *reply)
{
	struct reply_verdict v;

	classify_from(c, patterns_find(conf->patterns, "default"), STEP_BODY, str_of(receiver),
		      str_of(reply), &v);
	return v;
}

static void yours_come_first_and_may_be_words_of_your_own(void **state)
{
	struct conf *conf = read_conf("[bounce-category-patterns]\n"
				      "pattern = /no such user.*payroll/ our-payroll hard\n"
				      "pattern = /spamhaus/ policy-related lane=none\n",
				      true);
	struct reply_verdict v;

	(void)state;
	assert_non_null(conf);
	v = judge(conf, "", "550 5.1.1 no such user in payroll");
	assert_string_equal(verdict_category(&v), "our-payroll");
	assert_true(verdict_hard(&v));
	v = judge(conf, "", "550 5.1.1 no such user");
	assert_string_equal(verdict_category(&v), "bad-mailbox");
	assert_memory_equal(v.category_rule, "bounces.ini:", 12);
	v = judge(conf, "", "554 5.7.1 you are on spamhaus");
	assert_string_equal(verdict_category(&v), "policy-related");
	conf_unref(conf);
}

static void all_lines_are_seen_as_one(void **state)
{
	struct conf *conf = read_conf("", true);
	struct reply_verdict v;

	(void)state;
	v = judge(conf, "",
		  "550-We are sorry.\n550-Your mail did not arrive.\n550 There is no such user");
	assert_string_equal(verdict_category(&v), "bad-mailbox");
	v = judge(conf, "",
		  "550-5.2.2 This is a mailbox whose quota\n550-5.2.2 has been exceeded, so\n550 "
		  "5.2.2 goodbye");
	assert_string_equal(verdict_category(&v), "quota-issues");
	assert_false(verdict_hard(&v));
	conf_unref(conf);
}

static void code_and_receiver_narrow_a_line(void **state)
{
	struct conf *conf = read_conf("[bounce-category-patterns]\n"
				      "pattern = /later/ a code=421|45x\n"
				      "pattern = /later/ b from=qq|alpha\n"
				      "pattern = /timed out/ c code=local\n"
				      "pattern = /./ d\n",
				      false);
	static const struct {
		const char *receiver, *reply, *category;
	} cases[] = {
		{ "", "421 later", "a" },	  { "", "452 later", "a" },
		{ "", "550 later", "d" },	  { "mx1.qq.com", "550 later", "b" },
		{ "QQ", "550 later", "b" },	  { "qqq.com", "550 later", "d" },
		{ "mx.alpha", "550 later", "b" }, { "", "550 timed out", "d" },
	};
	struct reply_verdict v;

	(void)state;
	assert_non_null(conf);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		v = judge(conf, cases[i].receiver, cases[i].reply);
		assert_string_equal(verdict_category(&v), cases[i].category);
	}
	classify_local(c, patterns_find(conf->patterns, "default"), STR_LIT("timed out"), &v);
	assert_string_equal(verdict_category(&v), "c");
	conf_unref(conf);
}

static void a_line_says_what_the_lane_does_unless_a_reply_line_did(void **state)
{
	struct conf *conf = read_conf("[pattern-list default]\nreply = /both/ slower\n"
				      "[bounce-category-patterns]\n"
				      "pattern = /both|calm/ other lane=none\n"
				      "pattern = /slow/ other lane=slower\n"
				      "pattern = /far/ other lane=backoff\n"
				      "pattern = /gone/ bad-mailbox\n",
				      false);
	static const struct {
		const char *reply, *lane;
		enum reply_class class;
	} cases[] = {
		{ "421 both", "slower", CLASS_THROTTLE },
		{ "421 calm", "none", CLASS_TRANSIENT },
		{ "550 slow", "slower", CLASS_POLICY },
		{ "450 slow", "slower", CLASS_THROTTLE },
		{ "450 far", "backoff", CLASS_THROTTLE },
		{ "450 gone", "none", CLASS_MAILBOX },
		{ "550 gone", "none", CLASS_PERMANENT },
		{ "450 greylisted, calm", "none", CLASS_GREYLIST },
		{ "421 hello", "slower", CLASS_THROTTLE },
	};

	(void)state;
	assert_non_null(conf);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct reply_verdict v = judge(conf, "", cases[i].reply);

		assert_string_equal(verdict_lane(&v), cases[i].lane);
		assert_int_equal(v.class, cases[i].class);
	}
	conf_unref(conf);
}

static void what_is_no_line_is_refused(void **state)
{
	static const char *const wrong[] = {
		"no slashes bad-mailbox",
		"/x/",
		"/x/ Bad",
		"/x/ other lane=fast",
		"/(/ other",
		"/x/ other code=99x",
		"/x/ other code=4xx|",
		"/x/ other from=",
	};

	(void)state;
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		char text[200];

		snprintf(text, sizeof text, "[bounce-category-patterns]\npattern = %s\n", wrong[i]);
		assert_null(read_conf(text, false));
	}
}

/* Calls fn with the text of each line of tests/fixtures/replies.tsv. */
static int each_reply(const struct conf *conf, void (*fn)(const struct conf *, struct str))
{
	FILE *f = fopen("tests/fixtures/replies.tsv", "re");
	char line[LINE], text[LINE];
	int n = 0;

	assert_non_null(f);
	while (fgets(line, sizeof line, f)) {
		char *p = line;
		size_t k = 0;

		for (int tab = 0; tab < 3; tab++)
			p = strchr(p, '\t') + 1;
		for (; *p && *p != '\t'; p++) {
			bool end = p[0] == '\\' && p[1] == 'n';

			text[k++] = end ? '\n' : *p;
			p += end;
		}
		fn(conf, str_mem(text, k));
		n++;
	}
	fclose(f);
	return n;
}

static bool matches(const void *code, struct str s)
{
	pcre2_match_data *d = pcre2_match_data_create(1, NULL);
	bool yes = pcre2_match(code, (PCRE2_SPTR)s.p, s.n, 0, 0, d, NULL) >= 0;

	pcre2_match_data_free(d);
	return yes;
}

static int needed;

static void need_holds(const struct conf *conf, struct str s)
{
	const struct pattern_list *l = patterns_find(conf->patterns, "default");
	struct pieces p;

	pieces_of(s, &p);
	for (int i = 0; i < l->categories->n + l->n; i++) {
		const struct pattern *x = i < l->n ? l->v[i] : &l->categories->v[i - l->n].pattern;

		if (!matches(x->code, s))
			continue;
		needed += x->need.v != NULL;
		if (!need_met(&x->need, &p))
			fail_msg("%s matches \"%.*s\"", x->rule, (int)s.n, s.p);
	}
}

static void a_pattern_that_matches_is_never_passed_over(void **state)
{
	struct conf *conf = read_conf("", true);

	(void)state;
	assert_non_null(conf);
	assert_true(each_reply(conf, need_holds) > 100);
	assert_true(needed > 100);
	conf_unref(conf);
}

static void needs_are_read_from_the_pattern(void **state)
{
	static const struct {
		const char *regex, *text;
		bool met;
	} cases[] = {
		{ "no such user", "There is No Such User", true },
		{ "no such user", "no such host", false },
		{ "abcd?e", "xabce", true },
		{ "(alpha|beta)x", "the betax", true },
		{ "(alpha|beta)x", "gamma", false },
		{ "(alpha)?x", "x", true },
		{ "ab|cdefg", "ab", true },
		{ "[a-z]+", "1", true },
		{ "foo(?!bar)", "foobar", true },
		{ "foo(?!bar)", "fo", false },
		{ "over ?-?quota", "overquota", true },
		{ "x{2,3}yes", "no", false },
		{ "word\\b", "wor", false },
		{ "a\\x41bcde", "whatever", true },
		{ "\\[BLOCK\\d\\]", "[block1]", true },
		{ "\\[BLOCK\\d\\]", "[block", true },
		{ "\\[BLOCK\\d\\]", "block", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct need n;
		struct pieces p;

		assert_true(need_make(&n, cases[i].regex, false));
		pieces_of(str_of(cases[i].text), &p);
		if (need_met(&n, &p) != cases[i].met)
			fail_msg("%s with %s", cases[i].regex, cases[i].text);
		need_free(&n);
	}
}

static void never_hard(const struct conf *conf, struct str s)
{
	char text[LINE];
	struct reply_verdict v;

	if (s.n < 4 || s.p[0] != '5')
		return;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	text[0] = '4';
	v = judge(conf, "", text);
	assert_false(verdict_hard(&v));
	assert_false(v.permanent);
}

static void no_4xx_is_hard_whatever_it_says(void **state)
{
	struct conf *conf =
	    read_conf("[bounce-category-patterns]\npattern = /user/ mine hard\n", true);

	(void)state;
	assert_non_null(conf);
	each_reply(conf, never_hard);
	conf_unref(conf);
}

/* What the patterns repeat, as often as it goes into a reply: limits keep it short. */
static void hostile_text_takes_bounded_time(void **state)
{
	static const char *const words[] = { "user ",		"mailbox not ", "too many a ",
					     "exceed a a a a ", "sender ",	"domain ",
					     "is was has been " };
	struct conf *conf = read_conf("", true);
	us_t most = 0;

	(void)state;
	assert_non_null(conf);
	for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
		char text[8192] = "550 5.7.1 ";
		us_t from;

		while (strlen(text) + 20 < sizeof text)
			strcat(text, words[i]);
		from = clock_now_us();
		(void)judge(conf, "", text);
		if (clock_now_us() - from > most)
			most = clock_now_us() - from;
	}
	printf("# hostile replies of 8 KB: at most %lld us\n", (long long)most);
	assert_true(most < 500 * US_PER_MS);
	conf_unref(conf);
}

static int start(void **state)
{
	struct errbuf e = { "" };

	(void)state;
	clock_init();
	c = classifier_new(&e);
	return c ? 0 : 1;
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
		cmocka_unit_test(yours_come_first_and_may_be_words_of_your_own),
		cmocka_unit_test(all_lines_are_seen_as_one),
		cmocka_unit_test(code_and_receiver_narrow_a_line),
		cmocka_unit_test(a_line_says_what_the_lane_does_unless_a_reply_line_did),
		cmocka_unit_test(what_is_no_line_is_refused),
		cmocka_unit_test(a_pattern_that_matches_is_never_passed_over),
		cmocka_unit_test(needs_are_read_from_the_pattern),
		cmocka_unit_test(no_4xx_is_hard_whatever_it_says),
		cmocka_unit_test(hostile_text_takes_bounded_time),
	};

	return cmocka_run_group_tests(tests, start, end);
}
