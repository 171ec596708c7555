/* Whatever the moment of a crash and whatever of the unsynced writes has survived it, recovery
 * finds every promise kept. The first 300 operations of a spool's life are all tried (with
 * sanitizers every fifth: they look for other things, in the same lives), and random ones of longer
 * lives: 300, with STOKER_FULL 10,000, or as many as the first argument says.
 * STOKER_SEED makes it another run; 1 is the usual one. */
#undef _FORTIFY_SOURCE
#include "tests/unit/spool/oracle.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { OPS_A_CRASH = 5, FEW_CRASHES = 150 };
#else
enum { OPS_A_CRASH = 1, FEW_CRASHES = 300 };
#endif
enum {
	FIRST_OPS = 300,
	MANY_CRASHES = 10000,
	STEPS = 260,
	CRASHES_A_WORLD = 150,
	SEGMENT_BYTES = 48 * 1024
};

static size_t crashes = FEW_CRASHES;
static uint64_t seed = 1;
static size_t tried, within_recovery, operations; /* for the report */

static void small_spool(struct kit *k)
{
	kit_init(k);
	k->o.segment_bytes = SEGMENT_BYTES;
	k->o.map_bytes = 4 << 20;
}

/* A life, from the empty folder on, recorded. */
static void live(struct world *w, struct kit *k, struct disk *d, size_t max_ops, unsigned steps)
{
	disk_record(d, k->dir);
	kit_open(k);
	for (unsigned i = 0; i < steps && d->nops < max_ops; i++)
		world_step(w);
	event_reader_close(w->reader);
	w->reader = NULL;
	w_no_fault();
	disk_stop();
	operations += d->nops;
	kit_close(k);
}

static void finish(void *arg, struct message *m)
{
	struct kit *k = arg;

	for (uint32_t i = 0; i < m->nrcpts; i++)
		if (m->rcpts[i].state != RCPT_DONE)
			kit_outcome(k, m->id, i, RCPT_DONE,
				    m->rcpts[i].state == RCPT_REPORT ? EVENT_RECEIVED
								     : EVENT_DELIVERED);
	message_free(m);
}

/* The spool lives on after the recovery: it takes mail, and all that was recovered can be finished.
 */
static void go_on(struct kit *k)
{
	struct spool_stats st;
	struct message *m;
	uint64_t id;

	kit_reopen(k);
	while (spool_load(k->s, 100, finish, k))
		kit_commit(k, false);
	id = kit_accept(k, 2, 500);
	kit_outcome(k, id, 0, RCPT_DONE, EVENT_DELIVERED);
	kit_settle(k);
	kit_reopen(k);
	m = spool_message(k->s, id);
	assert_non_null(m);
	assert_int_equal(m->rcpts[0].state, RCPT_DONE);
	assert_int_equal(m->rcpts[1].state, RCPT_QUEUED);
	spool_stats(k->s, k->now, &st);
	assert_int_equal(st.messages, 1);
	assert_int_equal(st.bytes, m->where.body_bytes);
	kit_check_invariant(k, 1);
	message_free(m);
}

/* A crash in the middle of the recovery from a crash: the next one finds the same. `before`: the
 * first was a mere death of the process, which left that disk's unsynced writes in the page cache.
 */
static void crash_in_recovery(const struct world *w, struct kit *k, const struct disk *before,
			      size_t at, uint32_t sum, struct rng *r)
{
	struct kit again;
	struct disk d;

	disk_record(&d, k->dir);
	if (before)
		disk_inherit(&d, 0, before, 0);
	kit_open(k);
	disk_stop();
	kit_close(k);
	kit_beside(k, &again, "-again");
	disk_advance(&d, before ? d.nops : (size_t)rng_below(r, d.nops + 1));
	disk_image(&d, again.dir, (enum disk_loss)rng_below(r, 4), r);
	disk_free(&d);
	kit_open(&again);
	assert_int_equal(world_check(w, &again, at), sum);
	kit_done(&again);
}

static void crash(struct world *w, const struct kit *lived, struct disk *d, size_t at,
		  enum disk_loss loss, struct rng *r)
{
	struct kit k, twin;
	uint32_t sum;
	bool nested = !rng_below(r, 4);

	tried++;
	within_recovery += nested;
	kit_beside(lived, &k, "-crash");
	disk_advance(d, at);
	disk_image(d, k.dir, loss, r);
	if (nested)
		kit_copy(&k, &twin);
	kit_open(&k);
	sum = world_check(w, &k, at);
	kit_reopen(&k);
	assert_int_equal(world_check(w, &k, at), sum);
	if (nested) {
		crash_in_recovery(w, &twin, loss == DISK_KEEP_ALL ? d : NULL, at, sum, r);
		kit_done(&twin);
		go_on(&k);
	}
	kit_done(&k);
}

static void every_crash_in_the_first_operations_keeps_every_promise(void **state)
{
	struct world w;
	struct kit k;
	struct disk d;
	struct rng r;

	(void)state;
	small_spool(&k);
	world_init(&w, &k, &d, seed);
	rng_seed(&r, seed);
	live(&w, &k, &d, FIRST_OPS, UINT32_MAX);
	for (size_t at = 0; at <= FIRST_OPS; at += OPS_A_CRASH)
		for (int loss = DISK_KEEP_ALL; loss <= DISK_TORN; loss++)
			crash(&w, &k, &d, at, (enum disk_loss)loss, &r);
	disk_free(&d);
	world_free(&w);
	kit_done(&k);
}

static int by_size(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

static void crash_world(uint64_t number, size_t n)
{
	size_t at[CRASHES_A_WORLD];
	struct world w;
	struct kit k;
	struct disk d;
	struct rng r;

	small_spool(&k);
	world_init(&w, &k, &d, number);
	rng_seed(&r, number);
	live(&w, &k, &d, SIZE_MAX, STEPS);
	for (size_t i = 0; i < n; i++)
		at[i] = (size_t)rng_below(&r, d.nops + 1);
	qsort(at, n, sizeof at[0], by_size);
	for (size_t i = 0; i < n; i++)
		crash(&w, &k, &d, at[i], (enum disk_loss)rng_below(&r, 4), &r);
	disk_free(&d);
	world_free(&w);
	kit_done(&k);
}

static void random_crashes_in_longer_lives_keep_every_promise(void **state)
{
	(void)state;
	for (size_t done = 0, number = 0; done < crashes; done += CRASHES_A_WORLD, number++) {
		size_t left = crashes - done;

		crash_world(seed * 1000 + number, left < CRASHES_A_WORLD ? left : CRASHES_A_WORLD);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_crash_in_the_first_operations_keeps_every_promise),
		cmocka_unit_test(random_crashes_in_longer_lives_keep_every_promise),
	};
	const char *s = getenv("STOKER_SEED");
	int rc;

	clock_init();
	crashes = getenv("STOKER_FULL") ? MANY_CRASHES : FEW_CRASHES;
	if (argc > 1)
		crashes = strtoul(argv[1], NULL, 10);
	seed = s ? strtoull(s, NULL, 10) : 1;
	rc = cmocka_run_group_tests(tests, NULL, NULL);
	printf("# %zu crashes in lives of %zu operations together, %zu of them with another crash "
	       "in the "
	       "recovery\n",
	       tried, operations, within_recovery);
	return rc;
}
