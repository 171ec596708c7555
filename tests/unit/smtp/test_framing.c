/* Bytes become lines and messages in one way only, however they are cut; and what we send can be
 * read back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "core/base/rng.h"
#include "core/smtp/framing.h"

static int rounds(int reduced, int full)
{
	return getenv("STOKER_FULL") ? full : reduced;
}

/* ---- commands ---- */

static void only_crlf_ends_a_command_line(void **state)
{
	static const struct {
		struct str in;
		enum line_result res;
		size_t used;
	} cases[] = {
		{ STR_LIT("NOOP\r\nQ"), LINE_OK, 6 },
		{ STR_LIT("\r\n"), LINE_OK, 2 },
		{ STR_LIT(""), LINE_MORE, 0 },
		{ STR_LIT("NOOP"), LINE_MORE, 0 },
		{ STR_LIT("NOOP\r"), LINE_MORE, 0 },
		{ STR_LIT("NOOP\n"), LINE_BAD_BYTES, 0 },
		{ STR_LIT("\n"), LINE_BAD_BYTES, 0 },
		{ STR_LIT("NO\rOP\r\n"), LINE_BAD_BYTES, 0 },
		{ STR_LIT("NOOP\r\r\n"), LINE_BAD_BYTES, 0 },
		{ STR_LIT("NO\0OP\r\n"), LINE_BAD_BYTES, 0 },
		{ STR_LIT("12345678\r\n"), LINE_OK, 10 },
		{ STR_LIT("123456789\r\n"), LINE_TOO_LONG, 0 },
		{ STR_LIT("1234567890"), LINE_TOO_LONG, 0 },
		{ STR_LIT("123456789"), LINE_MORE, 0 },
	};
	struct str line;
	size_t used;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		used = 0;
		assert_int_equal(framing_line(cases[i].in, 10, &line, &used), cases[i].res);
		if (cases[i].res == LINE_OK) {
			assert_int_equal(used, cases[i].used);
			assert_int_equal(line.n, used - 2);
		}
	}
}

/* ---- DATA ---- */

struct outcome {
	enum data_result res;
	struct buf message;
	struct buf after;
	bool dot_line, eightbit, header_done;
	size_t header_bytes, total;
};

/* Feeds `in` in pieces that end where `cuts` says; memory is exactly as large as needed, so that
 * ASan sees a step too far. */
static void scan_cut(struct str in, const size_t *cuts, size_t ncuts, bool take,
		     struct outcome *out)
{
	struct data_scan d;
	struct buf b;
	size_t at = 0;
	struct str after = { "", 0 };

	*out = (struct outcome){ .res = DATA_MORE };
	buf_init(&b);
	data_scan_init(&d, false);
	for (size_t i = 0; i <= ncuts && out->res == DATA_MORE; i++) {
		size_t end = i < ncuts ? cuts[i] : in.n;

		assert_true(buf_add(&b, in.p + at, end - at));
		at = end;
		out->res = data_scan(&d, &b, &after);
		if (take && out->res == DATA_MORE) {
			buf_add(&out->message, b.p, d.clean);
			data_scan_taken(&d, &b);
		}
	}
	buf_add(&out->message, b.p, d.clean);
	buf_adds(&out->after, after);
	buf_add(&out->after, in.p + at, in.n - at);
	out->dot_line = d.dot_line;
	out->eightbit = d.eightbit;
	out->header_done = d.header_done;
	out->header_bytes = d.header_bytes;
	out->total = d.total;
	if (out->res == DATA_END)
		assert_int_equal(b.n, d.clean);
	buf_free(&b);
}

static void outcome_free(struct outcome *o)
{
	buf_free(&o->message);
	buf_free(&o->after);
}

static void same(const struct outcome *a, const struct outcome *b)
{
	assert_int_equal(a->res, b->res);
	if (a->res == DATA_BAD)
		return;
	assert_true(str_eq(buf_str(&a->message), buf_str(&b->message)));
	assert_true(str_eq(buf_str(&a->after), buf_str(&b->after)));
	assert_int_equal(a->dot_line, b->dot_line);
	assert_int_equal(a->eightbit, b->eightbit);
	assert_int_equal(a->header_done, b->header_done);
	assert_int_equal(a->header_bytes, b->header_bytes);
	assert_int_equal(a->total, b->total);
}

static void scan(struct str in, struct outcome *out)
{
	scan_cut(in, NULL, 0, false, out);
}

static void only_crlf_dot_crlf_ends_data(void **state)
{
	/* Published smuggling sequences and their relatives: each between two harmless lines and an
	 * attacker's command. */
	static const struct str middles[] = {
		STR_LIT("\n.\n"),	STR_LIT("\n.\r\n"),	STR_LIT("\r\n.\n"),
		STR_LIT("\r.\r"),	STR_LIT("\r\n.\r"),	STR_LIT("\r.\r\n"),
		STR_LIT("\n.\r"),	STR_LIT("\r.\n"),	STR_LIT("\r\n\0.\r\n"),
		STR_LIT("\r\n.\0\r\n"), STR_LIT("\r\0\n.\r\n"), STR_LIT("\r\n.\r\0\n"),
		STR_LIT("\r\r\n.\r\n"), STR_LIT("\r\n.\r\r\n"), STR_LIT("\r\n.\n\r\n"),
		STR_LIT("\n\r.\r\n"),	STR_LIT("\r\n\r.\r\n"), STR_LIT("\r\n\n.\r\n"),
		STR_LIT("\0"),		STR_LIT("\r"),		STR_LIT("\n"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof middles / sizeof *middles; i++) {
		struct buf b;
		struct outcome o;

		buf_init(&b);
		buf_adds(&b, STR_LIT("Subject: x\r\n\r\nline"));
		buf_adds(&b, middles[i]);
		buf_adds(&b, STR_LIT("MAIL FROM:<evil@example.com>\r\n.\r\n"));
		scan(buf_str(&b), &o);
		if (o.res != DATA_BAD)
			fail_msg("variant %zu is not refused", i);
		outcome_free(&o);
		buf_free(&b);
	}
}

static void harmless_relatives_of_the_terminator_are_text(void **state)
{
	static const struct {
		struct str in, message, after;
		bool dot_line;
	} cases[] = {
		{ STR_LIT(".\r\n"), STR_LIT(""), STR_LIT(""), false },
		{ STR_LIT("\r\n.\r\n"), STR_LIT("\r\n"), STR_LIT(""), false },
		{ STR_LIT("..\r\n.\r\n"), STR_LIT(".\r\n"), STR_LIT(""), true },
		{ STR_LIT(".x\r\n.\r\n"), STR_LIT("x\r\n"), STR_LIT(""), false },
		{ STR_LIT("...\r\n.\r\n"), STR_LIT("..\r\n"), STR_LIT(""), true },
		{ STR_LIT(". \r\n.\r\n"), STR_LIT(" \r\n"), STR_LIT(""), false },
		{ STR_LIT("a.\r\n.\r\nQUIT\r\n"), STR_LIT("a.\r\n"), STR_LIT("QUIT\r\n"), false },
		{ STR_LIT("a\r\n..b\r\nc\r\n..\r\n.\r\n.\r\n"), STR_LIT("a\r\n.b\r\nc\r\n.\r\n"),
		  STR_LIT(".\r\n"), true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct outcome o;

		scan(cases[i].in, &o);
		assert_int_equal(o.res, DATA_END);
		assert_true(str_eq(buf_str(&o.message), cases[i].message));
		assert_true(str_eq(buf_str(&o.after), cases[i].after));
		assert_int_equal(o.dot_line, cases[i].dot_line);
		outcome_free(&o);
	}
}

static const struct str corpus[] = {
	STR_LIT(".\r\nQUIT\r\n"),
	STR_LIT("\r\n.\r\n"),
	STR_LIT("Subject: x\r\n\r\nhello\r\n.\r\nMAIL FROM:<a@b.c>\r\n"),
	STR_LIT("..\r\n..\r\n...\r\n.\r\n..\r\n"),
	STR_LIT(".a\r\n.b\r\n.\r\n"),
	STR_LIT("a\r\n.\r"),
	STR_LIT("a\r\n."),
	STR_LIT("a\r"),
	STR_LIT("\xc3\xb6\r\n\r\n.\xff\r\n.\r\n"),
	STR_LIT("a\n.\r\n"),
	STR_LIT("a\r\n.\n"),
	STR_LIT("a\r.\r\n"),
	STR_LIT("a\r\n.\rb\r\n"),
	STR_LIT("a\0b\r\n.\r\n"),
	STR_LIT("a: b\r\n c\r\n\r\n\r\n..\r\n\r\n.\r\nDATA\r\n"),
};

static void framing_does_not_depend_on_how_bytes_are_cut(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof corpus / sizeof *corpus; i++) {
		struct outcome whole, cut;
		size_t n = corpus[i].n, all[64];

		scan(corpus[i], &whole);
		for (size_t a = 0; a <= n; a++) {
			for (size_t b = a; b <= n; b++) {
				scan_cut(corpus[i], (size_t[]){ a, b }, 2, b & 1, &cut);
				same(&whole, &cut);
				outcome_free(&cut);
			}
		}
		assert_true(n < 64);
		for (size_t a = 0; a < n; a++)
			all[a] = a;
		scan_cut(corpus[i], all, n, true, &cut);
		same(&whole, &cut);
		outcome_free(&cut);
		outcome_free(&whole);
	}
}

static int by_size(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

static void random_bytes_are_framed_the_same_in_random_pieces(void **state)
{
	static const char alphabet[] = "\r\n.\r\n..ab\0\xc3: \r\n";
	struct rng r;
	int ends = 0, bads = 0, n = rounds(20000, 400000);

	(void)state;
	rng_seed(&r, 3);
	for (int i = 0; i < n; i++) {
		char in[60];
		size_t len = (size_t)rng_below(&r, sizeof in), cuts[8];
		struct outcome whole, cut;

		for (size_t k = 0; k < len;) {
			/* mostly whole line ends, or nothing would ever be well-formed */
			if (rng_below(&r, 3) == 0 && k + 2 <= len) {
				in[k++] = '\r';
				in[k++] = '\n';
			} else {
				in[k++] = rng_below(&r, 20)
					      ? "ab..: "[rng_below(&r, 6)]
					      : alphabet[rng_below(&r, sizeof alphabet - 1)];
			}
		}
		for (size_t k = 0; k < 8; k++)
			cuts[k] = (size_t)rng_below(&r, len + 1);
		qsort(cuts, 8, sizeof *cuts, by_size);
		scan(str_mem(in, len), &whole);
		scan_cut(str_mem(in, len), cuts, 8, i & 1, &cut);
		same(&whole, &cut);
		ends += whole.res == DATA_END;
		bads += whole.res == DATA_BAD;
		outcome_free(&whole);
		outcome_free(&cut);
	}
	assert_true(ends > n / 50);
	assert_true(bads > n / 50);
}

static void a_line_over_a_megabyte_is_refused_and_shorter_ones_pass(void **state)
{
	struct buf b;
	struct outcome o;

	(void)state;
	buf_init(&b);
	assert_true(buf_reserve(&b, TEXT_LINE_MAX + 10));
	memset(b.p, 'a', TEXT_LINE_MAX - 2);
	b.n = TEXT_LINE_MAX - 2;
	buf_adds(&b, STR_LIT("\r\n.\r\n"));
	scan(buf_str(&b), &o);
	assert_int_equal(o.res, DATA_END);
	outcome_free(&o);
	memset(b.p, 'a', TEXT_LINE_MAX + 1);
	b.n = TEXT_LINE_MAX + 1;
	scan(buf_str(&b), &o);
	assert_int_equal(o.res, DATA_LINE_TOO_LONG);
	outcome_free(&o);
	scan_cut(buf_str(&b), (size_t[]){ 1000, TEXT_LINE_MAX / 2 }, 2, true, &o);
	assert_int_equal(o.res, DATA_LINE_TOO_LONG);
	outcome_free(&o);
	buf_free(&b);
}

static void the_end_of_the_header_is_found(void **state)
{
	struct outcome o;

	(void)state;
	scan(STR_LIT("A: b\r\n c\r\n\r\nbody\r\n\r\n.\r\n"), &o);
	assert_true(o.header_done);
	assert_int_equal(o.header_bytes, 10);
	outcome_free(&o);
	scan(STR_LIT("A: b\r\n.\r\n"), &o);
	assert_false(o.header_done);
	outcome_free(&o);
	scan(STR_LIT("\r\n.\r\n"), &o);
	assert_true(o.header_done);
	assert_int_equal(o.header_bytes, 0);
	outcome_free(&o);
}

/* ---- BDAT ---- */

static void chunks_are_not_unstuffed_and_end_in_crlf(void **state)
{
	struct data_scan d;
	struct buf b;
	struct str after;

	(void)state;
	buf_init(&b);
	data_scan_init(&d, true);
	buf_adds(&b, STR_LIT("A: b\r\n\r\n.\r\n..x\r"));
	assert_int_equal(data_scan(&d, &b, &after), DATA_MORE);
	assert_int_equal(b.n, d.clean + 1); /* the CR */
	buf_adds(&b, STR_LIT("\nend"));
	assert_int_equal(data_scan(&d, &b, &after), DATA_MORE);
	assert_int_equal(data_scan_last(&d, &b), DATA_END);
	assert_true(str_eqz(buf_str(&b), "A: b\r\n\r\n.\r\n..x\r\nend\r\n"));
	assert_int_equal(d.total, b.n);
	assert_true(d.dot_line);
	buf_clear(&b);
	data_scan_init(&d, true);
	buf_adds(&b, STR_LIT("x\r"));
	assert_int_equal(data_scan(&d, &b, &after), DATA_MORE);
	assert_int_equal(data_scan_last(&d, &b), DATA_BAD);
	buf_clear(&b);
	data_scan_init(&d, true);
	assert_int_equal(data_scan_last(&d, &b), DATA_END);
	assert_int_equal(b.n, 0);
	buf_free(&b);
}

/* ---- DATA out ---- */

static void emit(void *arg, struct str s)
{
	buf_adds(arg, s);
}

/* A body as bodies are: CRLF lines and a CRLF at the end, no NUL. */
static void random_body(struct rng *r, struct buf *out)
{
	size_t lines = (size_t)rng_below(r, 12);

	buf_clear(out);
	for (size_t i = 0; i < lines; i++) {
		size_t n = (size_t)rng_below(r, 9);

		for (size_t k = 0; k < n; k++)
			buf_addc(out, "..ab\xc3\x80 "[rng_below(r, 7)]);
		buf_addz(out, "\r\n");
	}
}

static void check_wire(struct str w)
{
	size_t terminators = 0;

	assert_null(memchr(w.p, '\0', w.n));
	for (size_t i = 0; i < w.n; i++) {
		bool bol = !i || w.p[i - 1] == '\n';
		bool terminator = bol && i + 3 <= w.n && memcmp(w.p + i, ".\r\n", 3) == 0;

		if (w.p[i] == '\r')
			assert_true(i + 1 < w.n && w.p[i + 1] == '\n');
		if (w.p[i] == '\n')
			assert_true(i && w.p[i - 1] == '\r');
		terminators += terminator;
		if (bol && w.p[i] == '.' && !terminator)
			assert_true(i + 1 < w.n && w.p[i + 1] == '.');
	}
	assert_int_equal(terminators, 1);
	assert_true(w.n >= 3 && memcmp(w.p + w.n - 3, ".\r\n", 3) == 0);
}

static void what_we_send_is_well_formed_and_reads_back_as_it_was(void **state)
{
	struct buf body, wire;
	struct rng r;
	int n = rounds(10000, 100000);

	(void)state;
	buf_init(&body);
	buf_init(&wire);
	rng_seed(&r, 5);
	for (int i = 0; i < n; i++) {
		struct outcome o;
		bool bol = true;
		size_t at = 0;

		random_body(&r, &body);
		buf_clear(&wire);
		while (at < body.n) {
			size_t len = 1 + (size_t)rng_below(&r, body.n - at);

			framing_stuff(str_mem(body.p + at, len), &bol, emit, &wire);
			at += len;
		}
		buf_adds(&wire, framing_end(bol));
		check_wire(buf_str(&wire));
		scan(buf_str(&wire), &o);
		assert_int_equal(o.res, DATA_END);
		assert_true(str_eq(buf_str(&o.message), buf_str(&body)));
		assert_int_equal(o.after.n, 0);
		outcome_free(&o);
	}
	buf_free(&body);
	buf_free(&wire);
}

static void a_body_without_a_last_line_end_is_still_ended(void **state)
{
	struct buf wire;
	bool bol = true;

	(void)state;
	buf_init(&wire);
	framing_stuff(STR_LIT("a\r\n.b"), &bol, emit, &wire);
	buf_adds(&wire, framing_end(bol));
	assert_true(str_eqz(buf_str(&wire), "a\r\n..b\r\n.\r\n"));
	buf_free(&wire);
}

/* ---- replies ---- */

static void replies_of_one_code_are_collected(void **state)
{
	struct reply_scan r;

	(void)state;
	reply_scan_init(&r);
	reply_scan_line(&r, STR_LIT("250-mx.example.com"));
	assert_false(r.done);
	reply_scan_line(&r, STR_LIT("250"));
	assert_true(r.done && !r.bad && r.code == 250 && r.lines == 2);
	assert_true(str_eqz(buf_str(&r.text), "250-mx.example.com\n250"));
	reply_scan_clear(&r);
	reply_scan_line(&r, STR_LIT("250-a"));
	reply_scan_line(&r, STR_LIT("550 b"));
	assert_true(r.done && r.bad);
	reply_scan_clear(&r);
	reply_scan_line(&r, STR_LIT("hello"));
	assert_true(r.done && r.bad);
	reply_scan_clear(&r);
	reply_scan_line(&r, STR_LIT("25"));
	assert_true(r.bad);
	reply_scan_clear(&r);
	reply_scan_line(&r, STR_LIT("250x"));
	assert_true(r.bad);
	reply_scan_clear(&r);
	reply_scan_line(&r, STR_LIT("999 x"));
	assert_true(r.bad);
	reply_scan_free(&r);
}

static void an_endless_reply_stays_bounded_and_keeps_first_and_last(void **state)
{
	struct reply_scan r;
	char line[64];

	(void)state;
	reply_scan_init(&r);
	for (int i = 0; i < 10000; i++) {
		int n = snprintf(line, sizeof line, "550-line %d of many", i);

		reply_scan_line(&r, str_mem(line, (size_t)n));
	}
	reply_scan_line(&r, STR_LIT("550 the end"));
	assert_true(r.done && !r.bad && r.text.n <= 8192);
	assert_true(str_istarts(buf_str(&r.text), "550-line 0 of many\n550-line 1 of"));
	assert_memory_equal(r.text.p + r.text.n - 12, "\n550 the end", 12);
	reply_scan_free(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_crlf_ends_a_command_line),
		cmocka_unit_test(only_crlf_dot_crlf_ends_data),
		cmocka_unit_test(harmless_relatives_of_the_terminator_are_text),
		cmocka_unit_test(framing_does_not_depend_on_how_bytes_are_cut),
		cmocka_unit_test(random_bytes_are_framed_the_same_in_random_pieces),
		cmocka_unit_test(a_line_over_a_megabyte_is_refused_and_shorter_ones_pass),
		cmocka_unit_test(the_end_of_the_header_is_found),
		cmocka_unit_test(chunks_are_not_unstuffed_and_end_in_crlf),
		cmocka_unit_test(what_we_send_is_well_formed_and_reads_back_as_it_was),
		cmocka_unit_test(a_body_without_a_last_line_end_is_still_ended),
		cmocka_unit_test(replies_of_one_code_are_collected),
		cmocka_unit_test(an_endless_reply_stays_bounded_and_keeps_first_and_last),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
