/* Names, networks and hosts find what they belong to, from any thread that holds a reference. */
#include "tests/unit/conf/fixture.h"

#include <arpa/inet.h>
#include <pthread.h>

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

static int source_of(const char *ip)
{
	struct endpoint e = { .len = 0 };

	if (strchr(ip, ':')) {
		e.in6.sin6_family = AF_INET6;
		assert_int_equal(inet_pton(AF_INET6, ip, &e.in6.sin6_addr), 1);
	} else {
		e.in4.sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, ip, &e.in4.sin_addr), 1);
	}
	return conf_source_for(w.c, &e.sa);
}

static void a_client_belongs_to_the_longest_network_that_holds_it(void **state)
{
	static const struct {
		const char *ip, *source;
	} cases[] = {
		{ "10.1.2.3", "10.1.2.0/23" },
		{ "10.1.3.255", "10.1.2.0/23" },
		{ "10.1.4.0", "10.0.0.0/8" },
		{ "10.1.2.4", "10.1.2.4" },
		{ "11.0.0.0", NULL },
		{ "127.0.0.1", "127.0.0.1" },
		{ "127.0.0.2", NULL },
		{ "::ffff:10.1.2.4", "10.1.2.4" },
		{ "2001:db8:5::1", "2001:db8::/32" },
		{ "2001:db9::1", NULL },
		{ "2001:db8:8000::1", "2001:db8:8000::/33" },
	};

	(void)state;
	world_read(&w, BASE "[source 10.0.0.0/8]\n[source 10.1.2.0/23]\n[source 10.1.2.4/32]\n"
			    "[source 2001:DB8::/32]\n[source 2001:db8:8000::/33]\n");
	expect_clean(&w);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int s = source_of(cases[i].ip);

		assert_int_equal(s == CONF_NONE, cases[i].source == NULL);
		if (cases[i].source)
			assert_string_equal(w.c->sources[s].name, cases[i].source);
	}
}

static void networks_are_written_as_networks(void **state)
{
	static const struct {
		const char *name, *expect;
	} cases[] = {
		{ "10.0.0.1/8", "names a host inside a network: write 10.0.0.0/8" },
		{ "10.0.0.0/33", "after the slash stands a number from 0 to 32" },
		{ "300.0.0.0/8", "is not an address" },
		{ "10.0.0/8", "is not an address" },
		{ "2001:db8::1/32", "write 2001:db8::/32" },
		{ "{pickup}", "a name has letters, digits" },
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		snprintf(text, sizeof text, BASE "[source %s]\n", cases[i].name);
		world_read(&w, text);
		expect_text(&w, cases[i].expect);
		expect_text(&w, "a.ini:7: error: [source ");
		assert_int_equal(w.problems.errors, 1);
	}
}

static int provider_of(const char *domain, const char *hosts)
{
	struct str v[8], list = str_of(hosts);
	int n = 0;

	while (n < 8 && str_split(&list, ' ', &v[n]))
		n++;
	return conf_provider_for(w.c, str_of(domain), v, n);
}

static void a_site_belongs_to_the_provider_that_all_its_best_hosts_match(void **state)
{
	static const struct {
		const char *domain, *hosts, *provider;
	} cases[] = {
		{ "x.example", "a.google.example b.google.example", "google" },
		{ "x.example", "a.google.example other.example", NULL },
		{ "x.example", "google.example", NULL },
		{ "x.example", "agoogle.example", NULL },
		{ "x.example", "", NULL },
		{ "x.example", "a.olc.ms.example", "consumer" },
		{ "x.example", "a.b.ms.example", "ms" },
		{ "x.example", "a.olc.ms.example a.b.ms.example", "ms" },
		{ "x.example", "mta7.am0.y.example", "y" },
		{ "named.example", "", "google" },
		{ "named.example", "a.b.ms.example", "google" },
		{ "a.b.below.example", "", "google" },
		{ "below.example", "", NULL },
	};

	(void)state;
	world_read(&w, BASE "[provider google]\nmx = *.google.example\n"
			    "domains = named.example, *.below.example\n"
			    "[provider ms]\nmx = *.ms.example\n"
			    "[provider consumer]\nmx = *.OLC.ms.example\n"
			    "[provider y]\nmx = mta*.am0.y.example\n");
	expect_clean(&w);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int p = provider_of(cases[i].domain, cases[i].hosts);

		if ((p == CONF_NONE) != (cases[i].provider == NULL))
			print_error("%s (%s)\n", cases[i].domain, cases[i].hosts);
		assert_int_equal(p == CONF_NONE, cases[i].provider == NULL);
		if (cases[i].provider)
			assert_string_equal(w.c->providers[p].name, cases[i].provider);
	}
}

static void names_are_found_in_any_case_and_a_name_is_one_thing(void **state)
{
	const struct conf_route *r;

	(void)state;
	world_read(&w,
		   "[mta]\nhostname = mx.example.com\n[listener 127.0.0.1:25]\n"
		   "[source 127.0.0.1]\nalways-allow-relaying = yes\n"
		   "[virtual-mta VMTA-1]\nsmtp-source-host = 192.0.2.1 a.example.com\n"
		   "[virtual-mta-pool Pool]\nmembers = vmta-1:3\n[provider G]\nmx = *.g.example\n");
	expect_clean(&w);
	assert_int_equal(conf_vmta_find(w.c, STR_LIT("vmta-1")), 0);
	assert_int_equal(conf_pool_find(w.c, STR_LIT("POOL")), 0);
	assert_int_equal(conf_provider_find(w.c, STR_LIT("g")), 0);
	assert_int_equal(conf_source_find(w.c, STR_LIT("127.0.0.1")), 0);
	assert_int_equal(conf_vmta_find(w.c, STR_LIT("pool")), CONF_NONE);
	assert_int_equal(conf_route_find(w.c, STR_LIT("")), CONF_NONE);
	r = &w.c->routes[conf_route_find(w.c, STR_LIT("pool"))];
	assert_int_equal(r->vmta, CONF_NONE);
	assert_int_equal(r->pool, 0);
	assert_int_equal(w.c->pools[0].members[0].weight, 3);
	/* a pool and its only member: the pool is the only way out */
	assert_string_equal(w.c->routes[w.c->mta.default_route].name, "Pool");
}

static void source_hosts_of_mta_make_a_pool(void **state)
{
	(void)state;
	world_read(&w, BASE "[mta]\nsmtp-source-host = 2001:db8::1 six.example.com\n"
			    "[virtual-mta other]\nsmtp-source-host = 192.0.2.9 o.example.com\n");
	expect_clean(&w);
	assert_int_equal(w.c->nvmtas, 3);
	assert_string_equal(w.c->vmtas[1].name, "default2");
	assert_string_equal(w.c->vmtas[1].host6, "six.example.com");
	assert_int_equal(w.c->npools, 1);
	assert_int_equal(w.c->pools[0].nmembers, 2);
	assert_string_equal(w.c->routes[w.c->mta.default_route].name, "default");
}

static void name_servers_have_the_resolvers_form(void **state)
{
	static const char *const expect[] = { "192.0.2.1",   "192.0.2.2@53",   "192.0.2.3@5353",
					      "2001:db8::1", "2001:db8::2@53", "2001:db8::3@54" };

	(void)state;
	world_read(&w, BASE "[mta]\nname-server = 192.0.2.1, 192.0.2.2:53 192.0.2.3@5353\n"
			    "name-server = 2001:db8::1, [2001:db8::2]:53, 2001:db8::3@54\n");
	expect_clean(&w);
	assert_int_equal(w.c->mta.nname_servers, 6);
	for (int i = 0; i < 6; i++)
		assert_string_equal(w.c->mta.name_servers[i], expect[i]);
}

static void route_elements_keep_their_order_over_lines(void **state)
{
	struct settings_cache *sc;
	const struct settings *s;

	(void)state;
	world_read(&w, BASE "[domain x.example]\nroute = a.example, B.example:26\n"
			    "route = [192.0.2.8]:27, [2001:db8::1], mx:c.example\n");
	expect_clean(&w);
	sc = settings_cache_new(w.c);
	s = settings_get(sc, STR_LIT("x.example"), CONF_NONE, CONF_NONE, CONF_NONE);
	assert_int_equal(s->nroute, 5);
	assert_string_equal(s->route[0].host, "a.example");
	assert_int_equal(s->route[0].port, 0);
	assert_string_equal(s->route[1].host, "b.example");
	assert_int_equal(s->route[1].port, 26);
	assert_int_equal(s->route[2].type, ROUTE_IP);
	assert_int_equal(ntohs(s->route[2].ip.in4.sin_port), 27);
	assert_int_equal(s->route[3].ip.sa.sa_family, AF_INET6);
	assert_int_equal(s->route[4].type, ROUTE_MX);
	settings_cache_free(sc);
}

static void mail_is_signed_for_its_domain_or_the_nearest_parent(void **state)
{
	static const struct {
		const char *domain, *dkim;
	} cases[] = {
		{ "x.example", "x.example" },
		{ "a.x.example", "x.example" },
		{ "b.a.x.example", "x.example" },
		{ "c.x.example", "c.x.example" },
		{ "d.c.x.example", "c.x.example" },
		{ "y.example", NULL },
		{ "example", NULL },
		{ "xx.example", NULL },
		{ "", NULL },
	};

	(void)state;
	world_read(&w, BASE "[dkim X.example]\nselector = s\nkey-file = k\n"
			    "[dkim c.x.example]\nselector = s\nkey-file = k\n");
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		int d = conf_dkim_for(w.c, str_of(cases[i].domain));

		assert_int_equal(d == CONF_NONE, cases[i].dkim == NULL);
		if (cases[i].dkim)
			assert_string_equal(w.c->dkim[d].domain, cases[i].dkim);
	}
}

static void *read_snapshot(void *arg)
{
	struct conf *c = arg;
	struct settings_cache *sc = settings_cache_new(c);

	for (int i = 0; i < 2000; i++) {
		const struct settings *s =
		    settings_get(sc, STR_LIT("a.x.example"), CONF_NONE, 0, i % 2 ? 0 : CONF_NONE);

		if (s->queue_priority != 9 || conf_vmta_find(c, STR_LIT("default1")) != 0)
			return "wrong";
		conf_unref(conf_ref(c));
	}
	settings_cache_free(sc);
	conf_unref(c);
	return NULL;
}

static void threads_share_a_snapshot(void **state)
{
	pthread_t t[4];
	void *wrong;

	(void)state;
	world_read(&w, BASE "[domain *.x.example]\nqueue-priority = 9\n");
	for (int i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, read_snapshot, conf_ref(w.c)), 0);
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &wrong);
		assert_null(wrong);
	}
	assert_int_equal(w.c->refs, 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(a_client_belongs_to_the_longest_network_that_holds_it),
		T(networks_are_written_as_networks),
		T(a_site_belongs_to_the_provider_that_all_its_best_hosts_match),
		T(names_are_found_in_any_case_and_a_name_is_one_thing),
		T(source_hosts_of_mta_make_a_pool),
		T(name_servers_have_the_resolvers_form),
		T(route_elements_keep_their_order_over_lines),
		T(mail_is_signed_for_its_domain_or_the_nearest_parent),
		T(threads_share_a_snapshot),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
