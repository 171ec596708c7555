/* STARTTLS as a client (RFC 3207). Where mail may go in plain, TLS is used if it can be had: broken
 * TLS is remembered and the address tried again without. Where it may not, an address without TLS
 * is no address, and the reason is told as such. */
#include "core/smtp/client_session.h"

#include <stdio.h>

#include "core/base/log.h"

static uint64_t address_hash(const struct endpoint *e)
{
	if (e->sa.sa_family == AF_INET6)
		return hash_bytes(&e->in6.sin6_addr, sizeof e->in6.sin6_addr) ^ e->in6.sin6_port;
	return hash_bytes(&e->in4.sin_addr, sizeof e->in4.sin_addr) ^ e->in4.sin_port;
}

/* Addresses whose TLS failed, for all io threads: half of the hash, and until which second. One
 * atomic word each, so that nothing is locked; a collision forgets the older address, whose TLS is
 * then tried once more. */
enum { BROKEN = 512 };
#define BROKEN_FOR (30 * US_PER_MIN) /* then it is tried again */
static uint64_t broken[BROKEN];

static uint64_t *broken_slot(uint64_t hash)
{
	return &broken[hash % BROKEN];
}

static bool is_broken(const struct session *s)
{
	uint64_t hash = address_hash(&s->remote);
	uint64_t v = __atomic_load_n(broken_slot(hash), __ATOMIC_RELAXED);

	return v >> 32 == hash >> 32 && (us_t)(uint32_t)v * US_PER_S > loop_now(s->c->loop);
}

static void remember_broken(const struct session *s)
{
	uint64_t hash = address_hash(&s->remote);
	us_t until = loop_now(s->c->loop) + BROKEN_FOR;

	__atomic_store_n(broken_slot(hash), hash >> 32 << 32 | (uint32_t)(until / US_PER_S),
			 __ATOMIC_RELAXED);
}

static bool verifies(const struct session *s)
{
	return s->spec->starttls == STARTTLS_VERIFY;
}

static bool wanted(const struct session *s)
{
	return s->spec->starttls != STARTTLS_NO || s->spec->tls_needed;
}

void client_tls_reset(struct session *s)
{
	rstr_unref(s->tls);
	s->tls = NULL;
	s->start_tls = false;
	s->in_plain = !s->spec->tls_needed && is_broken(s);
}

/* The connection stands; only TLS is missing. */
static void missing(struct session *s, struct rstr *words)
{
	struct reply_verdict v = client_verdict_own(CLASS_CONNECTION, "4.7.10", "tls");

	client_enter_state(s, STATE_STARTTLS);
	client_address_refused(s, &v, words);
}

static const struct tls_context *context(const struct session *s)
{
	return s->c->conf ? tls_for_client(s->c->conf, verifies(s)) : NULL;
}

void client_tls_or_up(struct session *s)
{
	static const struct str command = { "STARTTLS\r\n", 10 };
	bool possible = s->starttls && !s->in_plain && context(s);

	if (s->tls || !wanted(s) || (!possible && !s->spec->tls_needed)) {
		client_auth_or_up(s);
	} else if (!possible) {
		missing(s, rstr_newf("TLS is required, and %s does not offer STARTTLS",
				     rstr_str(s->mx).p));
	} else {
		client_enter_state(s, STATE_STARTTLS);
		client_expect(s, EXPECT_STARTTLS, NULL, 1, s->queued + command.n);
		client_send(s, command);
	}
}

void client_on_starttls(struct session *s, struct slot *k, const struct reply *r)
{
	(void)k;
	if (r->code == 220)
		s->start_tls = true; /* when this reply is consumed: client_tls_begin */
	else if (!reply_negative(r))
		client_protocol_error(s, "wrong code", r->text);
	else if (s->spec->tls_needed)
		missing(s, rstr_newf("TLS is required, and %s refuses STARTTLS: %.*s",
				     rstr_str(s->mx).p, (int)r->text.n, r->text.p));
	else if (r->code == 421)
		client_protocol_error(s, "closing", r->text);
	else
		client_auth_or_up(s);
}

static uint64_t cache_key(const struct session *s)
{
	struct str mx = rstr_str(s->mx);
	uint64_t policy = (uint64_t)s->spec->tls_min * 2 + verifies(s);

	return hash_bytes(mx.p, mx.n) ^ (address_hash(&s->remote) * 0x9E3779B97F4A7C15u) ^
	       (policy << 56);
}

void client_tls_begin(struct session *s, bool more)
{
	struct tls_client_opts o = { .name = rstr_str(s->mx).p,
				     .verify = verifies(s),
				     .min = s->spec->tls_min,
				     .cache = s->c->tls_cache,
				     .cache_key = cache_key(s) };
	struct tls_context *ctx = tls_for_client(s->c->conf, verifies(s));

	s->start_tls = false;
	if (more) {
		client_protocol_error(s, "bytes stand behind the reply to STARTTLS",
				      io_input(s->io));
		return;
	}
	client_enter_state(s, STATE_TLS);
	if (!io_start_tls_client(s->io, ctx, &o))
		client_tls_failed(s, "TLS can't be begun: no memory");
}

void client_tls_established(struct session *s)
{
	rstr_unref(s->tls);
	s->tls = rstr_newf("%s %s", io_tls_version(s->io), io_tls_cipher(s->io));
	if (!s->tls) {
		client_tls_failed(s, "no memory");
		return;
	}
	log_debug("session %llx: %s%s%s", (unsigned long long)s->id, s->tls->text,
		  verifies(s) ? ", verified" : "", io_tls_resumed(s->io) ? ", resumed" : "");
	client_forget_offers(s);
	reply_scan_clear(&s->scan);
	client_say_ehlo(s);
}

void client_tls_failed(struct session *s, const char *error)
{
	struct reply_verdict v = client_verdict_own(CLASS_CONNECTION, "4.7.5", "tls");
	struct rstr *words;

	if (!s->spec->tls_needed) {
		remember_broken(s);
		log_debug("session %llx: %s: without TLS", (unsigned long long)s->id, error);
		client_connect_again(s);
		return;
	}
	words = rstr_newf("%s (TLS is required by the configuration)", error);
	client_address_failed(s, &v, words);
}
