/* Getters of the fields: one small function a value. A value that a row does not have is V_NONE.
 * Any thread, on any copy of a row. */
#ifndef STOKER_CONTROL_GETTERS_H
#define STOKER_CONTROL_GETTERS_H

#include "core/control/query.h"

typedef void getter(const struct row *r, us_t now, struct value *out);

/* every kind */
getter get_name, get_state, get_state_short;
getter get_why_code, get_why_value, get_why_limit, get_why_counts, get_why_origin, get_why_until,
    get_why_text;
/* what has traffic: queues, sites, lanes, sources, jobs */
getter get_delivered, get_deferred, get_bounced, get_rate, get_connections, get_delivered_percent;
getter get_last_reply, get_last_reply_at, get_queued, get_eta, get_eta_state;
/* queues and sites */
getter get_domain, get_route, get_site, get_provider, get_due, get_in_flight, get_oldest_age,
    get_next_attempt, get_trend;
getter get_domains, get_lanes;
/* lanes */
getter get_vmta, get_source_ip, get_rate_limit, get_connection_limit;
getter get_backoff_since, get_backoff_until, get_backoff_reason, get_backoff_reply,
    get_backoff_step, get_learned_rate, get_learned_ceiling;
getter get_warmup_step, get_warmup_cap, get_warmup_used, get_warmup_sample, get_warmup_bounce_rate,
    get_warmup_next_step_at;
/* sources */
getter get_hostname, get_pools, get_bytes_rate, get_transient_percent, get_permanent_percent,
    get_provider_count, get_ptr_ok;
getter get_standing;
/* jobs */
getter get_user, get_first_at;
/* overrides */
getter get_override_id, get_what, get_target, get_was, get_now, get_who, get_reason, get_made_at,
    get_until, get_ended_at;
getter get_ended_by, get_act;
/* alarms */
getter get_alarm_id, get_code, get_alarm_target, get_since, get_severity, get_alarm_text, get_ack,
    get_gone;
/* feedback, reputation */
getter get_feedback_provider, get_feedback_category, get_feedback_hour, get_feedback_day,
    get_feedback_total, get_feedback_last, get_feedback_replies;
getter get_reputation_kind, get_reputation_of, get_hour_delivered, get_hour_bounced,
    get_hour_harmful, get_hour_complaints, get_hour_bounce_percent, get_hour_complaint_percent,
    get_day_delivered, get_day_bounced, get_day_harmful, get_day_complaints, get_day_bounce_percent,
    get_day_complaint_percent;
getter get_complaint_percent; /* jobs */

#endif
