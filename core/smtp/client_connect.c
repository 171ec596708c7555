/* From a list of hosts to a session: addresses in turn until one greets and answers EHLO (RFC
 * 5321 5.1). Every address that does not is told to the scheduler with the words it gave. */
#include "core/smtp/client_session.h"

#include <errno.h>
#include <stdio.h>

enum { OFFERS_SHOWN = 400 }; /* bytes of keywords kept for accounting */

/* ---- which address next ---- */

static const struct endpoint *local_for(const struct session *s, const struct endpoint *remote)
{
	const struct endpoint *l =
	    remote->sa.sa_family == AF_INET6 ? &s->spec->local6 : &s->spec->local4;

	return l->sa.sa_family == AF_UNSPEC ? NULL : l;
}

/* May this address be tried in this pass? A preferred family gets a first pass over the host's
 * addresses. */
static bool wanted(const struct session *s, const struct endpoint *remote)
{
	bool v6 = remote->sa.sa_family == AF_INET6;

	switch (s->spec->ip_versions) {
	case IPV_4:
		return !v6 && s->pass == 0;
	case IPV_6:
		return v6 && s->pass == 0;
	case IPV_PREFER_4:
		return v6 == (s->pass == 1);
	case IPV_PREFER_6:
		return v6 == (s->pass == 0);
	case IPV_BOTH:
		break;
	}
	return s->pass == 0;
}

static void next_host(struct session *s)
{
	s->address = 0;
	s->pass = 0;
	s->host++;
}

/* Moves to the next address that can be tried; false at the end. */
static bool next_address(struct session *s)
{
	while (s->host < s->spec->nhosts && s->tried < CLIENT_ADDRESSES_MAX) {
		const struct dns_host *h = &s->spec->hosts[s->host];

		if (s->address >= h->naddresses) {
			s->address = 0;
			if (++s->pass > 1)
				next_host(s);
			continue;
		}
		const struct endpoint *a = &h->address[s->address++];
		if (!wanted(s, a) || !local_for(s, a))
			continue;
		s->remote = *a;
		if (!endpoint_port(a))
			endpoint_set_port(&s->remote, s->spec->port);
		s->tried++;
		return true;
	}
	return false;
}

static void name_address(struct session *s)
{
	char ip[ENDPOINT_SIZE];

	rstr_unref(s->mx);
	rstr_unref(s->mx_ip);
	rstr_unref(s->source_ip);
	endpoint_print(&s->remote, ip);
	s->mx_ip = rstr_new(str_of(ip));
	s->mx = rstr_new(str_of(s->spec->hosts[s->host].name));
	endpoint_print(local_for(s, &s->remote), ip);
	s->source_ip = rstr_new(str_of(ip));
}

/* ---- trying ---- */

static void none_left(struct session *s)
{
	struct session_end e = { .step = s->failed_step,
				 .verdict = s->failed,
				 .reply = rstr_ref(s->failed_reply) };

	if (!s->tried) {
		e.step = STEP_CONNECT;
		e.verdict = client_verdict_lost("4.4.1");
		e.reply = rstr_newf("no host of %s has an address that virtual MTA %s can reach",
				    s->spec->site ? s->spec->site->text : "this site",
				    s->vmta ? s->vmta->text : "?");
	}
	client_end(s, &e);
}

/* Of several addresses the last one's words stand for all; but that one had no TLS says more than
 * that another did not answer. */
static void remember_failed(struct session *s, enum smtp_step step, const struct reply_verdict *v,
			    struct rstr *reply)
{
	if (s->failed_reply && s->failed_step == STEP_TLS && step != STEP_TLS) {
		rstr_unref(reply);
		return;
	}
	rstr_unref(s->failed_reply);
	s->failed_reply = reply;
	s->failed = *v;
	s->failed_step = step;
}

static void tell_failed(struct session *s, enum smtp_step step, const struct reply_verdict *v,
			struct rstr *reply)
{
	struct from_io m = { .type = FROM_IO_ADDRESS_FAILED,
			     .step = (uint8_t)step,
			     .verdict = *v,
			     .address = s->remote,
			     .host = rstr_ref(s->mx),
			     .reply = rstr_ref(reply) };

	s->c->stats.connect_failures++;
	remember_failed(s, step, v, reply);
	client_tell(s, &m);
}

static const char *connect_error(int error)
{
	switch (error) {
	case EADDRNOTAVAIL:
		return "the source address is not on this machine";
	case EMFILE:
	case ENFILE:
		return "no more file descriptors";
	default:
		return io_error_words(error);
	}
}

static bool open_connection(struct session *s)
{
	struct reply_verdict v = client_verdict_lost("4.4.1");
	int error = 0;

	reply_scan_clear(&s->scan);
	client_forget_offers(s);
	client_tls_reset(s);
	s->late_io = NULL;
	s->expect_n = 0;
	s->queued = 0;
	s->c->stats.connects++;
	s->io = io_connect(s->c->loop, local_for(s, &s->remote), &s->remote, client_io_event, s,
			   &error);
	if (s->io) {
		client_enter_state(s, STATE_CONNECT);
		return true;
	}
	tell_failed(s, STEP_CONNECT, &v, rstr_new(str_of(connect_error(error))));
	return false;
}

void client_connect_next(struct session *s)
{
	while (next_address(s)) {
		name_address(s);
		if (open_connection(s))
			return;
	}
	none_left(s);
}

void client_connect_again(struct session *s)
{
	io_close(s->io);
	s->io = NULL;
	if (!open_connection(s))
		client_connect_next(s);
}

void client_address_failed(struct session *s, const struct reply_verdict *v, struct rstr *reply)
{
	tell_failed(s, client_state_words[s->state].step, v, reply);
	if (s->io)
		io_close(s->io);
	s->io = NULL;
	client_connect_next(s);
}

static void leave_address(struct session *s, bool quit)
{
	if (quit)
		io_writez(s->io, "QUIT\r\n");
	io_close_after_flush(s->io, US_PER_S);
	s->io = NULL;
	client_connect_next(s);
}

/* The receiver said no: it is told goodbye, and the next address is tried. */
static void refused(struct session *s, const struct reply *r)
{
	enum smtp_step step = client_state_words[s->state].step;
	struct reply_verdict v;

	classify_from(s->c->classifier, s->spec->patterns_list, step, rstr_str(s->mx), r->text, &v);
	tell_failed(s, step, &v, rstr_new(r->text));
	if (v.pattern && (v.pattern->does.acts & DO_SKIP_MX))
		next_host(s);
	leave_address(s, r->code != 421);
}

void client_address_refused(struct session *s, const struct reply_verdict *v, struct rstr *reply)
{
	tell_failed(s, client_state_words[s->state].step, v, reply);
	leave_address(s, true);
}

/* ---- greeting and EHLO ---- */

void client_connected(struct session *s)
{
	io_set_low_water(s->io, CLIENT_BACKLOG_MAX);
	client_enter_state(s, STATE_GREETING);
	client_expect(s, EXPECT_GREETING, NULL, 1, 0);
}

static void say_hello(struct session *s, const char *verb, enum expect_kind kind)
{
	bool v6 = s->remote.sa.sa_family == AF_INET6;
	struct rstr *name = v6 ? s->spec->ehlo6 : s->spec->ehlo4;
	struct buf *out = &s->c->out;

	buf_clear(out);
	if (name && name->len)
		buf_addf(out, "%s %s\r\n", verb, name->text);
	else
		buf_addf(out, "%s [%s%s]\r\n", verb, v6 ? "IPv6:" : "", rstr_str(s->source_ip).p);
	client_expect(s, kind, NULL, 1, s->queued + out->n);
	client_send(s, buf_str(out));
}

void client_on_greeting(struct session *s, struct slot *k, const struct reply *r)
{
	(void)k;
	if (reply_negative(r)) {
		refused(s, r);
	} else if (!reply_positive(r)) {
		client_protocol_error(s, "wrong code", r->text);
	} else {
		client_say_ehlo(s);
	}
}

void client_say_ehlo(struct session *s)
{
	client_enter_state(s, STATE_EHLO);
	say_hello(s, "EHLO", EXPECT_EHLO);
}

void client_up(struct session *s)
{
	bool ahead = s->pipelining && s->spec->use_rs && s->spec->max_msg_per_connection != 1;
	struct from_io m = { .type = FROM_IO_UP,
			     .address = s->remote,
			     .host = rstr_ref(s->mx),
			     .pipelining = ahead };

	s->up = true;
	client_tell(s, &m);
}

static void offer_size(struct session *s, struct str arg)
{
	s->size = true;
	s->size_max = 0;
	rstr_unref(s->esmtp);
	s->esmtp = NULL;
	for (size_t i = 0; i < arg.n && arg.p[i] >= '0' && arg.p[i] <= '9'; i++) {
		if (s->size_max > UINT64_MAX / 10 - 1) {
			s->size_max = 0; /* beyond any message: no limit */
			return;
		}
		s->size_max = s->size_max * 10 + (uint64_t)(arg.p[i] - '0');
	}
}

static void offer_auth(struct session *s, struct str line)
{
	struct str word;

	while (str_split(&line, ' ', &word)) {
		s->auth_plain |= str_ieqz(word, "PLAIN");
		s->auth_login |= str_ieqz(word, "LOGIN");
	}
}

static void offer(struct session *s, struct str line)
{
	struct str word;

	if (!str_split(&line, ' ', &word))
		return;
	if (str_ieqz(word, "PIPELINING"))
		s->pipelining = s->spec->smtp_pipelining;
	else if (str_ieqz(word, "8BITMIME"))
		s->eightbitmime = true;
	else if (str_ieqz(word, "SMTPUTF8"))
		s->smtputf8 = true;
	else if (str_ieqz(word, "DSN"))
		s->dsn = true;
	else if (str_ieqz(word, "AUTH"))
		offer_auth(s, line);
	else if (str_ieqz(word, "STARTTLS"))
		s->starttls = true;
	else if (str_ieqz(word, "SIZE"))
		offer_size(s, str_trim(line));
}

/* Its first word, while there is room. */
static void note_offer(char words[OFFERS_SHOWN], struct str line)
{
	size_t n = strlen(words), word = 0;

	while (word < line.n && line.p[word] != ' ' && line.p[word] != '=')
		word++;
	if (word && n + word + 2 < OFFERS_SHOWN)
		snprintf(words + n, OFFERS_SHOWN - n, "%s%.*s", n ? "," : "", (int)word, line.p);
}

static void read_offers(struct session *s, struct str text)
{
	struct str line;
	bool first = true;
	char words[OFFERS_SHOWN] = "";

	while (str_split(&text, '\n', &line)) {
		if (!first && line.n > 4) {
			struct str l = str_trim((struct str){ line.p + 4, line.n - 4 });

			offer(s, l);
			note_offer(words, l);
		}
		first = false;
	}
	rstr_unref(s->esmtp);
	s->esmtp = words[0] ? rstr_new(str_of(words)) : NULL;
}

void client_forget_offers(struct session *s)
{
	s->pipelining = s->eightbitmime = s->smtputf8 = s->dsn = s->size = s->starttls = false;
	s->auth_plain = s->auth_login = false;
	s->size_max = 0;
}

void client_on_ehlo(struct session *s, struct slot *k, const struct reply *r)
{
	(void)k;
	client_forget_offers(s);
	if (r->code >= 500) {
		client_enter_state(s, STATE_HELO);
		say_hello(s, "HELO", EXPECT_HELO);
	} else if (reply_negative(r)) {
		refused(s, r);
	} else if (!reply_positive(r)) {
		client_protocol_error(s, "wrong code", r->text);
	} else {
		read_offers(s, r->text);
		client_tls_or_up(s);
	}
}

void client_on_helo(struct session *s, struct slot *k, const struct reply *r)
{
	(void)k;
	if (reply_negative(r))
		refused(s, r);
	else if (!reply_positive(r))
		client_protocol_error(s, "wrong code", r->text);
	else
		client_tls_or_up(s);
}
