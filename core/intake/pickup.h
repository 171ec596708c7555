/* Pickup directories: files become messages by the server's own door, as one SMTP transaction over
 * a socket pair, so every limit, hold and promise of the server holds for them, too. All on its
 * loop's thread, which has nothing else to do: reading files may take its time.
 *
 * A file is taken when it is renamed into the directory or closed after writing (inotify), else by
 * the scan when it has not changed for `settle`; one that was seen to be created and not to be
 * closed has five times as long. It goes (or moves to done/) only after the 250; a crash between
 * the two sends it twice. What is no message moves to the bad directory, with its reason beside it
 * in NAME.why. While the server refuses with 4xx the files stay and are tried again, each directory
 * within a minute. */
#ifndef STOKER_INTAKE_PICKUP_H
#define STOKER_INTAKE_PICKUP_H

#include "conf/conf.h"
#include "core/net/loop.h"

struct pickup_env {
	void *arg;
	/* Gives our end's other side to a server, which takes fd over; `listener` is that of the
	 * [pickup] in the snapshot. */
	void (*connect)(void *arg, const char *listener, int fd);
	/* A directory that can't be served, or can again. */
	void (*alarm)(void *arg, const char *dir, bool on, const char *text);
};
struct pickup;
/* Fatal without memory: start only. A reference on `c` is taken. */
struct pickup *pickup_new(struct loop *l, const struct pickup_env *env, struct conf *c);
/* Directories that stay are not disturbed; files of those that go are finished. */
void pickup_conf(struct pickup *p, struct conf *c);
/* What has no answer yet stays in its directory. */
void pickup_free(struct pickup *p);

#endif
