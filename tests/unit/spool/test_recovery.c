/* Recovery believes a record only if all of it is there, of this segment's present life; and it
 * finds the same twice. */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/spool/kit.h"

static void path_of(const struct kit *k, uint64_t segment, char out[256])
{
	snprintf(out, 256, "%s/seg/%012llu", k->dir, (unsigned long long)segment);
}

static void change_byte(const char *path, off_t at, char to)
{
	int fd = open(path, O_RDWR);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &to, 1, at), 1);
	close(fd);
}

static char byte_at(const char *path, off_t at)
{
	int fd = open(path, O_RDONLY);
	char c = 0;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &c, 1, at), 1);
	close(fd);
	return c;
}

static uint64_t loaded(struct kit *k)
{
	struct got g = { .n = 0 };
	uint64_t n;

	kit_load(k, &g);
	n = g.n;
	got_free(&g);
	return n;
}

static void a_record_with_any_wrong_byte_is_no_record(void **state)
{
	struct kit k, dead;
	struct message *m;
	char path[256];
	off_t end;

	(void)state;
	kit_init(&k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	k.o.segment_bytes = 16384;
	kit_open(&k);
	uint64_t first = kit_accept(&k, 1, 50), second = kit_accept(&k, 1, 50);

	m = spool_message(k.s, second);
	end = (off_t)(m->where.body_offset + m->where.body_bytes + 8);
	kit_copy(&k, &dead);
	path_of(&dead, m->where.segment, path);
	for (off_t at = (off_t)m->where.offset; at < end; at++) {
		char was = byte_at(path, at);

		change_byte(path, at, (char)(was ^ 0x10));
		kit_open(&dead);
		struct message *a = spool_message(dead.s, first),
			       *b = spool_message(dead.s, second);

		assert_non_null(a);
		assert_null(b);
		message_free(a);
		message_free(b);
		kit_done(&dead);
		kit_copy(&k, &dead);
	}
	kit_done(&dead);
	message_free(m);
	kit_done(&k);
}

static void a_torn_tail_ends_the_log_and_nothing_more(void **state)
{
	struct kit k, dead;
	struct message *m;
	char path[256];

	(void)state;
	kit_init(&k);
	kit_open(&k);
	kit_accept(&k, 1, 5000);
	uint64_t torn = kit_accept(&k, 1, 9000);

	m = spool_message(k.s, torn);
	for (uint64_t at = m->where.offset; at < m->where.body_offset + 9000; at += 512) {
		struct stat st;

		kit_copy(&k, &dead);
		path_of(&dead, m->where.segment, path);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(truncate(path, (off_t)at), 0);
		kit_open(&dead);
		assert_int_equal(loaded(&dead), 1);
		kit_check_invariant(&dead, 1);
		kit_accept(&dead, 1, 100);
		kit_reopen(&dead);
		assert_int_equal(loaded(&dead), 2);
		kit_done(&dead);
	}
	message_free(m);
	kit_done(&k);
}

static void damage_in_the_middle_costs_what_is_damaged(void **state)
{
	struct kit k, dead;
	struct message *m;
	char path[256];

	(void)state;
	kit_init(&k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	kit_open(&k);
	kit_accept(&k, 1, 5000);
	uint64_t bad = kit_accept(&k, 1, 5000);

	kit_accept(&k, 1, 5000);
	kit_accept(&k, 1, 5000);
	m = spool_message(k.s, bad);
	kit_copy(&k, &dead);
	path_of(&dead, m->where.segment, path);
	change_byte(path, (off_t)m->where.body_offset + 17, '!');
	kit_open(&dead);
	assert_int_equal(loaded(&dead), 3);
	assert_null(spool_message(dead.s, bad));
	kit_done(&dead);
	message_free(m);
	kit_done(&k);
}

static void a_recycled_segments_old_records_never_come_back(void **state)
{
	struct kit k, dead;
	uint64_t keep = 0, lives = 0;
	struct spool_stats st;

	(void)state;
	kit_init(&k);
	k.o.segment_bytes = 64 * 1024;
	kit_open(&k);
	/* many lives of few files, all of them full of whole records */
	for (int i = 0; i < 300; i++) {
		uint64_t id = kit_accept(&k, 1, 3000);

		if (keep)
			kit_outcome(&k, keep, 0, RCPT_DONE, EVENT_DELIVERED);
		keep = id;
		kit_commit(&k, true);
		while (spool_step(k.s, k.now))
			;
		while (spool_wants_segment(k.s))
			assert_null(spool_prepare_segment(k.s, &k.e));
		if (i % 10)
			continue;
		kit_copy(&k, &dead);
		kit_open(&dead);
		assert_int_equal(loaded(&dead), 1);
		kit_check_invariant(&dead, 1);
		kit_done(&dead);
		lives++;
	}
	spool_stats(k.s, k.now, &st);
	assert_true(st.segments <= 6); /* recycled, not multiplied */
	assert_int_equal(lives, 30);
	kit_done(&k);
}

static void recovering_twice_changes_nothing(void **state)
{
	struct kit k, dead;
	struct spool_totals once, twice;
	struct spool_stats st1, st2;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (int i = 0; i < 30; i++) {
		uint64_t id = kit_accept(&k, 3, 2000);

		kit_outcome(&k, id, 1, RCPT_DONE, EVENT_DELIVERED);
		kit_outcome(&k, id, 2, RCPT_QUEUED, EVENT_DEFERRED);
		if (i == 15)
			kit_commit(&k, true);
	}
	kit_copy(&k, &dead);
	kit_open(&dead);
	spool_totals(dead.s, &once);
	spool_stats(dead.s, k.now, &st1);
	assert_int_equal(loaded(&dead), 30);
	for (int i = 0; i < 3; i++) {
		kit_reopen(&dead);
		spool_totals(dead.s, &twice);
		spool_stats(dead.s, k.now, &st2);
		assert_memory_equal(&once, &twice, sizeof once);
		assert_int_equal(st1.messages, st2.messages);
		assert_int_equal(st1.bytes, st2.bytes);
		assert_int_equal(st1.last_event, st2.last_event);
		assert_int_equal(loaded(&dead), 30);
	}
	kit_done(&dead);
	kit_done(&k);
}

static void a_missing_segment_costs_its_bodies_and_is_not_silent(void **state)
{
	struct kit k;
	struct message *m;
	char path[256];

	(void)state;
	kit_init(&k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	kit_open(&k);
	uint64_t id = kit_accept(&k, 1, 100);

	m = spool_message(k.s, id);
	path_of(&k, m->where.segment, path);
	kit_close(&k);
	assert_int_equal(unlink(path), 0);
	kit_open(&k);
	assert_int_equal(loaded(&k), 1);
	assert_null(spool_body(k.s, id, &m->where));
	kit_outcome(&k, id, 0, RCPT_DONE, EVENT_BOUNCED);
	kit_settle(&k);
	message_free(m);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_with_any_wrong_byte_is_no_record),
		cmocka_unit_test(a_torn_tail_ends_the_log_and_nothing_more),
		cmocka_unit_test(damage_in_the_middle_costs_what_is_damaged),
		cmocka_unit_test(a_recycled_segments_old_records_never_come_back),
		cmocka_unit_test(recovering_twice_changes_nothing),
		cmocka_unit_test(a_missing_segment_costs_its_bodies_and_is_not_silent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
