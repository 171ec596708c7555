/* What no single line shows is said: errors that keep a configuration out, and warnings that let it
 * in. */
#include "tests/unit/conf/fixture.h"

static struct world w;

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	world_close(&w);
	return 0;
}

/* Without listener and source. */
#define OUT "[mta]\nhostname = mx.example.com\nsmtp-source-host = 192.0.2.1 mx.example.com\n"
#define IN  "[listener 127.0.0.1:25]\n[source 127.0.0.1]\nalways-allow-relaying = yes\n"
#define TWO                                                                                        \
	"[mta]\nhostname = mx.example.com\ndefault-virtual-mta = p\n" IN                           \
	"[virtual-mta v]\nsmtp-source-host = 192.0.2.1 a.example.com\n"                            \
	"[virtual-mta u]\nsmtp-source-host = 192.0.2.2 b.example.com\n"                            \
	"[virtual-mta-pool p]\nmembers = v, u\n# line 13\n"

struct check_case {
	const char *text, *expect; /* expect NULL: nothing is said */
};

static void run(const struct check_case *v, size_t n, bool error)
{
	for (size_t i = 0; i < n; i++) {
		world_read(&w, v[i].text);
		if (!v[i].expect) {
			expect_clean(&w);
			continue;
		}
		expect_text(&w, v[i].expect);
		if ((w.c == NULL) != error)
			print_error("%s%s", v[i].text, buf_z(&w.text));
		assert_int_equal(w.c == NULL, error);
	}
}
#define RUN(v, error) run(v, sizeof(v) / sizeof(v)[0], error)

static void a_configuration_that_can_send_nothing_is_an_error(void **state)
{
	static const struct check_case cases[] = {
		{ "[mta]\nhostname = mx.example.com\n" IN,
		  "a.ini: error: there is no virtual MTA, so nothing can be sent: write [mta] "
		  "smtp-source-host = IP HOSTNAME" },
		{ TWO "[virtual-mta w]\n",
		  "a.ini:14: error: [virtual-mta w] has no address to send from" },
		{ TWO "[virtual-mta-pool q]\n",
		  "a.ini:14: error: [virtual-mta-pool q] has no members" },
		{ TWO "[virtual-mta u]\nwarmup = knew\n[warmup new]\n",
		  "a.ini:15: error: warmup: there is no [warmup] \"knew\": did you mean \"new\"?" },
		{ TWO "[virtual-mta u]\nwarmup = k\n[warmup k]\nstart = 10/d\n",
		  "a.ini:17: error: start: the cap of [warmup k] is that of an hour" },
		{ TWO "[virtual-mta u]\nwarmup = k\n[warmup k]\nstart = 200000/h\n",
		  "a.ini:17: error: until: the last cap of [warmup k] is less than start" },
		{ TWO "[virtual-mta u]\nwarmup = k\n[warmup k]\nuntil = unlimited\n",
		  "a.ini:17: error: until: the last cap of [warmup k]" },
		{ TWO "[virtual-mta-pool q]\nmembers = v, x\n",
		  "a.ini:15: error: members: there is no virtual MTA \"x\"" },
		{ TWO "[virtual-mta-pool q]\nmembers = v, V\n",
		  "a.ini:15: error: members: V is named twice" },
		{ TWO "[virtual-mta-pool q]\nmembers = p\n",
		  "a.ini:15: error: members: p is a pool: name its virtual MTAs" },
		{ TWO "[virtual-mta-pool V]\nmembers = u\n",
		  "a.ini:14: error: [virtual-mta-pool V]: there is a virtual MTA of that name "
		  "(a.ini:7)" },
		{ OUT IN "[virtual-mta default1]\nsmtp-source-host = 192.0.2.9 x.example.com\n",
		  "a.ini:7: error: [virtual-mta default1]: that name is taken by [mta] "
		  "smtp-source-host (a.ini:3)" },
		{ OUT IN "[virtual-mta-pool default]\nmembers = v\n",
		  "a.ini:8: error: members: the "
		  "members of the pool default" },
		{ OUT IN "[virtual-mta-pool default]\nmax-smtp-out = 5\n", NULL },
	};

	(void)state;
	RUN(cases, true);
}

static void a_second_address_of_a_kind_proposes_a_pool(void **state)
{
	static const struct check_case cases[] = {
		{ TWO "[virtual-mta v]\nsmtp-source-host = 192.0.2.3 c.example.com\n",
		  "a.ini:15: error: [virtual-mta v] has a second IPv4 address (the first is at "
		  "a.ini:8): a virtual MTA has one of a kind; make [virtual-mta v-2] of it, and "
		  "[virtual-mta-pool NAME] with members = v, v-2" },
		{ TWO "[virtual-mta v]\nsmtp-source-host = 2001:db8::1 c.example.com\n"
		      "smtp-source-host = 2001:db8::2 c.example.com\n",
		  "a.ini:16: error: [virtual-mta v] has a second IPv6 address (the first is at "
		  "a.ini:15)" },
	};

	(void)state;
	RUN(cases, true);
	world_read(&w, TWO "[virtual-mta v]\nsmtp-source-host = 2001:db8::1 c.example.com\n");
	expect_clean(&w);
	assert_string_equal(w.c->vmtas[0].host4, "a.example.com");
	assert_string_equal(w.c->vmtas[0].host6, "c.example.com");
}

static void pools_that_differ_about_one_lane_are_an_error(void **state)
{
#define POOLS(a, b) TWO "[virtual-mta-pool p]\n" a "\n[virtual-mta-pool q]\nmembers = u\n" b "\n"
	static const struct check_case bad[] = {
		{ POOLS("max-smtp-out = 5", "max-smtp-out = 6"),
		  "a.ini:18: error: max-smtp-out = 6: virtual MTA u is in the pools p and q, and p "
		  "says 5 (a.ini:15): a lane has one limit" },
		{ POOLS("max-msg-rate = 1/s", "max-msg-rate = 61/min"),
		  "a.ini:18: error: max-msg-rate" },
		{ POOLS("max-connect-rate = 1/s", "max-connect-rate = 2/s"),
		  "a.ini:18: error: max-con" },
		{ POOLS("min-backoff = 1m", "min-backoff = 61s"), "a.ini:18: error: min-backoff" },
		{ POOLS("backoff-scale-factor = 2", "backoff-scale-factor = 3"),
		  "a.ini:18: error: back" },
		{ POOLS("max-smtp-out = 5", "[domain * via q]\nmax-smtp-out = 6"),
		  "a.ini:19: error: max-smtp-out = 6" },
	};
	static const struct check_case good[] = {
		{ POOLS("max-smtp-out = 5", "max-smtp-out = 5"), NULL },
		{ POOLS("max-msg-rate = 1/s", "max-msg-rate = 60/min"), NULL },
		{ POOLS("max-smtp-out = 5", ""), NULL },
		{ POOLS("max-smtp-out = 5", "max-smtp-out ="), NULL },
		{ POOLS("queue-priority = 5", "queue-priority = 6"), NULL },
		{ TWO "[virtual-mta-pool p]\nmax-smtp-out = 5\n"
		      "[virtual-mta w]\nsmtp-source-host = 192.0.2.3 c.example.com\n"
		      "[virtual-mta-pool q]\nmembers = w\nmax-smtp-out = 6\n",
		  NULL },
	};

	(void)state;
	RUN(bad, true);
	RUN(good, false);
}

static void who_may_relay_is_looked_at_from_outside(void **state)
{
	static const struct check_case cases[] = {
		{ OUT "[listener 0.0.0.0:25]\n[source 0.0.0.0/0]\nalways-allow-relaying = yes\n",
		  "a.ini:5: warning: [source 0.0.0.0/0] always-allow-relaying: any public address "
		  "that reaches [listener 0.0.0.0:25] could relay (a.ini:4)" },
		{ OUT
		  "[listener 0.0.0.0:25]\nsource = s\n[source s]\nalways-allow-relaying = yes\n",
		  "a.ini:6: warning: [source s] always-allow-relaying: any public address" },
		{ OUT
		  "[listener 192.0.2.1:25]\n[source 198.51.0.0/16]\nalways-allow-relaying = yes\n",
		  "a.ini:5: warning: [source 198.51.0.0/16]" },
		{ OUT "[listener [::]:25]\n[source 2000::/3]\nalways-allow-relaying = yes\n",
		  "a.ini:5: warning: [source 2000::/3]" },
		{ OUT "[listener 0.0.0.0:25]\n", "a.ini:4: warning: nobody may relay" },
		{ OUT "[listener 0.0.0.0:25]\n[source 10.0.0.0/8]\n",
		  "a.ini:4: warning: nobody may relay" },
		{ OUT "[listener 127.0.0.1:25]\n[source 10.0.0.0/8]\nalways-allow-relaying = yes\n",
		  "a.ini:4: warning: nobody may relay" },
		{ OUT "[source 10.0.0.0/8]\nalways-allow-relaying = yes\n",
		  "a.ini: warning: there is no [listener]: no mail can come in" },
		{ OUT IN "[source s]\n", "a.ini:7: warning: [source s] is used by no listener" },
		/* your own networks */
		{ OUT "[listener 0.0.0.0:25]\n[source 10.0.0.0/8]\nalways-allow-relaying = yes\n",
		  NULL },
		{ OUT
		  "[listener 0.0.0.0:25]\n[source 198.51.100.0/24]\nalways-allow-relaying = yes\n",
		  NULL },
		{ OUT
		  "[listener 127.0.0.1:25]\nsource = s\n[source s]\nalways-allow-relaying = yes\n",
		  NULL },
		{ OUT
		  "[listener 10.0.0.1:25]\nsource = s\n[source s]\nalways-allow-relaying = yes\n",
		  NULL },
		/* every client has a source of its own, so the listener's is never asked */
		{ OUT "[listener 0.0.0.0:25]\nsource = s\n[source s]\nalways-allow-relaying = yes\n"
		      "[source 0.0.0.0/0]\n",
		  NULL },
	};

	(void)state;
	RUN(cases, false);
}

static void limits_that_another_makes_unreachable_are_named(void **state)
{
	static const struct check_case cases[] = {
		{ TWO "[domain *]\nmax-smtp-out = 10\n[domain x.example]\nmax-smtp-out = 11\n",
		  "a.ini:17: warning: max-smtp-out = 11 of [domain x.example] can't be reached: "
		  "max-smtp-out = 10 of [domain *] (a.ini:15) counts each lane and is smaller, "
		  "unless its MX hosts are those of a [provider] with a limit of its own" },
		{ TWO "[domain *]\nmax-smtp-out = 10\n[domain x.example]\nmax-smtp-out = 10\n",
		  NULL },
		{ TWO "[provider g]\ndomains = g.example\nmax-msg-rate = 1/s\n[domain g.example]\n"
		      "max-msg-rate = 61/min\n",
		  "a.ini:18: warning: max-msg-rate = 61/min of [domain g.example] can't be "
		  "reached: "
		  "max-msg-rate = 1/s of [provider g] (a.ini:16) counts each lane and is "
		  "smaller\n" },
		{ TWO "[provider g]\ndomains = g.example\nmax-smtp-out = 9\nprovider-max-smtp-out "
		      "= 8\n",
		  "a.ini:16: warning: max-smtp-out = 9 of [provider g] can't be reached: "
		  "provider-max-smtp-out = 8 of [provider g] (a.ini:17) counts all lanes" },
		{ TWO "[domain *]\nmax-msg-rate = 9/s\n[virtual-mta v]\nmax-msg-rate = 5/s\n"
		      "[virtual-mta u]\nmax-msg-rate = 6/s\n",
		  "a.ini:15: warning: max-msg-rate = 9/s of [domain *] can't be reached: "
		  "max-msg-rate = 6/s of [virtual-mta u] (a.ini:19)" },
		{ TWO "[domain *]\nmax-msg-rate = 9/s\n[virtual-mta v]\nmax-msg-rate = 5/s\n",
		  NULL },
		{ TWO "[domain x.example via v]\nmax-msg-rate = 9/s\n[virtual-mta v]\n"
		      "max-msg-rate = 5/s\n",
		  "a.ini:15: warning: max-msg-rate = 9/s of [domain x.example via v]" },
		{ TWO "[domain x.example via v]\nmax-smtp-out = 9\n[domain * via v]\n"
		      "max-smtp-out = 5\n",
		  "a.ini:15: warning: max-smtp-out = 9 of [domain x.example via v] can't be "
		  "reached: "
		  "max-smtp-out = 5 of [domain * via v] (a.ini:17)" },
		{ TWO "[virtual-mta-pool p]\nmax-smtp-out = 9\n[domain *]\nmax-smtp-out = 5\n",
		  "a.ini:15: warning: max-smtp-out = 9 of [virtual-mta-pool p] can't be reached" },
		{ TWO "[mta]\ntotal-max-smtp-out = 10\n[domain *]\nmax-smtp-out = 11\n",
		  "a.ini:17: warning: max-smtp-out = 11 of [domain *] can't be reached: "
		  "total-max-smtp-out = 10 of [mta] (a.ini:15) counts everything together" },
		{ TWO "[domain *]\nmax-smtp-out = 4001\n",
		  "total-max-smtp-out = 4000 (the default)" },
		{ TWO "[virtual-mta v]\nmax-smtp-out = 5000\n[domain *]\nmax-smtp-out = 9\n",
		  "a.ini:15: warning: max-smtp-out = 5000 of [virtual-mta v] can't be reached" },
		{ TWO "[listener 127.0.0.1:25]\nmax-connections = 1001\n",
		  "a.ini:15: warning: max-connections = 1001 can't be reached: [mta] "
		  "total-max-smtp-in = 1000" },
		{ TWO
		  "[listener 127.0.0.1:25]\nmax-connections = 10\nmax-connections-per-ip = 11\n",
		  "a.ini:16: warning: max-connections-per-ip = 11 can't be reached" },
		/* what takes the built-in limit's place */
		{ TWO "[virtual-mta v]\nmax-smtp-out = 500\n",
		  "a.ini:15: warning: max-smtp-out = 500 of virtual MTA v takes the place of the "
		  "built-in limit of 20 connections" },
		{ TWO "[virtual-mta v]\nmax-smtp-out = 500\n[domain *]\nmax-smtp-out = 20\n",
		  NULL },
		{ TWO "[virtual-mta v]\nmax-smtp-out = 20\n", NULL },
		{ TWO "[provider g]\nmx = *.g.example\nprovider-max-smtp-out = 100\n",
		  "a.ini:16: warning: provider-max-smtp-out = 100 of g takes the place" },
	};

	(void)state;
	RUN(cases, false);
}

static void contradictions_between_lines_are_named(void **state)
{
	static const struct check_case bad[] = {
		{ TWO "[domain *]\nmin-backoff = 2h\nmax-backoff = 1h\n",
		  "a.ini:15: error: [domain *]: min-backoff is longer than max-backoff" },
		{ TWO "[domain *]\nmax-backoff = 1h\n[domain x.example]\nmin-backoff = 2h\n",
		  "a.ini:17: error: [domain x.example]: min-backoff is longer than max-backoff" },
		{ TWO "[listener 0.0.0.0:25]\n",
		  "a.ini:4: error: [listener 127.0.0.1:25] can't be opened beside [listener "
		  "0.0.0.0:25] (a.ini:14)" },
		{ TWO "[mta]\nlog-file = /x\naudit-log = /x\n",
		  "a.ini:16: error: log-file and audit-log are the same file /x" },
		{ TWO "[mta]\nspool = /x\nstate = /x\n",
		  "a.ini:16: error: spool and state are the same directory /x" },
		{ TWO "[provider a]\ndomains = x.example\n[provider b]\ndomains = X.example\n",
		  "x.example is in [provider b] and in [provider a]" },
		{ "[mta]\nhostname = mx.example.com\n" IN
		  "[virtual-mta v]\nsmtp-source-host = 192.0.2.1 a.example.com\n"
		  "[virtual-mta u]\nsmtp-source-host = 192.0.2.2 b.example.com\n",
		  "a.ini:3: error: [listener 127.0.0.1:25]: mail of [source 127.0.0.1] has no "
		  "route" },
	};
	static const struct check_case odd[] = {
		{ TWO "[domain x.example]\nbounce-after = 5m\n",
		  "a.ini:15: warning: [domain x.example]: bounce-after comes before the first "
		  "retry" },
		{ TWO "[domain x.example]\ndelay-dsn-after = 5d\n",
		  "a.ini:15: warning: [domain x.example]: delay-dsn-after is not before" },
		{ TWO "[domain x.example]\nroute = [127.0.0.1]:25\n",
		  "a.ini:15: warning: [domain x.example]: route leads back to [listener "
		  "127.0.0.1:25]" },
		{ TWO "[warmup k]\nfactor = 3\n", "a.ini:14: warning: [warmup k] is used by no "
						  "virtual MTA: write warmup = k in one" },
		{ TWO "[virtual-mta u]\nwarmup = k\n[warmup k]\n", NULL },
		{ TWO "[virtual-mta u]\ncold = yes\n[virtual-mta v]\ncold = yes\n",
		  "a.ini:11: warning: pool p: all its members are cold" },
		{ TWO "[virtual-mta w]\nsmtp-source-host = 192.0.2.2 c.example.com\n",
		  "a.ini:14: warning: virtual MTAs u and w send from the same address 192.0.2.2" },
		{ TWO "[virtual-mta w]\nsmtp-source-host = 192.0.2.3 mailhost\n",
		  "a.ini:14: warning: virtual MTA w: host name mailhost has no domain" },
		{ TWO "[provider g]\nmx = *.g.example., h.example\n",
		  "a.ini:15: warning: mx: *.g.example. is read without the dot at its end" },
		{ TWO
		  "[provider g]\nmx = *.g.example\n[provider h]\nmx = mx.h.example, *.G.example\n",
		  "a.ini:16: warning: provider h: mx *.g.example is in provider g too (a.ini:14)" },
		{ TWO "[provider google]\nmx = *.g.example\n[provider gogle]\nmax-smtp-out = 3\n",
		  "a.ini:16: warning: provider gogle has neither mx nor domains: no site belongs "
		  "to "
		  "it: did you mean \"google\"?" },
		{ "[mta]\nhostname = mx\nsmtp-source-host = 192.0.2.1 mx.example.com\n" IN,
		  "a.ini:2: warning: hostname mx has no domain" },
		{ TWO "[listener [::]:25]\n", NULL },
		{ TWO "[listener 127.0.0.1:26]\n", NULL },
	};

	(void)state;
	RUN(bad, true);
	RUN(odd, false);
}

static void a_missing_include_is_not_followed_by_errors_about_what_it_may_define(void **state)
{
	(void)state;
	world_read(&w, "[mta]\nhostname = mx.example.com\ninclude = gone.ini\n"
		       "default-virtual-mta = p\n" IN "[domain * via q]\nmax-smtp-out = 2\n");
	expect_text(&w, "a.ini:3: error: gone.ini can't be read");
	assert_int_equal(w.problems.errors, 1);
}

static void a_pattern_of_a_shipped_provider_is_said(void **state)
{
	struct conf_read_opts o = { .shipped_dir = "shipped" };

	(void)state;
	assert_int_equal(mkdir("shipped", 0700), 0);
	world_file("shipped/providers.ini",
		   "[provider big]\nmx = *.big.example\ndomains = big.example\n");
	world_file("a.ini", BASE "[provider own]\nmx = *.big.example\n");
	assert_non_null(world_read_with(&w, "a.ini", &o));
	expect_text(&w, "a.ini:7: warning: provider own: mx *.big.example is the pattern of "
			"provider big that comes with "
			"Stoker, which keeps big.example");
}

static void the_example_and_the_shipped_providers_are_clean(void **state)
{
	struct conf_read_opts o = { .shipped_dir = NULL };
	char example[4200], shipped[4200];

	(void)state;
	snprintf(example, sizeof example, "%s/conf/stoker.ini", w.home);
	snprintf(shipped, sizeof shipped, "%s/conf", w.home);
	o.shipped_dir = shipped;
	world_read_with(&w, example, &o);
	expect_clean(&w);
	assert_true(w.c->nproviders > 20);
}

/* CONFIG.md: the limits of the text that this project started from are reachable below the shipped
 * ones. */
static void shipped_limits_are_not_below_those_of_the_old_text(void **state)
{
	static const struct {
		const char *domain, *mx;
		int connections, per_s;
	} old[] = {
		{ "hotmail.com", "hotmail-com.olc.protection.outlook.com", 10, 20 },
		{ "gmail.com", "gmail-smtp-in.l.google.com", 15, 30 },
		{ "yahoo.com", "mta5.am0.yahoodns.net", 8, 15 },
	};
	struct conf_read_opts o = { .shipped_dir = NULL };
	char shipped[4200];

	(void)state;
	snprintf(shipped, sizeof shipped, "%s/conf", w.home);
	o.shipped_dir = shipped;
	world_file("a.ini", BASE);
	world_read_with(&w, "a.ini", &o);
	expect_clean(&w);
	struct settings_cache *sc = settings_cache_new(w.c);
	for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
		struct str mx = str_of(old[i].mx);
		int p = conf_provider_for(w.c, STR_LIT("custom.example"), &mx, 1);
		const struct settings *s =
		    settings_get(sc, str_of(old[i].domain), p, CONF_NONE, CONF_NONE);

		assert_int_not_equal(p, CONF_NONE);
		assert_int_equal(conf_provider_for(w.c, str_of(old[i].domain), NULL, 0), p);
		for (int k = 0; k < s->nlimits; k++) {
			if (s->limits[k].kind == LIMIT_CONNECTIONS)
				assert_true(s->limits[k].n >= old[i].connections);
			if (s->limits[k].kind == LIMIT_MSG_RATE)
				assert_true(rate_per_s(s->limits[k].rate) >= old[i].per_s);
		}
		assert_int_equal(s->nlimits, 4); /* and the backoff- twins */
	}
	settings_cache_free(sc);
}

static void tls_that_cannot_be_is_named(void **state)
{
	static const struct check_case bad[] = {
		{ OUT "[listener 127.0.0.1:25]\ntls = starttls\n",
		  "a.ini:5: error: tls needs tls-certificate and tls-key, PEM files" },
		{ OUT "[listener 127.0.0.1:25]\ntls-certificate = c\ntls = required\n",
		  "a.ini:6: error: tls needs tls-key" },
		{ OUT "[listener 127.0.0.1:25]\ntls = implicit\ntls-key = c\n",
		  "a.ini:5: error: tls needs tls-certificate" },
	};
	static const struct check_case odd[] = {
		{ OUT "[listener 127.0.0.1:25]\ntls-certificate = c\ntls-key = k\n",
		  "a.ini:5: warning: tls-certificate is not used here" },
		{ TWO "[domain x.example]\nsmtp-starttls = required\nuse-plaintext = yes\n",
		  "a.ini:16: warning: use-plaintext = yes has no effect: smtp-starttls = required "
		  "(line 15) wins" },
		{ TWO "[domain x.example]\nuse-plaintext = yes\nsmtp-starttls = verify\n",
		  "a.ini:15: warning: use-plaintext = yes has no effect: smtp-starttls = verify" },
		{ TWO "[domain x.example]\nsmtp-starttls = no\nuse-plaintext = no\n",
		  "a.ini:16: warning: use-plaintext = no wins over smtp-starttls = no" },
		{ TWO "[domain x.example]\nsmtp-starttls = no\ntls-min-version = 1.3\n",
		  "a.ini:16: warning: tls-min-version has no effect" },
		{ TWO "[domain x.example]\nsmtp-starttls = verify\nuse-plaintext = no\n", NULL },
		{ TWO "[domain x.example]\nuse-plaintext = no\n", NULL },
	};

	(void)state;
	RUN(bad, true);
	RUN(odd, false);
}

#define SIGN "[domain *]\ndkim-sign = yes\n"
#define KEY  "selector = a\nkey-file = k\n"
static void keys_and_dkim_sign_belong_together(void **state)
{
	static const struct check_case errors[] = {
		{ OUT IN SIGN "[dkim d.example]\nselector = a\n",
		  "a.ini:10: error: [dkim d.example] needs key-file" },
		{ OUT IN SIGN "[dkim d.example]\nkey-file = k\n",
		  "a.ini:10: error: [dkim d.example] needs selector" },
		{ OUT IN SIGN "[dkim d.example]\n" KEY "second-selector = b\n",
		  "a.ini:12: error: [dkim d.example] needs second-key-file" },
		{ OUT IN SIGN "[dkim d.example]\n" KEY "second-key-file = b\n",
		  "a.ini:12: error: [dkim d.example] needs second-selector" },
		{ OUT IN SIGN "[dkim d.example]\n" KEY "second-key-file = b\nsecond-selector = A\n",
		  "a.ini:13: error: second-selector is the same as selector" },
		{ OUT IN SIGN "[dkim *]\n" KEY, "a.ini:9: error: [dkim *]: write the domain" },
	};
	static const struct check_case warnings[] = {
		{ OUT IN SIGN, "a.ini:8: warning: dkim-sign = yes, but there is no [dkim]" },
		{ OUT IN "[dkim d.example]\n" KEY,
		  "a.ini:7: warning: [dkim d.example] signs nothing" },
		{ OUT IN SIGN "[dkim d.example]\n" KEY, NULL },
	};

	(void)state;
	RUN(errors, true);
	RUN(warnings, false);
}

#define USER "[smtp-user u]\npassword = $6$saltsalt$BBBBBBBBBBBBBBBBBBBBBBBBBB\n"

static void inbound_that_matches_nothing_or_believes_all_is_named(void **state)
{
	static const struct check_case errors[] = {
		{ TWO "[inbound b.example]\n",
		  "a.ini:14: error: [inbound b.example] has no verp-key, which signs its return "
		  "paths" },
		{ TWO "[inbound b.example]\nverp-key = k\nforward-unmatched = me@B.example\n",
		  "a.ini:16: error: forward-unmatched: the mail of me@b.example is read here too" },
		{ TWO "[inbound b.example]\nverp-key = k\n[mta]\npostmaster = pm@b.example\n",
		  "a.ini:17: error: postmaster: the mail of pm@b.example is read here" },
		{ "[mta]\nhostname = mx.example.com\n"
		  "[listener 127.0.0.1:25]\ndefault-virtual-mta = v\n"
		  "[source 127.0.0.1]\nalways-allow-relaying = yes\n"
		  "[virtual-mta v]\nsmtp-source-host = 192.0.2.1 a.example.com\n"
		  "[virtual-mta u]\nsmtp-source-host = 192.0.2.2 b.example.com\n"
		  "[inbound b.example]\nverp-key = k\nforward-unmatched = me@c.example\n",
		  "a.ini:13: error: forward-unmatched: there are several routes: write "
		  "default-virtual-mta in [mta]" },
		{ TWO "[inbound b..example]\n",
		  "a.ini:14: error: [inbound b..example]: write the domain whose mail is read "
		  "here" },
		{ TWO "[inbound b.example]\nprocess = bounce\nverp-key = k\n",
		  "a.ini:15: error: process: \"bounce\": write one or both of bounces, feedback" },
		{ TWO "[suppression]\non = hard none\n",
		  "a.ini:15: error: on: \"none\": write one or both of hard, complaint; or none "
		  "alone" },
	};
	static const struct check_case warnings[] = {
		{ TWO "[inbound b.example]\nverp-key = k\n", NULL },
		{ TWO "[inbound b.example]\nverp = no\n",
		  "a.ini:14: warning: [inbound b.example]: no section has a verp-key" },
		{ TWO "[inbound b.example]\nverp = no\n[inbound c.example]\nverp-key = k\n", NULL },
		{ TWO "[inbound b.example]\nverp-key = k\ntrust-unsigned = yes\n",
		  "a.ini:16: warning: [inbound b.example] trust-unsigned: whoever" },
		{ TWO "[inbound b.example]\nverp-key = k\nforward-unmatched = me@c.example\n",
		  NULL },
	};

	(void)state;
	RUN(errors, true);
	RUN(warnings, false);
}

static void logins_that_cannot_be_or_are_unsafe_are_named(void **state)
{
	static const struct check_case bad[] = {
		{ OUT "[listener 127.0.0.1:25]\nauthenticate = plain\n[smtp-user u]\n",
		  "a.ini:6: error: [smtp-user u] needs a password" },
		{ OUT
		  "[listener 127.0.0.1:25]\nauthenticate = plain\n[smtp-user u]\npassword = pw\n",
		  "a.ini:7: error: password: this is no crypt(3) hash" },
		{ TWO "[domain x.example]\nauth-user = me\n",
		  "a.ini:15: error: auth-user needs auth-password" },
		{ TWO "[domain x.example]\nauth-password = pw\n",
		  "a.ini:15: error: auth-password needs auth-user" },
		{ TWO "[domain x.example]\nauth-user = u\nauth-password = @none\n",
		  "a.ini:16: error: auth-password: " },
	};
	static const struct check_case odd[] = {
		{ TWO "[domain x.example]\nauth-user = u\nauth-password = p\nsmtp-starttls = no\n",
		  "a.ini:17: warning: auth-user (line 15) wins over smtp-starttls" },
		{ OUT IN USER, "a.ini:7: warning: [smtp-user u]: no listener asks for a login" },
		{ OUT "[listener 127.0.0.1:25]\nauthenticate = plain\n" IN,
		  "a.ini:5: warning: authenticate: there is no [smtp-user]" },
		{ OUT "[listener 0.0.0.0:25]\nauthenticate = plain\n" USER,
		  "a.ini:5: warning: authenticate without TLS is offered to loopback only" },
		{ OUT "[listener 0.0.0.0:25]\nauthenticate = login\nallow-unencrypted-auth = "
		      "yes\n" USER,
		  "a.ini:6: warning: allow-unencrypted-auth: passwords cross the network" },
		{ OUT "[listener 127.0.0.1:25]\nauthenticate = plain login\n" USER, NULL },
		{ OUT "[listener 127.0.0.1:25]\nauthenticate = login\nsource = s\n[source s]\n"
		      "always-allow-relaying = yes\nrequire-auth = yes\n" USER,
		  NULL },
		{ OUT "[listener 127.0.0.1:25]\nauthenticate = plain\n[source s]\n" USER
		      "source = s\n",
		  NULL },
	};

	(void)state;
	RUN(bad, true);
	RUN(odd, false);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(a_configuration_that_can_send_nothing_is_an_error),
		T(a_second_address_of_a_kind_proposes_a_pool),
		T(pools_that_differ_about_one_lane_are_an_error),
		T(who_may_relay_is_looked_at_from_outside),
		T(limits_that_another_makes_unreachable_are_named),
		T(contradictions_between_lines_are_named),
		T(tls_that_cannot_be_is_named),
		T(keys_and_dkim_sign_belong_together),
		T(inbound_that_matches_nothing_or_believes_all_is_named),
		T(logins_that_cannot_be_or_are_unsafe_are_named),
		T(a_missing_include_is_not_followed_by_errors_about_what_it_may_define),
		T(a_pattern_of_a_shipped_provider_is_said),
		T(the_example_and_the_shipped_providers_are_clean),
		T(shipped_limits_are_not_below_those_of_the_old_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
