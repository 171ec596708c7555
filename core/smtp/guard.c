#include "core/smtp/guard.h"

#include <stdlib.h>

#include "core/base/hash.h"

enum {
	CHAINS = 1024,
	PER_CHAIN = 4,
	IP_FAILURES = 10,
	USER_FAILURES = 20,
	KNOWN_FACTOR = 10,
	DOUBLINGS = 4, /* of the wait: 1, 2, 4, 8, 16 s */
};
#define FORGET_US (15 * US_PER_MIN) /* without a further failure; also how long a ban lasts */
#define KNOWN_US  US_PER_DAY

struct mark {
	uint64_t key;
	us_t last; /* 0: free */
	uint32_t failures;
};
struct table {
	struct mark chain[CHAINS][PER_CHAIN];
};
struct guard {
	struct table ips, users, known;
};

struct guard *guard_new(void)
{
	return calloc(1, sizeof(struct guard));
}

void guard_free(struct guard *g)
{
	free(g);
}

/* An IPv6 client has a /64. */
static uint64_t ip_key(const struct endpoint *e)
{
	if (e->sa.sa_family == AF_INET6)
		return hash_bytes(&e->in6.sin6_addr, 8);
	return hash_bytes(&e->in4.sin_addr, sizeof e->in4.sin_addr);
}

static uint64_t user_key(struct str user)
{
	return hash_ibytes(user.p, user.n);
}

static uint64_t pair_key(const struct endpoint *client, struct str user)
{
	return ip_key(client) ^ (user_key(user) * 0x9E3779B97F4A7C15u);
}

static struct mark *find(struct table *t, uint64_t key)
{
	struct mark *v = t->chain[key % CHAINS];

	for (int i = 0; i < PER_CHAIN; i++)
		if (v[i].last && v[i].key == key)
			return &v[i];
	return NULL;
}

static struct mark *make(struct table *t, uint64_t key)
{
	struct mark *v = t->chain[key % CHAINS], *m = find(t, key);

	if (m)
		return m;
	m = v;
	for (int i = 1; i < PER_CHAIN; i++)
		if (v[i].last < m->last)
			m = &v[i];
	*m = (struct mark){ .key = key };
	return m;
}

static uint32_t failures(struct table *t, uint64_t key, us_t now)
{
	const struct mark *m = find(t, key);

	return m && now - m->last < FORGET_US ? m->failures : 0;
}

static uint32_t count(struct table *t, uint64_t key, us_t now)
{
	struct mark *m = make(t, key);

	if (now - m->last >= FORGET_US)
		m->failures = 0;
	m->last = now;
	return ++m->failures;
}

static uint32_t factor(struct guard *g, const struct endpoint *client, struct str user, us_t now)
{
	const struct mark *m = find(&g->known, pair_key(client, user));

	return m && now - m->last < KNOWN_US ? KNOWN_FACTOR : 1;
}

bool guard_allows(struct guard *g, const struct endpoint *client, struct str user, us_t now)
{
	uint32_t f = factor(g, client, user, now);

	return failures(&g->ips, ip_key(client), now) < IP_FAILURES * f &&
	       failures(&g->users, user_key(user), now) < USER_FAILURES * f;
}

us_t guard_failed(struct guard *g, const struct endpoint *client, struct str user, us_t now,
		  bool *banned)
{
	uint32_t n = count(&g->ips, ip_key(client), now);
	uint32_t of_user = count(&g->users, user_key(user), now);

	*banned = n == IP_FAILURES || of_user == USER_FAILURES;
	n = n > of_user ? n : of_user;
	return US_PER_S << (n - 1 < DOUBLINGS ? n - 1 : DOUBLINGS);
}

void guard_passed(struct guard *g, const struct endpoint *client, struct str user, us_t now)
{
	struct mark *ip = find(&g->ips, ip_key(client));

	if (ip)
		ip->failures /=
		    2; /* not all: one good account must not clear the way for guesses */
	make(&g->known, pair_key(client, user))->last = now;
}
