/* Getters of feedback and reputation. */
#include "core/control/getters.h"

/* COMMANDS.md: percents of fewer say nothing. */
enum { PERCENT_LEAST = 10 };

static void text(struct value *out, const struct rstr *s)
{
	*out = (struct value){ .type = s && s->len ? V_TEXT : V_NONE, .s = rstr_str(s) };
}

static void count(struct value *out, uint64_t n)
{
	*out = (struct value){ .type = V_INT, .i = (int64_t)n };
}

static void share(struct value *out, uint64_t part, uint64_t of)
{
	*out = (struct value){ .type = of < PERCENT_LEAST ? V_NONE : V_SHARE,
			       .d = of ? 100.0 * (double)part / (double)of : 0 };
}

void get_feedback_provider(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	text(out, r->feedback.provider);
}

void get_feedback_category(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	text(out, r->feedback.category);
}

void get_feedback_hour(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->feedback.hour);
}

void get_feedback_day(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->feedback.day);
}

void get_feedback_total(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->feedback.total);
}

void get_feedback_replies(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	text(out, r->feedback.replies);
}

void get_reputation_of(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	text(out, r->reputation.of);
}

void get_hour_delivered(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->reputation.hour.delivered);
}

void get_hour_bounced(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->reputation.hour.failed);
}

void get_hour_harmful(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->reputation.hour.harmful);
}

void get_hour_complaints(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->reputation.hour.complaints);
}

void get_day_delivered(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->reputation.day.delivered);
}

void get_day_bounced(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->reputation.day.failed);
}

void get_day_harmful(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->reputation.day.harmful);
}

void get_day_complaints(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	count(out, r->reputation.day.complaints);
}

static void bounces(const struct row_standing *x, struct value *out)
{
	share(out, x->harmful, x->delivered + x->failed);
}

static void complaints(const struct row_standing *x, struct value *out)
{
	share(out, x->complaints, x->delivered);
}

void get_hour_bounce_percent(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	bounces(&r->reputation.hour, out);
}

void get_day_bounce_percent(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	bounces(&r->reputation.day, out);
}

void get_hour_complaint_percent(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	complaints(&r->reputation.hour, out);
}

void get_day_complaint_percent(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	complaints(&r->reputation.day, out);
}

void get_feedback_last(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	*out = (struct value){ .type = r->feedback.last_at ? V_TIME : V_NONE,
			       .i = r->feedback.last_at };
}

void get_reputation_kind(const struct row *r, us_t now, struct value *out)
{
	static const char *const words[REPUTATION_KINDS] = { "provider", "source", "job" };

	(void)now;
	*out = (struct value){ .type = V_TEXT, .s = str_of(words[r->reputation.what]) };
}

void get_complaint_percent(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	*out = (struct value){ .type = r->job.complaint_percent < 0 ? V_NONE : V_SHARE,
			       .d = (double)r->job.complaint_percent };
}
