/* Connections to the control socket. The first frame is read byte by byte off the plain descriptor,
 * never more than it: a console's hello hands the descriptor on with nothing read behind it. A
 * command's connection goes on as an io. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/jsonw.h"
#include "core/control/private.h"

enum {
	SESSION_MAGIC = 0x73657373,
	FIRST_MAX = 64 * 1024, /* a command line or hello */
	SESSIONS_MAX = 256,
	SESSIONS_GUESTS = 192,	  /* of these for those who are not admins */
	OUTPUT_FULL = 256 * 1024, /* a sink with so much unsent gets no more */
	OUTPUT_LOW = 64 * 1024,
	FRAME_BYTES = 128 * 1024,
	WORDS_MAX = 256,
	TYPED_BYTES = 64, /* of an answer to a question, with room for a NUL */
	COLUMNS_MAX = 1000,
};
static const us_t first_within = 10 * US_PER_S, flush_within = 60 * US_PER_S,
		  confirm_within = US_PER_HOUR;

struct session {
	uint32_t magic;
	struct control *c;
	struct session *next, *prev;
	enum role role;
	struct rstr *user;
	/* until the first frame is there */
	int fd; /* -1: it went to io or to the console */
	ev_io watcher;
	struct timer deadline;
	struct buf first;
	/* afterwards */
	struct io *io;
	struct request *request;
	bool dying;
};

/* ---- life ---- */

static void stop_greeting(struct session *s)
{
	ev_io_stop(loop_ev(s->c->loop), &s->watcher);
	timer_stop(s->c->loop, &s->deadline);
}

/* Forgets the session; its descriptor must have gone elsewhere or is closed here. */
static void session_free(struct session *s)
{
	OBJ_CHECK(s, SESSION_MAGIC);
	stop_greeting(s);
	if (s->fd >= 0)
		close(s->fd);
	if (s->request)
		request_cancel(s->request);
	if (s->next)
		s->next->prev = s->prev;
	if (s->prev)
		s->prev->next = s->next;
	else
		s->c->sessions = s->next;
	s->c->nsessions--;
	buf_free(&s->first);
	rstr_unref(s->user);
	s->magic = 0;
	free(s);
}

void sessions_free(struct control *c)
{
	while (c->sessions) {
		struct session *s = c->sessions;

		if (s->io)
			io_close(s->io);
		session_free(s);
	}
}

/* ---- output ---- */

static void put_frame(struct session *s, char type, struct str payload)
{
	struct buf frame;

	if (!s->io)
		return;
	buf_init(&frame);
	frame_put(&frame, type, payload);
	/* Without memory the stream has a hole: it ends here. */
	if (buf_failed(&frame) || !io_write(s->io, buf_str(&frame)))
		io_set_deadline(s->io, control_now(s->c));
	buf_free(&frame);
}

static void sink_out(struct request *r, struct str text)
{
	while (text.n) {
		size_t n = text.n < FRAME_BYTES ? text.n : FRAME_BYTES;

		put_frame(r->owner, 'O', (struct str){ text.p, n });
		text.p += n;
		text.n -= n;
	}
}

static void sink_err(struct request *r, struct str line)
{
	struct buf text;

	buf_init(&text);
	buf_adds(&text, line);
	buf_addc(&text, '\n');
	put_frame(r->owner, 'E', buf_str(&text));
	buf_free(&text);
}

static void sink_ask(struct request *r, int64_t count, struct str word, struct str text)
{
	struct session *s = r->owner;
	struct buf json;
	struct jsonw w;

	buf_init(&json);
	jsonw_init(&w, &json);
	jsonw_object(&w, NULL);
	if (count >= 0)
		jsonw_int(&w, "count", count);
	jsonw_str(&w, "type", word);
	jsonw_str(&w, "text", text);
	jsonw_end_object(&w);
	put_frame(s, 'Q', buf_str(&json));
	buf_free(&json);
	io_set_deadline(s->io, control_now(s->c) + confirm_within);
}

/* The last word of every connection. */
static void leave(struct session *s, int exit)
{
	unsigned char code = (unsigned char)exit;

	put_frame(s, 'X', str_mem(&code, 1));
	if (s->io)
		io_close_after_flush(s->io, flush_within);
	s->io = NULL;
}

static void sink_done(struct request *r, int exit)
{
	struct session *s = r->owner;

	s->request = NULL;
	leave(s, exit);
	/* Inside session_command or an io callback the caller frees; else nobody will. */
	if (!s->dying)
		session_free(s);
}

static void sink_file(struct request *r)
{
	put_frame(r->owner, 'F', STR_LIT(""));
}

static bool sink_full(const struct request *r)
{
	const struct session *s = r->owner;

	return s->io && io_output_pending(s->io) >= OUTPUT_FULL;
}

static const struct sink session_sink = { sink_out,  sink_err,	sink_ask,
					  sink_done, sink_file, sink_full };

/* ---- a command's connection ---- */

/* A piece of the file that the command names. False: nobody asked for it. */
static bool session_piece(struct session *s, struct str payload, size_t used)
{
	char *piece = s->request->on_file && payload.n <= FILE_PIECE_MAX ? str_dup(payload) : NULL;
	struct str copy = { piece, payload.n };

	if (!piece)
		return false;
	io_consume(s->io, used); /* before: the request may end in the call */
	request_file(s->request, copy);
	free(piece);
	return true;
}

static void session_frames(struct session *s)
{
	struct str payload;
	size_t used, n;
	char type;
	int got;

	while (s->io && s->request &&
	       (got = frame_get(io_input(s->io), &type, &payload, &used)) != 0) {
		char typed[TYPED_BYTES];

		if (got > 0 && type == 'F' && session_piece(s, payload, used))
			continue;
		if (got < 0 || type != 'Y' || payload.n >= sizeof typed) {
			io_close(s->io);
			s->io = NULL;
			return;
		}
		n = payload.n;
		memcpy(typed, payload.p, n);
		io_consume(s->io, used);
		io_set_deadline(s->io, 0);
		request_confirm(s->request, (struct str){ typed, n });
	}
	/* Too long to be typed; and once the input is full nothing is read, not even its end. */
	n = s->request && s->request->on_file ? FILE_PIECE_MAX : TYPED_BYTES;
	if (s->io && io_input(s->io).n > FRAME_HEADER + n) {
		io_close(s->io);
		s->io = NULL;
	}
}

static void on_io(struct io *io, enum io_event ev, void *arg)
{
	struct session *s = arg;

	OBJ_CHECK(s, SESSION_MAGIC);
	s->dying = true; /* whatever happens inside, it is freed here */
	switch (ev) {
	case IO_DATA:
		session_frames(s);
		break;
	case IO_DRAINED:
		if (s->request)
			request_wake(s->request);
		break;
	case IO_EOF:
	case IO_ERROR:
	case IO_TIMEOUT:
		io_close(io);
		s->io = NULL;
		break;
	case IO_CONNECTED:
	case IO_TLS:
		break;
	}
	s->dying = false;
	if (!s->io)
		session_free(s);
}

static bool to_io(struct session *s)
{
	int fd = s->fd;

	stop_greeting(s);
	s->fd = -1;
	s->io = io_new(s->c->loop, fd, on_io, s);
	if (s->io)
		io_set_low_water(s->io, OUTPUT_LOW);
	return s->io != NULL;
}

/* Ends a session with one line. */
static void session_refuse(struct session *s, int exit, const char *line)
{
	struct buf text;

	buf_init(&text);
	buf_addf(&text, "%s\n", line);
	if (s->io || to_io(s)) {
		put_frame(s, 'E', buf_str(&text));
		leave(s, exit);
	}
	buf_free(&text);
	session_free(s);
}

static int words_of(json_t *argv, struct str *words)
{
	json_t *word;
	size_t i;

	if (!json_is_array(argv) || json_array_size(argv) > WORDS_MAX)
		return -1;
	json_array_foreach(argv, i, word)
	{
		if (!json_is_string(word))
			return -1;
		words[i] = str_mem(json_string_value(word), json_string_length(word));
	}
	return (int)json_array_size(argv);
}

static void run_command(struct session *s, json_t *hello, const struct str *words, int n)
{
	struct rstr *session = rstr_new(STR_LIT("cli"));
	json_int_t columns = json_integer_value(json_object_get(hello, "columns"));
	struct request *r =
	    session ? request_new(s->c, &session_sink, s, s->user, session, s->role) : NULL;

	rstr_unref(session);
	if (!r) {
		session_refuse(s, EXIT_REFUSED, "no memory for this command");
		return;
	}
	s->request = r;
	r->tty = json_is_true(json_object_get(hello, "tty"));
	r->columns = columns > 0 && columns <= COLUMNS_MAX ? (int)columns : 0;
	s->dying = true;
	request_start(r, words, n);
	s->dying = false;
	if (!s->io)
		session_free(s);
}

static void session_command(struct session *s, struct str payload)
{
	json_t *hello = json_loadb(payload.p, payload.n, JSON_ALLOW_NUL, NULL);
	struct str words[WORDS_MAX];
	int n = hello ? words_of(json_object_get(hello, "argv"), words) : -1;

	if (!to_io(s))
		session_free(s);
	else if (s->role == ROLE_NONE)
		session_refuse(s, EXIT_REFUSED,
			       "you are not listed under [console] read, operate or admin");
	else if (n < 0)
		session_refuse(s, EXIT_USAGE, "this is not a command of a stoker client");
	else
		run_command(s, hello, words, n);
	json_decref(hello);
}

/* ---- the first frame ---- */

static void session_attach(struct session *s, struct str hello)
{
	struct control *c = s->c;
	json_t *o = json_loadb(hello.p, hello.n, 0, NULL);
	enum role role = s->role;
	int fd = s->fd;

	if (!json_is_object(o) || role == ROLE_NONE) {
		json_decref(o);
		session_refuse(s, EXIT_REFUSED,
			       role ? "this is not the hello of a stoker client"
				    : "you are not listed under [console] read, operate or admin");
		return;
	}
	if (json_is_true(json_object_get(o, "read_only")))
		role = ROLE_READ;
	json_decref(o);
	stop_greeting(s);
	s->fd = -1;
	c->env.attach(c->env.arg, fd, rstr_str(s->user), role, hello);
	session_free(s);
}

static void first_frame(struct session *s, char type, struct str payload)
{
	if (type == 'C')
		session_command(s, payload);
	else if (type == 'A')
		session_attach(s, payload);
	else
		session_refuse(s, EXIT_USAGE, "this is not a stoker client");
}

/* Bytes that the first frame still lacks; 0: it is there, -1: it is none. */
static int64_t lacking(const struct buf *first)
{
	struct reader r = { .p = (const uint8_t *)first->p, .n = first->n };
	uint32_t n;

	if (first->n < FRAME_HEADER)
		return FRAME_HEADER - (int64_t)first->n;
	reader_u8(&r);
	n = reader_u32(&r);
	if (n > FIRST_MAX)
		return -1;
	return (int64_t)FRAME_HEADER + n - (int64_t)first->n;
}

static void on_readable(struct ev_loop *ev, ev_io *w, int revents)
{
	struct session *s = w->data;
	int64_t want;
	struct str payload;
	size_t used;
	char type;

	(void)ev;
	(void)revents;
	while ((want = lacking(&s->first)) > 0) {
		ssize_t n;

		if (!buf_reserve(&s->first, (size_t)want)) {
			session_free(s);
			return;
		}
		n = read(s->fd, s->first.p + s->first.n, (size_t)want);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n <= 0) {
			session_free(s);
			return;
		}
		s->first.n += (size_t)n;
	}
	if (want < 0 || frame_get(buf_str(&s->first), &type, &payload, &used) != 1)
		session_refuse(s, EXIT_USAGE, "this is not a stoker client");
	else
		first_frame(s, type, payload);
}

static void on_first_deadline(struct timer *t, void *arg)
{
	(void)t;
	session_free(arg);
}

void session_start(struct control *c, int fd, enum role role, struct rstr *user)
{
	struct session *s = calloc(1, sizeof *s);
	int flags = fcntl(fd, F_GETFL);

	if (!s || flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) {
		free(s);
		close(fd);
		return;
	}
	s->magic = SESSION_MAGIC;
	s->c = c;
	s->fd = fd;
	s->role = role;
	s->user = rstr_ref(user);
	buf_init(&s->first);
	timer_init(&s->deadline, on_first_deadline, s);
	timer_set(c->loop, &s->deadline, control_now(c) + first_within);
	ev_io_init(&s->watcher, on_readable, fd, EV_READ);
	s->watcher.data = s;
	ev_io_start(loop_ev(c->loop), &s->watcher);
	s->next = c->sessions;
	if (s->next)
		s->next->prev = s;
	c->sessions = s;
	c->nsessions++;
}

void session_accepted(void *arg, int fd, const struct endpoint *peer)
{
	struct control *c = arg;
	struct ucred cred = { 0 };
	socklen_t n = sizeof cred;
	struct rstr *user = NULL;
	enum role role;

	(void)peer;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) < 0) {
		close(fd);
		return;
	}
	role = access_role(c->conf, cred.uid, cred.gid, geteuid(), &user);
	if (!user || c->nsessions >= (role == ROLE_ADMIN ? SESSIONS_MAX : SESSIONS_GUESTS)) {
		log_warn("control socket: %d connections are open, one more is refused",
			 c->nsessions);
		close(fd);
	} else {
		session_start(c, fd, role, user);
	}
	rstr_unref(user);
}
