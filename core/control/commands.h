/* The one table of commands: name, arguments, role, reversible or not, help, function. CLI, console
 * keys and `:` line, and HTTP are its faces; `stoker help`, the manual and completion are made from
 * it. */
#ifndef STOKER_CONTROL_COMMANDS_H
#define STOKER_CONTROL_COMMANDS_H

#include "core/base/arena.h"
#include "core/control/query.h"
#include "core/sched/command.h"

enum role { ROLE_NONE, ROLE_READ, ROLE_OPERATE, ROLE_ADMIN };

enum command_flags {
	COMMAND_LOCAL = 1, /* works without a running Stoker (run, check, help …); main.c has it */
	COMMAND_OVERRIDE = 2,	  /* takes for DURATION, for ever, because "TEXT" */
	COMMAND_ACT = 4,	  /* takes because "TEXT" */
	COMMAND_IRREVERSIBLE = 8, /* count first, then --yes or the typed number */
	COMMAND_LIST = 16,	  /* takes --json --filter --sort --limit --offset */
	COMMAND_SHOW = 32,	  /* takes --json */
	COMMAND_FOLLOW = 64,	  /* its output goes on (log -f) */
	COMMAND_ORDERED = 256,	  /* a list in an order of its own: --sort is refused */
	COMMAND_WHOLE = 512,	  /* a list that begins where it begins: --offset is refused */
	COMMAND_CLIENT = 128,	  /* the client does part of it (attach) */
};
struct command {
	const char *name;
	const char *args;   /* "T R [each]" */
	const char *help;   /* one line */
	const char *detail; /* paragraphs; may be NULL */
	enum role role;
	unsigned flags;
};
/* Above so much the console asks first (CONSOLE.md, "Risk ladder"). */
enum { RISK_DOMAINS = 10, RISK_RETRY = 1000 };
const struct command *command_table(int *n);
/* Some names are of two words ("suppress add"): the first alone finds the first of these. */
const struct command *command_find(struct str name);
/* The command that a line begins with, and how many of its words are the name. */
const struct command *command_find_words(const struct str *words, int n, int *used);
/* "rate T R [each] [for DURATION | for ever] [because "TEXT"]". */
void command_usage(const struct command *c, struct buf *out);
/* `stoker help [COMMAND]`; false: no such command (nearest names are printed). */
bool command_help(struct str name, struct buf *out);
/* The same of the words of a name; none: all. */
bool command_help_words(const struct str *words, int n, struct buf *out);
/* Words of a command line with "quotes"; false with a sentence if a quote is open. Slices into
 * `mem`. */
bool command_split(struct str line, struct arena *mem, struct str **words, int *n,
		   struct errbuf *e);
/* Completions of the last word of a line (commands, targets, fields) for `:` and shell; calls fn
 * for each. */
void command_complete(struct mirror *m, struct str line, void (*fn)(void *arg, struct str word),
		      void *arg);

#endif
