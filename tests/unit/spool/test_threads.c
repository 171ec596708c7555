/* What the header calls "any thread" may be called from any: run it under TSan (make FLAVOUR=tsan
 * unit T=spool/test_threads). */
#include <pthread.h>
#include <sched.h>

#include "tests/unit/spool/kit.h"

enum { MESSAGES = 1500, EVENTS = 2 * MESSAGES };

struct shared_test {
	struct kit k;
	uint32_t stop;		 /* atomic */
	uint32_t ids_taken;	 /* atomic */
	struct body *bodies[64]; /* atomic slots: handed to the body thread */
	uint64_t position;	 /* atomic: of the reader */
};

static bool stopped(struct shared_test *t)
{
	return __atomic_load_n(&t->stop, __ATOMIC_ACQUIRE);
}

static void *prepare(void *arg)
{
	struct shared_test *t = arg;
	struct errbuf e;

	while (!stopped(t)) {
		if (spool_wants_segment(t->k.s))
			spool_prepare_segment(t->k.s, &e);
		sched_yield();
	}
	return NULL;
}

static void *take_ids(void *arg)
{
	struct shared_test *t = arg;
	uint64_t last = 0;

	while (!stopped(t)) {
		uint64_t id = spool_new_id(t->k.s);

		assert_true(id > last);
		last = id;
		sched_yield();
	}
	return NULL;
}

static void count(void *arg, const struct event *e)
{
	uint64_t *n = arg;

	assert_int_equal(e->id, *n + 1);
	*n = e->id;
}

static void *read_events(void *arg)
{
	struct shared_test *t = arg;
	struct event_reader *r = event_reader_open(t->k.s, "log");
	uint64_t n = 0;

	while (n < EVENTS) {
		event_reader_next(r, 50, count, &n);
		__atomic_store_n(&t->position, n, __ATOMIC_RELEASE);
		sched_yield();
	}
	assert_int_equal(event_reader_missed(r), 0);
	event_reader_close(r);
	return NULL;
}

static void *use_bodies(void *arg)
{
	struct shared_test *t = arg;
	struct errbuf e;

	while (!stopped(t)) {
		for (size_t i = 0; i < 64; i++) {
			struct body *b = __atomic_exchange_n(&t->bodies[i], NULL, __ATOMIC_ACQ_REL),
				    *in;

			if (!b)
				continue;
			if (b->size < BODY_MEMORY_MAX && !spool_body_load(b, &in, &e))
				body_unref(in);
			body_unref(b);
		}
		sched_yield();
	}
	return NULL;
}

static void *write_large(void *arg)
{
	struct shared_test *t = arg;
	struct errbuf e;
	struct body *b;

	while (!stopped(t)) {
		struct spool_large *l = spool_large_create(t->k.s, spool_new_id(t->k.s), &e);

		assert_non_null(l);
		assert_null(spool_large_write(l, STR_LIT("large\r\n"), &e));
		assert_null(spool_large_finish(l, true, true, &b, &e));
		body_unref(b);
		sched_yield();
	}
	return NULL;
}

static void hand_body(struct shared_test *t, uint64_t id, int i)
{
	struct message *m = spool_message(t->k.s, id);
	struct body *b = spool_body(t->k.s, id, &m->where), *old;

	assert_non_null(b);
	old = __atomic_exchange_n(&t->bodies[i % 64], b, __ATOMIC_ACQ_REL);
	body_unref(old);
	message_free(m);
}

static void the_spool_works_while_others_use_what_is_theirs(void **state)
{
	static void *(*const work[])(void *) = { prepare, take_ids, use_bodies, write_large,
						 read_events };
	enum { THREADS = sizeof work / sizeof work[0] };
	static struct shared_test t;
	pthread_t threads[THREADS];

	(void)state;
	kit_init(&t.k);
	t.k.o.map_bytes = 512 * 1024; /* grows meanwhile */
	kit_open(&t.k);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work[i], &t), 0);
	for (int i = 0; i < MESSAGES; i++) {
		uint64_t id = kit_accept(&t.k, 1, 1000);

		hand_body(&t, id, i);
		kit_outcome(&t.k, id, 0, RCPT_DONE, EVENT_DELIVERED);
		if (i % 5 == 0)
			kit_commit(&t.k, i % 10 == 0);
		spool_reader_position(t.k.s, "log", __atomic_load_n(&t.position, __ATOMIC_ACQUIRE));
		spool_step(t.k.s, t.k.now);
	}
	kit_commit(&t.k, true);
	pthread_join(threads[THREADS - 1], NULL);
	__atomic_store_n(&t.stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < THREADS - 1; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 64; i++)
		body_unref(t.bodies[i]);
	kit_check_invariant(&t.k, 0);
	kit_done(&t.k);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(
	    the_spool_works_while_others_use_what_is_theirs) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
