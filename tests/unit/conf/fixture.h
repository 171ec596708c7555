/* A directory of configuration files of its own, which is the working directory meanwhile, so that
 * errors name files as "a.ini:3". */
#ifndef STOKER_TEST_CONF_FIXTURE_H
#define STOKER_TEST_CONF_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/settings.h"

struct world {
	char dir[64], home[4096];
	struct conf *c;
	struct conf_problems problems;
	struct buf text; /* of the problems */
};

static inline void world_open(struct world *w)
{
	*w = (struct world){ .c = NULL };
	snprintf(w->dir, sizeof w->dir, "/tmp/stoker-conf-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	assert_non_null(getcwd(w->home, sizeof w->home));
	assert_int_equal(chdir(w->dir), 0);
	conf_problems_init(&w->problems);
	buf_init(&w->text);
}

static inline void world_forget(struct world *w)
{
	conf_unref(w->c);
	w->c = NULL;
	conf_problems_free(&w->problems);
	conf_problems_init(&w->problems);
	buf_clear(&w->text);
}

static inline int world_unlink(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void world_close(struct world *w)
{
	world_forget(w);
	conf_problems_free(&w->problems);
	buf_free(&w->text);
	assert_int_equal(chdir(w->home), 0);
	assert_int_equal(nftw(w->dir, world_unlink, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static inline void world_bytes(const char *name, const void *p, size_t n)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, n, f), n);
	assert_int_equal(fclose(f), 0);
}

static inline void world_file(const char *name, const char *text)
{
	world_bytes(name, text, strlen(text));
}

/* Reads the file; what was wrong is in w->text. */
static inline struct conf *world_read_with(struct world *w, const char *name,
					   const struct conf_read_opts *o)
{
	world_forget(w);
	w->c = conf_read(name, o, &w->problems);
	conf_problems_print(&w->problems, &w->text);
	buf_z(&w->text);
	assert_int_equal(w->c == NULL, w->problems.errors > 0);
	return w->c;
}

static inline struct conf *world_read(struct world *w, const char *text)
{
	world_file("a.ini", text);
	return world_read_with(w, "a.ini", NULL);
}

/* Enough to be read without a warning. */
#define BASE                                                                                       \
	"[mta]\n"                                                                                  \
	"hostname = mx.example.com\n"                                                              \
	"smtp-source-host = 192.0.2.1 mx.example.com\n"                                            \
	"[listener 127.0.0.1:2525]\n"                                                              \
	"[source 127.0.0.1]\n"                                                                     \
	"always-allow-relaying = yes\n"
enum { BASE_LINES = 6 };

static inline void expect_clean(struct world *w)
{
	if (w->text.n)
		print_error("unexpected: %s", buf_z(&w->text));
	assert_int_equal(w->text.n, 0);
	assert_non_null(w->c);
}

static inline void expect_text(struct world *w, const char *part)
{
	if (!strstr(buf_z(&w->text), part))
		print_error("expected \"%s\" in:\n%s", part, buf_z(&w->text));
	assert_non_null(strstr(buf_z(&w->text), part));
}

#endif
