/* AUTH PLAIN and LOGIN (RFC 4954, 4616). Passwords are looked at by a worker: a good hash takes
 * tens of milliseconds on purpose. What it has found right is remembered for a minute, by a keyed
 * hash, so that an application with many connections costs one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/base/base64.h"
#include "core/base/clean.h"
#include "core/base/log.h"
#include "core/base/secret.h"
#include "core/smtp/server_session.h"

enum { FAILURES_MAX = 3 }; /* on one connection */
static const us_t REMEMBER_US = US_PER_MIN;

static bool is_allowed(const struct session *s)
{
	const struct conf_listener *l = &s->conf->listeners[s->listener];

	return io_tls(s->io) || l->allow_unencrypted_auth || endpoint_is_loopback(&s->peer);
}

const char *auth_offer(const struct session *s)
{
	static const char *const lines[] = { "", "250-AUTH PLAIN\r\n", "250-AUTH LOGIN\r\n",
					     "250-AUTH PLAIN LOGIN\r\n" };

	return lines[is_allowed(s) ? s->conf->listeners[s->listener].authenticate : 0];
}

/* ---- what was found right ---- */

static uint64_t remembered_key(const struct session *s, int user, struct str password)
{
	const struct conf_user *u = &s->conf->users[user];
	uint64_t parts[3] = { hash_bytes(u->name, strlen(u->name)),
			      hash_bytes(u->password, strlen(u->password)),
			      hash_bytes(password.p, password.n) };

	return hash_bytes(parts, sizeof parts);
}

static struct remembered *remembered_slot(const struct session *s, uint64_t key)
{
	return &s->srv->remembered[key % REMEMBERED];
}

static bool is_remembered(const struct session *s, uint64_t key)
{
	const struct remembered *r = remembered_slot(s, key);

	return r->key == key && r->until > loop_now(s->srv->loop);
}

/* ---- the end of a try ---- */

static void forget_try(struct session *s)
{
	s->auth_step = AUTH_STEP_NONE;
	s->auth_verdict = SERVER_AUTH_NONE;
	s->auth_at = 0;
	if (s->state == SV_AUTH)
		enter_state(s, SV_READY);
}

static void logged_in(struct session *s, int user)
{
	snprintf(s->user_name, sizeof s->user_name, "%s", s->conf->users[user].name);
	session_source(s);
	s->srv->stats.logins++;
	forget_try(s);
	log_debug("smtp in #%" PRIu64 " %s: logged in as %s", s->id, s->ip, s->user_name);
	say(s, "235 2.7.0 Authentication successful");
}

static void tell_failed(struct session *s, const char *reply)
{
	struct buf name;

	s->srv->stats.logins_failed++;
	if (!may_tell(s->srv, &s->srv->strangers))
		return;
	buf_init(&name);
	clean_add(&name, str_of(s->auth_user), true);
	log_warn("smtp in: %s: login as \"%s\" failed: %s", s->ip, buf_z(&name), reply);
	buf_free(&name);
	tell_rejected(s, STR_LIT(""), STR_LIT(""), reply);
}

static void failed(struct session *s, const char *reply)
{
	tell_failed(s, reply);
	forget_try(s);
	s->srv->stats.protocol_errors++;
	say(s, reply);
	if (++s->auth_failures >= FAILURES_MAX)
		say_and_close(s, "421 4.7.0 Too many failed logins");
}

/* The worker has answered, and what the answer had to wait is over. */
static void finish(struct session *s)
{
	int user = conf_user_find(s->conf, str_of(s->auth_user));

	switch (s->auth_verdict) {
	case SERVER_AUTH_OK:
		if (user < 0) {
			failed(s, "535 5.7.8 Authentication credentials invalid");
			return;
		}
		*remembered_slot(s, s->auth_key) =
		    (struct remembered){ s->auth_key, loop_now(s->srv->loop) + REMEMBER_US };
		logged_in(s, user);
		return;
	case SERVER_AUTH_WRONG:
		failed(s, "535 5.7.8 Authentication credentials invalid");
		return;
	case SERVER_AUTH_BANNED:
		failed(s, "454 4.7.0 Too many failed logins, try again later");
		return;
	case SERVER_AUTH_BUSY:
	case SERVER_AUTH_NONE:
		break;
	}
	forget_try(s);
	say(s, "454 4.7.0 Temporary authentication failure, try again later");
}

void session_auth_answer(struct session *s, enum server_auth_verdict v, us_t delay)
{
	s->auth_verdict = v;
	if (delay && s->wait == WAIT_AUTH)
		s->auth_at = loop_now(s->srv->loop) + delay;
	else
		wait_over(s);
}

/* ---- a try ---- */

static void ask(struct session *s, struct str password)
{
	int user = conf_user_find(s->conf, str_of(s->auth_user));
	struct server_auth_ask a = { .client = &s->peer,
				     .user = str_of(s->auth_user),
				     .password = password,
				     .hash = user < 0 ? NULL : s->conf->users[user].password };

	s->auth_key = user < 0 ? 0 : remembered_key(s, user, password);
	if (user >= 0 && is_remembered(s, s->auth_key)) {
		logged_in(s, user);
		return;
	}
	s->srv->env.auth(s->srv->env.arg, s->id, &a);
	if (s->auth_verdict)
		finish(s);
	else
		wait_for(s, WAIT_AUTH);
}

static bool set_user(struct session *s, struct str name)
{
	if (!name.n || name.n >= sizeof s->auth_user || memchr(name.p, '\0', name.n))
		return false;
	memcpy(s->auth_user, name.p, name.n);
	s->auth_user[name.n] = '\0';
	return true;
}

/* authzid NUL authcid NUL passwd; nobody may act for another. */
static void take_plain(struct session *s, struct str m)
{
	struct str authzid, user;

	if (!str_split(&m, '\0', &authzid) || !str_split(&m, '\0', &user) || !m.n ||
	    m.n > AUTH_TEXT_MAX || memchr(m.p, '\0', m.n) || !set_user(s, user) ||
	    (authzid.n && !str_eq(authzid, user))) {
		failed(s, "535 5.7.8 Authentication credentials invalid");
		return;
	}
	ask(s, m);
}

static void take_login(struct session *s, struct str m)
{
	if (s->auth_step == AUTH_STEP_PASSWORD && m.n && m.n <= AUTH_TEXT_MAX) {
		ask(s, m);
	} else if (s->auth_step == AUTH_STEP_USER && set_user(s, m)) {
		s->auth_step = AUTH_STEP_PASSWORD;
		if (s->state != SV_AUTH)
			enter_state(s, SV_AUTH);
		say(s, "334 UGFzc3dvcmQ6");
	} else {
		failed(s, "535 5.7.8 Authentication credentials invalid");
	}
}

static void take_response(struct session *s, struct str text)
{
	struct buf b;

	buf_init(&b);
	if (!str_eqz(text, "=") && !base64_decode(&b, text)) {
		forget_try(s);
		say_error(s, "501 5.5.2 That is not base64");
	} else if (s->auth_step == AUTH_STEP_PLAIN) {
		take_plain(s, buf_str(&b));
	} else {
		take_login(s, buf_str(&b));
	}
	secret_free(&b);
}

void auth_line(struct session *s, struct str line)
{
	if (s->auth_verdict) { /* run again after the wait */
		finish(s);
	} else if (str_eqz(line, "*")) {
		forget_try(s);
		say_error(s, "501 5.7.0 Authentication cancelled");
	} else {
		take_response(s, line);
	}
}

const char *check_auth_command(struct session *s, struct command_args *a)
{
	const struct conf_listener *l = &s->conf->listeners[s->listener];
	struct str rest = a->text, word = { "", 0 };

	str_split(&rest, ' ', &word);
	if (!l->authenticate)
		return "502 5.5.1 Command not implemented";
	if (!s->esmtp)
		return "503 5.5.1 EHLO first";
	if (s->user_name[0])
		return "503 5.5.1 Authenticated already";
	if (!is_allowed(s))
		return "538 5.7.11 Encryption is required before a login: STARTTLS";
	if (str_ieqz(word, "PLAIN") && l->authenticate & CONF_AUTH_PLAIN)
		return NULL;
	if (str_ieqz(word, "LOGIN") && l->authenticate & CONF_AUTH_LOGIN)
		return NULL;
	return "504 5.5.4 This mechanism is not offered here";
}

void do_auth(struct session *s, struct command_args *a)
{
	struct str rest = a->text, word = { "", 0 };
	bool plain;

	if (s->auth_verdict) {
		finish(s);
		return;
	}
	str_split(&rest, ' ', &word);
	plain = str_ieqz(word, "PLAIN");
	s->auth_step = plain ? AUTH_STEP_PLAIN : AUTH_STEP_USER;
	rest = str_trim(rest);
	if (rest.n) {
		take_response(s, rest);
		return;
	}
	enter_state(s, SV_AUTH);
	say(s, plain ? "334 " : "334 VXNlcm5hbWU6");
}
