#include "core/feedback/inbound.h"

#include <stdlib.h>

#include "conf/settings.h"
#include "core/base/domain.h"
#include "core/feedback/report.h"
#include "core/feedback/report_verdict.h"

static const struct str nothing = { "", 0 };

/* ---- keys ---- */

struct inbound_keys {
	int n;
	struct token_keys v[]; /* of each section; v[i].n is 0 without a file */
};

static void keys_free(void *p)
{
	struct inbound_keys *k = p;

	for (int i = 0; i < k->n; i++)
		token_keys_wipe(&k->v[i]);
	free(k);
}

bool inbound_keys_load(struct conf *c, struct conf_problems *p)
{
	size_t n = (size_t)c->ninbound;
	struct inbound_keys *k = n ? calloc(1, sizeof *k + n * sizeof k->v[0]) : NULL;
	struct errbuf e = { "" };
	int errors = p->errors;

	if (!n)
		return true;
	if (!k) {
		conf_problem_add(p, true, &c->inbound[0].origin, "no memory for its keys");
		return false;
	}
	k->n = c->ninbound;
	for (int i = 0; i < k->n; i++) {
		const struct conf_inbound *x = &c->inbound[i];

		if (x->verp_key && token_keys_read(x->verp_key, &k->v[i], &e))
			conf_problem_add(p, true, &x->origin_verp_key, "verp-key: %s", e.text);
	}
	c->tokens = k;
	c->tokens_free = keys_free;
	return p->errors == errors;
}

/* NULL: that section has none. */
static const struct token_keys *keys_of(const struct conf *c, int section)
{
	const struct inbound_keys *k = c->tokens;

	return k && section >= 0 && k->v[section].n ? &k->v[section] : NULL;
}

/* ---- out ---- */

bool inbound_mark(const struct conf *c, int section, struct token t,
		  const struct token_about *about, struct arena *mem, struct str *path,
		  struct str *header)
{
	const struct conf_inbound *x = &c->inbound[section];
	const struct token_keys *k = keys_of(c, section);
	struct buf verp, ref;
	bool ok = true;

	*path = *header = nothing;
	if (!k)
		return true;
	buf_init(&verp);
	buf_init(&ref);
	if (x->verp)
		ok = token_verp(k, t, about->recipient, str_of(x->domain), &verp);
	ok = ok && buf_addz(&ref, "X-Stoker-Ref: ") && token_ref(k, t, about, &ref) &&
	     buf_addz(&ref, "\r\n");
	if (ok) {
		*path = verp.n ? arena_str(mem, buf_str(&verp)) : nothing;
		*header = arena_str(mem, buf_str(&ref));
		ok = path->p && header->p;
	}
	buf_free(&verp);
	buf_free(&ref);
	return ok;
}

/* ---- in: what it is about ---- */

struct match {
	const char *how; /* NULL: nothing proves it */
	struct token t;
	struct str recipient; /* whom the token was made for; "" if that is not known */
	struct str path;      /* the return path that proves it: the sender's domain at least */
	struct token_about about;
};

struct judging {
	const struct conf *c;
	struct settings_cache *settings; /* NULL: not asked yet */
	const struct inbound_mail *mail;
	const struct classifier *classifier;
	struct arena *mem;
	const struct conf_inbound *x; /* the first recipient's; NULL: it is gone */
	struct report r;
	struct match m;
	struct event *events;
	uint32_t n;
	bool failed; /* no memory */
};

static bool by_path(struct judging *j, struct str path)
{
	int section = conf_inbound_of(j->c, path);
	const struct token_keys *k = keys_of(j->c, section);
	struct str domain = k ? str_of(j->c->inbound[section].domain) : nothing;
	struct buf who;
	bool ok = false;

	buf_init(&who);
	for (int i = -1; k && !ok && i < j->r.nrcpts; i++)
		ok = token_verp_verify(k, path, domain, i < 0 ? nothing : j->r.rcpts[i].address,
				       &j->m.t, &who);
	if (ok) {
		j->m.how = "verp";
		j->m.path = path;
		j->m.recipient = arena_str(j->mem, buf_str(&who));
		j->failed |= !j->m.recipient.p;
	}
	buf_free(&who);
	return ok;
}

/* Feedback comes to one domain about the mail of many: any section's key will do. */
static bool by_ref(struct judging *j, struct token *t, struct token_about *about)
{
	bool ok = false;

	for (int i = 0; j->r.ref.n && !ok && i < j->c->ninbound; i++)
		ok = keys_of(j->c, i) &&
		     token_ref_verify(keys_of(j->c, i), j->r.ref, t, j->mem, about);
	return ok;
}

static void find_match(struct judging *j)
{
	struct token_about about = { .recipient = nothing };
	struct token t = { 0, 0 };
	bool ref = by_ref(j, &t, &about), path = false;

	for (uint32_t i = 0; i < j->mail->nto && !path; i++)
		path = by_path(j, j->mail->to[i]);
	path = path || by_path(j, j->r.to) || by_path(j, j->r.return_path);
	if (path && ref && t.message == j->m.t.message && t.index == j->m.t.index)
		j->m.about = about;
	if (path || !ref)
		return;
	j->m = (struct match){
		.how = "ref", .t = t, .recipient = about.recipient, .path = nothing, .about = about
	};
}

/* ---- in: what it says ---- */

static bool acts(const struct report *r, const struct report_rcpt *p)
{
	return r->kind == REPORT_BOUNCE ? p->action == ACTION_FAILED : r->kind == REPORT_FEEDBACK;
}

/* What it says of that address; of one address only if it names another (it was forwarded). */
static const struct report_rcpt *rcpt_about(const struct report *r, struct str address)
{
	const struct report_rcpt *found = NULL;

	for (int i = 0; i < r->nrcpts; i++) {
		const struct report_rcpt *p = &r->rcpts[i];

		if (!acts(r, p))
			continue;
		if (str_ieq(p->address, address))
			return p;
		found = found ? found : p;
	}
	return found;
}

static void fill_original(const struct judging *j, struct event *e)
{
	const struct token_about *a = &j->m.about;

	e->message = j->m.t.message;
	e->rcpt = j->m.t.index;
	e->sender = a->sender.n ? a->sender : j->m.path;
	e->job = a->job;
	e->user = a->user;
	e->virtual_mta = a->virtual_mta;
	e->envid = a->envid.n ? a->envid : j->r.envid;
}

static void fill_unsigned(const struct judging *j, struct event *e)
{
	e->sender = j->r.return_path.n ? j->r.return_path : j->mail->to[0];
	e->envid = j->r.envid;
}

struct receiver { /* as the scheduler would have seen it */
	char domain[DOMAIN_SIZE];
	int provider;
};

/* By the recipient's domain, else by the host that refused it. */
static struct receiver receiver_of(const struct judging *j, struct str recipient, struct str mx)
{
	struct receiver r = { .domain = "", .provider = CONF_NONE };
	const char *at = recipient.n ? memrchr(recipient.p, '@', recipient.n) : NULL;
	struct str domain = nothing;

	if (at)
		domain = str_mem(at + 1, recipient.n - (size_t)(at + 1 - recipient.p));
	if (!domain.n || !domain_normal(domain, r.domain))
		r.domain[0] = '\0';
	else
		r.provider = conf_provider_for(j->c, str_of(r.domain), &mx, mx.n ? 1 : 0);
	return r;
}

/* The list that judges that receiver's replies; a reply that comes late means the same. */
static const struct pattern_list *list_of(struct judging *j, const struct receiver *r)
{
	int vmta = conf_vmta_find(j->c, j->m.about.virtual_mta);
	const struct settings *s = NULL;

	if (r->domain[0] && !j->settings)
		j->settings = settings_cache_new((struct conf *)(uintptr_t)j->c);
	if (r->domain[0] && j->settings)
		s = settings_get(j->settings, str_of(r->domain), r->provider, CONF_NONE, vmta);
	j->failed |= r->domain[0] && !s;
	return patterns_find(j->c->patterns, s ? s->smtp_pattern_list : "default");
}

static void add_event(struct judging *j, const char *how, struct str recipient,
		      const struct report_rcpt *said)
{
	const struct report *r = &j->r;
	const struct report_rcpt none = { .address = recipient };
	struct report_rcpt p = said ? *said : none;
	struct event *e = &j->events[j->n];
	struct receiver at = receiver_of(j, recipient, p.remote_mta);
	struct report_verdict v;

	p.address = recipient;
	report_judge(j->classifier, list_of(j, &at), r, &p, &v);
	*e = (struct event){ .at = j->mail->at,
			     .type =
				 r->kind == REPORT_BOUNCE ? EVENT_REMOTE_BOUNCED : EVENT_COMPLAINT,
			     .recipient = recipient,
			     .site = at.provider == CONF_NONE
					 ? nothing
					 : str_of(j->c->providers[at.provider].name),
			     .mx = p.remote_mta,
			     .mx_ip = j->mail->client,
			     .reporting_mta = r->reporting_mta,
			     .format = str_of(r->rule),
			     .matched = str_of(how) };
	if (r->kind == REPORT_BOUNCE) {
		e->reply = p.diagnostic;
		e->enhanced = arena_str(j->mem, str_of(p.status));
		e->category = arena_str(j->mem, str_of(v.category));
		e->hard = v.hard;
		j->failed |= !e->enhanced.p || !e->category.p;
	} else {
		e->category = STR_LIT("spam-related");
		e->hard = true;
		e->feedback_type = r->feedback_type;
		e->user_agent = r->user_agent;
		e->source_ip = r->source_ip;
	}
	if (j->m.how)
		fill_original(j, e);
	else
		fill_unsigned(j, e);
	j->n++;
}

/* Without a token: whom it names. */
static void add_unsigned(struct judging *j)
{
	for (int i = 0; i < j->r.nrcpts; i++)
		if (acts(&j->r, &j->r.rcpts[i]) && j->r.rcpts[i].address.n)
			add_event(j, "message-id", j->r.rcpts[i].address, &j->r.rcpts[i]);
}

static enum inbound_fate judge_report(struct judging *j)
{
	bool bounce = j->r.kind == REPORT_BOUNCE;

	j->events = arena_alloc(j->mem, ((size_t)j->r.nrcpts + 1) * sizeof *j->events);
	if (!j->events) {
		j->failed = true;
		return INBOUND_OTHER;
	}
	if (j->m.how && j->m.recipient.n)
		add_event(j, j->m.how, j->m.recipient, rcpt_about(&j->r, j->m.recipient));
	else if (!j->m.how && j->x->trust_unsigned && j->r.message_id.n)
		add_unsigned(j);
	if (!j->n)
		return INBOUND_UNVERIFIED;
	return bounce ? INBOUND_BOUNCE : INBOUND_COMPLAINT;
}

static enum inbound_fate judge(struct judging *j)
{
	switch (j->r.kind) {
	case REPORT_BOUNCE:
		return j->x->process & CONF_INBOUND_BOUNCES ? judge_report(j) : INBOUND_OTHER;
	case REPORT_FEEDBACK:
		return j->r.complaint && j->x->process & CONF_INBOUND_FEEDBACK ? judge_report(j)
									       : INBOUND_OTHER;
	case REPORT_DELAYED:
	case REPORT_SUCCESS:
		return j->x->process & CONF_INBOUND_BOUNCES ? INBOUND_NOTED : INBOUND_OTHER;
	case REPORT_OTHER:
		break;
	}
	return strcmp(j->r.rule, "auto-reply") == 0 ? INBOUND_NOTED : INBOUND_OTHER;
}

static struct str word(const struct judging *j, enum inbound_fate fate)
{
	struct str who = j->n ? j->events[0].recipient : nothing;
	const char *text =
	    arena_fmt(j->mem, "%s (%s)%s%.*s%s%s", report_kind_name(j->r.kind), j->r.rule,
		      who.n ? " about " : "", (int)who.n, who.n ? who.p : "",
		      j->n			   ? ", matched by "
		      : fate == INBOUND_UNVERIFIED ? ", which nothing verifies"
						   : "",
		      j->n ? j->events[0].matched.p : "");

	return text ? str_of(text) : (struct str){ NULL, 0 };
}

bool inbound_judge(const struct conf *c, const struct classifier *classifier,
		   const struct inbound_mail *mail, struct arena *mem, struct inbound_result *out)
{
	struct judging *j = arena_alloc(mem, sizeof *j);
	int section = mail->nto ? conf_inbound_of(c, mail->to[0]) : CONF_NONE;

	if (!j)
		return false;
	*j = (struct judging){ .c = c, .mail = mail, .classifier = classifier, .mem = mem };
	j->m.recipient = j->m.path = nothing;
	j->x = section == CONF_NONE ? NULL : &c->inbound[section];
	if (!report_read(mail->text, mem, &j->r))
		return false;
	find_match(j);
	out->fate = j->x ? judge(j) : INBOUND_OTHER;
	out->events = j->events;
	out->n = j->n;
	out->words = word(j, out->fate);
	settings_cache_free(j->settings);
	return !j->failed && out->words.p;
}
