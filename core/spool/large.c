#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/crc32c.h"
#include "core/base/log.h"
#include "core/spool/engine.h"

enum { FILE_MODE = 0600, SWEEP_FILES = 100 };

/* What a body's descriptor knows about its file. */
enum fate {
	FATE_NEW,  /* no record yet: goes with its last reference */
	FATE_KEPT, /* a record promises it */
};
struct large_file {
	struct shared *sh;
	uint64_t id;
	uint32_t crc;
	uint32_t fate; /* atomic */
};
struct spool_large {
	struct shared *sh;
	uint64_t id, bytes;
	uint32_t crc;
	int fd;
};

void large_path(const char *dir, uint64_t id, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/large/%016llx", dir, (unsigned long long)id);
}

/* Whoever drops the last reference may be a loop: the unlink is left to a worker. */
static void throw_away(struct shared *sh, uint64_t id)
{
	bool ok;

	pthread_mutex_lock(&sh->lock);
	ok = u64list_add(&sh->trash, id);
	pthread_mutex_unlock(&sh->lock);
	if (!ok)
		log_warn("large body %llx stays on disk until the next start: no memory",
			 (unsigned long long)id);
}

static void last_reference(struct body_file *f, void *arg)
{
	struct large_file *l = arg;

	(void)f;
	if (__atomic_load_n(&l->fate, __ATOMIC_ACQUIRE) == FATE_NEW)
		throw_away(l->sh, l->id);
	shared_unref(l->sh);
	free(l);
}

struct spool_large *spool_large_create(struct spool *s, uint64_t message_id, struct errbuf *e)
{
	struct spool_large *l = malloc(sizeof *l);
	char path[PATH_MAX];

	if (!l) {
		errbuf_set(e, "no memory for a large body");
		return NULL;
	}
	large_path(s->shared->dir, message_id, path);
	*l = (struct spool_large){ .id = message_id, .crc = 0 };
	l->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
	if (l->fd < 0) {
		errbuf_set(e, "cannot create %s: %s", path, strerror(errno));
		free(l);
		return NULL;
	}
	l->sh = shared_ref(s->shared);
	return l;
}

const struct err *spool_large_write(struct spool_large *l, struct str chunk, struct errbuf *e)
{
	while (chunk.n) {
		ssize_t n = pwrite(l->fd, chunk.p, chunk.n, (off_t)l->bytes);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errbuf_set(e, "cannot write a large body: %s",
				   n ? strerror(errno) : "no space");
			return &err_io;
		}
		l->crc = crc32c(l->crc, chunk.p, (size_t)n);
		l->bytes += (uint64_t)n;
		chunk = str_mem(chunk.p + n, chunk.n - (size_t)n);
	}
	return NULL;
}

static const struct err *sync_large(struct spool_large *l, struct errbuf *e)
{
	char dir[PATH_MAX];

	if (fsync(l->fd)) {
		errbuf_set(e, "cannot sync a large body: %s", strerror(errno));
		return &err_io;
	}
	snprintf(dir, sizeof dir, "%s/large", l->sh->dir);
	return sync_dir(dir, e);
}

static struct body *wrap(struct shared *sh, uint64_t id, uint32_t crc, enum fate fate, int fd,
			 const struct spool_where *w)
{
	struct large_file *l = malloc(sizeof *l);
	struct body_file *f = l ? body_file_new(fd, last_reference, l) : NULL;
	struct body *b = f ? body_new_file(f, 0, w->body_bytes, w->dot_line, w->eightbit) : NULL;

	if (!b) {
		free(f);
		free(l);
		return NULL;
	}
	*l = (struct large_file){ .sh = shared_ref(sh), .id = id, .crc = crc, .fate = fate };
	return b;
}

const struct err *spool_large_finish(struct spool_large *l, bool dot_line, bool eightbit,
				     struct body **out, struct errbuf *e)
{
	struct spool_where w = { .body_bytes = l->bytes,
				 .dot_line = dot_line,
				 .eightbit = eightbit };
	const struct err *err = sync_large(l, e);

	*out = err ? NULL : wrap(l->sh, l->id, l->crc, FATE_NEW, l->fd, &w);
	if (!*out) {
		spool_large_abort(l);
		return err ? err : &err_no_memory;
	}
	shared_unref(l->sh);
	free(l);
	return NULL;
}

void spool_large_abort(struct spool_large *l)
{
	char path[PATH_MAX];

	large_path(l->sh->dir, l->id, path);
	close(l->fd);
	if (unlink(path))
		log_warn("cannot remove %s: %s", path, strerror(errno));
	shared_unref(l->sh);
	free(l);
}

bool large_of(const struct body *b, uint64_t id, uint32_t *crc)
{
	const struct large_file *l =
	    b->file && b->file->last == last_reference ? b->file->arg : NULL;

	if (!l || l->id != id)
		return false;
	*crc = l->crc;
	return true;
}

void large_keep(const struct body *b)
{
	struct large_file *l = b->file->arg;

	__atomic_store_n(&l->fate, FATE_KEPT, __ATOMIC_RELEASE);
}

bool large_doom(struct spool *s, uint64_t id, uint64_t commit)
{
	if (s->ndead == s->capdead) {
		size_t cap = s->capdead ? s->capdead * 2 : 16;
		struct dead_large *p = realloc(s->dead, cap * sizeof *p);

		if (!p)
			return false; /* found again at the next start */
		s->dead = p;
		s->capdead = cap;
	}
	s->dead[s->ndead++] = (struct dead_large){ id, commit };
	return true;
}

/* A reader's descriptor keeps the bytes after the unlink, so readers need not be waited for. */
void large_bury(struct spool *s)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->ndead; i++) {
		if (s->dead[i].commit > s->durable.commits)
			s->dead[kept++] = s->dead[i];
		else
			throw_away(s->shared, s->dead[i].id);
	}
	s->ndead = kept;
}

struct body *large_body(struct spool *s, uint64_t id, const struct spool_where *w)
{
	char path[PATH_MAX];
	struct body *b;
	int fd;

	large_path(s->dir, id, path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	b = wrap(s->shared, id, 0, FATE_KEPT, fd, w);
	if (!b)
		close(fd);
	return b;
}

bool large_intact(struct spool *s, uint64_t id, uint64_t bytes, uint32_t crc)
{
	enum { STEP = 64 * 1024 };
	char path[PATH_MAX], *step = malloc(STEP);
	uint32_t sum = 0;
	uint64_t at = 0;
	ssize_t n = 0;
	int fd;

	large_path(s->dir, id, path);
	fd = step ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && (n = pread(fd, step, STEP, (off_t)at)) > 0) {
		sum = crc32c(sum, step, (size_t)n);
		at += (uint64_t)n;
	}
	if (fd >= 0)
		close(fd);
	free(step);
	return fd >= 0 && !n && at == bytes && sum == crc;
}

/* True if no message that was there when we started has this file. Ids given since are not looked
 * at. */
static bool orphan(struct spool *s, const char *name, uint64_t *id)
{
	struct msg_row row;
	MDB_txn *txn;
	char *end;
	int rc;

	*id = strtoull(name, &end, 16);
	if (end == name || *end || *id >= s->load.below)
		return false;
	txn = env_lookup_begin(&s->index);
	if (!txn)
		return false;
	rc = index_get_message(&s->index, txn, *id, &row);
	env_lookup_end(&s->index);
	return rc == MDB_NOTFOUND;
}

bool large_sweep_step(struct spool *s)
{
	struct dirent *d;
	uint64_t id;

	for (int i = 0; s->sweep && i < SWEEP_FILES; i++) {
		d = readdir(s->sweep);
		if (!d) {
			closedir(s->sweep);
			s->sweep = NULL;
		} else if (orphan(s, d->d_name, &id)) {
			throw_away(s->shared, id);
		}
	}
	return s->sweep != NULL;
}
