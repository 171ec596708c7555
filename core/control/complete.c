/* Completion of the last word of a line: commands, targets, fields. */
#include <stdio.h>

#include "core/base/buf.h"
#include "core/base/hash.h"
#include "core/control/commands.h"

enum { NAMES_MAX = 50, SCAN_MAX = 200000 };

struct completion {
	void (*fn)(void *arg, struct str word);
	void *arg;
	struct str start;	  /* what is there of the last word */
	uint64_t seen[NAMES_MAX]; /* hashes of what was offered */
	int n;
};

static bool starts(struct str word, struct str start)
{
	return word.n >= start.n && str_ieq((struct str){ word.p, start.n }, start);
}

static void offer(struct completion *k, struct str word)
{
	uint64_t hash;

	if (!word.n || k->n >= NAMES_MAX || !starts(word, k->start))
		return;
	hash = hash_bytes(word.p, word.n);
	for (int i = 0; i < k->n; i++)
		if (k->seen[i] == hash)
			return;
	k->seen[k->n++] = hash;
	k->fn(k->arg, word);
}

/* A name behind a sign: "@google", "job:news". */
static void offer_with(struct completion *k, const char *sign, struct str name)
{
	struct buf word;

	if (!name.n || k->n >= NAMES_MAX)
		return;
	buf_init(&word);
	buf_addz(&word, sign);
	buf_adds(&word, name);
	offer(k, buf_str(&word));
	buf_free(&word);
}

static void complete_commands(struct completion *k)
{
	int n;
	const struct command *c = command_table(&n);

	for (int i = 0; i < n; i++)
		offer(k, str_mem(c[i].name, strcspn(c[i].name, " ")));
}

/* The second words of names that begin with `first`; false if there are none. */
static bool complete_second(struct completion *k, struct str first)
{
	bool any = false;
	int n;
	const struct command *c = command_table(&n);

	for (int i = 0; i < n; i++)
		if (strncmp(c[i].name, first.p, first.n) == 0 && c[i].name[first.n] == ' ') {
			offer(k, str_of(c[i].name + first.n + 1));
			any = true;
		}
	return any;
}

static void complete_options(struct completion *k, const struct command *c)
{
	if (c->flags & (COMMAND_LIST | COMMAND_SHOW))
		offer(k, STR_LIT("--json"));
	if (c->flags & COMMAND_LIST) {
		offer(k, STR_LIT("--filter"));
		if (!(c->flags & COMMAND_ORDERED))
			offer(k, STR_LIT("--sort"));
		offer(k, STR_LIT("--limit"));
		if (!(c->flags & COMMAND_WHOLE))
			offer(k, STR_LIT("--offset"));
	}
	if (c->flags & COMMAND_IRREVERSIBLE)
		offer(k, STR_LIT("--yes"));
}

static void complete_fields(struct completion *k, const struct command *c)
{
	for (int l = 0; l < LIST_COUNT; l++) {
		const struct list_def *d = list_def((enum list_id)l);

		if (strcmp(d->name, c->name) != 0)
			continue;
		for (int i = 0; i < d->nfields; i++)
			offer(k, str_of(d->fields[i].json));
	}
}

/* Names of one kind of row; `sign` stands before each. */
static void complete_rows(struct completion *k, struct mirror *m, enum row_kind kind,
			  const char *sign)
{
	const struct row *r;
	size_t pos = 0;

	while (k->n < NAMES_MAX && pos < SCAN_MAX && (r = mirror_next(m, kind, &pos)) != NULL)
		offer_with(k, sign, rstr_str(r->name));
}

/* "pool-a, pool-b" of each source; users of the jobs. */
static void complete_pools(struct completion *k, struct mirror *m)
{
	const struct row *r;
	size_t pos = 0;

	while ((r = mirror_next(m, ROW_SOURCE, &pos)) != NULL) {
		struct str rest = rstr_str(r->source.pools), name;

		while (str_split(&rest, ',', &name))
			offer_with(k, "pool:", str_trim(name));
	}
}

static void complete_users(struct completion *k, struct mirror *m)
{
	const struct row *r;
	size_t pos = 0;

	while (pos < SCAN_MAX && (r = mirror_next(m, ROW_JOB, &pos)) != NULL)
		offer_with(k, "user:", rstr_str(r->job.user));
}

static void complete_targets(struct completion *k, struct mirror *m)
{
	const struct row *r;
	size_t pos = 0;

	if (k->start.n && k->start.p[0] == '@') {
		complete_rows(k, m, ROW_SITE, "@");
		return;
	}
	offer(k, STR_LIT("all"));
	complete_rows(k, m, ROW_SOURCE, "vmta:");
	complete_rows(k, m, ROW_JOB, "job:");
	complete_pools(k, m);
	complete_users(k, m);
	if (memchr(k->start.p ? k->start.p : "", '@', k->start.n))
		complete_rows(k, m, ROW_LANE, "");
	else if (memchr(k->start.p ? k->start.p : "", '/', k->start.n))
		complete_rows(k, m, ROW_QUEUE, "");
	else
		while (k->n < NAMES_MAX && pos < SCAN_MAX &&
		       (r = mirror_next(m, ROW_QUEUE, &pos)) != NULL)
			offer(k, rstr_str(r->queue.domain));
}

static void complete_ids(struct completion *k, struct mirror *m, enum row_kind kind)
{
	const struct row *r;
	size_t pos = 0;
	char text[24];

	while (k->n < NAMES_MAX && (r = mirror_next(m, kind, &pos)) != NULL) {
		bool over = kind == ROW_ALARM ? r->alarm.gone
					      : r->override.act || r->override.ended_at != 0;

		snprintf(
		    text, sizeof text, "%llu",
		    (unsigned long long)(kind == ROW_ALARM ? r->alarm.number : r->override.number));
		if (!over)
			offer_with(k, "", str_of(text));
	}
}

static void complete_argument(struct completion *k, struct mirror *m, const struct command *c)
{
	if (strncmp(c->args, "OVERRIDE", 8) == 0)
		complete_ids(k, m, ROW_OVERRIDE);
	else if (strncmp(c->args, "ALARM", 5) == 0)
		complete_ids(k, m, ROW_ALARM);
	else if (strncmp(c->args, "vmta:", 5) == 0)
		complete_rows(k, m, ROW_SOURCE, "vmta:");
	else if (strncmp(c->args, "[COMMAND", 8) == 0)
		complete_commands(k);
	else if (c->args[0] == 'T' || strncmp(c->args, "[T]", 3) == 0 ||
		 strncmp(c->args, "DOMAIN", 6) == 0)
		complete_targets(k, m);
}

void command_complete(struct mirror *m, struct str line, void (*fn)(void *arg, struct str word),
		      void *arg)
{
	struct completion k = { .fn = fn, .arg = arg };
	struct str before = { "", 0 };
	const struct command *c;
	size_t i = line.n;
	int words = 0;

	while (i > 0 && line.p[i - 1] != ' ')
		i--;
	k.start = (struct str){ line.p ? line.p + i : "", line.n - i };
	struct str rest = { line.p, i }, word, first = { "", 0 };

	while (str_split(&rest, ' ', &word)) {
		if (!word.n)
			continue;
		if (!words++)
			first = word;
		before = word;
	}
	if (!words) {
		complete_commands(&k);
		return;
	}
	c = command_find(first);
	if (!c || (words == 1 && complete_second(&k, first)))
		return;
	if (str_eqz(before, "--sort") || str_eqz(before, "--filter"))
		complete_fields(&k, c);
	else if (k.start.n && k.start.p[0] == '-')
		complete_options(&k, c);
	else if (words == 1)
		complete_argument(&k, m, c);
	else if (str_eqz(before, "at"))
		complete_rows(&k, m, ROW_SITE, "@");
	else if (str_eqz(before, "for"))
		offer(&k, STR_LIT("ever"));
	else if (c->flags & COMMAND_OVERRIDE) {
		offer(&k, STR_LIT("for"));
		offer(&k, STR_LIT("because"));
	} else if (c->flags & COMMAND_ACT) {
		offer(&k, STR_LIT("because"));
	}
}
