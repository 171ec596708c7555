#include "core/base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/clock.h"
#include "core/base/hash.h"

/* Messages remembered for a second. More different ones a second: the oldest is forgotten early
 * and may be written twice, no worse. */
enum { REMEMBERED = 32, TEXT_BYTES = 1024 };

struct repeat {
	uint64_t hash;
	us_t first;	/* when it was written */
	uint64_t count; /* not written since */
	enum log_level level;
	char text[128]; /* its beginning, for the line that tells the count */
};

static const char words[][6] = { "debug", "info", "warn", "error" };

/* One lock for the few lines a second that go wrong; nothing on the way of mail takes it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct repeat recent[REMEMBERED];
static int log_fd = STDERR_FILENO;	       /* atomic */
static enum log_level lowest = LOG_LEVEL_INFO; /* atomic */

void log_set_fd(int fd)
{
	__atomic_store_n(&log_fd, fd, __ATOMIC_RELAXED);
}

void log_set_level(enum log_level level)
{
	__atomic_store_n(&lowest, level, __ATOMIC_RELAXED);
}

/* A log that can't be written has nowhere to say so. */
static void write_all(const char *p, size_t n)
{
	while (n > 0) {
		ssize_t done = write(__atomic_load_n(&log_fd, __ATOMIC_RELAXED), p, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		p += done;
		n -= (size_t)done;
	}
}

static void write_line(us_t at, enum log_level level, const char *text, uint64_t repeats)
{
	char time[CLOCK_RFC3339_SIZE];
	struct buf line;

	clock_rfc3339(at, time);
	buf_init(&line);
	buf_addf(&line, "%s %s: ", time, words[level]);
	clean_add(&line, str_of(text), false);
	if (repeats)
		buf_addf(&line, " (%llu more)", (unsigned long long)repeats);
	buf_addc(&line, '\n');
	write_all(line.p, line.n);
	buf_free(&line);
}

/* Tells the counts of messages whose second is over. They are told with the next line of any kind:
 * the log has no timer. */
static void tell_repeats(us_t now)
{
	for (struct repeat *r = recent; r < recent + REMEMBERED; r++) {
		if (!r->hash || now - r->first < US_PER_S)
			continue;
		if (r->count)
			write_line(now, r->level, r->text, r->count);
		r->hash = 0;
	}
}

static void remember(struct repeat *r, uint64_t hash, us_t now, enum log_level level,
		     const char *text)
{
	if (r->hash && r->count)
		write_line(now, r->level, r->text, r->count);
	*r = (struct repeat){ .hash = hash, .first = now, .level = level };
	snprintf(r->text, sizeof r->text, "%.*s", (int)sizeof r->text - 1, text);
}

static void write_once(enum log_level level, const char *text)
{
	uint64_t hash = hash_bytes(text, strlen(text)) | 1;
	us_t now = clock_now_us();
	struct repeat *slot = recent;

	tell_repeats(now);
	for (struct repeat *r = recent; r < recent + REMEMBERED; r++) {
		if (r->hash == hash) {
			r->count++;
			return;
		}
		if (!r->hash || (slot->hash && r->first < slot->first))
			slot = r;
	}
	remember(slot, hash, now, level, text);
	write_line(now, level, text, 0);
}

static void log_va(enum log_level level, const char *fmt, va_list ap)
{
	char text[TEXT_BYTES];
	int n;

	if (level < __atomic_load_n(&lowest, __ATOMIC_RELAXED))
		return;
	n = vsnprintf(text, sizeof text, fmt, ap);
	if (n < 0)
		return;
	if ((size_t)n >= sizeof text)
		memcpy(text + sizeof text - sizeof "...", "...", sizeof "...");
	pthread_mutex_lock(&lock);
	write_once(level, text);
	pthread_mutex_unlock(&lock);
}

void log_debug(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_DEBUG, fmt, ap);
	va_end(ap);
}

void log_info(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_INFO, fmt, ap);
	va_end(ap);
}

void log_warn(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_WARN, fmt, ap);
	va_end(ap);
}

void log_error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
}

void fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	log_va(LOG_LEVEL_ERROR, fmt, ap);
	va_end(ap);
	/* Not exit: other threads still run, and its handlers would take their state away. */
	_exit(1);
}
