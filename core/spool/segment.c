#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

enum { OPEN_FILES_MAX = 64 }; /* descriptors kept for readers */

static void hold_unref(struct segment_hold *h)
{
	if (__atomic_sub_fetch(&h->refs, 1, __ATOMIC_ACQ_REL) == 0)
		free(h);
}

static void reader_gone(struct body_file *f, void *arg)
{
	(void)f;
	hold_unref(arg);
}

bool segment_number_of(const struct body_file *f, uint64_t *number)
{
	const struct segment_hold *h = f->last == reader_gone ? f->arg : NULL;

	if (h)
		*number = h->number;
	return h != NULL;
}

struct segment *segment_new(struct spool *s, uint64_t number)
{
	struct segment *seg = calloc(1, sizeof *seg);
	struct segment_hold *h = malloc(sizeof *h);

	if (!seg || !h || !idmap_put(&s->segments, number, seg)) {
		free(seg);
		free(h);
		return NULL;
	}
	*h = (struct segment_hold){ .refs = 1, .number = number };
	seg->number = number;
	seg->min_id = UINT64_MAX;
	seg->hold = h;
	return seg;
}

struct segment *segment_get(struct spool *s, uint64_t number)
{
	return idmap_get(&s->segments, number);
}

static void drop_file(struct spool *s, struct segment *seg)
{
	if (!seg->file)
		return;
	body_file_unref(seg->file);
	seg->file = NULL;
	s->open_files--;
}

static void segment_free(struct spool *s, struct segment *seg)
{
	drop_file(s, seg);
	hold_unref(seg->hold);
	free(seg);
}

void segment_free_all(struct spool *s)
{
	size_t pos = 0;
	uint64_t number;
	void *seg;

	while (idmap_next(&s->segments, &pos, &number, &seg))
		segment_free(s, seg);
	idmap_free(&s->segments);
}

uint64_t segment_record_bytes(const struct spool_where *w)
{
	return w->body_offset + w->body_bytes + RECORD_TRAILER - w->offset;
}

void segment_count(struct spool *s, uint64_t id, const struct spool_where *w, int by)
{
	struct segment *seg = w->large ? NULL : segment_get(s, w->segment);
	uint64_t bytes = segment_record_bytes(w);

	if (!seg)
		return;
	seg->dirty = true;
	if (by > 0) {
		seg->live++;
		seg->live_bytes += bytes;
		seg->min_id = id < seg->min_id ? id : seg->min_id;
		seg->max_id = id > seg->max_id ? id : seg->max_id;
		return;
	}
	seg->live -= seg->live ? 1 : 0;
	seg->live_bytes -= bytes < seg->live_bytes ? bytes : seg->live_bytes;
}

const struct err *segment_take(struct spool *s, struct appender *a, struct errbuf *e)
{
	/* the log's numbers rise, so that recovery knows their order */
	uint64_t number = stock_take(s->shared, a == &s->log ? s->last_log : 0, e);
	char path[PATH_MAX];
	struct segment *seg;

	if (!number)
		return &err_io;
	segment_path(s->dir, number, path);
	a->fd = open(path, O_RDWR | O_CLOEXEC);
	if (a->fd < 0) {
		errbuf_set(e, "cannot open %s: %s", path, strerror(errno));
		return &err_io;
	}
	seg = segment_new(s, number);
	if (!seg) {
		close(a->fd);
		return &err_no_memory;
	}
	a->seg = seg;
	a->end = 0;
	if (a == &s->log)
		s->last_log = number;
	return NULL;
}

void segment_close(struct spool *s, struct appender *a, us_t now)
{
	(void)s;
	if (!a->seg)
		return;
	close(a->fd);
	a->seg->closed = true;
	a->seg->closed_at = now;
	a->seg->dirty = true;
	a->seg = NULL;
}

static void drop_files(struct spool *s)
{
	size_t pos = 0;
	uint64_t number;
	void *seg;

	while (idmap_next(&s->segments, &pos, &number, &seg))
		drop_file(s, seg);
}

struct body_file *segment_file(struct spool *s, struct segment *seg)
{
	char path[PATH_MAX];
	int fd;

	if (seg->file)
		return body_file_ref(seg->file);
	if (s->open_files >= OPEN_FILES_MAX)
		drop_files(s);
	segment_path(s->dir, seg->number, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	seg->file = body_file_new(fd, reader_gone, seg->hold);
	if (!seg->file) {
		close(fd);
		return NULL;
	}
	__atomic_add_fetch(&seg->hold->refs, 1, __ATOMIC_RELAXED);
	s->open_files++;
	return body_file_ref(seg->file);
}

static void bury(struct spool *s, struct segment *seg)
{
	struct shared *sh = s->shared;
	bool ok;

	pthread_mutex_lock(&sh->lock);
	ok = u64list_add(seg->poisoned ? &sh->unwanted : &sh->empty, seg->number);
	pthread_mutex_unlock(&sh->lock);
	if (!ok) /* found again at the next start */
		log_warn("segment %llu stays on disk until the next start: no memory",
			 (unsigned long long)seg->number);
	idmap_del(&s->segments, seg->number);
	segment_free(s, seg);
}

/* Ready to be recycled: the commit that emptied it is durable and nobody reads from it. */
static bool buriable(struct spool *s, struct segment *seg)
{
	if (!seg->dying || s->durable.commits < seg->emptied_in)
		return false;
	drop_file(s, seg);
	return __atomic_load_n(&seg->hold->refs, __ATOMIC_ACQUIRE) == 1;
}

bool segment_bury(struct spool *s)
{
	struct segment *dead = NULL;
	size_t pos = 0;
	uint64_t number;
	void *seg;

	while (s->ndying && !dead && idmap_next(&s->segments, &pos, &number, &seg))
		if (buriable(s, seg))
			dead = seg;
	if (dead) {
		s->ndying--;
		bury(s, dead);
	}
	return dead != NULL;
}

bool write_vectors(int fd, struct iovec *v, size_t n, uint64_t at)
{
	while (n) {
		int count = n < IOV_MAX ? (int)n : IOV_MAX;
		ssize_t done = pwritev(fd, v, count, (off_t)at);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0) {
			errno = done ? errno : ENOSPC;
			return false;
		}
		at += (uint64_t)done;
		for (; n && (size_t)done >= v->iov_len; v++, n--)
			done -= (ssize_t)v->iov_len;
		if (n && done) {
			v->iov_base = (char *)v->iov_base + done;
			v->iov_len -= (size_t)done;
		}
	}
	return true;
}
