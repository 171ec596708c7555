/* What the grammar takes and what it refuses; refusals say why. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "core/base/rng.h"
#include "core/smtp/address.h"

static void good(const char *z, const char *local, const char *domain, const char *normal)
{
	struct address a;
	const char *why = address_parse(str_of(z), &a);

	if (why)
		fail_msg("%s: %s", z, why);
	assert_true(str_eqz(a.whole, z));
	assert_true(str_eqz(a.local, local));
	assert_true(str_eqz(a.domain, domain));
	assert_string_equal(a.normal, normal);
}

static void bad(const char *z, const char *want)
{
	struct address a;
	const char *why = address_parse(str_of(z), &a);

	if (!why || strcmp(why, want) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", z, why ? why : "accepted", want);
}

static void mailboxes_are_taken_apart(void **state)
{
	(void)state;
	good("a@example.com", "a", "example.com", "example.com");
	good("First.Last+tag@Mail.EXAMPLE.com", "First.Last+tag", "Mail.EXAMPLE.com",
	     "mail.example.com");
	good("!#$%&'*+-/=?^_`{|}~@x.y", "!#$%&'*+-/=?^_`{|}~", "x.y", "x.y");
	good("\"a b\"@example.com", "\"a b\"", "example.com", "example.com");
	good("\"a\\\"@b>\"@example.com", "\"a\\\"@b>\"", "example.com", "example.com");
	good("\"\"@example.com", "\"\"", "example.com", "example.com");
	good("a@[192.0.2.1]", "a", "[192.0.2.1]", "");
	good("a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", "");
	good("a@localhost", "a", "localhost", "localhost");
	good("a@xn--bcher-kva.example", "a", "xn--bcher-kva.example", "xn--bcher-kva.example");
}

static void utf8_is_marked_and_domains_become_a_labels(void **state)
{
	struct address a;

	(void)state;
	good("j\xc3\xb6rg@b\xc3\xbc"
	     "cher.example",
	     "j\xc3\xb6rg",
	     "b\xc3\xbc"
	     "cher.example",
	     "xn--bcher-kva.example");
	assert_null(address_parse(STR_LIT("j\xc3\xb6rg@example.com"), &a));
	assert_true(a.utf8);
	assert_null(address_parse(STR_LIT("joerg@example.com"), &a));
	assert_false(a.utf8);
	bad("j\xc3@example.com", "not UTF-8");
	bad("\"\xff\"@example.com", "not UTF-8");
}

static void what_is_no_mailbox_is_refused_with_a_reason(void **state)
{
	char long_local[80], long_whole[300];

	(void)state;
	bad("", "no local part");
	bad("@example.com", "no local part");
	bad("a", "no @");
	bad("a@", "no domain behind the @");
	bad("a@b@c", "not a domain name");
	bad(".a@b.c", "local part begins or ends with a dot");
	bad("a.@b.c", "local part begins or ends with a dot");
	bad("a..b@b.c", "two dots in a row in the local part");
	bad("a b@b.c", "a character that is not allowed in the local part");
	bad("a\"b@b.c", "a character that is not allowed in the local part");
	bad("\"a@b.c", "quoted local part does not end");
	bad("\"a\nb\"@b.c", "quoted local part does not end");
	bad("\"a\"b@b.c", "a character that is not allowed in the local part");
	bad("a@b..c", "not a domain name");
	bad("a@b_c!d", "not a domain name");
	bad("a@b.c.", "domain ends in a dot");
	bad("a@192.0.2.1", "not a domain name");
	bad("a@[192.0.2.256]", "not an address literal");
	bad("a@[2001:db8::1]", "not an address literal");
	bad("a@[]", "not an address literal");
	bad("a@[IPv6:192.0.2.1", "not an address literal");
	bad("a@ex ample.com", "not a domain name");
	bad("a@b.c\x01", "not a domain name");
	memset(long_local, 'a', 65);
	memcpy(long_local + 65, "@b.c", 5);
	bad(long_local, "local part over 64 bytes");
	good(long_local + 1,
	     (char[65]){ "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" },
	     "b.c", "b.c");
	memset(long_whole, 'a', sizeof long_whole);
	memcpy(long_whole, "a@", 2);
	long_whole[255] = '\0';
	bad(long_whole, "address over 254 bytes");
}

static void a_nul_inside_is_refused(void **state)
{
	struct address a;

	(void)state;
	assert_non_null(address_parse(STR_LIT("a\0b@example.com"), &a));
	assert_non_null(address_parse(STR_LIT("a@exam\0ple.com"), &a));
	assert_non_null(address_parse(STR_LIT("a@[192.0.2.1\0]"), &a));
	assert_non_null(address_parse(STR_LIT("\"a\0\"@example.com"), &a));
}

static const char *path(const char *z, bool null_ok, const char *whole, const char *rest)
{
	struct address a;
	struct str r;
	const char *why = address_parse_path(str_of(z), null_ok, &a, &r);

	if (!why) {
		assert_true(str_eqz(a.whole, whole));
		assert_true(str_eqz(r, rest));
	}
	return why;
}

static void paths_end_at_their_own_bracket(void **state)
{
	(void)state;
	assert_null(path("<a@b.c>", false, "a@b.c", ""));
	assert_null(path("<a@b.c> SIZE=1 X=>", false, "a@b.c", " SIZE=1 X=>"));
	assert_null(path("<\"a>\\\">b\"@b.c> X", false, "\"a>\\\">b\"@b.c", " X"));
	assert_null(path("<@one.example,@two.example:a@b.c>", false, "a@b.c", ""));
	assert_null(path("<>", true, "", ""));
	assert_null(path("<> SIZE=3", true, "", " SIZE=3"));
	assert_null(path("<PostMaster>", false, "PostMaster", ""));
	assert_string_equal(path("<>", false, "", ""), "<> is not a recipient");
	assert_string_equal(path("<postmaster>", true, "", ""), "no @");
	assert_string_equal(path("a@b.c", false, "", ""), "the address must stand in <>");
	assert_string_equal(path("<a@b.c", false, "", ""), "no > behind the address");
	assert_string_equal(path("<\"a@b.c>", false, "", ""), "no > behind the address");
	assert_string_equal(path("", false, "", ""), "the address must stand in <>");
	assert_non_null(path("<@one.example a@b.c>", false, "", ""));
}

static void xtext_survives_a_round_trip(void **state)
{
	struct buf coded, plain;
	struct rng r;

	(void)state;
	buf_init(&coded);
	buf_init(&plain);
	rng_seed(&r, 7);
	for (int i = 0; i < 2000; i++) {
		char bytes[40];
		size_t n = (size_t)rng_below(&r, sizeof bytes + 1);

		for (size_t k = 0; k < n; k++)
			bytes[k] = (char)rng_u64(&r);
		buf_clear(&coded);
		buf_clear(&plain);
		assert_true(xtext_encode(str_mem(bytes, n), &coded));
		assert_true(xtext_valid(buf_str(&coded)));
		assert_true(xtext_decode(buf_str(&coded), &plain));
		assert_true(str_eq(buf_str(&plain), str_mem(bytes, n)));
	}
	buf_free(&coded);
	buf_free(&plain);
}

static void xtext_is_strict(void **state)
{
	(void)state;
	assert_true(xtext_valid(STR_LIT("rfc822;a+40b.c")));
	assert_true(xtext_valid(STR_LIT("")));
	assert_false(xtext_valid(STR_LIT("a+4")));
	assert_false(xtext_valid(STR_LIT("a+")));
	assert_false(xtext_valid(STR_LIT("a+4z")));
	assert_false(xtext_valid(STR_LIT("a+2b"))); /* RFC 3461: upper case */
	assert_false(xtext_valid(STR_LIT("a=b")));
	assert_false(xtext_valid(STR_LIT("a b")));
	assert_false(xtext_valid(STR_LIT("a\0b")));
	assert_false(xtext_valid(STR_LIT("\xc3\xb6")));
}

/* Whatever the bytes: no crash, and what is accepted is its own parts put together. */
static void random_bytes_are_judged_safely(void **state)
{
	static const char alphabet[] = "ab.@<>\"\\[]:, IPv6:1\xc3\xb6\0+-_";
	struct rng r;
	int accepted = 0;

	(void)state;
	rng_seed(&r, 11);
	for (int i = 0; i < 200000; i++) {
		char *exact;
		size_t n = (size_t)rng_below(&r, 14);
		struct address a;
		struct str rest;

		exact = test_malloc(n + 1);
		for (size_t k = 0; k < n; k++)
			exact[k] = alphabet[rng_below(&r, sizeof alphabet - 1)];
		address_parse_path(str_mem(exact, n), i % 2, &a, &rest);
		if (!address_parse(str_mem(exact, n), &a)) {
			accepted++;
			assert_int_equal(a.whole.n, a.local.n + 1 + a.domain.n);
			assert_null(memchr(a.whole.p, '\0', a.whole.n));
			assert_int_equal(a.normal[0] == '\0', a.literal);
		}
		test_free(exact);
	}
	assert_true(accepted > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mailboxes_are_taken_apart),
		cmocka_unit_test(utf8_is_marked_and_domains_become_a_labels),
		cmocka_unit_test(what_is_no_mailbox_is_refused_with_a_reason),
		cmocka_unit_test(a_nul_inside_is_refused),
		cmocka_unit_test(paths_end_at_their_own_bracket),
		cmocka_unit_test(xtext_survives_a_round_trip),
		cmocka_unit_test(xtext_is_strict),
		cmocka_unit_test(random_bytes_are_judged_safely),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
