#include "core/report/webhook.h"

#include <openssl/evp.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/report/delivery_log.h"

enum {
	WEBHOOK_MAGIC = 0x484f4f4b,
	READ_MOST = 512, /* events a step: some milliseconds */
	/* A batch is closed here: many servers take no body over 1 MB unless told. */
	BODY_MOST = 512 * 1024,
	DOUBLINGS = 16,
	HTTP_OK = 200,
	HTTP_REDIRECT = 300,
	HTTP_ERROR = 400,
	HTTP_TOO_LARGE = 413,
};
static const us_t BACKOFF_LEAST = US_PER_S, BACKOFF_MOST = 5 * US_PER_MIN;
static const us_t RETRY_AFTER_MOST = US_PER_HOUR; /* no word of a peer's stops us for long */

enum webhook_state {
	FILLING, /* the batch, if it has events, waits for more */
	RUNNING, /* it is on its way */
	WAITING, /* it failed, and is sent again at retry_at */
};

struct webhook {
	uint32_t magic;
	struct conf *conf;
	const struct conf_webhook *set;
	unsigned wanted; /* bits of enum event_type */
	struct event_reader *reader;
	struct webhook_carrier carrier;
	enum webhook_state state;
	struct webhook_request request;
	struct buf body; /* "[{…},\n{…}", with its end once it is sent */
	int n;		 /* events in it */
	int most;	 /* it is closed at: batch, or what the far end takes */
	uint64_t first, last;
	us_t filled_at;	  /* its first event was read; 0: not yet looked at the clock */
	uint64_t through; /* what was read when it was closed */
	uint64_t done, sent;
	us_t began_at, retry_at;
	unsigned failures; /* in a row */
	bool more;	   /* events may wait */
	char why[WEBHOOK_WHY_SIZE];
};

static unsigned wanted_types(const struct conf_webhook *x)
{
	unsigned bits = 0;

	for (int i = 0; i < x->nevents; i++)
		for (unsigned t = EVENT_RECEIVED; t < EVENT_TYPES; t++)
			if (strcmp(x->events[i], event_type_name((enum event_type)t)) == 0)
				bits |= 1u << t;
	return bits;
}

static void take_conf(struct webhook *w, struct conf *c, int i)
{
	struct conf *old = w->conf;

	w->conf = conf_ref(c);
	w->set = &c->webhooks[i];
	w->wanted = wanted_types(w->set);
	w->most = w->set->batch;
	conf_unref(old);
}

struct webhook *webhook_new(struct conf *c, int i, struct event_reader *r,
			    const struct webhook_carrier *carrier)
{
	struct webhook *w = calloc(1, sizeof *w);

	if (!w) {
		event_reader_close(r);
		return NULL;
	}
	w->magic = WEBHOOK_MAGIC;
	w->reader = r;
	w->carrier = *carrier;
	w->done = w->through = event_reader_position(r);
	w->more = true;
	buf_init(&w->body);
	take_conf(w, c, i);
	return w;
}

void webhook_free(struct webhook *w)
{
	if (!w)
		return;
	OBJ_CHECK(w, WEBHOOK_MAGIC);
	if (w->state == RUNNING)
		w->carrier.drop(w->carrier.arg, w);
	event_reader_close(w->reader);
	buf_free(&w->body);
	conf_unref(w->conf);
	w->magic = 0;
	free(w);
}

/* An empty batch: the next event is the one behind `done`. */
static void begin_anew(struct webhook *w)
{
	buf_clear(&w->body);
	w->n = 0;
	w->filled_at = 0;
	w->state = FILLING;
	w->more = true;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

void webhook_conf(struct webhook *w, struct conf *c, int i)
{
	const struct conf_webhook *x = &c->webhooks[i];
	bool same = same_text(w->set->url, x->url) && same_text(w->set->secret, x->secret) &&
		    w->wanted == wanted_types(x) && w->set->batch == x->batch;

	w->retry_at = 0;
	w->failures = 0;
	if (!same) {
		if (w->state == RUNNING)
			w->carrier.drop(w->carrier.arg, w);
		event_reader_seek(w->reader, w->done);
		begin_anew(w);
	}
	take_conf(w, c, i);
	if (w->state == RUNNING) /* its text lies in the new snapshot from now on */
		w->request.url = w->set->url;
}

void webhook_wake(struct webhook *w)
{
	w->more = true;
}

/* ---- a batch ---- */

static void one(void *arg, const struct event *e)
{
	struct webhook *w = arg;

	if (!(w->wanted & 1u << e->type))
		return;
	buf_addz(&w->body, w->n ? ",\n" : "[");
	event_json(e, &w->body);
	if (!w->n++)
		w->first = e->id;
	w->last = e->id;
}

static bool full(const struct webhook *w)
{
	return w->n >= w->most || w->body.n >= BODY_MOST;
}

/* Without memory for the batch it is read again, after a pause. */
static void fill(struct webhook *w, us_t now)
{
	int read = 0;

	while (w->more && !full(w) && read < READ_MOST) {
		w->more = event_reader_next(w->reader, 1, one, w) > 0;
		read++;
	}
	if (buf_failed(&w->body)) {
		event_reader_seek(w->reader, w->done);
		begin_anew(w);
		w->retry_at = now + BACKOFF_LEAST;
		return;
	}
	if (w->n && !w->filled_at)
		w->filled_at = now;
	w->through = event_reader_position(w->reader);
	if (!w->n)
		w->done = w->through;
}

/* ---- a request ---- */

static void header(struct webhook_request *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void header(struct webhook_request *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->headers[r->nheaders++], WEBHOOK_HEADER_SIZE, fmt, ap);
	va_end(ap);
}

/* HMAC-SHA256 over "TIMESTAMP.BODY" in hex: who got one request can't send its body again later as
 * a new one. */
static bool sign(const char *secret, const char *timestamp, struct str body, char hex[65])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t n = sizeof mac;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL,
						     (const unsigned char *)secret, strlen(secret));
	bool ok = ctx && key && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
		  EVP_DigestSignUpdate(ctx, timestamp, strlen(timestamp)) == 1 &&
		  EVP_DigestSignUpdate(ctx, ".", 1) == 1 &&
		  EVP_DigestSignUpdate(ctx, body.p, body.n) == 1 &&
		  EVP_DigestSignFinal(ctx, mac, &n) == 1;

	for (size_t i = 0; ok && i < n; i++)
		snprintf(hex + 2 * i, 3, "%02x", mac[i]);
	EVP_PKEY_free(key);
	EVP_MD_CTX_free(ctx);
	return ok;
}

static bool make_request(struct webhook *w, us_t now)
{
	struct webhook_request *r = &w->request;
	us_t wall = now + clock_skew_us() + US_PER_S / 2;
	char timestamp[24], hex[65] = "";

	r->nheaders = 0;
	r->url = w->set->url;
	r->body = buf_str(&w->body);
	snprintf(timestamp, sizeof timestamp, "%lld", (long long)(wall / US_PER_S));
	header(r, "Content-Type: application/json");
	header(r, "X-Stoker-Webhook: %s", w->set->name);
	header(r, "X-Stoker-Batch: %llu-%llu", (unsigned long long)w->first,
	       (unsigned long long)w->last);
	header(r, "X-Stoker-Timestamp: %s", timestamp);
	if (!w->set->secret || !*w->set->secret)
		return true;
	if (!sign(w->set->secret, timestamp, r->body, hex))
		return false;
	header(r, "X-Stoker-Signature: sha256=%s", hex);
	return true;
}

static void failed(struct webhook *w, us_t now, us_t retry_after)
{
	unsigned doublings = w->failures < DOUBLINGS ? w->failures : DOUBLINGS;
	us_t wait = BACKOFF_LEAST << doublings;

	if (wait > BACKOFF_MOST)
		wait = BACKOFF_MOST;
	if (retry_after > RETRY_AFTER_MOST)
		retry_after = RETRY_AFTER_MOST;
	w->failures++;
	w->state = WAITING;
	w->retry_at = now + (retry_after > wait ? retry_after : wait);
}

static void start(struct webhook *w, us_t now)
{
	w->began_at = now;
	w->state = RUNNING;
	if (make_request(w, now) && w->carrier.post(w->carrier.arg, w, &w->request))
		return;
	snprintf(w->why, sizeof w->why, "no memory for a request");
	failed(w, now, 0);
}

us_t webhook_step(struct webhook *w, us_t now)
{
	us_t due = w->began_at + w->set->max_delay, rested;

	OBJ_CHECK(w, WEBHOOK_MAGIC);
	if (w->state == RUNNING)
		return US_NEVER;
	if (now < w->retry_at)
		return w->retry_at;
	if (w->state == WAITING) {
		start(w, now);
		return now;
	}
	fill(w, now);
	if (!w->n)
		return now < w->retry_at ? w->retry_at : w->more ? now : US_NEVER;
	/* Behind a backlog a batch is filled up rather than sent as far as one step has read. */
	rested = w->more ? w->filled_at + w->set->max_delay : due;
	if (!full(w) && now < (rested > due ? rested : due))
		return w->more ? now : due;
	if (!buf_addz(&w->body, "]\n"))
		return now + BACKOFF_LEAST;
	start(w, now);
	return now;
}

static const struct {
	int from, to;
	const char *hint;
} hints[] = {
	{ HTTP_REDIRECT, HTTP_ERROR - 1, ", and redirects are not followed: is its url right?" },
	{ 401, 401, ": it wants a login, which webhooks don't have" },
	{ 403, 403, ": it refuses us; do url and secret agree with what it expects?" },
	{ 404, 405, ": nothing takes events there; is its url right?" },
	{ 410, 410, ": nothing takes events there any more" },
	{ HTTP_TOO_LARGE, HTTP_TOO_LARGE, ": even one event alone is too large for it" },
	{ 429, 429, ": events come too fast for it" },
	{ 500, 599, ": it is in trouble itself" },
};

static void say_why(struct webhook *w, const struct webhook_answer *a)
{
	const char *hint = "";

	for (size_t i = 0; i < sizeof hints / sizeof *hints; i++)
		if (a->status >= hints[i].from && a->status <= hints[i].to)
			hint = hints[i].hint;
	if (!a->status)
		snprintf(w->why, sizeof w->why, "%s", a->why);
	else
		snprintf(w->why, sizeof w->why, "it answers %d%s", a->status, hint);
}

/* Too large for it today is too large for it tomorrow: the same events once more, by halves, until
 * the configuration changes. */
static void smaller(struct webhook *w)
{
	w->most = (w->n + 1) / 2;
	event_reader_seek(w->reader, w->done);
	begin_anew(w);
}

void webhook_answered(struct webhook *w, us_t now, const struct webhook_answer *a)
{
	OBJ_CHECK(w, WEBHOOK_MAGIC);
	if (w->state != RUNNING)
		return;
	if (a->status == HTTP_TOO_LARGE && w->n > 1) {
		smaller(w);
		return;
	}
	if (a->status < HTTP_OK || a->status >= HTTP_REDIRECT) {
		say_why(w, a);
		failed(w, now, a->retry_after);
		return;
	}
	w->done = w->through;
	w->sent += (uint64_t)w->n;
	w->failures = 0;
	w->why[0] = '\0';
	w->retry_at = 0;
	begin_anew(w);
}

uint64_t webhook_position(const struct webhook *w)
{
	return w->done;
}

uint64_t webhook_sent(const struct webhook *w)
{
	return w->sent;
}

uint64_t webhook_behind(const struct webhook *w)
{
	uint64_t last = event_reader_last(w->reader);

	return last > w->done ? last - w->done : 0;
}

uint64_t webhook_missed(const struct webhook *w)
{
	return event_reader_missed(w->reader);
}

const char *webhook_trouble(const struct webhook *w)
{
	return w->why[0] ? w->why : NULL;
}
