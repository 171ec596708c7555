/* Who fails to log in is slowed down and banned, by address and by user; who is known is not locked
 * out by a stranger; and nothing grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "core/net/io.h"
#include "core/smtp/guard.h"

static struct guard *g;
static us_t now;

static struct endpoint at(const char *ip)
{
	struct endpoint e;

	assert_true(endpoint_parse(str_of(ip), 0, &e));
	return e;
}

static us_t fail_once(const char *ip, const char *user)
{
	struct endpoint e = at(ip);
	bool banned;

	return guard_failed(g, &e, str_of(user), now, &banned);
}

static bool allowed(const char *ip, const char *user)
{
	struct endpoint e = at(ip);

	return guard_allows(g, &e, str_of(user), now);
}

static int setup(void **state)
{
	(void)state;
	g = guard_new();
	now = US_PER_DAY * 1000;
	return g == NULL;
}

static int teardown(void **state)
{
	(void)state;
	guard_free(g);
	return 0;
}

static void each_failure_waits_longer_up_to_a_bound(void **state)
{
	static const int seconds[] = { 1, 2, 4, 8, 16, 16, 16 };

	(void)state;
	for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++)
		assert_true(fail_once("192.0.2.1", "ann") == seconds[i] * US_PER_S);
	assert_true(fail_once("192.0.2.2", "bob") == US_PER_S);
}

static void ten_failures_of_an_address_ban_it_for_a_quarter_of_an_hour(void **state)
{
	char user[16];

	(void)state;
	for (int i = 0; i < 10; i++) {
		assert_true(allowed("192.0.2.1", "ann"));
		snprintf(user, sizeof user, "u%d", i);
		fail_once("192.0.2.1", user);
	}
	assert_false(allowed("192.0.2.1", "ann"));
	assert_true(allowed("192.0.2.2", "ann"));
	now += 15 * US_PER_MIN - 1;
	assert_false(allowed("192.0.2.1", "ann"));
	now++;
	assert_true(allowed("192.0.2.1", "ann"));
}

static void an_ipv6_client_is_its_network(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		fail_once("2001:db8::1", "ann");
	assert_false(allowed("2001:db8::ffff", "bob"));
	assert_true(allowed("2001:db8:0:1::1", "bob"));
}

static void twenty_failures_as_a_user_ban_strangers_only(void **state)
{
	struct endpoint own = at("192.0.2.99");
	char ip[32];

	(void)state;
	guard_passed(g, &own, STR_LIT("ann"), now);
	for (int i = 0; i < 20; i++) {
		snprintf(ip, sizeof ip, "198.51.100.%d", i);
		fail_once(ip, i % 2 ? "ann" : "ANN");
	}
	assert_false(allowed("203.0.113.1", "ann"));
	assert_true(allowed("203.0.113.1", "bob"));
	assert_true(allowed("192.0.2.99", "ann"));
	now += US_PER_DAY;
	for (int i = 0; i < 20; i++)
		fail_once("198.51.100.1", "ann");
	assert_false(allowed("192.0.2.99", "ann"));
}

static void a_flood_of_addresses_takes_no_memory_and_forgets_the_oldest(void **state)
{
	char ip[32];

	(void)state;
	for (int i = 0; i < 10; i++)
		fail_once("192.0.2.1", "ann");
	for (int i = 0; i < 200000; i++) {
		now++;
		snprintf(ip, sizeof ip, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		fail_once(ip, ip);
	}
	assert_true(allowed("10.0.0.1", "bob"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(each_failure_waits_longer_up_to_a_bound),
		T(ten_failures_of_an_address_ban_it_for_a_quarter_of_an_hour),
		T(an_ipv6_client_is_its_network),
		T(twenty_failures_as_a_user_ban_strangers_only),
		T(a_flood_of_addresses_takes_no_memory_and_forgets_the_oldest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
