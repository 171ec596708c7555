#include "core/control/logring.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"

struct slot {
	uint64_t id; /* 0: empty */
	struct rstr *batch;
	uint32_t at, len;
};
struct logring {
	size_t cap;
	uint64_t first, last; /* 0: none yet */
	struct slot slots[];
};

struct logring *logring_new(size_t capacity)
{
	struct logring *l = calloc(1, sizeof *l + capacity * sizeof l->slots[0]);

	if (!l)
		fatal("no memory for the log's ring");
	l->cap = capacity;
	return l;
}

void logring_free(struct logring *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->cap; i++)
		rstr_unref(l->slots[i].batch);
	free(l);
}

void logring_add(struct logring *l, uint64_t first_id, struct rstr *encoded, int n)
{
	struct str all = rstr_str(encoded);
	struct reader r = { .p = (const uint8_t *)all.p, .n = all.n };
	struct event e;

	for (int i = 0; i < n; i++) {
		size_t from = all.n - r.n;
		uint64_t id = first_id + (uint64_t)i;
		struct slot *s = &l->slots[id % l->cap];

		if (!event_decode(&r, &e)) {
			log_error("log: event %llu can't be read", (unsigned long long)id);
			break;
		}
		rstr_unref(s->batch);
		*s = (struct slot){ id, rstr_ref(encoded), (uint32_t)from,
				    (uint32_t)(all.n - r.n - from) };
		if (!l->first)
			l->first = id;
		if (id > l->last)
			l->last = id;
		if (l->last - l->first >= l->cap)
			l->first = l->last - l->cap + 1;
	}
	rstr_unref(encoded);
}

bool logring_get(const struct logring *l, uint64_t id, struct event *out)
{
	const struct slot *s = &l->slots[id % l->cap];
	struct reader r;

	if (!id || s->id != id)
		return false;
	r = (struct reader){ .p = (const uint8_t *)s->batch->text + s->at, .n = s->len };
	memset(out, 0, sizeof *out);
	if (!event_decode(&r, out))
		return false;
	out->id = id;
	return true;
}

uint64_t logring_last(const struct logring *l)
{
	return l->last;
}

uint64_t logring_first(const struct logring *l)
{
	return l->first;
}

/* ---- fields of events ---- */

struct event_item {
	struct sieve_item item;
	const struct event *e;
	char hex[20];
};

static void put_text(struct value *out, struct str s)
{
	*out = (struct value){ .type = s.n ? V_TEXT : V_NONE, .s = s };
}

enum event_field {
	EF_ID,
	EF_AT,
	EF_TYPE,
	EF_MESSAGE,
	EF_SENDER,
	EF_RECIPIENT,
	EF_QUEUE,
	EF_SITE,
	EF_VIRTUAL_MTA,
	EF_SOURCE_IP,
	EF_MX,
	EF_MX_IP,
	EF_REPLY,
	EF_ENHANCED,
	EF_CATEGORY,
	EF_HARD,
	EF_SECONDS,
	EF_TLS,
	EF_SIZE,
	EF_JOB,
	EF_USER,
	EF_ENVID,
	EF_REPORTING_MTA,
	EF_FEEDBACK_TYPE,
	EF_MATCHED,
	EF_SCOPE,
	EF_ATTEMPT,
	EF_RECIPIENTS,
	EF_NEXT_ATTEMPT,
	EF_MAYBE_TWICE,
	EF_COUNT
};
static const struct {
	const char *name;
	enum value_type type;
	bool word;
} event_fields[EF_COUNT] = {
	[EF_ID] = { "id", V_INT, false },
	[EF_AT] = { "at", V_TIME, false },
	[EF_TYPE] = { "type", V_TEXT, true },
	[EF_MESSAGE] = { "message", V_TEXT, true },
	[EF_SENDER] = { "sender", V_TEXT, true },
	[EF_RECIPIENT] = { "recipient", V_TEXT, true },
	[EF_QUEUE] = { "queue", V_TEXT, true },
	[EF_SITE] = { "site", V_TEXT, true },
	[EF_VIRTUAL_MTA] = { "virtual_mta", V_TEXT, true },
	[EF_SOURCE_IP] = { "source_ip", V_TEXT, true },
	[EF_MX] = { "mx", V_TEXT, true },
	[EF_MX_IP] = { "mx_ip", V_TEXT, true },
	[EF_REPLY] = { "reply", V_TEXT, true },
	[EF_ENHANCED] = { "enhanced", V_TEXT, false },
	[EF_CATEGORY] = { "category", V_TEXT, true },
	[EF_HARD] = { "hard", V_BOOL, false },
	[EF_SECONDS] = { "seconds", V_SPAN, false },
	[EF_TLS] = { "tls", V_TEXT, false },
	[EF_SIZE] = { "size", V_BYTES, false },
	[EF_JOB] = { "job", V_TEXT, true },
	[EF_USER] = { "user", V_TEXT, true },
	[EF_ENVID] = { "envid", V_TEXT, true },
	[EF_REPORTING_MTA] = { "reporting_mta", V_TEXT, true },
	[EF_FEEDBACK_TYPE] = { "feedback_type", V_TEXT, true },
	[EF_MATCHED] = { "matched", V_TEXT, false },
	[EF_SCOPE] = { "scope", V_TEXT, false },
	[EF_ATTEMPT] = { "attempt", V_INT, false },
	[EF_RECIPIENTS] = { "recipients", V_INT, false },
	[EF_NEXT_ATTEMPT] = { "next_attempt", V_TIME, false },
	[EF_MAYBE_TWICE] = { "maybe_twice", V_BOOL, false },
};

/* Texts that lie in the event as they are. */
static const struct str *event_str(const struct event *e, enum event_field f)
{
	const struct str *const texts[EF_COUNT] = {
		[EF_SENDER] = &e->sender,
		[EF_RECIPIENT] = &e->recipient,
		[EF_QUEUE] = &e->queue,
		[EF_SITE] = &e->site,
		[EF_VIRTUAL_MTA] = &e->virtual_mta,
		[EF_SOURCE_IP] = &e->source_ip,
		[EF_MX] = &e->mx,
		[EF_MX_IP] = &e->mx_ip,
		[EF_REPLY] = &e->reply,
		[EF_ENHANCED] = &e->enhanced,
		[EF_CATEGORY] = &e->category,
		[EF_TLS] = &e->tls,
		[EF_JOB] = &e->job,
		[EF_USER] = &e->user,
		[EF_ENVID] = &e->envid,
		[EF_REPORTING_MTA] = &e->reporting_mta,
		[EF_FEEDBACK_TYPE] = &e->feedback_type,
		[EF_MATCHED] = &e->matched,
		[EF_SCOPE] = &e->scope,
	};

	return texts[f];
}

/* Numbers; zero means that this kind of event has none. */
static int64_t event_number(const struct event *e, enum event_field f)
{
	const int64_t numbers[EF_COUNT] = {
		[EF_ID] = (int64_t)e->id,
		[EF_AT] = e->at,
		[EF_HARD] = e->hard,
		[EF_SECONDS] = e->seconds,
		[EF_SIZE] = (int64_t)e->size,
		[EF_ATTEMPT] = e->attempt,
		[EF_RECIPIENTS] = e->type == EVENT_RECEIVED ? e->count : 0,
		[EF_NEXT_ATTEMPT] = e->next_attempt,
		[EF_MAYBE_TWICE] = e->maybe_twice,
	};

	return numbers[f];
}

static void event_value(const struct sieve_item *it, int field, struct value *out)
{
	struct event_item *ei = (struct event_item *)(uintptr_t)it->arg;
	const struct event *e = ei->e;
	const struct str *text = event_str(e, (enum event_field)field);
	int64_t n;

	if (text) {
		put_text(out, *text);
	} else if (field == EF_TYPE) {
		put_text(out, str_of(event_type_name(e->type)));
	} else if (field == EF_MESSAGE) {
		snprintf(ei->hex, sizeof ei->hex, "%llx", (unsigned long long)e->message);
		put_text(out, str_of(e->message ? ei->hex : ""));
	} else {
		n = event_number(e, (enum event_field)field);
		*out = (struct value){ .type = n ? event_fields[field].type : V_NONE, .i = n };
	}
}

static bool event_text(const struct sieve_item *it, int i, struct str *out)
{
	struct value v = { .type = V_NONE };

	if (i >= EF_COUNT)
		return false;
	if (event_fields[i].word)
		event_value(it, i, &v);
	*out = v.type == V_TEXT ? v.s : STR_LIT("");
	return true;
}

static int event_find(const void *arg, struct str name)
{
	(void)arg;
	for (int i = 0; i < EF_COUNT; i++)
		if (str_ieqz(name, event_fields[i].name))
			return i;
	return -1;
}

static const char *event_name(const void *arg, int i)
{
	(void)arg;
	return i < EF_COUNT ? event_fields[i].name : NULL;
}

static enum value_type event_type_of(const void *arg, int field)
{
	(void)arg;
	return event_fields[field].type;
}

struct sieve *event_filter_parse(struct str text, struct errbuf *e)
{
	const struct sieve_source src = { NULL, event_find, event_name, event_type_of };

	return sieve_parse(&src, text, e);
}

bool event_filter_match(const struct sieve *s, const struct event *e, us_t now)
{
	struct event_item ei = { .item = { .value = event_value, .text = event_text, .now = now },
				 .e = e };

	if (!s || sieve_empty(s))
		return true;
	ei.item.arg = &ei;
	return sieve_match(s, &ei.item);
}

bool event_is_error(const struct event *e)
{
	return e->type == EVENT_DEFERRED || e->type == EVENT_BOUNCED || e->type == EVENT_EXPIRED ||
	       e->type == EVENT_REJECTED || e->type == EVENT_REMOTE_BOUNCED ||
	       e->type == EVENT_COMPLAINT;
}
