/* [webhook]: its values and its sections. */
#include <curl/curl.h>
#include <stdio.h>

#include "conf/lex.h"
#include "conf/reading.h"
#include "conf/value_list.h"

enum { SHOWN = 80, SECRET_LEAST = 16 };

static int shown(struct str s)
{
	return s.n < SHOWN ? (int)s.n : SHOWN;
}

/* One part of the URL for `found`; false if there is none. */
static bool has_part(CURLU *u, CURLUPart part, bool (*found)(const char *z))
{
	char *z = NULL;
	bool yes = !curl_url_get(u, part, &z, 0) && z && *z && (!found || found(z));

	curl_free(z);
	return yes;
}

static bool is_web(const char *scheme)
{
	return strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
}

/* What is wrong with it, read as whoever sends requests there reads it. */
static const char *url_wrong(const char *z)
{
	CURLU *u = curl_url();
	const char *wrong = NULL;

	if (!u)
		return "can't be read without memory";
	if (curl_url_set(u, CURLUPART_URL, z, 0) || !has_part(u, CURLUPART_HOST, NULL) ||
	    !has_part(u, CURLUPART_SCHEME, is_web))
		wrong = "is not a URL: write one like https://hooks.example.com/stoker";
	else if (has_part(u, CURLUPART_USER, NULL) || has_part(u, CURLUPART_PASSWORD, NULL))
		wrong = "holds a user or a password: requests are signed, write secret = @FILE";
	else if (has_part(u, CURLUPART_FRAGMENT, NULL))
		wrong = "has a part behind #, which no server gets: leave it out";
	curl_url_cleanup(u);
	return wrong;
}

const struct err *value_parse_url(struct value_in *in, struct value *out)
{
	char *z = mem_alloc(in->mem, in->text.n + 1);
	struct str s = { z, lex_unquote(in->text, z) };
	const char *wrong;

	out->z = z;
	if ((int64_t)s.n > in->d->hi) {
		errbuf_set(&in->e, "it has %zu bytes: write at most %lld", s.n,
			   (long long)in->d->hi);
		return &err_invalid;
	}
	wrong = memchr(z, '\0', s.n) ? "holds a NUL" : url_wrong(z);
	if (!wrong)
		return NULL;
	errbuf_set(&in->e, "\"%.*s\" %s", shown(s), z, wrong);
	return &err_invalid;
}

/* By the names of enum event_type, which stands to our right; a test compares them. */
const struct err *value_item_event(struct value_in *in, struct str w, const char **out)
{
	static const char *const names[] = { "received",  "rejected",  "delivered",
					     "deferred",  "bounced",   "expired",
					     "removed",	  "unreached", "remote-bounced",
					     "complaint", "suppressed" };
	enum { NAMES = sizeof names / sizeof names[0] };
	struct nearest n;

	nearest_init(&n, w);
	for (int i = 0; i < NAMES; i++) {
		if (str_ieqz(w, names[i])) {
			*out = names[i];
			return NULL;
		}
		nearest_try(&n, names[i]);
	}
	if (nearest_best(&n))
		errbuf_set(&in->e, "there is no event \"%.*s\": did you mean %s?", shown(w), w.p,
			   nearest_best(&n));
	else
		errbuf_set(&in->e,
			   "there is no event \"%.*s\": write some of received, rejected, "
			   "delivered, deferred, bounced, expired, removed, unreached, "
			   "remote-bounced, complaint, suppressed",
			   shown(w), w.p);
	return &err_invalid;
}

/* ---- sections ---- */

void build_webhooks(struct reading *r)
{
	struct conf *c = r->c;

	c->webhooks = mem_array(&r->mem, (size_t)sections_of(r, KIND_WEBHOOK), sizeof *c->webhooks);
	for (struct conf_section *s = r->priv->first; s; s = s->next) {
		struct conf_webhook *x = &c->webhooks[c->nwebhooks];

		if (s->kind != KIND_WEBHOOK)
			continue;
		x->name = s->name;
		x->origin = x->origin_url = x->origin_secret = s->origin;
		build_fields(r, KIND_WEBHOOK, s, x);
		s->index = c->nwebhooks++;
	}
}

static bool is_loopback(const char *host)
{
	struct endpoint at;

	return str_ieqz(str_of(host), "localhost") ||
	       (parse_ip(str_of(host), &at) && ip_is_loopback(&at));
}

static bool is_plain(const char *scheme)
{
	return strcmp(scheme, "http") == 0;
}

/* Addresses that anybody on the way can read. */
static void check_url(struct reading *r, const struct conf_webhook *x)
{
	CURLU *u = curl_url();

	if (u && !curl_url_set(u, CURLUPART_URL, x->url, 0) &&
	    has_part(u, CURLUPART_SCHEME, is_plain) && !has_part(u, CURLUPART_HOST, is_loopback))
		warn_at(r, &x->origin_url,
			"url: recipients' addresses cross the network in the clear: write https");
	curl_url_cleanup(u);
}

static void check_secret(struct reading *r, const struct conf_section *s,
			 const struct conf_webhook *x)
{
	const struct conf_entry *e =
	    section_entry(s, directive_find(KIND_WEBHOOK, STR_LIT("secret")));

	if (e && e->bad)
		return;
	if (!x->secret || !*x->secret) {
		warn_at(r, &s->origin,
			"[webhook %s] has no secret: its requests are not signed, and anybody "
			"could send such; write secret = @FILE",
			x->name);
		return;
	}
	if (strlen(x->secret) < SECRET_LEAST)
		warn_at(r, &x->origin_secret,
			"secret: %d characters can be guessed: make one as `openssl rand -hex 32` "
			"does",
			(int)strlen(x->secret));
	if (!e->text.n || e->text.p[0] != '@')
		check_secret_place(r, "secret", &x->origin_secret);
}

void check_webhooks(struct reading *r)
{
	const struct directive *url = directive_find(KIND_WEBHOOK, STR_LIT("url"));
	const struct directive *events = directive_find(KIND_WEBHOOK, STR_LIT("events"));

	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		const struct conf_webhook *x;

		if (s->kind != KIND_WEBHOOK)
			continue;
		x = &r->c->webhooks[s->index];
		if (x->url)
			check_url(r, x);
		else if (!section_entry(s, url) || !section_entry(s, url)->bad)
			error_at(r, &s->origin,
				 "[webhook %s] has no url: write url = "
				 "https://hooks.example.com/stoker",
				 x->name);
		if (!x->nevents && section_entry(s, events) && !section_entry(s, events)->bad)
			warn_at(r, &section_entry(s, events)->at,
				"[webhook %s] sends nothing: events is empty", x->name);
		check_secret(r, s, x);
	}
}
