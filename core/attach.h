/* What a configuration names besides its own text: certificates, DKIM keys, return path keys and
 * the token of HTTP. Each is read by the module whose it is; every error of all of them comes at
 * once. Reads files: at start, or on a worker. */
#ifndef STOKER_ATTACH_H
#define STOKER_ATTACH_H

#include "conf/conf.h"

/* False: `problems` says why, with file and line; what was attached goes with the snapshot. */
bool attach_files(struct conf *c, struct conf_problems *problems);

#endif
