#include "core/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/log.h"

enum { LISTENER_MAGIC = 0x4c53544e, ACCEPTS_PER_EVENT = 64 };
/* Without descriptors: how long until the next try. */
static const us_t RETRY_AFTER = 100 * US_PER_MS;

struct listener {
	uint32_t magic;
	struct loop *loop;
	int fd;
	ev_io w;
	struct timer retry;
	void (*accepted)(void *arg, int fd, const struct endpoint *peer);
	void *arg;
	bool paused, in_callback, stopped;
};

/* ---- binding ---- */

static const char *bind_hint(int error)
{
	switch (error) {
	case EACCES:
		return " (ports below 1024 need root or CAP_NET_BIND_SERVICE at start)";
	case EADDRINUSE:
		return " (is another mail server running?)";
	case EADDRNOTAVAIL:
		return " (that address is not on this machine)";
	default:
		return "";
	}
}

int listener_bind(const struct endpoint *at, struct errbuf *e)
{
	char name[ENDPOINT_SIZE];
	int on = 1, error;
	int fd = socket(at->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* SO_REUSEADDR: a restart must not wait for old connections. [::]:25 and 0.0.0.0:25 are two
	 * listeners. */
	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
	    (at->sa.sa_family != AF_INET6 ||
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) == 0) &&
	    bind(fd, &at->sa, at->len) == 0 && listen(fd, LISTENER_BACKLOG) == 0)
		return fd;
	error = errno;
	if (fd >= 0)
		close(fd);
	endpoint_print_port(at, name);
	errbuf_set(e, "can't listen on %s: %s%s", name, io_error_words(error), bind_hint(error));
	return -1;
}

static bool unix_address(const char *path, struct sockaddr_un *un, struct errbuf *e)
{
	size_t n = strlen(path);

	*un = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (n == 0 || n >= sizeof un->sun_path) {
		errbuf_set(e, "can't listen on %s: the path of a socket has 1 to %zu bytes", path,
			   sizeof un->sun_path - 1);
		return false;
	}
	memcpy(un->sun_path, path, n);
	return true;
}

/* Nothing at the path, or a socket that nobody listens on any more, which is removed. */
static bool unix_path_free(const struct sockaddr_un *un, struct errbuf *e)
{
	struct stat st;
	int fd, error;

	if (lstat(un->sun_path, &st) != 0) {
		if (errno == ENOENT)
			return true;
		errbuf_set(e, "can't look at %s: %s", un->sun_path, strerror(errno));
		return false;
	}
	if (!S_ISSOCK(st.st_mode)) {
		errbuf_set(e, "can't listen on %s: there is something else than a socket",
			   un->sun_path);
		return false;
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	error = fd < 0							    ? errno
		: connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 ? 0
									    : errno;
	if (fd >= 0)
		close(fd);
	if (error != ECONNREFUSED) {
		errbuf_set(e, "can't listen on %s: %s", un->sun_path,
			   error == 0 || error == EAGAIN ? "another server answers there"
							 : strerror(error));
		return false;
	}
	if (unlink(un->sun_path) != 0) {
		errbuf_set(e, "can't remove the dead socket %s: %s", un->sun_path, strerror(errno));
		return false;
	}
	return true;
}

static bool find_group(const char *group, gid_t *gid, struct errbuf *e)
{
	struct group gr, *found = NULL;
	char mem[16 * 1024];
	int error = getgrnam_r(group, &gr, mem, sizeof mem, &found);

	if (found) {
		*gid = found->gr_gid;
		return true;
	}
	errbuf_set(e, "there is no group %s on this machine%s%s", group, error ? ": " : "",
		   error ? strerror(error) : "");
	return false;
}

/* Between bind and listen: nobody can connect yet. Links are not followed: we may be root, and the
 * folder another user's. */
static bool unix_rights(const char *path, const char *group, struct errbuf *e)
{
	gid_t gid = (gid_t)-1;

	if (group && !find_group(group, &gid, e))
		return false;
	if (group && lchown(path, (uid_t)-1, gid) != 0) {
		errbuf_set(e, "can't give %s to the group %s: %s", path, group, strerror(errno));
		return false;
	}
	if (fchmodat(AT_FDCWD, path, group ? 0660 : 0600, AT_SYMLINK_NOFOLLOW) != 0) {
		errbuf_set(e, "can't set the mode of %s: %s", path, strerror(errno));
		return false;
	}
	return true;
}

int listener_bind_unix(const char *path, const char *group, struct errbuf *e)
{
	struct sockaddr_un un;
	int fd;

	if (!unix_address(path, &un, e) || !unix_path_free(&un, e))
		return -1;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&un, sizeof un) != 0) {
		errbuf_set(e, "can't listen on %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	if (!unix_rights(path, group, e))
		goto remove;
	if (listen(fd, LISTENER_BACKLOG) == 0)
		return fd;
	errbuf_set(e, "can't listen on %s: %s", path, strerror(errno));
remove:
	close(fd);
	unlink(path);
	return -1;
}

/* ---- accepting ---- */

static bool is_exhausted(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

/* Errors of the connection that was to be accepted (accept(2)): the next one may be good. */
static bool is_passing(int error)
{
	switch (error) {
	case EINTR:
	case ECONNABORTED:
	case EPROTO:
	case ENETDOWN:
	case ENETUNREACH:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case EHOSTUNREACH:
	case ENONET:
	case EOPNOTSUPP:
	case EPERM:
		return true;
	default:
		return false;
	}
}

static void stop_and_retry(struct listener *ls, int error)
{
	if (error != EINVAL) /* a reload has it not listen for a moment (listener_move.h) */
		log_warn("accepting connections stops for %d ms: %s",
			 (int)(RETRY_AFTER / US_PER_MS),
			 is_exhausted(error) ? io_error_words(error) : strerror(error));
	ev_io_stop(loop_ev(ls->loop), &ls->w);
	if (!timer_set(ls->loop, &ls->retry, loop_now(ls->loop) + RETRY_AFTER))
		ev_io_start(loop_ev(ls->loop), &ls->w); /* busy rather than deaf */
}

static void on_retry(struct timer *t, void *arg)
{
	struct listener *ls = arg;

	(void)t;
	if (!ls->paused)
		ev_io_start(loop_ev(ls->loop), &ls->w);
}

/* False: nothing more now. */
static bool accept_one(struct listener *ls)
{
	struct endpoint peer = { .len = sizeof peer.any };
	int fd = accept4(ls->fd, &peer.sa, &peer.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		ls->accepted(ls->arg, fd, &peer);
		return !ls->stopped && !ls->paused;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return false;
	if (is_passing(errno))
		return true;
	stop_and_retry(ls, errno);
	return false;
}

static void listener_destroy(struct listener *ls)
{
	ls->magic = 0;
	free(ls);
}

static void on_acceptable(struct ev_loop *ev, ev_io *w, int revents)
{
	struct listener *ls = w->data;

	(void)ev;
	(void)revents;
	ls->in_callback = true;
	for (int i = 0; i < ACCEPTS_PER_EVENT && accept_one(ls); i++)
		;
	ls->in_callback = false;
	if (ls->stopped)
		listener_destroy(ls);
}

struct listener *listener_start(struct loop *l, int fd,
				void (*accepted)(void *arg, int fd, const struct endpoint *peer),
				void *arg)
{
	struct listener *ls = calloc(1, sizeof *ls);

	if (!ls) {
		close(fd);
		return NULL;
	}
	ls->magic = LISTENER_MAGIC;
	ls->loop = l;
	ls->fd = fd;
	ls->accepted = accepted;
	ls->arg = arg;
	ev_io_init(&ls->w, on_acceptable, fd, EV_READ);
	ls->w.data = ls;
	timer_init(&ls->retry, on_retry, ls);
	ev_io_start(loop_ev(l), &ls->w);
	return ls;
}

void listener_stop(struct listener *ls)
{
	if (!ls)
		return;
	OBJ_CHECK(ls, LISTENER_MAGIC);
	ev_io_stop(loop_ev(ls->loop), &ls->w);
	timer_stop(ls->loop, &ls->retry);
	close(ls->fd);
	ls->stopped = true;
	if (!ls->in_callback)
		listener_destroy(ls);
}

void listener_pause(struct listener *ls)
{
	OBJ_CHECK(ls, LISTENER_MAGIC);
	ls->paused = true;
	ev_io_stop(loop_ev(ls->loop), &ls->w);
}

void listener_resume(struct listener *ls)
{
	OBJ_CHECK(ls, LISTENER_MAGIC);
	ls->paused = false;
	if (!ls->retry.due) /* else the timer starts it */
		ev_io_start(loop_ev(ls->loop), &ls->w);
}
