#include <string.h>

#include "core/mta.h"

void mta_reader_name(const char *prefix, const char *section, char out[MTA_READER_NAME])
{
	char low[MTA_READER_NAME];

	str_lower(str_of(section), low, sizeof low);
	snprintf(out, MTA_READER_NAME, "%s%.80s", prefix, low);
}

static bool tell_spool(struct member *me, const char *reader, uint64_t position,
		       void (*fn)(struct member *to, struct post *p))
{
	struct rstr *name = rstr_new(str_of(reader));

	if (!name)
		return false;
	mta_post(me, me->mta->spooler, (struct post){ .fn = fn, .p = name, .a = position });
	return true;
}

bool mta_reader_save(struct member *me, const char *reader, uint64_t position)
{
	return tell_spool(me, reader, position, spool_post_position);
}

void mta_reader_forget(struct member *me, const char *reader)
{
	tell_spool(me, reader, 0, spool_post_forget);
}

void mta_reader_missed(struct member *me, const char *kind, const char *name, uint64_t missed,
		       uint64_t *told)
{
	if (missed == *told)
		return;
	*told = missed;
	mta_alarm(me, "events-missed", true, 2, name,
		  "%llu events were dropped before [%s %s] had them", (unsigned long long)missed,
		  kind, name);
}
