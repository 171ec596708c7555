#include "core/base/base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool base64_encode(struct buf *out, struct str s)
{
	if (!buf_reserve(out, (s.n + 2) / 3 * 4))
		return false;
	for (size_t i = 0; i < s.n; i += 3) {
		size_t left = s.n - i;
		uint32_t v = (uint32_t)(uint8_t)s.p[i] << 16 |
			     (left > 1 ? (uint32_t)(uint8_t)s.p[i + 1] << 8 : 0) |
			     (left > 2 ? (uint32_t)(uint8_t)s.p[i + 2] : 0);

		buf_addc(out, digits[v >> 18]);
		buf_addc(out, digits[v >> 12 & 63]);
		buf_addc(out, left > 1 ? digits[v >> 6 & 63] : '=');
		buf_addc(out, left > 2 ? digits[v & 63] : '=');
	}
	return !buf_failed(out);
}

static int digit(char c)
{
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

bool base64_decode(struct buf *out, struct str s)
{
	size_t pad = 0, before = out->n;

	if (s.n % 4 || !buf_reserve(out, s.n / 4 * 3))
		return false;
	while (pad < 2 && pad < s.n && s.p[s.n - 1 - pad] == '=')
		pad++;
	for (size_t i = 0; i < s.n; i += 4) {
		size_t n = i + 4 < s.n ? 4 : 4 - pad;
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++) {
			int d = k < n ? digit(s.p[i + k]) : 0;

			if (d < 0) {
				out->n = before;
				return false;
			}
			v = v << 6 | (uint32_t)d;
		}
		for (size_t k = 0; k + 1 < n; k++)
			buf_addc(out, (char)(v >> (16 - 8 * k)));
	}
	return true;
}
