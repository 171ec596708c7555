/* The simulator and the demo: receivers in a box. `sim` starts simulated receivers (SMTP with different tempers on an unprivileged port of
 * 127.0.2.x) and answers their DNS; `demo` adds the MTA with four source addresses (127.0.1.1 to 127.0.1.4), steady traffic of several
 * users and jobs, and the console, in one terminal. Nothing leaves loopback. */
#ifndef STOKER_SIM_DEMO_H
#define STOKER_SIM_DEMO_H

#include <stdbool.h>

enum { SIM_SMTP_PORT = 2525, SIM_DNS_PORT = 5354 };

/* Until SIGINT or SIGTERM. Exit code. */
int sim_run(void);
/* Until the console detaches (or, without a terminal, until SIGTERM: STOKER demo --headless). */
int demo_run(bool headless);

#endif
