/* The actions that wait to be taken: a ring that grows. */
#include "core/sched/inner.h"

#include <stdlib.h>

enum { FIRST_ACTS = 64 };

static bool grow(struct acts *q)
{
	size_t cap = q->cap ? q->cap * 2 : FIRST_ACTS;
	struct act *ring = malloc(cap * sizeof *ring);

	if (!ring)
		return false;
	for (size_t i = 0; i < q->n; i++)
		ring[i] = q->ring[(q->head + i) & (q->cap - 1)];
	free(q->ring);
	q->ring = ring;
	q->cap = cap;
	q->head = 0;
	return true;
}

/* An action can't be lost: what it carries is owned by nobody else. Without memory for a few
 * hundred bytes nothing sensible is left. */
struct act *action_add(struct sched *s, enum action_type type)
{
	struct acts *q = &s->acts;
	struct act *a;

	if (q->n == q->cap && !grow(q))
		abort();
	a = &q->ring[(q->head + q->n++) & (q->cap - 1)];
	memset(a, 0, sizeof *a);
	a->a.type = type;
	return a;
}

void action_to_io(struct sched *s, uint32_t io, const struct to_io *m)
{
	struct act *a = action_add(s, ACT_TO_IO);

	a->a.io = io;
	a->a.to_io = *m;
}

void action_body_drop(struct sched *s, void *body)
{
	if (body)
		action_add(s, ACT_BODY_DROP)->a.body = body;
}

void action_state_put(struct sched *s, const char *table, struct str key, struct str value)
{
	char *bytes = malloc(key.n + value.n + 1);
	struct act *a;

	if (!bytes)
		return; /* a rate's last attempt or an override is not kept: the next put brings it
			 */
	a = action_add(s, ACT_STATE_PUT);
	memcpy(bytes, key.p, key.n);
	if (value.n)
		memcpy(bytes + key.n, value.p, value.n);
	a->bytes = bytes;
	a->a.table = table;
	a->a.key = str_mem(bytes, key.n);
	if (value.p)
		a->a.value = str_mem(bytes + key.n, value.n);
}

void action_keep_name(struct act *a, struct str name)
{
	char *bytes = str_dup(name);

	if (!bytes)
		abort();
	a->bytes = bytes;
	a->a.name = str_mem(bytes, name.n);
}

bool sched_action(struct sched *s, struct action *out)
{
	struct acts *q = &s->acts;
	struct act *a;

	free(q->last);
	q->last = NULL;
	if (!q->n)
		return false;
	a = &q->ring[q->head];
	*out = a->a;
	q->last = a->bytes;
	q->head = (q->head + 1) & (q->cap - 1);
	q->n--;
	return true;
}

static void drop(struct action *a)
{
	if (a->to_io.spec)
		session_spec_free(a->to_io.spec);
	if (a->to_io.txn)
		transaction_free(a->to_io.txn);
	if (a->txn)
		transaction_free(a->txn);
	if (a->dsn)
		dsn_job_free(a->dsn);
	rstr_unref(a->text);
	rstr_unref(a->reply.text);
}

void actions_free(struct sched *s)
{
	struct action a;

	while (sched_action(s, &a))
		drop(&a);
	free(s->acts.ring);
	s->acts = (struct acts){ 0 };
}
