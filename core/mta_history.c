/* The configuration history: each applied snapshot whole, by its number. In pieces, one a pass (a
 * large one at once takes 10 ms); the row of its number comes last and says how many there are.
 * What a crash leaves without it is written over by the next of that number. Spool thread. */
#include <stdlib.h>
#include <string.h>

#include "core/base/log.h"
#include "core/mta.h"

struct conf_history {
	struct member *me;
	struct conf_stored *first; /* those that wait for their place in it */
};

enum { CONF_PIECE = 64 * 1024 };

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

bool mta_history_step(struct conf_history *t)
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
	return t->first != NULL;
}

void mta_history_add(struct conf_history *t, struct conf_stored *x)
{
	struct conf_stored **end = &t->first;
	while (*end)
		end = &(*end)->next;
	*end = x;
}

struct lookup {
	struct reload_request *r;
	char key[24];
	uint32_t parts; /* 0: there is none */
	struct buf text;
};

static void history_head(void *arg, struct str key, struct str value)
{
	struct lookup *h = arg;
	struct reader in = { (const uint8_t *)value.p, value.n, false };
	if (str_eqz(key, h->key))
		h->parts = reader_u32(&in);
}

/* In the order of their keys. */
static void history_piece(void *arg, struct str key, struct str value)
{
	struct lookup *h = arg;
	size_t n = strlen(h->key);
	if (h->parts && key.n > n && memcmp(key.p, h->key, n) == 0) {
		buf_adds(&h->text, value);
		h->parts--;
	}
}

static void history_read(struct lookup *h)
{
	struct reload_request *r = h->r;
	struct reader in = { (const uint8_t *)h->text.p, h->text.n, false };
	reader_u64(&in);
	struct str path = reader_str(&in);
	uint32_t n = reader_u32(&in);
	if (in.bad || n > h->text.n)
		return;
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
}

void mta_history_fetch(struct conf_history *t, struct reload_request *r)
{
	struct member *me = t->me;
	struct lookup h = { .r = r };
	snprintf(h.key, sizeof h.key, "%012llu", (unsigned long long)h.r->to);
	while (mta_history_step(t))
		;
	buf_init(&h.text);
	spool_state_each(me->mta->spool, "configurations", history_head, &h);
	if (h.parts)
		spool_state_each(me->mta->spool, "configuration-pieces", history_piece, &h);
	if (h.text.n && !h.parts && !buf_failed(&h.text))
		history_read(&h);
	buf_free(&h.text);
	if (h.r->nstored) {
		mta_post(me, me->mta->workers[WORKER_SLOW],
			 (struct post){ .fn = worker_post_reload, .p = h.r });
		return;
	}
	h.r->text =
	    rstr_newf("there is no stored configuration #%llu\n", (unsigned long long)h.r->to);
	mta_post(me, me->mta->control, (struct post){ .fn = control_post_loaded, .p = h.r });
}

struct conf_history *mta_history_wire(struct member *me)
{
	struct conf_history *t = calloc(1, sizeof *t);
	if (!t)
		fatal("no memory for the configuration history");
	t->me = me;
	return t;
}
