/* Loading hands out each unfinished message once, in any steps, while mail comes and goes; and
 * outcomes of any order and number leave each recipient in its last state. */
#include "core/base/rng.h"
#include "tests/unit/spool/kit.h"

static void each_message_is_loaded_once_whatever_the_steps(void **state)
{
	static const unsigned steps[] = { 1, 3, 50, 1000 };
	static struct got g;
	struct kit k;
	uint64_t left;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (int i = 0; i < 300; i++) {
		uint64_t id = kit_accept(&k, 1 + (uint32_t)i % 3, 10);

		if (i % 5 == 0)
			kit_outcome(&k, id, 0, RCPT_QUEUED, EVENT_DEFERRED);
		if (i % 7 == 0)
			kit_commit(&k, false);
	}
	for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
		kit_reopen(&k);
		assert_true(spool_load_progress(k.s, &left) == 0.0);
		assert_int_equal(left, 600);
		g.n = 0;
		while (spool_load(k.s, steps[i], kit_took, &g)) {
			double p = spool_load_progress(k.s, NULL);

			assert_true(p >= 0 && p <= 1);
		}
		assert_int_equal(g.n, 300);
		for (size_t j = 0; j < g.n; j++) {
			assert_true(!j || g.v[j]->id > g.v[j - 1]->id);
			assert_int_equal(g.v[j]->nrcpts, 1 + j % 3);
			assert_int_equal(g.v[j]->rcpts[0].attempts, j % 5 == 0);
		}
		assert_true(spool_load_progress(k.s, &left) == 1.0);
		assert_int_equal(left, 0);
		assert_false(spool_load(k.s, 10, kit_took, &g));
		got_free(&g);
	}
	kit_done(&k);
}

static void what_comes_and_goes_meanwhile_is_neither_missed_nor_repeated(void **state)
{
	static struct got g;
	struct kit k;
	uint64_t ids[100], fresh = 0;
	size_t n = 0;

	(void)state;
	kit_init(&k);
	kit_open(&k);
	for (int i = 0; i < 100; i++)
		ids[i] = kit_accept(&k, 2, 10);
	kit_reopen(&k);
	/* the operator deletes one that is not loaded yet, defers another, both not committed */
	kit_outcome(&k, ids[60], 0, RCPT_DONE, EVENT_REMOVED);
	kit_outcome(&k, ids[60], 1, RCPT_DONE, EVENT_REMOVED);
	kit_outcome(&k, ids[70], 1, RCPT_QUEUED, EVENT_DEFERRED);
	g.n = 0;
	for (bool more = true; more; n++) {
		more = spool_load(k.s, 10, kit_took, &g);
		fresh = kit_accept(&k, 1, 10);
		if (g.n > n * 9)
			kit_outcome(&k, g.v[n * 9]->id, 0, RCPT_DONE, EVENT_DELIVERED);
		if (n != 2)
			kit_commit(&k, false);
	}
	assert_int_equal(g.n, 99);
	for (size_t i = 0; i < g.n; i++) {
		assert_int_equal(g.v[i]->id, ids[i < 60 ? i : i + 1]);
		assert_true(g.v[i]->id < fresh);
	}
	assert_int_equal(g.v[69]->rcpts[1].attempts, 1);
	got_free(&g);
	kit_done(&k);
}

/* A model of recipients against the spool, over many outcomes, commits and restarts. */
enum { MESSAGES = 60, RCPTS = 15, STEPS = 4000 };

struct model {
	uint64_t id;
	enum rcpt_state state[RCPTS];
	us_t due[RCPTS];
	uint32_t n;
};

/* What happens to one recipient; returns by how much the queue has shrunk. */
static uint64_t some_outcome(struct kit *k, struct model *m, uint32_t rcpt, uint64_t dice)
{
	bool queued = m->state[rcpt] == RCPT_QUEUED;

	if (dice < 5 && m->state[rcpt] != RCPT_DONE) {
		kit_outcome(k, m->id, rcpt, RCPT_DONE, queued ? EVENT_DELIVERED : EVENT_RECEIVED);
		m->state[rcpt] = RCPT_DONE;
		return queued;
	}
	if (!queued || dice >= 60)
		return 0;
	m->state[rcpt] = dice < 55 ? RCPT_QUEUED : RCPT_REPORT;
	m->due[rcpt] = dice < 55 ? k->now + US_PER_MIN : 0;
	kit_outcome(k, m->id, rcpt, m->state[rcpt], dice < 55 ? EVENT_DEFERRED : EVENT_BOUNCED);
	return dice >= 55;
}

static void check_model(struct kit *k, const struct model *o)
{
	struct message *m = spool_message(k->s, o->id);
	bool finished = true;

	for (uint32_t j = 0; j < o->n; j++)
		finished &= o->state[j] == RCPT_DONE;
	assert_int_equal(m == NULL, finished);
	for (uint32_t j = 0; m && j < m->nrcpts; j++) {
		assert_int_equal(m->rcpts[j].state, o->state[j]);
		if (m->rcpts[j].state != RCPT_DONE)
			assert_int_equal(m->rcpts[j].due, o->due[j]);
	}
	message_free(m);
}

static void any_outcomes_leave_each_recipient_in_its_last_state(void **state)
{
	static struct model model[MESSAGES];
	uint64_t queued = 0;
	struct rng r;
	struct kit k;

	(void)state;
	rng_seed(&r, 4);
	kit_init(&k);
	kit_open(&k);
	for (int i = 0; i < MESSAGES; i++) {
		model[i].n = i % 4 ? 1 + (uint32_t)rng_below(&r, RCPTS) : 1;
		model[i].id = kit_accept(&k, model[i].n, 10);
		queued += model[i].n;
	}
	for (int step = 0; step < STEPS; step++) {
		struct model *m = &model[rng_below(&r, MESSAGES)];
		uint64_t dice = rng_below(&r, 100);

		k.now += US_PER_S;
		if (dice < 3)
			kit_commit(&k, dice == 0);
		else if (dice == 3)
			kit_reopen(&k);
		else
			queued -= some_outcome(&k, m, (uint32_t)rng_below(&r, m->n), dice);
		check_model(&k, m);
		kit_check_invariant(&k, queued);
	}
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_message_is_loaded_once_whatever_the_steps),
		cmocka_unit_test(what_comes_and_goes_meanwhile_is_neither_missed_nor_repeated),
		cmocka_unit_test(any_outcomes_leave_each_recipient_in_its_last_state),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
