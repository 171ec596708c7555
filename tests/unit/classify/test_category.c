/* Categories: what the codes alone say, what is hard, what harms a reputation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "core/classify/category.h"

static struct reply_verdict codes(const char *enhanced, enum reply_class class)
{
	struct reply_verdict v = { .class = class, .permanent = enhanced[0] == '5' };

	memcpy(v.enhanced, enhanced, strlen(enhanced) + 1);
	return v;
}

static void codes_alone_give_a_category(void **state)
{
	static const struct {
		const char *enhanced, *category;
		bool hard, harms;
	} cases[] = {
		{ "5.1.1", "bad-mailbox", true, true },
		{ "5.1.2", "bad-domain", true, true },
		{ "5.1.10", "bad-domain", true, true },
		{ "5.2.1", "inactive-mailbox", true, true },
		{ "5.2.2", "quota-issues", false, false },
		{ "5.7.28", "spam-related", false, true },
		{ "5.7.1", "policy-related", false, false },
		{ "5.1.8", "invalid-sender", false, false },
		{ "5.6.7", "content-related", false, false },
		{ "4.1.1", "bad-mailbox", false, false },
		{ "4.7.28", "spam-related", false, false },
		{ "4.4.1", "no-answer-from-host", false, false },
		{ "4.4.2", "bad-connection", false, false },
		{ "4.4.7", "message-expired", false, false },
		{ "5.0.0", "other", false, false },
		{ "", "other", false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct reply_verdict v = codes(cases[i].enhanced, CLASS_TRANSIENT);

		assert_string_equal(verdict_category(&v), cases[i].category);
		assert_int_equal(verdict_hard(&v), cases[i].hard);
		assert_int_equal(verdict_harms(&v), cases[i].harms);
	}
}

static void a_success_has_none(void **state)
{
	struct reply_verdict v = codes("2.1.5", CLASS_OK);

	(void)state;
	assert_string_equal(verdict_category(&v), "");
	assert_false(verdict_hard(&v) || verdict_harms(&v));
}

static void what_a_rule_said_comes_first_and_a_4xx_is_never_hard(void **state)
{
	struct reply_verdict v = codes("5.1.1", CLASS_PERMANENT);

	(void)state;
	strcpy(v.category, "spam-related");
	assert_false(verdict_hard(&v));
	assert_true(verdict_harms(&v));
	v.hard = true;
	assert_true(verdict_hard(&v));
	v.permanent = false;
	assert_false(verdict_hard(&v) || verdict_harms(&v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_alone_give_a_category),
		cmocka_unit_test(a_success_has_none),
		cmocka_unit_test(what_a_rule_said_comes_first_and_a_4xx_is_never_hard),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
