/* Queries over the mirror: properties at random sizes, and their time at 100,000 rows. */
#include "tests/unit/control/world.h"

#include <time.h>

enum { MANY = 100000 };

static void fill(struct mirror *m, struct rng *rng, int n)
{
	for (int i = 1; i <= n; i++) {
		char domain[64];
		struct row r;

		snprintf(domain, sizeof domain, "d%llu.example",
			 (unsigned long long)rng_below(rng, 1000000));
		r = queue_row((uint64_t)i, domain, i % 2 ? "pool-a" : "pool-b",
			      (enum row_state)rng_below(rng, 8), rng_below(rng, 50));
		r.queue.t.rate = (float)rng_below(rng, 100);
		r.queue.site = 1 + rng_below(rng, 5);
		if (rng_below(rng, 3))
			r.queue.next_attempt = world_now + (us_t)rng_below(rng, 100) * US_PER_S;
		mirror_row(m, &r);
	}
}

static struct page *run(struct mirror *m, struct query q)
{
	struct page *p = query_run(m, &q, world_now);

	assert_non_null(p);
	if (p->error[0])
		fail_msg("%s", p->error);
	return p;
}

static unsigned rank(const struct row *r)
{
	switch ((enum row_state)r->state) {
	case STATE_DOWN:
		return 0;
	case STATE_BACKOFF:
	case STATE_RESTING:
		return 1;
	case STATE_PAUSED:
		return 2;
	case STATE_DISABLED:
		return 3;
	case STATE_OK:
	case STATE_WARMING:
	case STATE_IDLE:
		break;
	}
	return 4;
}

static int by_trouble(const struct row *a, const struct row *b)
{
	if (rank(a) != rank(b))
		return rank(a) < rank(b) ? -1 : 1;
	return a->queue.queued > b->queue.queued ? -1 : a->queue.queued < b->queue.queued;
}

static int by_queued(const struct row *a, const struct row *b)
{
	return a->queue.queued > b->queue.queued ? -1 : a->queue.queued < b->queue.queued;
}

static int by_name(const struct row *a, const struct row *b)
{
	return strcmp(a->name->text, b->name->text);
}

static int by_next(const struct row *a, const struct row *b)
{
	us_t x = a->queue.next_attempt ? a->queue.next_attempt : US_NEVER;
	us_t y = b->queue.next_attempt ? b->queue.next_attempt : US_NEVER;

	return x < y ? -1 : x > y;
}

static int by_queued_up(const struct row *a, const struct row *b)
{
	return -by_queued(a, b);
}

static int by_name_down(const struct row *a, const struct row *b)
{
	return -by_name(a, b);
}

static const struct {
	const char *sort;
	int (*order)(const struct row *a, const struct row *b);
} sorts[] = {
	{ "", by_trouble },	     { "trouble", by_trouble }, { "queued", by_queued },
	{ "-queued", by_queued_up }, { "name", by_name },	{ "-QUEUE", by_name_down },
	{ "next_attempt", by_next },
};

/* Pages of every size cover every match once, in order. */
static void check_paging(struct mirror *m, const char *filter, size_t s, int limit)
{
	size_t n = mirror_count(m, ROW_QUEUE);
	bool *seen = calloc(MANY + 1, sizeof *seen);
	struct row last = { .id = 0 };
	int64_t total = -1, found = 0;

	for (int offset = 0; offset == 0 || found < total; offset += limit) {
		struct page *p = run(m, (struct query){ .list = LIST_QUEUES,
							.filter = str_of(filter),
							.sort = str_of(sorts[s].sort),
							.limit = limit,
							.offset = offset });

		total = p->total;
		assert_int_equal(p->all, n);
		assert_int_equal(p->offset, offset < total ? offset : total);
		assert_int_equal(p->nrows, total - offset < limit ? total - offset : limit);
		assert_int_equal(p->rest_rows, total - offset - p->nrows);
		for (int i = 0; i < p->nrows; i++) {
			assert_false(seen[p->rows[i].id]);
			seen[p->rows[i].id] = true;
			if (last.id && sorts[s].order(&last, &p->rows[i]) > 0)
				fail_msg("sort %s: row %lld", sorts[s].sort,
					 (long long)(found + i));
			row_release(&last);
			last = p->rows[i];
			row_retain(&last);
		}
		found += p->nrows;
		page_free(p);
		if (!limit || !total)
			break;
	}
	assert_int_equal(found, total);
	row_release(&last);
	free(seen);
}

static void test_paging_covers_everything_once(void **state)
{
	static const int sizes[] = { 1, 2, 16, 17, 100, 1000 }, limits[] = { 1, 7, 50, 2000 };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 1);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		struct mirror *m = mirror_new();

		fill(m, &rng, sizes[i]);
		for (size_t s = 0; s < sizeof sorts / sizeof sorts[0]; s++)
			for (size_t l = sizes[i] > 100; l < sizeof limits / sizeof limits[0]; l++) {
				check_paging(m, "", s, limits[l]);
				check_paging(m, "pool-a queued>10", s, limits[l]);
			}
		mirror_free(m);
	}
}

static void test_rest_counts_recipients_below(void **state)
{
	struct mirror *m = mirror_new();
	struct page *p;

	(void)state;
	for (uint64_t i = 1; i <= 10; i++) {
		struct row r = queue_row(i, "x.example", "p", STATE_OK, i);

		mirror_row(m, &r);
	}
	p = run(m, (struct query){ .list = LIST_QUEUES, .limit = 3 });
	assert_int_equal(p->rows[0].queue.queued, 10);
	assert_int_equal(p->rest_rows, 7);
	assert_int_equal(p->rest_recipients, 1 + 2 + 3 + 4 + 5 + 6 + 7);
	page_free(p);
	mirror_free(m);
}

static void test_around_moves_the_window_as_little_as_needed(void **state)
{
	struct mirror *m = mirror_new();

	(void)state;
	for (uint64_t i = 1; i <= 100; i++) {
		struct row r = queue_row(i, "x.example", "p", STATE_OK, 1000 - i); /* rank i - 1 */

		mirror_row(m, &r);
	}
	const struct {
		int offset;
		uint64_t around;
		int expect;
	} t[] = { { 0, 5, 0 },	  { 0, 10, 0 }, { 0, 11, 1 },	 { 0, 100, 90 }, { 50, 51, 50 },
		  { 50, 50, 49 }, { 50, 1, 0 }, { 50, 777, 50 }, { 0, 0, 0 } };

	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		struct page *p = run(m, (struct query){ .list = LIST_QUEUES,
							.limit = 10,
							.offset = t[i].offset,
							.around = t[i].around });

		assert_int_equal(p->offset, t[i].expect);
		page_free(p);
	}
	mirror_free(m);
}

static void test_rows_of_a_site_and_lanes_of_a_source(void **state)
{
	struct mirror *m = mirror_new();
	struct row rows[] = { lane_row(1, "google", "vmta1", 7), lane_row(2, "google", "vmta2", 7),
			      lane_row(3, "yahoo", "vmta1", 8), source_row(4, "vmta1") };
	struct page *p;

	(void)state;
	for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
		mirror_row(m, &rows[i]);
	p = run(m, (struct query){ .list = LIST_LANES, .site = 7 });
	assert_int_equal(p->total, 2);
	page_free(p);
	p = run(m, (struct query){ .list = LIST_LANES, .vmta = 4 });
	assert_int_equal(p->total, 2);
	page_free(p);
	p = run(m, (struct query){ .list = LIST_LANES, .vmta = 4, .site = 8 });
	assert_int_equal(p->total, 1);
	assert_int_equal(p->rows[0].id, 3);
	page_free(p);
	mirror_free(m);
}

static void test_a_bad_query_is_an_empty_page_with_words(void **state)
{
	struct mirror *m = mirror_new();
	struct query q = { .list = LIST_QUEUES, .filter = STR_LIT("nofield:x") };
	struct page *p = query_run(m, &q, world_now);

	(void)state;
	assert_true(p->error[0] && p->nrows == 0);
	page_free(p);
	q = (struct query){ .list = LIST_QUEUES, .sort = STR_LIT("nofield") };
	p = query_run(m, &q, world_now);
	assert_non_null(strstr(p->error, "nofield"));
	page_free(p);
	mirror_free(m);
}

/* A mirror against a plain array, at random. */
static void test_mirror_keeps_the_last_word_about_each_row(void **state)
{
	enum { IDS = 200 };
	struct mirror *m = mirror_new();
	uint64_t queued[IDS + 1] = { 0 };
	struct rng rng;

	(void)state;
	rng_seed(&rng, 3);
	for (int i = 0; i < 20000; i++) {
		uint64_t id = 1 + rng_below(&rng, IDS);
		char domain[32];

		if (rng_below(&rng, 3) == 0) {
			struct row gone = { .id = id, .kind = ROW_QUEUE, .deleted = true };

			mirror_row(m, &gone);
			queued[id] = 0;
			continue;
		}
		snprintf(domain, sizeof domain, "d%llu", (unsigned long long)id);
		queued[id] = 1 + rng_below(&rng, 1000);
		struct row r = queue_row(id, domain, "p", STATE_OK, queued[id]);

		mirror_row(m, &r);
	}
	size_t alive = 0;

	for (uint64_t id = 1; id <= IDS; id++) {
		const struct row *r = mirror_find(m, ROW_QUEUE, id);
		char name[32];

		snprintf(name, sizeof name, "d%llu/p", (unsigned long long)id);
		assert_ptr_equal(r, mirror_find_name(m, ROW_QUEUE, str_of(name)));
		assert_int_equal(r ? r->queue.queued : 0, queued[id]);
		alive += r != NULL;
	}
	assert_int_equal(mirror_count(m, ROW_QUEUE), alive);
	mirror_free(m);
}

/* A filter that stands gives what a fresh one would, whatever happened to the rows in between. */
static void test_standing_filters_follow_the_rows(void **state)
{
	static const char *const filters[] = { "pool-a", "queued>25", "state:down|paused",
					       "!pool-b d1", "oldest>10" };
	struct mirror *m = mirror_new();
	struct rng rng;

	(void)state;
	rng_seed(&rng, 21);
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 20; i++) {
			uint64_t id = 1 + rng_below(&rng, 150);
			char domain[32];
			struct row r;

			snprintf(domain, sizeof domain, "d%llu.example",
				 (unsigned long long)rng_below(&rng, 300));
			r = queue_row(id, domain, rng_below(&rng, 2) ? "pool-a" : "pool-b",
				      (enum row_state)rng_below(&rng, 8), rng_below(&rng, 50));
			if (rng_below(&rng, 4) == 0) {
				row_release(&r);
				r = (struct row){ .id = id, .kind = ROW_QUEUE, .deleted = true };
			}
			mirror_row(m, &r);
		}
		const char *text = filters[rng_below(&rng, sizeof filters / sizeof filters[0])];
		struct query q = { .list = LIST_QUEUES, .filter = str_of(text) };
		struct filter *fresh = filter_parse(LIST_QUEUES, q.filter, NULL);
		const struct row *r;
		size_t pos = 0;
		int64_t expect = 0;

		while ((r = mirror_next(m, ROW_QUEUE, &pos)) != NULL)
			expect += filter_match(fresh, r, world_now);
		filter_free(fresh);
		struct page *p = run(m, q);

		assert_int_equal(p->total, expect);
		page_free(p);
	}
	mirror_free(m);
}

static void test_a_filter_of_ages_is_asked_anew(void **state)
{
	struct mirror *m = mirror_new();
	struct row r = queue_row(1, "x.example", "p", STATE_OK, 1);
	struct query q = { .list = LIST_QUEUES, .filter = STR_LIT("oldest>10m") };
	struct page *p;

	(void)state;
	r.queue.oldest = world_now;
	mirror_row(m, &r);
	p = query_run(m, &q, world_now);
	assert_int_equal(p->total, 0);
	page_free(p);
	p = query_run(m, &q, world_now + 11 * US_PER_MIN);
	assert_int_equal(p->total, 1);
	page_free(p);
	mirror_free(m);
}

static void add_one(struct mirror *m, uint64_t id, struct rng *rng)
{
	char domain[32];
	struct row r;

	snprintf(domain, sizeof domain, "same-start%llu.example", (unsigned long long)id);
	r = queue_row(id, domain, rng_below(rng, 2) ? "pool-a" : "pool-b", STATE_OK,
		      rng_below(rng, 50));
	mirror_row(m, &r);
}

/* Rows come, change and go between the steps: whoever is there all the time is met once, nobody
 * twice, and the page is as long as it can be. */
static void check_moving(struct mirror *m, struct rng *rng, struct query q, uint64_t *next)
{
	enum { STEADY = 6000 };
	bool *seen;
	struct asking *k = asking_new(m, &q, world_now);
	struct page *p;
	int steps = 0, steady = 0;

	assert_non_null(k);
	while (!asking_step(k) && ++steps)
		for (int i = 0; i < 20; i++) {
			struct row gone = { .id = STEADY + 1 + rng_below(rng, STEADY),
					    .kind = ROW_QUEUE,
					    .deleted = true };

			mirror_row(m, &gone);
			add_one(m, (*next)++, rng);
			add_one(m, 1 + rng_below(rng, STEADY), rng);
		}
	assert_true(steps >= 1);
	p = asking_page(k);
	asking_free(k);
	seen = calloc(*next, sizeof *seen);
	for (int i = 0; i < p->nrows; i++) {
		assert_false(seen[p->rows[i].id]);
		seen[p->rows[i].id] = true;
		steady += p->rows[i].id <= STEADY;
	}
	if (!q.limit)
		assert_int_equal(steady, STEADY);
	page_free(p);
	free(seen);
}

static void test_a_query_in_steps_meets_every_row_once(void **state)
{
	static const char *const orders[] = { "queued", "name", "-state" };
	struct mirror *m = mirror_new();
	struct rng rng;
	uint64_t next = 12001;

	(void)state;
	rng_seed(&rng, 31);
	for (uint64_t id = 1; id < next; id++)
		add_one(m, id, &rng);
	for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
		struct query q = { .list = LIST_QUEUES, .sort = str_of(orders[i]) };

		check_moving(m, &rng, q, &next);
		q.filter = STR_LIT("pool-a|pool-b");
		q.around = 77;
		check_moving(m, &rng, q, &next);
	}
	mirror_free(m);
}

static us_t cpu(void)
{
	return clock_thread_cpu_us();
}

/* No step may be long, or the console's loop is: 2 ms of the 5 of a pass. */
static us_t longest_step(struct mirror *m, struct query q)
{
	struct asking *k = asking_new(m, &q, world_now);
	us_t longest = 0;
	bool ready = false;

	while (!ready) {
		us_t start = cpu();

		ready = asking_step(k);
		if (cpu() - start > longest)
			longest = cpu() - start;
	}
	asking_free(k);
	return longest;
}

static us_t best_of(struct mirror *m, struct query q)
{
	us_t best = US_NEVER;

	for (int i = 0; i < 7; i++) {
		us_t start = cpu();

		page_free(run(m, q));
		if (cpu() - start < best)
			best = cpu() - start;
	}
	return best;
}

static void test_time_over_100000_rows(void **state)
{
	/* The promise is 5 ms for the first; sanitizers cost much more, hence the room. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	const us_t room = 40;
#else
	const us_t room = 2;
#endif
	const struct {
		const char *what;
		struct query q;
		us_t most_ms;
	} t[] = {
		{ "default order, top 50", { .list = LIST_QUEUES, .limit = 50 }, 5 },
		{ "by rate, top 50",
		  { .list = LIST_QUEUES, .limit = 50, .sort = STR_LIT("rate") },
		  10 },
		{ "by name, top 50",
		  { .list = LIST_QUEUES, .limit = 50, .sort = STR_LIT("name") },
		  40 },
		{ "by a text of few values",
		  { .list = LIST_QUEUES, .limit = 50, .sort = STR_LIT("route") },
		  200 },
		{ "filter of a number",
		  { .list = LIST_QUEUES, .limit = 50, .filter = STR_LIT("queued>40") },
		  15 },
		{ "filter of a word",
		  { .list = LIST_QUEUES, .limit = 50, .filter = STR_LIT("d77") },
		  5 },
		{ "filter of a regex",
		  { .list = LIST_QUEUES, .limit = 50, .filter = STR_LIT("/d77\\d+/") },
		  5 },
		{ "cursor in the middle",
		  { .list = LIST_QUEUES, .limit = 50, .around = MANY / 2 },
		  10 },
		{ "all in order", { .list = LIST_QUEUES }, 80 },
	};
	struct mirror *m = mirror_new();
	struct rng rng;

	(void)state;
	rng_seed(&rng, 9);
	fill(m, &rng, MANY);
	for (size_t i = 0; i < sizeof t / sizeof t[0]; i++) {
		us_t step = longest_step(m, t[i].q), took = best_of(m, t[i].q);

		for (int k = 0; k < 4; k++) {
			us_t again = longest_step(m, t[i].q);

			step = again < step ? again : step;
		}

		print_message("%-24s %6.2f ms, longest step %.2f\n", t[i].what, (double)took / 1000,
			      (double)step / 1000);
		assert_true(took < t[i].most_ms * room * US_PER_MS);
		assert_true(step < room * US_PER_MS);
	}
	mirror_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_paging_covers_everything_once),
		cmocka_unit_test(test_rest_counts_recipients_below),
		cmocka_unit_test(test_around_moves_the_window_as_little_as_needed),
		cmocka_unit_test(test_rows_of_a_site_and_lanes_of_a_source),
		cmocka_unit_test(test_a_bad_query_is_an_empty_page_with_words),
		cmocka_unit_test(test_mirror_keeps_the_last_word_about_each_row),
		cmocka_unit_test(test_standing_filters_follow_the_rows),
		cmocka_unit_test(test_a_filter_of_ages_is_asked_anew),
		cmocka_unit_test(test_a_query_in_steps_meets_every_row_once),
		cmocka_unit_test(test_time_over_100000_rows),
	};

	clock_init();
	hash_seed(1, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
