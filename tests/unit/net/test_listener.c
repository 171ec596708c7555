/* Listening sockets: binding in plain words, accepting, back-pressure, and no descriptors left. */
#include "tests/unit/net/help.h"

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "core/net/listener.h"

static struct loop *l;
static struct listener *ls;
static struct endpoint at;
static int accepted_fds[64], naccepted, stop_at;

static int setup(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	l = loop_new("test");
	naccepted = stop_at = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (int i = 0; i < naccepted; i++)
		close(accepted_fds[i]);
	loop_free(l);
	return 0;
}

static void on_accept(void *arg, int fd, const struct endpoint *peer)
{
	assert_ptr_equal(arg, &at);
	assert_true(endpoint_is_loopback(peer));
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	assert_true(naccepted < (int)(sizeof accepted_fds / sizeof *accepted_fds));
	accepted_fds[naccepted++] = fd;
	if (naccepted == stop_at)
		listener_stop(ls);
}

static void listen_here(const char *where)
{
	struct errbuf e = { "" };
	int fd;

	at = ep(where);
	fd = listener_bind(&at, &e);
	if (fd < 0)
		fail_msg("%s", e.text);
	at = local_of(fd);
	ls = listener_start(l, fd, on_accept, &at);
	assert_non_null(ls);
}

static int dial(void)
{
	int fd = socket(at.sa.sa_family, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	assert_int_equal(connect(fd, &at.sa, at.len), 0);
	return fd;
}

static bool has_accepted(void *arg)
{
	return naccepted >= *(int *)arg;
}

static void connections_are_accepted(void **state)
{
	int fds[20], want = 20;

	(void)state;
	listen_here("127.0.0.1");
	for (int i = 0; i < want; i++)
		fds[i] = dial();
	run_until(l, has_accepted, &want);
	listener_stop(ls);
	for (int i = 0; i < want; i++)
		close(fds[i]);
}

static void ipv6_is_a_listener_of_its_own(void **state)
{
	struct errbuf e = { "" };
	struct endpoint both = ep("::"), four = ep("0.0.0.0");
	int six = listener_bind(&both, &e), other;

	(void)state;
	if (six < 0) /* a network namespace has it, whatever the machine's own network has */
		fail_msg("no IPv6 here: %s", e.text);
	both = local_of(six);
	endpoint_set_port(&four, endpoint_port(&both));
	other = listener_bind(&four, &e);
	if (other < 0)
		fail_msg("%s", e.text);
	close(other);
	close(six);
}

static void a_failure_to_bind_has_words(void **state)
{
	struct errbuf e = { "" };
	struct endpoint taken, elsewhere = ep("203.0.113.99:2525");

	(void)state;
	listen_here("127.0.0.1");
	taken = at;
	assert_int_equal(listener_bind(&taken, &e), -1);
	assert_non_null(strstr(e.text, "in use"));
	assert_int_equal(listener_bind(&elsewhere, &e), -1);
	assert_non_null(strstr(e.text, "203.0.113.99:2525"));
	assert_non_null(strstr(e.text, "not on this machine"));
	listener_stop(ls);
}

static void a_listener_may_be_stopped_by_what_it_accepts(void **state)
{
	int want = 2, fds[4];

	(void)state;
	listen_here("127.0.0.1");
	stop_at = 2;
	for (int i = 0; i < 4; i++)
		fds[i] = dial();
	run_until(l, has_accepted, &want);
	assert_int_equal(naccepted, 2);
	for (int i = 0; i < 4; i++)
		close(fds[i]);
}

static void on_late(struct timer *t, void *arg)
{
	(void)t;
	*(bool *)arg = true;
}

static void a_paused_listener_accepts_nothing(void **state)
{
	int want = 1, fd;
	bool waited = false;
	struct timer t;

	(void)state;
	listen_here("127.0.0.1");
	listener_pause(ls);
	fd = dial();
	timer_init(&t, on_late, &waited);
	timer_set(l, &t, clock_now_us() + 20 * US_PER_MS);
	run_until(l, is_set, &waited);
	assert_int_equal(naccepted, 0);
	listener_resume(ls);
	run_until(l, has_accepted, &want);
	listener_stop(ls);
	close(fd);
}

/* libev would spin on a descriptor that is readable and can't be accepted. */
static void without_descriptors_it_waits_and_goes_on(void **state)
{
	struct rlimit old, low;
	struct loop_stats st;
	bool waited = false;
	struct timer t;
	int want = 1, fd, spare;

	(void)state;
	listen_here("127.0.0.1");
	fd = dial();
	spare = dup(fd);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)spare + 1;
	for (int i = 0; i < spare; i++) /* no gap below may be left */
		if (fcntl(i, F_GETFD) < 0)
			assert_int_equal(dup2(fd, i), i);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	timer_init(&t, on_late, &waited);
	timer_set(l, &t, clock_now_us() + 50 * US_PER_MS);
	run_until(l, is_set, &waited);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(naccepted, 0);
	loop_stats(l, &st);
	assert_true(st.passes < 20);
	run_until(l, has_accepted, &want);
	listener_stop(ls);
	close(fd);
	close(spare);
}

static void unix_sockets_get_their_rights(void **state)
{
	char dir[] = "/tmp/stoker-net-XXXXXX", path[128], longer[200];
	struct errbuf e = { "" };
	struct stat st;
	int fd, again;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/s", dir);
	fd = listener_bind_unix(path, NULL, &e);
	if (fd < 0)
		fail_msg("%s", e.text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	/* a live one is refused, a dead one replaced */
	assert_int_equal(listener_bind_unix(path, NULL, &e), -1);
	assert_non_null(strstr(e.text, "another server"));
	close(fd);
	again = listener_bind_unix(path, NULL, &e);
	if (again < 0)
		fail_msg("%s", e.text);
	close(again);
	assert_int_equal(listener_bind_unix(path, "no-such-group-here", &e), -1);
	assert_non_null(strstr(e.text, "no group"));
	assert_int_equal(stat(path, &st), -1);
	/* nothing but a socket is ever removed */
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(listener_bind_unix(path, NULL, &e), -1);
	assert_non_null(strstr(e.text, "something else"));
	assert_int_equal(stat(path, &st), 0);
	memset(longer, 'x', sizeof longer);
	longer[sizeof longer - 1] = '\0';
	assert_int_equal(listener_bind_unix(longer, NULL, &e), -1);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
		TEST(connections_are_accepted),
		TEST(ipv6_is_a_listener_of_its_own),
		TEST(a_failure_to_bind_has_words),
		TEST(a_listener_may_be_stopped_by_what_it_accepts),
		TEST(a_paused_listener_accepts_nothing),
		TEST(without_descriptors_it_waits_and_goes_on),
		TEST(unix_sockets_get_their_rights),
	};

	clock_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
