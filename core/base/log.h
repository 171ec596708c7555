/* The error log: what goes wrong in Stoker itself, for its operator. One line an event, time first,
 * cleaned. Writes to a descriptor set at start (stderr by default); any thread; one write(2) a
 * line. Repeats of one message are counted, not written, within a second. */
#ifndef STOKER_BASE_LOG_H
#define STOKER_BASE_LOG_H

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

void log_set_fd(int fd);
void log_set_level(enum log_level level);
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* A broken invariant, or a failure at start before anything was promised: one line, then _exit(1)
 * (no exit handlers: other threads may still run). */
void fatal(const char *fmt, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Magic numbers in long-lived objects, checked at module borders (varnish's miniobj). */
#define OBJ_CHECK(p, m)                                                                            \
	do {                                                                                       \
		if (!(p) || (p)->magic != (m))                                                     \
			fatal("%s:%d: %s is not a live " #m, __FILE__, __LINE__, #p);              \
	} while (0)

#endif
