/* The two ends of [inbound]: what mail that leaves carries so that what comes back can be matched,
 * and what mail that comes in to such a domain means. Pure but for the keys' files; any thread. */
#ifndef STOKER_FEEDBACK_INBOUND_H
#define STOKER_FEEDBACK_INBOUND_H

#include "conf/conf.h"
#include "core/classify/classify.h"
#include "core/feedback/token.h"
#include "core/spool/event.h"

/* The keys that verp-key names, as the user that the server runs as, before the snapshot is shared.
 * False with errors in `p`. */
bool inbound_keys_load(struct conf *c, struct conf_problems *p);

/* For one recipient of a message whose sender is in a domain of that section: the return path ("":
 * as the sender is) and the header line X-Stoker-Ref, in `mem`. Without a key both are "". False
 * without memory. */
bool inbound_mark(const struct conf *c, int section, struct token t,
		  const struct token_about *about, struct arena *mem, struct str *path,
		  struct str *header);

enum inbound_fate {
	INBOUND_BOUNCE,	   /* of mail of ours, as its token proves */
	INBOUND_COMPLAINT, /* likewise */
	INBOUND_NOTED, /* an automatic mail that changes nothing: delays, deliveries, absences */
	INBOUND_UNVERIFIED, /* a report that anybody may have written */
	INBOUND_OTHER,	    /* no report, or one that is not wanted here */
	INBOUND_FATES
};
struct inbound_mail {
	const struct str *to; /* envelope recipients */
	uint32_t nto;
	struct str client; /* who handed it in */
	struct str text;   /* as far as it is looked at */
	us_t at;
};
struct inbound_result {
	enum inbound_fate fate;
	const struct event *events; /* remote-bounced and complaint */
	uint32_t n;
	struct str
	    words; /* for the log: "bounce (rfc3464) about bob@there.example, matched by verp" */
};
/* All in `mem`. False without memory. */
bool inbound_judge(const struct conf *c, const struct classifier *classifier,
		   const struct inbound_mail *mail, struct arena *mem, struct inbound_result *out);

#endif
