/* The control thread's state, shared by the files that make it up: mta_control.c (commands, the
 * mirror's rows, once a second), mta_reload.c (reloads), mta_answers.c (questions that need no
 * decision about mail). Private to them. Control thread only. */
#ifndef STOKER_CORE_MTA_CONTROL_H
#define STOKER_CORE_MTA_CONTROL_H

#include "core/mta.h"

struct control_thread {
	struct member *me;
	struct control *c;
	struct conf *conf;
	struct settings_cache *settings;
	struct spool_stats spool;
	double load_progress;
	bool loaded, differs, checking;
	us_t differs_at, shutdown_at, stopped_at;
	unsigned signals; /* how often we were told to stop */
	struct sched_totals totals;
	uint64_t queued_in_flight;
	struct timer second;
	uint64_t anon_bytes, mapped_bytes;
	bool memory_held;
	us_t trim_at;
	uint64_t anon_last;  /* a second ago */
	uint64_t anon_least; /* bytes after the last trim, or fewer */
	bool trimmed;
	unsigned operators;
	struct reload_request *settling; /* answered when every loop has the snapshot */
};

/* ---- core/mta_control.c ---- */
void control_sched_command(void *arg, const struct sched_cmd *c);

/* ---- core/mta_reload.c ---- */
/* control_env's; to: 0, or the stored configuration to go back to. */
void control_reload(void *arg, uint64_t id, bool dry_run, uint64_t to, struct str who);
/* Every few seconds: do the files differ from what runs? */
void control_check_differs(struct control_thread *t, us_t now);

/* ---- core/mta_answers.c: control_env's ---- */
void control_resolve(void *arg, uint64_t id, struct str domain);
void control_settings(void *arg, uint64_t id, struct str domain, struct str via, bool json);
void control_status(void *arg, struct buf *out);
void control_text_now(struct control_thread *t, uint64_t id, int code, const char *text);

#endif
