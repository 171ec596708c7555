/* A view is a struct of operations over its own state: the operator's session gives it room, keys
 * and answers, and knows nothing of what is in it. Views stand on a stack: a root (Queues, Sources
 * …) and what was opened from it. Console thread. */
#ifndef STOKER_TUI_VIEW_H
#define STOKER_TUI_VIEW_H

#include "tui/segs.h"
#include "tui/table.h"

struct oper;
struct view;

enum view_kind { /* bits: a key binding says where it works */
		 IN_QUEUES = 1,
		 IN_SITE = 2,
		 IN_SOURCES = 4,
		 IN_SOURCE = 8,
		 IN_LOG = 16,
		 IN_MESSAGES = 32,
		 IN_JOBS = 64,
		 IN_OVERRIDES = 128,
		 IN_ALARMS = 256,
		 IN_TEXT = 512,
		 IN_FEEDBACK = 1024,
		 IN_ROOT_LISTS = IN_QUEUES | IN_SOURCES | IN_JOBS | IN_OVERRIDES | IN_ALARMS,
		 IN_LISTS = IN_ROOT_LISTS | IN_SITE | IN_SOURCE | IN_MESSAGES | IN_FEEDBACK,
		 IN_ALL = 2047,
};
enum move { MOVE_LINES, MOVE_PAGES, MOVE_HALVES, MOVE_HOME, MOVE_END };

struct view_ops {
	enum view_kind kind;
	const char *name; /* "Queues" */
	void (*free)(struct view *v);
	/* Asks for what the next frames need; called at the refresh rate and after each key that
	 * may have changed it. */
	void (*poll)(struct view *v, us_t now);
	/* `tag` as given to view_ask. Takes nothing over but what it takes out of the answer (and
	 * sets to NULL there). */
	void (*answer)(struct view *v, struct link_answer *a, int tag);
	void (*draw)(struct view *v, struct canvas *c, struct area a, us_t now);
	void (*title)(struct view *v, struct segs *s, us_t now);
	void (*move)(struct view *v, enum move m, int n, us_t now);
	/* The rest may be NULL: then the key says that it does nothing here. */
	void (*enter)(struct view *v);
	void (*tab)(struct view *v, int direction);
	struct table *(*table)(struct view *v);
	/* The target of an act, as the CLI writes it ("@yahoo"). False: nothing stands under the
	 * cursor. */
	bool (*target)(struct view *v, const struct hit_row *h, struct buf *out);
	const char *(*filter)(struct view *v);
	bool (*set_filter)(struct view *v, struct str text);
	void (*search)(struct view *v, struct str text,
		       int direction); /* empty text: the same again */
	void (*export_rows)(struct view *v, bool json, struct buf *out);
};
struct view {
	const struct view_ops *ops;
	struct oper *op;
	uint64_t serial;    /* answers find their view by it, or are dropped */
	us_t waiting_since; /* a question is out; 0: none */
};

/* Makers; NULL without memory. */
struct view *view_queues_new(struct oper *op);
struct view *view_sources_new(struct oper *op);
struct view *view_overrides_new(struct oper *op);
struct view *view_jobs_new(struct oper *op);
struct view *view_alarms_new(struct oper *op);
struct view *view_feedback_new(struct oper *op);
struct view *view_log_new(struct oper *op);
struct view *view_site_new(struct oper *op, const struct row *site);
struct view *view_source_new(struct oper *op, const struct row *source);
struct view *view_messages_new(struct oper *op, struct str target);
/* A pager. `title` is what stands behind the arrow; `text` is copied; empty text: an answer will
 * fill it. */
struct view *view_text_new(struct oper *op, const char *title, struct str text);
void view_text_set(struct view *v, struct str text);
/* Runs a command and shows its whole output. */
struct view *view_text_command(struct oper *op, const char *title, struct str command);

void view_free(struct view *v);
/* Sends a question on the view's behalf; its text and sort are taken over. */
void view_ask(struct view *v, struct link_request *r, int tag);
/* True if no question is out (or it got no answer for 10 s). */
bool view_idle(const struct view *v, us_t now);

enum { VIEW_LOG_FILTER = 2048 };
/* A filter too long to be read; the title says whose mail it is. */
void view_log_of(struct view *v, const char *name, struct str filter);
bool view_log_follows(struct view *v);
void view_log_at(struct view *v, us_t at);
void view_log_errors(struct view *v, int direction);
void view_log_wrap(struct view *v);
void view_log_field(struct view *v);

/* Where list views keep what they share. */
struct view_list {
	struct view view;
	struct table table;
	char of[TABLE_NAME]; /* the crumb behind the name */
};
struct view *view_list_new(struct oper *op, const struct view_ops *ops, enum list_id list);
void view_list_free(struct view *v);
void view_list_poll(struct view *v, us_t now);
void view_list_answer(struct view *v, struct link_answer *a, int tag);
void view_list_draw(struct view *v, struct canvas *c, struct area a, us_t now);
void view_list_title(struct view *v, struct segs *s, us_t now);
void view_list_move(struct view *v, enum move m, int n, us_t now);
struct table *view_list_table(struct view *v);
const char *view_list_filter(struct view *v);
bool view_list_set_filter(struct view *v, struct str text);
void view_list_export(struct view *v, bool json, struct buf *out);
void page_export(const struct page *p, bool json, struct buf *out);
void table_move_by(struct table *t, enum move m, int n, us_t now);
/* sort, filter, tags, held or live: the right part of the title of whatever shows a table. */
void table_title(const struct table *t, struct segs *s, us_t now);
/* Says in one sentence why there is nothing to see and how it fills. */
void table_draw_empty(const struct table *t, struct canvas *c, struct area a, const char *how);

#endif
