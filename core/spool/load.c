/* Unfinished messages, from the index into memory: all of them in steps at start, or one. */
#include "core/base/log.h"
#include "core/spool/engine.h"
#include "core/spool/envelope.h"

/* The rows of recipients, walked beside those of messages. */
struct walk {
	struct spool *s;
	MDB_cursor *msg, *rcpt;
	MDB_val rcpt_key, rcpt_value;
	int rcpt_rc;
};

static void set_state(struct message *m, struct message_rcpt *r, const struct change *c)
{
	r->state = c->state;
	r->attempts = c->attempts;
	r->delayed_dsn_sent = c->delayed_dsn_sent;
	r->due = c->due;
	r->failed_at = c->failed_at;
	memcpy(r->enhanced, c->enhanced, sizeof r->enhanced);
	r->reply = c->reply.n ? arena_str(&m->arena, c->reply) : STR_LIT("");
	if (!r->reply.p)
		r->reply = STR_LIT("");
}

static void apply_rcpt_rows(struct walk *w, struct message *m)
{
	struct change c;
	uint64_t id;
	uint32_t rcpt;

	for (; !w->rcpt_rc;
	     w->rcpt_rc = mdb_cursor_get(w->rcpt, &w->rcpt_key, &w->rcpt_value, MDB_NEXT)) {
		if (!index_parse_rcpt_key(env_str(&w->rcpt_key), &id, &rcpt) || id < m->id)
			continue;
		if (id > m->id)
			break;
		if (rcpt >= m->nrcpts)
			continue;
		if (index_parse_rcpt(env_str(&w->rcpt_value), &c))
			set_state(m, &m->rcpts[rcpt], &c);
		else
			log_error("the spool's index is damaged at recipient %u of message %llx",
				  rcpt, (unsigned long long)id);
	}
}

/* What the ledger knows that the index does not yet. False: the message is finished. */
static bool apply_ledger(struct spool *s, struct message *m)
{
	const struct entry *e =
	    s->ledger.entries.used ? idmap_get(&s->ledger.entries, m->id) : NULL;

	if (!e)
		return true;
	m->where = e->where;
	for (const struct change *c = e->changes; c; c = c->next)
		if (c->dirty)
			set_state(m, &m->rcpts[c->rcpt], c);
	return e->left > 0;
}

static struct message *decode(struct spool *s, uint64_t id, const struct msg_row *row,
			      bool *damaged)
{
	struct message *m = envelope_decode(row->envelope, damaged);

	(void)s;
	if (!m) {
		if (*damaged)
			log_error("the spool's index is damaged at message %llx",
				  (unsigned long long)id);
		return NULL;
	}
	m->id = id;
	m->where = row->where;
	return m;
}

static uint64_t queued(const struct message *m)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < m->nrcpts; i++)
		n += m->rcpts[i].state == RCPT_QUEUED;
	return n;
}

static int walk_open(struct walk *w, struct spool *s, MDB_txn *txn, MDB_val *k, MDB_val *d)
{
	static char from[12]; /* the spool thread's: LMDB points the key elsewhere at once */
	int rc = mdb_cursor_open(txn, s->index.dbi[TABLE_MSG], &w->msg);

	if (rc)
		return rc;
	rc = mdb_cursor_open(txn, s->index.dbi[TABLE_RCPT], &w->rcpt);
	if (rc) {
		mdb_cursor_close(w->msg);
		return rc;
	}
	w->s = s;
	index_rcpt_key(s->load.after + 1, 0, from);
	w->rcpt_key = env_val(from, 12);
	w->rcpt_rc = mdb_cursor_get(w->rcpt, &w->rcpt_key, &w->rcpt_value, MDB_SET_RANGE);
	*k = env_val(from, 8);
	return mdb_cursor_get(w->msg, k, d, MDB_SET_RANGE) ? MDB_NOTFOUND : 0;
}

/* One row. False: no memory; the caller tries again with the next step. */
static bool load_one(struct walk *w, uint64_t id, struct str value,
		     void (*fn)(void *arg, struct message *m), void *arg, unsigned *given)
{
	struct loading *l = &w->s->load;
	struct message *m = NULL;
	struct msg_row row;
	bool damaged = true;

	if (index_parse_message(value, &row))
		m = decode(w->s, id, &row, &damaged);
	if (!m && !damaged)
		return false;
	l->after = id;
	if (!m)
		return true;
	apply_rcpt_rows(w, m);
	l->loaded += queued(m);
	if (!apply_ledger(w->s, m)) {
		message_free(m);
		return true;
	}
	++*given;
	fn(arg, m);
	return true;
}

bool spool_load(struct spool *s, unsigned max, void (*fn)(void *arg, struct message *m), void *arg)
{
	struct loading *l = &s->load;
	unsigned given = 0;
	struct walk w;
	MDB_val k, d;
	MDB_txn *txn;
	uint64_t id;
	int rc;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (l->done)
		return false;
	txn = s->index.failed ? NULL : env_lookup_begin(&s->index);
	if (!txn)
		return true; /* it is being reopened */
	rc = walk_open(&w, s, txn, &k, &d);
	while (!rc && given < max) {
		if (!index_parse_u64_key(env_str(&k), &id) || id >= l->below) {
			rc = MDB_NOTFOUND;
			break;
		}
		if (!load_one(&w, id, env_str(&d), fn, arg, &given))
			break;
		rc = mdb_cursor_get(w.msg, &k, &d, MDB_NEXT);
	}
	mdb_cursor_close(w.msg);
	mdb_cursor_close(w.rcpt);
	env_lookup_end(&s->index);
	l->done = rc == MDB_NOTFOUND;
	return !l->done;
}

double spool_load_progress(const struct spool *s, uint64_t *rcpts_left)
{
	const struct loading *l = &s->load;
	uint64_t left = l->done || l->loaded >= l->total ? 0 : l->total - l->loaded;

	if (rcpts_left)
		*rcpts_left = left;
	if (l->done || !l->total)
		return l->done ? 1.0 : 0.0;
	return 1.0 - (double)left / (double)l->total;
}

static struct message *from_index(struct spool *s, uint64_t id)
{
	struct walk w = { .s = s };
	struct message *m = NULL;
	struct msg_row row;
	bool damaged;
	char key[12];
	MDB_txn *txn = s->index.failed ? NULL : env_lookup_begin(&s->index);

	if (!txn)
		return NULL;
	if (!index_get_message(&s->index, txn, id, &row))
		m = decode(s, id, &row, &damaged);
	if (m && !mdb_cursor_open(txn, s->index.dbi[TABLE_RCPT], &w.rcpt)) {
		index_rcpt_key(id, 0, key);
		w.rcpt_key = env_val(key, sizeof key);
		w.rcpt_rc = mdb_cursor_get(w.rcpt, &w.rcpt_key, &w.rcpt_value, MDB_SET_RANGE);
		apply_rcpt_rows(&w, m);
		mdb_cursor_close(w.rcpt);
	}
	env_lookup_end(&s->index);
	return m;
}

struct message *spool_message(struct spool *s, uint64_t id)
{
	const struct entry *e;
	struct message *m;
	bool damaged;

	OBJ_CHECK(s, SPOOL_MAGIC);
	e = idmap_get(&s->ledger.entries, id);
	if (e && (!e->linked || !e->left))
		return NULL;
	if (e && e->fresh) {
		struct msg_row row = { .where = e->where, .envelope = e->envelope };

		m = decode(s, id, &row, &damaged);
	} else {
		m = from_index(s, id);
	}
	if (m && !apply_ledger(s, m)) {
		message_free(m);
		return NULL;
	}
	return m;
}
