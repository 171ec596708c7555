/* Workers do what takes long, so that no loop waits for a disk: bodies that are no longer in
 * memory, large bodies that arrive, our own reports, reading a configuration, zero-filling
 * segments. Workers 0 and 1 serve mail; the last one serves the rest. */
#include <crypt.h>
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "core/attach.h"
#include "core/base/hash.h"
#include "core/base/jsonw.h"
#include "core/base/log.h"
#include "core/mta.h"
#include "core/net/tls.h"
#include "core/sign/sign.h"

enum {
	ORIGINAL_MAX = 256 * 1024,
	SHOW_HEADERS_MAX = 64 * 1024,
	SHOW_RAW_MAX = 4 * 1024 * 1024 - 1024
};

struct worker {
	struct member *me;
	struct guard *guard;	  /* of the slow one */
	struct crypt_data *crypt; /* likewise: 32 KB, wiped after each use */
	struct idmap large;	  /* session -> struct spool_large */
};

static struct worker *state(struct member *me)
{
	return me->state;
}

/* ---- bodies out ---- */

void worker_post_body(struct member *to, struct post *p)
{
	struct body_request *r = p->p;
	if (r->body->size <= BODY_MEMORY_MAX) {
		struct body *in = NULL;
		struct errbuf e = { "" };
		const struct err *err = spool_body_load(r->body, &in, &e);
		body_unref(r->body);
		r->body = err ? NULL : in;
		r->no_room = err == &err_full || err == &err_no_memory;
		if (err)
			snprintf(r->error, sizeof r->error, "%.150s", e.text);
	}
	mta_post(to, r->asker, (struct post){ .fn = io_post_body, .p = r });
}

void worker_post_chunk(struct member *to, struct post *p)
{
	struct chunk_request *r = p->p;
	buf_init(&r->data);
	if (!buf_reserve(&r->data, r->n)) {
		snprintf(r->error, sizeof r->error, "no memory");
	} else {
		int64_t n = spool_body_read(r->body, r->offset, r->data.p, r->n);
		if (n < 0)
			snprintf(r->error, sizeof r->error, "the spool can't be read: %s",
				 strerror(errno));
		else
			r->data.n = (size_t)n;
	}
	mta_post(to, r->asker, (struct post){ .fn = io_post_chunk, .p = r });
}

/* ---- large bodies in ---- */

static void large_answer(struct member *to, struct member *asker, uint64_t session,
			 enum server_large_what what, struct body *body)
{
	mta_post(
	    to, asker,
	    (struct post){ .fn = io_post_large, .a = session, .b = (uint64_t)what, .p = body });
}

static void large_fail(struct worker *w, struct member *asker, uint64_t session, const char *why)
{
	struct spool_large *l = idmap_del(&w->large, session);
	if (l)
		spool_large_abort(l);
	if (why)
		log_error("spool: a large message is refused with 451: %s", why);
	large_answer(w->me, asker, session, SERVER_LARGE_FAILED, NULL);
}

static void large_create(struct worker *w, struct large_request *r)
{
	struct errbuf e = { "" };
	struct spool_large *l = spool_large_create(w->me->mta->spool, r->message, &e);
	if (!l) {
		large_fail(w, r->asker, r->session, e.text);
		return;
	}
	if (!idmap_put(&w->large, r->session, l)) {
		spool_large_abort(l);
		large_fail(w, r->asker, r->session, "no memory");
		return;
	}
	large_answer(w->me, r->asker, r->session, SERVER_LARGE_CREATED, NULL);
}

static void large_write(struct worker *w, struct large_request *r)
{
	struct errbuf e = { "" };
	struct spool_large *l = idmap_get(&w->large, r->session);
	if (!l)
		return; /* it failed before, and that was said */
	if (spool_large_write(l, buf_str(&r->chunk), &e))
		large_fail(w, r->asker, r->session, e.text);
	else
		large_answer(w->me, r->asker, r->session, SERVER_LARGE_WRITTEN, NULL);
}

static void large_finish(struct worker *w, struct large_request *r)
{
	struct errbuf e = { "" };
	struct body *body = NULL;
	struct spool_large *l = idmap_del(&w->large, r->session);
	if (!l)
		return;
	if (spool_large_finish(l, r->dot_line, r->eightbit, &body, &e))
		large_fail(w, r->asker, r->session, e.text);
	else
		large_answer(w->me, r->asker, r->session, SERVER_LARGE_FINISHED, body);
}

void worker_post_large(struct member *to, struct post *p)
{
	struct worker *w = state(to);
	struct large_request *r = p->p;
	if (!r) { /* the io thread had no memory to ask */
		large_fail(w, &to->mta->members[p->b], p->a, "no memory");
		return;
	}
	switch (r->op) {
	case LARGE_CREATE:
		large_create(w, r);
		break;
	case LARGE_WRITE:
		large_write(w, r);
		break;
	case LARGE_FINISH:
		large_finish(w, r);
		break;
	case LARGE_ABORT: {
		struct spool_large *l = idmap_del(&w->large, r->session);
		if (l)
			spool_large_abort(l);
		break;
	}
	}
	buf_free(&r->chunk);
	free(r);
}

/* ---- our own reports ---- */

static void read_part(struct body *b, size_t max, struct buf *out)
{
	size_t n = b && b->size < max ? (size_t)b->size : max;
	if (!b || !buf_reserve(out, n))
		return;
	int64_t got = spool_body_read(b, 0, out->p, n);
	out->n = got > 0 ? (size_t)got : 0;
}

bool mta_own_recipient(struct message *m, struct message_rcpt *r, struct str address)
{
	char normal[DOMAIN_SIZE];
	const char *at = memrchr(address.p, '@', address.n);
	if (!at)
		return false;
	struct str domain = { at + 1, address.n - (size_t)(at + 1 - address.p) };
	if (!domain_normal(domain, normal))
		return false;
	r->address = arena_str(&m->arena, address);
	r->domain = arena_str(&m->arena, str_of(normal));
	r->notify = NOTIFY_NEVER;
	return r->address.p && r->domain.p;
}

/* Who gets the report: the sender, or the postmasters with send-dsn = postmaster. */
static void dsn_recipients(struct message *m, const struct dsn_job *j, const struct conf *conf)
{
	const struct conf_mta *c = &conf->mta;
	bool to_postmaster = j->send_dsn == SEND_DSN_POSTMASTER;
	int n = to_postmaster ? c->npostmasters : 1;
	m->rcpts = arena_alloc(&m->arena, (size_t)(n ? n : 1) * sizeof *m->rcpts);
	if (!m->rcpts)
		return;
	for (int i = 0; i < n; i++) {
		struct str a = to_postmaster ? str_of(c->postmasters[i]) : j->sender;
		/* Mail to such a domain is read here, and what it would say is known. */
		if (conf_inbound_of(conf, a) == CONF_NONE &&
		    mta_own_recipient(m, &m->rcpts[m->nrcpts], a))
			m->nrcpts++;
	}
}

static bool dsn_about(struct message *m, const struct dsn_job *j)
{
	uint32_t *v = arena_alloc(&m->arena, j->nrcpts * sizeof *v);
	if (!v)
		return false;
	uint32_t n = 0;
	for (uint32_t i = 0; i < j->nrcpts; i++)
		v[n++] =
		    j->rcpts[i].index | (j->rcpts[i].as == DECIDE_DEFERRED ? REPORTS_DELAY : 0);
	m->reports_on = j->message;
	m->reports_rcpts = v;
	m->nreports_rcpts = n;
	return true;
}

static struct message *dsn_message(struct worker *w, const struct dsn_job *j, struct body *original)
{
	struct mta *mta = w->me->mta;
	struct message *m = message_new();
	struct buf text, head, body;
	if (!m)
		return NULL;
	buf_init(&text);
	buf_init(&head);
	buf_init(&body);
	m->id = spool_new_id(mta->spool);
	m->received_at = clock_now_us();
	m->dsn = true;
	m->job = arena_str(&m->arena, STR_LIT("stoker/reports"));
	m->user = arena_str(&m->arena, STR_LIT("stoker"));
	m->route = arena_str(&m->arena, j->route);
	m->client = arena_str(&m->arena, STR_LIT("local"));
	m->smtputf8 = j->smtputf8;
	m->priority = 50;
	struct conf *c = conf_ref(__atomic_load_n(&mta->conf, __ATOMIC_ACQUIRE));
	read_part(original, ORIGINAL_MAX, &text);
	dsn_recipients(m, j, c);
	bool ok =
	    dsn_about(m, j) && dsn_build(j, &c->mta, buf_str(&text), m->id, m->received_at, &body);
	conf_unref(c);
	buf_free(&text);
	uint64_t charged = ok && body_budget_take(body.n) ? body.n : 0;
	m->body = ok ? body_new_memory(&head, &body, charged, true, true) : NULL;
	if (m->body)
		m->eightbit = true;
	buf_free(&body);
	if (m->body)
		return m;
	message_free(m);
	return NULL;
}

/* A report that can't be sent (no usable address), or that would come back here, ends all the same:
 * its recipients are settled. */
static void dsn_settle(struct member *to, struct message *m, bool inbound)
{
	if (!m->nreports_rcpts) {
		message_free(m);
		return;
	}
	if (!inbound)
		log_warn("no report for message %llx: its sender has no usable address",
			 (unsigned long long)m->reports_on);
	mta_post(to, to->mta->spooler, (struct post){ .fn = spool_post_settle, .p = m });
}

void worker_post_dsn(struct member *to, struct post *p)
{
	struct dsn_job *j = p->p;
	struct message *m = dsn_message(state(to), j, p->q);
	struct conf *c = conf_ref(__atomic_load_n(&to->mta->conf, __ATOMIC_ACQUIRE));
	bool inbound = conf_inbound_of(c, j->sender) != CONF_NONE;
	conf_unref(c);
	body_unref(p->q);
	if (!m)
		log_error("no memory for a report on message %llx; it is made after the next start",
			  (unsigned long long)j->message);
	else if (m->nrcpts)
		mta_post(to, to->mta->spooler, (struct post){ .fn = spool_post_message, .p = m });
	else
		dsn_settle(to, m, inbound);
	dsn_job_free(j);
}

/* ---- `stoker message` ---- */

static void show_rcpts(struct jsonw *w, const struct message *m)
{
	static const char *const states[] = { "queued", "report", "done" };
	jsonw_array(w, "recipients");
	for (uint32_t i = 0; i < m->nrcpts; i++) {
		const struct message_rcpt *r = &m->rcpts[i];
		jsonw_object(w, NULL);
		jsonw_str(w, "recipient", r->address);
		jsonw_z(w, "state", states[r->state]);
		jsonw_int(w, "attempts", r->attempts);
		if (r->due > 0 && r->due != US_NEVER)
			jsonw_time(w, "next_attempt", r->due);
		if (r->reply.n)
			jsonw_str(w, "last_reply", r->reply);
		jsonw_end_object(w);
	}
	jsonw_end_array(w);
}

static struct str header_block(const struct buf *b)
{
	const char *end = memmem(b->p, b->n, "\r\n\r\n", 4);
	return (struct str){ b->p, end ? (size_t)(end - b->p) + 2 : b->n };
}

static void show_dkim_keys(struct jsonw *w, const struct signer *s)
{
	jsonw_array(w, "dkim_keys");
	for (int i = 0; i < s->nkeys; i++) {
		uint32_t published = __atomic_load_n(&s->key[i].published, __ATOMIC_RELAXED);
		jsonw_object(w, NULL);
		jsonw_z(w, "selector", s->key[i].selector);
		jsonw_z(w, "algorithm", s->key[i].ed25519 ? "ed25519" : "rsa");
		jsonw_z(w, "published", record_state_name((enum record_state)published));
		jsonw_end_object(w);
	}
	jsonw_end_array(w);
}

/* What the next attempt will do, by the settings and keys of now. */
static void show_dkim(struct jsonw *w, const struct show_request *r, const struct conf *c,
		      struct str header)
{
	char domain[DOMAIN_SIZE];
	const struct signer *s = sign_signer_for(c, header, domain);
	uint32_t n = r->sign + r->sign_partly;
	struct buf text;
	buf_init(&text);
	if (!n) {
		buf_addz(&text, "will not sign: dkim-sign = no where it goes");
	} else if (!s) {
		buf_addf(&text,
			 domain[0] ? "will not sign: no [dkim] section is for %s"
				   : "will not sign: its From names no domain%s",
			 domain);
	} else {
		buf_addf(&text, "will sign d=%s", s->conf->domain);
		for (int i = 0; i < s->nkeys; i++)
			buf_addf(&text, " s=%s", s->key[i].selector);
		if (n < r->waiting)
			buf_addf(&text, " for %u of %u recipients", n, r->waiting);
		if (r->sign_partly)
			buf_addz(&text, ", at some of the pool's virtual MTAs");
	}
	jsonw_str(w, "dkim", buf_str(&text));
	if (n && s)
		show_dkim_keys(w, s);
	buf_free(&text);
}

static void show_json(const struct show_request *r, const struct conf *c, const struct buf *part,
		      struct buf *out)
{
	const struct message *m = r->envelope;
	struct jsonw w;
	char id[24];
	snprintf(id, sizeof id, "%llx", (unsigned long long)m->id);
	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	jsonw_z(&w, "id", id);
	jsonw_str(&w, "sender", m->sender);
	jsonw_str(&w, "job", m->job);
	jsonw_str(&w, "user", m->user);
	jsonw_str(&w, "route", m->route);
	jsonw_str(&w, "client", m->client);
	jsonw_int(&w, "size", (int64_t)m->where.body_bytes);
	jsonw_int(&w, "priority", m->priority);
	jsonw_time(&w, "received_at", m->received_at);
	show_rcpts(&w, m);
	if (part->n && r->waiting)
		show_dkim(&w, r, c, header_block(part));
	if (part->n)
		jsonw_str(&w, "headers", header_block(part));
	jsonw_end_object(&w);
}

void worker_post_show(struct member *to, struct post *p)
{
	struct show_request *r = p->p;
	struct conf *c = conf_ref(__atomic_load_n(&to->mta->conf, __ATOMIC_ACQUIRE));
	struct buf part, out;
	int code = EXIT_DONE;
	buf_init(&part);
	buf_init(&out);
	if (!r->envelope) {
		buf_addf(&out, "no queued message has the id %llx", (unsigned long long)r->message);
		code = EXIT_REFUSED;
	} else {
		read_part(r->body, r->raw ? SHOW_RAW_MAX : SHOW_HEADERS_MAX, &part);
		if (r->raw)
			buf_adds(&out, buf_str(&part));
		else
			show_json(r, c, &part, &out);
	}
	struct rstr *text = rstr_new(buf_str(&out));
	mta_post(
	    to, to->mta->control,
	    (struct post){ .fn = control_post_text, .a = r->id, .b = (uint64_t)code, .p = text });
	buf_free(&part);
	buf_free(&out);
	message_free(r->envelope);
	body_unref(r->body);
	conf_unref(c);
	free(r);
}

/* ---- the slow ones ---- */

void worker_post_segment(struct member *to, struct post *p)
{
	struct errbuf e = { "" };
	(void)p;
	if (spool_prepare_segment(to->mta->spool, &e))
		log_warn("spool: no segment could be prepared ahead: %s", e.text);
	mta_post(to, to->mta->spooler, (struct post){ .fn = spool_post_prepared });
}

/* Gives back to the system what malloc keeps of mail that has gone. */
void worker_post_trim(struct member *to, struct post *p)
{
	(void)to;
	(void)p;
	malloc_trim(0);
}

/* The history's entry: whole, so that going back needs no file. The spool stores it in pieces. */
void worker_post_conf(struct member *to, struct post *p)
{
	struct conf *c = p->p;
	struct conf_stored *x = calloc(1, sizeof *x);
	if (!x)
		fatal("no memory to record a configuration");
	x->number = c->number;
	buf_init(&x->text);
	buf_put_u64(&x->text, (uint64_t)c->loaded_at);
	buf_put_str(&x->text, str_of(c->path));
	buf_put_u32(&x->text, (uint32_t)c->nfiles);
	for (int i = 0; i < c->nfiles; i++) {
		buf_put_str(&x->text, str_of(c->files[i].path));
		buf_put_str(&x->text, c->files[i].text);
	}
	conf_unref(c);
	mta_post(to, to->mta->spooler, (struct post){ .fn = spool_post_conf, .p = x });
}

/* An unknown user costs the same time as a known one. */
static bool password_right(struct worker *w, const struct auth_request *r)
{
	static const char nobody[] = "$6$stokerstoker$";
	const char *setting = r->hash[0] ? r->hash : nobody;
	const char *made = crypt_r(r->password, setting, w->crypt);
	size_t n = made ? strlen(made) : 0;
	unsigned char differs = !made || n != strlen(setting) || !r->hash[0];

	for (size_t i = 0; !differs && i < n; i++)
		differs |= (unsigned char)(made[i] ^ setting[i]);
	explicit_bzero(w->crypt, sizeof *w->crypt);
	return !differs;
}

void worker_post_auth(struct member *to, struct post *p)
{
	struct worker *w = state(to);
	struct auth_request *r = p->p;
	us_t now = clock_now_us();
	bool banned = false;
	if (!w->guard || !w->crypt) {
		r->verdict = SERVER_AUTH_BUSY;
	} else if (!guard_allows(w->guard, &r->client, str_of(r->user), now)) {
		r->verdict = SERVER_AUTH_BANNED;
	} else if (password_right(w, r)) {
		r->verdict = SERVER_AUTH_OK;
		guard_passed(w->guard, &r->client, str_of(r->user), now);
	} else {
		r->verdict = SERVER_AUTH_WRONG;
		r->delay = guard_failed(w->guard, &r->client, str_of(r->user), now, &banned);
	}
	if (banned) {
		char ip[ENDPOINT_SIZE];
		endpoint_print(&r->client, ip);
		log_warn("too many failed logins from %s, or as one user: refused for 15 minutes",
			 ip);
	}
	mta_post(to, r->asker, (struct post){ .fn = io_post_auth, .p = r });
}

void worker_post_forget(struct member *to, struct post *p)
{
	(void)to;
	settings_cache_free(p->p);
	conf_unref(p->q);
}

/* Goes through all workers, the slow one last: none of them is about to use it any more. */
void worker_post_replaced(struct member *to, struct post *p)
{
	if (to->nth + 1 < WORKERS)
		mta_post(to, to->mta->workers[to->nth + 1], *p);
	else
		conf_unref(p->p);
}

static void reload_diff(struct reload_request *r, struct buf *out)
{
	struct conf_diff d;
	conf_diff_make(r->was, r->now, &d);
	for (int i = 0; i < d.n; i++) {
		const struct conf_change *c = &d.v[i];
		buf_addf(out, "%c %s", c->sign, c->section);
		if (c->directive)
			buf_addf(out, "  %s", c->directive);
		if (c->was && c->now)
			buf_addf(out, "  %s -> %s", c->was, c->now);
		else if (c->was || c->now)
			buf_addf(out, "  %s", c->was ? c->was : c->now);
		buf_addc(out, '\n');
	}
	if (!d.n)
		buf_addz(out, "no difference\n");
	conf_diff_free(&d);
	conf_diff_restart(r->was, r->now, out);
}

void worker_post_reload(struct member *to, struct post *p)
{
	struct reload_request *r = p->p;
	if (r->at_start_check) {
		r->differs = conf_differs_from_disk(r->was);
		mta_post(to, to->mta->control, (struct post){ .fn = control_post_loaded, .p = r });
		return;
	}
	if (r->packed.n && !mta_history_unpack(r)) {
		r->text = rstr_newf("the stored configuration #%llu can't be read\n",
				    (unsigned long long)r->to);
		mta_post(to, to->mta->control, (struct post){ .fn = control_post_loaded, .p = r });
		return;
	}
	struct conf_problems problems;
	struct conf_read_opts o = { .shipped_dir = to->mta->opts.shipped_dir,
				    .stored = r->stored,
				    .nstored = r->nstored };
	struct buf out;
	us_t started = clock_now_us();
	buf_init(&out);
	conf_problems_init(&problems);
	r->now = conf_read(r->stored_path ? r->stored_path : r->was->path, &o, &problems);
	if (r->now && !attach_files(r->now, &problems)) {
		conf_unref(r->now);
		r->now = NULL;
	}
	r->took = clock_now_us() - started;
	conf_problems_print(&problems, &out);
	if (r->now)
		reload_diff(r, &out);
	else
		buf_addf(&out, "%d error%s\n", problems.errors, problems.errors == 1 ? "" : "s");
	r->difference = out.n;
	if (r->now && !r->dry_run) /* here: the text may be long, and control's loop is not */
		buf_addf(&out, "configuration #%llu is in force\n",
			 (unsigned long long)r->expected);
	r->text = rstr_new(buf_str(&out));
	conf_problems_free(&problems);
	buf_free(&out);
	mta_post(to, to->mta->control, (struct post){ .fn = control_post_loaded, .p = r });
}

void mta_worker_wire(struct member *me)
{
	struct worker *w = calloc(1, sizeof *w);
	if (!w)
		fatal("no memory for a worker");
	me->state = w;
	w->me = me;
	idmap_init(&w->large);
	if (me->nth == WORKER_SLOW) {
		w->guard = guard_new();
		w->crypt = calloc(1, sizeof *w->crypt);
	}
}
