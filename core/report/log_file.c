#include "core/report/log_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/log.h"

enum { LOG_MODE = 0640, TORN_MOST = 65536 };

/* Where the file's last whole line ends. A process that was killed while it wrote leaves the start
 * of a line behind; its event is repeated, since no position was saved after it. Without any line
 * end among the last bytes the file is left as it is. */
static off_t whole_lines(int fd, off_t size)
{
	char tail[TORN_MOST];
	off_t from = size > TORN_MOST ? size - TORN_MOST : 0;
	ssize_t n = pread(fd, tail, (size_t)(size - from), from);
	const char *end = n > 0 ? memrchr(tail, '\n', (size_t)n) : NULL;
	return end ? from + (end - tail) + 1 : from ? size : 0;
}

const struct err *log_file_open(struct log_file *f, struct errbuf *e)
{
	struct stat st;
	f->fd = open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, LOG_MODE);
	if (f->fd < 0 || fstat(f->fd, &st)) {
		errbuf_set(e, "%s %s: %s", f->what, f->path, strerror(errno));
		return &err_io;
	}
	off_t whole =
	    S_ISREG(st.st_mode) && st.st_size ? whole_lines(f->fd, st.st_size) : st.st_size;
	if (whole != st.st_size && ftruncate(f->fd, whole)) {
		errbuf_set(e, "%s %s: a torn last line can't be cut off: %s", f->what, f->path,
			   strerror(errno));
		return &err_io;
	}
	f->bytes = (uint64_t)whole;
	return NULL;
}

void log_file_close(struct log_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	buf_free(&f->out);
}

const struct err *log_file_flush(struct log_file *f, struct errbuf *e)
{
	if (buf_failed(&f->out))
		return &err_no_memory;
	if (!f->out.n)
		return NULL;
	const struct err *err = f->fd < 0 ? log_file_open(f, e) : NULL;
	if (err)
		return err; /* nor could it be when it was rotated */
	ssize_t n = write(f->fd, f->out.p, f->out.n);
	if (n != (ssize_t)f->out.n) {
		int why = n < 0 ? errno : ENOSPC;
		if (n > 0 && ftruncate(f->fd, (off_t)f->bytes))
			log_error("%s %s: a half-written batch can't be cut off: %s", f->what,
				  f->path, strerror(errno));
		errbuf_set(e, "%s %s: %s", f->what, f->path, strerror(why));
		return &err_io;
	}
	f->bytes += f->out.n;
	buf_clear(&f->out);
	return NULL;
}

const struct err *log_file_rotate(struct log_file *f, const char *to, struct errbuf *e)
{
	if (rename(f->path, to)) {
		errbuf_set(e, "%s %s: can't be rotated to %s: %s", f->what, f->path, to,
			   strerror(errno));
		return &err_io;
	}
	close(f->fd);
	return log_file_open(f, e);
}

us_t log_period(enum conf_rotate r, us_t at)
{
	time_t s = (time_t)(at / US_PER_S);
	struct tm tm;
	if (r != ROTATE_DAILY && r != ROTATE_HOURLY)
		return 0;
	localtime_r(&s, &tm);
	tm.tm_min = tm.tm_sec = 0;
	if (r == ROTATE_DAILY)
		tm.tm_hour = 0;
	tm.tm_isdst = -1;
	return (us_t)mktime(&tm) * US_PER_S;
}

us_t log_file_period(const struct log_file *f, enum conf_rotate r, us_t now)
{
	struct stat st;
	if (fstat(f->fd, &st) || st.st_size == 0)
		return log_period(r, now);
	return log_period(r, (us_t)st.st_mtim.tv_sec * US_PER_S);
}

void log_clean(const char *path, us_t before, bool (*ours)(const char *name, const char *base))
{
	char dir[LOG_PATH_SIZE], file[LOG_PATH_SIZE];
	snprintf(dir, sizeof dir, "%s", path);
	snprintf(file, sizeof file, "%s", path);
	DIR *dp = opendir(dirname(dir));
	const char *base = basename(file);
	if (!dp)
		return;
	for (struct dirent *de; (de = readdir(dp));) {
		struct stat st;
		if (!ours(de->d_name, base) ||
		    fstatat(dirfd(dp), de->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (S_ISREG(st.st_mode) && (us_t)st.st_mtim.tv_sec * US_PER_S < before)
			unlinkat(dirfd(dp), de->d_name, 0);
	}
	closedir(dp);
}
