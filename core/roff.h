/* Manual pages as roff (man(7)). Any thread. */
#ifndef STOKER_CORE_ROFF_H
#define STOKER_CORE_ROFF_H

#include "core/base/buf.h"

/* Text as it is: no line of it becomes a request, no `-` a hyphen. */
void roff_text(struct buf *out, const char *s);
void roff_line(struct buf *out, const char *s);
/* Title and name of a page. */
void roff_head(struct buf *out, const char *name, int section, const char *what);
/* body NULL: the heading alone. */
void roff_section(struct buf *out, const char *name, const char *body);
/* A name in bold, what follows it, and its paragraph. */
void roff_item(struct buf *out, const char *name, const char *rest, const char *body);
/* Keeps its lines. */
void roff_verbatim(struct buf *out, const char *s);

#endif
