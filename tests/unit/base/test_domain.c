/* Domains have one normal form, and what is no domain is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/domain.h"

static const char *normal(const char *z)
{
	static char out[DOMAIN_SIZE];

	return domain_normal(str_of(z), out) ? out : "(no)";
}

static void names_get_one_normal_form(void **state)
{
	(void)state;
	assert_string_equal(normal("Example.COM"), "example.com");
	assert_string_equal(normal("example.com."), "example.com");
	assert_string_equal(normal("a-b.c_d.example"), "a-b.c_d.example");
	assert_string_equal(normal("localhost"), "localhost");
	assert_string_equal(normal("Bücher.example"), "xn--bcher-kva.example");
	assert_string_equal(normal("BÜCHER.example."), "xn--bcher-kva.example");
	assert_string_equal(normal("XN--BCHER-KVA.example"), "xn--bcher-kva.example");
	assert_string_equal(normal("straße.de"), "xn--strae-oqa.de"); /* non-transitional */
	assert_string_equal(normal("例え。jp"), "xn--r8jz45g.jp");
}

static void what_is_no_domain_is_refused(void **state)
{
	static const char *const bad[] = { "",	  ".",		 "..",	      "a..b",	  ".a",
					   "a..", "[192.0.2.1]", "192.0.2.1", "a b",	  "a,b",
					   "a@b", "a/b",	 "\x80",      "ü\xff.de", "*.x" };
	char longest[300], out[DOMAIN_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		assert_string_equal(normal(bad[i]), "(no)");
	assert_false(domain_normal(STR_LIT("a\0.b"), out));
	assert_false(domain_normal(STR_LIT("ü\0.b"), out));
	memset(longest, 'a', sizeof longest);
	for (size_t i = 63; i < sizeof longest; i += 64)
		longest[i] = '.';
	assert_true(domain_normal(str_mem(longest, 253), out));
	assert_int_equal(strlen(out), 253);
	assert_false(domain_normal(str_mem(longest, 254), out));
	assert_true(domain_normal(str_mem(longest + 64, 63), out));
	longest[63] = 'a';
	assert_false(domain_normal(str_mem(longest, 64), out));
}

static void host_names_are_stricter(void **state)
{
	(void)state;
	assert_true(domain_is_hostname(STR_LIT("mx1.example.com")));
	assert_true(domain_is_hostname(STR_LIT("3com.example")));
	assert_false(domain_is_hostname(STR_LIT("_dmarc.example.com")));
	assert_false(domain_is_hostname(STR_LIT("-a.example")));
	assert_false(domain_is_hostname(STR_LIT("a-.example")));
	assert_false(domain_is_hostname(STR_LIT("a.example-")));
	assert_false(domain_is_hostname(STR_LIT("a.example.")));
	assert_false(domain_is_hostname(STR_LIT("192.0.2.1")));
	assert_false(domain_is_hostname(STR_LIT("a\nb")));
	assert_false(domain_is_hostname(STR_LIT("")));
}

static void a_star_matches_below_only(void **state)
{
	(void)state;
	assert_true(domain_match(STR_LIT("*"), STR_LIT("a.b")));
	assert_true(domain_match(STR_LIT("*.example.com"), STR_LIT("a.b.example.com")));
	assert_false(domain_match(STR_LIT("*.example.com"), STR_LIT("example.com")));
	assert_false(domain_match(STR_LIT("*.example.com"), STR_LIT(".example.com")));
	assert_false(domain_match(STR_LIT("*.example.com"), STR_LIT("badexample.com")));
	assert_true(domain_match(STR_LIT("example.com"), STR_LIT("example.com")));
	assert_false(domain_match(STR_LIT("example.com"), STR_LIT("a.example.com")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_get_one_normal_form),
		cmocka_unit_test(what_is_no_domain_is_refused),
		cmocka_unit_test(host_names_are_stricter),
		cmocka_unit_test(a_star_matches_below_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
