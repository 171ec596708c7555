#include "core/classify/category.h"

#include <stdio.h>
#include <string.h>

const char *const category_names[] = { "bad-mailbox",
				       "bad-domain",
				       "inactive-mailbox",
				       "quota-issues",
				       "routing-errors",
				       "spam-related",
				       "policy-related",
				       "content-related",
				       "relaying-issues",
				       "virus-related",
				       "no-answer-from-host",
				       "protocol-errors",
				       "message-expired",
				       "bad-connection",
				       "invalid-sender",
				       "bad-configuration",
				       "other",
				       NULL };

/* The meaning of enhanced codes where no text says more (RFC 3463, 7372, 7504, 7505; Gmail's 7.2x).
 * The class that receivers use them for rules, where they stray from the RFC. */
static const struct code_meaning {
	int subject, first, last; /* x.subject.first to x.subject.last */
	const char *category;
	bool hard; /* if permanent */
} meanings[] = {
	{ 1, 0, 1, "bad-mailbox", true },	 { 1, 2, 2, "bad-domain", true },
	{ 1, 3, 3, "bad-mailbox", true },	 { 1, 4, 5, "bad-mailbox", false },
	{ 1, 6, 6, "bad-mailbox", true },	 { 1, 7, 9, "invalid-sender", false },
	{ 1, 10, 10, "bad-domain", true },	 { 2, 0, 0, "inactive-mailbox", false },
	{ 2, 1, 1, "inactive-mailbox", true },	 { 2, 2, 2, "quota-issues", false },
	{ 2, 3, 3, "content-related", false },	 { 2, 4, 4, "bad-configuration", false },
	{ 3, 1, 3, "bad-configuration", false }, { 3, 4, 4, "content-related", false },
	{ 3, 5, 5, "bad-configuration", false }, { 4, 1, 1, "no-answer-from-host", false },
	{ 4, 0, 2, "bad-connection", false },	 { 4, 3, 4, "routing-errors", false },
	{ 4, 5, 5, "bad-configuration", false }, { 4, 6, 6, "routing-errors", false },
	{ 4, 7, 7, "message-expired", false },	 { 5, 0, 999, "protocol-errors", false },
	{ 6, 0, 999, "content-related", false }, { 7, 28, 28, "spam-related", false },
	{ 7, 600, 699, "spam-related", false },	 { 7, 0, 999, "policy-related", false },
};

static const struct code_meaning *meaning(const char *enhanced)
{
	unsigned subject = 0, detail = 0;

	if (sscanf(enhanced, "%*1u.%3u.%3u", &subject, &detail) != 2)
		return NULL;
	for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
		if ((int)subject == meanings[i].subject && (int)detail >= meanings[i].first &&
		    (int)detail <= meanings[i].last)
			return &meanings[i];
	return NULL;
}

const char *verdict_category(const struct reply_verdict *v)
{
	const struct code_meaning *m;

	if (v->class == CLASS_OK)
		return "";
	if (v->category[0])
		return v->category;
	m = meaning(v->enhanced);
	return m ? m->category : "other";
}

bool verdict_hard(const struct reply_verdict *v)
{
	const struct code_meaning *m;

	if (v->class == CLASS_OK || !v->permanent)
		return false;
	if (v->category[0])
		return v->hard;
	m = meaning(v->enhanced);
	return m && m->hard;
}

bool verdict_harms(const struct reply_verdict *v)
{
	return v->permanent && v->class != CLASS_OK &&
	       (verdict_hard(v) || strcmp(verdict_category(v), "spam-related") == 0);
}

const char *verdict_lane(const struct reply_verdict *v)
{
	unsigned acts = v->pattern ? v->pattern->does.acts : 0;

	if (acts & DO_BACKOFF)
		return "backoff";
	if ((acts & DO_SLOWER) || v->class == CLASS_THROTTLE || v->class == CLASS_POLICY)
		return "slower";
	return "none";
}
