/* What the machine says of itself, for defaults. Any thread. */
#ifndef STOKER_CONF_MACHINE_H
#define STOKER_CONF_MACHINE_H

#include <stdint.h>

/* Cores this process may run on. */
int machine_cores(void);
/* Memory this process may use, bytes: the machine's, or what its control group allows. */
int64_t machine_memory(void);

#endif
