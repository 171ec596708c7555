/* Readers of events: any thread, each with short read transactions of its own. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

enum { FILL_BYTES = 64 * 1024 };

struct event_reader {
	struct spool *s;
	uint64_t position, missed;
	bool known;
	struct buf bytes; /* encoded events, the first of them has the number `next` */
	struct reader left;
	uint64_t next;
};

struct event_reader *event_reader_open(struct spool *s, const char *name)
{
	struct event_reader *r;
	MDB_txn *txn;

	OBJ_CHECK(s, SPOOL_MAGIC);
	r = calloc(1, sizeof *r);
	txn = r ? env_read_begin(&s->index) : NULL;
	if (!txn) {
		free(r);
		return NULL;
	}
	r->s = s;
	r->position = eventlog_position(s, txn, name, &r->known);
	buf_init(&r->bytes);
	env_read_end(&s->index, txn);
	return r;
}

void event_reader_close(struct event_reader *r)
{
	if (!r)
		return;
	buf_free(&r->bytes);
	free(r);
}

/* The cursor onto the blob that holds event `want`, or the first one behind it. */
static int seek(MDB_cursor *c, uint64_t want, MDB_val *k, MDB_val *d)
{
	struct reader events;
	uint64_t first;
	uint32_t count;
	char key[8];
	int rc;

	index_u64_key(want, key);
	*k = env_val(key, sizeof key);
	rc = mdb_cursor_get(c, k, d, MDB_SET_RANGE);
	if (!rc && index_parse_u64_key(env_str(k), &first) && first == want)
		return 0;
	rc = mdb_cursor_get(c, k, d, rc ? MDB_LAST : MDB_PREV);
	if (!rc && index_parse_u64_key(env_str(k), &first) &&
	    eventlog_parse_blob(env_str(d), &count, &events) && want < first + count)
		return 0;
	return mdb_cursor_get(c, k, d, rc ? MDB_FIRST : MDB_NEXT);
}

/* Copies consecutive blobs, so that the read transaction is over before anything is done with them.
 */
static void copy_blobs(struct event_reader *r, MDB_cursor *c)
{
	uint64_t seen = __atomic_load_n(&r->s->shared->durable_event, __ATOMIC_ACQUIRE);
	uint64_t first, expected = 0;
	struct reader events;
	uint32_t count;
	MDB_val k, d;
	int rc = seek(c, r->position + 1, &k, &d);

	for (; !rc && r->bytes.n < FILL_BYTES; rc = mdb_cursor_get(c, &k, &d, MDB_NEXT)) {
		if (!index_parse_u64_key(env_str(&k), &first) ||
		    !eventlog_parse_blob(env_str(&d), &count, &events))
			break;
		/* Only what a crash cannot take back: its number might be given twice otherwise. */
		if ((expected && first != expected) || first + count - 1 > seen ||
		    !buf_add(&r->bytes, events.p, events.n))
			break;
		if (!expected)
			r->next = first;
		expected = first + count;
	}
}

static bool fill(struct event_reader *r)
{
	MDB_txn *txn = env_read_begin(&r->s->index);
	MDB_cursor *c;

	buf_clear(&r->bytes);
	if (!txn)
		return false;
	if (!mdb_cursor_open(txn, r->s->index.dbi[TABLE_EVENTS], &c)) {
		copy_blobs(r, c);
		mdb_cursor_close(c);
	}
	env_read_end(&r->s->index, txn);
	r->left = (struct reader){ .p = (const uint8_t *)r->bytes.p, .n = r->bytes.n };
	if (r->bytes.n && r->next > r->position + 1) {
		r->missed += r->next - r->position - 1;
		r->position = r->next - 1;
	}
	return r->bytes.n > 0;
}

int event_reader_next(struct event_reader *r, int max, void (*fn)(void *arg, const struct event *e),
		      void *arg)
{
	int n = 0;

	while (n < max) {
		struct event e = { .id = r->next };

		if (!r->left.n && !fill(r))
			break;
		e.id = r->next;
		if (!event_decode(&r->left, &e)) {
			log_error("spool: event %llu is damaged", (unsigned long long)r->next);
			r->left.n = 0;
			r->position = r->next++;
			r->missed++;
			continue;
		}
		r->next++;
		if (e.id <= r->position) /* the blob began before the saved position */
			continue;
		r->position = e.id;
		fn(arg, &e);
		n++;
	}
	return n;
}

uint64_t event_reader_position(const struct event_reader *r)
{
	return r->position;
}

bool event_reader_known(const struct event_reader *r)
{
	return r->known;
}

void event_reader_seek(struct event_reader *r, uint64_t id)
{
	r->position = id;
	r->left = (struct reader){ NULL, 0, false };
}

uint64_t event_reader_last(const struct event_reader *r)
{
	return __atomic_load_n(&r->s->shared->durable_event, __ATOMIC_ACQUIRE);
}

uint64_t event_reader_missed(const struct event_reader *r)
{
	return r->missed;
}
