/* Not a test: the console over a fake control, on this terminal, to be looked at. Run by hand:
 * make build/plain/tests/unit/tui/look.o and link as the tests are. */
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "tests/unit/tui/fake.h"

static struct termios was;
static volatile sig_atomic_t resized = 1;
static void on_winch(int s)
{
	(void)s;
	resized = 1;
}
struct looker {
	struct fake fake;
	int fd;
	struct buf in;
	struct timer tick;
	ev_io tty, sock;
	unsigned seed;
};
static void send_frame(struct looker *l, char type, struct str s)
{
	struct buf b;
	buf_init(&b);
	frame_put(&b, type, s);
	if (write(l->fd, b.p, b.n) < 0)
		exit(1);
	buf_free(&b);
}
static void on_tty(struct ev_loop *ev, ev_io *w, int e)
{
	struct looker *l = w->data;
	char chunk[256];
	ssize_t n = read(0, chunk, sizeof chunk);
	(void)ev;
	(void)e;
	if (n > 0)
		send_frame(l, 'I', (struct str){ chunk, (size_t)n });
}
static void on_sock(struct ev_loop *ev, ev_io *w, int e)
{
	struct looker *l = w->data;
	char chunk[65536], type;
	struct str payload;
	size_t used;
	ssize_t n = read(l->fd, chunk, sizeof chunk);
	(void)e;
	if (n <= 0) {
		ev_io_stop(ev, w);
		loop_stop(l->fake.loop);
		return;
	}
	buf_add(&l->in, chunk, (size_t)n);
	while (frame_get(buf_str(&l->in), &type, &payload, &used) > 0) {
		if (type == 'T' && write(1, payload.p, payload.n) < 0)
			exit(1);
		if (type == 'X')
			loop_stop(l->fake.loop);
		buf_shift(&l->in, used);
	}
}
static void on_tick(struct timer *t, void *arg)
{
	struct looker *l = arg;
	struct winsize ws;
	l->fake.now = loop_now(l->fake.loop);
	l->fake.console->fixed_now = 0;
	l->fake.log_last += 1 + l->fake.log_last % 5;
	if (resized) {
		char json[64];
		resized = 0;
		ioctl(0, TIOCGWINSZ, &ws);
		snprintf(json, sizeof json, "{\"rows\":%d,\"columns\":%d}", ws.ws_row, ws.ws_col);
		send_frame(l, 'S', str_of(json));
	}
	for (int i = 0; i < (int)FAKE_SITES; i++) {
		struct fake_site s = fake_sites[i];
		l->seed = l->seed * 1103515245u + 12345u;
		s.queued += l->seed >> 24;
		s.rate *= 0.9f + (float)(l->seed >> 28) / 80;
		fake_put_site(&l->fake, &s, (uint64_t)i + 1);
	}
	fake_header(&l->fake);
	fake_pump(&l->fake);
	timer_set(l->fake.loop, t, loop_now(l->fake.loop) + 20 * US_PER_MS);
}
int main(int argc, char **argv)
{
	static struct looker l;
	struct termios raw;
	int pair[2];
	char hello[256];
	clock_init();
	tcgetattr(0, &was);
	raw = was;
	cfmakeraw(&raw);
	tcsetattr(0, TCSANOW, &raw);
	signal(SIGWINCH, on_winch);
	fake_open(&l.fake, argc > 3 ? argv[3] : "themes");
	l.fake.console->fixed_now = 0;
	socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
	l.fd = pair[1];
	buf_init(&l.in);
	snprintf(hello, sizeof hello,
		 "{\"term\":\"%s\",\"rows\":24,\"columns\":80,\"utf8\":%s,\"plain\":%s,\"no_"
		 "color\":%s,\"tz\":\"Europe/Paris\"}",
		 getenv("TERM"), argc > 1 && strstr(argv[1], "ascii") ? "false" : "true",
		 argc > 1 && strstr(argv[1], "plain") ? "true" : "false",
		 argc > 1 && strstr(argv[1], "mono") ? "true" : "false");
	ev_io_init(&l.tty, on_tty, 0, EV_READ);
	ev_io_init(&l.sock, on_sock, l.fd, EV_READ);
	l.tty.data = l.sock.data = &l;
	ev_io_start(loop_ev(l.fake.loop), &l.tty);
	ev_io_start(loop_ev(l.fake.loop), &l.sock);
	timer_init(&l.tick, on_tick, &l);
	timer_set(l.fake.loop, &l.tick, loop_now(l.fake.loop));
	console_attach(l.fake.console, pair[0], STR_LIT("op1"), ROLE_ADMIN, str_of(hello));
	loop_run(l.fake.loop);
	tcsetattr(0, TCSANOW, &was);
	return 0;
}
