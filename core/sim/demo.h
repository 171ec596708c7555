/* The simulator and the demo: receivers in a box. `sim` starts simulated receivers (SMTP with
 * different tempers on an unprivileged port of 127.0.2.x) and answers their DNS; `demo` adds the
 * MTA with four source addresses (127.0.1.1 to 127.0.1.4), steady traffic of several users and
 * jobs, and the console, in one terminal. Nothing leaves loopback. */
#ifndef STOKER_SIM_DEMO_H
#define STOKER_SIM_DEMO_H

#include <stdbool.h>
#include <stdint.h>

/* What the demo needs of the rest: given by main. */
struct demo_env {
	/* Runs the MTA of that configuration in this process; writes a byte to ready_fd when it
	 * listens. Exit code. */
	int (*mta)(const char *conf_path, uint16_t smtp_port, const char *name_server,
		   int ready_fd);
	/* The console, on this terminal. Exit code. */
	int (*attach)(const char *socket_path);
};

/* Only the receivers and their DNS, until SIGINT or SIGTERM. Exit code. */
int sim_run(void);
/* Until the console detaches; headless: until SIGINT or SIGTERM. Exit code. */
int demo_run(const struct demo_env *env, bool headless);

#endif
