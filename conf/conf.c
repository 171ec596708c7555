#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "conf/snapshot.h"
#include "core/base/domain.h"
#include "core/base/log.h"

struct conf *conf_ref(struct conf *c)
{
	OBJ_CHECK(c, CONF_MAGIC);
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void conf_unref(struct conf *c)
{
	struct arena arena;

	if (!c)
		return;
	OBJ_CHECK(c, CONF_MAGIC);
	if (__atomic_fetch_sub(&c->refs, 1, __ATOMIC_ACQ_REL) != 1)
		return;
	if (c->tls)
		c->tls_free(c->tls);
	if (c->keys)
		c->keys_free(c->keys);
	if (c->tokens)
		c->tokens_free(c->tokens);
	if (c->http_token)
		explicit_bzero(c->http_token, strlen(c->http_token));
	free(c->http_token);
	c->magic = 0;
	patterns_unref(c->patterns);
	arena = c->priv->arena; /* it holds c itself */
	arena_free(&arena);
}

void conf_set_number(struct conf *c, uint64_t number, us_t loaded_at)
{
	OBJ_CHECK(c, CONF_MAGIC);
	c->number = number;
	c->loaded_at = loaded_at;
}

int name_index_find(const struct name_index *x, struct str name)
{
	char folded[DOMAIN_SIZE + 2];
	int lo = 0, hi = x->n - 1;

	if (!str_lower(name, folded, sizeof folded))
		return CONF_NONE;
	while (lo <= hi) {
		int mid = lo + (hi - lo) / 2, d = strcmp(folded, x->v[mid].key);

		if (d == 0)
			return x->v[mid].i;
		if (d < 0)
			hi = mid - 1;
		else
			lo = mid + 1;
	}
	return CONF_NONE;
}

const struct conf_section *pattern_find(const struct pattern_index *x, struct str pattern)
{
	int lo = 0, hi = x->n - 1;

	while (lo <= hi) {
		int mid = lo + (hi - lo) / 2, d = str_cmp(pattern, x->v[mid].pattern);

		if (d == 0)
			return x->v[mid].section;
		if (d < 0)
			hi = mid - 1;
		else
			lo = mid + 1;
	}
	return NULL;
}

int conf_route_find(const struct conf *c, struct str name)
{
	return name_index_find(&c->priv->routes, name);
}

int conf_vmta_find(const struct conf *c, struct str name)
{
	return name_index_find(&c->priv->vmtas, name);
}

int conf_pool_find(const struct conf *c, struct str name)
{
	return name_index_find(&c->priv->pools, name);
}

int conf_provider_find(const struct conf *c, struct str name)
{
	return name_index_find(&c->priv->providers, name);
}

int conf_source_find(const struct conf *c, struct str name)
{
	return name_index_find(&c->priv->sources, name);
}

int conf_dkim_for(const struct conf *c, struct str domain)
{
	for (;;) {
		int i = name_index_find(&c->priv->dkim, domain);
		const char *dot = i == CONF_NONE ? memchr(domain.p, '.', domain.n) : NULL;

		if (!dot)
			return i;
		domain.n -= (size_t)(dot + 1 - domain.p);
		domain.p = dot + 1;
	}
}

int conf_user_find(const struct conf *c, struct str name)
{
	return name_index_find(&c->priv->users, name);
}

/* The peer's address bytes; an IPv4 client on an IPv6 socket (::ffff:a.b.c.d) is an IPv4 client. */
static const uint8_t *peer_bytes(const struct sockaddr *peer, int *family)
{
	const struct in6_addr *six;

	*family = peer->sa_family;
	if (peer->sa_family == AF_INET)
		return (const uint8_t *)&((const struct sockaddr_in *)(const void *)peer)->sin_addr;
	if (peer->sa_family != AF_INET6)
		return NULL;
	six = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
	if (!IN6_IS_ADDR_V4MAPPED(six))
		return six->s6_addr;
	*family = AF_INET;
	return six->s6_addr + 12;
}

static bool net_holds(const struct endpoint *at, int prefix, int family, const uint8_t *p)
{
	const uint8_t *net = at->sa.sa_family == AF_INET ? (const uint8_t *)&at->in4.sin_addr
							 : at->in6.sin6_addr.s6_addr;
	int bytes = prefix / 8, bits = prefix % 8;

	if (at->sa.sa_family != family || memcmp(net, p, (size_t)bytes))
		return false;
	return !bits || !((net[bytes] ^ p[bytes]) >> (8 - bits));
}

int conf_source_for(const struct conf *c, const struct sockaddr *peer)
{
	int family, best = CONF_NONE;
	const uint8_t *p = peer_bytes(peer, &family);

	for (int i = 0; p && i < c->nsources; i++)
		if (c->sources[i].is_cidr &&
		    net_holds(&c->sources[i].net, c->sources[i].prefix, family, p) &&
		    (best == CONF_NONE || c->sources[i].prefix > c->sources[best].prefix))
			best = i;
	return best;
}

enum conf_role conf_http_role(const struct conf *c, const struct sockaddr *peer)
{
	const struct conf_access *best = NULL;
	int family;
	const uint8_t *p = peer_bytes(peer, &family);

	for (int i = 0; p && i < c->mta.nhttp_access; i++) {
		const struct conf_access *a = &c->mta.http_access[i];

		if (net_holds(&a->net, a->prefix, family, p) && (!best || a->prefix > best->prefix))
			best = a;
	}
	return best ? best->role : CONF_ROLE_NONE;
}

/* The provider that names the domain, or the longest `*.x` that it is below. */
static int provider_of_domain(const struct conf *c, struct str domain)
{
	char wild[DOMAIN_SIZE + 2] = "*";
	int i = name_index_find(&c->priv->provider_domains, domain);
	const char *dot = domain.n ? memchr(domain.p, '.', domain.n) : NULL;

	while (i == CONF_NONE && dot) {
		size_t n = domain.n - (size_t)(dot - domain.p);

		if (n >= sizeof wild - 1)
			return CONF_NONE;
		memcpy(wild + 1, dot, n);
		i = name_index_find(&c->priv->provider_domains, (struct str){ wild, n + 1 });
		dot = memchr(dot + 1, '.', n - 1);
	}
	return i;
}

/* Length of the longest pattern that the host matches; 0: none. */
static size_t mx_match(const struct conf_provider *p, struct str host)
{
	size_t best = 0;

	for (int i = 0; i < p->nmx; i++) {
		size_t n = strlen(p->mx[i]);

		if (n > best && str_glob((struct str){ p->mx[i], n }, host))
			best = n;
	}
	return best;
}

int conf_provider_for(const struct conf *c, struct str domain, const struct str *hosts, int nhosts)
{
	int best = provider_of_domain(c, domain);
	size_t longest = 0;

	if (best != CONF_NONE)
		return best;
	for (int i = 0; nhosts && i < c->nproviders; i++) {
		size_t least = SIZE_MAX;

		for (int h = 0; h < nhosts && least; h++) {
			size_t n = mx_match(&c->providers[i], hosts[h]);

			least = n < least ? n : least;
		}
		if (least > longest) { /* of two that match, the one that says more of the name */
			longest = least;
			best = i;
		}
	}
	return best;
}
