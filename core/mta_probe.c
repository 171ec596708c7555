/* The DKIM keys' published records: control says which is due (core/sign/probes.h), io thread 0
 * asks the DNS, a worker judges the answer (it signs and verifies), control raises or ends the
 * alarm. */
#include <stdlib.h>

#include "core/base/log.h"
#include "core/mta.h"

struct probe_request {
	struct probe_ask ask;
	struct conf *conf; /* keeps the keys */
	enum record_state state;
	struct errbuf why;
};

static void alarm_set(void *arg, const char *name, const struct sign_key *k, bool on,
		      const char *why)
{
	struct member *control = arg;

	mta_alarm(control, "dkim", on, 2, name, "the DKIM record %s %s", name, why);
	if (on)
		log_warn("%s:%d: the DKIM record %s %s", k->at->file, k->at->line, name, why);
}

static void ask(struct member *control, const struct probe_ask *what)
{
	struct mta *m = control->mta;
	struct probe_request *r = calloc(1, sizeof *r);
	struct lookup_request *l = calloc(1, sizeof *l);

	if (!r || !l) {
		free(r);
		free(l);
		probes_answer(m->probes, what, RECORD_UNKNOWN, "could not be looked up: no memory",
			      loop_now(control->loop));
		return;
	}
	r->ask = *what;
	r->conf = conf_ref(__atomic_load_n(&m->conf, __ATOMIC_ACQUIRE));
	l->kind = RESOLVE_TEXT;
	l->probe = r;
	snprintf(l->name, sizeof l->name, "%s", what->name);
	mta_post(control, m->io[0], (struct post){ .fn = io_post_lookup, .p = l });
}

void mta_probes_step(struct member *control)
{
	struct probe_ask next;

	while (probes_next(control->mta->probes, loop_now(control->loop), &next))
		ask(control, &next);
}

void mta_probes_conf(struct member *control, struct conf *c)
{
	struct mta *m = control->mta;
	const struct probe_env env = { control, alarm_set };

	if (!m->probes && !(m->probes = probes_new(&env)))
		fatal("no memory for the control thread");
	if (!probes_conf(m->probes, c, loop_now(control->loop)))
		log_warn("no memory to look the DKIM records up; the next reload tries again");
}

static void judge(struct probe_request *r, const struct dns_answer *a)
{
	const struct probe_ask *q = &r->ask;

	if (a && a->status != DNS_TEMPFAIL) {
		r->state = record_judge(q->signer, q->key, a->texts, a->ntexts, &r->why);
		return;
	}
	r->state = RECORD_UNKNOWN;
	errbuf_set(&r->why, "could not be looked up: %s", a ? a->text : "no memory");
}

void worker_post_probe(struct member *to, struct post *p)
{
	struct probe_request *r = p->p;

	judge(r, p->q);
	dns_answer_free(p->q);
	mta_post(to, to->mta->control, (struct post){ .fn = control_post_probed, .p = r });
}

void control_post_probed(struct member *to, struct post *p)
{
	struct probe_request *r = p->p;

	probes_answer(to->mta->probes, &r->ask, r->state, r->why.text, loop_now(to->loop));
	mta_probes_step(to);
	conf_unref(r->conf);
	free(r);
}

void control_post_probe(struct member *to, struct post *p)
{
	(void)p;
	mta_probes_step(to);
}

void mta_probes_status(const struct member *control, struct jsonw *w)
{
	const struct probes *p = control->mta->probes;
	int n[RECORD_STATES], keys = 0;

	for (int i = 0; i < RECORD_STATES; i++)
		keys += n[i] = probes_count(p, (enum record_state)i);
	if (!keys)
		return;
	jsonw_object(w, "dkim");
	jsonw_int(w, "keys", keys);
	for (int i = 0; i < RECORD_STATES; i++)
		jsonw_int(w, record_state_name((enum record_state)i), n[i]);
	jsonw_end_object(w);
}
