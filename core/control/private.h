/* What the files of core/control share; nobody else includes this. Control thread only. */
#ifndef STOKER_CONTROL_PRIVATE_H
#define STOKER_CONTROL_PRIVATE_H

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/control/cli.h"
#include "core/control/logring.h"
#include "core/control/mirror_rows.h"
#include "core/control/request.h"
#include "core/net/listener.h"

enum { CONTROL_MAGIC = 0x6374726c };

struct session;
struct http_answer;
struct control {
	uint32_t magic;
	struct loop *loop;
	struct control_env env;
	struct conf *conf;
	bool differs; /* the files on disk no longer hold what runs */
	struct mirror *mirror;
	struct logring *ring;
	us_t started;
	char phase[16];
	double load_progress;
	/* requests */
	struct idmap requests;
	uint64_t next_id;
	struct request *runnable, **runnable_tail;
	struct suppression_reader *suppressed; /* NULL: not opened yet */
	/* socket */
	struct listener *listener;
	char *socket_path; /* bound by us; removed at the end */
	struct session *sessions;
	int nsessions;
	/* alarms */
	struct idmap notes; /* row id -> struct note */
	uint64_t alarm_number, alarm_row;
	struct strmap told; /* what was mailed, by code and target */
	us_t mailed_at;
	/* the console */
	void (*answer)(void *arg, struct link_answer *a);
	void (*echo)(void *arg, struct rstr *text);
	void (*header)(void *arg, const struct sched_totals *t, struct rstr *status_json);
	void *link_arg;
	int operators;
	us_t page_cpu_max_us; /* of the console's pages, the costliest to find */
	/* http */
	void (*http_answer)(void *arg, struct http_answer *a);
	void *http_arg;
	struct timer header_timer, upkeep_timer;
};

us_t control_now(const struct control *c);
/* Tells all operators and the audit log what was done without the scheduler. */
void control_say(struct control *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* ---- session.c ---- */
void session_accepted(void *arg, int fd, const struct endpoint *peer);
/* The same with a given role and user; tests. */
void session_start(struct control *c, int fd, enum role role, struct rstr *user);
void sessions_free(struct control *c);
/* ---- access.c: who is at the other end, and what may they do; looks into the user database, once
 * a connection ---- */
enum role access_role(const struct conf *c, uid_t uid, gid_t gid, uid_t own, struct rstr **user);

/* ---- alarms.c ---- */
/* Gives a row of the scheduler its number here and what is known of its acknowledgement. */
void alarms_row(struct control *c, struct row *r);
/* False: there is no such alarm (any more). */
bool alarms_ack(struct control *c, uint64_t number, struct str who, struct str note,
		struct errbuf *e);
void alarms_upkeep(struct control *c, us_t now);
void alarms_forget(struct control *c);
struct alarm_count {
	int red, yellow, acked;
	const struct row *worst;
};
struct alarm_count alarms_count(const struct control *c);

/* ---- alarm_mail.c ---- */
void alarm_mail(struct control *c, us_t now);
void alarm_mail_forget(struct control *c);

/* ---- status.c ---- */
/* COMMANDS.md, "status". False without memory. */
bool status_json(struct control *c, struct buf *out);

/* ---- names.c: targets and the mirror ---- */
/* Names near to a target that fits nothing, as "; did you mean …?"; nothing if it fits or nothing
 * is near. */
void names_near(struct mirror *m, const struct target *t, struct buf *out);

/* ---- log.c ---- */
void log_wake(struct control *c); /* events came */
/* ---- link.c ---- */
void link_header(struct control *c);

#endif
