/* Slices compare by length and bytes, and the helpers on them do what their names say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "core/base/str.h"

static void comparison_is_by_length_and_bytes(void **state)
{
	(void)state;
	assert_true(str_eq(STR_LIT("a\0b"), STR_LIT("a\0b")));
	assert_false(str_eq(STR_LIT("a\0b"), STR_LIT("a\0c")));
	assert_false(str_eqz(STR_LIT("a\0b"), "a"));
	assert_true(str_eq((struct str){ NULL, 0 }, STR_LIT("")));
	assert_true(str_ieqz(STR_LIT("EHLO"), "ehlo"));
	assert_false(str_ieqz(STR_LIT("[@"), "{`")); /* not letters */
	assert_true(str_istarts(STR_LIT("Mail From:<>"), "MAIL FROM:"));
	assert_false(str_istarts(STR_LIT("MAIL"), "MAIL FROM:"));
	assert_true(str_cmp(STR_LIT("a"), STR_LIT("ab")) < 0);
	assert_true(str_cmp(STR_LIT("b"), STR_LIT("ab")) > 0);
	assert_int_equal(str_cmp(STR_LIT("x"), STR_LIT("x")), 0);
}

static void trim_split_lower_and_dup(void **state)
{
	struct str s = STR_LIT("a,,b"), word;
	char out[4], *z;

	(void)state;
	assert_true(str_eqz(str_trim(STR_LIT(" \t a b\t ")), "a b"));
	assert_int_equal(str_trim(STR_LIT("  ")).n, 0);
	assert_true(str_split(&s, ',', &word) && str_eqz(word, "a"));
	assert_true(str_split(&s, ',', &word) && word.n == 0);
	assert_true(str_split(&s, ',', &word) && str_eqz(word, "b"));
	assert_false(str_split(&s, ',', &word));
	assert_true(str_lower(STR_LIT("A-Z"), out, sizeof out));
	assert_string_equal(out, "a-z");
	assert_false(str_lower(STR_LIT("ABCD"), out, sizeof out));
	z = str_dup(STR_LIT("x"));
	assert_string_equal(z, "x");
	free(z);
}

static void distance_counts_slips_of_the_keyboard(void **state)
{
	char longer[200];

	(void)state;
	assert_int_equal(str_distance(STR_LIT("max-smtp-out"), STR_LIT("max-smtp-out")), 0);
	assert_int_equal(str_distance(STR_LIT("max-smtp-uot"), STR_LIT("max-smtp-out")), 1);
	assert_int_equal(str_distance(STR_LIT("max-stmp-ot"), STR_LIT("max-smtp-out")), 2);
	assert_int_equal(str_distance(STR_LIT(""), STR_LIT("abc")), 3);
	assert_int_equal(str_distance(STR_LIT("abc"), STR_LIT("")), 3);
	assert_int_equal(str_distance(STR_LIT("kitten"), STR_LIT("sitting")), 3);
	memset(longer, 'a', sizeof longer);
	assert_int_equal(str_distance(str_mem(longer, sizeof longer), STR_LIT("a")), 99);
	assert_int_equal(str_distance(str_mem(longer, 98), STR_LIT("a")), 97);
}

static void utf8_is_checked_as_rfc_3629_says(void **state)
{
	static const char *const bad[] = {
		"\x80",		"\xC3",	 "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
		"\xE0\x80\x80", "ok\xFF"
	};

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_false(str_utf8_valid(str_of(bad[i])));
	assert_true(str_utf8_valid(STR_LIT("Grüße \U0001F600 \U0010FFFF")));
	assert_true(str_utf8_valid(STR_LIT("")));
}

static void globs_match_any_run_and_no_pattern_is_slow(void **state)
{
	char many[4001];

	(void)state;
	assert_true(str_glob(STR_LIT("*.google.com"), STR_LIT("MX1.Google.com")));
	assert_false(str_glob(STR_LIT("*.google.com"), STR_LIT("google.com")));
	assert_true(str_glob(STR_LIT("*"), STR_LIT("")));
	assert_true(str_glob(STR_LIT(""), STR_LIT("")));
	assert_false(str_glob(STR_LIT(""), STR_LIT("a")));
	assert_true(str_glob(STR_LIT("a*b*c"), STR_LIT("aXbYbZc")));
	assert_false(str_glob(STR_LIT("a*b*c"), STR_LIT("aXbYbZ")));
	memset(many, 'a', sizeof many);
	assert_false(str_glob(STR_LIT("*a*a*a*a*a*a*a*a*a*a*b"), str_mem(many, sizeof many)));
}

static void counted_strings_live_as_long_as_a_reference(void **state)
{
	struct rstr *r = rstr_new(STR_LIT("a\0b")), *f = rstr_newf("%d-%s", 42, "x");

	(void)state;
	assert_true(r && f);
	assert_true(str_eq(rstr_str(r), STR_LIT("a\0b")));
	assert_true(str_eqz(rstr_str(f), "42-x"));
	assert_ptr_equal(rstr_ref(r), r);
	rstr_unref(r);
	assert_int_equal(r->len, 3);
	rstr_unref(r);
	rstr_unref(f);
	rstr_unref(NULL);
	assert_null(rstr_ref(NULL));
	assert_int_equal(rstr_str(NULL).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comparison_is_by_length_and_bytes),
		cmocka_unit_test(trim_split_lower_and_dup),
		cmocka_unit_test(distance_counts_slips_of_the_keyboard),
		cmocka_unit_test(utf8_is_checked_as_rfc_3629_says),
		cmocka_unit_test(globs_match_any_run_and_no_pattern_is_slow),
		cmocka_unit_test(counted_strings_live_as_long_as_a_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
