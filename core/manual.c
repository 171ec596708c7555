#include "core/manual.h"

#include "core/control/commands.h"
#include "core/roff.h"

const char manual_names[] = "stoker.1, stoker.ini.5, completion";

/* ---- stoker(1) ---- */

static void command_item(struct buf *out, const struct command *c)
{
	struct buf usage;
	buf_init(&usage);
	command_usage(c, &usage);
	buf_addz(out, ".TP\n\\fB");
	roff_text(out, buf_z(&usage));
	buf_addz(out, "\\fR\n");
	roff_line(out, c->help);
	if (c->role >= ROLE_OPERATE)
		buf_addf(out, ".br\nNeeds the role %s.\n",
			 c->role == ROLE_ADMIN ? "admin" : "operate");
	if (c->detail) {
		buf_addz(out, ".RS\n");
		roff_verbatim(out, c->detail);
		buf_addz(out, ".RE\n");
	}
	buf_free(&usage);
}

static void stoker_1(struct buf *out)
{
	int n = 0;
	const struct command *c = command_table(&n);
	roff_head(out, "stoker", 1, "an outbound mail server with its control room built in");
	buf_addz(out, ".SH SYNOPSIS\n\\fBstoker\\fR [\\-c \\fIFILE\\fR] [\\-\\-socket "
		      "\\fIPATH\\fR] \\fICOMMAND\\fR ...\n");
	roff_section(
	    out, "DESCRIPTION",
	    "Stoker sends mail as fast as each receiver tolerates and no faster, shows live "
	    "why a queue is not "
	    "sending faster, and lets the operator change it while mail flows. `stoker run` is "
	    "the server, "
	    "`stoker attach` its console; the other commands ask or steer the one that runs. "
	    "What a key of the "
	    "console does is one of these commands.");
	roff_section(out, "COMMANDS", NULL);
	for (int i = 0; i < n; i++)
		command_item(out, &c[i]);
	roff_section(out, "OPTIONS", NULL);
	roff_item(out, "-c", "FILE",
		  "The configuration; /etc/stoker/stoker.ini if it is not given.");
	roff_item(out, "--socket", "PATH",
		  "The control socket of the running one; else $STOKER_SOCKET, else that of the "
		  "configuration.");
	roff_item(out, "--version", "", "Prints the version.");
	roff_section(out, "EXIT STATUS",
		     "0 done, 1 refused or failed (one line on stderr says why), 2 wrong usage or "
		     "configuration, 3 no "
		     "running stoker.");
	roff_section(
	    out, "SIGNALS",
	    "HUP reloads the configuration, USR1 starts new log files, TERM and INT finish "
	    "what is in flight "
	    "within 30 s and stop; a second one stops at once. Nothing that was accepted is "
	    "lost either way.");
	roff_section(out, "ENVIRONMENT", NULL);
	roff_item(out, "STOKER_SOCKET", "", "The control socket of the running one.");
	roff_item(out, "NO_COLOR", "", "If set, the console uses no colours.");
	roff_item(out, "NOTIFY_SOCKET, WATCHDOG_USEC", "",
		  "As systemd sets them: `run` says when it is ready, and gives signs of life.");
	roff_section(out, "FILES", NULL);
	roff_item(out, "/etc/stoker/stoker.ini", "", "The configuration, stoker.ini(5).");
	roff_item(out, "/var/spool/stoker", "", "Messages and state; nobody else may read it.");
	roff_item(out, "/var/log/stoker/delivery.log", "",
		  "What happened to each recipient; beside it JSON lines.");
	roff_section(out, "SEE ALSO", "stoker.ini(5)");
}

/* ---- completion ---- */

/* Of a command of two words: "suppress add". */
static bool same_first(const char *a, const char *b)
{
	size_t word = strcspn(a, " ");
	return word == strcspn(b, " ") && strncmp(a, b, word) == 0;
}

static void words_where(struct buf *out, bool (*is)(const struct command *c))
{
	int n = 0;
	const struct command *c = command_table(&n);
	const char *last = NULL;
	for (int i = 0; i < n; i++) {
		size_t word = strcspn(c[i].name, " ");
		if ((is && !is(&c[i])) || (last && same_first(last, c[i].name)))
			continue;
		buf_addf(out, "%s%.*s", last ? " " : "", (int)word, c[i].name);
		last = c[i].name;
	}
}

static bool takes_target(const struct command *c)
{
	return c->args[0] == 'T' || (c->args[0] == '[' && c->args[1] == 'T');
}
static bool takes_source(const struct command *c)
{
	return strncmp(c->args, "vmta:NAME", 9) == 0;
}
static bool is_sorted(const struct command *c)
{
	return (c->flags & (COMMAND_LIST | COMMAND_ORDERED)) == COMMAND_LIST;
}
static bool is_ordered(const struct command *c)
{
	return (c->flags & (COMMAND_LIST | COMMAND_ORDERED | COMMAND_WHOLE)) ==
		   (COMMAND_LIST | COMMAND_ORDERED) &&
	       !strchr(c->name, ' ');
}
static bool is_whole(const struct command *c)
{
	return c->flags & COMMAND_LIST && c->flags & COMMAND_WHOLE;
}
static bool is_show(const struct command *c)
{
	return c->flags & COMMAND_SHOW;
}
static bool is_override(const struct command *c)
{
	return c->flags & COMMAND_OVERRIDE;
}

static void case_of(struct buf *out, bool (*is)(const struct command *c), const char *then)
{
	struct buf words;
	buf_init(&words);
	words_where(&words, is);
	buf_addc(out, '\t');
	for (size_t i = 0; i < words.n; i++)
		buf_addc(out, words.p[i] == ' ' ? '|' : words.p[i]);
	buf_addf(out, ") w+=\" %s\" ;;\n", then);
	buf_free(&words);
}

/* The second words of each first one that has some. */
static void cases_of_two(struct buf *out)
{
	int n = 0;
	const struct command *c = command_table(&n);
	for (int i = 0; i < n; i++) {
		const char *second = strchr(c[i].name, ' ');
		if (!second || (i && same_first(c[i - 1].name, c[i].name)))
			continue;
		buf_addf(out, "\t%.*s) [ \"$n\" = 2 ] && w+=\"", (int)(second - c[i].name),
			 c[i].name);
		for (int k = i; k < n && same_first(c[i].name, c[k].name); k++)
			buf_addz(out, strchr(c[k].name, ' '));
		buf_addc(out, '"');
		for (int k = i; k < n && same_first(c[i].name, c[k].name); k++)
			if (c[k].flags & COMMAND_LIST)
				buf_addf(out,
					 "\n\t\t[ \"${words[2]}\" = %s ] && w+=\" --json --filter "
					 "--limit --offset\"",
					 strchr(c[k].name, ' ') + 1);
		buf_addz(out, " ;;\n");
	}
}

/* The options that stand in its usage: "[--dry-run] [--to NUMBER]". */
static void options_of(struct str args, struct buf *out)
{
	while (args.n) {
		size_t word = 0;
		if (args.p[0] == '-')
			while (word < args.n && !strchr(" ]|", args.p[word]))
				word++;
		if (word > 1)
			buf_addf(out, " %.*s", (int)word, args.p);
		if (!word) /* the rest of a word that is no option */
			while (word < args.n && !strchr(" [|", args.p[word]))
				word++;
		word += word < args.n;
		args.p += word;
		args.n -= word;
	}
}

static void cases_of_options(struct buf *out)
{
	int n = 0;
	const struct command *c = command_table(&n);
	for (int i = 0; i < n; i++) {
		struct buf options;
		buf_init(&options);
		options_of(str_of(c[i].args), &options);
		if (options.n && !strchr(c[i].name, ' '))
			buf_addf(out, "\t%s) w+=\"%s\" ;;\n", c[i].name, buf_z(&options));
		buf_free(&options);
	}
}

/* The words are cut at blanks only: bash would also cut "vmta:NAME" and "@google" in two, and then
 * replaces but the last part. */
static void completion(struct buf *out)
{
	buf_addz(out,
		 "# bash completion of stoker, made by `stoker help --page completion`\n"
		 "_stoker_names() {\n"
		 "\tstoker \"$1\" --json --limit 500 2>/dev/null |\n"
		 "\t\tgrep -o \"\\\"$2\\\":\\\"[^\\\"]*\\\"\" | cut -d'\"' -f4 | sed \"s/^/$3/\"\n"
		 "}\n"
		 "_stoker() {\n"
		 "\tlocal line=${COMP_LINE:0:COMP_POINT} words w= cut n\n"
		 "\tlocal cur=${line##*[[:space:]]}\n"
		 "\tread -ra words <<< \"${line%\"$cur\"}\"\n"
		 "\tn=${#words[@]}\n"
		 "\tCOMPREPLY=()\n"
		 "\tcase ${words[n-1]} in\n"
		 "\t-c|--socket) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n"
		 "\tesac\n"
		 "\tif [ \"$n\" = 1 ] || [ \"${words[1]}$n\" = help2 ]; then\n"
		 "\t\tw=\"");
	words_where(out, NULL);
	buf_addz(out,
		 "\"\n\tfi\n"
		 "\tif [ \"$n\" = 2 ] && [ \"${cur:0:1}\" != - ]; then\n\tcase ${words[1]} in\n");
	case_of(out, takes_target,
		"all $(_stoker_names queues name '') $(_stoker_names queues domain '') "
		"$(_stoker_names sites name @) "
		"$(_stoker_names lanes name '') $(_stoker_names sources virtual_mta vmta:) "
		"$(_stoker_names jobs name job:)");
	case_of(out, takes_source, "$(_stoker_names sources virtual_mta vmta:)");
	buf_addz(out, "\tesac\n\tfi\n\tcase ${words[1]} in\n");
	case_of(out, is_sorted, "--json --filter --sort --limit --offset");
	case_of(out, is_ordered, "--json --filter --limit --offset");
	case_of(out, is_whole, "--json --filter --limit");
	case_of(out, is_show, "--json");
	case_of(out, is_override, "for because");
	buf_addz(out, "\tesac\n\tcase ${words[1]} in\n");
	cases_of_two(out);
	buf_addz(out, "\tesac\n\tcase ${words[1]} in\n");
	cases_of_options(out);
	buf_addz(out,
		 "\tesac\n"
		 "\t[ \"${cur:0:1}\" = - ] && [ \"${words[1]}\" != sim ] && w+=\" -c --socket\"\n"
		 "\tcut=${cur%\"${cur##*[:@]}\"}\n"
		 "\tCOMPREPLY=($(compgen -W \"$w\" -- \"$cur\"))\n"
		 "\tCOMPREPLY=(\"${COMPREPLY[@]#\"$cut\"}\")\n"
		 "}\n"
		 "complete -F _stoker stoker\n");
}

bool manual_page(struct str name, struct buf *out)
{
	static const struct {
		const char *name;
		void (*make)(struct buf *out);
	} pages[] = { { "stoker.1", stoker_1 },
		      { "stoker.ini.5", manual_stoker_ini_5 },
		      { "completion", completion } };
	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		if (!str_eqz(name, pages[i].name))
			continue;
		pages[i].make(out);
		return true;
	}
	return false;
}
