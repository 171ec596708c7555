/* Who may hand in mail: everybody, or nobody, is hardly meant. */
#include <arpa/inet.h>

#include "conf/reading.h"
#include "conf/value.h"

/* Networks that are not of the Internet at large. */
static const struct {
	const char *net;
	int prefix;
} inner[] = {
	{ "127.0.0.0", 8 },    { "10.0.0.0", 8 },     { "172.16.0.0", 12 },
	{ "192.168.0.0", 16 }, { "169.254.0.0", 16 }, { "100.64.0.0", 10 },
	{ "::1", 128 },	       { "fc00::", 7 },	      { "fe80::", 10 },
};

/* A relaying network of this size or smaller is somebody's own; a larger one is a slip. */
enum { OWN_PREFIX_4 = 24, OWN_PREFIX_6 = 48 };

static bool bits_equal(const uint8_t *a, const uint8_t *b, int bits)
{
	int bytes = bits / 8, rest = bits % 8;

	if (memcmp(a, b, (size_t)bytes))
		return false;
	return !rest || !((a[bytes] ^ b[bytes]) >> (8 - rest));
}

static bool is_inner(const struct endpoint *at, int prefix)
{
	bool four = at->sa.sa_family == AF_INET;
	const uint8_t *p = four ? (const uint8_t *)&at->in4.sin_addr : at->in6.sin6_addr.s6_addr;
	uint8_t net[16];

	for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
		if (inner[i].prefix <= prefix &&
		    inet_pton(four ? AF_INET : AF_INET6, inner[i].net, net) == 1 &&
		    bits_equal(p, net, inner[i].prefix))
			return true;
	return false;
}

bool is_public(const struct endpoint *at)
{
	return !is_inner(at, at->sa.sa_family == AF_INET ? 32 : 128);
}

/* All clients of the family have a [source] of their own, so the listener's is never asked. */
static bool all_have_sources(const struct conf *c, int family)
{
	for (int i = 0; i < c->nsources; i++)
		if (c->sources[i].is_cidr && c->sources[i].prefix == 0 &&
		    c->sources[i].net.sa.sa_family == family)
			return true;
	return false;
}

static bool opens(const struct conf *c, const struct conf_listener *l, int source)
{
	const struct conf_source *s = &c->sources[source];
	int family = l->at.sa.sa_family;

	if (!s->always_allow_relaying || s->require_auth || !is_public(&l->at))
		return false;
	if (l->source == source && !all_have_sources(c, family))
		return true;
	return s->is_cidr && s->net.sa.sa_family == family && !is_inner(&s->net, s->prefix) &&
	       s->prefix < (family == AF_INET ? OWN_PREFIX_4 : OWN_PREFIX_6);
}

static void check_open(struct reading *r)
{
	const struct conf *c = r->c;

	for (int i = 0; i < c->nsources; i++)
		for (int k = 0; k < c->nlisteners; k++)
			if (opens(c, &c->listeners[k], i)) {
				warn_at(
				    r, &c->sources[i].origin,
				    "[source %s] always-allow-relaying: any public address that "
				    "reaches [listener %s] could relay (%s:%d): give only your "
				    "own networks, as [source 10.0.0.0/8], that right",
				    c->sources[i].name, c->listeners[k].name,
				    c->listeners[k].origin.file, c->listeners[k].origin.line);
				break;
			}
}

static bool relays(const struct conf *c, int source)
{
	return source != CONF_NONE && c->sources[source].always_allow_relaying;
}

/* Clients of a loopback listener are loopback addresses: most often the first one. */
static bool lets_in(const struct conf *c, const struct conf_listener *l)
{
	struct endpoint first;
	int s = conf_source_for(c, &l->at.sa);

	if (l->authenticate && c->nusers)
		return true; /* who logs in may */
	if (ip_is_loopback(&l->at)) {
		parse_ip(l->at.sa.sa_family == AF_INET ? STR_LIT("127.0.0.1") : STR_LIT("::1"),
			 &first);
		s = s == CONF_NONE ? conf_source_for(c, &first.sa) : s;
		return relays(c, s == CONF_NONE ? l->source : s);
	}
	for (int i = 0; i < c->nsources; i++)
		if (c->sources[i].is_cidr && relays(c, i))
			return true;
	return relays(c, l->source);
}

static void check_nobody(struct reading *r)
{
	const struct conf *c = r->c;

	if (!c->nlisteners || r->incomplete)
		return;
	for (int i = 0; i < c->nlisteners; i++)
		if (lets_in(c, &c->listeners[i]))
			return;
	warn_at(r, &c->listeners[0].origin,
		"nobody may relay, so all mail is refused: write [source 127.0.0.1] with "
		"always-allow-relaying = yes, or the networks of your own");
}

/* A named source is used by a listener, or not at all. */
static void check_unused(struct reading *r)
{
	const struct conf *c = r->c;
	bool *used = mem_array(&r->mem, (size_t)c->nsources, sizeof *used);

	for (int i = 0; i < c->nlisteners; i++)
		if (c->listeners[i].source != CONF_NONE)
			used[c->listeners[i].source] = true;
	for (int i = 0; i < c->nusers; i++)
		if (c->users[i].source != CONF_NONE)
			used[c->users[i].source] = true;
	for (int i = 0; i < c->nsources; i++)
		if (!c->sources[i].is_cidr && !used[i] && !r->incomplete)
			warn_at(r, &c->sources[i].origin,
				"[source %s] is used by no listener and no smtp-user: name it in "
				"source = %s",
				c->sources[i].name, c->sources[i].name);
}

void check_relay(struct reading *r)
{
	check_open(r);
	check_nobody(r);
	check_unused(r);
}
