/* /metrics: Prometheus' text format 0.0.4. Control thread. */
#ifndef STOKER_CONTROL_METRICS_H
#define STOKER_CONTROL_METRICS_H

#include "core/control/request.h"

/* Writes the whole exposition in steps and finishes the request. Sites beyond the 200 with most
 * traffic and mail are one more, "(other)". */
void metrics_write(struct request *r);

#endif
