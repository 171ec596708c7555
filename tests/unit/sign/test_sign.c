/* Keys are loaded once and refused when they should be; what is signed verifies; signing is about
 * as fast as OpenSSL alone, and leaves no memory behind. (Verifiers that share no code with ours:
 * tests/e2e/test_dkim.py.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <malloc.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/sign/header.h"
#include "core/sign/lib.h"
#include "core/sign/sign.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1, DUAL = 300 };
#else
enum { SANITIZED = 0, DUAL = 4000 };
#endif

static char dir[64];
static EVP_PKEY *rsa, *ed;

static void path_of(const char *name, char out[128])
{
	snprintf(out, 128, "%s/%s", dir, name);
}

static void write_text(const char *name, const char *text, mode_t mode)
{
	char path[128];
	FILE *f;

	path_of(name, path);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static void write_key(const char *name, EVP_PKEY *k, mode_t mode)
{
	char path[128];
	FILE *f;

	path_of(name, path);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(PEM_write_PrivateKey(f, k, NULL, NULL, 0, NULL, NULL));
	fclose(f);
	assert_int_equal(chmod(path, mode), 0);
}

static int open_all(void **state)
{
	(void)state;
	clock_init();
	hash_seed(1, 2);
	snprintf(dir, sizeof dir, "/tmp/stoker-sign.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	rsa = EVP_RSA_gen(2048);
	ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	write_key("rsa", rsa, 0600);
	write_key("ed", ed, 0600);
	return rsa && ed ? 0 : -1;
}

static int close_all(void **state)
{
	char command[128];

	(void)state;
	EVP_PKEY_free(rsa);
	EVP_PKEY_free(ed);
	snprintf(command, sizeof command, "rm -r %s", dir);
	return system(command);
}

/* ---- configurations ---- */

static struct conf *conf_of(const char *more, struct conf_problems *p)
{
	char path[128], text[4096];

	snprintf(text, sizeof text,
		 "[mta]\nhostname = mx.example.com\nsmtp-source-host = 192.0.2.1 mx.example.com\n"
		 "[listener 127.0.0.1:25]\n[source 127.0.0.1]\nalways-allow-relaying = yes\n"
		 "[domain *]\ndkim-sign = yes\n[dkim example.com]\nselector = a\n%s",
		 more);
	write_text("a.ini", text, 0600);
	path_of("a.ini", path);
	return conf_read(path, NULL, p);
}

static struct conf *loaded(const char *more)
{
	struct conf_problems p;
	struct conf *c;

	conf_problems_init(&p);
	c = conf_of(more, &p);
	assert_non_null(c);
	assert_true(sign_keys_load(c, &p));
	conf_set_number(c, 1, 0);
	conf_problems_free(&p);
	return c;
}

#define DUAL_KEYS "key-file = rsa\nsecond-selector = b\nsecond-key-file = ed\n"

static void keys_that_cannot_be_used_are_refused_with_their_line(void **state)
{
	static const struct {
		const char *more, *expect;
	} cases[] = {
		{ "key-file = none\n",
		  ":11: error: the key file %s/none can't be opened: No such" },
		{ "key-file = open\n", ":11: error: the key file %s/open can be read or written by "
				       "others (mode 0604)" },
		{ "key-file = .\n", ":11: error: the key file %s/. is not a file" },
		{ "key-file = text\n", ":11: error: the key file %s/text holds no private key" },
		{ "key-file = locked\n", ":11: error: the key file %s/locked holds an encrypted" },
		{ "key-file = small\n",
		  ":11: error: the key file %s/small holds an RSA key of 768" },
		{ "key-file = ec\n", ":11: error: the key file %s/ec holds a key that is neither" },
		{ "key-file = rsa\nsecond-selector = b\nsecond-key-file = none\n",
		  ":13: error: the key file %s/none" },
		{ "key-file = weak\n", ":11: warning: %s/weak holds an RSA key of only 1024 bits" },
	};
	EVP_PKEY *small = EVP_RSA_gen(768), *weak = EVP_RSA_gen(1024),
		 *ec = EVP_EC_gen("prime256v1");
	char expect[300];
	struct buf out;

	(void)state;
	write_key("open", rsa, 0604);
	write_key("small", small, 0600);
	write_key("weak", weak, 0640);
	write_key("ec", ec, 0600);
	write_text("text", "no key\n", 0600);
	write_text("locked", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n", 0600);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct conf_problems p;
		struct conf *c;
		bool error = strstr(cases[i].expect, "error") != NULL;

		buf_init(&out);
		conf_problems_init(&p);
		c = conf_of(cases[i].more, &p);
		assert_non_null(c);
		assert_int_equal(sign_keys_load(c, &p), !error);
		assert_int_equal(p.errors, error);
		assert_int_equal(c->keys != NULL, !error);
		conf_problems_print(&p, &out);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		snprintf(expect, sizeof expect, cases[i].expect, dir);
#pragma GCC diagnostic pop
		if (!strstr(buf_z(&out), expect))
			fail_msg("expected %s in %s", expect, buf_z(&out));
		buf_free(&out);
		conf_problems_free(&p);
		conf_unref(c);
	}
	EVP_PKEY_free(small);
	EVP_PKEY_free(weak);
	EVP_PKEY_free(ec);
}

/* ---- signing ---- */

static struct signature *sign_in(struct sign_thread *t, struct conf *c, struct str m, size_t step)
{
	struct signing *g = signing_begin(t, c);

	assert_non_null(g);
	for (size_t at = 0; at < m.n; at += step)
		if (!signing_feed(g, str_mem(m.p + at, m.n - at < step ? m.n - at : step)))
			break;
	return signing_end(g, US_PER_S);
}

static struct signature *sign_text(struct conf *c, const char *z)
{
	struct sign_thread *t = sign_thread_new();
	struct signature *s = sign_in(t, c, str_of(z), strlen(z) + 1);

	sign_thread_free(t);
	assert_non_null(s);
	return s;
}

static void record_of(EVP_PKEY *k, const char *kind, char out[1000])
{
	unsigned char *der = NULL;
	int n = i2d_PUBKEY(k, &der), raw = strcmp(kind, "rsa") ? n - 32 : 0;

	snprintf(out, 1000, "v=DKIM1; k=%s; p=", kind);
	EVP_EncodeBlock((unsigned char *)out + strlen(out), der + raw, n - raw);
	OPENSSL_free(der);
}

static void assert_verifies(struct str header, const char *fields, const char *body, EVP_PKEY *k,
			    const char *kind)
{
	struct errbuf e = { "" };
	char record[1000];
	struct buf all;

	record_of(k, kind, record);
	buf_init(&all);
	buf_adds(&all, header);
	buf_addz(&all, fields);
	if (!sign_lib_verify(buf_str(&all), str_of(body), record, &e))
		fail_msg("%s: %s", kind, e.text);
	buf_free(&all);
}

static void each_key_signs_for_itself_however_the_bytes_come(void **state)
{
	static const char fields[] = "From: a@sub.example.com\r\nSubject: a\r\n b\r\n";
	static const char body[] = "x \r\n\r\n y\t z\r\n\r\n";
	struct conf *c = loaded(DUAL_KEYS);
	struct sign_thread *t = sign_thread_new();
	char message[200];

	(void)state;
	snprintf(message, sizeof message, "%s\r\n%s", fields, body);
	for (size_t step = 1; step < sizeof message; step += 7) {
		struct signature *s = sign_in(t, c, str_of(message), step);
		struct str all = rstr_str(s->header), second;
		const char *at;

		assert_int_equal(s->kind, SIGNATURE_MADE);
		assert_string_equal(s->domain->text, "example.com");
		at = strstr(all.p + 1, "DKIM-Signature:");
		assert_non_null(at);
		second = str_of(at);
		all.n -= second.n;
		assert_verifies(all, fields, body, rsa, "rsa");
		assert_verifies(second, fields, body, ed, "ed25519");
		signature_unref(s);
	}
	sign_thread_free(t);
	conf_unref(c);
}

static void what_cannot_be_signed_says_why(void **state)
{
	static const struct {
		const char *message, *expect;
	} cases[] = {
		{ "From: a@example.com\r\nno field\r\n\r\n",
		  "line 2 of its header is no header field: \"no field\"" },
		{ " folded: from the start\r\nFrom: a@example.com\r\n\r\n",
		  "line 1 of its header is no header field: \"folded: from the start\"" },
		{ "From: a@example.com\r\nSubject: a\vb\r\n\r\n",
		  "Subject holds a control character" },
		{ "From: a@example.com\r\nX-Any: a\vb\r\n\r\nx\r\n", "" },
		{ "From: a@example.com\r\nDKIM-Signature: broken\r\n\r\nx\r\n", "" },
		{ "From: a@example.com\r\n\r\n", "" },
		{ "From: a@example.com\r\n", "" },
		{ "From: a@example.org\r\n\r\nx\r\n", NULL },
		{ "Subject: x\r\n\r\nFrom: a@example.com\r\n", NULL },
		{ "\r\nFrom: a@example.com\r\n", NULL },
	};
	struct conf *c = loaded("key-file = rsa\nmust-sign = no\n");
	struct buf big;

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		struct signature *s = sign_text(c, cases[i].message);
		const char *e = cases[i].expect;

		if (s->kind != (!e ? SIGNATURE_NONE : *e ? SIGNATURE_FAILED : SIGNATURE_MADE))
			fail_msg("%zu: %d %s", i, s->kind, rstr_str(s->reason).p);
		if (e && *e && !strstr(s->reason->text, e))
			fail_msg("%s", s->reason->text);
		assert_false(e && s->must);
		signature_unref(s);
	}
	/* a field over 64 KB, and so many that their names don't fit */
	for (int kind = 0; kind < 3; kind++) {
		struct signature *s;

		buf_init(&big);
		buf_addz(&big, "From: a@example.com\r\n");
		for (int i = 0; i < (kind == 2 ? 20000 : 2000); i++)
			buf_addf(&big, "%s%070d\r\n",
				 kind == 0   ? (i ? " " : "Subject: ")
				 : kind == 1 ? "To:"
					     : "X: ",
				 i);
		buf_addz(&big, "\r\n");
		s = sign_text(c, buf_z(&big));
		assert_int_equal(s->kind, SIGNATURE_FAILED);
		assert_non_null(strstr(s->reason->text, kind == 0   ? "Subject has"
							: kind == 1 ? "too many header fields"
								    : "longer than 1 MB"));
		signature_unref(s);
		buf_free(&big);
	}
	conf_unref(c);
}

static void the_domain_is_the_first_address_of_from(void **state)
{
	static const struct {
		const char *value, *domain;
	} cases[] = {
		{ " a@x.example", "x.example" },
		{ " \"A, <b@y.example>\" <a@X.example>", "x.example" },
		{ " (c@y.example (nested)) A <a@x.example> (z@z.example)", "x.example" },
		{ " a@x.example, b@y.example", "x.example" },
		{ " Group: a@x.example;", "x.example" },
		{ " \"a@b\"@x.example", "x.example" },
		{ " A\r\n <@hop.example:a@x.example>", "x.example" },
		{ " a @ x.example", "x.example" },
		{ " a@m\xc3\xbcller.example", "xn--mller-kva.example" },
		{ " nobody:;", NULL },
		{ " a@[192.0.2.1]", NULL },
		{ " a", NULL },
		{ " \"a@x.example", NULL },
		{ " (a@x.example", NULL },
		{ "", NULL },
	};
	char out[DOMAIN_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		bool found = header_from_domain(str_of(cases[i].value), out);

		if (found != (cases[i].domain != NULL))
			fail_msg("%s: %s", cases[i].value, found ? out : "none");
		if (found)
			assert_string_equal(out, cases[i].domain);
	}
}

static void signatures_are_remembered_for_a_while_by_message_and_snapshot(void **state)
{
	struct conf *c = loaded("key-file = rsa\n");
	struct sign_thread *t = sign_thread_new();
	struct signature *s = sign_text(c, "From: a@example.com\r\n\r\nx\r\n"), *again;

	(void)state;
	sign_remember(t, 7, s);
	again = sign_recall(t, c, 7, US_PER_S);
	assert_ptr_equal(again, s);
	signature_unref(again);
	assert_null(sign_recall(t, c, 8, US_PER_S));
	assert_null(sign_recall(t, c, 7, US_PER_HOUR));
	conf_set_number(c, 2, 0);
	assert_null(sign_recall(t, c, 7, US_PER_S));
	conf_set_number(c, 1, 0);
	for (uint64_t i = 100; i < 10100; i++)
		sign_remember(t, i, s);
	assert_null(sign_recall(t, c, 7, US_PER_S));
	assert_true(s->refs < 4000);
	sign_thread_free(t);
	assert_int_equal(s->refs, 1);
	signature_unref(s);
	conf_unref(c);
}

/* ---- speed and memory ---- */

static double cpu_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int count_of(const char *name, int least)
{
	const char *z = getenv(name);

	return z ? atoi(z) : least;
}

static const char small_message[] = "Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
				    "From: a@example.com\r\nTo: b@example.org\r\n"
				    "Subject: hello\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
				    "Message-ID: <1@example.com>\r\n\r\nHello\r\n";

static double ours_per_s(struct sign_thread *t, struct conf *c, int n)
{
	double from = cpu_s();

	for (int i = 0; i < n; i++) {
		struct signature *s = sign_in(t, c, STR_LIT(small_message), sizeof small_message);

		assert_int_equal(s->kind, SIGNATURE_MADE);
		signature_unref(s);
	}
	return n / (cpu_s() - from);
}

static double evp_per_s(int n)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[256];
	double from = cpu_s();

	for (int i = 0; i < n; i++) {
		size_t len = sizeof sig;

		assert_true(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, rsa));
		assert_true(EVP_DigestSign(ctx, sig, &len, (const unsigned char *)small_message,
					   sizeof small_message - 1));
		EVP_MD_CTX_reset(ctx);
	}
	from = cpu_s() - from;
	EVP_MD_CTX_free(ctx);
	return n / from;
}

/* Without the reader of pem.c it is a quarter. Many short rounds take turns and the best of each
 * counts, so that other load on the machine spoils neither: a few milliseconds are soon
 * undisturbed, whole runs of hundreds of signatures need not be. */
#define IN_A_ROUND 20

static void rsa_signing_reaches_85_percent_of_plain_evp_signing(void **state)
{
	struct conf *c = loaded("key-file = rsa\n");
	struct sign_thread *t = sign_thread_new();
	int rounds = SANITIZED ? 3 : count_of("STOKER_SIGN_RATE", 2000) / IN_A_ROUND;
	double ours = 0, plain = 0;

	(void)state;
	for (int round = 0; round < rounds; round++) {
		double a = evp_per_s(IN_A_ROUND), b = ours_per_s(t, c, IN_A_ROUND);

		plain = a > plain ? a : plain;
		ours = b > ours ? b : ours;
	}
	printf("# RSA-2048: %.0f/s, plain EVP %.0f/s: %.0f %%\n", ours, plain, 100 * ours / plain);
	if (!SANITIZED)
		assert_true(ours >= 0.85 * plain);
	sign_thread_free(t);
	conf_unref(c);
}

static size_t in_use(void)
{
	struct mallinfo2 m = mallinfo2();

	return m.uordblks + m.hblkhd;
}

static void dual_signatures_leave_memory_flat(void **state)
{
	struct conf *c = loaded(DUAL_KEYS);
	struct sign_thread *t = sign_thread_new();
	int n = count_of("STOKER_SIGN_DUAL", DUAL);
	size_t before = 0;

	(void)state;
	for (int i = 0; i < n + 50; i++) {
		struct signature *s;

		if (i == 50)
			before = in_use(); /* what is made once is made by now */
		s = sign_in(t, c, STR_LIT(small_message), sizeof small_message);
		assert_int_equal(s->kind, SIGNATURE_MADE);
		signature_unref(s);
	}
	printf("# %d dual signatures: %zd bytes more\n", n, (ssize_t)(in_use() - before));
	if (!SANITIZED)
		assert_true(in_use() < before + 16 * 1024);
	sign_thread_free(t);
	conf_unref(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_that_cannot_be_used_are_refused_with_their_line),
		cmocka_unit_test(each_key_signs_for_itself_however_the_bytes_come),
		cmocka_unit_test(what_cannot_be_signed_says_why),
		cmocka_unit_test(the_domain_is_the_first_address_of_from),
		cmocka_unit_test(signatures_are_remembered_for_a_while_by_message_and_snapshot),
		cmocka_unit_test(rsa_signing_reaches_85_percent_of_plain_evp_signing),
		cmocka_unit_test(dual_signatures_leave_memory_flat),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
