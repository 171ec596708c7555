/* An import and what it says and writes; what it wrote must be accepted by conf_read. */
#ifndef STOKER_TEST_PMTA_KIT_H
#define STOKER_TEST_PMTA_KIT_H

#include "tests/unit/conf/fixture.h"

#include "conf/pmta_priv.h"

static struct world w;
static struct buf ini, report;
static struct pmta_count count;
static char shipped[4200];

static inline int open_world(void **state)
{
	(void)state;
	world_open(&w);
	snprintf(shipped, sizeof shipped, "%s/conf", w.home);
	buf_init(&ini);
	buf_init(&report);
	return 0;
}

static inline int close_world(void **state)
{
	(void)state;
	buf_free(&ini);
	buf_free(&report);
	world_close(&w);
	return 0;
}

/* Imports the file; what was written must be accepted. */
static inline void import_file(const char *path)
{
	struct conf_read_opts o = { .shipped_dir = shipped };
	struct errbuf e = { "" };

	buf_clear(&ini);
	buf_clear(&report);
	if (!pmta_import(path, shipped, &ini, &report, &count, &e))
		fail_msg("%s", e.text);
	buf_z(&report);
	world_bytes("out.ini", buf_z(&ini), ini.n);
	if (!world_read_with(&w, "out.ini", &o))
		print_error("%s\n%s\n%s", buf_z(&ini), buf_z(&w.text), buf_z(&report));
	assert_non_null(w.c);
}

static inline void import_bytes(const char *p, size_t n)
{
	world_bytes("p.conf", p, n);
	import_file("p.conf");
}

static inline void import(const char *text)
{
	import_bytes(text, strlen(text));
}

static inline void expect_in(const struct buf *b, const char *part)
{
	if (!strstr(b->p, part))
		print_error("expected \"%s\" in:\n%s", part, b->p);
	assert_non_null(strstr(b->p, part));
}

static inline void says(const char *part)
{
	expect_in(&report, part);
}

static inline void writes(const char *part)
{
	expect_in(&ini, part);
}

static inline void writes_not(const char *part)
{
	if (strstr(ini.p, part))
		print_error("unexpected \"%s\" in:\n%s", part, ini.p);
	assert_null(strstr(ini.p, part));
}

#define HOST "smtp-source-host 192.0.2.1 mx.example.com\n"

#endif
