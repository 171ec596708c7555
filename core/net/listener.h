/* Listening sockets. Binding happens at start (as root) or at reload; accepting on one loop's
 * thread. EMFILE stops the listener and a timer retries (libev would spin). */
#ifndef STOKER_NET_LISTENER_H
#define STOKER_NET_LISTENER_H

#include "core/net/io.h"

enum { LISTENER_BACKLOG = 4096 };
/* Bound, listening, non-blocking, close-on-exec descriptor, or -1 with a sentence in `e`. */
int listener_bind(const struct endpoint *at, struct errbuf *e);
/* UNIX socket; replaces a dead one, refuses a live one. Mode 0660 with `group`, 0600 without
 * (NULL). The caller removes the path when it ends. */
int listener_bind_unix(const char *path, const char *group, struct errbuf *e);

struct listener;
/* `accepted` owns the descriptor (non-blocking, close-on-exec) that it is given, and may stop or
 * pause the listener. Takes over fd; NULL without memory (fd is closed). */
struct listener *listener_start(struct loop *l, int fd,
				void (*accepted)(void *arg, int fd, const struct endpoint *peer),
				void *arg);
void listener_stop(struct listener *ls); /* closes the descriptor */
void listener_pause(struct listener *ls);
void listener_resume(struct listener *ls);

#endif
