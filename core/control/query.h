/* Fields, filter, sort and page: the same for console, CLI and HTTP (COMMANDS.md, "JSON" and
 * "Filter"). fields.c has one table for each list: JSON name, column heading, type, width, drop
 * priority, getter. Control thread, but field getters and cell text work on any copy of a row on
 * any thread. */
#ifndef STOKER_CONTROL_QUERY_H
#define STOKER_CONTROL_QUERY_H

#include "core/control/mirror.h"

enum list_id {
	LIST_QUEUES,
	LIST_SITES,
	LIST_LANES,
	LIST_SOURCES,
	LIST_JOBS,
	LIST_OVERRIDES,
	LIST_ALARMS,
	LIST_FEEDBACK,
	LIST_REPUTATION,
	LIST_COUNT
};

enum value_type {
	V_NONE,
	V_INT,
	V_REAL /* a plain number */,
	V_PER_S,
	V_PERCENT,
	V_SHARE, /* a percentage that is small: two decimals */
	V_TIME,
	V_SPAN,
	V_BYTES,
	V_BOOL,
	V_TEXT,
	V_TREND
};
struct value {
	enum value_type type;
	int64_t i; /* V_INT, V_TIME, V_SPAN (us), V_BYTES, V_BOOL; V_TEXT: until then, 0 not told */
	double d;
	struct str s;	       /* valid as long as the row */
	const uint16_t *trend; /* V_TREND: TREND_STEPS values, a second x 10 */
};
struct field {
	const char *json;    /* "delivered_percent"; "why.text": member of an object */
	const char *heading; /* "DLV%"; NULL: not a column */
	const char *help;
	enum value_type type; /* of its values, where it has one */
	int width;	      /* columns; 0: takes what is left */
	int drop; /* columns with the highest number go first when the screen is narrow; 0: never */
	bool right;   /* aligned */
	bool in_json; /* false: only for the screen (then `json` is its name for sort and filter) */
	bool word;    /* a bare word of a filter looks here */
	void (*get)(const struct row *r, us_t now, struct value *out);
};
struct list_def {
	const char *name; /* "queues" */
	enum row_kind kind;
	const struct field *fields;
	int nfields;
	const char *default_sort; /* "trouble" */
};
const struct list_def *list_def(enum list_id l);
const struct field *field_find(enum list_id l,
			       struct str name); /* JSON name or heading, case folded; NULL */
/* A value as a cell for the eye (fmt_count, fmt_age …), not padded, clean. */
void value_text(const struct value *v, us_t now, struct buf *out);

struct filter;
/* NULL with a sentence in e. An empty text matches everything. */
struct filter *filter_parse(enum list_id l, struct str text, struct errbuf *e);
void filter_free(struct filter *f);
bool filter_match(const struct filter *f, const struct row *r, us_t now);
/* True if it looks at ages or times, so that its answer changes while the row stays. */
bool filter_timed(const struct filter *f);

struct query {
	enum list_id list;
	struct str filter;
	/* "": the list's default ("trouble", then recipients). A field's name: numbers largest
	 * first, times soonest first, text from A; "-x" inverts. What has no value comes last
	 * either way; ties go by row id, so that pages never overlap. */
	struct str sort;
	int limit, offset;
	uint64_t site; /* lanes or queues of this site's row id only; 0: all */
	uint64_t vmta; /* lanes of this source's row id only; 0: all */
	/* The cursor's row id: if it is among the matches and not in the window [offset, offset +
	 * limit), the window is moved as little as needed to hold it. 0: by offset alone. */
	uint64_t around;
	uint32_t serial; /* the asker's own; it comes back in the page */
};
/* A page of copied rows (references held); plain value, may go to another thread; page_free. */
struct page {
	enum list_id list;
	int64_t total;			    /* matches */
	int64_t all;			    /* rows of the list */
	int64_t rest_rows, rest_recipients; /* matches below this page */
	int offset;			    /* of the first row */
	us_t at;			    /* of the snapshot */
	uint64_t around;		    /* as asked */
	uint32_t serial;		    /* as asked */
	char error[160];		    /* of the filter; then no rows */
	int nrows;
	struct row rows[];
};
/* In one go, for lists that are short; NULL without memory. */
struct page *query_run(struct mirror *m, const struct query *q, us_t now);
/* The same in steps of some tenths of a ms, while rows come and go: one that vanishes meanwhile is
 * not on the page. The query's texts must stay until asking_free. */
struct asking;
struct asking *asking_new(struct mirror *m, const struct query *q, us_t now);
bool asking_step(struct asking *k);	    /* true when the page is ready */
struct page *asking_page(struct asking *k); /* once; NULL without memory */
void asking_free(struct asking *k);
void page_free(struct page *p);
/* One row as a JSON object with every field; and a whole page as {"total": N, "rows": […]}. */
void row_json(enum list_id l, const struct row *r, us_t now, struct buf *out);
void page_json(const struct page *p, us_t now, struct buf *out);
/* As a text table for the CLI, at most `columns` wide (0: unlimited). */
void page_text(const struct page *p, us_t now, int columns, struct buf *out);

#endif
