/* The MTA as threads: who runs what, and how they talk (DESIGN.md, "Threads"). Every thread owns
 * one `struct member` with a loop; a matrix of single-producer mailboxes carries posts (small
 * messages with a function to run on the receiving thread), and the hot paths have mailboxes of
 * their own. This header is private to core/mta_*.c and core/main.c. */
#ifndef STOKER_CORE_MTA_H
#define STOKER_CORE_MTA_H

#include <pthread.h>

#include "conf/settings.h"
#include "core/base/domain.h"
#include "core/base/jsonw.h"
#include "core/control/control.h"
#include "core/feedback/dsn.h"
#include "core/feedback/inbound.h"
#include "core/net/listener_move.h"
#include "core/net/resolver.h"
#include "core/report/accounting.h"
#include "core/report/delivery_log.h"
#include "core/sched/sched.h"
#include "core/sign/probes.h"
#include "core/smtp/client.h"
#include "core/smtp/guard.h"
#include "core/smtp/server.h"
#include "core/smtp/submits.h"
#include "core/spool/spool.h"
#include "core/spool/suppression.h"
#include "tui/console.h"

enum { IO_THREADS_MAX = 32, WORKERS = 3, WORKER_SLOW = 2, LISTENERS_MAX = 64 };

enum member_kind {
	MEMBER_MAIN,
	MEMBER_SCHED,
	MEMBER_SPOOL,
	MEMBER_REPORT,
	MEMBER_CONTROL,
	MEMBER_CONSOLE,
	MEMBER_PICKUP,
	MEMBER_HTTP,
	MEMBER_WORKER,
	MEMBER_IO
};

struct member; /* a thread */
struct mta;

/* A small message: `fn` runs on the receiver. What `p` and `q` own passes with it. */
struct post {
	void (*fn)(struct member *to, struct post *p);
	void *p, *q;
	uint64_t a, b, c;
};

struct member {
	struct mta *mta;
	enum member_kind role;
	int index; /* in mta->members */
	int nth;   /* among its kind: io thread 0, 1 … */
	char name[16];
	struct loop *loop; /* NULL: the main thread */
	pthread_t thread;
	bool started;
	uint64_t beat; /* atomic: the watchdog's question that it answered last */
	void *state;   /* of its own file: struct io_thread, struct spool_thread … */
};

/* spool → io: the answer. */
struct commit_answer {
	uint64_t session;
	const struct err *err;
};
/* spool → scheduler: durable, or loaded at start. */
struct new_message {
	struct message *message;
	bool loaded;
};

struct mta_opts {
	const char *conf_path;
	const char *shipped_dir; /* providers.ini */
	const char *themes_dir;
	uint16_t smtp_port;	 /* of receivers: 25, but for demo and sim */
	const char *name_server; /* demo and sim: the simulator; else NULL */
	bool demo;		 /* never changes user, private MX allowed */
};

enum { ROWS_A_POST = 16 }; /* of the mirror: control stops between posts when its pass gets long */

struct mta {
	struct mta_opts opts;
	struct conf *conf; /* atomic: the running one; who reads it later than at start is a worker
			      or control, and takes a reference */
	uint64_t conf_number;
	struct spool *spool;
	struct suppression *suppression;
	bool suppression_new; /* made at this start */
	struct classifier *classifier;
	us_t started_at;

	struct member members[8 + WORKERS + IO_THREADS_MAX];
	int nmembers, nio;
	struct member *main, *sched, *spooler, *report, *control, *console, *pickup, *http,
	    *workers[WORKERS], *io[IO_THREADS_MAX];
	struct mailbox **posts; /* [from * nmembers + to] */

	/* the hot paths */
	struct mailbox *to_io[IO_THREADS_MAX], *from_io[IO_THREADS_MAX];     /* scheduler ⇄ io */
	struct mailbox *commits[IO_THREADS_MAX], *committed[IO_THREADS_MAX]; /* io ⇄ spool */
	struct mailbox *fresh;	  /* spool → scheduler: struct new_message */
	struct mailbox *outcomes; /* scheduler → spool: struct transaction *; never wakes the spool
				     thread by itself */
	struct mailbox *used_rows; /* control → scheduler: struct row *, arrays of ROWS_A_POST to be
				      filled again; wakes nobody */
	size_t commit_credits;	   /* of each io thread */
	size_t load_slowly; /* for tests: so many messages of the spool are loaded between two looks
			       at its figures; 0: as fast as it goes */

	int listener_fds[LISTENERS_MAX]; /* bound at start, one for each of conf->listeners */
	int http_fd;			 /* listens on http-mgmt-port; negative: as http_listen */
	us_t copy_cpu_us;  /* atomic: what the mirror's copies have cost the scheduler's thread */
	uint32_t stopping; /* atomic */
	int32_t connections_in;	      /* atomic; io thread 0 counts */
	struct probes *probes;	      /* control's: core/mta_probe.c */
	struct inbound_line *inbound; /* core/mta_inbound.c */
	struct hook_counts {	      /* atomic: of all [webhook] sections, by the report thread */
		uint64_t requests, failed, events;
		uint64_t behind; /* of the one that is most */
	} hook_counts;
	uint32_t source_rates_n;
	int64_t *source_next_us; /* atomic, one a [source]: when its next message may start */
};

/* Runs until a signal stops it. Returns the exit code. `ready_fd` >= 0: one byte is written when
 * the control socket listens. */
int mta_run(const struct mta_opts *o, struct conf *conf, int ready_fd);

/* ---- core/mta_watchdog.c: main thread ---- */
/* How often watchdog_step is to be called; 0: systemd asks for no signs of life. */
us_t watchdog_every_us(void);
/* Tells systemd that all loops that must never block go round, and asks them again. One that has
 * not answered the last question keeps the sign of life back. */
void watchdog_step(struct mta *m);

/* ---- core/mta_post.c ---- */
/* From the thread of `from` only. Never blocks. */
void mta_post(struct member *from, struct member *to, struct post p);
/* After the thread of `from` has ended: what it posted last is passed on, too. */
void mta_posts_flush(struct member *from);
void mta_posts_make(struct mta *m);
void mta_posts_wire(struct member *me);
struct member *mta_body_worker(struct mta *m, uint64_t key);

/* ---- one file a thread: wire mailboxes and state before the threads start; run is the thread's
 * function ---- */
void mta_io_wire(struct member *me);
void mta_sched_wire(struct member *me);
void mta_spool_wire(struct member *me);
/* After its loop has ended: what is buffered becomes durable. */
void mta_spool_finish(struct member *me);
void mta_sched_finish(struct member *me); /* after its thread and those of io have ended */
/* Writes what waits and notes the position; the spool must still be open. */
void mta_report_finish(struct member *me);
void mta_console_finish(struct member *me);
void mta_control_finish(struct member *me);
void mta_report_wire(struct member *me);
void mta_control_wire(struct member *me);
void mta_console_wire(struct member *me);
void mta_console_status(const struct mta *m, struct jsonw *w); /* control's thread */
void mta_pickup_wire(struct member *me);
void mta_pickup_finish(struct member *me);
void mta_http_wire(struct member *me);
void mta_http_finish(struct member *me);
void mta_worker_wire(struct member *me);

/* Posts' receiving functions that cross files. Each runs on the thread that its name begins with.
 */
void sched_post_conf(struct member *to, struct post *p); /* p: conf reference */
void sched_post_source(struct member *to,
		       struct post *p); /* a: vmta, b: up4 | up6 << 1, c: ptr_ok + 1 */
void sched_post_dns(struct member *to, struct post *p);	    /* a: lookup, p: answer */
void sched_post_command(struct member *to, struct post *p); /* p: struct sched_cmd_box */
void sched_post_detail(struct member *to, struct post *p);  /* a: id, p: target text (rstr) */
void sched_post_messages(struct member *to,
			 struct post *p); /* a: id, b: cursor, c: max, p: target text */
void sched_post_reported(struct member *to,
			 struct post *p); /* p: struct message (our DSN's reports_*), freed */
void sched_post_synced(struct member *to, struct post *p); /* a: token */
void sched_post_load_done(struct member *to, struct post *p);
void sched_post_hold(struct member *to, struct post *p);  /* a: enum sched_hold, b: on */
void sched_post_aside(struct member *to, struct post *p); /* a: in, b: loaded, c: removed */
void sched_post_moved(struct member *to, struct post *p);

void spool_post_state(struct member *to, struct post *p); /* p: struct state_put */
void spool_post_sync(struct member *to, struct post *p);  /* a: token */
void spool_post_body(struct member *to, struct post *p);  /* p: struct body_request */
void spool_post_dsn(struct member *to, struct post *p);	  /* p: struct dsn_job */
void spool_post_message(struct member *to,
			struct post *p); /* p: struct message, from a worker: our own DSN */
void spool_post_settle(struct member *to,
		       struct post *p); /* p: struct message: its reports_* end without a report */
void spool_post_inbound(struct member *to, struct post *p);  /* p: struct inbound_work */
void spool_post_rejected(struct member *to, struct post *p); /* p: struct buf *, encoded event */
void spool_post_position(struct member *to, struct post *p); /* a: id, p: rstr, the reader */
void spool_post_forget(struct member *to, struct post *p);   /* p: rstr, the reader */
void spool_post_show(struct member *to, struct post *p);     /* a: request id, b: message, c: raw */
void spool_post_rows(struct member *to, struct post *p);     /* p: struct message_rows */
void spool_post_conf(struct member *to, struct post *p);     /* p: struct conf_stored */
void spool_post_history(struct member *to,
			struct post *p); /* p: struct reload_request: fills in the stored texts,
					    then a worker reads them */
void spool_post_suppress(struct member *to, struct post *p); /* p: struct suppress_job */
void spool_post_rules(struct member *to, struct post *p);    /* p: conf reference */
void spool_post_prepared(struct member *to, struct post *p);

void worker_post_body(struct member *to,
		      struct post *p); /* p: struct body_request with a file body */
void worker_post_chunk(struct member *to, struct post *p); /* p: struct chunk_request */
void worker_post_large(struct member *to, struct post *p); /* p: struct large_request */
void worker_post_dsn(struct member *to,
		     struct post *p); /* p: struct dsn_job, q: file body or NULL */
void worker_post_inbound(struct member *to, struct post *p); /* p: struct inbound_work */
void worker_post_show(struct member *to, struct post *p);    /* p: struct show_request */
void worker_post_reload(struct member *to, struct post *p);  /* p: struct reload_request */
void worker_post_forget(
    struct member *to,
    struct post *p); /* p: struct settings_cache, q: conf reference; either may be NULL */
void worker_post_replaced(struct member *to,
			  struct post *p);		  /* p: conf reference that mta->conf had */
void worker_post_auth(struct member *to, struct post *p); /* p: struct auth_request */
void worker_post_log(struct member *to, struct post *p);  /* p: struct link_request */
void worker_post_segment(struct member *to, struct post *p);
void worker_post_probe(struct member *to,
		       struct post *p); /* p: struct probe_request, q: struct dns_answer or NULL */
void worker_post_trim(struct member *to, struct post *p);
void worker_post_conf(struct member *to, struct post *p); /* p: conf reference: for the history */

void io_post_accept(struct member *to, struct post *p); /* a: fd, b: listener, p: endpoint */
void io_post_closed(struct member *to, struct post *p); /* io 0: a: doors_client, b: door */
void io_post_pickup(struct member *to, struct post *p); /* a: fd, p: rstr, the listener's name */
void io_post_conf(
    struct member *to,
    struct post *p); /* p: conf reference; q: int fds for new listeners (io 0) or NULL */
void io_post_auth(struct member *to, struct post *p);  /* p: struct auth_request, answered */
void io_post_hold(struct member *to, struct post *p);  /* a: bits */
void io_post_body(struct member *to, struct post *p);  /* p: struct body_request */
void io_post_chunk(struct member *to, struct post *p); /* p: struct chunk_request */
void io_post_large(struct member *to,
		   struct post *p); /* a: session, b: enum server_large_what, p: body */
void io_post_lookup(struct member *to, struct post *p);	  /* io 0: p: struct lookup_request */
void io_post_drain(struct member *to, struct post *p);	  /* a: refuse new mail */
void io_post_memory(struct member *to, struct post *p);	  /* a: over the memory limit */
void io_post_shutdown(struct member *to, struct post *p); /* a: within, us */

void pickup_post_conf(struct member *to, struct post *p); /* p: conf reference */
void report_post_wake(struct member *to, struct post *p); /* events were committed */
void report_post_conf(struct member *to, struct post *p);
void report_post_rotate(struct member *to, struct post *p);
void report_post_audit(struct member *to, struct post *p); /* p: rstr */

void control_post_row(struct member *to,
		      struct post *p); /* p: struct row *, malloc'd array; a: n */
void control_post_rows(struct member *to, struct post *p);   /* p: struct row *, an array of
								ROWS_A_POST; a: n */
void control_post_totals(struct member *to, struct post *p); /* p: struct sched_totals * */
void control_post_reply(struct member *to, struct post *p);  /* p: struct sched_reply * */
void control_post_text(struct member *to, struct post *p);   /* a: id, b: exit, p: rstr */
void control_post_echo(struct member *to, struct post *p);   /* p: rstr */
void control_post_events(struct member *to, struct post *p); /* a: first id, b: n, p: rstr */
void control_post_spool(
    struct member *to,
    struct post *p); /* p: struct spool_stats *; a: load progress in millionths */
void control_post_alarm(struct member *to, struct post *p); /* p: struct alarm_note */
void control_post_loaded(struct member *to,
			 struct post *p); /* p: struct reload_request: what the worker read */
void control_post_conf_held(struct member *to,
			    struct post *p); /* a: number of a snapshot that a loop works by now */
void control_post_request(struct member *to, struct post *p); /* p: struct link_request */
void control_post_resolved(struct member *to,
			   struct post *p); /* a: id, p: answer, q: struct lookup_request */
void control_post_show(struct member *to, struct post *p);   /* p: struct show_request */
void control_post_probe(struct member *to, struct post *p);  /* look for keys that are due */
void control_post_probed(struct member *to, struct post *p); /* p: struct probe_request */
void control_post_signal(struct member *to, struct post *p); /* a: signal number */

void control_post_http(struct member *to, struct post *p); /* p: struct http_ask */
void http_post_answer(struct member *to, struct post *p);  /* p: struct http_answer */
void http_post_conf(struct member *to,
		    struct post *p); /* p: conf reference; a: int, as http_listen */

void console_post_answer(struct member *to, struct post *p);
void console_post_echo(struct member *to, struct post *p);
void console_post_header(struct member *to, struct post *p); /* p: struct sched_totals *, q: rstr */
void console_post_attach(struct member *to, struct post *p); /* p: struct attach_note */
void console_post_conf(struct member *to, struct post *p);

/* ---- core/mta_history.c: stored configurations, on the spool thread ---- */
struct conf_history;
struct conf_stored;
struct reload_request;
struct conf_history *mta_history_wire(struct member *me);
void mta_history_add(struct conf_history *t, struct conf_stored *x); /* takes it over */
/* Stores a piece of the oldest that waits, or reads some for who asks; false: there was nothing. */
bool mta_history_step(struct conf_history *t);
/* Fills in r->packed, configuration r->to, and passes r on to the worker; to control, with a
 * sentence, if there is none. In steps: it returns at once. */
void mta_history_fetch(struct conf_history *t, struct reload_request *r);
/* On the worker: the texts in r->packed. False: damaged, or no memory. */
bool mta_history_unpack(struct reload_request *r);
/* At the end: stores the rest. */
void mta_history_finish(struct conf_history *t);

/* ---- core/mta_reader.c: what the report thread's readers of the events have in common ---- */
enum { MTA_READER_NAME = 96 };
/* "accounting:NAME", by which the spool knows its position. */
void mta_reader_name(const char *prefix, const char *section, char out[MTA_READER_NAME]);
/* Tells the spool the position. False: no memory, say it again. */
bool mta_reader_save(struct member *me, const char *reader, uint64_t position);
void mta_reader_forget(struct member *me, const char *reader);
/* An alarm if `missed` events, more than *told, were dropped before [kind name] had them. */
void mta_reader_missed(struct member *me, const char *kind, const char *name, uint64_t missed,
		       uint64_t *told);

/* ---- core/mta_webhook.c: the readers of the [webhook] sections, on the report thread; as those of
 * [accounting] below ---- */
struct hooks;
struct hooks *hooks_wire(struct member *me, const struct conf *c);
void hooks_conf(struct hooks *h, const struct conf *c);
void hooks_wake(struct hooks *h);
us_t hooks_step(struct hooks *h, us_t now);
/* Drops what is on its way, and notes the positions: what was not answered is sent after the next
 * start. */
void hooks_finish(struct hooks *h);

/* Any thread: an object of `status`. */
void hooks_status(struct mta *m, bool configured, struct jsonw *w);

/* ---- core/mta_accounting.c: the readers of the [accounting] sections, on the report thread ----
 */
struct books;
/* At start; fatal if a file can't be opened. */
struct books *books_wire(struct member *me, const struct conf *c);
void books_conf(struct books *b, const struct conf *c);
void books_wake(struct books *b); /* events were committed */
/* Some of the work. When to be called next at the latest; `now`: more waits. */
us_t books_step(struct books *b, us_t now);
void books_rotate(struct books *b, us_t now);
/* Writes what waits and notes the positions; the spool must still be open. */
void books_finish(struct books *b);

/* ---- core/mta_suppress.c: the suppression list. Main thread, before the others start ---- */
/* Fatal if it can't be opened. */
void mta_suppression_open(struct mta *m);
/* The rest is the spool thread's. */
struct suppress_thread;
struct suppress_job;
struct suppress_thread *mta_suppress_wire(struct member *spooler);
void mta_suppress_conf(struct suppress_thread *x, const struct conf *c);
/* Right behind spool_outcome or spool_event of a bounced, expired, remote-bounced or complaint that
 * is to be believed: puts its recipient on the list if [suppression] says so, and tells of it by an
 * EVENT_SUPPRESSED in the same commit. */
void mta_suppress_event(struct suppress_thread *x, const struct event *ev);
/* Events were committed: what they brought may be written now. */
void mta_suppress_committed(struct suppress_thread *x);
/* True: more to do now. */
bool mta_suppress_step(struct suppress_thread *x, us_t now);
us_t mta_suppress_next(const struct suppress_thread *x); /* when to call it again at the latest */
void mta_suppress_job(struct suppress_thread *x, struct suppress_job *j); /* takes over */
/* Something waits for a commit of the events before it goes on. */
bool mta_suppress_wants_commit(const struct suppress_thread *x);
/* All events are committed. */
void mta_suppress_finish(struct suppress_thread *x);

/* ---- core/mta_alarm_mail.c: control thread ---- */
/* Mail to [alarm] mail-to about n alarms. */
void mta_alarm_mail(struct member *control, const struct conf *c, int n, struct str text);

/* ---- core/mta_feedback.c: what receivers say of our mail, counted on the report thread ---- */
struct feedback;
/* At start; fatal without memory. */
struct feedback *feedback_wire(struct member *me, const struct conf *c);
void feedback_conf(struct feedback *f, const struct conf *c);
void feedback_wake(struct feedback *f); /* events were committed */
/* Some of the work. When to be called next at the latest; `now`: more waits. */
us_t feedback_step(struct feedback *f, us_t now);
/* Saves what it counted; the spool must still be open. */
void feedback_finish(struct feedback *f);

/* Spool thread: records what a report that is believed says, and what [suppression] makes of it. */
void mta_spool_reported(struct member *me, const struct event *e);

/* ---- core/mta_own.c: messages of our own that were refused. Spool thread ---- */
struct own_mail;
struct own_mail *mta_own_new(void);				       /* fatal without memory */
void mta_own_refused(struct own_mail *o, us_t now, struct message *m); /* takes it over */
void mta_own_taken(struct own_mail *o); /* one was not refused: the next pause is short again */
/* Gives some of those whose time has come to `put`, which owns them; true if more are left. */
bool mta_own_step(struct own_mail *o, us_t now, void (*put)(void *arg, struct message *m),
		  void *arg);
void mta_own_drop(
    struct own_mail *o); /* at the end; reports and forwards are made at the next start */

/* ---- core/mta_inbound.c ---- */
void inbound_start(struct mta *m);
void inbound_finish(struct mta *m); /* all threads have ended */
/* Spool thread. Is this mail to an [inbound] domain? Then it goes here, not to the scheduler. */
bool inbound_is(const struct message *m);
void inbound_enter(struct member *spooler, struct message *m, bool loaded);
/* Hands to the worker what waits, if commits work. */
void inbound_step(struct member *spooler);
/* Any thread: an object of `status`. */
void inbound_status(struct mta *m, bool configured, struct jsonw *w);
/* Io threads: the return path and reference of a transaction (core/smtp/client.h, `mark`). */
bool mta_mark(const struct conf *c, struct transaction *t, struct str vmta, struct str *path,
	      struct str *header);
/* core/mta_worker.c: fills in a recipient of a message of our own; false if it is no address. */
bool mta_own_recipient(struct message *m, struct message_rcpt *r, struct str address);

/* ---- what travels by pointer ---- */
struct sched_cmd_box { /* a command with its strings in one arena */
	struct arena arena;
	struct sched_cmd cmd;
};
struct state_put {
	const char *table;
	struct rstr *key, *value; /* value NULL: delete */
};
struct body_request {
	struct member *asker; /* the io thread */
	uint64_t session, txn, message;
	struct spool_where where;
	struct body *body; /* the answer */
	bool no_room;	   /* or this: memory has no room for it now */
	char error[160];
};
struct chunk_request {
	struct member *asker;
	uint64_t session, txn, offset;
	size_t n;
	struct body *body;
	struct buf data;
	char error[160];
};
enum large_op { LARGE_CREATE, LARGE_WRITE, LARGE_FINISH, LARGE_ABORT };
struct large_request {
	struct member *asker;
	uint64_t session, message;
	enum large_op op;
	bool dot_line, eightbit;
	struct buf chunk;
};
struct lookup_request {
	uint64_t lookup; /* of the scheduler, or of control with `for_control` */
	enum resolver_kind kind;
	bool allow_private, for_control;
	struct probe_request *probe; /* a DKIM record's look-up, answered to a worker */
	char name[DOMAIN_SIZE];
};
struct auth_request { /* wiped when it is freed */
	struct member *asker;
	uint64_t session;
	struct endpoint client;
	char user[256], password[256], hash[520];
	enum server_auth_verdict verdict;
	us_t delay;
};
struct show_request {
	uint64_t id, message;
	bool raw;
	struct message *envelope;
	struct body *body;
	/* Of the recipients that wait: all, those whose settings sign, those whose settings sign at
	 * some of the route's virtual MTAs. */
	uint32_t waiting, sign, sign_partly;
};
struct message_rows {
	struct arena arena;
	uint64_t id, cursor;
	int64_t total;
	int n;
	struct message_row *rows;
};
struct suppress_job { /* of a command; rows are gone through in steps */
	struct suppress_job *next;
	uint64_t id; /* of the request */
	struct buf rows;
	struct reader left;
	bool tell;
	struct rstr *who;
	uint64_t done, already;
	struct buf told; /* events for what is new */
};
struct reload_request {
	uint64_t id;
	bool dry_run;
	uint64_t to;
	struct rstr *who;
	struct conf *was; /* reference */
	struct conf *now; /* NULL: errors */
	struct rstr *text;
	uint64_t expected; /* number that the new one will have; `text` ends with the line that says
			      so */
	size_t difference; /* bytes of `text` before that line */
	us_t took;	   /* to read it */
	struct buf packed; /* going back: as it lies in the history; empty: as on disk */
	struct conf_file *stored; /* its texts, unpacked by the worker; freed with the request */
	int nstored;
	char *stored_path;
	bool at_start_check; /* only looks whether files differ */
	bool differs;
	/* In force, not yet answered: its snapshot's number, and how many loops still lack it. */
	uint64_t number;
	int waits;
	struct reload_request *next;
};
struct alarm_note {
	char code[32];
	bool on;
	int severity;
	struct rstr *target, *text;
};
struct conf_stored { /* a configuration on its way into the history */
	struct conf_stored *next;
	uint64_t number;
	struct buf text;
	size_t at; /* bytes before are stored */
	uint32_t parts;
};
struct attach_note {
	int fd;
	enum role role;
	struct rstr *user, *hello;
};
/* Raises or ends an alarm from any member's thread. */
void mta_alarm(struct member *from, const char *code, bool on, int severity, const char *target,
	       const char *fmt, ...) __attribute__((format(printf, 6, 7)));

/* Is this address on this machine (it can be bound)? */
bool mta_address_here(const struct endpoint *e);
/* Tells the scheduler which virtual MTAs are up, and raises or ends their alarms. */
void mta_sources_check(struct member *from, const struct conf *c);
/* What a configuration makes of the HTTP port (core/mta_http.c): *fd for http_listen. `was` NULL:
 * at start. False with a sentence if it can't be opened. */
bool mta_http_bind(const struct conf *was, const struct conf *now, struct listener_move *move,
		   int *fd, struct errbuf *e);
/* The address of a configuration's HTTP port; false: it has none. */
bool mta_http_at(const struct conf *c, struct endpoint *at);
/* Ends all loops; any thread. */
void mta_stop(struct mta *m);

/* ---- core/mta_probe.c: control thread (and main, before the threads start) ---- */
void mta_probes_conf(struct member *control, struct conf *c);
/* Looks up what is due. */
void mta_probes_step(struct member *control);
/* "dkim" of `status`: how many keys there are in each state. */
void mta_probes_status(const struct member *control, struct jsonw *w);

/* ---- core/privileges.c ---- */
/* setgroups, setgid, setuid, verified; CAP_NET_BIND_SERVICE kept; no_new_privs; not dumpable. */
const struct err *privileges_drop(const char *user, struct errbuf *e);
void privileges_harden(void); /* no_new_privs, not dumpable: for those who do not change user */

#endif
