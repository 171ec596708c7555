/* The suppression list's one writer: rows are buffered as they will be and committed in order, so a
 * commit that failed is simply tried again. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "core/base/log.h"
#include "core/spool/engine.h"
#include "core/spool/suppression_inner.h"

#define MAP_BYTES     ((uint64_t)64 << 30) /* sparse: ten million addresses fill one */
#define RESERVE_BYTES ((uint64_t)1 << 20)
#define MARK_KEY      "events"

static const char *const tables[] = { [SUP_LIST] = "list",
				      [SUP_SOFT] = "soft",
				      [SUP_DUE] = "due",
				      [SUP_META] = "meta",
				      [SUP_TABLES] = NULL };

/* ---- open ---- */

/* The pages that look-ups need come in from a cold disk ahead of them, as far as there is room. */
static void warm(struct suppression *l)
{
	int fd;

	if (!mdb_env_get_fd(l->env.mdb, &fd))
		posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
}

static bool read_mark(struct suppression *l)
{
	MDB_txn *txn = env_lookup_begin(&l->env);
	MDB_val k = env_val(MARK_KEY, sizeof MARK_KEY - 1), d;
	bool ok = txn != NULL;

	if (ok && !mdb_get(txn, l->env.dbi[SUP_META], &k, &d))
		ok = index_parse_u64_key(env_str(&d), &l->marked);
	if (txn)
		env_lookup_end(&l->env);
	return ok;
}

static bool there(const char *dir)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof path, "%s/data.mdb", dir);
	return !stat(path, &st) && st.st_size > 0;
}

static const struct err *open_env(struct suppression *l, const struct suppression_opts *o,
				  struct errbuf *e)
{
	struct env_opts eo = { .dir = o->dir,
			       .tables = tables,
			       .flags = MDB_NOMETASYNC,
			       .map_bytes = o->map_bytes ? o->map_bytes : MAP_BYTES,
			       .reserve_bytes = RESERVE_BYTES,
			       .create = o->create && !there(o->dir) };
	const struct err *err;

	if (eo.create && mkdir(o->dir, 0700) && errno != EEXIST) {
		errbuf_set(e, "cannot make %s: %s", o->dir, strerror(errno));
		return &err_io;
	}
	err = env_open(&l->env, &eo, e);
	if (!err && eo.create)
		err = sync_dir(o->dir, e);
	return err;
}

const struct err *suppression_open(const struct suppression_opts *o, struct suppression **out,
				   struct errbuf *e)
{
	struct suppression *l = calloc(1, sizeof *l);
	const struct err *err;

	*out = NULL;
	if (!l || pthread_rwlock_init(&l->gate, NULL)) {
		free(l);
		return &err_no_memory;
	}
	l->magic = SUPPRESSION_MAGIC;
	l->last = &l->first;
	strmap_init(&l->newest);
	err = open_env(l, o, e);
	if (!err && !read_mark(l)) {
		errbuf_set(e, "the suppression list in %s cannot be read; restore it", o->dir);
		err = &err_spool_damaged;
	}
	if (err) {
		suppression_close(l);
		return err;
	}
	warm(l);
	*out = l;
	return NULL;
}

static void drop_first(struct suppression *l)
{
	struct sup_op *op = l->first;
	struct str name = { op->bytes, 1 + op->nkey };

	l->first = op->next;
	if (!l->first)
		l->last = &l->first;
	l->waiting--;
	if (strmap_get(&l->newest, name) == op)
		strmap_del(&l->newest, name);
	free(op);
}

void suppression_close(struct suppression *l)
{
	if (!l)
		return;
	OBJ_CHECK(l, SUPPRESSION_MAGIC);
	while (l->first)
		drop_first(l);
	strmap_free(&l->newest);
	env_close(&l->env);
	pthread_rwlock_destroy(&l->gate);
	l->magic = 0;
	free(l);
}

/* ---- buffering ---- */

static bool buffer(struct suppression *l, enum suppression_table table, struct str key,
		   struct str value, bool del)
{
	struct sup_op *op = malloc(sizeof *op + 1 + key.n + value.n);

	OBJ_CHECK(l, SUPPRESSION_MAGIC);
	if (!op)
		return false;
	*op = (struct sup_op){
		.table = (uint8_t)table, .del = del, .nkey = key.n, .nvalue = value.n
	};
	op->bytes[0] = (char)table;
	memcpy(op->bytes + 1, key.p, key.n);
	if (value.n)
		memcpy(op->bytes + 1 + key.n, value.p, value.n);
	/* the map's key is the op's own: an older op must not lend it any longer */
	strmap_del(&l->newest, str_mem(op->bytes, 1 + key.n));
	if (!strmap_put(&l->newest, str_mem(op->bytes, 1 + key.n), op)) {
		free(op);
		return false;
	}
	*l->last = op;
	l->last = &op->next;
	l->waiting++;
	return true;
}

static struct str key_str(const struct suppression_key *k)
{
	return str_mem(k->bytes, k->n);
}

/* When its time comes, purge looks at it. */
static bool buffer_due(struct suppression *l, enum suppression_table table,
		       const struct suppression_key *k, us_t at)
{
	char key[16], value[1 + SUPPRESSION_KEY_MAX];

	index_u64_key((uint64_t)(at / US_PER_S) + 1, key);
	value[0] = (char)table;
	memcpy(value + 1, k->bytes, k->n);
	index_u64_key(hash_bytes(value, 1 + k->n), key + 8);
	return buffer(l, SUP_DUE, str_mem(key, sizeof key), str_mem(value, 1 + k->n), false);
}

bool suppression_put(struct suppression *l, const struct suppression_key *k,
		     const struct suppression_entry *e)
{
	char row[SUPPRESSION_ROW_MAX];
	size_t n = sup_row_put(e, row);

	if (e->until != US_NEVER && !buffer_due(l, SUP_LIST, k, e->until))
		return false;
	return buffer(l, SUP_LIST, key_str(k), str_mem(row, n), false);
}

bool suppression_del(struct suppression *l, const struct suppression_key *k)
{
	return buffer(l, SUP_LIST, key_str(k), (struct str){ "", 0 }, true) &&
	       buffer(l, SUP_SOFT, key_str(k), (struct str){ "", 0 }, true);
}

bool suppression_mark(struct suppression *l, uint64_t event)
{
	char value[8];

	if (event <= l->marked)
		return true;
	index_u64_key(event, value);
	if (!buffer(l, SUP_META, STR_LIT(MARK_KEY), str_mem(value, sizeof value), false))
		return false;
	l->marked = event;
	return true;
}

uint64_t suppression_marked(const struct suppression *l)
{
	return l->marked;
}

size_t suppression_waiting(const struct suppression *l)
{
	return l->waiting;
}

bool suppression_synced(const struct suppression *l)
{
	return l->synced == l->commits;
}

/* ---- reading what is, buffered or committed ---- */

/* fn sees the row as it is or will be; false: there is none. */
static bool look(struct suppression *l, enum suppression_table table, struct str key,
		 bool (*fn)(void *arg, struct str value), void *arg)
{
	char name[1 + SUPPRESSION_KEY_MAX];
	const struct sup_op *op;
	MDB_txn *txn;
	MDB_val k, d;
	bool ok;

	name[0] = (char)table;
	memcpy(name + 1, key.p, key.n);
	op = strmap_get(&l->newest, str_mem(name, 1 + key.n));
	if (op)
		return !op->del && fn(arg, str_mem(op->bytes + 1 + op->nkey, op->nvalue));
	txn = env_lookup_begin(&l->env);
	if (!txn)
		return false;
	k = env_val(key.p, key.n);
	ok = !mdb_get(txn, l->env.dbi[table], &k, &d) && fn(arg, env_str(&d));
	env_lookup_end(&l->env);
	return ok;
}

static bool found_row(void *arg, struct str value)
{
	struct suppression_entry e;

	if (!sup_row_parse(value, &e))
		return false;
	sup_found(&e, false, arg);
	return true;
}

bool suppression_get(struct suppression *l, const struct suppression_key *k,
		     struct suppression_found *out)
{
	if (!look(l, SUP_LIST, key_str(k), found_row, out))
		return false;
	out->global = k->n == k->base;
	return true;
}

static bool found_failures(void *arg, struct str value)
{
	return sup_failures_parse(value, arg);
}

static void forget_before(struct sup_failures *f, us_t since)
{
	unsigned from = 0;

	while (from < f->n && (f->at[from] < since || f->n - from == SUPPRESSION_FAILURES_MAX))
		from++;
	memmove(f->at, f->at + from, (f->n - from) * sizeof f->at[0]);
	f->n -= from;
}

bool suppression_count_failure(struct suppression *l, const struct suppression_key *k,
			       uint64_t message, us_t at, us_t since, us_t keep, unsigned *n,
			       us_t *first)
{
	struct sup_failures f = { 0 };
	char row[SUPPRESSION_ROW_MAX];
	bool again;

	if (!look(l, SUP_SOFT, key_str(k), found_failures, &f))
		f = (struct sup_failures){ 0 };
	again = message && f.message == message && f.n;
	forget_before(&f, since);
	if (!again) {
		f.at[f.n++] = at;
		f.message = message;
		f.until = at + keep;
	}
	*n = f.n;
	*first = f.n ? f.at[0] : at;
	return again ||
	       (buffer_due(l, SUP_SOFT, k, at + keep) &&
		buffer(l, SUP_SOFT, key_str(k), str_mem(row, sup_failures_put(&f, row)), false));
}

/* ---- commits ---- */

static int write_op(struct suppression *l, MDB_txn *txn, const struct sup_op *op)
{
	MDB_val k = env_val(op->bytes + 1, op->nkey);
	MDB_val d = env_val(op->bytes + 1 + op->nkey, op->nvalue);
	int rc = op->del ? mdb_del(txn, l->env.dbi[op->table], &k, NULL)
			 : mdb_put(txn, l->env.dbi[op->table], &k, &d, 0);

	return op->del && rc == MDB_NOTFOUND ? 0 : rc;
}

static int try_commit(struct suppression *l, unsigned max, unsigned *done)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(l->env.mdb, NULL, 0, &txn);

	*done = 0;
	if (rc)
		return rc;
	for (const struct sup_op *op = l->first; op && !rc && *done < max; op = op->next) {
		rc = write_op(l, txn, op);
		++*done;
	}
	if (!rc)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

/* Where the map or the file is changed nobody may be inside a look-up, nor keep anything for the
 * next. */
static const struct err *alone(struct suppression *l,
			       const struct err *(*fn)(struct env *v, struct errbuf *e),
			       struct errbuf *e)
{
	const struct err *err;

	pthread_rwlock_wrlock(&l->gate);
	suppression_readers_drop(l);
	err = fn(&l->env, e);
	pthread_rwlock_unlock(&l->gate);
	return err;
}

static const struct err *commit_some(struct suppression *l, unsigned max, struct errbuf *e)
{
	const struct err *err = l->env.failed ? alone(l, env_reopen, e) : NULL;
	unsigned done;
	int rc;

	if (err || !l->first)
		return err;
	while ((rc = try_commit(l, max, &done)) == MDB_MAP_FULL) {
		err = alone(l, env_grow, e);
		if (err)
			return err;
	}
	if (rc)
		return env_fail(&l->env, rc, "cannot write the suppression list in", e);
	while (done--)
		drop_first(l);
	l->synced = l->commits++; /* the one before is durable now */
	env_reserve(&l->env);
	return NULL;
}

const struct err *suppression_sync(struct suppression *l, struct errbuf *e)
{
	const struct err *err = l->synced == l->commits ? NULL : env_sync(&l->env, e);

	if (!err)
		l->synced = l->commits;
	return err;
}

const struct err *suppression_commit(struct suppression *l, unsigned max, bool sync,
				     struct errbuf *e)
{
	const struct err *err = commit_some(l, max, e);

	OBJ_CHECK(l, SUPPRESSION_MAGIC);
	while (!err && sync && l->first)
		err = commit_some(l, max, e);
	return err || !sync ? err : suppression_sync(l, e);
}

uint64_t suppression_entries(struct suppression *l)
{
	MDB_txn *txn = env_lookup_begin(&l->env);
	MDB_stat st;
	uint64_t n = txn && !mdb_stat(txn, l->env.dbi[SUP_LIST], &st) ? st.ms_entries : 0;

	if (txn)
		env_lookup_end(&l->env);
	return n;
}

/* ---- what has ended ---- */

/* The row that a due one speaks of, if its time is really over: it may have been put anew. */
static bool over(struct suppression *l, enum suppression_table table,
		 const struct suppression_key *k, us_t now)
{
	struct suppression_found found;
	struct sup_failures f;

	if (table == SUP_LIST)
		return suppression_get(l, k, &found) && found.e.until <= now;
	return look(l, SUP_SOFT, key_str(k), found_failures, &f) && f.until <= now;
}

struct due {
	char key[16];
	enum suppression_table table;
	struct suppression_key k;
};

/* The next due row behind `after`; false: none that is due. */
static bool next_due(struct suppression *l, us_t now, const struct due *after, struct due *out)
{
	MDB_txn *txn = env_lookup_begin(&l->env);
	MDB_val k = env_val(after->key, sizeof after->key), d;
	MDB_cursor *c = NULL;
	uint64_t at = 0;
	bool ok;

	if (!txn)
		return false;
	ok = !mdb_cursor_open(txn, l->env.dbi[SUP_DUE], &c);
	if (ok) {
		int rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE);

		if (!rc && k.mv_size == sizeof after->key &&
		    !memcmp(k.mv_data, after->key, sizeof after->key))
			rc = mdb_cursor_get(c, &k, &d, MDB_NEXT);
		ok = !rc && k.mv_size == sizeof out->key && d.mv_size > 1 &&
		     d.mv_size <= 1 + SUPPRESSION_KEY_MAX &&
		     index_parse_u64_key(str_mem(k.mv_data, 8), &at) &&
		     at <= (uint64_t)(now / US_PER_S);
	}
	if (ok) {
		memcpy(out->key, k.mv_data, sizeof out->key);
		out->table = *(const char *)d.mv_data == SUP_SOFT ? SUP_SOFT : SUP_LIST;
		out->k.n = out->k.base = d.mv_size - 1;
		memcpy(out->k.bytes, (const char *)d.mv_data + 1, out->k.n);
	}
	if (c)
		mdb_cursor_close(c);
	env_lookup_end(&l->env);
	return ok;
}

bool suppression_purge(struct suppression *l, us_t now, unsigned max)
{
	struct due after = { .key = "" }, due;

	if (l->env.failed || l->waiting)
		return false; /* what is buffered goes first */
	for (unsigned i = 0; i < max; i++) {
		if (!next_due(l, now, &after, &due))
			return false;
		if (over(l, due.table, &due.k, now) &&
		    !buffer(l, due.table, key_str(&due.k), (struct str){ "", 0 }, true))
			return false;
		if (!buffer(l, SUP_DUE, str_mem(due.key, sizeof due.key), (struct str){ "", 0 },
			    true))
			return false;
		memcpy(after.key, due.key, sizeof after.key);
	}
	return true;
}
