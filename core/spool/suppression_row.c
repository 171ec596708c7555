#include "core/base/domain.h"
#include "core/spool/suppression_inner.h"
#include "core/spool/wire.h"

/* ---- words ---- */

static const char *const names[SUPPRESS_WHYS] = { [SUPPRESS_HARD] = "hard",
						  [SUPPRESS_COMPLAINT] = "complaint",
						  [SUPPRESS_SOFT] = "soft",
						  [SUPPRESS_MANUAL] = "manual" };

const char *suppress_why_name(enum suppress_why w)
{
	const char *name = (unsigned)w < SUPPRESS_WHYS ? names[w] : NULL;

	return name ? name : "unknown";
}

enum suppress_why suppress_why_find(struct str name)
{
	int w = SUPPRESS_HARD;

	while (w < SUPPRESS_WHYS && !str_ieqz(name, names[w]))
		w++;
	return (enum suppress_why)w;
}

/* ---- keys ---- */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* A quoted string that would be the same as a dot-string (RFC 5321 4.1.2): without its quotes. */
static struct str unquoted(struct str local)
{
	static const char atext[] = "!#$%&'*+-/=?^_`{|}~.";

	if (local.n < 3 || local.p[0] != '"' || local.p[local.n - 1] != '"')
		return local;
	for (size_t i = 1; i + 1 < local.n; i++) {
		unsigned char c = (unsigned char)local.p[i];
		bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
			     (c >= 'a' && c <= 'z') || c >= 0x80;

		if (!alnum && !memchr(atext, c, sizeof atext - 1))
			return local;
	}
	return str_mem(local.p + 1, local.n - 2);
}

const char *suppression_key_parts(struct str local, struct str domain, struct str scope,
				  struct suppression_key *k)
{
	char *p = k->bytes;

	local = unquoted(local);
	if (!local.n || !domain.n)
		return "a local part or domain is missing";
	if (local.n + 1 + domain.n > SUPPRESSION_ADDRESS_MAX ||
	    local.n + domain.n + scope.n + 2 > SUPPRESSION_KEY_MAX)
		return "it is over 254 bytes long";
	for (size_t i = 0; i < domain.n; i++)
		*p++ = lower(domain.p[i]);
	*p++ = '\0';
	for (size_t i = 0; i < local.n; i++) {
		if ((unsigned char)local.p[i] < ' ' || local.p[i] == 0x7F)
			return "it holds a control character";
		*p++ = lower(local.p[i]);
	}
	*p++ = '\0';
	k->base = (size_t)(p - k->bytes);
	if (scope.n)
		memcpy(p, scope.p, scope.n);
	k->n = k->base + scope.n;
	return NULL;
}

static size_t last_at(struct str s)
{
	size_t at = s.n;

	while (at && s.p[at - 1] != '@')
		at--;
	return at;
}

const char *suppression_key(struct str address, struct str scope, struct suppression_key *k)
{
	size_t at = last_at(address);
	struct str domain = { address.p + at, address.n - at };
	char normal[DOMAIN_SIZE];

	if (!at)
		return "there is no @ in it";
	if (domain.n > 2 && domain.p[0] == '[' && domain.p[domain.n - 1] == ']')
		return suppression_key_parts(str_mem(address.p, at - 1), domain, scope, k);
	if (!domain_normal(domain, normal))
		return "what follows its @ is no domain";
	return suppression_key_parts(str_mem(address.p, at - 1), str_of(normal), scope, k);
}

struct str suppression_scope(struct str sender, char out[DOMAIN_SIZE])
{
	size_t at = last_at(sender);

	if (!at || !domain_normal((struct str){ sender.p + at, sender.n - at }, out))
		out[0] = '\0';
	return str_of(out);
}

bool sup_key_parse(struct str key, struct suppression_row *row)
{
	const char *a = key.n ? memchr(key.p, '\0', key.n) : NULL;
	size_t rest = a ? key.n - (size_t)(a - key.p) - 1 : 0;
	const char *b = rest ? memchr(a + 1, '\0', rest) : NULL;

	if (!b)
		return false;
	row->domain = str_mem(key.p, (size_t)(a - key.p));
	row->local = str_mem(a + 1, (size_t)(b - a) - 1);
	row->scope = str_mem(b + 1, key.n - (size_t)(b - key.p) - 1);
	return true;
}

/* ---- rows: times are seconds, US_NEVER is 0 ---- */

static uint64_t seconds(us_t t)
{
	return t == US_NEVER || t < 0 ? 0 : (uint64_t)(t / US_PER_S);
}

static us_t never_or(uint64_t s)
{
	return s && s < INT64_MAX / US_PER_S ? (us_t)s * US_PER_S : US_NEVER;
}

static char *put_cut(char *p, struct str s, size_t most)
{
	return wire_put_text(p, str_mem(s.p, s.n < most ? s.n : most));
}

size_t sup_row_put(const struct suppression_entry *e, char out[SUPPRESSION_ROW_MAX])
{
	char *p = out;

	p = wire_put_varint(p, e->why);
	p = wire_put_varint(p, seconds(e->at));
	p = wire_put_varint(p, seconds(e->until));
	p = wire_put_varint(p, e->message);
	p = put_cut(p, e->category, SUPPRESSION_CATEGORY_MAX);
	p = put_cut(p, e->words, SUPPRESSION_WORDS_MAX);
	p = put_cut(p, e->by, SUPPRESSION_BY_MAX);
	return (size_t)(p - out);
}

bool sup_row_parse(struct str value, struct suppression_entry *e)
{
	struct reader r = { .p = (const uint8_t *)value.p, .n = value.n };

	e->why = (enum suppress_why)wire_varint(&r);
	e->at = (us_t)wire_varint(&r) * US_PER_S;
	e->until = never_or(wire_varint(&r));
	e->message = wire_varint(&r);
	e->category = wire_text(&r);
	e->words = wire_text(&r);
	e->by = wire_text(&r);
	return !r.bad && e->why >= SUPPRESS_HARD && e->why < SUPPRESS_WHYS;
}

static struct str keep(struct str s, char *to, size_t most)
{
	size_t n = s.n < most ? s.n : most;

	if (n)
		memcpy(to, s.p, n);
	to[n] = '\0';
	return str_mem(to, n);
}

void sup_found(const struct suppression_entry *e, bool global, struct suppression_found *out)
{
	out->e = *e;
	out->global = global;
	out->e.category = keep(e->category, out->category, SUPPRESSION_CATEGORY_MAX);
	out->e.words = keep(e->words, out->words, SUPPRESSION_WORDS_MAX);
	out->e.by = keep(e->by, out->by, SUPPRESSION_BY_MAX);
}

size_t sup_failures_put(const struct sup_failures *f, char out[SUPPRESSION_ROW_MAX])
{
	char *p = wire_put_varint(out, f->message);

	p = wire_put_varint(p, seconds(f->until));
	p = wire_put_varint(p, f->n);
	for (unsigned i = 0; i < f->n; i++)
		p = wire_put_varint(p, seconds(f->at[i]));
	return (size_t)(p - out);
}

bool sup_failures_parse(struct str value, struct sup_failures *f)
{
	struct reader r = { .p = (const uint8_t *)value.p, .n = value.n };
	uint64_t n;

	f->message = wire_varint(&r);
	f->until = never_or(wire_varint(&r));
	n = wire_varint(&r);
	if (r.bad || n > SUPPRESSION_FAILURES_MAX)
		return false;
	f->n = (unsigned)n;
	for (unsigned i = 0; i < f->n; i++)
		f->at[i] = (us_t)wire_varint(&r) * US_PER_S;
	return !r.bad;
}

/* ---- many at once, on their way to the spool thread ---- */

bool suppression_batch_add(struct buf *b, bool del, const struct suppression_key *k,
			   const struct suppression_entry *e)
{
	static const struct suppression_entry none = { .why = SUPPRESS_MANUAL };
	char row[SUPPRESSION_ROW_MAX];
	size_t n = sup_row_put(e ? e : &none, row), was = b->n;

	if (buf_put_u8(b, del) && buf_put_u16(b, (uint16_t)k->base) &&
	    buf_put_str(b, str_mem(k->bytes, k->n)) && buf_put_str(b, str_mem(row, n)))
		return true;
	b->n = was;
	return false;
}

bool suppression_batch_next(struct reader *r, bool *del, struct suppression_key *k,
			    struct suppression_entry *e)
{
	struct str key, row;

	if (!r->n || r->bad)
		return false;
	*del = reader_u8(r);
	k->base = reader_u16(r);
	key = reader_str(r);
	row = reader_str(r);
	if (r->bad || key.n > SUPPRESSION_KEY_MAX || !sup_row_parse(row, e))
		return false;
	k->n = key.n;
	memcpy(k->bytes, key.p, key.n);
	return true;
}
