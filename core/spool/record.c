#include "core/spool/record.h"

#include "core/base/crc32c.h"

enum { VERSION = 1, CRC_AT = 44 };
#define HEADER_MAGIC  0x524B5453u /* "STKR" */
#define TRAILER_MAGIC 0x4B545345u /* "ESTK" */

static void put_le(char *out, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		out[i] = (char)(v >> (8 * i) & 0xFF);
}

static uint64_t get_le(const char *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)(uint8_t)p[i] << (8 * i);
	return v;
}

static uint32_t header_crc(const char *header, struct str envelope)
{
	char segment[8];
	uint32_t crc;

	/* The number is in the header as well; it goes in front so that equal bytes under another
	 * number never agree, whatever the CRC's linearity makes of it. */
	memcpy(segment, header + 8, sizeof segment);
	crc = crc32c(0, segment, sizeof segment);
	crc = crc32c(crc, header, CRC_AT);
	return crc32c(crc, envelope.p, envelope.n);
}

void record_put_header(const struct record *r, struct str envelope, char out[RECORD_HEADER])
{
	put_le(out, HEADER_MAGIC, 4);
	put_le(out + 4, VERSION, 2);
	put_le(out + 6, r->type, 1);
	put_le(out + 7, r->flags, 1);
	put_le(out + 8, r->segment, 8);
	put_le(out + 16, r->id, 8);
	put_le(out + 24, r->envelope_bytes, 4);
	put_le(out + 28, r->large_crc, 4);
	put_le(out + 32, r->body_bytes, 8);
	put_le(out + 40, 0, 4);
	put_le(out + CRC_AT, header_crc(out, envelope), 4);
}

bool record_get_header(const char *p, uint64_t segment, struct record *out)
{
	if (get_le(p, 4) != HEADER_MAGIC || get_le(p + 4, 2) != VERSION ||
	    get_le(p + 8, 8) != segment)
		return false;
	out->type = (uint8_t)get_le(p + 6, 1);
	out->flags = (uint8_t)get_le(p + 7, 1);
	out->segment = segment;
	out->id = get_le(p + 16, 8);
	out->envelope_bytes = (uint32_t)get_le(p + 24, 4);
	out->large_crc = (uint32_t)get_le(p + 28, 4);
	out->body_bytes = get_le(p + 32, 8);
	return out->type == RECORD_ACCEPT || out->type == RECORD_COPY;
}

bool record_header_ok(const char *header, struct str envelope)
{
	return get_le(header + CRC_AT, 4) == header_crc(header, envelope);
}

uint32_t record_body_seed(uint64_t segment, uint64_t body_offset)
{
	char seed[16];

	put_le(seed, segment, 8);
	put_le(seed + 8, body_offset, 8);
	return crc32c(0, seed, sizeof seed);
}

void record_put_trailer(uint32_t body_crc, char out[RECORD_TRAILER])
{
	put_le(out, body_crc, 4);
	put_le(out + 4, TRAILER_MAGIC, 4);
}

bool record_trailer_ok(const char *p, uint32_t body_crc)
{
	return get_le(p, 4) == body_crc && get_le(p + 4, 4) == TRAILER_MAGIC;
}
