/* What stands in tests/fixtures/reports is read as expected.tsv says: the kind of all, the
 * recipient of 97 in 100; what is neither bounce nor complaint suppresses nobody. Hostile reports
 * cost bounded time and memory. Tokens can't be made without the key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/rng.h"
#include "core/feedback/mime.h"
#include "core/feedback/report_verdict.h"
#include "core/feedback/token.h"

#define FIXTURES "tests/fixtures/reports/"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { SANITIZED = 1 };
#else
enum { SANITIZED = 0 };
#endif
enum {
	SEEDS_MAX = 300,
	REDUCED = 2000,
	FULL = 100000,
	SLOWEST_US = 400 * 1000,
	LARGEST = 1200 * 1024,
};

static struct classifier *classifier;
static struct buf seeds[SEEDS_MAX];
static char expected[SEEDS_MAX][5][120]; /* file, kind, recipients, status, meaning */
static int nseeds;

static void load(const char *path, struct buf *to)
{
	FILE *f = fopen(path, "r");
	int c;

	assert_non_null(f);
	while ((c = fgetc(f)) != EOF)
		buf_addc(to, (char)c);
	fclose(f);
}

static int open_all(void **state)
{
	struct errbuf e;
	struct buf table;
	struct str rest, line, word;
	char path[300];

	(void)state;
	hash_seed(1, 2);
	classifier = classifier_new(&e);
	buf_init(&table);
	load(FIXTURES "expected.tsv", &table);
	rest = buf_str(&table);
	str_split(&rest, '\n', &line);
	while (str_split(&rest, '\n', &line) && line.n && nseeds < SEEDS_MAX) {
		for (int i = 0; i < 5 && str_split(&line, '\t', &word); i++)
			snprintf(expected[nseeds][i], sizeof expected[0][0], "%.*s", (int)word.n,
				 word.p);
		snprintf(path, sizeof path, FIXTURES "%s", expected[nseeds][0]);
		buf_init(&seeds[nseeds]);
		load(path, &seeds[nseeds++]);
	}
	buf_free(&table);
	return classifier ? 0 : -1;
}

static int close_all(void **state)
{
	(void)state;
	for (int i = 0; i < nseeds; i++)
		buf_free(&seeds[i]);
	classifier_free(classifier);
	return 0;
}

static bool suppresses(const struct report *r)
{
	struct report_verdict v;
	bool any = false;

	for (int i = 0; i < r->nrcpts; i++) {
		report_judge(classifier, NULL, r, &r->rcpts[i], &v);
		any = any || v.suppress;
	}
	return any;
}

static void recipients(const struct report *r, char out[400])
{
	size_t n = 0;

	strcpy(out, "-");
	for (int i = 0; i < r->nrcpts && r->rcpts[i].address.n; i++)
		n += (size_t)snprintf(out + n, 400 - n, "%s%.*s", i ? "," : "",
				      (int)r->rcpts[i].address.n, r->rcpts[i].address.p);
}

/* Counts, so that a failure lists all that are wrong. */
struct tally {
	int kinds[5], wrong_kind, wrong_rcpt, with_rcpt, wrong_status, wrong_meaning;
};

static void compare(int i, const struct report *r, struct tally *t)
{
	char rcpts[400];
	const char *meaning = expected[i][4], *status = r->nrcpts ? r->rcpts[0].status : "";
	bool suppress = suppresses(r),
	     want = !strcmp(meaning, "hard") || !strcmp(meaning, "suppress");
	bool kind = !strcmp(report_kind_name(r->kind), expected[i][1]), rcpt, said;

	recipients(r, rcpts);
	rcpt = !strcmp(rcpts, expected[i][2]);
	said = !strcmp(expected[i][3], "*") || !strcmp(*status ? status : "-", expected[i][3]);
	t->kinds[r->kind]++;
	t->wrong_kind += !kind;
	t->with_rcpt += r->kind != REPORT_OTHER;
	t->wrong_rcpt += !rcpt;
	t->wrong_status += !said;
	t->wrong_meaning += suppress != want;
	if (!kind || !rcpt || !said || suppress != want)
		print_message("%s: %s by %s, %s, %s%s\n", expected[i][0], report_kind_name(r->kind),
			      r->rule, rcpts, status, suppress ? ", suppresses" : "");
}

static void reports_are_read_as_expected(void **state)
{
	struct tally t = { { 0 }, 0, 0, 0, 0, 0 };
	int neither;

	(void)state;
	for (int i = 0; i < nseeds; i++) {
		struct arena mem;
		struct report r;

		arena_init(&mem, 4096);
		assert_true(report_read(buf_str(&seeds[i]), &mem, &r));
		compare(i, &r, &t);
		arena_free(&mem);
	}
	neither = t.kinds[REPORT_OTHER] + t.kinds[REPORT_DELAYED] + t.kinds[REPORT_SUCCESS];
	printf("# %d bounces, %d feedback reports, %d neither: kind right for %d of %d, recipient "
	       "wrong for %d of %d, status for %d, meaning for %d\n",
	       t.kinds[REPORT_BOUNCE], t.kinds[REPORT_FEEDBACK], neither, nseeds - t.wrong_kind,
	       nseeds, t.wrong_rcpt, t.with_rcpt, t.wrong_status, t.wrong_meaning);
	assert_true(t.kinds[REPORT_BOUNCE] >= 60 && t.kinds[REPORT_FEEDBACK] >= 25 &&
		    neither >= 30);
	assert_int_equal(t.wrong_kind, 0);
	assert_true(t.wrong_rcpt * 100 <= t.with_rcpt * 3);
	assert_int_equal(t.wrong_status, 0);
	assert_int_equal(t.wrong_meaning, 0);
}

static void a_report_names_its_mail(void **state)
{
	struct arena mem;
	struct report r;
	static const char text[] =
	    "From: MAILER-DAEMON@there.example\nTo: b@news.example\nSubject: failure notice\n"
	    "Content-Type: multipart/report; boundary=x\n\n--x\n"
	    "Content-Type: message/delivery-status\n\nReporting-MTA: dns; mx.there.example\n"
	    "Original-Envelope-Id: q1w2\n\nFinal-Recipient: rfc822; bob@there.example\n"
	    "Action: failed\nStatus: 5.1.1\nRemote-MTA: dns; mx2.there.example\n\n--x\n"
	    "Content-Type: message/rfc822\n\nReturn-Path: <v@news.example>\n"
	    "Message-ID: <m1@news.example>\nX-Stoker-Ref: 1f.0.abc\n\n"
	    "Final-Recipient: rfc822; not@this.example\n--x--\n";

	(void)state;
	arena_init(&mem, 4096);
	assert_true(report_read(str_of(text), &mem, &r));
	assert_int_equal(r.nrcpts, 1);
	assert_true(str_eqz(r.envid, "q1w2") && str_eqz(r.message_id, "m1@news.example"));
	assert_true(str_eqz(r.return_path, "v@news.example") && str_eqz(r.ref, "1f.0.abc"));
	assert_true(str_eqz(r.reporting_mta, "mx.there.example"));
	assert_true(str_eqz(r.rcpts[0].remote_mta, "mx2.there.example"));
	arena_free(&mem);
}

static void codes_are_found_and_nothing_else(void **state)
{
	static const struct {
		const char *text, *status;
		int basic;
	} cases[] = {
		{ "550 5.1.1 no", "5.1.1", 550 },
		{ "550-5.1.1 no", "5.1.1", 550 },
		{ "said: 452 4.2.2 full", "4.2.2", 452 },
		{ "host 192.0.2.5.1.1 here", NULL, 0 },
		{ "[5.1.1.7] is port 550/tcp", NULL, 0 },
		{ "<mx #5.1.10 smtp;550 x>", "5.1.10", 550 },
		{ "10.0.4.555 and 25550", NULL, 0 },
		{ "message 1abc-550-x", NULL, 0 },
		{ "5.7.606,", "5.7.606", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char status[REPORT_STATUS_SIZE] = "";

		assert_int_equal(report_enhanced(str_of(cases[i].text), status),
				 cases[i].status != NULL);
		assert_string_equal(status, cases[i].status ? cases[i].status : "");
		assert_int_equal(report_basic(str_of(cases[i].text)), cases[i].basic);
	}
}

/* ---- hostile ---- */

static struct rng rng;

static size_t below(size_t n)
{
	return n ? (size_t)(rng_u64(&rng) % n) : 0;
}

static const char *const pieces[] = {
	"\n",
	"\r",
	"\r\n\r\n",
	"--=_b1\r\n",
	"--=_b1--\r\n",
	"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n",
	"Content-Type: message/delivery-status\r\n\r\n",
	"Content-Transfer-Encoding: base64\r\n",
	"=?utf-8?B?",
	"?=",
	"@",
	"@@",
	"<",
	">",
	"\"",
	"=",
	"=3D",
	"\\x{10FFFF}",
	"+40",
	";",
	":",
	"\xff\xfe",
	"\xc3",
	"&lt;",
	"<style>",
	"<!--",
	"mailto:",
	"550 5.1.1 ",
	"Final-Recipient: rfc822; a@b.example\r\n",
	"Original-Recipient: ;\r\n",
	"Action: failed\r\n",
	"Feedback-Type: abuse\r\n",
	"charset=iso-2022-jp",
	"charset=utf-7",
	"Received: x\r\n",
	" \t",
	"5.",
	"a@b.example ",
	"--- Below this line is a copy",
};

static void splice(struct buf *t, size_t at, struct str s)
{
	struct buf tail;

	buf_init(&tail);
	buf_add(&tail, t->p + at, t->n - at);
	t->n = at;
	buf_adds(t, s);
	buf_adds(t, buf_str(&tail));
	buf_free(&tail);
}

static void mutate(struct buf *t)
{
	const struct buf *other = &seeds[below((size_t)nseeds)];
	size_t at = below(t->n + 1), from = below(other->n), n;
	const char *piece = pieces[below(sizeof pieces / sizeof *pieces)];

	switch (below(6)) {
	case 0:
		if (t->n)
			t->p[below(t->n)] = (char)rng_u64(&rng);
		break;
	case 1:
		n = below(t->n - at + 1) % 200;
		memmove(t->p + at, t->p + at + n, t->n - at - n);
		t->n -= n;
		break;
	case 2:
		if (!below(8))
			t->n = at;
		break;
	case 3:
		splice(t, at, str_mem(other->p + from, below(other->n - from) % 600));
		break;
	case 4:
		for (n = below(40) ? 1 : below(60000); n && t->n < LARGEST / 4; n--)
			buf_addz(t, piece);
		break;
	default:
		splice(t, at, str_of(piece));
	}
}

static int64_t cpu_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct worst {
	int64_t us;
	size_t bytes;
};

static void read_hostile(struct str s, struct worst *w)
{
	struct arena mem;
	struct report r;
	int64_t before = cpu_us(), took;

	arena_init(&mem, 4096);
	if (report_read(s, &mem, &r)) {
		assert_true(r.nrcpts <= REPORT_RCPTS_MAX);
		if (r.kind != REPORT_BOUNCE && r.kind != REPORT_FEEDBACK)
			assert_false(suppresses(&r));
	}
	took = cpu_us() - before;
	w->us = took > w->us ? took : w->us;
	w->bytes = mem.total_bytes > w->bytes ? mem.total_bytes : w->bytes;
	arena_free(&mem);
}

static void check_worst(const char *what, int n, const struct worst *w)
{
	printf("# %d %s: slowest %.1f ms of CPU, largest %.1f MB\n", n, what, (double)w->us / 1000,
	       (double)w->bytes / 1048576);
	assert_true(w->us < SLOWEST_US * (SANITIZED ? 5 : 1));
	assert_true(w->bytes <= MIME_MEMORY_MAX + 2 * MIME_BYTES_MAX);
}

static void broken_reports_cost_little(void **state)
{
	int n = getenv("STOKER_FULL") ? FULL : REDUCED;
	struct worst w = { 0, 0 };
	struct buf t;

	(void)state;
	rng_seed(&rng, 20261127);
	buf_init(&t);
	for (int i = 0; i < n; i++) {
		buf_clear(&t);
		buf_adds(&t, buf_str(&seeds[below((size_t)nseeds)]));
		for (size_t k = 1 + below(i % 2 ? 4 : 25); k; k--)
			mutate(&t);
		read_hostile(buf_str(&t), &w);
	}
	buf_free(&t);
	check_worst("broken reports", n, &w);
}

/* A start, and one piece again and again up to more than is looked at. */
static void nothing_small_grows_large(void **state)
{
	static const char *const starts[] = {
		"Subject: ",
		"From: postmaster@a.example\nSubject: failure notice\n\nundeliverable\n",
		"Content-Type: text/html\nFrom: postmaster@a.example\n\n",
		"Content-Type: multipart/report; boundary=x\n\n--x\nContent-Type: "
		"message/delivery-status\n\n",
		"Content-Type: multipart/mixed; boundary=x\n\n",
		"Content-Type: text/plain; charset=utf-7\n\n",
	};
	static const char *const again[] = {
		"<",
		"@",
		"a@b.example ",
		"=?a?b?",
		"=?utf-8?q?=41?= ",
		"\n",
		"x: y\n",
		" y\n",
		"--x\n",
		"--x\n\n",
		"<a href=\"mailto:a@b.example\">",
		"<!--",
		"&",
		"\"",
		"+40",
		"\\x{41}",
		"Final-Recipient: rfc822; a@b.example\n\n",
		"Content-Type: multipart/mixed; boundary=x\n\n--x\n",
		"5.1.1 550 ",
		"a@b.example\n550 5.1.1 no\n",
		"Received: x\n",
		"\xff",
		"+AGE-",
		"To: a@b.example, ",
	};
	struct worst w = { 0, 0 };
	struct buf t;
	int n = 0;

	(void)state;
	buf_init(&t);
	for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
		for (size_t k = 0; k < sizeof again / sizeof *again; k++, n++) {
			buf_clear(&t);
			buf_addz(&t, starts[i]);
			while (t.n < LARGEST)
				buf_addz(&t, again[k]);
			read_hostile(buf_str(&t), &w);
		}
	buf_free(&t);
	check_worst("repetitions of 1.2 MB", n, &w);
}

/* ---- tokens ---- */

static void keys_of(const char *text, struct token_keys *k)
{
	char path[] = "/tmp/stoker-token.XXXXXX";
	int fd = mkstemp(path);
	struct errbuf e;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
	const struct err *err = token_keys_read(path, k, &e);
	unlink(path);
	assert_null(err);
}

static const struct str inbound = { "bounces.example", 15 }, nobody = { "", 0 };

static void tokens_verify_and_forgeries_do_not(void **state)
{
	struct token_keys k, other, both;
	const struct token t = { 0x4f2a91, 3 };
	struct token got;
	struct buf v, ref, bad, who;

	(void)state;
	keys_of("0123456789abcdef\n", &k);
	keys_of("fedcba9876543210\n", &other);
	keys_of("fedcba9876543210\n\n0123456789abcdef\n", &both);
	buf_init(&v);
	buf_init(&ref);
	buf_init(&bad);
	buf_init(&who);
	assert_true(token_verp(&k, t, STR_LIT("Bob@there.example"), inbound, &v));
	assert_true(token_ref(&k, t, NULL, &ref));
	assert_non_null(memmem(v.p, v.n, "=Bob=there.example@bounces.example", 34));
	assert_true(token_verp_verify(&k, buf_str(&v), inbound, nobody, &got, &who));
	assert_true(got.message == t.message && got.index == t.index);
	assert_string_equal(buf_z(&who), "Bob@there.example");
	assert_true(
	    token_verp_verify(&both, buf_str(&v), inbound, nobody, &got, &who)); /* the old key */
	assert_false(token_verp_verify(&other, buf_str(&v), inbound, nobody, &got, &who));
	assert_true(token_ref_verify(&k, buf_str(&ref), &got, NULL, NULL) && got.index == 3);
	assert_false(token_ref_verify(&other, buf_str(&ref), &got, NULL, NULL));
	for (size_t i = 0; i < v.n + ref.n; i++) { /* every byte counts */
		const struct buf *from = i < v.n ? &v : &ref;
		size_t at = i < v.n ? i : i - v.n;
		buf_clear(&bad);
		buf_adds(&bad, buf_str(from));
		bad.p[at] = bad.p[at] == 'x' ? 'y' : 'x';
		assert_false(from == &v
				 ? token_verp_verify(&k, buf_str(&bad), inbound, nobody, &got, &who)
				 : token_ref_verify(&k, buf_str(&bad), &got, NULL, NULL));
	}
	for (size_t i = 0; i < v.n; i++) /* folded by a server on its way */
		if (v.p[i] >= 'a' && v.p[i] <= 'z')
			v.p[i] = (char)(v.p[i] - 32);
	assert_true(token_verp_verify(&k, buf_str(&v), inbound, nobody, &got, &who));
	/* no token is one for another use */
	buf_clear(&bad);
	buf_addf(&bad, "bounce+%s@bounces.example", buf_z(&ref));
	assert_false(token_verp_verify(&k, buf_str(&bad), inbound, nobody, &got, &who));
	buf_free(&v);
	buf_free(&ref);
	buf_free(&bad);
	buf_free(&who);
}

/* It names its recipient no more, and is good for nobody else all the same. */
static void a_return_path_fits_a_local_part(void **state)
{
	struct str to = STR_LIT("a-very-long-name+x@there.example");
	struct token_keys k;
	const struct token t = { UINT64_MAX, UINT32_MAX };
	struct token got;
	struct buf v, who;

	(void)state;
	keys_of("0123456789abcdef\n", &k);
	buf_init(&v);
	buf_init(&who);
	assert_true(token_verp(&k, t, to, inbound, &v));
	assert_true((const char *)memchr(v.p, '@', v.n) - v.p <= 64);
	assert_false(token_verp_verify(&k, buf_str(&v), inbound, nobody, &got, &who));
	assert_false(token_verp_verify(&k, buf_str(&v), inbound, STR_LIT("victim@there.example"),
				       &got, &who));
	assert_int_equal(who.n, 0);
	assert_true(token_verp_verify(&k, buf_str(&v), inbound, to, &got, &who));
	assert_true(str_eq(buf_str(&who), to));
	assert_true(got.message == t.message && got.index == t.index);
	buf_free(&v);
	buf_free(&who);
}

/* The longest path of RFC 5321, all of it beyond ASCII, at the longest domain. */
static void every_address_has_a_return_path(void **state)
{
	char to[255], domain[254];
	const struct token t = { UINT64_MAX, UINT32_MAX };
	struct token_keys k;
	struct token got;
	struct buf v, who;

	(void)state;
	for (size_t i = 0; i < 254; i += 2)
		memcpy(to + i, "\xc3\xa4", 2);
	to[64] = '@';
	to[65] = 'x';
	memset(domain, 'd', 253);
	keys_of("0123456789abcdef\n", &k);
	buf_init(&v);
	buf_init(&who);
	assert_true(token_verp(&k, t, str_mem(to, 254), str_mem(domain, 253), &v));
	assert_true(
	    token_verp_verify(&k, buf_str(&v), str_mem(domain, 253), str_mem(to, 254), &got, &who));
	assert_true(str_eq(buf_str(&who), str_mem(to, 254)));
	buf_free(&v);
	buf_free(&who);
}

static void what_a_return_path_spells_is_read_back(void **state)
{
	static const char *const odd[] = { "a=b@there.example", "a~7e@x.example",
					   "\"a b\"@x.example", "j\xc3\xb6rg@x.example" };
	const struct token t = { 7, 0 };
	struct token_keys k;
	struct token got;
	struct buf v, who;

	(void)state;
	keys_of("0123456789abcdef\n", &k);
	buf_init(&v);
	buf_init(&who);
	for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
		buf_clear(&v);
		buf_clear(&who);
		assert_true(token_verp(&k, t, str_of(odd[i]), inbound, &v));
		assert_true(token_verp_verify(&k, buf_str(&v), inbound, nobody, &got, &who));
		assert_string_equal(buf_z(&who), odd[i]);
	}
	buf_free(&v);
	buf_free(&who);
}

static void a_reference_tells_its_owner_what_it_was_about(void **state)
{
	const struct token_about in = { STR_LIT("bob@there.example"),
					STR_LIT("news@bounces.example"),
					STR_LIT("spring"),
					STR_LIT("shop"),
					STR_LIT("vmta1"),
					STR_LIT("e+2B1") };
	struct token_keys k, other, both;
	struct token_about out;
	struct token got;
	struct arena mem;
	struct buf ref;

	(void)state;
	keys_of("0123456789abcdef\n", &k);
	keys_of("fedcba9876543210\n", &other);
	keys_of("fedcba9876543210\n0123456789abcdef\n", &both);
	buf_init(&ref);
	arena_init(&mem, 512);
	assert_true(token_ref(&k, (struct token){ 0x1f, 2 }, &in, &ref));
	assert_null(memmem(ref.p, ref.n, "bob", 3)); /* nobody else reads it */
	for (size_t i = 0, line = 0; i < ref.n; i++, line++) {
		line = ref.p[i] == '\n' ? 0 : line;
		assert_true(line < 78);
	}
	assert_false(token_ref_verify(&other, buf_str(&ref), &got, &mem, &out));
	assert_true(token_ref_verify(&both, buf_str(&ref), &got, &mem, &out));
	assert_true(got.message == 0x1f && got.index == 2);
	assert_true(str_eq(out.recipient, in.recipient) && str_eq(out.sender, in.sender) &&
		    str_eq(out.job, in.job) && str_eq(out.user, in.user) &&
		    str_eq(out.virtual_mta, in.virtual_mta) && str_eq(out.envid, in.envid));
	for (size_t i = 38; i < ref.n;
	     i++) { /* changed behind the token: the token alone is left */
		char was = ref.p[i];

		if ((unsigned char)was <= ' ')
			continue;
		ref.p[i] = was == 'A' ? 'B' : 'A';
		assert_true(token_ref_verify(&k, buf_str(&ref), &got, &mem, &out));
		assert_int_equal(out.recipient.n, 0);
		ref.p[i] = was;
	}
	arena_free(&mem);
	buf_free(&ref);
}

static void keys_that_all_can_read_are_refused(void **state)
{
	char path[] = "/tmp/stoker-token.XXXXXX";
	int fd = mkstemp(path);
	struct token_keys k;
	struct errbuf e;

	(void)state;
	assert_int_equal(write(fd, "short\n", 6), 6);
	assert_ptr_equal(token_keys_read(path, &k, &e), &err_invalid);
	assert_non_null(strstr(e.text, "16 to 128 bytes"));
	assert_int_equal(fchmod(fd, 0644), 0);
	assert_ptr_equal(token_keys_read(path, &k, &e), &err_invalid);
	assert_non_null(strstr(e.text, "by everybody"));
	assert_int_equal(k.n, 0);
	close(fd);
	unlink(path);
}

static void a_parameter_may_come_in_pieces(void **state)
{
	static const struct {
		const char *value, *name, *found;
	} cases[] = {
		{ "text/plain; charset=UTF-8; boundary=\"a;b\\\"c\"", "boundary", "a;b\"c" },
		{ "m/m; boundary*0=\"one \";\n boundary*1=two; x=y", "boundary", "one two" },
		{ "m/m; boundary*1=two; boundary*0=one; boundary*3=lost", "boundary", "onetwo" },
		{ "a; filename*=UTF-8''%c3%a4%20b.eml", "filename", "\xc3\xa4 b.eml" },
		{ "a; filename*=iso-8859-1'de'%E4", "filename", "\xc3\xa4" },
		{ "a; filename*0*=utf-8''%e2%82; filename*1*=%ac; filename*2=%41", "filename",
		  "\xe2\x82\xac%41" },
		{ "a; filename*=x%; filename*0=late", "filename", "x%" },
		{ "a; filename*9999999999=x; filename*-1=y; filename*x=z; filename**=w", "filename",
		  "" },
		{ "a; filenames=x; filename=y", "filename", "y" },
		{ "a; filename*1=x", "filename", "" },
		{ "a; filename*=utf-8'%41", "filename", "utf-8'A" },
		{ "a; filename", "filename", "" },
	};
	struct arena mem;

	(void)state;
	arena_init(&mem, 4096);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct mime m = { .mem = &mem };
		struct str found = mime_param(&m, str_of(cases[i].value), cases[i].name);
		if (!str_eqz(found, cases[i].found))
			fail_msg("%s: \"%.*s\"", cases[i].value, (int)found.n, found.p);
	}
	arena_free(&mem);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reports_are_read_as_expected),
		cmocka_unit_test(a_report_names_its_mail),
		cmocka_unit_test(a_parameter_may_come_in_pieces),
		cmocka_unit_test(codes_are_found_and_nothing_else),
		cmocka_unit_test(broken_reports_cost_little),
		cmocka_unit_test(nothing_small_grows_large),
		cmocka_unit_test(tokens_verify_and_forgeries_do_not),
		cmocka_unit_test(a_return_path_fits_a_local_part),
		cmocka_unit_test(every_address_has_a_return_path),
		cmocka_unit_test(what_a_return_path_spells_is_read_back),
		cmocka_unit_test(a_reference_tells_its_owner_what_it_was_about),
		cmocka_unit_test(keys_that_all_can_read_are_refused),
	};

	return cmocka_run_group_tests(tests, open_all, close_all);
}
