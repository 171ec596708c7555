/* Without memory a batch is refused or an outcome is asked for again; nothing is half done and
 * nothing is lost. Every allocation on the way fails once in turn. */
#include "tests/unit/spool/kit.h"

static long fail_at, allocations; /* 0: none fails */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum {
	FAILING = 0
}; /* their allocators are not to be replaced: the same lives, without a failure */
#else
enum { FAILING = 1 };

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *p, size_t n);

static bool fails(void)
{
	return fail_at && ++allocations == fail_at;
}

void *malloc(size_t n)
{
	return fails() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t each)
{
	return fails() ? NULL : __libc_calloc(n, each);
}

void *realloc(void *p, size_t n)
{
	return fails() ? NULL : __libc_realloc(p, n);
}
#endif

enum { RCPTS = 10, ENOUGH = 60, STARTS = 300 };

static void fail_next(long n)
{
	fail_at = n;
	allocations = 0;
}

/* A try with the n-th allocation failing, then one with memory. */
static void accept(struct kit *k, struct message *m, long n)
{
	struct got g = { .n = 0 };
	bool added, flushed = false;

	fail_next(n);
	added = spool_add(k->s, m);
	if (added)
		flushed = !spool_flush(k->s, k->now, kit_take, &g, &k->e);
	fail_next(0);
	if (!added) {
		assert_int_equal(spool_batch_count(k->s), 0);
		assert_true(spool_add(k->s, m));
	} else if (!flushed) {
		assert_non_null(g.err[0]);
		assert_true(spool_add(k->s, g.v[0]));
	} else {
		got_free(&g);
		return;
	}
	g.n = 0;
	assert_null(spool_flush(k->s, k->now, kit_take, &g, &k->e));
	got_free(&g);
}

static void outcome(struct kit *k, uint64_t id, uint32_t rcpt, enum rcpt_state state,
		    enum event_type as, long n)
{
	struct outcome o = {
		.message = id, .rcpt = rcpt, .state = state, .as = as, .reply = STR_LIT("words")
	};
	struct event e = { .at = k->now, .type = as, .message = id, .reply = STR_LIT("words") };
	bool done;

	fail_next(n);
	done = spool_outcome(k->s, &o, as == EVENT_RECEIVED ? NULL : &e);
	fail_next(0);
	if (!done)
		assert_true(spool_outcome(k->s, &o, as == EVENT_RECEIVED ? NULL : &e));
}

static void commit(struct kit *k, long n)
{
	fail_next(n);
	const struct err *err = spool_commit(k->s, k->now, true, &k->e);

	fail_next(0);
	if (err)
		kit_commit(k, true);
}

static struct message *report(struct kit *k, uint64_t id)
{
	static const uint32_t rcpts[] = { 2, 3 };
	struct message *m = kit_message(k, 1, 10);

	m->dsn = true;
	m->reports_on = id;
	m->reports_rcpts = rcpts;
	m->nreports_rcpts = 2;
	return m;
}

static void count(void *arg, const struct event *e)
{
	++((int *)arg)[e->type];
}

static void one_life(long n)
{
	int told[EVENT_TYPES] = { 0 };
	struct event_reader *r;
	struct message *m;
	struct kit k;

	kit_init(&k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	kit_open(&k);
	uint64_t id;

	m = kit_message(&k, RCPTS, 100);
	id = m->id;
	accept(&k, m, n);
	commit(&k, n);
	outcome(&k, id, 0, RCPT_DONE, EVENT_DELIVERED, n);
	outcome(&k, id, 1, RCPT_QUEUED, EVENT_DEFERRED, n);
	outcome(&k, id, 2, RCPT_REPORT, EVENT_BOUNCED, n);
	outcome(&k, id, 3, RCPT_REPORT, EVENT_EXPIRED, n);
	commit(&k, n);
	accept(&k, report(&k, id), n);
	commit(&k, n);
	kit_settle(&k);
	kit_check_invariant(&k, RCPTS - 3 + 1);
	kit_reopen(&k);
	m = spool_message(k.s, id);
	for (uint32_t i = 0; i < RCPTS; i++)
		assert_int_equal(m->rcpts[i].state, i == 1 || i > 3 ? RCPT_QUEUED : RCPT_DONE);
	message_free(m);
	r = event_reader_open(k.s, "r");
	while (event_reader_next(r, 10, count, told))
		;
	event_reader_close(r);
	assert_int_equal(told[EVENT_RECEIVED], 2);
	assert_int_equal(told[EVENT_DELIVERED], 1);
	assert_int_equal(told[EVENT_DEFERRED], 1);
	assert_int_equal(told[EVENT_BOUNCED], 1);
	assert_int_equal(told[EVENT_EXPIRED], 1);
	kit_done(&k);
}

static void any_failed_allocation_leaves_all_as_it_was(void **state)
{
	(void)state;
	for (long n = 1; n < (FAILING ? ENOUGH : 2); n++)
		one_life(n);
}

static void a_start_without_memory_is_an_error(void **state)
{
	struct kit k, dead;
	struct message *m;
	int failed = 0;

	(void)state;
	kit_init(&k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	kit_open(&k);
	uint64_t id = kit_accept(&k, 3, 100);

	kit_commit(&k, true);
	uint64_t behind = kit_accept(&k, 3, 100);

	for (long n = 1; n < (FAILING ? STARTS : 2); n++) {
		kit_copy(&k, &dead);
		fail_next(n);
		const struct err *err = spool_open(&dead.o, &dead.s, &dead.e);

		fail_next(0);
		failed += err != NULL;
		if (err) {
			assert_null(dead.s);
			kit_open(&dead);
		}
		m = spool_message(dead.s, id);
		assert_non_null(m);
		message_free(m);
		m = spool_message(dead.s, behind);
		assert_non_null(m);
		message_free(m);
		kit_check_invariant(&dead, 6);
		kit_done(&dead);
	}
	assert_true(!FAILING || failed > 20);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(any_failed_allocation_leaves_all_as_it_was),
		cmocka_unit_test(a_start_without_memory_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
