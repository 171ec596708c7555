/* Which settings hold, and what a limit counts (CONFIG.md): each row of its table, and each step of
 * its order. */
#include "tests/unit/conf/fixture.h"

#include "core/base/hash.h"

static struct world w;
static struct settings_cache *sc;

static int open_world(void **state)
{
	(void)state;
	world_open(&w);
	sc = NULL;
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	settings_cache_free(sc);
	world_close(&w);
	return 0;
}

/* Virtual MTAs v1, v2 in pool p; v2 alone in q; provider g with gmail.com. */
#define NET                                                                                        \
	"[mta]\nhostname = mx.example.com\ndefault-virtual-mta = p\n"                              \
	"[listener 127.0.0.1:2525]\n[source 127.0.0.1]\n"                                          \
	"always-allow-relaying = yes\n"                                                            \
	"[virtual-mta v1]\nsmtp-source-host = 192.0.2.1 m1.example.com\n"                          \
	"[virtual-mta v2]\nsmtp-source-host = 192.0.2.2 m2.example.com\n"                          \
	"[virtual-mta-pool p]\nmembers = v1, v2\n"                                                 \
	"[virtual-mta-pool q]\nmembers = v2\n"                                                     \
	"[provider g]\nmx = *.google.example\ndomains = gmail.com, *.g.example\n"

static void load(const char *more)
{
	char text[8192];

	settings_cache_free(sc);
	sc = NULL;
	assert_true(snprintf(text, sizeof text, NET "%s", more) < (int)sizeof text);
	world_read(&w, text);
	if (!w.c)
		print_error("%s", buf_z(&w.text));
	assert_non_null(w.c);
	sc = settings_cache_new(w.c);
	assert_non_null(sc);
}

static const struct settings *get(const char *domain, const char *pool, const char *vmta)
{
	struct str d = str_of(domain);

	return settings_get(sc, d, conf_provider_for(w.c, d, NULL, 0),
			    pool ? conf_pool_find(w.c, str_of(pool)) : CONF_NONE,
			    vmta ? conf_vmta_find(w.c, str_of(vmta)) : CONF_NONE);
}

/* queue-priority stands for every directive that is no limit. Each section sets its own number;
 * removing the winner must let the next one win. */
static void the_first_that_sets_a_value_wins_in_the_order_of_the_manual(void **state)
{
	static const struct {
		const char *section;
		int value;
	} order[] = {
		/* narrowest first, for a.b.g.example by pool p at v1 */
		{ "[domain a.b.g.example via v1]", 1 },
		{ "[domain *.b.g.example via v1]", 2 },
		{ "[domain *.g.example via v1]", 3 },
		{ "[domain * via v1]", 4 },
		{ "[domain a.b.g.example via p]", 5 },
		{ "[domain *.b.g.example via p]", 6 },
		{ "[domain *.g.example via p]", 7 },
		{ "[virtual-mta-pool p]", 8 },
		{ "[domain a.b.g.example]", 9 },
		{ "[domain *.b.g.example]", 10 },
		{ "[domain *.g.example]", 11 },
		{ "[provider g]", 12 },
		{ "[domain *]", 13 },
	};
	enum { N = sizeof order / sizeof order[0] };
	char text[4096];

	(void)state;
	for (int first = 0; first <= N; first++) {
		size_t n = 0;

		text[0] = '\0';
		/* written the other way round: the file's order means nothing */
		for (int i = N - 1; i >= first; i--)
			n +=
			    (size_t)snprintf(text + n, sizeof text - n, "%s\nqueue-priority = %d\n",
					     order[i].section, order[i].value);
		load(text);
		assert_int_equal(get("a.b.g.example", "p", "v1")->queue_priority,
				 first < N ? order[first].value : 50);
		if (first < N)
			assert_string_equal(
			    get("a.b.g.example", "p", "v1")->origin[SET_QUEUE_PRIORITY].section,
			    order[first].section);
	}
}

static void a_pools_own_section_is_domain_star_via_the_pool(void **state)
{
	(void)state;
	load("[domain * via p]\nqueue-priority = 8\n[virtual-mta-pool p]\nuse-rs = no\n");
	assert_int_equal(get("x.example", "p", NULL)->queue_priority, 8);
	assert_false(get("x.example", "p", NULL)->use_rs);
	assert_int_equal(get("x.example", "q", NULL)->queue_priority, 50);
	world_read(&w, NET "[domain * via p]\nqueue-priority = 8\n"
			   "[virtual-mta-pool p]\nqueue-priority = 8\n");
	expect_text(&w, "queue-priority is given twice");
}

static void a_wildcard_matches_below_its_name_only(void **state)
{
	(void)state;
	load("[domain *.example.com]\nqueue-priority = 1\n[domain *.b.example.com]\nuse-rs = no\n");
	assert_int_equal(get("example.com", NULL, NULL)->queue_priority, 50);
	assert_int_equal(get("a.example.com", NULL, NULL)->queue_priority, 1);
	assert_int_equal(get("anexample.com", NULL, NULL)->queue_priority, 50);
	/* the longest that sets it: the shorter still gives what the longer leaves out */
	assert_int_equal(get("a.b.example.com", NULL, NULL)->queue_priority, 1);
	assert_false(get("a.b.example.com", NULL, NULL)->use_rs);
	assert_true(get("b.example.com", NULL, NULL)->use_rs);
}

static void names_are_compared_in_normal_form(void **state)
{
	(void)state;
	load("[domain GMail.COM.]\nqueue-priority = 1\n[domain b\xc3\xbc"
	     "cher.example VIA V1]\nqueue-priority = 2\n");
	assert_int_equal(get("gmail.com", NULL, NULL)->queue_priority, 1);
	assert_int_equal(get("xn--bcher-kva.example", NULL, "v1")->queue_priority, 2);
}

static void an_empty_value_stops_inheritance_and_gives_the_default(void **state)
{
	(void)state;
	load("[domain *]\nqueue-priority = 1\nroute = [192.0.2.9]:25\nmax-smtp-out = 5\n"
	     "[domain x.example]\nqueue-priority =\nroute =\nmax-smtp-out =\n");
	assert_int_equal(get("y.example", NULL, NULL)->queue_priority, 1);
	assert_int_equal(get("y.example", NULL, NULL)->nroute, 1);
	assert_int_equal(get("x.example", NULL, NULL)->queue_priority, 50);
	assert_int_equal(get("x.example", NULL, NULL)->nroute, 0);
	/* another row's limit is not what x.example would inherit: it counts beside it */
	assert_int_equal(get("x.example", NULL, NULL)->nlimits, 3); /* and the backoff- twins */
	assert_int_equal(get("x.example", NULL, NULL)->limits[0].scope, SCOPE_LANE);
}

/* ---- limits ---- */

static const char scope_letters[] = "LDP"; /* lane, domain, pool; d: pool, by domain */

/* "L20 D5": kind by kind, in the order of settings->limits, with the origin's section number left
 * out. */
static void limits_text(const struct settings *s, enum limit_kind kind, char out[64])
{
	size_t n = 0;

	out[0] = '\0';
	for (int i = 0; i < s->nlimits; i++) {
		const struct limit *l = &s->limits[i];

		if (l->kind != kind)
			continue;
		n += (size_t)snprintf(
		    out + n, 64 - n, "%s%c%lld", n ? " " : "",
		    l->by_domain && l->scope == SCOPE_POOL ? 'd' : scope_letters[l->scope],
		    kind == LIMIT_CONNECTIONS ? l->n : (long long)l->rate.n);
	}
}

struct limit_case {
	const char *text; /* sections; N stands for the directive */
	const char *domain, *pool, *vmta;
	const char *expect; /* with a default of none; connections add the default themselves */
	bool outer;	    /* a row outside of `limits` sets it: no default then */
};

static const struct limit_case limit_cases[] = {
	/* no row sets it: the default counts at the lane */
	{ "", "x.example", "p", "v1", "", false },
	/* row 1: [domain *], [provider P] */
	{ "[domain *]\nN = 3\n", "x.example", "p", "v1", "L3", false },
	{ "[provider g]\nN = 4\n", "gmail.com", "p", "v1", "L4", false },
	{ "[provider g]\nN = 4\n", "x.example", "p", "v1", "", false },
	{ "[provider g]\nN = 4\n[domain *]\nN = 3\n", "gmail.com", NULL, NULL, "L4", false },
	{ "[domain * via v1]\nN = 2\n[provider g]\nN = 4\n", "gmail.com", "p", "v1", "L2", false },
	{ "[domain * via v1]\nN = 2\n[provider g]\nN = 4\n", "gmail.com", "p", "v2", "L4", false },
	/* row 2: [domain D], [domain D via VMTA], inside the lane's own limit */
	{ "[domain gmail.com]\nN = 5\n", "gmail.com", "p", "v1", "D5", false },
	{ "[domain gmail.com]\nN = 5\n", "www.gmail.com", "p", "v1", "", false },
	{ "[domain *.g.example]\nN = 5\n", "a.g.example", "p", "v1", "D5", false },
	{ "[domain gmail.com]\nN = 50\n", "gmail.com", "p", "v1", "D50", false },
	{ "[domain gmail.com]\nN = 5\n[domain *]\nN = 9\n", "gmail.com", "p", "v1", "L9 D5",
	  false },
	{ "[domain gmail.com]\nN = 5\n[provider g]\nN = 7\n[domain *]\nN = 9\n", "gmail.com", "p",
	  "v1", "L7 D5", false },
	{ "[domain gmail.com]\nN = 5\n[domain gmail.com via v1]\nN = 6\n", "gmail.com", "p", "v1",
	  "D6", false },
	{ "[domain gmail.com]\nN = 5\n[domain gmail.com via v1]\nN = 6\n", "gmail.com", "p", "v2",
	  "D5", false },
	{ "[domain gmail.com]\nN = 5\n[domain *.com via v1]\nN = 6\n", "gmail.com", "p", "v1", "D6",
	  false },
	{ "[domain a.g.example]\nN = 5\n[domain *.g.example]\nN = 6\n[domain *.example]\nN = 7\n",
	  "a.g.example", NULL, NULL, "D5", false },
	{ "[domain *.g.example]\nN = 6\n[domain *.example]\nN = 7\n", "a.g.example", NULL, NULL,
	  "D6", false },
	/* row 3: via POOL, a pool's own */
	{ "[virtual-mta-pool p]\nN = 5\n", "gmail.com", "p", "v1", "P5", false },
	{ "[virtual-mta-pool p]\nN = 5\n", "gmail.com", "q", "v2", "", false },
	{ "[domain * via p]\nN = 5\n", "gmail.com", "p", "v1", "P5", false },
	{ "[domain gmail.com via p]\nN = 6\n", "gmail.com", "p", "v1", "d6", false },
	{ "[domain gmail.com via p]\nN = 6\n[virtual-mta-pool p]\nN = 5\n", "gmail.com", "p", "v1",
	  "d6", false },
	{ "[domain *.com via p]\nN = 6\n[virtual-mta-pool p]\nN = 5\n", "gmail.com", "p", "v1",
	  "d6", false },
	/* rows stack: all must have room */
	{ "[domain *]\nN = 9\n[domain gmail.com]\nN = 8\n[virtual-mta-pool p]\nN = 7\n",
	  "gmail.com", "p", "v1", "L9 D8 P7", false },
	{ "[domain * via v1]\nN = 9\n[domain gmail.com via v1]\nN = 8\n[domain gmail.com via p]\n"
	  "N = 7\n",
	  "gmail.com", "p", "v1", "L9 D8 d7", false },
	/* an empty value ends the search in its row, and is no limit */
	{ "[domain gmail.com via v1]\nN =\n[domain gmail.com]\nN = 5\n", "gmail.com", "p", "v1", "",
	  false },
	{ "[domain gmail.com via v1]\nN =\n[domain gmail.com]\nN = 5\n[domain *]\nN = 9\n",
	  "gmail.com", "p", "v1", "L9", false },
	{ "[provider g]\nN =\n[domain *]\nN = 9\n", "gmail.com", "p", "v1", "", false },
	/* rows 4 and 5 set it as well, outside of `limits` */
	{ "[provider g]\nprovider-N = 9\n", "gmail.com", "p", "v1", "", true },
	{ "[provider g]\nprovider-N = 9\n", "x.example", "p", "v1", "", false },
	{ "[virtual-mta v1]\nN = 9\n", "x.example", "p", "v1", "", true },
	{ "[virtual-mta v1]\nN = 9\n", "x.example", "p", "v2", "", false },
	{ "[virtual-mta v1]\nN = 9\n[domain *]\nN = 3\n", "x.example", "p", "v1", "L3", true },
};

/* The case's text with the directive's name and, for rates, a unit. */
static void substitute(const char *text, const char *name, const char *unit, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (; *text; text++) {
		bool digit = *text >= '0' && *text <= '9';

		if (*text == 'N')
			n += (size_t)snprintf(out + n, cap - n, "%s", name);
		else
			n += (size_t)snprintf(out + n, cap - n, "%c", *text);
		if (digit && text[1] == '\n')
			n += (size_t)snprintf(out + n, cap - n, "%s", unit);
	}
}

static void check_limit_case(const struct limit_case *k, const char *name, const char *unit,
			     enum limit_kind kind)
{
	char text[4096], got[64], expect[64];
	bool has_default = kind == LIMIT_CONNECTIONS && !k->expect[0] && !k->outer;

	substitute(k->text, name, unit, text, sizeof text);
	load(text);
	limits_text(get(k->domain, k->pool, k->vmta), kind, got);
	snprintf(expect, sizeof expect, "%s", has_default ? "L20" : k->expect);
	if (strcmp(got, expect))
		print_error("%s\nfor %s: expected \"%s\", got \"%s\"\n", text, k->domain, expect,
			    got);
	assert_string_equal(got, expect);
}

static void limits_count_where_the_table_says(void **state)
{
	static const struct {
		const char *name, *unit;
		enum limit_kind kind;
	} kinds[] = {
		{ "max-smtp-out", "", LIMIT_CONNECTIONS },
		{ "max-msg-rate", "/s", LIMIT_MSG_RATE },
		{ "max-connect-rate", "/min", LIMIT_CONNECT_RATE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof limit_cases / sizeof limit_cases[0]; i++)
		for (int k = 0; k < 3; k++) {
			bool no_such = k == 2 && limit_cases[i].outer;

			if (!no_such && !(k == 2 && strstr(limit_cases[i].text, "provider-N")) &&
			    !(k == 2 && strstr(limit_cases[i].text, "[virtual-mta v1]\nN")))
				check_limit_case(&limit_cases[i], kinds[k].name, kinds[k].unit,
						 kinds[k].kind);
		}
}

static void unlimited_ends_the_search_in_its_row(void **state)
{
	char got[64];

	(void)state;
	load("[domain *]\nmax-msg-rate = 9/s\n[provider g]\nmax-msg-rate = unlimited\n");
	limits_text(get("gmail.com", "p", "v1"), LIMIT_MSG_RATE, got);
	assert_string_equal(got, "");
	limits_text(get("x.example", "p", "v1"), LIMIT_MSG_RATE, got);
	assert_string_equal(got, "L9");
}

static void a_limit_names_its_place_and_its_pool(void **state)
{
	const struct settings *s;

	(void)state;
	load("[virtual-mta-pool p]\nmax-smtp-out = 5\n");
	s = get("gmail.com", "p", "v1");
	assert_int_equal(s->nlimits, 3);
	assert_int_equal(s->limits[0].pool, conf_pool_find(w.c, STR_LIT("p")));
	assert_string_equal(s->limits[0].origin.section, "[virtual-mta-pool p]");
	assert_string_equal(s->limits[0].origin.file, "a.ini");
	assert_int_equal(s->limits[0].origin.line, s->origin[SET_MAX_SMTP_OUT].line);
}

static void a_shipped_section_lies_below_yours(void **state)
{
	struct conf_read_opts o = { .shipped_dir = "shipped" };
	const struct settings *s;

	(void)state;
	assert_int_equal(mkdir("shipped", 0700), 0);
	world_file("shipped/providers.ini",
		   "[provider g]\nmx = *.shipped.example\n"
		   "domains = s.example\nmax-smtp-out = 4\nqueue-priority = 7\n"
		   "[provider h]\nmx = *.h.example\n");
	world_file("a.ini", NET "[provider g]\nmax-smtp-out = 6\n");
	world_read_with(&w, "a.ini", &o);
	expect_clean(&w);
	sc = settings_cache_new(w.c);
	assert_int_equal(w.c->nproviders, 2);
	assert_string_equal(w.c->providers[0].mx[0], "*.google.example");
	assert_int_equal(w.c->providers[0].nmx, 1);
	s = get("gmail.com", "p", "v1");
	assert_int_equal(s->limits[0].n, 6);
	assert_int_equal(s->queue_priority, 7);
	assert_int_equal(conf_provider_for(w.c, STR_LIT("s.example"), NULL, 0), CONF_NONE);

	settings_cache_free(sc);
	sc = NULL;
	world_file("a.ini", "[mta]\nshipped = no\n" NET);
	world_read_with(&w, "a.ini", &o);
	expect_clean(&w);
	assert_int_equal(w.c->nproviders, 1);
	assert_int_equal(w.c->nfiles, 1);
}

/* ---- the cache ---- */

static void domains_without_sections_share_one_object(void **state)
{
	const struct settings *one;
	char name[64];

	(void)state;
	load("[domain *.wild.example]\nuse-rs = no\n[domain own.example]\nuse-rs = no\n");
	one = get("d0.example", "p", "v1");
	for (int i = 1; i < 1000; i++) {
		snprintf(name, sizeof name, "d%d.sub%d.example", i, i % 7);
		assert_ptr_equal(get(name, "p", "v1"), one);
	}
	assert_ptr_not_equal(get("own.example", "p", "v1"), one);
	assert_ptr_equal(get("a.wild.example", "p", "v1"), get("b.wild.example", "p", "v1"));
	assert_ptr_not_equal(get("d0.example", "q", "v2"), one);
}

static void the_cache_outlives_the_reading_and_a_new_hash_key(void **state)
{
	const struct settings *one;

	(void)state;
	load("[domain gmail.com]\nqueue-priority = 9\n");
	settings_cache_free(sc);
	hash_seed(1, 2); /* the server seeds after it has read its configuration */
	sc = settings_cache_new(w.c);
	assert_int_equal(conf_vmta_find(w.c, STR_LIT("V2")), 1);
	one = get("gmail.com", "p", "v2");
	conf_unref(w.c); /* the cache holds a reference of its own */
	assert_int_equal(one->queue_priority, 9);
	conf_ref(w.c);
}

static void the_session_key_tells_what_a_connection_depends_on(void **state)
{
	static const struct {
		const char *text;
		bool differs;
	} cases[] = {
		{ "smtp-pipelining = no", true },   { "use-rs = no", true },
		{ "ip-versions = 4", true },	    { "route = [192.0.2.7]:25", true },
		{ "connect-timeout = 7s", true },   { "smtp-greeting-timeout = 7s", true },
		{ "command-timeout = 7s", true },   { "data-timeout = 7s", true },
		{ "data-done-timeout = 7s", true }, { "idle-timeout = 7s", true },
		{ "allow-private-mx = yes", true }, { "max-msg-per-connection = 7", true },
		{ "queue-priority = 7", false },    { "bounce-after = 7d", false },
		{ "max-smtp-out = 7", false },	    { "send-dsn = no", false },
	};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, "[domain x.example]\n%s\n", cases[i].text);
		load(text);
		assert_int_equal(get("x.example", "p", "v1")->session_key !=
				     get("y.example", "p", "v1")->session_key,
				 cases[i].differs);
	}
}

/* ---- print ---- */

static void print_names_every_value_its_origin_and_what_limits_count(void **state)
{
	struct buf b;

	(void)state;
	load("[domain *]\nmax-smtp-out = 9\n[domain gmail.com via p]\nmax-msg-rate = 1/6m\n"
	     "[provider g]\nprovider-max-msg-rate = 40/s\n[virtual-mta v1]\nmax-smtp-out = 8\n"
	     "warmup = k\n[warmup k]\n");
	buf_init(&b);
	settings_print(w.c, get("gmail.com", "p", "v1"), &b);
	static const char *const lines[] = {
		"max-smtp-out = 9   ; a.ini:19 [domain *], counts each lane\n",
		"max-smtp-out = 8   ; a.ini:25 [virtual-mta v1], counts v1 over all receivers\n",
		"total-max-smtp-out = 4000   ; default, counts everything together\n",
		"max-msg-rate = 1/6m   ; a.ini:21 [domain gmail.com via p], counts each domain's "
		"own mail by the pool p, at each virtual MTA\n",
		"provider-max-msg-rate = 40/s   ; a.ini:23 [provider g], counts all lanes of g "
		"together\n",
		"warmup = k   ; a.ini:26 [virtual-mta v1], counts each provider's at this virtual "
		"MTA, and all others' together\n",
		"max-connect-rate = unlimited   ; default\n",
		"retry-recipients-after = 10m, 20m, 40m, 1h, 2h, 4h   ; default\n",
	};
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
		if (!strstr(buf_z(&b), lines[i]))
			print_error("missing: %sin:\n%s", lines[i], buf_z(&b));
		assert_non_null(strstr(buf_z(&b), lines[i]));
	}
	for (int id = 0; id < SET_COUNT; id++)
		assert_non_null(strstr(buf_z(&b), setting_name((enum setting_id)id)));
	buf_clear(&b);
	settings_json(w.c, get("gmail.com", "p", "v1"), &b);
	assert_non_null(strstr(buf_z(&b),
			       "{\"name\":\"max-smtp-out\",\"value\":\"9\",\"origin\":{\"file\":"
			       "\"a.ini\",\"line\":19,\"section\":\"[domain *]\"},\"counts\":"
			       "\"each lane\"}"));
	buf_free(&b);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(the_first_that_sets_a_value_wins_in_the_order_of_the_manual),
		T(a_pools_own_section_is_domain_star_via_the_pool),
		T(a_wildcard_matches_below_its_name_only),
		T(names_are_compared_in_normal_form),
		T(an_empty_value_stops_inheritance_and_gives_the_default),
		T(limits_count_where_the_table_says),
		T(unlimited_ends_the_search_in_its_row),
		T(a_limit_names_its_place_and_its_pool),
		T(a_shipped_section_lies_below_yours),
		T(domains_without_sections_share_one_object),
		T(the_cache_outlives_the_reading_and_a_new_hash_key),
		T(the_session_key_tells_what_a_connection_depends_on),
		T(print_names_every_value_its_origin_and_what_limits_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
