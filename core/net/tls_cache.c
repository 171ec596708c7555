/* Sessions to resume, by a key of host, address and policy. A table of fixed size with short
 * chains: of those in a chain the one used longest ago makes room. */
#include <stdlib.h>

#include "core/net/tls_priv.h"

enum { CHAINS = 512, PER_CHAIN = 4, TICKETS = 4 };

struct kept { /* what one peer gave: TLS 1.3 tickets are used once each, so several are kept */
	uint64_t key;
	uint64_t used; /* counts up; 0: free */
	int n;
	SSL_SESSION *v[TICKETS]; /* oldest first */
};
struct tls_cache {
	uint64_t now;
	struct kept chain[CHAINS][PER_CHAIN];
};

struct tls_cache *tls_cache_new(void)
{
	return calloc(1, sizeof(struct tls_cache));
}

static void kept_clear(struct kept *k)
{
	while (k->n)
		SSL_SESSION_free(k->v[--k->n]);
	k->used = 0;
}

void tls_cache_clear(struct tls_cache *c)
{
	for (int i = 0; i < CHAINS; i++)
		for (int j = 0; j < PER_CHAIN; j++)
			kept_clear(&c->chain[i][j]);
}

void tls_cache_free(struct tls_cache *c)
{
	if (!c)
		return;
	tls_cache_clear(c);
	free(c);
}

static struct kept *find(struct tls_cache *c, uint64_t key)
{
	struct kept *v = c->chain[key % CHAINS];

	for (int j = 0; j < PER_CHAIN; j++)
		if (v[j].used && v[j].key == key)
			return &v[j];
	return NULL;
}

static struct kept *make(struct tls_cache *c, uint64_t key)
{
	struct kept *v = c->chain[key % CHAINS], *oldest = v;

	for (int j = 1; j < PER_CHAIN; j++)
		if (v[j].used < oldest->used)
			oldest = &v[j];
	kept_clear(oldest);
	oldest->key = key;
	return oldest;
}

void tls_cache_put(struct tls_cache *c, uint64_t key, SSL_SESSION *s)
{
	struct kept *k = find(c, key);

	if (!k)
		k = make(c, key);
	k->used = ++c->now;
	if (k->n && SSL_SESSION_get_protocol_version(s) < TLS1_3_VERSION)
		kept_clear(k); /* one serves any number of times */
	k->used = c->now;
	if (k->n == TICKETS) {
		SSL_SESSION_free(k->v[0]);
		k->n--;
		for (int i = 0; i < k->n; i++)
			k->v[i] = k->v[i + 1];
	}
	k->v[k->n++] = s;
}

SSL_SESSION *tls_cache_take(struct tls_cache *c, uint64_t key)
{
	struct kept *k = find(c, key);
	SSL_SESSION *s;

	if (!k || !k->n)
		return NULL;
	k->used = ++c->now;
	s = k->v[k->n - 1];
	if (SSL_SESSION_get_protocol_version(s) >= TLS1_3_VERSION)
		k->n--;
	else
		SSL_SESSION_up_ref(s);
	return s;
}
