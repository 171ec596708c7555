/* Mail that nobody gets is kept whole, once, and the oldest of it makes room. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/feedback/unmatched.h"

static char dir[64], path[128];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof dir, "/tmp/stoker-unmatched.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof path, "%s/unmatched", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	DIR *d = opendir(path);
	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' || e->d_name[1] == 'n')
			unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(path);
	return rmdir(dir);
}

static int64_t xs(const struct body *b, uint64_t at, void *p, size_t n)
{
	(void)b;
	(void)at;
	memset(p, 'x', n);
	return (int64_t)n;
}

static int64_t broken(const struct body *b, uint64_t at, void *p, size_t n)
{
	(void)b;
	(void)at;
	(void)p;
	(void)n;
	errno = EIO;
	return -1;
}

static const struct err *keep(struct unmatched *u, uint64_t id, uint64_t size,
			      int64_t (*read)(const struct body *, uint64_t, void *, size_t))
{
	struct message_rcpt to = { .address = STR_LIT("x@b.example") };
	struct message m = { .id = id, .sender = STR_LIT("a@b"), .rcpts = &to, .nrcpts = 1 };
	struct body b = { .size = size };
	struct errbuf e = { "" };

	return unmatched_keep(u, &m, &b, STR_LIT("other (mail)"), read, &e);
}

static bool there(uint64_t id)
{
	char name[200];

	snprintf(name, sizeof name, "%s/%016llx.eml", path, (unsigned long long)id);
	return access(name, F_OK) == 0;
}

/* Room for eight messages as a disk counts them; a full folder is emptied by an eighth. */
static void the_oldest_make_room_over_a_restart_too(void **state)
{
	enum { BYTES = 60 * 1024, ROOM = 8 * 64 * 1024 };
	struct unmatched *u = unmatched_new(dir, ROOM);

	(void)state;
	for (uint64_t id = 9; id < 12; id++)
		assert_null(keep(u, id, BYTES, xs));
	assert_null(keep(u, 10, BYTES, xs)); /* read again after a crash */
	assert_true(there(9) && there(10) && there(11));
	unmatched_free(u);
	u = unmatched_new(dir, ROOM);
	for (uint64_t id = 0x100000000; id < 0x100000005; id++)
		assert_null(keep(u, id, BYTES, xs));
	assert_true(there(9) && there(0x100000004));
	assert_null(keep(u, 0x100000005, BYTES, xs));
	assert_false(there(9) || there(10)); /* one for it, one more for who comes next */
	assert_true(there(11) && there(0x100000005));
	assert_null(keep(u, 0x100000006, BYTES, xs));
	assert_true(there(11) && there(0x100000006));
	unmatched_free(u);
}

/* Many small ones take a block each: that counts, not what they hold. */
static void small_ones_count_as_the_disk_counts(void **state)
{
	struct unmatched *u = unmatched_new(dir, 100 * 1024);
	struct stat st;

	(void)state;
	assert_null(keep(u, 1, 10, xs));
	char name[200];
	snprintf(name, sizeof name, "%s/%016x.eml", path, 1);
	assert_int_equal(stat(name, &st), 0);
	if (st.st_blocks * 512 < 4096)
		fail_msg("/tmp keeps small files without a block of their own");
	for (uint64_t id = 2; id <= 60; id++)
		assert_null(keep(u, id, 10, xs));
	assert_false(there(1));
	unmatched_free(u);
}

static void what_cannot_be_read_leaves_no_file(void **state)
{
	struct unmatched *u = unmatched_new(dir, 3500);

	(void)state;
	assert_non_null(keep(u, 1, 10, broken));
	assert_false(there(1));
	unmatched_free(u);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_oldest_make_room_over_a_restart_too, setup,
						teardown),
		cmocka_unit_test_setup_teardown(small_ones_count_as_the_disk_counts, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_leaves_no_file, setup,
						teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
