#include "core/base/crc32c.h"

#include <string.h>

/* Reflected 0x1EDC6F41. */
#define POLYNOMIAL 0x82F63B78u

static uint32_t table[8][256]; /* filled before main, constant afterwards */

__attribute__((constructor)) static void fill_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t c = i;

		for (int bit = 0; bit < 8; bit++)
			c = (c >> 1) ^ (c & 1 ? POLYNOMIAL : 0);
		table[0][i] = c;
	}
	for (uint32_t i = 0; i < 256; i++)
		for (int k = 1; k < 8; k++)
			table[k][i] = (table[k - 1][i] >> 8) ^ table[0][table[k - 1][i] & 0xFF];
}

/* Eight bytes a step (slicing by 8), in a byte order of its own: the same on any CPU. */
uint32_t crc32c_portable(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;

	crc = ~crc;
	for (; n >= 8; n -= 8, b += 8) {
		crc ^= (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 |
		       (uint32_t)b[3] << 24;
		crc = table[7][crc & 0xFF] ^ table[6][crc >> 8 & 0xFF] ^
		      table[5][crc >> 16 & 0xFF] ^ table[4][crc >> 24] ^ table[3][b[4]] ^
		      table[2][b[5]] ^ table[1][b[6]] ^ table[0][b[7]];
	}
	for (; n > 0; n--)
		crc = (crc >> 8) ^ table[0][(crc ^ *b++) & 0xFF];
	return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t by_cpu(uint32_t crc, const void *p, size_t n)
{
	const uint8_t *b = p;
	uint64_t c = ~crc;

	for (; n >= 8; n -= 8, b += 8) {
		uint64_t v;

		memcpy(&v, b, sizeof v);
		c = __builtin_ia32_crc32di(c, v);
	}
	for (; n > 0; n--)
		c = __builtin_ia32_crc32qi((uint32_t)c, *b++);
	return ~(uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("sse4.2"))
		return by_cpu(crc, p, n);
#endif
	return crc32c_portable(crc, p, n);
}
