/* Events: into blobs with the commit, trimmed behind their readers, whose positions are kept here.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"
#include "core/spool/engine.h"
#include "core/spool/wire.h"

enum { COUNT_BYTES = 4, TRIM_BLOBS = 128, NAME_MAX_BYTES = 96 };
#define READER_KEY "reader:"

bool eventlog_parse_blob(struct str value, uint32_t *count, struct reader *events)
{
	*events = (struct reader){ .p = (const uint8_t *)value.p, .n = value.n };
	*count = reader_u32(events);
	return !events->bad && *count;
}

bool eventlog_add(struct spool *s, const struct event *ev)
{
	if (!event_encode(&s->ledger.events, ev))
		return false;
	s->ledger.nevents++;
	return true;
}

size_t eventlog_received_bytes(const struct message *m)
{
	enum { NUMBERS_AND_LENGTHS = 256 };

	size_t n = m->sender.n + m->job.n + m->user.n + m->client.n + m->envid.n + m->route.n;

	for (uint32_t i = 0; i < m->nrcpts; i++)
		n += m->rcpts[i].address.n + m->rcpts[i].orcpt.n + 2 * WIRE_TEXT_MORE;
	return n + NUMBERS_AND_LENGTHS;
}

void eventlog_add_received(struct spool *s, const struct message *m, uint64_t size)
{
	struct event e = { .at = m->received_at,
			   .type = EVENT_RECEIVED,
			   .message = m->id,
			   .count = m->nrcpts,
			   .sender = m->sender,
			   .recipient = m->nrcpts ? m->rcpts[0].address : STR_LIT(""),
			   .source_ip = m->client,
			   .job = m->job,
			   .user = m->user,
			   .queued_at = m->received_at,
			   .orcpt = m->nrcpts ? m->rcpts[0].orcpt : STR_LIT(""),
			   .envid = m->envid,
			   .route = m->route,
			   .size = size };
	struct buf *others = &s->ledger.others;
	bool ok = true;

	others->n = 0;
	for (uint32_t i = 1; i < m->nrcpts && ok; i++)
		ok = event_others_add(others, m->rcpts[i].address, m->rcpts[i].orcpt);
	e.others = buf_str(others);
	if (!ok || !eventlog_add(s, &e))
		log_error("spool: no memory to record that message %llx was received",
			  (unsigned long long)m->id);
}

static int put_blob(struct spool *s, MDB_txn *txn, struct core *next, struct str bytes,
		    uint32_t count)
{
	char key[8];
	MDB_val k = env_val(key, sizeof key), d = env_val(NULL, COUNT_BYTES + bytes.n);
	int rc;

	index_u64_key(next->next_event, key);
	rc = mdb_put(txn, s->index.dbi[TABLE_EVENTS], &k, &d, MDB_RESERVE | MDB_APPEND);
	if (rc == MDB_KEYEXIST) /* of a commit that failed, yet had its effect */
		rc = mdb_put(txn, s->index.dbi[TABLE_EVENTS], &k, &d, MDB_RESERVE);
	if (rc)
		return rc;
	for (int i = 0; i < COUNT_BYTES; i++)
		((char *)d.mv_data)[i] = (char)(count >> (8 * i) & 0xFF);
	memcpy((char *)d.mv_data + COUNT_BYTES, bytes.p, bytes.n);
	next->next_event += count;
	next->events_bytes += d.mv_size;
	return 0;
}

static int write_blobs(struct spool *s, MDB_txn *txn, struct core *next)
{
	struct reader r = { .p = (const uint8_t *)s->ledger.events.p, .n = s->ledger.events.n };
	const char *start = s->ledger.events.p, *end = start;
	uint32_t count = 0;
	int rc = 0;

	while (r.n && !rc) {
		reader_str(&r); /* the event behind its length */
		if (count && (size_t)((const char *)r.p - start) > EVENTLOG_BLOB_MAX) {
			rc = put_blob(s, txn, next, str_mem(start, (size_t)(end - start)), count);
			start = end;
			count = 0;
		}
		end = (const char *)r.p;
		count++;
	}
	if (count && !rc)
		rc = put_blob(s, txn, next, str_mem(start, (size_t)(end - start)), count);
	return rc;
}

/* The last event that every reader has; 0 without readers. */
static uint64_t read_by_all(const struct spool *s)
{
	uint64_t least = UINT64_MAX;

	for (const struct position *p = s->positions; p; p = p->next)
		if (!p->forgotten && p->id < least)
			least = p->id;
	return least == UINT64_MAX ? 0 : least;
}

static int trim(struct spool *s, MDB_txn *txn, struct core *next)
{
	uint64_t done = read_by_all(s), first;
	struct reader events;
	uint32_t count;
	MDB_val k, d;
	MDB_cursor *c;
	int rc = mdb_cursor_open(txn, s->index.dbi[TABLE_EVENTS], &c);

	if (rc)
		return rc;
	s->trim_more = true;
	for (int i = 0; i < TRIM_BLOBS; i++) {
		rc = mdb_cursor_get(c, &k, &d, MDB_FIRST);
		s->trim_more = !rc && index_parse_u64_key(env_str(&k), &first);
		if (!s->trim_more)
			break;
		if (!eventlog_parse_blob(env_str(&d), &count, &events))
			count = 1;
		uint64_t last = first + count - 1;

		s->trim_more = last <= done || next->events_bytes > s->events_max;
		if (!s->trim_more)
			break;
		if (last > done && s->positions)
			next->events_dropped += last - (done < first ? first - 1 : done);
		next->events_bytes -=
		    d.mv_size < next->events_bytes ? d.mv_size : next->events_bytes;
		rc = mdb_cursor_del(c, 0);
		if (rc)
			break;
	}
	mdb_cursor_close(c);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int put_positions(struct spool *s, MDB_txn *txn)
{
	char key[sizeof READER_KEY + NAME_MAX_BYTES], value[8];
	int rc = 0;

	for (struct position *p = s->positions; p && !rc; p = p->next) {
		MDB_val k = env_val(key, 0), d = env_val(value, sizeof value);

		if (!p->dirty)
			continue;
		k.mv_size = (size_t)snprintf(key, sizeof key, READER_KEY "%s", p->name);
		index_u64_key(p->id, value);
		rc = p->forgotten ? mdb_del(txn, s->index.dbi[TABLE_META], &k, NULL)
				  : mdb_put(txn, s->index.dbi[TABLE_META], &k, &d, 0);
		rc = p->forgotten && rc == MDB_NOTFOUND ? 0 : rc;
	}
	return rc;
}

int eventlog_write(struct spool *s, MDB_txn *txn, struct core *next)
{
	int rc = write_blobs(s, txn, next);

	if (!rc)
		rc = put_positions(s, txn);
	return rc ? rc : trim(s, txn, next);
}

static struct position *position_of(struct spool *s, const char *name)
{
	struct position *p;

	for (p = s->positions; p && strcmp(p->name, name); p = p->next)
		;
	if (p)
		return p;
	p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->name = strdup(name);
	if (!p->name) {
		free(p);
		return NULL;
	}
	p->next = s->positions;
	s->positions = p;
	return p;
}

void spool_reader_position(struct spool *s, const char *name, uint64_t id)
{
	struct position *p = strlen(name) < NAME_MAX_BYTES ? position_of(s, name) : NULL;

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (!p) {
		log_error("spool: the position of reader %s is not kept: no memory, or its name is "
			  "too long",
			  name);
		return;
	}
	if (id <= p->id && p->known && !p->forgotten)
		return;
	p->forgotten = false;
	p->id = id;
	p->known = p->dirty = true;
	s->positions_dirty = true;
}

void spool_reader_forget(struct spool *s, const char *name)
{
	struct position *p = position_of(s, name);

	OBJ_CHECK(s, SPOOL_MAGIC);
	if (!p)
		return;
	p->forgotten = p->dirty = true;
	s->positions_dirty = true;
}

void spool_readers_forget(struct spool *s, const char *prefix,
			  bool (*keep)(void *arg, const char *name), void *arg)
{
	for (struct position *p = s->positions; p; p = p->next)
		if (strncmp(p->name, prefix, strlen(prefix)) == 0 && !keep(arg, p->name))
			spool_reader_forget(s, p->name);
}

/* False: not a reader's row any more. */
static bool load_position(struct spool *s, struct str key, struct str value)
{
	size_t skip = sizeof READER_KEY - 1;
	char name[NAME_MAX_BYTES];
	struct position *p;
	uint64_t id;

	if (key.n <= skip || memcmp(key.p, READER_KEY, skip))
		return false;
	if (key.n - skip >= sizeof name || !index_parse_u64_key(value, &id)) {
		log_error("the spool's index is damaged at the position of a reader");
		return true;
	}
	memcpy(name, key.p + skip, key.n - skip);
	name[key.n - skip] = '\0';
	p = position_of(s, name);
	if (p) {
		p->id = id;
		p->known = true;
	}
	return true;
}

const struct err *eventlog_load_positions(struct spool *s, struct errbuf *e)
{
	MDB_txn *txn = env_lookup_begin(&s->index);
	MDB_val k = env_val(READER_KEY, sizeof READER_KEY - 1), d;
	MDB_cursor *c;
	int rc = txn ? mdb_cursor_open(txn, s->index.dbi[TABLE_META], &c) : MDB_PANIC;

	if (rc)
		return env_fail(&s->index, rc, "cannot read", e);
	for (rc = mdb_cursor_get(c, &k, &d, MDB_SET_RANGE); !rc;
	     rc = mdb_cursor_get(c, &k, &d, MDB_NEXT))
		if (!load_position(s, env_str(&k), env_str(&d)))
			break;
	mdb_cursor_close(c);
	env_lookup_end(&s->index);
	return NULL;
}

void eventlog_free_positions(struct spool *s)
{
	struct position *p;

	while ((p = s->positions)) {
		s->positions = p->next;
		free(p->name);
		free(p);
	}
}

/* The number before the oldest event there is, or before the next one if there is none. */
static uint64_t before_oldest(struct spool *s, MDB_txn *txn)
{
	uint64_t first;
	struct core core;
	MDB_cursor *c;
	MDB_val k, d;
	int rc = mdb_cursor_open(txn, s->index.dbi[TABLE_EVENTS], &c);

	if (rc)
		return 0;
	rc = mdb_cursor_get(c, &k, &d, MDB_FIRST);
	mdb_cursor_close(c);
	if (!rc && index_parse_u64_key(env_str(&k), &first))
		return first - 1;
	return index_get_core(&s->index, txn, &core) ? 0 : core.next_event - 1;
}

uint64_t eventlog_position(struct spool *s, MDB_txn *txn, const char *name, bool *known)
{
	char key[sizeof READER_KEY + NAME_MAX_BYTES];
	int n = snprintf(key, sizeof key, READER_KEY "%.*s", NAME_MAX_BYTES - 1, name);
	MDB_val k = env_val(key, (size_t)n), d;
	uint64_t id;

	*known = !mdb_get(txn, s->index.dbi[TABLE_META], &k, &d) &&
		 index_parse_u64_key(env_str(&d), &id);
	return *known ? id : before_oldest(s, txn);
}
