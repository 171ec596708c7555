/* The control thread: mirror, queries, commands, control socket, log ring. It decides nothing about
 * mail and holds nobody up. One loop; all functions here run on it, but for those of cli.h. */
#ifndef STOKER_CONTROL_CONTROL_H
#define STOKER_CONTROL_CONTROL_H

#include "conf/conf.h"
#include "core/control/commands.h"
#include "core/net/loop.h"
#include "core/spool/spool.h"
#include "core/spool/suppression.h"

/* What control needs from the rest; every call is a message to another thread, answers come back by
 * the functions below with the same id. Strings in arguments are valid during the call only: what
 * crosses to another thread is copied by the callee. */
struct control_env {
	void *arg;
	const char *version; /* of this program, for status */
	void (*sched_command)(void *arg,
			      const struct sched_cmd *c); /* answer: control_sched_reply */
	void (*sched_detail)(void *arg, uint64_t id,
			     const struct target *t); /* answer: control_text (JSON) */
	/* Recipients: a page of JSON rows from `cursor`; filter is applied here on the JSON names
	 * afterwards. answer: control_text with
	 * {"total":N (left out if unknown),"cursor":"NEXT" ("0" at the end),"rows":[…]} */
	void (*sched_messages)(void *arg, uint64_t id, const struct target *t, uint64_t cursor,
			       int max);
	void (*message)(
	    void *arg, uint64_t id, uint64_t message,
	    bool raw); /* one message in full (JSON), or its bytes; answer: control_text */
	void (*resolve)(void *arg, uint64_t id,
			struct str domain); /* answer: control_text (JSON) */
	/* Reload: a worker reads the files. dry_run: only the difference. to: a stored number, 0:
	 * the files. who: for the audit. answer: control_text with exit */
	void (*reload)(void *arg, uint64_t id, bool dry_run, uint64_t to, struct str who);
	void (*settings)(void *arg, uint64_t id, struct str domain, struct str via,
			 bool json); /* answer: control_text */
	void (*rotate)(void *arg);
	void (*shutdown)(void *arg, struct str who);
	/* Hands a connection to the console thread after its hello (cli.h; not checked, but
	 * read-only has lowered the role). Owns fd, which is non-blocking; nothing behind the hello
	 * has been read. */
	void (*attach)(void *arg, int fd, struct str user, enum role role, struct str hello);
	/* Facts for `status` that live elsewhere: appends one JSON object with "loops", "spool",
	 * "memory", "in", "operators", "dkim", as COMMANDS.md has them ("in" without rate).
	 * Any-thread-safe snapshot; asked four times a second. */
	void (*status)(void *arg, struct buf *json_fields);
	void (*audit)(void *arg, struct str line); /* to the audit log */
	/* Tells the addresses of [alarm] mail-to of n alarms; NULL: nobody. */
	void (*mail)(void *arg, int n, struct str text);
	/* Rows of suppression_batch_add for the spool thread, which takes over their memory;
	 * `tell`: what is new is an event, too. answer: control_text "CHANGED ALREADY", when it is
	 * durable. */
	void (*suppress)(void *arg, uint64_t id, struct buf *rows, bool tell, struct str who);
	struct suppression *suppression; /* lists are read from it; NULL: there is none */
};
struct control;
struct control *control_new(struct loop *l, const struct control_env *env, struct conf *c);
void control_free(struct control *c);
/* Binds the socket (mode 0660, group); an error names path and cure. */
const struct err *control_listen(struct control *c, struct errbuf *e);
/* The snapshot now in force (a reference is taken); differs: the files on disk no longer hold it.
 */
void control_conf(struct control *c, struct conf *conf, bool differs);
struct mirror *control_mirror(struct control *c);
void control_phase(struct control *c, const char *state,
		   double load_progress); /* "starting", "running", "draining", "stopping" */

void control_row(struct control *c, struct row *r); /* takes over */
void control_totals(struct control *c, const struct sched_totals *t);
void control_sched_reply(struct control *c, const struct sched_reply *r); /* takes over r->text */
void control_text(struct control *c, uint64_t id, int exit,
		  struct rstr *text); /* takes over text */
void control_echo(struct control *c,
		  struct rstr *text); /* to operators and audit log; takes over */
/* Events for the log ring (100,000 last, encoded as in the spool; ids are first, first+1, …). */
void control_events(struct control *c, uint64_t first_id, struct rstr *encoded,
		    int n); /* takes over one reference */

/* Alarms of the rest of the process (disk floor, poisoned segment, loop stall, clock jump, reader
 * behind …): raised and ended by code and target. */
void control_alarm(struct control *c, const char *code, struct str target, int severity,
		   struct str text);
void control_alarm_end(struct control *c, const char *code, struct str target);

/* ---- the console's door (messages from the console thread arrive here; the answers go by
 * console_link) ---- */
enum link_op {
	LINK_QUERY,   /* a page of a list; text = filter */
	LINK_COMMAND, /* a command line, as the operator */
	LINK_DETAIL,  /* JSON of a target */
	LINK_LOG,     /* lines of the log ring */
	LINK_OLD_LOG, /* lines of the log's files, also rotated ones; never comes here (log_old.h)
		       */
	LINK_COMPLETE,
	LINK_COUNT, /* "N operators are here": n */
};
struct link_request {	   /* owned by the receiver; free with link_request_free */
	uint64_t id;	   /* of the console's request: comes back */
	uint64_t operator; /* the console's number of the operator */
	enum link_op op;
	enum role role;
	struct query q;
	struct rstr *text; /* command line; target; filter of the log; completion's line */
	struct rstr *sort;
	struct rstr *user;   /* who, for commands */
	uint64_t from_event; /* LINK_LOG: lines before (backwards) or after this event id; 0: the
				newest. LINK_OLD_LOG: the same, but not 0 unless `at` says where */
	us_t at;	     /* LINK_OLD_LOG: from the first line of that time or later */
	bool backwards, errors_only;
	int n;
};
struct log_line {
	uint64_t id;
	us_t at;
	uint8_t type;	   /* enum event_type */
	struct rstr *text; /* clean JSON object of the event; the view formats it */
};
struct link_answer {
	uint64_t id, operator;
	enum link_op op;
	int exit;
	struct page *page;	/* LINK_QUERY */
	struct rstr *text;	/* result line, JSON, or completions (one a line) */
	struct log_line *lines; /* LINK_LOG, oldest first, malloc'd */
	int nlines;
	uint64_t log_first, log_last; /* what the ring holds; LINK_OLD_LOG: log_first only, where
					 the oldest file begins (0: there is none) */
	uint64_t log_looked; /* LINK_OLD_LOG: not all was looked at, but up to this event */
	uint64_t matched;    /* LINK_LOG: events after from_event that matched but are not among the
				lines */
	/* LINK_COMMAND, irreversible: the operator must type this number first; repeat with `--yes
	 * --expect N --shown-at US` */
	int64_t confirm; /* -1: nothing to confirm */
	struct rstr
	    *confirm_word; /* what is to be typed: the number, or for shutdown the host name */
	/* LINK_COMMAND: much is concerned; text says what, a line each; repeat with --yes. The hint
	 * is for the field of its expiry; NULL: it has none. */
	bool risk;
	const char *risk_expiry;
};
void link_request_free(struct link_request *r);
void link_answer_free(struct link_answer *a);
/* Called on the control thread for a request from the console; answers by `answer` (once, maybe
 * later). */
void control_link(struct control *c, struct link_request *r);
void control_set_link(struct control *c, void (*answer)(void *arg, struct link_answer *a),
		      void (*echo)(void *arg, struct rstr *text),
		      void (*header)(void *arg, const struct sched_totals *t,
				     struct rstr *status_json),
		      void *arg);

#endif
