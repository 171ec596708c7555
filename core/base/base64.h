/* RFC 4648 base64, as SASL uses it. Any thread. */
#ifndef STOKER_BASE_BASE64_H
#define STOKER_BASE_BASE64_H

#include "core/base/buf.h"

/* Appends. False without memory. */
bool base64_encode(struct buf *out, struct str s);
/* Appends the bytes. False (nothing appended) if it is not base64 to the letter: wrong length,
 * foreign characters, `=` anywhere but at the end; or without memory. */
bool base64_decode(struct buf *out, struct str s);

#endif
