/* Values: from text and back, and in and out of the structs of conf.h and settings.h. */
#ifndef STOKER_CONF_VALUE_H
#define STOKER_CONF_VALUE_H

#include "conf/mem.h"
#include "conf/snapshot.h"

struct value_in {
	struct conf_mem *mem;
	const struct directive *d;
	struct str text; /* not empty */
	const char *dir; /* of the file it stands in; absolute */
	struct errbuf e; /* the sentence, after a failure */
};
/* NULL, or err_invalid with a sentence that says what to write. */
const struct err *value_parse(struct value_in *in, struct value *out);
/* The same grammar, for what a person reads. */
void value_write(const struct directive *d, const struct value *v, struct buf *out);
/* One end of the directive's range, in .i. */
void value_write_bound(const struct directive *d, const struct value *v, struct buf *out);
/* The manual's word for a type: "duration". */
const char *value_type_name(enum value_type t);

/* Stores the value in base's field of this directive; directives without a field store nothing.
 * Lists and references are build.c's. */
void field_set(const struct directive *d, void *base, const struct value *v);
struct value field_get(const struct directive *d, const void *base);
void field_set_origin(const struct directive *d, void *base, const struct origin *at);

/* Does it compile? */
const struct err *pattern_check(const char *regex, struct errbuf *e);

/* True for types of `const char **, int`. */
static inline bool type_is_names(enum value_type t)
{
	return t >= TYPE_ADDRESSES && t < TYPE_COUNT;
}

/* A path relative to `dir` made absolute. */
const char *path_from(struct conf_mem *m, const char *dir, struct str path);

/* NULL, or what is wrong with a token: its bytes as they stand behind `Bearer` (RFC 6750 2.1). */
const char *token_wrong(struct str token);

/* "1.2.3.4", "2001:db8::1", the latter also in brackets; port 0. */
bool parse_ip(struct str s, struct endpoint *out);
/* "1.2.3.4:25", "[::1]:25". */
bool parse_ip_port(struct str s, struct endpoint *out);
/* "10.0.0.0/8", "::1". The whole length if there is no `/`. False with a sentence if it is meant as
 * a network and is not one; *is_net false if it is not meant as one at all. */
bool parse_net(struct str s, struct endpoint *net, int *prefix, bool *is_net, struct errbuf *e);
/* As inet_ntop, with [] and port if it has one. */
enum { ENDPOINT_TEXT = 56 };
void endpoint_text(const struct endpoint *at, char out[ENDPOINT_TEXT]);
bool parse_port(struct str s, uint16_t *port);
bool ip_is_loopback(const struct endpoint *at);
/* Letters, digits, `.`, `_`, `-`; 1 to CONF_NAME_MAX bytes. */
bool name_ok(struct str s);
/* "*", "*.example.com" or "example.com" to normal form. */
bool domain_pattern(struct str s, char *out, size_t cap);

#endif
