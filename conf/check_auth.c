/* Who logs in: passwords that are none, users whom no listener asks, and passwords in the clear. */
#include <crypt.h>

#include "conf/reading.h"
#include "conf/value.h"

enum { HASH_LEAST = 13 };

/* Only what begins with `$` is taken for a hash: the old two letters of salt fit most words. */
static bool is_hash(const char *z)
{
	int rc = z[0] == '$' ? crypt_checksalt(z) : CRYPT_SALT_INVALID;

	return rc != CRYPT_SALT_INVALID && rc != CRYPT_SALT_METHOD_DISABLED &&
	       strlen(z) >= HASH_LEAST;
}

static void check_user(struct reading *r, const struct conf_section *s)
{
	const struct conf_entry *e =
	    section_entry(s, directive_find(KIND_SMTP_USER, STR_LIT("password")));

	if (!e || e->clear)
		error_at(
		    r, e ? &e->at : &s->origin,
		    "[smtp-user %s] needs a password: write the line that `stoker passwd` prints",
		    s->name);
	else if (!e->bad && !is_hash(e->v.z))
		error_at(
		    r, &e->at,
		    "password: this is no crypt(3) hash that this machine knows: write the line "
		    "that `stoker passwd` prints (in an @file only what stands behind "
		    "\"password = \"), never the password itself");
}

static void check_listener(struct reading *r, const struct conf_listener *l)
{
	if (!l->authenticate)
		return;
	if (!r->c->nusers && !r->incomplete)
		warn_at(r, &l->origin_authenticate,
			"authenticate: there is no [smtp-user], so nobody can log in");
	if (ip_is_loopback(&l->at))
		return;
	if (l->tls == CONF_TLS_NO && !l->allow_unencrypted_auth)
		warn_at(
		    r, &l->origin_authenticate,
		    "authenticate without TLS is offered to loopback only: write tls = starttls "
		    "with a certificate and its key");
	if (l->allow_unencrypted_auth && l->tls <= CONF_TLS_STARTTLS)
		warn_at(r, &l->origin_allow_unencrypted,
			"allow-unencrypted-auth: passwords cross the network in the clear");
}

/* One without the other in the same section. */
static void check_client(struct reading *r, const struct conf_section *s)
{
	const struct conf_entry *user = s->set[SET_AUTH_USER],
				*password = s->set[SET_AUTH_PASSWORD];
	const struct conf_entry *how = s->set[SET_SMTP_STARTTLS];

	if (user && !user->clear && !password)
		error_at(r, &user->at, "auth-user needs auth-password in the same section");
	if (password && !password->clear && !user)
		error_at(r, &password->at, "auth-password needs auth-user in the same section");
	if (user && !user->clear && how && !how->clear && !how->bad && how->v.i < STARTTLS_REQUIRED)
		warn_at(
		    r, &how->at,
		    "auth-user (line %d) wins over smtp-starttls: a password is sent under TLS or "
		    "not at all; write required, or verify",
		    user->at.line);
}

void check_auth(struct reading *r)
{
	bool any = false;

	for (const struct conf_section *s = r->priv->first; s; s = s->next) {
		if (s->kind == KIND_SMTP_USER)
			check_user(r, s);
		else if (s->set)
			check_client(r, s);
	}
	for (int i = 0; i < r->c->nlisteners; i++) {
		check_listener(r, &r->c->listeners[i]);
		any |= r->c->listeners[i].authenticate != 0;
	}
	if (r->c->nusers && !any && !r->incomplete)
		warn_at(r, &r->c->users[0].origin,
			"[smtp-user %s]: no listener asks for a login: write authenticate = plain "
			"login",
			r->c->users[0].name);
}
