/* Mail that needs TLS waits where there is none, and no other mail of its lane waits with it. */
#include "sim.h"

#define TLS "[provider p]\nmx = *.p.test\n[domain must.test]\nsmtp-starttls = required\n"

static bool broken;
static const char *only; /* this virtual MTA; NULL: each */
static int tries;

static struct sim_connect no_tls(struct sim *m, const char *vmta, const char *host)
{
	(void)m;
	(void)host;
	tries++;
	return (struct sim_connect){
		.after = US_PER_MS,
		.no_tls = broken && (!only || strcmp(only, vmta) == 0),
	};
}

static struct dns_answer *at_p(struct sim *m, struct str name, bool host)
{
	(void)host;
	return sim_dns_hosts(str_eqz(name, "else.test") ? "mx2.p.test" : "mx1.p.test",
			     m->now + US_PER_HOUR);
}

static struct sim *world(const char *more)
{
	char conf[3000];
	struct sim *m;

	snprintf(conf, sizeof conf, "%s%s", SIM_CONF TLS, more);
	m = sim_new(conf, 3);
	m->w.connect = no_tls;
	m->w.dns = at_p;
	broken = true;
	only = NULL;
	tries = 0;
	return m;
}

struct seen {
	const char *name;
	enum row_kind kind;
	uint8_t code, state;
	us_t until;
	char text[200], origin[200];
	us_t resting_until;
	bool found;
};

static void look(void *arg, struct row *r)
{
	struct seen *x = arg;

	if (!r->deleted && r->kind == x->kind && strcmp(r->name->text, x->name) == 0) {
		x->found = true;
		x->code = r->why.code;
		x->state = r->state;
		x->until = r->why.until;
		x->resting_until = r->kind == ROW_LANE ? r->lane.resting_until : 0;
		snprintf(x->text, sizeof x->text, "%s", r->why.text ? r->why.text->text : "");
		snprintf(x->origin, sizeof x->origin, "%s",
			 r->why.origin ? r->why.origin->text : "");
	}
	row_release(r);
}

static struct seen row(struct sim *m, enum row_kind kind, const char *name)
{
	struct seen x = { .name = name, .kind = kind };

	sched_hold(m->s, m->now, HOLD_MEMORY, false); /* marks all */
	m->tick_at = m->now;
	sim_run(m, 20 * US_PER_MS);
	while (sched_rows(m->s, m->now, 1000, look, &x) == 1000)
		;
	assert_true(x.found);
	return x;
}

static int attempts(const struct sim *m, const char *queue)
{
	int n = 0;

	for (size_t i = 0; i < m->nrcpts; i++)
		n += strcmp(m->rcpts[i].queue, queue) == 0;
	return n;
}

static void only_the_mail_that_needs_it_waits(void **state)
{
	struct sim *m = world("");
	struct seen x;

	(void)state;
	sim_send_many(m, 50, "must.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	x = row(m, ROW_QUEUE, "must.test/vmta1");
	assert_int_equal(x.code, WHY_TLS);
	assert_int_equal(x.state, STATE_DOWN);
	assert_non_null(strstr(x.text, "TLS is required"));
	assert_non_null(strstr(x.origin, ":17")); /* smtp-starttls */
	assert_true(x.until > m->now + 20 * US_PER_S);
	x = row(m, ROW_LANE, "p@vmta1"); /* nothing else is there to say */
	assert_int_equal(x.code, WHY_TLS);
	assert_true(x.resting_until > m->now);
	/* Other mail of the lane, while that rests. */
	sim_send_many(m, 50, "plain.test", "a", "vmta1");
	sim_run(m, 2 * US_PER_S);
	assert_int_equal(attempts(m, "plain.test/vmta1"), 50);
	assert_int_equal(m->delivered, 50);
	assert_int_equal(attempts(m, "must.test/vmta1"), 0);
	assert_int_equal(row(m, ROW_QUEUE, "must.test/vmta1").code, WHY_TLS);
	/* Deliveries of others change nothing: the rests grow. */
	for (int i = 0; i < 150; i++) {
		sim_send_many(m, 1, "plain.test", "a", "vmta1");
		sim_run(m, US_PER_S);
	}
	assert_int_equal(m->delivered, 200);
	assert_int_equal(attempts(m, "must.test/vmta1"), 0);
	tries = 0;
	sim_run(m, 100 * US_PER_S);
	assert_in_range(tries, 1, 2);
	broken = false;
	sim_run(m, 5 * US_PER_MIN);
	assert_int_equal(m->delivered, 250);
	sim_check_totals(m);
	sim_free(m);
}

/* The same lane by other hosts is another session key. */
static void other_hosts_are_another_key(void **state)
{
	struct sim *m = world("[domain else.test]\nsmtp-starttls = required\n");

	(void)state;
	sim_send_many(m, 20, "must.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	broken = false; /* at those */
	sim_send_many(m, 20, "else.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	assert_int_equal(attempts(m, "else.test/vmta1"), 20);
	assert_int_equal(attempts(m, "must.test/vmta1"), 0);
	sim_free(m);
}

static void one_session_probes_for_all_its_queues(void **state)
{
	struct sim *m = world("[domain *.many.test]\nsmtp-starttls = required\n");
	char domain[40];

	(void)state;
	for (int i = 0; i < 400; i++) {
		snprintf(domain, sizeof domain, "d%d.many.test", i);
		sim_send_many(m, 2, domain, "a", "vmta1");
	}
	sim_run(m, 10 * US_PER_S);
	assert_in_range(tries, 1, 25); /* those that were opening at once */
	tries = 0;
	sim_run(m, 25 * US_PER_S);
	assert_int_equal(tries, 1);
	broken = false;
	sim_run(m, US_PER_MIN);
	assert_int_equal(m->delivered, 800);
	sim_free(m);
}

static void it_goes_by_another_virtual_mta(void **state)
{
	struct sim *m = world("");

	(void)state;
	only = "vmta1";
	sim_send_many(m, 100, "must.test", "a", "pool-a");
	sim_run(m, US_PER_MIN);
	assert_int_equal(m->delivered, 100);
	sim_free(m);
}

static void it_outlives_a_restart(void **state)
{
	struct sim *m = world("");
	us_t until;

	(void)state;
	sim_send(m, &(struct sim_mail){ .to = "a@must.test" });
	sim_run(m, 40 * US_PER_S); /* the second rest, of 45 s */
	until = row(m, ROW_QUEUE, "must.test/vmta1").until;
	assert_true(until > m->now + 20 * US_PER_S);
	sim_restart(m, SIM_CONF TLS);
	sim_send(m, &(struct sim_mail){ .to = "a@must.test" });
	sim_send(m, &(struct sim_mail){ .to = "a@plain.test" });
	tries = 0;
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 1);
	assert_int_equal(tries, 1);
	assert_true(row(m, ROW_QUEUE, "must.test/vmta1").until == until);
	sim_run_to(m, until + US_PER_S);
	assert_int_equal(tries, 2);
	assert_true(row(m, ROW_QUEUE, "must.test/vmta1").until > m->now + 50 * US_PER_S);
	broken = false;
	sim_run(m, 2 * US_PER_MIN);
	assert_int_equal(m->delivered, 2);
	/* Delivered: nothing of it is left. */
	for (size_t i = 0; i < m->nrows; i++)
		assert_true(!m->rows[i].value || !strstr(m->rows[i].key->text, "key p@vmta1"));
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_mail_that_needs_it_waits),
		cmocka_unit_test(other_hosts_are_another_key),
		cmocka_unit_test(one_session_probes_for_all_its_queues),
		cmocka_unit_test(it_goes_by_another_virtual_mta),
		cmocka_unit_test(it_outlives_a_restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
