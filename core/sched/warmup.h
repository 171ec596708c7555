/* Warm-up (CONFIG.md, [warmup]): how much a new virtual MTA may send to a provider in an hour, and
 * when that grows. A warm-up is one virtual MTA at one provider, at all other receivers together,
 * or (per = total) at all of them.
 *
 * THE CAP is a rate: the hour's attempts are spread over it, so that no burst opens it. One attempt
 * in (an hour and a little) / cap: the little is for the 10 ms that a permit lives and for what a
 * late io thread adds, so that no sliding hour has more, as the receiver counts them. Where the cap
 * gets lower, what was sent in the hour before counts against it: the minutes of that hour are
 * kept, and nothing is given until there is room in them.
 *
 * THE STEP is judged by what was attempted since it began (or since it was held): up, held or down.
 * Everything is in the state table as it was at most a second ago, so a restart changes nothing.
 *
 * Private to core/sched; one thread. */
#ifndef STOKER_SCHED_WARMUP_H
#define STOKER_SCHED_WARMUP_H

#include "core/sched/inner.h"

enum warm_kind { WARM_PROVIDER, WARM_OTHER, WARM_TOTAL, WARM_KINDS };
/* The minutes that can hold an attempt of the last hour: 60, the one before them, which a permit of
 * 10 ms may still bring into that hour, and the current one. */
enum { WARM_MINUTES = 62 };

struct warm {
	struct table_link link; /* in sched.warms */
	struct rstr *key;	/* "p google@vmta1" */
	struct rstr *name;	/* "google@vmta1", for people */
	struct rstr *vmta, *provider;
	uint8_t kind; /* enum warm_kind */
	bool unsaved, forgotten;
	struct counter *counter; /* the cap; one reference */
	/* What the configuration in force says. */
	const struct conf_vmta *at;
	const struct conf_warmup *law; /* NULL: none (any more) */
	struct source *source;
	int64_t cap; /* recipients an hour as applied; 0: no cap */
	uint32_t step;
	us_t since; /* the step, or its being held, began */
	uint64_t sample, bad;
	uint32_t peak;		 /* the most attempts of an hour in it */
	us_t lowered_until;	 /* until then what was sent under a higher cap counts */
	us_t tried_at, saved_at; /* last attempt; last put into the state table */
	int64_t minute;		 /* the newest one below, since 1970 */
	uint32_t tries[WARM_MINUTES];
};

uint64_t warm_hash(const struct table_link *l);
/* Adds the cap that holds for the path's lane, if there is one. False without memory. */
bool warm_limit(struct sched *s, struct path *p, struct limits_room *l);
/* NULL: this lane is warm. */
const struct warm *warm_of(struct sched *s, const struct lane *a);
/* What is known of the lane is worth showing, with mail or without. */
bool warm_keeps(const struct lane *a);
/* n attempts were granted; n granted at `taken` were not made. */
void warm_took(struct sched *s, struct warm *w, int64_t n);
void warm_gave_back(struct sched *s, struct warm *w, us_t taken, int64_t n);
/* A recipient that was attempted has its answer. */
void warm_result(struct sched *s, struct lane *a, const struct txn_rcpt *tr);
void warm_conf(struct sched *s);		    /* a new configuration is in force */
void warm_second(struct sched *s);		    /* now and then: judges, saves */
uint32_t warm_used(const struct warm *w, us_t now); /* attempts of the last hour, by minutes */
us_t warm_ends(const struct warm *w, us_t now);	    /* the next step at the soonest; 0: not known */
bool warm_restore(struct sched *s, struct str key, struct str value);
void warm_free_all(struct sched *s);
/* The virtual MTA is still being warmed up somewhere. */
bool warm_source(struct sched *s, const struct source *src);

#endif
