/* Outcomes into the ledger, and the events that tell of them. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

/* What is counted. RECEIVED: a change of state alone. */
static uint64_t *counter(struct spool *s, enum event_type as)
{
	struct spool_totals *t = &s->core.totals;

	switch (as) {
	case EVENT_DELIVERED:
		return &t->delivered;
	case EVENT_DEFERRED:
		return &t->deferred;
	case EVENT_BOUNCED:
		return &t->bounced;
	case EVENT_EXPIRED:
		return &t->expired;
	case EVENT_REMOVED:
		return &t->removed;
	case EVENT_RECEIVED:
	case EVENT_REJECTED:
	case EVENT_UNREACHED:
	case EVENT_REMOTE_BOUNCED:
	case EVENT_COMPLAINT:
	case EVENT_SUPPRESSED:
	case EVENT_TYPES:
		break;
	}
	return NULL;
}

/* A recipient leaves QUEUED once, and is counted then: that keeps accepted = queued + the rest. */
static bool allowed(const struct change *c, const struct outcome *o)
{
	bool ends = o->as == EVENT_DELIVERED || o->as == EVENT_BOUNCED || o->as == EVENT_EXPIRED ||
		    o->as == EVENT_REMOVED;

	if (c->state == RCPT_QUEUED)
		return (o->state == RCPT_QUEUED) != ends &&
		       (o->as == EVENT_RECEIVED || o->as == EVENT_DEFERRED || ends);
	return c->state == RCPT_REPORT && o->state != RCPT_QUEUED && o->as == EVENT_RECEIVED;
}

static bool set_reply(struct change *c, struct str reply)
{
	struct str copy = { NULL, reply.n < REPLY_MAX ? reply.n : REPLY_MAX };

	if (copy.n) {
		copy.p = str_dup(str_mem(reply.p, copy.n));
		if (!copy.p)
			return false;
	}
	free((void *)(uintptr_t)c->reply.p);
	c->reply = copy;
	return true;
}

/* False: no memory, nothing is changed. */
static bool apply(struct spool *s, struct entry *e, struct change *c, const struct outcome *o,
		  us_t at)
{
	uint64_t *count = counter(s, o->as);
	bool report = o->state == RCPT_REPORT && c->state != RCPT_REPORT;

	if (report && !u64list_add(&s->ledger.reports, e->id))
		return false;
	/* Of one that is done nothing will be asked again. A bare change of state keeps the words.
	 */
	if (o->state != RCPT_DONE && (o->reply.n || o->as != EVENT_RECEIVED) &&
	    !set_reply(c, o->reply))
		return false;
	c->dirty = true;
	c->state = (uint8_t)o->state;
	c->attempts = o->attempts;
	c->due = o->due;
	if (report)
		c->failed_at = at;
	if (o->enhanced && *o->enhanced) {
		size_t n = strnlen(o->enhanced, ENHANCED_SIZE - 1);

		memcpy(c->enhanced, o->enhanced, n);
		c->enhanced[n] = '\0';
	}
	if (count)
		++*count;
	s->core.totals.maybe_twice += o->maybe_twice ? 1 : 0;
	if (o->state == RCPT_DONE)
		ledger_done(s, e);
	return true;
}

static enum found fold(struct spool *s, const struct outcome *o, us_t at)
{
	struct change *c = NULL;
	struct entry *e;
	enum found found = ledger_entry(s, o->message, &e);

	if (found == FOUND && !e->left)
		found = FOUND_NOT;
	if (found == FOUND)
		found = ledger_change(s, e, o->rcpt, &c);
	if (found == FOUND && !allowed(c, o))
		found = FOUND_NOT;
	if (found == FOUND_NOT) {
		log_error("spool: an outcome (%s) for recipient %u of message %llx, which is not "
			  "waiting for one, is ignored",
			  event_type_name(o->as), o->rcpt, (unsigned long long)o->message);
		return found;
	}
	if (found == FOUND && !apply(s, e, c, o, at))
		found = FOUND_NO_MEMORY;
	return found;
}

/* The index can't be read now: the next commit that can will fold it in. */
static bool defer(struct spool *s, const struct outcome *o, us_t at)
{
	struct deferred *d = malloc(sizeof *d);

	if (!d)
		return false;
	*d = (struct deferred){ .o = *o, .at = at, .reply = str_dup(o->reply) };
	if (!d->reply) {
		free(d);
		return false;
	}
	d->o.reply.p = d->reply;
	if (o->enhanced)
		memcpy(d->enhanced, o->enhanced, strnlen(o->enhanced, ENHANCED_SIZE - 1));
	d->o.enhanced = d->enhanced;
	*s->ledger.deferred_last = d;
	s->ledger.deferred_last = &d->next;
	return true;
}

bool outcomes_resolve(struct spool *s)
{
	struct ledger *l = &s->ledger;
	struct deferred *d;

	while ((d = l->deferred)) {
		enum found found = fold(s, &d->o, d->at);

		if (found == FOUND_UNREADABLE || found == FOUND_NO_MEMORY)
			return false;
		l->deferred = d->next;
		if (!l->deferred)
			l->deferred_last = &l->deferred;
		free(d->reply);
		free(d);
	}
	return true;
}

bool spool_outcome(struct spool *s, const struct outcome *o, const struct event *ev)
{
	size_t before = s->ledger.events.n;
	enum found found = FOUND_UNREADABLE;
	us_t at = ev ? ev->at : s->now;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (ev && !eventlog_add(s, ev))
		return false;
	if (!s->ledger.deferred)
		found = fold(s, o, at);
	if (found == FOUND || (found == FOUND_UNREADABLE && defer(s, o, at)))
		return true;
	if (ev) { /* not counted, so not told */
		s->ledger.events.n = before;
		s->ledger.nevents--;
	}
	return found == FOUND_NOT;
}

bool spool_event(struct spool *s, const struct event *ev)
{
	OBJ_CHECK(s, SPOOL_MAGIC);
	if (ev->type == EVENT_RECEIVED) {
		log_error("spool: an EVENT_RECEIVED from outside is ignored; spool_flush makes it");
		return true;
	}
	return eventlog_add(s, ev);
}
