/* AUTH PLAIN or LOGIN to a smarthost, under TLS only. A refusal is about us, not about the mail:
 * the address can't be used now, and the words say why. */
#include "core/smtp/client_session.h"

#include "core/base/base64.h"
#include "core/base/secret.h"

static void refused(struct session *s, struct rstr *words)
{
	struct reply_verdict v = client_verdict_own(CLASS_CONNECTION, "4.7.8", "auth");

	client_enter_state(s, STATE_AUTH);
	client_address_refused(s, &v, words);
}

/* `prefix`, then the bytes in base64, as one command. */
static void send_secret(struct session *s, const char *prefix, struct str bytes)
{
	struct buf b;

	buf_init(&b);
	buf_addz(&b, prefix);
	base64_encode(&b, bytes);
	buf_addz(&b, "\r\n");
	client_expect(s, EXPECT_AUTH, NULL, 1, s->queued + b.n);
	if (buf_failed(&b))
		client_protocol_error(s, "no memory", STR_LIT(""));
	else
		client_send(s, buf_str(&b));
	secret_free(&b);
}

static void begin_plain(struct session *s)
{
	struct buf b;

	buf_init(&b);
	buf_addc(&b, '\0');
	buf_adds(&b, rstr_str(s->spec->auth_user));
	buf_addc(&b, '\0');
	buf_adds(&b, rstr_str(s->spec->auth_password));
	s->auth_step = 2;
	send_secret(s, "AUTH PLAIN ", buf_str(&b));
	secret_free(&b);
}

void client_auth_or_up(struct session *s)
{
	static const struct str login = { "AUTH LOGIN\r\n", 12 };

	if (!s->spec->auth_user) {
		client_up(s);
	} else if (!s->tls || (!s->auth_plain && !s->auth_login)) {
		refused(s, rstr_newf("%s offers no AUTH that can be used (PLAIN or LOGIN)",
				     rstr_str(s->mx).p));
	} else {
		client_enter_state(s, STATE_AUTH);
		if (s->auth_plain) {
			begin_plain(s);
			return;
		}
		s->auth_step = 0;
		client_expect(s, EXPECT_AUTH, NULL, 1, s->queued + login.n);
		client_send(s, login);
	}
}

void client_on_auth(struct session *s, struct slot *k, const struct reply *r)
{
	(void)k;
	if (r->code == 334 && s->auth_step < 2)
		send_secret(s, "",
			    rstr_str(s->auth_step++ ? s->spec->auth_password : s->spec->auth_user));
	else if (reply_positive(r))
		client_up(s);
	else if (reply_negative(r))
		refused(s, rstr_newf("AUTH as %s is refused: %.*s", rstr_str(s->spec->auth_user).p,
				     (int)r->text.n, r->text.p));
	else
		client_protocol_error(s, "wrong code", r->text);
}
