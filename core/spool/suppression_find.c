/* Look-ups and pages: a reader keeps its LMDB transaction and cursor, renews them for a call and
 * lets the snapshot go with it, so that no page is kept from being used again. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/spool/index.h"
#include "core/spool/suppression_inner.h"

struct suppression_reader *suppression_reader_open(struct suppression *l)
{
	struct suppression_reader *r = calloc(1, sizeof *r);

	OBJ_CHECK(l, SUPPRESSION_MAGIC);
	if (!r)
		return NULL;
	r->l = l;
	pthread_rwlock_wrlock(&l->gate);
	r->next = l->readers;
	l->readers = r;
	pthread_rwlock_unlock(&l->gate);
	return r;
}

static void drop(struct suppression_reader *r)
{
	if (r->cursor)
		mdb_cursor_close(r->cursor);
	if (r->txn)
		mdb_txn_abort(r->txn);
	r->cursor = NULL;
	r->txn = NULL;
}

void suppression_readers_drop(struct suppression *l)
{
	for (struct suppression_reader *r = l->readers; r; r = r->next)
		drop(r);
}

void suppression_reader_close(struct suppression_reader *r)
{
	struct suppression_reader **at;

	if (!r)
		return;
	pthread_rwlock_wrlock(&r->l->gate);
	for (at = &r->l->readers; *at != r; at = &(*at)->next)
		;
	*at = r->next;
	drop(r);
	pthread_rwlock_unlock(&r->l->gate);
	free(r);
}

static bool begin(struct suppression_reader *r)
{
	struct env *v = &r->l->env;
	int rc;

	pthread_rwlock_rdlock(&r->l->gate);
	if (!v->mdb)
		goto no;
	rc = r->txn ? mdb_txn_renew(r->txn) : mdb_txn_begin(v->mdb, NULL, MDB_RDONLY, &r->txn);
	if (rc) {
		drop(r);
		goto no;
	}
	rc = r->cursor ? mdb_cursor_renew(r->txn, r->cursor)
		       : mdb_cursor_open(r->txn, v->dbi[SUP_LIST], &r->cursor);
	if (!rc)
		return true;
	drop(r);
no:
	pthread_rwlock_unlock(&r->l->gate);
	return false;
}

static void end(struct suppression_reader *r)
{
	mdb_txn_reset(r->txn);
	pthread_rwlock_unlock(&r->l->gate);
}

static bool holds(const MDB_val *d, us_t now, struct suppression_entry *e)
{
	return sup_row_parse(env_str(d), e) && e->until > now;
}

/* The entry for all senders is the first of an address's: one descent answers for most. */
static bool find(struct suppression_reader *r, const struct suppression_key *k, us_t now,
		 struct suppression_entry *e, bool *global)
{
	MDB_val key = env_val(k->bytes, k->base), d;

	if (mdb_cursor_get(r->cursor, &key, &d, MDB_SET_RANGE) || key.mv_size < k->base ||
	    memcmp(key.mv_data, k->bytes, k->base) != 0)
		return false;
	*global = key.mv_size == k->base;
	if (*global && holds(&d, now, e))
		return true;
	if (k->n == k->base)
		return false;
	*global = false;
	key = env_val(k->bytes, k->n);
	return !mdb_cursor_get(r->cursor, &key, &d, MDB_SET_KEY) && holds(&d, now, e);
}

bool suppression_find(struct suppression_reader *r, const struct suppression_key *k, us_t now,
		      struct suppression_found *out)
{
	struct suppression_entry e;
	bool global, found;

	if (!begin(r))
		return false;
	found = find(r, k, now, &e, &global);
	if (found && out)
		sup_found(&e, global, out);
	end(r);
	return found;
}

/* The cursor onto the first entry behind `after` that is not before `prefix`. */
static int page_begin(struct suppression_reader *r, const struct suppression_key *after,
		      struct str prefix, MDB_val *k, MDB_val *d)
{
	bool behind = after->n && str_cmp(str_mem(after->bytes, after->n), prefix) >= 0;
	int rc;

	*k = behind ? env_val(after->bytes, after->n) : env_val(prefix.p, prefix.n);
	if (!k->mv_size)
		return mdb_cursor_get(r->cursor, k, d, MDB_FIRST);
	rc = mdb_cursor_get(r->cursor, k, d, MDB_SET_RANGE);
	if (!rc && behind && str_eq(env_str(k), str_mem(after->bytes, after->n)))
		rc = mdb_cursor_get(r->cursor, k, d, MDB_NEXT);
	return rc;
}

int suppression_page(struct suppression_reader *r, struct suppression_key *after, struct str prefix,
		     int max, bool (*fn)(void *arg, const struct suppression_row *row), void *arg)
{
	MDB_val k, d;
	int n = 0, rc;

	if (!begin(r))
		return -1;
	for (rc = page_begin(r, after, prefix, &k, &d); !rc && n < max;
	     rc = mdb_cursor_get(r->cursor, &k, &d, MDB_NEXT)) {
		struct suppression_row row;

		if (k.mv_size < prefix.n || memcmp(k.mv_data, prefix.p, prefix.n) != 0)
			break;
		n++;
		after->n = k.mv_size;
		memcpy(after->bytes, k.mv_data, k.mv_size);
		if (!sup_key_parse(env_str(&k), &row) || !sup_row_parse(env_str(&d), &row.e))
			continue; /* damaged: nothing can be said of it */
		if (!fn(arg, &row))
			break;
	}
	end(r);
	return !rc || rc == MDB_NOTFOUND ? n : -1;
}

/* Entries whose time is over and that purge has not come to: seldom any. */
static uint64_t ended(struct suppression_reader *r, us_t now)
{
	enum { LOOKED_AT_MOST = 10000 };
	const struct env *v = &r->l->env;
	struct suppression_entry e;
	uint64_t n = 0, at;
	MDB_cursor *c;
	MDB_val k, d, key;

	if (mdb_cursor_open(r->txn, v->dbi[SUP_DUE], &c))
		return 0;
	for (int i = 0; i < LOOKED_AT_MOST && !mdb_cursor_get(c, &k, &d, MDB_NEXT); i++) {
		if (k.mv_size < 8 || !index_parse_u64_key(str_mem(k.mv_data, 8), &at) ||
		    at > (uint64_t)(now / US_PER_S) + 1)
			break;
		if (d.mv_size < 2 || *(const char *)d.mv_data != SUP_LIST)
			continue;
		key = env_val((const char *)d.mv_data + 1, d.mv_size - 1);
		n += !mdb_get(r->txn, v->dbi[SUP_LIST], &key, &d) && !holds(&d, now, &e);
	}
	mdb_cursor_close(c);
	return n;
}

uint64_t suppression_reader_entries(struct suppression_reader *r, us_t now)
{
	uint64_t n = 0;
	MDB_stat st;

	if (!begin(r))
		return 0;
	if (!mdb_stat(r->txn, r->l->env.dbi[SUP_LIST], &st))
		n = st.ms_entries - ended(r, now);
	end(r);
	return n;
}
