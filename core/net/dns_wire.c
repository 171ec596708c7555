#include "core/net/dns_wire.h"

enum { LABEL_MAX = 63, IP4_BYTES = 4, IP6_BYTES = 16 };

static bool label(const uint8_t *p, size_t n, char *out)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t c = p[i];

		if (c <= ' ' || c >= 0x7f || c == '.' || c == '\\')
			return false;
		out[i] = (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
	}
	return true;
}

bool dns_wire_name(const uint8_t *p, size_t n, char out[DOMAIN_SIZE])
{
	size_t used = 0;

	while (n > 0) {
		size_t len = *p++;

		n--;
		if (len == 0) {
			out[used] = '\0';
			return n == 0;
		}
		if (len > LABEL_MAX || len > n || used + len + 1 > DOMAIN_MAX)
			return false;
		if (used)
			out[used++] = '.';
		if (!label(p, len, out + used))
			return false;
		used += len;
		p += len;
		n -= len;
	}
	return false;
}

bool dns_wire_mx(const uint8_t *p, size_t n, int *preference, char exchange[DOMAIN_SIZE])
{
	if (n < 3)
		return false;
	*preference = p[0] << 8 | p[1];
	return dns_wire_name(p + 2, n - 2, exchange);
}

bool dns_wire_address(const uint8_t *p, size_t n, struct endpoint *out)
{
	*out = (struct endpoint){ 0 };
	if (n == IP4_BYTES) {
		out->in4.sin_family = AF_INET;
		memcpy(&out->in4.sin_addr, p, n);
		out->len = sizeof out->in4;
		return true;
	}
	if (n == IP6_BYTES) {
		out->in6.sin6_family = AF_INET6;
		memcpy(&out->in6.sin6_addr, p, n);
		out->len = sizeof out->in6;
		return true;
	}
	return false;
}

bool dns_wire_text(const uint8_t *p, size_t n, struct buf *out)
{
	if (!n)
		return false;
	while (n > 0) {
		size_t len = *p++;

		n--;
		if (len > n)
			return false;
		buf_add(out, p, len);
		p += len;
		n -= len;
	}
	return !buf_failed(out);
}
