/* Why mail does not move: each reason from its cause, and that lifting what is named moves it. */
#include "sim.h"

/* ---- reading rows ---- */

struct answer {
	char code[20], text[120], origin[200], state[12];
	float value, limit;
	uint8_t counts;
	us_t until;
	uint64_t due, queued, in_flight;
	bool found;
};
struct wanted {
	const char *name;
	enum row_kind kind;
	struct answer *out;
};

static void copy(char *to, size_t n, const struct rstr *r)
{
	snprintf(to, n, "%s", r ? r->text : "");
}

static void look(void *arg, struct row *r)
{
	struct wanted *x = arg;

	if (!r->deleted && r->kind == x->kind && strcmp(r->name->text, x->name) == 0) {
		struct answer *a = x->out;

		a->found = true;
		snprintf(a->code, sizeof a->code, "%s", why_code_name((enum why_code)r->why.code));
		snprintf(a->state, sizeof a->state, "%s", row_state_name((enum row_state)r->state));
		copy(a->text, sizeof a->text, r->why.text);
		copy(a->origin, sizeof a->origin, r->why.origin);
		a->value = r->why.value;
		a->limit = r->why.limit;
		a->counts = r->why.counts;
		a->until = r->why.until;
		if (r->kind == ROW_QUEUE || r->kind == ROW_SITE) {
			a->due = r->queue.due;
			a->queued = r->queue.queued;
			a->in_flight = r->queue.in_flight;
		}
	}
	row_release(r);
}

static struct answer ask(struct sim *m, enum row_kind kind, const char *name)
{
	struct answer a = { 0 };
	struct wanted x = { name, kind, &a };

	/* Setting a hold that is not set changes nothing, and makes every row new. */
	sched_hold(m->s, m->now, (enum sched_hold)0, false);
	m->tick_at = m->now;
	sim_run(m, 5 * US_PER_MS);
	while (sched_rows(m->s, m->now, 1000, look, &x) == 1000)
		;
	return a;
}

static struct sched_cmd command(enum sched_cmd_type type, const char *on)
{
	static uint64_t id;
	struct sched_cmd c = {
		.id = ++id, .type = type, .who = STR_LIT("op1"), .expect = -1, .until = US_NEVER
	};
	struct errbuf e;

	if (on)
		assert_null(target_parse(str_of(on), &c.target, &e));
	return c;
}

static void order(struct sim *m, struct sched_cmd c)
{
	sched_command(m->s, m->now, &c);
	m->tick_at = m->now;
	sim_run(m, 50 * US_PER_MS);
}

#define QUEUE "x.test/vmta1"

static struct sim *waiting(const char *more, int n)
{
	char conf[4000];
	struct sim *m;

	snprintf(conf, sizeof conf, "%s%s", SIM_CONF, more);
	m = sim_new(conf, 1);
	m->w.round_trip = 100 * US_PER_MS;
	sim_send_many(m, n, "x.test", "a", "vmta1");
	sim_run(m, 3 * US_PER_S);
	return m;
}

static void expect(struct sim *m, const char *code, const char *text, const char *origin)
{
	struct answer a = ask(m, ROW_QUEUE, QUEUE);

	assert_true(a.found);
	if (strcmp(a.code, code) != 0 || !strstr(a.text, text) || !strstr(a.origin, origin))
		fail_msg("%s '%s' from '%s', not %s '%s' from '%s'", a.code, a.text, a.origin, code,
			 text, origin);
}

static void state_is(struct sim *m, const char *state)
{
	struct answer a = ask(m, ROW_QUEUE, QUEUE);

	assert_string_equal(a.state, state);
}

static void each_limit_is_named_with_its_line(void **state)
{
	static const struct {
		const char *conf, *code, *text, *section;
		float limit;
		int counts;
	} cases[] = {
		{ "[domain *]\nmax-msg-rate = 7/s\n", "rate", "rate 7/s", ":15 [domain *]", 7,
		  SCOPE_LANE },
		{ "[domain *]\nmax-smtp-out = 3\n", "connections", "connections 3",
		  ":15 [domain *]", 3, SCOPE_LANE },
		{ "[domain x.test]\nmax-msg-rate = 5/s\n", "rate", "rate 5/s domain",
		  ":15 [domain x.test]", 5, SCOPE_DOMAIN },
		{ "[domain x.test]\nmax-smtp-out = 2\n", "connections", "connections 2 domain",
		  ":15 [domain x.test]", 2, SCOPE_DOMAIN },
		{ "[provider p]\nmx = mx.*\nprovider-max-msg-rate = 9/s\n", "rate",
		  "rate 9/s together", ":16 [provider p]", 9, SCOPE_PROVIDER },
		{ "[provider p]\nmx = mx.*\nprovider-max-smtp-out = 4\n", "connections",
		  "connections 4 together", ":16 [provider p]", 4, SCOPE_PROVIDER },
		{ "[domain *]\nmax-connect-rate = 1/m\n", "rate", "connect 1/min", ":15 [domain *]",
		  1.0F / 60, SCOPE_LANE },
		{ "", "connections", "connections 20", "default", 20, SCOPE_LANE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct sim *m = waiting(cases[i].conf, 3000);
		struct answer a;

		expect(m, cases[i].code, cases[i].text, cases[i].section);
		a = ask(m, ROW_QUEUE, QUEUE);
		assert_float_equal(a.limit, cases[i].limit, 0.01);
		assert_int_equal(a.counts, cases[i].counts);
		a = ask(m, ROW_SITE, cases[i].counts == SCOPE_PROVIDER ? "p" : "mx.x.test");
		assert_string_equal(a.code, cases[i].code);
		sim_free(m);
	}
}

static void the_total_is_named(void **state)
{
	struct sim *m = sim_new("[mta]\ntotal-max-smtp-out = 3\n" SIM_CONF_REST, 2);
	struct answer a;

	(void)state;
	m->w.round_trip = US_PER_S;
	sim_send_many(m, 100, "y.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	sim_send_many(m, 100, "x.test", "a", "vmta1");
	sim_run(m, US_PER_S);
	expect(m, "total", "connections 3 in total", ":2 [mta]");
	a = ask(m, ROW_QUEUE, QUEUE);
	assert_float_equal(a.value, 3, 0.01);
	sim_free(m);
}

static void pauses_and_disabled_sources_are_named_with_their_override(void **state)
{
	static const char *const pauses[] = { "x.test",	    QUEUE,
					      "@mx.x.test", "mx.x.test@vmta1",
					      "vmta:vmta1", "job:a",
					      "all",	    "user:shop" };
	struct sim *m;

	(void)state;
	for (size_t i = 0; i < sizeof pauses / sizeof pauses[0]; i++) {
		struct sched_cmd c = command(CMD_PAUSE, pauses[i]);

		m = waiting("", 3000);
		c.until = m->now + US_PER_HOUR;
		order(m, c);
		sim_run(m, US_PER_S);
		expect(m, "paused", "paused by op1", "override 1");
		assert_true(ask(m, ROW_QUEUE, QUEUE).until == c.until);
		assert_string_equal(ask(m, ROW_QUEUE, QUEUE).state, "paused");
		sim_free(m);
	}
	m = waiting("", 3000);
	order(m, command(CMD_DISABLE, "vmta:vmta1"));
	sim_run(m, US_PER_S);
	expect(m, "paused", "disabled by op1", "override 1");
	assert_string_equal(ask(m, ROW_SOURCE, "vmta1").state, "disabled");
	sim_free(m);
}

static void an_overrides_limit_is_named_by_its_number(void **state)
{
	struct sim *m = waiting("", 3000);
	struct sched_cmd c = command(CMD_RATE, "job:a");

	(void)state;
	c.rate = (struct rate){ 2, US_PER_S };
	order(m, c);
	sim_run(m, 3 * US_PER_S);
	expect(m, "rate", "rate 2/s", "override 1");
	sim_free(m);
}

static void sources_and_holds_are_named(void **state)
{
	struct sim *m = waiting("", 3000);

	(void)state;
	sched_source_up(m->s, m->now, 0, false, false, 0);
	sim_run(m, US_PER_S);
	expect(m, "no-source", "vmta1 has no address here", "");
	state_is(m, "down");
	assert_string_equal(ask(m, ROW_SOURCE, "vmta1").state, "down");
	sched_source_up(m->s, m->now, 0, true, false, 0);
	sched_hold(m->s, m->now, HOLD_DISK, true);
	sim_run(m, US_PER_S);
	expect(m, "disk", "outcomes can't be recorded", "");
	sched_hold(m->s, m->now, HOLD_DISK, false);
	sched_hold(m->s, m->now, HOLD_SHUTDOWN, true);
	expect(m, "draining", "stopping", "");
	sched_hold(m->s, m->now, HOLD_SHUTDOWN, false);
	m->tick_at = m->now;
	sim_run(m, US_PER_S);
	expect(m, "connections", "20", "default");
	sim_free(m);
}

/* The client's answer where no body fits into memory: nothing is tried, nobody is to blame. */
static void want_of_memory_holds_handouts_untried(void **state)
{
	struct sim *m = waiting("", 3000);
	struct sim_session *e = NULL;

	(void)state;
	for (uint64_t id = 1; id < 10000 && !(e && e->ntxn); id++)
		e = idmap_get(&m->sessions, id);
	assert_true(e && e->ntxn);
	e->txn[e->ntxn - 1]->no_room = true;
	sim_give_back(m, e, e->ntxn - 1);
	sim_run(m, US_PER_S);
	assert_true(sched_held(m->s, HOLD_MEMORY));
	expect(m, "memory", "memory", "");
	sched_hold(m->s, m->now, HOLD_MEMORY, false);
	m->tick_at = m->now;
	sim_run(m, US_PER_S);
	expect(m, "connections", "20", "default");
	sim_free(m);
}

static struct sim_connect refuses(struct sim *m, const char *vmta, const char *host)
{
	(void)m;
	(void)vmta;
	(void)host;
	return (struct sim_connect){ true, US_PER_MS, "connect: connection refused", false };
}

static struct sim_verdict busy(struct sim *m, const char *vmta, struct str address,
			       uint32_t attempt)
{
	(void)m;
	(void)vmta;
	(void)address;
	(void)attempt;
	return (struct sim_verdict){ CLASS_TRANSIENT, false, "451 4.3.2 busy", "4.3.2" };
}

static void rests_are_named_with_their_end(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 2/s\n", 3);
	struct answer a;

	(void)state;
	m->w.connect = refuses;
	sim_send_many(m, 100, "x.test", "a", "vmta1");
	sim_run(m, 5 * US_PER_S);
	expect(m, "connect", "connection refused", "");
	state_is(m, "down");
	a = ask(m, ROW_QUEUE, QUEUE);
	assert_true(a.until > m->now && a.until < m->now + 40 * US_PER_S);
	assert_string_equal(a.state, "down");
	m->w.connect = NULL;
	m->w.rcpt = busy;
	sim_run(m, 60 * US_PER_S);
	expect(m, "resting", "451 4.3.2 busy", "");
	assert_string_equal(ask(m, ROW_LANE, "mx.x.test@vmta1").state, "resting");
	sim_free(m);
}

static struct sim_connect greets_late(struct sim *m, const char *vmta, const char *host)
{
	(void)m;
	(void)vmta;
	(void)host;
	return (struct sim_connect){ .after = 20 * US_PER_S };
}

/* A receiver that is slow to greet is not down. */
static void who_just_connects_is_not_down(void **state)
{
	struct sim *m = sim_new(SIM_CONF "[domain *]\nmax-msg-rate = 10/s\n", 5);

	(void)state;
	m->w.connect = greets_late;
	sim_send_many(m, 30, "x.test", "a", "vmta1");
	sim_run(m, 3 * US_PER_S);
	expect(m, "connect", "connecting", "");
	state_is(m, "ok");
	sim_free(m);
}

static void what_is_not_due_says_so(void **state)
{
	struct sim *m = sim_new(SIM_CONF, 4);

	(void)state;
	m->w.rcpt = busy;
	sim_send_many(m, 3, "x.test", "a", "vmta1");
	sim_run(m, 5 * US_PER_S);
	expect(m, "retry-wait", "retry", "");
	m->w.rcpt = NULL;
	m->w.round_trip = 10 * US_PER_S;
	sim_run(m, 11 * US_PER_MIN);
	sim_send(m, &(struct sim_mail){ .to = "a@x.test" });
	sim_run(m, US_PER_S);
	expect(m, "in-flight", "", "");
	sim_run(m, US_PER_MIN);
	expect(m, "idle", "", "");
	sim_free(m);
}

/* ---- random worlds ---- */

enum { DOMAINS = 6, CONF_BYTES = 6000 };

struct world {
	struct sim *m;
	char conf[CONF_BYTES];
	bool dns_fails[DOMAINS], refuse[DOMAINS], source_down[4];
	unsigned hold;
	int lifted, number;
};
static struct world *w;

static int domain_of(const char *text)
{
	const char *p = strstr(text, ".dom");

	return p ? p[4] - '0' : 0;
}

static struct dns_answer *world_dns(struct sim *m, struct str name, bool host)
{
	char z[64], mx[64];

	(void)host;
	snprintf(z, sizeof z, "x%.*s", (int)name.n, name.p);
	if (w->dns_fails[domain_of(z)])
		return sim_dns_none(DNS_TEMPFAIL, m->now + US_PER_MIN);
	snprintf(mx, sizeof mx, domain_of(z) < 3 ? "mx.shared.test" : "mx.dom%d.test",
		 domain_of(z));
	return sim_dns_hosts(mx, m->now + 10 * US_PER_S);
}

static struct sim_connect world_connect(struct sim *m, const char *vmta, const char *host)
{
	bool no = w->refuse[strstr(host, "shared") ? 0 : domain_of(host)];

	(void)m;
	(void)vmta;
	return (struct sim_connect){ no, 5 * US_PER_MS, "connection refused", false };
}

static uint64_t pick(uint64_t n)
{
	return rng_below(&w->m->rng, n);
}

static const char *rate_text(void)
{
	static const char *const rates[] = { "1/s", "1/m", "10/m", "1/6m", "5/s", "30/h" };

	return rates[pick(6)];
}

static void conf_line(const char *text)
{
	size_t n = strlen(w->conf);

	snprintf(w->conf + n, sizeof w->conf - n, "%s\n", text);
}

static void conf_limit(const char *section, const char *rate_word, const char *conn_word)
{
	char line[100];

	conf_line(section);
	if (rate_word && pick(3) == 0) {
		snprintf(line, sizeof line, "%s = %s", rate_word, rate_text());
		conf_line(line);
	}
	if (conn_word && pick(3) == 0) {
		snprintf(line, sizeof line, "%s = %d", conn_word, 1 + (int)pick(3));
		conf_line(line);
	}
}

static void make_conf(void)
{
	char section[100];

	snprintf(w->conf, sizeof w->conf, "%s", SIM_CONF);
	for (int i = 5; i <= 6; i++) {
		snprintf(section, sizeof section,
			 "[virtual-mta vmta%d]\nsmtp-source-host = 127.0.1.%d m%d.test", i, i, i);
		conf_limit(section, "max-msg-rate", "max-smtp-out");
	}
	conf_line("[virtual-mta-pool pool-b]\nmembers = vmta5, vmta6");
	conf_limit("[provider shared]\nmx = mx.shared.test", "provider-max-msg-rate",
		   "provider-max-smtp-out");
	conf_limit("[domain *]", "max-msg-rate", "max-smtp-out");
	conf_limit("[domain * via pool-b]", "max-msg-rate", "max-smtp-out");
	for (int i = 0; i < DOMAINS; i++)
		if (pick(3) == 0) {
			snprintf(section, sizeof section, "[domain t.dom%d]", i);
			conf_limit(section, "max-msg-rate", "max-smtp-out");
		}
}

static const char *const routes[] = { "vmta1", "pool-a", "pool-b", "vmta5" };

static void world_new(uint64_t seed)
{
	w = calloc(1, sizeof *w);
	assert_non_null(w);
	w->m = sim_new(SIM_CONF, seed);
	make_conf();
	sim_free(w->m);
	w->m = sim_new(w->conf, seed);
	w->m->w.dns = world_dns;
	w->m->w.connect = world_connect;
	w->m->w.round_trip = 20 * US_PER_MS;
	w->m->w.pipelining = pick(2) == 1;
}

static void world_free(void)
{
	sim_free(w->m);
	free(w);
}

static void random_mail(void)
{
	char domain[32], job[8];

	for (int i = 0; i < DOMAINS; i++) {
		snprintf(domain, sizeof domain, "t.dom%d", i);
		snprintf(job, sizeof job, "j%d", (int)pick(3));
		sim_send_many(w->m, 1 + (int)pick(400), domain, job, routes[pick(4)]);
	}
}

static void random_override(void)
{
	char target[40];
	struct sched_cmd c;
	int d = (int)pick(DOMAINS);

	switch (pick(8)) {
	case 0:
		snprintf(target, sizeof target, "t.dom%d", d);
		break;
	case 1:
		snprintf(target, sizeof target, "t.dom%d/%s", d, routes[pick(4)]);
		break;
	case 2:
		snprintf(target, sizeof target, d < 3 ? "@shared" : "@mx.dom%d.test", d);
		break;
	case 3:
		snprintf(target, sizeof target, "vmta:vmta%d", 1 + (int)pick(6));
		break;
	case 4:
		snprintf(target, sizeof target, "pool:pool-%c", 'a' + (char)pick(2));
		break;
	case 5:
		snprintf(target, sizeof target, "job:j%d", (int)pick(3));
		break;
	case 6:
		snprintf(target, sizeof target, "t.dom*");
		break;
	default:
		snprintf(target, sizeof target, "all");
		break;
	}
	c = command(pick(3) == 0 ? CMD_PAUSE : pick(2) ? CMD_RATE : CMD_CONNECTIONS, target);
	c.each = pick(3) == 0 && strncmp(target, "job", 3) != 0;
	c.rate = pick(2) ? (struct rate){ 1, US_PER_MIN } : (struct rate){ 2, US_PER_S };
	c.connections = 1 + (int)pick(2);
	order(w->m, c);
}

static void random_trouble(void)
{
	int d = (int)pick(DOMAINS);

	switch (pick(6)) {
	case 0:
		w->dns_fails[d] = true;
		break;
	case 1:
		w->refuse[d] = true;
		break;
	case 2:
		w->source_down[d % 4] = true;
		sched_source_up(w->m->s, w->m->now, d % 4, false, false, 0);
		break;
	case 3:
		if (pick(4) == 0) {
			w->hold |= HOLD_DISK;
			sched_hold(w->m->s, w->m->now, HOLD_DISK, true);
		}
		break;
	default:
		random_override();
		break;
	}
}

/* ---- lifting what is named ---- */

static void reload(void)
{
	conf_unref(w->m->conf);
	w->m->conf = sim_conf_read(w->conf);
	sched_conf(w->m->s, w->m->now, w->m->conf);
	for (int i = 0; i < w->m->conf->nvmtas; i++)
		sched_source_up(w->m->s, w->m->now, i, i >= 4 || !w->source_down[i], false, 1);
}

/* Takes the line out of the configuration: a comment keeps the numbers of the others. */
static void drop_line(int line)
{
	char *p = w->conf;

	while (--line > 0)
		p = strchr(p, '\n') + 1;
	*p = ';';
	reload();
}

static void raise_default(void)
{
	const char *const sections[] = { "[domain *]", "[domain * via pool-b]" };

	(void)sections;
	conf_line("[domain *]\nmax-smtp-out = 500");
	reload();
}

static void lift_origin(const struct answer *a)
{
	const char *colon = strrchr(a->origin, ':');
	struct sched_cmd c;

	if (strncmp(a->origin, "override ", 9) == 0) {
		c = command(CMD_END, NULL);
		c.number = strtoull(a->origin + 9, NULL, 10);
		order(w->m, c);
	} else if (strcmp(a->origin, "default") == 0) {
		raise_default();
	} else {
		assert_non_null(colon);
		colon = strchr(a->origin, ':');
		drop_line(atoi(colon + 1));
	}
}

static void lift_dns(const char *queue)
{
	char target[64];

	w->dns_fails[domain_of(queue + 0)] = false;
	snprintf(target, sizeof target, "%.*s", (int)(strchr(queue, '/') - queue), queue);
	order(w->m, command(CMD_RETRY, target));
}

static void lift(const char *queue, const struct answer *a)
{
	int d = domain_of(queue);

	w->lifted++;
	if (strcmp(a->code, "dns") == 0) {
		lift_dns(queue);
	} else if (strcmp(a->code, "connect") == 0 || strcmp(a->code, "resting") == 0) {
		/* A rest ends by itself, when it says. */
		for (int i = 0; i < DOMAINS; i++)
			if (i == d || (d < 3 && i < 3))
				w->refuse[i] = false;
		if (a->until > w->m->now)
			sim_run_to(w->m, a->until);
	} else if (strcmp(a->code, "no-source") == 0) {
		memset(w->source_down, 0, sizeof w->source_down);
		for (int i = 0; i < 6; i++)
			sched_source_up(w->m->s, w->m->now, i, true, false, 1);
	} else if (strcmp(a->code, "disk") == 0) {
		w->hold = 0;
		sched_hold(w->m->s, w->m->now, HOLD_DISK, false);
	} else {
		lift_origin(a);
	}
	w->m->tick_at = w->m->now;
}

static us_t last_move(const char *queue)
{
	us_t at = 0;

	for (size_t i = w->m->nrcpts; i-- > 0 && !at;)
		if (strcmp(w->m->rcpts[i].queue, queue) == 0)
			at = w->m->rcpts[i].at;
	return at;
}

/* Lifting the named limit moves the mail within a second, or reveals the next that binds. */
static void check_stuck(const char *queue)
{
	struct answer a = ask(w->m, ROW_QUEUE, queue), was;
	us_t at;

	if (!a.found || !a.due || w->m->now - last_move(queue) < 2 * US_PER_S)
		return;
	for (int steps = 0; steps < 12; steps++) {
		if (strcmp(a.code, "ready") == 0 || strcmp(a.code, "in-flight") == 0 ||
		    strcmp(a.code, "idle") == 0)
			break;
		was = a;
		at = w->m->now;
		lift(queue, &a);
		at = strcmp(a.code, "connect") == 0 || strcmp(a.code, "resting") == 0 ? w->m->now
										      : at;
		sim_run(w->m, US_PER_S);
		if (last_move(queue) > at)
			return;
		a = ask(w->m, ROW_QUEUE, queue);
		if (!a.due)
			return;
		if (strcmp(was.origin, a.origin) == 0 && strcmp(was.code, a.code) == 0 &&
		    strcmp(was.text, a.text) == 0 && strcmp(a.code, "connect") != 0 &&
		    strcmp(a.code, "resting") != 0)
			fail_msg("%s: lifting %s '%s' (%s) left it in force", queue, a.code, a.text,
				 a.origin);
	}
	fail_msg("world %d: %s: due %llu, does not move, and why says %s '%s' (%s)", queue,
		 (unsigned long long)a.due, a.code, a.text, a.origin);
}

static void check_all(void)
{
	char queue[64];

	for (int i = 0; i < DOMAINS; i++)
		for (int r = 0; r < 4; r++) {
			snprintf(queue, sizeof queue, "t.dom%d/%s", i, routes[r]);
			check_stuck(queue);
		}
}

static void lifting_what_why_names_moves_the_mail(void **state)
{
	int worlds = getenv("STOKER_FULL") ? 400 : 40, lifted = 0;

	(void)state;
	for (int k = 0; k < worlds; k++) {
		world_new(1000 + (uint64_t)k);
		w->number = k;
		for (int round = 0; round < 4; round++) {
			random_mail();
			for (uint64_t n = pick(4); n > 0; n--)
				random_trouble();
			sim_run(w->m, 3 * US_PER_S + (us_t)pick(US_PER_S));
			check_all();
		}
		sim_check_totals(w->m);
		lifted += w->lifted;
		world_free();
	}
	printf("  %d worlds, %d limits lifted\n", worlds, lifted);
	assert_true(lifted > worlds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_limit_is_named_with_its_line),
		cmocka_unit_test(the_total_is_named),
		cmocka_unit_test(pauses_and_disabled_sources_are_named_with_their_override),
		cmocka_unit_test(an_overrides_limit_is_named_by_its_number),
		cmocka_unit_test(sources_and_holds_are_named),
		cmocka_unit_test(want_of_memory_holds_handouts_untried),
		cmocka_unit_test(rests_are_named_with_their_end),
		cmocka_unit_test(who_just_connects_is_not_down),
		cmocka_unit_test(what_is_not_due_says_so),
		cmocka_unit_test(lifting_what_why_names_moves_the_mail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
