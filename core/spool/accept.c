/* Accepting: messages into a batch, the batch into the log with one write and one sync. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/crc32c.h"
#include "core/base/log.h"
#include "core/spool/engine.h"
#include "core/spool/envelope.h"

enum {
	BATCH_MESSAGES = 512,
	BATCH_BYTES = 16 << 20,
	VECTORS_EACH = 3, /* [trailer before,] header and envelope; head; data */
	SYNC_MEAN_OVER = 32,
};

static bool grow_batch(struct batch *b)
{
	size_t cap = b->cap ? b->cap * 2 : 64;
	struct item *v = realloc(b->v, cap * sizeof *v);
	struct iovec *iov;

	if (!v)
		return false;
	b->v = v;
	iov = realloc(b->iov, (cap * VECTORS_EACH + 2) * sizeof *iov);
	if (!iov)
		return false;
	b->iov = iov;
	b->cap = cap;
	return true;
}

static struct chunk *chunk_take(struct ledger *l)
{
	struct chunk *c = l->spare;

	l->spare = NULL;
	return c ? c : calloc(1, sizeof *c);
}

/* What the record will say; false: such a body can't be taken. */
static bool describe(const struct message *m, struct record *r)
{
	const struct body *b = m->body;

	*r = (struct record){ .type = RECORD_ACCEPT, .id = m->id };
	if (!b)
		return true;
	r->body_bytes = b->size;
	r->flags =
	    (uint8_t)((b->dot_line ? RECORD_DOT_LINE : 0) | (b->eightbit ? RECORD_EIGHTBIT : 0));
	if (body_in_memory(b))
		return true;
	r->flags |= RECORD_LARGE;
	return large_of(b, m->id, &r->large_crc);
}

/* Header, envelope, trailer and padding lie one behind the other in the chunk; bodies are written
 * from where they are. */
static bool encode(struct batch *b, struct item *it)
{
	static const char zeros[RECORD_HEADER];
	struct buf *out = &b->chunk->bytes;
	size_t before = out->n, pad;

	it->at = before;
	if (!buf_add(out, zeros, RECORD_HEADER) || !envelope_encode(out, it->m))
		goto no_memory;
	if (out->n - before - RECORD_HEADER > UINT32_MAX)
		goto no_memory;
	it->envelope_bytes = (uint32_t)(out->n - before - RECORD_HEADER);
	it->rec.envelope_bytes = it->envelope_bytes;
	pad = (size_t)(record_align(record_bytes(&it->rec), RECORD_ALIGN) - record_bytes(&it->rec));
	if (buf_add(out, zeros, RECORD_TRAILER + pad))
		return true;
no_memory:
	out->n = before;
	out->failed = false;
	return false;
}

bool spool_add(struct spool *s, struct message *m)
{
	struct batch *b = &s->batch;
	struct item it = { .m = m };

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (b->n >= BATCH_MESSAGES || (b->n && b->bytes >= BATCH_BYTES))
		return false;
	if (!m->id || !m->nrcpts || !describe(m, &it.rec)) {
		log_error("spool: a message without id, recipients or a usable body is refused");
		return false;
	}
	if (!b->chunk)
		b->chunk = chunk_take(&s->ledger);
	if (!b->chunk || (b->n == b->cap && !grow_batch(b)) || !encode(b, &it))
		return false;
	it.e = ledger_new(&s->ledger, m->id, m->nrcpts);
	if (!it.e) {
		b->chunk->bytes.n = it.at;
		return false;
	}
	b->bytes += record_align(record_bytes(&it.rec), RECORD_ALIGN);
	b->v[b->n++] = it;
	return true;
}

size_t spool_batch_count(const struct spool *s)
{
	return s->batch.n;
}

/* ---- flush: what must be sure before anything is written ---- */

/* A report's record ends RCPT_REPORT of its recipients, also in a replay: so that state must be
 * durable first. */
static bool reports_undurable(const struct spool *s, uint64_t id)
{
	/* an outcome that could not be folded in yet may be the one */
	return s->ledger.deferred || u64list_has(&s->ledger.reports, id) ||
	       (s->durable.commits < s->committed.commits && u64list_has(&s->fresh_reports, id));
}

static const struct err *settle_reports(struct spool *s, us_t now, struct errbuf *e)
{
	bool sync = false;

	for (size_t i = 0; i < s->batch.n; i++) {
		const struct message *m = s->batch.v[i].m;

		sync |= m->nreports_rcpts && reports_undurable(s, m->reports_on);
	}
	return sync ? spool_commit(s, now, true, e) : NULL;
}

/* Everything that could fail for want of memory, so that nothing can between the sync and the
 * answers. */
static const struct err *reserve(struct spool *s, struct errbuf *e)
{
	size_t events = 0, most = 0;

	for (size_t i = 0; i < s->batch.n; i++) {
		enum found found = ledger_reserve_reports(s, s->batch.v[i].m);
		size_t bytes = eventlog_received_bytes(s->batch.v[i].m);

		events += bytes;
		most = bytes > most ? bytes : most;
		if (found == FOUND_UNREADABLE) {
			errbuf_set(e, "the spool's index cannot be read");
			return &err_io;
		}
		if (found == FOUND_NO_MEMORY)
			return &err_no_memory;
	}
	return buf_reserve(&s->ledger.events, events) && buf_reserve(&s->ledger.others, most)
		   ? NULL
		   : &err_no_memory;
}

static const struct err *make_room(struct spool *s, us_t now, struct errbuf *e)
{
	const struct err *err;

	if (s->log.seg && s->log.end && s->log.end + s->batch.bytes > s->shared->segment_bytes)
		segment_close(s, &s->log, now);
	if (s->log.seg)
		return NULL;
	err = segment_take(s, &s->log, e);
	if (err)
		return err;
	s->core.segment = s->log.seg->number;
	s->core.offset = 0;
	return NULL;
}

/* ---- flush: the write ---- */

static void add_vector(struct batch *b, const void *p, size_t n)
{
	if (n)
		b->iov[b->niov++] =
		    (struct iovec){ .iov_base = (void *)(uintptr_t)p, .iov_len = n };
}

static struct str envelope_of(const struct batch *b, const struct item *it)
{
	return str_mem(b->chunk->bytes.p + it->at + RECORD_HEADER, it->envelope_bytes);
}

/* Places one record at `at`: CRCs, header, trailer, vectors. `chunk_at`: what of the chunk has
 * vectors already. */
static uint64_t place(struct spool *s, struct item *it, uint64_t at, size_t *chunk_at)
{
	struct batch *b = &s->batch;
	char *chunk = b->chunk->bytes.p;
	size_t trailer_at = it->at + RECORD_HEADER + it->envelope_bytes;
	const struct body *body = it->rec.flags & RECORD_LARGE ? NULL : it->m->body;
	uint32_t crc =
	    record_body_seed(s->log.seg->number, at + RECORD_HEADER + it->envelope_bytes);

	it->offset = at;
	it->rec.segment = s->log.seg->number;
	if (it == &b->v[b->n - 1])
		it->rec.flags |= RECORD_LAST;
	record_put_header(&it->rec, envelope_of(b, it), chunk + it->at);
	add_vector(b, chunk + *chunk_at, trailer_at - *chunk_at);
	if (body) {
		crc = crc32c(crc, body->head.p, body->head.n);
		crc = crc32c(crc, body->data.p, body->data.n);
		add_vector(b, body->head.p, body->head.n);
		add_vector(b, body->data.p, body->data.n);
	}
	record_put_trailer(crc, chunk + trailer_at);
	*chunk_at = trailer_at;
	return record_align(at + record_bytes(&it->rec), RECORD_ALIGN);
}

/* Returns the page-aligned end. */
static uint64_t lay_out(struct spool *s)
{
	static const char zeros[RECORD_PAGE];
	struct batch *b = &s->batch;
	uint64_t at = s->log.end, end;
	size_t chunk_at = 0;

	b->niov = 0;
	for (size_t i = 0; i < b->n; i++)
		at = place(s, &b->v[i], at, &chunk_at);
	add_vector(b, b->chunk->bytes.p + chunk_at, b->chunk->bytes.n - chunk_at);
	end = record_align(at, RECORD_PAGE);
	add_vector(b, zeros, (size_t)(end - at));
	return end;
}

static void measure_sync(struct spool *s, us_t took)
{
	double ms = (double)took / US_PER_MS;

	s->stats.sync_ms += (ms - s->stats.sync_ms) / SYNC_MEAN_OVER;
}

static const struct err *write_batch(struct spool *s, struct errbuf *e)
{
	uint64_t end = lay_out(s);
	us_t start;

	if (!write_vectors(s->log.fd, s->batch.iov, s->batch.niov, s->log.end)) {
		errbuf_set(e, "cannot write segment %llu: %s",
			   (unsigned long long)s->log.seg->number, strerror(errno));
		return &err_spool_poisoned;
	}
	start = clock_now_us();
	if (fdatasync(s->log.fd)) {
		errbuf_set(e, "cannot sync segment %llu: %s",
			   (unsigned long long)s->log.seg->number, strerror(errno));
		return &err_spool_poisoned;
	}
	measure_sync(s, clock_now_us() - start);
	s->log.end = end;
	return NULL;
}

/* No second sync on that descriptor: after the first failure the kernel calls the pages clean. What
 * was refused must not be found by a restart that still has it in its page cache, so its headers
 * are blanked, as well as can be. */
static void poison(struct spool *s, us_t now)
{
	static const char zeros[RECORD_HEADER];
	struct segment *seg = s->log.seg;

	for (size_t i = 0; i < s->batch.n; i++)
		if (pwrite(s->log.fd, zeros, sizeof zeros, (off_t)s->batch.v[i].offset) < 0)
			break;
	log_error("spool: segment %llu is given up after a failed write",
		  (unsigned long long)seg->number);
	s->poisoned = true;
	segment_close(s, &s->log, now);
	seg->poisoned = true;
}

/* ---- flush: afterwards ---- */

static void enter(struct spool *s, struct item *it)
{
	struct message *m = it->m;
	struct entry *e = it->e;

	m->where = (struct spool_where){ .segment = it->rec.segment,
					 .offset = it->offset,
					 .body_bytes = it->rec.body_bytes,
					 .large = it->rec.flags & RECORD_LARGE,
					 .dot_line = it->rec.flags & RECORD_DOT_LINE,
					 .eightbit = it->rec.flags & RECORD_EIGHTBIT };
	if (m->where.large)
		large_keep(m->body);
	else
		m->where.body_offset = it->offset + RECORD_HEADER + it->envelope_bytes;
	e->where = m->where;
	e->envelope = envelope_of(&s->batch, it);
	ledger_accept(s, e, m);
}

static void give_back(struct spool *s, const struct err *err,
		      void (*done)(void *arg, struct message *m, const struct err *err), void *arg)
{
	struct batch *b = &s->batch;
	size_t n = b->n;

	b->n = 0;
	b->bytes = 0;
	for (size_t i = 0; i < n; i++)
		done(arg, b->v[i].m, err);
}

static void drop_batch(struct spool *s)
{
	for (size_t i = 0; i < s->batch.n; i++)
		ledger_drop(&s->ledger, s->batch.v[i].e);
	buf_clear(&s->batch.chunk->bytes);
}

static void take_batch(struct spool *s)
{
	struct chunk *c = s->batch.chunk;

	for (size_t i = 0; i < s->batch.n; i++)
		enter(s, &s->batch.v[i]);
	c->next = s->ledger.chunks;
	s->ledger.chunks = c;
	s->batch.chunk = NULL;
	s->core.offset = s->log.end;
}

const struct err *spool_flush(struct spool *s, us_t now,
			      void (*done)(void *arg, struct message *m, const struct err *err),
			      void *arg, struct errbuf *e)
{
	const struct err *err;

	OBJ_CHECK(s, SPOOL_MAGIC);
	s->now = now;
	if (!s->batch.n)
		return NULL;
	err = settle_reports(s, now, e);
	if (!err)
		err = reserve(s, e);
	if (!err)
		err = make_room(s, now, e);
	if (!err) {
		err = write_batch(s, e);
		if (err)
			poison(s, now);
	}
	if (err == &err_no_memory)
		errbuf_set(e, "no memory for a batch of %zu messages", s->batch.n);
	if (err)
		drop_batch(s);
	else
		take_batch(s);
	give_back(s, err, done, arg);
	return err;
}

void batch_free(struct spool *s)
{
	struct batch *b = &s->batch;

	for (size_t i = 0; i < b->n; i++)
		message_free(b->v[i].m);
	if (b->chunk)
		buf_free(&b->chunk->bytes);
	free(b->chunk);
	free(b->v);
	free(b->iov);
	*b = (struct batch){ .v = NULL };
}
