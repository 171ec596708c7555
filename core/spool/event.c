#include "core/spool/event.h"

#include <stddef.h>

#include "core/spool/wire.h"

/* An encoded event: u32 length of what follows, then type, the number of texts that are present as
 * a bit mask, the numbers, the texts in the order below. Fields are only ever added at the end of
 * the tables; a shorter mask then reads as "left out". */
static const size_t text_fields[] = {
	offsetof(struct event, sender),	       offsetof(struct event, recipient),
	offsetof(struct event, queue),	       offsetof(struct event, virtual_mta),
	offsetof(struct event, source_ip),     offsetof(struct event, mx),
	offsetof(struct event, mx_ip),	       offsetof(struct event, reply),
	offsetof(struct event, enhanced),      offsetof(struct event, category),
	offsetof(struct event, tls),	       offsetof(struct event, job),
	offsetof(struct event, user),	       offsetof(struct event, orcpt),
	offsetof(struct event, envid),	       offsetof(struct event, route),
	offsetof(struct event, others),	       offsetof(struct event, esmtp),
	offsetof(struct event, reporting_mta), offsetof(struct event, feedback_type),
	offsetof(struct event, user_agent),    offsetof(struct event, format),
	offsetof(struct event, matched),       offsetof(struct event, scope),
	offsetof(struct event, site),
};
enum {
	TEXTS = sizeof text_fields / sizeof text_fields[0],
	NUMBERS = 11, /* type, mask and those of put_numbers */
	LENGTH_BYTES = 4,
};
/* A bit of the mask that is no text; those of texts that came later lie above it. */
enum { HARD_BIT = 24 };
#define MASK_HARD (1u << HARD_BIT)
_Static_assert(TEXTS < 32, "each text has a bit in the mask");

static uint32_t text_bit(unsigned i)
{
	return 1u << (i < HARD_BIT ? i : i + 1);
}

const char *event_type_name(enum event_type t)
{
	static const char *const names[EVENT_TYPES] = {
		[EVENT_RECEIVED] = "received",
		[EVENT_REJECTED] = "rejected",
		[EVENT_DELIVERED] = "delivered",
		[EVENT_DEFERRED] = "deferred",
		[EVENT_BOUNCED] = "bounced",
		[EVENT_EXPIRED] = "expired",
		[EVENT_REMOVED] = "removed",
		[EVENT_UNREACHED] = "unreached",
		[EVENT_REMOTE_BOUNCED] = "remote-bounced",
		[EVENT_COMPLAINT] = "complaint",
		[EVENT_SUPPRESSED] = "suppressed",
	};
	const char *name = (unsigned)t < EVENT_TYPES ? names[t] : NULL;

	return name ? name : "unknown";
}

static struct str text_of(const struct event *e, unsigned i)
{
	struct str s;

	memcpy(&s, (const char *)e + text_fields[i], sizeof s);
	return s;
}

static char *put_numbers(char *p, const struct event *e)
{
	p = wire_put_varint(p, wire_zigzag(e->at));
	p = wire_put_varint(p, e->message);
	p = wire_put_varint(p, e->rcpt);
	p = wire_put_varint(p, e->count);
	p = wire_put_varint(p, wire_zigzag(e->seconds));
	p = wire_put_varint(p, wire_zigzag(e->queued_at));
	p = wire_put_varint(p, wire_zigzag(e->next_attempt));
	p = wire_put_varint(p, e->size);
	return wire_put_varint(p, (uint64_t)e->attempt << 1 | e->maybe_twice);
}

static void get_numbers(struct reader *r, struct event *e)
{
	uint64_t last;

	e->at = wire_unzigzag(wire_varint(r));
	e->message = wire_varint(r);
	e->rcpt = (uint32_t)wire_varint(r);
	e->count = (uint32_t)wire_varint(r);
	e->seconds = wire_unzigzag(wire_varint(r));
	e->queued_at = wire_unzigzag(wire_varint(r));
	e->next_attempt = wire_unzigzag(wire_varint(r));
	e->size = wire_varint(r);
	last = wire_varint(r);
	e->attempt = (uint32_t)(last >> 1);
	e->maybe_twice = last & 1;
}

bool event_encode(struct buf *out, const struct event *e)
{
	size_t most = LENGTH_BYTES + NUMBERS * WIRE_VARINT_MAX;
	uint32_t mask = e->hard ? MASK_HARD : 0;
	size_t length;
	char *p, *start;

	for (unsigned i = 0; i < TEXTS; i++) {
		struct str s = text_of(e, i);

		if (!s.n)
			continue;
		mask |= text_bit(i);
		most += s.n + WIRE_TEXT_MORE;
	}
	if (most > UINT32_MAX || !buf_reserve(out, most))
		return false;
	start = out->p + out->n;
	p = wire_put_varint(start + LENGTH_BYTES, e->type);
	p = wire_put_varint(p, mask);
	p = put_numbers(p, e);
	for (unsigned i = 0; i < TEXTS; i++)
		if (mask & text_bit(i))
			p = wire_put_text(p, text_of(e, i));
	length = (size_t)(p - start) - LENGTH_BYTES;
	for (size_t i = 0; i < LENGTH_BYTES; i++)
		start[i] = (char)(length >> (8 * i) & 0xFF);
	out->n += LENGTH_BYTES + length;
	return true;
}

bool event_others_add(struct buf *out, struct str address, struct str orcpt)
{
	size_t most = address.n + orcpt.n + 2 * WIRE_TEXT_MORE;
	char *p;

	if (!buf_reserve(out, most))
		return false;
	p = wire_put_text(out->p + out->n, address);
	p = wire_put_text(p, orcpt);
	out->n = (size_t)(p - out->p);
	return true;
}

bool event_others_next(struct reader *r, struct str *address, struct str *orcpt)
{
	if (!r->n || r->bad)
		return false;
	*address = wire_text(r);
	*orcpt = wire_text(r);
	return !r->bad;
}

bool event_decode(struct reader *r, struct event *e)
{
	uint64_t id = e->id;
	struct str bytes;
	struct reader in;
	uint64_t mask;

	if (!r->n || r->bad)
		return false;
	bytes = reader_str(r);
	in = (struct reader){ .p = (const uint8_t *)bytes.p, .n = bytes.n, .bad = r->bad };
	*e = (struct event){ .id = id, .type = (enum event_type)wire_varint(&in) };
	mask = wire_varint(&in);
	get_numbers(&in, e);
	e->hard = mask & MASK_HARD;
	for (unsigned i = 0; i < TEXTS; i++) {
		struct str s = mask & text_bit(i) ? wire_text(&in) : STR_LIT("");

		memcpy((char *)e + text_fields[i], &s, sizeof s);
	}
	r->bad = in.bad || e->type < EVENT_RECEIVED || e->type >= EVENT_TYPES;
	return !r->bad;
}
