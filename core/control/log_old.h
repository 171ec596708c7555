/* Lines of the delivery log's JSON files, the one being written and the rotated ones, for the
 * console's log above what the ring holds. Any thread that may read files (a worker); it keeps
 * nothing between calls. */
#ifndef STOKER_CONTROL_LOG_OLD_H
#define STOKER_CONTROL_LOG_OLD_H

#include "core/control/control.h"

/* The answer to a LINK_OLD_LOG request; log_file: as [mta] log-file has it. NULL: no memory. */
struct link_answer *log_old_read(const struct link_request *r, const char *log_file, us_t now);

#endif
