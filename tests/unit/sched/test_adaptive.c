/* Adaptive throttling: a receiver that refuses what is too fast is found out and left in peace. */
#include "sim.h"

/* 40 a second, as it looks over five seconds. */
enum { TOLERATED = 200, MINUTES = 120 };
#define LOOKS_OVER (5 * US_PER_S)

static struct classifier *classifier;

/* The last attempts at the receiver, a ring of as many as it tolerates. */
static struct {
	us_t at[TOLERATED];
	int next;
	int refused, refused_in[MINUTES + 1], tried_in[MINUTES + 1];
} receiver;

static struct sim_verdict strict(struct sim *m, const char *vmta, struct str address,
				 uint32_t attempt)
{
	int minute = (int)((m->now - SIM_START) / US_PER_MIN);
	bool over = m->now - receiver.at[receiver.next] < LOOKS_OVER;

	(void)vmta;
	(void)address;
	(void)attempt;
	if (minute <= MINUTES) {
		receiver.tried_in[minute]++;
		receiver.refused_in[minute] += over;
	}
	receiver.refused += over;
	if (over)
		return (struct sim_verdict){ CLASS_OK, false, "421 4.3.2 not so fast", "4.3.2" };
	receiver.at[receiver.next] = m->now;
	receiver.next = (receiver.next + 1) % TOLERATED;
	return (struct sim_verdict){ CLASS_OK, false, "250 2.0.0 ok", "2.0.0" };
}

static struct sim *world(const char *more)
{
	char conf[3000];
	struct sim *m;

	snprintf(conf, sizeof conf, "%s%s", SIM_CONF, more);
	m = sim_new(conf, 3);
	m->w.classifier = classifier;
	memset(&receiver, 0, sizeof receiver);
	return m;
}

static void feed(struct sim *m, void *arg)
{
	(void)arg;
	sim_send_many(m, 500, "x.test", "a", "vmta1");
	sim_call_at(m, m->now + 10 * US_PER_S, feed, NULL);
}

static void it_settles_just_below_what_a_receiver_tolerates(void **state)
{
	struct sim *m = world("[domain *]\nmax-msg-rate = 200/s\n");
	int good = 0, seconds = 0, refused = 0, tried = 0, *per_second;
	const us_t from = SIM_START + 5 * US_PER_MIN, to = SIM_START + MINUTES * US_PER_MIN;

	(void)state;
	m->w.rcpt = strict;
	sim_send_many(m, 3000, "x.test", "a", "vmta1");
	feed(m, NULL);
	sim_run_to(m, to);
	per_second = calloc(MINUTES * 60 + 1, sizeof *per_second);
	assert_non_null(per_second);
	for (size_t i = 0; i < m->nrcpts; i++)
		per_second[(m->rcpts[i].at - SIM_START) / US_PER_S]++;
	/* The mean over ten seconds: single seconds hold a whole number of attempts. */
	for (int i = 5 * 60; i + 10 <= MINUTES * 60; i++) {
		double sum = 0;

		for (int k = 0; k < 10; k++)
			sum += per_second[i + k];
		seconds++;
		good += sum >= 300 && sum <= 420;
	}
	for (int i = 5; i < MINUTES; i++) {
		refused += receiver.refused_in[i];
		tried += receiver.tried_in[i];
	}
	printf("  between 30 and 42/s for %.1f %% of the time, %.2f %% answered 421, %d in all\n",
	       100.0 * good / seconds, 100.0 * refused / tried, receiver.refused);
	assert_true(good >= seconds * 0.95);
	assert_true(refused <= tried * 0.02);
	assert_true(from < to);
	assert_int_equal(m->bounced + m->expired, 0);
	sim_check_totals(m);
	free(per_second);
	sim_free(m);
}

/* ---- what is known, on a row ---- */

struct seen {
	float rate, ceiling, limit;
	char code[20], text[80];
};

static void look(void *arg, struct row *r)
{
	struct seen *x = arg;

	if (!r->deleted && r->kind == ROW_LANE) {
		x->rate = r->lane.learned_rate;
		x->ceiling = r->lane.learned_ceiling;
		x->limit = r->lane.rate_limit;
		snprintf(x->code, sizeof x->code, "%s", why_code_name((enum why_code)r->why.code));
		snprintf(x->text, sizeof x->text, "%s", r->why.text ? r->why.text->text : "");
	}
	row_release(r);
}

static struct seen lane(struct sim *m)
{
	struct seen x = { 0 };

	sched_hold(m->s, m->now, HOLD_MEMORY, false);
	m->tick_at = m->now;
	sim_run(m, 20 * US_PER_MS);
	while (sched_rows(m->s, m->now, 1000, look, &x) == 1000)
		;
	return x;
}

static const char *said;

static struct sim_verdict speak(struct sim *m, const char *vmta, struct str address,
				uint32_t attempt)
{
	(void)m;
	(void)vmta;
	(void)address;
	(void)attempt;
	return (struct sim_verdict){ CLASS_OK, false, said, "2.0.0" };
}

static void only_throttling_teaches(void **state)
{
	static const struct {
		const char *reply;
		bool teaches;
	} cases[] = {
		{ "421 4.3.2 not so fast", true },
		{ "450 4.7.1 slower please", true }, /* a pattern says so */
		{ "550 5.7.1 slower please", true },
		{ "450 4.2.1 The user is receiving mail too quickly", false },
		{ "452 4.2.2 mailbox full", false },
		{ "450 4.7.1 greylisted", false },
		{ "421 20 messages per connection is enough", false },
		{ "451 4.3.0 try later", false },
		{ "550 5.1.1 no such user", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sim *m = world("[pattern-list default]\nreply = /slower please/ slower\n"
				      "[domain *]\nmax-msg-rate = 50/s\n");
		struct seen a;

		m->w.rcpt = speak;
		said = "250 2.0.0 ok";
		sim_send_many(m, 1000, "x.test", "a", "vmta1");
		sim_run(m, 11 * US_PER_S);
		said = cases[i].reply;
		sim_run(m, US_PER_S / 2);
		a = lane(m);
		if ((a.rate > 0) != cases[i].teaches)
			fail_msg("%s: learned %g", cases[i].reply, (double)a.rate);
		if (cases[i].teaches)
			assert_in_range((int)a.rate, 23, 26); /* half of 50 */
		sim_free(m);
	}
}

static void what_was_learned_outlives_a_restart_and_a_day_forgets_the_ceiling(void **state)
{
	static const char conf[] = "[domain *]\nmax-msg-rate = 50/s\n";
	struct sim *m = world(conf);
	struct seen a;

	(void)state;
	m->w.rcpt = speak;
	said = "250 2.0.0 ok";
	sim_send_many(m, 2000, "x.test", "a", "vmta1");
	sim_run(m, 11 * US_PER_S);
	said = "421 4.3.2 not so fast";
	sim_run(m, US_PER_S / 5);
	said = "250 2.0.0 ok";
	a = lane(m);
	assert_in_range((int)a.ceiling, 48, 51);
	sim_run(m, 2 * US_PER_S);
	a = lane(m);
	assert_string_equal(a.code, "rate");
	assert_non_null(strstr(a.text, "learned 25/s of 50/s"));
	assert_true(a.limit < 26);
	sim_restart(m, SIM_CONF "[domain *]\nmax-msg-rate = 50/s\n");
	sim_send_many(m, 100, "x.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	a = lane(m);
	assert_in_range((int)a.rate, 24, 25);
	assert_in_range((int)a.ceiling, 48, 51);
	/* Little mail: no minute is used by half, so it stays as it is. */
	sim_run(m, 30 * US_PER_MIN);
	assert_in_range((int)lane(m).rate, 24, 25);
	sim_run(m, US_PER_DAY);
	assert_true(lane(m).ceiling < 1);
	sim_free(m);
}

static void it_can_be_switched_off(void **state)
{
	struct sim *m = world("[domain *]\nmax-msg-rate = 50/s\nadaptive-throttling = no\n");

	(void)state;
	m->w.rcpt = speak;
	said = "421 4.3.2 not so fast";
	sim_send_many(m, 1000, "x.test", "a", "vmta1");
	sim_run(m, 5 * US_PER_S);
	assert_true(lane(m).rate < 0.01F);
	sim_free(m);
}

static int make_classifier(void **state)
{
	struct errbuf e;

	(void)state;
	classifier = classifier_new(&e);
	return classifier ? 0 : -1;
}

static int free_classifier(void **state)
{
	(void)state;
	classifier_free(classifier);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_settles_just_below_what_a_receiver_tolerates),
		cmocka_unit_test(only_throttling_teaches),
		cmocka_unit_test(what_was_learned_outlives_a_restart_and_a_day_forgets_the_ceiling),
		cmocka_unit_test(it_can_be_switched_off),
	};

	return cmocka_run_group_tests(tests, make_classifier, free_classifier);
}
