/* What configuration may say about numbers is read exactly, what it may not is refused with words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/fmt.h"
#include "core/base/rng.h"

static us_t span(const char *z)
{
	us_t out = -1;
	struct errbuf e;

	return fmt_parse_duration(str_of(z), &out, &e) ? -1 : out;
}

static void durations_are_read_as_the_manual_says(void **state)
{
	(void)state;
	assert_int_equal(span("250ms"), 250 * US_PER_MS);
	assert_int_equal(span("30s"), 30 * US_PER_S);
	assert_int_equal(span("30sec"), 30 * US_PER_S);
	assert_int_equal(span("10m"), 10 * US_PER_MIN);
	assert_int_equal(span("10min"), 10 * US_PER_MIN);
	assert_int_equal(span("4h"), 4 * US_PER_HOUR);
	assert_int_equal(span("4hr"), 4 * US_PER_HOUR);
	assert_int_equal(span("1hour"), US_PER_HOUR);
	assert_int_equal(span("2d"), 2 * US_PER_DAY);
	assert_int_equal(span("1day"), US_PER_DAY);
	assert_int_equal(span(" 1H30M "), 90 * US_PER_MIN);
	assert_int_equal(span("4d12h"), 108 * US_PER_HOUR);
	assert_true(span("never") == US_NEVER);
}

static void what_is_no_duration_is_refused_with_advice(void **state)
{
	static const char *const bad[] = { "",
					   "0",
					   "0s",
					   "30",
					   "s",
					   "-5s",
					   "1.5h",
					   "30m1h",
					   "1h1h",
					   "1w",
					   "10x",
					   "1h 30m",
					   "99999999999999999999s",
					   "40000d",
					   "106751991167301d" };
	struct errbuf e;
	us_t out = 77;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		e.text[0] = '\0';
		assert_ptr_equal(fmt_parse_duration(str_of(bad[i]), &out, &e), &err_invalid);
		assert_int_equal(out, 77);
		assert_non_null(strstr(e.text, "write"));
	}
	fmt_parse_duration(STR_LIT("30"), &out, &e);
	assert_string_equal(e.text, "\"30\" needs a unit: write 30s, 30m or 30h");
	fmt_parse_duration(STR_LIT("0"), &out, NULL); /* no place for words: no crash */
}

static bool rate_is(const char *z, int64_t n, us_t per)
{
	struct rate r;

	return !fmt_parse_rate(str_of(z), &r, NULL) && r.n == n && r.per == per;
}

static void rates_are_read_as_the_manual_says(void **state)
{
	struct rate r;

	(void)state;
	assert_true(rate_is("20/s", 20, US_PER_S));
	assert_true(rate_is("600/min", 600, US_PER_MIN));
	assert_true(rate_is("50/hour", 50, US_PER_HOUR));
	assert_true(rate_is("1000/d", 1000, US_PER_DAY));
	assert_true(rate_is("1/6m", 1, 6 * US_PER_MIN));
	assert_true(rate_is("100/15M", 100, 15 * US_PER_MIN));
	assert_null(fmt_parse_rate(STR_LIT("unlimited"), &r, NULL));
	assert_true(rate_unlimited(r));
	assert_true(rate_per_s((struct rate){ 600, US_PER_MIN }) == 10.0);
}

static void what_is_no_rate_is_refused_with_advice(void **state)
{
	static const char *const bad[] = { "",	    "0",      "20",	      "0/s",   "/s",
					   "20/",   "20/0s",  "20/x",	      "2.5/s", "-1/s",
					   "never", "20/s/s", "10000000000/s" };
	struct rate r;
	struct errbuf e;

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		e.text[0] = '\0';
		assert_ptr_equal(fmt_parse_rate(str_of(bad[i]), &r, &e), &err_invalid);
		assert_non_null(strstr(e.text, "write"));
	}
}

static void what_is_written_is_read_back(void **state)
{
	char text[FMT_SIZE];
	struct rng r;

	(void)state;
	rng_seed(&r, 11);
	for (int i = 0; i < 100000; i++) {
		us_t d = (us_t)rng_below(&r, (uint64_t)36500 * US_PER_DAY / US_PER_MS), back;
		struct rate rate, again;

		d >>= rng_below(&r, 40);
		d = (d ? d : 1) * US_PER_MS;
		fmt_duration(d, text);
		assert_null(fmt_parse_duration(str_of(text), &back, NULL));
		assert_true(back == d);
		rate = (struct rate){ 1 + (int64_t)rng_below(&r, 1000000000), d };
		fmt_rate(rate, text);
		assert_null(fmt_parse_rate(str_of(text), &again, NULL));
		assert_true(again.n == rate.n && again.per == rate.per);
	}
}

static void rates_and_durations_are_written_as_people_do(void **state)
{
	static const struct {
		us_t d;
		const char *text;
	} spans[] = { { 90 * US_PER_MIN, "1h30m" },
		      { 250000, "250ms" },
		      { US_NEVER, "never" },
		      { 0, "0s" },
		      { 1, "1ms" },
		      { 108 * US_PER_HOUR, "4d12h" },
		      { -US_PER_S, "-1s" },
		      { 1500000, "1s500ms" } };
	char out[FMT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof spans / sizeof spans[0]; i++) {
		fmt_duration(spans[i].d, out);
		assert_string_equal(out, spans[i].text);
	}
	fmt_rate((struct rate){ 20, US_PER_S }, out);
	assert_string_equal(out, "20/s");
	fmt_rate((struct rate){ 1, 6 * US_PER_MIN }, out);
	assert_string_equal(out, "1/6m");
	fmt_rate((struct rate){ 600, US_PER_MIN }, out);
	assert_string_equal(out, "600/min");
	fmt_rate((struct rate){ 0, 0 }, out);
	assert_string_equal(out, "unlimited");
}

static void sizes_numbers_yes_and_percent_are_read(void **state)
{
	struct errbuf e;
	int64_t n = 0;
	double f = 0;
	bool b = false;

	(void)state;
	assert_true(!fmt_parse_size(STR_LIT("64k"), &n, &e) && n == 65536);
	assert_true(!fmt_parse_size(STR_LIT("10MB"), &n, &e) && n == 10 << 20);
	assert_true(!fmt_parse_size(STR_LIT("2G"), &n, &e) && n == (int64_t)2 << 30);
	assert_true(!fmt_parse_size(STR_LIT("512"), &n, &e) && n == 512);
	assert_non_null(fmt_parse_size(STR_LIT("9999999999G"), &n, &e));
	assert_non_null(fmt_parse_size(STR_LIT("10q"), &n, &e));
	assert_non_null(fmt_parse_size(STR_LIT("-1"), &n, &e));
	assert_non_null(fmt_parse_size(STR_LIT(""), &n, &e));
	assert_true(!fmt_parse_int(STR_LIT("100"), 1, 100, &n, &e) && n == 100);
	assert_true(!fmt_parse_int(STR_LIT("-3"), -5, 5, &n, &e) && n == -3);
	assert_non_null(fmt_parse_int(STR_LIT("101"), 1, 100, &n, &e));
	assert_string_equal(e.text, "\"101\": write a whole number from 1 to 100");
	assert_non_null(fmt_parse_int(STR_LIT("10 1"), 1, 100, &n, &e));
	assert_non_null(fmt_parse_int(STR_LIT("99999999999999999999"), 1, INT64_MAX, &n, &e));
	assert_true(!fmt_parse_bool(STR_LIT("Yes"), &b, &e) && b);
	assert_true(!fmt_parse_bool(STR_LIT("off"), &b, &e) && !b);
	assert_non_null(fmt_parse_bool(STR_LIT("1"), &b, &e));
	assert_true(!fmt_parse_percent(STR_LIT("5%"), &f, &e) && f == 0.05);
	assert_true(!fmt_parse_percent(STR_LIT("0.1%"), &f, &e) && f > 0.00099 && f < 0.00101);
	assert_non_null(fmt_parse_percent(STR_LIT("5"), &f, &e));
	assert_non_null(fmt_parse_percent(STR_LIT("5.%"), &f, &e));
	assert_non_null(fmt_parse_percent(STR_LIT(".5%"), &f, &e));
}

static void ages_and_times_left_are_short(void **state)
{
	static const struct {
		us_t d;
		const char *age, *left;
	} cases[] = { { 41 * US_PER_S, "0m41", "41s" },
		      { 252 * US_PER_S, "4m12", "4m" },
		      { 52 * US_PER_MIN, "52m00", "52m" },
		      { 221 * US_PER_MIN, "3h41", "3h" },
		      { 59 * US_PER_HOUR, "2d11", "2d" },
		      { 412 * US_PER_DAY, "412d", "412d" },
		      { -5, "0m00", "0s" },
		      { US_NEVER, "never", "never" },
		      { US_NEVER - 1, "9999d", "9999d" } };
	char out[FMT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		fmt_age(cases[i].d, out);
		assert_string_equal(out, cases[i].age);
		fmt_left(cases[i].d, out);
		assert_string_equal(out, cases[i].left);
	}
}

static void counts_rates_and_sizes_fit_their_columns(void **state)
{
	static const struct {
		int64_t n;
		const char *count, *bytes;
	} cases[] = { { 0, "0", "0" },
		      { 987, "987", "987" },
		      { 12700, "12.7k", "12.4k" },
		      { 402199, "402.1k", "392.7k" },
		      { 999999, "999.9k", "976.5k" },
		      { 1260000, "1.26M", "1.2M" },
		      { 12601234, "12.60M", "12.0M" },
		      { 126000000, "126.0M", "120.1M" },
		      { 1073741824, "1.07G", "1.0G" },
		      { 1073741823, "1.07G", "1023M" },
		      { INT64_MAX, "9.22E", "7.9E" } };
	char out[FMT_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		fmt_count(cases[i].n, out);
		assert_string_equal(out, cases[i].count);
		fmt_bytes(cases[i].n, out);
		assert_string_equal(out, cases[i].bytes);
	}
	for (int64_t n = 1; n < INT64_MAX / 3; n = n * 3 + 1) {
		fmt_count(n, out);
		assert_true(strlen(out) <= 6);
		fmt_bytes(n, out);
		assert_true(strlen(out) <= 6);
	}
	fmt_per_s(899, out);
	assert_string_equal(out, "899.0");
	fmt_per_s(1200, out);
	assert_string_equal(out, "1.2k");
	fmt_per_s(999.97, out);
	assert_string_equal(out, "1.0k");
	fmt_per_s(0.4, out);
	assert_string_equal(out, "0.4");
	fmt_per_s(0.01, out);
	assert_string_equal(out, "<0.1");
	fmt_per_s(0, out);
	assert_string_equal(out, "0.0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read_as_the_manual_says),
		cmocka_unit_test(what_is_no_duration_is_refused_with_advice),
		cmocka_unit_test(rates_are_read_as_the_manual_says),
		cmocka_unit_test(what_is_no_rate_is_refused_with_advice),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(rates_and_durations_are_written_as_people_do),
		cmocka_unit_test(sizes_numbers_yes_and_percent_are_read),
		cmocka_unit_test(ages_and_times_left_are_short),
		cmocka_unit_test(counts_rates_and_sizes_fit_their_columns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
