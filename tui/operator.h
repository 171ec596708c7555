/* An attached operator: socket, terminal, views, prompt, box, echo line. Private to tui/. All on
 * the console's loop; an operator ends through operator_leave only, and is freed at the end of the
 * pass. */
#ifndef STOKER_TUI_OPERATOR_H
#define STOKER_TUI_OPERATOR_H

#include "tui/box.h"
#include "tui/console.h"
#include "tui/header.h"
#include "tui/keys.h"
#include "tui/plain.h"
#include "tui/prompt.h"
#include "tui/screen.h"
#include "tui/view.h"

#define FRAME_BY_ITSELF_US (250 * US_PER_MS)
#define FRAME_ON_KEY_US	   (40 * US_PER_MS)
#define ECHO_US		   (60 * US_PER_S)
#define BOX_GUARD_US	   (300 * US_PER_MS)

enum root {
	ROOT_QUEUES,
	ROOT_SOURCES,
	ROOT_LOG,
	ROOT_OVERRIDES,
	ROOT_JOBS,
	ROOT_ALARMS,
	ROOT_FEEDBACK,
	ROOTS
};
enum { STACK_MAX = 8, OPERATORS_MAX = 32, OUT_FRAME_MAX = 1024 * 1024, PENDING_MAX = 64 };

struct pending { /* a question that is out */
	uint64_t id;
	uint64_t view; /* serial; 0: the operator's own */
	int tag;
};
enum own_tag { ASK_ACT, ASK_SHOW, ASK_COMPLETE, ASK_ALARM, ASK_BOX, ASK_EXPORT, ASK_LOG };

struct echo {
	char text[512];
	enum style style;
	us_t since, until;
	uint64_t override; /* u and = work on it while the echo stands */
	bool own;
};
/* Acts on several targets: one command after the other, one sentence at the end. */
struct batch {
	char **commands;
	int n, next, done, refused;
	char first_refusal[256];
};

struct oper {
	uint32_t magic;
	uint64_t id;
	struct console *console;
	int fd;
	ev_io reader, writer;
	struct buf in, out;
	size_t out_sent; /* of out */
	bool confirms;	 /* the client says when the terminal has taken a frame's bytes */
	int untaken;	 /* frames on their way there */
	bool leaving, dead;
	bool started; /* it has its screen, or lines; keys are read from then on */

	char user[64];
	enum role role;
	char term[65], tty[64];
	int rows, cols;
	bool utf8, plain, mono;
	bool cooked; /* plain, and the terminal itself edits and echoes */
	char theme_name[32];
	struct tz *tz;

	struct keys keys;
	struct timer key_timer, frame_timer, poll_timer;
	struct screen *screen;
	enum depth depth;
	const struct theme *theme;
	struct canvas canvas;

	bool dirty, urgent;  /* a frame is wanted; a key asked for it */
	us_t last_frame;     /* drawn */
	uint64_t drawn_view; /* what it shows: a view's serial */
	uint64_t frames;
	us_t key_at; /* the last key */
	bool frozen; /* Z */

	struct view *roots[ROOTS];
	struct view *stack[STACK_MAX]; /* [0] is a root and not owned */
	int depth_n;
	enum root root;
	uint64_t next_serial;
	struct pending pending[PENDING_MAX];

	struct prompt prompt;
	struct box box;
	struct echo echo;
	struct batch batch;
	char last_command[PROMPT_TEXT]; /* the one whose answer may ask for a number */
	struct plain *lines;		/* --plain */
	char last_search[128];
	uint64_t alarm_shown;	   /* `!` goes on behind it */
	char copy[TABLE_NAME * 2]; /* waits to go out as OSC 52 */
	char export_path[PROMPT_TEXT];
	char log_of[TABLE_NAME], log_vmta[64]; /* L: whose queues were asked for */
};

struct user_prefs { /* of a UNIX user, over all sessions */
	char user[64];
	char theme[32];
	uint64_t hidden[LIST_COUNT];
	char sort[LIST_COUNT][TABLE_SORT];
	char *history[PROMPT_HISTORY];
	int nhistory;
};

struct console {
	struct loop *loop;
	struct console_env env;
	struct conf *conf;
	struct themes *themes;
	struct oper *ops[OPERATORS_MAX];
	int nops, told; /* told: how many control knows of */
	uint64_t next_operator, next_request;
	struct header header;
	struct user_prefs *prefs;
	int nprefs;
	us_t fixed_now;		    /* tests: the clock stands */
	struct console_stats stats; /* atomics */
};

us_t console_now(const struct console *c);
struct oper *console_operator(struct console *c, uint64_t id);
struct user_prefs *console_prefs_of(struct console *c, const char *user);
void console_save_prefs(struct console *c, struct user_prefs *p);
/* A frame has been drawn; it cost so much CPU. */
void console_frame_drawn(struct console *c, us_t cpu);
/* Something changed that everybody's next frame shows. */
void console_dirty(struct console *c);

/* ---- operator.c ---- */
struct oper *operator_new(struct console *c, int fd, struct str user, enum role role,
			  struct str hello);
void operator_free(struct oper *op);
/* Says goodbye and ends the session once that is written (or at once, if it can't be). */
void operator_leave(struct oper *op, int exit, const char *why);
/* A frame is wanted; after a key at once. */
void operator_dirty(struct oper *op, bool key);
void operator_answer(struct oper *op, struct link_answer *a);
void operator_echo(struct oper *op, enum style style, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Bytes that go to the terminal as they are, between frames: the frame's own, OSC 52. */
void operator_frame_out(struct oper *op, char type, struct str bytes);
/* ^L, or the client is back from a break. */
void operator_redraw(struct oper *op);
/* Leaves the screen for lines. */
void operator_go_plain(struct oper *op);
void operator_resize(struct oper *op, int rows, int cols);
/* True if this role may act. Says so if not. */
bool operator_may_act(struct oper *op);

/* ---- session.c: views and questions ---- */
struct view *operator_view(const struct oper *op);
void operator_go(struct oper *op, enum root root);
bool operator_push(struct oper *op, struct view *v); /* takes over; NULL says "no memory" */
void operator_pop(struct oper *op);
void operator_poll(struct oper *op);
uint64_t operator_ask(struct oper *op, struct link_request *r, uint64_t view, int tag);
struct link_request *link_request_make(enum link_op what, struct str text);
/* A command line in the words of the CLI, answered into the echo line. */
void operator_command(struct oper *op, const char *line);
/* Shows what a reload would change, in a box that applies it. */
void operator_reload(struct oper *op, const char *line);
void operator_own_answer(struct oper *op, struct link_answer *a, int tag);
void operator_free_views(struct oper *op);
/* Looks after views of a search text. */
void operator_search(struct oper *op, struct str text, int direction);

/* ---- looks.c, box.c: answers to their own questions ---- */
void alarm_answer(struct oper *op, struct link_answer *a);
void box_answer(struct oper *op, struct link_answer *a);
void log_answer_queues(struct oper *op, struct link_answer *a);
void export_answer(struct oper *op, struct link_answer *a);

/* ---- draw.c ---- */
void operator_draw(struct oper *op, us_t now);

/* ---- keymap.c ---- */
void operator_key(struct oper *op, struct key_event e);

/* ---- local.c: what only the console knows ---- */
/* False: not one of ours; then control gets it. */
bool local_command(struct oper *op, struct str line);
void local_complete(struct str line, void (*fn)(void *arg, struct str word), void *arg);
void local_help(struct buf *out);

#endif
