/* Size: memory for each recipient, CPU for each message, and no step that takes long. The full size
 * runs with STOKER_FULL=1. */
#include "sim.h"

#include <malloc.h>
#include <time.h>

#ifdef __SANITIZE_ADDRESS__
#define SLOW_BUILD 1
#else
#define SLOW_BUILD 0
#endif

static bool full(void)
{
	return getenv("STOKER_FULL") && strcmp(getenv("STOKER_FULL"), "1") == 0;
}

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t heap_bytes(void)
{
	struct mallinfo2 i = mallinfo2();

	return i.uordblks + i.hblkhd;
}

/* Ten domains share an MX only with themselves: the worst case, each is a site of its own. */
static void send_wide(struct sim *m, int domains, int each)
{
	static char to[64], domain[32];

	for (int k = 0; k < each; k++)
		for (int i = 0; i < domains; i++) {
			snprintf(domain, sizeof domain, "domain%06d.test", i);
			snprintf(to, sizeof to, "user%04d.name@%s", k, domain);
			sim_send(m, &(struct sim_mail){ .to = to, .route = "pool-a" });
		}
}

static void nothing(void *arg, struct row *r)
{
	++*(uint64_t *)arg;
	row_release(r);
}

static void take_all_rows(struct sim *m, uint64_t *rows)
{
	double longest = 0;

	for (int n = 1000; n == 1000;) {
		double at = cpu_s();

		n = sched_rows(m->s, m->now, 1000, nothing, rows);
		at = cpu_s() - at;
		if (at > longest)
			longest = at;
	}
	printf("  rows: %llu taken, longest call %.2f ms\n", (unsigned long long)*rows,
	       longest * 1e3);
}

static void memory_for_each_recipient_stays_small(void **state)
{
	int domains = full() ? 100000 : 10000;
	struct sim *m = sim_new(SIM_CONF, 1);
	size_t before, after;
	struct sched_totals t;
	uint64_t rows = 0;
	double longest = 0;

	(void)state;
	sim_free(m);
	before = heap_bytes();
	m = sim_new(full() ? SIM_CONF : "[mta]\ntotal-max-smtp-out = 400\n" SIM_CONF_REST, 1);
	/* Nothing is sent: connections never come up. What is due has been looked up, and waits. */
	m->w.connect_delay = US_PER_DAY;
	m->w.dns_delay = 10;
	send_wide(m, domains, 10);
	for (int i = 0; i < 2000 * (full() ? 10 : 1); i++) {
		double at = cpu_s();

		sim_tick(m);
		at = cpu_s() - at;
		if (at > longest)
			longest = at;
		sim_run(m, 50);
	}
	take_all_rows(m, &rows);
	after = heap_bytes();
	sched_totals(m->s, m->now, &t);
	printf("  %llu recipients in %d domains, %llu look-ups, %d connections: %.0f bytes a "
	       "recipient by the scheduler's own count, %.0f "
	       "of heap with the test's world; longest tick %.2f ms\n",
	       (unsigned long long)t.queued, domains, (unsigned long long)m->lookups,
	       m->now_sessions, (double)t.memory_bytes / (double)t.queued,
	       (double)(after - before) / (double)t.queued, longest * 1e3);
	assert_int_equal(t.queued, domains * 10);
	assert_true(rows >= (uint64_t)domains);
	/* With each queue's name, some 4 bytes: the mirror had one of its own. */
	if (!SLOW_BUILD)
		assert_true((double)t.memory_bytes / (double)t.queued < 335);
	sim_free(m);
}

/* ---- no step takes long, whatever is ordered ---- */

/* The same orders run again while a step took long: nothing is random in them, so step for step the
 * quickest time counts, and a machine that was busy with others is none of ours. */
enum { RUNS = 4, PHASES = 10, STEPS_MAX = 20000 };
struct phase {
	const char *what;
	int n;
	double took[STEPS_MAX]; /* s of CPU, the least of all runs */
};
static struct phase phases[PHASES];
static int run, phase, step;

static void stepped(double took)
{
	struct phase *p = &phases[phase];

	assert_true(step < STEPS_MAX);
	if (run == 0 || took < p->took[step])
		p->took[step] = took;
	step++;
}

static void phase_ends(const char *what)
{
	struct phase *p = &phases[phase];

	if (run > 0)
		assert_int_equal(p->n, step); /* else they are not the same steps */
	p->what = what;
	p->n = step;
	step = 0;
	phase++;
}

/* The longest of all; said for each phase. */
static double longest_step(bool say)
{
	double longest = 0;

	for (int i = 0; i < phase; i++) {
		double worst = 0, sum = 0;

		for (int k = 0; k < phases[i].n; k++) {
			sum += phases[i].took[k];
			if (phases[i].took[k] > worst)
				worst = phases[i].took[k];
		}
		if (say)
			printf("  %-28s longest step %.2f ms (%d steps, %.0f ms in all)\n",
			       phases[i].what, worst * 1e3, phases[i].n, sum * 1e3);
		if (worst > longest)
			longest = worst;
	}
	return longest;
}

static void timed_command(struct sim *m, enum sched_cmd_type type, const char *on, uint64_t number)
{
	struct sched_cmd c = { .id = 1,
			       .type = type,
			       .who = STR_LIT("op"),
			       .expect = -1,
			       .number = number,
			       .until = US_NEVER };
	struct errbuf e;
	double at;

	if (on)
		assert_null(target_parse(str_of(on), &c.target, &e));
	at = cpu_s();
	sched_command(m->s, m->now, &c);
	stepped(cpu_s() - at);
	m->tick_at = m->now;
}

/* Ticks until nothing more is to be done at once. */
static void timed_ticks(struct sim *m, const char *what, us_t span)
{
	us_t end = m->now + span;

	while (m->now < end) {
		double at = cpu_s();
		us_t next = sched_tick(m->s, m->now);

		stepped(cpu_s() - at);
		sim_drain(m);
		m->now = next > m->now + 100 ? next : m->now + 100;
		if (m->now > end)
			m->now = end;
	}
	phase_ends(what);
}

static void all_orders(void)
{
	int domains = full() ? 100000 : 10000;
	struct sim *m = sim_new("[mta]\ntotal-max-smtp-out = 400\n" SIM_CONF_REST, 3);
	struct conf *other = sim_conf_read("[mta]\ntotal-max-smtp-out = 500\n" SIM_CONF_REST
					   "[domain *]\nmax-smtp-out = 3\n");
	uint64_t rows = 0;
	double at;

	m->w.connect_delay = US_PER_DAY;
	m->w.dns_delay = 10;
	send_wide(m, domains, 10);
	sim_run(m, 2 * US_PER_S);
	take_all_rows(m, &rows);
	timed_command(m, CMD_PAUSE, "all", 0);
	timed_ticks(m, "pause all", 2 * US_PER_S);
	timed_command(m, CMD_PAUSE, "*.test", 0);
	timed_ticks(m, "pause *.test", 2 * US_PER_S);
	timed_command(m, CMD_RESUME, "*.test", 0);
	timed_command(m, CMD_RESUME, "all", 0);
	timed_ticks(m, "resume", 2 * US_PER_S);
	timed_command(m, CMD_RETRY, "all", 0);
	timed_ticks(m, "retry all", 2 * US_PER_S);
	timed_command(m, CMD_RATE, "job:job1", 0);
	at = cpu_s();
	sched_conf(m->s, m->now, other);
	stepped(cpu_s() - at);
	timed_ticks(m, "reload", 2 * US_PER_S);
	timed_command(m, CMD_PAUSE, "job:job1", 0);
	timed_ticks(m, "pause a job", 2 * US_PER_S);
	timed_command(m, CMD_DELETE, "domain00000*", 0);
	timed_ticks(m, "delete of ten domains", 2 * US_PER_S);
	m->now += 4 * US_PER_DAY + 13 * US_PER_HOUR;
	timed_ticks(m, "everything expires", (full() ? 60 : 10) * US_PER_S);
	assert_true(m->expired > (uint64_t)domains * 9);
	conf_unref(other);
	sim_free(m);
}

static void no_step_takes_long(void **state)
{
	(void)state;
	for (run = 0; run < (SLOW_BUILD ? 1 : RUNS) && (!run || longest_step(false) >= 0.005);
	     run++) {
		phase = step = 0;
		all_orders();
	}
	if (!SLOW_BUILD)
		assert_true(longest_step(true) < 0.005);
}

static void nothing_message(void *arg, const struct message_row *r)
{
	(void)r;
	++*(int *)arg;
}

/* Page after page through a queue, each page's time as above; how many rows were there. */
static int walk_pages(struct sim *m, int64_t *total)
{
	struct target t;
	struct errbuf e;
	uint64_t cursor = 0;
	int seen = 0;

	assert_null(target_parse(STR_LIT("gmail.test"), &t, &e));
	phase = step = 0;
	do {
		double at = cpu_s();

		sched_messages(m->s, m->now, &t, &cursor, 200, total, nothing_message, &seen);
		stepped(cpu_s() - at);
	} while (cursor);
	phase_ends("pages of 200");
	return seen;
}

/* 500,000 recipients of one queue. */
static void pages_cost_their_own_length(void **state)
{
	int n = full() ? 500000 : 50000;
	struct sim *m = sim_new(SIM_CONF, 4);
	int64_t total;

	(void)state;
	m->w.connect_delay = US_PER_DAY;
	sim_send_many(m, n, "gmail.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	for (run = 0; run < (SLOW_BUILD ? 1 : RUNS) && (!run || longest_step(false) >= 0.005);
	     run++) {
		assert_int_equal(walk_pages(m, &total), n);
		assert_int_equal(total, n);
	}
	if (!SLOW_BUILD)
		assert_true(longest_step(true) < 0.005);
	sim_free(m);
}

/* One message after the other through everything, with hands as bare as possible around the
 * scheduler. */
static void a_message_costs_a_few_microseconds(void **state)
{
	int n = full() ? 1000000 : 100000;
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-smtp-out = 100\n", 2);
	char to[32];
	double inject = 0, work = 0, at;
	uint64_t last = 0;

	(void)state;
	m->quiet = true;
	m->w.pipelining = true;
	m->w.round_trip = 500;
	m->w.connect_delay = 100;
	m->w.io_delay = 10;
	for (int i = 0; i < n; i += 1000) {
		at = cpu_s();
		for (int k = 0; k < 1000; k++) {
			snprintf(to, sizeof to, "u%d@gmail.test", k);
			sim_send(m, &(struct sim_mail){ .to = to });
		}
		inject += cpu_s() - at;
		at = cpu_s();
		sim_run(m, 20 * US_PER_MS);
		work += cpu_s() - at;
	}
	while (m->delivered < (uint64_t)n && m->delivered != last) {
		last = m->delivered;
		sim_run(m, US_PER_S);
	}
	assert_int_equal(m->delivered, n);
	printf("  with the simulated world: %.2f us a message to take, %.2f us to deliver: %.0f a "
	       "second\n",
	       inject / n * 1e6, work / n * 1e6, n / (inject + work));
	if (!SLOW_BUILD)
		assert_true(n / (inject + work) > 60000);
	sim_check_totals(m);
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_for_each_recipient_stays_small),
		cmocka_unit_test(no_step_takes_long),
		cmocka_unit_test(pages_cost_their_own_length),
		cmocka_unit_test(a_message_costs_a_few_microseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
