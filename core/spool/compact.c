/* Compaction: a closed segment in which little still lives has that little copied, so that the file
 * can be used again. In steps: collect (read, check, stamp anew), write, sync, and only then the
 * ledger learns the new places; the old segment dies like any other, with the commit that empties
 * it. A copy's record is never replayed: until that commit is durable the index speaks of the old
 * place, and the old segment is still there. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/crc32c.h"
#include "core/base/log.h"
#include "core/spool/engine.h"

enum {
	LIVE_PERCENT = 30,	/* a segment with less than this alive is worth the copying */
	BUFFER_BYTES = 4 << 20, /* of copies for one sync */
	STEP_COPIES = 256,	/* a step's bounds; with STEP_US */
	STEP_ROWS = 4096,
	COPY_MAX = 64 << 20, /* a record's bytes; far above what is ever in a segment */
};
static const us_t MIN_AGE =
    60 * US_PER_S; /* since it was closed: most mail in it will be gone by itself */
static const us_t LOOK_EVERY = 1 * US_PER_S;
static const us_t STEP_US = 1500;

struct copy {
	uint64_t id;
	struct spool_where from, to;
};
enum phase { COLLECT, WRITE, SYNC, MOVE };
struct compaction {
	uint64_t number; /* of the segment that is emptied; 0: none now */
	struct body_file *file;
	enum phase phase;
	uint64_t next_id; /* rows before it are done */
	bool collected;	  /* all rows are done */
	struct buf out;
	size_t last_at; /* in out: of the last copy */
	struct copy *v;
	size_t n, cap, moved;
	us_t looked_at;
};

static void reset(struct compaction *c)
{
	body_file_unref(c->file);
	c->file = NULL;
	c->number = 0;
	c->n = c->moved = 0;
	buf_clear(&c->out);
}

void compact_free(struct spool *s)
{
	if (!s->compaction)
		return;
	reset(s->compaction);
	buf_free(&s->compaction->out);
	free(s->compaction->v);
	free(s->compaction);
	s->compaction = NULL;
}

/* ---- choosing ---- */

static bool worthwhile(const struct spool *s, const struct segment *seg, us_t now)
{
	if (!seg->closed || seg->dying || seg->stuck || !seg->live ||
	    now - seg->closed_at < MIN_AGE)
		return false;
	return seg->poisoned || seg->live_bytes < s->shared->segment_bytes / 100 * LIVE_PERCENT;
}

static struct segment *choose(struct spool *s, us_t now)
{
	struct segment *best = NULL;
	uint64_t number;
	size_t pos = 0;
	void *p;

	while (idmap_next(&s->segments, &pos, &number, &p)) {
		struct segment *seg = p;

		if (worthwhile(s, seg, now) && (!best || seg->live_bytes < best->live_bytes))
			best = seg;
	}
	return best;
}

static bool begin(struct spool *s, struct compaction *c, us_t now)
{
	struct segment *seg;

	if (now - c->looked_at < LOOK_EVERY && now >= c->looked_at)
		return false;
	seg = choose(s, now);
	if (!seg) {
		c->looked_at = now;
		return false;
	}
	c->file = segment_file(s, seg);
	if (!c->file) {
		log_error("spool: cannot open segment %llu: %s", (unsigned long long)seg->number,
			  strerror(errno));
		seg->stuck = true;
		return false;
	}
	c->number = seg->number;
	c->next_id = seg->min_id;
	c->collected = false;
	c->phase = COLLECT;
	return true;
}

/* ---- collecting ---- */

static uint64_t buffer_bytes(const struct spool *s)
{
	uint64_t half = s->shared->segment_bytes / 2;

	return half < BUFFER_BYTES ? half : BUFFER_BYTES;
}

/* An open segment to copy to; the log's next one is never taken away. False: not now. */
static bool have_target(struct spool *s, us_t now)
{
	struct errbuf e;

	if (s->cold.seg && s->cold.end + buffer_bytes(s) > s->shared->segment_bytes)
		segment_close(s, &s->cold, now);
	if (s->cold.seg)
		return true;
	if (!stock_spare(s->shared))
		return false;
	if (!segment_take(s, &s->cold, &e))
		return true;
	log_error("spool: compaction: %s", e.text);
	return false;
}

/* Checks the record that was just read, and makes it one of the target segment. */
static bool stamp(struct spool *s, const struct msg_row *row, char *p, uint64_t n, uint64_t at)
{
	const struct spool_where *w = &row->where;
	uint64_t head = w->body_offset - w->offset;
	char *body = p + head;
	struct record r;
	uint32_t crc;

	if (!record_get_header(p, w->segment, &r) || r.envelope_bytes + RECORD_HEADER != head ||
	    r.body_bytes != w->body_bytes)
		return false;
	struct str envelope = str_mem(p + RECORD_HEADER, r.envelope_bytes);

	crc = crc32c(record_body_seed(w->segment, w->body_offset), body, (size_t)w->body_bytes);
	if (!record_header_ok(p, envelope) || !record_trailer_ok(p + n - RECORD_TRAILER, crc))
		return false;
	r.type = RECORD_COPY;
	r.flags &= (uint8_t)~RECORD_LAST;
	r.segment = s->cold.seg->number;
	record_put_header(&r, envelope, p);
	crc = crc32c(record_body_seed(r.segment, at + head), body, (size_t)w->body_bytes);
	record_put_trailer(crc, p + n - RECORD_TRAILER);
	return true;
}

static bool remember(struct compaction *c, uint64_t id, const struct spool_where *from,
		     const struct spool_where *to)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 256;
		struct copy *p = realloc(c->v, cap * sizeof *p);

		if (!p)
			return false;
		c->v = p;
		c->cap = cap;
	}
	c->v[c->n++] = (struct copy){ id, *from, *to };
	return true;
}

/* False: this record stays where it is. */
static bool copy_record(struct spool *s, struct compaction *c, uint64_t id,
			const struct msg_row *row)
{
	uint64_t n = segment_record_bytes(&row->where);
	size_t room = (size_t)record_align(n, RECORD_ALIGN), before = c->out.n;
	uint64_t at = s->cold.end + before;
	struct spool_where to = row->where;

	to.segment = s->cold.seg->number;
	to.offset = at;
	to.body_offset = at + (row->where.body_offset - row->where.offset);
	if (row->where.body_bytes > COPY_MAX || n > COPY_MAX || !buf_reserve(&c->out, room))
		return false;
	memset(c->out.p + before, 0, room);
	if (pread(c->file->fd, c->out.p + before, (size_t)n, (off_t)row->where.offset) !=
		(ssize_t)n ||
	    !stamp(s, row, c->out.p + before, n, at)) {
		log_error("spool: message %llx in segment %llu is damaged on disk",
			  (unsigned long long)id, (unsigned long long)c->number);
		segment_get(s, c->number)->stuck = true;
		return false;
	}
	if (!remember(c, id, &row->where, &to))
		return false;
	c->last_at = before;
	c->out.n += room;
	return true;
}

static bool lives_here(struct spool *s, uint64_t id, const struct msg_row *row, uint64_t number)
{
	/* what the ledger has about it is newer, and soon in the index */
	return row->where.segment == number && !row->where.large &&
	       !idmap_get(&s->ledger.entries, id);
}

static void collect_rows(struct spool *s, struct compaction *c, MDB_cursor *cur, uint64_t max_id)
{
	us_t start = clock_now_us();
	struct msg_row row;
	MDB_val k, d;
	uint64_t id;
	char key[8];
	int rc;

	index_u64_key(c->next_id, key);
	k = env_val(key, sizeof key);
	rc = mdb_cursor_get(cur, &k, &d, MDB_SET_RANGE);
	for (unsigned rows = 0; rows < STEP_ROWS; rows++) {
		c->collected = rc || !index_parse_u64_key(env_str(&k), &id) || id > max_id;
		if (c->collected || c->out.n >= buffer_bytes(s))
			return;
		if (index_parse_message(env_str(&d), &row) && lives_here(s, id, &row, c->number)) {
			copy_record(s, c, id, &row);
			if (clock_now_us() - start >= STEP_US)
				rows = STEP_ROWS;
		}
		c->next_id = id + 1;
		rc = mdb_cursor_get(cur, &k, &d, MDB_NEXT);
	}
}

static bool collect(struct spool *s, struct compaction *c, us_t now)
{
	struct segment *seg = segment_get(s, c->number);
	MDB_cursor *cur;
	MDB_txn *txn;

	if (!seg || !seg->live) { /* it emptied by itself */
		reset(c);
		return true;
	}
	if (!c->out.n && !have_target(s, now))
		return false;
	txn = s->index.failed ? NULL : env_lookup_begin(&s->index);
	if (!txn)
		return false;
	if (!mdb_cursor_open(txn, s->index.dbi[TABLE_MSG], &cur)) {
		collect_rows(s, c, cur, seg->max_id);
		mdb_cursor_close(cur);
	}
	env_lookup_end(&s->index);
	if (c->collected || c->out.n >= buffer_bytes(s))
		c->phase = WRITE;
	return true;
}

/* ---- writing, syncing, moving ---- */

static void give_up(struct spool *s, struct compaction *c, const char *what, us_t now)
{
	struct segment *from = segment_get(s, c->number), *to = s->cold.seg;

	log_error("spool: compaction cannot %s segment %llu: %s", what,
		  (unsigned long long)to->number, strerror(errno));
	s->poisoned = true;
	segment_close(s, &s->cold, now);
	to->poisoned = true;
	if (from)
		from->stuck = true;
	reset(c);
}

/* Behind the last copy lies padding, which is not to look like damage. */
static void mark_last(const struct spool *s, struct compaction *c)
{
	char *p = c->out.p + c->last_at;
	struct record r;

	if (!record_get_header(p, s->cold.seg->number, &r))
		return;
	r.flags |= RECORD_LAST;
	record_put_header(&r, str_mem(p + RECORD_HEADER, r.envelope_bytes), p);
}

static bool write_copies(struct spool *s, struct compaction *c, us_t now)
{
	static const char zeros[RECORD_PAGE];
	size_t pad = (size_t)(record_align(c->out.n, RECORD_PAGE) - c->out.n);
	struct iovec v[2] = { { .iov_base = c->out.p, .iov_len = c->out.n },
			      { .iov_base = (void *)(uintptr_t)zeros, .iov_len = pad } };

	if (c->out.n)
		mark_last(s, c);
	if (c->out.n && !write_vectors(s->cold.fd, v, pad ? 2 : 1, s->cold.end))
		give_up(s, c, "write", now);
	else
		c->phase = SYNC;
	return true;
}

static bool sync_copies(struct spool *s, struct compaction *c, us_t now)
{
	if (c->out.n && fdatasync(s->cold.fd)) {
		give_up(s, c, "sync", now);
		return true;
	}
	s->cold.end += record_align(c->out.n, RECORD_PAGE);
	buf_clear(&c->out);
	c->phase = MOVE;
	return true;
}

static enum found move(struct spool *s, const struct copy *m)
{
	struct entry *e;
	enum found found = ledger_entry(s, m->id, &e);

	if (found != FOUND || !e->left || e->where.segment != m->from.segment ||
	    e->where.offset != m->from.offset)
		return found;
	segment_count(s, e->id, &e->where, -1);
	e->where = m->to;
	e->moved = true;
	segment_count(s, e->id, &e->where, 1);
	return FOUND;
}

static bool move_copies(struct spool *s, struct compaction *c)
{
	struct segment *seg;

	for (int i = 0; i < STEP_COPIES && c->moved < c->n; i++) {
		enum found found = move(s, &c->v[c->moved]);

		if (found == FOUND_UNREADABLE || found == FOUND_NO_MEMORY)
			return false; /* again, when it is better */
		c->moved++;
	}
	if (c->moved < c->n)
		return true;
	c->n = c->moved = 0;
	c->phase = COLLECT;
	if (!c->collected)
		return true;
	seg = segment_get(s, c->number);
	if (seg && seg->live) /* what the ledger held, or what cannot be read: later, or at the next
				 start */
		seg->closed_at = s->now;
	reset(c);
	return true;
}

bool compact_step(struct spool *s, us_t now)
{
	struct compaction *c = s->compaction;

	if (!c) {
		c = s->compaction = calloc(1, sizeof *c);
		return false;
	}
	if (!c->number)
		return begin(s, c, now);
	switch (c->phase) {
	case COLLECT:
		return collect(s, c, now);
	case WRITE:
		return write_copies(s, c, now);
	case SYNC:
		return sync_copies(s, c, now);
	case MOVE:
		return move_copies(s, c);
	}
	return false;
}
