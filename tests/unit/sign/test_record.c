/* A key's published record: what receivers can use, what they can't and why; and when it is looked
 * up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/base64.h"
#include "core/base/hash.h"
#include "core/sign/probes.h"

static char dir[64];
static char rsa_p[1000], bare_p[1000], other_p[1000], ed_p[100], ed_spki[100];

static void write_file(const char *name, EVP_PKEY *k, const char *text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	if (k)
		assert_true(PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL));
	else
		fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, 0600), 0);
}

static void encode(const unsigned char *der, int n, char *out)
{
	EVP_EncodeBlock((unsigned char *)out, der, n);
}

static void public_of(EVP_PKEY *k, int skip, char *out)
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(k, &der);

	encode(der + skip, n - skip, out);
	OPENSSL_free(der);
}

static int open_all(void **state)
{
	EVP_PKEY *rsa = EVP_RSA_gen(2048), *other = EVP_RSA_gen(2048),
		 *ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	unsigned char *der = NULL;
	int n;

	(void)state;
	clock_init();
	hash_seed(1, 2);
	snprintf(dir, sizeof dir, "/tmp/stoker-record.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	write_file("rsa", rsa, NULL);
	write_file("ed", ed, NULL);
	public_of(rsa, 0, rsa_p);
	public_of(other, 0, other_p);
	public_of(ed, 12, ed_p);
	public_of(ed, 0, ed_spki);
	n = i2d_PublicKey(rsa, &der);
	encode(der, n, bare_p);
	OPENSSL_free(der);
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(other);
	EVP_PKEY_free(ed);
	return 0;
}

static int close_all(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

static struct conf *loaded(const char *sections, uint64_t number)
{
	struct conf_problems p;
	char path[128], text[2000];
	struct conf *c;

	snprintf(text, sizeof text,
		 "[mta]\nhostname = mx.example.com\nsmtp-source-host = 192.0.2.1 mx.example.com\n"
		 "[listener 127.0.0.1:25]\n[source 127.0.0.1]\nalways-allow-relaying = yes\n"
		 "[domain *]\ndkim-sign = yes\n%s",
		 sections);
	write_file("a.ini", NULL, text);
	snprintf(path, sizeof path, "%s/a.ini", dir);
	conf_problems_init(&p);
	c = conf_read(path, NULL, &p);
	assert_non_null(c);
	assert_true(sign_keys_load(c, &p));
	conf_set_number(c, number, 0);
	conf_problems_free(&p);
	return c;
}

static const char dual[] = "[dkim example.com]\nselector = a\nkey-file = rsa\n"
			   "second-selector = b\nsecond-key-file = ed\n";

/* ---- judging ---- */

/* RSA's p= for %R, and so on. */
static void fill_in(const char *format, struct buf *out)
{
	for (const char *z = format; *z; z++) {
		if (*z != '%') {
			buf_addc(out, *z);
			continue;
		}
		z++;
		buf_addz(out, *z == 'R'	  ? rsa_p
			      : *z == 'B' ? bare_p
			      : *z == 'O' ? other_p
			      : *z == 'E' ? ed_p
					  : ed_spki);
	}
}

static void a_record_is_judged_as_a_receiver_would(void **state)
{
	static const struct {
		int key;
		const char *record;
		enum record_state expect;
		const char *why;
	} cases[] = {
		{ 0, "v=DKIM1; k=rsa; p=%R", RECORD_GOOD, "" },
		{ 0, "v=DKIM1;p=%R;", RECORD_GOOD, "" },
		{ 0, " p = %R ; n=a note; x=y", RECORD_GOOD, "" },
		{ 0, "v=DKIM1; h=sha1:sha256; s=email; t=s; p=%R", RECORD_GOOD, "" },
		{ 1, "v=DKIM1; k=ed25519; p=%E", RECORD_GOOD, "" },
		{ 0, "v=DKIM1; k=rsa; p=", RECORD_REVOKED, "revoked" },
		{ 1, "v=DKIM1; p= ; k=ed25519", RECORD_REVOKED, "revoked" },
		{ 0, "v=DKIM1; k=rsa; p=%O", RECORD_OTHER_KEY, "another key in p=" },
		{ 1, "v=DKIM1; k=ed25519; p=AAAA", RECORD_OTHER_KEY, "another key in p=" },
		{ 1, "v=DKIM1; k=ed25519; p=%S", RECORD_UNUSABLE, "last 32 bytes" },
		{ 0, "v=DKIM1; k=rsa; p=%B", RECORD_UNUSABLE, "without the frame" },
		{ 0, "v=DKIM1; k=rsa; p=AAAA", RECORD_UNUSABLE, "no RSA key in p=" },
		{ 0, "v=DKIM1; k=rsa; p=A-B", RECORD_UNUSABLE, "no base64 in p=" },
		{ 0, "v=DKIM1; k=ed25519; p=%R", RECORD_UNUSABLE,
		  "k=ed25519, and the key is k=rsa" },
		{ 1, "v=DKIM1; p=%E", RECORD_UNUSABLE, "k=rsa (by having no k=), and the key is" },
		{ 0, "v=DKIM1; h=sha1; p=%R", RECORD_UNUSABLE, "h=sha1" },
		{ 0, "v=DKIM1; s=other; p=%R", RECORD_UNUSABLE, "s=other" },
		{ 0, "v=DKIM2; p=%R", RECORD_UNUSABLE, "begin with v=DKIM1" },
		{ 0, "p=%R; v=DKIM1", RECORD_UNUSABLE, "begin with v=DKIM1" },
		{ 0, "v=DKIM1; k=rsa", RECORD_UNUSABLE, "has no p=" },
		{ 0, "v=DKIM1; p=%R; p=%R", RECORD_UNUSABLE, "p= twice" },
		{ 0, "v=spf1 -all", RECORD_UNUSABLE, "begin with v=DKIM1" },
		{ 0, "nothing", RECORD_UNUSABLE, "no list of tags" },
		{ 0, "", RECORD_UNUSABLE, "has no p=" },
	};
	struct conf *c = loaded(dual, 1);
	const struct signer *s = ((struct sign_keys *)c->keys)->v;
	struct str two[2] = { STR_LIT("p=a"), STR_LIT("p=b") };
	struct errbuf e = { "" };

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct errbuf why = { "" };
		struct buf text;
		struct str record;
		enum record_state got;

		buf_init(&text);
		fill_in(cases[i].record, &text);
		record = str_of(buf_z(&text));
		got = record_judge(s, &s->key[cases[i].key], &record, 1, &why);
		if (got != cases[i].expect || !strstr(why.text, cases[i].why) ||
		    (got == RECORD_GOOD) != !why.text[0])
			fail_msg("%s: %s, %s", cases[i].record, record_state_name(got), why.text);
		buf_free(&text);
	}
	assert_int_equal(record_judge(s, s->key, NULL, 0, &e), RECORD_MISSING);
	assert_int_equal(record_judge(s, s->key, two, 2, &e), RECORD_UNUSABLE);
	assert_non_null(strstr(e.text, "2 TXT records"));
	conf_unref(c);
}

/* ---- when ---- */

static char last_alarm[400];

static void on_alarm(void *arg, const char *name, const struct sign_key *k, bool on,
		     const char *why)
{
	(void)arg;
	(void)k;
	snprintf(last_alarm, sizeof last_alarm, "%c%s %s", on ? '+' : '-', name, why);
}

static const struct probe_env env = { NULL, on_alarm };

static struct probe_ask next(struct probes *p, us_t now)
{
	struct probe_ask a;

	last_alarm[0] = '\0';
	assert_true(probes_next(p, now, &a));
	return a;
}

static void records_are_looked_up_at_once_then_hourly_or_sooner(void **state)
{
	struct conf *c = loaded(dual, 1),
		    *less = loaded("[dkim example.com]\nselector = a\nkey-file = rsa\n", 2);
	struct probes *p = probes_new(&env);
	struct probe_ask a, b, none;
	us_t now = US_PER_DAY;

	(void)state;
	assert_true(probes_conf(p, c, now));
	assert_int_equal(probes_count(p, RECORD_UNKNOWN), 2);
	a = next(p, now);
	b = next(p, now);
	assert_string_equal(a.name, "a._domainkey.example.com");
	assert_string_equal(b.name, "b._domainkey.example.com");
	assert_false(probes_next(p, now + US_PER_DAY, &none)); /* both are under way */
	probes_answer(p, &a, RECORD_GOOD, "", now);
	assert_string_equal(last_alarm, "");
	probes_answer(p, &b, RECORD_MISSING, "does not exist", now);
	assert_string_equal(last_alarm, "+b._domainkey.example.com does not exist");
	assert_int_equal(b.key->published, RECORD_MISSING);
	assert_int_equal(probes_count(p, RECORD_GOOD), 1);
	/* the bad one after five minutes, the good one after an hour */
	assert_false(probes_next(p, now + 5 * US_PER_MIN - 1, &none));
	b = next(p, now += 5 * US_PER_MIN);
	assert_string_equal(b.name, "b._domainkey.example.com");
	probes_answer(p, &b, RECORD_GOOD, "", now);
	assert_string_equal(last_alarm, "-b._domainkey.example.com ");
	assert_false(probes_next(p, now + 54 * US_PER_MIN, &none));
	a = next(p, now += 55 * US_PER_MIN);
	assert_string_equal(a.name, "a._domainkey.example.com");
	/* an alarm outlives a reload as long as its key */
	probes_answer(p, &a, RECORD_REVOKED, "is revoked", now);
	b = next(p, now += 5 * US_PER_MIN);
	if (strcmp(b.name, "b._domainkey.example.com") != 0)
		b = next(p, now);
	probes_answer(p, &b, RECORD_REVOKED, "is revoked", now);
	last_alarm[0] = '\0';
	assert_true(probes_conf(p, less, now));
	assert_string_equal(last_alarm, "-b._domainkey.example.com ");
	probes_answer(p, &b, RECORD_GOOD, "", now); /* of the snapshot before: nobody's */
	a = next(p, now);
	probes_answer(p, &a, RECORD_GOOD, "", now);
	assert_string_equal(last_alarm, "-a._domainkey.example.com ");
	assert_int_equal(probes_count(p, RECORD_GOOD), 1);
	probes_free(p);
	conf_unref(c);
	conf_unref(less);
}

static void a_silent_dns_is_an_alarm_after_half_an_hour_only(void **state)
{
	struct conf *c = loaded("[dkim example.com]\nselector = a\nkey-file = rsa\n", 1);
	struct probes *p = probes_new(&env);
	us_t now = US_PER_DAY;

	(void)state;
	assert_true(probes_conf(p, c, now));
	struct probe_ask a = next(p, now);
	probes_answer(p, &a, RECORD_GOOD, "", now);
	now += US_PER_HOUR;
	for (int i = 1; i <= 6; i++, now += 5 * US_PER_MIN) {
		a = next(p, now);
		probes_answer(p, &a, RECORD_UNKNOWN, "could not be looked up: SERVFAIL", now);
		assert_int_equal(last_alarm[0], i < 6 ? '\0' : '+');
		assert_int_equal(a.key->published, i < 6 ? RECORD_GOOD : RECORD_UNKNOWN);
	}
	a = next(p, now);
	probes_answer(p, &a, RECORD_GOOD, "", now);
	assert_int_equal(last_alarm[0], '-');
	probes_free(p);
	conf_unref(c);
}

static void not_all_keys_are_looked_up_at_once(void **state)
{
	struct buf text;
	struct probes *p = probes_new(&env);
	struct probe_ask first, a;
	struct conf *c;
	int n = 0;

	(void)state;
	buf_init(&text);
	for (int i = 0; i < 20; i++)
		buf_addf(&text, "[dkim d%d.example]\nselector = a\nkey-file = rsa\n", i);
	c = loaded(buf_z(&text), 1);
	assert_true(probes_conf(p, c, 0));
	first = next(p, 0);
	for (n = 1; probes_next(p, 0, &a); n++)
		assert_string_not_equal(a.name, first.name);
	assert_int_equal(n, PROBES_AT_ONCE);
	probes_answer(p, &first, RECORD_GOOD, "", 0);
	assert_true(probes_next(p, 0, &a));
	assert_false(probes_next(p, 0, &a));
	probes_free(p);
	conf_unref(c);
	buf_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_record_is_judged_as_a_receiver_would),
		cmocka_unit_test(records_are_looked_up_at_once_then_hourly_or_sooner),
		cmocka_unit_test(a_silent_dns_is_an_alarm_after_half_an_hour_only),
		cmocka_unit_test(not_all_keys_are_looked_up_at_once),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
