/* Checksums, times, the seeded generator and error sentences. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <time.h>

#include "core/base/clock.h"
#include "core/base/crc32c.h"
#include "core/base/err.h"
#include "core/base/rng.h"
#include "core/base/str.h"

static void crc32c_gives_the_values_of_rfc_3720(void **state)
{
	unsigned char b[32] = { 0 };

	(void)state;
	assert_int_equal(crc32c(0, b, sizeof b), 0x8A9136AA);
	memset(b, 0xFF, sizeof b);
	assert_int_equal(crc32c(0, b, sizeof b), 0x62A8AB43);
	for (unsigned char i = 0; i < sizeof b; i++)
		b[i] = i;
	assert_int_equal(crc32c(0, b, sizeof b), 0x46DD794E);
	assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void crc32c_is_the_same_in_pieces_and_without_the_instruction(void **state)
{
	unsigned char b[300];
	struct rng r;

	(void)state;
	rng_seed(&r, 2);
	for (size_t i = 0; i < sizeof b; i++)
		b[i] = (unsigned char)rng_u64(&r);
	for (int i = 0; i < 20000; i++) {
		size_t from = rng_below(&r, sizeof b), n = rng_below(&r, sizeof b - from + 1);
		size_t cut = rng_below(&r, n + 1);
		uint32_t whole = crc32c(0, b + from, n);

		assert_int_equal(crc32c(crc32c(0, b + from, cut), b + from + cut, n - cut), whole);
		assert_int_equal(crc32c_portable(0, b + from, n), whole);
	}
}

static void times_are_written_as_the_rfcs_say(void **state)
{
	const us_t at = 1795460628118999; /* 2026-11-23 19:03:48.118999 UTC */
	char out[CLOCK_RFC5322_SIZE];

	(void)state;
	clock_rfc3339(at, out);
	assert_string_equal(out, "2026-11-23T19:03:48.118Z");
	clock_rfc3339(0, out);
	assert_string_equal(out, "1970-01-01T00:00:00.000Z");
	clock_rfc3339(951827696 * US_PER_S, out);
	assert_string_equal(out, "2000-02-29T12:34:56.000Z");
	clock_rfc3339(US_NEVER, out);
	assert_int_equal(strlen(out), 24);
	clock_rfc3339(INT64_MIN, out);
	assert_int_equal(strlen(out), 24);
	setenv("TZ", "UTC", 1);
	tzset();
	clock_rfc5322(at, out);
	assert_string_equal(out, "Mon, 23 Nov 2026 19:03:48 +0000");
	setenv("TZ", "XXX3:30", 1); /* west of Greenwich */
	tzset();
	clock_rfc5322(at, out);
	assert_string_equal(out, "Mon, 23 Nov 2026 15:33:48 -0330");
	clock_rfc5322(US_NEVER, out);
	assert_int_equal(strlen(out), 31);
}

static void the_clock_is_wall_time_and_never_goes_back(void **state)
{
	us_t last;

	(void)state;
	clock_init();
	assert_true(llabs(clock_skew_us()) < US_PER_S);
	assert_true(llabs(clock_now_us() - (us_t)time(NULL) * US_PER_S) < 5 * US_PER_S);
	last = clock_now_us();
	for (int i = 0; i < 10000; i++) {
		us_t now = clock_now_us();

		assert_true(now >= last);
		last = now;
	}
	assert_true(clock_thread_cpu_us() > 0);
}

static void a_seed_gives_one_sequence_evenly_spread(void **state)
{
	enum { SIDES = 6, THROWS = 60000 };
	int seen[SIDES] = { 0 };
	struct rng a, b;

	(void)state;
	rng_seed(&a, 42);
	rng_seed(&b, 42);
	for (int i = 0; i < 100; i++)
		assert_true(rng_u64(&a) == rng_u64(&b));
	rng_seed(&b, 43);
	assert_true(rng_u64(&a) != rng_u64(&b));
	for (int i = 0; i < THROWS; i++) {
		double u = rng_unit(&a);

		assert_true(u >= 0 && u < 1);
		seen[rng_below(&a, SIDES)]++;
	}
	for (int i = 0; i < SIDES; i++)
		assert_in_range(seen[i], THROWS / SIDES * 9 / 10, THROWS / SIDES * 11 / 10);
	assert_int_equal(rng_below(&a, 1), 0);
}

static void a_cut_sentence_says_so_and_stays_utf8(void **state)
{
	static char longer[2000];
	struct errbuf e;

	(void)state;
	errbuf_set(NULL, "nobody %s", "listens");
	errbuf_set(&e, "%s: %d", "spool", 5);
	assert_string_equal(e.text, "spool: 5");
	for (size_t i = 0; i + 2 < sizeof longer; i += 2)
		memcpy(longer + i, "ü", 2);
	for (int shift = 0; shift < 2; shift++) {
		errbuf_set(&e, "%s%s", shift ? "x" : "", longer);
		assert_true(str_utf8_valid(str_of(e.text)));
		assert_string_equal(e.text + strlen(e.text) - 3, "...");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(crc32c_gives_the_values_of_rfc_3720),
		cmocka_unit_test(crc32c_is_the_same_in_pieces_and_without_the_instruction),
		cmocka_unit_test(times_are_written_as_the_rfcs_say),
		cmocka_unit_test(the_clock_is_wall_time_and_never_goes_back),
		cmocka_unit_test(a_seed_gives_one_sequence_evenly_spread),
		cmocka_unit_test(a_cut_sentence_says_so_and_stays_utf8),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
