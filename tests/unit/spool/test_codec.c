/* What goes to disk comes back as it was; what did not come from us is refused and never read past
 * its end. */
#include "core/base/rng.h"
#include "core/spool/engine.h"
#include "core/spool/envelope.h"
#include "core/spool/wire.h"
#include "tests/unit/spool/kit.h"

static void numbers_and_texts_come_back(void **state)
{
	static const uint64_t numbers[] = { 0,	       1, 127, 128, 300, 1u << 31, UINT64_MAX / 2,
					    UINT64_MAX };
	char out[256];

	(void)state;
	for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
		char *end = wire_put_varint(out, numbers[i]);
		struct reader r = { .p = (const uint8_t *)out, .n = (size_t)(end - out) };

		assert_true(r.n <= WIRE_VARINT_MAX);
		assert_true(wire_varint(&r) == numbers[i] && !r.bad && !r.n);
		for (size_t n = 0; n < (size_t)(end - out); n++) {
			r = (struct reader){ .p = (const uint8_t *)out, .n = n };
			wire_varint(&r);
			assert_true(r.bad);
		}
		int64_t v = (int64_t)numbers[i];

		assert_true(wire_unzigzag(wire_zigzag(v)) == v &&
			    wire_unzigzag(wire_zigzag(-v)) == -v);
	}
	struct reader r = { .p = (const uint8_t *)"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
			    .n = 11 };

	wire_varint(&r);
	assert_true(r.bad);
}

static struct event full_event(void)
{
	return (struct event){ .at = 1,
			       .type = EVENT_DEFERRED,
			       .message = UINT64_MAX,
			       .rcpt = UINT32_MAX,
			       .count = 3,
			       .sender = STR_LIT("s"),
			       .recipient = STR_LIT("r@x"),
			       .queue = STR_LIT("x/pool"),
			       .site = STR_LIT("google"),
			       .virtual_mta = STR_LIT("v"),
			       .source_ip = STR_LIT("192.0.2.1"),
			       .mx = STR_LIT("mx.x"),
			       .mx_ip = STR_LIT("2001:db8::1"),
			       .reply = STR_LIT("451 \xff\x00 bytes"),
			       .enhanced = STR_LIT("4.7.1"),
			       .category = STR_LIT("rate"),
			       .tls = STR_LIT("TLSv1.3"),
			       .job = STR_LIT("j"),
			       .user = STR_LIT("u"),
			       .reporting_mta = STR_LIT("mx.far"),
			       .feedback_type = STR_LIT("abuse"),
			       .user_agent = STR_LIT("Loop/1"),
			       .format = STR_LIT("arf"),
			       .matched = STR_LIT("verp"),
			       .scope = STR_LIT("news.example"),
			       .seconds = -5,
			       .queued_at = 77,
			       .next_attempt = US_NEVER,
			       .size = 1u << 30,
			       .attempt = UINT32_MAX,
			       .hard = true,
			       .maybe_twice = true };
}

static void an_event_comes_back(void **state)
{
	struct event in = full_event(), out = { .id = 9 };
	struct reader r;
	struct buf b;

	(void)state;
	buf_init(&b);
	assert_true(event_encode(&b, &in));
	in.sender = in.reply = STR_LIT("");
	in.type = EVENT_RECEIVED;
	assert_true(event_encode(&b, &in));
	r = (struct reader){ .p = (const uint8_t *)b.p, .n = b.n };
	assert_true(event_decode(&r, &out));
	in = full_event();
	assert_int_equal(out.id, 9);
	assert_int_equal(out.type, in.type);
	assert_true(out.at == in.at && out.message == in.message && out.rcpt == in.rcpt &&
		    out.count == in.count);
	assert_true(out.seconds == in.seconds && out.queued_at == in.queued_at);
	assert_true(out.next_attempt == in.next_attempt && out.size == in.size);
	assert_true(out.attempt == in.attempt && out.maybe_twice == in.maybe_twice);
	assert_true(out.hard);
	assert_true(str_eq(out.sender, in.sender) && str_eq(out.recipient, in.recipient));
	assert_true(str_eq(out.site, in.site));
	assert_true(str_eq(out.queue, in.queue) && str_eq(out.virtual_mta, in.virtual_mta));
	assert_true(str_eq(out.source_ip, in.source_ip) && str_eq(out.mx, in.mx));
	assert_true(str_eq(out.mx_ip, in.mx_ip) && str_eq(out.reply, in.reply));
	assert_true(str_eq(out.enhanced, in.enhanced) && str_eq(out.category, in.category));
	assert_true(str_eq(out.tls, in.tls) && str_eq(out.job, in.job) &&
		    str_eq(out.user, in.user));
	assert_true(str_eq(out.reporting_mta, in.reporting_mta) &&
		    str_eq(out.feedback_type, in.feedback_type) &&
		    str_eq(out.user_agent, in.user_agent) && str_eq(out.format, in.format) &&
		    str_eq(out.matched, in.matched) && str_eq(out.scope, in.scope));
	assert_true(event_decode(&r, &out));
	assert_true(out.type == EVENT_RECEIVED && !out.sender.n && !out.reply.n &&
		    str_eq(out.user, in.user));
	assert_false(event_decode(&r, &out));
	assert_false(r.bad);
	buf_free(&b);
	assert_string_equal(event_type_name(EVENT_EXPIRED), "expired");
	assert_string_equal(event_type_name(EVENT_REMOTE_BOUNCED), "remote-bounced");
	assert_string_equal(event_type_name(EVENT_COMPLAINT), "complaint");
	assert_string_equal(event_type_name(EVENT_SUPPRESSED), "suppressed");
	assert_string_equal(event_type_name(EVENT_TYPES), "unknown");
}

/* Copies into memory of exactly that size, so that ASan sees a byte read behind it. */
static char *exact(struct str s)
{
	char *p = malloc(s.n ? s.n : 1);

	assert_non_null(p);
	memcpy(p, s.p, s.n);
	return p;
}

static void damaged(struct buf *b, void (*read)(struct str s))
{
	struct rng r;

	rng_seed(&r, 1);
	for (int i = 0; i < 30000; i++) {
		size_t n = rng_below(&r, 3) ? b->n : (size_t)rng_below(&r, b->n + 1);
		char *p = exact(str_mem(b->p, n));

		for (uint64_t k = rng_below(&r, 4); k && n; k--)
			p[rng_below(&r, n)] = (char)rng_below(&r, 256);
		read(str_mem(p, n));
		free(p);
	}
}

static size_t sink; /* reads every byte that a slice claims to have */

static void touch(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		sink += (unsigned char)s.p[i];
}

static void read_events(struct str s)
{
	struct reader r = { .p = (const uint8_t *)s.p, .n = s.n };
	struct event e = { .id = 0 };

	while (event_decode(&r, &e)) {
		touch(e.sender);
		touch(e.reply);
		touch(e.user);
	}
}

static void read_envelope(struct str s)
{
	bool bad;
	struct message *m = envelope_decode(s, &bad);

	if (!m)
		return;
	touch(m->sender);
	touch(m->client);
	for (uint32_t i = 0; i < m->nrcpts; i++) {
		touch(m->rcpts[i].address);
		touch(m->rcpts[i].domain);
		touch(m->rcpts[i].orcpt);
	}
	message_free(m);
}

static void read_rows(struct str s)
{
	struct segment seg;
	struct msg_row row;
	struct change c;
	struct reader r;
	uint32_t n;
	uint64_t v;

	if (index_parse_message(s, &row))
		read_envelope(row.envelope);
	if (index_parse_rcpt(s, &c))
		touch(c.reply);
	if (eventlog_parse_blob(s, &n, &r))
		read_events(str_mem(r.p, r.n));
	index_parse_segment(s, s, &seg);
	index_parse_rcpt_key(s, &v, &n);
	index_parse_u64_key(s, &v);
}

static void damaged_bytes_are_never_read_past_their_end(void **state)
{
	struct event e = full_event();
	struct message *m;
	struct kit k;
	struct buf b;

	(void)state;
	buf_init(&b);
	for (int i = 0; i < 3; i++)
		assert_true(event_encode(&b, &e));
	damaged(&b, read_events);
	damaged(&b, read_rows);
	buf_clear(&b);
	kit_init(&k);
	kit_open(&k);
	m = kit_message(&k, 3, 0);
	m->dsn = true;
	m->reports_rcpts = (const uint32_t[]){ 1, 2, 3 };
	m->nreports_rcpts = 3;
	m->rcpts[1].orcpt = STR_LIT("rfc822;x");
	assert_true(envelope_encode(&b, m));
	assert_int_equal(envelope_rcpts(buf_str(&b)), 3);
	damaged(&b, read_envelope);
	struct buf row;

	buf_init(&row);
	assert_true(buf_put_u8(&row, 1) && buf_put_u8(&row, 0));
	for (int i = 0; i < 4; i++)
		assert_true(buf_put_u64(&row, (uint64_t)i));
	assert_true(buf_adds(&row, buf_str(&b)));
	damaged(&row, read_rows);
	buf_free(&row);
	buf_free(&b);
	message_free(m);
	kit_done(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers_and_texts_come_back),
		cmocka_unit_test(an_event_comes_back),
		cmocka_unit_test(damaged_bytes_are_never_read_past_their_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
