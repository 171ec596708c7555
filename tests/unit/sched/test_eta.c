/* When a queue will be empty: queued / (out - in), in virtual time. */
#include "sim.h"

#define RATE_10 "[domain *]\nmax-msg-rate = 10/s\n"

struct eta {
	uint64_t queued;
	us_t left;
	uint8_t state;
	bool queue, site;
};

static void look(void *arg, struct row *r)
{
	struct eta *x = arg;

	if (!r->deleted && r->kind == ROW_QUEUE && x->queue) {
		x->queued = r->queue.queued;
		x->left = r->queue.eta;
		x->state = r->queue.eta_state;
	}
	if (!r->deleted && r->kind == ROW_SITE && x->site) {
		x->queued = r->site.queued;
		x->left = r->site.eta;
		x->state = r->site.eta_state;
	}
	row_release(r);
}

static struct eta ask(struct sim *m, struct eta x)
{
	/* Setting a hold that is not set changes nothing, and makes every row new. */
	sched_hold(m->s, m->now, HOLD_MEMORY, false);
	m->tick_at = m->now;
	sim_run(m, 5 * US_PER_MS);
	while (sched_rows(m->s, m->now, 1000, look, &x) == 1000)
		;
	return x;
}

static struct eta of_queue(struct sim *m)
{
	return ask(m, (struct eta){ .queue = true });
}

/* Within a tenth of queued / per_s. */
static void leaves_at(struct eta e, double per_s)
{
	double want = (double)e.queued / per_s, got = (double)e.left / (double)US_PER_S;

	assert_int_equal(e.state, ETA_OK);
	assert_true(got > want * 0.9 && got < want * 1.1);
}

static int per_s;

static void feed(struct sim *m, void *arg)
{
	(void)arg;
	if (per_s)
		sim_send_many(m, per_s, "x.test", "a", "vmta1");
	sim_call_at(m, m->now + US_PER_S, feed, NULL);
}

static struct sim *backlog(int n, int comes_per_s, uint64_t seed)
{
	struct sim *m = sim_new(SIM_CONF RATE_10, seed);

	per_s = comes_per_s;
	sim_send_many(m, n, "x.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	feed(m, NULL);
	sim_run(m, 150 * US_PER_S);
	return m;
}

static void what_comes_in_makes_it_later(void **state)
{
	struct sim *m = backlog(4000, 0, 1);

	(void)state;
	leaves_at(of_queue(m), 10);
	sim_free(m);
	m = backlog(4000, 6, 2);
	leaves_at(of_queue(m), 4);
	leaves_at(ask(m, (struct eta){ .site = true }), 4);
	sim_free(m);
}

static void what_grows_is_never_empty(void **state)
{
	struct sim *m = backlog(1000, 15, 3);

	(void)state;
	assert_int_equal(of_queue(m).state, ETA_NEVER);
	sim_free(m);
}

static void a_few_seconds_of_its_rate_are_no_backlog(void **state)
{
	struct sim *m = backlog(0, 8, 4);
	struct eta e;

	(void)state;
	sim_run(m, 10 * US_PER_MS);
	sim_send_many(m, 20, "x.test", "a", "vmta1");
	e = of_queue(m);
	assert_int_equal(e.state, ETA_OK);
	assert_true(e.queued > 10 && e.left < 10 * US_PER_S);
	sim_free(m);
}

static void a_lower_limit_counts_at_once(void **state)
{
	struct sched_cmd c = { .id = 1,
			       .type = CMD_RATE,
			       .who = STR_LIT("op1"),
			       .expect = -1,
			       .until = US_NEVER,
			       .rate = { 1, US_PER_S } };
	struct sim *m = backlog(4000, 0, 5);
	struct errbuf e;

	(void)state;
	assert_null(target_parse(STR_LIT("x.test"), &c.target, &e));
	sched_command(m->s, m->now, &c);
	sim_run(m, 2 * US_PER_S);
	leaves_at(of_queue(m), 1);
	sim_free(m);
}

static void empty_and_paused_are_idle(void **state)
{
	struct sched_cmd c = {
		.id = 1, .type = CMD_PAUSE, .who = STR_LIT("op1"), .expect = -1, .until = US_NEVER
	};
	struct sim *m = backlog(50, 0, 6);
	struct errbuf e;

	(void)state;
	assert_int_equal(of_queue(m).state, ETA_IDLE);
	sim_send_many(m, 5000, "x.test", "a", "vmta1");
	sim_run(m, 200 * US_PER_S); /* their arrival is out of the means */
	leaves_at(of_queue(m), 10);
	assert_null(target_parse(STR_LIT("x.test"), &c.target, &e));
	sched_command(m->s, m->now, &c);
	sim_run(m, 2 * US_PER_S);
	assert_int_equal(of_queue(m).state, ETA_IDLE);
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_in_makes_it_later),
		cmocka_unit_test(what_grows_is_never_empty),
		cmocka_unit_test(a_few_seconds_of_its_rate_are_no_backlog),
		cmocka_unit_test(a_lower_limit_counts_at_once),
		cmocka_unit_test(empty_and_paused_are_idle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
