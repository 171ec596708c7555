#include "core/feedback/report_verdict.h"

#include <stdio.h>

/* For servers whose code says nothing. */
static const char *const dead_words[] = { "user unknown",
					  "unknown user",
					  "no such user",
					  "no mailbox here",
					  "does not exist",
					  "doesn't exist",
					  "unknown address",
					  "no such mailbox",
					  "not listed in",
					  "invalid recipient",
					  "no such recipient",
					  "recipient unknown",
					  "unrouteable address",
					  "account is disabled",
					  "account has been disabled",
					  "mailbox not found",
					  "address not found",
					  "user not found",
					  "user not known",
					  "recipnotfound",
					  "recipientnotfound",
					  "unknown recipient",
					  "no such person",
					  "is not a known user",
					  "name is not recognized",
					  "host not found",
					  "not our customer",
					  "unknown local",
					  "inexist",
					  "unbekannt",
					  "inconnu",
					  "no existe",
					  "invalid mailbox",
					  "user doesn't have",
					  "not a valid",
					  "couldn't find any host",
					  "no longer valid",
					  "user is unknown",
					  "address is invalid",
					  "recipient address rejected: access denied",
					  "no account",
					  "inactive user",
					  "user account is expired" };

static bool says_dead(struct str text)
{
	char lower[REPORT_DIAGNOSTIC_MAX + 1];

	if (!str_lower(text, lower, sizeof lower))
		return false;
	for (size_t i = 0; i < sizeof dead_words / sizeof *dead_words; i++)
		if (strstr(lower, dead_words[i]))
			return true;
	return false;
}

/* The reply as it was, as far as the report gives it. */
static void judge_reply(const struct classifier *c, const struct pattern_list *list,
			const struct report_rcpt *p, struct reply_verdict *v)
{
	char reply[REPORT_DIAGNOSTIC_MAX + 32];
	int code = report_basic(p->diagnostic);

	if (!code || p->status[0] == '4') /* a 4xx is never hard, whatever stands beside it */
		code = p->status[0] == '4' ? 450 : 550;
	snprintf(reply, sizeof reply, "%d %s %.*s", code, p->status, (int)p->diagnostic.n,
		 p->diagnostic.n ? p->diagnostic.p : "");
	classify_from(c, list, STEP_RCPT, p->remote_mta, str_of(reply), v);
}

/* "5.0.0" and Exchange Online's 5.4.1, "no such recipient", which RFC 3463 means otherwise. */
static bool words_decide(const struct report_rcpt *p)
{
	return !strcmp(p->status, "5.0.0") || !strcmp(p->status, "5.4.1");
}

void report_judge(const struct classifier *c, const struct pattern_list *list,
		  const struct report *r, const struct report_rcpt *p, struct report_verdict *out)
{
	struct reply_verdict v;
	const char *category;

	*out = (struct report_verdict){ .hard = false };
	if (r->kind == REPORT_FEEDBACK)
		out->suppress = r->complaint && p->address.n;
	if ((r->kind != REPORT_BOUNCE && r->kind != REPORT_DELAYED) ||
	    (p->action != ACTION_FAILED && p->action != ACTION_DELAYED))
		return;
	judge_reply(c, list, p, &v);
	category = verdict_category(&v);
	out->hard = verdict_hard(&v);
	if (!v.category[0] && v.permanent && words_decide(p) && says_dead(p->diagnostic)) {
		category = "bad-mailbox";
		out->hard = true;
	}
	snprintf(out->category, sizeof out->category, "%s", category);
	out->hard = out->hard && p->action == ACTION_FAILED;
	out->suppress = out->hard && p->address.n;
}
