/* Mailboxes keep every message, in order, and lose no wake-up, at any capacity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

#include "core/base/mailbox.h"
#include "core/base/rng.h"

enum { DEADLINE_S = 20, MESSAGES = 60000, IN_FLIGHT = 9 };

struct message {
	uint64_t number;
	uint64_t check; /* ~number: a torn message shows */
};

/* A thread's loop, as far as a mailbox sees it: it can sleep and be woken. */
struct side {
	struct waker waker;
	sem_t woken;
	struct mailbox *in, *out;
	uint64_t failed;
};

static void wake(void *arg)
{
	sem_post(&((struct side *)arg)->woken);
}

static void side_init(struct side *s)
{
	*s = (struct side){ .waker = { .wake = wake, .arg = s } };
	assert_int_equal(sem_init(&s->woken, 0, 0), 0);
}

/* Sleeps until poked. False if the wake-up did not come: it was lost. */
static bool block(struct side *s)
{
	struct timespec until;
	int rc;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += DEADLINE_S;
	do
		rc = sem_timedwait(&s->woken, &until);
	while (rc != 0 && errno == EINTR);
	return rc == 0;
}

/* The end of a loop pass with nothing to do, as mailbox.h asks for it. */
static bool sleep_until_mail(struct side *s)
{
	bool ok = true;

	waker_sleep(&s->waker);
	if (s->out)
		mailbox_flush(s->out);
	if (mailbox_empty(s->in))
		ok = block(s);
	waker_awake(&s->waker);
	return ok;
}

static bool sleep_until_room(struct side *s)
{
	bool ok = true;

	waker_sleep(&s->waker);
	mailbox_flush(s->out);
	if (mailbox_has_spill(s->out))
		ok = block(s);
	waker_awake(&s->waker);
	return ok;
}

static bool sleep_until_wanted(struct side *s)
{
	bool ok = true;

	waker_sleep(&s->waker);
	if (!mailbox_has_wanted(s->out))
		ok = block(s);
	waker_awake(&s->waker);
	return ok;
}

static bool put(struct side *s, uint64_t number)
{
	struct message m = { number, ~number };

	return mailbox_push(s->out, &m);
}

static bool take(struct side *s, uint64_t expected, bool *ok)
{
	struct message m;

	if (!mailbox_pop(s->in, &m))
		return false;
	*ok = m.number == expected && m.check == ~expected;
	return true;
}

/* Answers every number with the same number, some at a time. */
static void *answer(void *arg)
{
	struct side *s = arg;
	struct rng r;
	uint64_t next = 0;

	rng_seed(&r, 5);
	while (next < MESSAGES && !s->failed) {
		uint64_t most = 1 + rng_below(&r, 6);
		bool ok = true;

		while (most-- > 0 && take(s, next, &ok)) {
			ok = ok && put(s, next);
			s->failed += !ok;
			next++;
		}
		mailbox_release(s->in);
		mailbox_flush(s->out);
		if (next < MESSAGES && mailbox_empty(s->in) && !sleep_until_mail(s))
			s->failed++;
	}
	while (mailbox_has_spill(s->out) && !s->failed) {
		if (!sleep_until_room(s))
			s->failed++;
	}
	return NULL;
}

/* Asks with credits for IN_FLIGHT questions, more than a small ring holds. */
static bool ask(struct side *s)
{
	uint64_t asked = 0, answered = 0;

	while (answered < MESSAGES) {
		bool ok = true;

		while (asked < MESSAGES && asked - answered < IN_FLIGHT)
			if (!put(s, asked++))
				return false;
		mailbox_flush(s->out);
		while (take(s, answered, &ok)) {
			if (!ok)
				return false;
			answered++;
		}
		mailbox_release(s->in);
		if ((asked - answered == IN_FLIGHT || asked == MESSAGES) && answered < MESSAGES &&
		    !sleep_until_mail(s))
			return false;
	}
	return true;
}

static void converse(size_t capacity)
{
	struct side a, b;
	struct mailbox_stats stats;
	pthread_t thread;

	side_init(&a);
	side_init(&b);
	a.out = b.in = mailbox_new("ask", sizeof(struct message), capacity, &a.waker, &b.waker);
	b.out = a.in = mailbox_new("answer", sizeof(struct message), capacity, &b.waker, &a.waker);
	assert_true(a.out && b.out);
	assert_int_equal(pthread_create(&thread, NULL, answer, &b), 0);
	assert_true(ask(&a));
	pthread_join(thread, NULL);
	assert_int_equal(b.failed, 0);
	mailbox_stats(a.out, &stats);
	assert_int_equal(stats.pushed, MESSAGES);
	assert_int_equal(stats.popped, MESSAGES);
	assert_int_equal(stats.spill_now, 0);
	if (capacity < IN_FLIGHT)
		assert_true(stats.spilled > 0);
	mailbox_free(a.out);
	mailbox_free(b.out);
	sem_destroy(&a.woken);
	sem_destroy(&b.woken);
}

static void two_threads_lose_nothing_at_capacity_2(void **state)
{
	(void)state;
	converse(2);
}

static void two_threads_lose_nothing_at_capacity_4_and_64(void **state)
{
	(void)state;
	converse(4);
	converse(64);
}

/* One way, without credits: the spill is what moves the mail on, so the producer's own wake-up
 * must not be lost either. */
static void *drain(void *arg)
{
	struct side *s = arg;
	uint64_t next = 0;

	while (next < MESSAGES && !s->failed) {
		bool ok = true;

		while (take(s, next, &ok)) {
			s->failed += !ok;
			next++;
		}
		if (next < MESSAGES && !sleep_until_mail(s))
			s->failed++;
	}
	return NULL;
}

static void a_producer_that_waits_for_room_is_woken(void **state)
{
	struct side a, b;
	uint64_t pushed = 0;
	pthread_t thread;

	(void)state;
	side_init(&a);
	side_init(&b);
	a.out = b.in = mailbox_new("one-way", sizeof(struct message), 2, &a.waker, &b.waker);
	assert_non_null(a.out);
	assert_int_equal(pthread_create(&thread, NULL, drain, &b), 0);
	while (pushed < MESSAGES || mailbox_has_spill(a.out)) {
		while (pushed < MESSAGES && !mailbox_has_spill(a.out))
			for (int i = 0; i < 5 && pushed < MESSAGES; i++)
				assert_true(put(&a, pushed++));
		assert_true(sleep_until_room(&a));
	}
	pthread_join(thread, NULL);
	assert_int_equal(b.failed, 0);
	mailbox_free(a.out);
	sem_destroy(&a.woken);
	sem_destroy(&b.woken);
}

/* One that never spills: it fills the room there is and sleeps until there is some. */
static void a_producer_that_wants_room_is_woken(void **state)
{
	struct side a, b;
	uint64_t pushed = 0;
	pthread_t thread;

	(void)state;
	side_init(&a);
	side_init(&b);
	a.out = b.in = mailbox_new("one-way", sizeof(struct message), 4, &a.waker, &b.waker);
	assert_non_null(a.out);
	assert_int_equal(pthread_create(&thread, NULL, drain, &b), 0);
	while (pushed < MESSAGES) {
		while (pushed < MESSAGES && mailbox_room(a.out) >= 2)
			assert_true(put(&a, pushed++));
		mailbox_flush(a.out);
		assert_false(mailbox_has_spill(a.out));
		mailbox_want_room(a.out, 2);
		assert_true(sleep_until_wanted(&a));
	}
	mailbox_flush(a.out);
	pthread_join(thread, NULL);
	assert_int_equal(b.failed, 0);
	mailbox_free(a.out);
	sem_destroy(&a.woken);
	sem_destroy(&b.woken);
}

static void count_wake(void *arg)
{
	++*(int *)arg;
}

static void the_consumer_is_woken_once_a_flush_and_only_asleep(void **state)
{
	int wakes = 0;
	struct waker consumer = { .wake = count_wake, .arg = &wakes };
	struct mailbox *m = mailbox_new("m", sizeof(int), 8, NULL, &consumer);
	int v = 7, got = 0;

	(void)state;
	assert_non_null(m);
	assert_true(mailbox_push(m, &v));
	assert_true(mailbox_empty(m)); /* nothing is seen before the flush */
	mailbox_flush(m);
	assert_int_equal(wakes, 0);
	waker_sleep(&consumer);
	assert_false(mailbox_empty(m)); /* the look after setting asleep finds it */
	mailbox_flush(m);
	assert_int_equal(wakes, 0); /* nothing new */
	assert_true(mailbox_push(m, &v) && mailbox_push(m, &v));
	mailbox_flush(m);
	assert_int_equal(wakes, 1);
	assert_true(mailbox_push(m, &v));
	mailbox_flush(m);
	assert_int_equal(wakes, 1); /* awake already */
	for (int i = 0; i < 4; i++)
		assert_true(mailbox_pop(m, &got) && got == 7);
	assert_false(mailbox_pop(m, &got));
	mailbox_free(m);
}

static void what_does_not_fit_waits_in_the_spill_in_order(void **state)
{
	struct mailbox *m = mailbox_new("m", sizeof(int), 1, NULL, NULL);
	int expected = 0, got;
	struct mailbox_stats stats;

	(void)state;
	assert_non_null(m);
	assert_int_equal(mailbox_room(m), 2);
	for (int i = 0; i < 100; i++)
		assert_true(mailbox_push(m, &i));
	assert_int_equal(mailbox_room(m), 0);
	mailbox_stats(m, &stats);
	assert_int_equal(stats.spill_now, 98);
	for (int more = 100; expected < 200; mailbox_flush(m)) {
		while (mailbox_pop(m, &got))
			assert_int_equal(got, expected++);
		if (more < 200) {
			assert_true(mailbox_push(m, &more));
			more++;
		}
	}
	assert_false(mailbox_has_spill(m));
	assert_int_equal(mailbox_room(m), 2);
	mailbox_free(m);
}

static void a_forced_capacity_holds_for_all_mailboxes(void **state)
{
	struct mailbox *m;

	(void)state;
	mailbox_force_capacity(2);
	m = mailbox_new("m", 1, 4096, NULL, NULL);
	mailbox_force_capacity(0);
	assert_non_null(m);
	assert_int_equal(mailbox_room(m), 2);
	assert_string_equal(mailbox_name(m), "m");
	mailbox_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_threads_lose_nothing_at_capacity_2),
		cmocka_unit_test(two_threads_lose_nothing_at_capacity_4_and_64),
		cmocka_unit_test(a_producer_that_waits_for_room_is_woken),
		cmocka_unit_test(a_producer_that_wants_room_is_woken),
		cmocka_unit_test(the_consumer_is_woken_once_a_flush_and_only_asleep),
		cmocka_unit_test(what_does_not_fit_waits_in_the_spill_in_order),
		cmocka_unit_test(a_forced_capacity_holds_for_all_mailboxes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
