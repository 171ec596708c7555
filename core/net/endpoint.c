/* Addresses with ports: printing, reading, and which of them are no place for an MX. */
#include <arpa/inet.h>
#include <stdio.h>

#include "core/net/io.h"

void endpoint_print(const struct endpoint *e, char out[ENDPOINT_SIZE])
{
	const char *ok = NULL;

	if (e->sa.sa_family == AF_INET)
		ok = inet_ntop(AF_INET, &e->in4.sin_addr, out, ENDPOINT_SIZE);
	else if (e->sa.sa_family == AF_INET6)
		ok = inet_ntop(AF_INET6, &e->in6.sin6_addr, out, ENDPOINT_SIZE);
	if (!ok)
		snprintf(out, ENDPOINT_SIZE, "%s", e->sa.sa_family == AF_UNIX ? "local" : "none");
}

void endpoint_print_port(const struct endpoint *e, char out[ENDPOINT_SIZE])
{
	char ip[INET6_ADDRSTRLEN + 1];
	char whole[ENDPOINT_SIZE] = "";

	endpoint_print(e, whole);
	if (e->sa.sa_family != AF_INET && e->sa.sa_family != AF_INET6) {
		memcpy(out, whole, sizeof whole);
		return;
	}
	memcpy(ip, whole, sizeof ip);
	ip[sizeof ip - 1] = '\0';
	snprintf(out, ENDPOINT_SIZE, e->sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u", ip,
		 (unsigned)endpoint_port(e));
}

static bool parse_port(struct str s, uint16_t *port)
{
	unsigned v = 0;

	if (!s.n || s.n > 5)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		v = v * 10 + (unsigned)(s.p[i] - '0');
	}
	*port = (uint16_t)v;
	return v > 0 && v <= UINT16_MAX;
}

static bool parse_ip(struct str s, int family, uint16_t port, struct endpoint *out)
{
	char z[INET6_ADDRSTRLEN];

	if (s.n >= sizeof z || memchr(s.p, '\0', s.n))
		return false;
	memcpy(z, s.p, s.n);
	z[s.n] = '\0';
	*out = (struct endpoint){ 0 };
	out->sa.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		out->len = sizeof out->in4;
		out->in4.sin_port = htons(port);
		return inet_pton(AF_INET, z, &out->in4.sin_addr) == 1;
	}
	out->len = sizeof out->in6;
	out->in6.sin6_port = htons(port);
	return inet_pton(AF_INET6, z, &out->in6.sin6_addr) == 1;
}

/* "[2001:db8::1]" or "[2001:db8::1]:25" */
static bool parse_bracketed(struct str s, uint16_t port, struct endpoint *out)
{
	const char *end = memchr(s.p, ']', s.n);
	struct str ip, rest;

	if (!end)
		return false;
	ip = str_mem(s.p + 1, (size_t)(end - s.p) - 1);
	rest = str_mem(end + 1, s.n - ip.n - 2);
	if (rest.n && (rest.p[0] != ':' || !parse_port(str_mem(rest.p + 1, rest.n - 1), &port)))
		return false;
	return parse_ip(ip, AF_INET6, port, out) || parse_ip(ip, AF_INET, port, out);
}

bool endpoint_parse(struct str s, uint16_t default_port, struct endpoint *out)
{
	uint16_t port = default_port;
	const char *colon;

	if (!s.n)
		return false;
	if (s.p[0] == '[')
		return parse_bracketed(s, port, out);
	colon = memchr(s.p, ':', s.n);
	if (!colon)
		return parse_ip(s, AF_INET, port, out);
	if (memchr(colon + 1, ':', s.n - (size_t)(colon - s.p) - 1))
		return parse_ip(s, AF_INET6, port, out);
	return parse_port(str_mem(colon + 1, s.n - (size_t)(colon - s.p) - 1), &port) &&
	       parse_ip(str_mem(s.p, (size_t)(colon - s.p)), AF_INET, port, out);
}

uint16_t endpoint_port(const struct endpoint *e)
{
	if (e->sa.sa_family == AF_INET)
		return ntohs(e->in4.sin_port);
	return e->sa.sa_family == AF_INET6 ? ntohs(e->in6.sin6_port) : 0;
}

void endpoint_set_port(struct endpoint *e, uint16_t port)
{
	if (e->sa.sa_family == AF_INET)
		e->in4.sin_port = htons(port);
	else if (e->sa.sa_family == AF_INET6)
		e->in6.sin6_port = htons(port);
}

bool endpoint_same_ip(const struct endpoint *a, const struct endpoint *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return a->sa.sa_family == AF_INET6 &&
	       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof a->in6.sin6_addr) == 0;
}

struct net4 {
	uint8_t ip[4];
	int bits;
};
struct net6 {
	uint8_t ip[16];
	int bits;
};

/* IANA's special-purpose registry (RFC 6890), without the documentation nets. */
static const struct net4 private4[] = {
	{ { 0 }, 8 },	       /* this network */
	{ { 10 }, 8 },	       /* RFC 1918 */
	{ { 100, 64 }, 10 },   /* shared, RFC 6598 */
	{ { 127 }, 8 },	       /* loopback */
	{ { 169, 254 }, 16 },  /* link-local */
	{ { 172, 16 }, 12 },   /* RFC 1918 */
	{ { 192, 0, 0 }, 24 }, /* IETF protocols */
	{ { 192, 168 }, 16 },  /* RFC 1918 */
	{ { 198, 18 }, 15 },   /* benchmarks, RFC 2544 */
	{ { 224 }, 3 },	       /* multicast and reserved */
};
static const struct net6 private6[] = {
	{ { 0 }, 127 },		/* :: and ::1 */
	{ { 0x01 }, 64 },	/* discard, RFC 6666 */
	{ { 0xfc }, 7 },	/* unique local, RFC 4193 */
	{ { 0xfe, 0x80 }, 10 }, /* link-local */
	{ { 0xfe, 0xc0 }, 10 }, /* site-local, RFC 3879 */
	{ { 0xff }, 8 },	/* multicast */
};
/* Where an IPv4 address stands inside an IPv6 one. */
static const struct {
	struct net6 net;
	int at;
} holds4[] = {
	{ { { [10] = 0xff, [11] = 0xff }, 96 }, 12 },		/* mapped */
	{ { { 0 }, 96 }, 12 },					/* compatible, RFC 4291 2.5.5.1 */
	{ { { 0x00, 0x64, 0xff, 0x9b }, 96 }, 12 },		/* NAT64, RFC 6052 */
	{ { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48 }, 12 }, /* local NAT64, RFC 8215 */
	{ { { 0x20, 0x02 }, 16 }, 2 },				/* 6to4, RFC 3056 */
};

static bool in_net(const uint8_t *ip, const uint8_t *net, int bits)
{
	size_t whole = (size_t)bits / 8;
	unsigned rest = (unsigned)bits % 8;

	if (memcmp(ip, net, whole) != 0)
		return false;
	return !rest || (ip[whole] >> (8 - rest)) == (net[whole] >> (8 - rest));
}

static bool is_private4(const uint8_t ip[4])
{
	for (size_t i = 0; i < sizeof private4 / sizeof *private4; i++)
		if (in_net(ip, private4[i].ip, private4[i].bits))
			return true;
	return false;
}

static bool is_private6(const uint8_t ip[16])
{
	for (size_t i = 0; i < sizeof private6 / sizeof *private6; i++)
		if (in_net(ip, private6[i].ip, private6[i].bits))
			return true;
	for (size_t i = 0; i < sizeof holds4 / sizeof *holds4; i++)
		if (in_net(ip, holds4[i].net.ip, holds4[i].net.bits))
			return is_private4(ip + holds4[i].at);
	return false;
}

bool endpoint_is_loopback(const struct endpoint *e)
{
	const uint8_t *ip = e->in6.sin6_addr.s6_addr;

	if (e->sa.sa_family == AF_INET)
		return (ntohl(e->in4.sin_addr.s_addr) >> 24) == 127;
	if (e->sa.sa_family != AF_INET6)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&e->in6.sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&e->in6.sin6_addr) && ip[12] == 127);
}

bool endpoint_is_private(const struct endpoint *e)
{
	uint8_t ip4[4];

	if (e->sa.sa_family == AF_INET) {
		memcpy(ip4, &e->in4.sin_addr, sizeof ip4);
		return is_private4(ip4);
	}
	return e->sa.sa_family == AF_INET6 && is_private6(e->in6.sin6_addr.s6_addr);
}
