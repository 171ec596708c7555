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
	if (!SLOW_BUILD)
		assert_true((double)t.memory_bytes / (double)t.queued < 330);
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
		cmocka_unit_test(a_message_costs_a_few_microseconds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
