/* Simulated receivers: SMTP servers with the tempers of core/sim/world.h. They keep nothing of the
 * mail. */
#ifndef STOKER_SIM_RECEIVER_H
#define STOKER_SIM_RECEIVER_H

#include "core/net/loop.h"

struct sim_receivers;
/* All receivers on one port of their 127.0.2.x, trying from *port on; the one that is free on all
 * is in *port. NULL: none. */
struct sim_receivers *sim_receivers_start(struct loop *l, uint16_t *port);
void sim_receivers_stop(struct sim_receivers *r);

#endif
