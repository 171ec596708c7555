/* A reading in progress: what reader, build and check share. One thread. */
#ifndef STOKER_CONF_READING_H
#define STOKER_CONF_READING_H

#include "conf/mem.h"
#include "conf/snapshot.h"
#include "core/base/hash.h"

struct reading {
	struct conf_mem mem;
	struct conf *c;
	struct conf_private *priv;
	struct conf_problems *problems;
	const struct conf_read_opts *opts;
	const char *main_shown;		/* the file named on the command line */
	struct strmap sections;		/* kind and name -> struct conf_section */
	struct conf_section **by_alias; /* what inih is told instead of a header */
	int naliases, aliases_cap;
	int files_cap;
	char *loading;	  /* malloc'd; freed by conf_read if memory runs out */
	struct buf paths; /* what a glob matched */
	int depth;
	bool shipped;	 /* the layer that is being read */
	bool incomplete; /* a file could not be read: names it may define are not missed */
	int hints;	 /* how many more "did you mean" are looked for */
};

/* Errors come from reading and checking; a warning never keeps a configuration from being used. */
void problem(struct conf_problems *p, bool error, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void error_at(struct reading *r, const struct origin *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void warn_at(struct reading *r, const struct origin *at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Problems are printed in the order in which files were first named here. */
void problems_file(struct conf_problems *p, const char *file);

/* files.c */
struct source_file {
	const char *shown; /* as the operator named it: in errors */
	const char *path;  /* absolute */
	const char *dir;   /* of path */
	struct str text;
};
/* Reads the file, or the stored text of that path, into f->text and the snapshot's list. False
 * after reporting, with `at` as the place that named it (NULL: the command line). */
bool file_load(struct reading *r, struct source_file *f, const struct origin *at);
/* A whole file into m; NULL, or words for what went wrong. It goes by a malloc'd buffer in
 * *loading, so that no descriptor and no arena memory is at stake: whoever catches the longjmp of
 * `m` frees that. */
const char *file_slurp(struct conf_mem *m, char **loading, const char *path, struct str *text);
/* The files that an include means, in name order; none after an error. */
struct include_list {
	struct source_file *v; /* shown and path */
	int n;
};
void include_list(struct reading *r, const struct source_file *by, const struct conf_entry *e,
		  struct include_list *out);
const char *path_absolute(struct conf_mem *m, const char *path);
const char *path_dir(struct conf_mem *m, const char *path);
bool stored_has(const struct conf_read_opts *o, const char *path);
/* How many files a glob matches now; the paths, sorted and newline-separated, into `out`. */
int glob_files(const struct conf_read_opts *o, const char *glob, struct buf *out);

/* reader.c: one file and what it includes, through inih. False if it could not be read. */
bool read_source(struct reading *r, struct source_file *f, const struct origin *at);

/* sections.c: headers, and entries into sections */
struct conf_section *section_open(struct reading *r, struct str inside, const struct origin *at);
void section_add(struct reading *r, struct conf_section *s, struct conf_entry *e);

/* build.c, build_routes.c, build_domains.c, build_dkim.c, build_warmups.c: from sections to the
 * arrays of struct conf, and their indexes */
void build(struct reading *r);
void build_routes(struct reading *r);
void build_domains(struct reading *r);
void build_dkim(struct reading *r);
void build_warmups(struct reading *r);
/* value_acct.c */
void build_accounting(struct reading *r);
/* inbound.c */
void build_inbound(struct reading *r);
void check_inbound(struct reading *r);
void check_accounting(struct reading *r);
/* value_webhook.c */
void build_webhooks(struct reading *r);
void check_webhooks(struct reading *r);
void build_alarm(struct reading *r);
/* Stores every value of the section, and defaults for what it does not set; s may be NULL. */
void build_fields(struct reading *r, enum section_kind kind, const struct conf_section *s,
		  void *base);
/* Looks up what default-virtual-mta and source name, after all names are known. */
void build_references(struct reading *r, const struct conf_section *s, void *base);
struct name_index name_index_make(struct reading *r, int n);
void name_index_add(struct reading *r, struct name_index *x, const char *name, int i);
void name_index_sort(struct name_index *x);
int sections_of(const struct reading *r, enum section_kind kind);
/* check.c, check_relay.c, check_limits.c, check_dkim.c: what no single line shows */
void check(struct reading *r);
void check_relay(struct reading *r);
void check_mx(struct reading *r);
void check_limits(struct reading *r);
void check_tls(struct reading *r);
void check_auth(struct reading *r);
/* patterns.c */
void build_patterns_lists(struct reading *r);
void check_patterns(struct reading *r);
/* Compiles them all; NULL without memory. One reference is the caller's. */
struct patterns *patterns_make(const struct conf_private *c);
void check_dkim(struct reading *r);
void check_http(struct reading *r);
/* Warns where a secret stands in a configuration file that everybody can read. */
void check_secret_place(struct reading *r, const char *name, const struct origin *at);
void check_warmups(struct reading *r);
/* Reachable from the Internet, as far as an address tells. */
bool is_public(const struct endpoint *at);

/* " (did you mean \"x\"?)" or "". */
const char *did_you_mean(struct reading *r, const struct nearest *n);
const char *route_nearest(struct reading *r, const char *name);

#endif
