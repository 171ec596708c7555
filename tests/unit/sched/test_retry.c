/* Retries, expiry, reports, and lanes that rest. */
#include "sim.h"

/* ---- verdicts ---- */

static struct sim_verdict verdict; /* for every recipient, but "ok@…" */

static struct sim_verdict same_for_all(struct sim *m, const char *vmta, struct str address,
				       uint32_t attempt)
{
	(void)m;
	(void)vmta;
	(void)attempt;
	if (str_istarts(address, "ok"))
		return (struct sim_verdict){ CLASS_OK, false, "250 2.0.0 ok", "2.0.0" };
	return verdict;
}

static const struct sim_verdict full = { CLASS_MAILBOX, false, "452 4.2.2 mailbox full", "4.2.2" };
static const struct sim_verdict busy = { CLASS_TRANSIENT, false, "451 4.3.2 system busy", "4.3.2" };
static const struct sim_verdict unknown = { CLASS_PERMANENT, true, "550 5.1.1 no such user",
					    "5.1.1" };

/* ---- retries ---- */

static us_t gap(const struct sim *m, size_t i)
{
	return m->rcpts[i + 1].at - m->rcpts[i].at;
}

static void about(us_t value, us_t want)
{
	assert_true(value >= want * 9 / 10 - US_PER_S && value <= want * 11 / 10 + US_PER_S);
}

static void waits_follow_the_list(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 1);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = full;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, 20 * US_PER_HOUR);
	about(gap(m, 0), 10 * US_PER_MIN);
	about(gap(m, 1), 20 * US_PER_MIN);
	about(gap(m, 2), 40 * US_PER_MIN);
	about(gap(m, 3), US_PER_HOUR);
	about(gap(m, 4), 2 * US_PER_HOUR);
	about(gap(m, 5), 4 * US_PER_HOUR);
	about(gap(m, 6), 4 * US_PER_HOUR);
	assert_int_equal(m->rcpts[6].attempt, 7);
	sim_check_totals(m);
	sim_free(m);
}

static void recipients_of_one_message_stay_together(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 2);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = full;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test,b@x.test,c@x.test,d@y.test" });
	sim_run(m, 15 * US_PER_MIN);
	assert_int_equal(m->nrcpts, 8);
	assert_int_equal(m->rcpts[4].at, m->rcpts[5].at);
	assert_int_equal(m->deferred, 8);
	sim_free(m);
}

static void a_short_list_is_kept_by_greylisting_too(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nretry-recipients-after = 1m, 2m\n", 3);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = (struct sim_verdict){ CLASS_GREYLIST, false, "450 4.2.0 greylisted", "4.2.0" };
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, 10 * US_PER_MIN);
	about(gap(m, 0), US_PER_MIN);
	about(gap(m, 1), 2 * US_PER_MIN);
	sim_free(m);
}

/* ---- expiry and reports ---- */

static void mail_expires_with_its_last_words(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nbounce-after = 2h\n", 4);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = busy;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test,b@x.test" });
	sim_run(m, 2 * US_PER_HOUR + US_PER_S);
	assert_int_equal(m->expired, 2);
	assert_int_equal(m->dsns, 1);
	assert_int_equal(m->dsn_rcpts, 2);
	assert_string_equal(m->last_dsn_enhanced, "4.4.7");
	assert_non_null(strstr(m->last_dsn_reply, "451 4.3.2 system busy"));
	sim_check_totals(m);
	sim_free(m);
}

static void paused_mail_expires_too(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nbounce-after = 5h\n", 5);
	struct sched_cmd c = {
		.id = 1, .type = CMD_PAUSE, .who = STR_LIT("op"), .expect = -1, .until = US_NEVER
	};
	us_t at;

	(void)state;
	sched_command(m->s, m->now, &c);
	for (int i = 0; i < 3000; i++)
		sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	at = m->now;
	sim_run_to(m, at + 5 * US_PER_HOUR - US_PER_S);
	assert_int_equal(m->expired, 0);
	sim_run_to(m, at + 5 * US_PER_HOUR + 2 * US_PER_S);
	assert_int_equal(m->expired, 3000);
	assert_int_equal(m->nrcpts, 0);
	sim_free(m);
}

static void failures_of_one_message_make_one_report(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 6);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = unknown;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test,b@y.test,c@z.test" });
	sim_run(m, 2 * US_PER_S);
	assert_int_equal(m->bounced, 3);
	assert_int_equal(m->dsns, 1);
	assert_int_equal(m->dsn_rcpts, 3);
	sim_free(m);
}

static void who_gets_no_report(void **state)
{
	enum { NEVER = 1, SUCCESS = 2, FAILURE = 4 };
	struct sim *m = sim_new(SIM_CONF "[domain silent.test]\nsend-dsn = no\n", 7);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = unknown;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .sender = "" });
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .notify = NEVER });
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .notify = SUCCESS });
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .dsn = true });
	sim_send(m, &(struct sim_mail){ .to = "a@silent.test" });
	sim_run(m, 2 * US_PER_MIN);
	assert_int_equal(m->bounced, 5);
	assert_int_equal(m->dsns, 0);
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .notify = FAILURE });
	sim_run(m, 2 * US_PER_MIN);
	assert_int_equal(m->dsns, 1);
	sim_check_totals(m);
	sim_free(m);
}

static void a_delay_is_reported_once(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\ndelay-dsn-after = 1h\n", 8);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = full;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, 50 * US_PER_MIN);
	assert_int_equal(m->dsns, 0);
	sim_run(m, 10 * US_PER_HOUR);
	assert_int_equal(m->dsns, 1);
	assert_int_equal(m->bounced + m->expired, 0);
	sim_free(m);
}

/* RFC 3461 5.2.2: success is asked for, and the next host does not speak DSN. */
static void what_goes_to_a_host_without_dsn_is_reported_as_relayed(void **state)
{
	enum { NEVER = 1, SUCCESS = 2, FAILURE = 4 };
	struct sim *m = sim_new(SIM_CONF "[domain silent.test]\nsend-dsn = no\n", 10);

	(void)state;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .notify = NEVER });
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .notify = FAILURE });
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .notify = SUCCESS, .sender = "" });
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .notify = SUCCESS, .dsn = true });
	sim_send(m, &(struct sim_mail){ .to = "a@silent.test", .notify = SUCCESS });
	sim_run(m, 2 * US_PER_MIN);
	assert_int_equal(m->delivered, 6);
	assert_int_equal(m->dsns, 0);
	sim_send(m, &(struct sim_mail){ .to = "a@x.test,b@y.test", .notify = SUCCESS });
	sim_run(m, 2 * US_PER_MIN);
	assert_int_equal(m->dsns, 1);
	assert_int_equal(m->dsn_rcpts, 2);
	assert_string_equal(m->last_dsn_enhanced, "2.0.0");
	m->w.dsn = true;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .notify = SUCCESS });
	sim_run(m, 2 * US_PER_MIN);
	assert_int_equal(m->delivered, 9);
	assert_int_equal(m->dsns, 1);
	sim_check_totals(m);
	sim_free(m);
}

static void what_was_to_be_reported_is_reported_after_a_restart(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 9);
	struct sched_rcpt r = { .report = true,
				.address = STR_LIT("a@x.test"),
				.domain = STR_LIT("x.test"),
				.reply = STR_LIT("550 5.1.1 no"),
				.enhanced = STR_LIT("5.1.1"),
				.failed_at = SIM_START - US_PER_S };
	struct sched_message x = { .id = 77,
				   .received_at = SIM_START - US_PER_HOUR,
				   .sender = STR_LIT("s@shop.example"),
				   .job = STR_LIT("j"),
				   .user = STR_LIT("u"),
				   .route = STR_LIT("vmta1"),
				   .loaded = true,
				   .size = 100,
				   .rcpts = &r,
				   .nrcpts = 1 };

	(void)state;
	assert_true(sched_message(m->s, m->now, &x));
	sim_run(m, US_PER_S);
	assert_int_equal(m->dsns, 1);
	assert_int_equal(m->last_dsn_message, 77);
	assert_string_equal(m->last_dsn_reply, "550 5.1.1 no");
	sim_free(m);
}

/* ---- rest ---- */

static bool down;
static int connects;

static struct sim_connect dead(struct sim *m, const char *vmta, const char *host)
{
	(void)m;
	(void)vmta;
	(void)host;
	connects++;
	return (struct sim_connect){ down, 20 * US_PER_MS, "connection refused", false };
}

static void a_lane_that_gives_no_session_rests_longer_each_time(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 10);
	us_t at[8];
	int n = 0;

	(void)state;
	m->w.connect = dead;
	down = true;
	connects = 0;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	for (int i = 0; i < 4000 && n < 5; i++) {
		int before = connects;

		sim_run(m, 100 * US_PER_MS);
		if (connects > before)
			at[n++] = m->now;
	}
	assert_int_equal(n, 5);
	about(at[1] - at[0], 30 * US_PER_S);
	about(at[2] - at[1], 45 * US_PER_S);
	about(at[3] - at[2], 67 * US_PER_S);
	about(at[4] - at[3], 101 * US_PER_S);
	assert_int_equal(m->deferred, 0);  /* nothing was attempted */
	assert_int_equal(m->unreached, n); /* the queue's events say it, once a rest */
	assert_non_null(strstr(m->last_unreached, "x.test/vmta1 vmta1 mx.x.test "));
	assert_non_null(strstr(m->last_unreached, " 127.0.1.1 "));
	assert_non_null(strstr(m->last_unreached, "connection refused"));
	down = false;
	sim_run(m, 5 * US_PER_MIN);
	assert_int_equal(m->delivered, 1);
	sim_free(m);
}

static void one_session_probes_when_the_rest_ends(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 11);

	(void)state;
	m->w.connect = dead;
	down = true;
	connects = 0;
	sim_send_many(m, 500, "x.test", "a", "vmta1");
	sim_run(m, 10 * US_PER_S);
	assert_in_range(connects, 1, 20);
	connects = 0;
	sim_run(m, 25 * US_PER_S);
	assert_int_equal(connects, 1);
	sim_free(m);
}

static void mail_goes_by_another_lane_while_one_rests(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain * via vmta1]\nmax-msg-rate = 5/s\n", 12);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = busy;
	sim_send_many(m, 200, "x.test", "a", "vmta1");
	sim_run(m, 30 * US_PER_S);
	sim_send(m, &(struct sim_mail){ .to = "ok@x.test", .route = "pool-a" });
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 1);
	assert_string_not_equal(m->rcpts[m->nrcpts - 1].vmta, "vmta1");
	sim_free(m);
}

static int lane_rests(struct sim *m)
{
	struct target t;
	struct errbuf e;
	struct buf b;
	int rests;

	buf_init(&b);
	target_parse(STR_LIT("mx.x.test@vmta1"), &t, &e);
	rests =
	    !sched_detail(m->s, m->now, &t, &b, &e) && strstr(buf_z(&b), "resting_until") != NULL;
	buf_free(&b);
	return rests;
}

static void ten_deferrals_in_ten_seconds_make_a_lane_rest_but_not_mailbox_replies(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 2/s\n", 13);

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = full;
	sim_send_many(m, 100, "x.test", "a", "vmta1");
	sim_run(m, 30 * US_PER_S);
	assert_false(lane_rests(m));
	verdict = busy;
	sim_run(m, 8 * US_PER_S);
	assert_false(lane_rests(m));
	sim_run(m, 8 * US_PER_S);
	assert_true(lane_rests(m));
	sim_free(m);
}

static void one_delivery_ends_the_run(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 2/s\n", 14);
	char to[40];

	(void)state;
	m->w.rcpt = same_for_all;
	verdict = busy;
	for (int i = 0; i < 100; i++) {
		snprintf(to, sizeof to, "%s%d@x.test", i % 8 == 7 ? "ok" : "a", i);
		sim_send(m, &(struct sim_mail){ .to = to });
	}
	sim_run(m, 50 * US_PER_S);
	assert_false(lane_rests(m));
	sim_free(m);
}

static void a_rest_outlives_a_restart(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 15);

	(void)state;
	m->w.connect = dead;
	down = true;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, 150 * US_PER_S);
	sim_restart(m, SIM_CONF);
	connects = 0;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, 2 * US_PER_S);
	assert_int_equal(connects, 0);
	assert_true(lane_rests(m));
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(waits_follow_the_list),
		cmocka_unit_test(recipients_of_one_message_stay_together),
		cmocka_unit_test(a_short_list_is_kept_by_greylisting_too),
		cmocka_unit_test(mail_expires_with_its_last_words),
		cmocka_unit_test(paused_mail_expires_too),
		cmocka_unit_test(failures_of_one_message_make_one_report),
		cmocka_unit_test(who_gets_no_report),
		cmocka_unit_test(a_delay_is_reported_once),
		cmocka_unit_test(what_goes_to_a_host_without_dsn_is_reported_as_relayed),
		cmocka_unit_test(what_was_to_be_reported_is_reported_after_a_restart),
		cmocka_unit_test(a_lane_that_gives_no_session_rests_longer_each_time),
		cmocka_unit_test(one_session_probes_when_the_rest_ends),
		cmocka_unit_test(mail_goes_by_another_lane_while_one_rests),
		cmocka_unit_test(
		    ten_deferrals_in_ten_seconds_make_a_lane_rest_but_not_mailbox_replies),
		cmocka_unit_test(one_delivery_ends_the_run),
		cmocka_unit_test(a_rest_outlives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
