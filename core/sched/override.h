/* Overrides: every live change by hand, in a stack over the configuration (DESIGN.md, "Control").
 * Private to core/sched.
 *
 * For a target and a setting the newest live one rules; ending it reveals what lies below. Each
 * change raises the epoch, so that everything resolves anew against the list as it is then. Durable
 * in the state table "overrides", by number. */
#ifndef STOKER_SCHED_OVERRIDE_H
#define STOKER_SCHED_OVERRIDE_H

#include "core/sched/inner.h"

enum override_kind {
	OVER_PAUSE,
	OVER_RATE,
	OVER_CONNECTIONS,
	OVER_DISABLE,
	OVER_BACKOFF,
	OVER_ACT
};

struct override {
	struct link all;  /* in sched.overrides, oldest first; live, ended and acts */
	struct link live; /* in sched.live */
	struct row_head row;
	uint64_t number;
	uint8_t kind;		  /* enum override_kind */
	bool each, hidden;	  /* hidden: holds mail while an irreversible command works */
	bool rules;		  /* the newest live one for its target and setting */
	bool warned;		  /* its end was announced by an alarm */
	struct target target, at; /* slices into `text_target`, `text_at` */
	struct rstr *text_target, *text_at;
	struct rate rate;
	int connections;
	us_t made_at, until, ended_at;
	struct rstr *what, *was, *now, *who, *reason, *session, *ended_by;
};

/* ---- override.c ---- */
/* Makes one from a command; NULL without memory. It is live and durable soon (the caller syncs). */
struct override *override_make(struct sched *s, const struct sched_cmd *c, enum override_kind kind,
			       us_t until);
/* An audited act: a row of its own, never live. */
void override_act(struct sched *s, const struct sched_cmd *c, const char *what, const char *now);
struct override *override_hidden(struct sched *s, const struct target *t);
void override_end(struct sched *s, struct override *o, struct str by);
void override_save(struct sched *s, const struct override *o);
struct override *override_find(struct sched *s, uint64_t number);
/* The ruling live one of this kind on exactly this target; NULL. */
struct override *override_on(struct sched *s, enum override_kind kind, bool each,
			     const struct target *t, const struct target *at);
bool override_restore_row(struct sched *s, struct str key, struct str value);

/* ---- match.c ---- */
bool target_same(const struct target *a, const struct target *b);
bool target_is_glob(const struct target *t);
bool target_has_queue(const struct target *t, const struct queue *q);
bool target_has_site(const struct target *t, const struct site *site);
bool target_has_lane(const struct target *t, const struct site *site, const struct source *src);
bool target_has_job(const struct target *t, const struct job *j);
bool target_has_flight(const struct target *t, const struct flight *f);
bool target_has_rcpt(const struct target *t, const struct rcpt *r);
/* NULL if something of that name is known; else a sentence with the nearest names in `e`. */
const struct err *target_known(struct sched *s, const struct target *t, struct errbuf *e);
/* The value of a limit under all overrides; struct rstr for "was". */
struct rstr *was_limit(struct sched *s, const struct sched_cmd *c);

/* ---- alarm.c ---- */
enum alarm_severity { ALARM_RED = 1, ALARM_YELLOW, ALARM_NOTE };
/* Raises or refreshes the alarm of this code and target; takes over `text`. */
void alarm_raise(struct sched *s, const char *code, struct str target, enum alarm_severity severity,
		 struct rstr *text);
void alarm_end(struct sched *s, const char *code, struct str target);
void alarms_second(struct sched *s);
void alarms_free(struct sched *s);
void alarm_pause_ends(struct sched *s, uint64_t number, uint64_t queued);
void alarms_routes(struct sched *s);

/* ---- pend.c ---- */
/* Counts what a pause holds, then raises its alarm. */
void census_start(struct sched *s, const struct override *o);

#endif
