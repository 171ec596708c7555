/* Bodies that lie in a file: finding them, reading them. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/crc32c.h"
#include "core/base/log.h"
#include "core/spool/engine.h"

/* Where the index says it lies now: compaction may have moved it since the caller was told. */
static bool where_now(struct spool *s, uint64_t id, struct spool_where *out)
{
	struct entry *e = idmap_get(&s->ledger.entries, id);
	struct msg_row row;
	MDB_txn *txn;
	int rc;

	if (e) {
		*out = e->where;
		return e->left > 0;
	}
	txn = env_lookup_begin(&s->index);
	if (!txn)
		return false;
	rc = index_get_message(&s->index, txn, id, &row);
	env_lookup_end(&s->index);
	*out = row.where;
	return !rc;
}

struct body *spool_body(struct spool *s, uint64_t message, const struct spool_where *w)
{
	struct spool_where now = *w;
	struct segment *seg;
	struct body_file *f;
	struct body *b;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (w->large)
		return large_body(s, message, w);
	/* A segment that still counts still has the bytes, wherever the index has moved on to. */
	seg = segment_get(s, w->segment);
	if (!seg && where_now(s, message, &now))
		seg = segment_get(s, now.segment);
	f = seg ? segment_file(s, seg) : NULL;
	b = f ? body_new_file(f, now.body_offset, now.body_bytes, now.dot_line, now.eightbit)
	      : NULL;
	if (f && !b)
		body_file_unref(f);
	return b;
}

int64_t spool_body_read(const struct body *file_body, uint64_t offset, void *p, size_t n)
{
	const struct body *b = file_body;
	ssize_t got;

	if (offset >= b->size)
		return 0;
	if (n > b->size - offset)
		n = (size_t)(b->size - offset);
	do
		got = pread(b->file->fd, p, n, (off_t)(b->offset + offset));
	while (got < 0 && errno == EINTR);
	return got;
}

static const struct err *read_all(int fd, char *p, size_t n, uint64_t at, struct errbuf *e)
{
	while (n) {
		ssize_t got = pread(fd, p, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			errbuf_set(e, "cannot read a message body: %s",
				   got ? strerror(errno) : "its segment is too short");
			return &err_io;
		}
		p += got;
		at += (uint64_t)got;
		n -= (size_t)got;
	}
	return NULL;
}

/* The record's trailer follows the body; large files have their CRC in the record, and are not for
 * memory anyway. */
static const struct err *load(const struct body *b, struct buf *data, struct errbuf *e)
{
	size_t n = (size_t)b->size;
	const struct err *err;
	uint64_t segment;

	if (!segment_number_of(b->file, &segment) || b->size > BODY_MEMORY_MAX) {
		errbuf_set(e, "a body of %llu bytes is read in parts", (unsigned long long)b->size);
		return &err_invalid;
	}
	if (!buf_reserve(data, n + RECORD_TRAILER))
		return &err_no_memory;
	err = read_all(b->file->fd, data->p, n + RECORD_TRAILER, b->offset, e);
	if (err)
		return err;
	if (!record_trailer_ok(data->p + n,
			       crc32c(record_body_seed(segment, b->offset), data->p, n))) {
		errbuf_set(e, "a message body in segment %llu at %llu is damaged on disk",
			   (unsigned long long)segment, (unsigned long long)b->offset);
		return &err_spool_damaged;
	}
	data->n = n;
	return NULL;
}

const struct err *spool_body_load(struct body *file_body, struct body **out, struct errbuf *e)
{
	struct body *b = file_body;
	struct buf head, data;
	const struct err *err;

	*out = NULL;
	buf_init(&head);
	buf_init(&data);
	if (!body_budget_take(b->size)) {
		errbuf_set(e, "no room for another message body in memory");
		return &err_full;
	}
	err = load(b, &data, e);
	if (!err) {
		*out = body_new_memory(&head, &data, b->size, b->dot_line, b->eightbit);
		if (*out)
			return NULL;
		err = &err_no_memory;
	}
	body_budget_give(b->size);
	buf_free(&data);
	return err;
}
