#include "core/sign/probes.h"

#include <stdio.h>
#include <stdlib.h>

static const us_t GOOD_EVERY = US_PER_HOUR, BAD_EVERY = 5 * US_PER_MIN;
enum { SILENT_MAX = 6 }; /* × BAD_EVERY: half an hour */

struct key_state {
	us_t due;
	const struct signer *signer;
	struct sign_key *key;
	enum record_state state;
	int silent; /* answers in a row that were none */
	bool asked, alarmed;
};

struct probes {
	struct probe_env env;
	struct conf *conf; /* keeps the keys */
	uint64_t round;
	struct key_state *v; /* by the key's number */
	int n, at, in_flight;
	int count[RECORD_STATES];
};

struct probes *probes_new(const struct probe_env *env)
{
	struct probes *p = calloc(1, sizeof *p);

	if (p)
		p->env = *env;
	return p;
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	conf_unref(p->conf);
	free(p->v);
	free(p);
}

static void alarm_set(struct probes *p, struct key_state *s, bool on, const char *why)
{
	char name[DOMAIN_SIZE];

	if (!on && !s->alarmed)
		return;
	s->alarmed = on;
	record_name(s->signer, s->key, name);
	p->env.alarm(p->env.arg, name, s->key, on, why);
}

/* ---- a new snapshot ---- */

static struct key_state *states_of(const struct conf *c, us_t now)
{
	struct sign_keys *keys = c->keys;
	struct key_state *v = calloc((size_t)keys->nkeys + 1, sizeof *v);

	for (int i = 0; v && i < keys->n; i++)
		for (int k = 0; k < keys->v[i].nkeys; k++) {
			struct sign_key *key = &keys->v[i].key[k];

			v[key->number] =
			    (struct key_state){ .due = now, .signer = &keys->v[i], .key = key };
		}
	return v;
}

/* The key of the same name in this snapshot; NULL. */
static struct key_state *counterpart(struct key_state *v, const struct conf *c,
				     const struct key_state *old)
{
	const char *domain = old->signer->conf->domain;
	int i = conf_dkim_for(c, str_of(domain));
	const struct signer *s = i == CONF_NONE ? NULL : &((struct sign_keys *)c->keys)->v[i];

	if (!s || strcmp(s->conf->domain, domain) != 0)
		return NULL;
	for (int k = 0; k < s->nkeys; k++)
		if (strcmp(s->key[k].selector, old->key->selector) == 0)
			return &v[s->key[k].number];
	return NULL;
}

bool probes_conf(struct probes *p, struct conf *c, us_t now)
{
	struct key_state *v = c->keys ? states_of(c, now) : NULL;

	for (int i = 0; i < p->n; i++) {
		struct key_state *old = &p->v[i], *new = NULL;

		if (old->alarmed && v)
			new = counterpart(v, c, old);
		if (new)
			new->alarmed = true;
		else
			alarm_set(p, old, false, "");
	}
	conf_unref(p->conf);
	free(p->v);
	p->conf = conf_ref(c);
	p->v = v;
	p->n = v ? ((struct sign_keys *)c->keys)->nkeys : 0;
	p->at = p->in_flight = 0;
	p->round++;
	memset(p->count, 0, sizeof p->count);
	p->count[RECORD_UNKNOWN] = p->n;
	return v || !c->keys;
}

/* ---- asking ---- */

bool probes_next(struct probes *p, us_t now, struct probe_ask *out)
{
	for (int i = 0; i < p->n && p->in_flight < PROBES_AT_ONCE; i++) {
		struct key_state *s = &p->v[p->at];

		p->at = (p->at + 1) % p->n;
		if (s->asked || s->due > now)
			continue;
		*out = (struct probe_ask){ .signer = s->signer, .key = s->key, .round = p->round };
		s->asked = true;
		p->in_flight++;
		if (record_name(s->signer, s->key, out->name))
			return true;
		probes_answer(p, out, RECORD_UNUSABLE, "is longer than a name in the DNS can be",
			      now);
	}
	return false;
}

static void set_state(struct probes *p, struct key_state *s, enum record_state state)
{
	p->count[s->state]--;
	s->state = state;
	p->count[state]++;
	__atomic_store_n(&s->key->published, (uint32_t)state, __ATOMIC_RELAXED);
}

void probes_answer(struct probes *p, const struct probe_ask *ask, enum record_state state,
		   const char *why, us_t now)
{
	struct key_state *s;

	if (ask->round != p->round)
		return;
	s = &p->v[ask->key->number];
	s->asked = false;
	p->in_flight--;
	s->silent = state == RECORD_UNKNOWN ? s->silent + 1 : 0;
	s->due = now + (state == RECORD_GOOD ? GOOD_EVERY : BAD_EVERY);
	if (state == RECORD_UNKNOWN && s->silent < SILENT_MAX)
		return;
	set_state(p, s, state);
	alarm_set(p, s, state != RECORD_GOOD, why);
}

int probes_count(const struct probes *p, enum record_state state)
{
	return p->count[state];
}
