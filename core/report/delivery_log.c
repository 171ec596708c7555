#include "core/report/delivery_log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/jsonw.h"
#include "core/base/log.h"

enum { LOG_MODE = 0640, STAMP_SIZE = 32, NAME_SIZE = 4096, TORN_MOST = 65536 };

static const char *const type_letters =
    "?RXDTBEM"; /* by enum event_type: received, rejected (X), delivered, deferred (T), … */

static void line_time(us_t at, struct buf *out)
{
	time_t s = (time_t)(at / US_PER_S);
	struct tm tm;
	char text[40];
	localtime_r(&s, &tm);
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	buf_addf(out, "%s.%03d", text, (int)(at / US_PER_MS % 1000));
	strftime(text, sizeof text, "%z", &tm);
	buf_addz(out, text);
}

static void line_word(struct buf *out, struct str s)
{
	buf_addc(out, ' ');
	if (s.n)
		clean_add(out, s, false);
	else
		buf_addc(out, '-');
}

void event_line(const struct event *e, struct buf *out)
{
	line_time(e->at, out);
	buf_addf(out, " %c %llx", type_letters[e->type < EVENT_TYPES ? e->type : 0],
		 (unsigned long long)e->message);
	line_word(out, e->type == EVENT_RECEIVED || e->type == EVENT_REJECTED ? e->user
									      : e->virtual_mta);
	if (e->type == EVENT_RECEIVED) {
		line_word(out, e->sender);
		buf_addf(out, " %u recipients, first", e->count);
	}
	line_word(out, e->recipient);
	if (e->type != EVENT_RECEIVED && e->type != EVENT_REJECTED)
		line_word(out, e->mx);
	if (e->type != EVENT_RECEIVED)
		line_word(out, e->reply);
	else
		buf_addf(out, " %llu bytes", (unsigned long long)e->size);
	if (e->seconds)
		buf_addf(out, " %.2fs", (double)e->seconds / 1e6);
	if (e->category.n) {
		buf_addz(out, e->hard ? " [hard " : " [");
		clean_add(out, e->category, false);
		buf_addc(out, ']');
	}
	if (e->maybe_twice)
		buf_addz(out, " (may have been sent)");
	buf_addc(out, '\n');
}

void event_json(const struct event *e, struct buf *out)
{
	const struct {
		const char *name;
		struct str v;
	} texts[] = { { "sender", e->sender },
		      { "recipient", e->recipient },
		      { "queue", e->queue },
		      { "virtual_mta", e->virtual_mta },
		      { "source_ip", e->source_ip },
		      { "mx", e->mx },
		      { "mx_ip", e->mx_ip },
		      { "reply", e->reply },
		      { "enhanced", e->enhanced },
		      { "category", e->category },
		      { "tls", e->tls },
		      { "job", e->job },
		      { "user", e->user } };
	struct jsonw w;
	char id[24];
	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	jsonw_int(&w, "id", (int64_t)e->id);
	jsonw_time(&w, "at", e->at);
	jsonw_z(&w, "type", event_type_name(e->type));
	if (e->message) {
		snprintf(id, sizeof id, "%llx", (unsigned long long)e->message);
		jsonw_z(&w, "message", id);
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (texts[i].v.n)
			jsonw_str(&w, texts[i].name, texts[i].v);
	if (e->type == EVENT_BOUNCED && e->category.n)
		jsonw_bool(&w, "hard", e->hard);
	if (e->type == EVENT_RECEIVED)
		jsonw_int(&w, "recipients", e->count);
	if (e->seconds)
		jsonw_seconds(&w, "seconds", e->seconds);
	if (e->size)
		jsonw_int(&w, "size", (int64_t)e->size);
	if (e->attempt)
		jsonw_int(&w, "attempt", e->attempt);
	if (e->queued_at)
		jsonw_time(&w, "queued_at", e->queued_at);
	if (e->next_attempt)
		jsonw_time(&w, "next_attempt", e->next_attempt);
	if (e->maybe_twice)
		jsonw_bool(&w, "maybe_twice", true);
	jsonw_end_object(&w);
}

/* ---- the files ---- */

struct log_file {
	char path[NAME_SIZE];
	int fd;
	uint64_t bytes; /* written; a failed write is cut back to it */
	struct buf out; /* not written yet */
	void (*format)(const struct event *e, struct buf *out);
};

struct delivery_log {
	struct log_file human, json;
	enum conf_rotate rotate;
	uint64_t rotate_bytes;
	us_t keep;
	us_t period_start; /* local day or hour that the files belong to */
	us_t cleaned_at;
};

static void json_line(const struct event *e, struct buf *out)
{
	event_json(e, out);
	buf_addc(out, '\n');
}

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

static const struct err *file_open(struct log_file *f, struct errbuf *e)
{
	struct stat st;
	f->fd = open(f->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, LOG_MODE);
	if (f->fd < 0 || fstat(f->fd, &st)) {
		errbuf_set(e, "log-file %s: %s", f->path, strerror(errno));
		return &err_io;
	}
	off_t whole =
	    S_ISREG(st.st_mode) && st.st_size ? whole_lines(f->fd, st.st_size) : st.st_size;
	if (whole != st.st_size && ftruncate(f->fd, whole)) {
		errbuf_set(e, "log-file %s: a torn last line can't be cut off: %s", f->path,
			   strerror(errno));
		return &err_io;
	}
	f->bytes = (uint64_t)whole;
	return NULL;
}

/* The start of the day or hour that `at` lies in, local time. */
static us_t period_of(enum conf_rotate r, us_t at)
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

/* What is in the file already belongs to the period it was last written in. */
static us_t file_period(const struct delivery_log *d)
{
	struct stat st;
	if (fstat(d->human.fd, &st) || st.st_size == 0)
		return period_of(d->rotate, clock_now_us());
	return period_of(d->rotate, (us_t)st.st_mtim.tv_sec * US_PER_S);
}

const struct err *delivery_log_open(const struct conf *c, struct delivery_log **out,
				    struct errbuf *e)
{
	struct delivery_log *d = calloc(1, sizeof *d);
	if (!d)
		return &err_no_memory;
	d->human.fd = d->json.fd = -1;
	d->human.format = event_line;
	d->json.format = json_line;
	snprintf(d->human.path, sizeof d->human.path, "%s", c->mta.log_file);
	snprintf(d->json.path, sizeof d->json.path, "%.4000s.json", c->mta.log_file);
	d->rotate = c->mta.log_rotate;
	d->rotate_bytes = (uint64_t)c->mta.log_rotate_size;
	d->keep = c->mta.log_keep;
	const struct err *err = file_open(&d->human, e);
	if (!err)
		err = file_open(&d->json, e);
	if (err) {
		delivery_log_close(d);
		return err;
	}
	d->period_start = file_period(d);
	*out = d;
	return NULL;
}

static void file_close(struct log_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	buf_free(&f->out);
}

void delivery_log_close(struct delivery_log *d)
{
	file_close(&d->human);
	file_close(&d->json);
	free(d);
}

void delivery_log_event(struct delivery_log *d, const struct event *e)
{
	d->human.format(e, &d->human.out);
	d->json.format(e, &d->json.out);
}

/* All or nothing: a write that came up short is cut off again, so that a line is never torn or
 * doubled. */
static const struct err *file_flush(struct log_file *f, struct errbuf *e)
{
	if (buf_failed(&f->out))
		return &err_no_memory;
	if (!f->out.n)
		return NULL;
	ssize_t n = write(f->fd, f->out.p, f->out.n);
	if (n != (ssize_t)f->out.n) {
		int why = n < 0 ? errno : ENOSPC;
		if (n > 0 && ftruncate(f->fd, (off_t)f->bytes))
			log_error("log-file %s: a half-written batch can't be cut off: %s", f->path,
				  strerror(errno));
		errbuf_set(e, "log-file %s: %s", f->path, strerror(why));
		return &err_io;
	}
	f->bytes += f->out.n;
	buf_clear(&f->out);
	return NULL;
}

const struct err *delivery_log_flush(struct delivery_log *d, struct errbuf *e)
{
	const struct err *a = file_flush(&d->human, e);
	const struct err *b = file_flush(&d->json, e);
	return a ? a : b;
}

/* ---- rotation: FILE becomes FILE-20261123T190348 (and -1, -2 … if that is taken) ---- */

static const struct err *file_rotate(struct log_file *f, const char *stamp, struct errbuf *e)
{
	char to[NAME_SIZE + 64];
	if (!f->bytes)
		return NULL;
	for (int i = 0;; i++) {
		if (i)
			snprintf(to, sizeof to, "%s-%s-%d", f->path, stamp, i);
		else
			snprintf(to, sizeof to, "%s-%s", f->path, stamp);
		if (access(to, F_OK))
			break;
	}
	if (rename(f->path, to)) {
		errbuf_set(e, "log-file %s: can't be rotated to %s: %s", f->path, to,
			   strerror(errno));
		return &err_io;
	}
	close(f->fd);
	return file_open(f, e);
}

/* "FILE-2026…" or "FILE.json-2026…": ours? */
static bool rotated_name(const char *name, const char *base)
{
	size_t n = strlen(base);
	if (strncmp(name, base, n) != 0)
		return false;
	name += n;
	if (strncmp(name, ".json", 5) == 0)
		name += 5;
	return name[0] == '-' && name[1] == '2' && name[2] == '0';
}

static void clean_old(struct delivery_log *d, us_t now)
{
	char dir[NAME_SIZE], base[NAME_SIZE];
	snprintf(dir, sizeof dir, "%s", d->human.path);
	snprintf(base, sizeof base, "%s", d->human.path);
	DIR *dp = opendir(dirname(dir));
	const char *name = basename(base);
	if (!dp)
		return;
	for (struct dirent *de; (de = readdir(dp));) {
		struct stat st;
		if (!rotated_name(de->d_name, name) ||
		    fstatat(dirfd(dp), de->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (S_ISREG(st.st_mode) && now - (us_t)st.st_mtim.tv_sec * US_PER_S > d->keep)
			unlinkat(dirfd(dp), de->d_name, 0);
	}
	closedir(dp);
}

static bool rotation_due(const struct delivery_log *d, us_t now)
{
	if (d->rotate == ROTATE_SIZE)
		return d->human.bytes >= d->rotate_bytes || d->json.bytes >= d->rotate_bytes;
	return period_of(d->rotate, now) > d->period_start;
}

const struct err *delivery_log_rotate(struct delivery_log *d, us_t now, bool now_please,
				      struct errbuf *e)
{
	char stamp[STAMP_SIZE];
	time_t s = (time_t)(now / US_PER_S);
	struct tm tm;
	const struct err *err = NULL;
	if (d->keep != US_NEVER && now - d->cleaned_at > US_PER_HOUR) {
		d->cleaned_at = now;
		clean_old(d, now);
	}
	if (!now_please && !rotation_due(d, now))
		return NULL;
	localtime_r(&s, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm);
	err = file_rotate(&d->human, stamp, e);
	if (!err)
		err = file_rotate(&d->json, stamp, e);
	d->period_start = period_of(d->rotate, now);
	return err;
}
