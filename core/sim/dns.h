/* The simulated world's DNS: MX and A over UDP on a loopback port. Unknown names are NXDOMAIN. */
#ifndef STOKER_SIM_DNS_H
#define STOKER_SIM_DNS_H

#include "core/net/loop.h"

struct sim_dns;
/* Tries ports from `port` on; the one it got is in *port. NULL: none is free. */
struct sim_dns *sim_dns_start(struct loop *l, uint16_t *port);
void sim_dns_stop(struct sim_dns *d);

#endif
