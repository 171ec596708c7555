/* Warm-up: thirty days of it against good, doubtful and bad receivers, with every attempt's time;
 * when a step comes and when not; what a restart and a reload leave as it was. */
#include "sim.h"

#define HEAD	 "[mta]\nhostname = mx.test\nspool = /tmp/none\n"
#define VMTA1	 "[virtual-mta vmta1]\nsmtp-source-host = 127.0.1.1 m1.test\nwarmup = w\n"
#define VMTA2	 "[virtual-mta vmta2]\nsmtp-source-host = 127.0.1.2 m2.test\n"
#define LAW(law) HEAD VMTA1 "[warmup w]\n" law

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { FIRST_RATE = 2 }; /* thirty days of one rate of bounces, not of three */
#else
enum { FIRST_RATE = 0 };
#endif
enum { DAYS = 30, SLICE_MIN = 10, SLICES_A_DAY = 24 * 60 / SLICE_MIN, STEPS_MOST = 400 };

/* ---- receivers ---- */

static struct {
	int permille; /* of the attempts that bounce, evenly */
	int turns;    /* after so many attempts ... */
	int then;     /* ... it is this */
	int n;
	struct sim_verdict bounce;
} receiver;

static const struct sim_verdict unknown = { CLASS_PERMANENT, true, "550 5.1.1 unknown", "5.1.1" };

static struct sim_verdict receive(struct sim *m, const char *vmta, struct str address,
				  uint32_t attempt)
{
	int p = receiver.turns && receiver.n >= receiver.turns ? receiver.then : receiver.permille;
	int before = receiver.n * p / 1000, after = ++receiver.n * p / 1000;

	(void)m;
	(void)vmta;
	(void)address;
	(void)attempt;
	if (after > before)
		return receiver.bounce;
	return (struct sim_verdict){ CLASS_OK, false, "250 2.0.0 ok", "2.0.0" };
}

static struct sim *world(const char *conf, int permille)
{
	struct sim *m = sim_new(conf, 3);

	m->w.rcpt = receive;
	m->w.coarse = 2 * US_PER_S;
	memset(&receiver, 0, sizeof receiver);
	receiver.permille = permille;
	receiver.bounce = unknown;
	return m;
}

/* ---- what the lane says ---- */

struct seen {
	const char *lane;
	bool found, warming;
	struct row_warmup w;
	enum row_state state;
	us_t until;
	double limit;
	char code[20], text[80], origin[100];
};

static void look(void *arg, struct row *r)
{
	struct seen *x = arg;

	if (!r->deleted && r->kind == ROW_LANE && strcmp(r->name->text, x->lane) == 0) {
		x->found = true;
		x->warming = row_warmup(&r->lane, &x->w);
		x->state = (enum row_state)r->state;
		x->until = r->why.until;
		x->limit = (double)r->why.limit;
		snprintf(x->code, sizeof x->code, "%s", why_code_name((enum why_code)r->why.code));
		snprintf(x->text, sizeof x->text, "%s", r->why.text ? r->why.text->text : "");
		snprintf(x->origin, sizeof x->origin, "%s",
			 r->why.origin ? r->why.origin->text : "");
	}
	row_release(r);
}

static struct seen lane(struct sim *m, const char *name)
{
	struct seen x = { .lane = name };

	sched_hold(m->s, m->now, HOLD_MEMORY, false); /* marks every row */
	m->tick_at = m->now;
	sim_run(m, 20 * US_PER_MS);
	while (sched_rows(m->s, m->now, 1000, look, &x) == 1000)
		;
	assert_true(x.found);
	return x;
}

#define LANE "mx.x.test@vmta1"

/* ---- thirty days ---- */

struct change { /* of the cap */
	us_t at;
	int step;
	int cap; /* 0: warm */
};
struct days {
	struct change v[STEPS_MOST];
	int n;
};

static void note_change(struct sim *m, struct days *d, int *seen)
{
	const char *step = strstr(m->echo, "to step ");

	if (m->echoes == *seen)
		return;
	assert_int_equal(m->echoes, *seen + 1); /* never two in one slice */
	*seen = m->echoes;
	assert_true(d->n < STEPS_MOST);
	d->v[d->n].at = m->echo_at;
	d->v[d->n].step = step ? atoi(step + strlen("to step ")) : -1;
	d->v[d->n].cap = step ? atoi(strchr(step, ',') + 1) : 0;
	d->n++;
}

/* There is always mail, and no more than that. */
static void feed(struct sim *m, int *left, int slice)
{
	static char to[SIM_RCPTS * 20];
	size_t n = 0;

	if ((*left += slice) < 1)
		return;
	for (int i = 0; i < *left && i < 1000; i++)
		n += (size_t)snprintf(to + n, sizeof to - n, "%su%d@x.test", i ? "," : "", i);
	sim_send(m, &(struct sim_mail){ .to = to });
	*left = 0;
}

static uint64_t queued(struct sim *m)
{
	struct sched_totals t;

	sched_totals(m->s, m->now, &t);
	return t.queued;
}

/* restart_at: the first moment from then on at which nothing is under way; 0: never. */
static void run_days(struct sim *m, const char *conf, int days, us_t restart_at, struct days *d)
{
	int seen = 0, left = 0;

	*d = (struct days){ .n = 1, .v = { { SIM_START, 0, 50 } } };
	for (int i = 0; i < days * SLICES_A_DAY; i++) {
		us_t end = SIM_START + (us_t)(i + 1) * SLICE_MIN * US_PER_MIN;

		if (queued(m) < 500)
			feed(m, &left, d->v[d->n - 1].cap ? 500 : 10);
		if (restart_at && restart_at < end) {
			sim_run_to(m, restart_at);
			while (m->now_sessions)
				sim_run(m, US_PER_S);
			sim_restart(m, conf);
			restart_at = 0;
			left = 0;
			feed(m, &left, 500);
		}
		sim_run_to(m, end);
		note_change(m, d, &seen);
	}
}

static int cap_at(const struct days *d, us_t t)
{
	int i = d->n - 1;

	while (i > 0 && d->v[i].at > t)
		i--;
	return d->v[i].cap;
}

/* In no sliding hour more than the cap, whenever it ends: an hour ends at each attempt. */
static void check_hours(const struct sim *m, const struct days *d)
{
	size_t tail = 0;

	for (size_t i = 0; i < m->nrcpts; i++) {
		us_t t = m->rcpts[i].at;
		int cap = cap_at(d, t);

		while (m->rcpts[tail].at <= t - US_PER_HOUR)
			tail++;
		if (cap && (int)(i + 1 - tail) > cap)
			fail_msg("%zu attempts in the hour until %lld min, the cap is %d",
				 i + 1 - tail, (long long)((t - SIM_START) / US_PER_MIN), cap);
	}
}

static bool about(us_t at, us_t wanted)
{
	us_t off = at - SIM_START - wanted;

	return off >= 0 && off < US_PER_MIN;
}

#define CLIMB LAW("factor = 1.15\n")

static void a_good_receiver_gets_more_every_48_hours(void **state)
{
	struct sim *m = world(CLIMB, 5);
	double cap = 50;
	struct days d;

	(void)state;
	run_days(m, CLIMB, DAYS, 0, &d);
	check_hours(m, &d);
	printf("  %zu attempts, %d changes\n", m->nrcpts, d.n - 1);
	assert_int_equal(d.n, 15);
	for (int i = 1; i < d.n; i++) {
		cap *= 1.15;
		assert_int_equal(d.v[i].step, i);
		assert_int_equal(d.v[i].cap, (int)cap);
		assert_true(about(d.v[i].at, i * 48 * US_PER_HOUR));
	}
	sim_free(m);
}

static void at_the_end_it_is_warm(void **state)
{
	static const char conf[] = LAW("until = 200/h\n");
	struct sim *m = world(conf, 5);
	struct days d;

	(void)state;
	run_days(m, conf, 9, 0, &d);
	check_hours(m, &d);
	assert_int_equal(d.n, 4);
	assert_int_equal(d.v[2].cap, 200);
	assert_true(about(d.v[3].at, 3 * 48 * US_PER_HOUR));
	assert_int_equal(d.v[3].cap, 0);
	assert_false(lane(m, LANE).warming);
	m->w.coarse = 0;
	sim_send_many(m, 900, "x.test", "a", "vmta1");
	sim_run(m, US_PER_MIN);
	assert_int_equal(queued(m), 0);
	sim_free(m);
}

static void two_percent_holds_the_step_and_eight_does_not_raise_it(void **state)
{
	static const int rates[] = { 11, 20, 80 };
	static const char conf[] = LAW("");

	(void)state;
	for (size_t i = FIRST_RATE; i < sizeof rates / sizeof rates[0]; i++) {
		struct sim *m = world(conf, rates[i]);
		struct days d;

		m->w.coarse = 10 * US_PER_S;
		run_days(m, conf, DAYS, 0, &d);
		check_hours(m, &d);
		if (d.n != 1)
			fail_msg("%d permille: %d changes", rates[i], d.n - 1);
		assert_in_range((int)m->nrcpts, 50 * 24 * DAYS * 95 / 100, 50 * 24 * DAYS);
		sim_free(m);
	}
}

/* Good for nine days, then bad. */
static void eight_percent_takes_it_down_step_by_step(void **state)
{
	static const char conf[] = LAW("");
	struct sim *m = world(conf, 5);
	struct days d;
	int last;

	(void)state;
	receiver.turns = 48 * (50 + 100 + 200) + 1000;
	receiver.then = 80;
	run_days(m, conf, 12, 0, &d);
	check_hours(m, &d);
	last = d.n - 1;
	for (int i = 1; i < d.n; i++)
		printf("  %lld h: step %d, %d/h\n",
		       (long long)((d.v[i].at - SIM_START) / US_PER_HOUR), d.v[i].step, d.v[i].cap);
	assert_true(d.v[3].step == 3 && d.v[3].cap == 400);
	assert_int_equal(d.n, 7);
	for (int i = 4; i < d.n; i++)
		assert_int_equal(d.v[i].step, 6 - i);
	assert_int_equal(d.v[last].cap, 50);
	sim_free(m);
}

static void a_restart_in_the_middle_changes_nothing(void **state)
{
	/* In a step that rises, and in the hour after one that fell. */
	static const us_t at[] = { 69 * US_PER_HOUR + 13 * US_PER_MIN, 0 };
	static const char conf[] = LAW("every = 24h\n");

	(void)state;
	for (int k = 0; k < 2; k++) {
		struct sim *v[2];
		struct days d[2];
		us_t when = at[k];

		for (int i = 0; i < 2; i++) {
			v[i] = world(conf, 5);
			receiver.turns = 24 * (50 + 100 + 200) + 1000;
			receiver.then = 80;
			if (i && !when)
				when = d[0].v[4].at - SIM_START + 10 * US_PER_MIN;
			run_days(v[i], conf, 6, i ? SIM_START + when : 0, &d[i]);
			check_hours(v[i], &d[i]);
		}
		assert_true(d[0].n > 5 && d[0].v[4].step < d[0].v[3].step);
		assert_int_equal(d[0].n, d[1].n);
		for (int i = 0; i < d[0].n; i++) {
			assert_int_equal(d[0].v[i].step, d[1].v[i].step);
			assert_in_range(llabs(d[0].v[i].at - d[1].v[i].at), 0, US_PER_MIN);
		}
		assert_in_range(llabs((long long)v[0]->nrcpts - (long long)v[1]->nrcpts), 0, 5);
		for (size_t i = 0; i < v[0]->nrcpts && i < v[1]->nrcpts; i++)
			if (llabs(v[0]->rcpts[i].at - v[1]->rcpts[i].at) > US_PER_MIN)
				fail_msg("attempt %zu: %lld s apart", i,
					 (long long)((v[1]->rcpts[i].at - v[0]->rcpts[i].at) /
						     US_PER_S));
		sim_free(v[0]);
		sim_free(v[1]);
	}
}

/* ---- what is said of it ---- */

static void why_names_the_warm_up_with_its_directive_and_its_end(void **state)
{
	struct sim *m = world(LAW(""), 0);
	struct seen a;

	(void)state;
	m->w.coarse = 0;
	sim_send_many(m, 300, "x.test", "a", "vmta1");
	sim_run(m, 30 * US_PER_MIN);
	a = lane(m, LANE);
	assert_string_equal(a.code, "warm-up");
	assert_string_equal(a.text, "warm-up 50/hour, step 0");
	assert_non_null(strstr(a.origin, ":6 [virtual-mta vmta1]"));
	assert_int_equal(a.until, a.w.next_step_at);
	assert_true(about(a.until, 48 * US_PER_HOUR));
	assert_int_equal(a.state, STATE_WARMING);
	assert_int_equal(a.w.step, 0);
	assert_int_equal(a.w.cap, 50);
	assert_int_equal(a.w.used, 25);
	assert_in_range(a.w.sample, 24, 25);
	assert_true(a.w.bounce_percent >= 0 && a.w.bounce_percent < 0.01F);
	sim_free(m);
}

/* ---- when a step does not come ---- */

static void mail_every(struct sim *m, us_t span, us_t every)
{
	for (us_t end = m->now + span; m->now < end;) {
		sim_send_many(m, 1, "x.test", "a", "vmta1");
		sim_run(m, every);
	}
}

static void a_step_needs_its_time_its_sample_and_half_of_the_cap(void **state)
{
	struct sim *m = world(LAW("start = 40/h\nevery = 10h\nmin-sample = 300\n"), 0);

	(void)state;
	/* 250 attempts in ten hours: too few. */
	mail_every(m, 10 * US_PER_HOUR, 144 * US_PER_S);
	assert_int_equal(lane(m, LANE).w.step, 0);
	mail_every(m, US_PER_HOUR, 144 * US_PER_S);
	assert_int_equal(lane(m, LANE).w.step, 0);
	assert_int_equal(lane(m, LANE).w.next_step_at, 0);
	/* The sample is there: at once. */
	mail_every(m, 61 * US_PER_MIN, 144 * US_PER_S);
	assert_int_equal(lane(m, LANE).w.step, 1);
	assert_int_equal(lane(m, LANE).w.cap, 80);
	/* 30 an hour are less than half of 80, for however long. */
	mail_every(m, 20 * US_PER_HOUR, 120 * US_PER_S);
	assert_int_equal(lane(m, LANE).w.step, 1);
	/* One hour that uses half of it is enough. */
	mail_every(m, 65 * US_PER_MIN, 80 * US_PER_S);
	assert_int_equal(lane(m, LANE).w.step, 2);
	sim_free(m);
}

static void a_step_that_was_held_is_judged_anew_by_what_comes(void **state)
{
	struct sim *m = world(LAW("start = 60/h\nevery = 10h\n"), 20);

	(void)state;
	receiver.turns = 600; /* ten hours */
	receiver.then = 0;
	sim_send_many(m, 1500, "x.test", "a", "vmta1");
	sim_run(m, 19 * US_PER_HOUR);
	assert_int_equal(lane(m, LANE).w.step, 0);
	assert_true(lane(m, LANE).w.sample < 560);
	sim_run(m, 70 * US_PER_MIN);
	assert_int_equal(lane(m, LANE).w.step, 1);
	sim_free(m);
}

static void only_hard_bounces_and_refusals_count(void **state)
{
	static const struct {
		struct sim_verdict v;
		bool counts;
	} cases[] = {
		{ { CLASS_PERMANENT, true, "550 5.1.1 unknown", "5.1.1" }, true },
		{ { CLASS_POLICY, true, "550 5.7.28 unsolicited mail", "5.7.28" }, true },
		{ { CLASS_POLICY, true, "550 5.7.23 SPF fails", "5.7.23" }, false },
		{ { CLASS_PERMANENT, true, "552 5.2.2 mailbox full", "5.2.2" }, false },
		{ { CLASS_PERMANENT, true, "552 5.3.4 too big", "5.3.4" }, false },
		{ { CLASS_GREYLIST, false, "450 4.7.1 greylisted", "4.7.1" }, false },
		{ { CLASS_MAILBOX, false, "452 4.2.2 mailbox full", "4.2.2" }, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sim *m = world(LAW(""), 500);
		struct seen a;

		receiver.bounce = cases[i].v;
		sim_send_many(m, 60, "x.test", "a", "vmta1");
		sim_run(m, US_PER_HOUR);
		a = lane(m, LANE);
		assert_true(a.w.sample >= 40);
		if ((a.w.bounce_percent > 30) != cases[i].counts)
			fail_msg("%s: %g %%", cases[i].v.reply, (double)a.w.bounce_percent);
		sim_free(m);
	}
}

/* ---- what shares a cap ---- */

#define PROVIDERS "[provider a]\nmx = mx.a1.test, mx.a2.test\n[provider b]\nmx = mx.b.test\n"

static void a_provider_has_a_cap_and_all_others_share_one(void **state)
{
	static const char *const domains[] = { "a1.test", "a2.test", "b.test", "x.test", "y.test" };
	static const struct {
		const char *conf;
		int caps; /* how many */
	} cases[] = {
		{ LAW("") PROVIDERS, 3 },
		{ LAW("per = total\n") PROVIDERS, 1 },
	};

	(void)state;
	for (size_t k = 0; k < 2; k++) {
		struct sim *m = world(cases[k].conf, 0);

		m->w.coarse = 0;
		for (int i = 0; i < 5; i++)
			sim_send_many(m, 400, domains[i], "a", "vmta1");
		sim_run(m, 4 * US_PER_HOUR);
		assert_int_equal(sim_most_in(m, US_PER_HOUR, NULL, NULL), cases[k].caps * 50);
		/* Without mail the lane is warming still, and what was used goes. */
		if (k == 0) {
			sim_run(m, 80 * US_PER_HOUR);
			assert_int_equal(queued(m), 0);
			assert_int_equal(lane(m, "b@vmta1").w.used, 0);
			assert_int_equal(lane(m, "b@vmta1").w.step, 1);
			assert_int_equal(lane(m, "b@vmta1").state, STATE_WARMING);
			assert_int_equal(sim_most_in(m, US_PER_HOUR, NULL, "b.test/vmta1"), 50);
			assert_in_range(sim_most_in(m, US_PER_HOUR, NULL, "a1.test/vmta1"), 24, 26);
			assert_in_range(sim_most_in(m, US_PER_HOUR, NULL, "x.test/vmta1"), 24, 26);
			assert_in_range(sim_most_in(m, US_PER_HOUR, NULL, "y.test/vmta1"), 24, 26);
		}
		sim_free(m);
	}
}

static void what_does_not_fit_goes_to_others_of_the_pool(void **state)
{
	struct sim *m = world(LAW("") VMTA2 "[virtual-mta-pool p]\nmembers = vmta1, vmta2\n", 0);
	int cold = 0;

	(void)state;
	m->w.coarse = 0;
	sim_send_many(m, 500, "x.test", "a", "p");
	sim_run(m, US_PER_MIN);
	assert_int_equal(queued(m), 0);
	for (size_t i = 0; i < m->nrcpts; i++)
		cold += strcmp(m->rcpts[i].vmta, "vmta1") == 0;
	assert_int_equal(cold, 1);
	sim_free(m);
}

/* ---- a new configuration ---- */

static void reload(struct sim *m, const char *text)
{
	conf_unref(m->conf);
	m->conf = sim_conf_read(text);
	sched_conf(m->s, m->now, m->conf);
	m->tick_at = m->now;
	sim_run(m, US_PER_S);
}

static void a_changed_schedule_keeps_step_and_day(void **state)
{
	struct sim *m = world(LAW("start = 60/h\nevery = 10h\n"), 0);
	us_t ends;
	struct days d = { .n = 1, .v = { { SIM_START, 0, 60 } } };

	(void)state;
	sim_send_many(m, 5000, "x.test", "a", "vmta1");
	sim_run(m, 15 * US_PER_HOUR);
	ends = lane(m, LANE).w.next_step_at;
	assert_int_equal(lane(m, LANE).w.step, 1);
	d.v[d.n++] = (struct change){ ends - 10 * US_PER_HOUR, 1, 120 };
	/* Lower: what was sent in the hour before counts. */
	d.v[d.n++] = (struct change){ m->now + US_PER_HOUR, 1, 40 };
	reload(m, LAW("start = 20/h\nevery = 12h\n"));
	sim_run(m, US_PER_HOUR / 2);
	assert_true(lane(m, LANE).w.used >= 40);
	sim_run(m, 3 * US_PER_HOUR);
	check_hours(m, &d);
	assert_int_equal(lane(m, LANE).w.step, 1);
	assert_int_equal(lane(m, LANE).w.cap, 40);
	assert_int_equal(lane(m, LANE).w.next_step_at, ends + 2 * US_PER_HOUR);
	assert_in_range(lane(m, LANE).w.sample, 600, 800);
	/* Taken away and put back: it goes on where it was. */
	reload(m, HEAD "[virtual-mta vmta1]\nsmtp-source-host = 127.0.1.1 m1.test\n");
	assert_false(lane(m, LANE).warming);
	reload(m, LAW("start = 20/h\nevery = 12h\n"));
	sim_send_many(m, 100, "x.test", "a", "vmta1");
	sim_run(m, US_PER_MIN);
	assert_int_equal(lane(m, LANE).w.step, 1);
	assert_int_equal(lane(m, LANE).w.cap, 40);
	sim_free(m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_receiver_gets_more_every_48_hours),
		cmocka_unit_test(at_the_end_it_is_warm),
		cmocka_unit_test(two_percent_holds_the_step_and_eight_does_not_raise_it),
		cmocka_unit_test(eight_percent_takes_it_down_step_by_step),
		cmocka_unit_test(a_restart_in_the_middle_changes_nothing),
		cmocka_unit_test(why_names_the_warm_up_with_its_directive_and_its_end),
		cmocka_unit_test(a_step_needs_its_time_its_sample_and_half_of_the_cap),
		cmocka_unit_test(a_step_that_was_held_is_judged_anew_by_what_comes),
		cmocka_unit_test(only_hard_bounces_and_refusals_count),
		cmocka_unit_test(a_provider_has_a_cap_and_all_others_share_one),
		cmocka_unit_test(what_does_not_fit_goes_to_others_of_the_pool),
		cmocka_unit_test(a_changed_schedule_keeps_step_and_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
