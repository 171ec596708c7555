/* Commands to the scheduler, parsed by core/control (one grammar for CLI, keys and HTTP). */
#ifndef STOKER_SCHED_COMMAND_H
#define STOKER_SCHED_COMMAND_H

#include "conf/conf.h"
#include "core/base/str.h"

enum target_kind { /* COMMANDS.md, "Targets" */
		   TARGET_ALL,
		   TARGET_DOMAIN,  /* gmail.com, *.example */
		   TARGET_QUEUE,   /* gmail.com/pool-a */
		   TARGET_SITE,	   /* @google, @mx1.hoster.example: provider or site */
		   TARGET_LANE,	   /* google@vmta1 */
		   TARGET_VMTA,	   /* vmta:NAME */
		   TARGET_POOL,	   /* pool:NAME */
		   TARGET_JOB,	   /* job:NAME */
		   TARGET_USER,	   /* user:NAME */
		   TARGET_MESSAGE, /* id:ID (hex) */
};
struct target {
	enum target_kind kind;
	struct str a, b; /* the parts: domain and route, site and vmta, or one name; `*` globs
			    inside a part */
	uint64_t message;
};
/* Parses text of a target; slices point into `text`. The error says what was expected. A bare word
 * is a domain. */
const struct err *target_parse(struct str text, struct target *out, struct errbuf *e);
void target_print(const struct target *t, struct buf *out);

enum sched_cmd_type {
	CMD_PAUSE,
	CMD_RESUME,
	CMD_RATE,
	CMD_CONNECTIONS,
	CMD_DISABLE, /* vmta:NAME [at @PROVIDER] */
	CMD_ENABLE,
	CMD_BACKOFF, /* a receiver, a lane, a virtual MTA or all */
	CMD_NORMAL,
	CMD_RETRY,
	CMD_MOVE,
	CMD_BOUNCE,
	CMD_DELETE,
	CMD_END,   /* override number */
	CMD_UNDO,  /* this operator's own last override of this session */
	CMD_AMEND, /* new expiry or reason */
	CMD_DRAIN,
	CMD_CONF, /* an audited act by control: a configuration was applied (text says which) */
	CMD_TYPES
};
struct sched_cmd {
	uint64_t id; /* comes back with the reply */
	enum sched_cmd_type type;
	struct target target;
	struct target at; /* DISABLE … at @PROVIDER; kind TARGET_ALL: everywhere */
	struct rate rate;
	int connections;
	bool each;	 /* RATE, CONNECTIONS: each lane, not together */
	us_t until;	 /* absolute; 0: the command's default; US_NEVER: for ever */
	uint64_t number; /* END, AMEND */
	struct str who, reason, session; /* operator, and which session of theirs (for undo) */
	struct str route;		 /* MOVE */
	double share;			 /* MOVE: 0 < share <= 1 */
	int64_t expect; /* BOUNCE, DELETE, MOVE: count shown to the operator; -1 none. Takes at most
			   those received before `shown_at` */
	us_t shown_at;
	bool dry_run; /* count only */
	bool silent;  /* nobody waits for a reply */
};
enum { EXIT_DONE = 0, EXIT_REFUSED = 1, EXIT_USAGE = 2, EXIT_NO_STOKER = 3 };
struct sched_reply {
	uint64_t id;
	int exit; /* EXIT_DONE or EXIT_REFUSED */
	uint64_t done,
	    in_flight;	   /* rows or recipients concerned; transactions that are being finished */
	uint64_t override; /* its number, 0: none */
	us_t until;
	struct rstr *text; /* one line: "paused corp.example for 4h (override 18): 18.0k recipients,
			      3 in flight" */
};

#endif
