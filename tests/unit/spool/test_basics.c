/* What is accepted is there after a restart, as it was, until its last recipient is done. */
#include "tests/unit/spool/kit.h"

static void accepted_mail_is_there_after_a_restart_as_it_was(void **state)
{
	struct kit k;
	struct got g = { .n = 0 };
	uint64_t id;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	struct message *m = kit_message(&k, 2, 3000);

	m->envid = STR_LIT("QQ+2B1");
	m->ret = RET_HDRS;
	m->priority = 70;
	m->smtputf8 = m->eightbit = true;
	m->rcpts[1].orcpt = STR_LIT("rfc822;x+40y");
	m->rcpts[1].notify = NOTIFY_DELAY | NOTIFY_FAILURE;
	m->rcpts[0].domain = STR_LIT("xn--other.example");
	id = kit_accept_message(&k, m);
	kit_reopen(&k);
	kit_load(&k, &g);
	assert_int_equal(g.n, 1);
	m = g.v[0];
	assert_int_equal(m->id, id);
	assert_int_equal(m->received_at, k.now);
	assert_true(str_eqz(m->sender, "sender@example.org"));
	assert_true(str_eqz(m->job, "job-1") && str_eqz(m->user, "local") &&
		    str_eqz(m->route, "pool-a"));
	assert_true(str_eqz(m->envid, "QQ+2B1") && str_eqz(m->client, "127.0.0.1"));
	assert_int_equal(m->ret, RET_HDRS);
	assert_int_equal(m->priority, 70);
	assert_true(m->smtputf8 && m->eightbit && !m->dsn);
	assert_null(m->body);
	assert_int_equal(m->nrcpts, 2);
	assert_true(str_eqz(m->rcpts[0].domain, "xn--other.example"));
	assert_true(str_eqz(m->rcpts[1].domain, "example.net"));
	assert_true(str_eqz(m->rcpts[1].orcpt, "rfc822;x+40y"));
	assert_int_equal(m->rcpts[1].notify, NOTIFY_DELAY | NOTIFY_FAILURE);
	assert_int_equal(m->rcpts[0].state, RCPT_QUEUED);
	assert_int_equal(m->rcpts[0].attempts, 0);
	assert_int_equal(m->rcpts[0].due, 0);
	got_free(&g);
	kit_done(&k);
}

static void bodies_come_back_byte_for_byte(void **state)
{
	struct kit k;
	struct got g = { .n = 0 };

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (size_t n = 0; n < 20000; n += 1777) {
		struct message *m = kit_message(&k, 1, n);
		struct body *b = body_ref(m->body), *file, *back;
		struct spool_where w;
		uint64_t id = m->id;

		assert_true(spool_add(k.s, m));
		assert_null(spool_flush(k.s, k.now, kit_take, &g, &k.e));
		w = g.v[0]->where;
		got_free(&g);
		file = spool_body(k.s, id, &w);
		assert_non_null(file);
		assert_false(body_in_memory(file));
		assert_int_equal(file->size, b->size);
		assert_null(spool_body_load(file, &back, &k.e));
		assert_int_equal(back->size, b->head.n + b->data.n);
		assert_memory_equal(back->data.p, b->head.p, b->head.n);
		assert_memory_equal(back->data.p + b->head.n, b->data.p, b->data.n);
		body_unref(back);
		body_unref(file);
		body_unref(b);
	}
	kit_done(&k);
	assert_int_equal(body_budget_used(), 0);
}

static void a_finished_message_is_gone_after_a_restart(void **state)
{
	struct kit k;
	struct got g = { .n = 0 };

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t at_once = kit_accept(&k, 1, 100), later = kit_accept(&k, 1, 100),
		 half = kit_accept(&k, 2, 100);

	kit_outcome(&k, at_once, 0, RCPT_DONE, EVENT_DELIVERED);
	kit_commit(&k, false);
	kit_outcome(&k, later, 0, RCPT_DONE, EVENT_BOUNCED);
	kit_outcome(&k, half, 1, RCPT_DONE, EVENT_DELIVERED);
	kit_reopen(&k);
	kit_load(&k, &g);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.v[0]->id, half);
	assert_int_equal(g.v[0]->rcpts[0].state, RCPT_QUEUED);
	assert_int_equal(g.v[0]->rcpts[1].state, RCPT_DONE);
	kit_check_invariant(&k, 1);
	got_free(&g);
	kit_outcome(&k, half, 0, RCPT_DONE, EVENT_EXPIRED);
	kit_reopen(&k);
	kit_load(&k, &g);
	assert_int_equal(g.n, 0);
	kit_check_invariant(&k, 0);
	kit_done(&k);
}

static void a_deferral_keeps_its_words_and_its_time(void **state)
{
	struct kit k;
	struct got g = { .n = 0 };

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = kit_accept(&k, 1, 100);

	kit_outcome(&k, id, 0, RCPT_QUEUED, EVENT_DEFERRED);
	for (int life = 0; life < 2; life++) {
		struct message *m = spool_message(k.s, id);

		assert_non_null(m);
		assert_int_equal(m->rcpts[0].attempts, 1);
		assert_int_equal(m->rcpts[0].due, k.now + US_PER_MIN);
		assert_true(str_eqz(m->rcpts[0].reply, "250 2.0.0 words of the remote"));
		assert_string_equal(m->rcpts[0].enhanced, "2.0.0");
		message_free(m);
		kit_reopen(&k);
	}
	kit_load(&k, &g);
	assert_int_equal(g.n, 1);
	assert_int_equal(g.v[0]->rcpts[0].due, k.now + US_PER_MIN);
	got_free(&g);
	kit_done(&k);
}

static void ids_are_never_given_twice(void **state)
{
	struct kit k;
	uint64_t last = 0;

	(void)state;
	kit_init(&k);
	for (int life = 0; life < 5; life++) {
		kit_open(&k);
		for (int i = 0; i < 100; i++) {
			uint64_t id = spool_new_id(k.s);

			assert_true(id > last);
			last = id;
		}
		kit_close(&k);
	}
	kit_done(&k);
}

static void an_outcome_nobody_waits_for_changes_nothing(void **state)
{
	struct kit k;
	struct spool_totals before, after;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	uint64_t id = kit_accept(&k, 2, 100);

	kit_outcome(&k, id, 0, RCPT_DONE, EVENT_DELIVERED);
	spool_totals(k.s, &before);
	kit_outcome(&k, id, 0, RCPT_DONE, EVENT_DELIVERED);
	kit_outcome(&k, id, 2, RCPT_DONE, EVENT_DELIVERED);
	kit_outcome(&k, id + 77, 0, RCPT_DONE, EVENT_DELIVERED);
	kit_outcome(&k, id, 1, RCPT_QUEUED, EVENT_BOUNCED);
	kit_outcome(&k, id, 1, RCPT_DONE, EVENT_DEFERRED);
	spool_totals(k.s, &after);
	assert_memory_equal(&before, &after, sizeof before);
	kit_check_invariant(&k, 1);
	kit_done(&k);
}

static void state_rows_are_there_after_a_restart(void **state);

struct rows {
	char text[256];
};
static void add_row(void *arg, struct str key, struct str value)
{
	struct rows *r = arg;
	size_t n = strlen(r->text);

	snprintf(r->text + n, sizeof r->text - n, "%.*s=%.*s ", (int)key.n, key.p, (int)value.n,
		 value.p);
}

static void state_rows_are_there_after_a_restart(void **state)
{
	struct kit k;
	struct rows r = { "" };
	struct buf one;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	assert_true(spool_state_put(k.s, "overrides", STR_LIT("b"), STR_LIT("2")));
	assert_true(spool_state_put(k.s, "overrides", STR_LIT("a"), STR_LIT("1")));
	assert_true(spool_state_put(k.s, "overrides", STR_LIT("c"), STR_LIT("3")));
	assert_true(spool_state_put(k.s, "over", STR_LIT("x"), STR_LIT("9")));
	assert_null(spool_state_commit(k.s, &k.e));
	assert_true(spool_state_del(k.s, "overrides", STR_LIT("b")));
	assert_true(spool_state_del(k.s, "overrides", STR_LIT("never there")));
	assert_null(spool_state_commit(k.s, &k.e));
	kit_reopen(&k);
	spool_state_each(k.s, "overrides", add_row, &r);
	assert_string_equal(r.text, "a=1 c=3 ");
	buf_init(&one);
	assert_true(spool_state_get(k.s, "overrides", STR_LIT("c"), &one));
	assert_true(spool_state_get(k.s, "over", STR_LIT("x"), &one));
	assert_false(spool_state_get(k.s, "overrides", STR_LIT("b"), &one));
	assert_false(spool_state_get(k.s, "over", STR_LIT("a"), &one));
	assert_string_equal(buf_z(&one), "39");
	buf_free(&one);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepted_mail_is_there_after_a_restart_as_it_was),
		cmocka_unit_test(bodies_come_back_byte_for_byte),
		cmocka_unit_test(a_finished_message_is_gone_after_a_restart),
		cmocka_unit_test(a_deferral_keeps_its_words_and_its_time),
		cmocka_unit_test(ids_are_never_given_twice),
		cmocka_unit_test(an_outcome_nobody_waits_for_changes_nothing),
		cmocka_unit_test(state_rows_are_there_after_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
