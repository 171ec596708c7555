/* Without memory to pass a message to the spool its session is refused, and only that one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/smtp/submits.h"

static bool failing; /* there is no memory */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { REPLACED = 0 }; /* their allocators are not to be replaced */
#else
enum { REPLACED = 1 };

void *__libc_malloc(size_t n);

void *malloc(size_t n)
{
	return failing ? NULL : __libc_malloc(n);
}
#endif

enum { CREDITS = 6, RING = 2 };

static void who_finds_no_memory_is_refused(void **state)
{
	struct mailbox *box =
	    mailbox_new("commits", sizeof(struct commit_request), RING, NULL, NULL);
	struct message *v[CREDITS];
	struct submits s;
	struct commit_request r;
	uint64_t session;
	size_t passed = 0;

	(void)state;
	assert_true(submits_init(&s, box, CREDITS));
	for (size_t i = 0; i < CREDITS; i++)
		v[i] = message_new();
	failing = true;
	for (uint64_t i = 0; i < CREDITS; i++)
		submits_pass(&s, i + 1, v[i], (us_t)(100 + i));
	failing = false;
	passed = REPLACED ? RING : CREDITS;
	assert_int_equal(s.waiting, passed);
	assert_int_equal(s.oldest, 100);
	for (uint64_t i = CREDITS; i > passed; i--) {
		assert_true(submits_refused(&s, &session));
		assert_int_equal(session, i);
	}
	assert_false(submits_refused(&s, &session));
	for (uint64_t i = 1; i <= passed; i++) {
		mailbox_flush(box);
		assert_true(mailbox_pop(box, &r));
		assert_int_equal(r.session, i);
		message_free(r.message);
		submits_answered(&s, 200);
	}
	assert_int_equal(s.oldest, 0);
	submits_pass(&s, 9, message_new(), 300);
	mailbox_flush(box);
	assert_true(mailbox_pop(box, &r));
	assert_int_equal(r.session, 9);
	assert_int_equal(s.oldest, 300);
	message_free(r.message);
	submits_free(&s);
	mailbox_free(box);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_finds_no_memory_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
