/* The one table of commands. A command stands here only when it works. */
#include "core/control/commands.h"

#include <stdio.h>

/* clang-format off */
#define ACT COMMAND_ACT
#define OVERRIDE (COMMAND_ACT | COMMAND_OVERRIDE)
#define FOREVER COMMAND_IRREVERSIBLE

static const char targets[] =
	"T is gmail.com (its queues by every route), gmail.com/pool-a (one queue), @google or\n"
	"@mx1.hoster.example (a provider or site, also domains that join later), google@vmta1 (a lane),\n"
	"vmta:NAME, pool:NAME, job:NAME, user:NAME, id:ID or all. * matches inside one part.\n";
static const char list_help[] =
	"--json writes {\"total\": N, \"rows\": [...]}. --filter EXPR: words are ANDed, !x, a|b, /re/,\n"
	"field:text, field>n (a field is a JSON name or a column heading). --sort FIELD, -FIELD inverts.\n"
	"--limit N, --offset N.\n";
static const char messages_help[] =
	"T as for pause. --json writes {\"total\": N, \"rows\": [...]}. --filter EXPR: words are ANDed, !x, a|b, /re/,\n"
	"field:text, field>n (a field is a JSON name or a column heading). In due order: there is no --sort.\n"
	"--limit N, --offset N.\n";
static const char pause_help[] =
	"T is gmail.com, gmail.com/pool-a, @google, google@vmta1, vmta:NAME, pool:NAME, job:NAME,\n"
	"user:NAME, id:ID or all. Without `for` a pause of domains, queues, providers and lanes lasts 4h; of jobs,\n"
	"users, messages and all until ended. It shows in `overrides`, holds over a restart, and `resume T` or\n"
	"`end NUMBER` ends it.\n";
static const char limit_help[] =
	"The limit counts over all that T names together; with `each`, for each lane of it. Without `for` it\n"
	"lasts 1h. The smallest of several limits binds: this one can't lift what backoff or another limit sets.\n";
static const char backoff_help[] =
	"T is @google, google@vmta1, vmta:NAME or all: a lane is in backoff, with all mail that goes through it. The limits\n"
	"backoff-max-smtp-out and backoff-max-msg-rate then hold too. Without `for` it lasts 1h; `normal T` or `end NUMBER` ends it.\n";
static const char irreversible_help[] =
	"This can't be undone. It takes what is queued now; the number of recipients is printed first and has\n"
	"to be typed on a terminal, elsewhere --yes is needed. Later arrivals stay; what is in a transaction is\n"
	"finished and reported.\n";

static const char suppress_add_help[] =
	"For mail of every sender; `for news.example`: of that sender's domain only. Stays until it is removed; `until 2027-01-31` and\n"
	"`for 30d` say how long. Mail to it is refused, or bounced, as [suppression] check says.\n";
static const char suppress_list_help[] =
	"FILTER as in lists, over address, domain, sender_domain, why (hard, complaint, soft, manual), category, reason, by, at, until,\n"
	"message; an address or @domain alone is found without a walk. In the order of domain and local part: there is no --sort.\n"
	"--json writes {\"rows\": [...], \"total\": N}. --limit N, --offset N.\n";
static const char suppress_import_help[] =
	"An address a line, or CSV (address, sender_domain), or CSV whose first line names its columns: address and some of sender_domain,\n"
	"why, at, until, category, reason, as `suppress export` writes them. - reads standard input. Wrong lines are named and left out\n"
	"(exit code 1); what is there already stays. Nobody is told of the addresses by an event.\n";

static const struct command commands[] = {
	/* here, without a running one */
	{ "run", "[-c FILE] [--headless]", "the MTA; on a terminal with its console",
	  "On a terminal the MTA starts in the background and this becomes its console: q detaches, mail goes on.\n"
	  "--headless stays in the foreground (systemd, containers).\n", ROLE_NONE, COMMAND_LOCAL },
	{ "attach", "[--read-only] [--plain]", "the console of the running one",
	  "--plain: lines and numbered choices, for screen readers and dumb terminals.\n", ROLE_READ, COMMAND_LOCAL | COMMAND_CLIENT },
	{ "demo", "", "simulated receivers, traffic and console in one terminal; nothing leaves loopback", NULL, ROLE_NONE, COMMAND_LOCAL },
	{ "sim", "", "only the simulated receivers", NULL, ROLE_NONE, COMMAND_LOCAL },
	{ "check", "[-c FILE]", "all errors and warnings of a configuration", "Exits 2 on errors.\n", ROLE_NONE, COMMAND_LOCAL },
	{ "passwd", "", "makes the password line of an [smtp-user]",
	  "Asks twice without echo on a terminal, else reads one line from standard input; prints password = HASH, crypt(3).\n",
	  ROLE_NONE, COMMAND_LOCAL },
	{ "classify", "[--receiver NAME] [--json] [--time]", "what replies mean: category, hard or soft, effect on the lane",
	  "Reads replies on standard input, one a line (the lines of one joined by a literal \\n; without a code: a local failure), and prints\n"
	  "category, hard or soft, lane (none, slower, backoff) and the rule that said so. First rules what matches first: your\n"
	  "[bounce-category-patterns], those that come with Stoker (bounces.ini: receivers first, then wordings), then the enhanced\n"
	  "code; with none of them it is \"other\", soft. The lane: [pattern-list default], yours and the shipped one, then the category's rule, then the codes.\n"
	  "--receiver is a provider or MX host. --time says how long one takes. -c FILE: by that configuration.\n", ROLE_NONE, COMMAND_LOCAL },
	{ "import-pmta", "FILE [-o FILE]", "PowerMTA's configuration to Stoker's",
	  "The configuration goes to -o FILE (a new one, for its owner only) or standard output. Standard error gets a line for each directive\n"
	  "and section: FILE:LINE: taken, approximated or dropped, and why. `stoker check -c FILE` accepts what it writes.\n", ROLE_NONE, COMMAND_LOCAL },
	{ "read-report", "FILE... [--json] [--key FILE]", "what it makes of a bounce or feedback report; changes nothing",
	  "For each recipient: what happened, the status, hard or soft, the receiver's words. With --key its tokens are verified: matched\n"
	  "is then verp (the return path) or ref (X-Stoker-Ref); else unverified.\n", ROLE_NONE, COMMAND_LOCAL },
	{ "help", "[COMMAND] [--page NAME]", "this, or one command in full",
	  "--page writes what is made from the tables of commands and directives: the manual pages stoker.1 and\n"
	  "stoker.ini.5 (for man -l -), or completion (for bash).\n", ROLE_NONE, COMMAND_LOCAL },

	/* lists */
	{ "status", "[--check]", "what it does, in one screen",
	  "--check prints one line and exits 0 (no alarm), 1 (yellow) or 2 (red) for a monitor; acknowledged alarms and\n"
	  "notes don't count. 3: no running stoker.\n", ROLE_READ, COMMAND_SHOW },
	{ "queues", "", "the queues: domain and route", list_help, ROLE_READ, COMMAND_LIST },
	{ "sites", "", "providers and sites", list_help, ROLE_READ, COMMAND_LIST },
	{ "lanes", "", "providers and sites by virtual MTA", list_help, ROLE_READ, COMMAND_LIST },
	{ "sources", "", "the virtual MTAs", list_help, ROLE_READ, COMMAND_LIST },
	{ "jobs", "", "campaigns", list_help, ROLE_READ, COMMAND_LIST },
	{ "messages", "[T]", "recipients of a target, in due order; without T all", messages_help, ROLE_READ, COMMAND_LIST | COMMAND_ORDERED },
	{ "feedback", "", "bounces by receiver and category, and complaints, over hour and day", list_help, ROLE_READ, COMMAND_LIST },
	{ "reputation", "", "bounce and complaint rates of receivers, virtual MTAs and jobs", list_help, ROLE_READ, COMMAND_LIST },
	{ "overrides", "", "every live change by hand, and acts", list_help, ROLE_READ, COMMAND_LIST },
	{ "alarms", "", "what needs a person, ordered by harm", list_help, ROLE_READ, COMMAND_LIST },

	/* one, in full */
	{ "queue", "T", "one queue, domain, provider or site in full", targets, ROLE_READ, COMMAND_SHOW },
	{ "lane", "T", "one lane in full", "T is google@vmta1.\n", ROLE_READ, COMMAND_SHOW },
	{ "message", "ID [--raw]", "one message in full", "--raw writes its bytes as they go on the wire.\n", ROLE_READ, COMMAND_SHOW },
	{ "settings", "DOMAIN [via NAME]", "what holds for a domain, and which line says so", NULL, ROLE_READ, COMMAND_SHOW },
	{ "resolve", "DOMAIN", "what the DNS says of a domain", NULL, ROLE_READ, COMMAND_SHOW },
	{ "log", "[-f] [FILTER]", "what happened to mail, newest last; -f follows",
	  "FILTER as in lists; fields are most of those of the events' JSON: type, sender, recipient, queue, site,\n"
	  "virtual_mta, mx, reply, category, job, user, size, attempt, seconds ... Without -f the last 1,000 (--limit N; 0: all it remembers, 100,000).\n",
	  ROLE_READ, COMMAND_LIST | COMMAND_FOLLOW | COMMAND_ORDERED | COMMAND_WHOLE },

	/* acts */
	{ "pause", "T", "hold mail back", pause_help, ROLE_OPERATE, OVERRIDE },
	{ "resume", "T", "end the pauses made on T", "Names a wider pause that still holds. `resume all` ends drain, too.\n", ROLE_OPERATE, ACT },
	{ "rate", "T R [each]", "limit recipients attempted: 10/s, 600/min, 50/hour", limit_help, ROLE_OPERATE, OVERRIDE },
	{ "connections", "T N [each]", "limit connections", limit_help, ROLE_OPERATE, OVERRIDE },
	{ "backoff", "T", "put lanes into backoff mode", backoff_help, ROLE_OPERATE, OVERRIDE },
	{ "normal", "T", "end backoff mode", "Whoever began it: a rule, or `backoff` on the same T. Names a wider one that still holds.\n",
	  ROLE_OPERATE, ACT },
	{ "retry", "T", "end waits now", "Never lifts a limit, a pause or backoff.\n", ROLE_OPERATE, ACT },
	{ "disable", "vmta:NAME [at @PROVIDER]", "take a source out", "Lasts until `enable` or `end`, unless `for` says how long.\n",
	  ROLE_OPERATE, OVERRIDE },
	{ "enable", "vmta:NAME [at @PROVIDER]", "take a source back in", NULL, ROLE_OPERATE, ACT },
	{ "end", "OVERRIDE", "end an override by its number", NULL, ROLE_OPERATE, ACT },
	{ "undo", "", "end your own last override", "On a terminal it is shown first.\n", ROLE_OPERATE, ACT },
	{ "amend", "OVERRIDE", "a new expiry or reason for an override", NULL, ROLE_OPERATE, OVERRIDE },
	{ "ack", "ALARM", "acknowledge an alarm by its number", NULL, ROLE_OPERATE, ACT },
	{ "suppress add", "ADDRESS [for DOMAIN] [until DATE | for DURATION]", "no more mail to an address", suppress_add_help, ROLE_OPERATE, ACT },
	{ "suppress remove", "ADDRESS [for DOMAIN]", "mail to it again",
	  "Without `for` it is taken off for every sender's domain that it is there for.\n", ROLE_OPERATE, ACT },
	{ "suppress list", "[FILTER]", "the suppression list", suppress_list_help, ROLE_READ, COMMAND_LIST | COMMAND_ORDERED },
	{ "suppress import", "FILE", "many addresses onto the suppression list", suppress_import_help, ROLE_OPERATE, ACT },
	{ "suppress export", "", "all of it as CSV", NULL, ROLE_READ, 0 },
	{ "rotate", "", "new log files", NULL, ROLE_OPERATE, ACT },
	{ "reload", "[--dry-run] [--to NUMBER]", "print what changed in the files, then apply it",
	  "--dry-run only prints. --to goes back to a stored configuration; the files stay as they are. Any error: nothing changes.\n",
	  ROLE_ADMIN, ACT },
	{ "drain", "", "refuse new mail, deliver what is here, until `resume all`", NULL, ROLE_ADMIN, ACT },
	{ "shutdown", "", "finish what is in flight, then stop", "On a terminal the host name has to be typed, elsewhere --yes is needed.\n",
	  ROLE_ADMIN, ACT | FOREVER },
	{ "move", "T ROUTE [share 50%]", "send what is queued by another route", irreversible_help, ROLE_ADMIN, ACT | FOREVER },
	{ "bounce", "T", "bounce what is queued, with reports", irreversible_help, ROLE_ADMIN, ACT | FOREVER },
	{ "delete", "T", "delete what is queued, silently", irreversible_help, ROLE_ADMIN, ACT | FOREVER },
};
/* clang-format on */

const struct command *command_table(int *n)
{
	*n = (int)(sizeof commands / sizeof commands[0]);
	return commands;
}

const struct command *command_find(struct str name)
{
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (str_eqz(name, commands[i].name))
			return &commands[i];
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strncmp(commands[i].name, name.p, name.n) == 0 && name.n &&
		    commands[i].name[name.n] == ' ')
			return &commands[i];
	return NULL;
}

const struct command *command_find_words(const struct str *words, int n, int *used)
{
	char two[32];
	const struct command *c;

	*used = 1;
	if (n > 1 && words[0].n + words[1].n + 2 <= sizeof two) {
		snprintf(two, sizeof two, "%.*s %.*s", (int)words[0].n, words[0].p, (int)words[1].n,
			 words[1].p);
		c = command_find(str_of(two));
		if (c && strcmp(c->name, two) == 0) {
			*used = 2;
			return c;
		}
	}
	return n ? command_find(words[0]) : NULL;
}
