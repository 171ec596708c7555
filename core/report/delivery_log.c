#include "core/report/delivery_log.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clean.h"
#include "core/base/jsonw.h"
#include "core/report/log_file.h"

enum { STAMP_SIZE = 32 };

static const char *const type_letters =
    "?RXDTBEMUbFS"; /* by enum event_type: received, rejected (X), delivered, deferred (T), …,
			remote-bounced (b), complaint (F), suppressed */

static void line_time(us_t at, struct buf *out)
{
	time_t s = (time_t)(at / US_PER_S);
	struct tm tm;
	char text[40];
	localtime_r(&s, &tm);
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &tm);
	buf_addf(out, "%s.%03d", text, (int)(at / US_PER_MS % 1000));
	strftime(text, sizeof text, "%z", &tm);
	buf_addz(out, text);
}

static void line_word(struct buf *out, struct str s)
{
	buf_addc(out, ' ');
	if (s.n)
		clean_add(out, s, false);
	else
		buf_addc(out, '-');
}

void event_line(const struct event *e, struct buf *out)
{
	line_time(e->at, out);
	buf_addf(out, " %c %llx", type_letters[e->type < EVENT_TYPES ? e->type : 0],
		 (unsigned long long)e->message);
	line_word(out, e->type == EVENT_RECEIVED || e->type == EVENT_REJECTED ? e->user
									      : e->virtual_mta);
	if (e->type == EVENT_RECEIVED) {
		line_word(out, e->sender);
		buf_addf(out, " %u recipients, first", e->count);
	}
	line_word(out, e->type == EVENT_UNREACHED ? e->queue : e->recipient);
	if (e->type != EVENT_RECEIVED && e->type != EVENT_REJECTED)
		line_word(out, e->mx.n ? e->mx : e->reporting_mta);
	if (e->type == EVENT_COMPLAINT)
		line_word(out, e->feedback_type);
	else if (e->type != EVENT_RECEIVED)
		line_word(out, e->reply);
	else
		buf_addf(out, " %llu bytes", (unsigned long long)e->size);
	if (e->seconds)
		buf_addf(out, " %.2fs", (double)e->seconds / 1e6);
	if (e->category.n) {
		buf_addz(out, e->hard ? " [hard " : " [");
		clean_add(out, e->category, false);
		buf_addc(out, ']');
	}
	if (e->maybe_twice)
		buf_addz(out, " (may have been sent)");
	buf_addc(out, '\n');
}

void event_json(const struct event *e, struct buf *out)
{
	const struct {
		const char *name;
		struct str v;
	} texts[] = { { "sender", e->sender },
		      { "recipient", e->recipient },
		      { "queue", e->queue },
		      { "site", e->site },
		      { "virtual_mta", e->virtual_mta },
		      { "source_ip", e->source_ip },
		      { "mx", e->mx },
		      { "mx_ip", e->mx_ip },
		      { "reply", e->reply },
		      { "enhanced", e->enhanced },
		      { "category", e->category },
		      { "tls", e->tls },
		      { "job", e->job },
		      { "user", e->user },
		      { "envid", e->envid },
		      { "reporting_mta", e->reporting_mta },
		      { "feedback_type", e->feedback_type },
		      { "user_agent", e->user_agent },
		      { "format", e->format },
		      { "matched", e->matched },
		      { "scope", e->scope } };
	struct jsonw w;
	char id[24];
	jsonw_init(&w, out);
	jsonw_object(&w, NULL);
	jsonw_int(&w, "id", (int64_t)e->id);
	jsonw_time(&w, "at", e->at);
	jsonw_z(&w, "type", event_type_name(e->type));
	if (e->message) {
		snprintf(id, sizeof id, "%llx", (unsigned long long)e->message);
		jsonw_z(&w, "message", id);
	}
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (texts[i].v.n)
			jsonw_str(&w, texts[i].name, texts[i].v);
	if (e->category.n && (e->type == EVENT_BOUNCED || e->type >= EVENT_REMOTE_BOUNCED))
		jsonw_bool(&w, "hard", e->hard);
	if (e->type == EVENT_RECEIVED)
		jsonw_int(&w, "recipients", e->count);
	if (e->seconds)
		jsonw_seconds(&w, "seconds", e->seconds);
	if (e->size)
		jsonw_int(&w, "size", (int64_t)e->size);
	if (e->attempt)
		jsonw_int(&w, "attempt", e->attempt);
	if (e->queued_at)
		jsonw_time(&w, "queued_at", e->queued_at);
	if (e->next_attempt)
		jsonw_time(&w, "next_attempt", e->next_attempt);
	if (e->maybe_twice)
		jsonw_bool(&w, "maybe_twice", true);
	jsonw_end_object(&w);
}

/* ---- the files ---- */

struct delivery_log {
	struct log_file human, json;
	enum conf_rotate rotate;
	uint64_t rotate_bytes;
	us_t keep;
	us_t period_start; /* local day or hour that the files belong to */
	us_t cleaned_at;
};

const struct err *delivery_log_open(const struct conf *c, struct delivery_log **out,
				    struct errbuf *e)
{
	struct delivery_log *d = calloc(1, sizeof *d);
	if (!d)
		return &err_no_memory;
	d->human.fd = d->json.fd = -1;
	d->human.what = d->json.what = "log-file";
	snprintf(d->human.path, sizeof d->human.path, "%s", c->mta.log_file);
	snprintf(d->json.path, sizeof d->json.path, "%.4000s.json", c->mta.log_file);
	d->rotate = c->mta.log_rotate;
	d->rotate_bytes = (uint64_t)c->mta.log_rotate_size;
	d->keep = c->mta.log_keep;
	const struct err *err = log_file_open(&d->human, e);
	if (!err)
		err = log_file_open(&d->json, e);
	if (err) {
		delivery_log_close(d);
		return err;
	}
	d->period_start = log_file_period(&d->human, d->rotate, clock_now_us());
	*out = d;
	return NULL;
}

void delivery_log_close(struct delivery_log *d)
{
	log_file_close(&d->human);
	log_file_close(&d->json);
	free(d);
}

void delivery_log_event(struct delivery_log *d, const struct event *e)
{
	event_line(e, &d->human.out);
	event_json(e, &d->json.out);
	buf_addc(&d->json.out, '\n');
}

const struct err *delivery_log_flush(struct delivery_log *d, struct errbuf *e)
{
	if (buf_failed(&d->human.out) || buf_failed(&d->json.out)) {
		buf_free(&d->human.out);
		buf_free(&d->json.out);
		errbuf_set(e, "no memory for its lines");
		return &err_no_memory;
	}
	const struct err *a = log_file_flush(&d->human, e);
	const struct err *b = log_file_flush(&d->json, e);
	return a ? a : b;
}

static void take_waiting(struct log_file *f, struct log_file *old)
{
	buf_free(&f->out);
	f->out = old->out;
	buf_init(&old->out);
}

void delivery_log_replace(struct delivery_log *d, struct delivery_log *old)
{
	take_waiting(&d->human, &old->human);
	take_waiting(&d->json, &old->json);
	delivery_log_close(old);
}

/* ---- rotation: FILE becomes FILE-20261123T190348 (and -1, -2 … if that is taken) ---- */

static const struct err *file_rotate(struct log_file *f, const char *stamp, struct errbuf *e)
{
	char to[LOG_PATH_SIZE + 64];
	if (!f->bytes)
		return NULL;
	for (int i = 0;; i++) {
		if (i)
			snprintf(to, sizeof to, "%s-%s-%d", f->path, stamp, i);
		else
			snprintf(to, sizeof to, "%s-%s", f->path, stamp);
		if (access(to, F_OK))
			break;
	}
	return log_file_rotate(f, to, e);
}

/* "FILE-2026…" or "FILE.json-2026…": ours? */
static bool rotated_name(const char *name, const char *base)
{
	size_t n = strlen(base);
	if (strncmp(name, base, n) != 0)
		return false;
	name += n;
	if (strncmp(name, ".json", 5) == 0)
		name += 5;
	return name[0] == '-' && name[1] == '2' && name[2] == '0';
}

static bool rotation_due(const struct delivery_log *d, us_t now)
{
	if (d->rotate == ROTATE_SIZE)
		return d->human.bytes >= d->rotate_bytes || d->json.bytes >= d->rotate_bytes;
	return log_period(d->rotate, now) > d->period_start;
}

const struct err *delivery_log_rotate(struct delivery_log *d, us_t now, bool now_please,
				      struct errbuf *e)
{
	char stamp[STAMP_SIZE];
	time_t s = (time_t)(now / US_PER_S);
	struct tm tm;
	const struct err *err = NULL;
	if (d->keep != US_NEVER && now - d->cleaned_at > US_PER_HOUR) {
		d->cleaned_at = now;
		log_clean(d->human.path, now - d->keep, rotated_name);
	}
	if (!now_please && !rotation_due(d, now))
		return NULL;
	localtime_r(&s, &tm);
	strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm);
	err = file_rotate(&d->human, stamp, e);
	if (!err)
		err = file_rotate(&d->json, stamp, e);
	d->period_start = log_period(d->rotate, now);
	return err;
}
