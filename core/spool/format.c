/* Lock, folders and format version of spool and state: who may open them at all. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/spool/engine.h"

enum { DIR_MODE = 0700, FILE_MODE = 0600, FORMAT_BYTES_MAX = 64 };
#define FORMAT_WORD "stoker-spool"
/* Raised with every change that an older Stoker would misread; this one reads all before it. */
enum { SPOOL_FORMAT = 1 };

static const struct err *make_dir(const char *dir, const char *name, struct errbuf *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s%s%s", dir, *name ? "/" : "", name);
	if (!mkdir(path, DIR_MODE) || errno == EEXIST)
		return NULL;
	errbuf_set(e, "cannot create the folder %s: %s", path, strerror(errno));
	return &err_io;
}

static const struct err *take_lock(const char *dir, const char *name, int *fd, struct errbuf *e)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s", dir, name);
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
	if (*fd < 0) {
		errbuf_set(e, "cannot open %s: %s", path, strerror(errno));
		return &err_io;
	}
	if (!flock(*fd, LOCK_EX | LOCK_NB))
		return NULL;
	errbuf_set(e, "%s is in use by another running Stoker", dir);
	close(*fd);
	*fd = -1;
	return &err_spool_locked;
}

/* 0: there is no such file; -1: not readable as a format. */
static int read_format(const char *path)
{
	char text[FORMAT_BYTES_MAX];
	FILE *f = fopen(path, "re");
	int version = -1;

	if (!f)
		return errno == ENOENT ? 0 : -1;
	if (!fgets(text, sizeof text, f) || sscanf(text, FORMAT_WORD " %d", &version) != 1)
		version = -1;
	fclose(f);
	return version > 0 ? version : -1;
}

static const struct err *check_format(const char *dir, const char *name, bool *there,
				      struct errbuf *e)
{
	char path[PATH_MAX];
	int version;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	version = read_format(path);
	*there = version != 0;
	if (version < 0) {
		errbuf_set(e, "%s does not say which format this is; restore it", path);
		return &err_spool_damaged;
	}
	if (version <= SPOOL_FORMAT)
		return NULL;
	errbuf_set(e, "%s was written by a newer Stoker (format %d, this one knows %d)", dir,
		   version, SPOOL_FORMAT);
	return &err_spool_newer;
}

static const struct err *write_format(const char *dir, const char *name, struct errbuf *e)
{
	char path[PATH_MAX], tmp[PATH_MAX + 8], text[FORMAT_BYTES_MAX];
	int n = snprintf(text, sizeof text, FORMAT_WORD " %d\n", SPOOL_FORMAT);
	int fd;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	snprintf(tmp, sizeof tmp, "%s.tmp", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, FILE_MODE);
	if (fd < 0 || write(fd, text, (size_t)n) != n || fsync(fd) || rename(tmp, path)) {
		errbuf_set(e, "cannot write %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return &err_io;
	}
	close(fd);
	return sync_dir(dir, e);
}

/* True if the folder holds any file that is ours. */
static bool has_files(const char *dir, const char *name)
{
	char path[PATH_MAX];
	struct dirent *d;
	bool any = false;
	DIR *handle;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	handle = opendir(path);
	while (handle && !any && (d = readdir(handle)))
		any = d->d_name[0] != '.';
	if (handle)
		closedir(handle);
	return any;
}

/* A creation that died before its last step, the format file, has promised nothing: it is begun
 * anew. */
static void forget_unfinished(const char *dir, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/%s/data.mdb", dir, name);
	unlink(path);
	snprintf(path, sizeof path, "%s/%s/lock.mdb", dir, name);
	unlink(path);
}

/* The operator's word that the state is lost for good; it counts once. */
static bool may_start_empty(const char *dir)
{
	char path[PATH_MAX];

	snprintf(path, sizeof path, "%s/start-empty", dir);
	return !unlink(path);
}

static const struct err *check_dirs(struct spool *s, bool *create, bool *create_state,
				    struct errbuf *e)
{
	bool there, state_there;
	const struct err *err = check_format(s->dir, "format", &there, e);

	if (!err)
		err = check_format(s->state_dir, "state.format", &state_there, e);
	if (err)
		return err;
	if (!there && (has_files(s->dir, "seg") || has_files(s->dir, "large"))) {
		errbuf_set(e, "%s holds mail, but its file \"format\" is missing; restore it",
			   s->dir);
		return &err_spool_damaged;
	}
	if (there && !state_there && !may_start_empty(s->state_dir)) {
		errbuf_set(
		    e,
		    "the state of the spool %s (overrides, suppression) is not in %s; move it "
		    "there, or create the file %s/start-empty to begin without it",
		    s->dir, s->state_dir, s->state_dir);
		return &err_spool_damaged;
	}
	*create = !there;
	*create_state = !state_there;
	return NULL;
}

const struct err *format_open(struct spool *s, bool *create, bool *create_state, struct errbuf *e)
{
	static const char *const folders[] = { "", "seg", "large", "index" };
	const struct err *err = NULL;

	for (size_t i = 0; i < sizeof folders / sizeof folders[0] && !err; i++)
		err = make_dir(s->dir, folders[i], e);
	if (!err)
		err = make_dir(s->state_dir, "", e);
	if (!err)
		err = make_dir(s->state_dir, "db", e);
	if (!err)
		err = take_lock(s->dir, "lock", &s->lock_fd, e);
	if (!err)
		err = take_lock(s->state_dir, "state.lock", &s->state_lock_fd, e);
	if (!err)
		err = check_dirs(s, create, create_state, e);
	if (err)
		return err;
	if (*create)
		forget_unfinished(s->dir, "index");
	if (*create_state)
		forget_unfinished(s->state_dir, "db");
	return NULL;
}

const struct err *format_created(struct spool *s, bool create, bool create_state, struct errbuf *e)
{
	char path[PATH_MAX];
	const struct err *err = NULL;

	if (create_state) {
		snprintf(path, sizeof path, "%s/db", s->state_dir);
		err = sync_dir(path, e);
		if (!err)
			err = write_format(s->state_dir, "state.format", e);
	}
	if (err || !create)
		return err;
	snprintf(path, sizeof path, "%s/index", s->dir);
	err = sync_dir(path, e);
	return err ? err : write_format(s->dir, "format", e);
}

void format_close(struct spool *s)
{
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->state_lock_fd >= 0)
		close(s->state_lock_fd);
}
