/* The one table of sections and directives. Reader, checker, settings, reload's difference and
 * manual are made from it: a new directive is a row in schema.c and a field in conf.h or
 * settings.h. Constant data; any thread. */
#ifndef STOKER_CONF_SCHEMA_H
#define STOKER_CONF_SCHEMA_H

#include "conf/conf.h"
#include "conf/settings.h"

enum section_kind {
	KIND_MTA,
	KIND_LISTENER,
	KIND_SOURCE,
	KIND_VMTA,
	KIND_WARMUP,
	KIND_POOL,
	KIND_PROVIDER,
	KIND_DOMAIN,
	KIND_PATTERN_LIST,
	KIND_CATEGORIES,
	KIND_DKIM,
	KIND_SMTP_USER,
	KIND_PICKUP,
	KIND_ACCOUNTING,
	KIND_SUPPRESSION,
	KIND_WEBHOOK,
	KIND_ALARM,
	KIND_INBOUND,
	KIND_CONSOLE,
	KIND_COUNT
};

struct section_info {
	const char *word; /* "virtual-mta-pool" */
	const char *form; /* what the name is, "NAME"; NULL: this section has none */
	bool settings;	  /* takes the [domain] directives as well */
	const char *help;
};
extern const struct section_info section_infos[KIND_COUNT];

/* How a value is written, and the C type of its field. value.c has one parser and one writer for
 * each. */
enum value_type {
	TYPE_BOOL,	  /* bool */
	TYPE_INT,	  /* int */
	TYPE_FACTOR,	  /* double */
	TYPE_PERCENT,	  /* double, a fraction; `lo` and `hi` in thousandths of a percent */
	TYPE_THRESHOLDS,  /* double, and a second one where there is a `count`; 0: off */
	TYPE_HOLD,	  /* struct conf_hold */
	TYPE_SIZE,	  /* int64_t, bytes */
	TYPE_MEMORY,	  /* int64_t, bytes; a percentage is of what the process may use */
	TYPE_DURATION,	  /* us_t */
	TYPE_SECONDS,	  /* us_t; a bare number is seconds */
	TYPE_DURATIONS,	  /* const us_t *, int */
	TYPE_RATE,	  /* struct rate */
	TYPE_WORD,	  /* an enum: one of `words` */
	TYPE_CHOICE,	  /* const char *: one of `words` */
	TYPE_ROTATE,	  /* enum conf_rotate, int64_t */
	TYPE_TEXT,	  /* const char * */
	TYPE_NAME,	  /* const char *: letters, digits, `.`, `_`, `-` */
	TYPE_PATH,	  /* const char *: absolute */
	TYPE_HOST,	  /* const char *: normal form */
	TYPE_ZONE,	  /* const char * */
	TYPE_INCLUDE,	  /* no field */
	TYPE_ROUTE_NAME,  /* int: index of a route */
	TYPE_SOURCE_NAME, /* int: index of a source */
	TYPE_WARMUP_NAME, /* int: index of a warm-up */
	TYPE_SECRET,	  /* const char *: a text, or @path of a file that others can't read */
	TYPE_MECHANISMS,  /* int: bits of enum conf_auth */
	TYPE_PROCESS,	  /* int: bits of CONF_INBOUND_… */
	TYPE_RECORDS,	  /* int: bits of enum acct_record */
	TYPE_CAUSES,	  /* int: bits of enum conf_suppress_on */
	TYPE_SO_MANY_IN,  /* int, us_t: "5 in 14d"; 0: never */
	TYPE_SOURCE_HOST, /* no field: address and EHLO name */
	TYPE_MEMBERS,	  /* no field */
	TYPE_REPLY,	  /* no field */
	TYPE_CATEGORY,	  /* no field */
	TYPE_PORT,	  /* int, 0: `off` */
	TYPE_IP,	  /* struct endpoint, port 0 */
	TYPE_URL,	  /* const char *: http or https */
	TYPE_TOKEN,	  /* const char *: itself, or `@path` of a file */
	TYPE_ACCESS,	  /* const struct conf_access *, int */
	TYPE_ROUTE_HOSTS, /* const struct route_host *, int */
	TYPE_ADDRESSES,	  /* from here on: const char **, int */
	TYPE_NAME_SERVERS,
	TYPE_HEADERS,
	TYPE_HOST_PATTERNS,
	TYPE_DOMAINS,
	TYPE_USERS,
	TYPE_COLUMNS,
	TYPE_EVENTS,
	TYPE_COUNT
};

enum directive_flags {
	REPEATS = 1,	/* may be written more than once in a section; the values add up */
	RESTART = 2,	/* takes effect at the next start only */
	COMPUTED = 4,	/* `def` is words for the manual; build.c works the value out */
	NEVER_OK = 8,	/* TYPE_DURATION: `never` is an answer */
	STDERR_OK = 16, /* TYPE_PATH: the word `stderr` */
};

struct word {
	const char *text;
	int value;
};

struct directive {
	enum section_kind kind; /* KIND_DOMAIN: also of sections with info.settings */
	const char *name;
	enum value_type type;
	enum setting_id setting; /* KIND_DOMAIN only */
	/* Offsets plus one, 0: none; into the section's struct in conf.h, or into struct settings.
	 */
	size_t field, count, from; /* value; its length or second part; its struct origin */
	int64_t lo, hi;	 /* TYPE_INT, TYPE_SIZE, durations (microseconds), TYPE_TEXT (bytes) */
	const char *def; /* as written; NULL: none */
	unsigned flags;
	const struct word *words; /* ends with text NULL */
	const char *help;
};

extern const struct directive directives[];
extern const size_t directives_n;

/* Case folded; NULL if this kind of section has no such directive. */
const struct directive *directive_find(enum section_kind kind, struct str name);
const struct directive *directive_of_setting(enum setting_id id);
/* KIND_COUNT if there is none. */
enum section_kind section_kind_find(struct str word);
/* True if the directive may stand in this kind of section. */
bool directive_allowed(const struct directive *d, enum section_kind kind);

/* "Did you mean": remembers the name nearest to what was written. */
struct nearest {
	char word[100]; /* folded; empty: too long to guess */
	const char *best;
	int distance;
};
void nearest_init(struct nearest *n, struct str word);
void nearest_try(struct nearest *n, const char *name);
/* NULL if nothing is near enough to be meant. */
const char *nearest_best(const struct nearest *n);

#endif
