#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/base/clean.h"
#include "core/base/rng.h"
#include "tui/prompt.h"
#include "tui/segs.h"
#include "tui/table.h"
#include "tui/theme.h"
#include "tui/tz.h"

/* Widths that add up: every row of cells is exactly as wide as the canvas. */
static void check_rows(const struct canvas *c)
{
	for (int y = 0; y < c->rows; y++) {
		int w = 0;
		for (int x = 0; x < c->cols; x++) {
			const struct cell *p = &c->cells[y * c->cols + x];
			w += p->wide;
			if (p->wide == 2)
				assert_int_equal(p[1].wide, 0);
			if (p->wide)
				assert_true(clean_rune_width(p->rune) == p->wide);
		}
		assert_int_equal(w, c->cols);
	}
}

static void random_text(struct rng *rng, char *out, size_t n)
{
	static const char *const bits[] = {
		"a", "\xe4\xb8\xad",	 "e\xcc\x81", "\x1b", "\xff", "\xe2\x80\xae",
		" ", "\xf0\x9f\x98\x80", "\n",	      "z"
	};

	out[0] = '\0';
	for (size_t k = rng_below(rng, n / 5); k; k--)
		strcat(out, bits[rng_below(rng, 10)]);
}

static void any_text_fits_its_rectangle(void **state)
{
	struct canvas c;
	struct rng rng;
	char text[300];

	(void)state;
	canvas_init(&c);
	rng_seed(&rng, 1);
	for (int round = 0; round < 3000; round++) {
		assert_true(
		    canvas_resize(&c, 1 + (int)rng_below(&rng, 9), 1 + (int)rng_below(&rng, 40)));
		c.ascii = rng_below(&rng, 2);
		for (int k = 0; k < 5; k++) {
			int x = (int)rng_below(&rng, 50) - 5, w = (int)rng_below(&rng, 50) - 5;
			random_text(&rng, text, sizeof text);
			canvas_text(&c, (int)rng_below(&rng, 12) - 2, x, w, STYLE_TEXT,
				    str_of(text));
			canvas_right(&c, (int)rng_below(&rng, 9), x < 0 ? 0 : x, w, STYLE_TEXT,
				     str_of(text));
			canvas_frame(&c, (struct area){ k, x, 3, w }, STYLE_BOX);
		}
		check_rows(&c);
	}
	canvas_free(&c);
}

static void pieces_never_overlap_and_the_least_dear_go_first(void **state)
{
	struct canvas c;
	struct segs s;
	struct buf b;

	(void)state;
	canvas_init(&c);
	for (int w = 1; w < 80; w++) {
		assert_true(canvas_resize(&c, 1, w));
		segs_start(&s);
		segs_add(&s, STYLE_TEXT, 0, "must");
		segs_add(&s, STYLE_TEXT, 2, "second");
		segs_add(&s, STYLE_TEXT, 9, "first to go");
		segs_right(&s, STYLE_TEXT, 1, "last");
		segs_draw(&s, &c, 0, 0, w, 1);
		check_rows(&c);
		buf_init(&b);
		canvas_dump(&c, &b);
		if (w >= 4)
			assert_non_null(strstr(buf_z(&b), "must"));
		if (strstr(buf_z(&b), "first"))
			assert_non_null(strstr(buf_z(&b), "second"));
		if (strstr(buf_z(&b), "second"))
			assert_non_null(strstr(buf_z(&b), "last"));
		buf_free(&b);
	}
	canvas_free(&c);
}

static void columns_fit_and_go_by_priority(void **state)
{
	int widths[TABLE_COLUMNS];

	(void)state;
	for (int l = 0; l < LIST_COUNT; l++) {
		const struct list_def *d = list_def((enum list_id)l);
		int least = table_layout(d->fields, d->nfields, 0, 1, 12, widths);
		for (int w = least; w < 300; w++) {
			int sum = 2 - 1, kept = 0;
			table_layout(d->fields, d->nfields, 0, w, 12, widths);
			for (int i = 0; i < d->nfields && i < TABLE_COLUMNS; i++)
				if (widths[i]) {
					sum += widths[i] + 1;
					kept = d->fields[i].drop > kept ? d->fields[i].drop : kept;
				}
			assert_true(sum <= w || w < least);
			for (int i = 0; i < d->nfields && i < TABLE_COLUMNS;
			     i++) /* what is gone was less dear */
				if (!widths[i] && d->fields[i].heading)
					assert_true(d->fields[i].drop >= kept);
		}
	}
}

static void a_line_is_edited_as_one_expects(void **state)
{
	static const struct {
		const char *start;
		uint32_t keys[6];
		const char *end;
	} cases[] = {
		{ "",
		  { 'a', 0xE9, 'b' },
		  "a\xc3\xa9"
		  "b" },
		{ "a\xc3\xa9", { KEY_BACKSPACE }, "a" },
		{ "abc", { KEY_LEFT, KEY_LEFT, 'x' }, "axbc" },
		{ "one two", { KEY_CTRL('W') }, "one " },
		{ "one two", { KEY_HOME, KEY_DELETE }, "ne two" },
		{ "abc", { KEY_CTRL('U') }, "" },
		{ "abc", { KEY_CTRL('A'), KEY_CTRL('K') }, "" },
		{ "", { 0x202E, 0x200B, 'q' }, "q" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct edit e;
		edit_set(&e, str_of(cases[i].start));
		for (int k = 0; k < 6 && cases[i].keys[k]; k++)
			edit_key(&e, (struct key_event){ .code = cases[i].keys[k] });
		assert_string_equal(e.text, cases[i].end);
	}
}

static void editing_never_leaves_the_line(void **state)
{
	static const uint32_t keys[] = { 'a',	     0xE9,	    0x4E2D,  KEY_LEFT,
					 KEY_RIGHT,  KEY_HOME,	    KEY_END, KEY_BACKSPACE,
					 KEY_DELETE, KEY_CTRL('W'), ' ',     KEY_CTRL('K') };
	struct canvas c;
	struct rng rng;
	struct edit e;

	(void)state;
	canvas_init(&c);
	canvas_resize(&c, 1, 30);
	rng_seed(&rng, 2);
	edit_set(&e, STR_LIT(""));
	for (int i = 0; i < 50000; i++) {
		edit_key(&e, (struct key_event){
				 .code = keys[rng_below(&rng, i % 3000 < 1500 ? 7 : 12)] });
		assert_true(e.n < PROMPT_TEXT && e.at <= e.n && e.text[e.n] == '\0');
		assert_true(str_utf8_valid((struct str){ e.text, e.at }));
		edit_draw(&e, &c, 0, 3, 20, STYLE_TEXT, true);
		assert_in_range(c.cursor_x, 3, 23);
	}
	canvas_free(&c);
}

static void a_theme_that_is_wrong_says_where(void **state)
{
	struct theme t;
	struct errbuf e;

	(void)state;
	assert_true(theme_parse("x", "[256]\nok = 114 on default bold\n[mono]\nok=bold\n", &t, &e));
	assert_int_equal(t.looks[DEPTH_256][STYLE_OK].fg, 114);
	assert_int_equal(t.looks[DEPTH_256][STYLE_OK].attrs, LOOK_BOLD);
	assert_false(theme_parse("x", "[256]\nok = purplish\n", &t, &e));
	assert_non_null(strstr(e.text, "purplish"));
	assert_false(theme_parse("x", "[256]\nnosuch = 1\n", &t, &e));
	assert_false(theme_parse("x", "[88]\nok = 1\n", &t, &e));
}

static void shipped_themes_are_right_and_few_pairs(void **state)
{
	struct themes *all = themes_load("themes");
	int n = 0;

	(void)state;
	for (; themes_at(all, n); n++) {
		const struct theme *t = themes_at(all, n);
		for (int d = 0; d < DEPTH_COUNT; d++) {
			int pairs = 0;
			static struct look seen[STYLE_COUNT * 3];
			for (int s = 0; s < STYLE_COUNT; s++)
				for (int o = 0; o < 3; o++) {
					static const enum style overs[] = { STYLE_TEXT,
									    STYLE_CURSOR,
									    STYLE_TAGGED };
					struct look l =
					    theme_look(t, (enum depth)d, (enum style)s, overs[o]);
					int k = 0;
					while (k < pairs &&
					       (seen[k].fg != l.fg || seen[k].bg != l.bg))
						k++;
					if (k == pairs)
						seen[pairs++] = l;
					if (d == DEPTH_MONO)
						assert_true(l.fg == COLOR_DEFAULT_ &&
							    l.bg == COLOR_DEFAULT_);
				}
			assert_true(pairs < 250);
		}
	}
	assert_int_equal(n, 5); /* dark, light, high-contrast, colour-blind, mono */
	themes_free(all);
}

static void times_are_the_operators(void **state)
{
	us_t at = (us_t)1795424948 * US_PER_S; /* 2026-11-23 09:09:08 UTC */
	struct tz *paris = NULL, *tokyo = NULL, *none = NULL;
	struct tz_time t;

	(void)state;
	assert_true(tz_load(STR_LIT("Europe/Paris"), &paris));
	tz_split(paris, at, &t);
	assert_int_equal(t.hour, 10);
	assert_string_equal(t.zone, "CET");
	tz_split(paris, at - 150 * US_PER_DAY, &t);
	assert_string_equal(t.zone, "CEST");
	assert_true(tz_load(STR_LIT("Asia/Tokyo"), &tokyo));
	tz_split(tokyo, at, &t);
	assert_int_equal(t.hour, 18);
	assert_false(tz_load(STR_LIT("../../etc/passwd"), &none));
	assert_false(tz_load(STR_LIT("No/Where"), &none));
	tz_free(paris);
	tz_free(tokyo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_text_fits_its_rectangle),
		cmocka_unit_test(pieces_never_overlap_and_the_least_dear_go_first),
		cmocka_unit_test(columns_fit_and_go_by_priority),
		cmocka_unit_test(a_line_is_edited_as_one_expects),
		cmocka_unit_test(editing_never_leaves_the_line),
		cmocka_unit_test(a_theme_that_is_wrong_says_where),
		cmocka_unit_test(shipped_themes_are_right_and_few_pairs),
		cmocka_unit_test(times_are_the_operators),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
