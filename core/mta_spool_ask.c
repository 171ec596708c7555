/* What others ask of the spool: bodies, a message in full, rows of recipients. On the spool's
 * thread; only reads. */
#include <stdlib.h>
#include <string.h>

#include "core/base/jsonw.h"
#include "core/mta.h"

void spool_post_body(struct member *to, struct post *p)
{
	struct body_request *r = p->p;
	r->body = spool_body(to->mta->spool, r->message, &r->where);
	if (!r->body) {
		snprintf(r->error, sizeof r->error, "the message is not in the spool any more");
		mta_post(to, r->asker, (struct post){ .fn = io_post_body, .p = r });
		return;
	}
	mta_post(to, mta_body_worker(to->mta, r->message),
		 (struct post){ .fn = worker_post_body, .p = r });
}

void spool_post_dsn(struct member *to, struct post *p)
{
	struct dsn_job *j = p->p;
	struct spool_where w;
	memcpy(&w, &j->where, sizeof w);
	struct body *body = spool_body(to->mta->spool, j->message, &w);
	mta_post(to, mta_body_worker(to->mta, j->message),
		 (struct post){ .fn = worker_post_dsn, .p = j, .q = body });
}

void spool_post_show(struct member *to, struct post *p)
{
	struct show_request *r = calloc(1, sizeof *r);
	if (!r)
		return;
	r->id = p->a;
	r->message = p->b;
	r->raw = p->c != 0;
	r->envelope = spool_message(to->mta->spool, r->message);
	if (r->envelope)
		r->body = spool_body(to->mta->spool, r->message, &r->envelope->where);
	mta_post(to, to->mta->control, (struct post){ .fn = control_post_show, .p = r });
}

static void row_json_one(struct jsonw *w, struct spool *s, const struct message_row *r)
{
	char id[24];
	snprintf(id, sizeof id, "%llx", (unsigned long long)r->id);
	struct message *m = r->attempts ? spool_message(s, r->id) : NULL;
	jsonw_object(w, NULL);
	jsonw_z(w, "id", id);
	jsonw_str(w, "sender", r->sender);
	jsonw_str(w, "recipient", r->recipient);
	jsonw_str(w, "queue", r->queue);
	jsonw_str(w, "job", r->job);
	jsonw_str(w, "user", r->user);
	jsonw_int(w, "size", (int64_t)r->size);
	jsonw_time(w, "received_at", r->received_at);
	jsonw_int(w, "attempts", r->attempts);
	if (r->next_attempt > 0 && r->next_attempt != US_NEVER)
		jsonw_time(w, "next_attempt", r->next_attempt);
	if (r->expires_at > 0 && r->expires_at != US_NEVER)
		jsonw_time(w, "expires_at", r->expires_at);
	jsonw_z(w, "state", r->in_flight ? "in-flight" : row_state_name((enum row_state)r->state));
	if (m && r->rcpt < m->nrcpts && m->rcpts[r->rcpt].reply.n)
		jsonw_str(w, "last_reply", m->rcpts[r->rcpt].reply);
	jsonw_object(w, "why");
	jsonw_z(w, "code", why_code_name((enum why_code)r->why.code));
	if (r->why.text)
		jsonw_str(w, "text", rstr_str(r->why.text));
	jsonw_end_object(w);
	jsonw_end_object(w);
	message_free(m);
}

void spool_post_rows(struct member *to, struct post *p)
{
	struct message_rows *rows = p->p;
	struct buf out;
	struct jsonw w;
	buf_init(&out);
	jsonw_init(&w, &out);
	jsonw_object(&w, NULL);
	if (rows->total >= 0)
		jsonw_int(&w, "total", rows->total);
	char cursor[24];
	snprintf(cursor, sizeof cursor, "%llu", (unsigned long long)rows->cursor);
	jsonw_z(&w, "cursor", cursor);
	jsonw_array(&w, "rows");
	for (int i = 0; i < rows->n; i++) {
		row_json_one(&w, to->mta->spool, &rows->rows[i]);
		rstr_unref(rows->rows[i].why.origin);
		rstr_unref(rows->rows[i].why.text);
	}
	jsonw_end_array(&w);
	jsonw_end_object(&w);
	struct rstr *text = rstr_new(buf_str(&out));
	mta_post(to, to->mta->control,
		 (struct post){ .fn = control_post_text, .a = rows->id, .p = text });
	buf_free(&out);
	arena_free(&rows->arena);
	free(rows);
}
