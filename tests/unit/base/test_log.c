/* The error log is one clean line an event, and a storm of one message does not fill it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/wait.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/str.h"

static int ends[2]; /* of a pipe: the log writes, the test reads */
static char text[8192];

static int setup(void **state)
{
	(void)state;
	if (pipe(ends) != 0)
		return -1;
	log_set_fd(ends[1]);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	close(ends[0]);
	close(ends[1]);
	return 0;
}

/* All that was written so far. */
static const char *read_log(void)
{
	ssize_t n;

	assert_int_equal(write(ends[1], "", 1), 1); /* so that the read never waits */
	n = read(ends[0], text, sizeof text - 1);
	assert_true(n > 0);
	text[n] = '\0';
	return text;
}

static size_t lines(const char *z)
{
	size_t n = 0;

	for (; *z; z++)
		n += *z == '\n';
	return n;
}

static void an_event_is_one_clean_line(void **state)
{
	const char *got;

	(void)state;
	log_warn("reply %s", "\x1b[31m\r\nfake line");
	got = read_log();
	assert_int_equal(lines(got), 1);
	assert_string_equal(got + 24, " warn: reply \\x1b[31m\\x0d\\x0afake line\n");
	assert_int_equal(got[23], 'Z');
}

static void levels_below_the_chosen_are_left_out(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	log_debug("no");
	log_info("no");
	log_warn("no");
	log_error("yes");
	log_set_level(LOG_LEVEL_DEBUG);
	log_debug("debug too");
	log_set_level(LOG_LEVEL_INFO);
	assert_int_equal(lines(read_log()), 2);
	assert_null(strstr(text, "no\n"));
}

static void a_repeated_message_is_counted_not_written(void **state)
{
	(void)state;
	/* a storm may cross the border of a second: then it is two or three lines, not 1000 */
	for (int i = 0; i < 1000; i++)
		log_error("disk full");
	log_error("another thing");
	read_log();
	assert_in_range(lines(text), 2, 10);
	assert_non_null(strstr(text, "disk full\n"));
	assert_non_null(strstr(text, "another thing\n"));
}

static void counts_are_told_when_a_message_is_pushed_out(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		log_error("storm");
	for (int i = 0; i < 60; i++) /* more than are remembered */
		log_error("different %d", i);
	assert_non_null(strstr(read_log(), "error: storm ("));
	assert_non_null(strstr(text, " more)\n"));
}

static void an_overlong_line_says_that_it_was_cut(void **state)
{
	static char longer[3000];

	(void)state;
	memset(longer, 'x', sizeof longer - 1);
	log_error("%s", longer);
	assert_non_null(strstr(read_log(), "xxx...\n"));
}

static void fatal_writes_one_line_and_exits_with_1(void **state)
{
	int status = 0;
	pid_t child = fork();

	(void)state;
	if (child == 0)
		fatal("spool is gone");
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_non_null(strstr(read_log(), "error: spool is gone\n"));
}

static void a_dead_object_is_caught_at_the_border(void **state)
{
	struct thing {
		unsigned magic;
	} wrong = { 1 }, *thing = &wrong;
	const unsigned thing_magic = 2;
	int status = 0;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		OBJ_CHECK(thing, thing_magic);
		_exit(0);
	}
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	assert_non_null(strstr(read_log(), "thing is not a live thing_magic\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_event_is_one_clean_line),
		cmocka_unit_test(levels_below_the_chosen_are_left_out),
		cmocka_unit_test(a_repeated_message_is_counted_not_written),
		cmocka_unit_test(counts_are_told_when_a_message_is_pushed_out),
		cmocka_unit_test(an_overlong_line_says_that_it_was_cut),
		cmocka_unit_test(fatal_writes_one_line_and_exits_with_1),
		cmocka_unit_test(a_dead_object_is_caught_at_the_border),
	};

	clock_init();
	return cmocka_run_group_tests(tests, setup, teardown);
}
