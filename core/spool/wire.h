/* The compact integers and texts that envelopes and events are made of. Private to core/spool.
 *   varint   7 bits a byte, low first, high bit: more follow; at most 10 bytes
 *   text     varint length, the bytes, one NUL (not counted), so a decoded slice is also a C string
 * Writers go into room that was reserved before, so they cannot fail. */
#ifndef STOKER_SPOOL_WIRE_H
#define STOKER_SPOOL_WIRE_H

#include "core/base/buf.h"

enum { WIRE_VARINT_MAX = 10, WIRE_TEXT_MORE = WIRE_VARINT_MAX + 1 };

static inline char *wire_put_varint(char *p, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		*p++ = (char)(v | 0x80);
	*p++ = (char)v;
	return p;
}

static inline char *wire_put_text(char *p, struct str s)
{
	p = wire_put_varint(p, s.n);
	if (s.n)
		memcpy(p, s.p, s.n);
	p[s.n] = '\0';
	return p + s.n + 1;
}

/* Signed numbers (times) as their two's complement with the sign in the lowest bit. */
static inline uint64_t wire_zigzag(int64_t v)
{
	return (uint64_t)v << 1 ^ (v < 0 ? UINT64_MAX : 0);
}
static inline int64_t wire_unzigzag(uint64_t v)
{
	return (int64_t)(v >> 1 ^ (v & 1 ? UINT64_MAX : 0));
}

static inline uint64_t wire_varint(struct reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		if (r->bad || !r->n)
			break;
		uint8_t b = *r->p++;

		r->n--;
		v |= (uint64_t)(b & 0x7F) << shift;
		if (!(b & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

static inline struct str wire_text(struct reader *r)
{
	uint64_t n = wire_varint(r);
	struct str s;

	if (r->bad || n >= r->n || r->p[n] != '\0') {
		r->bad = true;
		return (struct str){ "", 0 };
	}
	s = str_mem(r->p, (size_t)n);
	r->p += n + 1;
	r->n -= (size_t)n + 1;
	return s;
}

#endif
