/* The suppression list: addresses that get no more mail, for one sender's domain or for all. An
 * LMDB environment of its own, STATE/suppression: ten million addresses are a gigabyte of pages in
 * random order, and in the state environment they would lie in the way of what an operator waits
 * for (overrides are synced before a command is answered) and of everything that reads it at start.
 *
 * Written by the spool thread alone, in steps; looked up by any thread with a reader of its own,
 * which holds a snapshot only while the call lasts and never waits for the writer.
 *
 * What the mail itself puts on the list is an event first (EVENT_SUPPRESSED, in the commit of the
 * bounce or report that led to it): the events are this list's log. A commit here says up to which
 * event all of them are on the list (suppression_mark); the next start reads on from there.
 *
 * ON DISK: `list` DOMAIN NUL LOCAL NUL SCOPE -> entry (SCOPE empty: for all senders); `soft` the
 * same key -> failures that are counted; `due` (second, hash) -> what ends then; `meta`. */
#ifndef STOKER_SPOOL_SUPPRESSION_H
#define STOKER_SPOOL_SUPPRESSION_H

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/domain.h"
#include "core/base/err.h"
#include "core/base/str.h"

enum suppress_why {
	SUPPRESS_HARD = 1,
	SUPPRESS_COMPLAINT,
	SUPPRESS_SOFT,
	SUPPRESS_MANUAL,
	SUPPRESS_WHYS
};
const char *suppress_why_name(enum suppress_why w); /* "hard" */
/* SUPPRESS_WHYS: there is none of that name. */
enum suppress_why suppress_why_find(struct str name);

enum {
	SUPPRESSION_KEY_MAX = 511,     /* LMDB's */
	SUPPRESSION_ADDRESS_MAX = 254, /* RFC 5321 4.5.3.1.3, less <> */
	SUPPRESSION_WORDS_MAX = 160,
	SUPPRESSION_CATEGORY_MAX = 31,
	SUPPRESSION_BY_MAX = 63,
};

/* An address in the form in which two of the same mailbox are equal: the domain as A-labels in
 * lower case, the local part in ASCII lower case and without quotes that it does not need. */
struct suppression_key {
	size_t n, base; /* base: bytes before the scope */
	char bytes[SUPPRESSION_KEY_MAX + 1];
};
/* scope: a sender's domain in normal form; "": all senders. NULL, or why that is no address. */
const char *suppression_key(struct str address, struct str scope, struct suppression_key *k);
/* The same for one that is parsed: `domain` is in normal form, or a literal. */
const char *suppression_key_parts(struct str local, struct str domain, struct str scope,
				  struct suppression_key *k);
/* The domain of an envelope sender in normal form; "" for the null sender and for what has none. */
struct str suppression_scope(struct str sender, char out[DOMAIN_SIZE]);

struct suppression_entry { /* texts are cut to the sizes above */
	enum suppress_why why;
	us_t at;
	us_t until;	     /* US_NEVER */
	uint64_t message;    /* 0: none led to it */
	struct str category; /* PowerMTA's word */
	struct str words;    /* the reply's first ones, or the reason that was given */
	struct str by;	     /* who put it there; "": the mail itself */
};
struct suppression_found { /* a copy */
	struct suppression_entry e;
	bool global;
	char category[SUPPRESSION_CATEGORY_MAX + 1], words[SUPPRESSION_WORDS_MAX + 1],
	    by[SUPPRESSION_BY_MAX + 1];
};

/* ---- the spool thread ---- */
struct suppression;
struct suppression_opts {
	const char *dir;
	uint64_t map_bytes; /* 0: the usual */
	bool create;	    /* if it is not there; else a missing one is an error */
};
/* The folder is made if it has to be; whoever calls holds the state's lock. */
const struct err *suppression_open(const struct suppression_opts *o, struct suppression **out,
				   struct errbuf *e);
void suppression_close(struct suppression *l); /* after its readers; what waits is gone */

/* Buffered until suppression_commit. False: no memory. */
bool suppression_put(struct suppression *l, const struct suppression_key *k,
		     const struct suppression_entry *e);
bool suppression_del(struct suppression *l, const struct suppression_key *k);
/* All EVENT_SUPPRESSED up to this one are among what is put or was put before. */
bool suppression_mark(struct suppression *l, uint64_t event);
uint64_t suppression_marked(const struct suppression *l); /* at start, what was committed */
/* An entry exactly under that key, also one that is buffered or has ended; else false. */
bool suppression_get(struct suppression *l, const struct suppression_key *k,
		     struct suppression_found *out);
/* One more failure of an address, of that message (told twice, it counts once). *n: how many there
 * were since `since`, *first: when the first of them was. Kept until `keep` after the last. */
bool suppression_count_failure(struct suppression *l, const struct suppression_key *k,
			       uint64_t message, us_t at, us_t since, us_t keep, unsigned *n,
			       us_t *first);
/* Commits what is buffered, the oldest first, up to `max` rows; `sync`: all of it, durable when it
 * returns. Without it a commit is durable with the next one. On failure nothing is lost in memory:
 * call again. */
const struct err *suppression_commit(struct suppression *l, unsigned max, bool sync,
				     struct errbuf *e);
/* Makes all commits durable. */
const struct err *suppression_sync(struct suppression *l, struct errbuf *e);
size_t suppression_waiting(const struct suppression *l); /* rows */
bool suppression_synced(const struct suppression *l);	 /* all commits are durable */
/* Buffers the removal of up to `max` entries and counts whose time is over. True: there are more.
 */
bool suppression_purge(struct suppression *l, us_t now, unsigned max);
uint64_t suppression_entries(struct suppression *l); /* committed */

/* ---- any thread: many at once, on their way to the spool thread ---- */
/* Entries to put (or, `del`, to remove: e may be NULL). False without memory. */
bool suppression_batch_add(struct buf *b, bool del, const struct suppression_key *k,
			   const struct suppression_entry *e);
bool suppression_batch_next(struct reader *r, bool *del, struct suppression_key *k,
			    struct suppression_entry *e);

/* ---- any thread, each with a reader of its own ---- */
struct suppression_reader;
/* NULL without memory. Close it before the list. */
struct suppression_reader *suppression_reader_open(struct suppression *l);
void suppression_reader_close(struct suppression_reader *r);
/* Is there an entry for the key's scope or for all senders that holds now? `out` may be NULL. False
 * also while the list can't be read at all. */
bool suppression_find(struct suppression_reader *r, const struct suppression_key *k, us_t now,
		      struct suppression_found *out);
/* Entries in key order: by the address's domain, local part, scope; from behind `after` (n 0: from
 * the beginning) whose key begins with `prefix`, at most `max`; ended ones too. fn returns false to
 * stop. Returns how many, *after: the last. -1: not readable, or not to
 * its end. */
struct suppression_row {
	struct str domain, local, scope; /* slices, only while the call lasts, as those of `e` */
	struct suppression_entry e;
};
int suppression_page(struct suppression_reader *r, struct suppression_key *after, struct str prefix,
		     int max, bool (*fn)(void *arg, const struct suppression_row *row), void *arg);
/* How many hold now. */
uint64_t suppression_reader_entries(struct suppression_reader *r, us_t now);

#endif
