/* Commands: what they stop, what they answer and when, and what a restart leaves of them. */
#include "sim.h"

static struct target target(const char *text)
{
	struct target t;
	struct errbuf e;

	if (target_parse(str_of(text), &t, &e))
		fail_msg("%s", e.text);
	return t;
}

static struct sched_cmd command(enum sched_cmd_type type, const char *on)
{
	static uint64_t id;

	return (struct sched_cmd){ .id = ++id,
				   .type = type,
				   .target = on ? target(on) : (struct target){ 0 },
				   .who = STR_LIT("op1"),
				   .session = STR_LIT("s1"),
				   .expect = -1,
				   .share = 1 };
}

/* Runs until the answer is there. */
static void order(struct sim *m, struct sched_cmd c)
{
	int before = m->replies;

	sched_command(m->s, m->now, &c);
	m->tick_at = m->now;
	for (int i = 0; i < 5000 && m->replies == before; i++) {
		sim_drain(m);
		sim_run(m, US_PER_MS);
	}
	assert_int_equal(m->replies, before + 1);
	assert_int_equal(m->reply.id, c.id);
}

static void does(struct sim *m, struct sched_cmd c)
{
	order(m, c);
	if (m->reply.exit != EXIT_DONE)
		fail_msg("refused: %s", m->reply_text);
}

static void refused(struct sim *m, struct sched_cmd c, const char *words)
{
	order(m, c);
	assert_int_equal(m->reply.exit, EXIT_REFUSED);
	if (!strstr(m->reply_text, words))
		fail_msg("'%s' does not say '%s'", m->reply_text, words);
}

static int written_since(const struct sim *m, us_t at, const char *queue)
{
	int n = 0;

	for (size_t i = 0; i < m->nrcpts; i++)
		n += m->rcpts[i].at > at && (!queue || strcmp(m->rcpts[i].queue, queue) == 0);
	return n;
}

static struct sim *busy(uint64_t seed)
{
	struct sim *m = sim_new(SIM_CONF, seed);

	m->w.round_trip = 30 * US_PER_MS;
	sim_send_many(m, 5000, "gmail.test", "a", "pool-a");
	sim_send_many(m, 5000, "yahoo.test", "b", "vmta1");
	sim_run(m, US_PER_S);
	return m;
}

static void a_pause_lets_nothing_start_after_its_answer(void **state)
{
	static const char *const targets[] = { "gmail.test",
					       "gmail.test/pool-a",
					       "@mx.gmail.test",
					       "pool:pool-a",
					       "job:a",
					       "*.test",
					       "all" };

	(void)state;
	for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
		struct sim *m = busy(20 + i);
		us_t at;

		does(m, command(CMD_PAUSE, targets[i]));
		at = m->now;
		sim_run(m, 5 * US_PER_S);
		assert_int_equal(written_since(m, at, "gmail.test/pool-a"), 0);
		if (i < 5)
			assert_true(written_since(m, at, "yahoo.test/vmta1") > 500);
		does(m, command(CMD_RESUME, targets[i]));
		at = m->now;
		sim_run(m, US_PER_S);
		assert_true(written_since(m, at, "gmail.test/pool-a") > 500);
		sim_check_totals(m);
		sim_free(m);
	}
}

static void a_lane_or_source_stops_and_others_take_its_mail(void **state)
{
	static const char *const targets[] = { "mx.gmail.test@vmta1", "vmta:vmta1" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sim *m = busy(40 + i);
		us_t at;
		int n = 0;

		does(m, command(i ? CMD_DISABLE : CMD_PAUSE, targets[i]));
		at = m->now;
		sim_run(m, US_PER_S);
		for (size_t k = 0; k < m->nrcpts; k++)
			if (m->rcpts[k].at > at && strcmp(m->rcpts[k].vmta, "vmta1") == 0)
				n += i || strcmp(m->rcpts[k].queue, "gmail.test/pool-a") == 0;
		assert_int_equal(n, 0);
		assert_true(written_since(m, at, "gmail.test/pool-a") > 300);
		does(m, command(i ? CMD_ENABLE : CMD_RESUME, targets[i]));
		sim_free(m);
	}
}

static void the_answer_counts_what_waits_and_what_is_finished(void **state)
{
	struct sim *m = busy(50);

	(void)state;
	does(m, command(CMD_PAUSE, "gmail.test"));
	printf("  %s\n", m->reply_text);
	assert_true(m->reply.done > 1000);
	assert_true(m->reply.in_flight > 0);
	assert_true(m->reply.override == 1);
	assert_int_equal(m->reply.until - m->now > 3 * US_PER_HOUR, 1);
	assert_string_equal(m->echo, "op1 paused gmail.test");
	sim_free(m);
}

static void what_is_paused_already_is_said_so(void **state)
{
	struct sim *m = busy(51);

	(void)state;
	does(m, command(CMD_PAUSE, "gmail.test"));
	refused(m, command(CMD_PAUSE, "gmail.test"), "already paused by op1");
	does(m, command(CMD_PAUSE, "all"));
	does(m, command(CMD_RESUME, "gmail.test"));
	assert_non_null(strstr(m->reply_text, "still paused: all"));
	refused(m, command(CMD_RESUME, "gmail.test"), "not paused by itself: all is");
	does(m, command(CMD_RESUME, "all"));
	refused(m, command(CMD_RESUME, "all"), "is not paused");
	sim_free(m);
}

static void what_fits_nothing_known_is_refused_with_the_nearest(void **state)
{
	struct sim *m = busy(52);

	(void)state;
	refused(m, command(CMD_PAUSE, "gmial.test"), "gmail.test");
	refused(m, command(CMD_PAUSE, "vmta:vmta9"), "vmta1");
	refused(m, command(CMD_PAUSE, "pool:pool-b"), "pool-a");
	refused(m, command(CMD_PAUSE, "id:ffff"), "no message");
	refused(m, command(CMD_PAUSE, "job:zz"), "no job");
	refused(m, command(CMD_DISABLE, "gmail.test"), "vmta:NAME");
	sim_free(m);
}

static void a_rate_binds_from_its_answer_on(void **state)
{
	static const char *const targets[] = { "gmail.test",
					       "gmail.test/pool-a",
					       "@mx.gmail.test",
					       "pool:pool-a",
					       "job:a",
					       "*.test",
					       "all",
					       "mx.gmail.test@*" };

	(void)state;
	for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
		struct sim *m = busy(60 + i);
		struct sched_cmd c = command(CMD_RATE, targets[i]);
		us_t at;
		int n;

		c.rate = (struct rate){ 20, US_PER_S };
		does(m, c);
		at = m->now + 50 * US_PER_MS; /* what had been begun is finished */
		sim_run(m, 10 * US_PER_S);
		n = written_since(m, at, i == 5 || i == 6 ? NULL : "gmail.test/pool-a");
		printf("  %s: %d in 10 s at 20/s\n", targets[i], n);
		assert_in_range(n, 190, 205);
		c = command(CMD_END, NULL);
		c.number = m->reply.override;
		does(m, c);
		at = m->now;
		sim_run(m, US_PER_S);
		assert_true(written_since(m, at, "gmail.test/pool-a") > 200);
		sim_free(m);
	}
}

static void each_lane_has_the_rate_for_itself(void **state)
{
	struct sim *m = busy(70);
	struct sched_cmd c = command(CMD_RATE, "@mx.gmail.test");
	us_t at;

	(void)state;
	c.rate = (struct rate){ 10, US_PER_S };
	c.each = true;
	does(m, c);
	at = m->now + 50 * US_PER_MS;
	sim_run(m, 10 * US_PER_S);
	assert_in_range(written_since(m, at, "gmail.test/pool-a"), 385, 405);
	sim_free(m);
}

static int open_now(const struct sim *m, const char *lane)
{
	size_t pos = 0;
	uint64_t key;
	void *value;
	int n = 0;

	while (idmap_next(&m->sessions, &pos, &key, &value))
		n += strcmp(((struct sim_session *)value)->spec->lane->text, lane) == 0;
	return n;
}

static void connections_over_a_new_limit_are_closed(void **state)
{
	struct sim *m = busy(71);
	struct sched_cmd c = command(CMD_CONNECTIONS, "mx.gmail.test@vmta2");

	(void)state;
	assert_int_equal(open_now(m, "mx.gmail.test@vmta2"), 20);
	c.connections = 3;
	does(m, c);
	sim_run(m, 200 * US_PER_MS);
	assert_int_equal(open_now(m, "mx.gmail.test@vmta2"), 3);
	assert_int_equal(open_now(m, "mx.gmail.test@vmta3"), 20);
	c = command(CMD_CONNECTIONS, "gmail.test");
	c.connections = 5;
	does(m, c);
	sim_run(m, 300 * US_PER_MS);
	assert_in_range(open_now(m, "mx.gmail.test@vmta1") + open_now(m, "mx.gmail.test@vmta2") +
			    open_now(m, "mx.gmail.test@vmta3") + open_now(m, "mx.gmail.test@vmta4"),
			4, 5);
	sim_free(m);
}

static void the_newest_rules_and_its_end_reveals_what_lies_below(void **state)
{
	struct sim *m = busy(72);
	struct sched_cmd c = command(CMD_RATE, "@mx.gmail.test");
	us_t at;

	(void)state;
	c.rate = (struct rate){ 5, US_PER_S };
	does(m, c);
	c = command(CMD_RATE, "@mx.gmail.test");
	c.rate = (struct rate){ 50, US_PER_S };
	does(m, c);
	at = m->now + 100 * US_PER_MS;
	sim_run_to(m, at + 4 * US_PER_S);
	assert_in_range(written_since(m, at, "gmail.test/pool-a"), 190, 205);
	c = command(CMD_UNDO, NULL);
	does(m, c);
	at = m->now + 100 * US_PER_MS;
	sim_run_to(m, at + 4 * US_PER_S);
	assert_in_range(written_since(m, at, "gmail.test/pool-a"), 19, 22);
	does(m, command(CMD_UNDO, NULL));
	at = m->now;
	sim_run(m, US_PER_S);
	assert_true(written_since(m, at, "gmail.test/pool-a") > 300);
	refused(m, command(CMD_UNDO, NULL), "nothing of this session");
	sim_free(m);
}

static void overrides_survive_a_restart_and_their_numbers_go_on(void **state)
{
	struct sim *m = busy(73);
	struct sched_cmd c = command(CMD_RATE, "yahoo.test");

	(void)state;
	does(m, command(CMD_PAUSE, "gmail.test"));
	c.rate = (struct rate){ 10, US_PER_S };
	does(m, c);
	does(m, command(CMD_DISABLE, "vmta:vmta3"));
	sim_restart(m, SIM_CONF);
	m->nrcpts = 0;
	sim_send_many(m, 500, "gmail.test", "a", "pool-a");
	sim_send_many(m, 500, "yahoo.test", "b", "vmta1");
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(written_since(m, 0, "gmail.test/pool-a"), 0);
	assert_in_range(written_since(m, 0, "yahoo.test/vmta1"), 98, 103);
	does(m, command(CMD_RESUME, "gmail.test"));
	sim_run(m, 2 * US_PER_S);
	for (size_t i = 0; i < m->nrcpts; i++)
		assert_string_not_equal(m->rcpts[i].vmta, "vmta3");
	does(m, command(CMD_PAUSE, "gmail.test"));
	assert_int_equal(m->reply.override, 4);
	sim_free(m);
}

static void an_override_ends_at_its_time(void **state)
{
	struct sim *m = busy(74);
	struct sched_cmd c = command(CMD_PAUSE, "gmail.test");
	us_t until;

	(void)state;
	until = c.until = m->now + 20 * US_PER_S;
	does(m, c);
	sim_run_to(m, until - US_PER_MS);
	assert_int_equal(written_since(m, m->now - 10 * US_PER_S, "gmail.test/pool-a"), 0);
	sim_run(m, US_PER_S);
	assert_true(written_since(m, until, "gmail.test/pool-a") > 100);
	sim_free(m);
}

static struct sim_verdict defers(struct sim *m, const char *vmta, struct str address,
				 uint32_t attempt)
{
	(void)m;
	(void)vmta;
	(void)address;
	if (attempt == 1)
		return (struct sim_verdict){ CLASS_MAILBOX, false, "452 4.2.2 full", "4.2.2" };
	return (struct sim_verdict){ CLASS_OK, false, "250 2.0.0 ok", "2.0.0" };
}

static void retry_ends_the_waits_of_all_that_wait(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 75);

	(void)state;
	m->w.rcpt = defers;
	sim_send_many(m, 3000, "gmail.test", "a", "pool-a");
	sim_run(m, 60 * US_PER_S);
	assert_int_equal(m->deferred, 3000);
	does(m, command(CMD_RETRY, "gmail.test"));
	assert_int_equal(m->reply.done, 3000);
	sim_run(m, 60 * US_PER_S);
	assert_int_equal(m->delivered, 3000);
	sim_free(m);
}

static void bounce_delete_and_move_take_exactly_what_was_shown(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 76);
	struct sched_cmd c;
	us_t shown;

	(void)state;
	does(m, command(CMD_PAUSE, "*"));
	sim_send_many(m, 1000, "gmail.test", "a", "pool-a");
	sim_run(m, US_PER_S);
	shown = m->now;
	sim_run(m, US_PER_S);
	sim_send_many(m, 100, "gmail.test", "a", "pool-a");
	c = command(CMD_DELETE, "gmail.test");
	c.dry_run = true;
	c.shown_at = shown;
	does(m, c);
	assert_int_equal(m->reply.done, 1000);
	c = command(CMD_DELETE, "gmail.test");
	c.expect = 300;
	c.shown_at = shown;
	does(m, c);
	assert_int_equal(m->reply.done, 300);
	assert_int_equal(m->removed, 300);
	assert_int_equal(m->dsns, 0);
	c = command(CMD_BOUNCE, "job:a");
	c.expect = 200;
	c.shown_at = shown;
	c.reason = STR_LIT("wrong list");
	does(m, c);
	sim_run(m, US_PER_S);
	assert_int_equal(m->bounced, 200);
	assert_int_equal(m->dsns, 200);
	assert_non_null(strstr(m->last_dsn_reply, "wrong list"));
	c = command(CMD_MOVE, "gmail.test");
	c.route = STR_LIT("vmta2");
	c.share = 0.5;
	c.shown_at = shown;
	does(m, c);
	assert_int_equal(m->reply.done, 250);
	does(m, command(CMD_RESUME, "*"));
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(m->delivered, 600);
	assert_int_equal(written_since(m, 0, "gmail.test/vmta2"), 250);
	sim_check_totals(m);
	sim_free(m);
}

static void one_message_can_be_held_and_deleted(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 77);
	uint64_t id;
	char name[32];

	(void)state;
	does(m, command(CMD_PAUSE, "all"));
	id = sim_send(m, &(struct sim_mail){ .to = "a@x.test,b@y.test" });
	sim_send(m, &(struct sim_mail){ .to = "c@x.test" });
	snprintf(name, sizeof name, "id:%llx", (unsigned long long)id);
	does(m, command(CMD_PAUSE, name));
	does(m, command(CMD_RESUME, "all"));
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 1);
	does(m, command(CMD_DELETE, name));
	assert_int_equal(m->removed, 2);
	refused(m, command(CMD_PAUSE, name), "no message");
	sim_check_totals(m);
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pause_lets_nothing_start_after_its_answer),
		cmocka_unit_test(a_lane_or_source_stops_and_others_take_its_mail),
		cmocka_unit_test(the_answer_counts_what_waits_and_what_is_finished),
		cmocka_unit_test(what_is_paused_already_is_said_so),
		cmocka_unit_test(what_fits_nothing_known_is_refused_with_the_nearest),
		cmocka_unit_test(a_rate_binds_from_its_answer_on),
		cmocka_unit_test(each_lane_has_the_rate_for_itself),
		cmocka_unit_test(connections_over_a_new_limit_are_closed),
		cmocka_unit_test(the_newest_rules_and_its_end_reveals_what_lies_below),
		cmocka_unit_test(overrides_survive_a_restart_and_their_numbers_go_on),
		cmocka_unit_test(an_override_ends_at_its_time),
		cmocka_unit_test(retry_ends_the_waits_of_all_that_wait),
		cmocka_unit_test(bounce_delete_and_move_take_exactly_what_was_shown),
		cmocka_unit_test(one_message_can_be_held_and_deleted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
