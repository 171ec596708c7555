/* The filter grammar (COMMANDS.md, "Filter"), compiled once and matched against anything that has
 * fields: rows of the mirror, events of the log, JSON of recipients. One thread a sieve: it keeps
 * PCRE2's match data.
 *
 *   word        some text of it contains the word (ASCII case folded); words are ANDed
 *   !term       not
 *   a|b         either; state:paused|down asks the same field twice
 *   /regex/     PCRE2, caseless, with match limits; a pattern that runs into them does not match
 *   field:text  that field contains the text; field:/regex/ likewise
 *   field>n field<n field>=n field<=n   numbers with k, M or %, durations, rates; a time is
 * compared by its distance from now "…"         a word with blanks or signs in it
 */
#ifndef STOKER_CONTROL_SIEVE_H
#define STOKER_CONTROL_SIEVE_H

#include "core/base/err.h"
#include "core/control/query.h"

/* What can be asked of a kind of thing. */
struct sieve_source {
	const void *arg;
	/* Number of a field, or -1. */
	int (*find)(const void *arg, struct str name);
	/* i-th name, for "did you mean"; NULL at the end. */
	const char *(*name)(const void *arg, int i);
	/* The type its values have. */
	enum value_type (*type)(const void *arg, int field);
};
/* One thing: values by field number, and the texts that bare words look at. */
struct sieve_item {
	const void *arg;
	void (*value)(const struct sieve_item *it, int field, struct value *out);
	/* i-th text; false at the end. */
	bool (*text)(const struct sieve_item *it, int i, struct str *out);
	us_t now;
};
struct sieve;
struct sieve *sieve_parse(const struct sieve_source *src, struct str text, struct errbuf *e);
void sieve_free(struct sieve *s);
/* No terms: everything matches. */
bool sieve_empty(const struct sieve *s);
/* Some field that it asks has the type V_TIME or V_SPAN. */
bool sieve_timed(const struct sieve *s);
bool sieve_match(const struct sieve *s, const struct sieve_item *it);
/* Nearest of the source's names to a word, NULL if none is near. */
const char *sieve_nearest(const struct sieve_source *src, struct str word);

/* True if `text` contains `lower` (already folded to lower case), ASCII case folded. */
bool text_contains(struct str text, struct str lower);

#endif
