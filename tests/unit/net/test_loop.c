/* The loop's promises: order of a pass, timers, sleep and wake-up between threads, nothing lost at
 * capacity 2. */
#include "tests/unit/net/help.h"

#include <pthread.h>

static struct loop *l;

static int setup(void **state)
{
	(void)state;
	l = loop_new("test");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(l);
	mailbox_force_capacity(0);
	return 0;
}

/* ---- timers ---- */

enum { TIMERS = 500 };
static struct timer timers[TIMERS];
static us_t wanted[TIMERS];
static int fired, early, disorder;
static us_t last_due;

static void on_timer(struct timer *t, void *arg)
{
	size_t i = (size_t)(t - timers);

	(void)arg;
	fired++;
	early += loop_now(l) < wanted[i] || clock_now_us() < wanted[i];
	disorder += wanted[i] < last_due;
	last_due = wanted[i];
	wanted[i] = 0;
}

static bool all_fired(void *arg)
{
	return fired == *(int *)arg;
}

static void timers_fire_once_in_order_and_never_early(void **state)
{
	us_t now = clock_now_us();
	int expected = 0;

	(void)state;
	fired = early = disorder = 0;
	last_due = 0;
	for (size_t i = 0; i < TIMERS; i++) {
		timer_init(&timers[i], on_timer, NULL);
		wanted[i] = now + (us_t)(i * 7919 % 100) * US_PER_MS + 1;
		/* armed at one time, moved to another: earlier, later, twice */
		assert_true(timer_set(l, &timers[i], now + 50 * US_PER_MS));
		if (i % 3 == 0)
			assert_true(timer_set(l, &timers[i], now + 200 * US_PER_MS));
		assert_true(timer_set(l, &timers[i], wanted[i]));
		if (i % 5 == 0) {
			timer_stop(l, &timers[i]);
			assert_true(timers[i].due == 0);
		} else {
			expected++;
		}
	}
	run_until(l, all_fired, &expected);
	assert_int_equal(early, 0);
	assert_int_equal(disorder, 0);
}

enum { SLOW_TIMERS = 60, SLOW_US = 200, SLOW_A_PASS = 2000 / SLOW_US + 1 };
static int slow_fired, slow_in_pass, slow_most;

static void on_slow(struct timer *t, void *arg)
{
	us_t until = clock_now_us() + SLOW_US;

	(void)t;
	(void)arg;
	while (clock_now_us() < until)
		;
	slow_fired++;
	slow_in_pass++;
}

static bool after_slow(void *arg)
{
	(void)arg;
	if (slow_in_pass > slow_most)
		slow_most = slow_in_pass;
	slow_in_pass = 0;
	if (slow_fired == SLOW_TIMERS)
		loop_stop(l);
	return false;
}

static void timers_that_are_due_at_once_share_passes(void **state)
{
	struct timer slow[SLOW_TIMERS];

	(void)state;
	slow_fired = slow_in_pass = slow_most = 0;
	for (int i = 0; i < SLOW_TIMERS; i++) {
		timer_init(&slow[i], on_slow, NULL);
		assert_true(timer_set(l, &slow[i], 1));
	}
	loop_add_before_sleep(l, after_slow, NULL);
	loop_run(l);
	assert_int_equal(slow_fired, SLOW_TIMERS);
	assert_in_range(slow_most, 1, SLOW_A_PASS);
}

static void rearm(struct timer *t, void *arg)
{
	int *left = arg;

	if (--*left > 0)
		timer_set(l, t, loop_now(l) + US_PER_MS);
}

static bool is_zero(void *arg)
{
	return *(int *)arg == 0;
}

static void a_timer_may_arm_itself_again(void **state)
{
	struct timer t;
	int left = 5;

	(void)state;
	timer_init(&t, rearm, &left);
	timer_set(l, &t, 1); /* long past */
	run_until(l, is_zero, &left);
	assert_true(t.due == 0);
}

static void a_timer_at_never_is_not_armed(void **state)
{
	struct timer t;
	int left = 5;

	(void)state;
	timer_init(&t, rearm, &left);
	assert_true(timer_set(l, &t, clock_now_us() + US_PER_DAY));
	assert_true(timer_set(l, &t, US_NEVER));
	assert_false(heap_has(&t.node));
}

/* ---- the order of a pass ---- */

static char trace[64];
static struct mailbox *box_a, *box_b;

static void note(char c)
{
	size_t n = strlen(trace);

	if (n + 1 < sizeof trace)
		trace[n] = c;
}

static int drain_noting(void *arg, struct mailbox *m, int budget)
{
	int n = 0, v;

	while (n < budget && mailbox_pop(m, &v)) {
		note(*(const char *)arg);
		n++;
	}
	return n;
}

static void timer_noting(struct timer *t, void *arg)
{
	(void)t;
	(void)arg;
	note('t');
}

static us_t tick_noting(void *arg, us_t now)
{
	int *ticks = arg;

	(void)now;
	note('k');
	if (++*ticks == 2)
		loop_stop(l);
	return US_NEVER;
}

static bool hook_noting(void *arg)
{
	(void)arg;
	note('h');
	return false;
}

static void a_pass_drains_by_priority_then_times_ticks_and_hooks(void **state)
{
	struct timer t;
	int ticks = 0, v = 1;

	(void)state;
	box_a = mailbox_new("a", sizeof(int), 8, NULL, loop_waker(l));
	box_b = mailbox_new("b", sizeof(int), 8, NULL, loop_waker(l));
	loop_add_inbox(l, box_a, 5, 2, drain_noting, "a");
	loop_add_inbox(l, box_b, 1, 10, drain_noting, "b");
	loop_add_before_sleep(l, hook_noting, NULL);
	loop_set_tick(l, tick_noting, &ticks);
	for (int i = 0; i < 3; i++) {
		mailbox_push(box_a, &v);
		mailbox_push(box_b, &v);
	}
	mailbox_flush(box_a);
	mailbox_flush(box_b);
	timer_init(&t, timer_noting, NULL);
	timer_set(l, &t, clock_now_us());
	memset(trace, 0, sizeof trace);
	loop_run(l); /* the budget of a is 2: a second pass comes without sleeping */
	assert_string_equal(trace, "bbbaatkhakhh"); /* and the hooks once more at the end */
	mailbox_free(box_a);
	mailbox_free(box_b);
}

static bool work_left(void *arg)
{
	int *left = arg;

	if (--*left > 0)
		return true;
	loop_stop(l);
	return false;
}

static void a_hook_with_work_left_keeps_the_loop_awake(void **state)
{
	int left = 1000;
	struct loop_stats st;

	(void)state;
	loop_add_before_sleep(l, work_left, &left);
	loop_run(l);
	loop_stats(l, &st);
	assert_true(st.passes >= 1000);
	assert_true(st.cpu_total_us >= st.cpu_max_us);
	assert_true(st.wall_max_us < 20 * US_PER_S);
	loop_stats_reset(l);
	loop_stats(l, &st);
	assert_int_equal(st.cpu_max_us, 0);
}

static bool room_elsewhere;

static int drain_if_room(void *arg, struct mailbox *m, int budget)
{
	return room_elsewhere ? drain_noting(arg, m, budget) : LOOP_BLOCKED;
}

static void make_room(struct timer *t, void *arg)
{
	(void)t;
	(void)arg;
	room_elsewhere = true;
}

static bool noted(void *arg)
{
	(void)arg;
	return trace[0] != '\0';
}

static void a_blocked_inbox_is_looked_at_again_without_spinning(void **state)
{
	struct mailbox *box = mailbox_new("a", sizeof(int), 8, NULL, loop_waker(l));
	struct loop_stats st;
	struct timer t;
	int v = 1;

	(void)state;
	room_elsewhere = false;
	memset(trace, 0, sizeof trace);
	loop_add_inbox(l, box, 0, 10, drain_if_room, "a");
	mailbox_push(box, &v);
	mailbox_flush(box);
	timer_init(&t, make_room, NULL);
	timer_set(l, &t, clock_now_us() + 20 * US_PER_MS);
	run_until(l, noted, NULL);
	loop_stats(l, &st);
	assert_true(st.passes < 100);
	assert_string_equal(trace, "a");
	mailbox_free(box);
}

/* ---- between threads ---- */

struct ping {
	uint64_t n;
	uint64_t check;
};
enum { PINGS = 20000 };

struct party {
	struct loop *l;
	struct mailbox *in, *out;
	uint64_t next_in, next_out;
	bool echo, wrong;
};

static void send_some(struct party *p, int n)
{
	for (int i = 0; i < n && p->next_out < PINGS; i++, p->next_out++) {
		struct ping m = { p->next_out, ~p->next_out };

		if (!mailbox_push(p->out, &m))
			p->wrong = true;
	}
}

static int take(void *arg, struct mailbox *m, int budget)
{
	struct party *p = arg;
	struct ping msg;
	int n = 0;

	while (n < budget && mailbox_pop(m, &msg)) {
		n++;
		if (msg.n != p->next_in++ || msg.check != ~msg.n)
			p->wrong = true;
		if (p->echo)
			mailbox_push(p->out, &msg);
		else if (msg.n % 10 == 0)
			send_some(p, 10 + (int)(msg.n % 7));
	}
	if (p->next_in == PINGS && !mailbox_has_spill(p->out))
		loop_stop(p->l);
	return n;
}

/* Ends also when the last echo moves from the spill only after the last message came: stays awake
 * for that, as nobody would wake it once it has moved. */
static bool stop_when_through(void *arg)
{
	struct party *p = arg;
	bool spilled = mailbox_has_spill(p->out);

	if (p->next_in == PINGS && !spilled)
		loop_stop(p->l);
	return p->next_in == PINGS && spilled;
}

static void *run_party(void *arg)
{
	struct party *p = arg;

	loop_run(p->l);
	return NULL;
}

static void nothing_is_lost_or_stuck(size_t capacity)
{
	struct party a = { .l = loop_new("a") }, b = { .l = loop_new("b"), .echo = true };
	pthread_t thread;

	mailbox_force_capacity(capacity);
	a.out = b.in =
	    mailbox_new("a to b", sizeof(struct ping), 256, loop_waker(a.l), loop_waker(b.l));
	b.out = a.in =
	    mailbox_new("b to a", sizeof(struct ping), 256, loop_waker(b.l), loop_waker(a.l));
	loop_add_inbox(a.l, a.in, 0, 5, take, &a);
	loop_add_inbox(b.l, b.in, 0, 7, take, &b);
	loop_add_outbox(a.l, a.out);
	loop_add_outbox(b.l, b.out);
	loop_add_before_sleep(b.l, stop_when_through, &b);
	send_some(&a, 30);
	assert_int_equal(pthread_create(&thread, NULL, run_party, &b), 0);
	loop_run(a.l);
	pthread_join(thread, NULL);
	assert_int_equal(a.next_in, PINGS);
	assert_int_equal(b.next_in, PINGS);
	assert_false(a.wrong || b.wrong);
	mailbox_free(a.in);
	mailbox_free(a.out);
	loop_free(a.l);
	loop_free(b.l);
}

static void two_loops_talk_at_capacity_2(void **state)
{
	(void)state;
	nothing_is_lost_or_stuck(2);
}

static void two_loops_talk_at_capacity_256(void **state)
{
	(void)state;
	nothing_is_lost_or_stuck(256);
}

static void *stop_it(void *arg)
{
	loop_stop(arg);
	return NULL;
}

static void loop_stop_ends_a_sleep_from_another_thread(void **state)
{
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 200; i++) {
		assert_int_equal(pthread_create(&thread, NULL, stop_it, l), 0);
		loop_run(l); /* nothing to do: it sleeps, or is stopped before it does */
		pthread_join(thread, NULL);
	}
}

static void burn(struct timer *t, void *arg)
{
	us_t until = clock_thread_cpu_us() + *(us_t *)arg;

	(void)t;
	while (clock_thread_cpu_us() < until)
		;
}

static void end_loop(struct timer *t, void *arg)
{
	(void)t;
	(void)arg;
	loop_stop(l);
}

/* The text of the log from a loop with two passes, of 1 and of 12 ms. */
static void log_of_two_passes(char *text, size_t size)
{
	struct timer low, high, end;
	us_t few = US_PER_MS, many = 12 * US_PER_MS, now = clock_now_us();
	FILE *f = tmpfile();
	size_t n;

	assert_non_null(f);
	log_set_fd(fileno(f));
	timer_init(&low, burn, &few);
	timer_init(&high, burn, &many);
	timer_init(&end, end_loop, NULL);
	assert_true(timer_set(l, &low, now + 5 * US_PER_MS));
	assert_true(timer_set(l, &high, now + 30 * US_PER_MS));
	assert_true(timer_set(l, &end, now + 60 * US_PER_MS));
	loop_run(l);
	log_set_fd(STDERR_FILENO);
	rewind(f);
	n = fread(text, 1, size - 1, f);
	text[n] = '\0';
	fclose(f);
}

static void a_long_pass_is_told_with_its_end_if_that_is_wanted(void **state)
{
	us_t started = clock_now_us();
	long long cpu, wall, until;
	char text[4096];

	(void)state;
	log_of_two_passes(text, sizeof text);
	assert_string_equal(text, "");
	loop_tell_passes(l, 10 * US_PER_MS);
	log_of_two_passes(text, sizeof text);
	assert_non_null(strstr(text, "loop test: a pass of "));
	assert_int_equal(sscanf(strstr(text, "a pass of "),
				"a pass of %lld us of CPU, %lld us in all, until %lld", &cpu, &wall,
				&until),
			 3);
	assert_true(cpu >= 12 * US_PER_MS && wall >= 11 * US_PER_MS);
	assert_true(until > started && until <= clock_now_us());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		TEST(timers_fire_once_in_order_and_never_early),
		TEST(timers_that_are_due_at_once_share_passes),
		TEST(a_timer_may_arm_itself_again),
		TEST(a_timer_at_never_is_not_armed),
		TEST(a_pass_drains_by_priority_then_times_ticks_and_hooks),
		TEST(a_blocked_inbox_is_looked_at_again_without_spinning),
		TEST(a_hook_with_work_left_keeps_the_loop_awake),
		TEST(two_loops_talk_at_capacity_2),
		TEST(two_loops_talk_at_capacity_256),
		TEST(loop_stop_ends_a_sleep_from_another_thread),
		TEST(a_long_pass_is_told_with_its_end_if_that_is_wanted),
	};

	clock_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
