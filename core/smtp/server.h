/* The SMTP server of one io thread: sessions driven by a table {verb, check, proceed}, every state
 * change through one function. It takes envelope and bytes, adds Received, checks limits, and
 * answers 250 only when the spool has called back. PIPELINING, 8BITMIME, SIZE, ENHANCEDSTATUSCODES,
 * SMTPUTF8, DSN, CHUNKING. All on its loop's thread. */
#ifndef STOKER_SMTP_SERVER_H
#define STOKER_SMTP_SERVER_H

#include "conf/conf.h"
#include "core/net/io.h"
#include "core/spool/spool.h"
#include "core/spool/suppression.h"

/* What the server needs from the rest: a table given by main. Sessions are named by 64-bit ids,
 * never used twice in the process, whichever server they belong to; answers for the dead are
 * dropped. */
struct server_auth_ask {
	const struct endpoint *client;
	struct str user, password;
	const char
	    *hash; /* crypt(3); NULL: there is no such user, and that must not be told by time */
};
enum server_auth_verdict {
	SERVER_AUTH_NONE,
	SERVER_AUTH_OK,
	SERVER_AUTH_WRONG,
	SERVER_AUTH_BANNED,
	SERVER_AUTH_BUSY, /* not looked at: too many wait, or no memory */
};

struct server_env {
	void *arg;
	/* A number for the next message (spool_new_id). */
	uint64_t (*new_id)(void *arg);
	/* A spool credit, before 354. False: none; the session waits until server_credit(). */
	bool (*credit_take)(void *arg);
	void (*credit_give)(
	    void *arg); /* unused after all: refused, RSET, or the session is gone */
	/* Hands a message to the spool (uses up the credit). Answer: server_committed. */
	void (*submit)(void *arg, uint64_t session, struct message *m);
	/* Large bodies, through workers: create; then, once it is answered, at most
	 * two chunks (of up to BODY_CHUNK) outstanding; finish or abort. Each of create, write and
	 * finish is answered by server_large, in order. Abort may come at any time, also after
	 * finish when the session died meanwhile, or after a failure: the file is not wanted any
	 * more. */
	void (*large_create)(void *arg, uint64_t session, uint64_t message_id);
	void (*large_write)(void *arg, uint64_t session,
			    struct buf *chunk); /* takes over the memory */
	void (*large_finish)(void *arg, uint64_t session, bool dot_line, bool eightbit);
	void (*large_abort)(void *arg, uint64_t session);
	/* A recipient or message refused at MAIL, RCPT or while it arrived (may be dropped; of
	 * strangers ten a second come). Its
	 * source_ip is the client's, user the source's name; sender and recipient are checked
	 * addresses or "". Slices are valid during the call. */
	void (*rejected)(void *arg, const struct event *e);
	/* Rate of a [source] over all its clients and threads: true if one more message may start
	 * now (process-wide atomics). */
	bool (*source_rate)(void *arg, const struct conf *c, int source, us_t now);
	/* Is this the user's password? A worker's job. Slices are valid during the call. Answer:
	 * server_auth, perhaps within the call. */
	void (*auth)(void *arg, uint64_t session, const struct server_auth_ask *a);
	/* A connection ended (for the caps, which the accepting thread counts). */
	void (*closed)(void *arg, const struct endpoint *peer, int door);
	/* Is this recipient (its domain in normal form) on the suppression list for mail of that
	 * sender? NULL: there is no list. */
	bool (*suppressed)(void *arg, struct str sender, struct str local, struct str domain,
			   struct suppression_found *out);
};

/* Why new mail is held back at MAIL, set by main from any thread's news (on this loop). */
enum server_hold {
	SERVER_HOLD_FLOOR = 1,	/* 452 4.3.1 insufficient system storage */
	SERVER_HOLD_MEMORY = 2, /* 452 4.3.1 */
	SERVER_HOLD_STALL = 4,	/* commits take over 10 s: MAIL waits for its answer (RFC 1047) */
	SERVER_HOLD_FAILED = 8, /* LMDB commit failed: 451 4.3.0 */
	SERVER_HOLD_DRAIN = 16, /* 421 4.3.2 at connect and MAIL */
};

struct server;
struct server *server_new(struct loop *l, const struct server_env *env);
/* Closes all sessions. The loop does not run any more afterwards. */
void server_free(struct server *s);
/* New sessions use this snapshot (a reference is taken); running ones keep theirs until their next
 * MAIL. */
void server_conf(struct server *s, struct conf *c);
void server_hold(struct server *s, unsigned holds); /* bits of enum server_hold */
/* A connection that came in by the listener of that name; its place in the snapshot may have
 * changed on the way here, and with it who may relay. `door` is the caller's number, told to
 * `closed`. Owns fd. */
void server_accept(struct server *s, int fd, const struct endpoint *peer, const char *listener,
		   int door);
/* Says "421 " and `text` (which begins with its enhanced code) and closes: caps are reached (the
 * accepting thread counts). Owns fd; never blocks. */
void server_refuse(int fd, const char *text);

/* Answers. `err` NULL: durable. */
void server_committed(struct server *s, uint64_t session, const struct err *err);
void server_credit(struct server *s); /* credits are back: waiting sessions go on, in order */
/* `delay`: how long the client is to wait for it. */
void server_auth(struct server *s, uint64_t session, enum server_auth_verdict v, us_t delay);
enum server_large_what {
	SERVER_LARGE_CREATED,
	SERVER_LARGE_WRITTEN,
	SERVER_LARGE_FINISHED,
	SERVER_LARGE_FAILED
};
void server_large(struct server *s, uint64_t session, enum server_large_what what,
		  struct body *body);
/* Body memory may be free again: sessions that stopped reading go on. */
void server_memory(struct server *s);

/* Stops: no new mail; sessions end with 421 when they are idle, at the latest after `within`. */
void server_shutdown(struct server *s, us_t within);

struct server_stats {
	uint64_t connections;	      /* accepted and greeted, or told 421 by a drain */
	uint64_t accepted_messages;   /* answered with 250 */
	uint64_t accepted_recipients; /* of those */
	uint64_t refused;	      /* messages and RCPTs for any reason, MAIL by policy */
	uint64_t logins, logins_failed;
	uint64_t protocol_errors; /* commands that are none, are out of place, or are ill-formed */
	uint64_t smuggling_refused; /* sessions closed for a bare CR, bare LF or NUL */
};
void server_stats(const struct server *s, struct server_stats *out);

#endif
