/* Large bodies: a file each, named by the message, complete and synced before the record that
 * speaks of it. Private to core/spool; the spool thread's (what any thread may call is in spool.h).
 */
#ifndef STOKER_SPOOL_LARGE_H
#define STOKER_SPOOL_LARGE_H

#include "core/spool/message.h"

struct spool;

/* True if the body is that message's large file; its CRC. */
bool large_of(const struct body *b, uint64_t id, uint32_t *crc);
void large_keep(const struct body *b); /* its record is durable */
/* The message is finished: the file goes once the commit is durable and the last reader is gone. */
bool large_doom(struct spool *s, uint64_t id, uint64_t commit);
void large_bury(struct spool *s);
bool large_sweep_step(struct spool *s);
struct body *large_body(struct spool *s, uint64_t id, const struct spool_where *w);
/* The file is there, whole, and what was written. */
bool large_intact(struct spool *s, uint64_t id, uint64_t bytes, uint32_t crc);

#endif
