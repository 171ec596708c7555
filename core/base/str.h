/* Byte slices and reference-counted immutable strings. A slice does not own its bytes and need not
 * end in NUL; peer data is compared by length and bytes, never with strcmp. Any thread. */
#ifndef STOKER_BASE_STR_H
#define STOKER_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
	const char *p;
	size_t n;
};

#define STR_LIT(s) ((struct str){ (s), sizeof(s) - 1 })

static inline struct str str_of(const char *z)
{
	return (struct str){ z, strlen(z) };
}
static inline struct str str_mem(const void *p, size_t n)
{
	return (struct str){ (const char *)p, n };
}
bool str_eq(struct str a, struct str b);
bool str_eqz(struct str a, const char *z);
/* ASCII case folded (RFC 5321 verbs and domains). */
bool str_ieq(struct str a, struct str b);
bool str_ieqz(struct str a, const char *z);
bool str_istarts(struct str s, const char *prefix);
/* memcmp order, shorter first on a tie. */
int str_cmp(struct str a, struct str b);
/* Without ASCII blanks and tabs at both ends. */
struct str str_trim(struct str s);
/* Cuts the next word that ends at `sep`; false at the end. The rest stays in *s. */
bool str_split(struct str *s, char sep, struct str *word);
/* A malloc'd NUL-terminated copy; NULL without memory. */
char *str_dup(struct str s);
/* ASCII lower case into out[cap], NUL-terminated; false if it does not fit. */
bool str_lower(struct str s, char *out, size_t cap);
/* Edit distance (insert, delete, change, swap of neighbours), for "did you mean"; capped at 99. */
int str_distance(struct str a, struct str b);
/* True if the bytes are well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool str_utf8_valid(struct str s);
/* Glob with `*` only, ASCII case folded. `*` matches any run of bytes. */
bool str_glob(struct str pattern, struct str s);

/* Immutable counted string: the way names and replies cross threads. */
struct rstr {
	uint32_t refs; /* atomic; RSTR_FIXED: never counted, never freed */
	uint32_t len;
	char text[]; /* NUL-terminated; may hold any byte but is never re-scanned for NUL */
};
/* Words of the program itself, said a million times: `static struct rstr x = RSTR_LIT("ready");` */
#define RSTR_FIXED UINT32_MAX
#define RSTR_LIT(s)                                                                                \
	{                                                                                          \
		RSTR_FIXED, sizeof(s) - 1, s                                                       \
	}
/* New string with one reference; NULL without memory. */
struct rstr *rstr_new(struct str s);
struct rstr *rstr_newf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
struct rstr *rstr_ref(struct rstr *r); /* NULL gives NULL */
void rstr_unref(struct rstr *r);       /* NULL is allowed */
static inline struct str rstr_str(const struct rstr *r)
{
	return r ? (struct str){ r->text, r->len } : (struct str){ "", 0 };
}

#endif
