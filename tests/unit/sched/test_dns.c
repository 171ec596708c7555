/* The DNS: what each answer does to a queue, and how sites and routes come of it. */
#include "sim.h"

static enum dns_status status;
static int asked;
static char last_asked[300];

static struct dns_answer *answers(struct sim *m, struct str name, bool host)
{
	asked++;
	snprintf(last_asked, sizeof last_asked, "%s%.*s", host ? "host " : "", (int)name.n, name.p);
	if (status != DNS_OK)
		return sim_dns_none(status, m->now + 5 * US_PER_MIN);
	return sim_dns_hosts(host ? "relay.test" : "mx1.big.test mx2.big.test",
			     m->now + 10 * US_PER_MIN);
}

struct seen {
	const char *name;
	enum row_kind kind;
	char why[20], text[100], site[40];
	bool found, stale;
	uint64_t queued;
	uint32_t domains;
};

static void look(void *arg, struct row *r)
{
	struct seen *x = arg;

	if (!r->deleted && r->kind == x->kind && strcmp(r->name->text, x->name) == 0) {
		x->found = true;
		snprintf(x->why, sizeof x->why, "%s", why_code_name((enum why_code)r->why.code));
		snprintf(x->text, sizeof x->text, "%s", r->why.text ? r->why.text->text : "");
		if (r->kind == ROW_QUEUE || r->kind == ROW_SITE) {
			x->queued = r->queue.queued;
			x->stale = r->queue.stale_mx;
			x->domains = r->queue.domains;
			snprintf(x->site, sizeof x->site, "%s",
				 r->queue.site_name ? r->queue.site_name->text : "");
		}
	}
	row_release(r);
}

/* The newest row of that name. Rows that did not change do not come: so ask once. */
static struct seen row_of(struct sim *m, enum row_kind kind, const char *name)
{
	struct seen x = { .name = name, .kind = kind };

	sched_hold(m->s, m->now, (enum sched_hold)0, false); /* makes every row new */
	sim_run(m, 50 * US_PER_MS);
	while (sched_rows(m->s, m->now, 1000, look, &x) == 1000)
		;
	return x;
}

static struct sim *start(enum dns_status first, const char *conf)
{
	struct sim *m = sim_new(conf, 1);

	status = first;
	asked = 0;
	m->w.dns = answers;
	return m;
}

static void negative_answers_bounce(void **state)
{
	static const struct {
		enum dns_status status;
		const char *enhanced;
	} cases[] = { { DNS_NXDOMAIN, "5.1.2" },
		      { DNS_NO_HOST, "5.1.2" },
		      { DNS_NULL_MX, "5.1.10" },
		      { DNS_LOOP, "5.4.6" } };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sim *m = start(cases[i].status, SIM_CONF);

		sim_send_many(m, 1000, "nowhere.test", "a", "vmta1");
		sim_send(m, &(struct sim_mail){ .to = "a@nowhere.test,b@nowhere.test" });
		sim_run(m, US_PER_S);
		assert_int_equal(m->bounced, 1002);
		assert_int_equal(asked, 1);
		assert_string_equal(m->last_dsn_enhanced, cases[i].enhanced);
		assert_int_equal(m->dsns, 1001);
		sim_check_totals(m);
		sim_free(m);
	}
}

static void a_temporary_failure_waits_and_asks_again(void **state)
{
	struct sim *m = start(DNS_TEMPFAIL, SIM_CONF);
	struct seen x;

	(void)state;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, US_PER_S);
	x = row_of(m, ROW_QUEUE, "x.test/vmta1");
	assert_string_equal(x.why, "dns");
	assert_string_equal(x.text, "SERVFAIL");
	sim_run(m, 70 * US_PER_S);
	assert_int_equal(asked, 2);
	sim_run(m, 4 * US_PER_HOUR);
	assert_in_range(asked, 9, 16);
	status = DNS_OK;
	sim_run(m, 31 * US_PER_MIN);
	assert_int_equal(m->delivered, 1);
	assert_int_equal(m->deferred, 0);
	sim_free(m);
}

/* The events of a queue that has mail say that its MX can't be had, once each look-up. */
static void a_failed_look_up_is_an_event_of_the_queue(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 2);

	(void)state;
	m->w.dns = answers;
	status = DNS_TEMPFAIL;
	asked = 0;
	sim_send_many(m, 50, "x.test", "a", "vmta1");
	sim_run(m, 4 * US_PER_MIN);
	assert_in_range(asked, 2, 6);
	assert_int_equal(m->unreached, asked);
	assert_string_equal(m->last_unreached,
			    "x.test/vmta1     4.4.3 its MX can't be looked up: SERVFAIL");
	status = DNS_OK;
	sim_run(m, 10 * US_PER_MIN);
	assert_int_equal(m->delivered, 50);
	/* With the last answer still in use the mail goes: nothing is unreached. */
	status = DNS_TEMPFAIL;
	m->unreached = 0;
	sim_run(m, US_PER_HOUR);
	sim_send_many(m, 50, "x.test", "a", "vmta1");
	sim_run(m, 10 * US_PER_MIN);
	assert_int_equal(m->delivered, 100);
	assert_int_equal(m->unreached, 0);
	sim_free(m);
}

static void the_last_mx_is_used_for_a_day_while_the_dns_fails(void **state)
{
	struct sim *m = start(DNS_OK, SIM_CONF);

	(void)state;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, US_PER_MIN);
	assert_int_equal(m->delivered, 1);
	status = DNS_TEMPFAIL;
	for (int i = 0; i < 23; i++) {
		sim_run(m, US_PER_HOUR);
		sim_send(m, &(struct sim_mail){ .to = "b@x.test" });
		sim_run(m, US_PER_S);
		assert_int_equal(m->delivered, 2 + i);
	}
	sim_run(m, US_PER_S);
	assert_true(row_of(m, ROW_QUEUE, "x.test/vmta1").stale);
	sim_run(m, 2 * US_PER_HOUR);
	sim_send(m, &(struct sim_mail){ .to = "c@x.test" });
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 24);
	assert_string_equal(row_of(m, ROW_QUEUE, "x.test/vmta1").why, "dns");
	sim_free(m);
}

static int outstanding, most_outstanding;

static struct dns_answer *counted(struct sim *m, struct str name, bool host)
{
	(void)host;
	if (++outstanding > most_outstanding)
		most_outstanding = outstanding;
	(void)m;
	(void)name;
	return sim_dns_hosts("mx.big.test", m->now + US_PER_HOUR);
}

static void answered(struct sim *m, void *arg)
{
	(void)arg;
	(void)m;
	outstanding = 0; /* all look-ups of one delay come back together */
}

static void at_most_500_are_asked_at_once(void **state)
{
	struct sim *m = start(DNS_OK, SIM_CONF);
	char to[40];

	(void)state;
	m->w.dns = counted;
	m->w.dns_delay = US_PER_S;
	outstanding = most_outstanding = 0;
	for (int i = 0; i < 1500; i++) {
		snprintf(to, sizeof to, "a@d%d.test", i);
		sim_send(m, &(struct sim_mail){ .to = to });
	}
	sim_call_at(m, m->now + 900 * US_PER_MS, answered, NULL);
	sim_call_at(m, m->now + 1900 * US_PER_MS, answered, NULL);
	sim_run(m, 4 * US_PER_S);
	assert_int_equal(most_outstanding, 500);
	assert_int_equal(m->lookups, 1500);
	sim_free(m);
}

static void domains_with_the_same_best_hosts_are_one_site(void **state)
{
	struct sim *m = start(DNS_OK, SIM_CONF);
	struct seen x;

	(void)state;
	m->w.connect_delay = US_PER_HOUR;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test,b@y.test,c@z.test" });
	sim_run(m, US_PER_S);
	x = row_of(m, ROW_SITE, "mx1.big.test");
	assert_true(x.found);
	assert_int_equal(x.queued, 3);
	assert_int_equal(x.domains, 3);
	assert_int_equal(m->opens, 3);
	sim_free(m);
}

static void a_provider_takes_its_hosts_in(void **state)
{
	struct sim *m = start(DNS_OK, SIM_CONF "[provider bigcorp]\nmx = *.big.test\n");
	struct seen x;

	(void)state;
	m->w.connect_delay = US_PER_HOUR;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test,b@y.test" });
	sim_run(m, US_PER_S);
	x = row_of(m, ROW_SITE, "bigcorp");
	assert_true(x.found);
	assert_int_equal(x.queued, 2);
	sim_free(m);
}

static void a_route_of_hosts_stands_in_for_the_mx(void **state)
{
	struct sim *m =
	    start(DNS_OK, SIM_CONF "[domain x.test]\nroute = relay.test:2525, "
				   "[192.0.2.9]:26\n[domain ip.test]\nroute = [192.0.2.7]\n"
				   "[domain via.test]\nroute = mx:other.test\n");

	(void)state;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 1);
	assert_string_equal(last_asked, "host relay.test");
	assert_string_equal(row_of(m, ROW_QUEUE, "x.test/vmta1").site, "relay.test");
	asked = 0;
	sim_send(m, &(struct sim_mail){ .to = "a@ip.test" });
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 2);
	assert_int_equal(asked, 0);
	sim_send(m, &(struct sim_mail){ .to = "a@via.test" });
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 3);
	assert_string_equal(last_asked, "other.test");
	sim_free(m);
}

static void a_route_that_fails_waits(void **state)
{
	struct sim *m = start(DNS_TEMPFAIL, SIM_CONF "[domain x.test]\nroute = relay.test\n");

	(void)state;
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, US_PER_S);
	assert_string_equal(row_of(m, ROW_QUEUE, "x.test/vmta1").why, "dns");
	status = DNS_OK;
	sim_run(m, 3 * US_PER_MIN);
	assert_int_equal(m->delivered, 1);
	sim_free(m);
}

/* A virtual MTA or pool that the new configuration does not know. */
static void mail_of_a_route_that_is_gone_waits_and_is_announced(void **state)
{
	struct sim *m = start(DNS_OK, SIM_CONF);
	struct conf *less = sim_conf_read("[mta]\nhostname = mx.test\n[virtual-mta "
					  "vmta1]\nsmtp-source-host = 127.0.1.1 m1.test\n");
	struct seen x;

	(void)state;
	sched_conf(m->s, m->now, less);
	sched_source_up(m->s, m->now, 0, true, true, 1);
	sim_send(m, &(struct sim_mail){ .to = "a@x.test", .route = "pool-a" });
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(m->delivered, 0);
	x = row_of(m, ROW_QUEUE, "x.test/pool-a");
	assert_string_equal(x.why, "no-source");
	sched_conf(m->s, m->now, m->conf);
	for (int i = 0; i < m->conf->nvmtas; i++)
		sched_source_up(m->s, m->now, i, true, true, 1);
	m->tick_at = m->now;
	sim_run(m, US_PER_S);
	assert_int_equal(m->delivered, 1);
	conf_unref(less);
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(negative_answers_bounce),
		cmocka_unit_test(a_temporary_failure_waits_and_asks_again),
		cmocka_unit_test(a_failed_look_up_is_an_event_of_the_queue),
		cmocka_unit_test(the_last_mx_is_used_for_a_day_while_the_dns_fails),
		cmocka_unit_test(at_most_500_are_asked_at_once),
		cmocka_unit_test(domains_with_the_same_best_hosts_are_one_site),
		cmocka_unit_test(a_provider_takes_its_hosts_in),
		cmocka_unit_test(a_route_of_hosts_stands_in_for_the_mx),
		cmocka_unit_test(a_route_that_fails_waits),
		cmocka_unit_test(mail_of_a_route_that_is_gone_waits_and_is_announced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
