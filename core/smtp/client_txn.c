/* One transaction: MAIL, RCPTs under permits, DATA; and what each recipient gets in the end. A
 * recipient's `tried` says that its result is there; what has none when the transaction ends goes
 * back untried. */
#include <stdio.h>

#include "core/smtp/client_session.h"

/* ---- results ---- */

void client_txn_settle(struct slot *k, uint32_t from, uint32_t to, enum smtp_step step,
		       const struct reply_verdict *v, struct rstr *reply)
{
	for (uint32_t i = from; i < to; i++) {
		struct txn_rcpt *r = &k->t->rcpts[i];

		if (r->tried)
			continue;
		r->tried = true;
		r->step = (uint8_t)step;
		r->verdict = *v;
		r->reply = rstr_ref(reply);
	}
}

static void settle_by_reply(struct session *s, struct slot *k, uint32_t from, uint32_t to,
			    enum smtp_step step, const struct reply *r)
{
	struct rstr *text = rstr_new(r->text);
	struct reply_verdict v;

	classify_from(s->c->classifier, s->spec->patterns_list, step, rstr_str(s->mx), r->text, &v);
	client_txn_settle(k, from, to, step, &v, text);
	rstr_unref(text);
}

static void mark(struct session *s, struct transaction *t)
{
	if (t->started_at)
		return;
	t->started_at = loop_now(s->c->loop);
	t->vmta = rstr_ref(s->vmta);
	t->source_ip = rstr_ref(s->source_ip);
	t->mx = rstr_ref(s->mx);
	t->mx_ip = rstr_ref(s->mx_ip);
	t->tls = rstr_ref(s->tls);
	t->esmtp = rstr_ref(s->esmtp);
}

static void tell_used(struct session *s, struct slot *k)
{
	struct from_io m = { .type = FROM_IO_USED, .n = k->unreported, .number = k->t->id };

	if (!k->unreported)
		return;
	k->unreported = 0;
	client_tell(s, &m);
}

void client_txn_done(struct session *s, struct slot *k)
{
	struct from_io m = { .type = FROM_IO_DONE, .number = k->t->id, .txn = k->t };

	tell_used(s, k);
	if (k->t->started_at)
		k->t->ended_at = loop_now(s->c->loop);
	client_body_clear(k);
	*k = (struct slot){ .t = NULL };
	client_tell(s, &m);
}

bool client_txn_over(struct session *s)
{
	struct slot *k = &s->slot[s->cur];

	if (!k->t || k->phase != PHASE_OVER || k->pending)
		return false;
	s->finished += k->mail_answered;
	client_txn_done(s, k);
	if (s->slot[!s->cur].t)
		s->cur = !s->cur;
	return true;
}

/* Only the current transaction is concerned when a session ends, and only if the receiver had a
 * chance to answer its MAIL: one that was written ahead goes back untried, although its RCPTs count
 * as used. Where no RCPT was written (no PIPELINING), what ended the session is the answer to MAIL
 * and so to all recipients: going back untried they would come again at once, for ever. */
void client_txn_lost(struct session *s, struct slot *k, bool current, const struct session_end *e)
{
	struct transaction *t = k->t;
	bool twice;

	if (!s->up && (e->step == STEP_TLS ||
		       e->step == STEP_AUTH)) { /* this mail can't go there now, whoever asks */
		mark(s, t);
		client_txn_settle(k, 0, t->nrcpts, e->step, &e->verdict, e->reply);
		return;
	}
	if (k->phase == PHASE_HELD || !current || e->polite)
		return;
	twice = k->phase == PHASE_DOT && !k->empty && !e->answered && client_dot_left(s);
	for (uint32_t i = 0; twice && i < k->write_at; i++)
		t->rcpts[i].maybe_twice |= !t->rcpts[i].tried;
	client_txn_settle(k, 0, k->written ? k->write_at : t->nrcpts, e->step, &e->verdict,
			  e->reply);
}

/* ---- may it be sent here? ---- */

/* No control bytes: what came from disk must not become a command of its own. */
static bool safe(struct str s, char least)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < (unsigned char)least || s.p[i] == 0x7F)
			return false;
	return true;
}

static void refuse_unsafe(struct slot *k)
{
	struct reply_verdict v = client_verdict_own(CLASS_PERMANENT, "5.1.3", "address");
	struct rstr *words = rstr_new(STR_LIT("the address holds control characters"));
	bool sender = safe(k->t->sender, ' ');

	k->left = 0;
	for (uint32_t i = 0; i < k->t->nrcpts; i++) {
		if (sender && k->t->rcpts[i].address.n && safe(k->t->rcpts[i].address, ' '))
			k->left++;
		else
			client_txn_settle(k, i, i + 1, STEP_RCPT, &v, words);
	}
	rstr_unref(words);
	if (!k->left)
		k->phase = PHASE_OVER;
}

static void refuse_suppressed(struct slot *k, uint32_t i, const struct suppression_found *f)
{
	struct reply_verdict v = client_verdict_own(CLASS_PERMANENT, "5.1.1", "suppressed");
	char since[CLOCK_RFC3339_SIZE];
	struct rstr *words;

	bool harms = strcmp(f->category, "spam-related") == 0;

	/* It is not the receiver's word: neither is anything new learned of the address, nor does
	 * it count against anybody's reputation. */
	v.hard = false;
	snprintf(v.category, sizeof v.category, "%s",
		 f->category[0] && !harms ? f->category : "other");
	clock_rfc3339(f->e.at, since);
	words = rstr_newf("not sent: the address is on the suppression list (%s since %.10s)%s%s",
			  suppress_why_name(f->e.why), since, f->words[0] ? ": " : "", f->words);
	client_txn_settle(k, i, i + 1, STEP_RCPT, &v, words);
	k->t->rcpts[i].suppressed = true;
	k->left--;
	rstr_unref(words);
}

/* Looked at when it is handed out: what came onto the list while the mail was queued counts, too.
 */
static void ask_suppression(struct session *s, struct slot *k)
{
	const struct client *c = s->c;
	struct suppression_found f;

	if (!c->env.suppressed || !c->conf ||
	    c->conf->suppression.check != CONF_SUPPRESS_AT_SENDING || k->phase == PHASE_OVER)
		return;
	for (uint32_t i = 0; i < k->t->nrcpts; i++) {
		struct txn_rcpt *r = &k->t->rcpts[i];

		if (!r->tried && c->env.suppressed(c->env.arg, k->t->sender, r->address, &f))
			refuse_suppressed(k, i, &f);
	}
	if (!k->left)
		k->phase = PHASE_OVER;
}

void client_permits_seen(struct session *s, struct slot *k)
{
	us_t late;

	if (!k->t || !k->t->permits || k->t->permit_until == US_NEVER)
		return;
	late = loop_now_exact(s->c->loop) - k->t->permit_until;
	k->late = late > 0 ? late : 0;
}

void client_txn_hold(struct session *s, struct slot *k, struct transaction *t)
{
	*k = (struct slot){ .t = t, .bol = true };
	client_permits_seen(s, k);
	refuse_unsafe(k);
	ask_suppression(s, k);
	if (k->phase == PHASE_HELD && (!t->body || t->dkim_sign))
		client_body_ready(s, k); /* asked for, or signed, while the connection comes up */
}

static uint64_t bytes_to_send(const struct slot *k)
{
	return ((const struct body *)k->t->body)->size + client_sign_header(k).n + k->ref.n;
}

/* The return path and reference of this transaction are known, once it is known who sends it.
 * False: the session is gone. */
static bool marked(struct session *s, struct slot *k)
{
	const struct client_env *env = &s->c->env;

	if (k->marked || !env->mark)
		return true;
	k->marked = env->mark(env->arg, k->t, rstr_str(s->vmta), &k->path, &k->ref);
	if (!k->marked)
		client_fail(s, true, "out of memory");
	return k->marked;
}

/* NULL, or why this receiver can't have the message; the verdict is permanent. */
static struct rstr *refusal(const struct session *s, const struct slot *k, struct reply_verdict *v)
{
	const struct body *b = k->t->body;
	const char *mx = rstr_str(s->mx).p;
	uint64_t size = bytes_to_send(k);

	if (s->size_max && size > s->size_max) {
		*v = client_verdict_own(CLASS_PERMANENT, "5.3.4", "size");
		return rstr_newf("the message has %llu bytes, %s takes at most %llu",
				 (unsigned long long)size, mx, (unsigned long long)s->size_max);
	}
	if (k->t->smtputf8 && !s->smtputf8) {
		*v = client_verdict_own(CLASS_PERMANENT, "5.6.7", "smtputf8");
		return rstr_newf("the message needs SMTPUTF8, which %s does not offer", mx);
	}
	if (b->eightbit && !s->eightbitmime && s->spec->eightbit == EIGHTBIT_BOUNCE) {
		*v = client_verdict_own(CLASS_PERMANENT, "5.6.3", "eightbit");
		return rstr_newf("the message has 8-bit bytes, and %s does not offer 8BITMIME", mx);
	}
	return NULL;
}

static bool refused_here(struct session *s, struct slot *k)
{
	struct reply_verdict v;
	struct rstr *why = refusal(s, k, &v);

	if (!why)
		return false;
	mark(s, k->t);
	client_txn_settle(k, 0, k->t->nrcpts, STEP_MAIL, &v, why);
	rstr_unref(why);
	k->phase = PHASE_OVER;
	return true;
}

/* ---- permits ---- */

/* True if so much is unsent that an RCPT written now would not leave now. */
static bool backlog(struct session *s)
{
	if (io_output_pending(s->io) <= CLIENT_BACKLOG_MAX)
		return false;
	io_flush(s->io);
	return io_output_pending(s->io) > CLIENT_BACKLOG_MAX;
}

static void ask(struct session *s, struct slot *k)
{
	struct from_io m = {
		.type = FROM_IO_ASK, .n = k->left, .number = k->t->id, .late = k->late
	};

	tell_used(s, k);
	k->t->permits = 0;
	k->late = 0;
	k->asking = true;
	client_tell(s, &m);
}

/* Permits are in hand, and their time is to come: the session looks again then. */
static bool early(struct session *s, const struct slot *k)
{
	const struct transaction *t = k->t;

	if (t->permit_until == US_NEVER || !t->permits || k->asking ||
	    loop_now_exact(s->c->loop) >= t->permit_from)
		return false;
	if (!timer_set(s->c->loop, &s->permit, t->permit_from))
		client_fail(s, true, "out of memory");
	return true;
}

/* How many RCPTs may be written at this moment, which is not too early. */
static uint32_t permitted(struct session *s, struct slot *k)
{
	struct transaction *t = k->t;

	if (t->permit_until == US_NEVER)
		return k->left;
	if (k->asking || !t->permits || loop_now_exact(s->c->loop) > t->permit_until)
		return 0;
	return t->permits < k->left ? t->permits : k->left;
}

static uint32_t permitted_or_ask(struct session *s, struct slot *k)
{
	uint32_t n;

	if (k->t->permit_until != US_NEVER && backlog(s))
		return 0; /* IO_DRAINED comes */
	if (early(s, k))
		return 0;
	n = permitted(s, k);
	if (!n && !k->asking)
		ask(s, k);
	return n;
}

/* ---- commands ---- */

static void put_mail(struct session *s, struct slot *k, struct buf *out)
{
	static const char *const ret[] = { "", " RET=FULL", " RET=HDRS" };
	const struct transaction *t = k->t;
	const struct body *b = t->body;

	buf_adds(out, STR_LIT("MAIL FROM:<"));
	buf_adds(out, k->path.n ? k->path : t->sender);
	buf_addc(out, '>');
	if (s->size)
		buf_addf(out, " SIZE=%llu", (unsigned long long)bytes_to_send(k));
	if (b->eightbit && s->eightbitmime)
		buf_adds(out, STR_LIT(" BODY=8BITMIME"));
	if (t->smtputf8)
		buf_adds(out, STR_LIT(" SMTPUTF8"));
	if (s->dsn && (t->ret == RET_FULL || t->ret == RET_HDRS))
		buf_addz(out, ret[t->ret]);
	if (s->dsn && t->envid.n && safe(t->envid, '!')) {
		buf_adds(out, STR_LIT(" ENVID="));
		buf_adds(out, t->envid);
	}
	buf_adds(out, STR_LIT("\r\n"));
	client_expect(s, EXPECT_MAIL, k, 1, s->queued + out->n);
	mark(s, k->t);
	s->started++;
	k->t->dsn_passed = s->dsn;
	k->phase = PHASE_ENVELOPE;
}

static void put_dsn(const struct txn_rcpt *r, struct buf *out)
{
	static const struct {
		uint8_t bit;
		const char *word;
	} words[] = { { NOTIFY_SUCCESS, "SUCCESS" },
		      { NOTIFY_FAILURE, "FAILURE" },
		      { NOTIFY_DELAY, "DELAY" } };
	const char *sep = " NOTIFY=";

	if (r->notify & NOTIFY_NEVER)
		buf_adds(out, STR_LIT(" NOTIFY=NEVER"));
	for (size_t i = 0; i < 3 && !(r->notify & NOTIFY_NEVER); i++) {
		if (!(r->notify & words[i].bit))
			continue;
		buf_addz(out, sep);
		buf_addz(out, words[i].word);
		sep = ",";
	}
	if (r->orcpt.n && safe(r->orcpt, '!')) {
		buf_adds(out, STR_LIT(" ORCPT="));
		buf_adds(out, r->orcpt);
	}
}

static void put_rcpt(struct session *s, const struct txn_rcpt *r, struct buf *out)
{
	buf_adds(out, STR_LIT("RCPT TO:<"));
	buf_adds(out, r->address);
	buf_addc(out, '>');
	if (s->dsn)
		put_dsn(r, out);
	buf_adds(out, STR_LIT("\r\n"));
}

/* The next n recipients that have no result yet. */
static void put_rcpts(struct session *s, struct slot *k, uint32_t n, struct buf *out)
{
	struct transaction *t = k->t;
	uint64_t end = 0;

	for (uint32_t done = 0; done < n; k->write_at++) {
		if (t->rcpts[k->write_at].tried)
			continue;
		put_rcpt(s, &t->rcpts[k->write_at], out);
		if (!done++)
			end = s->queued + out->n;
	}
	client_expect(s, EXPECT_RCPT, k, n, end);
	k->written += n;
	k->left -= n;
	s->c->stats.attempts += n;
	if (t->permit_until != US_NEVER) {
		t->permits -= n;
		k->unreported += n;
	}
}

static void put_data(struct session *s, struct slot *k, struct buf *out)
{
	buf_adds(out, STR_LIT("DATA\r\n"));
	client_expect(s, EXPECT_DATA, k, 1, s->queued + out->n);
	k->phase = PHASE_DATA;
}

static void put_rset(struct session *s, struct buf *out)
{
	buf_adds(out, STR_LIT("RSET\r\n"));
	client_expect(s, EXPECT_RSET, NULL, 1, s->queued + out->n);
	s->need_rset = false;
}

static void send_commands(struct session *s, struct slot *k, struct buf *out)
{
	if (buf_failed(out) || !client_send(s, buf_str(out)))
		client_fail(s, true, "out of memory");
	else
		tell_used(s, k);
}

/* ---- the way through ---- */

/* MAIL and all that may follow it now. */
static void begin(struct session *s, struct slot *k, uint32_t n)
{
	struct buf *out = &s->c->out;

	buf_clear(out);
	if (s->need_rset)
		put_rset(s, out);
	if (s->pipelining || !s->expect_n)
		put_mail(s, k, out);
	if (s->pipelining)
		put_rcpts(s, k, n, out);
	if (s->pipelining && !k->left)
		put_data(s, k, out);
	send_commands(s, k, out);
}

static bool advance_held(struct session *s, struct slot *k)
{
	uint32_t n;

	if (!s->pipelining && s->expect_n)
		return false;
	if (!client_body_ready(s, k))
		return k->phase == PHASE_OVER;
	if (!marked(s, k))
		return false;
	if (refused_here(s, k))
		return true;
	n = permitted_or_ask(s, k);
	if (!n)
		return false;
	begin(s, k, n);
	return s->state != STATE_GONE && k->left > 0;
}

/* All RCPTs are out that will be: DATA, if anybody may still want it. */
static bool close_envelope(struct session *s, struct slot *k)
{
	struct buf *out = &s->c->out;

	if (k->pending && !s->pipelining)
		return false;
	if (!k->pending && !k->accepted) {
		k->phase = PHASE_OVER;
		s->need_rset = k->mail_ok;
		return true;
	}
	buf_clear(out);
	put_data(s, k, out);
	send_commands(s, k, out);
	return false;
}

static bool advance_envelope(struct session *s, struct slot *k)
{
	struct buf *out = &s->c->out;
	uint32_t n;

	if (k->stop || !k->left)
		return close_envelope(s, k);
	if (s->pipelining ? client_expect_room(s) < EXPECT_RESERVE : s->expect_n > 0)
		return false;
	n = permitted_or_ask(s, k);
	if (!n)
		return false;
	buf_clear(out);
	put_rcpts(s, k, s->pipelining ? n : 1, out);
	if (s->pipelining && !k->left)
		put_data(s, k, out);
	send_commands(s, k, out);
	return s->state != STATE_GONE && k->left > 0;
}

bool client_txn_advance(struct session *s, struct slot *k)
{
	switch (k->phase) {
	case PHASE_HELD:
		return advance_held(s, k);
	case PHASE_ENVELOPE:
		return advance_envelope(s, k);
	case PHASE_BODY:
		client_body_send(s, k);
		return k->phase == PHASE_DOT;
	case PHASE_DOT:
		client_txn_ahead(s);
		return false;
	case PHASE_OVER:
		return client_txn_over(s);
	case PHASE_DATA:
		break;
	}
	return false;
}

/* What is written ahead can't be recalled any more, so it must be able to leave at once. */
void client_txn_ahead(struct session *s)
{
	struct slot *k = &s->slot[!s->cur];
	struct reply_verdict v;
	struct rstr *why;

	if (!k->t || k->phase != PHASE_HELD || !s->pipelining || s->need_rset || client_used_up(s))
		return;
	if (!k->t->body || !body_in_memory(k->t->body) || !client_body_ready(s, k) || backlog(s) ||
	    early(s, k) || permitted(s, k) < k->left)
		return;
	if (!marked(s, k))
		return;
	why = refusal(s, k, &v);
	rstr_unref(why);
	if (!why)
		begin(s, k, k->left);
}

/* ---- replies ---- */

void client_on_rset(struct session *s, struct slot *k, const struct reply *r)
{
	(void)k;
	if (!reply_positive(r))
		client_protocol_error(s, "wrong code",
				      r->text); /* what the receiver still remembers is unknown */
}

void client_on_mail(struct session *s, struct slot *k, const struct reply *r)
{
	k->mail_answered = true;
	if (reply_positive(r)) {
		k->mail_ok = true;
	} else if (reply_negative(r)) {
		settle_by_reply(s, k, 0, k->t->nrcpts, STEP_MAIL, r);
		k->stop = true;
		if (k->phase == PHASE_ENVELOPE)
			k->phase = PHASE_OVER;
	} else {
		client_protocol_error(s, "wrong code", r->text);
	}
}

void client_on_rcpt(struct session *s, struct slot *k, const struct reply *r)
{
	uint32_t i = k->answer_at;

	while (k->mail_ok && k->t->rcpts[i].tried)
		i++; /* had a result before it could be written */
	k->answer_at = i + 1;
	if (reply_positive(r))
		k->accepted++;
	else if (reply_negative(r))
		settle_by_reply(s, k, i, i + 1, STEP_RCPT, r);
	else
		client_protocol_error(s, "wrong code", r->text);
}

void client_on_data(struct session *s, struct slot *k, const struct reply *r)
{
	if (r->code == 354 && (k->mail_ok || !k->accepted)) {
		k->empty = !k->accepted;
		k->phase = PHASE_BODY;
	} else if (reply_negative(r)) {
		settle_by_reply(s, k, 0, k->write_at, STEP_DATA, r);
		k->phase = PHASE_OVER;
		s->need_rset = k->mail_ok;
	} else {
		client_protocol_error(s, "wrong code", r->text); /* also: MAIL refused, but RCPT and
				     DATA taken; an empty body would reach somebody */
	}
}
