#include "core/base/hash.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>

static uint64_t key0 = 0x0706050403020100u, key1 = 0x0F0E0D0C0B0A0908u;

void hash_seed(uint64_t k0, uint64_t k1)
{
	key0 = k0;
	key1 = k1;
}

static uint64_t rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

/* Folds the ASCII capitals among eight bytes at once. */
static uint64_t fold8(uint64_t w)
{
	const uint64_t ones = 0x0101010101010101u;
	uint64_t low7 = w & (0x7F * ones);
	uint64_t from_a = low7 + (0x80 - 'A') * ones; /* high bit: byte >= 'A' */
	uint64_t past_z = low7 + (0x7F - 'Z') * ones; /* high bit: byte > 'Z' */
	uint64_t capital = from_a & ~past_z & ~w & (0x80 * ones);

	return w | capital >> 2;
}

/* Less than eight bytes, little-endian. */
static uint64_t load_tail(const unsigned char *b, size_t n)
{
	uint64_t w = 0;

	for (size_t i = 0; i < n; i++)
		w |= (uint64_t)b[i] << (8 * i);
	return w;
}

static inline uint64_t siphash13(const unsigned char *b, size_t n, bool folded)
{
	uint64_t v[4] = { key0 ^ 0x736F6D6570736575u, key1 ^ 0x646F72616E646F6Du,
			  key0 ^ 0x6C7967656E657261u, key1 ^ 0x7465646279746573u };
	uint64_t last = (uint64_t)n << 56;
	uint64_t w;

	for (; n >= 8; n -= 8, b += 8) {
		memcpy(&w, b, sizeof w);
		w = le64toh(w);
		w = folded ? fold8(w) : w;
		v[3] ^= w;
		sip_round(v);
		v[0] ^= w;
	}
	w = load_tail(b, n);
	last |= folded ? fold8(w) : w;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xFF;
	for (int i = 0; i < 3; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_bytes(const void *p, size_t n)
{
	return siphash13(p, n, false);
}

uint64_t hash_ibytes(const void *p, size_t n)
{
	return siphash13(p, n, true);
}

/* Both tables: linear probing, at most 3/4 full; a removal shifts the run behind it back, so there
 * are no tombstones and a table that lives for months stays as fast as a new one. */
enum { FIRST_SLOTS = 8 };

static bool too_full(size_t used, size_t cap)
{
	return (used + 1) * 4 > cap * 3;
}

/* True if an entry whose place is `home` and that sits at `at` may move to `hole`: the hole lies
 * on its way from home. */
static bool may_move(size_t home, size_t at, size_t hole, size_t mask)
{
	return ((at - home) & mask) >= ((at - hole) & mask);
}

struct idmap_slot {
	uint64_t key;
	void *value; /* NULL: free */
};

/* Ids are ours, so no key is needed; murmur3's finaliser spreads the low bits. */
static size_t id_hash(uint64_t k)
{
	k = (k ^ (k >> 33)) * 0xFF51AFD7ED558CCDu;
	k = (k ^ (k >> 33)) * 0xC4CEB9FE1A85EC53u;
	return (size_t)(k ^ (k >> 33));
}

void idmap_init(struct idmap *m)
{
	*m = (struct idmap){ 0 };
}

void idmap_free(struct idmap *m)
{
	free(m->slots);
	idmap_init(m);
}

/* The slot that holds key, or the free one where it would go. */
static struct idmap_slot *id_slot(const struct idmap *m, uint64_t key)
{
	size_t i = id_hash(key) & (m->cap - 1);

	while (m->slots[i].value && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static bool id_grow(struct idmap *m)
{
	struct idmap bigger = { .cap = m->cap ? m->cap * 2 : FIRST_SLOTS, .used = m->used };

	bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			*id_slot(&bigger, m->slots[i].key) = m->slots[i];
	free(m->slots);
	*m = bigger;
	return true;
}

void *idmap_get(const struct idmap *m, uint64_t key)
{
	return m->cap ? id_slot(m, key)->value : NULL;
}

bool idmap_put(struct idmap *m, uint64_t key, void *value)
{
	struct idmap_slot *s;

	assert(value);
	s = m->cap ? id_slot(m, key) : NULL;
	if (!s || (!s->value && too_full(m->used, m->cap))) {
		if (!id_grow(m))
			return false;
		s = id_slot(m, key);
	}
	if (!s->value)
		m->used++;
	*s = (struct idmap_slot){ key, value };
	return true;
}

void *idmap_del(struct idmap *m, uint64_t key)
{
	size_t mask = m->cap - 1, hole;
	struct idmap_slot *s;
	void *value;

	if (!m->cap)
		return NULL;
	s = id_slot(m, key);
	value = s->value;
	if (!value)
		return NULL;
	hole = (size_t)(s - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		if (!may_move(id_hash(m->slots[i].key) & mask, i, hole, mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole].value = NULL;
	m->used--;
	return value;
}

bool idmap_next(const struct idmap *m, size_t *pos, uint64_t *key, void **value)
{
	while (*pos < m->cap) {
		const struct idmap_slot *s = &m->slots[(*pos)++];

		if (!s->value)
			continue;
		*key = s->key;
		*value = s->value;
		return true;
	}
	return false;
}

struct strmap_slot {
	struct str key;
	uint64_t hash;
	void *value; /* NULL: free */
};

void strmap_init(struct strmap *m)
{
	*m = (struct strmap){ 0 };
}

void strmap_free(struct strmap *m)
{
	free(m->slots);
	strmap_init(m);
}

static struct strmap_slot *str_slot(const struct strmap *m, struct str key, uint64_t hash)
{
	size_t i = (size_t)hash & (m->cap - 1);

	while (m->slots[i].value && (m->slots[i].hash != hash || !str_eq(m->slots[i].key, key)))
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static bool str_grow(struct strmap *m)
{
	struct strmap bigger = { .cap = m->cap ? m->cap * 2 : FIRST_SLOTS, .used = m->used };

	bigger.slots = calloc(bigger.cap, sizeof *bigger.slots);
	if (!bigger.slots)
		return false;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			*str_slot(&bigger, m->slots[i].key, m->slots[i].hash) = m->slots[i];
	free(m->slots);
	*m = bigger;
	return true;
}

void *strmap_get(const struct strmap *m, struct str key)
{
	return m->cap ? str_slot(m, key, hash_bytes(key.p, key.n))->value : NULL;
}

bool strmap_put(struct strmap *m, struct str key, void *value)
{
	uint64_t hash = hash_bytes(key.p, key.n);
	struct strmap_slot *s;

	assert(value);
	s = m->cap ? str_slot(m, key, hash) : NULL;
	if (!s || (!s->value && too_full(m->used, m->cap))) {
		if (!str_grow(m))
			return false;
		s = str_slot(m, key, hash);
	}
	if (!s->value)
		m->used++;
	*s = (struct strmap_slot){ key, hash, value };
	return true;
}

void *strmap_del(struct strmap *m, struct str key)
{
	size_t mask = m->cap - 1, hole;
	struct strmap_slot *s;
	void *value;

	if (!m->cap)
		return NULL;
	s = str_slot(m, key, hash_bytes(key.p, key.n));
	value = s->value;
	if (!value)
		return NULL;
	hole = (size_t)(s - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		if (!may_move((size_t)m->slots[i].hash & mask, i, hole, mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole].value = NULL;
	m->used--;
	return value;
}

bool strmap_next(const struct strmap *m, size_t *pos, struct str *key, void **value)
{
	while (*pos < m->cap) {
		const struct strmap_slot *s = &m->slots[(*pos)++];

		if (!s->value)
			continue;
		*key = s->key;
		*value = s->value;
		return true;
	}
	return false;
}
