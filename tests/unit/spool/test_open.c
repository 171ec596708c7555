/* Who may open a spool: one at a time, nobody older than it, and never half of one as if it were
 * empty. */
#include <fcntl.h>
#include <sys/stat.h>

#include "tests/unit/spool/kit.h"

static void fails(struct kit *k, const struct err *why, const char *words)
{
	struct spool *s = NULL;

	const struct err *err = spool_open(&k->o, &s, &k->e);

	if (err != why)
		fail_msg("%s: %s", err ? err->name : "opened", k->e.text);
	assert_null(s);
	if (!strstr(k->e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", k->e.text, words);
}

static void shell(const struct kit *k, const char *what, const char *where)
{
	char command[512];

	snprintf(command, sizeof command, "%s '%s/%s'", what, k->dir, where);
	assert_int_equal(system(command), 0);
}

static void write_text(const struct kit *k, const char *name, const char *text)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", k->dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void used(struct kit *k)
{
	kit_init(k);
	kit_open(k);
	kit_accept(k, 1, 100);
	kit_close(k);
}

static void a_second_instance_is_refused(void **state)
{
	struct kit k, other;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	fails(&k, &err_spool_locked, "another running Stoker");
	kit_beside(&k, &other, "-other"); /* another spool, the same state */
	other.o.state_dir = k.o.state_dir;
	fails(&other, &err_spool_locked, k.state);
	kit_remove(other.dir);
	kit_close(&k);
	kit_open(&k);
	kit_done(&k);
}

static void a_newer_spool_is_refused_and_not_touched(void **state)
{
	struct kit k;

	(void)state;
	used(&k);
	write_text(&k, "format", "stoker-spool 2\n");
	fails(&k, &err_spool_newer, "newer Stoker");
	write_text(&k, "format", "stoker-spool 1\n");
	write_text(&k, "state/state.format", "stoker-spool 9\n");
	fails(&k, &err_spool_newer, "newer Stoker");
	write_text(&k, "state/state.format", "stoker-spool 1\n");
	kit_open(&k);
	kit_done(&k);
}

static void half_a_spool_is_refused_in_plain_words(void **state)
{
	static const struct {
		const char *what, *where, *words;
	} halves[] = {
		{ "rm", "index/data.mdb", "index/data.mdb is missing" },
		{ "truncate -s 0", "index/data.mdb", "is missing" },
		{ "truncate -s 5000", "index/data.mdb", "" },
		{ "dd if=/dev/urandom bs=8192 count=1 conv=notrunc status=none of=",
		  "index/data.mdb", "not readable" },
		{ "rm", "format", "\"format\" is missing" },
		{ "truncate -s 0", "format", "which format" },
		{ "rm -r", "state", "start-empty" },
		{ "rm", "state/db/data.mdb", "db/data.mdb is missing" },
	};
	struct kit k;

	(void)state;
	for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
		char command[600];

		used(&k);
		snprintf(command, sizeof command, "%s%s'%s/%s'", halves[i].what,
			 strchr(halves[i].what, '=') ? "" : " ", k.dir, halves[i].where);
		assert_int_equal(system(command), 0);
		fails(&k, &err_spool_damaged, halves[i].words);
		fails(&k, &err_spool_damaged, halves[i].words); /* the attempt has mended nothing */
		kit_done(&k);
	}
}

static void an_operator_may_say_that_the_state_is_lost(void **state)
{
	struct kit k;

	(void)state;
	used(&k);
	shell(&k, "rm -r", "state");
	fails(&k, &err_spool_damaged, "start-empty");
	shell(&k, "touch", "state/start-empty");
	kit_open(&k);
	kit_close(&k);
	shell(&k, "rm -r", "state"); /* that counted once */
	fails(&k, &err_spool_damaged, "start-empty");
	kit_done(&k);
}

static void a_half_made_spool_is_made_anew(void **state)
{
	struct kit k;

	(void)state;
	kit_init(&k);
	shell(&k, "mkdir", "seg");
	shell(&k, "mkdir", "index");
	write_text(&k, "index/data.mdb", "not a database");
	kit_open(&k);
	kit_accept(&k, 1, 1);
	kit_reopen(&k);
	kit_check_invariant(&k, 1);
	kit_done(&k);
}

static void only_the_owner_may_look(void **state)
{
	static const struct {
		const char *name;
		mode_t mode;
	} files[] = { { "seg", 0700 },
		      { "large", 0700 },
		      { "index", 0700 },
		      { "state", 0700 },
		      { "format", 0600 },
		      { "lock", 0600 },
		      { "index/data.mdb", 0600 },
		      { "state/db", 0700 } };
	mode_t mask = umask(0);
	struct stat st;
	struct kit k;

	(void)state;
	used(&k);
	umask(mask);
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		char path[256];

		snprintf(path, sizeof path, "%s/%s", k.dir, files[i].name);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, files[i].mode);
	}
	kit_done(&k);
}

static void the_floor_has_a_hysteresis(void **state)
{
	struct spool_stats st;
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	spool_stats(k.s, k.now, &st);
	assert_true(st.free_bytes > 0 && !st.below_floor && st.sync_ms > 0);
	kit_close(&k);
	k.o.min_free = st.free_bytes * 2;
	kit_open(&k);
	spool_stats(k.s, k.now, &st);
	assert_true(st.below_floor);
	kit_done(&k);
}

static void a_segment_of_another_size_is_used_up_and_replaced(void **state)
{
	struct got g = { .n = 0 };
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = kit_accept(&k, 1, 100);

	for (int i = 0; i < 3; i++) {
		kit_close(&k);
		k.o.segment_bytes = k.o.segment_bytes == 65536 ? 512 * 1024 : 65536;
		kit_open(&k);
		kit_outcome(&k, id, 0, RCPT_DONE, EVENT_DELIVERED);
		id = kit_accept(&k, 1, 100);
		kit_settle(&k);
		kit_reopen(&k);
		kit_load(&k, &g);
		assert_int_equal(g.n, 1);
		assert_int_equal(g.v[0]->id, id);
		got_free(&g);
	}
	kit_done(&k);
}

static void a_message_larger_than_a_segment_is_kept(void **state)
{
	struct body *b, *in;
	struct message *m;
	struct kit k;

	(void)state;
	kit_init(&k);
	k.o.segment_bytes = 16384;
	kit_open(&k);
	uint64_t id = kit_accept(&k, 1, 200000), next = kit_accept(&k, 1, 10);

	kit_reopen(&k);
	m = spool_message(k.s, next);
	assert_non_null(m);
	message_free(m);
	m = spool_message(k.s, id);
	b = spool_body(k.s, id, &m->where);
	assert_null(spool_body_load(b, &in, &k.e));
	assert_true(in->size > 200000);
	body_unref(b);
	body_unref(in);
	message_free(m);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_second_instance_is_refused),
		cmocka_unit_test(a_newer_spool_is_refused_and_not_touched),
		cmocka_unit_test(half_a_spool_is_refused_in_plain_words),
		cmocka_unit_test(an_operator_may_say_that_the_state_is_lost),
		cmocka_unit_test(a_half_made_spool_is_made_anew),
		cmocka_unit_test(only_the_owner_may_look),
		cmocka_unit_test(the_floor_has_a_hysteresis),
		cmocka_unit_test(a_segment_of_another_size_is_used_up_and_replaced),
		cmocka_unit_test(a_message_larger_than_a_segment_is_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
