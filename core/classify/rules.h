/* The built-in tables of classify.c: texts first, then enhanced codes, then the basic code; in each
 * the first match wins. */
#ifndef STOKER_CLASSIFY_RULES_H
#define STOKER_CLASSIFY_RULES_H

#include "core/classify/classify.h"

/* Which replies a rule is for. */
enum rule_when {
	WHEN_421 = 1,
	WHEN_4XX = 2, /* other than 421 */
	WHEN_5XX = 4,
};

struct text_rule {
	const char *name; /* verdict's rule */
	unsigned when;	  /* bits of enum rule_when */
	enum reply_class class;
	const char *pattern; /* PCRE2, caseless, extended (blanks don't count), `.` does not match
				\n, ^ at each line */
};
extern const struct text_rule text_rules[];
extern const int ntext_rules;

struct enhanced_rule {
	const char *name;
	unsigned when;
	enum reply_class class;
	int subject, first, last; /* x.subject.first to x.subject.last */
};
extern const struct enhanced_rule enhanced_rules[];
extern const int nenhanced_rules;

#endif
