#include "core/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"

enum { NOTICE_SIZE = 512 };

static int notify_fd = -1;
static us_t watchdog_us;

static us_t watchdog_from_env(void)
{
	const char *us = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	if (!us || (pid && strtol(pid, NULL, 10) != (long)getpid()))
		return 0;
	long long n = strtoll(us, NULL, 10);
	return n > 0 ? (us_t)n : 0;
}

void notify_init(void)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	if (!n)
		return;
	if ((path[0] != '/' && path[0] != '@') || n >= sizeof to.sun_path) {
		log_warn("NOTIFY_SOCKET %s is not a socket's name: systemd will not hear of us",
			 path);
		return;
	}
	memcpy(to.sun_path, path, n);
	if (path[0] == '@')
		to.sun_path[0] = 0;
	socklen_t size =
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] == '/' ? 1 : 0));
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&to, size)) {
		log_warn("NOTIFY_SOCKET %s: %s: systemd will not hear of us", path,
			 strerror(errno));
		if (fd >= 0)
			close(fd);
		return;
	}
	notify_fd = fd;
	watchdog_us = watchdog_from_env();
}

void notify_send(const char *fmt, ...)
{
	char text[NOTICE_SIZE];
	va_list ap;
	if (notify_fd < 0)
		return;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n > 0 && (size_t)n < sizeof text)
		(void)!send(notify_fd, text, (size_t)n, MSG_NOSIGNAL);
}

us_t notify_watchdog_us(void)
{
	return watchdog_us;
}
