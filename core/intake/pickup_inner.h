/* What pickup.c (directories) and pickup_job.c (one file by SMTP) share. Private to core/intake. */
#ifndef STOKER_INTAKE_PICKUP_INNER_H
#define STOKER_INTAKE_PICKUP_INNER_H

#include <sys/types.h>

#include "core/base/hash.h"
#include "core/intake/pickup.h"
#include "core/intake/pickup_file.h"
#include "core/net/io.h"

enum entry_state {
	ENTRY_WRITING, /* created before our eyes, not closed yet */
	ENTRY_READY,   /* in dir.ready */
	ENTRY_BUSY,    /* with a job */
	ENTRY_STUCK,   /* can be neither taken nor moved: left alone until it changes */
};
struct entry { /* a file that must not be taken anew by the next scan */
	struct entry *next;
	enum entry_state state;
	ino_t inode; /* ENTRY_STUCK: of the file that is left alone */
	us_t changed;
	size_t n;
	char name[];
};

struct dir {
	struct pickup *pickup;
	struct dir *next;
	const struct conf_pickup *c; /* in pickup.conf */
	char *path;
	int watch; /* inotify's; -1: none */
	struct timer scan;
	struct strmap names; /* struct entry */
	struct entry *ready, **ready_end;
	size_t nready;
	int jobs;
	bool more;	 /* the last scan left files behind */
	bool gone;	 /* not in the configuration any more */
	bool alarm;	 /* raised */
	us_t hold_until; /* the server refuses for now */
	unsigned holds;	 /* in a row */
};

struct pickup {
	struct loop *loop;
	struct pickup_env env;
	struct conf *conf;
	struct dir *dirs;
	struct job *jobs;
	int njobs;
	uint64_t bytes; /* of files that are with jobs */
	int inotify;
	struct ev_io watcher;
};

/* ---- pickup.c ---- */
void dir_alarm(struct dir *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The job's end: the message is durable, the file is no message, or it is to be tried again. */
void dir_taken(struct dir *d, struct entry *e);
void dir_bad(struct dir *d, struct entry *e, const char *reason);
void dir_again(struct dir *d, struct entry *e, const char *why);
/* Starts what can be started. */
void pickup_pump(struct pickup *p);

/* ---- pickup_job.c ---- */
/* Reads the file and begins. The entry is ENTRY_BUSY, or its end was told already. */
void job_start(struct dir *d, struct entry *e);
/* Lets jobs go, their files stay: all of them, or those of directories that are gone. */
void jobs_end(struct pickup *p);
void jobs_of_gone_end(struct pickup *p);

#endif
