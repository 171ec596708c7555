/* Faces of the command table that need nothing else: help, words of a line. */
#include "core/control/commands.h"

#include "core/base/clean.h"

enum { NAME_COLUMN = 40, NEAR = 3 };

void command_usage(const struct command *c, struct buf *out)
{
	buf_addz(out, c->name);
	if (*c->args)
		buf_addf(out, " %s", c->args);
	if (c->flags & COMMAND_OVERRIDE)
		buf_addz(out, " [for DURATION | for ever]");
	if (c->flags & COMMAND_ACT)
		buf_addz(out, " [because \"TEXT\"]");
	if (c->flags & COMMAND_IRREVERSIBLE)
		buf_addz(out, " [--yes]");
	if (c->flags & (COMMAND_LIST | COMMAND_SHOW))
		buf_addz(out, " [--json]");
	if (c->flags & COMMAND_LIST)
		buf_addf(out, " [--filter EXPR]%s [--limit N]%s",
			 c->flags & COMMAND_ORDERED ? "" : " [--sort FIELD]",
			 c->flags & COMMAND_WHOLE ? "" : " [--offset N]");
}

static void help_all(struct buf *out)
{
	int n;
	const struct command *c = command_table(&n);

	buf_addz(out, "stoker COMMAND ... ; `stoker help COMMAND` says more\n\n");
	for (int i = 0; i < n; i++) {
		size_t from = out->n, used;

		buf_addf(out, "  %s %s", c[i].name, c[i].args);
		used = out->n - from;
		buf_addf(out, "%*s%s\n", used < NAME_COLUMN ? (int)(NAME_COLUMN - used) : 1, "",
			 c[i].help);
	}
	buf_addz(out, "\nA running one is found by --socket PATH, $STOKER_SOCKET, or -c FILE.\n"
		      "Exit codes: 0 done, 1 refused or failed, 2 wrong usage or configuration, 3 "
		      "no running stoker.\n");
}

static void help_nearest(struct str name, struct buf *out)
{
	const char *best = NULL;
	int least = NEAR, n;
	const struct command *c = command_table(&n);

	for (int i = 0; i < n; i++) {
		int d = str_distance(str_of(c[i].name), name);

		if (d < least) {
			least = d;
			best = c[i].name;
		}
	}
	buf_addz(out, "there is no command \"");
	clean_add(out, name, false);
	buf_addc(out, '"');
	if (best)
		buf_addf(out, ", did you mean \"%s\"?", best);
	else
		buf_addz(out, "; `stoker help` lists all");
	buf_addc(out, '\n');
}

static void help_group(struct str word, struct buf *out)
{
	int n;
	const struct command *c = command_table(&n);

	for (int i = 0; i < n; i++)
		if (strncmp(c[i].name, word.p, word.n) == 0 && c[i].name[word.n] == ' ') {
			command_help(str_of(c[i].name), out);
			buf_addc(out, '\n');
		}
}

bool command_help(struct str name, struct buf *out)
{
	const struct command *c = command_find(name);

	if (!name.n) {
		help_all(out);
		return true;
	}
	if (!c) {
		help_nearest(name, out);
		return false;
	}
	if (strlen(c->name) > name.n) { /* the first word of several names */
		help_group(name, out);
		return true;
	}
	buf_addz(out, "stoker ");
	command_usage(c, out);
	buf_addf(out, "\n\n  %s\n", c->help);
	if (c->detail)
		buf_addf(out, "\n%s", c->detail);
	if (c->role >= ROLE_OPERATE)
		buf_addf(out, "\nNeeds the role %s.\n",
			 c->role == ROLE_ADMIN ? "admin" : "operate");
	return true;
}

bool command_help_words(const struct str *words, int n, struct buf *out)
{
	int used;
	const struct command *c = command_find_words(words, n, &used);

	return command_help(!n ? STR_LIT("") : c && used == 2 ? str_of(c->name) : words[0], out);
}

/* ---- words ---- */

enum { WORDS_MAX = 256 };

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* One word from *i on, without its quotes. A backslash inside quotes keeps the next character. */
static bool cut_word(struct str line, size_t *i, char *to, size_t *n, struct errbuf *e)
{
	bool quoted = false;

	for (*n = 0; *i < line.n && (quoted || !is_blank(line.p[*i])); (*i)++) {
		char c = line.p[*i];

		if (c == '"') {
			quoted = !quoted;
			continue;
		}
		if (quoted && c == '\\' && *i + 1 < line.n)
			c = line.p[++*i];
		to[(*n)++] = c;
	}
	if (quoted)
		errbuf_set(e, "a \" is open: its second one is missing");
	return !quoted;
}

bool command_split(struct str line, struct arena *mem, struct str **words, int *n, struct errbuf *e)
{
	struct str *v = arena_alloc(mem, WORDS_MAX * sizeof *v);
	char *text = arena_alloc(mem, line.n + WORDS_MAX + 1);
	size_t i = 0;

	*n = 0;
	*words = v;
	if (!v || !text) {
		errbuf_set(e, "no memory for the command");
		return false;
	}
	for (;;) {
		while (i < line.n && is_blank(line.p[i]))
			i++;
		if (i >= line.n)
			return true;
		if (*n >= WORDS_MAX) {
			errbuf_set(e, "a command has at most %d words", WORDS_MAX);
			return false;
		}
		struct str *w = &v[(*n)++];

		w->p = text;
		if (!cut_word(line, &i, text, &w->n, e))
			return false;
		text += w->n + 1; /* arena memory is zeroed: each word ends in NUL */
	}
}
