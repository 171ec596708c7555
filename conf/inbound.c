/* [inbound DOMAIN]: the value of `process`, the sections, and what is wrong with them. The keys are
 * loaded later, by core/feedback/inbound.c: with the rights of the user that the server runs as. */
#include "conf/lex.h"
#include "conf/reading.h"
#include "conf/value_list.h"
#include "core/base/domain.h"

static const struct {
	const char *word;
	int bit;
} kinds[] = { { "bounces", CONF_INBOUND_BOUNCES }, { "feedback", CONF_INBOUND_FEEDBACK } };
enum { KINDS = sizeof kinds / sizeof kinds[0], SHOWN = 40 };

const struct err *value_parse_process(struct value_in *in, struct value *out)
{
	struct str rest = in->text, word = { "", 0 };

	while (lex_word(&rest, &word)) {
		int i = 0;

		while (i < KINDS && !str_ieqz(word, kinds[i].word))
			i++;
		if (i == KINDS) {
			errbuf_set(&in->e, "\"%.*s\": write one or both of bounces, feedback",
				   word.n < SHOWN ? (int)word.n : SHOWN, word.p);
			return &err_invalid;
		}
		out->i |= kinds[i].bit;
	}
	return NULL;
}

void value_write_process(int64_t bits, struct buf *out)
{
	const char *between = "";

	for (int i = 0; i < KINDS; i++)
		if (bits & kinds[i].bit) {
			buf_addf(out, "%s%s", between, kinds[i].word);
			between = " ";
		}
}

void build_inbound(struct reading *r)
{
	struct conf *c = r->c;
	int n = sections_of(r, KIND_INBOUND);

	c->inbound = mem_array(&r->mem, (size_t)n, sizeof *c->inbound);
	r->priv->inbound = name_index_make(r, n);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_inbound *x = &c->inbound[c->ninbound];

		if (s->kind != KIND_INBOUND)
			continue;
		x->domain = s->name;
		x->origin = x->origin_verp_key = x->origin_trust = x->origin_forward = s->origin;
		build_fields(r, KIND_INBOUND, s, x);
		name_index_add(r, &r->priv->inbound, s->name, c->ninbound);
		s->index = c->ninbound++;
	}
	name_index_sort(&r->priv->inbound);
}

static bool any_key(const struct conf *c)
{
	for (int i = 0; i < c->ninbound; i++)
		if (c->inbound[i].verp_key)
			return true;
	return false;
}

static const struct conf_entry *entry_in(const struct conf_section *s, const char *name)
{
	return s ? section_entry(s, directive_find(s->kind, str_of(name))) : NULL;
}

/* What is forwarded is mail of our own: only [mta] says its way out. */
static void check_forward_route(struct reading *r, const struct conf_inbound *x)
{
	const struct conf_entry *e = entry_in(section_only(r->c, KIND_MTA), "default-virtual-mta");

	if (!x->nforward || r->c->mta.default_route != CONF_NONE || r->c->nroutes < 2)
		return;
	if ((e && !e->clear) || r->incomplete)
		return; /* reported */
	error_at(r, &x->origin_forward,
		 "forward-unmatched: there are several routes: write default-virtual-mta in [mta]");
}

static void check_forward(struct reading *r, const struct conf_inbound *x)
{
	check_forward_route(r, x);
	for (int i = 0; i < x->nforward; i++)
		if (conf_inbound_of(r->c, str_of(x->forward[i])) != CONF_NONE)
			error_at(r, &x->origin_forward,
				 "forward-unmatched: the mail of %s is read here too, so a person "
				 "never sees it: write an address of another domain",
				 x->forward[i]);
}

static void check_postmasters(struct reading *r)
{
	const struct conf_mta *m = &r->c->mta;

	for (int i = 0; i < m->npostmasters; i++)
		if (conf_inbound_of(r->c, str_of(m->postmasters[i])) != CONF_NONE)
			error_at(r, &m->origin_postmaster,
				 "postmaster: the mail of %s is read here (its domain has an "
				 "[inbound] section), so a person never sees it: write an address "
				 "of another domain",
				 m->postmasters[i]);
}

static void check_one(struct reading *r, const struct conf_inbound *x)
{
	if (x->verp && !x->verp_key)
		error_at(r, &x->origin,
			 "[inbound %s] has no verp-key, which signs its return paths: make one, as "
			 "(umask 077; head -c 24 /dev/urandom | base64 > /etc/stoker/verp.key), "
			 "and write verp-key = /etc/stoker/verp.key; or verp = no",
			 x->domain);
	else if (!any_key(r->c) && !x->trust_unsigned && !r->incomplete)
		warn_at(r, &x->origin,
			"[inbound %s]: no section has a verp-key, so no report can be matched: "
			"all of its mail is forwarded or kept",
			x->domain);
	if (x->trust_unsigned)
		warn_at(r, &x->origin_trust,
			"[inbound %s] trust-unsigned: whoever sends a report that names a "
			"Message-ID ends the mail to any address",
			x->domain);
	check_forward(r, x);
}

void check_inbound(struct reading *r)
{
	for (int i = 0; i < r->c->ninbound; i++)
		check_one(r, &r->c->inbound[i]);
	check_postmasters(r);
}

int conf_inbound_for(const struct conf *c, struct str domain)
{
	char normal[DOMAIN_SIZE];

	if (!c->ninbound || !domain_normal(domain, normal))
		return CONF_NONE;
	return name_index_find(&c->priv->inbound, str_of(normal));
}

int conf_inbound_of(const struct conf *c, struct str address)
{
	const char *at = c->ninbound && address.n ? memrchr(address.p, '@', address.n) : NULL;

	if (!at)
		return CONF_NONE;
	return conf_inbound_for(c, str_mem(at + 1, address.n - (size_t)(at + 1 - address.p)));
}
