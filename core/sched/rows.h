/* Rows of the mirror: what console, CLI and HTTP show. The scheduler fills a fixed row for each
 * queue, site, lane, source, job, override and alarm when it changed and gives it to the control
 * thread (DESIGN.md, "Mirror"). Strings are counted and immutable; a row that crosses owns one
 * reference on each. Plain data. */
#ifndef STOKER_SCHED_ROWS_H
#define STOKER_SCHED_ROWS_H

#include "conf/settings.h"
#include "core/base/str.h"

enum row_kind {
	ROW_QUEUE,
	ROW_SITE,
	ROW_LANE,
	ROW_SOURCE,
	ROW_JOB,
	ROW_OVERRIDE,
	ROW_ALARM,
	ROW_FEEDBACK, /* these two are of core/report, not the scheduler's */
	ROW_REPUTATION,
	ROW_KINDS
};

/* DESIGN.md's `why` codes, in its order. */
enum why_code {
	WHY_READY,
	WHY_IN_FLIGHT,
	WHY_IDLE,
	WHY_RATE,
	WHY_CONNECTIONS,
	WHY_TOTAL,
	WHY_MEMORY,
	WHY_WARM_UP,
	WHY_BACKOFF,
	WHY_RESTING,
	WHY_RETRY_WAIT,
	WHY_PAUSED,
	WHY_NO_SOURCE,
	WHY_DNS,
	WHY_CONNECT,
	WHY_TLS,
	WHY_DKIM,
	WHY_LOADING,
	WHY_DRAINING,
	WHY_DISK,
	WHY_CODES
};
const char *why_code_name(enum why_code c); /* "in-flight" */

/* The one limit that binds. */
struct why {
	uint8_t code;	     /* enum why_code */
	uint8_t counts;	     /* enum limit_scope; SCOPE_COUNT: not a limit */
	float value;	     /* what is used now: connections, or a second */
	float limit;	     /* of it; 0: none */
	us_t until;	     /* when it ends by itself; 0: unknown or never */
	struct rstr *origin; /* "stoker.ini:12 [domain gmail.com]", "override 17", "default" */
	struct rstr *text;   /* for the eye, at most ~26 columns: "rate 900/s together", "connect
				refused, next 14:30" */
};

enum row_state { /* DESIGN.md: the first that holds of down, paused, disabled, backoff, resting,
		    warming; then ok, idle */
		 STATE_OK,
		 STATE_BACKOFF,
		 STATE_RESTING,
		 STATE_PAUSED,
		 STATE_WARMING,
		 STATE_DISABLED,
		 STATE_DOWN,
		 STATE_IDLE,
};
const char *row_state_name(enum row_state s);  /* "resting" */
const char *row_state_short(enum row_state s); /* "REST" */

enum eta_state { ETA_OK, ETA_IDLE, ETA_NEVER };

enum { TREND_STEPS = 12 }; /* of 10 s each, oldest first */

struct row_traffic { /* counted where it happens, once */
	uint64_t delivered, deferred, bounced;
	float rate;		 /* attempts out a second, over the last 10 s */
	float delivered_percent; /* as COMMANDS.md; negative: left out */
	uint32_t connections;
};

struct row_queue { /* also a site: rows named by site or provider */
	uint64_t queued, due, in_flight;
	struct row_traffic t;
	us_t oldest;	   /* when the oldest was received; 0: none */
	us_t next_attempt; /* 0: none */
	us_t eta;	   /* span */
	us_t last_reply_at;
	uint16_t trend[TREND_STEPS]; /* out a second × 10, capped */
	uint32_t domains, lanes;     /* sites */
	uint64_t site;		     /* queue: row id of its site; 0 unknown */
	uint8_t eta_state;
	bool stale_mx;
	struct rstr *domain, *route, *site_name, *provider; /* NULL where it has none */
	struct rstr *last_reply;
};
struct row_lane {
	struct row_traffic t;
	float rate_limit; /* a second; 0 unlimited */
	uint32_t connection_limit;
	us_t resting_since, resting_until; /* 0: not resting */
	us_t last_reply_at;
	uint32_t rest_step;
	us_t backoff_since,
	    backoff_until; /* since 0: no backoff by a rule; until US_NEVER: no end */
	uint32_t backoff_step;
	float learned_rate, learned_ceiling; /* a second; 0: nothing learned */
	uint64_t site;
	struct rstr *site_name, *provider, *vmta, *source_ip, *last_reply, *rest_reason;
	struct rstr *backoff_rule, *backoff_reply;
	struct rstr *warmup; /* NULL: it is warm; else the bytes of a struct row_warmup: few lanes
				have one, and rows are small */
};
struct row_warmup { /* counts are recipients attempted */
	uint32_t step;
	int64_t cap, used;    /* of an hour; in the last hour, by minutes */
	uint64_t sample;      /* since the step began or was held */
	float bounce_percent; /* of these; negative: none yet */
	us_t next_step_at;    /* at the soonest; 0: it lacks attempts */
};
bool row_warmup(const struct row_lane *x, struct row_warmup *out); /* false: none */
struct row_source {						   /* a virtual MTA */
	struct row_traffic t;
	float bytes_rate, transient_percent, permanent_percent;
	uint32_t provider_count;
	int8_t ptr_ok; /* 1 yes, 0 no, -1 unknown */
	us_t last_reply_at;
	struct rstr *source_ip, *hostname, *pools, *last_reply;
};
struct row_job {
	uint64_t queued;
	struct row_traffic t;
	us_t first_at, eta;
	float complaint_percent; /* of a day; control adds it; negative: left out */
	uint8_t eta_state;
	struct rstr *user;
};
struct row_override {
	uint64_t number;
	us_t made_at, until; /* US_NEVER: until ended */
	us_t ended_at;	     /* 0: live */
	bool act;	     /* an audited act (retry, reload …), not an override */
	struct rstr *what, *target, *was, *now, *who, *reason, *ended_by;
};
struct row_alarm {
	uint64_t number;
	us_t since;
	uint8_t severity; /* 1 red, 2 yellow, 3 note */
	bool gone, acked;
	struct rstr *code, *target, *text, *ack;
};

struct row_feedback {		   /* a receiver and a category of bounces, or "complaint" */
	uint64_t hour, day, total; /* recipients; total: since it was first heard of */
	us_t last_at;
	struct rstr *provider, *category;
	struct rstr *replies; /* the last different ones, a line each; NULL: none since the start */
};
enum reputation_kind { REPUTATION_PROVIDER, REPUTATION_SOURCE, REPUTATION_JOB, REPUTATION_KINDS };
struct row_standing {		    /* recipients of one span */
	uint64_t delivered, failed; /* failed: bounced or expired */
	uint64_t harmful;	    /* bounces, here or reported, that are hard or spam-related */
	uint64_t complaints;
};
struct row_reputation { /* the row's name is a target: "@google", "vmta:vmta1", "job:news" */
	struct row_standing hour, day;
	uint8_t what; /* enum reputation_kind */
	struct rstr *of;
};

struct row {
	uint64_t id;   /* never reused within a run */
	uint8_t kind;  /* enum row_kind */
	uint8_t state; /* enum row_state */
	bool deleted;  /* the last word about this id; only id and kind are set */
	struct rstr *name;
	struct why why;
	union {
		struct row_queue queue;
		struct row_queue site;
		struct row_lane lane;
		struct row_source source;
		struct row_job job;
		struct row_override override;
		struct row_alarm alarm;
		struct row_feedback feedback;
		struct row_reputation reputation;
	};
};
/* Drops (takes) every reference that a row holds. */
void row_release(struct row *r);
void row_retain(struct row *r);

/* Published together with the rows (COMMANDS.md, "Invariant"). */
struct sched_totals {
	uint64_t accepted, delivered, deferred, bounced, expired, removed, maybe_twice, queued;
	uint64_t loading;	 /* of queued: not loaded yet */
	uint64_t no_site;	 /* of queued: the DNS has not said yet which site takes them */
	float out_rate, in_rate; /* recipients a second over 10 s */
	uint32_t connections, connection_limit;
	uint64_t memory_bytes; /* of the scheduler's objects */
	bool draining;
};

#endif
