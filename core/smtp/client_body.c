/* The message itself: from memory by reference in one go, from a file in chunks that are read ahead
 * while earlier ones leave. MAIL is never begun before the bytes are at hand, so that no receiver
 * waits in DATA for our disk to wake up. */
#include "core/smtp/client_session.h"

#include <stdlib.h>

/* Shorter slices are copied: a reference costs more than the bytes. */
enum { COPY_MAX = 512 };

static void unref_body(void *b)
{
	body_unref(b);
}

/* A chunk of a file, shared by the slices of it that are in the output. */
struct chunk {
	unsigned refs;
	struct buf bytes;
};

static void unref_chunk(void *p)
{
	struct chunk *c = p;

	if (--c->refs)
		return;
	buf_free(&c->bytes);
	free(c);
}

/* Where slices go: to the output, keeping what they lie in alive. */
struct sink {
	struct session *s;
	struct body *body; /* one of the two */
	struct chunk *chunk;
	bool failed;
};

static void emit(void *arg, struct str part)
{
	struct sink *o = arg;

	if (o->failed || !part.n)
		return;
	if (part.n <= COPY_MAX) {
		o->failed = !client_send(o->s, part);
		return;
	}
	o->s->queued += part.n;
	o->s->c->stats.bytes_out += part.n;
	if (o->body) {
		o->failed = !io_write_ref(o->s->io, part, unref_body, body_ref(o->body));
	} else {
		o->chunk->refs++;
		o->failed = !io_write_ref(o->s->io, part, unref_chunk, o->chunk);
	}
}

static void emit_part(struct sink *o, struct slot *k, struct str part, bool dot_line)
{
	if (dot_line) {
		framing_stuff(part, &k->bol, emit, o);
	} else if (part.n) {
		emit(o, part);
		k->bol = part.p[part.n - 1] == '\n';
	}
}

static void write_dot(struct session *s, struct slot *k)
{
	struct str end = framing_end(k->bol);

	k->phase = PHASE_DOT;
	client_expect(s, EXPECT_DOT, k, 1, s->queued + end.n);
	if (!client_send(s, end))
		client_fail(s, true, "out of memory");
}

static void send_memory(struct session *s, struct slot *k, struct body *b)
{
	struct sink o = { .s = s, .body = b };

	emit_part(&o, k, b->head, b->dot_line);
	emit_part(&o, k, b->data, b->dot_line);
	if (o.failed)
		client_fail(s, true, "out of memory");
	else
		write_dot(s, k);
}

/* ---- bodies in files ---- */

static void ask_chunk(struct session *s, struct slot *k)
{
	struct body *b = k->t->body;
	uint64_t from = k->asked;
	size_t n = b->size - from < BODY_CHUNK ? (size_t)(b->size - from) : BODY_CHUNK;

	if (k->reading || k->nchunks == CLIENT_CHUNKS || !n)
		return;
	k->reading = true;
	k->asked += n;
	s->c->env.read_chunk(s->c->env.arg, s->id, k->t->id, body_ref(b), from, n);
}

static void send_chunk(struct session *s, struct slot *k)
{
	struct body *b = k->t->body;
	struct chunk *c = calloc(1, sizeof *c);
	struct sink o = { .s = s, .chunk = c };

	if (!c) {
		client_fail(s, true, "out of memory");
		return;
	}
	*c = (struct chunk){ .refs = 1, .bytes = k->chunk[0] };
	k->chunk[0] = k->chunk[1];
	buf_init(&k->chunk[1]);
	k->nchunks--;
	k->sent += c->bytes.n;
	emit_part(&o, k, buf_str(&c->bytes), b->dot_line);
	unref_chunk(c);
	if (o.failed)
		client_fail(s, true, "out of memory");
}

static void send_file(struct session *s, struct slot *k)
{
	struct body *b = k->t->body;

	while (k->nchunks && io_output_pending(s->io) <= CLIENT_BACKLOG_MAX) {
		send_chunk(s, k);
		if (s->state == STATE_GONE)
			return;
		io_flush(s->io);
	}
	if (k->sent == b->size)
		write_dot(s, k);
	else
		ask_chunk(s, k);
}

bool client_body_ready(struct session *s, struct slot *k)
{
	struct transaction *t = k->t;
	struct body *b;

	if (!t->body && !k->loading && k->phase == PHASE_HELD) {
		k->loading = true;
		s->c->env.load_body(s->c->env.arg, s->id, t->id, t->message, &t->where);
	}
	b = t->body;
	if (!b || k->phase != PHASE_HELD || !client_sign_ready(s, k))
		return false;
	if (body_in_memory(b) || !b->size)
		return true;
	if (k != &s->slot[s->cur])
		return false; /* chunks are read for one transaction at a time */
	ask_chunk(s, k);
	return k->nchunks > 0;
}

void client_body_chunk(struct session *s, struct slot *k, struct buf *chunk)
{
	uint64_t got = k->sent + chunk->n;

	for (int i = 0; i < k->nchunks; i++)
		got += k->chunk[i].n;
	if (got != k->asked) {
		buf_free(chunk);
		client_body_failed(s, k, "its file is shorter than it was");
		return;
	}
	k->chunk[k->nchunks++] = *chunk;
	buf_init(chunk);
	ask_chunk(s, k);
}

void client_body_clear(struct slot *k)
{
	for (int i = 0; i < k->nchunks; i++)
		buf_free(&k->chunk[i]);
	k->nchunks = 0;
	client_sign_clear(k);
}

/* Our fault: no lane may suffer for it, so it counts like a reply about this one recipient. */
void client_body_failed(struct session *s, struct slot *k, const char *error)
{
	struct reply_verdict v = client_verdict_own(CLASS_MAILBOX, "4.3.0", "body");
	struct rstr *words =
	    rstr_newf("the message can't be read: %s", error && *error ? error : "it is not there");

	client_txn_settle(k, 0, k->t->nrcpts, STEP_DATA, &v, words);
	rstr_unref(words);
	if (k->phase == PHASE_HELD)
		k->phase = PHASE_OVER;
	else
		client_fail(s, true, "the message's file can't be read");
}

/* ---- sending ---- */

static void unref_signature(void *g)
{
	signature_unref(g);
}

/* No line of it begins with a dot. */
static bool send_signature(struct session *s, struct slot *k)
{
	struct str header = client_sign_header(k);

	if (!header.n)
		return true;
	s->queued += header.n;
	s->c->stats.bytes_out += header.n;
	return io_write_ref(s->io, header, unref_signature, signature_ref(k->signature));
}

/* In front of the message, once. */
static bool send_head(struct session *s, struct slot *k)
{
	if (k->head_sent)
		return true;
	k->head_sent = true;
	return (!k->ref.n || client_send(s, k->ref)) && send_signature(s, k);
}

void client_body_send(struct session *s, struct slot *k)
{
	struct body *b = k->t->body;

	if (!k->empty && !send_head(s, k)) {
		client_fail(s, true, "out of memory");
		return;
	}
	if (k->empty) {
		/* RFC 2920 3.1: 354 without a recipient; nothing but the end may follow */
		k->bol = true;
		write_dot(s, k);
	} else if (body_in_memory(b)) {
		send_memory(s, k, b);
	} else {
		send_file(s, k);
	}
}

void client_on_dot(struct session *s, struct slot *k, const struct reply *r)
{
	struct reply_verdict v;
	struct rstr *text;

	if (!reply_positive(r) && !reply_negative(r)) {
		client_protocol_error(s, "wrong code", r->text);
		return;
	}
	if (reply_positive(r))
		v = client_verdict_ok(s, r);
	else
		classify_from(s->c->classifier, s->spec->patterns_list, STEP_BODY, rstr_str(s->mx),
			      r->text, &v);
	text = rstr_new(r->text);
	client_txn_settle(k, 0, k->write_at, STEP_BODY, &v, text);
	rstr_unref(text);
	k->phase = PHASE_OVER;
}
