/* What a record and the index remember of a message apart from its body. Private to core/spool. */
#ifndef STOKER_SPOOL_ENVELOPE_H
#define STOKER_SPOOL_ENVELOPE_H

#include "core/base/buf.h"
#include "core/spool/message.h"

/* Appends. False without memory (`out` as it was). */
bool envelope_encode(struct buf *out, const struct message *m);
/* A new message with its texts and recipients, all queued and due at once; id, body and where are
 * the caller's to set. NULL: damaged, or without memory (*damaged tells). */
struct message *envelope_decode(struct str bytes, bool *damaged);
/* The number of recipients alone; 0 if the bytes are damaged. */
uint32_t envelope_rcpts(struct str bytes);

#endif
