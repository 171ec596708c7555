/* Addresses: reading, printing, which are private; and record data from the DNS. */
#include "tests/unit/net/help.h"

#include "core/base/rng.h"
#include "core/net/dns_answer.h"
#include "core/net/dns_wire.h"

static void addresses_are_read_and_printed(void **state)
{
	static const struct {
		const char *in, *with_port;
	} good[] = {
		{ "192.0.2.1", "192.0.2.1:25" },
		{ "192.0.2.1:2525", "192.0.2.1:2525" },
		{ "2001:db8::1", "[2001:db8::1]:25" },
		{ "[2001:DB8:0::1]", "[2001:db8::1]:25" },
		{ "[2001:db8::1]:65535", "[2001:db8::1]:65535" },
		{ "::", "[::]:25" },
		{ "[192.0.2.1]:26", "192.0.2.1:26" },
	};
	static const char *const bad[] = {
		"",	     "192.0.2",	 "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536",
		"[::1",	     "[::1]25",	 "[::1]:",     "localhost",   "192.0.2.1:25x",
		"1.2.3.4.5", "[]",	 "[",	       "::1]:25",     "0x7f.0.0.1",
		":25",	     " 1.2.3.4", "fe80::1%lo", "1.2.3.4:-1",  "1.2.3.256",
	};
	char out[ENDPOINT_SIZE];
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		assert_true(endpoint_parse(str_of(good[i].in), 25, &e));
		endpoint_print_port(&e, out);
		assert_string_equal(out, good[i].with_port);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (endpoint_parse(str_of(bad[i]), 25, &e))
			fail_msg("\"%s\" was read as an address", bad[i]);
	assert_false(endpoint_parse(str_mem("1.2.3.4\0", 8), 25, &e));
	e = (struct endpoint){ 0 };
	endpoint_print(&e, out);
	assert_string_equal(out, "none");
	endpoint_print_port(&e, out);
	assert_string_equal(out, "none");
}

static void ports_are_not_part_of_the_same_ip(void **state)
{
	struct endpoint a = ep("192.0.2.1:1"), b = ep("192.0.2.1:2"), c = ep("[2001:db8::1]:1"),
			d = ep("[2001:db8::1]:9");

	(void)state;
	assert_true(endpoint_same_ip(&a, &b) && endpoint_same_ip(&c, &d));
	assert_false(endpoint_same_ip(&a, &c));
	endpoint_set_port(&a, 77);
	endpoint_set_port(&c, 78);
	assert_int_equal(endpoint_port(&a), 77);
	assert_int_equal(endpoint_port(&c), 78);
}

static void private_addresses_are_known(void **state)
{
	static const char *const no_place[] = {
		"0.0.0.0",
		"10.1.2.3",
		"100.64.0.1",
		"100.127.255.255",
		"127.0.0.1",
		"127.255.0.1",
		"169.254.1.1",
		"172.16.0.1",
		"172.31.255.255",
		"192.168.1.1",
		"192.0.0.1",
		"198.18.0.1",
		"198.19.255.255",
		"224.0.0.1",
		"240.0.0.1",
		"255.255.255.255",
		"::",
		"::1",
		"fc00::1",
		"fdff::1",
		"fe80::1",
		"febf::1",
		"fec0::1",
		"ff02::1",
		"100::1",
		"::ffff:10.0.0.1",
		"::ffff:127.0.0.1",
		"64:ff9b::10.0.0.1",
		"2002:0a00:1::1",
		"::127.0.0.1",
	};
	static const char *const fine[] = {
		"1.1.1.1",	    "9.255.255.255",	  "11.0.0.0",	       "100.63.255.255",
		"100.128.0.0",	    "172.15.0.1",	  "172.32.0.1",	       "192.0.1.1",
		"192.0.2.1",	    "198.17.0.1",	  "198.20.0.1",	       "198.51.100.1",
		"203.0.113.1",	    "223.255.255.255",	  "2001:db8::1",       "2a00::1",
		"::ffff:192.0.2.1", "64:ff9b::192.0.2.1", "2002:c000:0201::1", "101::1",
	};
	struct endpoint e;

	(void)state;
	for (size_t i = 0; i < sizeof no_place / sizeof *no_place; i++) {
		e = ep(no_place[i]);
		if (!endpoint_is_private(&e))
			fail_msg("%s counts as public", no_place[i]);
	}
	for (size_t i = 0; i < sizeof fine / sizeof *fine; i++) {
		e = ep(fine[i]);
		if (endpoint_is_private(&e))
			fail_msg("%s counts as private", fine[i]);
	}
	e = ep("127.9.9.9");
	assert_true(endpoint_is_loopback(&e));
	e = ep("::1");
	assert_true(endpoint_is_loopback(&e));
	e = ep("::ffff:127.0.0.1");
	assert_true(endpoint_is_loopback(&e));
	e = ep("10.0.0.1");
	assert_false(endpoint_is_loopback(&e));
}

#define WIRE(s) (const uint8_t *)(s), sizeof(s) - 1

static void wire_names_are_read(void **state)
{
	char name[DOMAIN_SIZE];
	int preference;

	(void)state;
	assert_true(dns_wire_name(WIRE("\3MX1\7ExAmple\3net\0"), name));
	assert_string_equal(name, "mx1.example.net");
	assert_true(dns_wire_name(WIRE("\0"), name));
	assert_string_equal(name, "");
	assert_true(dns_wire_mx(WIRE("\1\2\2mx\0"), &preference, name));
	assert_int_equal(preference, 258);
	assert_string_equal(name, "mx");
	assert_true(dns_wire_mx(WIRE("\0\0\0"), &preference, name));
	assert_string_equal(name, "");
}

static void damaged_wire_names_are_refused(void **state)
{
	char name[DOMAIN_SIZE];
	int preference;
	uint8_t longest[256];

	(void)state;
	assert_false(dns_wire_name(WIRE(""), name));
	assert_false(dns_wire_name(WIRE("\3mx"), name));
	assert_false(dns_wire_name(WIRE("\2mx"), name));     /* no end */
	assert_false(dns_wire_name(WIRE("\2mx\0x"), name));  /* more behind */
	assert_false(dns_wire_name(WIRE("\300\14"), name));  /* compression */
	assert_false(dns_wire_name(WIRE("\3a.b\0"), name));  /* a dot in a label */
	assert_false(dns_wire_name(WIRE("\3a\0b\0"), name)); /* NUL */
	assert_false(dns_wire_name(WIRE("\3a b\0"), name));
	assert_false(dns_wire_name(WIRE("\3a\377b\0"), name));
	assert_false(dns_wire_mx(WIRE("\0\12"), &preference, name));
	for (size_t i = 0; i < sizeof longest;
	     i++) /* labels of one letter: 127 of them are 253 bytes of text */
		longest[i] = i % 2 ? 'a' : 1;
	longest[254] = 0;
	assert_true(dns_wire_name(longest, 255, name));
	assert_int_equal(strlen(name), 253);
	longest[254] = 1;
	assert_false(dns_wire_name(longest, 256, name));
}

static void any_wire_bytes_are_survived(void **state)
{
	struct rng rng;
	uint8_t *exact;

	(void)state;
	rng_seed(&rng, 11);
	for (int i = 0; i < 50000; i++) {
		size_t n = rng_below(&rng, 300);
		char name[DOMAIN_SIZE];
		int preference;
		struct endpoint e;

		exact = malloc(n ? n : 1); /* so that ASan sees a read beyond */
		assert_non_null(exact);
		for (size_t k = 0; k < n; k++)
			exact[k] = (uint8_t)(rng_below(&rng, 4) ? "\1\2\3a-\0"[rng_below(&rng, 6)]
								: (char)rng_u64(&rng));
		if (dns_wire_mx(exact, n, &preference, name))
			assert_true(strlen(name) <= DOMAIN_MAX);
		assert_int_equal(dns_wire_address(exact, n, &e), n == 4 || n == 16);
		free(exact);
	}
}

static void an_answer_is_copied_whole(void **state)
{
	struct dns_answer *a = calloc(1, sizeof *a), *b;

	(void)state;
	dns_answer_free(NULL);
	assert_non_null(a);
	strcpy(a->text, "words");
	a->hosts = calloc(2, sizeof *a->hosts);
	assert_non_null(a->hosts);
	a->nhosts = 2;
	for (int i = 0; i < 2; i++) {
		a->hosts[i].name = strdup(i ? "mx2.example" : "mx1.example");
		a->hosts[i].preference = 10 * i;
	}
	a->hosts[0].address = calloc(1, sizeof *a->hosts[0].address);
	assert_non_null(a->hosts[0].address);
	a->hosts[0].address[0] = ep("192.0.2.1");
	a->hosts[0].naddresses = 1;
	a->hosts[1].failed = true;
	b = dns_answer_copy(a);
	dns_answer_free(a);
	assert_non_null(b);
	assert_string_equal(b->text, "words");
	assert_int_equal(b->nhosts, 2);
	assert_string_equal(b->hosts[1].name, "mx2.example");
	assert_int_equal(b->hosts[1].preference, 10);
	assert_true(b->hosts[1].failed);
	assert_int_equal(b->hosts[0].naddresses, 1);
	dns_answer_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_read_and_printed),
		cmocka_unit_test(ports_are_not_part_of_the_same_ip),
		cmocka_unit_test(private_addresses_are_known),
		cmocka_unit_test(wire_names_are_read),
		cmocka_unit_test(damaged_wire_names_are_refused),
		cmocka_unit_test(any_wire_bytes_are_survived),
		cmocka_unit_test(an_answer_is_copied_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
