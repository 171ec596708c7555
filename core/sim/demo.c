#include "core/sim/demo.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/net/loop.h"
#include "core/sim/dns.h"
#include "core/sim/receiver.h"
#include "core/sim/traffic.h"
#include "core/sim/world.h"

enum {
	FIRST_SMTP_PORT = 2525,
	FIRST_DNS_PORT = 5354,
	FIRST_LISTEN_PORT = 2600,
	FIRST_HTTP_PORT = 8080,
	PORTS_TO_TRY = 50,
	PATH_SIZE = 256
};

/* ---- the simulator's process ---- */

static struct loop *sim_loop; /* for the signal handler */

static void on_stop(int sig)
{
	(void)sig;
	loop_stop(sim_loop);
}

struct sim_ports {
	uint16_t smtp, dns;
};

/* Runs receivers, DNS and, with listen_port, traffic until a signal. The ports go to `out` (a pipe)
 * first. */
static int sim_process(int out, uint16_t listen_port)
{
	struct sim_ports p = { FIRST_SMTP_PORT, FIRST_DNS_PORT };
	hash_seed((uint64_t)getpid(), (uint64_t)clock_now_us());
	sim_loop = loop_new("sim");
	signal(SIGTERM, on_stop);
	signal(SIGINT, on_stop);
	signal(SIGPIPE, SIG_IGN);
	struct sim_receivers *r = sim_receivers_start(sim_loop, &p.smtp);
	struct sim_dns *d = sim_dns_start(sim_loop, &p.dns);
	if (!r || !d)
		fatal("no free ports for the simulated receivers on 127.0.2.x");
	if (out >= 0 && write(out, &p, sizeof p) != sizeof p)
		fatal("the simulator can't say its ports: %s", strerror(errno));
	if (out < 0)
		printf(
		    "receivers on 127.0.2.1 … port %u, their DNS on 127.0.0.1 port %u; ^C stops\n",
		    p.smtp, p.dns);
	fflush(stdout);
	struct traffic *t = listen_port ? traffic_start(sim_loop, listen_port, 1) : NULL;
	loop_run(sim_loop);
	if (t)
		traffic_stop(t);
	sim_receivers_stop(r);
	sim_dns_stop(d);
	return 0;
}

int sim_run(void)
{
	return sim_process(-1, 0);
}

/* ---- the demo's configuration ---- */

static void write_conf(const char *path, const char *dir, uint16_t port, uint16_t http)
{
	FILE *f = fopen(path, "we");
	int n;
	if (!f)
		fatal("%s: %s", path, strerror(errno));
	fprintf(f,
		"; The demo's configuration. Change it and type :reload in the console.\n"
		"[mta]\n"
		"hostname = demo.stoker.example\n"
		"postmaster = postmaster@sender.example\n"
		"spool = %s/spool\n"
		"control-socket = %s/stoker.sock\n"
		"log-file = %s/delivery.log\n"
		"audit-log = %s/audit.log\n"
		"error-log = %s/error.log\n"
		"spool-min-free = 64M\n"
		"http-mgmt-port = %u\n"
		"default-virtual-mta = pool-a\n\n",
		dir, dir, dir, dir, dir, http);
	fprintf(f,
		"[listener 127.0.0.1:%u]\nsource = local\n\n[source local]\nalways-allow-relaying "
		"= yes\n\n",
		port);
	const struct traffic_user *u = traffic_users(&n);
	for (int i = 0; i < n; i++)
		fprintf(f,
			"[listener %s:%u]\nsource = %s\n%s\n[source %s]\nalways-allow-relaying = "
			"yes\n%s\n",
			u[i].listen, port, u[i].name,
			strcmp(u[i].name, "newsletter") == 0 ? "default-virtual-mta = pool-b\n"
							     : "",
			u[i].name, strcmp(u[i].name, "alerts") == 0 ? "priority = 90\n" : "");
	for (int i = 1; i <= 4; i++)
		fprintf(
		    f, "[virtual-mta vmta%d]\nsmtp-source-host = 127.0.1.%d m%d.stoker.example\n\n",
		    i, i, i);
	fprintf(f, "[virtual-mta-pool pool-a]\nmembers = vmta1:2, vmta2\n\n"
		   "[virtual-mta-pool pool-b]\nmembers = vmta3, vmta4\n\n"
		   "[provider yahoo]\nmx = *.yahoodns.net\nmax-smtp-out = 4\nmax-msg-rate = 3/s\n\n"
		   "[provider microsoft]\nmx = *.olc.protection.outlook.com\nmax-smtp-out "
		   "= 8\nmax-msg-rate = 6/s\n\n"
		   "[provider t-online]\nmx = *.t-online.de\nprovider-max-msg-rate = 4/s\n\n"
		   "[domain web.de]\nmax-msg-rate = 60/min\n\n"
		   "[domain *]\nallow-private-mx = yes\nmax-smtp-out = 10\n"
		   "retry-recipients-after = 1m, 2m, 5m, 10m\nmin-backoff = 20s\n\n"
		   "[console]\nlabel = DEMO\nlabel-color = yellow\n");
	if (fclose(f))
		fatal("%s: %s", path, strerror(errno));
}

/* ---- three processes: simulator, MTA, and this one, which is the console's terminal ---- */

static bool port_free(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	bool ok = bind(fd, (struct sockaddr *)&at, sizeof at) == 0;
	close(fd);
	return ok;
}

static uint16_t free_port(uint16_t first)
{
	for (uint16_t p = first; p < first + PORTS_TO_TRY; p++)
		if (port_free(p))
			return p;
	fatal("no free port from %d on for the demo", first);
}

static pid_t start_sim(uint16_t listen_port, struct sim_ports *ports)
{
	int pipe_fds[2];
	if (pipe2(pipe_fds, O_CLOEXEC))
		fatal("no pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid < 0)
		fatal("no process for the simulator: %s", strerror(errno));
	if (pid == 0) {
		setsid();
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		close(pipe_fds[0]);
		_exit(sim_process(pipe_fds[1], listen_port));
	}
	close(pipe_fds[1]);
	if (read(pipe_fds[0], ports, sizeof *ports) != (ssize_t)sizeof *ports)
		fatal("the simulator did not start");
	close(pipe_fds[0]);
	return pid;
}

static pid_t start_mta(const struct demo_env *env, const char *conf, const struct sim_ports *ports)
{
	int ready[2];
	char server[32], byte;
	if (pipe2(ready, O_CLOEXEC))
		fatal("no pipe: %s", strerror(errno));
	snprintf(server, sizeof server, "127.0.0.1@%u", ports->dns);
	pid_t pid = fork();
	if (pid < 0)
		fatal("no process for the MTA: %s", strerror(errno));
	if (pid == 0) {
		setsid();
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		close(ready[0]);
		_exit(env->mta(conf, ports->smtp, server, ready[1]));
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1) {
		waitpid(pid, NULL, 0);
		return 0;
	}
	close(ready[0]);
	return pid;
}

static void end(pid_t pid)
{
	if (pid > 0 && kill(pid, SIGTERM) == 0)
		waitpid(pid, NULL, 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void wait_for_end(void)
{
	sigset_t set;
	int sig;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &sig);
}

static void say_where(const char *dir, const char *conf, uint16_t port, uint16_t http)
{
	printf("Stoker's demo lives in %s until it ends; configuration %s\n"
	       "hand in mail:  swaks --server 127.0.0.1 --port %u --from you@sender.example --to "
	       "someone@gmail.com\n"
	       "another shell: STOKER_SOCKET=%s/stoker.sock stoker queues\n"
	       "in a browser:  http://127.0.0.1:%u/\n",
	       dir, conf, port, dir, http);
	fflush(stdout);
}

int demo_run(const struct demo_env *env, bool headless)
{
	char dir[PATH_SIZE], conf[PATH_SIZE + 32], socket_path[PATH_SIZE + 32];
	const char *base = getenv("TMPDIR");
	struct sim_ports ports;
	sigset_t set;
	int code = 0;
	snprintf(dir, sizeof dir, "%.200s/stoker-demo.XXXXXX", base && *base ? base : "/tmp");
	if (!mkdtemp(dir))
		fatal("%s: %s", dir, strerror(errno));
	snprintf(conf, sizeof conf, "%s/stoker.ini", dir);
	snprintf(socket_path, sizeof socket_path, "%s/stoker.sock", dir);
	uint16_t port = free_port(FIRST_LISTEN_PORT), http = free_port(FIRST_HTTP_PORT);
	write_conf(conf, dir, port, http);
	pid_t sim = start_sim(port, &ports);
	pid_t mta = start_mta(env, conf, &ports);
	if (!mta) {
		end(sim);
		nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
		return 1;
	}
	say_where(dir, conf, port, http);
	if (headless) {
		sigemptyset(&set);
		sigaddset(&set, SIGINT);
		sigaddset(&set, SIGTERM);
		sigprocmask(SIG_BLOCK, &set, NULL);
		wait_for_end();
	} else {
		code = env->attach(socket_path);
		signal(SIGHUP, SIG_IGN); /* a closed terminal must not stop the tidying up */
	}
	end(mta);
	end(sim);
	nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	return code;
}
