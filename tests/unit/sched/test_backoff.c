/* Pattern lists at work: backoff mode with its limits and ends, and each other action. */
#include "sim.h"

#define RULES                                                                                      \
	"[pattern-list default]\n"                                                                 \
	"reply = /TSS04/ mode=backoff\n"                                                           \
	"reply = /short/ mode=backoff for=3m\n"                                                    \
	"reply = /all is well/ mode=normal\n"                                                      \
	"reply = /grey/ greylist\n"                                                                \
	"reply = /half/ retry-in=30m\n"                                                            \
	"reply = /never/ bounce-rcpt\n"                                                            \
	"reply = /close the queue/ bounce-queue\n"                                                 \
	"reply = /another host/ skip-mx\n"                                                         \
	"reply = /your address/ disable-source-ip for=20m\n"                                       \
	"reply = /hot air/ ignore\n"
#define BACKOFF                                                                                    \
	RULES "[domain *]\nadaptive-throttling = no\nbackoff-max-smtp-out = "                      \
	      "2\nbackoff-max-msg-rate = 6/min\n"                                                  \
	      "backoff-to-normal-after = 10m\nmax-msg-rate = 20/s\n"

static const char *said; /* the receiver's reply to everybody; NULL: accepted */

static struct sim_verdict speak(struct sim *m, const char *vmta, struct str address,
				uint32_t attempt)
{
	(void)m;
	(void)vmta;
	(void)address;
	(void)attempt;
	return (struct sim_verdict){ CLASS_OK, false, said ? said : "250 2.0.0 ok", "2.0.0" };
}

static struct classifier *classifier;

static struct sim *world(const char *more)
{
	char conf[4000];
	struct sim *m;

	snprintf(conf, sizeof conf, "%s%s", SIM_CONF, more);
	m = sim_new(conf, 5);
	m->w.classifier = classifier;
	m->w.rcpt = speak;
	said = NULL;
	return m;
}

/* ---- rows ---- */

struct seen {
	const char *lane;
	struct row row;
	char origin[300], text[80], rule[40], reply[200];
	bool found;
};

static void look(void *arg, struct row *r)
{
	struct seen *x = arg;

	if (!r->deleted && r->kind == ROW_LANE && strcmp(r->name->text, x->lane) == 0) {
		x->row = *r;
		x->found = true;
		snprintf(x->origin, sizeof x->origin, "%s",
			 r->why.origin ? r->why.origin->text : "");
		snprintf(x->text, sizeof x->text, "%s", r->why.text ? r->why.text->text : "");
		snprintf(x->rule, sizeof x->rule, "%s",
			 r->lane.backoff_rule ? r->lane.backoff_rule->text : "");
		snprintf(x->reply, sizeof x->reply, "%s",
			 r->lane.backoff_reply ? r->lane.backoff_reply->text : "");
	}
	row_release(r);
}

static struct seen lane(struct sim *m, const char *name)
{
	struct seen x = { .lane = name };

	sched_hold(m->s, m->now, HOLD_MEMORY, false);
	m->tick_at = m->now;
	sim_run(m, 20 * US_PER_MS);
	while (sched_rows(m->s, m->now, 1000, look, &x) == 1000)
		;
	assert_true(x.found);
	return x;
}

#define LANE "mx.x.test@vmta1"

static void order(struct sim *m, enum sched_cmd_type type, const char *on)
{
	struct sched_cmd c = { .id = 1, .type = type, .who = STR_LIT("op1"), .expect = -1 };
	struct errbuf e;

	assert_null(target_parse(str_of(on), &c.target, &e));
	sched_command(m->s, m->now, &c);
	m->tick_at = m->now;
	sim_run(m, 50 * US_PER_MS);
}

static int attempts_in(struct sim *m, us_t span)
{
	size_t before = m->nrcpts;

	sim_run(m, span);
	return (int)(m->nrcpts - before);
}

/* ---- backoff ---- */

static void a_rule_slows_its_lane_until_its_time_is_over(void **state)
{
	struct sim *m = world(BACKOFF);
	struct seen a;
	us_t since;

	(void)state;
	m->w.round_trip = 300 * US_PER_MS;
	sim_send_many(m, 30000, "x.test", "a", "vmta1");
	sim_send_many(m, 50, "other.test", "a", "vmta1");
	assert_in_range(attempts_in(m, 10 * US_PER_S), 200, 260);
	assert_true(m->now_sessions > 4);
	said = "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred";
	sim_run(m, 2 * US_PER_S);
	said = NULL;
	assert_true(m->now_sessions <= 3); /* and one of the other receiver */
	a = lane(m, LANE);
	since = a.row.lane.backoff_since;
	assert_int_equal(a.row.state, STATE_BACKOFF);
	assert_int_equal(a.row.why.code, WHY_BACKOFF);
	assert_string_equal(a.text, "backoff 6/min");
	assert_non_null(strstr(a.origin, ":15: 421 4.7.0 [TSS04] Messages"));
	assert_true(a.row.why.until == since + 10 * US_PER_MIN);
	assert_non_null(strstr(a.rule, ":15"));
	assert_non_null(strstr(a.reply, "[TSS04]"));
	assert_int_equal(a.row.lane.backoff_step, 1);
	assert_true(a.row.lane.backoff_until == since + 10 * US_PER_MIN);
	assert_in_range(attempts_in(m, 5 * US_PER_MIN), 28, 31);
	assert_true(sim_most_in(m, US_PER_MIN, NULL, NULL) > 100);
	/* Over a restart it is what it was. */
	sim_restart(m, SIM_CONF BACKOFF);
	sim_send_many(m, 30000, "x.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	a = lane(m, LANE);
	assert_int_equal(a.row.why.code, WHY_BACKOFF);
	assert_true(a.row.lane.backoff_since == since);
	sim_run_to(m, since + 10 * US_PER_MIN - US_PER_S);
	assert_int_equal(lane(m, LANE).row.state, STATE_BACKOFF);
	sim_run(m, 3 * US_PER_S);
	assert_int_equal(lane(m, LANE).row.state, STATE_OK);
	assert_true(attempts_in(m, 10 * US_PER_S) > 180);
	sim_check_totals(m);
	sim_free(m);
}

static void a_delivery_ends_it_only_where_that_is_written(void **state)
{
	static const char *const more[] = { "", "backoff-to-normal-after-delivery = yes\n" };

	(void)state;
	for (int i = 0; i < 2; i++) {
		char conf[3000];
		struct sim *m;

		snprintf(conf, sizeof conf, "%s%s", BACKOFF, more[i]);
		m = world(conf);
		sim_send_many(m, 9000, "x.test", "a", "vmta1");
		sim_run(m, US_PER_S);
		said = "421 4.7.0 [TSS04] deferred";
		sim_run(m, US_PER_S);
		said = NULL;
		sim_run(m, 15 * US_PER_S);
		assert_int_equal(lane(m, LANE).row.lane.backoff_since != 0, i == 0);
		sim_free(m);
	}
}

static void patterns_end_it_and_say_how_long(void **state)
{
	struct sim *m = world(BACKOFF);
	struct seen a;

	(void)state;
	sim_send_many(m, 9000, "x.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	said = "421 a short pause";
	sim_run(m, US_PER_S);
	a = lane(m, LANE);
	assert_true(a.row.lane.backoff_until == a.row.lane.backoff_since + 3 * US_PER_MIN);
	/* Also a reply that accepts can say so. */
	said = "250 2.0.0 ok, all is well";
	sim_run(m, 11 * US_PER_S);
	assert_int_equal(lane(m, LANE).row.lane.backoff_since, 0);
	said = "450 4.7.0 [TSS04] deferred";
	sim_run(m, US_PER_S);
	assert_int_equal(lane(m, LANE).row.lane.backoff_step, 2);
	sim_free(m);
}

static void an_operator_begins_and_ends_it(void **state)
{
	struct sim *m = world(BACKOFF);
	struct seen a;

	(void)state;
	sim_send_many(m, 9000, "x.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	order(m, CMD_BACKOFF, "x.test");
	assert_int_equal(m->reply.exit, EXIT_REFUSED);
	assert_non_null(strstr(m->reply_text, "name @SITE"));
	order(m, CMD_BACKOFF, "@mx.x.test");
	assert_int_equal(m->reply.exit, EXIT_DONE);
	assert_non_null(strstr(m->reply_text, "backoff @mx.x.test for 1h (override 1)"));
	sim_run(m, 2 * US_PER_S);
	a = lane(m, LANE);
	assert_int_equal(a.row.state, STATE_BACKOFF);
	assert_int_equal(a.row.why.code, WHY_BACKOFF);
	assert_string_equal(a.origin, "override 1");
	assert_true(a.row.why.until > m->now + 59 * US_PER_MIN);
	assert_true(attempts_in(m, US_PER_MIN) <= 7);
	order(m, CMD_BACKOFF, "@mx.x.test");
	assert_non_null(strstr(m->reply_text, "already in backoff by op1"));
	/* It holds over a restart, and a rule's backoff beside it ends with the same command. */
	sim_restart(m, SIM_CONF BACKOFF);
	sim_send_many(m, 9000, "x.test", "a", "vmta1");
	said = "421 4.7.0 [TSS04] deferred";
	sim_run(m, 20 * US_PER_S);
	said = NULL;
	assert_non_null(strstr(lane(m, LANE).origin, "[TSS04]"));
	order(m, CMD_NORMAL, "vmta:vmta1");
	assert_non_null(strstr(m->reply_text, "normal vmta:vmta1: 1 lanes"));
	assert_string_equal(lane(m, LANE).rule, "override 1");
	order(m, CMD_NORMAL, LANE);
	assert_int_equal(m->reply.exit, EXIT_REFUSED);
	assert_non_null(strstr(m->reply_text, "is not in backoff by itself; @mx.x.test is"));
	order(m, CMD_NORMAL, "@mx.x.test");
	assert_int_equal(m->reply.exit, EXIT_DONE);
	assert_true(attempts_in(m, 10 * US_PER_S) > 150);
	sim_free(m);
}

static struct dns_answer *one_host(struct sim *m, struct str name, bool host)
{
	(void)name;
	(void)host;
	return sim_dns_hosts("mx.p.test", m->now + US_PER_HOUR);
}

/* The twins count where they are written: each domain's own mail here, the lane's beside it. */
static void its_limits_count_where_they_are_written(void **state)
{
	struct sim *m = world(RULES "[provider p]\nmx = mx.*\n"
				    "[domain *]\nbackoff-max-msg-rate = 60/min\n"
				    "[domain a.test]\nbackoff-max-msg-rate = 12/min\n");

	(void)state;
	m->w.dns = one_host;
	sim_send_many(m, 3000, "a.test", "j", "vmta1");
	sim_send_many(m, 3000, "b.test", "j", "vmta1");
	order(m, CMD_BACKOFF, "p@vmta1");
	sim_run(m, 10 * US_PER_S);
	m->nrcpts = 0;
	sim_run(m, 2 * US_PER_MIN);
	assert_in_range(sim_most_in(m, US_PER_MIN, NULL, "a.test/vmta1"), 11, 13);
	assert_in_range(sim_most_in(m, US_PER_MIN, NULL, "b.test/vmta1"), 45, 50);
	assert_in_range((int)m->nrcpts, 116, 122);
	sim_free(m);
}

/* ---- the other actions ---- */

static void greylisting_and_retry_in_set_the_time(void **state)
{
	static const struct {
		const char *reply;
		us_t wait;
	} cases[] = {
		{ "450 4.2.0 grey", 6 * US_PER_MIN },
		{ "550 5.7.1 grey", 6 * US_PER_MIN },
		{ "451 4.3.0 half an hour", 30 * US_PER_MIN },
		{ "550 5.7.1 half an hour", 30 * US_PER_MIN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sim *m = world(RULES);

		said = cases[i].reply;
		sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
		sim_run(m, US_PER_MIN);
		said = NULL;
		sim_run(m, cases[i].wait - US_PER_MIN - US_PER_S);
		assert_int_equal(m->delivered, 0);
		sim_run(m, 3 * US_PER_S);
		assert_int_equal(m->delivered, 1);
		sim_free(m);
	}
}

static void bounces_take_the_recipient_or_the_queue(void **state)
{
	struct sim *m = world(RULES);

	(void)state;
	said = "450 4.2.1 never again";
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(m->bounced, 1);
	said = "451 4.3.0 later";
	sim_send_many(m, 50, "y.test", "a", "vmta1");
	sim_send_many(m, 5, "z.test", "a", "vmta1");
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(m->bounced, 1);
	said = "554 close the queue, this domain is gone";
	sim_send(m, &(struct sim_mail){ .to = "new@y.test" });
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(m->bounced, 52); /* not those of z.test */
	assert_non_null(strstr(m->last_dsn_reply, "close the queue"));
	assert_int_equal(m->replies, 0); /* nobody asked */
	sim_check_totals(m);
	sim_free(m);
}

static void ignored_replies_never_make_a_lane_rest(void **state)
{
	struct sim *m = world(RULES);

	(void)state;
	said = "450 4.7.1 hot air";
	for (int i = 0; i < 40; i++) {
		sim_send_many(m, 5, "x.test", "a", "vmta1");
		sim_run(m, US_PER_S);
	}
	assert_int_equal(lane(m, LANE).row.lane.resting_since, 0);
	said = "450 4.7.1 something else";
	for (int i = 0; i < 40; i++) {
		sim_send_many(m, 5, "x.test", "a", "vmta1");
		sim_run(m, US_PER_S);
	}
	assert_true(lane(m, LANE).row.lane.resting_since > 0);
	sim_free(m);
}

static struct dns_answer *two_hosts(struct sim *m, struct str name, bool host)
{
	(void)name;
	(void)host;
	return sim_dns_hosts("mx1.x.test mx2.x.test", m->now + US_PER_HOUR);
}

static const char *bad_host;
static struct sim_connect connected(struct sim *m, const char *vmta, const char *host)
{
	(void)m;
	(void)vmta;
	said = bad_host && strcmp(host, bad_host) == 0 ? "550 5.7.1 take another host" : NULL;
	return (struct sim_connect){ .after = US_PER_MS };
}

static void skip_mx_goes_to_another_host_at_once(void **state)
{
	struct sim *m = world(RULES "[domain *]\nmax-smtp-out = 1\n");

	(void)state;
	m->w.dns = two_hosts;
	m->w.connect = connected;
	bad_host = "mx1.x.test";
	for (int i = 0; i < 8; i++) {
		sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
		sim_run(m, 20 * US_PER_S);
	}
	assert_int_equal(m->delivered, 8);
	assert_int_equal(m->bounced, 0);
	assert_in_range(m->deferred, 1, 1); /* then mx2 was tried first */
	sim_free(m);
}

/* A host of several addresses is one host. */
static struct dns_answer *a_host_of_three(struct sim *m, struct str name, bool host)
{
	struct dns_answer *a = two_hosts(m, name, host);
	struct dns_host *h = &a->hosts[0];

	h->address = realloc(h->address, 3 * sizeof *h->address);
	assert_non_null(h->address);
	for (h->naddresses = 1; h->naddresses < 3; h->naddresses++) {
		h->address[h->naddresses] = h->address[0];
		h->address[h->naddresses].in4.sin_addr.s_addr ^= (uint32_t)h->naddresses;
	}
	return a;
}

static void skip_mx_skips_every_address_of_the_host(void **state)
{
	struct sim *m = world(RULES "[domain *]\nmax-smtp-out = 1\n");

	(void)state;
	m->w.dns = a_host_of_three;
	m->w.connect = connected;
	bad_host = "mx1.x.test";
	for (int i = 0; i < 8; i++) {
		sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
		sim_run(m, 20 * US_PER_S);
	}
	assert_int_equal(m->delivered, 8);
	assert_int_equal(m->deferred, 1);
	sim_free(m);
}

static void disable_source_ip_takes_it_out_at_that_receiver(void **state)
{
	struct sim *m = world(RULES);
	struct seen a;

	(void)state;
	said = "450 4.7.1 not your address again";
	sim_send_many(m, 1, "x.test", "a", "vmta1");
	sim_run(m, 5 * US_PER_S);
	said = NULL;
	assert_non_null(strstr(m->echo, "stoker disabled " LANE));
	assert_non_null(strstr(m->echo, ":23: 450 4.7.1 not your address"));
	sim_send_many(m, 10, "x.test", "a", "vmta1");
	sim_send_many(m, 10, "y.test", "a", "vmta1");
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(m->delivered, 10); /* at the other receiver */
	a = lane(m, LANE);
	assert_int_equal(a.row.why.code, WHY_PAUSED);
	assert_string_equal(a.origin, "override 1");
	assert_string_equal(a.text, "disabled by stoker");
	sim_run(m, 20 * US_PER_MIN);
	assert_int_equal(m->delivered, 21);
	sim_free(m);
}

static void a_domain_may_have_a_list_of_its_own(void **state)
{
	struct sim *m = world(RULES "[pattern-list strict]\nreply = /hot air/ bounce-rcpt\n"
				    "[domain y.test]\nsmtp-pattern-list = strict\n");

	(void)state;
	said = "450 4.7.1 hot air";
	sim_send_many(m, 3, "x.test", "a", "vmta1");
	sim_send_many(m, 4, "y.test", "a", "vmta1");
	sim_run(m, 10 * US_PER_S);
	assert_int_equal(m->bounced, 4);
	assert_int_equal(m->deferred, 3);
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
		cmocka_unit_test(a_rule_slows_its_lane_until_its_time_is_over),
		cmocka_unit_test(a_delivery_ends_it_only_where_that_is_written),
		cmocka_unit_test(patterns_end_it_and_say_how_long),
		cmocka_unit_test(an_operator_begins_and_ends_it),
		cmocka_unit_test(its_limits_count_where_they_are_written),
		cmocka_unit_test(greylisting_and_retry_in_set_the_time),
		cmocka_unit_test(bounces_take_the_recipient_or_the_queue),
		cmocka_unit_test(ignored_replies_never_make_a_lane_rest),
		cmocka_unit_test(skip_mx_goes_to_another_host_at_once),
		cmocka_unit_test(skip_mx_skips_every_address_of_the_host),
		cmocka_unit_test(disable_source_ip_takes_it_out_at_that_receiver),
		cmocka_unit_test(a_domain_may_have_a_list_of_its_own),
	};

	return cmocka_run_group_tests(tests, make_classifier, free_classifier);
}
