/* Order: no sender, job or domain stands in another's way; pools share by weight; greylisting is
 * answered from the same address. */
#include "sim.h"

static us_t first_attempt_of(const struct sim *m, uint64_t message)
{
	for (size_t i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].message == message)
			return m->rcpts[i].at;
	return US_NEVER;
}

static int count(const struct sim *m, us_t from, const char *vmta, const char *queue)
{
	int n = 0;

	for (size_t i = 0; i < m->nrcpts; i++)
		n += m->rcpts[i].at >= from && (!vmta || strcmp(m->rcpts[i].vmta, vmta) == 0) &&
		     (!queue || strcmp(m->rcpts[i].queue, queue) == 0);
	return n;
}

/* Behind `backlog` recipients of one sender, how long a message of another waits for its attempt.
 */
static us_t wait_behind(const char *rate, int backlog, uint64_t seed)
{
	char conf[2000];
	struct sim *m;
	uint64_t id;
	us_t at, wait;

	snprintf(conf, sizeof conf, "%s[domain gmail.test]\nmax-msg-rate = %s\n", SIM_CONF, rate);
	m = sim_new(conf, seed);
	m->w.round_trip = 50 * US_PER_MS;
	sim_send_many(m, backlog, "gmail.test", "campaign", "pool-a");
	sim_run(m, 10 * US_PER_S + 137 * US_PER_MS);
	at = m->now;
	id = sim_send(m, &(struct sim_mail){ .to = "me@gmail.test",
					     .sender = "reset@bank.example",
					     .job = "bank",
					     .route = "pool-a" });
	sim_run(m, 10 * US_PER_S);
	wait = first_attempt_of(m, id) - at;
	printf("  %d wait at %s: attempted after %.3f s\n", backlog, rate, (double)wait / 1e6);
	sim_free(m);
	return wait;
}

static void another_senders_message_is_not_starved(void **state)
{
	int backlog = getenv("STOKER_FULL") ? 500000 : 50000;

	(void)state;
	assert_true(wait_behind("20/s", backlog, 1) <= US_PER_S);
	assert_true(wait_behind("100/s", 5000, 2) <= US_PER_S);
	assert_true(wait_behind("1/s", 5000, 3) <= 2 * US_PER_S + 100 * US_PER_MS);
}

static void jobs_take_turns(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 30/s\n", 4);
	int n[3] = { 0 };

	(void)state;
	sim_send_many(m, 3000, "gmail.test", "a", "vmta1");
	sim_send_many(m, 300, "gmail.test", "b", "vmta1");
	sim_send_many(m, 300, "gmail.test", "c", "vmta1");
	sim_run(m, 10 * US_PER_S);
	for (size_t i = 0; i < m->nrcpts; i++)
		n[m->rcpts[i].message <= 3000 ? 0 : m->rcpts[i].message <= 3300 ? 1 : 2]++;
	for (int i = 0; i < 3; i++)
		assert_in_range(n[i], 95, 106);
	sim_free(m);
}

/* Many campaigns that an operator holds must not hold the one that may go. */
static void paused_jobs_do_not_stand_in_the_way(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 13);
	struct sched_cmd c = { .type = CMD_PAUSE, .who = STR_LIT("op"), .expect = -1 };
	struct errbuf e;

	(void)state;
	c.id = 1;
	target_parse(STR_LIT("all"), &c.target, &e);
	sched_command(m->s, m->now, &c);
	for (int i = 0; i < 101; i++) {
		char job[16], target[24];

		snprintf(job, sizeof job, "held%d", i);
		snprintf(target, sizeof target, "job:held%d", i);
		sim_send_many(m, i == 100 ? 50 : 2, "gmail.test", i == 100 ? "free" : job, "vmta1");
		if (i == 100)
			break;
		c.id++;
		target_parse(str_of(target), &c.target, &e);
		sched_command(m->s, m->now, &c);
		sim_run(m, 10 * US_PER_MS);
	}
	c.id++;
	c.type = CMD_RESUME;
	target_parse(STR_LIT("all"), &c.target, &e);
	sched_command(m->s, m->now, &c);
	m->tick_at = m->now;
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(m->delivered, 50);
	sim_free(m);
}

static void higher_priority_goes_first_but_for_one_in_twenty(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 100/s\n", 5);
	char to[40];
	int low = 0;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		snprintf(to, sizeof to, "u%d@gmail.test", i);
		sim_send(
		    m, &(struct sim_mail){ .to = to, .priority = i % 2 ? 90 : 10, .job = "same" });
	}
	sim_run(m, 10 * US_PER_S);
	for (size_t i = 0; i < m->nrcpts; i++)
		low += m->rcpts[i].message % 2 == 1;
	printf("  %d of %zu were of low priority\n", low, m->nrcpts);
	assert_in_range(low, 45, 55);
	sim_free(m);
}

static struct dns_answer *one_mx(struct sim *m, struct str name, bool host)
{
	(void)name;
	(void)host;
	return sim_dns_hosts("mx.shared.test", m->now + US_PER_HOUR);
}

static void queues_of_a_lane_take_turns(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 100/s\n", 6);

	(void)state;
	m->w.dns = one_mx;
	sim_send_many(m, 5000, "big.test", "a", "vmta1");
	sim_send_many(m, 500, "small1.test", "a", "vmta1");
	sim_send_many(m, 500, "small2.test", "a", "pool-a");
	sim_run(m, 9 * US_PER_S);
	assert_in_range(count(m, 0, "vmta1", "big.test/vmta1"), 280, 450);
	assert_in_range(count(m, 0, "vmta1", "small1.test/vmta1"), 280, 450);
	sim_free(m);
}

static struct dns_answer *own_mx(struct sim *m, struct str name, bool host)
{
	char mx[300];

	(void)host;
	snprintf(mx, sizeof mx, "mx.%.*s.p.test", (int)name.n, name.p);
	return sim_dns_hosts(mx, m->now + US_PER_HOUR);
}

/* One connection, kept busy by a domain whose mail never ends: another domain of the lane, with
 * other hosts, has its turn all the same, whatever its settings and its priority. */
static void a_busy_connection_is_handed_over(void **state)
{
	static const struct {
		const char *what, *conf;
		us_t round_trip;
		bool pipelining;
	} cases[] = {
		{ "at a steady rate", "max-msg-rate = 20/s\n", 80 * US_PER_MS, false },
		{ "without a rate", "", 20 * US_PER_MS, false },
		{ "two transactions ahead", "", 20 * US_PER_MS, true },
		{ "of lower priority", "max-msg-rate = 20/s\n[domain b.test]\nqueue-priority = 5\n",
		  80 * US_PER_MS, false },
		{ "slower than its rate", "max-msg-rate = 20/s\n", 300 * US_PER_MS, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		char conf[3000];
		struct sim *m;
		us_t most = 0, at;
		uint64_t id;

		snprintf(
		    conf, sizeof conf,
		    "%s[provider p]\nmx = *.p.test\n[domain b.test]\nmax-rcpt-per-message = 7\n"
		    "[domain *]\nmax-smtp-out = 1\nmax-msg-per-connection = 100000\n%s",
		    SIM_CONF, cases[i].conf);
		m = sim_new(conf, 21);
		m->w.dns = own_mx;
		m->w.round_trip = cases[i].round_trip;
		m->w.pipelining = cases[i].pipelining;
		sim_send_many(m, 20000, "a.test", "campaign", "vmta1");
		sim_run(m, 20 * US_PER_S);
		for (int k = 0; k < 6; k++) {
			at = m->now;
			id = sim_send(m, &(struct sim_mail){ .to = "u@b.test", .job = "bank" });
			sim_run(m, 20 * US_PER_S);
			at = first_attempt_of(m, id) - at;
			if (at > most)
				most = at;
		}
		printf("  %s: waits %.1f s at most; %d connections for %zu attempts\n",
		       cases[i].what, (double)most / 1e6, (int)m->opens, m->nrcpts);

		assert_true(most <= 6 * US_PER_S);

		assert_true(m->opens < 40);
		sim_free(m);
	}
}

/* Two that never end share it, and do not change it at each message. */
static void two_busy_domains_share_a_connection(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[provider p]\nmx = *.p.test\n[domain b.test]\n"
					 "max-rcpt-per-message = 7\n[domain *]\nmax-smtp-out = 1\n"
					 "max-msg-per-connection = 100000\n",
				22);
	int a, b;

	(void)state;
	m->w.dns = own_mx;
	sim_send_many(m, 20000, "a.test", "x", "vmta1");
	sim_send_many(m, 20000, "b.test", "x", "vmta1");
	sim_run(m, 2 * US_PER_MIN);
	a = count(m, 0, NULL, "a.test/vmta1");
	b = count(m, 0, NULL, "b.test/vmta1");
	printf("  %d and %d attempts over %d connections in 2 minutes\n", a, b, (int)m->opens);
	assert_in_range(a * 100 / (a + b), 40, 60);
	assert_in_range(m->opens, 10, 60);
	sim_free(m);
}

static void queue_priority_orders_the_queues_of_a_lane(void **state)
{
	struct sim *m = sim_new(
	    SIM_CONF "[domain *]\nmax-msg-rate = 100/s\n[domain vip.test]\nqueue-priority = 90\n"
		     "[domain slow.test]\nqueue-priority = 10\n",
	    7);

	(void)state;
	m->w.dns = one_mx;
	sim_send_many(m, 3000, "vip.test", "a", "vmta1");
	sim_send_many(m, 3000, "mid.test", "a", "vmta1");
	sim_send_many(m, 3000, "slow.test", "a", "vmta1");
	sim_run(m, 20 * US_PER_S);
	printf("  of 2000: vip %d, mid %d, slow %d\n", count(m, 0, NULL, "vip.test/vmta1"),
	       count(m, 0, NULL, "mid.test/vmta1"), count(m, 0, NULL, "slow.test/vmta1"));
	assert_in_range(count(m, 0, NULL, "vip.test/vmta1"), 1850, 1920);
	assert_in_range(count(m, 0, NULL, "mid.test/vmta1") + count(m, 0, NULL, "slow.test/vmta1"),
			90, 115);
	assert_true(count(m, 0, NULL, "slow.test/vmta1") >= 40);
	sim_free(m);
}

static void a_pool_shares_by_weight_and_cold_members_wait(void **state)
{
	struct sim *m = sim_new(
	    "[mta]\nhostname = mx.test\n[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 a.test\n"
	    "[virtual-mta v2]\nsmtp-source-host = 127.0.1.2 b.test\n"
	    "[virtual-mta v3]\nsmtp-source-host = 127.0.1.3 c.test\ncold = yes\n"
	    "[virtual-mta-pool p]\nmembers = v1:3, v2:1, v3:5\n[provider x]\nmx = "
	    "mx.*\nprovider-max-msg-rate = 100/s\n",
	    8);

	(void)state;
	sim_send_many(m, 2000, "gmail.test", "a", "p");
	sim_run(m, 20 * US_PER_S);
	assert_in_range(count(m, 0, "v1", NULL), 1450, 1550);
	assert_in_range(count(m, 0, "v2", NULL), 450, 550);
	assert_int_equal(count(m, 0, "v3", NULL), 0);
	sim_free(m);
}

static void cold_members_take_what_the_others_have_no_room_for(void **state)
{
	struct sim *m =
	    sim_new("[mta]\nhostname = mx.test\n[virtual-mta v1]\nsmtp-source-host = 127.0.1.1 "
		    "a.test\nmax-msg-rate = 10/s\n"
		    "[virtual-mta v2]\nsmtp-source-host = 127.0.1.2 b.test\ncold = yes\n"
		    "[virtual-mta-pool p]\nmembers = v1, v2\n",
		    9);

	(void)state;
	m->w.round_trip = 50 * US_PER_MS;
	sim_send_many(m, 3000, "gmail.test", "a", "p");
	sim_run(m, 5 * US_PER_S);
	assert_in_range(count(m, 0, "v1", NULL), 45, 53);
	assert_true(count(m, 0, "v2", NULL) > 1000);
	sim_free(m);
}

/* A receiver that remembers which address came first. */
static char seen[1000][24];
static us_t seen_at[1000];

static struct sim_verdict greylists(struct sim *m, const char *vmta, struct str address,
				    uint32_t attempt)
{
	int who = atoi(address.p + 1);

	(void)attempt;
	if (!seen[who][0]) {
		snprintf(seen[who], sizeof seen[who], "%s", vmta);
		seen_at[who] = m->now;
	}
	if (strcmp(seen[who], vmta) != 0 || m->now - seen_at[who] < 5 * US_PER_MIN)
		return (struct sim_verdict){ CLASS_GREYLIST, false, "450 4.2.0 greylisted",
					     "4.2.0" };
	return (struct sim_verdict){ CLASS_OK, false, "250 2.0.0 ok", "2.0.0" };
}

static void greylisted_mail_arrives_at_its_second_attempt(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 10);

	(void)state;
	memset(seen, 0, sizeof seen);
	m->w.rcpt = greylists;
	sim_send_many(m, 1000, "grey.test", "a", "pool-a");
	sim_run(m, 5 * US_PER_MIN);
	assert_int_equal(m->deferred, 1000);
	sim_run(m, 2 * US_PER_MIN);
	assert_int_equal(m->delivered, 1000);
	assert_int_equal(m->deferred, 1000);
	sim_free(m);
}

/* The preferred address is out for longer than five minutes: another may go. */
static void a_preference_does_not_hold_mail_for_long(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 11);
	struct sched_cmd c = { .id = 1, .type = CMD_DISABLE, .who = STR_LIT("op"), .expect = -1 };
	struct errbuf e;

	(void)state;
	memset(seen, 0, sizeof seen);
	m->w.rcpt = greylists;
	sim_send_many(m, 40, "grey.test", "a", "pool-a");
	sim_run(m, US_PER_MIN);
	target_parse(STR_LIT("vmta:vmta1"), &c.target, &e);
	sched_command(m->s, m->now, &c);
	m->tick_at = m->now;
	sim_run(m, 6 * US_PER_MIN);
	assert_int_equal(m->delivered + m->deferred, 80);
	assert_true(m->delivered >= 30);
	sim_free(m);
}

/* Every recipient is attempted once and only once, whatever is given back on the way. */
static void the_same_seed_gives_the_same_run(void **state)
{
	uint64_t hash[2];

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 50/s\n", 12);

		m->w.rcpt = greylists;
		memset(seen, 0, sizeof seen);
		for (int i = 0; i < 5; i++)
			sim_send_many(m, 200, i % 2 ? "a.test" : "b.test", "a",
				      i % 3 ? "pool-a" : "vmta1");
		sim_run(m, 10 * US_PER_MIN);
		hash[k] = m->hash;
		sim_free(m);
	}
	assert_int_equal(hash[0], hash[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(another_senders_message_is_not_starved),
		cmocka_unit_test(jobs_take_turns),
		cmocka_unit_test(paused_jobs_do_not_stand_in_the_way),
		cmocka_unit_test(higher_priority_goes_first_but_for_one_in_twenty),
		cmocka_unit_test(queues_of_a_lane_take_turns),
		cmocka_unit_test(a_busy_connection_is_handed_over),
		cmocka_unit_test(two_busy_domains_share_a_connection),
		cmocka_unit_test(queue_priority_orders_the_queues_of_a_lane),
		cmocka_unit_test(a_pool_shares_by_weight_and_cold_members_wait),
		cmocka_unit_test(cold_members_take_what_the_others_have_no_room_for),
		cmocka_unit_test(greylisted_mail_arrives_at_its_second_attempt),
		cmocka_unit_test(a_preference_does_not_hold_mail_for_long),
		cmocka_unit_test(the_same_seed_gives_the_same_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
