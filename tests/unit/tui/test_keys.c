#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/base/rng.h"
#include "tui/keys.h"

struct got {
	struct key_event v[4096];
	int n;
};
static void take(void *arg, struct key_event e)
{
	struct got *g = arg;

	if (g->n < 4096)
		g->v[g->n++] = e;
}

static void feed_all(struct got *g, const char *bytes)
{
	struct keys k;

	g->n = 0;
	keys_init(&k);
	keys_feed(&k, str_of(bytes), take, g);
	keys_timeout(&k, take, g);
}

static void the_usual_terminals_arrows_are_arrows(void **state)
{
	static const struct {
		const char *bytes;
		uint32_t code;
	} cases[] = {
		{ "\x1b[A", KEY_UP },	   { "\x1bOA", KEY_UP },       { "\x1b[B", KEY_DOWN },
		{ "\x1bOB", KEY_DOWN },	   { "\x1b[1;5C", KEY_RIGHT }, { "\x1b[5~", KEY_PGUP },
		{ "\x1b[6~", KEY_PGDN },   { "\x1b[H", KEY_HOME },     { "\x1bOH", KEY_HOME },
		{ "\x1b[1~", KEY_HOME },   { "\x1b[7~", KEY_HOME },    { "\x1b[F", KEY_END },
		{ "\x1b[4~", KEY_END },	   { "\x1b[8~", KEY_END },     { "\x1b[3~", KEY_DELETE },
		{ "\x1b[Z", KEY_BACKTAB }, { "\r", KEY_ENTER },	       { "\n", KEY_ENTER },
		{ "\x7f", KEY_BACKSPACE }, { "\b", KEY_BACKSPACE },    { "\x1b[5;2~", KEY_PGUP },
		{ "\xc3\xa9", 0xE9 },	   { "\x03", KEY_CTRL('C') },  { "\x1b[99;99q", KEY_OTHER },
	};
	struct got g;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		feed_all(&g, cases[i].bytes);
		assert_int_equal(g.n, 1);
		assert_int_equal(g.v[0].code, cases[i].code);
	}
}

static void a_sequence_in_pieces_is_one_key(void **state)
{
	static const char bytes[] = "\x1b[5~\xe2\x82\xac\x1bOB";
	struct keys k;
	struct got g = { .n = 0 };

	(void)state;
	keys_init(&k);
	for (size_t i = 0; i < sizeof bytes - 1; i++)
		keys_feed(&k, (struct str){ bytes + i, 1 }, take, &g);
	assert_false(keys_waiting(&k));
	assert_int_equal(g.n, 3);
	assert_int_equal(g.v[0].code, KEY_PGUP);
	assert_int_equal(g.v[1].code, 0x20AC);
	assert_int_equal(g.v[2].code, KEY_DOWN);
}

static void a_lone_escape_waits_for_its_time(void **state)
{
	struct keys k;
	struct got g = { .n = 0 };

	(void)state;
	keys_init(&k);
	keys_feed(&k, STR_LIT("\x1b"), take, &g);
	assert_true(keys_waiting(&k));
	assert_int_equal(g.n, 0);
	keys_timeout(&k, take, &g);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.v[0].code, KEY_ESC);
	assert_false(keys_waiting(&k));
}

static void pasted_text_is_marked(void **state)
{
	struct got g;

	(void)state;
	feed_all(&g, "a\x1b[200~p:q\r\x1b[A\x1b[201~b");
	assert_int_equal(g.v[0].code, 'a');
	assert_false(g.v[0].pasted);
	for (int i = 1; i < g.n - 1; i++) {
		assert_true(g.v[i].pasted);
		assert_true(g.v[i].code < KEY_NONE);
	}
	assert_int_equal(g.v[g.n - 1].code, 'b');
	assert_false(g.v[g.n - 1].pasted);
}

static void any_bytes_do_no_harm(void **state)
{
	static const char bits[] = "\x1b[]O;0123456789~ABZ\xe2\x82\xac\xff\x80\xc0 qp\r\n\x03";
	struct rng rng;
	struct keys k;
	struct got g;

	(void)state;
	rng_seed(&rng, 7);
	for (int round = 0; round < 20000; round++) {
		char bytes[64];
		size_t n = rng_below(&rng, sizeof bytes), cut = n ? rng_below(&rng, n) : 0;
		for (size_t i = 0; i < n; i++)
			bytes[i] = rng_below(&rng, 3) ? bits[rng_below(&rng, sizeof bits - 1)]
						      : (char)rng_below(&rng, 256);
		g.n = 0;
		keys_init(&k);
		keys_feed(&k, (struct str){ bytes, cut }, take, &g);
		keys_feed(&k, (struct str){ bytes + cut, n - cut }, take, &g);
		keys_timeout(&k, take, &g);
		assert_false(keys_waiting(&k));
		assert_true(g.n <= (int)n + 1);
		for (int i = 0; i < g.n; i++)
			assert_true(g.v[i].code <= KEY_OTHER);
	}
}

/* However the bytes are cut, the keys are the same (as long as no time passes). */
static void cuts_do_not_matter(void **state)
{
	static const char bits[] = "\x1b[OA5~\xe2\x82\xac qp1;";
	struct rng rng;
	struct got a, b;

	(void)state;
	rng_seed(&rng, 11);
	for (int round = 0; round < 5000; round++) {
		char bytes[40];
		size_t n = rng_below(&rng, sizeof bytes);
		struct keys k;
		for (size_t i = 0; i < n; i++)
			bytes[i] = bits[rng_below(&rng, sizeof bits - 1)];
		a.n = b.n = 0;
		keys_init(&k);
		keys_feed(&k, (struct str){ bytes, n }, take, &a);
		keys_timeout(&k, take, &a);
		keys_init(&k);
		for (size_t i = 0; i < n; i++)
			keys_feed(&k, (struct str){ bytes + i, 1 }, take, &b);
		keys_timeout(&k, take, &b);
		assert_int_equal(a.n, b.n);
		for (int i = 0; i < a.n; i++)
			assert_int_equal(a.v[i].code, b.v[i].code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_usual_terminals_arrows_are_arrows),
		cmocka_unit_test(a_sequence_in_pieces_is_one_key),
		cmocka_unit_test(a_lone_escape_waits_for_its_time),
		cmocka_unit_test(pasted_text_is_marked),
		cmocka_unit_test(any_bytes_do_no_harm),
		cmocka_unit_test(cuts_do_not_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
