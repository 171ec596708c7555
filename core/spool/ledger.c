#include <stdlib.h>

#include "core/base/log.h"
#include "core/spool/engine.h"
#include "core/spool/envelope.h"

enum { BY_RCPT_FROM = 8 }; /* recipients from which an array replaces the walk */

void ledger_init(struct ledger *l)
{
	*l = (struct ledger){ .first = NULL };
	idmap_init(&l->entries);
	pool_init(&l->entry_pool, "spool-entry", sizeof(struct entry));
	pool_init(&l->change_pool, "spool-change", sizeof(struct change));
	l->last = &l->first;
	l->deferred_last = &l->deferred;
	buf_init(&l->events);
	buf_init(&l->others);
}

static void free_entry(struct ledger *l, struct entry *e)
{
	struct change *c, *next;

	for (c = e->changes; c; c = next) {
		next = c->next;
		free((void *)(uintptr_t)c->reply.p);
		pool_put(&l->change_pool, c);
	}
	free(e->by_rcpt);
	idmap_del(&l->entries, e->id);
	pool_put(&l->entry_pool, e);
}

/* The envelopes of the batches. One chunk is kept for the next batch. */
static void free_chunks(struct ledger *l)
{
	struct chunk *c, *next;

	for (c = l->chunks; c; c = next) {
		next = c->next;
		if (l->spare) {
			buf_free(&c->bytes);
			free(c);
			continue;
		}
		buf_clear(&c->bytes);
		l->spare = c;
	}
	l->chunks = NULL;
}

void ledger_clear(struct ledger *l)
{
	struct entry *e, *next;

	for (e = l->first; e; e = next) {
		next = e->next;
		free_entry(l, e);
	}
	l->first = NULL;
	l->last = &l->first;
	free_chunks(l);
	buf_clear(&l->events);
	l->nevents = 0;
	l->nindexed = l->nchanges = 0;
	l->reports.n = 0;
}

void ledger_free(struct ledger *l)
{
	struct deferred *d, *next;

	ledger_clear(l);
	for (d = l->deferred; d; d = next) {
		next = d->next;
		free(d->reply);
		free(d);
	}
	if (l->spare)
		buf_free(&l->spare->bytes);
	free(l->spare);
	buf_free(&l->events);
	buf_free(&l->others);
	u64list_free(&l->reports);
	idmap_free(&l->entries);
	pool_free(&l->entry_pool);
	pool_free(&l->change_pool);
}

static struct entry *new_entry(struct ledger *l, uint64_t id, uint32_t nrcpts)
{
	struct entry *e = pool_get(&l->entry_pool);

	if (e && idmap_put(&l->entries, id, e)) {
		e->id = id;
		e->nrcpts = e->left = nrcpts;
		return e;
	}
	pool_put(&l->entry_pool, e);
	return NULL;
}

struct entry *ledger_new(struct ledger *l, uint64_t id, uint32_t nrcpts)
{
	struct entry *e = idmap_get(&l->entries, id) ? NULL : new_entry(l, id, nrcpts);

	if (e)
		e->fresh = true;
	return e;
}

void ledger_drop(struct ledger *l, struct entry *e)
{
	free_entry(l, e);
}

void ledger_link(struct ledger *l, struct entry *e)
{
	if (e->linked)
		return;
	e->linked = true;
	*l->last = e;
	l->last = &e->next;
}

static enum found found_rc(int rc)
{
	if (!rc)
		return FOUND;
	/* one damaged row (it is in the log) must not hold up all the others */
	return rc == MDB_NOTFOUND || rc == INDEX_DAMAGED ? FOUND_NOT : FOUND_UNREADABLE;
}

static enum found from_index(struct spool *s, MDB_txn *txn, uint64_t id, struct entry **out)
{
	struct msg_row row;
	uint32_t left = 0, nrcpts;
	int rc = index_get_message(&s->index, txn, id, &row);

	if (rc)
		return found_rc(rc);
	nrcpts = envelope_rcpts(row.envelope);
	if (nrcpts > 1)
		rc = index_get_left(&s->index, txn, id, &left);
	if (rc && rc != MDB_NOTFOUND && rc != INDEX_DAMAGED)
		return FOUND_UNREADABLE;
	*out = new_entry(&s->ledger, id, nrcpts);
	if (!*out)
		return FOUND_NO_MEMORY;
	if (nrcpts > 1 && !rc)
		(*out)->left = left;
	(*out)->where = row.where;
	(*out)->indexed = true;
	s->ledger.nindexed++;
	ledger_link(&s->ledger, *out);
	return FOUND;
}

enum found ledger_entry(struct spool *s, uint64_t id, struct entry **out)
{
	enum found found;
	MDB_txn *txn;

	*out = idmap_get(&s->ledger.entries, id);
	if (*out)
		return (*out)->linked ? FOUND : FOUND_NOT;
	txn = s->index.failed ? NULL : env_lookup_begin(&s->index);
	if (!txn)
		return FOUND_UNREADABLE;
	found = from_index(s, txn, id, out);
	env_lookup_end(&s->index);
	return found;
}

static struct change *known_change(const struct entry *e, uint32_t rcpt)
{
	struct change *c;

	if (e->by_rcpt)
		return e->by_rcpt[rcpt];
	for (c = e->changes; c && c->rcpt != rcpt; c = c->next)
		;
	return c;
}

/* What the index says of a recipient: a row, or none for one that is as it was accepted. */
static enum found read_change(struct spool *s, const struct entry *e, uint32_t rcpt,
			      struct change *c)
{
	struct str reply = { NULL, 0 };
	MDB_txn *txn;
	int rc;

	if (e->fresh) /* all its changes are here */
		return FOUND;
	txn = s->index.failed ? NULL : env_lookup_begin(&s->index);
	if (!txn)
		return FOUND_UNREADABLE;
	rc = index_get_rcpt(&s->index, txn, e->id, rcpt, c);
	if (!rc && c->reply.n) {
		reply.p = str_dup(c->reply);
		reply.n = reply.p ? c->reply.n : 0;
	}
	c->reply = reply;
	env_lookup_end(&s->index);
	return !rc || rc == MDB_NOTFOUND || rc == INDEX_DAMAGED ? FOUND : FOUND_UNREADABLE;
}

static bool index_by_rcpt(struct entry *e)
{
	if (e->nrcpts < BY_RCPT_FROM || e->by_rcpt)
		return true;
	e->by_rcpt = calloc(e->nrcpts, sizeof(struct change *));
	return e->by_rcpt != NULL;
}

enum found ledger_change(struct spool *s, struct entry *e, uint32_t rcpt, struct change **out)
{
	struct change *c;
	enum found found;

	if (rcpt >= e->nrcpts)
		return FOUND_NOT;
	if (!index_by_rcpt(e))
		return FOUND_NO_MEMORY;
	*out = known_change(e, rcpt);
	if (*out)
		return FOUND;
	c = pool_get(&s->ledger.change_pool);
	if (!c)
		return FOUND_NO_MEMORY;
	found = read_change(s, e, rcpt, c);
	if (found != FOUND) {
		pool_put(&s->ledger.change_pool, c);
		return found;
	}
	c->rcpt = rcpt;
	c->next = e->changes;
	e->changes = c;
	s->ledger.nchanges += e->indexed;
	if (e->by_rcpt)
		e->by_rcpt[rcpt] = c;
	*out = c;
	return FOUND;
}

void ledger_done(struct spool *s, struct entry *e)
{
	e->left_dirty = true;
	if (--e->left)
		return;
	s->core.messages--;
	s->core.bytes -= e->where.body_bytes;
	segment_count(s, e->id, &e->where, -1);
}

static void reported(struct spool *s, struct entry *e, struct change *c, bool delay)
{
	if (delay && c->state == RCPT_QUEUED) {
		c->delayed_dsn_sent = true;
		c->dirty = true;
	} else if (!delay && c->state == RCPT_REPORT) {
		c->state = RCPT_DONE;
		c->dirty = true;
		ledger_done(s, e);
	}
}

/* The states of the recipients that a report is about. One that is gone is not: nothing is left to
 * report on. */
static enum found each_report(struct spool *s, const struct message *m, bool end)
{
	struct change *c;
	struct entry *e;
	enum found found = m->nreports_rcpts ? ledger_entry(s, m->reports_on, &e) : FOUND_NOT;

	if (found != FOUND || !e->left)
		return found == FOUND_NOT ? FOUND : found;
	for (uint32_t i = 0; i < m->nreports_rcpts; i++) {
		found = ledger_change(s, e, m->reports_rcpts[i] & ~REPORTS_DELAY, &c);
		if (found == FOUND_UNREADABLE || found == FOUND_NO_MEMORY)
			return found;
		if (found == FOUND && end)
			reported(s, e, c, m->reports_rcpts[i] & REPORTS_DELAY);
	}
	return FOUND;
}

enum found ledger_reserve_reports(struct spool *s, const struct message *m)
{
	return each_report(s, m, false);
}

void ledger_accept(struct spool *s, struct entry *e, const struct message *m)
{
	ledger_link(&s->ledger, e);
	s->core.totals.accepted += e->nrcpts;
	s->core.messages++;
	s->core.bytes += e->where.body_bytes;
	segment_count(s, e->id, &e->where, 1);
	eventlog_add_received(s, m, e->where.body_bytes);
	if (each_report(s, m, true) != FOUND)
		log_error(
		    "spool: the report %llx is accepted, but what it is about cannot be settled",
		    (unsigned long long)e->id);
}
