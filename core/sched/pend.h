/* A command while it is carried out. Private to the files that do so: command.c checks it and makes
 * the override, walk.c goes through the recipients, pend.c recalls, waits for the confirmations and
 * answers, reply.c has the words. */
#ifndef STOKER_SCHED_PEND_H
#define STOKER_SCHED_PEND_H

#include "core/sched/override.h"

enum pend_phase {
	PEND_CONFIRM, /* waits for io threads and disk */
	PEND_WALK,    /* goes through queues */
	PEND_ANSWER,
};
enum pend_walk { WALK_NONE, WALK_COUNT, WALK_RETRY, WALK_TAKE };

struct cursor {
	struct link link; /* in sched.cursors */
	struct rcpt *at;
};

struct pend { /* a command being carried out */
	struct link all;
	struct sched_cmd cmd;
	struct target target; /* slices into text_target */
	struct rstr *text_target, *text_at, *who, *reason, *route, *session, *text;
	uint8_t phase, walk;
	bool census, fenced, synced, walk_first;
	uint32_t serial;
	uint64_t fence, token;
	uint32_t fences;
	uint64_t done, in_flight, override;
	us_t until;
	int exit;
	struct override *hold;
	/* the walk */
	size_t bucket;
	struct queue *q; /* the one being gone through, pinned */
	struct cursor cursor;
	double share; /* collected of the next recipient to move */
};

/* ---- walk.c ---- */
void walk_start(struct pend *p, enum pend_walk what);
/* True when all queues have been gone through. */
bool walk_on(struct sched *s, struct pend *p);

/* ---- pend.c ---- */
/* Copies what the command refers to; NULL without memory. */
struct pend *pend_new(struct sched *s, const struct sched_cmd *c);
/* Gives back what of the target has not begun. at: only at these sites; NULL: all. */
void recall(struct sched *s, const struct target *t, const struct target *at);
/* Then the command waits for every io thread, and (sync) for the disk. */
void ask_confirmation(struct sched *s, struct pend *p, bool sync);

/* ---- reply.c ---- */
void reply_text(struct sched *s, uint64_t id, int exit, struct rstr *text); /* takes text over */
void refuse(struct sched *s, const struct sched_cmd *c, struct rstr *text); /* takes text over */
/* "for 4h", "until ended" */
void for_text(us_t from, us_t until, char out[64]);
/* One line for every operator and the audit log. */
void echo(struct sched *s, const struct sched_cmd *c, const char *what, const char *more);
const char *done_words(enum sched_cmd_type type);
struct rstr *answer_text(const struct pend *p);

#endif
