#include "core/control/wire.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/control/cli.h"

int wire_connect(const char *socket_path, struct errbuf *e)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	size_t n = strlen(socket_path);
	int fd;

	if (n >= sizeof at.sun_path) {
		errbuf_set(e, "%s: a socket's path has at most %zu bytes", socket_path,
			   sizeof at.sun_path - 1);
		return -1;
	}
	memcpy(at.sun_path, socket_path, n + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
		return fd;
	if (errno == EACCES)
		errbuf_set(e, "%s: permission denied; be in its group (control-group), or root",
			   socket_path);
	else if (errno == ENOENT || errno == ECONNREFUSED)
		errbuf_set(e, "no stoker is running at %s (--socket PATH or -c FILE says where)",
			   socket_path);
	else
		errbuf_set(e, "%s: %s", socket_path, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

static bool writable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, -1) > 0 || errno == EINTR;
}

bool write_all(int fd, struct str s)
{
	while (s.n) {
		ssize_t n = write(fd, s.p, s.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN && writable(fd))
			continue;
		if (n < 0)
			return false;
		s.p += n;
		s.n -= (size_t)n;
	}
	return true;
}

bool wire_put(int fd, char type, struct str payload)
{
	struct buf frame;
	struct str s;
	bool ok = true;

	buf_init(&frame);
	frame_put(&frame, type, payload);
	s = buf_str(&frame);
	while (s.n && ok) {
		ssize_t n = send(fd, s.p, s.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		ok = n > 0;
		if (ok) {
			s.p += n;
			s.n -= (size_t)n;
		}
	}
	buf_free(&frame);
	return ok;
}

int wire_read(int fd, struct buf *in)
{
	enum { CHUNK = 64 * 1024 };
	ssize_t n;

	if (!buf_reserve(in, CHUNK))
		return 0;
	n = read(fd, in->p + in->n, CHUNK);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return -1;
	if (n <= 0)
		return 0;
	in->n += (size_t)n;
	return 1;
}

int terminal_columns(int fd)
{
	struct winsize size;

	if (!isatty(fd) || ioctl(fd, TIOCGWINSZ, &size) < 0)
		return 0;
	return size.ws_col;
}
