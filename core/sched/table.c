#include "core/sched/table.h"

#include <stdlib.h>

enum { SEGMENT_BUCKETS = 512, FIRST_SEGMENTS = 8 };

void table_init(struct table *t, uint64_t (*hash)(const struct table_link *l))
{
	*t = (struct table){ .hash = hash, .round = 1 };
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->nsegments; i++)
		free(t->segments[i]);
	free(t->segments);
	table_init(t, t->hash);
}

static struct table_link **bucket_at(const struct table *t, size_t i)
{
	return &t->segments[i / SEGMENT_BUCKETS][i % SEGMENT_BUCKETS];
}

/* Buckets below `buckets - round` have been split already in this round. */
static size_t index_of(const struct table *t, uint64_t hash)
{
	size_t i = (size_t)(hash & (t->round * 2 - 1));

	return i < t->buckets ? i : (size_t)(hash & (t->round - 1));
}

static bool add_segment(struct table *t)
{
	struct table_link **s;

	if (t->nsegments == t->cap_segments) {
		size_t cap = t->cap_segments ? t->cap_segments * 2 : FIRST_SEGMENTS;
		struct table_link ***more = realloc(t->segments, cap * sizeof *more);

		if (!more)
			return false;
		t->segments = more;
		t->cap_segments = cap;
	}
	s = calloc(SEGMENT_BUCKETS, sizeof(struct table_link *));
	if (!s)
		return false;
	t->segments[t->nsegments++] = s;
	return true;
}

/* Adds one bucket and moves into it what belongs there. */
static bool split(struct table *t)
{
	size_t fresh = t->buckets;
	struct table_link **from, *l;

	if (fresh == t->nsegments * SEGMENT_BUCKETS && !add_segment(t))
		return false;
	t->buckets++;
	if (fresh == 0)
		return true;
	if (fresh == t->round * 2)
		t->round *= 2;
	from = bucket_at(t, fresh - (size_t)t->round);
	while ((l = *from)) {
		if (index_of(t, t->hash(l)) != fresh) {
			from = &l->next;
			continue;
		}
		*from = l->next;
		l->next = *bucket_at(t, fresh);
		*bucket_at(t, fresh) = l;
	}
	return true;
}

struct table_link *table_bucket(const struct table *t, uint64_t hash)
{
	return t->buckets ? *bucket_at(t, index_of(t, hash)) : NULL;
}

bool table_add(struct table *t, struct table_link *l)
{
	struct table_link **b;

	if (t->used >= t->buckets && !split(t) && !t->buckets)
		return false;
	b = bucket_at(t, index_of(t, t->hash(l)));
	l->next = *b;
	*b = l;
	t->used++;
	return true;
}

void table_del(struct table *t, struct table_link *l)
{
	struct table_link **at = bucket_at(t, index_of(t, t->hash(l)));

	while (*at && *at != l)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = l->next;
	l->next = NULL;
	t->used--;
}

struct table_link *table_at(const struct table *t, size_t i)
{
	return i < t->buckets ? *bucket_at(t, i) : NULL;
}

size_t table_bytes(const struct table *t)
{
	return t->cap_segments * sizeof *t->segments +
	       t->nsegments * SEGMENT_BUCKETS * sizeof(struct table_link *);
}
