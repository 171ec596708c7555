/* [suppression]: what puts an address on the list, and how often a soft failure may be. */
#include "conf/lex.h"
#include "conf/value_list.h"

enum { SHOWN = 60, SO_MANY_MAX = 30 };

static const struct {
	const char *name;
	int bit;
} causes[] = { { "hard", CONF_SUPPRESS_HARD }, { "complaint", CONF_SUPPRESS_COMPLAINT } };
enum { CAUSES = sizeof causes / sizeof causes[0] };

static int shown(struct str s)
{
	return s.n < SHOWN ? (int)s.n : SHOWN;
}

const struct err *value_parse_causes(struct value_in *in, struct value *out)
{
	struct str rest = in->text, word = { "", 0 };

	if (str_ieqz(rest, "none"))
		return NULL;
	while (lex_word(&rest, &word)) {
		int bit = 0;

		for (int i = 0; i < CAUSES; i++)
			bit |= str_ieqz(word, causes[i].name) ? causes[i].bit : 0;
		if (!bit) {
			errbuf_set(&in->e,
				   "\"%.*s\": write one or both of hard, complaint; or none alone",
				   shown(word), word.p);
			return &err_invalid;
		}
		out->i |= bit;
	}
	return NULL;
}

void value_write_causes(int64_t bits, struct buf *out)
{
	const char *between = "";

	for (int i = 0; i < CAUSES; i++)
		if (bits & causes[i].bit) {
			buf_addf(out, "%s%s", between, causes[i].name);
			between = " ";
		}
	if (!bits)
		buf_addz(out, "none");
}

/* "5 in 14d", or never. */
const struct err *value_parse_so_many(struct value_in *in, struct value *out)
{
	struct str rest = in->text, n = { "", 0 }, word = { "", 0 }, span = { "", 0 };
	const struct directive *d = in->d;

	if (str_ieqz(rest, "never"))
		return NULL;
	if (!lex_word(&rest, &n) || !lex_word(&rest, &word) || !str_ieqz(word, "in") ||
	    !lex_word(&rest, &span) || lex_word(&rest, &word)) {
		errbuf_set(&in->e, "\"%.*s\": write it as 5 in 14d, or never", shown(in->text),
			   in->text.p);
		return &err_invalid;
	}
	if (fmt_parse_int(n, 1, SO_MANY_MAX, &out->so_many.n, &in->e) ||
	    fmt_parse_duration(span, &out->so_many.within, &in->e))
		return &err_invalid;
	if (out->so_many.within >= d->lo && out->so_many.within <= d->hi)
		return NULL;
	errbuf_set(&in->e, "\"%.*s\": write a time from 1h to 365d", shown(span), span.p);
	return &err_invalid;
}

void value_write_so_many(const struct value *v, struct buf *out)
{
	char z[FMT_SIZE];

	fmt_duration(v->so_many.within, z);
	if (v->so_many.n)
		buf_addf(out, "%lld in %s", (long long)v->so_many.n, z);
	else
		buf_addz(out, "never");
}
