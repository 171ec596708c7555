/* The tables: one a list. COMMANDS.md, "JSON", has the names; tests/unit/control/test_fields.c
 * holds them against it. To add a field: a getter in getters.c, a line here. */
#include "core/control/getters.h"

/* json, heading, help, type, width, drop, right, in_json, word, get */

/* clang-format off */
#define WHY_FIELDS \
	{ "why.code", NULL, "which limit or state binds", V_TEXT, 0, 0, false, true, true, get_why_code }, \
	{ "why.value", NULL, "what is used of it now", V_REAL, 0, 0, true, true, false, get_why_value }, \
	{ "why.limit", NULL, "the limit", V_REAL, 0, 0, true, true, false, get_why_limit }, \
	{ "why.counts", NULL, "what it counts", V_TEXT, 0, 0, false, true, false, get_why_counts }, \
	{ "why.origin", NULL, "what set it", V_TEXT, 0, 0, false, true, false, get_why_origin }, \
	{ "why.until", NULL, "when it ends by itself", V_TIME, 0, 0, false, true, false, get_why_until }
/* clang-format on */

static const struct field queue_fields[] = {
	{ "name", "QUEUE", "domain and route", V_TEXT, 28, 0, false, true, true, get_name },
	{ "domain", NULL, "the domain", V_TEXT, 0, 0, false, true, false, get_domain },
	{ "route", NULL, "virtual MTA or pool", V_TEXT, 0, 0, false, true, false, get_route },
	{ "site", NULL, "the site that takes its mail", V_TEXT, 0, 0, false, true, true, get_site },
	{ "provider", NULL, "the provider the site belongs to", V_TEXT, 0, 0, false, true, true,
	  get_provider },
	{ "state", NULL, "its state", V_TEXT, 0, 0, false, true, true, get_state },
	{ "st", "STATE", "its state, in short", V_TEXT, 5, 0, false, false, false,
	  get_state_short },
	{ "queued", "QUEUED", "recipients that wait or are in flight", V_INT, 7, 0, true, true,
	  false, get_queued },
	{ "due", NULL, "of these: their time has come", V_INT, 7, 0, true, true, false, get_due },
	{ "in_flight", NULL, "of these: in a transaction", V_INT, 7, 0, true, true, false,
	  get_in_flight },
	WHY_FIELDS,
	{ "why.text", "WHY", "the one limit that binds, in words", V_TEXT, 0, 2, false, true, true,
	  get_why_text },
	{ "rate", "OUT/s", "attempts a second, over 10 s", V_PER_S, 7, 4, true, true, false,
	  get_rate },
	{ "connections", "CONN", "connections now", V_INT, 5, 6, true, true, false,
	  get_connections },
	{ "delivered", NULL, "recipients delivered", V_INT, 7, 0, true, true, false,
	  get_delivered },
	{ "deferred", NULL, "attempts deferred", V_INT, 7, 0, true, true, false, get_deferred },
	{ "bounced", NULL, "recipients bounced", V_INT, 7, 0, true, true, false, get_bounced },
	{ "delivered_percent", "DLV%", "delivered of the recipients attempted lately", V_PERCENT, 4,
	  7, true, true, false, get_delivered_percent },
	{ "oldest_age", "OLDEST", "age of the oldest recipient", V_SPAN, 6, 5, true, true, false,
	  get_oldest_age },
	{ "next_attempt", NULL, "when the next one is due", V_TIME, 8, 0, false, true, false,
	  get_next_attempt },
	{ "eta", "ETA", "when it will be empty", V_SPAN, 5, 3, true, true, false, get_eta },
	{ "eta_state", NULL, "ok, idle or never", V_TEXT, 0, 0, false, true, false, get_eta_state },
	{ "trend", "2 MIN", "out a second, 12 steps of 10 s", V_TREND, 12, 9, false, true, false,
	  get_trend },
	{ "last_reply", NULL, "the receiver's last words", V_TEXT, 0, 8, false, true, true,
	  get_last_reply },
	{ "last_reply_at", NULL, "when it said them", V_TIME, 8, 0, false, true, false,
	  get_last_reply_at },
};

static const struct field site_fields[] = {
	{ "name", "SITE", "provider or site", V_TEXT, 22, 0, false, true, true, get_name },
	{ "provider", NULL, "the provider it belongs to", V_TEXT, 0, 0, false, true, true,
	  get_provider },
	{ "site", NULL, "its first best host", V_TEXT, 0, 0, false, true, true, get_site },
	{ "domains", "DOM", "domains with mail", V_INT, 5, 10, true, true, false, get_domains },
	{ "lanes", NULL, "lanes", V_INT, 4, 0, true, true, false, get_lanes },
	{ "state", NULL, "its state", V_TEXT, 0, 0, false, true, true, get_state },
	{ "st", "STATE", "its state, in short", V_TEXT, 5, 0, false, false, false,
	  get_state_short },
	{ "queued", "QUEUED", "recipients that wait or are in flight", V_INT, 7, 0, true, true,
	  false, get_queued },
	{ "due", NULL, "of these: their time has come", V_INT, 7, 0, true, true, false, get_due },
	{ "in_flight", NULL, "of these: in a transaction", V_INT, 7, 0, true, true, false,
	  get_in_flight },
	WHY_FIELDS,
	{ "why.text", "WHY", "the one limit that binds, in words", V_TEXT, 0, 2, false, true, true,
	  get_why_text },
	{ "rate", "OUT/s", "attempts a second, over 10 s", V_PER_S, 7, 4, true, true, false,
	  get_rate },
	{ "connections", "CONN", "connections now", V_INT, 5, 6, true, true, false,
	  get_connections },
	{ "delivered", NULL, "recipients delivered", V_INT, 7, 0, true, true, false,
	  get_delivered },
	{ "deferred", NULL, "attempts deferred", V_INT, 7, 0, true, true, false, get_deferred },
	{ "bounced", NULL, "recipients bounced", V_INT, 7, 0, true, true, false, get_bounced },
	{ "delivered_percent", "DLV%", "delivered of the recipients attempted lately", V_PERCENT, 4,
	  7, true, true, false, get_delivered_percent },
	{ "oldest_age", "OLDEST", "age of the oldest recipient", V_SPAN, 6, 5, true, true, false,
	  get_oldest_age },
	{ "next_attempt", NULL, "when the next one is due", V_TIME, 8, 0, false, true, false,
	  get_next_attempt },
	{ "eta", "ETA", "when it will be empty", V_SPAN, 5, 3, true, true, false, get_eta },
	{ "eta_state", NULL, "ok, idle or never", V_TEXT, 0, 0, false, true, false, get_eta_state },
	{ "trend", "2 MIN", "out a second, 12 steps of 10 s", V_TREND, 12, 9, false, true, false,
	  get_trend },
	{ "last_reply", NULL, "the receiver's last words", V_TEXT, 0, 8, false, true, true,
	  get_last_reply },
	{ "last_reply_at", NULL, "when it said them", V_TIME, 8, 0, false, true, false,
	  get_last_reply_at },
};

static const struct field lane_fields[] = {
	{ "name", "LANE", "provider or site at a virtual MTA", V_TEXT, 26, 0, false, true, true,
	  get_name },
	{ "site", NULL, "the site", V_TEXT, 0, 0, false, true, true, get_site },
	{ "provider", NULL, "the provider", V_TEXT, 0, 0, false, true, true, get_provider },
	{ "virtual_mta", NULL, "the virtual MTA", V_TEXT, 0, 0, false, true, true, get_vmta },
	{ "source_ip", NULL, "the address it sends from", V_TEXT, 0, 0, false, true, true,
	  get_source_ip },
	{ "state", NULL, "its state", V_TEXT, 0, 0, false, true, true, get_state },
	{ "st", "STATE", "its state, in short", V_TEXT, 5, 0, false, false, false,
	  get_state_short },
	WHY_FIELDS,
	{ "why.text", "WHY", "the one limit that binds, in words", V_TEXT, 26, 3, false, true, true,
	  get_why_text },
	{ "connections", "CONN", "connections now", V_INT, 5, 5, true, true, false,
	  get_connections },
	{ "connection_limit", NULL, "connections allowed", V_INT, 5, 0, true, true, false,
	  get_connection_limit },
	{ "rate", "OUT/s", "attempts a second, over 10 s", V_PER_S, 7, 0, true, true, false,
	  get_rate },
	{ "rate_limit", "LIMIT", "attempts a second allowed", V_PER_S, 7, 4, true, true, false,
	  get_rate_limit },
	{ "delivered", NULL, "recipients delivered", V_INT, 7, 0, true, true, false,
	  get_delivered },
	{ "deferred", NULL, "attempts deferred", V_INT, 7, 0, true, true, false, get_deferred },
	{ "bounced", NULL, "recipients bounced", V_INT, 7, 0, true, true, false, get_bounced },
	{ "delivered_percent", "DLV%", "delivered of the recipients attempted lately", V_PERCENT, 4,
	  6, true, true, false, get_delivered_percent },
	{ "last_reply", "LAST REPLY", "the receiver's last words", V_TEXT, 0, 2, false, true, true,
	  get_last_reply },
	{ "last_reply_at", NULL, "when it said them", V_TIME, 8, 0, false, true, false,
	  get_last_reply_at },
	{ "backoff.since", NULL, "in backoff, or resting, since", V_TIME, 8, 0, false, true, false,
	  get_backoff_since },
	{ "backoff.until", NULL, "in backoff, or resting, until", V_TIME, 8, 0, false, true, false,
	  get_backoff_until },
	{ "backoff.reason", NULL, "the rule or override of the backoff, or why it rests", V_TEXT, 0,
	  0, false, true, false, get_backoff_reason },
	{ "backoff.reply", NULL, "the reply that began it", V_TEXT, 0, 0, false, true, false,
	  get_backoff_reply },
	{ "backoff.step", NULL, "how often in a row", V_INT, 4, 0, true, true, false,
	  get_backoff_step },
	{ "learned.rate", NULL, "attempts a second that adaptive throttling allows", V_PER_S, 7, 0,
	  true, true, false, get_learned_rate },
	{ "learned.ceiling", NULL, "what the receiver last refused", V_PER_S, 7, 0, true, true,
	  false, get_learned_ceiling },
	{ "warmup.step", NULL, "of its warm-up, from 0", V_INT, 4, 0, true, true, false,
	  get_warmup_step },
	{ "warmup.cap", NULL, "recipients that may be attempted in an hour", V_INT, 7, 0, true,
	  true, false, get_warmup_cap },
	{ "warmup.used", NULL, "of these: in the last hour", V_INT, 7, 0, true, true, false,
	  get_warmup_used },
	{ "warmup.sample", NULL, "recipients attempted in this step", V_INT, 7, 0, true, true,
	  false, get_warmup_sample },
	{ "warmup.bounce_rate", NULL, "percent of these that were hard or spam-related bounces",
	  V_PERCENT, 4, 0, true, true, false, get_warmup_bounce_rate },
	{ "warmup.next_step_at", NULL, "when its next step can come", V_TIME, 8, 0, false, true,
	  false, get_warmup_next_step_at },
};

static const struct field source_fields[] = {
	{ "virtual_mta", "VMTA", "the virtual MTA", V_TEXT, 12, 0, false, true, true, get_name },
	{ "source_ip", "IP", "its address", V_TEXT, 15, 3, false, true, true, get_source_ip },
	{ "state", NULL, "its state", V_TEXT, 0, 0, false, true, true, get_state },
	{ "st", "STATE", "its state, in short", V_TEXT, 5, 0, false, false, false,
	  get_state_short },
	{ "pools", "POOLS", "the pools it is in", V_TEXT, 10, 9, false, true, true, get_pools },
	{ "hostname", "HOST", "its EHLO name", V_TEXT, 18, 8, false, true, true, get_hostname },
	WHY_FIELDS,
	{ "why.text", NULL, "the one limit that binds, in words", V_TEXT, 26, 0, false, true, true,
	  get_why_text },
	{ "connections", "CONN", "connections now", V_INT, 5, 5, true, true, false,
	  get_connections },
	{ "rate", "OUT/s", "attempts a second, over 10 s", V_PER_S, 7, 0, true, true, false,
	  get_rate },
	{ "bytes_rate", "B/s", "bytes a second", V_BYTES, 6, 7, true, true, false, get_bytes_rate },
	{ "delivered_percent", "DLV%", "delivered of the recipients attempted lately", V_PERCENT, 4,
	  4, true, true, false, get_delivered_percent },
	{ "transient_percent", "4XX%", "deferred of them", V_PERCENT, 4, 6, true, true, false,
	  get_transient_percent },
	{ "permanent_percent", "5XX%", "refused of them", V_PERCENT, 4, 6, true, true, false,
	  get_permanent_percent },
	{ "provider_count", "PROV", "providers and sites it talks to", V_INT, 4, 10, true, true,
	  false, get_provider_count },
	{ "standing", "LAST REPLY", "why it is down, or the last words it heard", V_TEXT, 0, 2,
	  false, false, true, get_standing },
	{ "last_reply", NULL, "the last words it heard", V_TEXT, 0, 0, false, true, false,
	  get_last_reply },
	{ "ptr_ok", NULL, "its PTR gives the host name and back", V_BOOL, 3, 0, false, true, false,
	  get_ptr_ok },
};

static const struct field job_fields[] = {
	{ "name", "JOB", "X-Job, or source and sender domain", V_TEXT, 0, 0, false, true, true,
	  get_name },
	{ "user", "USER", "who hands it in", V_TEXT, 14, 5, false, true, true, get_user },
	{ "state", NULL, "its state", V_TEXT, 0, 0, false, true, true, get_state },
	{ "st", "STATE", "its state, in short", V_TEXT, 5, 0, false, false, false,
	  get_state_short },
	{ "queued", "QUEUED", "recipients that wait or are in flight", V_INT, 7, 0, true, true,
	  false, get_queued },
	{ "delivered", "DELIV", "recipients delivered", V_INT, 7, 3, true, true, false,
	  get_delivered },
	{ "deferred", "DEFER", "attempts deferred", V_INT, 7, 6, true, true, false, get_deferred },
	{ "bounced", "BOUNCE", "recipients bounced", V_INT, 7, 4, true, true, false, get_bounced },
	{ "complaint_percent", "CPL%", "complaints of the delivered, in a day", V_SHARE, 5, 8, true,
	  true, false, get_complaint_percent },
	{ "rate", "OUT/s", "attempts a second, over 10 s", V_PER_S, 7, 2, true, true, false,
	  get_rate },
	{ "eta", "ETA", "when it will be done", V_SPAN, 5, 2, true, true, false, get_eta },
	{ "eta_state", NULL, "ok, idle or never", V_TEXT, 0, 0, false, true, false, get_eta_state },
	{ "first_at", "FIRST", "when its first mail came", V_TIME, 11, 7, false, true, false,
	  get_first_at },
};

static const struct field override_fields[] = {
	{ "id", "ID", "its number", V_INT, 4, 0, true, true, false, get_override_id },
	{ "made_at", "WHEN", "when it was made", V_TIME, 11, 4, false, true, false, get_made_at },
	{ "who", "WHO", "who made it", V_TEXT, 8, 3, false, true, true, get_who },
	{ "what", "WHAT", "what it does", V_TEXT, 11, 0, false, true, true, get_what },
	{ "target", "TARGET", "to what", V_TEXT, 22, 0, false, true, true, get_target },
	{ "was", "WAS", "before", V_TEXT, 10, 5, false, true, false, get_was },
	{ "now", "NOW", "since", V_TEXT, 10, 2, false, true, true, get_now },
	{ "until", "UNTIL", "when it ends or ended", V_TIME, 11, 0, false, true, false, get_until },
	{ "ended_at", "ENDED", "when it was ended", V_TIME, 11, 6, false, true, false,
	  get_ended_at },
	{ "ended_by", NULL, "who ended it", V_TEXT, 8, 0, false, true, false, get_ended_by },
	{ "act", NULL, "an act on record, not an override", V_BOOL, 3, 0, false, true, false,
	  get_act },
	{ "reason", "REASON", "because", V_TEXT, 0, 7, false, true, true, get_reason },
};

static const struct field alarm_fields[] = {
	{ "id", "ID", "its number", V_INT, 4, 0, true, true, false, get_alarm_id },
	{ "severity", "HARM", "red, yellow or note", V_TEXT, 6, 0, false, true, true,
	  get_severity },
	{ "code", "CODE", "what kind", V_TEXT, 18, 3, false, true, true, get_code },
	{ "target", "TARGET", "about what", V_TEXT, 22, 0, false, true, true, get_alarm_target },
	{ "since", "SINCE", "since when", V_TIME, 11, 2, false, true, false, get_since },
	{ "text", "TEXT", "in words", V_TEXT, 0, 0, false, true, true, get_alarm_text },
	{ "ack", "ACK", "who acknowledged it", V_TEXT, 16, 4, false, true, true, get_ack },
	{ "gone", NULL, "over", V_BOOL, 3, 0, false, true, false, get_gone },
};

static const struct field feedback_fields[] = {
	{ "provider", "PROVIDER", "the provider, else the site", V_TEXT, 0, 0, false, true, true,
	  get_feedback_provider },
	{ "category", "CATEGORY", "what the bounces mean, or complaint", V_TEXT, 19, 0, false, true,
	  true, get_feedback_category },
	{ "hour", "HOUR", "recipients, in the last hour", V_INT, 7, 5, true, true, false,
	  get_feedback_hour },
	{ "day", "DAY", "recipients, in the last day", V_INT, 7, 0, true, true, false,
	  get_feedback_day },
	{ "total", NULL, "recipients, since the first", V_INT, 7, 0, true, true, false,
	  get_feedback_total },
	{ "last_at", "LAST", "when the last one came", V_TIME, 11, 3, false, true, false,
	  get_feedback_last },
	{ "replies", NULL, "the last different replies, a line each, with how often", V_TEXT, 0, 0,
	  false, true, true, get_feedback_replies },
};

static const struct field reputation_fields[] = {
	{ "kind", "WHAT", "provider, source or job", V_TEXT, 8, 4, false, true, true,
	  get_reputation_kind },
	{ "of", "NAME", "its name", V_TEXT, 0, 0, false, true, true, get_reputation_of },
	{ "name", NULL, "the same, as a target of commands", V_TEXT, 0, 0, false, true, false,
	  get_name },
	{ "hour.delivered", "DELIV/H", "recipients delivered in the last hour", V_INT, 7, 5, true,
	  true, false, get_hour_delivered },
	{ "hour.bounced", "BOUNC/H", "recipients bounced or expired in the last hour", V_INT, 7, 6,
	  true, true, false, get_hour_bounced },
	{ "hour.harmful", NULL, "bounces, also reported ones, that are hard or spam-related", V_INT,
	  7, 0, true, true, false, get_hour_harmful },
	{ "hour.complaints", NULL, "complaints in the last hour", V_INT, 7, 0, true, true, false,
	  get_hour_complaints },
	{ "hour.bounce_percent", "BNC%/H",
	  "hard and spam-related bounces of what came to an end, last hour", V_SHARE, 6, 0, true,
	  true, false, get_hour_bounce_percent },
	{ "hour.complaint_percent", NULL, "complaints of the delivered, last hour", V_SHARE, 6, 0,
	  true, true, false, get_hour_complaint_percent },
	{ "day.delivered", "DELIV/D", "recipients delivered in a day", V_INT, 7, 3, true, true,
	  false, get_day_delivered },
	{ "day.bounced", "BOUNC/D", "recipients bounced or expired in a day", V_INT, 7, 7, true,
	  true, false, get_day_bounced },
	{ "day.harmful", NULL, "bounces, also reported ones, that are hard or spam-related", V_INT,
	  7, 0, true, true, false, get_day_harmful },
	{ "day.complaints", "CPL/D", "complaints in a day", V_INT, 6, 2, true, true, false,
	  get_day_complaints },
	{ "day.bounce_percent", "BNC%/D",
	  "hard and spam-related bounces of what came to an end, in a day", V_SHARE, 6, 8, true,
	  true, false, get_day_bounce_percent },
	{ "day.complaint_percent", "CPL%/D", "complaints of the delivered, in a day", V_SHARE, 6, 0,
	  true, true, false, get_day_complaint_percent },
};

#define FIELDS(a) a, (int)(sizeof a / sizeof a[0])

static const struct list_def lists[LIST_COUNT] = {
	[LIST_QUEUES] = { "queues", ROW_QUEUE, FIELDS(queue_fields), "trouble" },
	[LIST_SITES] = { "sites", ROW_SITE, FIELDS(site_fields), "trouble" },
	[LIST_LANES] = { "lanes", ROW_LANE, FIELDS(lane_fields), "trouble" },
	[LIST_SOURCES] = { "sources", ROW_SOURCE, FIELDS(source_fields), "trouble" },
	[LIST_JOBS] = { "jobs", ROW_JOB, FIELDS(job_fields), "trouble" },
	[LIST_OVERRIDES] = { "overrides", ROW_OVERRIDE, FIELDS(override_fields), "trouble" },
	[LIST_ALARMS] = { "alarms", ROW_ALARM, FIELDS(alarm_fields), "trouble" },
	[LIST_FEEDBACK] = { "feedback", ROW_FEEDBACK, FIELDS(feedback_fields), "trouble" },
	[LIST_REPUTATION] = { "reputation", ROW_REPUTATION, FIELDS(reputation_fields), "trouble" },
};

const struct list_def *list_def(enum list_id l)
{
	return &lists[l];
}

const struct field *field_find(enum list_id l, struct str name)
{
	const struct list_def *d = &lists[l];

	for (int i = 0; i < d->nfields; i++)
		if (str_ieqz(name, d->fields[i].json))
			return &d->fields[i];
	for (int i = 0; i < d->nfields; i++)
		if (d->fields[i].heading && str_ieqz(name, d->fields[i].heading))
			return &d->fields[i];
	return NULL;
}
