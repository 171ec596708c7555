/* An import in progress: what its files share. One thread; all memory is in `mem` until the end.
 * Order: pmta_read (text to statements), pmta_walk (each statement by its row of pmta_table to
 * lines of ours), pmta_names and pmta_hosts (what needs the whole: names that nothing defines,
 * sources that inherit, virtual MTAs of several addresses), pmta_write (our text, checked by
 * conf_read itself, and the report). */
#ifndef STOKER_CONF_PMTA_PRIV_H
#define STOKER_CONF_PMTA_PRIV_H

#include "conf/mem.h"
#include "conf/pmta.h"
#include "conf/schema.h"
#include "core/base/buf.h"
#include "core/base/hash.h"

enum pmta_verdict { PMTA_TAKEN, PMTA_APPROXIMATED, PMTA_DROPPED };

/* Where a directive stands: one bit each. */
enum pmta_scope {
	IN_GLOBAL = 1,
	IN_SOURCE = 2,
	IN_DOMAIN = 4,
	IN_VMTA = 8,
	IN_POOL = 16,
	IN_USER = 32,
	IN_LISTENER = 64,
	IN_PICKUP = 128,
	IN_REPLIES = 256, /* <smtp-pattern-list> */
	IN_ROLLUP = 512,
	IN_ACCT = 1024,
	IN_CATEGORIES = 4096, /* <bounce-category-patterns> */
	IN_REPORTS = 8192,    /* <bounce-processor>, <feedback-loop-processor> */
	IN_ADDRESSES = 16384, /* <address-list> */
	IN_NOTHING = 2048,    /* a section that Stoker has no counterpart of */
};

struct pmta_section {		 /* of ours */
	const char *word, *name; /* "domain", "gmail.com via v1" */
	struct pmta_entry *first, *last;
	struct pmta_stmt *by; /* NULL: made here */
	bool off;	      /* not written */
	int out_line;
	struct pmta_section *next;
};

struct pmta_entry { /* a line of ours */
	const char *name, *value;
	struct pmta_stmt *by; /* NULL: made here */
	bool weak; /* from a macro or a wider section: what is written plainly replaces it */
	bool off;
	int out_line;
	struct pmta_entry *next;
};

struct pmta_block {		    /* an open section of theirs */
	const struct pmta_tag *tag; /* NULL: none of PowerMTA's */
	struct str arg;
	struct pmta_block *in;
	struct pmta_stmt *at;
	struct pmta_section **to; /* where its directives go */
	int nto;
	bool weak;	   /* its domains come from a macro */
	const char *route; /* the virtual MTA or pool that it is, or is in; NULL */
};

struct pmta_stmt {	  /* a directive or an opened section of theirs */
	const char *file; /* as the operator named it */
	int line;
	struct str name, value;	  /* without comment */
	bool cut;		  /* a # directly behind a letter ended the value */
	struct pmta_block *opens; /* else NULL: a directive */
	struct pmta_block *in;	  /* NULL: outside of all sections */
	enum pmta_verdict verdict;
	const char *became, *why;
	int nbecame;
	struct pmta_stmt *next;
};

struct pmta {
	struct conf_mem mem;
	char *loading;
	const char *path, *shown, *dir, *shipped_dir;
	struct pmta_stmt *first, *last; /* in the order of reading */
	struct pmta_block *open;
	int depth, files;
	struct buf scratch;
	struct strmap macros, sections, queues; /* queues: rollup and queue-to names to sections */
	struct pmta_section *first_section, *last_section;
	struct conf *shipped; /* the providers that come with Stoker; NULL: none */
};

/* ---- one row for each directive of PowerMTA (pmta_table.c) ---- */

struct pmta_rule {
	unsigned in; /* scopes */
	const char *name;
	/* Their value as ours, in arena memory; NULL after pmta_say. */
	const char *(*conv)(struct pmta *im, struct pmta_stmt *s, const struct pmta_rule *r,
			    struct str v);
	/* Instead, for what is more than one value. */
	void (*take)(struct pmta *im, struct pmta_stmt *s, const struct pmta_rule *r, struct str v);
	const char *to;	  /* our directive, in the block's sections */
	const char *kind; /* ... in this section instead: "mta", "domain *" */
	const char *arg;  /* for conv */
	const char
	    *note; /* with `to`: what differs; without: why there is nothing of it in Stoker */
	bool rest; /* the value is the rest of the line, not one word */
};
extern const struct pmta_rule pmta_rules[];
extern const size_t pmta_rules_n;
/* NULL: not in this scope. */
const struct pmta_rule *pmta_rule_find(unsigned in, struct str name);

struct pmta_tag {
	const char *name;
	unsigned is, in; /* the scope of its lines; scopes that it may stand in */
	void (*open)(struct pmta *im, struct pmta_block *b);
	const char *note; /* IN_NOTHING: why */
};
const struct pmta_tag *pmta_tag_find(struct str name);

/* ---- reading ---- */

/* False if the main file can't be read. */
bool pmta_read(struct pmta *im, struct errbuf *e);
/* Words by blanks; a quote and a /regex/ hold together. */
bool pmta_word(struct str *rest, struct str *word);
/* Elements by commas and blanks. */
bool pmta_element(struct str *rest, struct str *word);
/* Without quotes and backslashes. */
struct str pmta_plain(struct pmta *im, struct str s);
/* The list with its $macros replaced; *weak true if there was one. */
struct str pmta_expand(struct pmta *im, struct pmta_stmt *s, struct str list, bool *weak);
unsigned pmta_scope_of(const struct pmta_block *b);

/* ---- what became of a line ---- */

/* A verdict never gets better; each reason is given once. */
void pmta_say(struct pmta *im, struct pmta_stmt *s, enum pmta_verdict v, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The section of that name, made if there is none yet. */
struct pmta_section *pmta_section(struct pmta *im, const char *word, const char *name,
				  struct pmta_stmt *by);
struct pmta_section *pmta_section_find(struct pmta *im, const char *word, const char *name);
/* Writes a line of ours if the schema has the directive and takes the value, and says so of `s`. */
bool pmta_set(struct pmta *im, struct pmta_stmt *s, struct pmta_section *to, const char *name,
	      const char *value, bool weak);
struct pmta_entry *pmta_get(const struct pmta_section *s, const char *name);
/* A name of theirs as one that ours may have. */
const char *pmta_name(struct pmta *im, struct pmta_stmt *s, struct str name);
const char *pmta_path(struct pmta *im, struct str path);

/* The report shows no passwords. */
bool pmta_is_secret(struct str name);

void pmta_walk(struct pmta *im);
/* pmta_names.c: what is used and not defined, and what PowerMTA has without a word. */
void pmta_names(struct pmta *im);
/* pmta_hosts.c: virtual MTAs of several addresses become pools, and their limits are divided. */
void pmta_hosts(struct pmta *im);
void pmta_write(struct pmta *im, struct buf *ini, struct buf *report, struct pmta_count *count);

/* pmta_users.c: users without a password are left out, and logins are offered to the others. */
void pmta_users(struct pmta *im);
/* pmta_cold.c: cold virtual MTAs become members of pools, with a [warmup]. */
void pmta_cold(struct pmta *im);
/* pmta_bounces.c */
void pmta_open_categories(struct pmta *im, struct pmta_block *b);
void pmta_category(struct pmta *im, struct pmta_stmt *s); /* a line of it */

/* pmta_inbound.c: whose mail is reports, from the address lists of the processors. */
void pmta_open_reports(struct pmta *im, struct pmta_block *b);
void pmta_open_addresses(struct pmta *im, struct pmta_block *b);

/* pmta_tags.c */
/* The block's lines go into this section too. */
void pmta_target(struct pmta *im, struct pmta_block *b, struct pmta_section *x);
void pmta_open_plain(struct pmta *im, struct pmta_block *b);
void pmta_open_domain(struct pmta *im, struct pmta_block *b);
void pmta_open_source(struct pmta *im, struct pmta_block *b);
void pmta_open_listener(struct pmta *im, struct pmta_block *b);
void pmta_open_pickup(struct pmta *im, struct pmta_block *b);
void pmta_open_acct(struct pmta *im, struct pmta_block *b);
/* pmta_queues.c: rollups and queue-to, before the rest. */
void pmta_queues(struct pmta *im);
/* A remark that no line of theirs is the cause of. */
struct pmta_stmt *pmta_remark(struct pmta *im, const char *about);
struct pmta_section *pmta_listener(struct pmta *im, struct pmta_stmt *s, struct str at);

#endif
