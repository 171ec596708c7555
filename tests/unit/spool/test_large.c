/* A large body is a file that is there as long as a record promises it or somebody reads it, and
 * not longer. */
#include <errno.h>

#include "tests/unit/spool/kit.h"

enum { CHUNK = 100000, CHUNKS = 5 };

static char chunk[CHUNK];

static struct body *large(struct kit *k, uint64_t id)
{
	struct spool_large *l = spool_large_create(k->s, id, &k->e);
	struct body *b;

	assert_non_null(l);
	for (int i = 0; i < CHUNKS; i++) {
		memset(chunk, 'a' + i, sizeof chunk);
		assert_null(spool_large_write(l, str_mem(chunk, sizeof chunk), &k->e));
	}
	assert_null(spool_large_finish(l, false, true, &b, &k->e));
	assert_false(body_in_memory(b));
	assert_int_equal(b->size, CHUNK * CHUNKS);
	return b;
}

static void check(const struct body *b)
{
	assert_int_equal(b->size, CHUNK * CHUNKS);
	for (int i = 0; i < CHUNKS; i++) {
		assert_int_equal(spool_body_read(b, (uint64_t)i * CHUNK, chunk, CHUNK), CHUNK);
		for (int j = 0; j < CHUNK; j++)
			assert_int_equal(chunk[j], 'a' + i);
	}
	assert_int_equal(spool_body_read(b, CHUNK * CHUNKS - 10, chunk, CHUNK), 10);
	assert_int_equal(spool_body_read(b, CHUNK * CHUNKS, chunk, CHUNK), 0);
	assert_int_equal(spool_body_read(b, UINT64_MAX, chunk, CHUNK), 0);
}

static bool on_disk(const struct kit *k, uint64_t id)
{
	char path[256];

	snprintf(path, sizeof path, "%s/large/%016llx", k->dir, (unsigned long long)id);
	return !access(path, F_OK);
}

static struct message *message(struct kit *k)
{
	struct message *m = kit_message(k, 1, 0);

	body_unref(m->body);
	m->body = large(k, m->id);
	return m;
}

static void a_large_body_is_kept_over_restarts_until_its_message_is_finished(void **state)
{
	struct message *m;
	struct body *b, *in;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = kit_accept_message(&k, message(&k));

	kit_settle(&k);
	for (int life = 0; life < 2; life++) {
		m = spool_message(k.s, id);
		assert_true(m->where.large && !m->where.dot_line && m->where.eightbit);
		assert_int_equal(m->where.body_bytes, CHUNK * CHUNKS);
		b = spool_body(k.s, id, &m->where);
		assert_true(!b->dot_line && b->eightbit);
		check(b);
		assert_ptr_equal(spool_body_load(b, &in, &k.e), &err_invalid);
		body_unref(b);
		message_free(m);
		kit_reopen(&k);
		kit_settle(&k);
	}
	m = spool_message(k.s, id);
	b = spool_body(k.s, id, &m->where);
	message_free(m);
	kit_outcome(&k, id, 0, RCPT_DONE, EVENT_DELIVERED);
	assert_true(on_disk(&k, id));
	kit_settle(&k);
	assert_false(on_disk(&k, id));
	check(b); /* who still reads it may finish */
	body_unref(b);
	kit_done(&k);
}

static void it_is_not_unlinked_before_its_end_is_durable(void **state)
{
	struct kit k, dead;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = kit_accept_message(&k, message(&k));

	kit_settle(&k);
	kit_outcome(&k, id, 0, RCPT_DONE, EVENT_DELIVERED);
	kit_commit(&k, false); /* a crash may still undo this one */
	for (int i = 0; i < 10; i++) {
		spool_step(k.s, k.now);
		assert_null(spool_prepare_segment(k.s, &k.e));
	}
	assert_true(on_disk(&k, id));
	kit_copy(&k, &dead);
	kit_commit(&k, false);
	for (int i = 0; i < 10; i++)
		assert_null(spool_prepare_segment(k.s, &k.e));
	assert_false(on_disk(&k, id));
	kit_open(&dead); /* never unlinked there: the next start does it */
	kit_settle(&dead);
	assert_false(on_disk(&dead, id));
	kit_done(&dead);
	kit_done(&k);
}

static void what_no_record_promises_goes(void **state)
{
	struct spool_large *l;
	struct body *b;
	struct kit k, dead;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t dropped = spool_new_id(k.s), aborted = spool_new_id(k.s), half = spool_new_id(k.s);

	b = large(&k, dropped); /* the client went away before the end of data */
	body_unref(b);
	l = spool_large_create(k.s, aborted, &k.e);
	assert_null(spool_large_create(k.s, aborted, &k.e));
	assert_true(k.e.text[0]);
	assert_null(spool_large_write(l, STR_LIT("x"), &k.e));
	spool_large_abort(l);
	assert_false(on_disk(&k, aborted));
	kit_settle(&k);
	assert_false(on_disk(&k, dropped));
	uint64_t id = kit_accept_message(&k, message(&k));

	l = spool_large_create(k.s, half, &k.e); /* a crash in the middle of it */
	assert_null(spool_large_write(l, STR_LIT("x"), &k.e));
	kit_copy(&k, &dead);
	kit_open(&dead);
	kit_settle(&dead);
	assert_false(on_disk(&dead, half));
	assert_true(on_disk(&dead, id));
	kit_done(&dead);
	spool_large_abort(l);
	kit_done(&k);
}

static void a_body_may_outlive_the_spool(void **state)
{
	struct kit k;
	struct body *kept, *dropped;
	struct spool_where w;
	struct got g = { .n = 0 };

	(void)state;
	kit_init(&k);
	kit_open(&k);
	dropped = large(&k, spool_new_id(k.s));
	assert_true(spool_add(k.s, kit_message(&k, 1, 3000)));
	assert_null(spool_flush(k.s, k.now, kit_take, &g, &k.e));
	w = g.v[0]->where;
	kept = spool_body(k.s, g.v[0]->id, &w);
	got_free(&g);
	kit_close(&k);
	assert_true(spool_body_read(kept, 0, chunk, sizeof chunk) > 3000);
	body_unref(kept);
	body_unref(dropped);
	kit_done(&k);
}

static void a_body_that_is_no_bodys_file_is_refused(void **state)
{
	struct kit k;
	struct message *m;

	(void)state;
	kit_init(&k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	kit_open(&k);
	m = message(&k);
	m->id = spool_new_id(k.s); /* another message's large body */
	assert_false(spool_add(k.s, m));
	assert_int_equal(spool_batch_count(k.s), 0);
	message_free(m);
	kit_done(&k);
}

static void the_budget_is_given_back(void **state)
{
	struct kit k;
	struct body *b, *in;
	struct message *m;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = kit_accept(&k, 1, 5000);

	m = spool_message(k.s, id);
	b = spool_body(k.s, id, &m->where);
	assert_int_equal(body_budget_used(), 0);
	body_budget_set(6000);
	assert_null(spool_body_load(b, &in, &k.e));
	assert_true(body_budget_used() > 5000);
	struct body *more;

	assert_ptr_equal(spool_body_load(b, &more, &k.e), &err_full);
	assert_null(more);
	body_unref(body_ref(in));
	body_unref(in);
	assert_int_equal(body_budget_used(), 0);
	body_budget_set(UINT64_MAX);
	body_unref(b);
	message_free(m);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_large_body_is_kept_over_restarts_until_its_message_is_finished),
		cmocka_unit_test(it_is_not_unlinked_before_its_end_is_durable),
		cmocka_unit_test(what_no_record_promises_goes),
		cmocka_unit_test(a_body_may_outlive_the_spool),
		cmocka_unit_test(a_body_that_is_no_bodys_file_is_refused),
		cmocka_unit_test(the_budget_is_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
