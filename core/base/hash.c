#include "core/base/hash.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <sys/mman.h>

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

/* Big tables are mappings of their own: new ones are zero without being written to (calloc clears
 * what it takes from an arena: 4 MB at once), each page costs only who puts the first entry there.
 */
enum { MAPPED_FROM = 64 * 1024 };

static void *slots_new(size_t bytes)
{
	void *p;

	if (bytes < MAPPED_FROM)
		return calloc(1, bytes);
	p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

static void slots_free(void *p, size_t bytes)
{
	if (bytes < MAPPED_FROM)
		free(p);
	else
		munmap(p, bytes);
}

/* A full table grows step by step: the bigger one takes what comes, and each put brings STEP slots
 * of the old one over. Those leave the mark below, so that what lies behind them is still found.
 * Two would do to empty the old table before the bigger one is full; each slot may cost a page of
 * new memory, so it is not many more. */
enum { STEP = 4 };
static char moved_mark;
#define MOVED ((void *)&moved_mark)

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
	slots_free(m->slots, m->cap * sizeof *m->slots);
	if (m->old)
		slots_free(m->old, m->old_cap * sizeof *m->old);
	idmap_init(m);
}

/* The slot that holds key, or the free one where it would go. */
static struct idmap_slot *id_slot(struct idmap_slot *slots, size_t cap, uint64_t key)
{
	size_t i = id_hash(key) & (cap - 1);

	while (slots[i].value && (slots[i].value == MOVED || slots[i].key != key))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

/* Where it is; NULL: nowhere. */
static struct idmap_slot *id_find(const struct idmap *m, uint64_t key)
{
	struct idmap_slot *s = m->cap ? id_slot(m->slots, m->cap, key) : NULL;

	if (s && s->value)
		return s;
	s = m->old ? id_slot(m->old, m->old_cap, key) : NULL;
	return s && s->value ? s : NULL;
}

static void id_move(struct idmap *m, size_t n)
{
	for (; m->old && n; n--) {
		struct idmap_slot *s = &m->old[m->old_at++];

		if (s->value && s->value != MOVED) {
			*id_slot(m->slots, m->cap, s->key) = *s;
			s->value = MOVED;
		}
		if (m->old_at < m->old_cap)
			continue;
		slots_free(m->old, m->old_cap * sizeof *m->old);
		m->old = NULL;
	}
}

static bool id_grow(struct idmap *m)
{
	size_t cap = m->cap ? m->cap * 2 : FIRST_SLOTS;
	struct idmap_slot *slots = slots_new(cap * sizeof *slots);

	if (!slots)
		return false;
	id_move(m, SIZE_MAX);
	m->old = m->slots;
	m->old_cap = m->cap;
	m->old_at = 0;
	m->slots = slots;
	m->cap = cap;
	return true;
}

void *idmap_get(const struct idmap *m, uint64_t key)
{
	struct idmap_slot *s = id_find(m, key);

	return s ? s->value : NULL;
}

bool idmap_put(struct idmap *m, uint64_t key, void *value)
{
	struct idmap_slot *s = id_find(m, key);

	assert(value);
	if (s) {
		s->value = value;
		return true;
	}
	if ((!m->cap || too_full(m->used, m->cap)) && !id_grow(m))
		return false;
	id_move(m, STEP);
	*id_slot(m->slots, m->cap, key) = (struct idmap_slot){ key, value };
	m->used++;
	return true;
}

void *idmap_del(struct idmap *m, uint64_t key)
{
	struct idmap_slot *s = id_find(m, key);
	size_t mask = m->cap - 1, hole;
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	m->used--;
	if (m->old && s >= m->old && s < m->old + m->old_cap) {
		s->value = MOVED;
		return value;
	}
	hole = (size_t)(s - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		if (!may_move(id_hash(m->slots[i].key) & mask, i, hole, mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole].value = NULL;
	return value;
}

bool idmap_next(const struct idmap *m, size_t *pos, uint64_t *key, void **value)
{
	size_t old = m->old ? m->old_cap : 0;

	while (*pos < m->cap + old) {
		size_t i = (*pos)++;
		const struct idmap_slot *s = i < m->cap ? &m->slots[i] : &m->old[i - m->cap];

		if (!s->value || s->value == MOVED)
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
	slots_free(m->slots, m->cap * sizeof *m->slots);
	if (m->old)
		slots_free(m->old, m->old_cap * sizeof *m->old);
	strmap_init(m);
}

static struct strmap_slot *str_slot(struct strmap_slot *slots, size_t cap, struct str key,
				    uint64_t hash)
{
	size_t i = (size_t)hash & (cap - 1);

	/* The bytes of a key that has moved may be gone. */
	while (slots[i].value &&
	       (slots[i].value == MOVED || slots[i].hash != hash || !str_eq(slots[i].key, key)))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static struct strmap_slot *str_find(const struct strmap *m, struct str key, uint64_t hash)
{
	struct strmap_slot *s = m->cap ? str_slot(m->slots, m->cap, key, hash) : NULL;

	if (s && s->value)
		return s;
	s = m->old ? str_slot(m->old, m->old_cap, key, hash) : NULL;
	return s && s->value ? s : NULL;
}

static void str_move(struct strmap *m, size_t n)
{
	for (; m->old && n; n--) {
		struct strmap_slot *s = &m->old[m->old_at++];

		if (s->value && s->value != MOVED) {
			*str_slot(m->slots, m->cap, s->key, s->hash) = *s;
			s->value = MOVED;
		}
		if (m->old_at < m->old_cap)
			continue;
		slots_free(m->old, m->old_cap * sizeof *m->old);
		m->old = NULL;
	}
}

static bool str_grow(struct strmap *m)
{
	size_t cap = m->cap ? m->cap * 2 : FIRST_SLOTS;
	struct strmap_slot *slots = slots_new(cap * sizeof *slots);

	if (!slots)
		return false;
	str_move(m, SIZE_MAX);
	m->old = m->slots;
	m->old_cap = m->cap;
	m->old_at = 0;
	m->slots = slots;
	m->cap = cap;
	return true;
}

void *strmap_get(const struct strmap *m, struct str key)
{
	struct strmap_slot *s = str_find(m, key, hash_bytes(key.p, key.n));

	return s ? s->value : NULL;
}

bool strmap_put(struct strmap *m, struct str key, void *value)
{
	uint64_t hash = hash_bytes(key.p, key.n);
	struct strmap_slot *s = str_find(m, key, hash);

	assert(value);
	if (s) {
		*s = (struct strmap_slot){ key, hash, value };
		return true;
	}
	if ((!m->cap || too_full(m->used, m->cap)) && !str_grow(m))
		return false;
	str_move(m, STEP);
	*str_slot(m->slots, m->cap, key, hash) = (struct strmap_slot){ key, hash, value };
	m->used++;
	return true;
}

void *strmap_del(struct strmap *m, struct str key)
{
	struct strmap_slot *s = str_find(m, key, hash_bytes(key.p, key.n));
	size_t mask = m->cap - 1, hole;
	void *value;

	if (!s)
		return NULL;
	value = s->value;
	m->used--;
	if (m->old && s >= m->old && s < m->old + m->old_cap) {
		s->value = MOVED;
		return value;
	}
	hole = (size_t)(s - m->slots);
	for (size_t i = (hole + 1) & mask; m->slots[i].value; i = (i + 1) & mask) {
		if (!may_move((size_t)m->slots[i].hash & mask, i, hole, mask))
			continue;
		m->slots[hole] = m->slots[i];
		hole = i;
	}
	m->slots[hole].value = NULL;
	return value;
}

bool strmap_next(const struct strmap *m, size_t *pos, struct str *key, void **value)
{
	size_t old = m->old ? m->old_cap : 0;

	while (*pos < m->cap + old) {
		size_t i = (*pos)++;
		const struct strmap_slot *s = i < m->cap ? &m->slots[i] : &m->old[i - m->cap];

		if (!s->value || s->value == MOVED)
			continue;
		*key = s->key;
		*value = s->value;
		return true;
	}
	return false;
}
