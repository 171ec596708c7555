#include "core/control/getters.h"

/* ---- how values are set; nothing to say is V_NONE ---- */

static void put_text(struct value *out, const struct rstr *s)
{
	if (s && s->len)
		*out = (struct value){ .type = V_TEXT, .s = rstr_str(s) };
	else
		out->type = V_NONE;
}

static void put_word(struct value *out, const char *z)
{
	*out = (struct value){ .type = V_TEXT, .s = str_of(z) };
}

static void put_int(struct value *out, uint64_t n)
{
	*out = (struct value){ .type = V_INT, .i = (int64_t)n };
}

static void put_real(struct value *out, enum value_type type, double d)
{
	*out = (struct value){ .type = type, .d = d };
}

/* COMMANDS.md: percents of too few recipients are left out; the scheduler says so by a negative
 * one. */
static void put_percent(struct value *out, float percent)
{
	if (percent < 0)
		out->type = V_NONE;
	else
		put_real(out, V_PERCENT, (double)percent);
}

static void put_time(struct value *out, us_t at)
{
	*out = (struct value){ .type = at ? V_TIME : V_NONE, .i = at };
}

static void put_span(struct value *out, us_t span)
{
	*out = (struct value){ .type = V_SPAN, .i = span };
}

/* ---- every kind ---- */

void get_name(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->name);
}

void get_state(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_word(out, row_state_name((enum row_state)r->state));
}

void get_state_short(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_word(out, row_state_short((enum row_state)r->state));
}

void get_why_code(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_word(out, why_code_name((enum why_code)r->why.code));
}

static bool why_is_limit(const struct row *r)
{
	return r->why.counts < SCOPE_COUNT && r->why.limit > 0;
}

void get_why_value(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_real(out, why_is_limit(r) ? V_REAL : V_NONE, (double)r->why.value);
}

void get_why_limit(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_real(out, why_is_limit(r) ? V_REAL : V_NONE, (double)r->why.limit);
}

void get_why_counts(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	if (why_is_limit(r))
		put_word(out, limit_scope_words((enum limit_scope)r->why.counts));
	else
		out->type = V_NONE;
}

void get_why_origin(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->why.origin);
}

void get_why_until(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_time(out, r->why.until == US_NEVER ? 0 : r->why.until);
}

void get_why_text(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->why.text);
	if (out->type == V_NONE)
		put_word(out, why_code_name((enum why_code)r->why.code));
	else if (r->why.code == WHY_PAUSED && r->why.until && r->why.until != US_NEVER)
		out->i = r->why.until;
}

/* ---- what has traffic ---- */

static const struct row_traffic *traffic(const struct row *r)
{
	switch ((enum row_kind)r->kind) {
	case ROW_LANE:
		return &r->lane.t;
	case ROW_SOURCE:
		return &r->source.t;
	case ROW_JOB:
		return &r->job.t;
	case ROW_QUEUE:
	case ROW_SITE:
	case ROW_OVERRIDE:
	case ROW_FEEDBACK:
	case ROW_REPUTATION:
	case ROW_ALARM:
	case ROW_KINDS:
		break;
	}
	return &r->queue.t;
}

void get_delivered(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, traffic(r)->delivered);
}

void get_deferred(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, traffic(r)->deferred);
}

void get_bounced(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, traffic(r)->bounced);
}

void get_rate(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_real(out, V_PER_S, (double)traffic(r)->rate);
}

void get_connections(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, traffic(r)->connections);
}

void get_delivered_percent(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_percent(out, traffic(r)->delivered_percent);
}

void get_last_reply(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->kind == ROW_LANE     ? r->lane.last_reply
		      : r->kind == ROW_SOURCE ? r->source.last_reply
					      : r->queue.last_reply);
}

void get_last_reply_at(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_time(out, r->kind == ROW_LANE     ? r->lane.last_reply_at
		      : r->kind == ROW_SOURCE ? r->source.last_reply_at
					      : r->queue.last_reply_at);
}

void get_queued(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, r->kind == ROW_JOB ? r->job.queued : r->queue.queued);
}

static enum eta_state eta_state(const struct row *r)
{
	return (enum eta_state)(r->kind == ROW_JOB ? r->job.eta_state : r->queue.eta_state);
}

void get_eta(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	switch (eta_state(r)) {
	case ETA_OK:
		put_span(out, r->kind == ROW_JOB ? r->job.eta : r->queue.eta);
		return;
	case ETA_NEVER:
		put_span(out, US_NEVER);
		return;
	case ETA_IDLE:
		break;
	}
	out->type = V_NONE;
}

void get_eta_state(const struct row *r, us_t now, struct value *out)
{
	static const char *const words[] = { "ok", "idle", "never" };

	(void)now;
	put_word(out, words[eta_state(r)]);
}

/* ---- queues and sites ---- */

void get_domain(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->queue.domain);
}

void get_route(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->queue.route);
}

void get_site(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->kind == ROW_LANE ? r->lane.site_name : r->queue.site_name);
}

void get_provider(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->kind == ROW_LANE ? r->lane.provider : r->queue.provider);
}

void get_due(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, r->queue.due);
}

void get_in_flight(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, r->queue.in_flight);
}

void get_oldest_age(const struct row *r, us_t now, struct value *out)
{
	if (r->queue.oldest)
		put_span(out, now > r->queue.oldest ? now - r->queue.oldest : 0);
	else
		out->type = V_NONE;
}

void get_next_attempt(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_time(out, r->queue.next_attempt == US_NEVER ? 0 : r->queue.next_attempt);
}

void get_trend(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	*out = (struct value){ .type = V_TREND, .trend = r->queue.trend };
}

void get_domains(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, r->site.domains);
}

void get_lanes(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, r->site.lanes);
}

/* ---- lanes ---- */

void get_vmta(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->lane.vmta);
}

void get_source_ip(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->kind == ROW_LANE ? r->lane.source_ip : r->source.source_ip);
}

void get_rate_limit(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_real(out, r->lane.rate_limit > 0 ? V_PER_S : V_NONE, (double)r->lane.rate_limit);
}

void get_connection_limit(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	if (r->lane.connection_limit)
		put_int(out, r->lane.connection_limit);
	else
		out->type = V_NONE;
}

void get_learned_rate(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_real(out, r->lane.learned_rate > 0 ? V_PER_S : V_NONE, (double)r->lane.learned_rate);
}

void get_learned_ceiling(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_real(out, r->lane.learned_ceiling > 0 ? V_PER_S : V_NONE,
		 (double)r->lane.learned_ceiling);
}

/* False, and no value, for a lane that is warm. */
static bool warm(const struct row *r, struct value *out, struct row_warmup *w)
{
	if (row_warmup(&r->lane, w))
		return true;
	put_real(out, V_NONE, 0);
	return false;
}

void get_warmup_step(const struct row *r, us_t now, struct value *out)
{
	struct row_warmup w;

	(void)now;
	if (warm(r, out, &w))
		put_int(out, w.step);
}

void get_warmup_cap(const struct row *r, us_t now, struct value *out)
{
	struct row_warmup w;

	(void)now;
	if (warm(r, out, &w))
		put_int(out, (uint64_t)w.cap);
}

void get_warmup_used(const struct row *r, us_t now, struct value *out)
{
	struct row_warmup w;

	(void)now;
	if (warm(r, out, &w))
		put_int(out, (uint64_t)w.used);
}

void get_warmup_sample(const struct row *r, us_t now, struct value *out)
{
	struct row_warmup w;

	(void)now;
	if (warm(r, out, &w))
		put_int(out, w.sample);
}

void get_warmup_bounce_rate(const struct row *r, us_t now, struct value *out)
{
	struct row_warmup w;

	(void)now;
	if (warm(r, out, &w))
		put_real(out, w.bounce_percent < 0 ? V_NONE : V_PERCENT, (double)w.bounce_percent);
}

void get_warmup_next_step_at(const struct row *r, us_t now, struct value *out)
{
	struct row_warmup w;

	(void)now;
	if (warm(r, out, &w))
		put_time(out, w.next_step_at);
}

/* Backoff mode; without it, the lane's rest. */
void get_backoff_since(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	if (r->lane.backoff_since)
		put_time(out, r->lane.backoff_since);
	else
		put_time(out, r->lane.resting_until ? r->lane.resting_since : 0);
}

void get_backoff_until(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	if (r->lane.backoff_since)
		put_time(out, r->lane.backoff_until == US_NEVER ? 0 : r->lane.backoff_until);
	else
		put_time(out, r->lane.resting_until);
}

void get_backoff_reason(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	if (r->lane.backoff_since)
		put_text(out, r->lane.backoff_rule);
	else
		put_text(out, r->lane.resting_until ? r->lane.rest_reason : NULL);
}

void get_backoff_reply(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	if (r->lane.backoff_since)
		put_text(out, r->lane.backoff_reply);
	else
		put_text(out, r->lane.resting_until ? r->lane.last_reply : NULL);
}

void get_backoff_step(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	if (r->lane.backoff_since ? r->lane.backoff_step : r->lane.resting_until != 0)
		put_int(out, r->lane.backoff_since ? r->lane.backoff_step : r->lane.rest_step);
	else
		out->type = V_NONE;
}

/* ---- sources ---- */

void get_hostname(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->source.hostname);
}

void get_pools(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->source.pools);
}

void get_bytes_rate(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	*out = (struct value){ .type = V_BYTES, .i = (int64_t)r->source.bytes_rate };
}

void get_transient_percent(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_percent(out, r->source.transient_percent);
}

void get_permanent_percent(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_percent(out, r->source.permanent_percent);
}

void get_provider_count(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, r->source.provider_count);
}

void get_ptr_ok(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	*out = (struct value){ .type = r->source.ptr_ok < 0 ? V_NONE : V_BOOL,
			       .i = r->source.ptr_ok > 0 };
}

/* What the last column of Sources says: why it is down, else what was last heard. */
void get_standing(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	if (r->state == STATE_DOWN || r->state == STATE_DISABLED || r->state == STATE_PAUSED)
		put_text(out, r->why.text);
	else
		put_text(out, r->source.last_reply);
}

/* ---- jobs ---- */

void get_user(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->job.user);
}

void get_first_at(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_time(out, r->job.first_at);
}

/* ---- overrides ---- */

void get_override_id(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, r->override.number);
}

void get_what(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->override.what);
}

void get_target(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->override.target);
}

void get_was(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->override.was);
}

void get_now(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->override.now);
}

void get_who(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->override.who);
}

void get_reason(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->override.reason);
}

void get_made_at(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_time(out, r->override.made_at);
}

/* An act has no end; an override without one says "until ended". */
void get_until(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	/* Of one that has ended: when it did. */
	put_time(out, r->override.act	     ? 0
		      : r->override.ended_at ? r->override.ended_at
					     : r->override.until);
}

void get_ended_at(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_time(out, r->override.ended_at);
}

void get_ended_by(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->override.ended_by);
}

void get_act(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	*out = (struct value){ .type = r->override.act ? V_BOOL : V_NONE, .i = 1 };
}

/* ---- alarms ---- */

void get_alarm_id(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_int(out, r->alarm.number);
}

void get_code(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->alarm.code);
}

void get_alarm_target(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->alarm.target);
}

void get_since(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_time(out, r->alarm.since);
}

void get_severity(const struct row *r, us_t now, struct value *out)
{
	static const char *const words[] = { "red", "yellow", "note" };

	(void)now;
	put_word(out, words[r->alarm.severity <= 1 ? 0 : r->alarm.severity == 2 ? 1 : 2]);
}

void get_alarm_text(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->alarm.text);
}

void get_ack(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	put_text(out, r->alarm.acked ? r->alarm.ack : NULL);
}

void get_gone(const struct row *r, us_t now, struct value *out)
{
	(void)now;
	*out = (struct value){ .type = r->alarm.gone ? V_BOOL : V_NONE, .i = 1 };
}
