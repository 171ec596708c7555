/* SPOOL/unmatched: mail to an [inbound] domain that is about no mail of ours and that nobody gets
 * (forward-unmatched), a message a file, ID.eml, with where it came from in front. Never more than
 * UNMATCHED_BYTES_MAX: the oldest go first. One thread. */
#ifndef STOKER_FEEDBACK_UNMATCHED_H
#define STOKER_FEEDBACK_UNMATCHED_H

#include "core/base/err.h"
#include "core/spool/message.h"

#define UNMATCHED_BYTES_MAX ((uint64_t)1 << 30)

struct unmatched;
struct unmatched *unmatched_new(const char *spool_dir, uint64_t bytes_max); /* NULL: no memory */
void unmatched_free(struct unmatched *u);
/* Writes it, synced, under its final name; again for the same message: the same file. `read` gives
 * the body's bytes, as spool_body_read. `words`: why it is there. */
const struct err *unmatched_keep(
    struct unmatched *u, const struct message *m, const struct body *body, struct str words,
    int64_t (*read)(const struct body *b, uint64_t at, void *p, size_t n), struct errbuf *e);

#endif
