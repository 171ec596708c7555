/* What receivers say of our mail, counted: delivered, bounced by category, complaints; for each
 * receiver (a provider, else a site), each virtual MTA and each job, over the last hour and the
 * last day. From it come the rows of `feedback` and `reputation`, the alarms of [alarm] and the
 * holding of jobs.
 *
 * PURE: events and `now` in, rows, alarms and rows of the state table out; core/mta_feedback.c runs
 * it on the report thread as a reader of the events with a position of its own.
 *
 * WINDOWS. The hour is 60 minutes and the one that is running, the day 24 hours and the one that is
 * running, by the time of the event: a reader that lags, or reads again after a crash, counts where
 * the thing happened.
 *
 * ONCE. What is saved of a party says up to which event it has counted; a reader that starts a
 * little earlier counts nothing twice.
 *
 * BOUNDED. So many parties of a kind are told apart, so many categories of a receiver; the rest is
 * counted under "(other)", which raises no alarm. A party without anything in a day is forgotten.
 *
 * RATES. A bounce that costs reputation is hard or spam-related, here or in a report that came
 * back; its rate is of all recipients that came to an end (delivered, bounced, expired), over the
 * hour. The complaint rate is complaints of those delivered, over the day (RECEIVERS.md, 8). A rate
 * is judged only with COUNTERS_BOUNCE_LEAST ends, or COUNTERS_COMPLAINT_LEAST delivered and
 * COUNTERS_COMPLAINTS_LEAST complaints: 1 of 2 is no rate. It must hold for `after` before it
 * counts as an alarm. */
#ifndef STOKER_REPORT_COUNTERS_H
#define STOKER_REPORT_COUNTERS_H

#include "conf/conf.h"
#include "core/sched/rows.h"
#include "core/spool/event.h"

enum {
	COUNTERS_BOUNCE_LEAST = 200,
	COUNTERS_COMPLAINT_LEAST = 1000,
	COUNTERS_COMPLAINTS_LEAST = 3,
};
#define COUNTERS_COMPLAINT "complaint" /* beside the categories of bounces */

struct counters;
struct counters *counters_new(void); /* NULL without memory */
void counters_free(struct counters *c);

/* Whose domain's mail goes where is learned from deliveries; `conf` says it where nothing was
 * learned yet. */
void counters_event(struct counters *c, const struct event *e, const struct conf *conf);

/* Copies up to `max` changed rows (references taken) to fn; returns how many. */
int counters_rows(struct counters *c, us_t now, int max, void (*fn)(void *arg, struct row *r),
		  void *arg);

enum counters_word_type { COUNTERS_RAISE, COUNTERS_END, COUNTERS_HOLD };
struct counters_word {
	enum counters_word_type type;
	const char *code;  /* "bounce-rate", "complaint-rate" */
	struct str target; /* as commands write it: "@google", "vmta:vmta1", "job:news"; HOLD: the
			      job's name */
	int severity;	   /* RAISE: 1 red, 2 yellow */
	const char *text;
};
/* Once a second. Each alarm that holds is said again, with its numbers as they are. A job that was
 * held is judged for holding by what came after: so a person who resumes it is not overruled by the
 * mail that led to it. */
void counters_judge(struct counters *c, us_t now, const struct conf_alarm *a,
		    void (*fn)(void *arg, const struct counters_word *w), void *arg);

/* Rows of the state table that are not saved yet, at most `max`; value.p NULL: delete. Returns how
 * many. */
int counters_save(struct counters *c, int max,
		  void (*fn)(void *arg, struct str key, struct str value), void *arg);
/* False: the row can't be read. */
bool counters_restore(struct counters *c, us_t now, struct str key, struct str value);

#endif
