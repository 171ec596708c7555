/* The one sanitiser between any text and screen, log and CLI. C0, DEL, C1, bidi controls,
 * zero-width and other format characters and ill-formed UTF-8 become visible escapes (\x1b,
 * <U+202E>); every other character passes. Clipping is by terminal columns (wcwidth table of our
 * own locale-free kind). Any thread. */
#ifndef STOKER_BASE_CLEAN_H
#define STOKER_BASE_CLEAN_H

#include "core/base/buf.h"

/* Appends the escaped text. ASCII only if `ascii` (others become <U+XXXX>). */
bool clean_add(struct buf *out, struct str text, bool ascii);
/* The same, clipped to `columns`; a clipped text ends in "..." when columns >= 4. Returns columns
 * used. */
int clean_clip(struct buf *out, struct str text, int columns, bool ascii);
/* Columns of an already clean UTF-8 text. */
int clean_width(struct str text);
/* Columns of one code point: 0, 1 or 2; -1 if it would be escaped. */
int clean_rune_width(uint32_t rune);
/* Decodes one code point of s; returns bytes used, 0 at the end; an ill-formed byte gives rune
 * 0xFFFFFFFF and 1. */
size_t clean_rune(struct str s, uint32_t *rune);

#endif
