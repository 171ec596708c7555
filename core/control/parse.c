#include "core/control/parse.h"
#include "core/control/text.h"

#include <stdlib.h>

#include "core/base/domain.h"
#include "core/base/fmt.h"

enum { POSITIONAL_MAX = 8, LIMIT_MAX = 100000000, CONNECTIONS_MAX = 1000000 };

/* Words that are left when options and `for`, `because` are taken out. */
struct parse {
	struct arena *mem;
	us_t now;
	struct invocation *out;
	struct errbuf *e;
	const struct str *words;
	int n, i;
	struct str positional[POSITIONAL_MAX];
	int npositional;
	bool positional_only;
};

/* ---- options ---- */

static bool refuse(struct parse *p, const char *what, struct str word)
{
	errbuf_set(p->e, "%s: %s \"%.*s\"; `stoker help %s` says what it takes", p->out->cmd->name,
		   what, (int)word.n, word.p, p->out->cmd->name);
	return false;
}

/* The word behind an option or keyword. */
static bool next_word(struct parse *p, struct str *out)
{
	if (p->i + 1 >= p->n) {
		errbuf_set(p->e, "%s: nothing follows \"%.*s\"", p->out->cmd->name,
			   (int)p->words[p->i].n, p->words[p->i].p);
		return false;
	}
	*out = p->words[++p->i];
	return true;
}

static bool next_number(struct parse *p, int64_t lo, int64_t hi, int64_t *out)
{
	struct str word, option = p->words[p->i];
	struct errbuf why;

	if (!next_word(p, &word))
		return false;
	if (!fmt_parse_int(word, lo, hi, out, &why))
		return true;
	errbuf_set(p->e, "%.*s: %s", (int)option.n, option.p, why.text);
	return false;
}

static bool take_filter(struct parse *p)
{
	return next_word(p, &p->out->filter);
}

static bool take_sort(struct parse *p)
{
	return next_word(p, &p->out->sort);
}

static bool take_limit(struct parse *p)
{
	int64_t n;

	if (!next_number(p, 0, LIMIT_MAX, &n))
		return false;
	p->out->limit = (int)n;
	return true;
}

static bool take_offset(struct parse *p)
{
	int64_t n;

	if (!next_number(p, 0, LIMIT_MAX, &n))
		return false;
	p->out->offset = (int)n;
	return true;
}

static bool take_to(struct parse *p)
{
	int64_t n;

	if (!next_number(p, 1, INT64_MAX, &n))
		return false;
	p->out->number = (uint64_t)n;
	return true;
}

static bool take_expect(struct parse *p)
{
	return next_number(p, 0, INT64_MAX, &p->out->sched.expect);
}

static bool take_shown_at(struct parse *p)
{
	return next_number(p, 1, INT64_MAX, &p->out->sched.shown_at);
}

static bool take_json(struct parse *p)
{
	p->out->json = true;
	return true;
}

static bool take_check(struct parse *p)
{
	p->out->check = true;
	return true;
}

static bool take_raw(struct parse *p)
{
	p->out->raw = true;
	return true;
}

static bool take_follow(struct parse *p)
{
	p->out->follow = true;
	return true;
}

static bool take_dry_run(struct parse *p)
{
	p->out->dry_run = true;
	return true;
}

static bool take_yes(struct parse *p)
{
	p->out->yes = true;
	return true;
}

static const struct option {
	const char *word;
	unsigned flags;	  /* commands with one of these take it */
	const char *only; /* or this one */
	bool (*take)(struct parse *p);
} options[] = {
	{ "--json", COMMAND_LIST | COMMAND_SHOW, NULL, take_json },
	{ "--filter", COMMAND_LIST, NULL, take_filter },
	{ "--sort", COMMAND_LIST, NULL, take_sort },
	{ "--limit", COMMAND_LIST, NULL, take_limit },
	{ "--offset", COMMAND_LIST, NULL, take_offset },
	{ "--check", 0, "status", take_check },
	{ "--raw", 0, "message", take_raw },
	{ "-f", COMMAND_FOLLOW, NULL, take_follow },
	{ "--follow", COMMAND_FOLLOW, NULL, take_follow },
	{ "--dry-run", COMMAND_IRREVERSIBLE, "reload", take_dry_run },
	{ "--to", 0, "reload", take_to },
	{ "--yes", COMMAND_ACT, NULL, take_yes }, /* harmless where nothing is asked */
	{ "--expect", COMMAND_IRREVERSIBLE, NULL, take_expect },
	{ "--shown-at", COMMAND_IRREVERSIBLE, NULL, take_shown_at },
};

static bool take_option(struct parse *p, struct str word)
{
	for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
		const struct option *o = &options[i];

		if (!str_eqz(word, o->word))
			continue;
		if ((p->out->cmd->flags & o->flags) ||
		    (o->only && strcmp(o->only, p->out->cmd->name) == 0))
			return o->take(p);
	}
	return refuse(p, "it has no option", word);
}

/* ---- for, because ---- */

static bool take_for(struct parse *p)
{
	struct str word;
	struct errbuf why;
	us_t span;

	if (!next_word(p, &word))
		return false;
	p->out->amends = true;
	if (str_ieqz(word, "ever")) {
		p->out->sched.until = US_NEVER;
		return true;
	}
	if (fmt_parse_duration(word, &span, &why)) {
		errbuf_set(p->e, "for %.*s: %s, or \"for ever\"", (int)word.n, word.p, why.text);
		return false;
	}
	p->out->sched.until = span >= US_NEVER - p->now ? US_NEVER : p->now + span;
	return true;
}

static bool take_because(struct parse *p)
{
	p->out->amends = true;
	return next_word(p, &p->out->sched.reason);
}

static bool take_words(struct parse *p)
{
	unsigned flags = p->out->cmd->flags;

	for (; p->i < p->n; p->i++) {
		struct str word = p->words[p->i];
		bool option = word.n > 1 && word.p[0] == '-' && !p->positional_only, ok = true;

		if (option && str_eqz(word, "--"))
			p->positional_only = true;
		else if (option)
			ok = take_option(p, word);
		else if ((flags & COMMAND_OVERRIDE) && p->npositional && str_eqz(word, "for"))
			ok = take_for(p);
		else if ((flags & COMMAND_ACT) && str_eqz(word, "because"))
			ok = take_because(p);
		else if (p->npositional >= POSITIONAL_MAX)
			return refuse(p, "one word too many:", word);
		else
			p->positional[p->npositional++] = word;
		if (!ok)
			return false;
	}
	return true;
}

/* ---- arguments ---- */

static bool wants(struct parse *p, int lo, int hi)
{
	if (p->npositional > hi)
		return refuse(p, "one word too many:", p->positional[hi]);
	if (p->npositional >= lo)
		return true;
	errbuf_set(p->e, "%s takes %s; `stoker help %s` says more", p->out->cmd->name,
		   p->out->cmd->args, p->out->cmd->name);
	return false;
}

static bool target_of(struct parse *p, struct str word)
{
	p->out->arg = word;
	p->out->has_target = true;
	return !target_parse(word, &p->out->sched.target, p->e);
}

static bool args_none(struct parse *p)
{
	return wants(p, 0, 0);
}

static bool args_target(struct parse *p)
{
	return wants(p, 1, 1) && target_of(p, p->positional[0]);
}

static bool args_optional_target(struct parse *p)
{
	return wants(p, 0, 1) && (!p->npositional || target_of(p, p->positional[0]));
}

static bool args_lane(struct parse *p)
{
	if (!args_target(p))
		return false;
	if (p->out->sched.target.kind == TARGET_LANE)
		return true;
	errbuf_set(p->e, "a lane is written google@vmta1; \"%.*s\" is none", (int)p->out->arg.n,
		   p->out->arg.p);
	return false;
}

static bool parse_each(struct parse *p)
{
	if (p->npositional < 3)
		return true;
	p->out->sched.each = str_eqz(p->positional[2], "each");
	return p->out->sched.each || refuse(p, "expected \"each\", not", p->positional[2]);
}

static bool args_rate(struct parse *p)
{
	struct errbuf why;

	if (!wants(p, 2, 3) || !target_of(p, p->positional[0]) || !parse_each(p))
		return false;
	if (fmt_parse_rate(p->positional[1], &p->out->sched.rate, &why)) {
		errbuf_set(p->e, "rate: %s", why.text);
		return false;
	}
	if (!rate_unlimited(p->out->sched.rate))
		return true;
	errbuf_set(p->e,
		   "rate: a limit by hand can't be unlimited; `end` the override, or change the "
		   "configuration");
	return false;
}

static bool args_connections(struct parse *p)
{
	struct errbuf why;
	int64_t n;

	if (!wants(p, 2, 3) || !target_of(p, p->positional[0]) || !parse_each(p))
		return false;
	if (fmt_parse_int(p->positional[1], 1, CONNECTIONS_MAX, &n, &why)) {
		errbuf_set(p->e, "connections: %s; to stop altogether: pause", why.text);
		return false;
	}
	p->out->sched.connections = (int)n;
	return true;
}

/* vmta:NAME [at @PROVIDER] */
static bool args_source(struct parse *p)
{
	struct sched_cmd *s = &p->out->sched;

	if (!wants(p, 1, 3) || !target_of(p, p->positional[0]))
		return false;
	if (s->target.kind != TARGET_VMTA) {
		errbuf_set(p->e, "%s takes vmta:NAME, not \"%.*s\"", p->out->cmd->name,
			   (int)p->out->arg.n, p->out->arg.p);
		return false;
	}
	if (p->npositional == 1)
		return true;
	if (p->npositional == 2 || !str_eqz(p->positional[1], "at"))
		return refuse(p, "expected \"at @PROVIDER\", not", p->positional[1]);
	if (target_parse(p->positional[2], &s->at, p->e))
		return false;
	return s->at.kind == TARGET_SITE ||
	       refuse(p, "after \"at\" comes @PROVIDER or @SITE, not", p->positional[2]);
}

/* T ROUTE [share 50%] */
static bool args_move(struct parse *p)
{
	struct errbuf why;

	if (!wants(p, 2, 4) || !target_of(p, p->positional[0]))
		return false;
	p->out->sched.route = p->positional[1];
	if (p->npositional == 2)
		return true;
	if (p->npositional == 3 || !str_eqz(p->positional[2], "share"))
		return refuse(p, "expected \"share 50%\", not", p->positional[2]);
	if (fmt_parse_percent(p->positional[3], &p->out->sched.share, &why)) {
		errbuf_set(p->e, "share: %s", why.text);
		return false;
	}
	if (p->out->sched.share > 0 && p->out->sched.share <= 1)
		return true;
	errbuf_set(p->e, "share: from 1%% to 100%%");
	return false;
}

static bool args_number(struct parse *p)
{
	struct errbuf why;
	int64_t n;

	if (!wants(p, 1, 1))
		return false;
	if (fmt_parse_int(p->positional[0], 1, INT64_MAX, &n, &why)) {
		errbuf_set(p->e, "%s takes a number: %s", p->out->cmd->name, why.text);
		return false;
	}
	p->out->number = p->out->sched.number = (uint64_t)n;
	return true;
}

static bool args_amend(struct parse *p)
{
	if (!args_number(p))
		return false;
	if (p->out->amends)
		return true;
	errbuf_set(
	    p->e, "amend: nothing to change; add `for DURATION`, `for ever` or `because \"TEXT\"`");
	return false;
}

/* A message id: hexadecimal, with or without "id:". */
static bool args_message(struct parse *p)
{
	struct str id;
	char text[20], *end;

	if (!wants(p, 1, 1))
		return false;
	id = p->out->arg = p->positional[0];
	if (str_istarts(id, "id:")) {
		id.p += 3;
		id.n -= 3;
	}
	if (id.n && id.n <= 16) {
		memcpy(text, id.p, id.n);
		text[id.n] = '\0';
		p->out->number = strtoull(text, &end, 16);
		if (!*end && text[strspn(text, "0123456789abcdefABCDEF")] == '\0')
			return true;
	}
	errbuf_set(p->e, "message takes an id such as 4f2a77, not \"%.*s\"", (int)p->out->arg.n,
		   p->out->arg.p);
	return false;
}

static bool args_domain(struct parse *p)
{
	if (!wants(p, 1, 1))
		return false;
	p->out->arg = p->positional[0];
	return true;
}

static bool args_settings(struct parse *p)
{
	if (!wants(p, 1, 3))
		return false;
	p->out->arg = p->positional[0];
	if (p->npositional == 1)
		return true;
	if (p->npositional == 2 || !str_eqz(p->positional[1], "via"))
		return refuse(p, "expected \"via NAME\", not", p->positional[1]);
	p->out->via = p->positional[2];
	return true;
}

/* No domain's last label begins with a digit: "30days" is meant as a time, and "127.0.0.1" is none.
 */
static bool begins_with_digit(struct str word)
{
	size_t at = word.n;

	while (at && word.p[at - 1] != '.')
		at--;
	return at < word.n && word.p[at] >= '0' && word.p[at] <= '9';
}

/* ADDRESS [for DOMAIN] [until DATE | for DURATION]: what is no span is a domain. */
static bool suppress_word(struct parse *p, struct str key, struct str word, bool times)
{
	char normal[DOMAIN_SIZE];
	struct errbuf why;
	us_t span;

	if (times && str_eqz(key, "until")) {
		if (text_time(word, &p->out->sched.until))
			return true;
		return refuse(p,
			      "expected a day as 2027-01-31, or a time as 2027-01-31T09:00:00Z, "
			      "after until, not",
			      word);
	}
	if (!str_eqz(key, "for"))
		return refuse(p, "one word too many:", key);
	if (times && str_ieqz(word, "ever"))
		return true;
	if (times && !fmt_parse_duration(word, &span, &why)) {
		p->out->sched.until = span >= US_NEVER - p->now ? US_NEVER : p->now + span;
		return true;
	}
	if (times && begins_with_digit(word))
		return refuse(
		    p, "a time after \"for\" is written as 30m, 12h, 30d, 1d12h or ever, not",
		    word);
	if (begins_with_digit(word) || !domain_normal(word, normal))
		return refuse(p,
			      times ? "after \"for\" comes a sender's domain or a time, not"
				    : "after \"for\" comes a sender's domain, not",
			      word);
	p->out->via = arena_str(p->mem, str_of(normal));
	return p->out->via.p != NULL;
}

static bool args_suppress(struct parse *p, bool times)
{
	if (!wants(p, 1, POSITIONAL_MAX))
		return false;
	p->out->arg = p->positional[0];
	p->out->sched.until = US_NEVER;
	for (int i = 1; i < p->npositional; i += 2) {
		if (i + 1 == p->npositional)
			return refuse(p, "one word too many:", p->positional[i]);
		if (!suppress_word(p, p->positional[i], p->positional[i + 1], times))
			return false;
	}
	return true;
}

static bool args_suppress_add(struct parse *p)
{
	return args_suppress(p, true);
}

static bool args_suppress_remove(struct parse *p)
{
	return args_suppress(p, false);
}

static const struct shape {
	const char *name;
	bool (*args)(struct parse *p);
	int sched; /* enum sched_cmd_type, -1: control's own */
} shapes[] = {
	{ "status", args_none, -1 },
	{ "queues", args_none, -1 },
	{ "sites", args_none, -1 },
	{ "lanes", args_none, -1 },
	{ "sources", args_none, -1 },
	{ "jobs", args_none, -1 },
	{ "overrides", args_none, -1 },
	{ "alarms", args_none, -1 },
	{ "feedback", args_none, -1 },
	{ "reputation", args_none, -1 },
	{ "messages", args_optional_target, -1 },
	{ "queue", args_target, -1 },
	{ "lane", args_lane, -1 },
	{ "message", args_message, -1 },
	{ "settings", args_settings, -1 },
	{ "resolve", args_domain, -1 },
	{ "pause", args_target, CMD_PAUSE },
	{ "resume", args_target, CMD_RESUME },
	{ "rate", args_rate, CMD_RATE },
	{ "connections", args_connections, CMD_CONNECTIONS },
	{ "backoff", args_target, CMD_BACKOFF },
	{ "normal", args_target, CMD_NORMAL },
	{ "retry", args_target, CMD_RETRY },
	{ "disable", args_source, CMD_DISABLE },
	{ "enable", args_source, CMD_ENABLE },
	{ "end", args_number, CMD_END },
	{ "undo", args_none, CMD_UNDO },
	{ "amend", args_amend, CMD_AMEND },
	{ "suppress add", args_suppress_add, -1 },
	{ "suppress remove", args_suppress_remove, -1 },
	{ "suppress import", args_domain, -1 },
	{ "suppress export", args_none, -1 },
	{ "ack", args_number, -1 },
	{ "rotate", args_none, -1 },
	{ "reload", args_none, -1 },
	{ "drain", args_none, CMD_DRAIN },
	{ "shutdown", args_none, -1 },
	{ "move", args_move, CMD_MOVE },
	{ "bounce", args_target, CMD_BOUNCE },
	{ "delete", args_target, CMD_DELETE },
};

static const struct shape *shape_of(const struct command *c)
{
	for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
		if (strcmp(shapes[i].name, c->name) == 0)
			return &shapes[i];
	return NULL;
}

int invocation_sched_type(const struct command *c)
{
	const struct shape *s = shape_of(c);

	return s ? s->sched : -1;
}

/* log [-f] [FILTER], suppress list [FILTER]: the words are one filter, joined by blanks: a shell
 * may have had them in one.
 */
static bool parse_filter(struct parse *p, int from)
{
	struct buf filter;

	buf_init(&filter);
	for (p->i = from; p->i < p->n; p->i++) {
		struct str word = p->words[p->i];

		if (word.n > 1 && word.p[0] == '-') {
			if (!take_option(p, word)) {
				buf_free(&filter);
				return false;
			}
			continue;
		}
		buf_addf(&filter, "%s", filter.n ? " " : "");
		buf_adds(&filter, word);
	}
	if (p->out->filter.n)
		buf_addc(&filter, ' ');
	buf_adds(&filter, p->out->filter);
	p->out->filter = arena_str(p->mem, buf_str(&filter));
	buf_free(&filter);
	return p->out->filter.p != NULL;
}

bool invocation_parse(const struct str *words, int n, struct arena *mem, us_t now,
		      struct invocation *out, struct errbuf *e)
{
	struct parse p = { .mem = mem, .now = now, .out = out, .e = e, .words = words, .n = n };
	const struct shape *shape;
	struct buf help;
	int used;

	*out = (struct invocation){ .limit = -1, .sched = { .expect = -1, .share = 1 } };
	if (!n) {
		errbuf_set(e, "no command");
		return false;
	}
	out->cmd = command_find_words(words, n, &used);
	if (!out->cmd) {
		buf_init(&help);
		command_help(words[0], &help);
		errbuf_set(e, "%.*s", (int)text_chomp(buf_str(&help)).n, buf_z(&help));
		buf_free(&help);
		return false;
	}
	if (out->cmd->flags & COMMAND_LOCAL)
		return true; /* main.c's, with arguments of its own */
	if (used == 1 && strlen(out->cmd->name) > words[0].n) {
		errbuf_set(
		    e, "%.*s is the first word of several commands; `stoker help %.*s` lists them",
		    (int)words[0].n, words[0].p, (int)words[0].n, words[0].p);
		return false;
	}
	if (strcmp(out->cmd->name, "log") == 0 || strcmp(out->cmd->name, "suppress list") == 0)
		return parse_filter(&p, used);
	p.i = used;
	shape = shape_of(out->cmd);
	if (!shape || !take_words(&p) || !shape->args(&p))
		return false;
	out->sched.type = shape->sched >= 0 ? (enum sched_cmd_type)shape->sched : CMD_TYPES;
	return true;
}
