/* What a report means for an address: whether it is dead, and whether it belongs on the suppression
 * list. Any thread. */
#ifndef STOKER_FEEDBACK_REPORT_VERDICT_H
#define STOKER_FEEDBACK_REPORT_VERDICT_H

#include "core/classify/category.h"
#include "core/feedback/report.h"

struct report_verdict {
	char category[CATEGORY_SIZE]; /* PowerMTA's word for why; "" if it is no failure or delay */
	bool hard;		      /* the address is dead: trying it again harms */
	bool suppress; /* hard, or a complaint; what is no bounce or complaint never */
};
/* list: the configured rules (those for one receiver go by the MTA that said it); NULL: codes, and
 * the words of servers whose codes say nothing. */
void report_judge(const struct classifier *c, const struct pattern_list *list,
		  const struct report *r, const struct report_rcpt *p, struct report_verdict *out);

#endif
