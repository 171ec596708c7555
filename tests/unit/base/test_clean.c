/* Nothing that a peer sends can steer a terminal, break a line or hide: escapes are visible. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/clean.h"
#include "core/base/rng.h"

static const char *cleaned(struct str text, bool ascii)
{
	static struct buf b;

	buf_free(&b);
	assert_true(clean_add(&b, text, ascii));
	return buf_z(&b);
}

static const char *clipped(const char *text, int columns, int *used)
{
	static struct buf b;

	buf_free(&b);
	*used = clean_clip(&b, str_of(text), columns, false);
	return buf_z(&b);
}

static void dangerous_characters_become_visible(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = {
		{ "421 Mess\x1b[31mages\r\n", "421 Mess\\x1b[31mages\\x0d\\x0a" },
		{ "\x7f", "\\x7f" },
		{ "November \u202Eoffer", "November <U+202E>offer" },
		{ "a\u200Bb\u2066c\uFEFF", "a<U+200B>b<U+2066>c<U+FEFF>" },
		{ "\xC2\x9B"
		  "31m",
		  "<U+009B>31m" },
		{ "\u2764\uFE0F", "\u2764<U+FE0F>" },
		{ "\U000E0041", "<U+E0041>" },
		{ "\xff\xfe", "\\xff\\xfe" },
		{ "\xC0\xAF", "\\xc0\\xaf" },	       /* overlong */
		{ "\xED\xA0\x80", "\\xed\\xa0\\x80" }, /* a surrogate */
		{ "\xE2\x80", "\\xe2\\x80" },	       /* cut */
		{ "Grüße, 世界 e\u0301", "Grüße, 世界 e\u0301" },
		{ "", "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		assert_string_equal(cleaned(str_of(cases[i].in), false), cases[i].out);
	assert_string_equal(cleaned(STR_LIT("a\0b"), false), "a\\x00b");
	assert_string_equal(cleaned(STR_LIT("Grüße"), true), "Gr<U+00FC><U+00DF>e");
}

static void clipping_counts_columns_and_marks_the_cut(void **state)
{
	static const struct {
		const char *in;
		int columns;
		const char *out;
		int used;
	} cases[] = {
		{ "hello", 5, "hello", 5 },
		{ "hello!", 5, "he...", 5 },
		{ "hello", 4, "h...", 4 },
		{ "hello", 3, "hel", 3 },
		{ "hello", 0, "", 0 },
		{ "hello", -1, "", 0 },
		{ "世界世界", 8, "世界世界", 8 },
		{ "世界世界", 7, "世界...", 7 },
		{ "世界世界", 6, "世...", 5 },
		{ "世界", 3, "世", 2 },
		{ "e\u0301e\u0301", 2, "e\u0301e\u0301", 2 },
		{ "abc\u202Edef", 10, "abc...", 6 }, /* an escape is never cut in two */
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int used;

		assert_string_equal(clipped(cases[i].in, cases[i].columns, &used), cases[i].out);
		assert_int_equal(used, cases[i].used);
	}
}

/* A list of its own, so that a slip in the tables shows. */
static bool forbidden(uint32_t r)
{
	return r < 0x20 || (r >= 0x7F && r <= 0x9F) || r == 0xAD || r == 0x61C ||
	       (r >= 0x200B && r <= 0x200F) || (r >= 0x2028 && r <= 0x202E) ||
	       (r >= 0x2060 && r <= 0x206F) || (r >= 0xFE00 && r <= 0xFE0F) || r == 0xFEFF ||
	       (r >= 0xFFF9 && r <= 0xFFFB) || (r >= 0xE0000 && r <= 0xE0FFF) || r > 0x10FFFF ||
	       r == 0x180E || r == 0x3164;
}

static void check_output(struct str s, bool ascii)
{
	while (s.n) {
		uint32_t rune;
		size_t n = clean_rune(s, &rune);

		assert_false(forbidden(rune));
		assert_true(clean_rune_width(rune) >= 0);
		assert_true(!ascii || rune < 0x80);
		s.p += n;
		s.n -= n;
	}
}

static void add_utf8(struct buf *b, uint32_t r)
{
	if (r < 0x80) {
		buf_addc(b, (char)r);
	} else if (r < 0x800) {
		buf_addf(b, "%c%c", (int)(0xC0 | r >> 6), (int)(0x80 | (r & 63)));
	} else if (r < 0x10000) {
		buf_addf(b, "%c%c%c", (int)(0xE0 | r >> 12), (int)(0x80 | (r >> 6 & 63)),
			 (int)(0x80 | (r & 63)));
	} else {
		buf_addf(b, "%c%c%c%c", (int)(0xF0 | r >> 18), (int)(0x80 | (r >> 12 & 63)),
			 (int)(0x80 | (r >> 6 & 63)), (int)(0x80 | (r & 63)));
	}
}

static void random_text(struct rng *r, struct buf *b)
{
	size_t n = rng_below(r, 40);

	buf_clear(b);
	while (n-- > 0) {
		uint64_t kind = rng_below(r, 4);

		if (kind == 0)
			buf_addc(b, (char)rng_below(r, 256));
		else if (kind == 1)
			add_utf8(b, (uint32_t)rng_below(r, 0x110000));
		else if (kind == 2)
			add_utf8(b, (uint32_t)rng_below(r, 0x3000));
		else
			buf_addc(b, (char)(0x20 + rng_below(r, 0x5F)));
	}
}

static void no_input_gets_a_forbidden_character_through(void **state)
{
	struct buf in, out;
	struct rng r;

	(void)state;
	rng_seed(&r, 21);
	buf_init(&in);
	buf_init(&out);
	for (int i = 0; i < 200000; i++) {
		int columns = (int)rng_below(&r, 60), used;
		bool ascii = rng_below(&r, 2);

		random_text(&r, &in);
		buf_clear(&out);
		assert_true(clean_add(&out, buf_str(&in), ascii));
		check_output(buf_str(&out), ascii);
		buf_clear(&out);
		used = clean_clip(&out, buf_str(&in), columns, ascii);
		check_output(buf_str(&out), ascii);
		assert_int_equal(used, clean_width(buf_str(&out)));
		assert_true(used <= columns);
	}
	buf_free(&in);
	buf_free(&out);
}

static void every_code_point_survives_decoding(void **state)
{
	struct buf b;

	(void)state;
	buf_init(&b);
	for (uint32_t r = 0; r < 0x110000; r++) {
		bool surrogate = r >= 0xD800 && r < 0xE000;
		uint32_t back;

		buf_clear(&b);
		add_utf8(&b, r);
		assert_int_equal(clean_rune(buf_str(&b), &back), surrogate ? 1 : b.n);
		assert_true(back == (surrogate ? UINT32_MAX : r));
		if (forbidden(r))
			assert_int_equal(clean_rune_width(r), -1);
	}
	buf_free(&b);
}

static void widths_are_those_of_a_terminal(void **state)
{
	(void)state;
	assert_int_equal(clean_rune_width('a'), 1);
	assert_int_equal(clean_rune_width(0xE9), 1);
	assert_int_equal(clean_rune_width(0x301), 0);
	assert_int_equal(clean_rune_width(0x4E16), 2);
	assert_int_equal(clean_rune_width(0xAC00), 2);
	assert_int_equal(clean_rune_width(0x1F600), 2);
	assert_int_equal(clean_rune_width(0xFF21), 2);
	assert_int_equal(clean_rune_width(0x2500), 1);
	assert_int_equal(clean_rune_width(0x202E), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dangerous_characters_become_visible),
		cmocka_unit_test(clipping_counts_columns_and_marks_the_cut),
		cmocka_unit_test(no_input_gets_a_forbidden_character_through),
		cmocka_unit_test(every_code_point_survives_decoding),
		cmocka_unit_test(widths_are_those_of_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
