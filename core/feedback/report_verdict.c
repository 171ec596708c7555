#include "core/feedback/report_verdict.h"

#include <stdio.h>

/* RFC 3463: the status says by itself that the address is dead (bad or moved mailbox, bad domain,
 * disabled; 5.4.1 is Exchange Online's "no such recipient"). */
static const char *const dead[] = { "5.1.1", "5.1.2", "5.1.3",	"5.1.6",
				    "5.2.1", "5.4.1", "5.1.10", "5.0.1" };
/* It says something else than "no such mailbox". */
static const char *const alive[] = { "5.2.2", "5.2.3", "5.3.", "5.4.", "5.5.", "5.6.", "5.7." };

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
					  "no account",
					  "inactive user",
					  "user account is expired" };

static bool in(const char *status, const char *const *list, size_t n, bool whole)
{
	for (size_t i = 0; i < n; i++)
		if (whole ? !strcmp(status, list[i]) : !strncmp(status, list[i], strlen(list[i])))
			return true;
	return false;
}

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

static bool is_hard(const struct classifier *c, const struct report_rcpt *p)
{
	struct reply_verdict v;
	char reply[REPORT_DIAGNOSTIC_MAX + 16];
	int code = report_basic(p->diagnostic);

	if (p->status[0] != '5' || (code && code < 500))
		return false;
	snprintf(reply, sizeof reply, "%d %s %.*s", code ? code : 550, p->status,
		 (int)p->diagnostic.n, p->diagnostic.n ? p->diagnostic.p : "");
	classify(c, NULL, STEP_RCPT, str_of(reply), &v);
	if (in(p->status, dead, sizeof dead / sizeof *dead, true))
		return v.permanent;
	return v.permanent && !in(p->status, alive, sizeof alive / sizeof *alive, false) &&
	       says_dead(p->diagnostic);
}

void report_judge(const struct classifier *c, const struct report *r, const struct report_rcpt *p,
		  struct report_verdict *out)
{
	*out = (struct report_verdict){ false, false };
	if (r->kind == REPORT_FEEDBACK)
		out->suppress = r->complaint && p->address.n;
	if (r->kind != REPORT_BOUNCE || p->action != ACTION_FAILED)
		return;
	out->hard = is_hard(c, p);
	out->suppress = out->hard && p->address.n;
}
