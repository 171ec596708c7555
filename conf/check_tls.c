/* Encryption that is asked for and can't be, or is asked for twice in different words. */
#include "conf/reading.h"

/* ---- in ---- */

static const char *missing_file(const struct conf_listener *l)
{
	if (!l->tls_certificate && !l->tls_key)
		return "tls-certificate and tls-key, PEM files";
	return l->tls_certificate ? "tls-key, a PEM file" : "tls-certificate, a PEM file";
}

static void check_listener(struct reading *r, const struct conf_section *s)
{
	const struct conf_listener *l = &r->c->listeners[s->index];
	const struct conf_entry *tls =
	    section_entry(s, directive_find(KIND_LISTENER, STR_LIT("tls")));

	if (l->tls == CONF_TLS_NO && l->tls_certificate && !(tls && !tls->clear))
		warn_at(r, &l->origin_tls_certificate,
			"tls-certificate is not used here: write tls = starttls (or required, "
			"implicit) too");
	if (l->tls != CONF_TLS_NO && (!l->tls_certificate || !l->tls_key))
		error_at(r, tls ? &tls->at : &l->origin, "tls needs %s: write it too",
			 missing_file(l));
}

/* ---- out ---- */

static const struct conf_entry *set_in(const struct conf_section *s, enum setting_id id)
{
	const struct conf_entry *e = s->set[id];

	return e && !e->clear && !e->bad ? e : NULL;
}

static void check_domain(struct reading *r, const struct conf_section *s)
{
	const struct conf_entry *how = set_in(s, SET_SMTP_STARTTLS);
	const struct conf_entry *plain = set_in(s, SET_USE_PLAINTEXT);
	const struct conf_entry *oldest = set_in(s, SET_TLS_MIN_VERSION);
	const char *word = how && how->v.i == STARTTLS_VERIFY ? "verify" : "required";

	if (how && how->v.i == STARTTLS_VERIFY && !r->c->any_verify) {
		r->c->any_verify = true;
		r->c->origin_verify = how->at;
	}
	if (how && plain && how->v.i >= STARTTLS_REQUIRED && plain->v.b)
		warn_at(r, &plain->at,
			"use-plaintext = yes has no effect: smtp-starttls = %s (line %d) wins, and "
			"without TLS this mail is deferred",
			word, how->at.line);
	if (how && plain && how->v.i == STARTTLS_NO && !plain->v.b)
		warn_at(r, &plain->at,
			"use-plaintext = no wins over smtp-starttls = no (line %d): this mail goes "
			"by TLS or not at all; write smtp-starttls = required",
			how->at.line);
	if (how && oldest && how->v.i < STARTTLS_REQUIRED)
		warn_at(r, &oldest->at,
			"tls-min-version has no effect with smtp-starttls = %s (line %d): it holds "
			"for required and verify",
			how->v.i == STARTTLS_NO ? "no" : "opportunistic", how->at.line);
}

void check_tls(struct reading *r)
{
	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		if (s->kind == KIND_LISTENER)
			check_listener(r, s);
		else if (s->set)
			check_domain(r, s);
	}
}
