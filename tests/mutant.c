/* Tests of the tests: a reader that leaves one directive at its default, as if nothing had ever
 * been written for it. Linked in the place of section_add (`make mutants`); STOKER_MUTANT names the
 * directive: "domain max-smtp-out". */
#include <stdio.h>
#include <stdlib.h>

#include "conf/reading.h"

void __real_section_add(struct reading *r, struct conf_section *s, struct conf_entry *e);
void __wrap_section_add(struct reading *r, struct conf_section *s, struct conf_entry *e);

void __wrap_section_add(struct reading *r, struct conf_section *s, struct conf_entry *e)
{
	const char *wanted = getenv("STOKER_MUTANT");
	char name[128];

	snprintf(name, sizeof name, "%s %s", section_infos[e->d->kind].word, e->d->name);
	if (!wanted || strcmp(name, wanted) != 0)
		__real_section_add(r, s, e);
	else
		e->bad = true; /* an include is then not followed */
}
