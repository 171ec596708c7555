/* Error values: constants with words for the operator, compared by address (h2o's idea).
 * A function that can fail returns `const struct err *`; NULL is success. Where an error needs
 * facts (a path, an errno), the function also takes an `struct errbuf *` and fills it with one
 * finished sentence. Any thread. */
#ifndef STOKER_BASE_ERR_H
#define STOKER_BASE_ERR_H

struct err {
	const char *name; /* short, stable: "spool-poisoned" */
	const char *text; /* words for a person */
};

/* One finished sentence about a failure; truncation is marked with "..." */
struct errbuf {
	char text[512];
};

/* Formats a sentence into `e` (NULL is allowed and ignored). */
void errbuf_set(struct errbuf *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

extern const struct err err_no_memory;
extern const struct err err_io;	     /* a system call failed; errbuf says which and why */
extern const struct err err_invalid; /* bad input; errbuf says what to write instead */
extern const struct err err_full;    /* a documented bound is reached */
extern const struct err err_gone;    /* the object named is not there any more */

#endif
