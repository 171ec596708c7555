/* A command line becomes an invocation: which command, its options, and for acts the scheduler's
 * struct. Only the form is checked here; whether a target exists, the scheduler says. Slices point
 * into the words, which the caller keeps. */
#ifndef STOKER_CONTROL_PARSE_H
#define STOKER_CONTROL_PARSE_H

#include "core/control/commands.h"

struct invocation {
	const struct command *cmd;
	bool json, check, raw, follow, dry_run, yes;
	struct str filter, sort;
	int limit; /* -1: not given */
	int offset;
	struct str arg; /* the first: target, domain, message id as written; for log the filter */
	struct str via; /* settings; suppress: the sender's domain */
	uint64_t
	    number; /* message ID, ack ALARM, reload --to; end and amend also in sched.number */
	bool has_target;
	bool amends;		/* amend: `for` was given, or a reason */
	struct sched_cmd sched; /* acts of the scheduler; id, who and session are the caller's */
};
/* False with one sentence: wrong usage. */
bool invocation_parse(const struct str *words, int n, struct arena *mem, us_t now,
		      struct invocation *out, struct errbuf *e);
/* The scheduler's command, or -1 if control does it. */
int invocation_sched_type(const struct command *c);

#endif
