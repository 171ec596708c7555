/* The last 100,000 events, as the spool encoded them, by their numbers. Control thread only. */
#ifndef STOKER_CONTROL_LOGRING_H
#define STOKER_CONTROL_LOGRING_H

#include "core/base/str.h"
#include "core/control/sieve.h"
#include "core/spool/event.h"

struct logring;
struct logring *logring_new(size_t capacity);
void logring_free(struct logring *l);
/* Takes over the reference. Numbers only grow; gaps are allowed. */
void logring_add(struct logring *l, uint64_t first_id, struct rstr *encoded, int n);
/* False if it is not there (any more). Slices are valid until the next logring_add. */
bool logring_get(const struct logring *l, uint64_t id, struct event *out);
/* The oldest and newest number held; 0 and 0: none. */
uint64_t logring_first(const struct logring *l);
uint64_t logring_last(const struct logring *l);

/* Filters over events: the names of COMMANDS.md, "log events". */
struct sieve *event_filter_parse(struct str text, struct errbuf *e);
bool event_filter_match(const struct sieve *s, const struct event *e, us_t now);
/* Deferred, bounced, expired, rejected: what [ and ] jump to. */
bool event_is_error(const struct event *e);

#endif
