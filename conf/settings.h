/* Effective settings of a domain by a route at a virtual MTA, with origins (CONFIG.md, "Which
 * settings hold, and what a limit counts"). A cache interns them, so that 100,000 domains without
 * sections of their own share one object. A cache belongs to one thread; the settings it returns
 * live as long as it. */
#ifndef STOKER_CONF_SETTINGS_H
#define STOKER_CONF_SETTINGS_H

#include "conf/conf.h"

enum setting_id { /* [domain] directives */
		  SET_MAX_SMTP_OUT,
		  SET_MAX_MSG_RATE,
		  SET_MAX_CONNECT_RATE,
		  SET_MAX_MSG_PER_CONNECTION,
		  SET_MAX_RCPT_PER_MESSAGE,
		  SET_SMTP_PIPELINING,
		  SET_USE_RS,
		  SET_IP_VERSIONS,
		  SET_RETRY_RECIPIENTS_AFTER,
		  SET_BOUNCE_AFTER,
		  SET_MIN_BACKOFF,
		  SET_MAX_BACKOFF,
		  SET_BACKOFF_SCALE_FACTOR,
		  SET_ADAPTIVE_THROTTLING,
		  SET_BACKOFF_MAX_SMTP_OUT,
		  SET_BACKOFF_MAX_MSG_RATE,
		  SET_BACKOFF_TO_NORMAL_AFTER,
		  SET_BACKOFF_TO_NORMAL_AFTER_DELIVERY,
		  SET_SMTP_PATTERN_LIST,
		  SET_ROUTE,
		  SET_CONNECT_TIMEOUT,
		  SET_SMTP_GREETING_TIMEOUT,
		  SET_COMMAND_TIMEOUT,
		  SET_DATA_TIMEOUT,
		  SET_DATA_DONE_TIMEOUT,
		  SET_IDLE_TIMEOUT,
		  SET_QUEUE_PRIORITY,
		  SET_SEND_DSN,
		  SET_DSN_RETURN,
		  SET_DELAY_DSN_AFTER,
		  SET_EIGHTBIT,
		  SET_ALLOW_PRIVATE_MX,
		  SET_SMTP_STARTTLS,
		  SET_USE_PLAINTEXT,
		  SET_TLS_MIN_VERSION,
		  SET_DKIM_SIGN,
		  SET_AUTH_USER,
		  SET_AUTH_PASSWORD,
		  SET_COUNT
};

enum ip_versions { IPV_BOTH, IPV_4, IPV_6, IPV_PREFER_4, IPV_PREFER_6 };
enum send_dsn { SEND_DSN_YES, SEND_DSN_NO, SEND_DSN_POSTMASTER };
enum dsn_return { DSN_RETURN_HEADERS, DSN_RETURN_FULL };
enum eightbit { EIGHTBIT_AS_IS, EIGHTBIT_BOUNCE };

enum starttls { STARTTLS_NO, STARTTLS_OPPORTUNISTIC, STARTTLS_REQUIRED, STARTTLS_VERIFY };
enum tls_min { TLS_MIN_1_0, TLS_MIN_1_1, TLS_MIN_1_2, TLS_MIN_1_3 };

enum limit_kind {
	LIMIT_CONNECTIONS,
	LIMIT_MSG_RATE,
	LIMIT_CONNECT_RATE,
	LIMIT_KINDS, /* what is counted; and their twins that hold in backoff mode: */
	LIMIT_BACKOFF_CONNECTIONS = LIMIT_KINDS,
	LIMIT_BACKOFF_MSG_RATE,
	LIMIT_DIRECTIVES
};
/* What a limit counts; the scheduler keeps one counter for each (scope, key). */
enum limit_scope {
	SCOPE_LANE,   /* provider or site at one virtual MTA */
	SCOPE_DOMAIN, /* one domain's mail at one virtual MTA */
	SCOPE_POOL,   /* what comes by one pool: of the lane, or of the domain if the section names
			 one, at one virtual MTA */
	SCOPE_PROVIDER, /* all lanes of a provider (from struct conf_provider, not from here) */
	SCOPE_VMTA,	/* one virtual MTA (from struct conf_vmta) */
	SCOPE_TOTAL,	/* everything (from struct conf_mta) */
	SCOPE_COUNT
};
static inline bool limit_is_connections(enum limit_kind k)
{
	return k == LIMIT_CONNECTIONS || k == LIMIT_BACKOFF_CONNECTIONS;
}
struct limit {
	enum limit_kind kind;
	enum limit_scope scope; /* SCOPE_LANE, SCOPE_DOMAIN or SCOPE_POOL here */
	bool by_domain;		/* SCOPE_POOL: counts the domain's mail, not the lane's */
	int pool;		/* SCOPE_POOL */
	int n;			/* LIMIT_CONNECTIONS and its twin */
	struct rate rate;	/* the others; never unlimited */
	struct origin origin;
};
enum { SETTINGS_LIMITS_MAX = 15, RETRY_STEPS_MAX = 32, ROUTE_HOSTS_MAX = 16 };

struct route_host { /* one element of `route`, instead of MX */
	enum { ROUTE_HOST, ROUTE_IP, ROUTE_MX } type;
	const char *host;   /* ROUTE_HOST, ROUTE_MX */
	struct endpoint ip; /* ROUTE_IP, with port */
	uint16_t port;	    /* 0: 25 */
};

struct settings {
	int provider, pool, vmta; /* what it was asked for; CONF_NONE */
	int max_msg_per_connection, max_rcpt_per_message;
	bool smtp_pipelining, use_rs, allow_private_mx, dkim_sign;
	enum ip_versions ip_versions;
	const us_t *retry; /* wait after the n-th deferral; the last one repeats */
	int nretry;	   /* 1 to RETRY_STEPS_MAX */
	us_t bounce_after;
	us_t min_backoff, max_backoff;
	double backoff_scale_factor;
	bool adaptive_throttling;
	us_t backoff_to_normal_after; /* US_NEVER */
	bool backoff_to_normal_after_delivery;
	const char *smtp_pattern_list;
	const struct route_host *route; /* the snapshot's; in order, instead of MX */
	int nroute;			/* 0 to ROUTE_HOSTS_MAX */
	us_t connect_timeout, greeting_timeout, command_timeout, data_timeout, data_done_timeout,
	    idle_timeout;
	int queue_priority;
	enum send_dsn send_dsn;
	enum dsn_return dsn_return;
	us_t delay_dsn_after; /* US_NEVER */
	enum eightbit eightbit;
	enum starttls smtp_starttls;
	bool use_plaintext;			  /* starttls_needed() looks at both */
	enum tls_min tls_min_version;		  /* for required and verify */
	const char *auth_user, *auth_password;	  /* NULL: no AUTH */
	struct limit limits[SETTINGS_LIMITS_MAX]; /* at most one per kind and scope */
	int nlimits;
	/* Where each value came from (the limits: the innermost). */
	struct origin origin[SET_COUNT];
	/* Hash of all values that a connection depends on: equal key, one connection can carry
	 * both. */
	uint64_t session_key;
};

/* Mail with these settings must not go unencrypted. */
static inline bool starttls_needed(enum starttls how, bool use_plaintext)
{
	return how >= STARTTLS_REQUIRED || !use_plaintext;
}

struct settings_cache;
/* Holds a reference on the snapshot. NULL without memory. */
struct settings_cache *settings_cache_new(struct conf *c);
void settings_cache_free(struct settings_cache *sc);
/* domain in normal form; provider, pool may be CONF_NONE; vmta may be CONF_NONE (then only what
 * holds at any). NULL without memory only. */
const struct settings *settings_get(struct settings_cache *sc, struct str domain, int provider,
				    int pool, int vmta);

/* `stoker settings`: a line each "name = value   ; origin", limits with what they count. */
void settings_print(const struct conf *c, const struct settings *s, struct buf *out);
/* The same as JSON: [{"name","value","origin":{"file","line","section"},"counts"}]. */
void settings_json(const struct conf *c, const struct settings *s, struct buf *out);
const char *setting_name(enum setting_id id);
const char *limit_kind_name(enum limit_kind k);	   /* directive's word: "max-smtp-out" … */
const char *limit_scope_words(enum limit_scope s); /* "each lane", "together" … for the screen */

#endif
