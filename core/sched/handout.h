/* What goes round between scheduler, SMTP client and spool: sessions, transactions, permits. Plain
 * data, one owner at a time: a transaction is made by the scheduler, filled in by the client,
 * decided by the scheduler, recorded by the spool thread and freed there. Nothing is copied on the
 * way. */
#ifndef STOKER_SCHED_HANDOUT_H
#define STOKER_SCHED_HANDOUT_H

#include "conf/settings.h"
#include "core/base/arena.h"
#include "core/classify/classify.h"
#include "core/net/dns_answer.h"

/* Opaque to the scheduler: where the spool keeps a message (struct spool_where's bytes). */
struct handout_where {
	uint64_t v[5];
};

enum decision {		     /* what the scheduler decided for one recipient */
		DECIDE_NONE, /* untried: nothing to record */
		DECIDE_DELIVERED,
		DECIDE_DEFERRED,
		DECIDE_BOUNCED,
		DECIDE_EXPIRED,
		DECIDE_REMOVED, /* by an operator, silently */
};

struct txn_rcpt {
	/* by the scheduler */
	uint32_t index;	  /* in the message */
	uint32_t attempt; /* this one's number, from 1 */
	uint8_t notify;	  /* NOTIFY_ bits of RFC 3461 */
	struct str address, orcpt;
	/* by the client */
	bool tried;	  /* its RCPT was written: an attempt */
	bool maybe_twice; /* the connection died between final dot and answer */
	bool suppressed;  /* it was not written because it is on the suppression list: no attempt */
	uint8_t step;	  /* enum smtp_step of the reply that decided */
	struct reply_verdict verdict;
	struct rstr *reply; /* all lines, or the client's own words ("connection reset by peer after
			       RCPT TO"); one reference */
	/* by the scheduler, at the end */
	uint8_t decision;
	bool report; /* a DSN is to be made (failed or relayed): state RCPT_REPORT */
	us_t due;    /* DECIDE_DEFERRED */
};

struct transaction {
	struct arena arena; /* holds this struct's strings and rcpts */
	uint64_t id;	    /* never reused */
	uint64_t session;   /* 0: made without a session (expiry, removal, NXDOMAIN) */
	uint64_t message;
	struct str sender, envid, job, user;
	struct rstr *queue; /* "gmail.com/pool-a" */
	struct rstr *place; /* the provider, or else the site, that takes its mail; one reference;
			     * NULL: the DNS has not said yet */
	uint8_t ret;	    /* enum dsn_ret */
	bool smtputf8, eightbit, dsn;
	bool dkim_sign;
	uint64_t size;
	us_t received_at;
	void *body; /* struct body *, one reference; NULL: to be loaded from `where` */
	struct handout_where where;
	struct txn_rcpt *rcpts;
	uint32_t nrcpts;
	/* Permits: how many RCPTs may be written from `permit_from` until `permit_until`; the rest,
	 * and all after that time, must be asked for (FROM_IO_ASK). permit_until US_NEVER: no rate
	 * limit applies, write freely. */
	uint32_t permits;
	us_t permit_from, permit_until;
	/* by the client */
	us_t started_at, ended_at; /* MAIL written, last reply */
	bool no_room;	 /* its body found no room in memory: all comes back untried, and hand-outs
			    wait (HOLD_MEMORY) */
	bool dsn_passed; /* the receiver offers DSN and was asked for what the sender asked us */
	struct rstr *vmta, *source_ip, *mx, *mx_ip, *tls,
	    *esmtp;		   /* of the session; one reference each; NULL: none */
	struct patterns *patterns; /* what the verdicts point into; one reference; NULL: none */
	/* It can't be signed and must: where that is written, "stoker.ini:12"; what came of it is
	 * each recipient's reply. One reference; NULL: that is not so. */
	struct rstr *unsigned_by;
#define HANDOUT_UNSIGNED "not signed for " /* how those replies begin */
	bool unreached;		  /* of no message: rcpts[0] says why `queue` found no session
				   * (EVENT_UNREACHED)
				   */
	struct transaction *next; /* for lists of the current owner */
};
/* NULL without memory. Arena first block sized for nrcpts. */
struct transaction *transaction_new(uint32_t nrcpts);
/* Frees all but the body: whoever frees must have dropped or moved `body` (it must be NULL). */
void transaction_free(struct transaction *t);

/* What a session needs to connect and behave; owned by the io thread once sent; session_spec_free.
 */
struct session_spec {
	uint64_t session;
	struct rstr *lane, *site; /* names, for log and trace */
	struct rstr *vmta;
	struct endpoint local4, local6; /* AF_UNSPEC: not available */
	struct rstr *ehlo4, *ehlo6;
	struct dns_host *hosts; /* in the order to try; deep copy, owned */
	int nhosts;
	uint16_t port; /* default 25; a host's address with a port of its own wins */
	bool smtp_pipelining, use_rs;
	struct patterns *patterns;		  /* one reference; NULL: none */
	const struct pattern_list *patterns_list; /* of them; NULL: none */
	enum ip_versions ip_versions;
	enum eightbit eightbit;
	enum starttls starttls;
	bool tls_needed; /* without TLS nothing is sent */
	enum tls_min tls_min;
	struct rstr *auth_user, *auth_password; /* NULL: no AUTH */
	int max_msg_per_connection;
	us_t connect_timeout, greeting_timeout, command_timeout, data_timeout, data_done_timeout,
	    idle_timeout;
};
void session_spec_free(struct session_spec *s);

/* ---- scheduler → io thread ---- */
enum to_io_type {
	TO_IO_OPEN,   /* spec, txn: connect, then send txn */
	TO_IO_TXN,    /* txn for a session that is up */
	TO_IO_GRANT,  /* n permits from `from` until `until` for the session's asking transaction */
	TO_IO_RECALL, /* if MAIL of txn_id is not written yet: give it back untried (FROM_IO_DONE,
			 tried false) */
	TO_IO_FENCE,  /* answer FROM_IO_FENCED with the same number: everything before it has been
			 seen */
	TO_IO_CLOSE,  /* finish what is held, then QUIT */
};
struct to_io {
	enum to_io_type type;
	uint32_t n;
	uint64_t session;
	uint64_t number; /* RECALL: transaction id; FENCE: number */
	us_t from, until;
	struct session_spec *spec;
	struct transaction *txn;
};

/* ---- io thread → scheduler ---- */
enum from_io_type {
	FROM_IO_SLOTS, /* n more sessions may be opened on this io thread (grant of credits) */
	FROM_IO_UP,    /* greeting and EHLO are done; address says where */
	FROM_IO_ADDRESS_FAILED, /* one address did not give a session; reply and verdict say why;
				   the client tries the next */
	FROM_IO_ASK, /* the session's current transaction (`number`) wants n permits; earlier unused
			permits are void; they had run out by `late` when this thread saw them */
	FROM_IO_USED, /* RCPTs written so far under permits: `n` more than last said; sent with or
			 before DONE */
	FROM_IO_DONE, /* txn with results; the session (if still up) can take another */
	FROM_IO_DOWN, /* the session is over and its slot free again; all its transactions came back
		       * before. `established`: it had been up; reply: why, if not by plan */
	FROM_IO_FENCED,
};
struct from_io {
	enum from_io_type type;
	uint32_t io; /* index of the io thread */
	uint32_t n;
	uint64_t session;
	uint64_t number;	      /* ASK: transaction id; FENCED: fence number */
	us_t late;		      /* ASK; 0: came in time */
	bool established, planned;    /* DOWN: planned = QUIT after idle, max-msg-per-connection,
					 CLOSE, or peer's polite 421 before MAIL */
	bool pipelining;	      /* UP: the session can take a second transaction ahead */
	uint8_t step;		      /* ADDRESS_FAILED, DOWN: enum smtp_step where it ended */
	struct reply_verdict verdict; /* ADDRESS_FAILED, DOWN */
	struct endpoint address;      /* UP, ADDRESS_FAILED; DOWN: tried last, if never up */
	struct rstr *host;	      /* its MX name; one reference or NULL */
	struct rstr *reply;	      /* ADDRESS_FAILED, DOWN; one reference or NULL */
	struct transaction *txn;
};

#endif
