#include "core/base/log.h"
#include "core/spool/engine.h"

enum {
	ROW_VERSION = 1,
	MSG_HEAD = 1 + 1 + 4 * 8, /* version, flags, where */
	MSG_LARGE = 1,
	MSG_DOT_LINE = 2,
	MSG_EIGHTBIT = 4,
	RCPT_KEY = 12,
	RCPT_DELAYED = 1,
	ID_KEY = 8,
};

void index_u64_key(uint64_t v, char out[8])
{
	for (int i = 0; i < 8; i++)
		out[i] = (char)(v >> (56 - 8 * i) & 0xFF);
}

static uint64_t get_be(const char *p, size_t n)
{
	uint64_t v = 0;

	for (size_t i = 0; i < n; i++)
		v = v << 8 | (uint8_t)p[i];
	return v;
}

bool index_parse_u64_key(struct str key, uint64_t *out)
{
	if (key.n != ID_KEY)
		return false;
	*out = get_be(key.p, ID_KEY);
	return true;
}

static int get(struct env *v, MDB_txn *txn, enum table t, struct str key, struct str *out)
{
	MDB_val k = env_val(key.p, key.n), d;
	int rc = mdb_get(txn, v->dbi[t], &k, &d);

	if (!rc)
		*out = env_str(&d);
	return rc;
}

static int put(struct env *v, MDB_txn *txn, enum table t, struct str key, struct str value)
{
	MDB_val k = env_val(key.p, key.n), d = env_val(value.p, value.n);

	return mdb_put(txn, v->dbi[t], &k, &d, 0);
}

static int del(struct env *v, MDB_txn *txn, enum table t, struct str key)
{
	MDB_val k = env_val(key.p, key.n);
	int rc = mdb_del(txn, v->dbi[t], &k, NULL);

	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* ---- core ---- */

static void core_fields(struct core *c, uint64_t *out[18])
{
	uint64_t *fields[18] = { &c->commits,
				 &c->segment,
				 &c->offset,
				 &c->id_ceiling,
				 &c->segment_ceiling,
				 &c->next_event,
				 &c->events_bytes,
				 &c->events_dropped,
				 &c->messages,
				 &c->bytes,
				 &c->totals.accepted,
				 &c->totals.delivered,
				 &c->totals.deferred,
				 &c->totals.bounced,
				 &c->totals.expired,
				 &c->totals.removed,
				 &c->totals.maybe_twice,
				 NULL };

	memcpy(out, fields, sizeof fields);
}

int index_get_core(struct env *v, MDB_txn *txn, struct core *out)
{
	uint64_t *fields[18];
	struct reader r;
	struct str row;
	int rc = get(v, txn, TABLE_META, STR_LIT("core"), &row);

	if (rc)
		return rc;
	r = (struct reader){ .p = (const uint8_t *)row.p, .n = row.n };
	r.bad = reader_u8(&r) != ROW_VERSION;
	core_fields(out, fields);
	for (int i = 0; fields[i]; i++)
		*fields[i] = reader_u64(&r);
	return r.bad ? INDEX_DAMAGED : 0;
}

int index_put_core(struct env *v, MDB_txn *txn, const struct core *c)
{
	char row[1 + 17 * 8];
	struct core copy = *c;
	uint64_t *fields[18];
	size_t n = 1;

	row[0] = ROW_VERSION;
	core_fields(&copy, fields);
	for (int i = 0; fields[i]; i++)
		for (int byte = 0; byte < 8; byte++)
			row[n++] = (char)(*fields[i] >> (8 * byte) & 0xFF);
	return put(v, txn, TABLE_META, STR_LIT("core"), str_mem(row, n));
}

/* ---- messages ---- */

bool index_parse_message(struct str value, struct msg_row *out)
{
	struct reader r = { .p = (const uint8_t *)value.p, .n = value.n };
	uint8_t version = reader_u8(&r), flags = reader_u8(&r);

	out->where.segment = reader_u64(&r);
	out->where.offset = reader_u64(&r);
	out->where.body_offset = reader_u64(&r);
	out->where.body_bytes = reader_u64(&r);
	out->where.large = flags & MSG_LARGE;
	out->where.dot_line = flags & MSG_DOT_LINE;
	out->where.eightbit = flags & MSG_EIGHTBIT;
	out->envelope = str_mem(r.p, r.n);
	return !r.bad && version == ROW_VERSION &&
	       (out->where.large || out->where.body_offset > out->where.offset);
}

int index_get_message(struct env *v, MDB_txn *txn, uint64_t id, struct msg_row *out)
{
	char key[ID_KEY];
	struct str row;
	int rc;

	index_u64_key(id, key);
	rc = get(v, txn, TABLE_MSG, str_mem(key, sizeof key), &row);
	if (rc)
		return rc;
	if (index_parse_message(row, out))
		return 0;
	log_error("the spool's index is damaged at message %llx", (unsigned long long)id);
	return INDEX_DAMAGED;
}

int index_put_message(struct env *v, MDB_txn *txn, uint64_t id, const struct msg_row *row)
{
	uint64_t numbers[4] = { row->where.segment, row->where.offset, row->where.body_offset,
				row->where.body_bytes };
	char key[ID_KEY];
	MDB_val k = env_val(key, sizeof key), d = env_val(NULL, MSG_HEAD + row->envelope.n);
	char *p;
	int rc;

	index_u64_key(id, key);
	rc = mdb_put(txn, v->dbi[TABLE_MSG], &k, &d, MDB_RESERVE);
	if (rc)
		return rc;
	p = d.mv_data;
	*p++ = ROW_VERSION;
	*p++ =
	    (char)((row->where.large ? MSG_LARGE : 0) | (row->where.dot_line ? MSG_DOT_LINE : 0) |
		   (row->where.eightbit ? MSG_EIGHTBIT : 0));
	for (int i = 0; i < 4; i++)
		for (int byte = 0; byte < 8; byte++)
			*p++ = (char)(numbers[i] >> (8 * byte) & 0xFF);
	memcpy(p, row->envelope.p, row->envelope.n);
	return 0;
}

/* Each time from the start: a cursor behind a deleted row is not where its documentation says at
 * the end of a page. */
static int del_rcpts(struct env *v, MDB_txn *txn, uint64_t id)
{
	char key[RCPT_KEY];
	uint64_t found;
	uint32_t rcpt;
	MDB_cursor *c;
	int rc = mdb_cursor_open(txn, v->dbi[TABLE_RCPT], &c);

	if (rc)
		return rc;
	index_rcpt_key(id, 0, key);
	for (;;) {
		MDB_val k = env_val(key, sizeof key), d;

		rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE);
		if (rc || !index_parse_rcpt_key(env_str(&k), &found, &rcpt) || found != id)
			break;
		rc = mdb_cursor_del(c, 0);
		if (rc)
			break;
	}
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

int index_del_message(struct env *v, MDB_txn *txn, uint64_t id, uint32_t nrcpts)
{
	char key[RCPT_KEY];
	int rc;

	index_u64_key(id, key);
	rc = del(v, txn, TABLE_MSG, str_mem(key, ID_KEY));
	if (rc || nrcpts > 1)
		return rc ? rc : del_rcpts(v, txn, id);
	index_rcpt_key(id, 0, key);
	return del(v, txn, TABLE_RCPT, str_mem(key, RCPT_KEY));
}

/* ---- recipients ---- */

void index_rcpt_key(uint64_t id, uint32_t rcpt, char out[RCPT_KEY])
{
	index_u64_key(id, out);
	for (int i = 0; i < 4; i++)
		out[8 + i] = (char)(rcpt >> (24 - 8 * i) & 0xFF);
}

bool index_parse_rcpt_key(struct str key, uint64_t *id, uint32_t *rcpt)
{
	if (key.n != RCPT_KEY)
		return false;
	*id = get_be(key.p, 8);
	*rcpt = (uint32_t)get_be(key.p + 8, 4);
	return true;
}

bool index_parse_rcpt(struct str value, struct change *out)
{
	struct reader r = { .p = (const uint8_t *)value.p, .n = value.n };
	uint8_t version = reader_u8(&r), flags;
	struct str enhanced;

	*out = (struct change){ .state = reader_u8(&r), .reply = STR_LIT("") };
	if (out->state == RCPT_DONE)
		return !r.bad && version == ROW_VERSION;
	flags = reader_u8(&r);
	out->delayed_dsn_sent = flags & RCPT_DELAYED;
	out->attempts = reader_u16(&r);
	out->due = (us_t)reader_u64(&r);
	out->failed_at = (us_t)reader_u64(&r);
	enhanced = reader_str(&r);
	out->reply = reader_str(&r);
	if (r.bad || version != ROW_VERSION || enhanced.n >= ENHANCED_SIZE ||
	    out->state > RCPT_DONE)
		return false;
	memcpy(out->enhanced, enhanced.p, enhanced.n);
	return true;
}

int index_get_rcpt(struct env *v, MDB_txn *txn, uint64_t id, uint32_t rcpt, struct change *out)
{
	char key[RCPT_KEY];
	struct str row;
	int rc;

	index_rcpt_key(id, rcpt, key);
	rc = get(v, txn, TABLE_RCPT, str_mem(key, sizeof key), &row);
	if (rc)
		return rc;
	if (index_parse_rcpt(row, out))
		return 0;
	log_error("the spool's index is damaged at recipient %u of message %llx", rcpt,
		  (unsigned long long)id);
	return INDEX_DAMAGED;
}

int index_put_rcpt(struct env *v, MDB_txn *txn, uint64_t id, const struct change *c)
{
	char key[RCPT_KEY], bytes[64 + REPLY_MAX];
	struct buf row = { .p = bytes, .cap = sizeof bytes }; /* never grows: all is bounded */

	index_rcpt_key(id, c->rcpt, key);
	buf_put_u8(&row, ROW_VERSION);
	buf_put_u8(&row, c->state);
	if (c->state != RCPT_DONE) {
		buf_put_u8(&row, c->delayed_dsn_sent ? RCPT_DELAYED : 0);
		buf_put_u16(&row, c->attempts);
		buf_put_u64(&row, (uint64_t)c->due);
		buf_put_u64(&row, (uint64_t)c->failed_at);
		buf_put_str(&row, str_of(c->enhanced));
		buf_put_str(&row, c->reply);
	}
	return put(v, txn, TABLE_RCPT, str_mem(key, sizeof key), buf_str(&row));
}

int index_get_left(struct env *v, MDB_txn *txn, uint64_t id, uint32_t *left)
{
	char key[RCPT_KEY];
	struct reader r;
	struct str row;
	int rc;

	index_rcpt_key(id, RCPT_LEFT, key);
	rc = get(v, txn, TABLE_RCPT, str_mem(key, sizeof key), &row);
	if (rc)
		return rc;
	r = (struct reader){ .p = (const uint8_t *)row.p, .n = row.n };
	*left = reader_u32(&r);
	return r.bad ? INDEX_DAMAGED : 0;
}

int index_put_left(struct env *v, MDB_txn *txn, uint64_t id, uint32_t left)
{
	char key[RCPT_KEY], bytes[4];
	struct buf row = { .p = bytes, .cap = sizeof bytes };

	index_rcpt_key(id, RCPT_LEFT, key);
	buf_put_u32(&row, left);
	return put(v, txn, TABLE_RCPT, str_mem(key, sizeof key), buf_str(&row));
}

/* ---- segments ---- */

int index_put_segment(struct env *v, MDB_txn *txn, const struct segment *seg)
{
	char key[ID_KEY], bytes[1 + 4 * 8];
	struct buf row = { .p = bytes, .cap = sizeof bytes };

	index_u64_key(seg->number, key);
	buf_put_u8(&row, ROW_VERSION);
	buf_put_u64(&row, seg->live);
	buf_put_u64(&row, seg->live_bytes);
	buf_put_u64(&row, seg->min_id);
	buf_put_u64(&row, seg->max_id);
	return put(v, txn, TABLE_SEG, str_mem(key, sizeof key), buf_str(&row));
}

int index_del_segment(struct env *v, MDB_txn *txn, uint64_t number)
{
	char key[ID_KEY];

	index_u64_key(number, key);
	return del(v, txn, TABLE_SEG, str_mem(key, sizeof key));
}

bool index_parse_segment(struct str key, struct str value, struct segment *out)
{
	struct reader r = { .p = (const uint8_t *)value.p, .n = value.n };

	r.bad = reader_u8(&r) != ROW_VERSION;
	out->live = reader_u64(&r);
	out->live_bytes = reader_u64(&r);
	out->min_id = reader_u64(&r);
	out->max_id = reader_u64(&r);
	return index_parse_u64_key(key, &out->number) && !r.bad;
}
