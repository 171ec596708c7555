/* Pattern lists, compiled: what [pattern-list] says of receivers' replies. Made by conf_read on its
 * worker, then immutable and counted on its own, so that a session can keep the lists it began with
 * without keeping the whole snapshot. Matching is core/classify's. Any thread. */
#ifndef STOKER_CONF_PATTERNS_H
#define STOKER_CONF_PATTERNS_H

#include "core/base/clock.h"
#include "core/base/need.h"
#include "core/base/str.h"

enum pattern_act { /* what a reply line asks for, in bits */
		   DO_BACKOFF = 1,
		   DO_NORMAL = 2,
		   DO_SKIP_MX = 4,
		   DO_BOUNCE_QUEUE = 8,
		   DO_BOUNCE_RCPT = 16,
		   DO_DISABLE_SOURCE = 32,
		   DO_SLOWER = 64,
		   DO_GREYLIST = 128,
		   DO_RETRY_IN = 256,
		   DO_IGNORE = 512,
};

struct pattern_acts {
	unsigned acts;	  /* bits of enum pattern_act */
	us_t backoff_for; /* 0: backoff-to-normal-after */
	us_t disable_for; /* 0: PATTERN_DISABLE */
	us_t retry_in;	  /* with DO_RETRY_IN */
};
#define PATTERN_DISABLE	 US_PER_HOUR	  /* disable-source-ip without `for` */
#define PATTERN_GREYLIST (6 * US_PER_MIN) /* when a greylisted recipient is tried again */

struct pattern {
	void *code;	  /* pcre2_code: caseless, anywhere in the text, ^ and $ at each line */
	const char *rule; /* "patterns.ini:40" */
	struct pattern_acts does;
	struct need need;
};

/* [bounce-category-patterns] */
enum category_lane {
	CATEGORY_LANE_UNSAID,
	CATEGORY_LANE_NONE,
	CATEGORY_LANE_SLOWER,
	CATEGORY_LANE_BACKOFF,
};
enum { CATEGORY_NAME_MAX = 32 };
struct category_rule {
	struct pattern pattern; /* its acts are what the lane asks for */
	const char *category;
	const char *codes, *from; /* "421|45x", "gmail|google"; NULL: any */
	enum category_lane lane;
	bool hard;
};
struct category_rules {
	struct category_rule *v; /* the first that matches rules: yours, then the shipped ones */
	int n;
};

struct pattern_list {
	const char *name;
	const struct pattern **v; /* the first that matches rules; includes are spelled out */
	int n;
	int n_success; /* so many must be looked at for a 2xx, which only mode=normal concerns */
	const struct category_rules *categories; /* the same for all lists */
};

struct patterns;
struct patterns *patterns_ref(struct patterns *p); /* NULL stays NULL */
void patterns_unref(struct patterns *p);	   /* NULL allowed */
/* NULL if there is no list of this name: then no pattern applies. `default` is always there. */
const struct pattern_list *patterns_find(const struct patterns *p, const char *name);

#endif
