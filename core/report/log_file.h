/* A file of whole lines that the delivery log and accounting write: a batch is written whole or not
 * at all, what a kill tore is cut off at the next opening. Report thread only. */
#ifndef STOKER_REPORT_LOG_FILE_H
#define STOKER_REPORT_LOG_FILE_H

#include "conf/conf.h"

enum { LOG_PATH_SIZE = 4096 };

struct log_file {
	const char *what; /* "log-file": begins each error */
	char path[LOG_PATH_SIZE];
	int fd;		/* negative: not open */
	uint64_t bytes; /* written; a failed write is cut back to it */
	struct buf out; /* not written yet */
};

/* Appends to what is there, but for a torn last line. An error names the path. */
const struct err *log_file_open(struct log_file *f, struct errbuf *e);
void log_file_close(struct log_file *f); /* and frees what waits */
/* Writes what waits. Not NULL: the disk is full or worse, nothing of it is in the file and all of
 * it waits still. */
const struct err *log_file_flush(struct log_file *f, struct errbuf *e);
/* Renames it to `to` and opens a new one. */
const struct err *log_file_rotate(struct log_file *f, const char *to, struct errbuf *e);
/* The start of the day or hour that `at` lies in, local time; 0 for those that don't go by time. */
us_t log_period(enum conf_rotate r, us_t at);
/* The period that the file was last written in, which is whose lines it holds. */
us_t log_file_period(const struct log_file *f, enum conf_rotate r, us_t now);
/* Deletes the regular files beside `path` whose name `ours` says yes to (given path's own last part
 * too) and that were last written before `before`. */
void log_clean(const char *path, us_t before, bool (*ours)(const char *name, const char *base));

#endif
