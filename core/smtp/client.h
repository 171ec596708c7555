/* The SMTP client of one io thread: it opens the sessions that the scheduler asks for, delivers
 * transactions, and reports each recipient's outcome with the remote's words. Every reply is kept.
 * All on its loop's thread. */
#ifndef STOKER_SMTP_CLIENT_H
#define STOKER_SMTP_CLIENT_H

#include "core/classify/classify.h"
#include "core/net/io.h"
#include "core/sched/handout.h"
#include "core/sign/sign.h"
#include "core/spool/spool.h"
#include "core/spool/suppression.h"

struct client_env {
	void *arg;
	/* To the scheduler; takes over strings and transactions in *m. */
	void (*to_sched)(void *arg, const struct from_io *m);
	/* A transaction without a body: load it (spool, then a worker). Answer: client_body. */
	void (*load_body)(void *arg, uint64_t session, uint64_t txn, uint64_t message,
			  const struct handout_where *where);
	/* Reads part of a file body (a worker). `body`: a reference travels along. Answer:
	 * client_chunk. */
	void (*read_chunk)(void *arg, uint64_t session, uint64_t txn, struct body *body,
			   uint64_t offset, size_t n);
	/* A message was signed, or could not be. Only while the call lasts. */
	void (*signature)(void *arg, const struct signature *g);
	/* Is this recipient on the suppression list for mail of that sender? NULL: there is none.
	 */
	bool (*suppressed)(void *arg, struct str sender, struct str recipient,
			   struct suppression_found *out);
	/* Before MAIL: the return path in place of the sender, and header lines that go in front of
	 * the message, unsigned; "": none. In the transaction's arena. False without memory. NULL:
	 * nothing is ever marked. */
	bool (*mark)(void *arg, struct transaction *t, struct str vmta, struct str *path,
		     struct str *header);
};
struct client;
struct client *client_new(struct loop *l, uint32_t io_index, const struct client_env *env,
			  const struct classifier *classifier);
void client_free(struct client *c);
/* The newest snapshot (a reference is taken): its TLS contexts serve the sessions that begin TLS
 * from now on, and its keys sign. */
void client_conf(struct client *c, struct conf *conf);
/* A message from the scheduler; takes over spec and txn. */
void client_to_io(struct client *c, struct to_io *m);
/* Answers; dropped if session or transaction are gone. They may come from inside load_body or
 * read_chunk. `body` (one reference, taken over) is in memory, or a file body for a large message;
 * NULL: it can't be read, and `error` says why in words. */
/* The answer instead, without room for it: the transaction goes back untried. */
void client_no_room(struct client *c, uint64_t session, uint64_t txn);
void client_body(struct client *c, uint64_t session, uint64_t txn, struct body *body,
		 const char *error);
/* `chunk` must hold exactly what was asked for; its memory is taken over and the struct left empty.
 * NULL: it can't be read. */
void client_chunk(struct client *c, uint64_t session, uint64_t txn, struct buf *chunk,
		  const char *error);

struct client_stats {
	uint64_t sessions;		     /* open now */
	uint64_t attempts;		     /* RCPTs written */
	uint64_t connects, connect_failures; /* addresses tried; of them gave no session */
	uint64_t bytes_out;
	uint64_t judged_max; /* bytes of refusals that one loop pass judged, the most */
};
void client_stats(const struct client *c, struct client_stats *out);

#endif
