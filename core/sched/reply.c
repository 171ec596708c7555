/* What commands say: refusals, answers, and the line that every operator sees. */
#include "core/sched/pend.h"

void reply_text(struct sched *s, uint64_t id, int exit, struct rstr *text)
{
	struct act *a = action_add(s, ACT_REPLY);

	a->a.reply = (struct sched_reply){ .id = id, .exit = exit, .text = text };
}

void refuse(struct sched *s, const struct sched_cmd *c, struct rstr *text)
{
	if (c->silent)
		rstr_unref(text);
	else
		reply_text(s, c->id, EXIT_REFUSED, text);
}

void for_text(us_t from, us_t until, char out[64])
{
	char span[FMT_SIZE];
	struct buf b;

	buf_init(&b);
	if (until == US_NEVER) {
		buf_addz(&b, "until ended");
	} else {
		us_t d = until - from;

		/* Whole minutes: "for 3h59m59s999ms" helps nobody. */
		if (d > US_PER_MIN)
			d = (d + US_PER_MIN / 2) / US_PER_MIN * US_PER_MIN;
		fmt_duration(d, span);
		buf_addf(&b, "for %s", span);
	}
	str_lower(buf_str(&b), out, 64);
	buf_free(&b);
}

void echo(struct sched *s, const struct sched_cmd *c, const char *what, const char *more)
{
	struct act *a = action_add(s, ACT_ECHO);

	a->a.text = rstr_newf("%.*s %s%s%s%s%.*s%s", (int)c->who.n, c->who.p, what,
			      *more ? " " : "", more, c->reason.n ? " because \"" : "",
			      (int)c->reason.n, c->reason.p, c->reason.n ? "\"" : "");
}

const char *done_words(enum sched_cmd_type type)
{
	switch (type) {
	case CMD_PAUSE:
		return "paused";
	case CMD_RETRY:
		return "retrying";
	case CMD_BOUNCE:
		return "bounced";
	case CMD_DELETE:
		return "deleted";
	case CMD_MOVE:
		return "moved";
	case CMD_RESUME:
	case CMD_RATE:
	case CMD_CONNECTIONS:
	case CMD_DISABLE:
	case CMD_ENABLE:
	case CMD_BACKOFF:
	case CMD_NORMAL:
	case CMD_END:
	case CMD_UNDO:
	case CMD_AMEND:
	case CMD_DRAIN:
	case CMD_CONF:
	case CMD_TYPES:
		break;
	}
	return "done";
}

struct rstr *answer_text(const struct pend *p)
{
	char n[FMT_SIZE];
	struct buf b;
	struct rstr *text;

	buf_init(&b);
	fmt_count((int64_t)p->done, n);
	if (p->text)
		buf_addf(&b, "%s: %s recipients", p->text->text, n);
	else if (p->cmd.dry_run)
		buf_addf(&b, "%s: %llu recipients", p->text_target->text,
			 (unsigned long long)p->done);
	else
		buf_addf(&b, "%s %s%s%s: %llu recipients", done_words(p->cmd.type),
			 p->text_target->text, p->route->len ? " to " : "", p->route->text,
			 (unsigned long long)p->done);
	if (!p->cmd.dry_run)
		buf_addf(&b, ", %llu in flight", (unsigned long long)p->in_flight);
	text = rstr_new(buf_str(&b));
	buf_free(&b);
	return text;
}
