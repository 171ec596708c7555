/* What the tests of core/net share: run a loop until something is true, with a deadline instead of
 * sleeps. */
#ifndef STOKER_TEST_NET_HELP_H
#define STOKER_TEST_NET_HELP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/net/io.h"
#include "core/net/loop.h"

static const us_t HELP_DEADLINE = 20 * US_PER_S;

struct until {
	struct loop *l;
	bool (*done)(void *arg);
	void *arg;
	us_t deadline;
	bool ok;
};

static inline us_t until_tick(void *arg, us_t now)
{
	struct until *u = arg;

	u->ok = u->done(u->arg);
	if (u->ok || now >= u->deadline)
		loop_stop(u->l);
	return u->deadline;
}

/* Runs the loop until done(arg), which is asked in each pass. */
static inline void run_until(struct loop *l, bool (*done)(void *arg), void *arg)
{
	struct until u = { l, done, arg, clock_now_us() + HELP_DEADLINE, false };

	loop_set_tick(l, until_tick, &u);
	loop_run(l);
	loop_set_tick(l, NULL, NULL);
	if (!u.ok)
		fail_msg("not within %d s", (int)(HELP_DEADLINE / US_PER_S));
}

static inline bool is_set(void *flag)
{
	return *(bool *)flag;
}

static inline struct endpoint ep(const char *text)
{
	struct endpoint e;

	assert_true(endpoint_parse(str_of(text), 0, &e));
	return e;
}

static inline struct endpoint local_of(int fd)
{
	struct endpoint e = { .len = sizeof e.any };

	assert_int_equal(getsockname(fd, &e.sa, &e.len), 0);
	return e;
}

static inline void nonblocking(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), 0);
}

#endif
