/* Limits: exact rates and connections, and how they stack (CONFIG.md, "Which settings hold, and
 * what a limit counts"). */
#include "sim.h"

#define RATE_100 "[domain *]\nmax-msg-rate = 100/s\n"

static void check_rate(struct sim *m, const char *what, int least, int most, int per_second)
{
	int n = sim_count_between(m, SIM_START, SIM_START + 60 * US_PER_S);
	int second = sim_most_in(m, US_PER_S, NULL, NULL);

	printf("  %s: %d attempts in 60 s, at most %d in a sliding second\n", what, n, second);
	assert_in_range(n, least, most);
	assert_true(second <= per_second);
	sim_check_totals(m);
}

static void run_minute(struct sim *m)
{
	sim_run(m, 60 * US_PER_S);
}

static void a_lane_keeps_100_a_second_for_a_minute(void **state)
{
	struct sim *m = sim_new(SIM_CONF RATE_100, 1);

	(void)state;
	sim_send_many(m, 8000, "gmail.test", "a", "vmta1");
	run_minute(m);
	check_rate(m, "one lane", 5880, 6010, 103);
	sim_free(m);
}

static void slow_receivers_and_slow_threads_do_not_change_the_rate(void **state)
{
	struct sim *m = sim_new(SIM_CONF RATE_100 "max-smtp-out = 60\n", 2);

	(void)state;
	m->w.round_trip = 300 * US_PER_MS;
	m->w.connect_delay = 50 * US_PER_MS;
	m->w.io_delay = 3 * US_PER_MS;
	sim_send_many(m, 8000, "gmail.test", "a", "vmta1");
	run_minute(m);
	check_rate(m, "300 ms of round trip", 5880, 6010, 103);
	sim_free(m);
}

static void a_stall_of_two_seconds_is_not_made_up_for(void **state)
{
	struct sim *m = sim_new(SIM_CONF RATE_100, 3);

	(void)state;
	m->w.round_trip = 40 * US_PER_MS;
	m->w.stall_from = SIM_START + 20 * US_PER_S;
	m->w.stall_to = SIM_START + 22 * US_PER_S;
	sim_send_many(m, 8000, "gmail.test", "a", "vmta1");
	run_minute(m);
	check_rate(m, "a stall of 2 s", 5680, 5830, 103);
	sim_free(m);
}

/* Every thread pass is late by up to 15 ms: permits run out, are given back and asked for anew. */
static void late_passes_keep_the_rate(void **state)
{
	struct sim *m = sim_new(SIM_CONF RATE_100 "max-smtp-out = 60\n", 4);

	(void)state;
	m->w.io_delay = US_PER_MS;
	m->w.io_jitter = 14 * US_PER_MS;
	m->w.round_trip = 100 * US_PER_MS;
	sim_send_many(m, 8000, "gmail.test", "a", "vmta1");
	run_minute(m);
	check_rate(m, "passes 1 to 15 ms late", 5700, 6010, 103);
	sim_free(m);
}

static struct sim *late_sim(us_t first, us_t second, us_t turns, uint64_t seed)
{
	struct sim *m = sim_new(SIM_CONF RATE_100 "max-smtp-out = 60\n", seed);

	m->w.round_trip = 100 * US_PER_MS;
	m->w.io_late[0] = first;
	m->w.io_late[1] = second;
	m->w.late_turns = turns;
	sim_send_many(m, 8000, "gmail.test", "a", "vmta1");
	run_minute(m);
	return m;
}

static void a_thread_that_is_always_late_keeps_the_rate(void **state)
{
	static const us_t late[] = { 12, 30, 80 };

	(void)state;
	for (size_t i = 0; i < sizeof late / sizeof late[0]; i++) {
		struct sim *m = late_sim(late[i] * US_PER_MS, late[i] * US_PER_MS, 0, 20 + i);
		char what[40];

		snprintf(what, sizeof what, "both threads %d ms late", (int)late[i]);
		check_rate(m, what, 5700, 6010, 103);
		sim_free(m);
	}
}

/* What one late thread writes must not meet what the other writes at once. */
static void one_late_thread_beside_a_prompt_one_keeps_the_bound(void **state)
{
	static const us_t turns[] = { 0, 300 * US_PER_MS, 1700 * US_PER_MS };

	(void)state;
	for (size_t i = 0; i < sizeof turns / sizeof turns[0]; i++) {
		struct sim *m = late_sim(0, 40 * US_PER_MS, turns[i], 30 + i);

		check_rate(m, "one thread 40 ms late, one prompt", 5700, 6010, 103);
		sim_free(m);
	}
}

static void four_lanes_share_a_providers_rate(void **state)
{
	struct sim *m =
	    sim_new(SIM_CONF "[provider big]\nmx = mx.*\nprovider-max-msg-rate = 100/s\n", 5);

	(void)state;
	sim_send_many(m, 4000, "a.test", "a", "pool-a");
	sim_send_many(m, 4000, "b.test", "b", "pool-a");
	run_minute(m);
	check_rate(m, "four lanes under a provider's rate", 5880, 6010, 103);
	for (int i = 1; i <= 4; i++) {
		char name[16];
		int n = 0;

		snprintf(name, sizeof name, "vmta%d", i);
		for (size_t k = 0; k < m->nrcpts; k++)
			n += strcmp(m->rcpts[k].vmta, name) == 0;
		assert_in_range(n, 1400, 1600);
	}
	sim_free(m);
}

static struct dns_answer *one_mx(struct sim *m, struct str name, bool host)
{
	(void)name;
	(void)host;
	return sim_dns_hosts("mx.shared.test", m->now + US_PER_HOUR);
}

static int count_queue(const struct sim *m, const char *queue)
{
	int n = 0;

	for (size_t i = 0; i < m->nrcpts; i++)
		n += strcmp(m->rcpts[i].queue, queue) == 0;
	return n;
}

static void two_domains_of_one_lane_keep_their_own_limits(void **state)
{
	struct sim *m = sim_new(SIM_CONF RATE_100 "[domain slow.test]\nmax-msg-rate = 10/s\n"
						  "[domain mid.test]\nmax-msg-rate = 30/s\n",
				6);

	(void)state;
	m->w.dns = one_mx;
	sim_send_many(m, 2000, "slow.test", "a", "vmta1");
	sim_send_many(m, 3000, "mid.test", "a", "vmta1");
	sim_send_many(m, 6000, "fast.test", "a", "vmta1");
	run_minute(m);
	check_rate(m, "two domains inside a lane", 5880, 6010, 103);
	assert_in_range(count_queue(m, "slow.test/vmta1"), 588, 602);
	assert_in_range(count_queue(m, "mid.test/vmta1"), 1764, 1803);
	assert_true(sim_most_in(m, US_PER_S, NULL, "slow.test/vmta1") <= 11);
	assert_true(sim_most_in(m, US_PER_S, NULL, "mid.test/vmta1") <= 32);
	sim_free(m);
}

static void a_pools_rate_counts_what_comes_by_it_at_each_address(void **state)
{
	struct sim *m = sim_new(SIM_CONF "max-msg-rate = 25/s\n", 7);

	(void)state;
	sim_send_many(m, 8000, "gmail.test", "a", "pool-a");
	run_minute(m);
	check_rate(m, "a pool of four at 25/s each", 5880, 6012, 107);
	for (int i = 1; i <= 4; i++) {
		char name[16];

		snprintf(name, sizeof name, "vmta%d", i);
		assert_true(sim_most_in(m, US_PER_S, name, NULL) <= 26);
	}
	sim_free(m);
}

static int times(const char *text, const char *word)
{
	int n = 0;

	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		n++;
	return n;
}

/* What an operator reads of `queue T`: what all lanes share once, and of the others whose it is. */
static void a_queues_limits_are_told_once_each_with_their_lane(void **state)
{
	struct sim *m =
	    sim_new(SIM_CONF "[provider big]\nmx = mx.*\nprovider-max-msg-rate = 100/s\n"
			     "[domain *]\nmax-msg-rate = 25/s\n",
		    9);
	struct target t;
	struct errbuf e;
	struct buf b;
	const char *end;

	(void)state;
	sim_send_many(m, 500, "gmail.test", "a", "pool-a");
	sim_run(m, US_PER_S);
	buf_init(&b);
	target_parse(STR_LIT("gmail.test"), &t, &e);
	assert_null(sched_detail(m->s, m->now, &t, &b, &e));
	end = strstr(buf_z(&b), "\"lanes\"");
	assert_non_null(end);
	b.p[end - b.p] = '\0';
	assert_int_equal(times(b.p, "\"100/s\""), 1);
	assert_int_equal(times(b.p, "\"25/s\""), 4);
	for (int i = 1; i <= 4; i++) {
		char lane[32];

		snprintf(lane, sizeof lane, "\"lane\":\"big@vmta%d\"", i);
		assert_true(times(b.p, lane) >= 1);
	}
	buf_free(&b);
	sim_free(m);
}

static void an_addresss_rate_holds_over_all_receivers(void **state)
{
	struct sim *m = sim_new(
	    "[mta]\nhostname = mx.test\n[virtual-mta vmta1]\nsmtp-source-host = 127.0.1.1 m1.test\n"
	    "max-msg-rate = 100/s\n",
	    8);
	char domain[32];

	(void)state;
	for (int i = 0; i < 50; i++) {
		snprintf(domain, sizeof domain, "d%d.test", i);
		sim_send_many(m, 150, domain, "a", "vmta1");
	}
	run_minute(m);
	check_rate(m, "one address, 50 receivers", 5880, 6010, 103);
	sim_free(m);
}

static void many_recipients_of_a_message_keep_the_rate(void **state)
{
	struct sim *m = sim_new(SIM_CONF RATE_100, 9);
	static char to[100 * 32];

	(void)state;
	for (int k = 0; k < 80; k++) {
		to[0] = '\0';
		for (int i = 0; i < 100; i++)
			sprintf(to + strlen(to), "%su%d@gmail.test", i ? "," : "", i);
		sim_send(m, &(struct sim_mail){ .to = to });
	}
	run_minute(m);
	check_rate(m, "100 recipients a message", 5880, 6010, 103);
	sim_free(m);
}

static int most_sessions;

static void connections_never_pass_their_limit(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-smtp-out = 7\n", 10);

	(void)state;
	m->w.round_trip = 200 * US_PER_MS;
	sim_send_many(m, 3000, "gmail.test", "a", "vmta1");
	sim_run(m, 30 * US_PER_S);
	most_sessions = m->max_sessions;
	assert_int_equal(m->max_sessions, 7);
	assert_int_equal(m->opens, 3000 / 7 / 30 >= 1 ? m->opens : 7);
	sim_check_totals(m);
	sim_free(m);
}

static void the_total_never_passes_its_limit_and_is_shared(void **state)
{
	struct sim *m = sim_new("[mta]\nhostname = mx.test\ntotal-max-smtp-out = 50\n"
				"[virtual-mta vmta1]\nsmtp-source-host = 127.0.1.1 m1.test\n",
				11);
	char domain[32];

	(void)state;
	m->w.round_trip = 100 * US_PER_MS;
	for (int i = 0; i < 400; i++) {
		snprintf(domain, sizeof domain, "d%d.test", i);
		sim_send_many(m, 5, domain, "a", "vmta1");
	}
	sim_run(m, 120 * US_PER_S);
	assert_in_range(m->max_sessions, 45, 50);
	assert_int_equal(m->delivered, 2000);
	sim_free(m);
}

/* The default of 20 counts only mail for which no row sets a limit. */
static void the_default_counts_only_mail_without_a_row(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain wide.test]\nmax-smtp-out = 30\n", 12);

	(void)state;
	m->w.dns = one_mx;
	m->w.round_trip = US_PER_S;
	sim_send_many(m, 300, "wide.test", "a", "vmta1");
	sim_send_many(m, 300, "other.test", "a", "vmta1");
	sim_run(m, 3 * US_PER_S);
	assert_int_equal(m->max_sessions, 50);
	sim_free(m);
}

static void connections_open_no_faster_than_their_rate(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-connect-rate = 2/s\n", 13);

	(void)state;
	m->w.round_trip = US_PER_S;
	sim_send_many(m, 1000, "gmail.test", "a", "vmta1");
	sim_run(m, 5 * US_PER_S);
	assert_in_range(m->opens, 9, 11);
	sim_free(m);
}

/* Another session key's idle connections make room. */
static struct dns_answer *two_sets(struct sim *m, struct str name, bool host)
{
	(void)host;
	return sim_dns_hosts(name.p[0] == 'a' ? "mx.one.test" : "mx.one.test alt.one.test",
			     m->now + US_PER_HOUR);
}

static void idle_connections_make_room_for_other_mail(void **state)
{
	struct sim *m = sim_new(
	    SIM_CONF "[provider p]\nmx = *.one.test\nmax-smtp-out = 4\nidle-timeout = 5m\n", 14);

	(void)state;
	m->w.dns = two_sets;
	sim_send_many(m, 40, "a.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 40);
	sim_send_many(m, 40, "b.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 80);
	assert_int_equal(m->max_sessions, 4);
	sim_free(m);
}

static void slow_rates_keep_their_last_attempt_over_a_restart(void **state)
{
	const char *conf = SIM_CONF "[domain *]\nmax-msg-rate = 1/6m\n";
	struct sim *m = sim_new(conf, 15);
	us_t last;

	(void)state;
	sim_send_many(m, 5, "gmail.test", "a", "vmta1");
	sim_run(m, 7 * US_PER_MIN);
	assert_int_equal(m->nrcpts, 2);
	last = m->rcpts[1].at;
	sim_restart(m, conf);
	sim_send(m, &(struct sim_mail){ .to = "x@gmail.test" });
	sim_run(m, 10 * US_PER_MIN);
	assert_true(m->nrcpts >= 3);
	assert_true(m->rcpts[2].at - last >= 6 * US_PER_MIN - 10 * US_PER_MS);
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lane_keeps_100_a_second_for_a_minute),
		cmocka_unit_test(slow_receivers_and_slow_threads_do_not_change_the_rate),
		cmocka_unit_test(a_stall_of_two_seconds_is_not_made_up_for),
		cmocka_unit_test(late_passes_keep_the_rate),
		cmocka_unit_test(a_thread_that_is_always_late_keeps_the_rate),
		cmocka_unit_test(one_late_thread_beside_a_prompt_one_keeps_the_bound),
		cmocka_unit_test(four_lanes_share_a_providers_rate),
		cmocka_unit_test(two_domains_of_one_lane_keep_their_own_limits),
		cmocka_unit_test(a_pools_rate_counts_what_comes_by_it_at_each_address),
		cmocka_unit_test(a_queues_limits_are_told_once_each_with_their_lane),
		cmocka_unit_test(an_addresss_rate_holds_over_all_receivers),
		cmocka_unit_test(many_recipients_of_a_message_keep_the_rate),
		cmocka_unit_test(connections_never_pass_their_limit),
		cmocka_unit_test(the_total_never_passes_its_limit_and_is_shared),
		cmocka_unit_test(the_default_counts_only_mail_without_a_row),
		cmocka_unit_test(connections_open_no_faster_than_their_rate),
		cmocka_unit_test(idle_connections_make_room_for_other_mail),
		cmocka_unit_test(slow_rates_keep_their_last_attempt_over_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
