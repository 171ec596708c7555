/* The doors: io thread 0's listeners, which accept for all io threads and count the caps on
 * connections. Private to core/mta_io.c. On io thread 0 only, but for doors_client. */
#ifndef STOKER_CORE_MTA_DOORS_H
#define STOKER_CORE_MTA_DOORS_H

#include "core/mta.h"

enum { LISTENER_NAME = 96 };

/* On its way to the thread that serves it. The listener goes by its name: that thread may have
 * another snapshot, with listeners in other places. */
struct arrival {
	struct endpoint peer;
	char listener[LISTENER_NAME];
};

struct doors;
/* Fatal without memory: start only. */
struct doors *doors_new(struct member *me);
/* New doors get the descriptors that were bound for them (fds[i] for listener i, -1: keep the one
 * there is); doors that are gone close. */
void doors_conf(struct doors *t, struct conf *c, const int *fds);
/* For good. */
void doors_shut(struct doors *t);
/* By what a client's connections are counted. */
uint64_t doors_client(const struct endpoint *e);
/* A connection that came in by that door has ended. */
void doors_left(struct doors *t, uint64_t client, int door);

#endif
