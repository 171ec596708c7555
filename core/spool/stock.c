#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

enum {
	PREPARED_WANTED = 2, /* one for the log, one for compaction */
	EMPTY_KEPT = 2,	     /* dead segments kept beyond these, for the next peak */
	ZERO_BYTES = 1 << 20,
	SYNC_EVERY = 4 << 20, /* so that the writer's syncs are not stuck behind 64 MB of zeros */
	FILE_MODE = 0600,
};

static const us_t RETRY_AFTER = 5 * US_PER_S;

bool u64list_add(struct u64list *l, uint64_t v)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		uint64_t *p = realloc(l->v, cap * sizeof *p);

		if (!p)
			return false;
		l->v = p;
		l->cap = cap;
	}
	l->v[l->n++] = v;
	return true;
}

bool u64list_has(const struct u64list *l, uint64_t v)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->v[i] == v)
			return true;
	return false;
}

uint64_t u64list_shift(struct u64list *l)
{
	uint64_t v;

	if (!l->n)
		return 0;
	v = l->v[0];
	memmove(l->v, l->v + 1, --l->n * sizeof *l->v);
	return v;
}

void u64list_free(struct u64list *l)
{
	free(l->v);
	*l = (struct u64list){ .v = NULL };
}

struct shared *shared_ref(struct shared *sh)
{
	__atomic_add_fetch(&sh->refs, 1, __ATOMIC_RELAXED);
	return sh;
}

void shared_unref(struct shared *sh)
{
	if (!sh || __atomic_sub_fetch(&sh->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	u64list_free(&sh->prepared);
	u64list_free(&sh->empty);
	u64list_free(&sh->unwanted);
	u64list_free(&sh->trash);
	pthread_mutex_destroy(&sh->lock);
	free(sh->dir);
	free(sh);
}

void segment_path(const char *dir, uint64_t number, char out[PATH_MAX])
{
	snprintf(out, PATH_MAX, "%s/seg/%012llu", dir, (unsigned long long)number);
}

const struct err *sync_dir(const char *path, struct errbuf *e)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = fd < 0 ? -1 : fsync(fd);
	int why = errno;

	if (fd >= 0)
		close(fd);
	if (!rc)
		return NULL;
	errbuf_set(e, "cannot sync the folder %s: %s", path, strerror(why));
	return &err_io;
}

static const struct err *sync_segments(struct shared *sh, struct errbuf *e)
{
	char dir[PATH_MAX];

	snprintf(dir, sizeof dir, "%s/seg", sh->dir);
	return sync_dir(dir, e);
}

static const struct err *fill(int fd, uint64_t bytes, const char *path, struct errbuf *e)
{
	static const char zeros[ZERO_BYTES];

	for (uint64_t at = 0; at < bytes;) {
		size_t n = bytes - at < ZERO_BYTES ? (size_t)(bytes - at) : ZERO_BYTES;
		ssize_t done = pwrite(fd, zeros, n, (off_t)at);

		if (done < 0) {
			errbuf_set(e, "cannot write %s: %s", path, strerror(errno));
			return &err_io;
		}
		at += (uint64_t)done;
		if ((at % SYNC_EVERY == 0 || at == bytes) && fsync(fd)) {
			errbuf_set(e, "cannot sync %s: %s", path, strerror(errno));
			return &err_io;
		}
	}
	return NULL;
}

/* A new file of zeros under a name that nobody looks for; it gets its number by rename. */
static const struct err *create(struct shared *sh, uint64_t bytes, const char *path,
				struct errbuf *e)
{
	char tmp[PATH_MAX];
	const struct err *err;
	int fd;

	/* one name a thread's kind: the spool thread may need a segment while a worker fills one */
	snprintf(tmp, sizeof tmp, "%s/seg/%s", sh->dir, bytes ? "filling.tmp" : "bare.tmp");
	fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
	if (fd < 0) {
		errbuf_set(e, "cannot create %s: %s", tmp, strerror(errno));
		return &err_io;
	}
	err = fill(fd, bytes, tmp, e);
	close(fd);
	if (!err && rename(tmp, path)) {
		errbuf_set(e, "cannot rename %s: %s", tmp, strerror(errno));
		err = &err_io;
	}
	if (err)
		unlink(tmp);
	return err;
}

/* A dead segment under its new number; what is in it has the old one in its CRCs. One of another
 * size is no use. */
static bool recycle(struct shared *sh, uint64_t from, const char *path)
{
	char old[PATH_MAX];
	struct stat st;

	segment_path(sh->dir, from, old);
	if (!stat(old, &st) && (uint64_t)st.st_size == sh->segment_bytes && !rename(old, path))
		return true;
	unlink(old);
	return false;
}

static uint64_t next_number(struct shared *sh, struct errbuf *e)
{
	if (sh->next_segment < sh->segment_ceiling)
		return sh->next_segment++;
	errbuf_set(e, "no segment number is reserved: the index has not been written for too long");
	return 0;
}

/* Makes one ready segment. `zeros`: fill a new one; else leave that to the kernel (slower
 * syncs). */
static uint64_t make(struct shared *sh, bool zeros, struct errbuf *e)
{
	char path[PATH_MAX];
	uint64_t number, old;

	pthread_mutex_lock(&sh->lock);
	number = next_number(sh, e);
	old = number ? u64list_shift(&sh->empty) : 0;
	pthread_mutex_unlock(&sh->lock);
	if (!number)
		return 0;
	segment_path(sh->dir, number, path);
	if ((!old || !recycle(sh, old, path)) && create(sh, zeros ? sh->segment_bytes : 0, path, e))
		return 0;
	return sync_segments(sh, e) ? 0 : number;
}

uint64_t stock_take(struct shared *sh, uint64_t above, struct errbuf *e)
{
	uint64_t number;

	pthread_mutex_lock(&sh->lock);
	/* The log's numbers rise. One prepared late, under a number that has been passed, gets a
	 * new one. */
	while ((number = u64list_shift(&sh->prepared)) && number <= above)
		if (!u64list_add(&sh->empty, number))
			break;
	pthread_mutex_unlock(&sh->lock);
	return number > above ? number : make(sh, false, e);
}

/* After a failure (a full disk) a while is left before the next try; what gives space back goes on.
 */
static bool may_prepare(const struct shared *sh)
{
	return sh->prepared.n < PREPARED_WANTED && clock_now_us() >= sh->prepare_at;
}

static bool has_work(const struct shared *sh)
{
	return !sh->preparing &&
	       (may_prepare(sh) || sh->empty.n > EMPTY_KEPT || sh->unwanted.n || sh->trash.n);
}

bool stock_wanted(struct shared *sh)
{
	bool wanted;

	pthread_mutex_lock(&sh->lock);
	wanted = has_work(sh);
	pthread_mutex_unlock(&sh->lock);
	return wanted;
}

bool stock_spare(struct shared *sh)
{
	bool spare;

	pthread_mutex_lock(&sh->lock);
	spare = sh->prepared.n > 1;
	pthread_mutex_unlock(&sh->lock);
	return spare;
}

static void remove_file(const char *path)
{
	if (unlink(path) && errno != ENOENT)
		log_error("cannot remove %s: %s", path, strerror(errno));
}

static const struct err *add_prepared(struct shared *sh, struct errbuf *e)
{
	uint64_t number = make(sh, true, e);
	bool ok;

	pthread_mutex_lock(&sh->lock);
	ok = number && u64list_add(&sh->prepared, number);
	sh->prepare_at = ok ? 0 : clock_now_us() + RETRY_AFTER;
	pthread_mutex_unlock(&sh->lock);
	if (number && !ok)
		errbuf_set(e, "no memory to note segment %llu", (unsigned long long)number);
	return ok ? NULL : &err_io;
}

/* One to be removed; 0: none. */
static uint64_t dead_segment(struct shared *sh)
{
	if (sh->unwanted.n)
		return u64list_shift(&sh->unwanted);
	return sh->empty.n > EMPTY_KEPT ? u64list_shift(&sh->empty) : 0;
}

static const struct err *work(struct shared *sh, struct errbuf *e)
{
	char path[PATH_MAX] = "";
	uint64_t large, segment = 0;
	bool prepare;

	pthread_mutex_lock(&sh->lock);
	prepare = may_prepare(sh);
	large = prepare ? 0 : u64list_shift(&sh->trash);
	if (!prepare && !large)
		segment = dead_segment(sh);
	pthread_mutex_unlock(&sh->lock);
	if (prepare)
		return add_prepared(sh, e);
	if (large)
		large_path(sh->dir, large, path);
	else if (segment)
		segment_path(sh->dir, segment, path);
	if (path[0])
		remove_file(path);
	return NULL;
}

const struct err *stock_work(struct shared *sh, struct errbuf *e)
{
	const struct err *err = NULL;
	bool mine;

	pthread_mutex_lock(&sh->lock);
	mine = has_work(sh);
	if (mine)
		sh->preparing = true;
	pthread_mutex_unlock(&sh->lock);
	if (!mine)
		return NULL;
	err = work(sh, e);
	pthread_mutex_lock(&sh->lock);
	sh->preparing = false;
	pthread_mutex_unlock(&sh->lock);
	return err;
}
