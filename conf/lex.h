/* Words of the language: comments, quotes, lists (CONFIG.md, "Language"). Pure; any thread. */
#ifndef STOKER_CONF_LEX_H
#define STOKER_CONF_LEX_H

#include "core/base/err.h"
#include "core/base/str.h"

/* The value without its comment and blanks. False (with a sentence) if a quote is not closed. */
bool lex_value(struct str s, struct str *value, struct errbuf *e);
/* The section header's line without its comment and blanks. */
struct str lex_header(struct str line);
/* Cuts the next word of a list separated by commas or blanks; quotes hold a word together. */
bool lex_word(struct str *list, struct str *word);
/* Writes what stands inside "…" (\" and \\ undone), or the text itself; out has room for s.n + 1
 * bytes. NUL-terminated. */
size_t lex_unquote(struct str s, char *out);

#endif
