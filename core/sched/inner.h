/* What the scheduler's files offer each other. Private to core/sched. */
#ifndef STOKER_SCHED_INNER_H
#define STOKER_SCHED_INNER_H

#include "core/base/domain.h"
#include "core/base/hash.h"
#include "core/base/jsonw.h"
#include "core/base/log.h"
#include "core/sched/model.h"

enum { SCHED_MAGIC = 0x53434844 };
#define LANE_KEEP_US (10 * US_PER_MIN) /* a lane that was used is shown for so long */

struct override;

/* ---- sched.c ---- */
/* Something that decisions rest on has changed: everything resolves anew before it is next handed
 * out. */
void epoch_raise(struct sched *s);
void caches_free(struct sched *s);
size_t sched_memory(const struct sched *s);

/* ---- action.c ---- */
struct act *action_add(struct sched *s, enum action_type type);
void action_to_io(struct sched *s, uint32_t io, const struct to_io *m);
void action_body_drop(struct sched *s, void *body); /* NULL: nothing */
void action_state_put(struct sched *s, const char *table, struct str key, struct str value);
/* Copies `name` as the action's a.name. */
void action_keep_name(struct act *a, struct str name);
void actions_free(struct sched *s);

/* ---- intern.c ---- */
uint64_t name_hash(const struct table_link *l);
struct name *name_get(struct sched *s,
		      struct str text); /* NULL without memory; at most 512 bytes are kept */
void name_put(struct sched *s, struct name *n);
static inline struct str name_str(const struct name *n)
{
	return n ? (struct str){ n->text, n->len } : (struct str){ "", 0 };
}
uint64_t job_hash(const struct table_link *l);
struct job *job_get(struct sched *s, struct str name, struct str user, us_t at);
void job_free(struct sched *s, struct job *j);
void job_upkeep(struct sched *s, struct job *j); /* may free it */

/* ---- message.c ---- */
static inline struct msg *rcpt_msg(const struct rcpt *r)
{
	return (struct msg *)(void *)((char *)(uintptr_t)(r - r->pos) -
				      offsetof(struct msg, rcpts));
}
uint64_t msg_hash(const struct table_link *l);
struct msg *msg_find(struct sched *s, uint64_t id);
struct str msg_envid(const struct msg *m);
struct str msg_text(const struct msg *m, uint32_t at);
void rcpt_address(const struct rcpt *r, struct str *local, struct str *domain);
struct str rcpt_orcpt(const struct rcpt *r);
void msg_settle(struct sched *s, struct msg *m); /* may free it */
void body_hold(struct sched *s, struct msg *m, void *body);
void bodies_tick(struct sched *s); /* drops those that waited long */
void *body_take(struct sched *s, struct msg *m);
void *body_for_txn(struct sched *s, struct msg *m, bool last);

/* ---- due.c ---- */
void due_add(struct rcpt **root, struct rcpt *r);
void due_del(struct rcpt **root, struct rcpt *r);
struct rcpt *due_first(struct rcpt *root);
struct rcpt *due_pop(struct rcpt **root);
struct rcpt *due_after(struct rcpt *root, const struct rcpt *r);

struct rcpt *due_behind(struct rcpt *root, us_t due, uint64_t msg, uint32_t pos);

/* ---- recipient.c ---- */
void rcpt_enter(struct sched *s, struct rcpt *r, us_t due);
void rcpt_arrived(struct sched *s, const struct rcpt *r);
void rcpt_wait(struct sched *s, struct rcpt *r, us_t due);
void rcpt_ready(struct sched *s, struct rcpt *r, bool at_front);
void rcpt_out(struct sched *s, struct rcpt *r, struct flight *f);
void rcpt_unplace(struct sched *s, struct rcpt *r);
void rcpt_done(struct sched *s, struct rcpt *r);
void message_pause(struct sched *s, uint64_t id);
void message_unpause(struct sched *s, uint64_t id);
bool message_is_paused(struct sched *s, uint64_t id); /* by a live override */
void rcpt_move(struct sched *s, struct rcpt *r, struct queue *to);

/* ---- band.c ---- */
uint64_t band_hash(const struct table_link *l);
bool band_add(struct sched *s, struct rcpt *r, bool at_front); /* false without memory */
void band_del(struct sched *s, struct rcpt *r);
struct band *band_level(struct queue *q);
void band_turn(struct queue *q, struct band *b);
void band_picked(struct queue *q, struct band *b);
struct rcpt *band_head(struct band *b);

/* ---- traffic.c ---- */
struct counts {
	uint32_t delivered, deferred, bounced;
	struct rstr *reply; /* borrowed; NULL: none */
};
struct means { /* recipients a second: gone for good, arrived */
	float out, in;
};
struct percents {
	float delivered, transient, permanent; /* negative: too few */
};
struct tally *tally_get(struct sched *s, struct tally **at, struct row_head *row);
void tally_count(struct sched *s, struct tally *y, const struct counts *c);
void tally_release(struct sched *s, struct tally *y);
void tally_free(struct sched *s, struct tally *y);
float tally_rate(const struct tally *y, us_t now);
/* So many came to wait here; y may be NULL. */
void tally_arrived(struct sched *s, struct tally *y, uint32_t n);
/* Over the last two minutes, or since the first attempt if that is less. */
void tally_means(const struct tally *y, us_t now, struct means *out);
void tally_percents(const struct tally *y, us_t now, struct percents *out);
void tally_trend(const struct tally *y, us_t now, uint16_t out[TREND_STEPS]);
/* A row is filled now from what is counted there: until that looks different, it needs no other. */
void tally_shown(const struct tally *y);
void traffic_second(struct sched *s, int most);
size_t traffic_bytes(void);

/* ---- mxset.c ---- */
struct mxhost {
	uint16_t preference, port;
	uint8_t naddresses;
	bool failed;
	struct str name;
};
uint64_t mxset_hash(const struct table_link *l);
void mxset_put_host(struct buf *b, const struct dns_host *h, int preference, uint16_t port);
struct reader mxset_reader(const struct mxset *m);
bool mxset_next(struct reader *r,
		struct mxhost *h); /* then its addresses must be read or skipped */
void mxset_address(struct reader *r, struct endpoint *e);
void mxset_skip_addresses(struct reader *r, const struct mxhost *h);
struct mxset *mxset_get(struct sched *s, struct str packed);
void mxset_put(struct sched *s, struct mxset *m);
int mxset_best(const struct mxset *m, struct str *names, int max);

/* ---- hosts.c ---- */
uint64_t hosts_hash(const struct table_link *l);
struct hosts *hosts_get(struct sched *s, struct rstr *name, enum hosts_kind kind,
			bool allow_private);
struct hosts *hosts_of_route(struct sched *s, const struct settings *set);
void hosts_put(struct sched *s, struct hosts *h);
void hosts_free_kept(struct sched *s);
bool hosts_usable(const struct hosts *h, us_t now);
void hosts_need(struct sched *s, struct hosts *h);
void hosts_retry(struct sched *s, struct hosts *h);
void hosts_tick(struct sched *s);
void hosts_second(struct sched *s);

/* ---- limit.c ---- */
struct counter_id {
	uint8_t kind, scope, flavour;
	uint64_t a, b, c;
};
void gate_init(struct gate *g, enum gate_type type);
void gate_open(struct sched *s, struct gate *g); /* there may be room: looked at soon */
void gate_wait(struct sched *s, struct gate *g, struct waiter *w);
void gate_leave(struct waiter *w);
void gate_ask(struct sched *s, struct gate *g, struct session *session);
void gate_timer(struct sched *s, struct gate *g, us_t when);
us_t gate_when(const struct gate *g,
	       us_t now); /* the earliest time for room, as far as known: now if it isn't */
bool gate_is_connections(
    const struct gate *g); /* a limit of connections, or the io threads' slots; NULL: false */
void gates_tick(struct sched *s);
void gate_squeeze(struct sched *s, struct gate *g);
void gates_squeeze(struct sched *s);
void gate_free(struct sched *s, struct gate *g);
uint64_t counter_hash(const struct table_link *l);
struct counter *counter_find(struct sched *s, const struct counter_id *id);
struct counter *counter_get(struct sched *s,
			    const struct counter_id *id); /* a reference; NULL without memory */
void counter_unref(struct sched *s, struct counter *c);
bool counter_sweep(struct sched *s, struct counter *c); /* true: freed */
void counter_limit(struct sched *s, struct counter *c, int n, struct rate rate,
		   const struct origin *origin, uint64_t by);
int64_t counter_room(const struct counter *c, us_t now);
void counter_use(struct counter *c);
void counter_unuse(struct sched *s, struct counter *c);
void counter_pending(struct sched *s, struct counter *c, int64_t n);
void counter_take(struct sched *s, struct counter *c, int64_t n);
void counter_give_back(struct sched *s, struct counter *c, us_t taken, int64_t n);
void limits_begin(struct limits_room *r);
void limits_add(struct sched *s, struct limits_room *r,
		struct counter *c); /* takes the reference over */
void limits_clear(struct sched *s, struct limits *l);
void limits_copy(struct limits_room *to, const struct limits *from);
bool limits_freeze(struct sched *s, struct limits_room *r, struct limits *out);
void limits_thaw(struct sched *s,
		 struct limits *l); /* gives the memory back; the limits are cleared before */
struct counter *limits_full(struct counter *const *v, uint8_t n, us_t now);

/* ---- stack.c: which limits bind what ---- */
bool path_limits(struct sched *s, struct path *p);
/* Adds what binds only this queue or job through p. */
void limits_of_total(struct sched *s);
void limits_find_own(struct sched *s);
void queue_own_limits(struct sched *s, struct path *p, struct queue *q, const struct job *j,
		      struct limits_room *out);

/* ---- source.c ---- */
struct source *source_find(struct sched *s, struct str name);
void source_count_bytes(struct sched *s, struct source *src, uint64_t n);
float source_bytes_rate(const struct source *src, us_t now);
bool source_usable(const struct source *src);
void sources_update(struct sched *s);
void routes_update(struct sched *s);
struct route *route_find(struct sched *s, struct str name);
struct route *route_get(struct sched *s, struct str name);
void sources_free(struct sched *s);

/* ---- site.c ---- */
uint64_t site_hash(const struct table_link *l);
struct site *site_find(struct sched *s, struct str name, bool is_provider);
struct site *site_for(struct sched *s, const struct mxset *mx, struct str domain);
void site_settle(struct sched *s, struct site *t);
void site_run_later(struct sched *s, struct site *t);
uint64_t lane_hash(const struct table_link *l);
struct lane *lane_find(struct sched *s, const struct site *t, const struct source *src);
struct lane *lane_get(struct sched *s, struct site *t, struct source *src);
void lane_settle(struct sched *s, struct lane *a);

/* ---- rest.c ---- */
void lane_connect_failed(struct sched *s, struct lane *a, struct rstr *reason);
void lane_came_up(struct sched *s, struct lane *a);
void lane_result(struct sched *s, struct lane *a, bool delivered, bool failure, struct rstr *reply);
void lane_rest_over(struct sched *s, struct lane *a);
void lane_probe_ended(struct sched *s, struct lane *a);
void lane_woken(struct sched *s, struct lane *a);

const struct settings *lane_settings(const struct lane *a); /* of some mail; NULL: none known */

us_t rest_span(struct sched *s, const struct lane *a, uint32_t step);

/* ---- keyrest.c ---- */
uint64_t keyrest_hash(const struct table_link *l);
uint64_t keyrest_key(const struct mxset *mx, const struct settings *set);
/* What keeps this queue's mail from going through the lane; NULL: nothing. */
struct key_rest *keyrest_holds(const struct sched *s, const struct lane *a, const struct queue *q,
			       const struct settings *set);
struct key_rest *keyrest_of(const struct sched *s, const struct session *e);
struct key_rest *keyrest_waiting(const struct lane *a);
int64_t keyrest_room(const struct key_rest *r, us_t now);
bool keyrest_failed(struct sched *s, const struct session *e, enum rest_kind kind,
		    struct rstr *reason);
void keyrest_opened(struct sched *s, const struct session *e);
void keyrest_came_up(struct sched *s, const struct session *e);
void keyrest_delivered(struct sched *s, const struct session *e);
void keyrest_gone(struct sched *s, const struct session *e);
bool keyrest_over(struct sched *s, struct key_rest *r);
bool keyrest_restore(struct sched *s, struct str lane, uint64_t key, const struct key_rest *was);
void keyrests_free(struct sched *s);

/* ---- mode.c ---- */
struct mode *mode_get(struct sched *s, struct lane *a); /* NULL without memory */
void mode_free(struct sched *s, struct lane *a);
void mode_restored(struct sched *s, struct lane *a);
bool mode_end(struct sched *s, struct lane *a); /* false: it is in no backoff by a rule */
void mode_reply(struct sched *s, struct lane *a, struct queue *q, const struct reply_verdict *v,
		struct rstr *reply);
void mode_delivered(struct sched *s, struct lane *a);
void mode_skip_host(struct sched *s, const struct queue *q, const struct rstr *host,
		    const struct endpoint *at);
void mode_skip_mx(struct sched *s, struct session *e, const struct queue *q,
		  const struct transaction *t);
void modes_second(struct sched *s);
bool lane_in_backoff(struct sched *s, const struct lane *a);
const struct override *override_backoff(struct sched *s, const struct lane *a);
struct rstr *mode_origin(const struct mode *m); /* "patterns.ini:40: 421 4.7.0 [TSS04] …" */
void lane_relimit(struct sched *s, struct lane *a);

/* ---- learn.c ---- */
void learn_attempt(struct sched *s, struct lane *a);
void learn_reply(struct sched *s, struct lane *a, const struct reply_verdict *v,
		 const struct rstr *reply);
void learn_second(struct sched *s, struct lane *a);
bool learn_knows(const struct mode *m);
bool learned_limit(const struct lane *a, enum limit_kind k, int *n, struct rate *rate);

/* ---- queue.c ---- */
uint64_t domain_hash(const struct table_link *l);
struct domain *domain_find(struct sched *s, struct str name);
uint64_t queue_hash(const struct table_link *l);
struct queue *queue_find(struct sched *s, const struct domain *d, const struct route *r);
struct queue *queue_get(struct sched *s, struct str domain, struct route *r);
void queue_free(struct sched *s, struct queue *q);
struct rstr *queue_name(struct sched *s, struct queue *q);
struct rstr *queue_name_shown(const struct queue *q);
void queue_resolve(struct sched *s, struct queue *q);
void queue_place(struct sched *s, struct queue *q);
void queue_leave_ring(struct sched *s, struct queue *q);
void queue_stop(struct sched *s, struct queue *q, enum queue_stop why);
void queue_wake(struct sched *s, struct queue *q);
void queue_woken(struct sched *s, struct queue *q);
void queue_wait(struct sched *s, struct queue *q, struct gate *g); /* for a limit of its own */
struct gate *queue_waits_at(const struct queue *q);		   /* NULL: at none */
void queue_domain_wake(struct sched *s, struct queue *q); /* all queues of its domain look again */
void queue_empty(struct sched *s, struct queue *q);
us_t queue_expiry(const struct queue *q, const struct rcpt *r);
void queue_timer(struct sched *s, struct queue *q, us_t at);
void queue_work(struct sched *s, struct queue *q);
void queue_hosts_changed(struct sched *s, struct queue *q);
void queue_release(struct sched *s, struct queue *q);
void queue_upkeep(struct sched *s, struct queue *q); /* may free it */
bool queue_all_stopped(struct sched *s,
		       const struct queue *q); /* all its ready mail is of paused jobs */
void queues_tick(struct sched *s);
void queues_work(struct sched *s);

/* ---- flow.c ---- */
struct choice { /* what is to be handed out, and how */
	struct path *path;
	struct session *session; /* NULL: open one */
	struct sub *sub;
	struct counter *full;  /* a limit of the queue's or job's own without room */
	struct key_rest *held; /* what it needs to be sent is not to be had: the first to end */
	bool later;	       /* waits for the virtual MTA that it prefers */
};
uint64_t flow_hash(const struct table_link *l);
bool flow_for(struct sched *s, struct queue *q);
void flow_put(struct sched *s, struct queue *q);
void flow_idle(struct sched *s, struct flow *f);
void flow_ready(struct sched *s, struct flow *f);
void flow_woken(struct sched *s, struct flow *f);
void flow_look_again(struct sched *s, struct flow *f);
bool flow_open(struct sched *s, struct flow *f,
	       const struct queue *q); /* makes its paths; false: later */
bool flow_shut(const struct flow *f);
bool path_soon(const struct sched *s, const struct path *p, uint32_t since_s);
void path_woken(struct sched *s, struct path *p);
void sites_run(struct sched *s);

/* ---- hand.c ---- */
struct transaction *txn_make(struct sched *s, struct msg *m, struct queue *q,
			     struct rcpt *const *rcpts, uint32_t n);
struct str rcpt_address_into(struct arena *a, const struct rcpt *r);
void hand_out(struct sched *s, struct queue *q, struct choice *c);
uint32_t flight_grant(struct sched *s, struct flight *f, uint32_t want, bool is_new);
void flight_void(struct sched *s, struct flight *f);
void flight_pending(struct sched *s, struct flight *f, int64_t n);
void flight_up(struct sched *s, struct flight *f);
void flight_free(struct sched *s, struct flight *f);

/* ---- session.c ---- */
uint64_t bundle_hash(const struct table_link *l);
struct bundle *bundle_find(struct sched *s, const struct lane *a, uint64_t hosts,
			   uint64_t settings);
struct session *session_idle(struct bundle *b);
struct session *session_ahead(struct bundle *b);
bool session_moves(struct sched *s, const struct session *e, const struct path *p,
		   const struct limits *own, struct choice *c);
bool session_counts_in(const struct sched *s, const struct session *e, const struct counter *c);
void sessions_recount(struct sched *s, struct counter *c);
int64_t slots_free(const struct sched *s);
struct session *session_open(struct sched *s, struct path *p, struct queue *q,
			     struct session_spec **spec);
void session_unopen(struct sched *s, struct session *e, struct session_spec *spec);
void session_take(struct sched *s, struct session *e, struct flight *f, struct path *p,
		  struct queue *q, const struct limits *all);
void session_close(struct sched *s, struct session *e);
void session_free(struct sched *s, struct session *e);
/* Puts a session among the idle, the busy or neither, by what it is. */
void session_sort(struct sched *s, struct session *e);
bool session_make_room(struct sched *s, struct counter *c);

void sessions_rebind_lane(struct sched *s, struct lane *a);
void sessions_rebind_start(struct sched *s);
bool sessions_rebind(struct sched *s); /* false: more to do */

/* ---- told.c ---- */
/* Gives an asking session what there is. False: nothing yet; it waits at the rate that has none. */
bool session_serve(struct sched *s, struct session *e);
/* Did a connection come about, without the TLS or the login that was needed? */
bool needs_more(uint8_t step);
/* It gave no session. */
void session_failed(struct sched *s, struct session *e, uint8_t step, struct rstr *reason);
/* What tells the events that a queue found no session; NULL without memory. */
struct transaction *unreached_new(struct sched *s, struct queue *q, const char *enhanced,
				  struct rstr *reply);

/* ---- handover.c ---- */
/* Is the lane's next connection somebody else's? *until: at the latest so long. */
bool handover_promised(const struct lane *a, uint64_t hosts, uint64_t settings, us_t now,
		       us_t *until);
void handover_done(struct sched *s, struct session *e); /* a transaction of it is over */
void handover_opened(const struct session *e);
void handover_gone(struct sched *s, const struct session *e);

/* ---- spec.c ---- */
void address_text(const struct endpoint *e, struct buf *out);
void address_failed(struct sched *s, const struct endpoint *e, us_t until);
bool host_failed(struct sched *s, const struct mxset *mx, struct str name, us_t until);
bool hosts_has_other(struct sched *s, const struct mxset *mx); /* one that did not fail lately */
struct session_spec *spec_make(struct sched *s, const struct session *e, const struct path *p,
			       const struct queue *q);

/* ---- result.c, retry.c ---- */
void result_make(struct sched *s, struct rcpt **v, uint32_t n, enum decision decision,
		 const char *enhanced, struct rstr *reply);
void result_take(struct sched *s, struct session *e, struct flight *f, struct transaction *t);
enum decision retry_decide(struct sched *s, struct rcpt *r, struct txn_rcpt *tr);
void retry_expire(struct sched *s, struct rcpt *r);
void hosts_bounce(struct sched *s, struct rcpt *r);

/* ---- dsn.c ---- */
uint64_t report_hash(const struct table_link *l);
bool dsn_wanted(const struct rcpt *r, uint8_t as);
void dsn_ended(struct sched *s, struct rcpt *r, const struct txn_rcpt *tr, const char *mx);
void dsn_delayed(struct sched *s, struct rcpt *r, const struct txn_rcpt *tr);
void dsn_again(struct sched *s, struct rcpt *r, const struct sched_rcpt *in);
void dsn_message_over(struct sched *s, struct msg *m);
us_t dsn_tick(struct sched *s);
void reports_free(struct sched *s);

/* ---- rows.c ---- */
void row_init(struct sched *s, struct row_head *h, enum row_kind kind);
void row_dirty(struct sched *s, struct row_head *h);
void row_gone(struct sched *s, struct row_head *h);
void rows_all_dirty(struct sched *s);

/* ---- why.c ---- */
void why_clear(struct why *w);
struct rstr *
counter_origin(const struct counter *c); /* "override 17", "stoker.ini:12 [domain *]", "default" */
struct rate counter_rate(const struct counter *c);
void why_queue(struct sched *s, struct queue *q, struct why *out);
void why_rcpt(struct sched *s, struct rcpt *r, struct why *out);
void why_site(struct sched *s, struct site *t, struct why *out);
void why_lane(struct sched *s, struct lane *a, struct why *out);
void why_source(struct sched *s, struct source *src, struct why *out);
void why_paused_by(struct sched *s, const struct override *o, struct why *out);

/* ---- override.c ---- */
struct override *override_pause_of_queue(struct sched *s, const struct queue *q);
struct override *override_stop_of_path(struct sched *s, const struct path *p);
bool job_stopped(struct sched *s, struct job *j);
void overrides_second(struct sched *s);
bool override_disables(struct sched *s, const struct source *src);
const struct override *override_disabling(struct sched *s, const struct source *src);
void override_fill(struct sched *s, struct row_head *h, struct row *r);
void alarm_fill(struct sched *s, struct row_head *h, struct row *r);
void overrides_free(struct sched *s);

/* ---- alarm.c ---- */
void alarm_queue(struct sched *s, struct queue *q);

/* ---- pend.c, walk.c: commands under way ---- */
void command_fenced(struct sched *s, uint32_t io, uint64_t number);
void commands_work(struct sched *s);
bool commands_busy(const struct sched *s);
bool command_bounces(const struct sched *s, const struct target *t); /* under way */
void commands_free(struct sched *s);
void cursors_leave(struct sched *s, struct rcpt *r);
void conf_recall(struct sched *s);

/* ---- state.c ---- */
void state_rate_save(struct sched *s, struct counter *c);
void state_rate_restore(struct sched *s, struct counter *c);
void state_lane_save(struct sched *s, struct lane *a);
void state_keyrest_save(struct sched *s, const struct key_rest *r);
void state_lane_restore(struct sched *s, struct lane *a);
void state_mode_save(struct sched *s, struct lane *a);
void state_mode_restore(struct sched *s, struct lane *a);
void state_warm_save(struct sched *s, const struct warm *w);
void state_warm_delete(struct sched *s, const struct warm *w);
bool state_warm_decode(struct str value, struct warm *w, int64_t *full_ns);
void state_move_save(struct sched *s, struct rcpt *r);
void state_move_forget(struct sched *s, const struct rcpt *r);
struct route *state_moved_to(struct sched *s, const struct rcpt *r);
uint64_t restored_hash(const struct table_link *l);
void restored_free_all(struct sched *s);

/* ---- messages.c ---- */
void listings_free(struct sched *s);

/* ---- teardown.c ---- */
void teardown(struct sched *s);

#endif
