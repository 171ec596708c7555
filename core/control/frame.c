#include "core/control/cli.h"

void frame_put(struct buf *out, char type, struct str payload)
{
	if (!buf_reserve(out, FRAME_HEADER + payload.n))
		return;
	buf_put_u8(out, (uint8_t)type);
	buf_put_u32(out, (uint32_t)payload.n);
	buf_adds(out, payload);
}

int frame_get(struct str in, char *type, struct str *payload, size_t *used)
{
	struct reader r = { .p = (const uint8_t *)in.p, .n = in.n };
	uint32_t n;

	if (in.n < FRAME_HEADER)
		return 0;
	*type = (char)reader_u8(&r);
	n = reader_u32(&r);
	/* Types are capital letters; anything else is not a client of ours. */
	if (*type < 'A' || *type > 'Z' || n > FRAME_MAX)
		return -1;
	if (in.n - FRAME_HEADER < n)
		return 0;
	*payload = (struct str){ in.p + FRAME_HEADER, n };
	*used = FRAME_HEADER + n;
	return 1;
}
