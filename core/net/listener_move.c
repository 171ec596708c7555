#include "core/net/listener_move.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/log.h"

static bool is_wildcard(const struct endpoint *e)
{
	static const struct in6_addr any6 = IN6ADDR_ANY_INIT;

	if (e->sa.sa_family == AF_INET6)
		return memcmp(&e->in6.sin6_addr, &any6, sizeof any6) == 0;
	return e->in4.sin_addr.s_addr == INADDR_ANY;
}

static bool in_the_way(const struct endpoint *was, const struct endpoint *at)
{
	return was->sa.sa_family == at->sa.sa_family && endpoint_port(was) == endpoint_port(at) &&
	       (is_wildcard(was) || is_wildcard(at) || endpoint_same_ip(was, at));
}

static bool listens_on(int fd, const struct endpoint *at)
{
	struct endpoint mine = { .len = sizeof mine.any };
	int listens = 0;
	socklen_t n = sizeof listens;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens &&
	       getsockname(fd, &mine.sa, &mine.len) == 0 && mine.sa.sa_family == at->sa.sa_family &&
	       endpoint_port(&mine) == endpoint_port(at) && endpoint_same_ip(&mine, at);
}

/* A descriptor of our own for the socket that listens there, whose owner may close its at any
 * moment; -1: there is none. */
static int find_listening(const struct endpoint *at)
{
	DIR *all = opendir("/proc/self/fd");
	struct dirent *d;
	int mine = -1;

	while (all && mine < 0 && (d = readdir(all))) {
		int fd = atoi(d->d_name); /* of "." and "..": 0, which is no listener */

		mine = listens_on(fd, at) ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : -1;
		if (mine < 0 || listens_on(mine, at))
			continue;
		close(mine);
		mine = -1;
	}
	if (all)
		closedir(all);
	return mine;
}

static bool stop_those_in_the_way(struct listener_move *m, const struct endpoint *at)
{
	bool any = false;

	for (int i = 0; i < m->ngoing && m->nstopped < LISTENER_MOVES_MAX; i++) {
		int fd = in_the_way(&m->going[i], at) ? find_listening(&m->going[i]) : -1;

		if (fd < 0)
			continue;
		shutdown(fd, SHUT_RDWR);
		m->stopped[m->nstopped++] = fd;
		any = true;
	}
	return any;
}

int listener_move_bind(struct listener_move *m, const struct endpoint *at, struct errbuf *e)
{
	int fd = listener_bind(at, e);

	return fd < 0 && stop_those_in_the_way(m, at) ? listener_bind(at, e) : fd;
}

void listener_move_end(struct listener_move *m, bool back)
{
	for (int i = 0; i < m->nstopped; i++) {
		if (back && listen(m->stopped[i], LISTENER_BACKLOG) != 0)
			log_error("a listener that a refused reload had stopped can't listen "
				  "again: %s",
				  io_error_words(errno));
		close(m->stopped[i]);
	}
	m->nstopped = 0;
}
