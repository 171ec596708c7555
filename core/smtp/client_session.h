/* Inside the SMTP client only: one session (a connection and the transactions it holds), its states
 * and the queue of replies that are due. client.c opens and ends sessions, client_connect.c finds
 * an address that answers, client_sign.c signs, client_txn.c writes envelopes, client_body.c
 * messages, client_reply.c reads what comes back and decides which state that means.
 *
 * A session holds a current transaction and at most one more, in two slots that take turns. Sending
 * runs ahead of the replies only as far as the queue of expected replies has room, and every
 * expected reply knows how far the output must have got before it may come: a reply that comes
 * earlier belongs to nothing we said. */
#ifndef STOKER_SMTP_CLIENT_SESSION_H
#define STOKER_SMTP_CLIENT_SESSION_H

#include "core/base/hash.h"
#include "core/net/tls.h"
#include "core/smtp/client.h"
#include "core/smtp/framing.h"

enum {
	EXPECT_MAX = 16, /* entries, a power of two; a slice of RCPTs is one */
	EXPECT_RESERVE =
	    6, /* kept free for what must follow a slice of RCPTs: DATA, dot, RSET, QUIT */
	CLIENT_REPLY_LINE_MAX = 4096,  /* RFC 5321 4.5.3.1.5 says 512; real ones are longer */
	CLIENT_REPLY_LINES_MAX = 1000, /* lines cost time, and a step is allowed minutes */
	CLIENT_ADDRESSES_MAX =
	    32, /* tried for one session: an MX set made to hold a slot for hours must not */
	CLIENT_BACKLOG_MAX =
	    64 << 10, /* unsent bytes beyond which an RCPT would not leave while its permit holds */
	CLIENT_CHUNKS = 2, /* of a file body, read ahead */
	CLIENT_DATA_BYTES_PER_S =
	    512, /* a receiver that takes less, over a whole data-timeout, is given up */
};
#define CLIENT_QUIT_WAIT (2 * US_PER_S) /* for the 221: a courtesy that holds a slot */
#define CLIENT_MORE_PERMITS_WAIT                                                                   \
	(10 * US_PER_S) /* with recipients accepted: then what there is gets delivered */

enum state {
	STATE_CONNECT,
	STATE_GREETING,
	STATE_EHLO,
	STATE_HELO,
	STATE_STARTTLS,
	STATE_TLS, /* the handshake */
	STATE_AUTH,
	STATE_IDLE, /* up, nothing held */
	STATE_HOLD, /* up, MAIL not written: waits for permits or for the body */
	STATE_MAIL,
	STATE_RCPT,
	STATE_PERMIT, /* inside a transaction: waits for permits for further recipients */
	STATE_DATA,
	STATE_BODY, /* the message goes out */
	STATE_DOT,  /* its last byte is out */
	STATE_RSET,
	STATE_QUIT,
	STATE_GONE, /* over; freed when the loop's callback returns */
	STATES
};
struct state_words {
	const char *name;    /* for the trace */
	const char *waiting; /* "timed out after 5m waiting for the reply to MAIL FROM" */
	const char *lost;    /* "connection reset by peer after MAIL FROM" */
	enum smtp_step step;
	size_t allowed; /* where in struct session_spec its time is; 0: no limit */
};
extern const struct state_words client_state_words[STATES];

/* What a reply that is due will answer. */
enum expect_kind {
	EXPECT_GREETING,
	EXPECT_EHLO,
	EXPECT_HELO,
	EXPECT_STARTTLS,
	EXPECT_AUTH,
	EXPECT_RSET,
	EXPECT_MAIL,
	EXPECT_RCPT,
	EXPECT_DATA,
	EXPECT_DOT,
	EXPECT_QUIT,
	EXPECT_KINDS
};
struct expect {
	uint8_t kind;
	uint8_t slot;	/* from EXPECT_MAIL to EXPECT_DOT */
	uint32_t count; /* EXPECT_RCPT: replies left */
	uint64_t end;	/* output offset behind the (first) command: no reply may come before these
			   bytes have left */
};

enum phase {		     /* of a transaction in its slot */
	     PHASE_HELD,     /* MAIL not written: can be recalled */
	     PHASE_ENVELOPE, /* MAIL written, RCPTs being written */
	     PHASE_DATA,     /* DATA written */
	     PHASE_BODY,     /* 354 is here, message bytes go out */
	     PHASE_DOT,	     /* final dot written */
	     PHASE_OVER,     /* nothing more to say; ends when no reply is due */
};
struct slot {
	struct transaction *t; /* NULL: free */
	enum phase phase;
	unsigned pending; /* replies due */
	uint32_t left;	  /* RCPTs still to be written */
	uint32_t written;
	uint32_t accepted;
	uint32_t write_at, answer_at; /* next index to write, to be answered; recipients with a
					 result are skipped */
	uint32_t unreported;	      /* written under permits and not yet told by FROM_IO_USED */
	bool mail_answered, mail_ok;
	us_t late;    /* its last permits had run out so long before they were seen */
	bool asking;  /* FROM_IO_ASK is out */
	bool stop;    /* no further RCPT: the rest goes back untried */
	bool loading; /* the body was asked for */
	bool empty;   /* nobody accepted and yet 354: nothing but a dot is sent */
	/* a body that is read from its file while it is sent */
	bool reading;	/* one read is out: answers carry no offset, so they must not overtake each
			   other */
	uint64_t asked; /* bytes asked for */
	uint64_t sent;	/* bytes written */
	struct buf chunk[CLIENT_CHUNKS];
	int nchunks;
	bool bol;
	/* DKIM */
	struct sign_job *job;	     /* it is being signed */
	struct signature *signature; /* what came of it */
	bool head_sent;		     /* what goes in front of the message */
	/* what client_env.mark said */
	bool marked;
	struct str path, ref;
};

struct session {
	uint32_t magic;
	struct client *c;
	uint64_t id;
	struct session_spec *spec;
	struct io *io; /* NULL between addresses */
	enum state state;
	us_t since; /* in this state */

	/* where in the list of addresses (client_connect.c) */
	int host, address, pass, tried;
	struct endpoint remote;
	struct rstr *vmta, *source_ip, *mx, *mx_ip;
	struct reply_verdict failed; /* of the last address that failed */
	struct rstr *failed_reply;
	enum smtp_step failed_step;

	/* what EHLO offered */
	bool pipelining, eightbitmime, smtputf8, dsn, size, starttls, auth_plain, auth_login;
	int auth_step;	   /* LOGIN: 334s answered */
	uint64_t size_max; /* 0: no limit was told */

	bool start_tls;	    /* 220 is here: nothing may stand behind it */
	bool in_plain;	    /* its TLS is broken, and this mail may go without */
	struct rstr *esmtp; /* what EHLO's answer offers, "SIZE,PIPELINING"; NULL: nothing */
	struct rstr *tls;   /* "TLSv1.3 TLS_AES_256_GCM_SHA384"; NULL: plain */

	bool up;	/* greeting and EHLO are done */
	bool closing;	/* TO_IO_CLOSE */
	bool need_rset; /* a MAIL was accepted and led to no DATA */
	int started;	/* messages begun on this connection */
	int finished;	/* of them ended in order */

	struct expect expect[EXPECT_MAX];
	unsigned expect_head, expect_n;
	uint64_t queued; /* bytes given to io */
	struct reply_scan scan;
	struct slot slot[2];
	int cur;

	struct io *late_io;  /* its input waits for the next pass; NULL: nothing waits */
	enum io_event late;  /* what is to be told when it has been read */
	bool replied;	     /* a reply was taken since the state was last looked at */
	bool working, again; /* client_work is on the stack; and has news */
	uint64_t progress;   /* bytes out when STATE_BODY was last looked at */
	struct timer permit; /* permits in hand hold from then on */
	struct session *next, *prev;
};
#define SESSION_MAGIC 0x53455353u

struct client {
	uint32_t magic;
	struct loop *loop;
	uint32_t io_index;
	struct client_env env;
	const struct classifier *classifier;
	struct idmap sessions;
	struct session *all, *gone;
	int depth; /* calls into the client on the stack: sessions are freed when the last returns
		    */
	struct conf *conf; /* NULL: no TLS can be had, and nothing signed */
	struct sign_thread *sign;
	struct sign_job *jobs, *last_job; /* that can take a step */
	struct idmap signing;		  /* message -> the job that signs it */
	struct tls_cache *tls_cache;
	struct buf out; /* commands being put together */
	uint64_t *late; /* sessions whose input waits for the next pass, in order */
	size_t late_n, late_cap;
	size_t judged; /* bytes of refusals that this pass has judged */
	struct client_stats stats;
};
#define CLIENT_MAGIC 0x434C4E54u

struct reply {
	int code;
	struct str text; /* all lines with codes, joined by \n; valid until the next line is read */
};
static inline bool reply_positive(const struct reply *r)
{
	return r->code >= 200 && r->code < 300;
}
static inline bool reply_negative(const struct reply *r)
{
	return r->code >= 400 && r->code < 600;
}

/* Judging a hostile refusal of 2 KB takes up to 0.3 ms, so a pass judges so many bytes of them (of
 * each at most what the classifier looks at, and something for itself), over all sessions, and one
 * more; what else was read waits for the next pass. A usual refusal has some 100 bytes. */
enum { CLIENT_JUDGED_A_PASS = 8 * 1024, CLIENT_JUDGED_MAX = 2048, CLIENT_JUDGED_LEAST = 64 };

/* ---- client.c ---- */
void client_enter_call(struct client *c);
void client_leave_call(struct client *c);
/* How a session ends. `polite`: the receiver closed a connection that had served, before it
 * answered a MAIL: what is held goes back untried. */
struct session_end {
	bool planned, polite;
	bool answered; /* by a reply: nobody can have got the message unless it said so */
	enum smtp_step step;
	struct reply_verdict verdict;
	struct rstr *reply; /* taken over; NULL allowed */
};
/* Closes, gives transactions back (DONE), says DOWN. The session is gone afterwards: callers return
 * at once. */
void client_end(struct session *s, struct session_end *e);
/* The same in our own words: "connection reset by peer", completed by where it happened. `error` is
 * ours; planned: no fault of the receiver. */
void client_fail(struct session *s, bool planned, const char *error);
/* Everything the state machine can do now. */
void client_work(struct session *s);
void client_quit(struct session *s);
void client_on_quit(struct session *s, struct slot *k, const struct reply *r);
/* No further message may be begun on this connection. */
bool client_used_up(const struct session *s);
void client_tell(struct session *s, struct from_io *m);

/* ---- client_connect.c ---- */
void client_connect_next(struct session *s);
void client_connected(struct session *s);
/* This address did not give a session; the next one is tried. `reply` is taken over. */
void client_address_failed(struct session *s, const struct reply_verdict *v, struct rstr *reply);
/* It is told goodbye first. */
void client_address_refused(struct session *s, const struct reply_verdict *v, struct rstr *reply);
/* The same address once more, from the beginning. */
void client_connect_again(struct session *s);
void client_say_ehlo(struct session *s);
/* What EHLO said before TLS means nothing any more. */
void client_forget_offers(struct session *s);
void client_up(struct session *s);
void client_on_greeting(struct session *s, struct slot *k, const struct reply *r);
void client_on_ehlo(struct session *s, struct slot *k, const struct reply *r);
void client_on_helo(struct session *s, struct slot *k, const struct reply *r);

/* ---- client_tls.c ---- */
/* A new connection to s->remote: nothing of the last one holds. */
void client_tls_reset(struct session *s);
/* EHLO or HELO is answered: STARTTLS, or up in plain, or this address can't be used. */
void client_tls_or_up(struct session *s);
void client_on_starttls(struct session *s, struct slot *k, const struct reply *r);
/* The reply to STARTTLS is consumed; `more`: something stood behind it. */
void client_tls_begin(struct session *s, bool more);
void client_tls_established(struct session *s);
/* The handshake gave nothing. */
void client_tls_failed(struct session *s, const char *error);

/* ---- client_auth.c ---- */
void client_auth_or_up(struct session *s);
void client_on_auth(struct session *s, struct slot *k, const struct reply *r);

/* ---- client_txn.c ---- */
/* Takes a step for the current transaction; true: something ended, look again. */
bool client_txn_advance(struct session *s, struct slot *k);
/* Begins the other transaction behind the final dot of this one. */
void client_txn_ahead(struct session *s);
/* Permits are here, or their time has come: notes if it is already over. */
void client_permits_seen(struct session *s, struct slot *k);
/* Takes the transaction into a slot; the body is asked for if it is missing. */
void client_txn_hold(struct session *s, struct slot *k, struct transaction *t);
/* FROM_IO_DONE as it stands; the slot is free. */
void client_txn_done(struct session *s, struct slot *k);
/* Gives every recipient without a result this one, from `from` on in RCPT order up to `to`. `reply`
 * is only borrowed. */
void client_txn_settle(struct slot *k, uint32_t from, uint32_t to, enum smtp_step step,
		       const struct reply_verdict *v, struct rstr *reply);
/* If the current transaction has come to its end: gives it back, and the other one is current. */
bool client_txn_over(struct session *s);
/* Results for a session that ends. */
void client_txn_lost(struct session *s, struct slot *k, bool current, const struct session_end *e);
void client_on_rset(struct session *s, struct slot *k, const struct reply *r);
void client_on_mail(struct session *s, struct slot *k, const struct reply *r);
void client_on_rcpt(struct session *s, struct slot *k, const struct reply *r);
void client_on_data(struct session *s, struct slot *k, const struct reply *r);

/* ---- client_body.c ---- */
/* True when MAIL may be written as far as the body is concerned; asks for it otherwise. */
bool client_body_ready(struct session *s, struct slot *k);
/* Writes what may be written now. */
void client_body_send(struct session *s, struct slot *k);
void client_body_clear(struct slot *k);
/* The body can't be had. */
void client_body_failed(struct session *s, struct slot *k, const char *error);
void client_body_chunk(struct session *s, struct slot *k, struct buf *chunk);
/* Have the dot and all before it left? */
bool client_dot_left(const struct session *s);
void client_on_dot(struct session *s, struct slot *k, const struct reply *r);

/* ---- client_sign.c ---- */
/* True when MAIL may be written as far as DKIM is concerned; begins to sign otherwise. False too if
 * it can't be signed and must: the transaction is over then. The body is there. */
bool client_sign_ready(struct session *s, struct slot *k);
/* The signatures as header fields; "" if there are none. */
struct str client_sign_header(const struct slot *k);
/* The read that is out is for signing. */
bool client_sign_reads(const struct slot *k);
void client_sign_chunk(struct session *s, struct slot *k, struct buf *chunk);
void client_sign_clear(struct slot *k);
/* A step of each job; true: there is more to do (loop_add_before_sleep). */
bool client_sign_pass(void *client);

/* ---- client_reply.c ---- */
/* A before-sleep hook: a new pass, and with it the input that waited. True: some waits still. */
bool client_late(void *arg);
void client_io_event(struct io *io, enum io_event ev, void *arg);
void client_enter_state(struct session *s, enum state state);
/* The state that what is due and held means. */
enum state client_where(const struct session *s);
void client_rest(struct session *s);
bool client_send(struct session *s, struct str bytes);
void client_expect(struct session *s, enum expect_kind kind, struct slot *k, uint32_t count,
		   uint64_t end);
static inline unsigned client_expect_room(const struct session *s)
{
	return EXPECT_MAX - s->expect_n;
}
/* Verdicts without a pattern: our own words, and replies that are simply good. */
struct reply_verdict client_verdict_lost(const char *enhanced);
struct reply_verdict client_verdict_own(enum reply_class class, const char *enhanced,
					const char *rule);
struct reply_verdict client_verdict_ok(const struct session *s, const struct reply *r);
/* What the receiver says makes no sense here: the connection ends, and its words are quoted. */
void client_protocol_error(struct session *s, const char *what, struct str line);
/* "connection reset by peer after RCPT TO" */
struct rstr *client_words_lost(const struct session *s, const char *error);

#endif
