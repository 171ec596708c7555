/* Frames of the control socket. */
#include "tests/unit/control/world.h"

#include "core/control/cli.h"

static void test_round_trip_at_every_cut(void **state)
{
	struct buf out;
	struct str payload;
	size_t used;
	char type;

	(void)state;
	buf_init(&out);
	frame_put(&out, 'O', STR_LIT("hello"));
	for (size_t n = 0; n < out.n; n++)
		assert_int_equal(frame_get((struct str){ out.p, n }, &type, &payload, &used), 0);
	assert_int_equal(frame_get(buf_str(&out), &type, &payload, &used), 1);
	assert_int_equal(type, 'O');
	assert_true(str_eqz(payload, "hello"));
	assert_int_equal(used, out.n);
	buf_free(&out);
}

static void test_empty_payload(void **state)
{
	struct buf out;
	struct str payload;
	size_t used;
	char type;

	(void)state;
	buf_init(&out);
	frame_put(&out, 'Y', (struct str){ NULL, 0 });
	assert_int_equal(frame_get(buf_str(&out), &type, &payload, &used), 1);
	assert_int_equal(payload.n, 0);
	assert_int_equal(used, FRAME_HEADER);
	buf_free(&out);
}

static void test_too_large_and_strange_are_refused(void **state)
{
	static const unsigned char huge[] = { 'O', 0xff, 0xff, 0xff, 0xff },
				   most[] = { 'O', 0, 0, 0x40, 0 }, more[] = { 'O', 1, 0, 0x40, 0 },
				   ssh[] = "SSH-2.0", http[] = "GET / HTTP/1.1",
				   zero[] = { 0, 0, 0, 0, 0 };
	struct str payload;
	size_t used;
	char type;

	(void)state;
	assert_int_equal(frame_get(str_mem(huge, 5), &type, &payload, &used), -1);
	assert_int_equal(frame_get(str_mem(most, 5), &type, &payload, &used), 0);
	assert_int_equal(frame_get(str_mem(more, 5), &type, &payload, &used), -1);
	assert_int_equal(frame_get(str_mem(zero, 5), &type, &payload, &used), -1);
	assert_int_equal(frame_get(str_mem(ssh, 7), &type, &payload, &used), -1);
	assert_int_equal(frame_get(str_mem(http, 14), &type, &payload, &used), -1);
}

/* Any bytes: never a payload outside of what was given. */
static void test_random_bytes(void **state)
{
	struct rng rng;

	(void)state;
	rng_seed(&rng, 11);
	for (int i = 0; i < 100000; i++) {
		size_t n = (size_t)rng_below(&rng, 40), used = 0;
		char *in = malloc(n + 1);
		struct str payload = { NULL, 0 };
		char type;
		int got;

		for (size_t k = 0; k < n; k++)
			in[k] = (char)rng_below(&rng, k && k < 5 ? 30 : 256);
		if (n && rng_below(&rng, 2))
			in[0] = 'C';
		if (n > 4 && rng_below(&rng, 2))
			memset(in + 2, 0, 3);
		got = frame_get((struct str){ in, n }, &type, &payload, &used);
		if (got == 1) {
			assert_true(used <= n && payload.p >= in &&
				    payload.p + payload.n <= in + n);
			assert_int_equal(used, payload.n + FRAME_HEADER);
		}
		free(in);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip_at_every_cut),
		cmocka_unit_test(test_empty_payload),
		cmocka_unit_test(test_too_large_and_strange_are_refused),
		cmocka_unit_test(test_random_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
