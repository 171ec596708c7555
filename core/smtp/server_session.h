/* Inside of the SMTP server: one session and the steps that its files share. Included by server*.c
 * only.
 *
 * A session has a state (what the protocol allows next) and at most one wait (what holds it back).
 * A command that has to wait is not consumed: it stays in the input and is run again, from its
 * check, when the wait is over. */
#ifndef STOKER_SMTP_SERVER_SESSION_H
#define STOKER_SMTP_SERVER_SESSION_H

#include "core/base/hash.h"
#include "core/base/pool.h"
#include "core/net/tls.h"
#include "core/smtp/address.h"
#include "core/smtp/framing.h"
#include "core/smtp/server.h"

enum {
	HELO_MAX = 255,	  /* RFC 5321 4.5.3.1.2 */
	REPLY_LINE = 512, /* RFC 5321 4.5.3.1.5 */
	LARGE_OUTSTANDING = 2,
	AUTH_TEXT_MAX = 255, /* of a user's name and of a password */
	REMEMBERED = 1024,   /* passwords found right */
	HEAD_RESERVE = 2048, /* what we put in front of a message is shorter */
	IN_MEMORY_MAX = BODY_MEMORY_MAX - HEAD_RESERVE
};

enum server_state {
	SV_CONNECTED,	 /* before EHLO */
	SV_READY,	 /* no transaction */
	SV_AUTH,	 /* the next line answers a 334 of AUTH */
	SV_MAIL,	 /* a sender, no recipient yet */
	SV_RCPT,	 /* at least one recipient */
	SV_DATA,	 /* receiving behind 354 */
	SV_BDAT,	 /* between two chunks */
	SV_CHUNK,	 /* receiving a chunk */
	SV_BDAT_REFUSED, /* a chunk was refused: RSET or a LAST comes next */
	SV_SKIP,	 /* reading a refused chunk away */
	SV_COMMIT,	 /* all bytes are here; the spool has not answered */
	SV_CLOSED,
	SV_STATES
};
/* The same words in logs and traces. */
extern const char *const server_state_words[SV_STATES];

enum server_wait {
	WAIT_NONE,
	WAIT_STALL,  /* MAIL, until commits are fast again */
	WAIT_CREDIT, /* DATA or BDAT, for a spool credit */
	WAIT_MEMORY, /* DATA, BDAT or the message's bytes, for room in the body budget */
	WAIT_LARGE,  /* for a worker that writes our chunks */
	WAIT_COMMIT, /* for the spool */
	WAIT_OUTPUT, /* for the peer to read its replies */
	WAIT_TURN,   /* for the other sessions of this loop */
	WAIT_TLS,    /* for the TLS handshake */
	WAIT_AUTH,   /* for a worker that looks at a password, and for the time a failure costs */
};

struct session_list {
	struct session *first, *last;
};

/* How long a session may wait; spans in microseconds. In one place so that tests can be short. */
struct server_times {
	us_t command;	/* for a whole command line */
	us_t data;	/* for a message, beyond what its bytes earn at MIN_BYTES_PER_S */
	us_t stall;	/* MAIL held back by slow commits */
	us_t credit;	/* DATA, for a spool credit */
	us_t memory;	/* for room in the body budget */
	us_t last_line; /* for the peer to take our last reply */
};

/* What is told so many times a second only. */
struct per_second {
	us_t since;
	unsigned n, untold;
};

struct remembered {
	uint64_t key;
	us_t until;
};
enum auth_step { AUTH_STEP_NONE, AUTH_STEP_PLAIN, AUTH_STEP_USER, AUTH_STEP_PASSWORD };

struct server {
	uint32_t magic;
	struct loop *loop;
	struct server_env env;
	struct conf *conf;
	struct pool pool;
	struct idmap by_id;
	struct session_list all, for_credit, for_memory, for_turn;
	uint64_t next_id;
	unsigned holds; /* bits of enum server_hold */
	bool closing;	/* server_shutdown */
	struct timer shutdown;
	struct server_times times;
	struct server_stats stats;
	struct per_second warned;		  /* sessions closed for their bytes */
	struct per_second strangers;		  /* refusals of who may not relay */
	struct remembered remembered[REMEMBERED]; /* by the key's own value */
	char text[REPLY_LINE];			  /* a reply that is being worded */
};

struct session_link {
	struct session *next, *prev;
};

struct session {
	uint32_t magic;
	uint64_t id;
	struct server *srv;
	struct io *io;
	struct conf *conf; /* one reference */
	struct session_link in_all, in_wait;
	struct session_list *waits_in; /* which list in_wait is in; NULL: none */

	struct endpoint peer;
	char ip[ENDPOINT_SIZE];
	int door;     /* what `closed` is told */
	int listener; /* in `conf` */
	int source;   /* in `conf`; CONF_NONE */
	bool relay;   /* the source may relay */
	int64_t size_limit;

	enum server_state state;
	enum server_wait wait;
	us_t wait_since;
	bool waited_out;   /* the wait's time is over: refuse instead of waiting again */
	unsigned commands; /* run in this turn */
	bool driving;	   /* drive() is on the stack */
	bool eof;	   /* the peer will send nothing more */
	bool flush;	   /* SV_CLOSED: say what is still to be said */
	us_t line_since;   /* since when a command is awaited */
	us_t deadline;	   /* as given to the io */
	struct buf *sink;  /* as given to the io */
	unsigned errors;   /* since the last accepted message */

	struct buf in; /* what came behind a message, and what follows it until this is empty */
	size_t in_off; /* bytes of it that are consumed */

	char helo[HELO_MAX + 1]; /* sanitised */
	bool esmtp;
	char user_name[HELO_MAX + 1];	   /* who has logged in; "": nobody */
	char auth_user[AUTH_TEXT_MAX + 1]; /* who tries */
	enum auth_step auth_step;
	enum server_auth_verdict auth_verdict;
	us_t auth_at; /* when the verdict may be told; 0: it is not known, or at once */
	uint64_t auth_key;
	unsigned auth_failures;
	bool start_tls; /* STARTTLS was said: nothing may stand behind it */

	uint64_t queued_id; /* SV_COMMIT: of the message that the spool has */
	uint32_t queued_rcpts;

	/* ---- the transaction: everything below is put back by tx_reset ---- */
	struct message *m;
	uint32_t rcpts_cap;
	bool utf8;	      /* SMTPUTF8 was declared */
	bool inbound;	      /* its recipients are in [inbound] domains */
	bool credit;	      /* a spool credit is held */
	bool postmaster;      /* our postmasters are among the recipients already */
	size_t declared_size; /* SIZE=; 0: not declared */
	struct buf data; /* the message's bytes, or those of the current chunk of a large one */
	size_t judged;	 /* bytes of `data` that were given to the scan */
	size_t room;	 /* `data` may be filled up to here */
	struct data_scan scan;
	uint64_t charged; /* held against the body budget */
	uint64_t wanted;  /* WAIT_MEMORY: what is to be charged */
	uint64_t prepaid; /* of `charged`: what the wait for memory brought */
	us_t data_since;  /* since when the peer is sending; moved on by the time we did not read */
	const char *refusal; /* not NULL: the message is read and dropped, then this is said
				(constant text) */
	uint64_t chunk_left; /* SV_CHUNK, SV_SKIP: bytes of the chunk that have not come */
	uint64_t chunk_size;
	bool chunk_last;
	enum server_state chunk_back; /* SV_SKIP: the state behind the chunk */
	bool large, large_created, large_finishing;
	struct buf large_head;
	unsigned owed_n;		  /* chunks that a worker has */
	uint64_t owed[LARGE_OUTSTANDING]; /* their charge, oldest first */
};

/* A command's arguments, parsed; slices point into the line. */
struct command_args {
	struct str text; /* behind the verb, trimmed */
	struct address address;
	int64_t size; /* SIZE= */
	bool utf8;
	uint8_t ret, notify;
	struct str envid, orcpt;
	uint64_t chunk; /* BDAT */
	bool last;
	unsigned seen; /* bits of the parameters met */
};

/* ---- server_session.c ---- */
/* Takes over fd. NULL without memory (fd is closed). */
struct session *server_session_open(struct server *srv, int fd, const struct endpoint *peer,
				    int listener);
/* Does all that can be done now. The session may be gone afterwards. */
void session_drive(struct session *s);
void enter_state(struct session *s, enum server_state to);
/* One line of reply, without its CRLF. */
void say(struct session *s, const char *line);
void sayf(struct session *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The same for an error that is the client's: too many of them end the session. */
void say_error(struct session *s, const char *line);
/* Says `line` (NULL: nothing) and ends the session. */
void say_and_close(struct session *s, const char *line);
/* The first line. */
void greet(struct session *s);
/* True at most so many times a second: what strangers cause in the logs. */
bool may_tell(const struct server *srv, struct per_second *p);
/* Ends the session because of bytes that could smuggle a second message or command. */
void close_for_bytes(struct session *s, const char *what);
/* Holds the session, and the command that runs. False if it has waited long enough: refuse. */
bool wait_for(struct session *s, enum server_wait w);
void wait_over(struct session *s);
/* The one way out of every transaction. Does not change the state. */
void tx_reset(struct session *s);
/* Tells the delivery log of a refusal. `reply` is a whole reply line. */
void tell_rejected(struct session *s, struct str sender, struct str recipient, const char *reply);
/* Index of the listener of that name; CONF_NONE. */
int server_find_listener(const struct conf *c, const char *name);
/* Takes over the server's newest snapshot. False if our listener is not in it. */
bool session_conf(struct session *s);
/* What the peer sent and we have not run: what came behind a message first, then the io's own
 * buffer. */
struct str session_input(const struct session *s);
void session_consume(struct session *s, size_t n);

/* ---- server_command.c ---- */
/* Runs one command; false when there is none to run now. */
bool command_step(struct session *s);

/* Who has logged in has changed: source, rights and limits follow. */
void session_source(struct session *s);

/* ---- server_auth.c ---- */
/* What EHLO offers of it: "250-AUTH PLAIN LOGIN\r\n" or "". */
const char *auth_offer(const struct session *s);
const char *check_auth_command(struct session *s, struct command_args *a);
void do_auth(struct session *s, struct command_args *a);
/* A line in SV_AUTH. */
void auth_line(struct session *s, struct str line);
void session_auth_answer(struct session *s, enum server_auth_verdict v, us_t delay);

/* ---- server_tls.c ---- */
const char *check_starttls(struct session *s, struct command_args *a);
void do_starttls(struct session *s, struct command_args *a);
/* The STARTTLS command is consumed: 220, and the handshake. */
void starttls_begin(struct session *s);
/* A listener whose TLS begins with the first byte. */
void implicit_begin(struct session *s);
/* The handshake is done, or has failed. */
void tls_established(struct session *s);
void tls_broken(struct session *s);
/* What EHLO offers of it: "250-STARTTLS\r\n" or "". */
const char *starttls_offer(const struct session *s);
/* The reply that refuses mail before TLS; NULL: it may come. */
const char *tls_missing(const struct session *s);

/* ---- server_mail.c: MAIL and RCPT ---- */
/* Checks return NULL or the reply that refuses. */
const char *check_mail(struct session *s, struct command_args *a);
const char *check_rcpt(struct session *s, struct command_args *a);
void do_mail(struct session *s, struct command_args *a);
void do_rcpt(struct session *s, struct command_args *a);

/* ---- server_data.c: DATA, BDAT ---- */
const char *check_bdat(struct session *s, struct command_args *a);
void do_data(struct session *s, struct command_args *a);
void do_bdat(struct session *s, struct command_args *a);
/* One step of receiving (SV_DATA, SV_CHUNK, SV_SKIP, SV_COMMIT); false when there is nothing to do
 * now. */
bool data_step(struct session *s);
/* When the peer must have sent more at the latest. */
us_t data_deadline(const struct session *s);
/* Where the socket may read to now: up to buf->n == *max. */
struct buf *data_sink(struct session *s, size_t *max);
/* The worker's answers; takes over the reference on `body`. */
void data_large(struct session *s, enum server_large_what what, struct body *body);

/* ---- server_feed.c: X-Virtual-MTA and the like ---- */
extern const char server_no_route[];
extern const char server_no_memory[]; /* the reply of who has none for a peer */
/* Which feeding header this field is, if the session's source processes it; -1: none. */
int feed_find(const struct session *s, struct str name);
/* `raw`: the field behind its colon, folds and all. NULL, or the reply that refuses the message. */
const char *feed_take(struct session *s, int feed, struct str raw);

/* ---- server_header.c ---- */
/* Judges the header block in s->data, removes what the source says, and writes what goes in front
 * into `head`. `all`: s->data is the whole message, not only its front. NULL, or the reply that
 * refuses the message. */
const char *header_finish(struct session *s, struct buf *head, bool all);

#endif
