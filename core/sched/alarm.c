/* Alarms that the scheduler itself raises: a pause that is about to end, paused mail about to
 * expire, a route that is gone. */
#include "core/sched/override.h"

#include <stdlib.h>

#define PAUSE_ENDS_US  (10 * US_PER_MIN)
#define EXPIRY_NEAR_US US_PER_HOUR
#define GONE_SHOWN_US  US_PER_HOUR

struct alarm {
	struct link all; /* in sched.alarms */
	struct row_head row;
	uint64_t number;
	us_t since, gone_at; /* gone_at 0: holds */
	uint8_t severity;
	const char *code;
	struct rstr *target, *text;
};

static struct alarm *find(struct sched *s, const char *code, struct str target)
{
	for (struct link *l = s->alarms.next; l != &s->alarms; l = l->next) {
		struct alarm *a = LIST_OF(l, struct alarm, all);

		if (!a->gone_at && strcmp(a->code, code) == 0 &&
		    str_eq(rstr_str(a->target), target))
			return a;
	}
	return NULL;
}

void alarm_raise(struct sched *s, const char *code, struct str target, enum alarm_severity severity,
		 struct rstr *text)
{
	struct alarm *a = find(s, code, target);

	if (!a) {
		a = calloc(1, sizeof *a);
		if (!a) {
			rstr_unref(text);
			return;
		}
		a->code = code;
		a->number = ++s->next_id;
		a->since = s->now;
		a->target = rstr_new(target);
		row_init(s, &a->row, ROW_ALARM);
		list_add(&s->alarms, &a->all);
	}
	a->severity = (uint8_t)severity;
	rstr_unref(a->text);
	a->text = text;
	row_dirty(s, &a->row);
}

void alarm_end(struct sched *s, const char *code, struct str target)
{
	struct alarm *a = find(s, code, target);

	if (!a)
		return;
	a->gone_at = s->now;
	row_dirty(s, &a->row);
}

static void alarm_free(struct sched *s, struct alarm *a)
{
	list_del(&a->all);
	row_gone(s, &a->row);
	rstr_unref(a->target);
	rstr_unref(a->text);
	free(a);
}

void alarm_fill(struct sched *s, struct row_head *h, struct row *r)
{
	const struct alarm *a = HEAP_OF(h, struct alarm, row);
	struct row_alarm *x = &r->alarm;

	(void)s;
	r->name = rstr_newf("%llu", (unsigned long long)a->number);
	x->number = a->number;
	x->since = a->since;
	x->severity = a->severity;
	x->gone = a->gone_at != 0;
	x->code = rstr_new(str_of(a->code));
	x->target = rstr_ref(a->target);
	x->text = rstr_ref(a->text);
}

/* `queued` recipients wait behind it: counted in steps by walk.c. */
void alarm_pause_ends(struct sched *s, uint64_t number, uint64_t queued)
{
	const struct override *o = override_find(s, number);
	char n[FMT_SIZE];

	if (!o || o->ended_at)
		return;
	fmt_count((int64_t)queued, n);
	alarm_raise(
	    s, "pause-ends", rstr_str(o->text_target), ALARM_NOTE,
	    rstr_newf(
		"the pause of %s (override %llu) ends within 10 minutes: %s recipients will start",
		o->text_target->text, (unsigned long long)o->number, n));
}

/* Called for each queue as the upkeep passes by. */
void alarm_queue(struct sched *s, struct queue *q)
{
	us_t at =
	    q->paused && !q->paused->hidden && q->oldest ? queue_expiry(q, q->oldest) : US_NEVER;
	struct rstr *name;

	if (at != US_NEVER && at - s->now <= EXPIRY_NEAR_US) {
		name = queue_name(s, q);
		alarm_raise(s, "paused-expiry", rstr_str(name), ALARM_YELLOW,
			    rstr_newf("%s is paused and its oldest mail expires within the hour",
				      name ? name->text : "?"));
		rstr_unref(name);
	} else if (!list_empty(&s->alarms)) {
		name = queue_name_shown(q);
		alarm_end(s, "paused-expiry", rstr_str(name));
		rstr_unref(name);
	}
	if (q->stop == STOP_NO_ROUTE)
		alarm_raise(s, "no-source", rstr_str(q->route->name), ALARM_YELLOW,
			    rstr_newf("route %s is gone: its mail waits; move it to another",
				      q->route->name->text));
}

void alarms_second(struct sched *s)
{
	struct link *next;

	for (struct link *l = s->live.next; l != &s->live; l = l->next) {
		struct override *o = LIST_OF(l, struct override, live);

		if (o->kind != OVER_PAUSE || o->hidden || o->warned || o->until == US_NEVER ||
		    o->until - s->now > PAUSE_ENDS_US || o->until - o->made_at <= PAUSE_ENDS_US)
			continue;
		o->warned = true;
		census_start(s, o);
	}
	for (struct link *l = s->alarms.next; l != &s->alarms; l = next) {
		struct alarm *a = LIST_OF(l, struct alarm, all);

		next = l->next;
		if (a->gone_at && s->now - a->gone_at > GONE_SHOWN_US)
			alarm_free(s, a);
	}
}

/* A route that is known again, or has no mail left. */
void alarms_routes(struct sched *s)
{
	for (uint32_t i = 0; i < s->nroutes; i++) {
		const struct route *r = s->routes[i];

		if (r->vmta != CONF_NONE || r->pool != CONF_NONE || !r->queued)
			alarm_end(s, "no-source", rstr_str(r->name));
	}
}

void alarms_free(struct sched *s)
{
	struct link *l;

	while ((l = list_first(&s->alarms)))
		alarm_free(s, LIST_OF(l, struct alarm, all));
}
