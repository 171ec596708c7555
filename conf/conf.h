/* The configuration: an immutable, counted snapshot with a number (CONFIG.md is the language,
 * DESIGN.md "Control" its life). Read by a worker or before threads start; afterwards any thread
 * may read a snapshot that it holds a reference on. Nothing here changes after conf_read.
 *
 * conf/schema.c is the one table of directives: reader, check, settings, reload's difference,
 * importer and manual are made from it. */
#ifndef STOKER_CONF_CONF_H
#define STOKER_CONF_CONF_H

#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

#include "core/base/buf.h"
#include "core/base/clock.h"
#include "core/base/err.h"
#include "core/base/fmt.h"
#include "core/base/str.h"

/* Where a value was written. file NULL: the built-in default. */
struct origin {
	const char *file;
	int line;
	const char *section; /* "[domain gmail.com via pool-a]" */
};

/* An address and port; family AF_UNSPEC when unset. */
struct endpoint {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
		struct sockaddr_storage any;
	};
	socklen_t len;
};

enum { CONF_NONE = -1 }; /* no index */

/* ---- what a snapshot holds; arrays and indexes into them, all fixed ---- */

/* [virtual-mta NAME], or default1, default2 … made from [mta] smtp-source-host */
struct conf_vmta {
	const char *name;
	struct endpoint ip4, ip6;  /* port 0 */
	const char *host4, *host6; /* EHLO names */
	int max_smtp_out;	   /* 0: no limit here */
	struct rate max_msg_rate;  /* n 0: no limit here */
	bool cold;
	int warmup; /* CONF_NONE: it is warm */
	struct origin origin, origin_max_smtp_out, origin_max_msg_rate, origin_warmup;
};

enum conf_warmup_per { WARMUP_PROVIDER, WARMUP_TOTAL };

struct conf_warmup { /* [warmup NAME] */
	const char *name;
	struct rate start, until; /* at least one an hour */
	double factor;
	us_t every;
	double max_bounce_rate; /* a fraction */
	int min_sample;
	enum conf_warmup_per per;
	struct origin origin, origin_start, origin_factor, origin_until;
};

struct conf_member {
	int vmta;
	int weight;
};

struct conf_pool {
	const char *name;
	struct conf_member *members;
	int nmembers;
	struct origin origin;
};

/* A route is a virtual MTA or a pool. One name space: a name is one or the other. */
struct conf_route {
	const char *name;
	int vmta; /* CONF_NONE for a pool */
	int pool; /* CONF_NONE for a virtual MTA */
};

struct conf_provider {
	const char *name;
	const char **mx; /* host patterns, normal form */
	int nmx;
	const char **domains;
	int ndomains;
	int max_smtp_out;	  /* provider-max-smtp-out, 0: none */
	struct rate max_msg_rate; /* provider-max-msg-rate */
	struct origin origin, origin_max_smtp_out, origin_max_msg_rate;
};

struct conf_source { /* [source CIDR or NAME] */
	const char *name;
	bool is_cidr;
	struct endpoint net; /* is_cidr */
	int prefix;
	bool always_allow_relaying, require_auth;
	int default_route;	  /* CONF_NONE */
	int64_t max_message_size; /* 0: [mta]'s */
	int max_rcpt_per_message;
	struct rate max_msg_rate;
	int priority; /* 0 to 100 */
	bool process_x_virtual_mta, process_x_job, process_x_envid, process_x_queue_priority;
	bool add_date, add_message_id, hide_source;
	const char **remove_headers;
	int nremove_headers;
	struct origin origin;
};

struct conf_user { /* [smtp-user NAME] */
	const char *name;
	const char *password; /* a crypt(3) hash */
	int source;	      /* CONF_NONE: by its address, as everybody */
	int priority;	      /* CONF_NONE: its source's */
	struct origin origin;
};

/* [listener] tls */
enum conf_tls { CONF_TLS_NO, CONF_TLS_STARTTLS, CONF_TLS_REQUIRED, CONF_TLS_IMPLICIT };

/* [listener] authenticate: bits */
enum conf_auth { CONF_AUTH_PLAIN = 1, CONF_AUTH_LOGIN = 2 };

struct conf_listener { /* [listener ADDRESS:PORT] */
	struct endpoint at;
	const char *name;			     /* as written */
	int source;				     /* CONF_NONE */
	int default_route;			     /* CONF_NONE */
	int max_connections, max_connections_per_ip; /* per_ip: loopback unlimited unless written */
	const char *banner;			     /* NULL: the default */
	enum conf_tls tls;
	const char *tls_certificate, *tls_key; /* PEM files; set unless tls is no */
	int authenticate;		       /* bits of enum conf_auth; 0: no */
	bool allow_unencrypted_auth;	       /* not on loopback only */
	struct origin origin, origin_tls_certificate, origin_tls_key, origin_authenticate,
	    origin_allow_unencrypted;
};

struct conf_pickup {	 /* [pickup DIRECTORY] */
	const char *dir; /* absolute */
	/* Its mail takes the server's door as that of a listener and a source would: these places
	 * in `listeners` and `sources` are behind the last one that is written. The source is
	 * [source pickup] if there is one, may relay, and takes X-Job. */
	int listener, source;
	int route; /* CONF_NONE: [mta]'s */
	us_t scan_interval, settle;
	bool delete_after_read;
	const char *bad_directory;
	int priority; /* 0 to 100 */
	struct origin origin;
};

/* What somebody may do; the order of enum role in core/control/commands.h. */
enum conf_role { CONF_ROLE_NONE, CONF_ROLE_READ, CONF_ROLE_OPERATE, CONF_ROLE_ADMIN };

struct conf_access { /* one `CIDR role` of http-access */
	struct endpoint net;
	int prefix;
	enum conf_role role;
	struct origin origin; /* file NULL: the default */
};

enum conf_rotate { ROTATE_NEVER, ROTATE_HOURLY, ROTATE_DAILY, ROTATE_SIZE };

enum conf_acct_format { CONF_ACCT_CSV, CONF_ACCT_JSON };

struct conf_accounting { /* [accounting NAME] */
	const char *name, *file;
	enum conf_acct_format format;
	int records;	     /* bits of enum acct_record (conf/accounting.h) */
	const char **fields; /* column names; empty: all that the records have */
	int nfields;
	enum conf_rotate rotate;
	int64_t rotate_size;
	us_t keep; /* US_NEVER */
	struct origin origin, origin_file, origin_fields;
};

/* [suppression] on: bits */
enum conf_suppress_on { CONF_SUPPRESS_HARD = 1, CONF_SUPPRESS_COMPLAINT = 2 };
enum conf_suppress_check { CONF_SUPPRESS_AT_RCPT, CONF_SUPPRESS_AT_SENDING };
enum conf_suppress_scope { CONF_SUPPRESS_FOR_SENDER, CONF_SUPPRESS_FOR_ALL };

struct conf_suppression { /* [suppression]; holds without one, too */
	int on;
	enum conf_suppress_check check;
	enum conf_suppress_scope scope;
	int soft_limit; /* 0: soft failures are not counted */
	us_t soft_within;
	us_t expire_after; /* US_NEVER */
};

struct conf_webhook { /* [webhook NAME] */
	const char *name, *url;
	const char *secret;  /* NULL: requests are not signed */
	const char **events; /* names of event types */
	int nevents, batch;
	us_t max_delay;
	struct origin origin, origin_url, origin_secret;
};

enum { CONF_INBOUND_BOUNCES = 1, CONF_INBOUND_FEEDBACK = 2 };

struct conf_inbound {	    /* [inbound DOMAIN] */
	const char *domain; /* normal form */
	int process;	    /* bits of CONF_INBOUND_… */
	bool verp, trust_unsigned;
	const char *verp_key; /* a file; NULL: none */
	const char **forward; /* forward-unmatched; none: kept in the spool's unmatched/ */
	int nforward;
	struct origin origin, origin_verp_key, origin_trust, origin_forward;
};

struct conf_mta {
	const char *hostname;
	const char **postmasters;
	int npostmasters;
	const char *spool, *state;
	const char *run_as_user; /* NULL: not written */
	const char *control_socket, *control_group;
	int threads;
	int total_max_smtp_out, total_max_smtp_in;
	struct origin origin_postmaster, origin_total_max_smtp_out;
	int64_t max_message_size, spool_min_free, events_max, memory_limit;
	int max_hops;
	int default_route; /* CONF_NONE: none given and not the only one */
	const char *log_file;
	enum conf_rotate log_rotate;
	int64_t log_rotate_size;
	us_t log_keep;
	const char *audit_log, *error_log; /* error_log NULL: stderr */
	const char **name_servers;	   /* `IP` or `IP@PORT`; empty: the machine's resolv.conf */
	int nname_servers;
	int http_port;		      /* 0: off */
	struct endpoint http_address; /* port 0 */
	const struct conf_access *http_access;
	int nhttp_access;
	const char *http_token; /* as written, `@/absolute/path` for a file; NULL: none */
	struct origin origin_http_port, origin_http_address, origin_http_token;
};

struct conf_dkim {	    /* [dkim DOMAIN] */
	const char *domain; /* normal form */
	const char *selector, *key_file;
	const char *second_selector, *second_key_file; /* both or neither (NULL) */
	const char **headers;			       /* empty: what RFC 6376 5.4.1 recommends */
	int nheaders;
	const char **oversign;
	int noversign;
	us_t expire_after; /* US_NEVER */
	bool must_sign;
	struct origin origin, origin_key_file, origin_second_key_file, origin_must_sign;
};

enum { CONF_HOLD_AT_ALARM = -1 };
struct conf_hold { /* fractions; 0: never */
	double bounces, complaints;
};
struct conf_alarm { /* [alarm]; rates are fractions, 0: off */
	double complaint_warn, complaint_red, bounce_rate;
	struct conf_hold hold;
	us_t after, repeat;
	const char **mail_to;
	int nmail_to;
	struct origin origin_hold, origin_mail_to;
};

struct conf_console {
	const char *theme; /* "dark" */
	const char *label, *label_color;
	us_t refresh;
	const char *time_zone;
	const char **read, **operate, **admin; /* UNIX users and @groups */
	int nread, noperate, nadmin;
};

struct patterns; /* conf/patterns.h */

struct conf_file { /* a source text, kept for the history and for going back */
	const char *path;
	struct str text;
};

struct conf {
	uint32_t magic;
	uint32_t refs;	 /* atomic */
	uint64_t number; /* set by conf_set_number before it is shared */
	us_t loaded_at;
	const char *path;
	struct conf_file *files;
	int nfiles;
	struct conf_mta mta;
	struct conf_console console;
	struct conf_suppression suppression;
	struct conf_alarm alarm;
	struct conf_listener *listeners;
	int nlisteners;
	struct conf_pickup *pickups;
	int npickups;
	struct conf_accounting *accounting;
	int naccounting;
	struct conf_webhook *webhooks;
	int nwebhooks;
	struct conf_source *sources;
	int nsources;
	struct conf_user *users;
	int nusers;
	struct conf_warmup *warmups;
	int nwarmups;
	struct conf_vmta *vmtas;
	int nvmtas;
	struct conf_pool *pools;
	int npools;
	struct conf_route *routes;
	int nroutes;
	struct conf_provider *providers;
	int nproviders;
	bool any_verify; /* somewhere stands smtp-starttls = verify */
	struct origin origin_verify;
	/* What is made of the snapshot once, beside it: TLS contexts (core/net/tls.h). It lives as
	 * long as the snapshot, and whoever holds a reference on that may use it. */
	void *tls;
	void (*tls_free)(void *tls);
	struct patterns *patterns; /* compiled [pattern-list]s */
	struct conf_dkim *dkim;	   /* by domain */
	int ndkim;
	/* What is made of the [dkim] sections once, beside the snapshot: the keys
	 * (core/sign/keys.h). They live as long as it, and whoever holds a reference on it may use
	 * them. */
	void *keys;
	void (*keys_free)(void *keys);
	struct conf_inbound *inbound; /* by domain */
	int ninbound;
	/* The keys of the [inbound] sections (core/feedback/inbound.h); as `keys`. */
	void *tokens;
	void (*tokens_free)(void *tokens);
	char *http_token;	   /* what conf_token_attach made of [mta] http-token; NULL: none */
	struct conf_private *priv; /* the sections, for settings, diff and dump */
};

struct conf *conf_ref(struct conf *c);
void conf_unref(struct conf *c); /* NULL allowed */
void conf_set_number(struct conf *c, uint64_t number, us_t loaded_at);

/* CONF_NONE if there is none of that name (case folded). */
int conf_route_find(const struct conf *c, struct str name);
int conf_vmta_find(const struct conf *c, struct str name);
int conf_pool_find(const struct conf *c, struct str name);
int conf_provider_find(const struct conf *c, struct str name);
int conf_source_find(const struct conf *c, struct str name);
/* The [dkim] section of the domain (normal form) or of its nearest parent that has one; CONF_NONE.
 */
int conf_dkim_for(const struct conf *c, struct str domain);
/* The [inbound] section of the domain, in whatever form, or of the address's; CONF_NONE. */
int conf_inbound_for(const struct conf *c, struct str domain);
int conf_inbound_of(const struct conf *c, struct str address);
int conf_user_find(const struct conf *c, struct str name);
/* The longest CIDR that holds the address; CONF_NONE. */
int conf_source_for(const struct conf *c, const struct sockaddr *peer);
/* The role of the longest CIDR of http-access that holds the address. */
enum conf_role conf_http_role(const struct conf *c, const struct sockaddr *peer);
/* The provider that all these best-preference MX hosts (normal form) belong to, or that names the
 * domain; CONF_NONE. */
int conf_provider_for(const struct conf *c, struct str domain, const struct str *hosts, int nhosts);

/* ---- reading ---- */

struct conf_problem {
	const char *file;
	int line;   /* 0: the file as a whole */
	bool error; /* else a warning */
	const char *text;
};
struct conf_problems {
	struct conf_problem *v;
	int n, errors, warnings;
	struct conf_problems_private *priv; /* texts */
};
void conf_problems_init(struct conf_problems *p);
void conf_problems_free(struct conf_problems *p);
/* One more, found by who makes something of what was read (keys, certificates). */
void conf_problem_add(struct conf_problems *p, bool error, const struct origin *at, const char *fmt,
		      ...) __attribute__((format(printf, 4, 5)));
/* "FILE:LINE: error: …\n" for each, in file and line order. */
void conf_problems_print(const struct conf_problems *p, struct buf *out);

struct conf_read_opts {
	const char *shipped_dir; /* conf/ of this installation; NULL: none */
	/* For going back to a stored configuration: read these texts instead of files of those
	 * paths. NULL: the disk. */
	const struct conf_file *stored;
	int nstored;
};
/* Reads a configuration with its includes. NULL if there is any error; every error and warning is
 * in `problems` either way. Takes up to some 100 ms: a worker's or start's job. */
struct conf *conf_read(const char *path, const struct conf_read_opts *opts,
		       struct conf_problems *problems);

/* Reads the file that http-token names, as the user that the server runs as, before the snapshot is
 * shared. False with an error in `problems`. */
bool conf_token_attach(struct conf *c, struct conf_problems *problems);

/* True if the files on disk no longer hold what this snapshot was read from. A worker's job. */
bool conf_differs_from_disk(const struct conf *c);

/* One line of a reload's difference. */
struct conf_change {
	char sign;	       /* '+' section or value new, '-' gone, '~' changed */
	const char *section;   /* "[domain yahoo.com]" */
	const char *directive; /* NULL: the whole section */
	const char *was, *now; /* as written; NULL where there is none */
};
struct conf_diff {
	struct conf_change *v;
	int n;
	struct conf_diff_private *priv;
};
void conf_diff_make(const struct conf *was, const struct conf *now, struct conf_diff *out);
void conf_diff_free(struct conf_diff *d);
/* Directives of `now` that need a restart to take effect (spool, state, threads …), as a sentence
 * each in `out`. */
void conf_diff_restart(const struct conf *was, const struct conf *now, struct buf *out);

/* The manual's and help's source: every directive with kind, type, range, default and help. */
void conf_schema_print(FILE *out);

#endif
