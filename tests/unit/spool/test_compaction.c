/* Space comes back: from segments in which all is finished, and from those in which little still
 * lives; readers and crashes lose nothing by it. */
#include "tests/unit/spool/kit.h"

static uint64_t where_is(struct kit *k, uint64_t id)
{
	struct message *m = spool_message(k->s, id);
	uint64_t segment;

	assert_non_null(m);
	segment = m->where.segment;
	message_free(m);
	return segment;
}

static void check_body(struct kit *k, uint64_t id, const struct spool_where *w, size_t bytes)
{
	struct body *b = spool_body(k->s, id, w), *in;

	assert_non_null(b);
	if (spool_body_load(b, &in, &k->e))
		fail_msg("%s", k->e.text);
	assert_true(in->size >= bytes && in->size < bytes + 64);
	body_unref(in);
	body_unref(b);
}

/* Fills segments; every 20th message stays unfinished. */
static size_t thin(struct kit *k, uint64_t *ids)
{
	size_t n = 0;

	for (int i = 0; i < 200; i++) {
		uint64_t id = kit_accept(k, 1, 6000);

		if (i % 20 == 0)
			ids[n++] = id;
		else
			kit_outcome(k, id, 0, RCPT_DONE, EVENT_DELIVERED);
		if (i % 7 == 0)
			kit_commit(k, false);
	}
	kit_settle(k);
	return n;
}

static void begin(struct kit *k)
{
	kit_init(k);
	kit_open(k);
	k->now = clock_now_us();
}

static void a_thin_segment_gives_its_space_back(void **state)
{
	struct spool_stats before, after;
	uint64_t ids[20];
	struct kit k;
	size_t n;

	(void)state;
	begin(&k);
	n = thin(&k, ids);
	spool_stats(k.s, k.now, &before);
	k.now += US_PER_HOUR;
	kit_settle(&k);
	k.now += US_PER_HOUR;
	kit_settle(&k);
	spool_stats(k.s, k.now, &after);
	assert_true(before.segments - before.segments_free >= 5);
	assert_true(after.segments - after.segments_free <= 2);
	assert_true(after.segments <= 6);
	for (int life = 0; life < 2; life++) {
		for (size_t i = 0; i < n; i++) {
			struct message *m = spool_message(k.s, ids[i]);

			check_body(&k, ids[i], &m->where, 6000);
			message_free(m);
		}
		kit_reopen(&k);
	}
	for (size_t i = 0; i < n; i++)
		kit_outcome(&k, ids[i], 0, RCPT_DONE, EVENT_DELIVERED);
	kit_settle(&k);
	spool_stats(k.s, k.now, &after);
	assert_int_equal(after.segments, after.segments_free);
	assert_int_equal(after.messages, 0);
	kit_check_invariant(&k, 0);
	kit_done(&k);
}

static void a_place_told_before_compaction_still_leads_to_the_body(void **state)
{
	struct spool_where old;
	struct message *m;
	uint64_t ids[20];
	struct kit k;

	(void)state;
	begin(&k);
	thin(&k, ids);
	m = spool_message(k.s, ids[0]);
	old = m->where;
	message_free(m);
	for (int i = 0; i < 3; i++) {
		k.now += US_PER_HOUR;
		kit_settle(&k);
	}
	assert_true(where_is(&k, ids[0]) != old.segment);
	check_body(&k, ids[0], &old, 6000);
	kit_outcome(&k, ids[0], 0, RCPT_DONE, EVENT_DELIVERED);
	assert_null(spool_body(k.s, ids[0], &old));
	kit_settle(&k);
	assert_null(spool_body(k.s, ids[0], &old));
	kit_done(&k);
}

static void a_reader_keeps_its_segment_from_being_recycled(void **state)
{
	struct spool_stats st;
	struct message *m;
	struct body *b, *in;
	uint64_t ids[20];
	struct kit k;

	(void)state;
	begin(&k);
	thin(&k, ids);
	m = spool_message(k.s, ids[0]);
	b = spool_body(k.s, ids[0], &m->where);
	for (int i = 0; i < 3; i++) {
		k.now += US_PER_HOUR;
		kit_settle(&k);
	}
	for (int i = 0; i < 100; i++) /* much is written over what is free */
		kit_outcome(&k, kit_accept(&k, 1, 9000), 0, RCPT_DONE, EVENT_DELIVERED);
	kit_settle(&k);
	assert_null(spool_body_load(b, &in, &k.e));
	body_unref(in);
	spool_stats(k.s, k.now, &st);
	uint64_t held = st.segments - st.segments_free;

	body_unref(b);
	kit_settle(&k);
	spool_stats(k.s, k.now, &st);
	assert_int_equal(st.segments - st.segments_free, held - 1);
	message_free(m);
	kit_done(&k);
}

static void copies_that_no_commit_speaks_of_are_no_mail(void **state)
{
	struct kit k, dead;
	uint64_t ids[20];

	(void)state;
	begin(&k);
	thin(&k, ids);
	k.now += US_PER_HOUR;
	for (int step = 0; step < 30; step++) {
		struct got g = { .n = 0 };
		bool more = spool_step(k.s, k.now);

		kit_copy(&k, &dead); /* dies between any two steps */
		kit_open(&dead);
		kit_load(&dead, &g);
		assert_int_equal(g.n, 10);
		for (size_t i = 0; i < g.n; i++)
			check_body(&dead, g.v[i]->id, &g.v[i]->where, 6000);
		got_free(&g);
		kit_check_invariant(&dead, 10);
		kit_done(&dead);
		if (!more && spool_dirty(k.s))
			kit_commit(&k, false);
	}
	kit_done(&k);
}

static void mail_finished_while_it_is_copied_stays_finished(void **state)
{
	struct kit k, dead;
	uint64_t ids[20];
	struct got g = { .n = 0 };

	(void)state;
	for (int step = 0; step < 8; step++) {
		begin(&k);
		size_t n = thin(&k, ids);

		k.now += US_PER_HOUR;
		for (int i = 0; i < step; i++)
			spool_step(k.s, k.now);
		for (size_t i = 0; i < n; i++)
			kit_outcome(&k, ids[i], 0, RCPT_DONE, EVENT_DELIVERED);
		kit_commit(&k, true);
		spool_step(k.s, k.now);
		spool_step(k.s, k.now);
		kit_copy(&k, &dead);
		kit_open(&dead);
		kit_load(&dead, &g);
		assert_int_equal(g.n, 0);
		kit_check_invariant(&dead, 0);
		kit_done(&dead);
		kit_settle(&k);
		kit_reopen(&k);
		kit_load(&k, &g);
		assert_int_equal(g.n, 0);
		kit_done(&k);
	}
}

static void a_peak_of_segments_is_given_back_to_the_disk(void **state)
{
	static uint64_t ids[400];
	struct spool_stats st;
	struct kit k;

	(void)state;
	begin(&k);
	for (int i = 0; i < 400; i++)
		ids[i] = kit_accept(&k, 1, 9000);
	kit_settle(&k);
	spool_stats(k.s, k.now, &st);
	assert_true(st.segments > 12);
	for (int i = 0; i < 400; i++)
		kit_outcome(&k, ids[i], 0, RCPT_DONE, EVENT_DELIVERED);
	kit_settle(&k);
	spool_stats(k.s, k.now, &st);
	assert_true(st.segments <= 6);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_thin_segment_gives_its_space_back),
		cmocka_unit_test(a_place_told_before_compaction_still_leads_to_the_body),
		cmocka_unit_test(a_reader_keeps_its_segment_from_being_recycled),
		cmocka_unit_test(copies_that_no_commit_speaks_of_are_no_mail),
		cmocka_unit_test(mail_finished_while_it_is_copied_stays_finished),
		cmocka_unit_test(a_peak_of_segments_is_given_back_to_the_disk),
	};

	clock_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
