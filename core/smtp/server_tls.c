/* STARTTLS (RFC 3207) and TLS from the first byte. What was said before TLS is forgotten, and what
 * was glued to the command is never read as one: it came in plain, from anybody on the way. */
#include <inttypes.h>

#include "core/base/log.h"
#include "core/smtp/server_session.h"

static enum conf_tls tls_of(const struct session *s)
{
	return s->conf->listeners[s->listener].tls;
}

static bool offered(const struct session *s)
{
	return (tls_of(s) == CONF_TLS_STARTTLS || tls_of(s) == CONF_TLS_REQUIRED) && !io_tls(s->io);
}

const char *starttls_offer(const struct session *s)
{
	return offered(s) ? "250-STARTTLS\r\n" : "";
}

const char *tls_missing(const struct session *s)
{
	if (tls_of(s) != CONF_TLS_REQUIRED || io_tls(s->io))
		return NULL;
	return "530 5.7.0 Must issue a STARTTLS command first";
}

const char *check_starttls(struct session *s, struct command_args *a)
{
	if (a->text.n)
		return "501 5.5.4 This command takes no argument";
	if (io_tls(s->io))
		return "503 5.5.1 TLS is in use already";
	return offered(s) ? NULL : "502 5.5.1 Command not implemented";
}

void do_starttls(struct session *s, struct command_args *a)
{
	(void)a;
	if (tls_for_listener(s->conf, s->listener))
		s->start_tls = true;
	else
		say(s, "454 4.7.0 TLS is not available now");
}

void starttls_begin(struct session *s)
{
	s->start_tls = false;
	if (session_input(s).n || io_input(s->io).n) {
		close_for_bytes(s, "554 5.5.2 Bytes behind STARTTLS");
		return;
	}
	say(s, "220 2.0.0 Ready to start TLS");
	if (s->state == SV_CLOSED)
		return;
	io_set_sink(s->io, NULL, 0);
	s->sink = NULL;
	if (!io_start_tls_server(s->io, tls_for_listener(s->conf, s->listener)))
		say_and_close(s, NULL);
	else
		wait_for(s, WAIT_TLS);
}

void implicit_begin(struct session *s)
{
	struct tls_context *ctx = tls_for_listener(s->conf, s->listener);

	if (ctx && io_start_tls_server(s->io, ctx))
		wait_for(s, WAIT_TLS);
	else
		say_and_close(s, NULL);
}

void tls_established(struct session *s)
{
	bool first = tls_of(s) == CONF_TLS_IMPLICIT;

	log_debug("smtp in #%" PRIu64 " %s: TLS %s %s%s", s->id, s->ip, io_tls_version(s->io),
		  io_tls_cipher(s->io), io_tls_resumed(s->io) ? ", resumed" : "");
	wait_over(s);
	tx_reset(s);
	s->helo[0] = s->user_name[0] = '\0'; /* a login in the clear may have been anybody's */
	session_source(s);
	s->esmtp = false;
	enter_state(s, SV_CONNECTED);
	if (first)
		greet(s);
}

void tls_broken(struct session *s)
{
	s->srv->stats.protocol_errors++;
	if (may_tell(s->srv, &s->srv->warned))
		log_info("smtp in: %s: %s: closed", s->ip, io_error(s->io));
}
