#include "core/feedback/seen.h"

#include <stdlib.h>

#include "core/base/hash.h"

struct seen {
	uint64_t slots[SEEN_SLOTS];
};

struct seen *seen_new(void)
{
	return calloc(1, sizeof(struct seen));
}

void seen_free(struct seen *s)
{
	free(s);
}

bool seen_before(struct seen *s, const struct event *e)
{
	const uint64_t key[] = { e->type, e->message, e->rcpt,
				 hash_ibytes(e->recipient.p, e->recipient.n) };
	uint64_t h = hash_bytes(key, sizeof key);
	uint64_t *slot = &s->slots[h % SEEN_SLOTS];

	if (!e->message)
		return false;
	if (*slot == h)
		return true;
	*slot = h;
	return false;
}
