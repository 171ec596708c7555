/* What a message costs the spool's thread. `test_bench --bench [DIR]` prints CPU and wall time a
 * message, for batches of several sizes and for a load of a million; without it a short run only
 * checks that all of it adds up. */
#include "tests/unit/spool/kit.h"

#include <pthread.h>
#include <time.h>

enum { BODY_BYTES = 10 * 1024, COMMIT_US = 20000, SMALL_RUN = 2000, LOADED = 1000000 };

struct bench {
	struct kit k;
	unsigned batch; /* messages a flush */
	unsigned deferred_percent;
	uint64_t ids[1024];
	size_t n;
};

static bool stop;

/* The worker that keeps segments ready, as in the server. */
static void *worker(void *arg)
{
	struct kit *k = arg;
	struct errbuf e;

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct timespec nap = { .tv_nsec = 1000000 };

		if (spool_wants_segment(k->s))
			spool_prepare_segment(k->s, &e);
		else
			nanosleep(&nap, NULL);
	}
	return NULL;
}

static void accepted(void *arg, struct message *m, const struct err *err)
{
	struct bench *b = arg;

	assert_null(err);
	b->ids[b->n++] = m->id;
	message_free(m);
}

static struct message *ready(struct bench *b)
{
	struct message *m = kit_message(&b->k, 1, 0);

	body_unref(m->body);
	m->body =
	    kit_body("0123456789012345678901234567890123456789012345678901234567890123456789\r\n",
		     BODY_BYTES);
	return m;
}

/* One flush's worth; returns the thread's CPU time without the making of the messages. */
static us_t round_of(struct bench *b, us_t *wall)
{
	static struct message *m[1024];
	us_t start, cpu;

	for (unsigned i = 0; i < b->batch; i++)
		m[i] = ready(b);
	*wall -= clock_now_us();
	start = clock_thread_cpu_us();
	b->n = 0;
	for (unsigned i = 0; i < b->batch; i++)
		assert_true(spool_add(b->k.s, m[i]));
	assert_null(spool_flush(b->k.s, b->k.now, accepted, b, &b->k.e));
	for (unsigned i = 0; i < b->n; i++)
		kit_outcome(&b->k, b->ids[i], 0,
			    i * 100 < b->batch * b->deferred_percent ? RCPT_QUEUED : RCPT_DONE,
			    i * 100 < b->batch * b->deferred_percent ? EVENT_DEFERRED
								     : EVENT_DELIVERED);
	cpu = clock_thread_cpu_us() - start;
	*wall += clock_now_us();
	return cpu;
}

static void run(struct bench *b, unsigned messages, bool print)
{
	us_t cpu = 0, wall = 0, last = clock_now_us(), slowest = 0;
	pthread_t t;

	kit_open(&b->k);
	stop = false;
	pthread_create(&t, NULL, worker, &b->k);
	for (unsigned done = 0; done < messages; done += b->batch) {
		us_t took = round_of(b, &wall), start, w;

		cpu += took;
		w = clock_now_us();
		if (w - last < COMMIT_US)
			continue;
		start = clock_thread_cpu_us();
		wall -= clock_now_us();
		kit_commit(&b->k, false);
		spool_reader_position(b->k.s, "log", UINT64_MAX / 2);
		spool_step(b->k.s, b->k.now);
		wall += clock_now_us();
		took = clock_thread_cpu_us() - start;
		slowest = took > slowest ? took : slowest;
		cpu += took;
		last = clock_now_us();
	}
	kit_commit(&b->k, true);
	kit_check_invariant(&b->k, (messages + b->batch - 1) / b->batch *
				       (b->batch * b->deferred_percent / 100));
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(t, NULL);
	if (print)
		printf("batch %4u, %3u%% deferred: %6.2f us CPU a message, %6.2f us wall, slowest "
		       "commit %.1f ms CPU\n",
		       b->batch, b->deferred_percent, (double)cpu / messages,
		       (double)wall / messages, (double)slowest / 1000);
	kit_close(&b->k);
}

static void count(void *arg, struct message *m)
{
	++*(uint64_t *)arg;
	message_free(m);
}

static void fill_backlog(struct kit *k, unsigned n)
{
	static struct got g;

	for (unsigned i = 0; i < n; i++) {
		assert_true(spool_add(k->s, kit_message(k, 1, 10)));
		if (spool_batch_count(k->s) < 500 && i + 1 < n)
			continue;
		assert_null(spool_flush(k->s, k->now, kit_take, &g, &k->e));
		for (size_t j = 0; j < g.n; j++)
			if (j % 4 == 0)
				kit_outcome(k, g.v[j]->id, 0, RCPT_QUEUED, EVENT_DEFERRED);
		got_free(&g);
		kit_commit(k, false);
	}
}

static void load(struct kit *k, unsigned n, bool print)
{
	uint64_t got = 0;
	us_t start, slowest = 0;

	kit_open(k);
	fill_backlog(k, n);
	kit_reopen(k);
	start = clock_thread_cpu_us();
	for (bool more = true; more;) {
		us_t step = clock_thread_cpu_us();

		more = spool_load(k->s, 256, count, &got);
		step = clock_thread_cpu_us() - step;
		slowest = step > slowest ? step : slowest;
	}
	assert_int_equal(got, n);
	if (print)
		printf("load of %u: %.2f s CPU, slowest step of 256: %.2f ms\n", n,
		       (double)(clock_thread_cpu_us() - start) / US_PER_S, (double)slowest / 1000);
	kit_close(k);
}

static void init(struct bench *b, const char *dir)
{
	*b = (struct bench){ .batch = 50 };
	kit_init(&b->k);
	if (dir) {
		kit_remove(b->k.dir);
		snprintf(b->k.dir, sizeof b->k.dir, "%s/stoker-bench-XXXXXX", dir);
		assert_non_null(mkdtemp(b->k.dir));
		snprintf(b->k.state, sizeof b->k.state, "%s/state", b->k.dir);
	}
}

static void a_short_run_adds_up(void **state)
{
	static struct bench b;

	(void)state;
	init(&b, NULL);
	b.k.o.segment_bytes = 4 << 20;
	b.deferred_percent = 10;
	run(&b, SMALL_RUN, false);
	kit_done(&b.k);
	init(&b, NULL);
	b.k.o.segment_bytes = 4 << 20;
	load(&b.k, SMALL_RUN, false);
	kit_done(&b.k);
}

static int bench(const char *dir)
{
	static const unsigned batches[] = { 1, 10, 20, 50, 100, 200 };
	static struct bench b;

	for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++)
		for (unsigned deferred = 0; deferred <= 100; deferred += 100) {
			init(&b, dir);
			b.k.o.segment_bytes = b.k.o.map_bytes = 0;
			b.batch = batches[i];
			b.deferred_percent = deferred;
			run(&b, batches[i] < 10 ? 20000 : 100000, true);
			kit_done(&b.k);
		}
	init(&b, dir);
	b.k.o.segment_bytes = b.k.o.map_bytes = 0;
	load(&b.k, LOADED, true);
	kit_done(&b.k);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(a_short_run_adds_up) };

	clock_init();
	if (argc > 1 && !strcmp(argv[1], "--bench"))
		return bench(argc > 2 ? argv[2] : NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
