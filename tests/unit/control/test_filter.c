/* The filter grammar of COMMANDS.md. */
#include "tests/unit/control/world.h"

static struct row sample(void)
{
	struct row r = queue_row(1, "yahoo.com", "pool-a", STATE_BACKOFF, 402100);

	r.queue.site_name = text("mta5.am0.example");
	r.queue.provider = text("yahoo");
	r.queue.t.rate = 8.3F;
	r.queue.t.delivered_percent = 61;
	r.queue.t.connections = 12;
	r.queue.oldest = world_now - (3 * US_PER_HOUR + 41 * US_PER_MIN);
	r.queue.next_attempt = world_now + 5 * US_PER_MIN;
	r.queue.last_reply =
	    text("421 4.7.0 [TSS04] Messages from 192.0.2.14 temporarily deferred");
	r.why.code = WHY_RATE;
	r.why.text = text("rate 10/s together, 52m");
	return r;
}

static const struct {
	const char *filter;
	bool match;
} cases[] = {
	{ "", true },
	{ "   ", true },
	{ "yahoo", true },
	{ "YAHOO", true },
	{ "gmail", false },
	{ "yahoo pool-a", true },
	{ "yahoo gmail", false },
	{ "!gmail", true },
	{ "!yahoo", false },
	{ "yahoo !gmail", true },
	{ "gmail|yahoo", true },
	{ "gmail|aol", false },
	{ "!gmail|aol", true },
	{ "!gmail|yahoo", false },
	{ "/^yah.*com/", true },
	{ "/^ahoo/", false },
	{ "/YAHOO/", true },
	{ "!/hotmail/", true },
	{ "/a|b/", true },
	{ "/tss\\d+/", true },
	{ "/temporarily deferred$/", true },
	{ "/x\\/y/", false },
	{ "domain:yahoo", true },
	{ "domain:pool", false },
	{ "route:pool-a", true },
	{ "last_reply:foo|TSS", true },
	{ "last_reply:TSS04", true },
	{ "last_reply:/tss\\d\\d\\]/", true },
	{ "\"temporarily deferred\"", true },
	{ "\"deferred temporarily\"", false },
	{ "last_reply:\"from 192\"", true },
	{ "state:backoff", true },
	{ "state:down|backoff", true },
	{ "state:down|paused", false },
	{ "!state:down|paused", true },
	{ "STATE:back", true },
	{ "why:together", true },
	{ "WHY:together", true },
	{ "why.code:rate", true },
	{ "why.code:paused", false },
	{ "queued>400k", true },
	{ "queued>402100", false },
	{ "queued>=402100", true },
	{ "queued<1M", true },
	{ "queued<=402100", true },
	{ "queued<402k", false },
	{ "QUEUED>10", true },
	{ "rate>8", true },
	{ "rate>500/min", false },
	{ "rate<500/min", true },
	{ "OUT/s<9", true },
	{ "DLV%<90", true },
	{ "DLV%<90%", true },
	{ "delivered_percent>61.5", false },
	{ "conn>10", true },
	{ "oldest_age>3h", true },
	{ "oldest_age>3h42m", false },
	{ "oldest>4d", false },
	{ "oldest>3600", true },
	{ "next_attempt<10m", true },
	{ "next_attempt>10m", false },
	{ "eta>0.5", false },
	{ "queued:402100", true },
	{ "192.0.2.14", true },
	{ "192.0.2.14:25", false },
	{ "2001:db8::1", false },
	{ "[TSS04]", true },
	{ "provider:yahoo queued>1k !state:paused", true },
};

static void test_grammar(void **state)
{
	struct row r = sample();

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct errbuf e = { "" };
		struct filter *f = filter_parse(LIST_QUEUES, str_of(cases[i].filter), &e);

		if (!f)
			fail_msg("%s: %s", cases[i].filter, e.text);
		if (filter_match(f, &r, world_now) != cases[i].match)
			fail_msg("%s: expected %s", cases[i].filter,
				 cases[i].match ? "a match" : "none");
		filter_free(f);
	}
	row_release(&r);
}

static const struct {
	const char *filter, *says;
} bad[] = {
	{ "stat:down", "did you mean \"state\"" },
	{ "foobarbaz:x", "no field \"foobarbaz\"" },
	{ "queued>many", "write a number" },
	{ "queued>", "write a number" },
	{ "queued>1x", "write a number" },
	{ "domain>5", "is no number" },
	{ "/abc", "is not closed" },
	{ "\"abc", "is not closed" },
	{ "/a(b/", "no regular expression" },
	{ "domain:", "a text is missing" },
	{ "!", "a word is missing" },
	{ "a|", "a word is missing" },
	{ "|a", "a word is missing" },
};

static void test_errors_say_what_to_write(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct errbuf e = { "" };
		struct filter *f = filter_parse(LIST_QUEUES, str_of(bad[i].filter), &e);

		if (f)
			fail_msg("%s was taken", bad[i].filter);
		if (!strstr(e.text, bad[i].says))
			fail_msg("%s: \"%s\" does not say \"%s\"", bad[i].filter, e.text,
				 bad[i].says);
	}
}

static void test_a_hostile_pattern_costs_bounded_time(void **state)
{
	struct row r = sample();
	struct errbuf e = { "" };
	struct filter *f = filter_parse(LIST_QUEUES, STR_LIT("/(a+)+$/"), &e);
	us_t start = clock_now_us();

	(void)state;
	assert_non_null(f);
	rstr_unref(r.queue.last_reply);
	r.queue.last_reply =
	    text("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
	for (int i = 0; i < 10; i++)
		filter_match(f, &r, world_now);
	assert_true(clock_now_us() - start < US_PER_S);
	filter_free(f);
	row_release(&r);
}

/* Whatever is typed: no crash, and an answer. */
static void test_random_filters(void **state)
{
	static const char alphabet[] = "ab:!|/\"<>=k% .\\()[]*+0123q\x80\x1b";
	struct row r = sample();
	struct rng rng;

	(void)state;
	rng_seed(&rng, 7);
	for (int i = 0; i < 20000; i++) {
		char line[24];
		size_t n = (size_t)rng_below(&rng, sizeof line);
		struct errbuf e = { "" };
		struct filter *f;

		for (size_t k = 0; k < n; k++)
			line[k] = alphabet[rng_below(&rng, sizeof alphabet - 1)];
		f = filter_parse(LIST_QUEUES, str_mem(line, n), &e);
		if (f)
			filter_match(f, &r, world_now);
		else
			assert_true(e.text[0] != '\0');
		filter_free(f);
	}
	row_release(&r);
}

/* Who may only look must not be able to keep the control thread busy with one long filter. */
static void test_a_filter_is_bounded(void **state)
{
	static const struct {
		const char *piece;
		int fine, more;
	} pieces[] = { { "x ", 64, 65 }, { "x|", 255, 300 }, { "/x/|", 8, 9 } };
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
		for (int many = 0; many < 2; many++) {
			int n = many ? pieces[i].more : pieces[i].fine;
			struct buf text;
			struct filter *f;

			buf_init(&text);
			for (int k = 0; k < n; k++)
				buf_addz(&text, pieces[i].piece);
			buf_addz(&text, i ? "y" : "");
			f = filter_parse(LIST_QUEUES, buf_str(&text), &e);
			if (many ? f != NULL : f == NULL)
				fail_msg("%d of %s", n, pieces[i].piece);
			if (many)
				assert_non_null(strstr(e.text, "at most"));
			filter_free(f);
			buf_free(&text);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_grammar),
		cmocka_unit_test(test_errors_say_what_to_write),
		cmocka_unit_test(test_a_hostile_pattern_costs_bounded_time),
		cmocka_unit_test(test_a_filter_is_bounded),
		cmocka_unit_test(test_random_filters),
	};

	clock_init();
	hash_seed(1, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
