/* A listening socket that replaces others of this process at a reload. 0.0.0.0:25 can't be bound
 * while 127.0.0.1:25 listens: what is in the way, and goes away with this reload, stops listening
 * first; it keeps its port, so that it listens again if the reload fails. */
#ifndef STOKER_NET_LISTENER_MOVE_H
#define STOKER_NET_LISTENER_MOVE_H

#include "core/net/listener.h"

enum { LISTENER_MOVES_MAX = 80 };
struct listener_move {
	struct endpoint going[LISTENER_MOVES_MAX]; /* what goes away with this reload */
	int ngoing;
	int stopped[LISTENER_MOVES_MAX]; /* descriptors of those that were in the way */
	int nstopped;
};

/* As listener_bind. Whatever thread the others belong to. */
int listener_move_bind(struct listener_move *m, const struct endpoint *at, struct errbuf *e);
/* Ends it: with `back` what was stopped listens again (the caller has closed what it bound). */
void listener_move_end(struct listener_move *m, bool back);

#endif
