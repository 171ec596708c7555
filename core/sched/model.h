/* The scheduler's own objects. Private to core/sched; one thread.
 *
 * HOW IT HANGS TOGETHER
 *   msg ── rcpt ── queue (domain + route) ── flow (site + route + settings) ── path (flow at one
 * virtual MTA) ── lane ── session
 * - A recipient WAITS in its queue's tree by due time, or is READY in a band of its queue (one for
 * each priority and job), or is OUT in a flight, or is HELD (its message is paused). All recipients
 * of a queue hang in one list by age, which gives expiry and "oldest".
 * - Queues whose settings and site agree share a flow: whatever binds one of them at lane level
 * binds all. So 10,000 domains behind one provider's rate cost one test, not 10,000. Limits of
 * single domains and queues are tested for each queue.
 * - A path is a flow's way through one virtual MTA. When a limit has no room, the path waits at
 * that limit's gate, and the gate wakes it. A site with a flow that may move is in the run list;
 * running a site hands out transactions until nothing moves.
 * - `epoch` counts everything an operator or a new configuration may have changed. Flows and queues
 * remember the epoch they were resolved in and resolve anew before anything more is handed out for
 * them; a walk in small steps refreshes the rest.
 */
#ifndef STOKER_SCHED_MODEL_H
#define STOKER_SCHED_MODEL_H

#include "core/base/heap.h"
#include "core/base/list.h"
#include "core/base/pool.h"
#include "core/base/rng.h"
#include "core/base/wheel.h"
#include "core/sched/rate.h"
#include "core/sched/sched.h"
#include "core/sched/table.h"

/* ---- what the mirror shows of an object ---- */
struct row_head {
	uint64_t id : 56, kind : 8; /* enum row_kind */
	struct link dirty;	    /* in sched.dirty while changed */
};

/* What went out for a queue, site, lane, source or job; allocated when something does (traffic.c).
 */
struct tally {
	struct row_head *row;	/* NULL: a total */
	struct traffic *window; /* the last five minutes; given back when they were empty */
	uint64_t last; /* outcomes of the last 50, newest in bit 0: delivered; their number from bit
			  LAST_SHIFT */
	uint64_t delivered, deferred, bounced;
	struct rstr *last_reply;
	us_t last_reply_at;
};

/* ---- interned text ---- */
struct name { /* envelope senders, last replies */
	struct table_link link;
	uint32_t refs, len;
	char text[];
};

struct job {
	struct table_link link;
	struct row_head row;
	struct rstr *name, *user;
	struct tally *tally;
	us_t first_at, over_at; /* over_at: its last message has gone; 0: not noticed yet */
	uint32_t queued, in_flight, messages;
	uint64_t epoch; /* in which the following were found */
	struct override *paused;
};

/* ---- recipients and messages ---- */
enum rcpt_phase {
	PHASE_WAITING,	/* in queue.waiting */
	PHASE_RELEASED, /* in queue.released: on its way to READY */
	PHASE_READY,	/* in a band */
	PHASE_OUT,	/* in a flight */
	PHASE_HELD,	/* its message is paused */
	PHASE_DONE,
};
enum rcpt_flags {
	RF_WHOLE = 1, /* text holds the whole address, not only the local part */
	RF_DELAY_SENT = 2,
	RF_ORCPT = 4,	     /* the ORCPT follows the address in the text */
	RF_REPORT = 8,	     /* its DSN is not durable yet */
	RF_UNTRIED_ONE = 16, /* how often it came back untried, in two bits */
	RF_UNTRIED = 48,
	RF_CURSOR = 64, /* a command stands here */
	RF_MOVED = 128, /* to another route, by an operator */
};
enum { UNTRIED_MOST = 3, TXN_RCPTS_MAX = 1000 };

struct rcpt {
	struct queue *queue;
	union {
		struct {
			struct rcpt *left, *right;
			us_t due;
		} tree;
		struct {
			struct rcpt *next, *prev;
			struct sub *sub;
		} ready;
		struct {
			struct rcpt *next;
			struct flight *flight;
		} out;
	};
	struct rcpt *older, *newer; /* in the queue, by received_at */
	struct name *reply;	    /* the last one, NULL: none */
	uint32_t pos;		    /* in msg.rcpts */
	uint32_t text;		    /* offset in the message's block */
	uint32_t index;		    /* in the message as accepted */
	uint16_t attempts;
	uint16_t prefer; /* sched.sources slot + 1 to try first; 0: any */
	uint8_t notify, phase, flags;
};

enum msg_flags {
	MF_SMTPUTF8 = 1,
	MF_EIGHTBIT = 2,
	MF_DSN = 4,
	MF_PAUSED = 8,
	MF_REPORTING = 16,
	MF_ENVID = 32, /* the ENVID stands first in the text */
};

struct held_body {	  /* a body that waits with its message */
	struct link link; /* in sched.bodies, oldest first */
	struct msg *msg;
	void *body;
	us_t since;
};

struct msg {
	struct table_link link;
	uint64_t id;
	us_t received_at;
	uint64_t size;
	struct handout_where where;
	struct held_body *held;
	struct name *sender;
	struct job *job;
	uint32_t nrcpts;  /* in rcpts[] */
	uint32_t live;	  /* not DONE */
	uint32_t reports; /* recipients whose DSN is not durable yet */
	uint8_t ret, priority, flags, size_class;
	struct rcpt rcpts[];
};

/* ---- order inside a queue ---- */
struct sub {		   /* recipients of a band that prefer one virtual MTA (or none) */
	struct rcpt *head; /* circular */
	struct sub *next;
	struct band *band;
	uint32_t n;
	uint32_t since_s; /* when it last moved, seconds */
	uint16_t prefer;
};
struct band { /* one job at one priority in one queue */
	struct table_link link;
	struct queue *queue;
	struct job *job;
	struct band *next, *prev; /* round robin */
	struct band *lower;	  /* in a level's head: the next lower level's head */
	uint32_t n;
	uint8_t priority;
	struct sub sub; /* without preference; others hang behind */
};

/* ---- DNS ---- */
enum hosts_kind { HOSTS_MX, HOSTS_HOST, HOSTS_IP, HOSTS_ROUTE };
enum hosts_state {
	HOSTS_NEW,	/* never asked */
	HOSTS_WAITING,	/* in the line of look-ups */
	HOSTS_ASKED,	/* outstanding */
	HOSTS_KNOWN,	/* answered; asked again when needed after `expires` */
	HOSTS_NEGATIVE, /* NXDOMAIN, null MX …; asked again when needed after `expires` */
	HOSTS_FAILED,	/* temporarily; asked again at `expires` if needed */
};
struct mxset { /* what an answer said, packed, once for all domains that have the same */
	struct table_link link;
	uint64_t key;	  /* of names and preferences: a session key's part */
	uint64_t content; /* of everything */
	uint32_t refs, bytes;
	uint16_t nhosts, nbest;
	unsigned char data[]; /* mxset.c */
};
struct hosts_part { /* an element of a route */
	struct hosts *hosts;
	uint16_t port; /* 0: the default */
};
struct hosts { /* where mail for a domain, or by a `route`, goes */
	struct table_link link;
	struct rstr *name;
	struct mxset *mx;	  /* usable while known_until is not past; NULL: none */
	struct hosts_part *parts; /* HOSTS_ROUTE: its elements, in order */
	struct rstr *text;	  /* why it failed */
	us_t expires, known_until;
	struct link
	    line; /* in the line of look-ups, among the failed, or (HOSTS_ROUTE) among the routes */
	struct link queues; /* queue.on_hosts */
	uint64_t lookup;
	uint32_t users; /* queues and routes that refer to it */
	uint8_t kind, state, status, nparts, failures;
	bool stale, allow_private;
};

struct domain {
	struct table_link link;
	uint64_t id;
	struct rstr *name;
	struct queue *queues;
};

/* ---- limits ---- */
enum gate_type { GATE_COUNTER, GATE_REST, GATE_SLOTS, GATE_KEY_REST };
enum waiter_type { WAIT_PATH, WAIT_QUEUE, WAIT_FLOW };
struct gate { /* where paths, queues and asking sessions wait for room */
	struct link waiters, asks;
	struct link opened;	/* in sched.opened */
	struct link squeeze;	/* in sched.squeeze */
	struct heap_node timer; /* in sched.gates */
	uint8_t type;
};
struct waiter {
	struct link link;
	struct gate *at; /* NULL: waits for nothing */
	uint8_t type;
};

enum counter_flavour {		       /* what tells counters of one kind and scope apart */
		       COUNT_ALL,      /* everything in the scope */
		       COUNT_DEFAULT,  /* only mail for which no row sets that limit */
		       COUNT_OVERRIDE, /* what one override's target comprises */
		       COUNT_BACKOFF,  /* everything in the scope, while its lane is in backoff */
		       COUNT_LEARNED,  /* the lane's, by adaptive throttling */
		       COUNT_BACKOFF_DEFAULT, /* the built-in ones of these */
		       COUNT_WARMUP,	      /* what a warm-up comprises */
};
struct counter { /* a limit: what it is, and what is used of it */
	struct table_link link;
	struct gate gate;
	uint8_t kind, scope; /* enum limit_kind, limit_scope */
	uint8_t flavour;
	bool limited;		    /* else only counted */
	uint64_t a, b, c;	    /* whose: ids */
	int limit;		    /* connections */
	int used, closing;	    /* connections; of them told to close */
	int64_t pending;	    /* permits promised to sessions that have none yet */
	struct name *origin;	    /* "stoker.ini:12 [domain *]"; NULL: the default */
	const char *origin_section; /* what `origin` was made from: compared, not read */
	int origin_line;
	uint32_t origin_conf;
	uint64_t by;	    /* the override that set it; 0: the configuration */
	struct rstr *label; /* its name in the state table; slow rates only */
	us_t saved;	    /* last attempt as saved there */
	uint32_t refs;
	struct bucket bucket; /* rates only: counters of connections are allocated without */
	struct warm *warm;    /* rates only: whose cap it is; NULL: nobody's */
};
enum { LIMITS_MAX = 12 };
struct limits { /* what a hand-out must pass: a reference on each */
	struct counter **conn, **rate, **connect;
	uint8_t nconn, nrate, nconnect;
	uint8_t frozen; /* pointers in memory of its own size */
};
struct limits_room { /* room to collect some in */
	struct limits l;
	struct counter *v[LIMIT_KINDS][LIMITS_MAX];
};

/* ---- sources, routes, sites, lanes ---- */
enum { BYTES_SECONDS = 11 };
struct source { /* a virtual MTA, by name; survives reloads */
	struct row_head row;
	struct rstr *name, *host4, *host6, *ip_text, *pools;
	struct endpoint ip4, ip6;
	struct tally *tally;
	struct link sessions;
	struct counter *conn;
	uint64_t bytes[BYTES_SECONDS]; /* by second */
	uint32_t bytes_second;	       /* newest */
	uint32_t slot, nlanes;
	uint32_t nwarms, nwarming; /* warm-ups; those that are not over */
	int vmta;		   /* in the snapshot; CONF_NONE: gone */
	bool up4, up6, known;
	int8_t ptr_ok;
};
struct member {
	struct source *source;
	int weight;
	bool cold;
};
struct route { /* by name; survives reloads */
	struct rstr *name;
	uint64_t id;
	int vmta, pool; /* in the snapshot; both CONF_NONE: gone */
	struct member *members;
	int nmembers;
	uint32_t queued; /* recipients */
};

struct site { /* a provider, or the domains with the same best MX hosts */
	struct table_link link;
	struct row_head row;
	struct rstr *name;
	struct link flows;  /* flow.on_site */
	struct link lanes;  /* lane.on_site */
	struct link queues; /* queue.on_site */
	struct link run;    /* in sched.run */
	struct tally *tally;
	struct counter *conn; /* of all its lanes; NULL until there is a lane */
	uint32_t queued, due, in_flight, nqueues;
	int16_t provider; /* in the snapshot; CONF_NONE */
	bool is_provider;
	uint8_t picks; /* every 20th goes to lower queue priorities */
	uint8_t busy;  /* being worked on: not to be freed */
	int16_t lower_than;
};

struct learned {	/* a rate a second, or connections */
	double value;	/* 0: nothing learned */
	double ceiling; /* what was refused; 0: forgotten */
	us_t ceiling_at;
};
/* What a lane has learned from replies; only lanes that have. */
struct mode {
	struct link link; /* in sched.modes */
	struct lane *lane;
	us_t since, until; /* backoff by a rule; since 0: not in it; until US_NEVER: no end */
	us_t last;	   /* when it last began */
	uint32_t step;	   /* how often, with less than a day between */
	struct rstr *rule, *reply; /* "patterns.ini:40", and what was said */
	struct learned rate, conns;
	us_t lowered_at, clean_at; /* clean_at: since when nothing was refused, or it last grew */
	uint64_t tries;		   /* since then */
	int most_conns;
};
enum rest_kind { REST_NONE, REST_CONNECT, REST_REPLIES, REST_TLS };
struct lane {
	struct table_link link;
	struct row_head row;
	struct site *site;
	struct source *source;
	struct rstr *name;
	struct link on_site;
	struct link paths;    /* path.on_lane */
	struct link sessions; /* session.on_lane */
	struct counter *conn;
	struct gate rest;
	struct tally *tally;
	struct rstr *rest_reason;
	struct mode *mode;	 /* NULL: nothing learned */
	struct warm *warm;	 /* what its attempts count in; NULL: nothing */
	us_t tried_at, burst_at; /* the last answer; the first after a second without any */
	uint32_t burst_n;	 /* since then */
	us_t resting_since, resting_until, deferring_since;
	uint32_t in_flight, rest_step, deferred_in_row;
	uint8_t rest_kind; /* enum rest_kind */
	bool rest_told;	   /* the events have why it rests */
	uint64_t probe;	   /* the session that tries after a rest; 0: none yet */
	uint32_t opening;  /* sessions that are not up yet */
	/* A connection was closed so that this session key gets one (handover.c): no other opens
	 * one meanwhile. */
	struct {
		uint64_t hosts, settings, closing; /* closing: the session; 0: it has ended */
		us_t until;			   /* once it has */
	} promised;
};

/* Mail of one session key that found no TLS or no login in its lane (keyrest.c); by the lane's name
 * and the key, so that it needs no lane to exist. */
struct key_rest {
	struct table_link link;
	struct gate gate;
	struct rstr *lane, *reason;
	uint64_t key;
	us_t since, until;
	uint64_t probe; /* the session that tries after a rest; 0: none yet */
	uint32_t step;
	uint8_t kind; /* enum rest_kind; REST_NONE: it came up, but nothing is delivered yet */
	bool told;    /* the events have why it rests */
};

struct path { /* a flow through one virtual MTA */
	struct waiter wait;
	struct flow *flow;
	struct source *source;
	struct lane *lane;
	const struct settings *set;
	struct link on_lane;
	struct limits limits;  /* those that bind every queue of the flow; a reference each */
	struct override *stop; /* paused or disabled by */
	int weight, current;
	uint8_t shut; /* enum why_code that closes it: paused, no-source; WHY_READY: none */
	bool cold;
	bool connecting; /* enough sessions are connecting: what they give is awaited */
	bool own_limits; /* each domain has further limits of its own */
};

struct flow {
	struct table_link link;
	struct waiter wait;
	struct site *site;
	struct route *route;
	uint64_t id;
	uint64_t key; /* of the settings at each member */
	struct link on_site;
	struct queue *ring; /* queues with ready mail, round robin */
	struct path *paths; /* NULL until something is to be handed out */
	uint64_t epoch, conf;
	uint32_t nring, users;
	int64_t current;   /* weighted round robin among the site's flows */
	struct link later; /* in sched.later: looked at again within a second */
	uint32_t passed;   /* queues that were passed over since one moved */
	uint8_t npaths, priority;
	bool runnable; /* some path may be open */
};

/* ---- queues ---- */
enum queue_stop { /* why its ready mail is in no ring */
		  STOP_NONE,
		  STOP_EMPTY,
		  STOP_PAUSED,
		  STOP_NO_ROUTE,
		  STOP_DNS,
		  STOP_LIMIT,	 /* a limit of its own: waits at a gate */
		  STOP_JOBS,	 /* all its ready mail is of paused jobs */
		  STOP_NEGATIVE, /* the DNS says no: being bounced */
};
struct queue {
	struct table_link link;
	struct row_head row;
	struct rstr *name;
	struct domain *domain;
	struct route *route;
	struct queue *next_of_domain;
	struct hosts *hosts;
	struct link on_hosts, on_site;
	struct site *site;
	struct flow *flow;
	struct queue *ring_next, *ring_prev;
	const struct settings *set;
	struct wheel_timer timer; /* next due recipient or expiry */
	struct rcpt *waiting, *released;
	struct rcpt *oldest, *newest;
	struct band *bands; /* the highest level's head */
	struct tally *tally;
	struct queue_more *more;
	struct override *paused;
	struct rstr *unsigned_by; /* where it is written that its mail must be signed, which could
				     not be done; NULL: that has not happened */
	struct link work;	  /* in sched.work */
	uint64_t epoch;
	uint32_t queued, ready, in_flight, nwaiting;
	uint32_t sessions;     /* that count as its */
	uint32_t pins;	       /* commands that stand in it */
	uint32_t seen;	       /* the last command that took it */
	uint32_t idle_since_s; /* 0: not empty, or not noticed yet */
	bool release_again;
	uint8_t stop, picks;
};
struct queue_more { /* what only queues with limits of their own have */
	struct waiter wait;
	struct queue *queue;
};

/* ---- sessions ---- */
enum session_state { SESSION_OPENING, SESSION_UP, SESSION_CLOSING };
enum { SESSION_FLIGHTS = 2 };
struct bundle { /* sessions of one key in one lane */
	struct table_link link;
	struct lane *lane;
	uint64_t hosts, settings;
	struct link idle, busy; /* busy: pipelining, one transaction */
	uint32_t sessions;
};
struct session {
	uint64_t id;
	struct lane *lane;
	struct bundle *bundle;
	struct link in_bundle, on_lane, on_source, all;
	struct link idle; /* in sched.idle, longest idle first */
	struct link ask;  /* at a gate's asks */
	struct flight *flights[SESSION_FLIGHTS];
	struct counter
	    *charged[LIMITS_MAX]; /* connections, besides lane's, site's, source's and total */
	uint64_t flow, epoch;	  /* of what `charged` is */
	uint64_t rest_key;	  /* keyrest.c */
	us_t up_at;
	struct queue *queue;
	struct patterns *patterns; /* what its verdicts point into; one reference */
	uint32_t io, ask_n;
	struct counter *closing_for; /* for whose room it was told to close */
	uint8_t state, ncharged;
	bool pipelining, was_up, failed, own_limits;
};

struct flight { /* a transaction that is with a session */
	uint64_t id;
	struct session *session;
	struct msg *msg;
	struct queue *queue;
	struct rcpt *first;		     /* rcpt.out.next */
	struct counter *charged[LIMITS_MAX]; /* rates it draws on */
	us_t granted_at;
	uint32_t n, granted, used; /* recipients; permits */
	int64_t pending;	   /* promised, not granted */
	uint8_t ncharged;
	bool recalled;
};

/* ---- the whole ---- */
struct act { /* an action that waits to be taken */
	struct action a;
	char *bytes; /* what a.name, a.key and a.value point to */
};
struct acts {
	struct act *ring;
	size_t head, n, cap;
	char *last; /* bytes of the action taken last */
};
struct io_state {
	uint32_t slots;
	uint64_t fenced;
};
struct gone_row { /* a row that is no more */
	struct link link;
	uint64_t id;
	uint8_t kind;
};

enum { MSG_POOLS = 128, MSG_POOL_STEP = 8 };

struct sched {
	uint32_t magic;
	struct sched_opts opts;
	struct rng rng;
	us_t now;
	struct conf *conf;
	struct settings_cache *cache;
	struct settings_cache **old_caches; /* until nothing points into them */
	int nold_caches;
	uint64_t epoch, conf_gen;
	unsigned hold; /* enum sched_hold */
	bool loading, draining;

	struct table msgs, queues, domains, sites, hosts, mxsets, flows, lanes, bundles, bands,
	    counters, names, jobs, restored, reports, warms, keyrests;
	struct pool queue_pool, more_pool, domain_pool, site_pool, hosts_pool, flow_pool, lane_pool,
	    bundle_pool, band_pool, sub_pool, counter_pool, rate_pool, job_pool, session_pool,
	    flight_pool, body_pool, traffic_pool, tally_pool, gone_pool;
	struct pool msg_pools[MSG_POOLS];
	size_t other_bytes; /* malloc'd: large messages, names, paths, MX sets */

	struct source **sources;
	uint32_t nsources;
	struct route **routes;
	uint32_t nroutes;

	struct wheel timers;	  /* queues */
	struct heap gates;	  /* gates that open at a time */
	struct link opened;	  /* gates to look at */
	struct link squeeze;	  /* gates for which idle sessions make room */
	struct link run;	  /* sites */
	struct link work;	  /* queues: released recipients, a new answer of the DNS */
	struct link line, failed; /* look-ups: to be asked, failed */
	struct link host_routes;  /* hosts of kind HOSTS_ROUTE */
	int budget;		  /* what this tick may still do, in hand-outs or their like */
	struct link kept;	  /* hosts that nothing refers to, oldest first */
	uint32_t nasked, nkept;
	bool ending;	   /* being freed */
	struct link later; /* flows */
	struct link sessions, idle;
	uint32_t nsessions, nidle;
	struct link bodies;
	struct link report_line;
	struct bad_address *bad; /* addresses that gave no session lately */
	uint64_t body_bytes;
	struct lead lead;      /* of all permits */
	struct counter *total; /* connections */
	struct gate slots;
	struct io_state *io;
	struct idmap by_session, by_flight, by_lookup;

	struct link overrides, live; /* all, and those that hold; oldest first */
	uint64_t next_override;
	uint32_t message_pauses;
	bool queue_limits; /* some override limits a single queue, domain or job */
	struct link alarms;
	struct link modes;    /* of lanes */
	struct link commands; /* being carried out */
	struct link cursors;  /* recipients that a command stands at */
	struct link *rebind;  /* the session whose counters are found anew next; NULL: none */
	bool rebind_enforce;  /* second round: those over a limit are closed */

	us_t warm_shown; /* when the rows of lanes that warm up were marked last */
	size_t walk;	 /* next bucket of queues to refresh */
	bool walking;
	us_t second_at;
	size_t sweep, upkeep, lane_walk, job_walk; /* upkeep's place in each table */

	struct link active; /* traffic windows */
	struct link dirty;  /* row_head.dirty */
	struct link gone;
	uint64_t next_id; /* rows, sessions, transactions, look-ups, fences, tokens */
	struct sched_totals totals;
	struct tally out, in; /* of everything */

	struct listing *listings; /* readers of long lists */
	struct acts acts;
};

#endif
