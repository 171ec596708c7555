/* A growable byte buffer. Owned by one thread at a time. Append functions return false without
 * memory and leave the buffer as it was; buf_failed() stays true until buf_clear, so a writer may
 * check once at the end. */
#ifndef STOKER_BASE_BUF_H
#define STOKER_BASE_BUF_H

#include "core/base/str.h"

struct buf {
	char *p;
	size_t n;   /* bytes used */
	size_t cap; /* bytes allocated */
	bool failed;
};

void buf_init(struct buf *b);
void buf_free(struct buf *b);
void buf_clear(struct buf *b);
/* Room for `more` further bytes. */
bool buf_reserve(struct buf *b, size_t more);
bool buf_add(struct buf *b, const void *p, size_t n);
bool buf_adds(struct buf *b, struct str s);
bool buf_addz(struct buf *b, const char *z);
bool buf_addc(struct buf *b, char c);
bool buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool buf_vaddf(struct buf *b, const char *fmt, va_list ap);
/* Removes n bytes from the front. */
void buf_shift(struct buf *b, size_t n);
/* NUL-terminates (not counted in n) and returns the text; "" without memory. */
const char *buf_z(struct buf *b);
static inline struct str buf_str(const struct buf *b)
{
	return (struct str){ b->p, b->n };
}
static inline bool buf_failed(const struct buf *b)
{
	return b->failed;
}

/* Little-endian integers and length-prefixed bytes, for what goes to disk. */
bool buf_put_u8(struct buf *b, uint8_t v);
bool buf_put_u16(struct buf *b, uint16_t v);
bool buf_put_u32(struct buf *b, uint32_t v);
bool buf_put_u64(struct buf *b, uint64_t v);
bool buf_put_str(struct buf *b, struct str s); /* u32 length, then the bytes */

/* Reads the same; every get checks what is left and sets `bad` instead of reading past the end. */
struct reader {
	const uint8_t *p;
	size_t n;
	bool bad;
};
uint8_t reader_u8(struct reader *r);
uint16_t reader_u16(struct reader *r);
uint32_t reader_u32(struct reader *r);
uint64_t reader_u64(struct reader *r);
struct str reader_str(struct reader *r);

#endif
