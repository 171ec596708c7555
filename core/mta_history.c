/* The configuration history: each applied snapshot whole, by its number. In pieces, one a pass (a
 * large one at once takes 10 ms); the row of its number comes last and says how many there are.
 * What a crash leaves without it is written over by the next of that number. Spool thread. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/mta.h"

struct conf_history {
	struct member *me;
	struct conf_stored *first;     /* those that wait for their place in it */
	struct reload_request *asking; /* those that wait for one of it */
	uint32_t part, parts;	       /* of what the first of them asks for */
};

enum { CONF_PIECE = 32 * 1024, PIECES_A_PASS = 4 };

static bool conf_row(struct conf_history *t, const char *table, const struct buf *key,
		     struct str value)
{
	struct errbuf e = { "" };
	if (spool_state_put(t->me->mta->spool, table, buf_str(key), value) &&
	    !spool_state_commit(t->me->mta->spool, &e))
		return true;
	log_error("state: a configuration is not in the history: %s", e.text);
	return false;
}

/* True: one was put there. */
static bool write_step(struct conf_history *t)
{
	struct conf_stored *x = t->first;
	struct buf key, count;
	if (!x)
		return false;
	buf_init(&key);
	buf_init(&count);
	size_t left = x->text.n - x->at, n = left < CONF_PIECE ? left : CONF_PIECE;
	bool ok = !buf_failed(&x->text);
	buf_addf(&key, "%012llu", (unsigned long long)x->number);
	if (ok && n) {
		buf_addf(&key, ".%06u", x->parts++);
		ok = conf_row(t, "configuration-pieces", &key, str_mem(x->text.p + x->at, n));
		x->at += n;
	} else if (ok) {
		buf_put_u32(&count, x->parts);
		conf_row(t, "configurations", &key, buf_str(&count));
	}
	buf_free(&key);
	buf_free(&count);
	if (!ok || !n) {
		t->first = x->next;
		buf_free(&x->text);
		free(x);
	}
	return true;
}

void mta_history_add(struct conf_history *t, struct conf_stored *x)
{
	struct conf_stored **end = &t->first;
	while (*end)
		end = &(*end)->next;
	*end = x;
}

/* ---- reading: what is being written comes first ---- */

static uint32_t parts_of(struct conf_history *t, uint64_t number)
{
	char key[24];
	struct buf b;
	buf_init(&b);
	snprintf(key, sizeof key, "%012llu", (unsigned long long)number);
	bool found = spool_state_get(t->me->mta->spool, "configurations", str_of(key), &b);
	struct reader in = { (const uint8_t *)b.p, b.n, false };
	uint32_t parts = found ? reader_u32(&in) : 0;
	buf_free(&b);
	return parts;
}

static bool read_piece(struct conf_history *t, const struct reload_request *r, struct buf *out)
{
	char key[32];
	snprintf(key, sizeof key, "%012llu.%06u", (unsigned long long)r->to, t->part);
	return spool_state_get(t->me->mta->spool, "configuration-pieces", str_of(key), out);
}

static void fetched(struct conf_history *t, struct reload_request *r)
{
	struct member *me = t->me;
	t->asking = r->next;
	r->next = NULL;
	t->part = 0;
	if (r->packed.n) {
		mta_post(me, me->mta->workers[WORKER_SLOW],
			 (struct post){ .fn = worker_post_reload, .p = r });
		return;
	}
	r->text = rstr_newf("there is no stored configuration #%llu\n", (unsigned long long)r->to);
	mta_post(me, me->mta->control, (struct post){ .fn = control_post_loaded, .p = r });
}

/* Some pieces a pass: the whole of a large one takes too long. */
static bool read_step(struct conf_history *t)
{
	struct reload_request *r = t->asking;
	if (!r)
		return false;
	if (!t->part)
		t->parts = parts_of(t, r->to);
	for (int i = 0; i < PIECES_A_PASS && t->part < t->parts; i++, t->part++)
		if (!read_piece(t, r, &r->packed)) {
			buf_clear(&r->packed);
			t->parts = 0;
		}
	if (t->part >= t->parts)
		fetched(t, r);
	return true;
}

bool mta_history_step(struct conf_history *t)
{
	return write_step(t) || read_step(t);
}

void mta_history_fetch(struct conf_history *t, struct reload_request *r)
{
	struct reload_request **end = &t->asking;
	while (*end)
		end = &(*end)->next;
	r->next = NULL;
	*end = r;
}

bool mta_history_unpack(struct reload_request *r)
{
	struct reader in = { (const uint8_t *)r->packed.p, r->packed.n, false };
	reader_u64(&in);
	struct str path = reader_str(&in);
	uint32_t n = reader_u32(&in);
	if (in.bad || n > r->packed.n)
		return false;
	r->stored = calloc(n ? n : 1, sizeof *r->stored);
	r->stored_path = str_dup(path);
	for (uint32_t i = 0; r->stored && i < n && !in.bad; i++) {
		struct str name = reader_str(&in), text = reader_str(&in);
		if (in.bad)
			break;
		r->stored[i].path = str_dup(name);
		r->stored[i].text = (struct str){ str_dup(text), text.n };
		r->nstored++;
	}
	return r->nstored > 0;
}

void mta_history_finish(struct conf_history *t)
{
	while (write_step(t))
		;
}

struct conf_history *mta_history_wire(struct member *me)
{
	struct conf_history *t = calloc(1, sizeof *t);
	if (!t)
		fatal("no memory for the configuration history");
	t->me = me;
	return t;
}
