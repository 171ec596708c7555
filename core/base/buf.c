#include "core/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BYTES = 64 };

void buf_init(struct buf *b)
{
	*b = (struct buf){ 0 };
}

void buf_free(struct buf *b)
{
	free(b->p);
	buf_init(b);
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->failed = false;
}

bool buf_reserve(struct buf *b, size_t more)
{
	size_t cap = b->cap ? b->cap : FIRST_BYTES;
	char *p;

	if (more <= b->cap - b->n)
		return true;
	while (cap - b->n < more && cap <= SIZE_MAX / 2)
		cap *= 2;
	p = cap - b->n < more ? NULL : realloc(b->p, cap);
	if (!p) {
		b->failed = true;
		return false;
	}
	b->p = p;
	b->cap = cap;
	return true;
}

bool buf_add(struct buf *b, const void *p, size_t n)
{
	if (!buf_reserve(b, n))
		return false;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	return true;
}

bool buf_adds(struct buf *b, struct str s)
{
	return buf_add(b, s.p, s.n);
}

bool buf_addz(struct buf *b, const char *z)
{
	return buf_add(b, z, strlen(z));
}

bool buf_addc(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

bool buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	bool ok;

	va_start(ap, fmt);
	ok = buf_vaddf(b, fmt, ap);
	va_end(ap);
	return ok;
}

bool buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(b->p ? b->p + b->n : NULL, b->cap - b->n, fmt, ap);
	if (n >= 0 && (size_t)n >= b->cap - b->n) {
		/* one byte more than counted: vsnprintf ends its text with NUL */
		n = buf_reserve(b, (size_t)n + 1)
			? vsnprintf(b->p + b->n, b->cap - b->n, fmt, again)
			: -1;
	}
	va_end(again);
	if (n < 0) {
		b->failed = true;
		return false;
	}
	b->n += (size_t)n;
	return true;
}

void buf_shift(struct buf *b, size_t n)
{
	if (n > b->n)
		n = b->n;
	b->n -= n;
	if (n && b->n)
		memmove(b->p, b->p + n, b->n);
}

const char *buf_z(struct buf *b)
{
	if (!buf_reserve(b, 1))
		return "";
	b->p[b->n] = '\0';
	return b->p;
}

static bool put_le(struct buf *b, uint64_t v, size_t bytes)
{
	uint8_t out[8];

	for (size_t i = 0; i < bytes; i++)
		out[i] = (uint8_t)(v >> (8 * i));
	return buf_add(b, out, bytes);
}

bool buf_put_u8(struct buf *b, uint8_t v)
{
	return put_le(b, v, 1);
}

bool buf_put_u16(struct buf *b, uint16_t v)
{
	return put_le(b, v, 2);
}

bool buf_put_u32(struct buf *b, uint32_t v)
{
	return put_le(b, v, 4);
}

bool buf_put_u64(struct buf *b, uint64_t v)
{
	return put_le(b, v, 8);
}

bool buf_put_str(struct buf *b, struct str s)
{
	if (s.n > UINT32_MAX || !buf_reserve(b, s.n + 4)) {
		b->failed = true;
		return false;
	}
	return buf_put_u32(b, (uint32_t)s.n) && buf_adds(b, s);
}

static uint64_t get_le(struct reader *r, size_t bytes)
{
	uint64_t v = 0;

	if (r->bad || r->n < bytes) {
		r->bad = true;
		return 0;
	}
	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)r->p[i] << (8 * i);
	r->p += bytes;
	r->n -= bytes;
	return v;
}

uint8_t reader_u8(struct reader *r)
{
	return (uint8_t)get_le(r, 1);
}

uint16_t reader_u16(struct reader *r)
{
	return (uint16_t)get_le(r, 2);
}

uint32_t reader_u32(struct reader *r)
{
	return (uint32_t)get_le(r, 4);
}

uint64_t reader_u64(struct reader *r)
{
	return get_le(r, 8);
}

struct str reader_str(struct reader *r)
{
	size_t n = reader_u32(r);
	struct str s;

	if (r->bad || r->n < n) {
		r->bad = true;
		return (struct str){ "", 0 };
	}
	s = str_mem(r->p, n);
	r->p += n;
	r->n -= n;
	return s;
}
