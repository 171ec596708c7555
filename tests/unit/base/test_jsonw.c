/* What the writer writes is JSON in any locale and for any bytes: a second library reads it back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <jansson.h>
#include <locale.h>
#include <math.h>

#include "core/base/jsonw.h"
#include "core/base/rng.h"

static void a_whole_document_has_commas_where_they_belong(void **state)
{
	struct buf b;
	struct jsonw w;

	(void)state;
	buf_init(&b);
	jsonw_init(&w, &b);
	jsonw_object(&w, NULL);
	jsonw_z(&w, "a", "x\"\\\n\x01");
	jsonw_array(&w, "list");
	jsonw_int(&w, NULL, -5);
	jsonw_bool(&w, NULL, true);
	jsonw_object(&w, NULL);
	jsonw_end_object(&w);
	jsonw_end_array(&w);
	jsonw_double(&w, "d", 899.04, 1);
	jsonw_double(&w, "gone", NAN, 1);
	jsonw_double(&w, "n", -0.25, 2);
	jsonw_double(&w, "huge", 1e20, 2);
	jsonw_time(&w, "t", 0);
	jsonw_time(&w, "gone", US_NEVER);
	jsonw_seconds(&w, "s", 1500 * US_PER_MS);
	jsonw_seconds(&w, "s2", 3 * US_PER_MIN);
	jsonw_seconds(&w, "gone", US_NEVER);
	jsonw_raw(&w, "raw", STR_LIT("{}"));
	jsonw_end_object(&w);
	assert_false(buf_failed(&b));
	assert_string_equal(buf_z(&b),
			    "{\"a\":\"x\\\"\\\\\\n\\u0001\",\"list\":[-5,true,{}],\"d\":899.0,"
			    "\"n\":-0.25,\"huge\":100000000000000000000,"
			    "\"t\":\"1970-01-01T00:00:00.000Z\",\"s\":1.5,\"s2\":180,\"raw\":{}}");
	buf_free(&b);
}

static void any_bytes_give_json_that_a_reader_accepts(void **state)
{
	struct buf b;
	struct rng r;

	(void)state;
	rng_seed(&r, 8);
	buf_init(&b);
	for (int i = 0; i < 20000; i++) {
		char text[24];
		size_t n = rng_below(&r, sizeof text);
		struct jsonw w;
		json_t *j;

		for (size_t k = 0; k < n; k++)
			text[k] = (char)(rng_below(&r, 2) ? rng_below(&r, 256) : 0xC0 + k);
		buf_clear(&b);
		jsonw_init(&w, &b);
		jsonw_array(&w, NULL);
		jsonw_str(&w, NULL, str_mem(text, n));
		jsonw_end_array(&w);
		j = json_loadb(b.p, b.n, JSON_ALLOW_NUL, NULL);
		assert_non_null(j);
		if (str_utf8_valid(str_mem(text, n))) {
			const json_t *s = json_array_get(j, 0);

			assert_true(str_eq(str_mem(text, n),
					   str_mem(json_string_value(s), json_string_length(s))));
		}
		json_decref(j);
	}
	buf_free(&b);
}

static void ill_formed_text_becomes_the_replacement_character(void **state)
{
	struct buf b;
	struct jsonw w;

	(void)state;
	buf_init(&b);
	jsonw_init(&w, &b);
	jsonw_str(&w, NULL, STR_LIT("a\xFFü"));
	assert_string_equal(buf_z(&b), "\"a\uFFFDü\"");
	buf_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_document_has_commas_where_they_belong),
		cmocka_unit_test(any_bytes_give_json_that_a_reader_accepts),
		cmocka_unit_test(ill_formed_text_becomes_the_replacement_character),
	};

	setlocale(LC_ALL, "de_DE.UTF-8"); /* decimal commas, where it is installed */
	return cmocka_run_group_tests(tests, NULL, NULL);
}
