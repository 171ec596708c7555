#include "core/sim/dns.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/buf.h"
#include "core/sim/world.h"

enum {
	DNS_HEADER = 12,
	DNS_MAX = 1232,
	TYPE_A = 1,
	TYPE_MX = 15,
	CLASS_IN = 1,
	PORTS_TO_TRY = 50,
	ANSWER_TTL = 300
};
enum { RCODE_SERVFAIL = 2, RCODE_NXDOMAIN = 3 };

struct sim_dns {
	struct loop *l;
	int fd;
	ev_io watcher;
};

static void be16(struct buf *b, unsigned v)
{
	buf_addc(b, (char)(v >> 8 & 255));
	buf_addc(b, (char)(v & 255));
}

static void add_name(struct buf *b, struct str name)
{
	struct str label;
	while (str_split(&name, '.', &label)) {
		buf_addc(b, (char)label.n);
		buf_adds(b, label);
	}
	buf_addc(b, 0);
}

static void add_answer_head(struct buf *b, unsigned type)
{
	be16(b, 0xC000 | DNS_HEADER); /* the question's name */
	be16(b, type);
	be16(b, CLASS_IN);
	be16(b, 0);
	be16(b, ANSWER_TTL);
}

static unsigned answer_mx(struct buf *b, int receiver)
{
	int n;
	const struct receiver_def *r = &world_receivers(&n)[receiver];
	unsigned count = 0;
	for (size_t i = 0; i < 3 && r->mx[i]; i++) {
		struct buf name;
		buf_init(&name);
		add_name(&name, str_of(r->mx[i]));
		add_answer_head(b, TYPE_MX);
		be16(b, (unsigned)name.n + 2);
		be16(b, 10 + 10 * (unsigned)i);
		buf_add(b, name.p, name.n);
		buf_free(&name);
		count++;
	}
	return count;
}

static unsigned answer_a(struct buf *b, int receiver)
{
	char text[16];
	struct in_addr a;
	world_address(receiver, text);
	inet_pton(AF_INET, text, &a);
	add_answer_head(b, TYPE_A);
	be16(b, 4);
	buf_add(b, &a, 4);
	return 1;
}

/* The question's name and where it ends; false if the packet is no plain query. */
static bool read_question(const unsigned char *p, size_t n, char name[256], size_t *end)
{
	size_t at = DNS_HEADER, len = 0;
	if (n < DNS_HEADER + 5 || p[4] != 0 || p[5] != 1)
		return false;
	while (at < n && p[at]) {
		size_t l = p[at++];
		if (l > 63 || at + l + 5 > n || len + l + 2 > 255)
			return false;
		if (len)
			name[len++] = '.';
		memcpy(name + len, p + at, l);
		len += l;
		at += l;
	}
	name[len] = 0;
	*end = at + 5;
	return *end <= n;
}

static void answer(const unsigned char *q, size_t n, struct buf *out)
{
	char name[256];
	size_t end;
	if (!read_question(q, n, name, &end))
		return;
	unsigned type = (unsigned)(q[end - 4] << 8 | q[end - 3]), count = 0, rcode = 0;
	int receiver = world_receiver_of(str_of(name));
	struct buf answers;
	buf_init(&answers);
	bool is_host = false;
	int nr;
	const struct receiver_def *r = receiver >= 0 ? &world_receivers(&nr)[receiver] : NULL;
	for (size_t i = 0; r && i < 3 && r->mx[i]; i++)
		is_host |= str_ieqz(str_of(name), r->mx[i]);
	if (world_dns_fails(str_of(name)))
		rcode = RCODE_SERVFAIL;
	else if (receiver < 0)
		rcode = RCODE_NXDOMAIN;
	else if (type == TYPE_MX && !is_host)
		count = answer_mx(&answers, receiver);
	else if (type == TYPE_A && is_host)
		count = answer_a(&answers, receiver);
	buf_add(out, q, 2);
	be16(out, 0x8580 | rcode); /* response, authoritative, recursion */
	be16(out, 1);
	be16(out, count);
	be16(out, 0);
	be16(out, 0);
	buf_add(out, q + DNS_HEADER, end - DNS_HEADER);
	buf_add(out, answers.p, answers.n);
	buf_free(&answers);
}

static void readable(struct ev_loop *loop, ev_io *w, int events)
{
	struct sim_dns *d = w->data;
	unsigned char q[DNS_MAX];
	struct sockaddr_in from;
	socklen_t len = sizeof from;
	(void)loop;
	(void)events;
	for (int i = 0; i < 64; i++) {
		ssize_t n =
		    recvfrom(d->fd, q, sizeof q, MSG_DONTWAIT, (struct sockaddr *)&from, &len);
		if (n <= 0)
			return;
		struct buf out;
		buf_init(&out);
		answer(q, (size_t)n, &out);
		if (out.n)
			(void)!sendto(d->fd, out.p, out.n, MSG_DONTWAIT, (struct sockaddr *)&from,
				      len);
		buf_free(&out);
	}
}

struct sim_dns *sim_dns_start(struct loop *l, uint16_t *port)
{
	struct sim_dns *d = calloc(1, sizeof *d);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	for (int i = 0; d && fd >= 0 && i < PORTS_TO_TRY; i++, (*port)++) {
		at.sin_port = htons(*port);
		if (bind(fd, (struct sockaddr *)&at, sizeof at))
			continue;
		d->l = l;
		d->fd = fd;
		d->watcher.data = d;
		ev_io_init(&d->watcher, readable, fd, EV_READ);
		ev_io_start(loop_ev(l), &d->watcher);
		return d;
	}
	if (fd >= 0)
		close(fd);
	free(d);
	return NULL;
}

void sim_dns_stop(struct sim_dns *d)
{
	ev_io_stop(loop_ev(d->l), &d->watcher);
	close(d->fd);
	free(d);
}
