/* Steady traffic for the demo: several users, each handing in mail of its own jobs at its own pace.
 */
#ifndef STOKER_SIM_TRAFFIC_H
#define STOKER_SIM_TRAFFIC_H

#include "conf/conf.h"
#include "core/net/loop.h"

struct traffic_user {
	const char *name;   /* [source NAME] */
	const char *listen; /* its listener's address, 127.0.3.x */
	const char *sender; /* domain of the envelope sender */
	double per_s;	    /* messages a second */
	unsigned burst;	    /* handed in at once at the start: a campaign */
	unsigned rcpts;	    /* recipients a message */
	unsigned bytes;	    /* of a body */
};
const struct traffic_user *traffic_users(int *n);

struct traffic;
/* Connects to each user's listener at `port` and goes on until stopped; reconnects by itself. */
struct traffic *traffic_start(struct loop *l, uint16_t port, uint64_t seed);
void traffic_stop(struct traffic *t);

#endif
