/* The risk ladder of the console (CONSOLE.md, "Rules"): an act that concerns much at once is asked
 * about first, whether a key made it or somebody typed it. What it comprises is counted in the
 * mirror, in steps; the answer comes back as the same command with --yes. */
#include <stdlib.h>

#include "core/base/clean.h"
#include "core/base/fmt.h"
#include "core/control/private.h"

enum { ROWS_A_STEP = 4096, NAMES_SHOWN = 6 };

static const struct scope {
	enum row_kind kind; /* what is counted */
	const char *noun;
	bool always; /* asks even if little is there now: it goes on for what comes */
} scopes[] = {
	[TARGET_ALL] = { ROW_SITE, "site", true },
	[TARGET_DOMAIN] = { ROW_QUEUE, "queue", false },
	[TARGET_QUEUE] = { ROW_QUEUE, "queue", false },
	[TARGET_SITE] = { ROW_SITE, "domain", false },
	[TARGET_LANE] = { ROW_LANE, "lane", false },
	[TARGET_VMTA] = { ROW_LANE, "lane", true },
	[TARGET_POOL] = { ROW_QUEUE, "queue", true },
	[TARGET_JOB] = { ROW_JOB, "job", true },
	[TARGET_USER] = { ROW_JOB, "job", true },
};

/* Acts that the ladder is for. Ends of overrides are shown one by one where they are made. */
static bool on_ladder(enum sched_cmd_type type)
{
	static const bool on[CMD_TYPES] = {
		[CMD_PAUSE] = true,	  [CMD_RESUME] = true,	[CMD_RATE] = true,
		[CMD_CONNECTIONS] = true, [CMD_DISABLE] = true, [CMD_RETRY] = true,
		[CMD_DRAIN] = true,
	};

	return on[type];
}

struct census {
	const struct scope *scope;
	size_t pos;
	uint64_t n, recipients;
	struct {
		struct str name;
		uint64_t recipients;
	} best[NAMES_SHOWN]; /* most recipients first */
	int nbest;
	uint64_t rows;
	bool sums; /* its recipients are known */
};

static bool comprises(const struct target *t, const struct row *r)
{
	switch (t->kind) {
	case TARGET_ALL:
		return true;
	case TARGET_DOMAIN:
		return str_glob(t->a, rstr_str(r->queue.domain));
	case TARGET_QUEUE:
		return str_glob(t->a, rstr_str(r->queue.domain)) &&
		       str_glob(t->b, rstr_str(r->queue.route));
	case TARGET_POOL:
		return str_glob(t->a, rstr_str(r->queue.route));
	case TARGET_SITE:
	case TARGET_JOB:
		return str_glob(t->a, rstr_str(r->name));
	case TARGET_LANE:
		return str_glob(t->a, rstr_str(r->lane.site_name)) &&
		       str_glob(t->b, rstr_str(r->lane.vmta));
	case TARGET_VMTA:
		return str_glob(t->a, rstr_str(r->lane.vmta));
	case TARGET_USER:
		return str_glob(t->a, rstr_str(r->job.user));
	case TARGET_MESSAGE:
		break;
	}
	return false;
}

static uint64_t recipients_of(struct mirror *m, const struct row *r)
{
	const struct row *site;

	if (r->kind == ROW_JOB)
		return r->job.queued;
	if (r->kind != ROW_LANE)
		return r->queue.queued;
	/* A lane has no queue of its own: what its site has may go by it. */
	site = mirror_find(m, ROW_SITE, r->lane.site);
	return site ? site->site.queued : 0;
}

static void census_add(struct request *r, struct census *k, const struct row *row)
{
	uint64_t queued = recipients_of(r->c->mirror, row);
	struct str name;
	int i = k->nbest;

	k->rows++;
	k->n += row->kind == ROW_SITE && r->inv.sched.target.kind == TARGET_SITE ? row->site.domains
										 : 1;
	k->recipients += queued;
	while (i > 0 && k->best[i - 1].recipients < queued)
		i--;
	if (i == NAMES_SHOWN || !(name = arena_str(&r->mem, rstr_str(row->name))).p)
		return;
	if (k->nbest < NAMES_SHOWN)
		k->nbest++;
	memmove(&k->best[i + 1], &k->best[i], (size_t)(k->nbest - 1 - i) * sizeof k->best[0]);
	k->best[i].name = name;
	k->best[i].recipients = queued;
}

/* For a job and all else that goes on, the command's own expiry (COMMANDS.md). */
static const char *expiry_hint(const struct request *r)
{
	const struct sched_cmd *s = &r->inv.sched;

	if (!(r->inv.cmd->flags & COMMAND_OVERRIDE))
		return NULL;
	if (s->until)
		return "as typed; or 30m, 1d, ever";
	if (s->type == CMD_RATE || s->type == CMD_CONNECTIONS)
		return "1h; or 30m, 1d, ever";
	if (s->type == CMD_DISABLE || s->target.kind == TARGET_ALL ||
	    s->target.kind == TARGET_JOB || s->target.kind == TARGET_USER)
		return "until ended; or 2h, 30m";
	return "4h; or 30m, 1d, ever";
}

static void risk_text(const struct request *r, const struct census *k, struct buf *out)
{
	char n[FMT_SIZE];

	fmt_count((int64_t)k->n, n);
	if (r->inv.sched.target.kind == TARGET_ALL)
		buf_addz(out, "Everything: ");
	buf_addf(out, "%s %s%s", n, k->scope->noun, k->n == 1 ? "" : "s");
	if (k->sums) {
		fmt_count((int64_t)k->recipients, n);
		buf_addf(out, ", %s recipient%s", n, k->recipients == 1 ? "" : "s");
	}
	for (int i = 0; i < k->nbest; i++) {
		buf_addz(out, "\n  ");
		clean_add(out, k->best[i].name, false);
	}
	if (k->rows > (uint64_t)k->nbest)
		buf_addf(out, "\n  and %llu more",
			 (unsigned long long)(k->rows - (uint64_t)k->nbest));
}

/* The census is done: ask, or act. */
static enum pump_result judge(struct request *r, const struct census *k)
{
	void (*act)(struct request * r) = r->on_confirm;
	bool ask = k->scope->always || k->n > RISK_DOMAINS ||
		   (r->inv.sched.type == CMD_RETRY && k->recipients > RISK_RETRY);
	struct buf text;

	if (ask) {
		buf_init(&text);
		risk_text(r, k, &text);
		r->risk_expiry = expiry_hint(r);
		r->risk = true;
		request_ask(r, -1, STR_LIT("yes"), buf_str(&text), act);
		buf_free(&text);
		return PUMP_DONE;
	}
	r->pump = NULL; /* from here on it waits for the scheduler */
	r->on_confirm = NULL;
	act(r);
	return PUMP_DONE;
}

static enum pump_result pump_census(struct request *r)
{
	struct census *k = r->state;
	const struct target *t = &r->inv.sched.target;
	const struct row *row;

	for (int i = 0; i < ROWS_A_STEP; i++) {
		row = mirror_next(r->c->mirror, k->scope->kind, &k->pos);
		if (!row) {
			struct census done = *k;

			if (t->kind == TARGET_ALL)
				done.recipients = mirror_get_totals(r->c->mirror, NULL)->queued;
			return judge(r, &done);
		}
		if (comprises(t, row))
			census_add(r, k, row);
	}
	return PUMP_MORE;
}

bool risk_asks(struct request *r, void (*act)(struct request *r))
{
	const struct sched_cmd *s = &r->inv.sched;
	struct census *k;

	if (!r->own_session || r->inv.yes || !on_ladder(s->type) ||
	    s->target.kind == TARGET_MESSAGE)
		return false;
	k = calloc(1, sizeof *k);
	if (!k) {
		request_fail(r, EXIT_REFUSED, "no memory to count what this concerns");
		return true;
	}
	k->scope = &scopes[s->target.kind];
	k->sums = k->scope->kind != ROW_LANE;
	r->on_confirm = act;
	request_stream(r, pump_census, k, free);
	return true;
}
