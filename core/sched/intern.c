/* Text that many recipients share, kept once: envelope senders and last replies; and jobs. */
#include "core/sched/inner.h"

#include <stdlib.h>

enum { NAME_MAX_BYTES = 512 };

uint64_t name_hash(const struct table_link *l)
{
	const struct name *n = (const struct name *)(const void *)l;

	return hash_bytes(n->text, n->len);
}

struct name *name_get(struct sched *s, struct str text)
{
	struct name *n;

	if (text.n > NAME_MAX_BYTES)
		text.n = NAME_MAX_BYTES;
	for (struct table_link *l = table_bucket(&s->names, hash_bytes(text.p, text.n)); l;
	     l = l->next) {
		n = TABLE_OF(l, struct name);
		if (str_eq(name_str(n), text)) {
			n->refs++;
			return n;
		}
	}
	n = malloc(sizeof *n + text.n);
	if (!n)
		return NULL;
	*n = (struct name){ .refs = 1, .len = (uint32_t)text.n };
	if (text.n)
		memcpy(n->text, text.p, text.n);
	if (!table_add(&s->names, &n->link)) {
		free(n);
		return NULL;
	}
	s->other_bytes += sizeof *n + text.n;
	return n;
}

void name_put(struct sched *s, struct name *n)
{
	if (!n || --n->refs)
		return;
	table_del(&s->names, &n->link);
	s->other_bytes -= sizeof *n + n->len;
	free(n);
}

static uint64_t job_key(struct str name, struct str user)
{
	return hash_bytes(name.p, name.n) ^ table_mix(hash_bytes(user.p, user.n));
}

uint64_t job_hash(const struct table_link *l)
{
	const struct job *j = (const struct job *)(const void *)l;

	return job_key(rstr_str(j->name), rstr_str(j->user));
}

static struct job *job_find(struct sched *s, struct str name, struct str user)
{
	struct table_link *l = table_bucket(&s->jobs, job_key(name, user));

	for (; l; l = l->next) {
		struct job *j = TABLE_OF(l, struct job);

		if (str_eq(rstr_str(j->name), name) && str_eq(rstr_str(j->user), user))
			return j;
	}
	return NULL;
}

struct job *job_get(struct sched *s, struct str name, struct str user, us_t at)
{
	struct job *j = job_find(s, name, user);

	if (j)
		return j;
	j = pool_get(&s->job_pool);
	if (!j)
		return NULL;
	j->name = rstr_new(name);
	j->user = rstr_new(user);
	j->first_at = at;
	if (!j->name || !j->user || !table_add(&s->jobs, &j->link)) {
		rstr_unref(j->name);
		rstr_unref(j->user);
		pool_put(&s->job_pool, j);
		return NULL;
	}
	row_init(s, &j->row, ROW_JOB);
	return j;
}

void job_free(struct sched *s, struct job *j)
{
	row_gone(s, &j->row);
	table_del(&s->jobs, &j->link);
	tally_free(s, j->tally);
	rstr_unref(j->name);
	rstr_unref(j->user);
	pool_put(&s->job_pool, j);
}

/* A job is shown for an hour after its last message. */
#define JOB_KEEP_US US_PER_HOUR

void job_upkeep(struct sched *s, struct job *j)
{
	if (j->messages || j->paused) {
		j->over_at = 0;
		return;
	}
	if (!j->over_at)
		j->over_at = s->now;
	if (s->now - j->over_at >= JOB_KEEP_US)
		job_free(s, j);
}
