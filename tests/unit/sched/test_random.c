/* Random worlds with everything at once: commands, reloads, failures, restarts. What must hold at
 * every moment: no recipient is with two sessions, no connection limit is passed, the totals add
 * up; and in the end all mail has gone somewhere. */
#include "sim.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { WORLDS = 8 };
#else
enum { WORLDS = 20 };
#endif
enum { DOMAINS = 8, MOST_RCPTS = 400000 };

struct world {
	struct sim *m;
	bool trouble;
	int step;
};
static struct world w;

static uint64_t pick(uint64_t n)
{
	return rng_below(&w.m->rng, n);
}

/* ---- receivers and DNS that do all sorts of things ---- */

static struct sim_verdict replies(struct sim *m, const char *vmta, struct str address,
				  uint32_t attempt)
{
	static const struct sim_verdict all[] = {
		{ CLASS_MAILBOX, false, "452 4.2.2 full", "4.2.2" },
		{ CLASS_GREYLIST, false, "450 4.2.0 greylisted", "4.2.0" },
		{ CLASS_THROTTLE, false, "421 4.7.0 slower", "4.7.0" },
		{ CLASS_TRANSIENT, false, "451 4.3.0 busy", "4.3.0" },
		{ CLASS_PERMANENT, true, "550 5.1.1 unknown", "5.1.1" },
		{ CLASS_POLICY, true, "554 5.7.1 blocked", "5.7.1" },
		{ CLASS_CONNECTION, false, "connection reset after RCPT TO", "4.4.2" },
	};
	uint64_t n = rng_below(&m->rng, w.trouble ? 14 : 200);

	(void)vmta;
	(void)address;
	(void)attempt;
	if (n < 7)
		return all[n];
	return (struct sim_verdict){ CLASS_OK, false, "250 2.0.0 ok", "2.0.0" };
}

static struct sim_connect connects(struct sim *m, const char *vmta, const char *host)
{
	(void)vmta;
	(void)host;
	return (struct sim_connect){ w.trouble && rng_below(&m->rng, 10) == 0,
				     1 + (us_t)rng_below(&m->rng, 20000), "connection refused",
				     w.trouble && rng_below(&m->rng, 2) };
}

static struct dns_answer *names(struct sim *m, struct str name, bool host)
{
	char mx[64];
	int d = name.n > 1 ? name.p[1] - '0' : 0;

	(void)host;
	if (w.trouble && rng_below(&m->rng, 6) == 0)
		return sim_dns_none(rng_below(&m->rng, 3) ? DNS_TEMPFAIL : DNS_NXDOMAIN,
				    m->now + 30 * US_PER_S);
	if (d < 3)
		snprintf(mx, sizeof mx,
			 rng_below(&m->rng, 2) ? "mx.shared.test"
					       : "mx.shared.test alt.shared.test");
	else
		snprintf(mx, sizeof mx, "mx.d%d.test", d);
	return sim_dns_hosts(mx, m->now + 20 * US_PER_S);
}

/* ---- configurations ---- */

static const char *const confs[] = {
	SIM_CONF
	"[domain *]\nmax-smtp-out = 5\nidle-timeout = 2s\n[provider shared]\nmx = "
	"*.shared.test\nprovider-max-smtp-out = 9\n[domain d1.test]\nsmtp-starttls = required\n"
	"[domain d3.test]\nsmtp-starttls = required\n",
	SIM_CONF "[domain *]\nmax-msg-rate = 40/s\nmax-msg-per-connection = 7\n[domain "
		 "d1.test]\nmax-smtp-out = 2\nmax-msg-rate = 5/s\n",
	SIM_CONF "[domain d4.test]\nroute = mx:d5.test\n[domain *]\nmax-connect-rate = "
		 "5/s\nbounce-after = 40m\n"
		 "retry-recipients-after = 30s, 1m, 5m\n",
	SIM_CONF "[domain * via pool-a]\nmax-smtp-out = 3\nmax-msg-rate = 20/s\n[domain "
		 "*]\ndelay-dsn-after = 1m\nmax-rcpt-per-message = 3\n",
	"[mta]\nhostname = mx.test\ntotal-max-smtp-out = 12\n[virtual-mta vmta1]\nsmtp-source-host "
	"= 127.0.1.1 m1.test\nmax-smtp-out = 6\n"
	"[virtual-mta vmta2]\nsmtp-source-host = 127.0.1.2 m2.test\ncold = yes\n[virtual-mta-pool "
	"pool-a]\nmembers = vmta1, vmta2\n",
};
enum { CONFS = sizeof confs / sizeof confs[0] };

static void apply(const char *text)
{
	conf_unref(w.m->conf);
	w.m->conf = sim_conf_read(text);
	sched_conf(w.m->s, w.m->now, w.m->conf);
	for (int i = 0; i < w.m->conf->nvmtas; i++)
		sched_source_up(w.m->s, w.m->now, i, true, true, 1);
	w.m->tick_at = w.m->now;
}

/* ---- acts ---- */

static const char *const routes[] = { "vmta1", "vmta2", "pool-a" };

static void mail(void)
{
	char to[600] = "", one[40];
	int n = 1 + (int)pick(pick(4) ? 2 : 12);

	for (int i = 0; i < n; i++) {
		snprintf(one, sizeof one, "%su%d@d%d.test", i ? "," : "", (int)pick(1000),
			 (int)pick(DOMAINS));
		strcat(to, one);
	}
	snprintf(one, sizeof one, "j%d", (int)pick(4));
	sim_send(w.m, &(struct sim_mail){ .to = to,
					  .job = one,
					  .route = routes[pick(3)],
					  .priority = (uint8_t)(1 + pick(100)),
					  .notify = (uint8_t)pick(16) });
}

static void target_text(char *out, size_t n)
{
	int d = (int)pick(DOMAINS);

	switch (pick(10)) {
	case 0:
		snprintf(out, n, "all");
		break;
	case 1:
		snprintf(out, n, "d%d.test/%s", d, routes[pick(3)]);
		break;
	case 2:
		snprintf(out, n, "@mx.d%d.test", d);
		break;
	case 3:
		snprintf(out, n, "mx.d%d.test@vmta%d", d, 1 + (int)pick(4));
		break;
	case 4:
		snprintf(out, n, "vmta:vmta%d", 1 + (int)pick(4));
		break;
	case 5:
		snprintf(out, n, "pool:pool-a");
		break;
	case 6:
		snprintf(out, n, "job:j%d", (int)pick(4));
		break;
	case 7:
		snprintf(out, n, "id:%llx", (unsigned long long)(1 + pick(w.m->next_message + 1)));
		break;
	case 8:
		snprintf(out, n, "d*.test");
		break;
	default:
		snprintf(out, n, "d%d.test", d);
		break;
	}
}

static void act(bool resume_only)
{
	static const enum sched_cmd_type types[] = { CMD_RESUME,      CMD_ENABLE,  CMD_UNDO,
						     CMD_END,	      CMD_PAUSE,   CMD_RATE,
						     CMD_CONNECTIONS, CMD_DISABLE, CMD_RETRY,
						     CMD_MOVE,	      CMD_BOUNCE,  CMD_DELETE,
						     CMD_AMEND,	      CMD_PAUSE };
	static uint64_t id;
	struct sched_cmd c = {
		.id = ++id, .who = STR_LIT("op"), .session = STR_LIT("s"), .expect = -1
	};
	struct errbuf e;
	char text[64];

	c.type = types[pick(resume_only ? 4 : sizeof types / sizeof types[0])];
	target_text(text, sizeof text);
	assert_null(target_parse(str_of(text), &c.target, &e));
	c.each = pick(2) == 0;
	c.rate = (struct rate){ 1 + (int64_t)pick(20), pick(4) ? US_PER_S : US_PER_MIN };
	c.connections = 1 + (int)pick(4);
	c.until = pick(2) ? w.m->now + (us_t)pick(60 * US_PER_S) + 1 : 0;
	c.number = 1 + pick(40);
	c.route = str_of(routes[pick(3)]);
	c.share = pick(2) ? 1 : 0.3;
	c.dry_run = pick(6) == 0;
	if (c.type == CMD_BOUNCE || c.type == CMD_DELETE) {
		c.expect = (int64_t)pick(20);
		c.shown_at = w.m->now;
	}
	sched_command(w.m->s, w.m->now, &c);
	w.m->tick_at = w.m->now;
}

static void rows(void *arg, struct row *r)
{
	(void)arg;
	row_release(r);
}

static void message(void *arg, const struct message_row *r)
{
	assert_true(r->recipient.n > 0 && r->queue.n > 0);
	++*(int *)arg;
}

static void look(void)
{
	static uint64_t cursor;
	struct target t;
	struct errbuf e;
	struct buf b;
	int64_t total;
	char text[64];
	int n = 0;

	sched_rows(w.m->s, w.m->now, 50, rows, NULL);
	target_text(text, sizeof text);
	target_parse(str_of(text), &t, &e);
	buf_init(&b);
	(void)sched_detail(w.m->s, w.m->now, &t, &b, &e);
	buf_free(&b);
	if (pick(3))
		cursor = 0;
	sched_messages(w.m->s, w.m->now, &t, &cursor, 1 + (int)pick(20), &total, message, &n);
}

/* ---- what must hold ---- */

static void check(void)
{
	static uint8_t with[MOST_RCPTS];
	size_t pos = 0;
	uint64_t key;
	void *value;
	int sessions = 0;

	memset(with, 0, sizeof with);
	while (idmap_next(&w.m->sessions, &pos, &key, &value)) {
		struct sim_session *e = value;

		sessions++;
		for (int i = 0; i < e->ntxn; i++)
			for (uint32_t k = 0; k < e->txn[i]->nrcpts; k++) {
				uint64_t at = e->txn[i]->message * 16 + e->txn[i]->rcpts[k].index;

				assert_true(at < MOST_RCPTS);
				assert_int_equal(with[at]++, 0);
			}
	}
	sim_check_totals(w.m);
}

static void check_limits(const char *text, us_t since)
{
	/* After a change of limits sessions that are too many finish what they hold. */
	if (w.m->now - since < 5 * US_PER_S)
		return;
	if (strstr(text, "total-max-smtp-out = 12"))
		assert_true(w.m->now_sessions <= 12);
}

static void run_world(uint64_t seed)
{
	const char *text = confs[seed % CONFS];
	us_t since = SIM_START;
	struct sched_totals t;

	w.m = sim_new(text, seed);
	w.m->w.rcpt = replies;
	w.m->w.connect = connects;
	w.m->w.dns = names;
	w.m->w.pipelining = pick(2) == 1;
	w.m->w.io_jitter = pick(2) ? 3 * US_PER_MS : 0;
	w.m->w.round_trip = 1 + (us_t)pick(100 * US_PER_MS);
	w.trouble = true;
	for (w.step = 0; w.step < 300; w.step++) {
		for (uint64_t n = pick(12); n > 0; n--)
			mail();
		if (pick(3) == 0)
			act(false);
		if (pick(25) == 0) {
			text = confs[pick(CONFS)];
			apply(text);
			since = w.m->now;
		}
		look();
		sim_run(w.m, (us_t)pick(pick(10) ? 500 * US_PER_MS : 30 * US_PER_S));
		check();
		check_limits(text, since);
	}
	/* Peace: all is lifted, and everything comes to an end. */
	w.trouble = false;
	apply(SIM_CONF "[domain *]\nbounce-after = 3h\n");
	for (int i = 0; i < 3000; i++)
		act(true);
	for (uint64_t n = 1; n < 200; n++) {
		struct sched_cmd c = {
			.id = n, .type = CMD_END, .number = n, .who = STR_LIT("op"), .expect = -1
		};

		sched_command(w.m->s, w.m->now, &c);
		w.m->tick_at = w.m->now;
		sim_run(w.m, 10 * US_PER_MS);
	}
	sim_run(w.m, 4 * US_PER_HOUR);
	sched_totals(w.m->s, w.m->now, &t);
	if (t.queued)
		fail_msg("world %llu: %llu of %llu are still queued", (unsigned long long)seed,
			 (unsigned long long)t.queued, (unsigned long long)t.accepted);
	assert_int_equal(t.delivered, w.m->delivered);
	assert_int_equal(t.bounced, w.m->bounced);
	assert_int_equal(t.expired, w.m->expired);
	assert_int_equal(t.removed, w.m->removed);
	assert_int_equal(t.deferred, w.m->deferred);
	assert_int_equal(w.m->now_sessions, 0);
	if (seed % 10 == 1)
		printf("  world %llu: %llu accepted, %llu delivered, %llu bounced, %llu expired, "
		       "%llu removed, %llu deferrals, %llu sessions, "
		       "%llu reports\n",
		       (unsigned long long)seed, (unsigned long long)t.accepted,
		       (unsigned long long)t.delivered, (unsigned long long)t.bounced,
		       (unsigned long long)t.expired, (unsigned long long)t.removed,
		       (unsigned long long)t.deferred, (unsigned long long)w.m->opens,
		       (unsigned long long)w.m->dsns);
	sim_free(w.m);
}

static void whatever_happens_all_mail_comes_to_an_end_once(void **state)
{
	uint64_t worlds = getenv("STOKER_FULL") ? 300 : WORLDS, first = 1;

	(void)state;
	if (getenv("STOKER_SEED")) {
		first = strtoull(getenv("STOKER_SEED"), NULL, 10);
		worlds = 1;
	}
	for (uint64_t k = first; k < first + worlds; k++)
		run_world(k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_happens_all_mail_comes_to_an_end_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
