/* One command on its way: from words to an exit code. It may wait for an answer of another thread
 * (matched by id), for the operator's confirmation, for room at its sink, or for events; it is
 * driven by the control loop and never blocks it.
 *
 * A request is freed by request_finish, or when its owner is gone (request_cancel). Where what it
 * asked for changes something, it lives on without owner until the answer is there, for the audit
 * log. */
#ifndef STOKER_CONTROL_REQUEST_H
#define STOKER_CONTROL_REQUEST_H

#include "core/control/control.h"
#include "core/control/parse.h"

struct request;

/* Where its words go: a socket session or a link answer. */
struct sink {
	void (*out)(struct request *r, struct str text);
	void (*err)(struct request *r, struct str line); /* without \n */
	/* `word` must be typed; `count` recipients are concerned, -1: no such number. The answer
	 * comes by request_confirm. NULL: can't ask. */
	void (*ask)(struct request *r, int64_t count, struct str word, struct str text);
	void (*done)(struct request *r,
		     int exit); /* the last call; the owner forgets the request */
	/* Asks for the next piece of the file that the command names: request_file. NULL: nobody
	 * has files here. */
	void (*file)(struct request *r);
	/* True while it should not be given more (request_wake when there is room). NULL: always
	 * room. */
	bool (*full)(const struct request *r);
};

enum pump_result {
	PUMP_MORE, /* call again */
	PUMP_WAIT, /* until request_wake */
	PUMP_DONE, /* it is finished and freed */
};

struct request {
	uint32_t magic;
	uint64_t id;
	struct control *c;
	const struct sink *sink;
	void *owner; /* of the sink; NULL: gone */
	struct arena mem;
	struct str *words;
	int nwords;
	struct invocation inv;
	struct rstr *who, *session;
	enum role role;
	bool tty;	  /* somebody can type */
	bool own_session; /* the console: undo means what this session did (else what the user
			     did), and the risk ladder holds */
	bool risk; /* it asks because much is concerned, not because of what can't be undone */
	const char *risk_expiry; /* the words for its field; NULL: it makes no override */
	int columns;		 /* 0: unlimited */
	/* waiting for */
	us_t asked_at; /* of another thread, 0: not waiting */
	void (*on_text)(struct request *r, int exit, struct rstr *text); /* takes over text */
	void (*on_reply)(struct request *r,
			 const struct sched_reply *reply); /* text stays the caller's */
	void (*on_confirm)(struct request *r);
	void (*on_file)(struct request *r, struct str piece); /* "": the end */
	struct str confirm_word;
	/* streaming */
	enum pump_result (*pump)(struct request *r);
	void (*free_state)(void *state);
	void *state;
	bool runnable;
	struct request *next_runnable;
	struct buf result; /* its last line, for the audit log */
};

struct request *request_new(struct control *c, const struct sink *sink, void *owner,
			    struct rstr *who, struct rstr *session, enum role role);
/* Parses, checks the role, runs. May finish before it returns. */
void request_start(struct request *r, const struct str *words, int n);
/* Owner is gone. */
void request_cancel(struct request *r);
void request_confirm(struct request *r, struct str typed);
/* A piece of its file has come; false: it had not asked for one. */
bool request_file(struct request *r, struct str piece);

/* for the commands */
void request_out(struct request *r, struct str text);
void request_outf(struct request *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void request_finish(struct request *r, int exit);
/* One line on stderr, then finish. */
void request_fail(struct request *r, int exit, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void request_ask(struct request *r, int64_t count, struct str word, struct str text,
		 void (*on_confirm)(struct request *r));
/* Notes that another thread was asked, with the request's id. */
void request_wait_text(struct request *r,
		       void (*on_text)(struct request *r, int exit, struct rstr *text));
void request_wait_reply(struct request *r,
			void (*on_reply)(struct request *r, const struct sched_reply *reply));
/* From now on pump is called when there is time and room. */
void request_stream(struct request *r, enum pump_result (*pump)(struct request *r), void *state,
		    void (*free_state)(void *state));
void request_wake(struct request *r);
bool request_full(const struct request *r);
/* Writes out a long text in steps, then finishes; takes over text. */
void request_stream_text(struct request *r, int exit, struct rstr *text);

/* for control.c */
struct request *request_by_id(struct control *c, uint64_t id);
/* Runs what is runnable for at most the budget; true if something is left. */
bool requests_pump(struct control *c, us_t budget);
/* Fails what waited too long for another thread. */
void requests_expire(struct control *c, us_t now);
void requests_free(struct control *c);

/* ---- risk.c ---- */
/* The console's risk ladder. False: nothing to ask, act now. True: it asks, or acts by itself once
 * it has counted. */
bool risk_asks(struct request *r, void (*act)(struct request *r));

/* ---- the commands, by file ---- */
typedef void command_fn(struct request *r);
command_fn show_status, show_detail, show_message, show_settings,
    show_resolve;	  /* shows.c, status.c */
command_fn list_rows;	  /* lister.c */
command_fn list_messages; /* messages.c */
command_fn show_log;	  /* log.c */
command_fn suppress_add, suppress_remove, suppress_list, suppress_import,
    suppress_export; /* suppress.c, suppress_walk.c, suppress_import.c */
command_fn act_sched, act_irreversible, act_undo, act_ack, act_rotate, act_reload,
    act_shutdown; /* acts.c */

#endif
