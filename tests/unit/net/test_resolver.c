/* What the DNS can say of a domain, each fact with its own status. All questions go to a server in
 * this process. */
#include "tests/unit/net/help.h"

#include "core/net/resolver.h"
#include "tests/unit/net/dns_server.h"

static const struct dns_record records[] = {
	{ "ok.example", T_MX, "20 mx2.ok.example", 0 },
	{ "ok.example", T_MX, "10 mxb.ok.example", 0 },
	{ "ok.example", T_MX, "10 MX1.ok.example", 0 },
	{ "mx1.ok.example", T_A, "192.0.2.11", 0 },
	{ "mx1.ok.example", T_A, "198.51.100.2", 0 },
	{ "mx1.ok.example", T_AAAA, "2001:db8::1", 0 },
	{ "mx2.ok.example", T_A, "192.0.2.20", 0 },
	{ "mxb.ok.example", T_AAAA, "2001:db8::b", 0 },
	{ "implicit.example", T_A, "192.0.2.30", 0 },
	{ "implicit.example", T_AAAA, "2001:db8::30", 0 },
	{ "nohost.example", T_CNAME + 1000, "", 0 }, /* exists, and that is all */
	{ "null.example", T_MX, "0 .", 0 },
	{ "mixednull.example", T_MX, "0 .", 0 },
	{ "mixednull.example", T_MX, "10 mx2.ok.example", 0 },
	{ "servfail.example", DO_SERVFAIL, "", 0 },
	{ "refused.example", DO_REFUSED, "", 0 },
	{ "silent.example", DO_DROP, "", 0 },
	{ "garbage.example", DO_GARBAGE, "", 0 },
	{ "cname.example", T_CNAME, "ok.example", 0 },
	{ "toalias.example", T_MX, "10 alias.example", 0 },
	{ "alias.example", T_CNAME, "mx2.ok.example", 0 },
	{ "dangling.example", T_CNAME, "gone.example", 0 },
	{ "local.example", T_A, "127.0.0.1", 0 },
	{ "local.example", T_AAAA, "::1", 0 },
	{ "trap.example", T_MX, "5 local.example", 0 },
	{ "trap.example", T_MX, "10 mx2.ok.example", 0 },
	{ "onlyprivate.example", T_MX, "5 local.example", 0 },
	{ "privimplicit.example", T_A, "10.0.0.1", 0 },
	{ "mixed.example", T_MX, "5 mixedhost.example", 0 },
	{ "mixedhost.example", T_A, "10.0.0.1", 0 },
	{ "mixedhost.example", T_AAAA, "2001:db8::77", 0 },
	{ "literal.example", T_MX, "10 192.0.2.1", 0 },
	{ "literal.example", T_MX, "20 bad_host.example", 0 },
	{ "literal.example", T_MX, "30 do/t.example", 0 },
	{ "literal.example", T_MX, "40 -x.example", 0 },
	{ "half.example", T_MX, "10 servfail.example", 0 },
	{ "half.example", T_MX, "20 mx2.ok.example", 0 },
	{ "deadmx.example", T_MX, "10 servfail.example", 0 },
	{ "noaddr.example", T_MX, "10 gone.example", 0 },
	{ "noaddr.example", T_MX, "20 nohost.example", 0 },
	{ "me.example", T_A, "203.0.113.5", 0 },
	{ "loop.example", T_MX, "10 me.example", 0 },
	{ "loop.example", T_MX, "20 mx2.ok.example", 0 },
	{ "peer.example", T_MX, "10 me.example", 0 },
	{ "peer.example", T_MX, "10 mx1.ok.example", 0 },
	{ "backup.example", T_MX, "10 mx1.ok.example", 0 },
	{ "backup.example", T_MX, "20 me.example", 0 },
	{ "backup.example", T_MX, "20 mxb.ok.example", 0 },
	{ "backup.example", T_MX, "30 mx2.ok.example", 0 },
	{ "doubled.example", T_MX, "30 mx2.ok.example", 0 },
	{ "doubled.example", T_MX, "10 mx2.ok.example", 0 },
	{ "doubled.example", T_MX, "20 mx1.ok.example", 0 },
	{ "brief.example", T_MX, "10 brief.example", 1 },
	{ "brief.example", T_A, "192.0.2.40", 1 },
	{ "long.example", T_MX, "10 long.example", 80000 },
	{ "long.example", T_A, "192.0.2.41", 2000000 },
	{ "middle.example", T_MX, "10 middle.example", 7200 },
	{ "middle.example", T_A, "192.0.2.42", 3600 },
	{ "ok.test", T_MX, "10 mx2.ok.example", 0 },
	{ "ok.invalid", T_MX, "10 mx2.ok.example", 0 },
	{ "ok.localhost", T_MX, "10 mx2.ok.example", 0 },
	{ "under_score.example", T_MX, "10 mx2.ok.example", 0 },
	{ "signed.test", T_MX, "10 mx2.ok.example", 0 },
	{ "shared.example", T_A, "192.0.2.50", 0 },
	{ "k1._domainkey.text.example", T_TXT, "v=DKIM1; p=AAA|BBB||CCC", 0 },
	{ "k2._domainkey.text.example", T_CNAME, "k1._domainkey.text.example", 0 },
	{ "two.text.example", T_TXT, "a", 0 },
	{ "two.text.example", T_TXT, "", 0 },
};

enum { MANY = 60, EXTRA = 3 * MANY };
static struct dns_record all[sizeof records / sizeof *records + EXTRA];
static char made[EXTRA][2][64];

static struct dns_server server;
static struct loop *l;
static struct resolver *r;
static char at[32];

/* ---- answers ---- */

enum { IDS = 1024 };
static struct dns_answer *answers[IDS];
static int nanswers, twice, in_pass, most_in_pass;
static us_t answer_takes;

static void on_answer(void *arg, uint64_t id, struct dns_answer *a)
{
	assert_ptr_equal(arg, &answers);
	assert_true(id < IDS);
	assert_non_null(a);
	twice += answers[id] != NULL;
	dns_answer_free(answers[id]);
	answers[id] = a;
	nanswers++;
	most_in_pass = ++in_pass > most_in_pass ? in_pass : most_in_pass;
	for (us_t until = clock_now_us() + answer_takes; clock_now_us() < until;)
		;
}

static bool has_all(void *n)
{
	in_pass = 0; /* it is asked once a pass */
	return nanswers >= *(int *)n;
}

static void forget_answers(void)
{
	for (int i = 0; i < IDS; i++) {
		dns_answer_free(answers[i]);
		answers[i] = NULL;
	}
	nanswers = twice = 0;
}

static const struct dns_answer *look(enum resolver_kind kind, const char *name, bool allow_private)
{
	int one = 1;

	forget_answers();
	resolver_lookup(r, 7, kind, str_of(name), allow_private);
	assert_int_equal(nanswers, 0); /* never from inside */
	assert_int_equal(resolver_outstanding(r), 1);
	run_until(l, has_all, &one);
	assert_int_equal(resolver_outstanding(r), 0);
	return answers[7];
}

static const struct dns_answer *domain(const char *name)
{
	return look(RESOLVE_DOMAIN, name, false);
}

/* "10 mx1.ok.example 192.0.2.2 2001:db8::1; 20 …" */
static const char *hosts_of(const struct dns_answer *a)
{
	static char text[4096];
	size_t n = 0;

	text[0] = '\0';
	for (int i = 0; i < a->nhosts; i++) {
		const struct dns_host *h = &a->hosts[i];

		n += (size_t)snprintf(text + n, sizeof text - n, "%s%d %s%s", i ? "; " : "",
				      h->preference, h->name, h->failed ? " failed" : "");
		for (int k = 0; k < h->naddresses; k++) {
			char ip[ENDPOINT_SIZE];

			assert_int_equal(endpoint_port(&h->address[k]), 0);
			endpoint_print(&h->address[k], ip);
			n += (size_t)snprintf(text + n, sizeof text - n, " %s", ip);
		}
	}
	return text;
}

static void start(const struct resolver_opts *more)
{
	static const char *servers[] = { at };
	struct resolver_opts o = more ? *more : (struct resolver_opts){ 0 };
	struct errbuf e = { "" };

	snprintf(at, sizeof at, "127.0.0.1@%u", (unsigned)server.port);
	o.servers = servers;
	o.nservers = 1;
	l = loop_new("test");
	r = resolver_new(l, &o, on_answer, &answers, &e);
	if (!r)
		fail_msg("%s", e.text);
}

static int setup(void **state)
{
	(void)state;
	start(NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	resolver_free(r);
	loop_free(l);
	assert_int_equal(twice, 0);
	forget_answers();
	r = NULL;
	return 0;
}

/* ---- facts ---- */

static void hosts_come_by_preference_then_name_with_sorted_addresses(void **state)
{
	const struct dns_answer *a = domain("ok.example");

	(void)state;
	assert_int_equal(a->status, DNS_OK);
	assert_string_equal(hosts_of(a), "10 mx1.ok.example 192.0.2.11 198.51.100.2 2001:db8::1; "
					 "10 mxb.ok.example 2001:db8::b; "
					 "20 mx2.ok.example 192.0.2.20");
	assert_false(a->implicit || a->authentic);
	assert_string_equal(a->text, "");
}

static void a_domain_without_mx_is_its_own_host(void **state)
{
	const struct dns_answer *a = domain("implicit.example");

	(void)state;
	assert_int_equal(a->status, DNS_OK);
	assert_true(a->implicit);
	assert_string_equal(hosts_of(a), "0 implicit.example 192.0.2.30 2001:db8::30");
}

struct expectation {
	const char *name;
	enum dns_status status;
	const char *text;
};

static void each_failure_has_its_status_and_words(void **state)
{
	static const struct expectation x[] = {
		{ "gone.example", DNS_NXDOMAIN, "gone.example does not exist (NXDOMAIN)" },
		{ "dangling.example", DNS_NXDOMAIN, "dangling.example does not exist (NXDOMAIN)" },
		{ "nohost.example", DNS_NO_HOST, "nohost.example has neither MX nor address" },
		{ "null.example", DNS_NULL_MX, "null.example takes no mail (null MX)" },
		{ "servfail.example", DNS_TEMPFAIL, "SERVFAIL for servfail.example MX" },
		/* unbound answers SERVFAIL itself when no server gives a usable answer */
		{ "refused.example", DNS_TEMPFAIL, " for refused.example MX" },
		{ "garbage.example", DNS_TEMPFAIL, " for garbage.example MX" },
		{ "literal.example", DNS_NO_HOST, "no MX of literal.example is a host name" },
		{ "deadmx.example", DNS_TEMPFAIL, "SERVFAIL for servfail.example A" },
		{ "noaddr.example", DNS_NO_HOST, "no MX host of noaddr.example has an address" },
		{ "onlyprivate.example", DNS_NO_HOST,
		  "no MX host of onlyprivate.example has a public address" },
		{ "privimplicit.example", DNS_NO_HOST,
		  "no host of privimplicit.example has a public address" },
		{ "no domain", DNS_NXDOMAIN, "no domain is no domain name" },
		{ "", DNS_NXDOMAIN, " is no domain name" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
		const struct dns_answer *a = domain(x[i].name);

		if (a->status != x[i].status || !strstr(a->text, x[i].text))
			fail_msg("%s: %d \"%s\"", x[i].name, (int)a->status, a->text);
		assert_int_equal(a->nhosts, 0);
		assert_true(a->expires >= loop_now(l) + 50 * US_PER_S);
	}
}

static void good_answers(const char *const x[][2], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct dns_answer *a = domain(x[i][0]);

		if (a->status != DNS_OK || strcmp(hosts_of(a), x[i][1]) != 0)
			fail_msg("%s: %d %s %s", x[i][0], (int)a->status, hosts_of(a), a->text);
	}
}

static void odd_but_usable_answers_are_used(void **state)
{
	static const char *const x[][2] = {
		{ "mixednull.example", "10 mx2.ok.example 192.0.2.20" },
		{ "toalias.example", "10 alias.example 192.0.2.20" },
		{ "doubled.example", "10 mx2.ok.example 192.0.2.20; "
				     "20 mx1.ok.example 192.0.2.11 198.51.100.2 2001:db8::1" },
		{ "half.example", "10 servfail.example failed; 20 mx2.ok.example 192.0.2.20" },
		{ "under_score.example", "10 mx2.ok.example 192.0.2.20" },
		/* names that resolvers like to keep to themselves */
		{ "ok.test", "10 mx2.ok.example 192.0.2.20" },
		{ "ok.invalid", "10 mx2.ok.example 192.0.2.20" },
		{ "ok.localhost", "10 mx2.ok.example 192.0.2.20" },
	};

	(void)state;
	good_answers(x, sizeof x / sizeof *x);
	assert_string_equal(hosts_of(domain("cname.example")), hosts_of(domain("ok.example")));
}

static void private_addresses_count_only_where_they_may(void **state)
{
	static const char *const x[][2] = {
		{ "trap.example", "10 mx2.ok.example 192.0.2.20" },
		{ "mixed.example", "5 mixedhost.example 2001:db8::77" },
	};
	const struct dns_answer *a;

	(void)state;
	good_answers(x, 2);
	a = look(RESOLVE_DOMAIN, "trap.example", true);
	assert_string_equal(hosts_of(a),
			    "5 local.example 127.0.0.1 ::1; 10 mx2.ok.example 192.0.2.20");
	a = look(RESOLVE_DOMAIN, "privimplicit.example", true);
	assert_string_equal(hosts_of(a), "0 privimplicit.example 10.0.0.1");
}

static void a_host_is_looked_up_without_mx(void **state)
{
	const struct dns_answer *a = look(RESOLVE_HOST, "mx1.ok.example", false);

	(void)state;
	assert_int_equal(a->status, DNS_OK);
	assert_false(a->implicit);
	assert_string_equal(hosts_of(a), "0 mx1.ok.example 192.0.2.11 198.51.100.2 2001:db8::1");
	assert_int_equal(look(RESOLVE_HOST, "gone.example", false)->status, DNS_NXDOMAIN);
	assert_int_equal(look(RESOLVE_HOST, "null.example", false)->status, DNS_NO_HOST);
	assert_int_equal(look(RESOLVE_HOST, "servfail.example", false)->status, DNS_TEMPFAIL);
	assert_int_equal(look(RESOLVE_HOST, "local.example", false)->status, DNS_NO_HOST);
	assert_int_equal(look(RESOLVE_HOST, "local.example", true)->status, DNS_OK);
}

static void a_text_comes_with_its_strings_joined(void **state)
{
	static const struct {
		const char *name;
		enum dns_status status;
		const char *text;
	} none[] = {
		{ "ok.example", DNS_NO_HOST, "ok.example has no TXT record" },
		{ "k9.gone.example", DNS_NXDOMAIN, "k9.gone.example does not exist (NXDOMAIN)" },
		{ "servfail.example", DNS_TEMPFAIL, "SERVFAIL for servfail.example TXT" },
	};
	const struct dns_answer *a = look(RESOLVE_TEXT, "k2._domainkey.text.example", false);
	struct dns_answer *copy = dns_answer_copy(a);

	(void)state;
	assert_int_equal(copy->status, DNS_OK);
	assert_int_equal(copy->ntexts, 1);
	assert_true(str_eqz(copy->texts[0], "v=DKIM1; p=AAABBBCCC"));
	dns_answer_free(copy);
	assert_int_equal(look(RESOLVE_TEXT, "two.text.example", false)->ntexts, 2);
	for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
		a = look(RESOLVE_TEXT, none[i].name, false);
		assert_int_equal(a->status, none[i].status);
		assert_int_equal(a->ntexts, 0);
		assert_string_equal(a->text, none[i].text);
	}
}

static void ttls_are_bounded(void **state)
{
	static const struct {
		const char *name;
		us_t least, most;
	} x[] = {
		{ "brief.example", US_PER_MIN, US_PER_MIN },
		{ "middle.example", US_PER_HOUR, US_PER_HOUR },
		{ "long.example", 80000 * US_PER_S, US_PER_DAY },
		{ "gone.example", 300 * US_PER_S, 300 * US_PER_S },
		{ "half.example", 5 * US_PER_MIN, 5 * US_PER_MIN }, /* a host is missing for now */
	};

	(void)state;
	for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
		const struct dns_answer *a = domain(x[i].name);
		us_t left = a->expires - clock_now_us();

		if (left < x[i].least - 10 * US_PER_S || left > x[i].most)
			fail_msg("%s: %lld s", x[i].name, (long long)(left / US_PER_S));
	}
}

static void more_hosts_and_addresses_than_fit_are_cut_to_the_best(void **state)
{
	const struct dns_answer *a = domain("many.example");

	(void)state;
	assert_int_equal(a->status, DNS_OK);
	assert_int_equal(a->nhosts, 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(a->hosts[i].preference, i + 1);
	a = look(RESOLVE_HOST, "wide.example", false);
	assert_int_equal(a->hosts[0].naddresses, 8);
	assert_string_equal(hosts_of(a),
			    "0 wide.example 198.51.100.1 198.51.100.2 198.51.100.3 198.51.100.4 "
			    "198.51.100.5 198.51.100.6 198.51.100.7 198.51.100.8");
}

static void mail_does_not_go_round_in_a_loop(void **state)
{
	struct endpoint own[2] = { ep("198.51.100.77"), ep("203.0.113.5:25") };
	struct resolver_opts o = { .own = own, .nown = 2 };
	const struct dns_answer *a;

	(void)state;
	teardown(state);
	start(&o);
	a = domain("loop.example");
	assert_int_equal(a->status, DNS_LOOP);
	assert_string_equal(a->text, "the best MX of loop.example, me.example, is this server");
	assert_int_equal(domain("peer.example")->status, DNS_LOOP);
	/* as a backup MX: only what is better than ourselves */
	assert_string_equal(hosts_of(domain("backup.example")),
			    "10 mx1.ok.example 192.0.2.11 198.51.100.2 2001:db8::1");
	assert_int_equal(look(RESOLVE_HOST, "me.example", false)->status, DNS_OK);
}

static void a_listener_on_any_address_is_every_address(void **state)
{
	struct endpoint own = ep("0.0.0.0:25");
	struct resolver_opts o = { .own = &own, .nown = 1, .allow_private = true };

	(void)state;
	teardown(state);
	start(&o);
	assert_int_equal(domain("onlyprivate.example")->status, DNS_LOOP);
	assert_int_equal(domain("ok.example")->status, DNS_OK);
}

static void silence_is_a_time_out(void **state)
{
	struct resolver_opts o = { .timeout = 200 * US_PER_MS };
	struct resolver_stats st;
	const struct dns_answer *a;

	(void)state;
	teardown(state);
	start(&o);
	a = domain("silent.example");
	assert_int_equal(a->status, DNS_TEMPFAIL);
	assert_string_equal(a->text, "time-out for silent.example MX");
	resolver_stats(r, &st);
	assert_int_equal(st.timeouts, 1);
}

static void a_bogus_answer_is_deferred(void **state)
{
	char path[] = "/tmp/stoker-anchor-XXXXXX";
	static const char anchor[] =
	    "signed.test. 3600 IN DS 12345 13 2 "
	    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n";
	struct resolver_opts o = { .trust_anchors = path };
	int fd = mkstemp(path);
	const struct dns_answer *a;

	(void)state;
	assert_int_equal(write(fd, anchor, sizeof anchor - 1), sizeof anchor - 1);
	close(fd);
	teardown(state);
	start(&o);
	a = domain("signed.test");
	assert_int_equal(a->status, DNS_TEMPFAIL);
	assert_string_equal(a->text, "bogus (DNSSEC) for signed.test MX");
	assert_int_equal(domain("ok.example")->status, DNS_OK);
	unlink(path);
}

/* ---- many at once ---- */

static void equal_questions_are_asked_once(void **state)
{
	int n = MANY;
	struct resolver_stats st;

	(void)state;
	__atomic_store_n(&server.watched, 0, __ATOMIC_SEQ_CST);
	for (int i = 0; i < n; i++) {
		char name[64];

		snprintf(name, sizeof name, "custom%d.example", i);
		resolver_lookup(r, (uint64_t)i, RESOLVE_DOMAIN, str_of(name), false);
	}
	assert_int_equal(resolver_outstanding(r), n);
	run_until(l, has_all, &n);
	for (int i = 0; i < n; i++)
		assert_string_equal(hosts_of(answers[i]), "10 shared.example 192.0.2.50");
	resolver_stats(r, &st);
	assert_int_equal(st.lookups, n);
	assert_int_equal(__atomic_load_n(&server.watched, __ATOMIC_SEQ_CST), 1);
	assert_true(st.questions + st.shared == 3u * (unsigned)n);
	/* the same domain, all at once: one question each */
	forget_answers();
	for (int i = 0; i < n; i++)
		resolver_lookup(r, (uint64_t)i, RESOLVE_DOMAIN, STR_LIT("ok.example"), false);
	run_until(l, has_all, &n);
	for (int i = 0; i < n; i++)
		assert_int_equal(answers[i]->nhosts, 3);
}

/* More questions than libunbound is given at once. */
static void a_thousand_look_ups_all_come_back(void **state)
{
	int n = 1000;

	(void)state;
	for (int i = 0; i < n; i++) {
		char name[64];

		snprintf(name, sizeof name, "none%d.example", i);
		resolver_lookup(r, (uint64_t)i, RESOLVE_HOST, str_of(name), false);
	}
	run_until(l, has_all, &n);
	for (int i = 0; i < n; i++)
		assert_int_equal(answers[i]->status, DNS_NXDOMAIN);
	assert_int_equal(resolver_outstanding(r), 0);
}

static void a_resolver_may_end_with_questions_open(void **state)
{
	static const char *const names[] = { "ok.example", "silent.example", "gone.example",
					     "no domain" };

	(void)state;
	for (int i = 0; i < 100; i++)
		resolver_lookup(r, (uint64_t)i, RESOLVE_DOMAIN, str_of(names[i % 4]), false);
	/* teardown frees it; nothing may leak or call back */
}

/* ---- setting up ---- */

static void expect_refusal(const struct resolver_opts *o, const char *words)
{
	struct errbuf e = { "" };

	assert_null(resolver_new(l, o, on_answer, &answers, &e));
	if (!strstr(e.text, words))
		fail_msg("\"%s\" does not say \"%s\"", e.text, words);
}

static void bad_settings_are_refused_in_words(void **state)
{
	static const char *const bad[] = { "localhost",	  "192.0.2.1:53",    "192.0.2.1@",
					   "192.0.2.1@x", "192.0.2.1@99999", "" };
	char path[] = "/tmp/stoker-resolv-XXXXXX";
	int fd = mkstemp(path);
	struct resolver_opts o = { .nservers = 1 };

	(void)state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		o.servers = &bad[i];
		expect_refusal(&o, "write an IP address, or IP@PORT");
	}
	o = (struct resolver_opts){ .resolv_conf = "/no/such/file" };
	expect_refusal(&o, "can't read /no/such/file");
	/* never the root servers for want of a line */
	assert_int_equal(write(fd, "search example\n# nameserver 127.0.0.1\n", 38), 38);
	o.resolv_conf = path;
	expect_refusal(&o, "names no name server");
	close(fd);
	unlink(path);
}

/* 60 domains, 121 questions: about 12 ms of work. */
static void answers_leave_the_loop_its_turns(void **state)
{
	char name[64];
	int n = MANY;

	(void)state;
	most_in_pass = 0;
	answer_takes = 200;
	in_pass = 0;
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof name, "custom%d.example", i);
		resolver_lookup(r, (uint64_t)i, RESOLVE_DOMAIN, str_of(name), false);
	}
	run_until(l, has_all, &n);
	answer_takes = 0;
	assert_in_range(most_in_pass, 1, 8);
}

static int setup_group(void **state)
{
	size_t n = sizeof records / sizeof *records;

	(void)state;
	memcpy(all, records, sizeof records);
	for (int i = 0; i < MANY; i++) {
		snprintf(made[i][0], sizeof made[i][0], "custom%d.example", i);
		all[n++] = (struct dns_record){ made[i][0], T_MX, "10 shared.example", 0 };
	}
	for (int i = 0; i < 40; i++) { /* worst first */
		snprintf(made[MANY + i][1], sizeof made[0][1], "%d m%d.example", 40 - i, i);
		all[n++] = (struct dns_record){ "many.example", T_MX, made[MANY + i][1], 0 };
	}
	all[n++] = (struct dns_record){ "m39.example", T_A, "192.0.2.60", 0 };
	for (int i = 0; i < 30; i++) {
		snprintf(made[2 * MANY + i][1], sizeof made[0][1], "198.51.100.%d", 30 - i);
		all[n++] = (struct dns_record){ "wide.example", T_A, made[2 * MANY + i][1], 0 };
	}
	dns_start(&server, all, n, "shared.example");
	return 0;
}

static int teardown_group(void **state)
{
	(void)state;
	dns_stop(&server);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		TEST(hosts_come_by_preference_then_name_with_sorted_addresses),
		TEST(a_domain_without_mx_is_its_own_host),
		TEST(each_failure_has_its_status_and_words),
		TEST(odd_but_usable_answers_are_used),
		TEST(private_addresses_count_only_where_they_may),
		TEST(a_host_is_looked_up_without_mx),
		TEST(a_text_comes_with_its_strings_joined),
		TEST(ttls_are_bounded),
		TEST(more_hosts_and_addresses_than_fit_are_cut_to_the_best),
		TEST(mail_does_not_go_round_in_a_loop),
		TEST(a_listener_on_any_address_is_every_address),
		TEST(silence_is_a_time_out),
		TEST(a_bogus_answer_is_deferred),
		TEST(equal_questions_are_asked_once),
		TEST(a_thousand_look_ups_all_come_back),
		TEST(answers_leave_the_loop_its_turns),
		TEST(a_resolver_may_end_with_questions_open),
		TEST(bad_settings_are_refused_in_words),
	};

	clock_init();
	return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
