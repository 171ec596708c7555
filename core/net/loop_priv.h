/* What core/net's own files know of a loop beyond loop.h: the place where io keeps its ios. */
#ifndef STOKER_NET_LOOP_PRIV_H
#define STOKER_NET_LOOP_PRIV_H

#include "core/net/loop.h"

struct io_hub; /* a loop's ios: io.c */

struct io_hub *loop_io_hub(struct loop *l);

/* io.c's side. NULL without memory. */
struct io_hub *io_hub_new(struct loop *l);
void io_hub_free(struct io_hub *h);
/* Writes what waits and tells what is to be told. True: a callback ran or work is left, so another
 * pass is needed before sleeping. */
bool io_hub_flush(struct io_hub *h);

#endif
