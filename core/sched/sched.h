/* The scheduler: queues, lanes, rates, rest, overrides, totals; all decisions. PURE: no sockets,
 * files, clock or randomness of its own. It is given events and `now` and returns actions, so a
 * test drives it in virtual time and replays any bug. core/mta_sched.c runs it on its thread.
 *
 * The implementer writes here: how a message becomes recipients, a recipient's states (waiting,
 * due, reserved, in flight, done), the order of hand-out, when a lane and a site exist, how limits
 * stack, and what raises a recall. */
#ifndef STOKER_SCHED_SCHED_H
#define STOKER_SCHED_SCHED_H

#include "core/sched/command.h"
#include "core/sched/handout.h"
#include "core/sched/rows.h"

struct sched;

struct sched_opts {
	uint64_t seed;
	int io_threads;
	uint16_t smtp_port; /* 25; demo and sim use another */
	void *(*body_ref)(
	    void *body); /* one more reference; NULL: a body can go with one transaction only */
	uint64_t body_cache_bytes; /* bodies held for waiting recipients; beyond it the oldest are
				      dropped (ACT_BODY_DROP) */
};
struct sched *sched_new(const struct sched_opts *o, us_t now);
void sched_free(struct sched *s);

/* ---- events. Each may append actions. ---- */

/* A new snapshot (one reference is taken). Queues re-resolve when next touched; outstanding
 * hand-outs that it concerns are recalled. */
void sched_conf(struct sched *s, us_t now, struct conf *c);
/* Which virtual MTAs' addresses are on this machine (index as in the snapshot): at start and after
 * each reload. */
void sched_source_up(struct sched *s, us_t now, int vmta, bool up4, bool up6, int ptr_ok);

struct sched_rcpt {
	uint32_t index;
	uint8_t notify;
	bool report; /* RCPT_REPORT: its DSN is to be made, nothing else */
	bool delayed_dsn_sent;
	uint16_t attempts;
	us_t due, failed_at;
	struct str address, domain, orcpt, reply, enhanced;
};
struct sched_message { /* copied; `body` reference is taken over */
	uint64_t id;
	us_t received_at;
	struct str sender, job, user, route, envid;
	uint8_t ret, priority;
	bool smtputf8, eightbit, dsn;
	bool loaded; /* from the spool at start: already in the totals as `loading` */
	uint64_t size;
	void *body;
	struct handout_where where;
	const struct sched_rcpt *rcpts;
	uint32_t nrcpts;
};
/* False without memory: the caller keeps it and tries again later. */
bool sched_message(struct sched *s, us_t now, const struct sched_message *m);
/* Recipients of mail that never comes here, in the totals all the same: accepted, loaded at start
 * (already counted as queued), and removed. */
void sched_aside(struct sched *s, us_t now, uint64_t in, uint64_t loaded, uint64_t removed);
/* The spool moved a message (compaction). */
void sched_moved(struct sched *s, uint64_t message, const struct handout_where *where);

/* Totals over the life of the spool, once at start (before any message); rcpts still to be loaded.
 */
void sched_start(struct sched *s, us_t now, const struct sched_totals *t, uint64_t loading);
void sched_load_done(struct sched *s, us_t now);

void sched_dns(struct sched *s, us_t now, uint64_t lookup, struct dns_answer *a); /* takes over a */
/* From an io thread; strings and txn are taken over. */
void sched_from_io(struct sched *s, us_t now, struct from_io *m);
/* A DSN for these recipients is durable (or can't be made: then a log line has been written):
 * RCPT_REPORT ends. */
void sched_reported(struct sched *s, us_t now, uint64_t message, const uint32_t *rcpts, uint32_t n);
/* ACT_STATE_SYNC with this token is on disk. */
void sched_synced(struct sched *s, us_t now, uint64_t token);
/* A command; strings are copied. The reply comes as ACT_REPLY, once the override is durable and all
 * io threads have confirmed. */
void sched_command(struct sched *s, us_t now, const struct sched_cmd *c);
/* Before mail flows: rows of the state tables "overrides" and "lanes" as they were put. Unreadable
 * rows are reported false and skipped. */
bool sched_restore(struct sched *s, us_t now, struct str table, struct str key, struct str value);

enum sched_hold {		     /* hand-outs stop after those in flight */
		  HOLD_DISK = 1,     /* outcomes can't be recorded (LMDB commit failed) */
		  HOLD_SHUTDOWN = 2, /* stopping */
		  HOLD_MEMORY = 4,   /* no room for another body; set by a transaction that came
					back for it, cleared by the owner of the room */
};
void sched_hold(struct sched *s, us_t now, enum sched_hold what, bool on);
bool sched_held(const struct sched *s, enum sched_hold what);

/* Does what is due by `now`: tokens, retries, expiry, hand-out; bounded work (about 1 ms). Returns
 * when to call again at the latest (now: more is waiting). */
us_t sched_tick(struct sched *s, us_t now);

/* ---- actions ---- */
enum action_type {
	ACT_TO_IO,	/* io, to_io */
	ACT_OUTCOMES,	/* txn: every rcpt has its decision; its body is NULL. To the spool, which
			   frees it */
	ACT_LOOKUP,	/* lookup, name, host (RESOLVE_HOST), allow_private */
	ACT_DSN,	/* dsn: make a report */
	ACT_BODY_DROP,	/* body: drop this reference */
	ACT_STATE_PUT,	/* table, key, value (value.p NULL: delete); valid until the next call */
	ACT_STATE_SYNC, /* token: answer sched_synced when all puts before are durable */
	ACT_REPLY,	/* reply; text owned by the taker */
	ACT_DRAIN,	/* on: new mail is refused at the doors, or taken again */
	ACT_ECHO, /* text: one line for every operator and the audit log ("op1 paused corp.example
		     for 4h"); owned by the taker */
};
struct dsn_rcpt {
	uint32_t index;
	uint8_t notify;
	struct str address, orcpt, reply, enhanced;
	struct str mx;
	uint8_t as; /* DECIDE_BOUNCED, DECIDE_EXPIRED, DECIDE_DEFERRED (a delay report) or
		       DECIDE_DELIVERED (relayed to a host without DSN) */
	us_t failed_at, expires_at;
};
struct dsn_job { /* owned by the taker; one arena; dsn_job_free */
	struct arena arena;
	uint64_t message;
	struct str sender, envid, job, user, route;
	uint8_t ret;		    /* enum dsn_ret of the client, or RET_NONE */
	enum dsn_return dsn_return; /* the setting, for RET_NONE */
	enum send_dsn send_dsn;
	bool smtputf8;
	us_t received_at;
	uint64_t size;
	struct handout_where where; /* the original, for its headers */
	struct dsn_rcpt *rcpts;
	uint32_t nrcpts;
};
void dsn_job_free(struct dsn_job *j);

struct action {
	enum action_type type;
	uint32_t io;
	struct to_io to_io;
	struct transaction *txn;
	uint64_t lookup;
	struct str name;
	bool host, allow_private, on;
	struct dsn_job *dsn;
	void *body;
	const char *table;
	struct str key, value;
	uint64_t token;
	struct sched_reply reply;
	struct rstr *text;
};
/* Takes the next action; false when there is none. */
bool sched_action(struct sched *s, struct action *out);

/* ---- what others see ---- */
/* Copies up to `max` changed rows (references taken) to fn; returns how many. Call four times a
 * second until it returns less than max. */
int sched_rows(struct sched *s, us_t now, int max, void (*fn)(void *arg, struct row *r), void *arg);
void sched_totals(struct sched *s, us_t now, struct sched_totals *out);

struct message_row {
	uint64_t id;
	uint32_t rcpt;
	uint64_t size;
	us_t received_at, next_attempt, expires_at;
	uint16_t attempts;
	uint8_t state; /* enum row_state: OK waiting or due, PAUSED … */
	bool in_flight;
	struct why why;
	struct str sender, recipient, queue, job, user; /* valid during the call */
};
/* Recipients of a target in due order, from position `*cursor` (0 to start; opaque), at most `max`
 * (200); found without a full walk where the target is a queue, lane, job or message. Returns how
 * many; *cursor 0 at the end. *total is how many there are, -1 if that would need a walk. */
int sched_messages(struct sched *s, us_t now, const struct target *t, uint64_t *cursor, int max,
		   int64_t *total, void (*fn)(void *arg, const struct message_row *r), void *arg);
/* One queue, site or lane in full as JSON: why with all stacked limits and their use, MX hosts with
 * addresses, status and connections, last error texts grouped with counts and times, lanes,
 * domains, overrides that apply. err_gone if there is no such. */
const struct err *sched_detail(struct sched *s, us_t now, const struct target *t, struct buf *json,
			       struct errbuf *e);

#endif
