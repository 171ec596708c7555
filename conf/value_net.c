#include <arpa/inet.h>
#include <stdio.h>

#include "conf/value.h"
#include "core/base/domain.h"

enum { IP_TEXT_MAX = 64 };

static bool text_of(struct str s, char out[IP_TEXT_MAX])
{
	if (!s.n || s.n >= IP_TEXT_MAX || memchr(s.p, '\0', s.n))
		return false;
	memcpy(out, s.p, s.n);
	out[s.n] = '\0';
	return true;
}

bool parse_ip(struct str s, struct endpoint *out)
{
	char z[IP_TEXT_MAX];

	if (s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = (struct str){ s.p + 1, s.n - 2 };
	*out = (struct endpoint){ .len = 0 };
	if (!text_of(s, z))
		return false;
	if (inet_pton(AF_INET, z, &out->in4.sin_addr) == 1) {
		out->in4.sin_family = AF_INET;
		out->len = sizeof out->in4;
		return true;
	}
	if (inet_pton(AF_INET6, z, &out->in6.sin6_addr) == 1) {
		out->in6.sin6_family = AF_INET6;
		out->len = sizeof out->in6;
		return true;
	}
	return false;
}

bool parse_port(struct str s, uint16_t *port)
{
	int64_t n;

	if (fmt_parse_int(s, 1, UINT16_MAX, &n, NULL))
		return false;
	*port = (uint16_t)n;
	return true;
}

bool parse_ip_port(struct str s, struct endpoint *out)
{
	size_t colon = s.n;
	uint16_t port;

	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (colon < 2)
		return false;
	if (!parse_port((struct str){ s.p + colon, s.n - colon }, &port) ||
	    !parse_ip((struct str){ s.p, colon - 1 }, out))
		return false;
	if (out->sa.sa_family == AF_INET6 && s.p[0] != '[')
		return false; /* ::1:25 could be an address as a whole */
	if (out->sa.sa_family == AF_INET)
		out->in4.sin_port = htons(port);
	else
		out->in6.sin6_port = htons(port);
	return true;
}

void endpoint_text(const struct endpoint *at, char out[ENDPOINT_TEXT])
{
	char z[INET6_ADDRSTRLEN] = "";
	uint16_t port;

	if (at->sa.sa_family == AF_INET6) {
		port = ntohs(at->in6.sin6_port);
		inet_ntop(AF_INET6, &at->in6.sin6_addr, z, sizeof z);
		snprintf(out, ENDPOINT_TEXT, port ? "[%s]:%u" : "%s", z, port);
	} else {
		port = ntohs(at->in4.sin_port);
		inet_ntop(AF_INET, &at->in4.sin_addr, z, sizeof z);
		snprintf(out, ENDPOINT_TEXT, port ? "%s:%u" : "%s", z, port);
	}
}

/* Digits, dots, colons, slashes and at most hexadecimal letters beside a colon: an address was
 * meant. */
static bool looks_like_net(struct str s)
{
	bool colon = memchr(s.p, ':', s.n) != NULL;

	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool hex = (c | 0x20) >= 'a' && (c | 0x20) <= 'f';

		if ((c < '0' || c > '9') && c != '.' && c != ':' && c != '/' && !(hex && colon))
			return false;
	}
	return s.n > 0;
}

static uint8_t *address_bytes(struct endpoint *at, int *n)
{
	*n = at->sa.sa_family == AF_INET ? 4 : 16;
	return at->sa.sa_family == AF_INET ? (uint8_t *)&at->in4.sin_addr
					   : (uint8_t *)&at->in6.sin6_addr;
}

/* Clears the bits behind the prefix; false if any was set. */
static bool mask_net(struct endpoint *net, int prefix)
{
	bool clean = true;
	int n;
	uint8_t *p = address_bytes(net, &n);

	for (int i = 0; i < n; i++) {
		int bits = prefix - 8 * i;
		unsigned ones = bits >= 8 ? 0xffu : bits <= 0 ? 0u : 0xffu << (8 - bits);
		uint8_t keep = (uint8_t)(ones & 0xffu);

		clean = clean && (p[i] & ~keep) == 0;
		p[i] &= keep;
	}
	return clean;
}

bool parse_net(struct str s, struct endpoint *net, int *prefix, bool *is_net, struct errbuf *e)
{
	struct str whole = s, address;
	int64_t bits = 0;
	bool slash = memchr(s.p, '/', s.n) != NULL;
	char z[ENDPOINT_TEXT];

	*is_net = looks_like_net(s);
	if (!*is_net)
		return true;
	if (!str_split(&s, '/', &address) || !parse_ip(address, net)) {
		errbuf_set(e,
			   "\"%.*s\" is not an address: write one like 10.0.0.0/8 or "
			   "2001:db8::/32",
			   (int)whole.n, whole.p);
		return false;
	}
	*prefix = net->sa.sa_family == AF_INET ? 32 : 128;
	if (slash && fmt_parse_int(s, 0, *prefix, &bits, NULL)) {
		errbuf_set(e, "\"%.*s\": after the slash stands a number from 0 to %d",
			   (int)whole.n, whole.p, *prefix);
		return false;
	}
	if (slash)
		*prefix = (int)bits;
	if (mask_net(net, *prefix))
		return true;
	endpoint_text(net, z);
	errbuf_set(e, "\"%.*s\" names a host inside a network: write %s/%d", (int)whole.n, whole.p,
		   z, *prefix);
	return false;
}

bool ip_is_loopback(const struct endpoint *at)
{
	if (at->sa.sa_family == AF_INET)
		return ntohl(at->in4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&at->in6.sin6_addr);
}

bool name_ok(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');

		if (!alnum && c != '.' && c != '_' && c != '-')
			return false;
	}
	return s.n > 0 && s.n <= CONF_NAME_MAX;
}

bool domain_pattern(struct str s, char *out, size_t cap)
{
	char normal[DOMAIN_SIZE];
	bool wild = s.n > 2 && s.p[0] == '*' && s.p[1] == '.';
	int n;

	if (str_eqz(s, "*")) {
		snprintf(out, cap, "*");
		return true;
	}
	if (wild)
		s = (struct str){ s.p + 2, s.n - 2 };
	if (!domain_normal(s, normal))
		return false;
	n = snprintf(out, cap, "%s%s", wild ? "*." : "", normal);
	return n > 0 && (size_t)n < cap;
}
