#include "core/spool/envelope.h"

#include "core/spool/wire.h"

/* varint recipients, u8 flags, u8 ret, u8 priority, varint received_at, texts sender job user route
 * envid client; of a report: varint message, varint count, varints; then the recipients: u8 flags,
 * u8 notify, text address, text domain unless it is the address's tail, text orcpt if there. */
enum {
	FLAG_SMTPUTF8 = 1,
	FLAG_EIGHTBIT = 2,
	FLAG_DSN = 4,
	RCPT_DOMAIN_IS_TAIL = 1,
	RCPT_ORCPT = 2,
	HEAD_TEXTS = 6,
};

/* What stands behind the last @. */
static struct str tail_of(struct str address)
{
	const char *at = address.n ? memrchr(address.p, '@', address.n) : NULL;

	return at ? str_mem(at + 1, (size_t)(address.p + address.n - at - 1)) : address;
}

static bool domain_is_tail(const struct message_rcpt *r)
{
	return str_eq(r->domain, tail_of(r->address));
}

static void head_texts(const struct message *m, struct str out[HEAD_TEXTS])
{
	out[0] = m->sender;
	out[1] = m->job;
	out[2] = m->user;
	out[3] = m->route;
	out[4] = m->envid;
	out[5] = m->client;
}

static size_t most_bytes(const struct message *m)
{
	size_t n = 3 + 5 * WIRE_VARINT_MAX + (size_t)m->nreports_rcpts * WIRE_VARINT_MAX;
	struct str texts[HEAD_TEXTS];

	head_texts(m, texts);
	for (unsigned i = 0; i < HEAD_TEXTS; i++)
		n += texts[i].n + WIRE_TEXT_MORE;
	for (uint32_t i = 0; i < m->nrcpts; i++)
		n += 2 + 3 * WIRE_TEXT_MORE + m->rcpts[i].address.n + m->rcpts[i].domain.n +
		     m->rcpts[i].orcpt.n;
	return n;
}

static char *put_rcpt(char *p, const struct message_rcpt *r)
{
	bool tail = domain_is_tail(r);

	*p++ = (char)((tail ? RCPT_DOMAIN_IS_TAIL : 0) | (r->orcpt.n ? RCPT_ORCPT : 0));
	*p++ = (char)r->notify;
	p = wire_put_text(p, r->address);
	if (!tail)
		p = wire_put_text(p, r->domain);
	return r->orcpt.n ? wire_put_text(p, r->orcpt) : p;
}

bool envelope_encode(struct buf *out, const struct message *m)
{
	struct str texts[HEAD_TEXTS];
	char *p;

	if (!buf_reserve(out, most_bytes(m)))
		return false;
	head_texts(m, texts);
	p = wire_put_varint(out->p + out->n, m->nrcpts);
	*p++ = (char)((m->smtputf8 ? FLAG_SMTPUTF8 : 0) | (m->eightbit ? FLAG_EIGHTBIT : 0) |
		      (m->dsn ? FLAG_DSN : 0));
	*p++ = (char)m->ret;
	*p++ = (char)m->priority;
	p = wire_put_varint(p, wire_zigzag(m->received_at));
	for (unsigned i = 0; i < HEAD_TEXTS; i++)
		p = wire_put_text(p, texts[i]);
	if (m->dsn) {
		p = wire_put_varint(p, m->reports_on);
		p = wire_put_varint(p, m->nreports_rcpts);
		for (uint32_t i = 0; i < m->nreports_rcpts; i++)
			p = wire_put_varint(p, m->reports_rcpts[i]);
	}
	for (uint32_t i = 0; i < m->nrcpts; i++)
		p = put_rcpt(p, &m->rcpts[i]);
	out->n = (size_t)(p - out->p);
	return true;
}

uint32_t envelope_rcpts(struct str bytes)
{
	struct reader r = { .p = (const uint8_t *)bytes.p, .n = bytes.n };
	uint64_t n = wire_varint(&r);

	return r.bad || n > UINT32_MAX ? 0 : (uint32_t)n;
}

static bool get_head(struct reader *r, struct message *m)
{
	uint8_t flags = reader_u8(r);

	m->smtputf8 = flags & FLAG_SMTPUTF8;
	m->eightbit = flags & FLAG_EIGHTBIT;
	m->dsn = flags & FLAG_DSN;
	m->ret = reader_u8(r);
	m->priority = reader_u8(r);
	m->received_at = wire_unzigzag(wire_varint(r));
	m->sender = wire_text(r);
	m->job = wire_text(r);
	m->user = wire_text(r);
	m->route = wire_text(r);
	m->envid = wire_text(r);
	m->client = wire_text(r);
	return !r->bad;
}

static bool get_reports(struct reader *r, struct message *m)
{
	uint64_t n;
	uint32_t *rcpts;

	if (!m->dsn)
		return true;
	m->reports_on = wire_varint(r);
	n = wire_varint(r);
	/* A varint takes at least a byte: a damaged count never becomes an allocation. */
	if (r->bad || n > r->n)
		return false;
	rcpts = arena_alloc(&m->arena, (size_t)n * sizeof *rcpts);
	if (!rcpts)
		return false;
	for (uint64_t i = 0; i < n; i++)
		rcpts[i] = (uint32_t)wire_varint(r);
	m->reports_rcpts = rcpts;
	m->nreports_rcpts = (uint32_t)n;
	return !r->bad;
}

static void get_rcpt(struct reader *r, struct message_rcpt *out)
{
	uint8_t flags = reader_u8(r);

	out->notify = reader_u8(r);
	out->address = wire_text(r);
	out->domain = flags & RCPT_DOMAIN_IS_TAIL ? tail_of(out->address) : wire_text(r);
	out->orcpt = flags & RCPT_ORCPT ? wire_text(r) : STR_LIT("");
	out->reply = STR_LIT("");
}

/* The whole envelope is copied into the arena once; all texts are slices of that copy. */
static bool decode_into(struct message *m, struct str bytes, bool *damaged)
{
	char *copy = arena_alloc(&m->arena, bytes.n);
	struct reader r = { .p = (const uint8_t *)copy, .n = bytes.n };
	uint64_t n;

	if (!copy)
		return false;
	memcpy(copy, bytes.p, bytes.n);
	n = wire_varint(&r);
	*damaged = !get_head(&r, m) || !get_reports(&r, m) || n > r.n;
	if (*damaged)
		return false;
	m->rcpts = arena_alloc(&m->arena, (size_t)n * sizeof *m->rcpts);
	if (!m->rcpts)
		return false;
	m->nrcpts = (uint32_t)n;
	for (uint32_t i = 0; i < m->nrcpts && !r.bad; i++)
		get_rcpt(&r, &m->rcpts[i]);
	*damaged = r.bad || r.n;
	return !*damaged;
}

struct message *envelope_decode(struct str bytes, bool *damaged)
{
	struct message *m = message_new();
	size_t rcpts = envelope_rcpts(bytes);

	*damaged = false;
	if (!m)
		return NULL;
	/* One block for all of it; a recipient takes at least a byte, so a damaged count does not
	 * become a huge one. */
	if (rcpts > bytes.n)
		rcpts = 0;
	arena_init(&m->arena, bytes.n + rcpts * sizeof *m->rcpts + 64);
	if (decode_into(m, bytes, damaged))
		return m;
	message_free(m);
	return NULL;
}
