/* The tables hold what was put, through any mix of puts, removals and growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#include "core/base/hash.h"
#include "core/base/rng.h"

enum { KEYS = 400, STEPS = 300000 };

static int values[KEYS];

static void siphash_13_gives_the_published_values(void **state)
{
	/* Key 00 01 .. 0f, input 00 01 .. n-1 (vectors of the Rust standard library's SipHasher13)
	 */
	static const uint64_t expected[] = { 0xABAC0158050FC4DC, 0xC9F49BF37D57CA93,
					     0x82CB9B024DC7D44D, 0x8BF80AB8E7DDF7FB,
					     0xCF75576088D38328, 0xDEF9D52F49533B67,
					     0xC50D2B50C59F22A7, 0xD3927D989BB11140,
					     0x369095118D299A8E };
	unsigned char in[16];

	(void)state;
	hash_seed(0x0706050403020100u, 0x0F0E0D0C0B0A0908u);
	for (unsigned char i = 0; i < sizeof in; i++)
		in[i] = i;
	for (size_t n = 0; n < sizeof expected / sizeof expected[0]; n++)
		assert_true(hash_bytes(in, n) == expected[n]);
}

static void folded_hash_ignores_the_case_of_ascii_letters_only(void **state)
{
	char a[32], b[32];

	(void)state;
	for (int c = 0; c < 256; c++)
		for (size_t n = 1; n < sizeof a; n += 7) {
			bool letter = c >= 'A' && c <= 'Z';

			memset(a, c, n);
			memset(b, letter ? c | 0x20 : c, n);
			assert_true(hash_ibytes(a, n) == hash_bytes(b, n));
		}
}

static void idmap_agrees_with_an_array(void **state)
{
	const int *model[KEYS] = { 0 };
	struct idmap m;
	struct rng r;
	size_t used = 0, pos = 0, seen = 0;
	uint64_t key;
	void *v;

	(void)state;
	idmap_init(&m);
	rng_seed(&r, 3);
	for (int step = 0; step < STEPS; step++) {
		size_t k = rng_below(&r, KEYS);

		if (rng_below(&r, 2)) {
			assert_true(idmap_put(&m, k, &values[k]));
			used += !model[k];
			model[k] = &values[k];
		} else {
			assert_ptr_equal(idmap_del(&m, k), model[k]);
			used -= model[k] != NULL;
			model[k] = NULL;
		}
		k = rng_below(&r, KEYS);
		assert_ptr_equal(idmap_get(&m, k), model[k]);
		assert_int_equal(m.used, used);
	}
	while (idmap_next(&m, &pos, &key, &v)) {
		assert_ptr_equal(v, model[key]);
		seen++;
	}
	assert_int_equal(seen, used);
	idmap_free(&m);
	assert_null(idmap_get(&m, 1));
	assert_null(idmap_del(&m, 1));
}

static void strmap_agrees_with_an_array(void **state)
{
	static char names[KEYS][24];
	const int *model[KEYS] = { 0 };
	struct strmap m;
	struct rng r;
	size_t used = 0, pos = 0, seen = 0;
	struct str key;
	void *v;

	(void)state;
	strmap_init(&m);
	rng_seed(&r, 4);
	for (int i = 0; i < KEYS; i++)
		snprintf(names[i], sizeof names[i], "q%d.example", i);
	for (int step = 0; step < STEPS; step++) {
		size_t k = rng_below(&r, KEYS);

		if (rng_below(&r, 2)) {
			assert_true(strmap_put(&m, str_of(names[k]), &values[k]));
			used += !model[k];
			model[k] = &values[k];
		} else {
			assert_ptr_equal(strmap_del(&m, str_of(names[k])), model[k]);
			used -= model[k] != NULL;
			model[k] = NULL;
		}
		k = rng_below(&r, KEYS);
		assert_ptr_equal(strmap_get(&m, str_of(names[k])), model[k]);
		assert_int_equal(m.used, used);
	}
	while (strmap_next(&m, &pos, &key, &v)) {
		assert_string_equal(key.p, names[(int *)v - values]);
		seen++;
	}
	assert_int_equal(seen, used);
	strmap_free(&m);
	assert_null(strmap_get(&m, STR_LIT("q1.example")));
}

/* No put of a big table may move it as a whole: what a put leaves in the old table shows that it
 * took a step. */
static void a_table_grows_in_steps(void **state)
{
	static char names[5000][12];
	struct idmap m;
	struct strmap s;
	size_t left = 0, most = 0;

	(void)state;
	idmap_init(&m);
	strmap_init(&s);
	for (size_t i = 0; i < 5000; i++) {
		size_t before = s.old ? s.old_cap - s.old_at : 0;

		snprintf(names[i], sizeof names[i], "n%zu", i);
		assert_true(idmap_put(&m, i, names[i]));
		assert_true(strmap_put(&s, str_of(names[i]), names[i]));
		left = s.old ? s.old_cap - s.old_at : 0;
		assert_true(before < left || before - left <= 4);
		for (size_t k = 0; k <= i; k += 1 + i / 7) {
			assert_ptr_equal(idmap_get(&m, k), names[k]);
			assert_ptr_equal(strmap_get(&s, str_of(names[k])), names[k]);
		}
		most = left > most ? left : most;
	}
	assert_true(most >= 4096 - 4);
	assert_null(s.old);
	idmap_free(&m);
	strmap_free(&s);
}

static void keys_may_be_empty_or_hold_nul(void **state)
{
	struct strmap m;

	(void)state;
	strmap_init(&m);
	assert_true(strmap_put(&m, (struct str){ NULL, 0 }, &values[0]));
	assert_true(strmap_put(&m, STR_LIT("a\0b"), &values[1]));
	assert_true(strmap_put(&m, STR_LIT("a\0c"), &values[2]));
	assert_ptr_equal(strmap_get(&m, STR_LIT("")), &values[0]);
	assert_ptr_equal(strmap_get(&m, STR_LIT("a\0b")), &values[1]);
	assert_null(strmap_get(&m, STR_LIT("a")));
	strmap_free(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_13_gives_the_published_values),
		cmocka_unit_test(folded_hash_ignores_the_case_of_ascii_letters_only),
		cmocka_unit_test(idmap_agrees_with_an_array),
		cmocka_unit_test(strmap_agrees_with_an_array),
		cmocka_unit_test(a_table_grows_in_steps),
		cmocka_unit_test(keys_may_be_empty_or_hold_nul),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
