/* Virtual MTAs and routes by name. They outlive the snapshot that named them: sessions, overrides
 * and queues refer to them. */
#include "core/sched/inner.h"

#include <stdlib.h>

/* ---- virtual MTAs ---- */

struct source *source_find(struct sched *s, struct str name)
{
	for (uint32_t i = 0; i < s->nsources; i++)
		if (str_eq(rstr_str(s->sources[i]->name), name))
			return s->sources[i];
	return NULL;
}

static struct source *source_new(struct sched *s, struct str name)
{
	struct source **more = realloc(s->sources, (s->nsources + 1) * sizeof(struct source *));
	struct source *src;

	if (!more)
		return NULL;
	s->sources = more;
	src = calloc(1, sizeof *src);
	if (!src)
		return NULL;
	row_init(s, &src->row, ROW_SOURCE);
	src->name = rstr_new(name);
	src->slot = s->nsources;
	src->ptr_ok = -1;
	list_init(&src->sessions);
	src->conn = counter_get(
	    s, &(struct counter_id){ LIMIT_CONNECTIONS, SCOPE_VMTA, COUNT_ALL, src->row.id, 0, 0 });
	if (!src->name || !src->conn) {
		row_gone(s, &src->row);
		rstr_unref(src->name);
		counter_unref(s, src->conn);
		free(src);
		return NULL;
	}
	s->sources[s->nsources++] = src;
	return src;
}

static void set_text(struct rstr **at, const char *z)
{
	rstr_unref(*at);
	*at = z && *z ? rstr_new(str_of(z)) : NULL;
}

static void pools_of(struct sched *s, int vmta, struct buf *out)
{
	for (int p = 0; p < s->conf->npools; p++)
		for (int m = 0; m < s->conf->pools[p].nmembers; m++)
			if (s->conf->pools[p].members[m].vmta == vmta) {
				buf_addz(out, out->n ? ", " : "");
				buf_addz(out, s->conf->pools[p].name);
				break;
			}
}

static void source_update(struct sched *s, struct source *src, int vmta)
{
	const struct conf_vmta *v = &s->conf->vmtas[vmta];
	struct buf b;

	src->vmta = vmta;
	src->ip4 = v->ip4;
	src->ip6 = v->ip6;
	set_text(&src->host4, v->host4);
	set_text(&src->host6, v->host6);
	buf_init(&b);
	address_text(v->ip4.sa.sa_family == AF_INET ? &v->ip4 : &v->ip6, &b);
	set_text(&src->ip_text, buf_z(&b));
	buf_clear(&b);
	pools_of(s, vmta, &b);
	set_text(&src->pools, buf_z(&b));
	buf_free(&b);
	row_dirty(s, &src->row);
}

void sources_update(struct sched *s)
{
	for (uint32_t i = 0; i < s->nsources; i++) {
		s->sources[i]->vmta = CONF_NONE;
		s->sources[i]->conn->limited = false; /* until a path finds a limit */
	}
	for (int i = 0; i < s->conf->nvmtas; i++) {
		struct str name = str_of(s->conf->vmtas[i].name);
		struct source *src = source_find(s, name);

		if (!src)
			src = source_new(s, name);
		if (src)
			source_update(s, src, i);
	}
	for (uint32_t i = 0; i < s->nsources; i++)
		row_dirty(s, &s->sources[i]->row);
}

/* Unknown counts as up: main says what is on this machine right after the configuration. */
bool source_usable(const struct source *src)
{
	return src->vmta != CONF_NONE && (!src->known || src->up4 || src->up6);
}

void sched_source_up(struct sched *s, us_t now, int vmta, bool up4, bool up6, int ptr_ok)
{
	s->now = now;
	for (uint32_t i = 0; i < s->nsources; i++) {
		struct source *src = s->sources[i];

		if (src->vmta != vmta)
			continue;
		if (!src->known || src->up4 != up4 || src->up6 != up6)
			epoch_raise(s);
		src->known = true;
		src->up4 = up4;
		src->up6 = up6;
		src->ptr_ok = (int8_t)ptr_ok;
		row_dirty(s, &src->row);
	}
}

static void source_free(struct sched *s, struct source *src)
{
	counter_unref(s, src->conn);
	rstr_unref(src->name);
	rstr_unref(src->host4);
	rstr_unref(src->host6);
	rstr_unref(src->ip_text);
	rstr_unref(src->pools);
	tally_free(s, src->tally);
	free(src);
}

/* ---- routes ---- */

struct route *route_find(struct sched *s, struct str name)
{
	for (uint32_t i = 0; i < s->nroutes; i++)
		if (str_eq(rstr_str(s->routes[i]->name), name))
			return s->routes[i];
	return NULL;
}

static void route_members(struct sched *s, struct route *r)
{
	const struct conf *c = s->conf;
	int n = r->pool != CONF_NONE ? c->pools[r->pool].nmembers : r->vmta != CONF_NONE;

	free(r->members);
	r->nmembers = 0;
	r->members = n ? calloc((size_t)n, sizeof *r->members) : NULL;
	for (int i = 0; r->members && i < n; i++) {
		int vmta = r->pool != CONF_NONE ? c->pools[r->pool].members[i].vmta : r->vmta;
		int weight = r->pool != CONF_NONE ? c->pools[r->pool].members[i].weight : 1;
		struct source *src = source_find(s, str_of(c->vmtas[vmta].name));

		if (src)
			r->members[r->nmembers++] =
			    (struct member){ src, weight, c->vmtas[vmta].cold };
	}
}

static void route_update(struct sched *s, struct route *r)
{
	int i = s->conf ? conf_route_find(s->conf, rstr_str(r->name)) : CONF_NONE;

	r->vmta = i == CONF_NONE ? CONF_NONE : s->conf->routes[i].vmta;
	r->pool = i == CONF_NONE ? CONF_NONE : s->conf->routes[i].pool;
	if (s->conf)
		route_members(s, r);
}

struct route *route_get(struct sched *s, struct str name)
{
	struct route *r = route_find(s, name), **more;

	if (r)
		return r;
	more = realloc(s->routes, (s->nroutes + 1) * sizeof(struct route *));
	if (!more)
		return NULL;
	s->routes = more;
	r = calloc(1, sizeof *r);
	if (!r)
		return NULL;
	r->name = rstr_new(name);
	r->id = ++s->next_id;
	if (!r->name) {
		free(r);
		return NULL;
	}
	route_update(s, r);
	s->routes[s->nroutes++] = r;
	return r;
}

void routes_update(struct sched *s)
{
	for (uint32_t i = 0; i < s->nroutes; i++)
		route_update(s, s->routes[i]);
}

void sources_free(struct sched *s)
{
	for (uint32_t i = 0; i < s->nsources; i++)
		source_free(s, s->sources[i]);
	for (uint32_t i = 0; i < s->nroutes; i++) {
		rstr_unref(s->routes[i]->name);
		free(s->routes[i]->members);
		free(s->routes[i]);
	}
	free(s->sources);
	free(s->routes);
}

/* ---- bytes a second, over the last whole seconds ---- */

void source_count_bytes(struct sched *s, struct source *src, uint64_t n)
{
	uint32_t now = (uint32_t)(s->now / US_PER_S);

	for (; src->bytes_second < now; src->bytes_second++) {
		if (now - src->bytes_second > BYTES_SECONDS)
			src->bytes_second = now - BYTES_SECONDS;
		src->bytes[(src->bytes_second + 1) % BYTES_SECONDS] = 0;
	}
	src->bytes[now % BYTES_SECONDS] += n;
}

float source_bytes_rate(const struct source *src, us_t at)
{
	uint32_t now = (uint32_t)(at / US_PER_S);
	uint64_t sum = 0;

	for (uint32_t i = 1; i < BYTES_SECONDS; i++)
		if (now - i <= src->bytes_second && now - i + BYTES_SECONDS > src->bytes_second)
			sum += src->bytes[(now - i) % BYTES_SECONDS];
	return (float)sum / (BYTES_SECONDS - 1);
}
