/* Each failure is reported once: RCPT_REPORT stands until the report is accepted, over any crash,
 * and not longer. */
#undef _FORTIFY_SOURCE
#include "tests/unit/spool/spy.h"
#include "tests/unit/spool/kit.h"

static uint64_t bounced(struct kit *k, uint32_t nrcpts)
{
	uint64_t id = kit_accept(k, nrcpts, 100);

	for (uint32_t i = 0; i < nrcpts; i++)
		kit_outcome(k, id, i, RCPT_REPORT, i & 1 ? EVENT_EXPIRED : EVENT_BOUNCED);
	return id;
}

static struct message *report_on(struct kit *k, uint64_t id, uint32_t n)
{
	struct message *m = kit_message(k, 1, 200);
	uint32_t *list = arena_alloc(&m->arena, n * sizeof *list);

	for (uint32_t i = 0; i < n; i++)
		list[i] = i;
	m->dsn = true;
	m->sender = STR_LIT("");
	m->reports_on = id;
	m->reports_rcpts = list;
	m->nreports_rcpts = n;
	return m;
}

static void a_message_stays_until_its_failures_are_reported(void **state)
{
	struct kit k;
	struct message *m;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = bounced(&k, 2);

	for (int life = 0; life < 2; life++) {
		kit_reopen(&k);
		m = spool_message(k.s, id);
		assert_non_null(m);
		for (int i = 0; i < 2; i++) {
			assert_int_equal(m->rcpts[i].state, RCPT_REPORT);
			assert_int_equal(m->rcpts[i].failed_at, k.now);
			assert_true(str_eqz(m->rcpts[i].reply, "250 2.0.0 words of the remote"));
		}
		message_free(m);
		kit_check_invariant(&k, 0); /* counted when they failed, not when that was told */
	}
	uint64_t dsn = kit_accept_message(&k, report_on(&k, id, 2));

	assert_null(spool_message(k.s, id));
	kit_reopen(&k);
	assert_null(spool_message(k.s, id));
	m = spool_message(k.s, dsn);
	assert_true(m->dsn && m->nreports_rcpts == 2 && m->reports_rcpts[1] == 1);
	assert_int_equal(m->reports_on, id);
	message_free(m);
	kit_check_invariant(&k, 1);
	kit_done(&k);
}

/* A delay report that a crash took is made again; one that is there is not. */
static void a_delay_counts_as_told_with_the_reports_own_record(void **state)
{
	struct kit k;
	struct message *m, *report;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = kit_accept(&k, 2, 100);

	kit_outcome(&k, id, 0, RCPT_QUEUED, EVENT_DEFERRED);
	kit_outcome(&k, id, 1, RCPT_REPORT, EVENT_BOUNCED);
	kit_reopen(&k);
	m = spool_message(k.s, id);
	assert_false(m->rcpts[0].delayed_dsn_sent);
	message_free(m);
	report = report_on(&k, id, 2);
	((uint32_t *)(uintptr_t)report->reports_rcpts)[0] |= REPORTS_DELAY;
	((uint32_t *)(uintptr_t)report->reports_rcpts)[1] |= REPORTS_DELAY;
	kit_accept_message(&k, report);
	for (int life = 0; life < 3; life++) {
		m = spool_message(k.s, id);
		assert_true(m->rcpts[0].delayed_dsn_sent);
		assert_int_equal(m->rcpts[0].state, RCPT_QUEUED);
		/* it failed in the meantime: that is told by another report */
		assert_int_equal(m->rcpts[1].state, RCPT_REPORT);
		message_free(m);
		if (life == 1) /* stays over the next outcome */
			kit_outcome(&k, id, 0, RCPT_QUEUED, EVENT_DEFERRED);
		kit_reopen(&k);
	}
	kit_done(&k);
}

static void a_report_on_some_ends_the_state_of_those(void **state)
{
	struct kit k;
	struct message *m;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = bounced(&k, 12);

	kit_accept_message(&k, report_on(&k, id, 5));
	for (int life = 0; life < 2; life++) {
		m = spool_message(k.s, id);
		for (uint32_t i = 0; i < 12; i++)
			assert_int_equal(m->rcpts[i].state, i < 5 ? RCPT_DONE : RCPT_REPORT);
		message_free(m);
		kit_reopen(&k);
	}
	/* a failure that nobody is to hear of is settled without a report */
	for (uint32_t i = 5; i < 12; i++)
		kit_outcome(&k, id, i, RCPT_DONE, EVENT_RECEIVED);
	assert_null(spool_message(k.s, id));
	kit_done(&k);
}

static void a_report_accepted_just_before_a_crash_is_not_made_again(void **state)
{
	struct kit k, dead;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = bounced(&k, 2);
	/* nothing is committed by the caller: the outcome itself is younger than the last commit */
	uint64_t dsn = kit_accept_message(&k, report_on(&k, id, 2));

	kit_copy(&k, &dead);
	kit_open(&dead);
	assert_null(spool_message(dead.s, id));
	struct message *m = spool_message(dead.s, dsn);

	assert_non_null(m);
	message_free(m);
	kit_check_invariant(&dead, 1);
	kit_done(&dead);
	kit_done(&k);
}

static int no_index(enum disk_kind kind, const char *path)
{
	return kind == DISK_SYNC && strstr(path, "/index/") ? EIO : 0;
}

static void a_report_waits_for_its_failures_to_be_recorded(void **state)
{
	struct got g = { .n = 0 };
	struct kit k;

	(void)state;
	kit_init(&k);
	log_set_level(LOG_LEVEL_ERROR + 1);
	kit_open(&k);
	uint64_t id = kit_accept(&k, 1, 10);

	kit_commit(&k, true);
	spy.refuse = no_index;
	kit_outcome(&k, kit_accept(&k, 1, 10), 0, RCPT_DONE, EVENT_DELIVERED);
	assert_non_null(spool_commit(k.s, k.now, true, &k.e));
	kit_outcome(&k, id, 0, RCPT_REPORT, EVENT_BOUNCED); /* put aside: the index is given up */
	assert_true(spool_add(k.s, report_on(&k, id, 1)));
	assert_non_null(spool_flush(k.s, k.now, kit_take, &g, &k.e));
	got_free(&g);
	spy.refuse = NULL;
	kit_accept_message(&k, report_on(&k, id, 1));
	assert_null(spool_message(k.s, id));
	kit_reopen(&k);
	assert_null(spool_message(k.s, id));
	kit_check_invariant(&k, 1);
	kit_done(&k);
}

static void a_report_on_what_is_gone_is_mail_like_any_other(void **state)
{
	struct kit k;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	uint64_t id = kit_accept(&k, 1, 10), queued = kit_accept(&k, 1, 10);
	struct message *m;

	kit_outcome(&k, id, 0, RCPT_DONE, EVENT_REMOVED);
	kit_accept_message(&k, report_on(&k, id, 3));
	kit_accept_message(&k, report_on(&k, 999999, 1));
	kit_accept_message(&k, report_on(&k, queued, 1));
	kit_reopen(&k);
	m = spool_message(k.s, queued);
	assert_int_equal(m->rcpts[0].state, RCPT_QUEUED); /* it has not failed */
	message_free(m);
	kit_check_invariant(&k, 4);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_message_stays_until_its_failures_are_reported),
		cmocka_unit_test(a_delay_counts_as_told_with_the_reports_own_record),
		cmocka_unit_test(a_report_on_some_ends_the_state_of_those),
		cmocka_unit_test(a_report_accepted_just_before_a_crash_is_not_made_again),
		cmocka_unit_test(a_report_waits_for_its_failures_to_be_recorded),
		cmocka_unit_test(a_report_on_what_is_gone_is_mail_like_any_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
