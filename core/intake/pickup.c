#include "core/intake/pickup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/intake/pickup_inner.h"

enum {
	JOBS_MAX = 20,
	READY_MAX = 1000, /* of one scan; the next one follows when they are done */
	BYTES_MAX = 64 * 1024 * 1024,
	UNCLOSED_FACTOR = 5, /* times `settle`, for a file that was not seen to be closed */
	PATH_SIZE = 4096,
	DIR_MODE = 0700,
	ASIDE_TRIES = 1000,
};
static const us_t HOLD_FIRST = US_PER_S, HOLD_MOST = US_PER_MIN;

void dir_alarm(struct dir *d, const char *fmt, ...)
{
	char text[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (!d->alarm)
		log_error("pickup %s: %s", d->path, text);
	d->alarm = true;
	d->pickup->env.alarm(d->pickup->env.arg, d->path, true, text);
}

static void alarm_over(struct dir *d)
{
	if (d->alarm)
		d->pickup->env.alarm(d->pickup->env.arg, d->path, false, "");
	d->alarm = false;
}

/* ---- entries ---- */

static struct entry *entry_get(struct dir *d, const char *name)
{
	return strmap_get(&d->names, str_of(name));
}

static struct entry *entry_add(struct dir *d, const char *name, enum entry_state state)
{
	size_t n = strlen(name);
	struct entry *e = calloc(1, sizeof *e + n + 1);

	if (!e)
		return NULL;
	memcpy(e->name, name, n);
	e->n = n;
	e->state = state;
	if (strmap_put(&d->names, str_mem(e->name, n), e))
		return e;
	free(e);
	return NULL;
}

static void entry_drop(struct dir *d, struct entry *e)
{
	strmap_del(&d->names, str_mem(e->name, e->n));
	free(e);
}

static void entry_ready(struct dir *d, struct entry *e)
{
	e->state = ENTRY_READY;
	e->next = NULL;
	*d->ready_end = e;
	d->ready_end = &e->next;
	d->nready++;
}

/* Names that are not ours: hidden ones, and files that somebody writes under another name first. */
static bool foreign(const char *name)
{
	size_t n = strlen(name);

	return name[0] == '.' || (n >= 4 && strcmp(name + n - 4, ".tmp") == 0);
}

static us_t changed_at(const struct stat *st)
{
	/* Not mtime, which the writer may set; a rename counts as a change. */
	return (us_t)st->st_ctim.tv_sec * US_PER_S + st->st_ctim.tv_nsec / 1000;
}

static bool look(const struct dir *d, const char *name, struct stat *st)
{
	char path[PATH_SIZE];

	return snprintf(path, sizeof path, "%s/%s", d->path, name) < (int)sizeof path &&
	       lstat(path, st) == 0;
}

/* ---- where files go ---- */

/* Renames to a free name in `to`, which is made if need be; the new name in `out`. */
static bool move_file(const struct dir *d, const char *name, const char *to, char out[PATH_SIZE])
{
	char from[PATH_SIZE];

	snprintf(from, sizeof from, "%s/%s", d->path, name);
	if (mkdir(to, DIR_MODE) && errno != EEXIST)
		return false;
	for (int i = 0; i < ASIDE_TRIES; i++) {
		char tail[16] = "";
		if (i)
			snprintf(tail, sizeof tail, ".%d", i);
		if (snprintf(out, PATH_SIZE - 8, "%s/%s%s", to, name, tail) >= PATH_SIZE - 8)
			return false;
		if (access(out, F_OK) == 0)
			continue;
		return rename(from, out) == 0;
	}
	return false;
}

static void stuck(struct dir *d, struct entry *e)
{
	struct stat st;

	if (!look(d, e->name, &st)) {
		entry_drop(d, e);
		return;
	}
	e->state = ENTRY_STUCK;
	e->inode = st.st_ino;
	e->changed = changed_at(&st);
}

static void went_well(struct dir *d)
{
	d->holds = 0;
	d->hold_until = 0;
}

void dir_taken(struct dir *d, struct entry *e)
{
	char path[PATH_SIZE], to[PATH_SIZE];
	bool gone;

	went_well(d);
	snprintf(path, sizeof path, "%s/%s", d->path, e->name);
	snprintf(to, sizeof to, "%.4000s/done", d->path);
	gone = d->c->delete_after_read ? unlink(path) == 0 : move_file(d, e->name, to, path);
	if (gone || errno == ENOENT) {
		entry_drop(d, e);
		return;
	}
	dir_alarm(
	    d,
	    "%s is accepted, but can't be taken away: %s; it would be sent again after a restart",
	    e->name, strerror(errno));
	stuck(d, e);
}

/* Renamed in whole: who watches the directory never reads half a reason. */
static void write_why(const char *file, const char *reason)
{
	char path[PATH_SIZE + 8], fresh[PATH_SIZE + 8];
	const char *name = strrchr(file, '/') + 1;

	snprintf(path, sizeof path, "%s.why", file);
	snprintf(fresh, sizeof fresh, "%.*s.%s.why", (int)(name - file), file, name);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || dprintf(fd, "%s\n", reason) < 0 || rename(fresh, path) < 0)
		log_error("pickup: %s can't be written: %s", path, strerror(errno));
	if (fd >= 0)
		close(fd);
}

void dir_bad(struct dir *d, struct entry *e, const char *reason)
{
	char to[PATH_SIZE];

	went_well(d);
	log_warn("pickup %s: %s is moved aside: %s", d->path, e->name, reason);
	if (move_file(d, e->name, d->c->bad_directory, to)) {
		write_why(to, reason);
		entry_drop(d, e);
		return;
	}
	dir_alarm(d, "%s is no message (%s), and can't be moved to %s: %s", e->name, reason,
		  d->c->bad_directory, strerror(errno));
	stuck(d, e);
}

static void scan_at(struct dir *d, us_t at)
{
	if (!d->scan.due || at < d->scan.due)
		timer_set(d->pickup->loop, &d->scan, at);
}

void dir_again(struct dir *d, struct entry *e, const char *why)
{
	us_t now = loop_now(d->pickup->loop);
	us_t wait = d->holds >= 6 ? HOLD_MOST : HOLD_FIRST << d->holds;

	if (now >= d->hold_until) {
		d->holds++;
		d->hold_until = now + wait;
		log_warn("pickup %s: %s waits: %s", d->path, e->name, why);
	}
	entry_ready(d, e);
	scan_at(d, d->hold_until);
}

/* ---- looking ---- */

static void watch(struct dir *d)
{
	struct pickup *p = d->pickup;

	if (d->watch >= 0 || p->inotify < 0)
		return;
	d->watch = inotify_add_watch(p->inotify, d->path,
				     IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM |
					 IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

static void unwatch(struct dir *d)
{
	if (d->watch >= 0)
		inotify_rm_watch(d->pickup->inotify, d->watch);
	d->watch = -1;
}

static bool settled(const struct dir *d, const struct stat *st, bool unclosed)
{
	us_t age = clock_now_us() + clock_skew_us() - changed_at(st);

	return age >= d->c->settle * (unclosed ? UNCLOSED_FACTOR : 1) || age < -US_PER_MIN;
}

/* `closed`: somebody was seen to be ready with it. */
static void consider(struct dir *d, const char *name, bool closed)
{
	struct entry *e = entry_get(d, name);
	struct stat st;

	if (foreign(name) || (e && (e->state == ENTRY_READY || e->state == ENTRY_BUSY)) ||
	    !look(d, name, &st) || S_ISDIR(st.st_mode))
		return;
	if (e && e->state == ENTRY_STUCK && e->inode == st.st_ino && e->changed == changed_at(&st))
		return;
	if (S_ISREG(st.st_mode) && !closed && !settled(d, &st, e && e->state == ENTRY_WRITING))
		return;
	if (!e)
		e = entry_add(d, name, ENTRY_READY);
	if (e)
		entry_ready(d, e);
}

/* False if the directory can't be served now. */
static bool usable(struct dir *d)
{
	if (access(d->path, R_OK | W_OK | X_OK) == 0)
		return true;
	dir_alarm(d, "can't be served: %s%s", strerror(errno),
		  errno == EACCES ? " (the server's user needs to read, write and search it)" : "");
	unwatch(d);
	return false;
}

static void scan(struct dir *d)
{
	DIR *at = usable(d) ? opendir(d->path) : NULL;

	d->more = false;
	if (!at)
		return;
	alarm_over(d);
	watch(d);
	for (struct dirent *x; (x = readdir(at));) {
		if (d->nready >= READY_MAX) {
			d->more = true;
			break;
		}
		consider(d, x->d_name, false);
	}
	closedir(at);
}

static void scan_due(struct timer *t, void *arg)
{
	struct dir *d = arg;
	struct pickup *p = d->pickup;

	(void)t;
	scan(d);
	scan_at(d, loop_now(p->loop) + d->c->scan_interval);
	pickup_pump(p);
}

static void dir_event(struct dir *d, const struct inotify_event *ev)
{
	struct entry *e = ev->len ? entry_get(d, ev->name) : NULL;

	if (ev->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED)) {
		unwatch(d);
		scan_at(d, loop_now(d->pickup->loop));
	} else if (!ev->len || ev->mask & IN_ISDIR) {
		return;
	} else if (ev->mask & (IN_CLOSE_WRITE | IN_MOVED_TO)) {
		if (d->nready < READY_MAX)
			consider(d, ev->name, true);
		else
			d->more = true;
	} else if (ev->mask & IN_CREATE) {
		if (!e && !foreign(ev->name))
			entry_add(d, ev->name, ENTRY_WRITING);
	} else if (e && (e->state == ENTRY_WRITING || e->state == ENTRY_STUCK)) {
		entry_drop(d, e); /* IN_DELETE, IN_MOVED_FROM */
	}
}

static void inotify_event(struct ev_loop *l, struct ev_io *w, int revents)
{
	struct pickup *p = w->data;
	_Alignas(struct inotify_event) char room[16384];
	ssize_t n;

	(void)l, (void)revents;
	while ((n = read(p->inotify, room, sizeof room)) > 0) {
		for (char *at = room; at < room + n;) {
			const struct inotify_event *ev = (const void *)at;

			at += sizeof *ev + ev->len;
			for (struct dir *d = p->dirs; d; d = d->next) {
				if (ev->mask & IN_Q_OVERFLOW)
					scan_at(d, loop_now(p->loop));
				else if (!d->gone && ev->wd == d->watch)
					dir_event(d, ev);
			}
		}
	}
	pickup_pump(p);
}

/* ---- starting ---- */

static struct entry *next_entry(struct dir *d)
{
	struct entry *e = d->ready;

	d->ready = e->next;
	if (!d->ready)
		d->ready_end = &d->ready;
	d->nready--;
	return e;
}

static bool may_start(const struct dir *d)
{
	return d->ready && !d->gone && loop_now(d->pickup->loop) >= d->hold_until;
}

void pickup_pump(struct pickup *p)
{
	static bool pumping; /* one pickup a process; a job may end while it begins */
	bool any = true;

	if (pumping)
		return;
	pumping = true;
	while (any) {
		any = false;
		for (struct dir *d = p->dirs; d; d = d->next) {
			if (p->njobs >= JOBS_MAX || p->bytes >= BYTES_MAX || !may_start(d))
				continue;
			job_start(d, next_entry(d));
			any = true;
		}
	}
	pumping = false;
	for (struct dir *d = p->dirs; d; d = d->next)
		if (d->more && !d->ready && !d->jobs)
			scan_at(d, loop_now(p->loop));
}

/* ---- configuration ---- */

static void dir_free(struct dir *d)
{
	size_t pos = 0;
	struct str key;
	void *value;

	timer_stop(d->pickup->loop, &d->scan);
	unwatch(d);
	while (strmap_next(&d->names, &pos, &key, &value))
		free(value);
	strmap_free(&d->names);
	free(d->path);
	free(d);
}

static struct dir *dir_find(const struct pickup *p, const char *path)
{
	struct dir *d = p->dirs;

	while (d && strcmp(d->path, path) != 0)
		d = d->next;
	return d;
}

static void dir_new(struct pickup *p, const struct conf_pickup *c)
{
	struct dir *d = calloc(1, sizeof *d);

	if (!d || !(d->path = strdup(c->dir))) {
		log_error("pickup %s: no memory: it is not served until the next reload", c->dir);
		free(d);
		return;
	}
	d->pickup = p;
	d->c = c;
	d->watch = -1;
	d->ready_end = &d->ready;
	strmap_init(&d->names);
	timer_init(&d->scan, scan_due, d);
	d->next = p->dirs;
	p->dirs = d;
	scan_at(d, clock_now_us());
}

/* Jobs of a directory that goes are let go: their files stay, their connections end. */
static void sweep_gone(struct pickup *p)
{
	for (struct dir **at = &p->dirs; *at;) {
		struct dir *d = *at;
		if (!d->gone) {
			at = &d->next;
			continue;
		}
		*at = d->next;
		alarm_over(d);
		dir_free(d);
	}
}

void pickup_conf(struct pickup *p, struct conf *c)
{
	struct conf *was = p->conf;

	p->conf = conf_ref(c);
	for (struct dir *d = p->dirs; d; d = d->next)
		d->gone = true;
	for (int i = 0; i < c->npickups; i++) {
		struct dir *d = dir_find(p, c->pickups[i].dir);
		if (d) {
			d->gone = false;
			d->c = &c->pickups[i];
		} else {
			dir_new(p, &c->pickups[i]);
		}
	}
	jobs_of_gone_end(p);
	sweep_gone(p);
	conf_unref(was);
}

struct pickup *pickup_new(struct loop *l, const struct pickup_env *env, struct conf *c)
{
	struct pickup *p = calloc(1, sizeof *p);

	if (!p)
		fatal("no memory for the pickup directories");
	p->loop = l;
	p->env = *env;
	p->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (p->inotify < 0) {
		log_warn("pickup: no inotify (%s): files wait for the scan", strerror(errno));
	} else {
		ev_io_init(&p->watcher, inotify_event, p->inotify, EV_READ);
		p->watcher.data = p;
		ev_io_start(loop_ev(l), &p->watcher);
	}
	pickup_conf(p, c);
	return p;
}

void pickup_free(struct pickup *p)
{
	jobs_end(p);
	for (struct dir *d = p->dirs; d; d = d->next)
		d->gone = true;
	sweep_gone(p);
	if (p->inotify >= 0) {
		ev_io_stop(loop_ev(p->loop), &p->watcher);
		close(p->inotify);
	}
	conf_unref(p->conf);
	free(p);
}
