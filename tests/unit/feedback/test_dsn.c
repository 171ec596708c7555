/* What our own reports promise: RFC 3464's fields, nothing of the body but on request, no peer byte
 * that breaks the form. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/base/rng.h"
#include "core/feedback/dsn.h"

static struct dsn_rcpt rcpt(const char *address, const char *reply, const char *enhanced,
			    uint8_t as)
{
	return (struct dsn_rcpt){ .address = str_of(address),
				  .reply = str_of(reply),
				  .enhanced = str_of(enhanced),
				  .orcpt = STR_LIT(""),
				  .mx = STR_LIT("mx.test.example"),
				  .as = as,
				  .failed_at = 1700000000 * US_PER_S,
				  .expires_at = 1700400000 * US_PER_S };
}

static const struct conf_mta mta = { .hostname = "mta.test.example" };

static void build(struct dsn_job *j, struct str original, struct buf *out)
{
	j->message = 0x4f2a91;
	j->sender = STR_LIT("me@source.example");
	j->received_at = 1699990000 * US_PER_S;
	j->size = original.n;
	buf_init(out);
	assert_true(dsn_build(j, &mta, original, 77, 1700000100 * US_PER_S, out));
}

static bool has(const struct buf *b, const char *piece)
{
	return memmem(b->p, b->n, piece, strlen(piece)) != NULL;
}

static void wire_clean(const struct buf *b)
{
	for (size_t i = 0; i < b->n; i++) {
		if (b->p[i] == '\n')
			assert_true(i && b->p[i - 1] == '\r');
		if (b->p[i] == '\r')
			assert_true(i + 1 < b->n && b->p[i + 1] == '\n');
		assert_int_not_equal(b->p[i], 0);
		assert_int_not_equal(b->p[i], 27);
	}
}

static void failed_recipients_share_one_report(void **state)
{
	(void)state;
	struct dsn_rcpt r[2] = { rcpt("a@test.example", "550 5.1.1 no such user", "5.1.1",
				      DECIDE_BOUNCED),
				 rcpt("b@test.example", "", "4.4.7", DECIDE_EXPIRED) };
	struct dsn_job j = { .rcpts = r, .nrcpts = 2, .envid = STR_LIT("abc+2Bdef") };
	struct buf out;
	build(&j, STR_LIT("Subject: hello\r\nFrom: x\r\n\r\nsecret body\r\n"), &out);
	wire_clean(&out);
	assert_true(has(&out, "report-type=delivery-status"));
	assert_true(
	    has(&out,
		"Final-Recipient: rfc822; a@test.example\r\nAction: failed\r\nStatus: 5.1.1\r\n"));
	assert_true(
	    has(&out,
		"Final-Recipient: rfc822; b@test.example\r\nAction: failed\r\nStatus: 4.4.7\r\n"));
	assert_true(has(&out, "Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"));
	assert_true(has(&out, "Original-Envelope-Id: abc+def\r\n"));
	assert_true(has(&out, "text/rfc822-headers\r\n\r\nSubject: hello\r\n"));
	assert_false(has(&out, "secret body"));
	assert_true(has(&out, "To: <me@source.example>\r\n"));
	buf_free(&out);
}

static void relayed_mail_is_told_apart_from_failed(void **state)
{
	struct dsn_rcpt r[] = { rcpt("a@test.example", "250 2.6.0 queued", "2.6.0",
				     DECIDE_DELIVERED),
				rcpt("b@test.example", "550 5.1.1 no", "5.1.1", DECIDE_BOUNCED) };
	struct dsn_job j = {
		.message = 1, .sender = STR_LIT("s@x.example"), .rcpts = r, .nrcpts = 1
	};
	struct buf out;

	(void)state;
	buf_init(&out);
	build(&j, STR_LIT("Subject: s\r\n\r\nbody\r\n"), &out);
	assert_true(has(&out, "Subject: Mail Relayed"));
	assert_true(has(&out, "Action: relayed\r\nStatus: 2.6.0\r\n"));
	assert_false(has(&out, "could not be delivered"));
	wire_clean(&out);
	buf_free(&out);
	j.nrcpts = 2;
	build(&j, STR_LIT("Subject: s\r\n\r\nbody\r\n"), &out);
	assert_true(has(&out, "Subject: Undelivered"));
	assert_true(has(&out, "Action: relayed\r\n"));
	assert_true(has(&out, "Action: failed\r\n"));
	buf_free(&out);
}

static void the_whole_message_comes_back_only_when_asked_for(void **state)
{
	(void)state;
	struct dsn_rcpt r = rcpt("a@test.example", "550 no", "5.0.0", DECIDE_BOUNCED);
	struct dsn_job j = { .rcpts = &r, .nrcpts = 1, .ret = 1 };
	struct buf out;
	build(&j, STR_LIT("Subject: hello\r\n\r\nthe body\r\n"), &out);
	assert_true(has(&out, "message/rfc822") && has(&out, "the body"));
	buf_free(&out);
	r.as = DECIDE_DEFERRED; /* a delay report never quotes it */
	build(&j, STR_LIT("Subject: hello\r\n\r\nthe body\r\n"), &out);
	assert_false(has(&out, "the body"));
	assert_true(has(&out, "Action: delayed") && has(&out, "Will-Retry-Until: "));
	buf_free(&out);
}

static void hostile_replies_cannot_break_the_form(void **state)
{
	(void)state;
	struct rng rng;
	rng_seed(&rng, 5);
	for (int i = 0; i < 2000; i++) {
		char reply[120];
		size_t n = rng_below(&rng, sizeof reply - 1);
		for (size_t k = 0; k < n; k++)
			reply[k] = (char)(1 + rng_below(&rng, 255));
		reply[n] = 0;
		struct dsn_rcpt r = rcpt("a@test.example", reply, "5.0.0", DECIDE_BOUNCED);
		r.mx = str_of(reply);
		struct dsn_job j = { .rcpts = &r, .nrcpts = 1 };
		struct buf out;
		build(&j, STR_LIT("Subject: x\r\n\r\n"), &out);
		wire_clean(&out);
		assert_true(has(&out, "\r\nFinal-Recipient: rfc822; a@test.example\r\n"));
		buf_free(&out);
	}
}

/* Else other servers may refuse the report, and the sender would learn nothing. */
static void a_remote_cannot_make_the_report_undeliverable(void **state)
{
	static char reply[4000];

	(void)state;
	for (int utf8 = 0; utf8 < 2; utf8++) {
		for (size_t i = 0; i < sizeof reply - 1; i++)
			reply[i] = "550 \xcc\x81\xe2\x82\xac\x1b\xff "[i % 12];
		memcpy(reply, "550 ", 4);
		struct dsn_rcpt r = rcpt("a@test.example", reply, "5.0.0", DECIDE_BOUNCED);
		struct dsn_job j = { .rcpts = &r, .nrcpts = 1, .smtputf8 = utf8 };
		struct buf out;
		size_t line = 0;
		build(&j, STR_LIT("Subject: x\r\n\r\n"), &out);
		wire_clean(&out);
		for (size_t i = 0; i < out.n; i++) {
			line = out.p[i] == '\n' ? 0 : line + 1;
			assert_true(line <= 999); /* RFC 5322 2.1.1: 998 and a CR */
			if (!utf8)
				assert_true((unsigned char)out.p[i] < 128);
		}
		buf_free(&out);
	}
}

static void a_boundary_never_stands_in_the_original(void **state)
{
	(void)state;
	struct dsn_rcpt r = rcpt("a@test.example", "550 no", "5.0.0", DECIDE_BOUNCED);
	struct dsn_job j = { .rcpts = &r, .nrcpts = 1, .ret = 1 };
	struct buf first, text, out;
	build(&j, STR_LIT("Subject: x\r\n\r\n"), &first);
	const char *b = memmem(first.p, first.n, "boundary=\"", 10);
	assert_non_null(b);
	buf_init(&text);
	buf_addf(&text, "Subject: x\r\n\r\n--%.*s\r\n", (int)strcspn(b + 10, "\""), b + 10);
	build(&j, buf_str(&text), &out);
	const char *b2 = memmem(out.p, out.n, "boundary=\"", 10);
	assert_non_null(b2);
	assert_int_not_equal(strncmp(b + 10, b2 + 10, strcspn(b + 10, "\"")), 0);
	buf_free(&first);
	buf_free(&text);
	buf_free(&out);
}

int main(void)
{
	clock_init();
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_recipients_share_one_report),
		cmocka_unit_test(relayed_mail_is_told_apart_from_failed),
		cmocka_unit_test(the_whole_message_comes_back_only_when_asked_for),
		cmocka_unit_test(hostile_replies_cannot_break_the_form),
		cmocka_unit_test(a_remote_cannot_make_the_report_undeliverable),
		cmocka_unit_test(a_boundary_never_stands_in_the_original),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
