/* Private to core/report/counters*.c. */
#ifndef STOKER_REPORT_COUNTERS_INNER_H
#define STOKER_REPORT_COUNTERS_INNER_H

#include "core/base/log.h"
#include "core/base/hash.h"
#include "core/report/counters.h"

enum {
	COUNTERS_MAGIC = 0x434f554e,
	MINUTES = 61, /* those of the last hour, and the one that is running */
	HOURS = 25,
	PARTIES_MAX = 512,   /* of a kind */
	CATEGORIES_MAX = 24, /* of a receiver */
	REPLIES_MAX = 5,     /* texts of a category */
	REPLY_BYTES = 200,
	ADDRESS_BYTES = 100,
	DOMAINS_MAX = 8192, /* whose receiver is known, in each of two generations */
};
#define OTHER "(other)"

struct window {
	uint64_t total;
	uint32_t minute[MINUTES], hour[HOURS];
};
struct said { /* replies that say the same */
	uint64_t n;
	us_t last;
	char key[REPLY_BYTES], text[REPLY_BYTES], recipient[ADDRESS_BYTES];
};
struct item { /* what has a row */
	struct item *next_dirty;
	uint64_t id;
	uint8_t kind; /* enum row_kind */
	bool dirty, shown, gone;
};
struct category {
	struct item item;
	struct category *next;
	struct party *of;
	char *name;
	struct window w;
	us_t last;
	int nsaid;
	struct said *said; /* REPLIES_MAX; NULL: none yet */
};
enum what { DELIVERED, FAILED, HARMFUL, COMPLAINTS, WHATS };
enum rate_kind { RATE_BOUNCE, RATE_COMPLAINT, RATES };
struct judged {		 /* of one rate */
	us_t over_since; /* 0: it is under its threshold */
	int raised;	 /* severity; 0: no alarm */
	us_t hold_since; /* the same for hold-job-at */
};
struct party {
	struct item item;
	enum reputation_kind kind;
	char *name;
	struct str key;	   /* its name, in the map of its kind */
	int64_t minute_at; /* the newest minute of all its windows */
	uint64_t through;  /* the last event that was counted */
	struct window w[WHATS];
	struct category *categories;
	int ncategories;
	struct judged judged[RATES];
	bool held; /* once: then `fresh` is judged */
	uint64_t fresh[WHATS];
	bool unsaved;
	struct party *next; /* all of its kind */
};
struct known { /* a domain and who takes its mail */
	char *domain, *site;
};
struct counters {
	uint32_t magic;
	uint64_t next_id;
	struct party *first[REPUTATION_KINDS];
	struct strmap by_name[REPUTATION_KINDS];
	int n[REPUTATION_KINDS];
	struct strmap domains, domains_before;
	struct item *dirty, **dirty_tail;
	int64_t shown_minute; /* the windows move on */
	struct forgotten {
		struct forgotten *next;
		char key[];
	} * forgotten; /* rows of the state table to be deleted */
};

uint64_t window_hour(const struct window *w);
uint64_t window_day(const struct window *w);
void party_advance(struct party *p, int64_t minute);
struct party *party_get(struct counters *c, enum reputation_kind k, struct str name);
/* "p google", the key in the state table. */
void party_key(const struct party *p, struct buf *out);
void party_free(struct party *p);
struct category *category_get(struct counters *c, struct party *p, struct str name);
void item_dirty(struct counters *c, struct item *i);
/* As commands write it. */
void party_target(const struct party *p, struct buf *out);
/* A party without anything in a day goes, with its rows. */
void counters_forget(struct counters *c, int64_t minute);

#endif
