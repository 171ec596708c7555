/* The end of a scheduler: everything it refers to is let go. */
#include "core/sched/override.h"
#include "core/sched/warmup.h"

#include <stdlib.h>

static struct table_link *any(const struct table *t)
{
	for (size_t i = 0; i < t->buckets; i++)
		if (table_at(t, i))
			return table_at(t, i);
	return NULL;
}

/* Messages, and with them bodies and reports: bodies go out as actions, which the caller may still
 * take. */
static void free_messages(struct sched *s)
{
	for (size_t i = 0; i < s->msgs.buckets; i++)
		for (struct table_link *l = table_at(&s->msgs, i), *next; l; l = next) {
			struct msg *m = TABLE_OF(l, struct msg);

			next = l->next;
			if (!m->size_class)
				free(m);
		}
}

static void free_sessions(struct sched *s)
{
	struct link *l;

	while ((l = list_pop(&s->sessions))) {
		struct session *e = LIST_OF(l, struct session, all);

		list_del(&e->on_lane);
		list_del(&e->on_source);
		list_del(&e->ask);
		patterns_unref(e->patterns);
	}
}

static void free_names(struct sched *s)
{
	for (size_t i = 0; i < s->names.buckets; i++)
		for (struct table_link *l = table_at(&s->names, i), *next; l; l = next) {
			next = l->next;
			free(TABLE_OF(l, struct name));
		}
	for (size_t i = 0; i < s->mxsets.buckets; i++)
		for (struct table_link *l = table_at(&s->mxsets, i), *next; l; l = next) {
			next = l->next;
			free(TABLE_OF(l, struct mxset));
		}
}

static void free_jobs(struct sched *s)
{
	struct table_link *l;

	while ((l = any(&s->jobs)))
		job_free(s, TABLE_OF(l, struct job));
}

void teardown(struct sched *s)
{
	struct table_link *l;

	s->ending = true;
	listings_free(s);
	reports_free(s);
	commands_free(s);
	overrides_free(s);
	alarms_free(s);
	restored_free_all(s);
	free_messages(s);
	free_sessions(s);
	for (size_t i = 0; i < s->lanes.buckets; i++)
		for (l = table_at(&s->lanes, i); l; l = l->next) {
			struct lane *a = TABLE_OF(l, struct lane);

			a->rest_kind = REST_NONE;
			a->warm = NULL;
			mode_free(s, a);
			tally_free(s, a->tally);
			a->tally = NULL;
		}
	while ((l = any(&s->queues)))
		queue_free(s, TABLE_OF(l, struct queue));
	while ((l = any(&s->lanes)))
		lane_settle(s, TABLE_OF(l, struct lane));
	keyrests_free(s);
	hosts_free_kept(s);
	warm_free_all(s);
	free_jobs(s);
	sources_free(s);
	/* Rates that were used lately are kept without anybody to refer to them. */
	for (size_t i = 0; i < s->counters.buckets; i++)
		for (l = table_at(&s->counters, i); l; l = l->next)
			rstr_unref(TABLE_OF(l, struct counter)->label);
	tally_release(s, &s->out);
	tally_release(s, &s->in);
	free_names(s);
}
