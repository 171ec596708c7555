/* Files that hold a key, a password or a token: read whole, and refused when anybody could read
 * them. Any thread but a loop's (it reads from disk). */
#ifndef STOKER_BASE_SECRET_H
#define STOKER_BASE_SECRET_H

#include "core/base/buf.h"
#include "core/base/err.h"

/* Appends the file's bytes to `out`. Fails, with a sentence that names the path, if it can't be
 * read, is no regular file, is empty or larger than `max`, or if its mode lets others read or write
 * it. */
const struct err *secret_file_read(const char *path, size_t max, struct buf *out, struct errbuf *e);
/* Overwrites the bytes, then frees the buffer. */
void secret_free(struct buf *b);

#endif
