/* The pickup thread: directories that mail is taken from. Reading files may take its time here; the
 * server's io threads take them like any other client's mail. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/intake/pickup.h"
#include "core/mta.h"

struct pickup_thread {
	struct member *me;
	struct pickup *pickup;
	int next_io;
};

static void env_connect(void *arg, const char *listener, int fd)
{
	struct pickup_thread *t = arg;
	struct mta *m = t->me->mta;
	struct rstr *name = rstr_new(str_of(listener));
	if (!name)
		fatal("no memory to pass a pickup file");
	t->next_io = (t->next_io + 1) % m->nio;
	mta_post(t->me, m->io[t->next_io],
		 (struct post){ .fn = io_post_pickup, .a = (uint64_t)fd, .p = name });
}

static void env_alarm(void *arg, const char *dir, bool on, const char *text)
{
	struct pickup_thread *t = arg;
	mta_alarm(t->me, "pickup", on, 2, dir, "%s", text);
}

void pickup_post_conf(struct member *to, struct post *p)
{
	struct pickup_thread *t = to->state;
	pickup_conf(t->pickup, p->p);
	conf_unref(p->p);
}

void mta_pickup_wire(struct member *me)
{
	struct pickup_thread *t = calloc(1, sizeof *t);
	if (!t)
		fatal("no memory for the pickup thread");
	me->state = t;
	t->me = me;
	struct pickup_env env = { t, env_connect, env_alarm };
	t->pickup = pickup_new(me->loop, &env, me->mta->conf);
}

void mta_pickup_finish(struct member *me)
{
	pickup_free(((struct pickup_thread *)me->state)->pickup);
}
