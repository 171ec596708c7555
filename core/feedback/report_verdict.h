/* What a report means for an address: whether it is dead, and whether it belongs on the suppression
 * list. Any thread. */
#ifndef STOKER_FEEDBACK_REPORT_VERDICT_H
#define STOKER_FEEDBACK_REPORT_VERDICT_H

#include "core/classify/classify.h"
#include "core/feedback/report.h"

struct report_verdict {
	bool hard;     /* the address is dead: trying it again harms */
	bool suppress; /* hard, or a complaint; what is no bounce or complaint never */
};
void report_judge(const struct classifier *c, const struct report *r, const struct report_rcpt *p,
		  struct report_verdict *out);

#endif
