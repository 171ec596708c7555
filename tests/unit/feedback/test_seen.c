/* A report is believed once; another of anything is another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/feedback/seen.h"

static void a_report_counts_once(void **state)
{
	struct seen *s = seen_new();
	struct event e = { .type = EVENT_COMPLAINT,
			   .message = 7,
			   .rcpt = 1,
			   .recipient = STR_LIT("bob@there.example") };

	(void)state;
	assert_false(seen_before(s, &e));
	assert_true(seen_before(s, &e));
	e.recipient = STR_LIT("Bob@There.example");
	assert_true(seen_before(s, &e));
	e.type = EVENT_REMOTE_BOUNCED;
	assert_false(seen_before(s, &e));
	e.rcpt = 2;
	assert_false(seen_before(s, &e));
	e.message = 8;
	assert_false(seen_before(s, &e));
	e.recipient = STR_LIT("eve@there.example");
	assert_false(seen_before(s, &e));
	assert_true(seen_before(s, &e));
	e.message = 0; /* by its Message-ID alone: whose it was is not known */
	assert_false(seen_before(s, &e));
	assert_false(seen_before(s, &e));
	seen_free(s);
}

static void many_others_take_a_place_each(void **state)
{
	struct seen *s = seen_new();
	struct event e = { .type = EVENT_COMPLAINT, .recipient = STR_LIT("a@b.example") };
	int known = 0;

	(void)state;
	for (e.message = 1; e.message <= 1000; e.message++)
		assert_false(seen_before(s, &e));
	for (e.message = 1; e.message <= 1000; e.message++)
		known += seen_before(s, &e);
	assert_true(known > 950); /* a thousand in 65,536 places: some 8 meet */
	for (; e.message <= 1000000; e.message++)
		seen_before(s, &e);
	seen_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_counts_once),
		cmocka_unit_test(many_others_take_a_place_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
