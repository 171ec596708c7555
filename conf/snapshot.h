/* The inside of a snapshot: sections and entries as they were written, which settings are resolved
 * from and differences are made of. Immutable after conf_read; private to conf/. */
#ifndef STOKER_CONF_SNAPSHOT_H
#define STOKER_CONF_SNAPSHOT_H

#include "conf/patterns.h"
#include "conf/schema.h"
#include "core/base/arena.h"
#include "core/base/log.h"

enum { CONF_MAGIC = 0x434f4e46, CONF_NAME_MAX = 64 };

struct source_host { /* smtp-source-host */
	struct endpoint ip;
	const char *address; /* as inet_ntop writes it */
	const char *host;
};

struct member_word { /* one element of `members`, not looked up yet */
	const char *name;
	int weight;
};

struct reply_line {	     /* one of [pattern-list] */
	const char *regex;   /* NULL: an include */
	const char *include; /* the list's name */
	struct pattern_acts does;
	int index; /* among all */
};

struct category_line { /* one of [bounce-category-patterns] */
	const char *regex, *category;
	const char *codes, *from; /* NULL: any */
	enum category_lane lane;
	bool hard;
};

struct value {
	union {
		bool b;
		int64_t i;
		double f;
		struct {
			double a, b;
		} thresholds;
		struct rate rate;
		const char *z;
		struct {
			enum conf_rotate how;
			int64_t size;
		} rotate;
		struct {
			int64_t n;
			us_t within;
		} so_many;
		struct {
			const us_t *v;
			int n;
		} spans;
		struct {
			const struct route_host *v;
			int n;
		} hosts;
		struct {
			const struct member_word *v;
			int n;
		} members;
		struct {
			const char **v;
			int n;
		} names;
		const struct source_host *source_host;
		struct reply_line *reply;
		struct category_line *category;
		struct endpoint ip;
		struct {
			const struct conf_access *v;
			int n;
		} access;
	};
};

struct conf_entry { /* one directive where it stands */
	const struct directive *d;
	struct conf_entry *next; /* of the section, in the order of reading */
	struct str text;	 /* as written, without comment */
	struct value v;
	struct origin at;
	bool clear; /* an empty value: nothing is inherited */
	bool bad;   /* could not be read; the error is reported and the value means nothing */
	bool shipped;
};

struct conf_section {
	enum section_kind kind;
	const char *name;	   /* normal form as written; "" if this kind has none */
	const char *shown;	   /* "[domain gmail.com via pool-a]" */
	const char *pattern, *via; /* KIND_DOMAIN; via NULL: none */
	struct origin origin;	   /* of its first header */
	bool shipped;		   /* only the shipped layer has it */
	struct conf_entry *first, *last;
	const struct conf_entry **set; /* SET_COUNT of them for sections with settings, else NULL */
	int index;		       /* in its array of struct conf; CONF_NONE */
	struct conf_section *next;     /* in the order of reading */
};

/* Names to indexes, sorted by folded name. */
struct name_index {
	struct named {
		const char *key;
		int i;
	} * v;
	int n;
};
int name_index_find(const struct name_index *x, struct str name);

/* [domain] patterns of one via, sorted. */
struct pattern_index {
	struct pattern_at {
		struct str pattern;
		const struct conf_section *section;
	} * v;
	int n;
};
const struct conf_section *pattern_find(const struct pattern_index *x, struct str pattern);

struct include_seen { /* an include as it was expanded, to tell when the disk differs */
	const char *glob;
	int matched;
	struct include_seen *next;
};

struct conf_patterns { /* a [pattern-list], with its includes spelled out */
	const char *name;
	const struct conf_section *section;
	const struct conf_entry **v;
	int n, cap;
	bool expanding, done, used;
};

struct conf_private {
	struct arena arena; /* holds everything, the struct conf too */
	struct conf_section *first, *last;
	int nsections;
	struct name_index routes, vmtas, pools, providers, sources, users, provider_domains, dkim,
	    warmups, inbound;
	struct pattern_index *by_route; /* [0]: without via; [1 + route] */
	int *route_of_vmta, *route_of_pool;
	const struct conf_section **provider_sections;
	const struct conf_section *all; /* [domain *] or NULL */
	struct value defaults[SET_COUNT];
	struct include_seen *includes;
	struct conf_patterns *patterns;
	const struct conf_entry **replies; /* those with a regex, by their index */
	int npatterns, nreplies;
};

/* The first entry of the directive in the section, also a bad or empty one; NULL. */
const struct conf_entry *section_entry(const struct conf_section *s, const struct directive *d);
/* The one [mta] or [console]; NULL if it is not written. */
const struct conf_section *section_only(const struct conf *c, enum section_kind kind);

#endif
