/* DATA and BDAT (RFC 5321 4.1.1.4, RFC 3030): the message's bytes go from the socket straight into
 * the buffer that the spool writes and the client sends. A message over IN_MEMORY_MAX goes to a
 * worker in chunks while it arrives. */
#include <inttypes.h>
#include <stdlib.h>

#include "core/smtp/server_session.h"

enum {
	ROOM_FIRST = 16 * 1024, /* most mail fits into it */
	ROOM_LEAST = 4 * 1024,
	ROOM_DECLARED_MAX =
	    64 * 1024,	      /* a SIZE= is believed up to here; the rest comes with the bytes */
	DECLARED_SLACK = 512, /* stuffing dots, the terminator */
	LAST_CRLF = 2,	      /* kept free for data_scan_last */
	SHRINK_HEAD = 64,     /* the same of the head, which nobody charges */
	SHRINK_MIN = 256,     /* memory that is worth giving back before a body is sealed */
	DROPPED_MAX = 64 * 1024 * 1024, /* of a refused message; who sends more is cut off */
	MIN_BYTES_PER_S = 2048		/* over the whole message, beyond the first times.data */
};

static const char no_memory[] = "452 4.3.1 Out of memory for new mail, try again later";
static const char too_big[] = "552 5.3.4 Message too big";
static const char large_failed[] = "451 4.3.0 The message cannot be written now, try again later";

/* ---- room ---- */

static void give_back(struct session *s, uint64_t bytes)
{
	s->charged -= bytes;
	body_budget_give(bytes);
}

static bool charge(struct session *s, uint64_t bytes)
{
	if (s->prepaid >= bytes) {
		give_back(s, s->prepaid - bytes);
		s->prepaid = 0;
		return true;
	}
	if (s->srv->for_memory.first || !body_budget_take(bytes))
		return false; /* in order: others wait already */
	s->charged += bytes;
	return true;
}

enum room { ROOM_OK, ROOM_WAIT, ROOM_NONE };

/* Room for `cap` bytes (a power of two) in b; it is charged before it is allocated. */
static enum room grow(struct session *s, struct buf *b, size_t cap)
{
	size_t more = cap - b->cap;

	if (!charge(s, more)) {
		s->wanted = more;
		return wait_for(s, WAIT_MEMORY) ? ROOM_WAIT : ROOM_NONE;
	}
	s->waited_out = false;
	if (buf_reserve(b, cap - b->n))
		return ROOM_OK;
	give_back(s, more);
	return ROOM_NONE;
}

static void set_room(struct session *s)
{
	s->room = s->data.cap - (s->scan.chunks ? LAST_CRLF : 0);
	if (!s->large && s->room > IN_MEMORY_MAX)
		s->room = IN_MEMORY_MAX;
}

static size_t first_room(const struct session *s)
{
	size_t want = s->declared_size ? s->declared_size + DECLARED_SLACK : ROOM_FIRST;
	size_t cap = ROOM_LEAST;

	while (cap < want && cap < ROOM_DECLARED_MAX)
		cap *= 2;
	return cap;
}

/* ---- refusals while bytes arrive ---- */

static void large_drop(struct session *s)
{
	if (s->large)
		s->srv->env.large_abort(s->srv->env.arg, s->id);
	while (s->owed_n)
		give_back(s, s->owed[--s->owed_n]);
	s->large = s->large_created = s->large_finishing = false;
}

static void tell_refused(struct session *s, const char *reply)
{
	s->srv->stats.refused++;
	tell_rejected(s, s->m->sender, STR_LIT(""), reply);
}

/* The rest of a chunk is read and dropped, then `reply` is said; the session goes on in state
 * `back`. */
static void skip_chunk(struct session *s, uint64_t left, const char *reply, enum server_state back)
{
	s->refusal = reply;
	s->chunk_size = s->chunk_left = left;
	s->chunk_back = back;
	s->data_since = loop_now(s->srv->loop);
	enter_state(s, SV_SKIP);
}

/* Refuses the message that is being received; the reply comes when the peer has sent all of it. */
static void refuse_message(struct session *s, const char *reply)
{
	tell_refused(s, reply);
	if (s->state == SV_CHUNK) {
		enum server_state back = s->chunk_last ? SV_READY : SV_BDAT_REFUSED;
		uint64_t left = s->chunk_left;

		tx_reset(s);
		skip_chunk(s, left, reply, back);
		return;
	}
	large_drop(s);
	s->refusal = reply;
	data_scan_taken(&s->scan, &s->data);
	s->judged = s->data.n;
}

/* The message is here and refused. */
static void end_refused(struct session *s, const char *reply)
{
	tx_reset(s);
	enter_state(s, SV_READY);
	say(s, reply);
}

/* ---- large messages ---- */

static void large_write(struct session *s, struct buf *chunk)
{
	s->owed[s->owed_n++] = chunk == &s->large_head ? 0 : chunk->cap;
	s->srv->env.large_write(s->srv->env.arg, s->id, chunk);
	buf_init(chunk);
}

static void large_begin(struct session *s)
{
	const char *no = header_finish(s, &s->large_head, false);

	if (no) {
		refuse_message(s, no);
		return;
	}
	s->large = true;
	set_room(s);
	wait_for(s, WAIT_LARGE);
	s->srv->env.large_create(s->srv->env.arg, s->id, s->m->id);
}

/* The full buffer goes to the worker; what the scan holds back of it begins the next one. */
static enum room next_chunk(struct session *s)
{
	struct buf next;
	enum room res;

	if (!s->large_created || s->owed_n == LARGE_OUTSTANDING) {
		wait_for(s, WAIT_LARGE);
		return ROOM_WAIT;
	}
	buf_init(&next);
	res = grow(s, &next, BODY_CHUNK);
	if (res != ROOM_OK)
		return res;
	buf_add(&next, s->data.p + s->scan.clean, s->data.n - s->scan.clean);
	s->data.n = s->scan.clean;
	large_write(s, &s->data);
	s->data = next;
	s->scan.clean = 0;
	s->judged = next.n;
	set_room(s);
	return ROOM_OK;
}

/* The buffer is full: afterwards there is room, or the session waits, or the message is refused. */
static void make_room(struct session *s)
{
	enum room res = ROOM_OK;

	if (s->large) {
		res = next_chunk(s);
	} else if (s->data.cap < BODY_MEMORY_MAX) {
		res = grow(s, &s->data, s->data.cap * 2);
		set_room(s);
	} else {
		large_begin(s);
	}
	if (res == ROOM_NONE)
		say_and_close(s, no_memory);
}

/* ---- the end of a message ---- */

static void submit(struct session *s)
{
	struct message *m = s->m;

	m->eightbit = s->scan.eightbit;
	s->queued_id = m->id;
	s->queued_rcpts = m->nrcpts;
	/* What the spool has now is no longer this transaction's. */
	s->m = NULL;
	s->credit = false;
	s->large = false;
	tx_reset(s);
	wait_for(s, WAIT_COMMIT);
	s->srv->env.submit(s->srv->env.arg, s->id, m);
}

/* Bodies stay in memory for a while: those whose buffer is much too big give the rest back. */
static void shrink(struct session *s)
{
	size_t n = s->data.n ? s->data.n : 1, spare = s->data.cap - n;
	char *p = spare >= SHRINK_MIN ? realloc(s->data.p, n) : NULL;

	if (!p)
		return;
	s->data.p = p;
	s->data.cap = n;
	give_back(s, spare);
}

static void shrink_head(struct buf *head)
{
	char *p = head->n && head->cap - head->n >= SHRINK_HEAD ? realloc(head->p, head->n) : NULL;

	if (!p)
		return;
	head->p = p;
	head->cap = head->n;
}

static void seal(struct session *s)
{
	struct buf head;
	const char *no;

	buf_init(&head);
	no = header_finish(s, &head, true);
	if (!no) {
		shrink(s);
		shrink_head(&head);
		s->m->body = body_new_memory(&head, &s->data, s->charged, s->scan.dot_line,
					     s->scan.eightbit);
		no = s->m->body ? NULL : no_memory;
	}
	if (no) {
		buf_free(&head);
		tell_refused(s, no);
		end_refused(s, no);
		return;
	}
	s->charged = 0; /* the body's now */
	submit(s);
}

/* The last chunk, then the worker's sync. False: there is nothing to do but wait. */
static bool large_end(struct session *s)
{
	if (!s->large_created || s->owed_n == LARGE_OUTSTANDING) {
		wait_for(s, WAIT_LARGE);
		return false;
	}
	if (s->data.n) {
		large_write(s, &s->data);
		return true;
	}
	s->large_finishing = true;
	wait_for(s, WAIT_LARGE);
	s->srv->env.large_finish(s->srv->env.arg, s->id, s->scan.dot_line, s->scan.eightbit);
	return true;
}

static void message_end(struct session *s)
{
	if (s->refusal) {
		end_refused(s, s->refusal);
		return;
	}
	if (s->scan.total > (uint64_t)s->size_limit) {
		tell_refused(s, too_big);
		end_refused(s, too_big);
		return;
	}
	enter_state(s, SV_COMMIT);
	if (!s->large)
		seal(s);
}

static void chunk_end(struct session *s)
{
	enum data_result res;

	if (!s->chunk_last) {
		enter_state(s, SV_BDAT);
		sayf(s, "250 2.0.0 %" PRIu64 " octets received", s->chunk_size);
		return;
	}
	res = data_scan_last(&s->scan, &s->data);
	if (res == DATA_BAD)
		close_for_bytes(s, "554 5.5.2 The message ends in a bare CR");
	else if (res == DATA_MORE)
		say_and_close(s, no_memory);
	else
		message_end(s);
}

/* ---- receiving ---- */

/* Moves what came behind the command into the message. */
static void take_input(struct session *s)
{
	struct str in = session_input(s);
	size_t n, max;

	if (!in.n)
		return;
	data_sink(s, &max);
	n = max - s->data.n < in.n ? max - s->data.n : in.n;
	buf_add(&s->data, in.p, n); /* there is room */
	session_consume(s, n);
}

/* What followed the message is commands again. */
static bool put_back(struct session *s, struct str after)
{
	if (!after.n)
		return true;
	if (s->in_off < s->in.n) { /* it was just taken from there, and more is left */
		s->in_off -= after.n;
		return true;
	}
	return buf_adds(&s->in, after);
}

static void receive_more(struct session *s)
{
	if (s->refusal) {
		data_scan_taken(&s->scan, &s->data);
		s->judged = s->data.n;
		if (s->scan.total > (uint64_t)s->size_limit + DROPPED_MAX)
			say_and_close(s, s->refusal);
	} else if (s->scan.total > (uint64_t)s->size_limit) {
		refuse_message(s, too_big);
	} else if (s->state == SV_CHUNK && !s->chunk_left) {
		chunk_end(s);
	}
}

static bool receive(struct session *s)
{
	enum data_result res;
	struct str after;
	size_t fresh;

	take_input(s);
	fresh = s->data.n - s->judged;
	if (!fresh && (s->state == SV_DATA || s->chunk_left)) {
		if (s->data.n < s->room)
			return false;
		make_room(s);
		return true;
	}
	if (s->state == SV_CHUNK)
		s->chunk_left -= fresh;
	res = data_scan(&s->scan, &s->data, &after);
	s->judged = s->data.n;
	if (res == DATA_BAD)
		close_for_bytes(s, "554 5.5.2 Bare CR, bare LF or NUL in the message");
	else if (res == DATA_LINE_TOO_LONG)
		say_and_close(s, "554 5.6.0 A line is longer than 1 MB");
	else if (res == DATA_MORE)
		receive_more(s);
	else if (!put_back(s, after))
		say_and_close(s, "421 4.3.0 Out of memory");
	else
		message_end(s);
	return true;
}

static bool skip(struct session *s)
{
	size_t n = session_input(s).n;
	const char *reply = s->refusal;

	if (n > s->chunk_left)
		n = (size_t)s->chunk_left;
	session_consume(s, n);
	s->chunk_left -= n;
	if (s->chunk_left)
		return false;
	s->refusal = NULL;
	enter_state(s, s->chunk_back);
	say_error(s, reply);
	return true;
}

bool data_step(struct session *s)
{
	if (s->state == SV_SKIP)
		return skip(s);
	return s->state == SV_COMMIT ? large_end(s) : receive(s);
}

struct buf *data_sink(struct session *s, size_t *max)
{
	*max = s->room;
	if (s->state == SV_CHUNK && s->data.n + s->chunk_left < *max)
		*max = s->data.n + (size_t)s->chunk_left;
	return &s->data;
}

us_t data_deadline(const struct session *s)
{
	uint64_t bytes = s->state == SV_SKIP ? s->chunk_size - s->chunk_left : s->scan.total;

	return s->data_since + s->srv->times.data + (us_t)(bytes / MIN_BYTES_PER_S) * US_PER_S;
}

void data_large(struct session *s, enum server_large_what what, struct body *body)
{
	if (what == SERVER_LARGE_CREATED && s->large && !s->large_created) {
		s->large_created = true;
		large_write(s, &s->large_head);
	} else if (what == SERVER_LARGE_WRITTEN && s->owed_n) {
		give_back(s, s->owed[0]);
		s->owed[0] = s->owed[1];
		s->owed_n--;
	} else if (what == SERVER_LARGE_FINISHED && s->large_finishing && body) {
		s->m->body = body;
		wait_over(s);
		submit(s);
		return;
	} else if (what == SERVER_LARGE_FAILED && s->large) {
		/* The abort is for a failure of the message before, whose answer was on its way
		 * when that one was refused: the worker would keep this one's file. */
		large_drop(s);
		wait_over(s);
		if (s->state == SV_COMMIT) {
			tell_refused(s, large_failed);
			end_refused(s, large_failed);
		} else if (s->state == SV_BDAT) {
			tell_refused(s, large_failed);
			tx_reset(s);
			enter_state(s, SV_BDAT_REFUSED);
		} else {
			refuse_message(s, large_failed);
		}
		return;
	}
	body_unref(body);
	if (s->wait == WAIT_LARGE && !s->large_finishing)
		wait_over(s);
}

/* ---- the commands ---- */

static void give_credit(struct session *s)
{
	if (s->credit)
		s->srv->env.credit_give(s->srv->env.arg);
	s->credit = false;
}

/* Credit and first room, before 354 or the first chunk. False: the session waits, or *no is the
 * reply that refuses. */
static bool begin(struct session *s, bool chunks, const char **no)
{
	struct server *srv = s->srv;
	enum room res;

	*no = NULL;
	if (!s->credit)
		s->credit = !srv->for_credit.first && srv->env.credit_take(srv->env.arg);
	if (!s->credit) {
		*no = wait_for(s, WAIT_CREDIT) ? NULL : "451 4.3.2 Too busy now, try again later";
		return false;
	}
	res = s->data.cap ? ROOM_OK : grow(s, &s->data, first_room(s));
	if (res != ROOM_OK) {
		*no = res == ROOM_WAIT ? NULL : no_memory;
		return false;
	}
	data_scan_init(&s->scan, chunks);
	set_room(s);
	s->judged = 0;
	s->m->received_at = loop_now(srv->loop);
	s->m->id = srv->env.new_id(srv->env.arg);
	return true;
}

void do_data(struct session *s, struct command_args *a)
{
	const char *no;

	(void)a;
	if (!begin(s, false, &no)) {
		if (no) {
			give_credit(s); /* others wait for it; this client may be in no hurry */
			say(s, no);
		}
		return;
	}
	s->data_since = loop_now(s->srv->loop);
	enter_state(s, SV_DATA);
	say(s, "354 End with a line that holds a dot alone");
}

const char *check_bdat(struct session *s, struct command_args *a)
{
	struct str rest = a->text, digits = { "", 0 };

	(void)s;
	str_split(&rest, ' ', &digits);
	rest = str_trim(rest);
	a->last = str_ieqz(rest, "LAST");
	for (size_t i = 0; i < digits.n; i++) {
		if (digits.p[i] < '0' || digits.p[i] > '9')
			digits.n = 0;
		else
			a->chunk = a->chunk * 10 + (uint64_t)(digits.p[i] - '0');
	}
	if (!digits.n || digits.n > 18 || (rest.n && !a->last))
		return "501 5.5.4 Say BDAT SIZE or BDAT SIZE LAST";
	return NULL;
}

/* A chunk follows the command in any case: where it is not welcome it is read away, never taken for
 * commands. */
static void skip_unwelcome(struct session *s, const struct command_args *a, const char *reply)
{
	enum server_state back = s->state;

	if (back == SV_BDAT_REFUSED && a->last)
		back = SV_READY;
	if (a->chunk > (uint64_t)s->size_limit + DROPPED_MAX)
		say_and_close(s, reply);
	else
		skip_chunk(s, a->chunk, reply, back);
}

void do_bdat(struct session *s, struct command_args *a)
{
	const char *no = NULL;

	if (s->state != SV_RCPT && s->state != SV_BDAT) {
		skip_unwelcome(s, a,
			       s->state == SV_MAIL ? "554 5.5.1 No valid recipients"
						   : "503 5.5.1 No transaction for this BDAT");
		return;
	}
	if (!s->declared_size)
		s->declared_size = (size_t)a->chunk;
	if (a->chunk > (uint64_t)s->size_limit ||
	    s->scan.total + a->chunk > (uint64_t)s->size_limit)
		no = too_big;
	else if (s->state == SV_RCPT && !begin(s, true, &no) && !no)
		return; /* it is run again */
	if (no) {
		tell_refused(s, no);
		tx_reset(s);
		enter_state(s, SV_BDAT_REFUSED);
		skip_unwelcome(s, a, no);
		return;
	}
	/* One span for all chunks: tiny ones now and then must not hold a credit for ever. */
	if (s->state == SV_RCPT)
		s->data_since = loop_now(s->srv->loop);
	s->chunk_size = s->chunk_left = a->chunk;
	s->chunk_last = a->last;
	enter_state(s, SV_CHUNK);
}
