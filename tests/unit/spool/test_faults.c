/* What a failing disk may cost: a batch its 250, a segment its use; never what was promised before.
 */
#undef _FORTIFY_SOURCE
#include "tests/unit/spool/spy.h"
#include "tests/unit/spool/kit.h"

/* The n-th call of a kind on a path with `part` in it fails with `why`; from then on all if
 * `stays`. */
static struct {
	enum disk_kind kind;
	const char *part;
	int n, why;
	bool stays;
	int calls, failed;
} plan;

static int refuse(enum disk_kind kind, const char *path)
{
	if (!plan.part || kind != plan.kind || !strstr(path, plan.part))
		return 0;
	plan.calls++;
	if (plan.calls < plan.n || (plan.calls > plan.n && !plan.stays))
		return 0;
	plan.failed++;
	return plan.why;
}

static void plan_for(enum disk_kind kind, const char *part, int n, int why, bool stays)
{
	plan.kind = kind;
	plan.part = part;
	plan.n = n;
	plan.why = why;
	plan.stays = stays;
	plan.calls = plan.failed = 0;
	spy.refuse = refuse;
}

static void no_plan(void)
{
	spy.refuse = NULL;
}

static void begin(struct kit *k)
{
	no_plan();
	kit_init(k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	kit_open(k);
}

/* Adds two messages; the flush must fail, and say so for each. */
static void refused_batch(struct kit *k, uint64_t ids[2])
{
	struct got g = { .n = 0 };

	for (int i = 0; i < 2; i++) {
		struct message *m = kit_message(k, 1, 6000);

		ids[i] = m->id;
		assert_true(spool_add(k->s, m));
	}
	assert_ptr_equal(spool_flush(k->s, k->now, kit_take, &g, &k->e), &err_spool_poisoned);
	assert_int_equal(g.n, 2);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(g.v[i]->id, ids[i]);
		assert_ptr_equal(g.err[i], &err_spool_poisoned);
	}
	got_free(&g);
	assert_int_equal(spool_batch_count(k->s), 0);
}

static void load_exactly(struct kit *k, const uint64_t *ids, size_t n)
{
	struct got g = { .n = 0 };

	kit_load(k, &g);
	assert_int_equal(g.n, n);
	for (size_t i = 0; i < n; i++) {
		struct body *b = spool_body(k->s, g.v[i]->id, &g.v[i]->where), *in;

		assert_int_equal(g.v[i]->id, ids[i]);
		assert_non_null(b);
		assert_null(spool_body_load(b, &in, &k->e));
		body_unref(in);
		body_unref(b);
	}
	got_free(&g);
}

static void poison(enum disk_kind kind, int why)
{
	uint64_t ids[2], no[2];
	struct spool_stats st;
	struct kit k, dead;

	begin(&k);
	ids[0] = kit_accept(&k, 1, 6000);
	plan_for(kind, "/seg/", 1, why, false);
	refused_batch(&k, no);
	assert_int_equal(plan.failed, 1);
	no_plan();
	spool_stats(k.s, k.now, &st);
	assert_true(st.poisoned);
	kit_check_invariant(&k, 1);
	ids[1] = kit_accept(&k, 1, 6000); /* into a new segment */
	/* a process that dies now leaves what it wrote in the page cache: the refused ones must not
	 * come back */
	kit_copy(&k, &dead);
	kit_open(&dead);
	load_exactly(&dead, ids, 2);
	kit_done(&dead);
	kit_reopen(&k);
	load_exactly(&k, ids, 2);
	kit_done(&k);
}

static void a_failed_sync_refuses_the_batch_and_nothing_else(void **state)
{
	(void)state;
	poison(DISK_SYNC, EIO);
}

static void a_full_disk_refuses_the_batch_and_nothing_else(void **state)
{
	(void)state;
	poison(DISK_WRITE, ENOSPC);
}

static void a_poisoned_segment_is_never_synced_or_written_again(void **state)
{
	uint64_t no[2];
	struct kit k;
	char name[64];

	(void)state;
	begin(&k);
	uint64_t id = kit_accept(&k, 1, 100);
	struct message *m = spool_message(k.s, id);

	snprintf(name, sizeof name, "/seg/%012llu", (unsigned long long)m->where.segment);
	message_free(m);
	plan_for(DISK_SYNC, name, 1, EIO, false);
	refused_batch(&k, no);
	plan_for(DISK_SYNC, name, INT32_MAX, EIO, false);
	for (int i = 0; i < 50; i++)
		kit_outcome(&k, kit_accept(&k, 1, 20000), 0, RCPT_DONE, EVENT_DELIVERED);
	kit_outcome(&k, id, 0, RCPT_DONE, EVENT_DELIVERED);
	kit_settle(&k);
	assert_int_equal(plan.calls, 0);
	no_plan();
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s%s", k.dir, name);
	assert_int_equal(access(path, F_OK), -1); /* removed, not recycled */
	kit_done(&k);
}

static void without_a_new_segment_mail_is_refused_until_there_is_one(void **state)
{
	struct got g = { .n = 0 };
	struct kit k;

	(void)state;
	begin(&k);
	for (int i = 0; i < 12; i++) /* fills what is prepared */
		kit_accept(&k, 1, 20000);
	plan_for(DISK_CREATE, "/seg/", 1, ENOSPC, true);
	bool failed = false;
	for (int i = 0; i < 40 && !failed; i++) {
		assert_true(spool_add(k.s, kit_message(&k, 1, 20000)));
		failed = spool_flush(k.s, k.now, kit_take, &g, &k.e) != NULL;
	}
	assert_true(failed);
	assert_ptr_equal(g.err[g.n - 1], &err_io);
	got_free(&g);
	no_plan();
	kit_accept(&k, 1, 20000);
	kit_done(&k);
}

/* ---- the index ---- */

static const struct err *commit(struct kit *k, bool sync)
{
	return spool_commit(k->s, k->now, sync, &k->e);
}

static void failing_commit(enum disk_kind kind, int n, int why)
{
	struct spool_stats st;
	struct kit k, dead;

	begin(&k);
	uint64_t a = kit_accept(&k, 1, 100), b = kit_accept(&k, 2, 100), c = kit_accept(&k, 1, 100);

	kit_commit(&k, false);
	kit_outcome(&k, a, 0, RCPT_DONE, EVENT_DELIVERED);
	kit_outcome(&k, b, 1, RCPT_QUEUED, EVENT_DEFERRED);
	uint64_t d = kit_accept(&k, 1, 100);
	plan_for(kind, "/index/", n, why, true);
	assert_ptr_equal(commit(&k, true), &err_io);
	assert_true(plan.failed > 0);
	/* meanwhile the last deliveries in flight end, also of mail that is in the index alone */
	kit_outcome(&k, c, 0, RCPT_DONE, EVENT_BOUNCED);
	kit_outcome(&k, d, 0, RCPT_DONE, EVENT_DELIVERED);
	assert_ptr_equal(commit(&k, true), &err_io);
	spool_stats(k.s, k.now, &st);
	assert_true(st.lmdb_failed);
	no_plan();
	kit_commit(&k, true);
	spool_stats(k.s, k.now, &st);
	assert_false(st.lmdb_failed);
	kit_check_invariant(&k, 2);
	kit_copy(&k, &dead);
	kit_open(&dead);
	assert_null(spool_message(dead.s, a));
	assert_null(spool_message(dead.s, c));
	assert_null(spool_message(dead.s, d));
	load_exactly(&dead, &b, 1);
	kit_check_invariant(&dead, 2);
	kit_done(&dead);
	kit_done(&k);
}

static void a_failed_commit_loses_nothing_in_memory(void **state)
{
	(void)state;
	failing_commit(DISK_SYNC, 1, EIO);
	failing_commit(DISK_WRITE, 1, ENOSPC);
	failing_commit(DISK_WRITE, 2, EIO);
	failing_commit(DISK_WRITE, 3, EIO);
	failing_commit(DISK_SYNC, 2, EIO);
}

static void a_commit_that_failed_with_its_effect_leaves_nothing_behind(void **state)
{
	struct kit k;

	(void)state;
	begin(&k);
	kit_commit(&k, true);
	for (int n = 1; n <= 10; n++) {
		uint64_t id = kit_accept(&k, 1 + (uint32_t)(n & 1), 10);

		plan_for(DISK_WRITE, "/index/", n, EIO, false);
		if (commit(&k, false))
			assert_int_equal(plan.failed, 1);
		no_plan();
		for (uint32_t i = 0; i < 1 + (uint32_t)(n & 1); i++)
			kit_outcome(&k, id, i, RCPT_DONE, EVENT_DELIVERED);
		kit_commit(&k, false);
	}
	kit_reopen(&k);
	load_exactly(&k, NULL, 0);
	kit_done(&k);
}

static void count_event(void *arg, const struct event *e)
{
	int *counts = arg;

	counts[e->type]++;
}

static void events_of_a_failed_commit_are_told_once(void **state)
{
	int counts[EVENT_TYPES] = { 0 };
	struct event_reader *r;
	struct kit k;

	(void)state;
	begin(&k);
	kit_commit(&k, true);
	/* at each write of the commit in turn, also its meta page, behind which LMDB may have had
	 * its effect */
	for (int n = 1; n <= 20; n++) {
		kit_outcome(&k, kit_accept(&k, 1, 10), 0, RCPT_DONE, EVENT_DELIVERED);
		plan_for(DISK_WRITE, "/index/", n, EIO, false);
		if (commit(&k, false))
			assert_null(commit(&k, false));
		no_plan();
		plan_for(DISK_SYNC, "/index/", 1, EIO, false);
		kit_outcome(&k, kit_accept(&k, 1, 10), 0, RCPT_DONE, EVENT_BOUNCED);
		assert_non_null(commit(&k, true));
		no_plan();
		kit_commit(&k, n % 2);
	}
	kit_commit(&k, true);
	r = event_reader_open(k.s, "r");
	while (event_reader_next(r, 3, count_event, counts))
		;
	event_reader_close(r);
	assert_int_equal(counts[EVENT_RECEIVED], 40);
	assert_int_equal(counts[EVENT_DELIVERED], 20);
	assert_int_equal(counts[EVENT_BOUNCED], 20);
	kit_check_invariant(&k, 0);
	kit_done(&k);
}

static void a_full_map_grows(void **state)
{
	struct kit k;
	uint64_t n = 0;

	(void)state;
	kit_init(&k);
	log_set_level(LOG_LEVEL_ERROR);
	k.o.map_bytes = 256 * 1024;
	kit_open(&k);
	for (int i = 0; i < 40; i++) {
		for (int j = 0; j < 20; j++, n += 12)
			kit_accept(&k, 12, 10);
		kit_commit(&k, false);
	}
	kit_check_invariant(&k, n);
	kit_reopen(&k);
	kit_check_invariant(&k, n);
	char value[2000];

	memset(value, 'v', sizeof value);
	for (int i = 0; i < 1000; i++) {
		char key[16];

		snprintf(key, sizeof key, "%d", i);
		assert_true(spool_state_put(k.s, "t", str_of(key), str_mem(value, sizeof value)));
	}
	assert_null(spool_state_commit(k.s, &k.e));
	kit_done(&k);
}

static void one_row(void *arg, struct str key, struct str value)
{
	(void)key;
	snprintf(arg, 16, "%.*s", (int)value.n, value.p);
}

static void a_failed_state_commit_can_be_tried_again(void **state)
{
	struct kit k;
	char row[16] = "";

	(void)state;
	for (int n = 1; n <= 3; n++) { /* the rows, the meta page, the sync */
		begin(&k);
		assert_true(spool_state_put(k.s, "t", STR_LIT("k"), STR_LIT("old")));
		assert_null(spool_state_commit(k.s, &k.e));
		assert_true(spool_state_put(k.s, "t", STR_LIT("k"), STR_LIT("new")));
		plan_for(n < 3 ? DISK_WRITE : DISK_SYNC, "/db/", n < 3 ? n : 1, EIO, true);
		assert_ptr_equal(spool_state_commit(k.s, &k.e), &err_io);
		no_plan();
		assert_null(spool_state_commit(k.s, &k.e));
		kit_reopen(&k);
		spool_state_each(k.s, "t", one_row, row);
		assert_string_equal(row, "new");
		kit_done(&k);
	}
}

/* ---- large bodies ---- */

static void a_large_body_that_cannot_be_written_leaves_no_file(void **state)
{
	static const enum disk_kind kinds[] = { DISK_WRITE, DISK_SYNC };
	struct spool_large *l;
	struct body *b;
	char path[PATH_MAX];
	struct kit k;

	(void)state;
	for (int i = 0; i < 3; i++) {
		begin(&k);
		l = spool_large_create(k.s, 77, &k.e);
		assert_non_null(l);
		plan_for(kinds[i > 0], "/large", i == 2 ? 2 : 1, ENOSPC, false);
		if (i == 0) {
			assert_ptr_equal(spool_large_write(l, STR_LIT("x"), &k.e), &err_io);
			spool_large_abort(l);
		} else {
			assert_null(spool_large_write(l, STR_LIT("x"), &k.e));
			assert_ptr_equal(spool_large_finish(l, true, true, &b, &k.e), &err_io);
			assert_null(b);
		}
		assert_int_equal(plan.failed, 1);
		no_plan();
		snprintf(path, sizeof path, "%s/large/%016x", k.dir, 77);
		assert_int_equal(access(path, F_OK), -1);
		kit_done(&k);
	}
}

static void a_large_body_of_a_refused_batch_goes(void **state)
{
	struct got g = { .n = 0 };
	struct spool_large *l;
	struct message *m;
	char path[PATH_MAX];
	struct kit k;

	(void)state;
	begin(&k);
	m = kit_message(&k, 1, 10);
	snprintf(path, sizeof path, "%s/large/%016llx", k.dir, (unsigned long long)m->id);
	body_unref(m->body);
	l = spool_large_create(k.s, m->id, &k.e);
	assert_null(spool_large_write(l, STR_LIT("large\r\n"), &k.e));
	assert_null(spool_large_finish(l, false, false, &m->body, &k.e));
	assert_true(spool_add(k.s, m));
	plan_for(DISK_SYNC, "/seg/", 1, EIO, false);
	assert_non_null(spool_flush(k.s, k.now, kit_take, &g, &k.e));
	no_plan();
	got_free(&g);
	kit_settle(&k);
	assert_int_equal(access(path, F_OK), -1);
	kit_done(&k);
}

static void a_failed_compaction_leaves_the_mail_where_it_is(void **state)
{
	static const enum disk_kind kinds[] = { DISK_WRITE, DISK_SYNC };
	struct kit k;

	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(&k);
		uint64_t id = kit_accept(&k, 1, 5000);

		for (int j = 0; j < 30; j++)
			kit_outcome(&k, kit_accept(&k, 1, 20000), 0, RCPT_DONE, EVENT_DELIVERED);
		kit_settle(&k);
		k.now += US_PER_HOUR;
		plan_for(kinds[i], "/seg/", 1, EIO, true);
		for (int j = 0; j < 20; j++)
			spool_step(k.s, k.now);
		assert_true(plan.failed > 0);
		no_plan();
		kit_settle(&k);
		kit_reopen(&k);
		load_exactly(&k, &id, 1);
		kit_done(&k);
	}
}

static void an_error_in_recovery_is_an_error_not_a_loss(void **state)
{
	static const struct {
		enum disk_kind kind;
		const char *part;
	} at[] = { { DISK_SYNC, "/seg/" },   { DISK_WRITE, "/index/" }, { DISK_SYNC, "/index/" },
		   { DISK_CREATE, "/seg/" }, { DISK_SYNC, "/seg" },	{ DISK_RENAME, "/seg/" } };
	struct kit k, dead;

	(void)state;
	begin(&k);
	uint64_t ids[2] = { kit_accept(&k, 1, 100) };

	kit_commit(&k, true);
	ids[1] = kit_accept(&k, 1, 100);
	kit_copy(&k, &dead);
	for (size_t i = 0; i < sizeof at / sizeof at[0]; i++)
		for (int n = 1; n < 4; n++) {
			plan_for(at[i].kind, at[i].part, n, EIO, true);
			if (spool_open(&dead.o, &dead.s, &dead.e))
				assert_true(dead.e.text[0]);
			else
				kit_close(&dead);
			no_plan();
		}
	kit_open(&dead);
	load_exactly(&dead, ids, 2);
	kit_check_invariant(&dead, 2);
	kit_done(&dead);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_failed_sync_refuses_the_batch_and_nothing_else),
		cmocka_unit_test(a_full_disk_refuses_the_batch_and_nothing_else),
		cmocka_unit_test(a_poisoned_segment_is_never_synced_or_written_again),
		cmocka_unit_test(without_a_new_segment_mail_is_refused_until_there_is_one),
		cmocka_unit_test(a_failed_commit_loses_nothing_in_memory),
		cmocka_unit_test(a_commit_that_failed_with_its_effect_leaves_nothing_behind),
		cmocka_unit_test(events_of_a_failed_commit_are_told_once),
		cmocka_unit_test(a_full_map_grows),
		cmocka_unit_test(a_failed_state_commit_can_be_tried_again),
		cmocka_unit_test(a_large_body_that_cannot_be_written_leaves_no_file),
		cmocka_unit_test(a_large_body_of_a_refused_batch_goes),
		cmocka_unit_test(a_failed_compaction_leaves_the_mail_where_it_is),
		cmocka_unit_test(an_error_in_recovery_is_an_error_not_a_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
