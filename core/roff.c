#include "core/roff.h"

#include "core/version.h"

void roff_text(struct buf *out, const char *s)
{
	bool at_start = true;
	for (; *s; s++) {
		if (at_start && (*s == '.' || *s == '\''))
			buf_addz(out, "\\&");
		if (*s == '\\')
			buf_addz(out, "\\e");
		else if (*s == '-')
			buf_addz(out, "\\-");
		else
			buf_addc(out, *s);
		at_start = *s == '\n';
	}
}

void roff_line(struct buf *out, const char *s)
{
	roff_text(out, s);
	buf_addc(out, '\n');
}

void roff_head(struct buf *out, const char *name, int section, const char *what)
{
	buf_addf(out, ".TH %s %d \"\" \"stoker %s\"\n.nh\n.SH NAME\n", name, section,
		 STOKER_VERSION);
	buf_addf(out, "%s \\- ", name);
	roff_line(out, what);
}

void roff_section(struct buf *out, const char *name, const char *body)
{
	buf_addf(out, ".SH %s\n", name);
	if (body)
		roff_line(out, body);
}

void roff_item(struct buf *out, const char *name, const char *rest, const char *body)
{
	buf_addz(out, ".TP\n\\fB");
	roff_text(out, name);
	buf_addz(out, "\\fR ");
	roff_line(out, rest);
	roff_line(out, body);
}

void roff_verbatim(struct buf *out, const char *s)
{
	buf_addz(out, ".nf\n");
	roff_text(out, s);
	buf_addz(out, ".fi\n");
}
