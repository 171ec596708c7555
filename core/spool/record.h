/* One accepted message in a segment, as bytes (spool.h, "ON DISK"). Private to core/spool. Pure: no
 * I/O, any thread.
 *
 *   header     48 bytes, little-endian: magic u32, version u16, type u8, flags u8, segment u64,
 *              id u64, envelope bytes u32, CRC of a large body u32, body bytes u64, 0 u32, CRC u32
 *   envelope   envelope.h
 *   body       head and data, or nothing if the body is large
 *   trailer    CRC of the body u32, magic u32
 *
 * Records begin at multiples of 8; the first of a flush begins at a multiple of 4096, so that a
 * flush never touches a block that an earlier one has synced, and never has to read one. Both CRCs
 * are seeded with the segment's number (numbers are used once), so what an earlier life of the file
 * has left is never taken for new; the body's also with its place. */
#ifndef STOKER_SPOOL_RECORD_H
#define STOKER_SPOOL_RECORD_H

#include "core/base/str.h"

enum {
	RECORD_HEADER = 48,
	RECORD_TRAILER = 8,
	RECORD_ALIGN = 8,
	RECORD_PAGE = 4096,
};
enum record_type {
	RECORD_ACCEPT = 1, /* what 250 promised: replayed if it lies behind the indexed position */
	RECORD_COPY = 2,   /* made by compaction: only the index says whether it counts */
};
enum {
	RECORD_LARGE = 1, /* the body is in a file of its own */
	RECORD_LAST = 2,  /* of its flush: the next record begins at the next page */
	RECORD_DOT_LINE = 4,
	RECORD_EIGHTBIT = 8,
};

struct record {
	uint8_t type, flags;
	uint64_t segment, id;
	uint32_t envelope_bytes;
	uint32_t large_crc;
	uint64_t body_bytes;
};

static inline uint64_t record_align(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}
/* Bytes of the body that lie in the segment. */
static inline uint64_t record_body_here(const struct record *r)
{
	return r->flags & RECORD_LARGE ? 0 : r->body_bytes;
}
/* Header to trailer, without the padding behind it. */
static inline uint64_t record_bytes(const struct record *r)
{
	return RECORD_HEADER + r->envelope_bytes + record_body_here(r) + RECORD_TRAILER;
}
/* Where the next record may begin if this one begins at `offset`. */
static inline uint64_t record_next(const struct record *r, uint64_t offset)
{
	return record_align(offset + record_bytes(r),
			    r->flags & RECORD_LAST ? RECORD_PAGE : RECORD_ALIGN);
}

void record_put_header(const struct record *r, struct str envelope, char out[RECORD_HEADER]);
/* True if 48 bytes look like a header of this segment; the CRC needs the envelope too
 * (record_header_ok). Lengths are as read: the caller bounds them by the file before it believes
 * them. */
bool record_get_header(const char *p, uint64_t segment, struct record *out);
bool record_header_ok(const char *header, struct str envelope);
/* The body's CRC, seeded; continue it over the vectors with crc32c. */
uint32_t record_body_seed(uint64_t segment, uint64_t body_offset);
void record_put_trailer(uint32_t body_crc, char out[RECORD_TRAILER]);
bool record_trailer_ok(const char *p, uint32_t body_crc);

#endif
