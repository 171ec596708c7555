/* The log behind the indexed position, after a crash: read, checked, entered into the ledger as
 * accepted. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/crc32c.h"
#include "core/base/log.h"
#include "core/spool/engine.h"
#include "core/spool/envelope.h"

enum { WINDOW = 1 << 20 };

struct scan { /* one segment, read through a window */
	int fd;
	uint64_t number, size;
	struct buf window;
	uint64_t window_at;
	uint64_t found, damaged;
};

/* n bytes at `at`, or NULL: beyond the end, or not readable. Valid until the next call. */
static const char *bytes_at(struct scan *c, uint64_t at, size_t n)
{
	size_t want;
	ssize_t got;

	if (at > c->size || n > c->size - at)
		return NULL;
	if (at >= c->window_at && at + n <= c->window_at + c->window.n)
		return c->window.p + (at - c->window_at);
	want = n > WINDOW ? n : WINDOW;
	buf_clear(&c->window);
	if (!buf_reserve(&c->window, want))
		return NULL;
	c->window_at = at;
	do
		got = pread(c->fd, c->window.p, want, (off_t)at);
	while (got < 0 && errno == EINTR);
	c->window.n = got > 0 ? (size_t)got : 0;
	return c->window.n >= n ? c->window.p : NULL;
}

/* A whole record, both CRCs checked. *bytes: from the header on. */
static bool record_at(struct scan *c, uint64_t at, struct record *r, const char **bytes)
{
	const char *p = bytes_at(c, at, RECORD_HEADER);
	struct str envelope;
	uint64_t here;
	uint32_t crc;

	if (!p || !record_get_header(p, c->number, r) || r->body_bytes > INT64_MAX)
		return false;
	here = record_body_here(r);
	if (here > c->size || !(p = bytes_at(c, at, (size_t)record_bytes(r))))
		return false;
	envelope = str_mem(p + RECORD_HEADER, r->envelope_bytes);
	if (!record_header_ok(p, envelope))
		return false;
	crc = record_body_seed(c->number, at + RECORD_HEADER + r->envelope_bytes);
	crc = crc32c(crc, envelope.p + envelope.n, (size_t)here);
	*bytes = p;
	return record_trailer_ok(envelope.p + envelope.n + here, crc);
}

/* Keeps the envelope for the ledger. */
static bool keep_envelope(struct spool *s, struct str envelope, struct str *kept)
{
	struct chunk *c = calloc(1, sizeof *c);

	if (!c || !buf_adds(&c->bytes, envelope)) {
		free(c);
		return false;
	}
	c->next = s->ledger.chunks;
	s->ledger.chunks = c;
	*kept = buf_str(&c->bytes);
	return true;
}

static void set_where(struct message *m, const struct record *r, uint64_t at)
{
	m->where = (struct spool_where){ .segment = r->segment,
					 .offset = at,
					 .body_bytes = r->body_bytes,
					 .large = r->flags & RECORD_LARGE,
					 .dot_line = r->flags & RECORD_DOT_LINE,
					 .eightbit = r->flags & RECORD_EIGHTBIT };
	if (!m->where.large)
		m->where.body_offset = at + RECORD_HEADER + r->envelope_bytes;
}

/* False: no memory, or the index cannot be read; recovery must not go on without this message. */
static bool accept(struct spool *s, const struct record *r, uint64_t at, struct str envelope)
{
	struct message *m;
	struct entry *e;
	bool damaged, ok;

	enum found found = ledger_entry(s, r->id, &e);

	if (found != FOUND_NOT)
		return found == FOUND; /* known already: nothing to do */
	m = envelope_decode(envelope, &damaged);
	if (!m) {
		log_error("spool: the envelope of message %llx cannot be understood",
			  (unsigned long long)r->id);
		return damaged;
	}
	m->id = r->id;
	set_where(m, r, at);
	if (m->where.large && !large_intact(s, m->id, m->where.body_bytes, r->large_crc))
		log_error("spool: the large body of message %llx is gone or damaged",
			  (unsigned long long)m->id);
	e = ledger_new(&s->ledger, m->id, m->nrcpts);
	ok = e && m->nrcpts && keep_envelope(s, envelope, &e->envelope) &&
	     buf_reserve(&s->ledger.events, eventlog_received_bytes(m)) &&
	     buf_reserve(&s->ledger.others, eventlog_received_bytes(m)) &&
	     ledger_reserve_reports(s, m) == FOUND;
	if (ok) {
		e->where = m->where;
		ledger_accept(s, e, m);
	}
	message_free(m);
	return ok;
}

/* Behind a record that is not valid: torn, or damaged. The next flush, if one was ever written
 * there, began at a page. */
static bool next_record(struct scan *c, uint64_t *at, struct record *r, const char **bytes)
{
	uint64_t start = *at;

	if (record_at(c, *at, r, bytes))
		return true;
	for (*at = record_align(start + 1, RECORD_PAGE); *at < c->size; *at += RECORD_PAGE)
		if (record_at(c, *at, r, bytes)) {
			c->damaged++;
			log_error("spool: segment %llu cannot be read from %llu to %llu: what was "
				  "accepted there is lost",
				  (unsigned long long)c->number, (unsigned long long)start,
				  (unsigned long long)*at);
			return true;
		}
	return false;
}

static bool replay(struct spool *s, struct scan *c, uint64_t at)
{
	const char *p = bytes_at(c, at, RECORD_HEADER);
	struct record r;

	/* Nothing of ours at its very start: never written to. */
	if (!at && (!p || !record_get_header(p, c->number, &r)))
		return true;
	while (next_record(c, &at, &r, &p)) {
		struct str envelope = str_mem(p + RECORD_HEADER, r.envelope_bytes);

		if (r.type == RECORD_ACCEPT && !accept(s, &r, at, envelope))
			return false;
		c->found += r.type == RECORD_ACCEPT;
		at = record_next(&r, at);
	}
	return true;
}

static const struct err *fail(struct errbuf *e, const char *what, uint64_t number)
{
	errbuf_set(e, "cannot %s segment %llu: %s", what, (unsigned long long)number,
		   strerror(errno));
	return &err_io;
}

static const struct err *scan_open(struct spool *s, struct scan *c, uint64_t at, struct errbuf *e)
{
	const struct err *err = NULL;
	struct segment *seg = segment_get(s, c->number);

	if (!seg)
		seg = segment_new(s, c->number);
	if (!seg || !replay(s, c, at)) {
		errbuf_set(e,
			   "cannot recover segment %llu: no memory, or the index is not readable",
			   (unsigned long long)c->number);
		return &err_io;
	}
	seg->closed = true;
	seg->closed_at = s->now;
	seg->dirty = true;
	/* After a mere death of the process its last flush may be in the page cache alone. */
	if (c->found && fdatasync(c->fd))
		err = fail(e, "sync", c->number);
	return err;
}

static const struct err *scan_segment(struct spool *s, uint64_t number, uint64_t at,
				      struct errbuf *e)
{
	struct scan c = { .number = number };
	char path[PATH_MAX];
	const struct err *err;
	struct stat st;

	segment_path(s->dir, number, path);
	c.fd = open(path, O_RDONLY | O_CLOEXEC);
	if (c.fd < 0 || fstat(c.fd, &st)) {
		err = fail(e, "open", number);
	} else {
		c.size = (uint64_t)st.st_size;
		buf_init(&c.window);
		err = scan_open(s, &c, at, e);
		buf_free(&c.window);
	}
	if (c.fd >= 0)
		close(c.fd);
	if (!err && c.found)
		log_info("spool: %llu messages recovered from segment %llu",
			 (unsigned long long)c.found, (unsigned long long)number);
	return err;
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* The numbers of all segment files; what was being made when we died is removed. */
static const struct err *list_files(struct spool *s, struct u64list *out, struct errbuf *e)
{
	char path[PATH_MAX];
	struct dirent *d;
	DIR *dir;

	snprintf(path, sizeof path, "%s/seg", s->dir);
	dir = opendir(path);
	if (!dir) {
		errbuf_set(e, "cannot read %s: %s", path, strerror(errno));
		return &err_io;
	}
	while ((d = readdir(dir))) {
		char *end;
		uint64_t number = strtoull(d->d_name, &end, 10);

		if (strstr(d->d_name, ".tmp")) {
			snprintf(path, sizeof path, "%s/seg/%s", s->dir, d->d_name);
			unlink(path);
		} else if (number && !*end && !u64list_add(out, number)) {
			closedir(dir);
			return &err_no_memory;
		}
	}
	closedir(dir);
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_number);
	return NULL;
}

/* Segments that have a row: what lives in them is known. */
static const struct err *load_segments(struct spool *s, struct errbuf *e)
{
	MDB_txn *txn = env_lookup_begin(&s->index);
	MDB_val k, d;
	MDB_cursor *c;
	int rc = txn ? mdb_cursor_open(txn, s->index.dbi[TABLE_SEG], &c) : MDB_PANIC;

	if (rc)
		return env_fail(&s->index, rc, "cannot read", e);
	while (!(rc = mdb_cursor_get(c, &k, &d, MDB_NEXT))) {
		struct segment row, *seg;

		if (!index_parse_segment(env_str(&k), env_str(&d), &row)) {
			rc = MDB_CORRUPTED;
			break;
		}
		seg = segment_new(s, row.number);
		if (!seg) {
			rc = ENOMEM;
			break;
		}
		seg->live = row.live;
		seg->live_bytes = row.live_bytes;
		seg->min_id = row.min_id;
		seg->max_id = row.max_id;
		seg->closed = true;
		seg->closed_at = s->now;
	}
	mdb_cursor_close(c);
	env_lookup_end(&s->index);
	return rc == MDB_NOTFOUND ? NULL : env_fail(&s->index, rc, "cannot read", e);
}

static bool listed(const struct u64list *files, uint64_t number)
{
	return bsearch(&number, files->v, files->n, sizeof number, by_number) != NULL;
}

static void report_missing(struct spool *s, const struct u64list *files)
{
	uint64_t number;
	size_t pos = 0;
	void *p;

	while (idmap_next(&s->segments, &pos, &number, &p))
		if (!files->n || !listed(files, number))
			log_error("spool: segment %llu is missing, and with it the bodies of %llu "
				  "messages",
				  (unsigned long long)number,
				  (unsigned long long)((struct segment *)p)->live);
}

static const struct err *scan_all(struct spool *s, const struct u64list *files, struct errbuf *e)
{
	uint64_t segment = s->core.segment, offset = s->core.offset;
	const struct err *err = NULL;

	for (size_t i = 0; i < files->n && !err; i++) {
		uint64_t n = files->v[i];
		const struct segment *seg = segment_get(s, n);

		if (n == segment)
			err = scan_segment(s, n, offset, e);
		else if (n > segment && !seg)
			err = scan_segment(s, n, 0, e);
		else if (!seg && !u64list_add(&s->shared->empty, n))
			err = &err_no_memory;
	}
	return err;
}

const struct err *recover_log(struct spool *s, struct errbuf *e)
{
	struct u64list files = { .v = NULL };
	const struct err *err = load_segments(s, e);

	if (!err)
		err = list_files(s, &files, e);
	if (!err) {
		report_missing(s, &files);
		err = scan_all(s, &files, e);
	}
	u64list_free(&files);
	if (err)
		return err;
	/* All of it is entered; whatever is written from now on has a number from here on. */
	s->core.segment = s->shared->next_segment;
	s->core.offset = 0;
	s->core_dirty = true;
	return NULL;
}
