/* stoker.ini(5), from the table of directives. */
#include "conf/schema.h"
#include "conf/value.h"
#include "core/manual.h"
#include "core/roff.h"

static void bound(struct buf *out, const struct directive *d, int64_t v)
{
	struct buf word;
	buf_init(&word);
	value_write_bound(d, &(struct value){ .i = v }, &word);
	roff_text(out, buf_z(&word));
	buf_free(&word);
}

static bool has_range(const struct directive *d)
{
	return d->hi && d->type != TYPE_TEXT && d->type != TYPE_PATH && d->type != TYPE_FACTOR &&
	       d->type != TYPE_SECRET && d->type != TYPE_URL && d->type != TYPE_SO_MANY_IN;
}

static void directive_form(struct buf *out, const struct directive *d)
{
	if (!d->words) {
		roff_text(out, value_type_name(d->type));
		return;
	}
	for (const struct word *w = d->words; w->text; w++) {
		roff_text(out, w == d->words ? "" : " | ");
		roff_text(out, w->text);
	}
}

static void directive_item(struct buf *out, const struct directive *d)
{
	buf_addz(out, ".TP\n\\fB");
	roff_text(out, d->name);
	buf_addz(out, "\\fR = \\fI");
	directive_form(out, d);
	buf_addz(out, "\\fR\n");
	roff_text(out, d->help);
	buf_addz(out, ".");
	if (d->def) {
		buf_addz(out, " Default: ");
		roff_text(out, d->def);
		buf_addz(out, ".");
	}
	if (has_range(d)) {
		buf_addz(out, " From ");
		bound(out, d, d->lo);
		buf_addz(out, " to ");
		bound(out, d, d->hi);
		buf_addz(out, d->flags & NEVER_OK ? ", or never." : ".");
	}
	if (d->flags & REPEATS)
		buf_addz(out, " May be repeated.");
	if (d->flags & RESTART)
		buf_addz(out, " Takes effect at the next start.");
	buf_addc(out, '\n');
}

static void kind_section(struct buf *out, enum section_kind kind)
{
	const struct section_info *info = &section_infos[kind];
	buf_addz(out, ".SS \"[");
	roff_text(out, info->word);
	if (info->form) {
		buf_addc(out, ' ');
		roff_text(out, info->form);
	}
	buf_addz(out, "]\"\n");
	roff_text(out, info->help);
	buf_addz(out, ".\n");
	for (size_t i = 0; i < directives_n; i++)
		if (directives[i].kind == kind)
			directive_item(out, &directives[i]);
	if (info->settings && kind != KIND_DOMAIN)
		buf_addz(out, ".P\nAny directive of [domain] may stand here, too.\n");
}

void manual_stoker_ini_5(struct buf *out)
{
	roff_head(out, "stoker.ini", 5, "configuration of stoker");
	roff_section(
	    out, "LANGUAGE",
	    "[kind] or [kind name] opens a section, directive = value stands in it. A comment "
	    "begins with ; or # at a "
	    "line's start or after a blank. Lines do not continue: repeat a directive that may "
	    "be repeated. "
	    "Names are in any case. Sections of the same kind and name in several files merge; "
	    "a directive given "
	    "twice for one section is an error, except those that may be repeated. An empty "
	    "value clears what is "
	    "inherited.");
	buf_addz(out, ".P\n");
	roff_line(out,
		  "Durations are written 30s, 10m, 4h, 2d, 1h30m, 250ms, never; rates 20/s, "
		  "600/min, 50/hour, 1000/d, "
		  "1/6m, unlimited; sizes 64k, 10M, 2G (of 1024); lists are separated by commas or "
		  "blanks. A bare number "
		  "for a rate or a duration is an error that says what to write.");
	roff_section(
	    out, "WHICH SETTING HOLDS",
	    "The first that sets it wins: an override of an operator; [domain D via "
	    "VIRTUAL-MTA]; [domain D via POOL]; "
	    "[domain D]. Inside each: the exact domain, the longest *.x, the provider, *. "
	    "Limits count where they are "
	    "written, and all of them must have room: [domain *] and [provider P] count each "
	    "lane (a receiver at one "
	    "virtual MTA), [domain D] that domain's own mail at each virtual MTA, a pool's "
	    "what comes by that pool at "
	    "each virtual MTA, provider-max-* all lanes of the provider together, and "
	    "[virtual-mta V] that virtual MTA "
	    "over all receivers. `stoker settings gmail.com via NAME` prints each value with "
	    "the line that says so.");
	roff_section(out, "SECTIONS", NULL);
	for (int k = 0; k < KIND_COUNT; k++)
		kind_section(out, (enum section_kind)k);
	roff_section(out, "SEE ALSO", "stoker(1)");
}
