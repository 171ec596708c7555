#include "core/mta_doors.h"

#include <stdlib.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/log.h"

struct door { /* one listener */
	struct doors *t;
	int id;	   /* never used twice: connections outlive reloads */
	int index; /* in the snapshot */
	char name[LISTENER_NAME];
	struct listener *l;
	int connections;
};

struct doors {
	struct member *me;
	struct conf *conf;
	struct door *v[LISTENERS_MAX];
	int n, last_id;
	struct idmap per_ip; /* doors_client -> struct ip_count */
	int total_in;
	int next_io;
	bool closing;
};

struct ip_count {
	uint64_t key;
	int n;
};

uint64_t doors_client(const struct endpoint *e)
{
	if (e->sa.sa_family == AF_INET6)
		return hash_bytes(&e->in6.sin6_addr, 8); /* a /64 is one client */
	return hash_bytes(&e->in4.sin_addr, sizeof e->in4.sin_addr);
}

static struct ip_count *ip_count(struct doors *t, uint64_t key, bool make)
{
	struct ip_count *c = idmap_get(&t->per_ip, key);
	if (c || !make)
		return c;
	c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->key = key;
	if (!idmap_put(&t->per_ip, key, c)) {
		free(c);
		return NULL;
	}
	return c;
}

/* NULL: come in. Else what the 421 says. */
static const char *door_refusal(struct doors *t, struct door *d, const struct endpoint *peer)
{
	const struct conf_listener *l = &t->conf->listeners[d->index];
	if (t->closing)
		return "4.3.2 shutting down";
	if (t->total_in >= t->conf->mta.total_max_smtp_in)
		return "4.7.0 too many connections here, try again later";
	if (d->connections >= l->max_connections)
		return "4.7.0 too many connections to this listener, try again later";
	struct ip_count *c = ip_count(t, doors_client(peer), true);
	if (!c)
		return "4.3.0 out of memory, try again later";
	if (l->max_connections_per_ip > 0 && c->n >= l->max_connections_per_ip &&
	    !endpoint_is_loopback(peer))
		return "4.7.0 too many connections from your address";
	return NULL;
}

static void forget_if_idle(struct doors *t, uint64_t key)
{
	struct ip_count *c = ip_count(t, key, false);
	if (c && c->n <= 0) {
		idmap_del(&t->per_ip, c->key);
		free(c);
	}
}

static void door_accepted(void *arg, int fd, const struct endpoint *peer)
{
	struct door *d = arg;
	struct doors *t = d->t;
	struct mta *m = t->me->mta;
	const char *no = door_refusal(t, d, peer);
	if (no) {
		server_refuse(fd, no);
		forget_if_idle(t, doors_client(peer));
		return;
	}
	struct arrival *a = malloc(sizeof *a);
	if (!a) {
		server_refuse(fd, "4.3.0 out of memory, try again later");
		forget_if_idle(t, doors_client(peer));
		return;
	}
	a->peer = *peer;
	memcpy(a->listener, d->name, sizeof a->listener);
	d->connections++;
	t->total_in++;
	__atomic_store_n(&m->connections_in, t->total_in, __ATOMIC_RELAXED);
	ip_count(t, doors_client(peer), true)->n++;
	struct member *to = m->io[t->next_io++ % m->nio];
	mta_post(
	    t->me, to,
	    (struct post){ .fn = io_post_accept, .a = (uint64_t)fd, .b = (uint64_t)d->id, .p = a });
}

void doors_left(struct doors *t, uint64_t client, int door)
{
	struct ip_count *c = ip_count(t, client, false);
	t->total_in--;
	__atomic_store_n(&t->me->mta->connections_in, t->total_in, __ATOMIC_RELAXED);
	if (c)
		c->n--;
	forget_if_idle(t, client);
	for (int i = 0; i < t->n; i++)
		if (t->v[i]->id == door)
			t->v[i]->connections--;
}

static struct door *door_open(struct doors *t, const char *name, int fd)
{
	struct door *d = calloc(1, sizeof *d);
	if (!d)
		fatal("no memory for listener %s", name);
	d->t = t;
	d->id = ++t->last_id;
	snprintf(d->name, sizeof d->name, "%s", name);
	d->l = listener_start(t->me->loop, fd, door_accepted, d);
	if (!d->l)
		fatal("no memory for listener %s", name);
	return d;
}

static void door_close(struct door *d)
{
	listener_stop(d->l);
	free(d);
}

/* The door of that name among `was`, taken out; NULL if there is none. */
static struct door *door_take(struct door **was, int n, const char *name)
{
	for (int i = 0; i < n; i++) {
		struct door *d = was[i];
		if (d && strcmp(d->name, name) == 0) {
			was[i] = NULL;
			return d;
		}
	}
	return NULL;
}

void doors_conf(struct doors *t, struct conf *c, const int *fds)
{
	conf_unref(t->conf);
	t->conf = conf_ref(c);
	struct door *was[LISTENERS_MAX];
	int nwas = t->n;
	memcpy(was, t->v, sizeof was);
	t->n = 0;
	for (int i = 0; i < t->conf->nlisteners && !t->closing; i++) {
		const char *name = t->conf->listeners[i].name;
		struct door *d = door_take(was, nwas, name);
		if (!d && fds && fds[i] >= 0)
			d = door_open(t, name, fds[i]);
		if (!d)
			continue;
		d->index = i;
		t->v[t->n++] = d;
	}
	for (int k = 0; k < nwas; k++)
		if (was[k])
			door_close(was[k]);
}

void doors_shut(struct doors *t)
{
	t->closing = true;
	for (int i = 0; i < t->n; i++)
		door_close(t->v[i]);
	t->n = 0;
}

struct doors *doors_new(struct member *me)
{
	struct doors *t = calloc(1, sizeof *t);
	if (!t)
		fatal("no memory for the listeners");
	t->me = me;
	idmap_init(&t->per_ip);
	return t;
}
