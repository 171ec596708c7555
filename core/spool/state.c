/* The state environment: small durable tables, one LMDB table with TABLE NUL KEY as keys. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

enum { KEY_MAX = 511 }; /* LMDB's */

/* TABLE NUL KEY in out; its length, 0 if too long. */
static size_t make_key(const char *table, struct str key, char out[KEY_MAX])
{
	size_t n = strlen(table) + 1;

	if (n + key.n > KEY_MAX)
		return 0;
	memcpy(out, table, n);
	if (key.n)
		memcpy(out + n, key.p, key.n);
	return n + key.n;
}

static bool buffer(struct spool *s, const char *table, struct str key, struct str value, bool del)
{
	char full[KEY_MAX];
	size_t n = make_key(table, key, full);
	struct state_op *op = n ? malloc(sizeof *op + n + value.n) : NULL;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (!op)
		return false;
	*op = (struct state_op){ .del = del, .nkey = n, .nvalue = value.n };
	memcpy(op->bytes, full, n);
	if (value.n)
		memcpy(op->bytes + n, value.p, value.n);
	*s->state_last = op;
	s->state_last = &op->next;
	return true;
}

bool spool_state_put(struct spool *s, const char *table, struct str key, struct str value)
{
	return buffer(s, table, key, value, value.p == NULL);
}

bool spool_state_del(struct spool *s, const char *table, struct str key)
{
	return buffer(s, table, key, (struct str){ NULL, 0 }, true);
}

static int write_op(struct spool *s, MDB_txn *txn, const struct state_op *op)
{
	MDB_val k = env_val(op->bytes, op->nkey), d = env_val(op->bytes + op->nkey, op->nvalue);
	int rc = op->del ? mdb_del(txn, s->state.dbi[0], &k, NULL)
			 : mdb_put(txn, s->state.dbi[0], &k, &d, 0);

	return op->del && rc == MDB_NOTFOUND ? 0 : rc;
}

static int try_commit(struct spool *s)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->state.mdb, NULL, 0, &txn);

	if (rc)
		return rc;
	for (const struct state_op *op = s->state_ops; op && !rc; op = op->next)
		rc = write_op(s, txn, op);
	if (!rc)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

static void drop_ops(struct spool *s)
{
	struct state_op *op;

	while ((op = s->state_ops)) {
		s->state_ops = op->next;
		free(op);
	}
	s->state_last = &s->state_ops;
}

const struct err *spool_state_commit(struct spool *s, struct errbuf *e)
{
	const struct err *err = NULL;
	int rc;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (!s->state_ops)
		return NULL;
	if (s->state.failed)
		err = env_reopen(&s->state, e);
	if (err)
		return err;
	while ((rc = try_commit(s)) == MDB_MAP_FULL) {
		err = env_grow(&s->state, e);
		if (err)
			return err;
	}
	if (rc)
		return env_fail(&s->state, rc, "cannot write the state in", e);
	drop_ops(s);
	env_reserve(&s->state);
	return NULL;
}

void spool_state_each(struct spool *s, const char *table,
		      void (*fn)(void *arg, struct str key, struct str value), void *arg)
{
	MDB_txn *txn = env_lookup_begin(&s->state);
	size_t skip = strlen(table) + 1;
	MDB_val k = env_val(table, skip), d;
	MDB_cursor *c;
	int rc;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (!txn)
		return;
	if (!mdb_cursor_open(txn, s->state.dbi[0], &c)) {
		for (rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE);
		     !rc && k.mv_size >= skip && !memcmp(k.mv_data, table, skip);
		     rc = mdb_cursor_get(c, &k, &d, MDB_NEXT))
			fn(arg, str_mem((char *)k.mv_data + skip, k.mv_size - skip), env_str(&d));
		mdb_cursor_close(c);
	}
	env_lookup_end(&s->state);
}

bool spool_state_get(struct spool *s, const char *table, struct str key, struct buf *out)
{
	MDB_txn *txn = env_lookup_begin(&s->state);
	struct buf row;
	MDB_val k, d;
	bool found;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (!txn)
		return false;
	buf_init(&row);
	found = buf_add(&row, table, strlen(table) + 1) && buf_adds(&row, key);
	k = env_val(row.p, row.n);
	found = found && !mdb_get(txn, s->state.dbi[0], &k, &d) && buf_adds(out, env_str(&d));
	buf_free(&row);
	env_lookup_end(&s->state);
	return found;
}

void state_close(struct spool *s)
{
	drop_ops(s);
	env_close(&s->state);
}
