/* Far ends that hang, drip, flood or are not there: each costs its request its limits, with words
 * for the operator, and nothing else. */
#include "tests/unit/net/help.h"

#include <malloc.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "core/report/poster.h"

static const struct poster_limits limits = { 300 * US_PER_MS, 600 * US_PER_MS };

static struct loop *l;
static struct poster *p;

/* ---- a far end ---- */

enum way { HANG, DRIP, BODY_WITHOUT_END, HEADERS_WITHOUT_END, ANSWER };
struct far {
	pthread_t thread;
	int fd;
	enum way way;
	const char *answer;
	char url[64];
};

static void talk(const struct far *f, int fd)
{
	static const char more[4096] = "X: y\r\n";
	char in[4096];
	bool ok = f->way == HANG || read(fd, in, sizeof in) > 0;

	if (f->way == ANSWER)
		ok = ok && write(fd, f->answer, strlen(f->answer)) > 0;
	else if (f->way != HANG)
		ok = ok && write(fd, "HTTP/1.1 200 OK\r\n", 17) == 17;
	if (f->way == BODY_WITHOUT_END)
		ok = ok && write(fd, "\r\n", 2) == 2;
	for (; ok && f->way == DRIP; usleep(20 * 1000))
		ok = send(fd, "x", 1, MSG_NOSIGNAL) == 1;
	while (ok && f->way == BODY_WITHOUT_END)
		ok = send(fd, more, sizeof more, MSG_NOSIGNAL) > 0;
	while (ok && f->way == HEADERS_WITHOUT_END)
		ok = send(fd, more, strlen(more), MSG_NOSIGNAL) > 0;
	while (ok && f->way == HANG && read(fd, in, 1) > 0)
		;
	close(fd);
}

static void *serve(void *arg)
{
	struct far *f = arg;
	int fd = accept(f->fd, NULL, NULL);

	if (fd >= 0)
		talk(f, fd);
	return NULL;
}

static void far_start(struct far *f, enum way way, const char *text)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof a;

	*f = (struct far){ .way = way, .answer = text };
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(f->fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(f->fd, 5), 0);
	assert_int_equal(getsockname(f->fd, (struct sockaddr *)&a, &n), 0);
	snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d/", ntohs(a.sin_port));
	assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
}

static void far_end(struct far *f)
{
	shutdown(f->fd, SHUT_RDWR);
	pthread_join(f->thread, NULL);
	close(f->fd);
}

/* ---- a request ---- */

static bool answered;
static int status;
static char why[256];

static void on_answer(void *arg, const struct poster_answer *a)
{
	(void)arg;
	answered = true;
	status = a->status;
	snprintf(why, sizeof why, "%s", a->why);
}

static struct poster_job *begin(const char *url)
{
	static const char *const headers[] = { "X-Test: yes" };
	struct poster_job *j;

	answered = false;
	j = poster_start(p, url, headers, 1, STR_LIT("[{}]\n"), on_answer, NULL);
	assert_non_null(j);
	return j;
}

static us_t post(const char *url)
{
	us_t began = clock_now_us();

	begin(url);
	run_until(l, is_set, &answered);
	return clock_now_us() - began;
}

static us_t post_to(enum way way, const char *text)
{
	struct far f;
	us_t took;

	far_start(&f, way, text);
	took = post(f.url);
	far_end(&f);
	return took;
}

static int open_poster(void **state)
{
	(void)state;
	l = loop_new("test");
	p = poster_new(l, &limits);
	return p ? 0 : -1;
}

static int close_poster(void **state)
{
	(void)state;
	poster_free(p);
	loop_free(l);
	return 0;
}

/* ---- tests ---- */

static void one_that_never_answers_is_left_after_the_limit_and_told_as_that(void **state)
{
	us_t took = post_to(HANG, NULL);

	(void)state;
	assert_int_equal(status, 0);
	assert_string_equal(why, "it is connected to, but does not answer within 0.6 s");
	assert_true(took >= limits.answer - US_PER_MS && took < 10 * limits.answer);
}

static void a_byte_now_and_then_is_no_answer_either(void **state)
{
	us_t took = post_to(DRIP, NULL);

	(void)state;
	assert_int_equal(status, 0);
	assert_non_null(strstr(why, "does not answer within 0.6 s"));
	assert_true(took < 10 * limits.answer);
}

static void an_answer_without_end_takes_no_memory(void **state)
{
	size_t before = mallinfo2().uordblks;

	(void)state;
	post_to(BODY_WITHOUT_END, NULL);
	assert_int_equal(status, 200); /* its words are not needed */
	post_to(HEADERS_WITHOUT_END, NULL);
	assert_int_equal(status, 0);
	assert_true(mallinfo2().uordblks < before + 4 * 1024 * 1024);
}

/* A full line of connections that nobody takes: the handshake of the next never ends. */
static void one_that_can_not_be_connected_to_is_told_from_one_that_hangs(void **state)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0), full[8];
	socklen_t n = sizeof a;
	char url[64];

	(void)state;
	assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
	assert_int_equal(listen(fd, 0), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	for (int i = 0; i < 8; i++) {
		full[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
		(void)!connect(full[i], (struct sockaddr *)&a, n);
	}
	snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(a.sin_port));
	post(url);
	assert_int_equal(status, 0);
	assert_string_equal(why, "it can't be connected to within 0.3 s");
	for (int i = 0; i < 8; i++)
		close(full[i]);
	close(fd);
	post(url);
	assert_string_equal(why, "it can't be connected to: Connection refused");
}

static void https_says_where_it_stopped(void **state)
{
	struct far f;
	char url[96];

	(void)state;
	far_start(&f, HANG, NULL);
	snprintf(url, sizeof url, "https%s", f.url + 4);
	post(url);
	far_end(&f);
	assert_string_equal(why, "it can't be connected to, or TLS is not agreed on, within 0.3 s");
	setenv("SSL_CERT_FILE", "/nowhere/at/all", 1);
	far_start(&f, HANG, NULL);
	snprintf(url, sizeof url, "https%s", f.url + 4);
	post(url);
	far_end(&f);
	unsetenv("SSL_CERT_FILE");
	assert_non_null(strstr(why, "ca-certificates"));
}

static void what_is_answered_comes_back(void **state)
{
	(void)state;
	post_to(ANSWER, "HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(status, 413);
	post_to(ANSWER, "HTTP/1.1 302 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: "
			"0\r\n\r\n");
	assert_int_equal(status, 302);
	post_to(ANSWER, "SSH-2.0-OpenSSH_9.2\r\n");
	assert_int_equal(status, 0);
	assert_true(why[0] != '\0');
}

/* While one hangs another is answered, and the one that hangs can be left at once. */
static void one_that_hangs_holds_no_other_and_no_end(void **state)
{
	struct far hangs;
	struct poster_job *j;
	us_t began;

	(void)state;
	far_start(&hangs, HANG, NULL);
	j = begin(hangs.url);
	post_to(ANSWER, "HTTP/1.1 204 Taken\r\n\r\n");
	assert_int_equal(status, 204);
	began = clock_now_us();
	poster_drop(j);
	assert_true(clock_now_us() - began < limits.answer - 100 * US_PER_MS);
	far_end(&hangs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    one_that_never_answers_is_left_after_the_limit_and_told_as_that, open_poster,
		    close_poster),
		cmocka_unit_test_setup_teardown(a_byte_now_and_then_is_no_answer_either,
						open_poster, close_poster),
		cmocka_unit_test_setup_teardown(an_answer_without_end_takes_no_memory, open_poster,
						close_poster),
		cmocka_unit_test_setup_teardown(
		    one_that_can_not_be_connected_to_is_told_from_one_that_hangs, open_poster,
		    close_poster),
		cmocka_unit_test_setup_teardown(https_says_where_it_stopped, open_poster,
						close_poster),
		cmocka_unit_test_setup_teardown(what_is_answered_comes_back, open_poster,
						close_poster),
		cmocka_unit_test_setup_teardown(one_that_hangs_holds_no_other_and_no_end,
						open_poster, close_poster),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
