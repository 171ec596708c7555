#include "core/sim/traffic.h"

#include <stdlib.h>

#include "core/base/rng.h"
#include "core/net/io.h"
#include "core/smtp/framing.h"

enum { USERS_MAX = 8, REPLY_LINE_MAX = 2048 };

static const us_t RECONNECT = US_PER_S;
static const us_t PACE = 50 * US_PER_MS;

static const struct traffic_user users[] = {
	{ "newsletter", "127.0.3.1", "news.sender.example", 25, 12000, 1, 6000 },
	{ "shop", "127.0.3.2", "shop.sender.example", 12, 60, 1, 2500 },
	{ "alerts", "127.0.3.3", "alerts.sender.example", 5, 0, 2, 900 },
	{ "billing", "127.0.3.4", "billing.sender.example", 3, 20, 1, 3000 },
};

/* Where the mail goes: a domain as often as its weight. */
static const struct {
	const char *domain;
	unsigned weight;
} targets[] = {
	{ "gmail.com", 34 },
	{ "yahoo.com", 9 },
	{ "aol.com", 3 },
	{ "hotmail.com", 8 },
	{ "outlook.com", 6 },
	{ "live.com", 2 },
	{ "icloud.com", 6 },
	{ "gmx.net", 3 },
	{ "web.de", 3 },
	{ "orange.fr", 3 },
	{ "grey.example", 2 },
	{ "university.example", 2 },
	{ "slow.example", 1 },
	{ "dead.example", 1 },
	{ "oldlist.example", 2 },
	{ "comcast.net", 3 },
	{ "t-online.de", 3 },
	{ "corp.example", 2 },
	{ "web.example", 3 },
	{ "smallshop.hosted.example", 2 },
	{ "club.hosted.example", 2 },
	{ "lostdns.example", 1 },
	{ "no-such-domain.invalid", 1 },
};

struct feed { /* one user's connection */
	struct traffic *t;
	const struct traffic_user *u;
	struct io *io;
	struct timer timer;
	double owed; /* messages that should have been handed in by now */
	us_t last;
	unsigned outstanding; /* replies due */
	unsigned long long sent;
};

struct traffic {
	struct loop *l;
	uint16_t port;
	struct rng rng;
	struct feed feeds[USERS_MAX];
	int n;
	bool stopping;
};

const struct traffic_user *traffic_users(int *n)
{
	*n = (int)(sizeof users / sizeof *users);
	return users;
}

static const char *pick_domain(struct traffic *t)
{
	unsigned total = 0;
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
		total += targets[i].weight;
	unsigned at = (unsigned)rng_below(&t->rng, total);
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
		if (at < targets[i].weight)
			return targets[i].domain;
		at -= targets[i].weight;
	}
	return targets[0].domain;
}

static void add_body(struct feed *f, struct buf *b)
{
	static const char line[] =
	    "This is simulated mail; it never leaves this machine. 0123456789\r\n";
	char date[CLOCK_RFC5322_SIZE];
	clock_rfc5322(loop_now(f->t->l), date);
	buf_addf(b,
		 "From: %s <%s@%s>\r\nTo: undisclosed-recipients:;\r\nDate: %s\r\nSubject: %s "
		 "number %llu\r\n\r\n",
		 f->u->name, f->u->name, f->u->sender, date, f->u->name, f->sent);
	for (unsigned n = 0; n < f->u->bytes; n += sizeof line - 1)
		buf_addz(b, line);
	buf_addz(b, ".\r\n");
}

/* One message, pipelined up to DATA; the body follows the 354. */
static void send_envelope(struct feed *f)
{
	struct buf b;
	buf_init(&b);
	buf_addf(&b, "MAIL FROM:<bounce+%llu@%s>\r\n", f->sent, f->u->sender);
	for (unsigned i = 0; i < f->u->rcpts; i++)
		buf_addf(&b, "RCPT TO:<user%llu@%s>\r\n",
			 (unsigned long long)rng_below(&f->t->rng, 100000), pick_domain(f->t));
	buf_addz(&b, "DATA\r\n");
	f->outstanding = 2 + f->u->rcpts;
	io_write(f->io, buf_str(&b));
	buf_free(&b);
	f->sent++;
	f->owed -= 1;
}

static void go_on(struct feed *f)
{
	if (f->io && !f->outstanding && f->owed >= 1)
		send_envelope(f);
}

static void feed_down(struct feed *f)
{
	io_close(f->io);
	f->io = NULL;
	timer_set(f->t->l, &f->timer, loop_now(f->t->l) + RECONNECT);
}

/* False: the connection is over. */
static bool reply_line(struct feed *f, struct str line)
{
	if (line.n >= 4 && line.p[3] == '-')
		return true;
	if (line.n < 3 || line.p[0] == '4' || (line.p[0] == '5' && f->outstanding == 1)) {
		feed_down(f); /* full, refused or draining: come back later */
		return false;
	}
	if (f->outstanding)
		f->outstanding--;
	if (line.p[0] == '3') {
		struct buf b;
		buf_init(&b);
		add_body(f, &b);
		f->outstanding = 1;
		io_write(f->io, buf_str(&b));
		buf_free(&b);
		return true;
	}
	go_on(f);
	return true;
}

static void feed_event(struct io *io, enum io_event ev, void *arg)
{
	struct feed *f = arg;
	if (ev == IO_CONNECTED) {
		f->outstanding = 2; /* greeting, EHLO */
		io_writez(io, "EHLO sender.example\r\n");
		return;
	}
	if (ev != IO_DATA) {
		if (ev != IO_DRAINED)
			feed_down(f);
		return;
	}
	for (;;) {
		struct str line;
		char copy[REPLY_LINE_MAX];
		size_t used;
		if (framing_line(io_input(io), REPLY_LINE_MAX, &line, &used) != LINE_OK)
			return;
		memcpy(copy, line.p, line.n);
		size_t n = line.n;
		io_consume(io, used);
		if (!reply_line(f, (struct str){ copy, n }))
			return;
	}
}

static void feed_connect(struct feed *f)
{
	struct endpoint to;
	int error = 0;
	if (endpoint_parse(str_of(f->u->listen), f->t->port, &to))
		f->io = io_connect(f->t->l, NULL, &to, feed_event, f, &error);
}

static void feed_timer(struct timer *tm, void *arg)
{
	struct feed *f = arg;
	us_t now = loop_now(f->t->l);
	double owed = f->owed + (double)(now - f->last) / 1e6 * f->u->per_s;
	f->last = now;
	f->owed =
	    owed > 5000 ? 5000 : owed; /* what a long refusal held back does not come as a flood */
	if (!f->io)
		feed_connect(f);
	else
		go_on(f);
	timer_set(f->t->l, tm, now + (f->io ? PACE : RECONNECT));
}

struct traffic *traffic_start(struct loop *l, uint16_t port, uint64_t seed)
{
	struct traffic *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	t->l = l;
	t->port = port;
	rng_seed(&t->rng, seed);
	const struct traffic_user *u = traffic_users(&t->n);
	for (int i = 0; i < t->n; i++) {
		struct feed *f = &t->feeds[i];
		f->t = t;
		f->u = &u[i];
		f->last = loop_now(l);
		f->owed = u[i].burst;
		timer_init(&f->timer, feed_timer, f);
		timer_set(l, &f->timer, f->last + PACE);
	}
	return t;
}

void traffic_stop(struct traffic *t)
{
	for (int i = 0; i < t->n; i++) {
		timer_stop(t->l, &t->feeds[i].timer);
		if (t->feeds[i].io)
			io_close(t->feeds[i].io);
	}
	free(t);
}
